# Winograd's convolution with stride 1, forward and input gradient: tiles of m x m results with R x R kernels, t = m + R - 1.
#
#   U = G w G^T      V = B^T x B^T'      M_e[tile, k] = sum over c of V_e[tile, c] U_e[c, k]      y = A^T M A
#
# The legend of conv.pxi; and     m  results of a tile, in each direction       t  points of a tile
# e          one of the t^2 points, each a product of matrices      TILES  tiles that are computed together
#
# Algorithm: F(4x4, 3x3) needs 36 multiply-adds where the direct sum needs 144, F(2x2, 3x3) 16 of 36, F(4x4, 5x5) 64 of 400,
# F(2x2, 5x5) 36 of 100 (Lavin & Gray 2016). Phase 1 transforms the weights, into panels of filters for each e. In phase 2 a thread
# takes blocks of TILES tiles: transforms their inputs, multiplies them with one group of panels after the other,
# and transforms the products back, while all of it stays in L2. Vectors are over channels and filters; a tile that
# reaches over an edge of the image is copied, with zeros. The input gradient is the same
# convolution of dy with the kernel turned by 180 degrees and channels and filters exchanged.
#
# With few tiles and weights each thread transforms the weights that it multiplies with, because what another core has written takes longer
# to read than to compute. With fewer blocks of tiles than threads they divide the filters, and all of them transform all inputs.
#
# Order of summation: of the transforms as written in conv_winograd_transform.pxi, of the products c ascending; a tile's results
# do not depend on the tiles beside it. A NaN or Inf in x reaches all m x m results of the tiles that read it.
#
# Error, relative to the size of the result, with 64 channels in float32 (rms): F(2x2, 3x3) 3e-7, F(4x4, 3x3) 8e-7,
# F(2x2, 5x5) 9e-7, F(4x4, 5x5) 3e-6; a direct sum has 4e-7.
#
# Shared: the transformed weights. Scratch: V, and M of one group of panels; with few tiles the transformed weights.

cdef enum:
    TILES = 24
    MATRIX_APART = 64       # bytes between two matrices, so that the same element of all does not fall on one set of a cache
    FEW_BLOCKS = 8          # below it, and with few weights, each thread transforms all that it needs
    FEW_WEIGHTS = 4096      # for each tap
    GROUP_COLUMNS = 64      # filters whose products are computed before they are transformed back, at least NR

# Of either direction: x, H, W, C are what is read (dy and its sizes for the input gradient), y, P, Q, K what is written.
cdef struct ConvWinogradArgs:
    const real* x
    const real* w
    const real* bias
    const real* added
    const real* gate
    real* y
    real* statistics
    const real* statistics_x
    const real* statistics_mean
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
    Py_ssize_t parts
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
    Py_ssize_t blocks
    bint own_weights        # each thread transforms what it needs for itself
    bint by_columns         # threads divide the panels, not the blocks
    real* u                 # transformed weights
    Py_ssize_t ldv          # elements from tile to tile, and from matrix to matrix
    Py_ssize_t v_matrix
    Py_ssize_t panel        # columns
    Py_ssize_t group
    Py_ssize_t m_matrix
    Py_ssize_t u_matrix


