# Winograd's convolution with stride 1, forward and input gradient: tiles of m x m results with R x R kernels, t = m + R - 1.
#
#   U = G w G^T      V = B^T x B^T'      M_e[tile, k] = sum over c of V_e[tile, c] U_e[c, k]      y = A^T M A
#
# The legend of conv.pxi; and     m  results of a tile, in each direction       t  points of a tile
# e          one of the t^2 points, each a product of matrices      TILES  tiles that are computed together
#
# Algorithm: F(4x4, 3x3) needs 36 multiply-adds where the direct sum needs 144, F(2x2, 3x3) 16 of 36, F(4x4, 5x5) 64 of 400,
# F(2x2, 5x5) 36 of 100 (Lavin & Gray 2016). Phase 1 transforms the weights, into panels of NR filters for each e. In phase 2 a thread
# takes blocks of TILES tiles: transforms their inputs, multiplies them with one group of panels after the other,
# and transforms the products back, while all of it stays in L2. Vectors are over channels and filters; a tile reads
# its pixels through pointers, those outside of the image from a row of zeros. The input gradient is the same
# convolution of dy with the kernel turned by 180 degrees and channels and filters exchanged.
#
# Order of summation: of the transforms as written in conv_winograd_transform.pxi, of the products c ascending; a tile's results
# do not depend on the tiles beside it. A NaN or Inf in x reaches all m x m results of the tiles that read it.
#
# Error, relative to the size of the result, with 64 channels in float32 (rms): F(2x2, 3x3) 3e-7, F(4x4, 3x3) 8e-7,
# F(2x2, 5x5) 9e-7, F(4x4, 5x5) 3e-6; a direct sum has 4e-7.
#
# Shared: the transformed weights. Scratch: V, and M of one group of panels.

cdef enum:
    TILES = 24
    MATRIX_APART = 64       # bytes between two matrices, so that the same element of all does not fall on one set of a cache
    GROUP_COLUMNS = 64      # filters whose products are computed before they are transformed back, at least NR

# Of either direction: x, H, W, C are what is read (dy and its sizes for the input gradient), y, P, Q, K what is written.
cdef struct ConvWinogradArgs:
    const real* x
    const real* w
    const real* bias
    const real* gate
    real* y
    real* scratch
    real* shared
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C            # depth of the products
    Py_ssize_t P
    Py_ssize_t Q
    Py_ssize_t K            # columns of the products
    Py_ssize_t R
    Py_ssize_t ph           # of the forward convolution, always
    Py_ssize_t pw
    Py_ssize_t m
    Py_ssize_t activation
    Py_ssize_t gate_activation
    Py_ssize_t scratch_stride
    double alpha
    double gate_alpha

# What follows from them.
cdef struct Winograd:
    const ConvWinogradArgs* args
    bint turned             # the weights are [R, R, K, C], and turned
    Py_ssize_t t
    Py_ssize_t ph           # of what is read
    Py_ssize_t pw
    Py_ssize_t down         # tiles of an image
    Py_ssize_t across
    Py_ssize_t tiles
    Py_ssize_t ldv          # elements from tile to tile, and from matrix to matrix
    Py_ssize_t v_matrix
    Py_ssize_t group        # columns
    Py_ssize_t m_matrix
    Py_ssize_t u_matrix


cdef Winograd winograd_of(const void* args, bint turned) noexcept nogil:
    cdef const ConvWinogradArgs* a = <const ConvWinogradArgs*>args
    cdef Py_ssize_t apart = MATRIX_APART // sizeof(real)
    cdef Winograd g
    g.args, g.turned = a, turned
    g.t = a.m + a.R - 1
    g.ph = a.R - 1 - a.ph if turned else a.ph
    g.pw = a.R - 1 - a.pw if turned else a.pw
    g.down = (a.P + a.m - 1) // a.m
    g.across = (a.Q + a.m - 1) // a.m
    g.tiles = a.N * g.down * g.across
    g.ldv = whole_vectors(a.C)
    g.v_matrix = TILES * g.ldv + apart
    g.group = min(max(<Py_ssize_t>NR, <Py_ssize_t>GROUP_COLUMNS), whole_vectors(a.K))
    g.m_matrix = TILES * g.group + apart
    g.u_matrix = a.C * whole_vectors(a.K) + apart
    return g


# --- weights ------------------------------------------------------------------------------------------

