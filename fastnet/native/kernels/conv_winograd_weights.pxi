# Winograd's convolution with stride 1: the gradient of the weights.
#
#   V = B^T x B^T'      D = G dy G^T      S_e[c, k] = sum over tiles of V_e[tile, c] D_e[tile, k]      dw = A^T S A
#
# The legends of conv.pxi and conv_winograd.pxi. A tile of m x m values of dy is the kernel here, that of R x R weights the
# result: F(3x3, 4x4) beside the forward pass' F(4x4, 3x3), with the same points and the same B^T.
#
# Algorithm: tiles in chunks that stay in L2; each chunk is transformed, and its t^2 products are added to the sums S_e. The
# tiles are halved, and each half has sums of its own, where these are small: an even number of threads takes a half each.
# The threads of a half divide the rows of points of a tile, then blocks of channels. Phase 2 transforms the sums.
#
# Order of summation: tiles ascending, then the halves: by the shape alone.
#
# Shared: S of each half, and the sums of dy. Scratch: V and D of a chunk, and the copy of a tile.

cdef enum:
    LEAST_CHUNK = 24        # tiles
    MOST_CHUNK = 96
    HALVES_BYTES = 4 << 20  # of the sums of both halves
    SUMS_IN_L2 = 1 << 20    # beyond it a strip's sums are fetched before it

cdef struct ConvWinogradWeightsArgs:
    const real* x
    const real* dy
    real* dw
    real* dbias
    Control* control
    real* scratch
    real* shared
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C
    Py_ssize_t P
    Py_ssize_t Q
    Py_ssize_t K
    Py_ssize_t R
    Py_ssize_t ph
    Py_ssize_t pw
    Py_ssize_t m
    Py_ssize_t accumulate
    Py_ssize_t accumulate_bias
    Py_ssize_t scratch_stride

# What follows from them.
cdef struct WinogradWeights:
    const ConvWinogradWeightsArgs* args
    Py_ssize_t t
    Py_ssize_t down         # tiles of an image
    Py_ssize_t across
    Py_ssize_t tiles
    Py_ssize_t halves       # 1 or 2
    Py_ssize_t chunk        # tiles
    Py_ssize_t ldv          # elements from tile to tile
    Py_ssize_t ldd
    Py_ssize_t v_matrix     # from matrix to matrix
    Py_ssize_t d_matrix
    Py_ssize_t s_matrix
    Py_ssize_t half_sums    # from half to half: S, and the sums of dy

# What a thread works on: rows i0 .. i1 of each tile's points, channels c0 .. c1.
cdef struct WeightsShare:
    Py_ssize_t i0
    Py_ssize_t i1
    Py_ssize_t c0
    Py_ssize_t c1
    bint sums_bias


cdef WinogradWeights winograd_weights_of(const void* args) noexcept nogil:
    cdef const ConvWinogradWeightsArgs* a = <const ConvWinogradWeightsArgs*>args
    cdef Py_ssize_t apart = MATRIX_APART // sizeof(real)
    cdef WinogradWeights g
    g.args = a
    g.t = a.m + a.R - 1
    g.down = (a.P + a.m - 1) // a.m
    g.across = (a.Q + a.m - 1) // a.m
    g.tiles = a.N * g.down * g.across
    g.ldv, g.ldd = whole_vectors(a.C), whole_vectors(a.K)
    g.chunk = PACKED_BYTES // (g.t * g.t * (g.ldv + g.ldd) * <Py_ssize_t>sizeof(real)) // 8 * 8
    g.chunk = min(max(g.chunk, <Py_ssize_t>LEAST_CHUNK), <Py_ssize_t>MOST_CHUNK)
    g.v_matrix = g.chunk * g.ldv + apart
    g.d_matrix = g.chunk * g.ldd + apart
    g.s_matrix = a.C * g.ldd + apart
    g.half_sums = g.t * g.t * g.s_matrix + g.ldd
    g.halves = 2 if 2 * g.half_sums * <Py_ssize_t>sizeof(real) <= HALVES_BYTES and g.tiles >= 4 * LEAST_CHUNK else 1
    return g


cdef Py_ssize_t conv_winograd_weights_shared(const void* args) noexcept nogil:
    cdef WinogradWeights g = winograd_weights_of(args)
    return g.halves * g.half_sums * sizeof(real)