cdef Winograd winograd_of(const void* args, bint turned, int n_threads) noexcept nogil:
    cdef const ConvWinogradArgs* a = <const ConvWinogradArgs*>args
    cdef Py_ssize_t apart = MATRIX_APART // sizeof(real)
    cdef Winograd g
    g.args, g.turned, g.u = a, turned, NULL
    g.t = a.m + a.R - 1
    g.ph = a.R - 1 - a.ph if turned else a.ph
    g.pw = a.R - 1 - a.pw if turned else a.pw
    g.down = (a.P + a.m - 1) // a.m
    g.across = (a.Q + a.m - 1) // a.m
    g.tiles = a.N * g.down * g.across
    g.ldv = whole_vectors(a.C)
    g.v_matrix = TILES * g.ldv + apart
    g.blocks = (g.tiles + TILES - 1) // TILES
    if g.blocks > 1 or (g.tiles >= TILES // 2 and a.C * a.K <= FEW_WEIGHTS // 2):
        g.blocks += g.blocks % 2                            # for two threads
    g.own_weights = g.blocks < FEW_BLOCKS and (g.blocks == 1 or a.C * a.K <= FEW_WEIGHTS)
    g.by_columns = g.own_weights and g.blocks < n_threads and a.K > LANES * (n_threads - 1)
    g.panel, g.group = NR, min(max(<Py_ssize_t>NR, <Py_ssize_t>GROUP_COLUMNS), whole_vectors(a.K))
    if g.by_columns:
        g.panel = g.group = min(<Py_ssize_t>NR, whole_vectors((a.K + n_threads - 1) // n_threads))
    g.m_matrix = TILES * g.group + apart
    g.u_matrix = a.C * whole_vectors(a.K) + apart
    return g


# --- inputs --------------------------------------------------------------------------------------------

cdef inline void prefetch_tile(const real* y, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i, k
    for i in range(rows):
        for k from 0 <= k < width by 64 // sizeof(real):
            prefetch_l2(y + i * row + k)


cdef inline void prefetch_results(Py_ssize_t m, const ConvWinogradArgs* a, Py_ssize_t image, Py_ssize_t y0, Py_ssize_t x0) noexcept nogil:
    """What the store of this tile, after the products, will touch: it would wait for each line."""
    cdef Py_ssize_t at = ((image * a.P + y0) * a.Q + x0) * a.K
    cdef Py_ssize_t rows = min(m, a.P - y0), width = min(m, a.Q - x0) * a.K
    prefetch_tile(a.y + at, a.Q * a.K, rows, width)
    if a.added != NULL:
        prefetch_tile(a.added + at, a.Q * a.K, rows, width)
    if a.gate != NULL:
        prefetch_tile(a.gate + at, a.Q * a.K, rows, width)
    if a.statistics_x != NULL:
        prefetch_tile(a.statistics_x + at, a.Q * a.K, rows, width)


cdef void inputs_of_tiles(Py_ssize_t t, Py_ssize_t m, const Winograd* g, Py_ssize_t first, Py_ssize_t n, real* v,
                          real* copy) noexcept nogil:
    cdef const ConvWinogradArgs* a = g.args
    cdef Py_ssize_t i, at, image
    cdef TilePixels tile
    for i in range(n):
        image = (first + i) // (g.down * g.across)
        at = (first + i) % (g.down * g.across)
        tile = pixels_at(t, a.x + image * a.H * a.W * a.C, a.H, a.W, a.C, at // g.across * m - g.ph, at % g.across * m - g.pw, copy)
        transform_pixels(t, t, &tile, a.C, 0, a.C, 0, t, v + i * g.ldv, g.v_matrix)
        prefetch_results(m, a, image, at // g.across * m, at % g.across * m)


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
    cdef bint narrow = nv == 1 and MR_NARROW > MR
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
        for k from 0 <= k < width by g.panel:
            part = min(g.panel, width - k)
            strips = MR_NARROW if part <= LANES else MR
            strips = (n + strips - 1) // strips
            h, higher = n // strips, n % strips         # the first strips are one tile higher
            a, u, m = v + e * g.v_matrix, panel_row(g, e, 0, k0 + k), products + e * g.m_matrix + k
            if higher:
                point_product(h + 1, part, higher, a, g.ldv, u, g.args.C, m, g.group)
            a += higher * (h + 1) * g.ldv
            m += higher * (h + 1) * g.group
            point_product(h, part, strips - higher, a, g.ldv, u, g.args.C, m, g.group)


# --- results ------------------------------------------------------------------------------------------

# Where the results of a tile go, those of them that lie in the image.
cdef struct TileResults:
    real* y                 # of the first pixel
    const real* added       # like y, or NULL
    const real* gate        # like y, where relu's slope is applied here; or NULL
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t row          # elements from row to row
    Py_ssize_t pixel
    vf bias
    vf floor


cdef inline void store_row(Py_ssize_t t, Py_ssize_t n, const TileResults* r, Py_ssize_t i, const vf* half) noexcept nogil:
    cdef vf values[4]
    cdef vf value
    cdef Py_ssize_t j, at = i * r.row
    output_values(t, n, half, values)
    for j in range(n):
        if j >= r.columns:
            return
        value = values[j] + r.bias
        if r.added != NULL:
            value = value + vload(r.added + at)
        value = vmax(r.floor, value)
        if r.gate != NULL:
            value = vselect(vle(vload(r.gate + at), vzero()), vzero(), value)
        vstore(r.y + at, value)
        at += r.pixel


cdef inline void output_rows(Py_ssize_t t, Py_ssize_t n, Py_ssize_t columns, const real* products, Py_ssize_t apart,
                             const TileResults* r) noexcept nogil:
    """Columns, t of them (which the compiler shall not know, or it would unroll them), and then rows."""
    cdef vf m[MOST_POINTS]
    cdef vf values[4]
    cdef vf half[4 * MOST_POINTS]
    cdef Py_ssize_t i, j
    for j in range(columns):
        for i in range(t):
            m[i] = vload(products + (i * t + j) * apart)
        output_values(t, n, m, values)
        for i in range(n):
            half[i * t + j] = values[i]
    for i in range(r.rows):
        store_row(t, n, r, i, half + i * t)


cdef void copy_pixels(const TileResults* r, Py_ssize_t n, const real* source, Py_ssize_t row, Py_ssize_t pixel, real* to,
                      Py_ssize_t to_row, Py_ssize_t to_pixel) noexcept nogil:
    """n channels of those results of a tile that lie in the image."""
    cdef Py_ssize_t i, j
    for i in range(r.rows):
        for j in range(r.columns):
            vstore_upto(to + i * to_row + j * to_pixel, vload_upto(source + i * row + j * pixel, n), n)


cdef inline void transform_output(Py_ssize_t t, Py_ssize_t n, const Winograd* g, const real* products, Py_ssize_t k, Py_ssize_t lanes,
                                  Py_ssize_t at, TileResults* r) noexcept nogil:
    """y = A^T M A of one tile and a vector of filters, with bias, what is added, relu and its slope, where they lie in the image.

    Where the last filters are not a whole vector, copies are worked on: an instance for partial vectors would be as large again."""
    cdef const ConvWinogradArgs* a = g.args
    cdef vf copies[3 * 16]
    cdef real* copy = <real*>copies
    cdef bint slope = a.gate != NULL and a.gate_activation == RELU
    at += k
    r.bias = vload_upto(a.bias + k, lanes) if a.bias != NULL else vzero()
    r.row, r.pixel = a.Q * a.K, a.K
    r.y = a.y + at
    r.added = r.gate = NULL
    if a.added != NULL:
        r.added = a.added + at
    if slope:
        r.gate = a.gate + at
    if lanes < LANES:
        r.y, r.row, r.pixel = copy, n * LANES, LANES
        if r.added != NULL:
            copy_pixels(r, lanes, r.added, a.Q * a.K, a.K, copy + 16 * LANES, r.row, LANES)
            r.added = copy + 16 * LANES
        if slope:
            copy_pixels(r, lanes, r.gate, a.Q * a.K, a.K, copy + 32 * LANES, r.row, LANES)
            r.gate = copy + 32 * LANES
    output_rows(t, n, g.t, products, g.m_matrix, r)
    if lanes < LANES:
        copy_pixels(r, lanes, copy, r.row, LANES, a.y + at, a.Q * a.K, a.K)
        r.row, r.pixel = a.Q * a.K, a.K


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


cdef void collect_tile(Collector* c, const TileResults* r, Py_ssize_t at, Py_ssize_t k, Py_ssize_t width) noexcept nogil:
    """Of the tile that starts at `at`, channels k .. k + width."""
    cdef Py_ssize_t pixels[16]
    cdef Py_ssize_t i, j, n = 0
    for i in range(r.rows):
        for j in range(r.columns):
            pixels[n] = at + i * r.row + j * r.pixel
            n += 1
    collect(c, pixels, n, k, k + width)
    c.before += n


cdef inline void outputs_of_tiles(Py_ssize_t t, Py_ssize_t m, const Winograd* g, Py_ssize_t first, Py_ssize_t n, const real* products,
                                  Py_ssize_t k0, Py_ssize_t width, Collector* c) noexcept nogil:
    cdef const ConvWinogradArgs* a = g.args
    cdef Py_ssize_t i, k, tile, image, y0, x0, at
    cdef bint finishing = a.activation > RELU or (a.gate != NULL and a.gate_activation != RELU)
    cdef TileResults r
    r.floor = vset(<real>0 if a.activation == RELU else -<real>INFINITY)
    for i in range(n):
        image = (first + i) // (g.down * g.across)
        tile = (first + i) % (g.down * g.across)
        y0, x0 = tile // g.across * m, tile % g.across * m
        at = ((image * a.P + y0) * a.Q + x0) * a.K
        r.rows, r.columns = min(m, a.P - y0), min(m, a.Q - x0)
        for k from 0 <= k < width by LANES:
            transform_output(t, m, g, products + i * g.group + k, k0 + k, min(<Py_ssize_t>LANES, width - k), at, &r)
        if finishing:
            finish_tile(g, k0, width, image, y0, x0)
        if c.first != NULL:
            collect_tile(c, &r, at, k0, width)


# --- kernels --------------------------------------------------------------------------------------------

cdef void compute_block(const Winograd* g, Py_ssize_t first, Py_ssize_t n, Py_ssize_t k0, Py_ssize_t k1, real* scratch,
                        Collector* c) noexcept nogil:
    """n tiles from `first` on, columns k0 .. k1."""
    cdef Py_ssize_t t = g.t, m = g.args.m
    cdef real* v = scratch
    cdef real* products = v + t * t * g.v_matrix
    cdef real* copy = products + t * t * g.m_matrix
    cdef Py_ssize_t k, width, before = c.before
    inputs_of_tiles(t, m, g, first, n, v, copy)
    for k from k0 <= k < k1 by g.group:
        width = min(g.group, k1 - k)
        multiply(g, v, products, n, k, whole_vectors(width))
        c.before = before
        if t == 4: outputs_of_tiles(4, 2, g, first, n, products, k, width, c)
        elif t == 8: outputs_of_tiles(8, 4, g, first, n, products, k, width, c)
        elif m == 4: outputs_of_tiles(6, 4, g, first, n, products, k, width, c)
        else: outputs_of_tiles(6, 2, g, first, n, products, k, width, c)


cdef void compute_tiles(const Winograd* g, real* scratch, int thread, int n_threads) noexcept nogil:
    cdef const ConvWinogradArgs* a = g.args
    cdef Collector all_parts = collector_of(a.y, a.K, a.statistics, a.statistics_x, a.statistics_mean, a.parts)
    cdef Collector c = section_of(&all_parts, 0, 1, g.blocks)
    cdef Py_ssize_t part0 = 0, part1 = c.parts, k0 = 0, k1 = a.K
    cdef Py_ssize_t block, first, n
    if g.by_columns:
        k0, k1 = first_column(g, thread, n_threads), first_column(g, thread + 1, n_threads)
    else:
        part0, part1 = thread * c.parts // n_threads, (thread + 1) * c.parts // n_threads
    if part0 == part1 or k0 == k1:
        return
    if g.own_weights:
        transform_weights(g, thread, n_threads)
    begin_at_part(&c, part0)
    for block in range(first_unit(&c, part0), first_unit(&c, part1)):
        enter_unit(&c, block)
        first = block * g.tiles // g.blocks
        n = (block + 1) * g.tiles // g.blocks - first
        compute_block(g, first, n, k0, k1, scratch, &c)


cdef Py_ssize_t conv_winograd_shared(const void* args) noexcept nogil:
    cdef Winograd g = winograd_of(args, False, 1)
    return 0 if g.own_weights else g.t * g.t * g.u_matrix * sizeof(real)


cdef Py_ssize_t conv_winograd_scratch(const void* args) noexcept nogil:
    """V, M, the copy of a tile, and U where threads have their own."""
    cdef const ConvWinogradArgs* a = <const ConvWinogradArgs*>args
    cdef Winograd g = winograd_of(args, False, 1)
    return g.t * g.t * (g.v_matrix + g.m_matrix + a.C + (g.u_matrix if g.own_weights else 0)) * sizeof(real)


cdef void winograd_weights(Winograd g, int thread, int n_threads) noexcept nogil:
    g.u = g.args.shared
    if not g.own_weights:
        transform_weights(&g, thread, n_threads)


cdef void winograd_images(Winograd g, int thread, int n_threads) noexcept nogil:
    cdef real* scratch = <real*>(<char*>g.args.scratch + thread * g.args.scratch_stride)
    g.u = g.args.shared
    if g.own_weights:
        g.u = scratch
        scratch += g.t * g.t * g.u_matrix
    compute_tiles(&g, scratch, thread, n_threads)


cdef void conv_winograd_begin(const void* args, int thread, int n_threads) noexcept nogil:
    winograd_weights(winograd_of(args, False, n_threads), thread, n_threads)


cdef void conv_winograd(const void* args, int thread, int n_threads) noexcept nogil:
    winograd_images(winograd_of(args, False, n_threads), thread, n_threads)


cdef void conv_winograd_data_begin(const void* args, int thread, int n_threads) noexcept nogil:
    winograd_weights(winograd_of(args, True, n_threads), thread, n_threads)


cdef void conv_winograd_data(const void* args, int thread, int n_threads) noexcept nogil:
    winograd_images(winograd_of(args, True, n_threads), thread, n_threads)
