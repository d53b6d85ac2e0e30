# General matrix product with bias and activation in the store, all transpositions.
#
#   C = activation(op(A) op(B) + bias)      op(A): M x K   op(B): K x N   C: M x N
#   C += op(A) op(B)                        with `accumulate`
#
# M N K   rows, columns, depth              lda ldb ldc  elements from row to row, as stored
# a b     in, row major; op is a transposition where trans_a, trans_b say so
# c       out                               bias  in [N] or NULL
# column_sums  out [N] or NULL: sums over the K rows of B (the bias gradient when B is dy); not with trans_b
# gate    in [M, N] or NULL: C is multiplied by the slope of `gate_activation` there
# control or NULL: with it, a C or column sum that is not finite makes the step a bad one
# statistics and what belongs to it: of C, whose ldc is N, for the batch norm that reads it (batch_statistics.pxi); not with trans_a
#
# Algorithm (after Goto & van de Geijn 2008, and Van Zee & van de Geijn 2015). A tile of h x NR
# of C lives in registers; each step of k broadcasts h elements of A and loads NV vectors of B.
# Rows are divided evenly (32 = 6+6+5+5+5+5): no remainder tile. Columns are taken in groups of
# panels of NR, whose part of B (KC deep) is packed into the thread's scratch, as many as stay in L2:
# transposed, vector by vector squares, where B is; before a transposed A; or else by the first tile while
# it computes, which costs nothing. With few rows, and where it stays in L1, B is read in place, but for a panel
# that is not whole. A is read in place, along its rows or, where it is transposed, along h neighbours of a row.
# A strip of tiles, one for each panel of the group, is one call; a row alone (batch 1) has its sums in L1
# and streams B. A column alone (one unit) is computed as its transpose, a row; for a weight gradient that is such a row.
# Threads divide tiles and panels: rows first for a transposed A, a weight gradient, so that a thread updates the weights
# whose gradients it has computed.
#
# Order of summation: k ascending within a block, starting from the bias (or from C). A depth from LEAST_HALVED to 2 KC
# has two blocks, its halves, of which the second starts from zero and is added to the first; others have blocks of KC, each
# of which starts from the sums of those before. It depends on K alone, so batch size and number of threads don't change an
# element's bits.
#
# Threads may take a half each: an even number of them, where B (weights) is greater than C. The rows of the weights that
# a thread reads then are those whose gradients it computed, and which it updated. A line that another core has read costs
# 7 ns to write (Zen 4): with columns for each thread, half of what an update writes, and all of what a gather writes.
#
# Scratch: for each thread a packed group, and the second half of a strip of tiles. Shared: the second half's C, in whole vectors.

cdef struct GemmArgs:
    const real* a
    const real* b
    real* c
    const real* bias
    const real* gate
    real* column_sums
    real* statistics
    const real* statistics_x
    const real* statistics_mean
    Control* control
    real* scratch
    real* shared
    Py_ssize_t M
    Py_ssize_t N
    Py_ssize_t K
    Py_ssize_t lda
    Py_ssize_t ldb
    Py_ssize_t ldc
    Py_ssize_t ldgate
    Py_ssize_t trans_a
    Py_ssize_t trans_b
    Py_ssize_t parts
    Py_ssize_t activation
    Py_ssize_t gate_activation
    Py_ssize_t accumulate
    Py_ssize_t accumulate_sums
    Py_ssize_t scratch_stride
    double alpha
    double gate_alpha


cdef enum:
    # B is read in place by so few tiles, or where all of it stays in L1.
    FEW_TILES = 2
    IN_L1 = 24 << 10        # bytes
    IN_L2 = 512 << 10       # rows of A beyond these are fetched a tile ahead: a tile's rows are too short for the CPU to notice
    LEAST_HALVED = 256      # depth of a product that is summed in two halves


cdef inline bint is_halved(const GemmArgs* g) noexcept nogil:
    return g.K >= LEAST_HALVED and g.K <= 2 * KC


cdef inline Py_ssize_t block_end(const GemmArgs* g, Py_ssize_t k0) noexcept nogil:
    """Where the block of the depth ends that starts at k0."""
    if is_halved(g):
        return g.K if k0 else g.K // 2 // 16 * 16
    return min(k0 + KC, g.K)