cdef Py_ssize_t conv_winograd_weights_scratch(const void* args) noexcept nogil:
    cdef WinogradWeights g = winograd_weights_of(args)
    return g.t * g.t * (g.v_matrix + g.d_matrix + max(g.args.C, g.args.K)) * sizeof(real)


# --- a chunk -----------------------------------------------------------------------------------------------

cdef inline vf sum_of_tile(Py_ssize_t m, const real* dy, Py_ssize_t row, Py_ssize_t K, Py_ssize_t n) noexcept nogil:
    cdef vf total = vzero()
    cdef Py_ssize_t i, j
    for i in range(m):
        for j in range(m):
            total = total + vload_upto(dy + i * row + j * K, n)
    return total


cdef void transform_chunk(Py_ssize_t t, Py_ssize_t m, const WinogradWeights* g, const WeightsShare* share, Py_ssize_t first,
                          Py_ssize_t n, real* v, real* d, real* copy, real* sums) noexcept nogil:
    """V and D of n tiles; the sums of dy are added to `sums`, if there are."""
    cdef const ConvWinogradWeightsArgs* a = g.args
    cdef TilePixels tile
    cdef Py_ssize_t i, at, image, y0, x0, c
    for i in range(n):
        image = (first + i) // (g.down * g.across)
        at = (first + i) % (g.down * g.across)
        y0, x0 = at // g.across * m, at % g.across * m
        tile = pixels_at(t, a.x + image * a.H * a.W * a.C, a.H, a.W, a.C, y0 - a.ph, x0 - a.pw, copy)
        transform_pixels(t, t, &tile, a.C, share.c0, min(share.c1, a.C), share.i0, share.i1, v + i * g.ldv, g.v_matrix)
        tile = pixels_at(m, a.dy + image * a.P * a.Q * a.K, a.P, a.Q, a.K, y0, x0, copy)
        transform_pixels(t, m, &tile, a.K, 0, a.K, share.i0, share.i1, d + i * g.ldd, g.d_matrix)
        if sums != NULL:
            for c from 0 <= c < a.K by LANES:
                vstore(sums + c, vload(sums + c) + sum_of_tile(m, tile.corner + c, tile.row, a.K, a.K - c))


cdef void add_products(const WinogradWeights* g, const WeightsShare* share, Py_ssize_t n, bint first, const real* v, const real* d,
                       real* sums) noexcept nogil:
    """S_e += V_e^T D_e, of n tiles."""
    cdef Strip s
    cdef Py_ssize_t e, c, strips, i, j, h, rows, edge = g.ldd // NR * NR
    cdef bint fetching = g.half_sums * <Py_ssize_t>sizeof(real) > SUMS_IN_L2
    s.bias = NULL
    s.copy = NULL
    s.lda, s.ldb, s.ldc = g.ldv, g.ldd, g.ldd
    s.K, s.start, s.check, s.bad = n, FROM_ZERO if first else FROM_C, False, False
    s.floor = -<real>INFINITY
    s.width = LANES
    s.b_step = NR
    rows = min(share.c1, g.args.C) - share.c0
    strips = MR_NARROW if g.ldd <= LANES else MR
    strips = (rows + strips - 1) // strips
    for e in range(share.i0 * g.t, share.i1 * g.t):
        c = share.c0
        for i in range(strips):
            h = rows // strips + (i < rows % strips)
            s.a = v + e * g.v_matrix + c
            s.b = d + e * g.d_matrix
            s.c = sums + e * g.s_matrix + c * g.ldd
            s.panels = edge // NR
            if fetching:
                for j in range(h):
                    prefetch_elements(s.c + j * g.ldd, g.ldd)
            if edge:
                strip_along_columns(h, NR, &s)
            if g.ldd > edge:
                s.b += edge
                s.c += edge
                s.panels = 1
                strip_along_columns(h, g.ldd - edge, &s)
            c += h


# --- phase 1: the sums ---------------------------------------------------------------------------------------