cdef inline void transform_kernel(Py_ssize_t t, Py_ssize_t r, const vf* w, Py_ssize_t ldw, real* u, Py_ssize_t ldu) noexcept nogil:
    """U = G w G^T for a vector of channels or filters: w in vectors ldw apart, row by row; U's points ldu elements apart."""
    cdef vf half[MOST_POINTS * 5]
    cdef vf row[MOST_POINTS]
    cdef Py_ssize_t i, j
    for j in range(r):
        kernel_points(t, r, w + j * ldw, r * ldw, half + j, r)
    for i in range(t):
        kernel_points(t, r, half + i * r, 1, row, 1)
        for j in range(t):
            vstore(u + (i * t + j) * ldu, row[j])


cdef inline real* panel_row(const Winograd* g, Py_ssize_t e, Py_ssize_t c, Py_ssize_t k) noexcept nogil:
    """Where U_e[c, k] lies: panels of NR columns one after the other, the last one as wide as its whole vectors."""
    cdef Py_ssize_t first = k // NR * NR
    cdef Py_ssize_t width = min(<Py_ssize_t>NR, whole_vectors(g.args.K) - first)
    return g.args.shared + e * g.u_matrix + first * g.args.C + c * width + (k - first)


cdef inline void weights_of_rows(Py_ssize_t t, Py_ssize_t r, const Winograd* g, Py_ssize_t c0, Py_ssize_t c1) noexcept nogil:
    cdef const ConvWinogradArgs* a = g.args
    cdef vf w[25]
    cdef Py_ssize_t c, k, i
    for c in range(c0, c1):
        for k from 0 <= k < a.K by LANES:
            for i in range(r * r):
                w[i] = vload_upto(a.w + (i * a.C + c) * a.K + k, a.K - k)
            transform_kernel(t, r, w, 1, panel_row(g, 0, c, k), g.u_matrix)


cdef inline void turned_weights_of_rows(Py_ssize_t t, Py_ssize_t r, const Winograd* g, Py_ssize_t c0,
                                        Py_ssize_t c1) noexcept nogil:
    """Of weights [r, r, K, C], a square of LANES filters by LANES channels at a time."""
    cdef const ConvWinogradArgs* a = g.args
    cdef vf w[25 * LANES]
    cdef Py_ssize_t c, k, i, j, n
    for c from c0 <= c < c1 by LANES:
        n = min(<Py_ssize_t>LANES, c1 - c)
        for k from 0 <= k < a.K by LANES:
            for i in range(r * r):
                for j in range(LANES):
                    w[i * LANES + j] = vzero()
                    if j < a.K - k:
                        w[i * LANES + j] = vload_upto(a.w + ((r * r - 1 - i) * a.K + k + j) * a.C + c, n)
                vtranspose(w + i * LANES)
            for j in range(n):
                transform_kernel(t, r, w + j, LANES, panel_row(g, 0, c + j, k), g.u_matrix)


