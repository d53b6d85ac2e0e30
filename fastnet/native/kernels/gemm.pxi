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
#
# Algorithm (after Goto & van de Geijn 2008, and Van Zee & van de Geijn 2015). A tile of h x NR
# of C lives in registers; each step of k broadcasts h elements of A and loads NV vectors of B.
# Rows are divided evenly (32 = 6+6+5+5+5+5): no remainder tile. Columns are taken in groups of
# panels of NR, whose part of B (KC deep) is packed into the thread's scratch, as many as stay in L2:
# transposed, vector by vector squares, where B is; with the column sums; or else by the first tile while
# it computes, which costs nothing. With few rows B is read in place. A is read in place along its rows; where it
# is transposed, a tile's columns are packed once for a group. Threads divide tiles and panels.
#
# Order of summation: k ascending within a block of KC, blocks ascending, starting from the bias (or from
# C). It depends on K alone, so batch size and number of threads don't change an element's bits.
#
# Scratch: one packed group, and a tile of a transposed A, for each thread.

cdef struct GemmArgs:
    const real* a
    const real* b
    real* c
    const real* bias
    const real* gate
    real* column_sums
    Control* control
    real* scratch
    Py_ssize_t M
    Py_ssize_t N
    Py_ssize_t K
    Py_ssize_t lda
    Py_ssize_t ldb
    Py_ssize_t ldc
    Py_ssize_t ldgate
    Py_ssize_t trans_a
    Py_ssize_t trans_b
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


cdef inline Py_ssize_t tiles_of(const GemmArgs* g) noexcept nogil:
    """Tiles that the rows are divided into."""
    cdef Py_ssize_t most = MR_NARROW if g.N <= 2 * LANES else MR
    return (g.M + most - 1) // most