cdef inline Py_ssize_t greatest_depth(const GemmArgs* g) noexcept nogil:
    """Of a block; the second half may be the greater one."""
    return g.K - block_end(g, 0) if is_halved(g) else min(g.K, <Py_ssize_t>KC)


cdef inline Py_ssize_t group_of(const GemmArgs* g) noexcept nogil:
    """Panels that are packed together."""
    cdef Py_ssize_t panel = NR * max(greatest_depth(g), 1) * sizeof(real)
    return min(max(PACKED_BYTES // panel, 1), (g.N + NR - 1) // NR)


cdef inline Py_ssize_t greatest_height(const GemmArgs* g) noexcept nogil:
    """Of a tile."""
    return MR_NARROW if g.N <= LANES else MR


cdef inline bint is_column(const GemmArgs* g) noexcept nogil:
    """Whether C is one column to be computed as a row, and all that belongs to it lies as a row would.

    Where A is not transposed it is packed for that, in squares of vectors: these must be of some length to be worth it.
    """
    return (g.N == 1 and g.ldb == 1 and g.ldc == 1 and (g.gate == NULL or g.ldgate == 1)
            and (g.bias == NULL if g.trans_a else LANES >= 8 and g.M >= LANES and not g.trans_b and g.statistics == NULL))


cdef GemmArgs transposed(const GemmArgs* g) noexcept nogil:
    """A column as its transpose, the row B^T op(A)^T, without the bias and the column sum."""
    cdef GemmArgs row = g[0]
    row.a, row.lda, row.b, row.ldb = g.b, g.K, g.a, g.lda
    row.M, row.N, row.ldc, row.ldgate = 1, g.M, g.M, g.M
    row.trans_a, row.trans_b = 0, not g.trans_a
    row.bias = NULL
    row.column_sums = row.shared = NULL
    return row


cdef Py_ssize_t product_scratch(const GemmArgs* g) noexcept nogil:
    cdef Py_ssize_t half = greatest_height(g) * whole_vectors(g.N) if is_halved(g) else 0
    return (group_of(g) * NR * greatest_depth(g) + half) * sizeof(real)


cdef Py_ssize_t gemm_scratch(const void* args) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    cdef GemmArgs row
    if not is_column(g):
        return product_scratch(g)
    row = transposed(g)
    return product_scratch(&row)


cdef inline bint may_share_depth(const GemmArgs* g) noexcept nogil:
    """Whether threads may take a half of the depth each: where B is greater than C, which they exchange then."""
    return (is_halved(g) and not (g.trans_a or g.trans_b or g.column_sums != NULL or g.statistics != NULL) and 2 * g.M <= g.K
            and not is_column(g))


cdef Py_ssize_t gemm_shared(const void* args) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    return g.M * whole_vectors(g.N) * sizeof(real) if may_share_depth(g) else 0


# --- panels: `width` columns from j0 on of op(B)'s rows k0 .. k0 + depth ------------------------

cdef void pack_rows(const GemmArgs* g, Py_ssize_t k0, Py_ssize_t depth, Py_ssize_t j0, Py_ssize_t width,
                    real* panel) noexcept nogil:
    """Of B as it is; lanes beyond the width are zero, to the end of the last vector."""
    cdef Py_ssize_t k, j, ld = whole_vectors(width)
    cdef const real* b = g.b + k0 * g.ldb + j0
    for j from 0 <= j < width by LANES:
        if width - j >= LANES:
            for k in range(depth):
                vstore(panel + k * ld + j, vload(b + k * g.ldb + j))
        else:
            for k in range(depth):
                vstore(panel + k * ld + j, vload_n(b + k * g.ldb + j, width - j))


cdef void pack_transposed(const GemmArgs* g, Py_ssize_t k0, Py_ssize_t depth, Py_ssize_t j0, Py_ssize_t width,
                          real* panel) noexcept nogil:
    """Of B stored as N x K."""
    cdef vf square[LANES]
    cdef Py_ssize_t k, v, i, n, m, ld = whole_vectors(width)
    cdef const real* b = g.b + j0 * g.ldb + k0
    for v from 0 <= v < width by LANES:
        n = min(width - v, <Py_ssize_t>LANES)
        for k from 0 <= k < depth by LANES:
            m = min(depth - k, <Py_ssize_t>LANES)
            if n == LANES and m == LANES:
                for i in range(LANES):
                    square[i] = vload(b + (v + i) * g.ldb + k)
                vtranspose(square)
                for i in range(LANES):
                    vstore(panel + (k + i) * ld + v, square[i])
                continue
            for i in range(LANES):
                square[i] = vload_n(b + (v + i) * g.ldb + k, m) if i < n else vzero()
            vtranspose(square)
            for i in range(LANES):
                if i < m:
                    vstore(panel + (k + i) * ld + v, square[i])


cdef inline void sum_columns(const GemmArgs* g, Py_ssize_t k0, Py_ssize_t depth, Py_ssize_t j, Py_ssize_t n,
                             int nv) noexcept nogil:
    """Set or add n sums over the rows of B, in nv vectors side by side, rows ascending."""
    cdef vf sums[NV]
    cdef Py_ssize_t k
    cdef int v
    cdef const real* b = g.b + k0 * g.ldb + j
    cdef vf infinite = vzero()
    for v in range(nv):
        sums[v] = vload_upto(g.column_sums + j + v * LANES, n - v * LANES) if g.accumulate_sums or k0 else vzero()
    for k in range(depth):
        for v in range(nv):
            sums[v] = sums[v] + vload_upto(b + k * g.ldb + v * LANES, n - v * LANES)
    for v in range(nv):
        vstore_upto(g.column_sums + j + v * LANES, sums[v], n - v * LANES)
        infinite = vor_bits(infinite, sums[v] - sums[v])
    if g.control != NULL and k0 + depth == g.K and vany(visnan(infinite)):
        report(g.control, BAD_GRADIENT)


cdef void add_column_sums(const GemmArgs* g, Py_ssize_t k0, Py_ssize_t depth, Py_ssize_t j0, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t j, v, end = j0 + width
    for j from j0 <= j < end by NR:
        if end - j >= NR:
            sum_columns(g, k0, depth, j, NR, NV)
        else:
            for v from j <= v < end by LANES:
                sum_columns(g, k0, depth, v, min(end - v, <Py_ssize_t>LANES), 1)


# --- what a product ends with --------------------------------------------------------------------------

cdef bint add_half(const real* half, Py_ssize_t ldhalf, real* c, Py_ssize_t ldc, Py_ssize_t h, Py_ssize_t width,
                   real least) noexcept nogil:
    """C = max(least, C + the second half of its sums), of h rows; whether a sum is not finite."""
    cdef Py_ssize_t i, j
    cdef vf x, infinite = vzero(), floor = vset(least)
    for i in range(h):
        for j from 0 <= j < width by LANES:
            x = vload_upto(c + j, width - j) + vload_upto(half + j, width - j)
            infinite = vor_bits(x - x, infinite)
            vstore_end(c + j, vmax(floor, x), width - j)
        c += ldc
        half += ldhalf
    return vany(visnan(infinite))


cdef inline bint has_finish(const GemmArgs* g) noexcept nogil:
    """Whether the tiles' registers have no code for what the product ends with."""
    if g.trans_a:
        return g.activation != LINEAR or g.gate != NULL
    return g.activation > RELU or g.control != NULL or g.gate != NULL


cdef void finish(const GemmArgs* g, Py_ssize_t i0, Py_ssize_t j0, Py_ssize_t h, Py_ssize_t width, bint* bad) noexcept nogil:
    """That, on the strip just stored."""
    cdef Py_ssize_t i, j
    cdef vf finite = vzero()
    cdef real* c
    for i in range(i0, i0 + h):
        c = g.c + i * g.ldc + j0
        if g.activation > RELU or g.trans_a:
            activate(g.activation, g.alpha, c, c, width)
        if g.gate != NULL:
            activate_backward(g.gate_activation, g.gate_alpha, g.gate + i * g.ldgate + j0, c, c, width)
        if g.control != NULL and not g.trans_a:
            for j from 0 <= j < width by LANES:
                finite = vfma(vload_upto(c + j, width - j), vzero(), finite)
    if vany(visnan(finite)):
        bad[0] = True


# --- a thread's share -------------------------------------------------------------------------------

# Tiles t0 .. t1 of the rows by panels p0 .. p1 of the columns.
cdef struct Share2D:
    Py_ssize_t t0
    Py_ssize_t t1
    Py_ssize_t p0
    Py_ssize_t p1


cdef Share2D share_2d(Py_ssize_t tiles, Py_ssize_t panels, bint rows_first, int thread, int n_threads) noexcept nogil:
    """Divide the threads into a grid over columns and rows, as evenly as it goes; between equals `rows_first` decides."""
    cdef Share2D s
    cdef Py_ssize_t across, down, load, best = -1, best_load = 0
    if n_threads == 1:
        s.t0, s.t1, s.p0, s.p1 = 0, tiles, 0, panels
        return s
    for across in range(n_threads, 0, -1):
        if n_threads % across:
            continue
        down = n_threads // across
        load = ((panels + across - 1) // across) * ((tiles + down - 1) // down)
        if best < 0 or load < best_load or (rows_first and load == best_load):
            best, best_load = across, load
    down = n_threads // best
    across = thread % best
    s.p0 = across * panels // best
    s.p1 = (across + 1) * panels // best
    across = thread // best
    s.t0 = across * tiles // down
    s.t1 = (across + 1) * tiles // down
    return s


cdef void pack_panel(const GemmArgs* g, Py_ssize_t k0, Py_ssize_t depth, Py_ssize_t p, real* panel) noexcept nogil:
    cdef Py_ssize_t width = min(g.N - p * NR, <Py_ssize_t>NR)
    if g.trans_b:
        pack_transposed(g, k0, depth, p * NR, width, panel)
    else:
        pack_rows(g, k0, depth, p * NR, width, panel)


cdef void gemm(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    cdef GemmArgs row
    cdef Share2D share
    if not is_column(g):
        product(g, thread, n_threads)
        return
    if g.column_sums != NULL and thread == 0:
        add_column_sums(g, 0, g.K, 0, 1)
    row = transposed(g)
    if g.bias != NULL and not g.accumulate:
        # A row's bias has a number for each column, a column's is one: its sums start from where they go, in each thread's share.
        share = share_2d(1, (row.N + NR - 1) // NR, False, thread, n_threads)
        fill_elements(row.c + share.p0 * NR, min(share.p1 * NR, row.N) - share.p0 * NR, g.bias[0])
        row.accumulate = 1
    product(&row, thread, n_threads)


cdef void product(const GemmArgs* g, int thread, int n_threads) noexcept nogil:
    """The product; but where threads share the depth, the first half in C, and the second in `shared`."""
    cdef Py_ssize_t most = greatest_height(g)
    cdef Py_ssize_t tiles = (g.M + most - 1) // most
    cdef Py_ssize_t height = g.M // tiles, higher = g.M % tiles     # the first tiles are one row higher
    cdef bint shares_depth = g.shared != NULL and may_share_depth(g) and n_threads % 2 == 0
    cdef int beside = n_threads // 2 if shares_depth else n_threads     # threads that share one part of the depth
    cdef bint second = thread >= beside
    cdef Collector all_parts = collector_of(g.c, g.N, g.statistics, g.statistics_x, g.statistics_mean, g.parts)
    cdef Collector collector = section_of(&all_parts, 0, 1, tiles)
    cdef Share2D share = share_2d(collector.parts, (g.N + NR - 1) // NR, g.trans_a, thread - beside if second else thread, beside)
    cdef Py_ssize_t t0 = first_unit(&collector, share.t0), t1 = first_unit(&collector, share.t1)
    cdef Py_ssize_t group
    cdef real* edge
    cdef real* block = <real*>(<char*>g.scratch + thread * g.scratch_stride)
    cdef Py_ssize_t q, p, end, t, i, i0, j0, h, k0, depth, width, whole
    cdef bint last, finishing, packed, adding
    # B is read in place by few tiles, and where all of it stays in L1; otherwise the first tile along rows packs it.
    cdef bint in_place = not g.trans_b and (t1 - t0 <= FEW_TILES
                                            or g.K * g.ldb * <Py_ssize_t>sizeof(real) <= IN_L1)
    cdef bint fetching = not g.trans_a and g.M * g.lda * <Py_ssize_t>sizeof(real) > IN_L2
    cdef real* half = block + group_of(g) * NR * greatest_depth(g)
    cdef real* c = g.shared if second else g.c
    cdef Py_ssize_t ldc = whole_vectors(g.N) if second else g.ldc
    cdef real least
    cdef Strip s
    if t0 == t1:
        return
    s.lda = g.lda
    s.bad = False
    group = share.p1 - share.p0 if in_place else group_of(g)
    for q from share.p0 <= q < share.p1 by group:
        end = min(q + group, share.p1)
        j0 = q * NR
        width = min(g.N - j0, (end - q) * NR)
        whole = width // NR                     # panels
        k0 = block_end(g, 0) if second else 0
        while True:
            depth = block_end(g, k0) - k0
            last = k0 + depth == g.K and not shares_depth
            finishing = last and has_finish(g)
            adding = is_halved(g) and k0 > 0 and not shares_depth
            s.K = depth
            if k0 == 0 and not g.accumulate:
                s.start = FROM_ZERO if g.bias == NULL else FROM_BIAS
            else:
                s.start = FROM_ZERO if is_halved(g) and k0 else FROM_C
            least = <real>0 if last and g.activation == RELU else -<real>INFINITY
            s.floor = -<real>INFINITY if adding else least
            s.check = last and g.control != NULL and not adding
            edge = block if in_place else block + whole * NR * depth
            for p in range(q, end):
                if p == q + whole:
                    pack_panel(g, k0, depth, p, edge)
                elif g.trans_b or (g.trans_a and not in_place):
                    pack_panel(g, k0, depth, p, block + (p - q) * NR * depth)
            if g.column_sums != NULL and t0 == 0:
                add_column_sums(g, k0, depth, j0, width)
            i0 = t0 * height + min(t0, higher)
            begin_at_part(&collector, share.t0)
            for t in range(t0, t1):
                enter_unit(&collector, t)
                h = height + 1 if t < higher else height
                packed = g.trans_b or not (in_place or (t == t0 and not g.trans_a))
                s.a = g.a + k0 * g.lda + i0 if g.trans_a else g.a + i0 * g.lda + k0
                if packed:
                    s.b, s.ldb, s.b_step = block, NR, NR * depth
                else:
                    s.b, s.ldb, s.b_step = g.b + k0 * g.ldb + j0, g.ldb, NR
                s.copy = block
                if adding:
                    s.c, s.ldc = half, width
                else:
                    s.c, s.ldc = c + i0 * ldc + j0, ldc
                if g.bias != NULL:
                    s.bias = g.bias + j0
                s.panels = whole
                s.ahead = s.a + h * g.lda if fetching else s.a
                if fetching and depth < g.lda:
                    for i in range(h):
                        prefetch_elements(s.a + (h + i) * g.lda, depth)
                if g.trans_a:
                    strip_along_columns(h, NR, &s)
                elif g.M == 1 and not packed:
                    strip_of_row(&s)
                elif packed or in_place:
                    strip_along_rows(h, NR, &s)
                else:
                    strip_copying(h, &s)
                if width > whole * NR:
                    strip_to_edge(h, width - whole * NR, &s, edge, whole * NR, g.trans_a)
                if adding and add_half(half, width, c + i0 * ldc + j0, ldc, h, width, least):
                    s.bad = s.bad or (g.trans_a and g.control != NULL)
                if finishing:
                    finish(g, i0, j0, h, width, &s.bad)
                if last and g.statistics != NULL:
                    collect_rows(&collector, i0, h, j0, j0 + width)
                i0 += h
            k0 += depth
            if k0 == g.K or shares_depth:
                break
    if s.bad:
        report(g.control, BAD_GRADIENT)


cdef void gemm_join(const void* args, int thread, int n_threads) noexcept nogil:
    """Add the halves where threads have shared the depth, each in some columns: where the next product wants them."""
    cdef const GemmArgs* g = <const GemmArgs*>args
    cdef Py_ssize_t vectors = (g.N + LANES - 1) // LANES
    cdef Py_ssize_t j0 = thread * vectors // n_threads * LANES
    cdef Py_ssize_t j1 = min((thread + 1) * vectors // n_threads * LANES, g.N)
    cdef bint bad = False
    if not may_share_depth(g) or n_threads % 2:
        return
    add_half(g.shared + j0, whole_vectors(g.N), g.c + j0, g.ldc, g.M, j1 - j0, <real>0 if g.activation == RELU else -<real>INFINITY)
    if has_finish(g):
        finish(g, 0, j0, g.M, j1 - j0, &bad)
    if bad:
        report(g.control, BAD_GRADIENT)