cdef void sum_chunks(const WinogradWeights* g, const WeightsShare* share, Py_ssize_t first, Py_ssize_t n, real* scratch,
                     real* sums) noexcept nogil:
    """S, and the sums of dy behind it, of n tiles from `first` on."""
    cdef Py_ssize_t t = g.t, m = g.args.m
    cdef real* v = scratch
    cdef real* d = v + t * t * g.v_matrix
    cdef real* copy = d + t * t * g.d_matrix
    cdef real* bias_sums = sums + t * t * g.s_matrix
    cdef Py_ssize_t chunks = (n + g.chunk - 1) // g.chunk
    cdef Py_ssize_t chunk, at, count
    if share.sums_bias:
        memset(bias_sums, 0, g.ldd * sizeof(real))
    for chunk in range(chunks):
        at = chunk * n // chunks
        count = (chunk + 1) * n // chunks - at
        transform_chunk(t, m, g, share, first + at, count, v, d, copy, bias_sums if share.sums_bias else NULL)
        add_products(g, share, count, chunk == 0, v, d, sums)


cdef void conv_winograd_weights(const void* args, int thread, int n_threads) noexcept nogil:
    cdef WinogradWeights g = winograd_weights_of(args)
    cdef real* scratch = <real*>(<char*>g.args.scratch + thread * g.args.scratch_stride)
    cdef real* sums
    cdef WeightsShare share
    cdef HalfTeam team = team_of_halves(g.halves, thread, n_threads)
    cdef int member = team.member
    cdef int down = min(team.beside, <int>g.t)
    cdef int across = team.beside // down
    cdef Py_ssize_t vectors = g.ldv // LANES
    cdef Py_ssize_t half, first, n
    if member >= down * across:
        return
    share.i0 = member % down * g.t // down
    share.i1 = (member % down + 1) * g.t // down
    share.c0 = member // down * vectors // across * LANES
    share.c1 = (member // down + 1) * vectors // across * LANES
    share.sums_bias = g.args.dbias != NULL and member == 0
    if share.c0 == share.c1:
        return
    for half in range(g.halves):
        if team.apart and half != team.half:
            continue
        first = half * g.tiles // g.halves
        n = (half + 1) * g.tiles // g.halves - first
        sums = g.args.shared + half * g.half_sums
        sum_chunks(&g, &share, first, n, scratch, sums)


# --- phase 2: the weights --------------------------------------------------------------------------------------

cdef inline vf of_halves(const WinogradWeights* g, Py_ssize_t at) noexcept nogil:
    cdef vf x = vload(g.args.shared + at)
    return x + vload(g.args.shared + g.half_sums + at) if g.halves == 2 else x


cdef inline void weights_of_sums(Py_ssize_t t, Py_ssize_t r, const WinogradWeights* g, Py_ssize_t c, Py_ssize_t k,
                                 vf* infinite) noexcept nogil:
    """dw = A^T S A of one channel and a vector of filters."""
    cdef const ConvWinogradWeightsArgs* a = g.args
    cdef vf half[MOST_POINTS * 5]
    cdef vf column[MOST_POINTS]
    cdef vf values[5]
    cdef Py_ssize_t i, j
    for j in range(t):
        for i in range(t):
            column[i] = of_halves(g, (i * t + j) * g.s_matrix + c * g.ldd + k)
        output_values(t, r, column, values)
        for i in range(r):
            half[i * t + j] = values[i]
    for i in range(r):
        output_values(t, r, half + i * t, column)
        for j in range(r):
            write_sum(a.dw + ((i * r + j) * a.C + c) * a.K + k, column[j], a.K - k, a.accumulate, infinite)


cdef void conv_winograd_weights_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef WinogradWeights g = winograd_weights_of(args)
    cdef const ConvWinogradWeightsArgs* a = g.args
    cdef Py_ssize_t c, k
    cdef vf infinite = vzero()
    for c in range(thread * a.C // n_threads, (thread + 1) * a.C // n_threads):
        for k from 0 <= k < a.K by LANES:
            if g.t == 4: weights_of_sums(4, 3, &g, c, k, &infinite)
            elif g.t == 8: weights_of_sums(8, 5, &g, c, k, &infinite)
            elif a.m == 4: weights_of_sums(6, 3, &g, c, k, &infinite)
            else: weights_of_sums(6, 5, &g, c, k, &infinite)
    if a.dbias != NULL and thread == 0:
        for k from 0 <= k < a.K by LANES:
            write_sum(a.dbias + k, of_halves(&g, g.t * g.t * g.s_matrix + k), a.K - k, a.accumulate_bias, &infinite)
    if a.control != NULL and vany(visnan(infinite)):
        report(a.control, BAD_GRADIENT)
