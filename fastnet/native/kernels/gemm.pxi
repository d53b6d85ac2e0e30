# General matrix product with bias and activation in the store, all transpositions.
#
#   C = activation(op(A) op(B) + bias)      op(A): M x K   op(B): K x N   C: M x N
#   C += op(A) op(B)                        with `accumulate`
#
# M N K   rows, columns, depth              lda ldb ldc  elements from row to row, as stored
# a b     in, row major; op is a transposition where trans_a, trans_b say so
# c       out                               bias  in [N] or NULL
# column_sums  out [N] or NULL: sums over the K rows of B (the bias gradient when B is dy)
# gate    in [M, N] or NULL: C is multiplied by the slope of `gate_activation` there
# control or NULL: with it, a C or column sum that is not finite sets its status
#
# Algorithm (after Goto & van de Geijn 2008, and Van Zee & van de Geijn 2015). A tile of h x NR
# of C lives in registers; each step of k broadcasts h elements of A and loads NV vectors of B.
# B is read in panels of NR columns: in place where that is fast, else packed panel after panel by
# phase 1 (always where B is transposed, or the last panel is not whole: padding lanes are zero).
# A is read in place, along its rows, or along its columns where it is transposed, or packed
# into the thread's scratch, MC rows by KC deep. Rows are divided evenly (32 = 6+6+5+5+5+5): no
# remainder tile. Threads take whole tiles of C.
#
# Order of summation: k ascending within a block of KC, blocks ascending, starting from the bias (or from
# C). It depends on K alone, so batch size and number of threads don't change an element's bits.
#
# Scratch: packed A, for each thread. Shared: packed B.

cdef struct GemmArgs:
    const real* a
    const real* b
    real* c
    const real* bias
    const real* gate
    real* column_sums
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
    Py_ssize_t activation
    Py_ssize_t gate_activation
    Py_ssize_t accumulate
    Py_ssize_t accumulate_sums
    Py_ssize_t scratch_stride
    double alpha
    double gate_alpha


# How one shape is computed. Everything follows from shape and build alone.
cdef struct GemmShape:
    bint pack_a
    bint pack_b
    Py_ssize_t mr           # greatest height of a tile
    Py_ssize_t tiles        # in M
    Py_ssize_t panels       # in N, the last one perhaps not whole
    Py_ssize_t kc


cdef GemmShape gemm_shape(const GemmArgs* g) noexcept nogil:
    cdef GemmShape s
    s.panels = (g.N + NR - 1) // NR
    s.mr = MR_NARROW if g.N <= 2 * LANES else MR
    s.tiles = (g.M + s.mr - 1) // s.mr
    if g.trans_a:
        s.pack_b = True
        s.pack_a = s.panels >= 4
    else:
        s.pack_a = g.M >= 64 and g.N >= 192 and g.K >= 128
        s.pack_b = g.trans_b or s.pack_a or (g.M >= 64 and g.K * NR * sizeof(real) > 24576)
    s.kc = KC if s.pack_a or g.trans_a else max(g.K, 1)
    return s