cdef void transform_weights(const Winograd* g, int thread, int n_threads) noexcept nogil:
    """Whole vectors of c for each thread."""
    cdef Py_ssize_t parts = (g.args.C + LANES - 1) // LANES
    cdef Py_ssize_t c0 = thread * parts // n_threads * LANES
    cdef Py_ssize_t c1 = min((thread + 1) * parts // n_threads * LANES, g.args.C)
    if g.turned:
        if g.t == 4: turned_weights_of_rows(4, 3, g, c0, c1)
        elif g.t == 8: turned_weights_of_rows(8, 5, g, c0, c1)
        elif g.args.m == 4: turned_weights_of_rows(6, 3, g, c0, c1)
        else: turned_weights_of_rows(6, 5, g, c0, c1)
    else:
        if g.t == 4: weights_of_rows(4, 3, g, c0, c1)
        elif g.t == 8: weights_of_rows(8, 5, g, c0, c1)
        elif g.args.m == 4: weights_of_rows(6, 3, g, c0, c1)
        else: weights_of_rows(6, 5, g, c0, c1)


# --- inputs --------------------------------------------------------------------------------------------

cdef inline void transform_input(Py_ssize_t t, const real** pixels, Py_ssize_t c, Py_ssize_t n, Py_ssize_t i0, Py_ssize_t i1,
                                 real* v, Py_ssize_t ldv) noexcept nogil:
    """Rows i0 .. i1 of V = B^T x B^T', of n channels from c on; V's points ldv elements apart."""
    cdef vf half[MOST_POINTS * MOST_POINTS]
    cdef vf column[MOST_POINTS]
    cdef Py_ssize_t i, j
    for j in range(t):
        for i in range(t):
            column[i] = vload_upto(pixels[i * t + j] + c, n)
        input_points(t, column, 1, half + j, t)
    for i in range(i0, i1):
        input_points(t, half + i * t, 1, column, 1)
        for j in range(t):
            vstore(v + (i * t + j) * ldv, column[j])


cdef inline void point_at_pixels(Py_ssize_t t, const real* image, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t y0, Py_ssize_t x0,
                                 const real* zeros, const real** pixels) noexcept nogil:
    """Pointers to the t x t pixels from (y0, x0) on; to zeros outside of the image."""
    cdef Py_ssize_t i, j
    cdef const real* row
    for i in range(t):
        row = image + ((y0 + i) * W + x0) * C
        for j in range(t):
            if 0 <= y0 + i < H and 0 <= x0 + j < W:
                pixels[i * t + j] = row + j * C
            else:
                pixels[i * t + j] = zeros


cdef inline void inputs_of_tiles(Py_ssize_t t, Py_ssize_t m, const Winograd* g, Py_ssize_t first, Py_ssize_t n, real* v,
                                 const real* zeros) noexcept nogil:
    cdef const ConvWinogradArgs* a = g.args
    cdef const real* pixels[MOST_POINTS * MOST_POINTS]
    cdef Py_ssize_t i, tile, image, c
    for i in range(n):
        image = (first + i) // (g.down * g.across)
        tile = (first + i) % (g.down * g.across)
        point_at_pixels(t, a.x + image * a.H * a.W * a.C, a.H, a.W, a.C, tile // g.across * m - g.ph, tile % g.across * m - g.pw,
                        zeros, pixels)
        for c from 0 <= c <= a.C - LANES by LANES:
            transform_input(t, pixels, c, LANES, 0, t, v + i * g.ldv + c, g.v_matrix)
        c = a.C // LANES * LANES
        if c < a.C:
            transform_input(t, pixels, c, a.C - c, 0, t, v + i * g.ldv + c, g.v_matrix)


# --- products --------------------------------------------------------------------------------------------

cdef inline void point_tiles(Py_ssize_t h, Py_ssize_t nv, Py_ssize_t strips, const real* v, Py_ssize_t ldv, const real* u, Py_ssize_t depth,
                             real* m, Py_ssize_t ldm) noexcept nogil:
    """M = V U for strips of h tiles and nv vectors of filters. (The loop over the strips keeps sums in registers.)"""
    cdef vf c[MR_NARROW * NV]
    cdef vf b[NV]
    cdef vf x
    cdef const real* rows[4]
    cdef const real* pu
    cdef Py_ssize_t strip_number, i, j, k
    for strip_number in range(strips):
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = vzero()
        for i in range(4):
            rows[i] = v + i * 3 * ldv
        pu = u
        for k in range(depth):
            for j in range(nv):
                b[j] = vload(pu + j * LANES)
            pu += nv * LANES
            for i in range(h):
                # Rows in groups of three: one pointer each, the others by the address's scale.
                x = vset(rows[i // 3][i % 3 * ldv])
                for j in range(nv):
                    c[i * nv + j] = vfma(x, b[j], c[i * nv + j])
            for i in range((h + 2) // 3):
                rows[i] += 1
        for i in range(h):
            for j in range(nv):
                vstore(m + i * ldm + j * LANES, c[i * nv + j])
        v += h * ldv
        m += h * ldm


cdef inline void point_tiles_of_width(Py_ssize_t nv, Py_ssize_t h, Py_ssize_t strips, const real* v, Py_ssize_t ldv, const real* u,
                                      Py_ssize_t depth, real* m, Py_ssize_t ldm) noexcept nogil:
    cdef bint narrow = nv <= 2 and MR_NARROW > MR
    if h == 1: point_tiles(1, nv, strips, v, ldv, u, depth, m, ldm)
    elif h == 2: point_tiles(2, nv, strips, v, ldv, u, depth, m, ldm)
    elif h == 3: point_tiles(3, nv, strips, v, ldv, u, depth, m, ldm)
    elif h == 4: point_tiles(4, nv, strips, v, ldv, u, depth, m, ldm)
    elif h == 5: point_tiles(5, nv, strips, v, ldv, u, depth, m, ldm)
    elif h == 6: point_tiles(6, nv, strips, v, ldv, u, depth, m, ldm)
    elif narrow and h == 7: point_tiles(7, nv, strips, v, ldv, u, depth, m, ldm)
    elif narrow and h == 8: point_tiles(8, nv, strips, v, ldv, u, depth, m, ldm)
    elif narrow and h == 9: point_tiles(9, nv, strips, v, ldv, u, depth, m, ldm)
    elif narrow and h == 10: point_tiles(10, nv, strips, v, ldv, u, depth, m, ldm)
    elif narrow and h == 11: point_tiles(11, nv, strips, v, ldv, u, depth, m, ldm)
    elif narrow and h == 12: point_tiles(12, nv, strips, v, ldv, u, depth, m, ldm)


cdef void point_product(Py_ssize_t h, Py_ssize_t width, Py_ssize_t strips, const real* v, Py_ssize_t ldv, const real* u,
                        Py_ssize_t depth, real* m, Py_ssize_t ldm) noexcept nogil:
    if width <= LANES: point_tiles_of_width(1, h, strips, v, ldv, u, depth, m, ldm)
    elif NV == 2 or width <= 2 * LANES: point_tiles_of_width(2, h, strips, v, ldv, u, depth, m, ldm)
    elif NV > 2 and width <= 3 * LANES: point_tiles_of_width(3, h, strips, v, ldv, u, depth, m, ldm)
    elif NV > 3: point_tiles_of_width(4, h, strips, v, ldv, u, depth, m, ldm)


cdef void multiply(const Winograd* g, const real* v, real* products, Py_ssize_t n, Py_ssize_t k0, Py_ssize_t width) noexcept nogil:
    """M_e = V_e U_e for n tiles and `width` columns from k0 on, whole vectors."""
    cdef Py_ssize_t e, k, part, strips, h, higher
    cdef const real* a
    cdef const real* u
    cdef real* m
    for e in range(g.t * g.t):
        for k from 0 <= k < width by NR:
            part = min(<Py_ssize_t>NR, width - k)
            strips = MR_NARROW if part <= 2 * LANES else MR
            strips = (n + strips - 1) // strips
            h, higher = n // strips, n % strips         # the first strips are one tile higher
            a, u, m = v + e * g.v_matrix, panel_row(g, e, 0, k0 + k), products + e * g.m_matrix + k
            if higher:
                point_product(h + 1, part, higher, a, g.ldv, u, g.args.C, m, g.group)
            a += higher * (h + 1) * g.ldv
            m += higher * (h + 1) * g.group
            point_product(h, part, strips - higher, a, g.ldv, u, g.args.C, m, g.group)


# --- results ------------------------------------------------------------------------------------------

cdef inline void transform_output(Py_ssize_t t, Py_ssize_t m, const Winograd* g, const real* products, Py_ssize_t k, Py_ssize_t lanes,
                                  Py_ssize_t image, Py_ssize_t y0, Py_ssize_t x0) noexcept nogil:
    """y = A^T M A of one tile and a vector of filters, with bias, relu and its slope, where they lie in the image."""
    cdef const ConvWinogradArgs* a = g.args
    cdef vf half[MOST_POINTS * MOST_POINTS]
    cdef vf column[MOST_POINTS]
    cdef vf bias = vload_upto(a.bias + k, lanes) if a.bias != NULL else vzero()
    cdef vf floor = vset(<real>0 if a.activation == RELU else -<real>INFINITY)
    cdef vf value
    cdef Py_ssize_t i, j, at
    for j in range(t):
        for i in range(t):
            column[i] = vload(products + (i * t + j) * g.m_matrix)
        output_values(t, m, column, 1, half + j, t)
    for i in range(m):
        if y0 + i >= a.P:
            break
        output_values(t, m, half + i * t, 1, column, 1)
        for j in range(m):
            if x0 + j >= a.Q:
                break
            at = ((image * a.P + y0 + i) * a.Q + x0 + j) * a.K + k
            value = vmax(floor, column[j] + bias)
            if a.gate != NULL and a.gate_activation == RELU:
                value = vselect(vle(vload_upto(a.gate + at, lanes), vzero()), vzero(), value)
            vstore_upto(a.y + at, value, lanes)


cdef void finish_tile(const Winograd* g, Py_ssize_t k, Py_ssize_t width, Py_ssize_t image, Py_ssize_t y0, Py_ssize_t x0) noexcept nogil:
    """The activation, or the slope of one, that registers have no code for, on what was stored."""
    cdef const ConvWinogradArgs* a = g.args
    cdef Py_ssize_t i, j, at
    for i in range(y0, min(y0 + a.m, a.P)):
        for j in range(x0, min(x0 + a.m, a.Q)):
            at = ((image * a.P + i) * a.Q + j) * a.K + k
            if a.activation > RELU:
                activate(a.activation, a.alpha, a.y + at, a.y + at, width)
            if a.gate != NULL and a.gate_activation != RELU:
                activate_backward(a.gate_activation, a.gate_alpha, a.gate + at, a.y + at, a.y + at, width)


cdef inline void outputs_of_tiles(Py_ssize_t t, Py_ssize_t m, const Winograd* g, Py_ssize_t first, Py_ssize_t n, const real* products,
                                  Py_ssize_t k0, Py_ssize_t width) noexcept nogil:
    cdef const ConvWinogradArgs* a = g.args
    cdef Py_ssize_t i, k, tile, image, y0, x0
    cdef bint finishing = a.activation > RELU or (a.gate != NULL and a.gate_activation != RELU)
    for i in range(n):
        image = (first + i) // (g.down * g.across)
        tile = (first + i) % (g.down * g.across)
        y0, x0 = tile // g.across * m, tile % g.across * m
        for k from 0 <= k <= width - LANES by LANES:
            transform_output(t, m, g, products + i * g.group + k, k0 + k, LANES, image, y0, x0)
        k = width // LANES * LANES
        if k < width:
            transform_output(t, m, g, products + i * g.group + k, k0 + k, width - k, image, y0, x0)
        if finishing:
            finish_tile(g, k0, width, image, y0, x0)


# --- kernels --------------------------------------------------------------------------------------------

cdef inline void compute_block(Py_ssize_t t, Py_ssize_t m, const Winograd* g, Py_ssize_t first, Py_ssize_t n, real* scratch) noexcept nogil:
    """n tiles from `first` on."""
    cdef real* v = scratch
    cdef real* products = v + t * t * g.v_matrix
    cdef real* zeros = products + t * t * g.m_matrix
    cdef Py_ssize_t k, width
    inputs_of_tiles(t, m, g, first, n, v, zeros)
    for k from 0 <= k < g.args.K by g.group:
        width = min(g.group, g.args.K - k)
        multiply(g, v, products, n, k, whole_vectors(width))
        outputs_of_tiles(t, m, g, first, n, products, k, width)


cdef void compute_tiles(const Winograd* g, int thread, int n_threads) noexcept nogil:
    cdef real* scratch = <real*>(<char*>g.args.scratch + thread * g.args.scratch_stride)
    cdef Py_ssize_t blocks = (g.tiles + TILES - 1) // TILES
    cdef Py_ssize_t block, first, n
    memset(scratch + g.t * g.t * (g.v_matrix + g.m_matrix), 0, g.ldv * sizeof(real))
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        first = block * g.tiles // blocks
        n = (block + 1) * g.tiles // blocks - first
        if g.t == 4: compute_block(4, 2, g, first, n, scratch)
        elif g.t == 8: compute_block(8, 4, g, first, n, scratch)
        elif g.args.m == 4: compute_block(6, 4, g, first, n, scratch)
        else: compute_block(6, 2, g, first, n, scratch)


cdef Py_ssize_t conv_winograd_shared(const void* args) noexcept nogil:
    cdef Winograd g = winograd_of(args, False)
    return g.t * g.t * g.u_matrix * sizeof(real)


cdef Py_ssize_t conv_winograd_scratch(const void* args) noexcept nogil:
    """V, M, and a row of zeros."""
    cdef Winograd g = winograd_of(args, False)
    return (g.t * g.t * (g.v_matrix + g.m_matrix) + g.ldv) * sizeof(real)


cdef void conv_winograd_begin(const void* args, int thread, int n_threads) noexcept nogil:
    cdef Winograd g = winograd_of(args, False)
    transform_weights(&g, thread, n_threads)


cdef void conv_winograd(const void* args, int thread, int n_threads) noexcept nogil:
    cdef Winograd g = winograd_of(args, False)
    compute_tiles(&g, thread, n_threads)


cdef void conv_winograd_data_begin(const void* args, int thread, int n_threads) noexcept nogil:
    cdef Winograd g = winograd_of(args, True)
    transform_weights(&g, thread, n_threads)


cdef void conv_winograd_data(const void* args, int thread, int n_threads) noexcept nogil:
    cdef Winograd g = winograd_of(args, True)
    compute_tiles(&g, thread, n_threads)