cdef inline Py_ssize_t tile_start(Py_ssize_t t, Py_ssize_t tiles, Py_ssize_t M) noexcept nogil:
    return t * (M // tiles) + min(t, M % tiles)


cdef inline Py_ssize_t group_of(const GemmArgs* g) noexcept nogil:
    """Panels that are packed together."""
    cdef Py_ssize_t panel = NR * max(min(g.K, <Py_ssize_t>KC), 1) * sizeof(real)
    return min(max(PACKED_BYTES // panel, 1), (g.N + NR - 1) // NR)


cdef Py_ssize_t gemm_scratch(const void* args) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    return (group_of(g) * NR + (MR_NARROW if g.trans_a else 0)) * max(min(g.K, <Py_ssize_t>KC), 1) * sizeof(real)


# --- panels: `width` columns from j0 on of op(B)'s rows k0 .. k0 + depth ------------------------

cdef void pack_rows(const GemmArgs* g, Py_ssize_t k0, Py_ssize_t depth, Py_ssize_t j0, Py_ssize_t width,
                    real* panel) noexcept nogil:
    """Of B as it is; lanes beyond the width are zero."""
    cdef Py_ssize_t k, j, n
    cdef const real* b = g.b + k0 * g.ldb + j0
    for j from 0 <= j < NR by LANES:
        n = min(max(width - j, 0), <Py_ssize_t>LANES)
        for k in range(depth):
            vstore(panel + k * NR + j, vload(b + k * g.ldb + j) if n == LANES else vload_n(b + k * g.ldb + j, n))


cdef void pack_transposed(const GemmArgs* g, Py_ssize_t k0, Py_ssize_t depth, Py_ssize_t j0, Py_ssize_t width,
                          real* panel) noexcept nogil:
    """Of B stored as N x K."""
    cdef vf square[LANES]
    cdef Py_ssize_t k, v, i, n, m
    cdef const real* b = g.b + j0 * g.ldb + k0
    for v from 0 <= v < NR by LANES:
        n = min(max(width - v, 0), <Py_ssize_t>LANES)
        for k from 0 <= k < depth by LANES:
            m = min(depth - k, <Py_ssize_t>LANES)
            if n == LANES and m == LANES:
                for i in range(LANES):
                    square[i] = vload(b + (v + i) * g.ldb + k)
                vtranspose(square)
                for i in range(LANES):
                    vstore(panel + (k + i) * NR + v, square[i])
                continue
            for i in range(LANES):
                square[i] = vload_n(b + (v + i) * g.ldb + k, m) if i < n else vzero()
            vtranspose(square)
            for i in range(LANES):
                if i < m:
                    vstore(panel + (k + i) * NR + v, square[i])


cdef void add_column_sums(const GemmArgs* g, Py_ssize_t depth, Py_ssize_t j0, Py_ssize_t width, bint first,
                          bint last, const real* panel) noexcept nogil:
    """Set or add the sums over the rows of a packed panel, rows ascending."""
    cdef Py_ssize_t k, j, n
    cdef vf sums
    for j from 0 <= j < width by LANES:
        n = min(width - j, <Py_ssize_t>LANES)
        sums = vload_n(g.column_sums + j0 + j, n) if g.accumulate_sums or not first else vzero()
        for k in range(depth):
            sums = sums + vload(panel + k * NR + j)
        vstore_n(g.column_sums + j0 + j, sums, n)
        if last and g.control != NULL and vany(visnan(sums * vzero())):
            report(g.control, BAD_GRADIENT)


cdef void pack_a(const real* a, Py_ssize_t lda, Py_ssize_t h, Py_ssize_t depth, real* block) noexcept nogil:
    """h columns of a transposed A: element (i, k) from a[k * lda + i] to block[k * h + i]."""
    cdef Py_ssize_t k, i
    for i from 0 <= i < h by LANES:
        for k in range(depth):
            vstore_n(block + k * h + i, vload_n(a + k * lda + i, min(h - i, <Py_ssize_t>LANES)), min(h - i, <Py_ssize_t>LANES))


# --- tiles ----------------------------------------------------------------------------------------

cdef enum Start:
    FROM_ZERO
    FROM_BIAS
    FROM_C

# One tile: where its operands are, and how its sums start and end.
cdef struct Tile:
    const real* a
    const real* b
    real* copy              # where a copying tile packs B, in panels
    real* c
    const real* bias
    const real* gate        # C becomes 0 where this is at most 0 (the slope of relu), or NULL
    Py_ssize_t lda
    Py_ssize_t ldb
    Py_ssize_t ldc
    Py_ssize_t ldgate
    Py_ssize_t K
    Py_ssize_t width        # columns of C, at most nv * LANES
    Start start
    real floor              # 0 for relu, -inf for none
    bint check              # look for what is not finite
    bint bad                # out: found some


cdef inline vf part(const real* p, Py_ssize_t n) noexcept nogil:
    return vload(p) if n >= LANES else vload_n(p, n)


cdef inline void tile(Py_ssize_t h, Py_ssize_t nv, bint columns, bint copying, Tile* t) noexcept nogil:
    """h x nv vectors of C. Where `columns`, A holds op(A) transposed: element (i, k) at a[k * lda + i].

    Only tiles along rows have a gate, only those along columns are checked.
    """
    cdef vf c[MR_NARROW * NV]
    cdef vf b[NV]
    cdef vf x
    cdef const real* rows[4]
    cdef const real* pa = t.a
    cdef const real* pb = t.b
    cdef real* copy = t.copy
    cdef Py_ssize_t i, j, k
    if t.start == FROM_C:
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = part(t.c + i * t.ldc + j * LANES, t.width - j * LANES)
    elif t.start == FROM_BIAS:
        for j in range(nv):
            x = part(t.bias + j * LANES, t.width - j * LANES)
            for i in range(h):
                c[i * nv + j] = x
    else:
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = vzero()
    for i in range(4):
        rows[i] = t.a + i * 3 * t.lda
    for k in range(t.K):
        for j in range(nv):
            b[j] = vload(pb + j * LANES)
            if copying:
                vstore(copy + j * LANES, b[j])
                prefetch(pb + COPY_AHEAD * t.ldb + j * LANES)
        for i in range(h):
            # Rows in groups of three: one pointer each, the others by the address's scale.
            x = vset(pa[i] if columns else rows[i // 3][i % 3 * t.lda])
            for j in range(nv):
                c[i * nv + j] = vfma(x, b[j], c[i * nv + j])
        pb = pb + t.ldb
        if copying:
            copy = copy + NR
        if columns:
            pa = pa + t.lda
        else:
            for i in range((h + 2) // 3):
                rows[i] = rows[i] + 1
    cdef vf finite[2]
    if columns and t.check:
        finite[0] = finite[1] = vzero()
        for i in range(h):
            for j in range(nv):
                finite[(i + j) % 2] = vfma(c[i * nv + j], vzero(), finite[(i + j) % 2])
        if vany(visnan(finite[0] + finite[1])):
            t.bad = True
    if not columns and t.gate != NULL:
        for i in range(h):
            for j in range(nv):
                x = part(t.gate + i * t.ldgate + j * LANES, t.width - j * LANES)
                c[i * nv + j] = vselect(vle(x, vzero()), vzero(), c[i * nv + j])
    cdef vf floor = vset(t.floor)
    for i in range(h):
        for j in range(nv):
            x = vmax(floor, c[i * nv + j])
            if j < nv - 1 or t.width == nv * LANES:
                vstore(t.c + i * t.ldc + j * LANES, x)
            else:
                vstore_n(t.c + i * t.ldc + j * LANES, x, t.width - j * LANES)


cdef inline void tile_of_height(Py_ssize_t h, Py_ssize_t nv, bint columns, bint copying, Tile* t) noexcept nogil:
    """Each height is code of its own; only narrow tiles are higher than MR."""
    cdef bint narrow = nv <= 2 and MR_NARROW > MR and not copying
    if h == 1: tile(1, nv, columns, copying, t)
    elif h == 2: tile(2, nv, columns, copying, t)
    elif h == 3: tile(3, nv, columns, copying, t)
    elif h == 4: tile(4, nv, columns, copying, t)
    elif h == 5: tile(5, nv, columns, copying, t)
    elif h == 6: tile(6, nv, columns, copying, t)
    elif narrow and h == 7: tile(7, nv, columns, copying, t)
    elif narrow and h == 8: tile(8, nv, columns, copying, t)
    elif narrow and h == 9: tile(9, nv, columns, copying, t)
    elif narrow and h == 10: tile(10, nv, columns, copying, t)
    elif narrow and h == 11: tile(11, nv, columns, copying, t)
    elif narrow and h == 12: tile(12, nv, columns, copying, t)


cdef inline void tile_of_width(Py_ssize_t h, bint columns, Tile* t) noexcept nogil:
    if t.width <= LANES: tile_of_height(h, 1, columns, False, t)
    elif NV == 2 or t.width <= 2 * LANES: tile_of_height(h, 2, columns, False, t)
    elif NV > 2 and t.width <= 3 * LANES: tile_of_height(h, 3, columns, False, t)
    elif NV > 3: tile_of_height(h, 4, columns, False, t)


cdef void tile_rows(Py_ssize_t h, Tile* t) noexcept nogil:
    tile_of_width(h, False, t)


cdef void tile_rows_copying(Py_ssize_t h, Tile* t) noexcept nogil:
    tile_of_height(h, NV, False, True, t)


cdef void tile_columns(Py_ssize_t h, Tile* t) noexcept nogil:
    tile_of_width(h, True, t)


cdef void finish(const GemmArgs* g, Tile* t, Py_ssize_t i0, Py_ssize_t j0, Py_ssize_t h) noexcept nogil:
    """What the tile's registers have no code for, on the tile just stored."""
    cdef Py_ssize_t i, j
    cdef vf finite = vzero()
    for i in range(h):
        if g.activation > RELU:
            activate(g.activation, g.alpha, t.c + i * t.ldc, t.c + i * t.ldc, t.width)
        if g.gate != NULL and (g.trans_a or g.gate_activation != RELU):
            activate_backward(g.gate_activation, g.gate_alpha, g.gate + (i0 + i) * g.ldgate + j0,
                              t.c + i * t.ldc, t.c + i * t.ldc, t.width)
        if g.control != NULL and not g.trans_a:
            for j from 0 <= j < t.width by LANES:
                finite = vfma(part(t.c + i * t.ldc + j, t.width - j), vzero(), finite)
    if vany(visnan(finite)):
        t.bad = True


# --- a thread's share -------------------------------------------------------------------------------

# Tiles t0 .. t1 of the rows by panels p0 .. p1 of the columns.
cdef struct Share2D:
    Py_ssize_t t0
    Py_ssize_t t1
    Py_ssize_t p0
    Py_ssize_t p1


cdef Share2D share_2d(Py_ssize_t tiles, Py_ssize_t panels, int thread, int n_threads) noexcept nogil:
    """Divide the threads into a grid over columns and rows, as evenly as it goes, columns rather than rows."""
    cdef Share2D s
    cdef Py_ssize_t across, down, load, best = -1, best_load = 0
    for across in range(n_threads, 0, -1):
        if n_threads % across:
            continue
        down = n_threads // across
        load = ((panels + across - 1) // across) * ((tiles + down - 1) // down)
        if best < 0 or load < best_load:
            best, best_load = across, load
    down = n_threads // best
    across = thread % best
    s.p0 = across * panels // best
    s.p1 = (across + 1) * panels // best
    across = thread // best
    s.t0 = across * tiles // down
    s.t1 = (across + 1) * tiles // down
    return s


cdef void gemm(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    cdef real* block = <real*>(<char*>g.scratch + thread * g.scratch_stride)
    cdef Py_ssize_t tiles = tiles_of(g)
    cdef Py_ssize_t panels = (g.N + NR - 1) // NR
    cdef Share2D s = share_2d(tiles, panels, thread, n_threads)
    cdef Py_ssize_t group = group_of(g)
    cdef real* block_a = block + group * NR * max(min(g.K, <Py_ssize_t>KC), 1)
    cdef Py_ssize_t q, p, end, t, i0, h, k0, depth
    cdef bint last, finishing, packed
    cdef bint must_pack = g.trans_a or g.trans_b or g.column_sums != NULL
    cdef bint in_place = not must_pack and (s.t1 - s.t0 <= FEW_TILES
                                            or g.K * g.ldb * <Py_ssize_t>sizeof(real) <= IN_L1)
    cdef Tile tile
    tile.ldc, tile.ldgate, tile.lda = g.ldc, g.ldgate, g.lda
    tile.bad = False
    if s.t0 == s.t1:
        return
    for q from s.p0 <= q < s.p1 by group:
        end = min(q + group, s.p1)
        k0 = 0
        while True:
            depth = min(g.K - k0, <Py_ssize_t>KC)
            last = k0 + depth == g.K
            finishing = last and (g.activation > RELU or (g.control != NULL and not g.trans_a)
                                  or (g.gate != NULL and (g.trans_a or g.gate_activation != RELU)))
            tile.K = depth
            tile.start = FROM_C if k0 or g.accumulate else (FROM_ZERO if g.bias == NULL else FROM_BIAS)
            tile.floor = <real>0 if last and g.activation == RELU else -<real>INFINITY
            tile.check = last and g.control != NULL
            for p in range(q, end):
                pack_panel(g, must_pack, k0, depth, p, s.t0 == 0, block + (p - q) * NR * depth)
            for t in range(s.t0, s.t1):
                i0 = tile_start(t, tiles, g.M)
                h = tile_start(t + 1, tiles, g.M) - i0
                if not g.trans_a:
                    tile.a = g.a + i0 * g.lda + k0
                elif end - q == 1:
                    tile.a, tile.lda = g.a + k0 * g.lda + i0, g.lda
                else:
                    tile.a, tile.lda = block_a, h
                    pack_a(g.a + k0 * g.lda + i0, g.lda, h, depth, block_a)
                for p in range(q, end):
                    tile.width = min(g.N - p * NR, <Py_ssize_t>NR)
                    tile.bias = g.bias + p * NR if g.bias != NULL else NULL
                    tile.gate = NULL
                    if last and g.gate != NULL and g.gate_activation == RELU:
                        tile.gate = g.gate + i0 * g.ldgate + p * NR
                    tile.c = g.c + i0 * g.ldc + p * NR
                    packed = must_pack or tile.width < NR or not (in_place or t == s.t0)
                    tile.copy = block + (p - q) * NR * depth
                    if packed:
                        tile.b = tile.copy
                        tile.ldb = NR
                    else:
                        tile.b = g.b + k0 * g.ldb + p * NR
                        tile.ldb = g.ldb
                    if g.trans_a:
                        tile_columns(h, &tile)
                    elif not (packed or in_place):
                        tile_rows_copying(h, &tile)
                    else:
                        tile_rows(h, &tile)
                    if finishing:
                        finish(g, &tile, i0, p * NR, h)
            k0 += depth
            if last:
                break
    if tile.bad:
        report(g.control, BAD_GRADIENT)


cdef void pack_panel(const GemmArgs* g, bint must_pack, Py_ssize_t k0, Py_ssize_t depth, Py_ssize_t p, bint sums,
                     real* panel) noexcept nogil:
    """Pack panel p, unless it is read in place or packed by the first tile; the thread of the first rows sums."""
    cdef Py_ssize_t width = min(g.N - p * NR, <Py_ssize_t>NR)
    if g.trans_b:
        pack_transposed(g, k0, depth, p * NR, width, panel)
    elif must_pack or width < NR:
        pack_rows(g, k0, depth, p * NR, width, panel)
        if g.column_sums != NULL and sums:
            add_column_sums(g, depth, p * NR, width, k0 == 0, k0 + depth == g.K, panel)