cdef Py_ssize_t gemm_scratch(const void* args) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    cdef GemmShape s = gemm_shape(g)
    if not s.pack_a:
        return 0
    return (min(MC // s.mr, s.tiles) * s.mr * min(s.kc, g.K) + LANES) * sizeof(real)


cdef Py_ssize_t gemm_shared(const void* args) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    cdef GemmShape s = gemm_shape(g)
    if s.pack_b:
        return s.panels * NR * g.K * sizeof(real)
    return NR * g.K * sizeof(real) if g.N % NR else 0


# --- phase 1: B into panels -----------------------------------------------------------------

cdef inline void pack_rows(const GemmArgs* g, Py_ssize_t j0, Py_ssize_t width, real* panel) noexcept nogil:
    """Columns j0 .. j0 + width of B (K x N as stored) into one panel, with their sums."""
    cdef vf sums[NV]
    cdef vf v
    cdef Py_ssize_t k, j, n
    for j in range(NV):
        sums[j] = vzero()
    for k in range(g.K):
        for j in range(NV):
            n = width - j * LANES
            v = vload(g.b + k * g.ldb + j0 + j * LANES) if n >= LANES else vload_n(g.b + k * g.ldb + j0 + j * LANES, max(n, 0))
            vstore(panel + k * NR + j * LANES, v)
            sums[j] = sums[j] + v
    if g.column_sums == NULL:
        return
    cdef vf finite = vzero()
    for j in range(NV):
        n = min(width - j * LANES, <Py_ssize_t>LANES)
        if n > 0:
            v = sums[j]
            if g.accumulate_sums:
                v = v + vload_n(g.column_sums + j0 + j * LANES, n)
            vstore_n(g.column_sums + j0 + j * LANES, v, n)
            finite = vfma(v, vzero(), finite)
    if g.control != NULL and vany(visnan(finite)):
        g.control.status = BAD_GRADIENT


cdef void pack_whole(const GemmArgs* g, Py_ssize_t j0, real* panel) noexcept nogil:
    pack_rows(g, j0, NR, panel)


cdef void pack_partial(const GemmArgs* g, Py_ssize_t j0, Py_ssize_t width, real* panel) noexcept nogil:
    pack_rows(g, j0, width, panel)


cdef void pack_transposed(const GemmArgs* g, Py_ssize_t j0, Py_ssize_t width, real* panel) noexcept nogil:
    """Rows j0 .. j0 + width of B (N x K as stored) into one panel, vector by vector squares."""
    cdef vf square[LANES]
    cdef Py_ssize_t k, v, i, n, depth
    for k from 0 <= k < g.K by LANES:
        depth = min(g.K - k, <Py_ssize_t>LANES)
        for v in range(NV):
            n = min(max(width - v * LANES, 0), <Py_ssize_t>LANES)
            if n == LANES and depth == LANES:
                for i in range(LANES):
                    square[i] = vload(g.b + (j0 + v * LANES + i) * g.ldb + k)
            else:
                for i in range(LANES):
                    square[i] = vload_n(g.b + (j0 + v * LANES + i) * g.ldb + k, depth) if i < n else vzero()
            vtranspose(square)
            for i in range(LANES):
                if i < depth:
                    vstore(panel + (k + i) * NR + v * LANES, square[i])


cdef void gemm_pack(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    cdef GemmShape s = gemm_shape(g)
    cdef Py_ssize_t p, width
    cdef real* panel
    for p in range(thread * s.panels // n_threads, (thread + 1) * s.panels // n_threads):
        width = min(g.N - p * NR, <Py_ssize_t>NR)
        if not s.pack_b and width == NR:
            continue
        panel = g.shared + (p * NR * g.K if s.pack_b else 0)
        if g.trans_b:
            pack_transposed(g, p * NR, width, panel)
        elif width == NR:
            pack_whole(g, p * NR, panel)
        else:
            pack_partial(g, p * NR, width, panel)


# --- phase 2: the tiles -----------------------------------------------------------------------

cdef enum Start:
    FROM_ZERO
    FROM_BIAS
    FROM_C

# One tile: where its operands are, and how its sums start and end.
cdef struct Tile:
    const real* a
    const real* b
    real* c
    const real* bias
    Py_ssize_t lda
    Py_ssize_t ldb
    Py_ssize_t ldc
    Py_ssize_t K
    Py_ssize_t width        # columns of C, at most nv * LANES
    Start start
    real floor              # 0 for relu, -inf for none


cdef inline void tile(Py_ssize_t h, Py_ssize_t nv, bint columns, const Tile* t) noexcept nogil:
    """h x nv vectors of C. Where `columns`, A holds op(A) transposed: element (i, k) at a[k * lda + i]."""
    cdef vf c[MR_NARROW * NV]
    cdef vf b[NV]
    cdef vf x
    cdef const real* rows[4]
    cdef const real* pa = t.a
    cdef const real* pb = t.b
    cdef Py_ssize_t i, j, k
    cdef Py_ssize_t last = t.width - (nv - 1) * LANES
    if t.start == FROM_C:
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = (vload(t.c + i * t.ldc + j * LANES) if j < nv - 1 or last == LANES
                                 else vload_n(t.c + i * t.ldc + j * LANES, last))
    elif t.start == FROM_BIAS:
        for j in range(nv):
            x = vload(t.bias + j * LANES) if j < nv - 1 or last == LANES else vload_n(t.bias + j * LANES, last)
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
        for i in range(h):
            # Rows in groups of three: one pointer each, the others by the address's scale.
            x = vset(pa[i] if columns else rows[i // 3][i % 3 * t.lda])
            for j in range(nv):
                c[i * nv + j] = vfma(x, b[j], c[i * nv + j])
        pb = pb + t.ldb
        if columns:
            pa = pa + t.lda
        else:
            for i in range((h + 2) // 3):
                rows[i] = rows[i] + 1
    cdef vf floor = vset(t.floor)
    for i in range(h):
        for j in range(nv):
            x = vmax(floor, c[i * nv + j])
            if j < nv - 1 or last == LANES:
                vstore(t.c + i * t.ldc + j * LANES, x)
            else:
                vstore_n(t.c + i * t.ldc + j * LANES, x, last)


cdef inline void tile_of_height(Py_ssize_t h, Py_ssize_t nv, bint columns, const Tile* t) noexcept nogil:
    """Each height is code of its own; only narrow tiles are higher than MR."""
    cdef bint narrow = nv <= 2 and MR_NARROW > MR
    if h == 1: tile(1, nv, columns, t)
    elif h == 2: tile(2, nv, columns, t)
    elif h == 3: tile(3, nv, columns, t)
    elif h == 4: tile(4, nv, columns, t)
    elif h == 5: tile(5, nv, columns, t)
    elif h == 6: tile(6, nv, columns, t)
    elif narrow and h == 7: tile(7, nv, columns, t)
    elif narrow and h == 8: tile(8, nv, columns, t)
    elif narrow and h == 9: tile(9, nv, columns, t)
    elif narrow and h == 10: tile(10, nv, columns, t)
    elif narrow and h == 11: tile(11, nv, columns, t)
    elif narrow and h == 12: tile(12, nv, columns, t)


cdef inline void tile_of_width(Py_ssize_t h, bint columns, const Tile* t) noexcept nogil:
    if t.width <= LANES: tile_of_height(h, 1, columns, t)
    elif NV == 2 or t.width <= 2 * LANES: tile_of_height(h, 2, columns, t)
    elif NV > 2 and t.width <= 3 * LANES: tile_of_height(h, 3, columns, t)
    elif NV > 3: tile_of_height(h, 4, columns, t)


cdef void tile_rows(Py_ssize_t h, const Tile* t) noexcept nogil:
    tile_of_width(h, False, t)


cdef void tile_columns(Py_ssize_t h, const Tile* t) noexcept nogil:
    tile_of_width(h, True, t)


cdef void pack_a_transposed(const real* a, Py_ssize_t lda, Py_ssize_t h, Py_ssize_t depth,
                            real* block, Py_ssize_t mr) noexcept nogil:
    """Columns of a transposed A: element (i, k) from a[k * lda + i] to block[k * mr + i]."""
    cdef Py_ssize_t k
    for k in range(depth):
        if h <= LANES:
            vstore_n(block + k * mr, vload_n(a + k * lda, h), h)
        else:
            memcpy(block + k * mr, a + k * lda, h * sizeof(real))


cdef void pack_a_rows(const real* a, Py_ssize_t lda, Py_ssize_t h, Py_ssize_t depth,
                      real* block, Py_ssize_t mr) noexcept nogil:
    """Rows of A: element (i, k) from a[i * lda + k] to block[k * mr + i]."""
    cdef vf square[LANES]
    cdef Py_ssize_t k, i, r, n, m
    for k from 0 <= k < depth by LANES:
        m = min(depth - k, <Py_ssize_t>LANES)
        for i from 0 <= i < h by LANES:
            n = min(h - i, <Py_ssize_t>LANES)
            for r in range(LANES):
                if r >= n:
                    square[r] = vzero()
                elif m == LANES:
                    square[r] = vload(a + (i + r) * lda + k)
                else:
                    square[r] = vload_n(a + (i + r) * lda + k, m)
            vtranspose(square)
            for r in range(LANES):
                if r < m:
                    vstore_n(block + (k + r) * mr + i, square[r], n)


cdef void finish(const GemmArgs* g, real* c, Py_ssize_t i0, Py_ssize_t j0, Py_ssize_t h, Py_ssize_t width) noexcept nogil:
    """What the tile's registers have no code for, on the tile just stored: activation, gate, check."""
    cdef Py_ssize_t i, j
    cdef vf finite = vzero()
    for i in range(h):
        if g.activation > RELU:
            activate(g.activation, g.alpha, c + i * g.ldc, c + i * g.ldc, width)
        if g.gate != NULL:
            activate_backward(g.gate_activation, g.gate_alpha, g.gate + (i0 + i) * g.ldgate + j0,
                              c + i * g.ldc, c + i * g.ldc, width)
        if g.control != NULL:
            for j from 0 <= j < width by LANES:
                finite = vfma(vload_n(c + i * g.ldc + j, min(width - j, <Py_ssize_t>LANES)), vzero(), finite)
    if g.control != NULL and vany(visnan(finite)):
        g.control.status = BAD_GRADIENT


cdef inline Py_ssize_t tile_start(Py_ssize_t t, Py_ssize_t tiles, Py_ssize_t M) noexcept nogil:
    return t * (M // tiles) + min(t, M % tiles)


cdef void gemm_compute(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GemmArgs* g = <const GemmArgs*>args
    cdef GemmShape s = gemm_shape(g)
    cdef Py_ssize_t t_begin = 0, t_end = s.tiles, p_begin = 0, p_end = s.panels
    cdef Py_ssize_t tb, te, t, p, i0, h, k0, depth, step
    cdef bint finishing
    cdef Tile tile
    if s.tiles >= s.panels:
        t_begin = thread * s.tiles // n_threads
        t_end = (thread + 1) * s.tiles // n_threads
    else:
        p_begin = thread * s.panels // n_threads
        p_end = (thread + 1) * s.panels // n_threads
    if t_begin == t_end or p_begin == p_end:
        return
    cdef real* block = <real*>(<char*>g.scratch + thread * g.scratch_stride)
    tile.ldc = g.ldc
    step = MC // s.mr if s.pack_a else t_end - t_begin
    k0 = 0
    while True:
        depth = min(g.K - k0, s.kc)
        finishing = k0 + depth == g.K and (g.activation > RELU or g.gate != NULL or g.control != NULL)
        tile.K = depth
        tile.start = FROM_C if k0 or g.accumulate else (FROM_ZERO if g.bias == NULL else FROM_BIAS)
        tile.floor = <real>0 if k0 + depth == g.K and g.activation == RELU else -<real>INFINITY
        for tb from t_begin <= tb < t_end by step:
            te = min(tb + step, t_end)
            if s.pack_a:
                for t in range(tb, te):
                    i0 = tile_start(t, s.tiles, g.M)
                    h = tile_start(t + 1, s.tiles, g.M) - i0
                    if g.trans_a:
                        pack_a_transposed(g.a + k0 * g.lda + i0, g.lda, h, depth,
                                            block + (t - tb) * s.mr * depth, s.mr)
                    else:
                        pack_a_rows(g.a + i0 * g.lda + k0, g.lda, h, depth,
                                            block + (t - tb) * s.mr * depth, s.mr)
            for p in range(p_begin, p_end):
                tile.width = min(g.N - p * NR, <Py_ssize_t>NR)
                tile.bias = g.bias + p * NR
                if s.pack_b or tile.width < NR:
                    tile.b = g.shared + ((p * g.K if s.pack_b else 0) + k0) * NR
                    tile.ldb = NR
                else:
                    tile.b = g.b + k0 * g.ldb + p * NR
                    tile.ldb = g.ldb
                for t in range(tb, te):
                    i0 = tile_start(t, s.tiles, g.M)
                    h = tile_start(t + 1, s.tiles, g.M) - i0
                    tile.c = g.c + i0 * g.ldc + p * NR
                    if s.pack_a:
                        tile.a = block + (t - tb) * s.mr * depth
                        tile.lda = s.mr
                        tile_columns(h, &tile)
                    elif g.trans_a:
                        tile.a = g.a + k0 * g.lda + i0
                        tile.lda = g.lda
                        tile_columns(h, &tile)
                    else:
                        tile.a = g.a + i0 * g.lda + k0
                        tile.lda = g.lda
                        tile_rows(h, &tile)
                    if finishing:
                        finish(g, tile.c, i0, p * NR, h, tile.width)
        k0 += depth
        if k0 >= g.K:
            break
