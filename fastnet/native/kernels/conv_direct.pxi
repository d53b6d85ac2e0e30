# Direct convolution: any kernel, stride, dilation, padding, groups; forward and input gradient.
#
# The legend of conv.pxi. In both directions, results i, j of an image are sums over taps of products of a source pixel's
# channels with the tap's weights, where source row = i step + offset of the tap, and destination row = i apart + first:
#
#   forward         one phase with all taps: step = sh, offset = r eh - ph, apart = 1
#   input gradient  sh sw phases, one for each remainder of y, x by the stride, with the taps for which (y + ph - r eh) is a
#                   multiple of the stride: step = 1, offset = (first + ph - r eh) / sh, apart = sh
#
# Algorithm: an indirect product (Dukhan 2019, "The indirect convolution algorithm"). Phase 1 packs the weights into panels of NR
# columns. Phase 2: units of UNIT results, numbered through all images, are cut into tiles of equal height; a tile has a table of
# pointers to its source pixels, a row of zeros for those outside of the image, and goes through the panels.
# With few channels (fewer than MERGED) the taps of a kernel row are one: their S C elements lie side by side in a copy of the
# image with its padding, made for a band of rows of results, which is then the unit.
#
# Order of summation: bias, taps r, s ascending, channels ascending. Nothing of it depends on the tile.
#
# Shared: packed weights. Scratch: taps and pointers, a row of zeros, the copy of a band.

cdef enum:
    UNIT = 96               # results
    MERGED = 16             # channels
    BAND = 256              # results of a band, about

# One phase of one direction.
cdef struct Direct:
    const real* source
    Py_ssize_t H            # of the source
    Py_ssize_t W
    Py_ssize_t ld           # channels of the source, all groups
    Py_ssize_t depth        # of a group
    real* y
    const real* bias
    const real* gate
    Py_ssize_t P            # of the destination
    Py_ssize_t Q
    Py_ssize_t ldy
    Py_ssize_t columns      # of a group
    Py_ssize_t N
    Py_ssize_t G
    Py_ssize_t down         # results of this phase in an image
    Py_ssize_t across
    Py_ssize_t step_h
    Py_ssize_t step_w
    Py_ssize_t apart_h
    Py_ssize_t apart_w
    Py_ssize_t first_h
    Py_ssize_t first_w
    Py_ssize_t all_taps
    Py_ssize_t activation
    Py_ssize_t gate_activation
    double alpha
    double gate_alpha
    const real* weights
    # In the thread's scratch
    Py_ssize_t n_taps
    Py_ssize_t* taps        # number of each tap, its row offset, its column offset
    Py_ssize_t* tap_h
    Py_ssize_t* tap_w
    const real** rows       # for the tiles of a unit
    real** places           # of the results of a unit
    const real* zeros


cdef inline bint is_merged(const ConvArgs* a) noexcept nogil:
    return a.C < MERGED and a.G == 1 and a.ew == 1 and a.S > 1


cdef inline Py_ssize_t band_rows(const ConvArgs* a) noexcept nogil:
    """Rows of results in a band."""
    return min(max(BAND // a.Q, 1), a.P)


cdef inline Py_ssize_t band_width(const ConvArgs* a) noexcept nogil:
    """Elements of a row of a band's copy."""
    return ((a.Q - 1) * a.sw + a.S) * a.C


cdef inline Py_ssize_t band_height(const ConvArgs* a, Py_ssize_t rows) noexcept nogil:
    return (rows - 1) * a.sh + (a.R - 1) * a.eh + 1


cdef inline Py_ssize_t unit_of(const ConvArgs* a) noexcept nogil:
    return band_rows(a) * a.Q if is_merged(a) else UNIT


cdef inline Py_ssize_t direct_scratch_bytes(Py_ssize_t taps, Py_ssize_t unit, Py_ssize_t zeros) noexcept nogil:
    return (3 * taps + taps * unit + unit) * sizeof(void*) + zeros * sizeof(real)


# --- weights: panels of each group [panel][tap][depth][NR], the last one as wide as its whole vectors -----------

cdef inline real* tap_panel(real* packed, Py_ssize_t g, Py_ssize_t tap, Py_ssize_t j, Py_ssize_t columns, Py_ssize_t taps,
                            Py_ssize_t depth) noexcept nogil:
    """Where the weights of one tap begin for the panel at column j of group g."""
    cdef Py_ssize_t width = min(<Py_ssize_t>NR, whole_vectors(columns - j))
    return packed + (g * whole_vectors(columns) + j) * taps * depth + tap * depth * width


cdef void pack_taps(const real* w, real* packed, Py_ssize_t G, Py_ssize_t taps, Py_ssize_t C, Py_ssize_t K,
                    bint turned, int thread, int n_threads) noexcept nogil:
    """w [taps, C, G K] as it is, depth C and columns K; or for each group transposed, depth K and columns C."""
    cdef GemmArgs g
    cdef Py_ssize_t task, group, tap, j, columns = C if turned else K, depth = K if turned else C
    memset(&g, 0, sizeof(g))
    g.ldb = G * K
    for task in range(thread * G * taps // n_threads, (thread + 1) * G * taps // n_threads):
        group, tap = task // taps, task % taps
        g.b = w + tap * C * G * K + group * K
        for j from 0 <= j < columns by NR:
            if turned:
                pack_transposed(&g, 0, depth, j, min(columns - j, <Py_ssize_t>NR), tap_panel(packed, group, tap, j, columns, taps, depth))
            else:
                pack_rows(&g, 0, depth, j, min(columns - j, <Py_ssize_t>NR), tap_panel(packed, group, tap, j, columns, taps, depth))


# --- a unit of results ---------------------------------------------------------------------------------------

cdef inline void tile_of_unit(Py_ssize_t i, Py_ssize_t n, Py_ssize_t tiles, Py_ssize_t* first, Py_ssize_t* h) noexcept nogil:
    first[0] = i * n // tiles
    h[0] = (i + 1) * n // tiles - first[0]


cdef void point_at_sources(const Direct* d, Py_ssize_t start, Py_ssize_t n, Py_ssize_t tiles) noexcept nogil:
    """Places and source pointers of results start .. start + n, tile by tile."""
    cdef Py_ssize_t i, tile, first, h, image, p, q, tap, y, x
    cdef const real* base
    cdef const real** rows
    for tile in range(tiles):
        tile_of_unit(tile, n, tiles, &first, &h)
        rows = d.rows + first * d.n_taps
        for i in range(h):
            image = (start + first + i) // (d.down * d.across)
            p = (start + first + i) % (d.down * d.across)
            q = p % d.across
            p = p // d.across
            d.places[first + i] = d.y + ((image * d.P + p * d.apart_h + d.first_h) * d.Q + q * d.apart_w + d.first_w) * d.ldy
            base = d.source + image * d.H * d.W * d.ld
            for tap in range(d.n_taps):
                y, x = p * d.step_h + d.tap_h[tap], q * d.step_w + d.tap_w[tap]
                rows[tap * h + i] = base + (y * d.W + x) * d.ld if 0 <= y < d.H and 0 <= x < d.W else d.zeros


cdef void compute_unit(const Direct* d, Py_ssize_t n, Py_ssize_t tiles) noexcept nogil:
    """All groups and columns of a unit whose pointers are there."""
    cdef TapTile t
    cdef Py_ssize_t group, tile, first, h, i, j, panels, width, many, tap
    cdef bint finishing = d.activation > RELU or (d.gate != NULL and d.gate_activation != RELU)
    cdef real* y
    cdef Py_ssize_t gate_apart = <const char*>d.gate - <const char*>d.y
    t.taps, t.n_taps, t.all_taps, t.depth = d.taps, d.n_taps, d.all_taps, d.depth
    t.floor = <real>0 if d.activation == RELU else -<real>INFINITY
    t.gated = d.gate != NULL and d.gate_activation == RELU
    t.gate_apart = gate_apart
    # As many panels at a time as stay in L2 with what else is there.
    many = max(PACKED_BYTES // (d.all_taps * d.depth * NR * <Py_ssize_t>sizeof(real)), 1)
    for group in range(d.G):
        j = 0
        while j < d.columns:
            panels = min((d.columns - j) // NR, many)
            width = panels * NR
            if panels == 0:
                panels, width = 1, d.columns - j
            t.panels, t.width = panels, width
            t.weights = tap_panel(<real*>d.weights, group, 0, j, d.columns, d.all_taps, d.depth)
            t.bias = NULL if d.bias == NULL else d.bias + group * d.columns + j
            for tile in range(tiles):
                tile_of_unit(tile, n, tiles, &first, &h)
                t.rows = d.rows + first * d.n_taps
                t.y = d.places + first
                tap_tile_of_width(h, min(width, <Py_ssize_t>NR), &t)
                if finishing:
                    for i in range(h):
                        y = d.places[first + i]
                        if d.activation > RELU:
                            activate(d.activation, d.alpha, y, y, width)
                        if d.gate != NULL and d.gate_activation != RELU:
                            activate_backward(d.gate_activation, d.gate_alpha, <const real*>(<const char*>y + gate_apart), y, y, width)
            # The next columns, and after the last ones the next group: its channels lie behind those of this one.
            for i in range(n):
                d.places[i] += width
            j += width
        for i in range(n * d.n_taps):
            if d.rows[i] != d.zeros:
                d.rows[i] += d.depth


cdef void compute_phase(const Direct* d, int thread, int n_threads) noexcept nogil:
    cdef Py_ssize_t results = d.N * d.down * d.across
    cdef Py_ssize_t units = (results + UNIT - 1) // UNIT
    cdef Py_ssize_t unit, start, n, tiles, most = tap_tile_height(d.columns)
    for unit in range(thread * units // n_threads, (thread + 1) * units // n_threads):
        start = unit * results // units
        n = (unit + 1) * results // units - start
        tiles = (n + most - 1) // most
        point_at_sources(d, start, n, tiles)
        compute_unit(d, n, tiles)


cdef void use_scratch(Direct* d, void* scratch, Py_ssize_t taps, Py_ssize_t unit) noexcept nogil:
    d.taps = <Py_ssize_t*>scratch
    d.tap_h = d.taps + taps
    d.tap_w = d.tap_h + taps
    d.rows = <const real**>(d.tap_w + taps)
    d.places = <real**>(d.rows + taps * unit)
    d.zeros = <const real*>(d.places + unit)


# --- forward ----------------------------------------------------------------------------------------------------

cdef void copy_band(const ConvArgs* a, const real* image, Py_ssize_t p0, Py_ssize_t height, real* copy) noexcept nogil:
    """Rows p0 sh - ph ... of an image with its padding."""
    cdef Py_ssize_t width = band_width(a), i, y, left, inside
    left = min(a.pw * a.C, width)
    inside = max(min(width - left, a.W * a.C), <Py_ssize_t>0)
    for i in range(height):
        y = p0 * a.sh - a.ph + i
        if not 0 <= y < a.H:
            memset(copy + i * width, 0, width * sizeof(real))
            continue
        memset(copy + i * width, 0, left * sizeof(real))
        memcpy(copy + i * width + left, image + y * a.W * a.C, inside * sizeof(real))
        memset(copy + i * width + left + inside, 0, (width - left - inside) * sizeof(real))


cdef void compute_bands(const ConvArgs* a, Direct* d, real* copy, int thread, int n_threads) noexcept nogil:
    cdef Py_ssize_t most_rows = band_rows(a), bands = (a.P + most_rows - 1) // most_rows
    cdef Py_ssize_t most = tap_tile_height(d.columns), width = band_width(a)
    cdef Py_ssize_t unit, image, p0, p1, n, tiles, tile, first, h, i, p, q, r
    cdef const real** rows
    d.n_taps = d.all_taps = a.R
    d.depth = a.S * a.C
    for r in range(a.R):
        d.taps[r] = r
    for unit in range(thread * a.N * bands // n_threads, (thread + 1) * a.N * bands // n_threads):
        image = unit // bands
        p0 = unit % bands * a.P // bands
        p1 = (unit % bands + 1) * a.P // bands
        n = (p1 - p0) * a.Q
        tiles = (n + most - 1) // most
        copy_band(a, a.x + image * a.H * a.W * a.C, p0, band_height(a, p1 - p0), copy)
        for tile in range(tiles):
            tile_of_unit(tile, n, tiles, &first, &h)
            rows = d.rows + first * a.R
            for i in range(h):
                p, q = (first + i) // a.Q, (first + i) % a.Q
                d.places[first + i] = a.y + ((image * a.P + p0 + p) * a.Q + q) * a.K
                for r in range(a.R):
                    rows[r * h + i] = copy + (p * a.sh + r * a.eh) * width + q * a.sw * a.C
        compute_unit(d, n, tiles)


cdef Py_ssize_t conv_direct_scratch(const void* args) noexcept nogil:
    cdef const ConvArgs* a = <const ConvArgs*>args
    cdef Py_ssize_t copy = band_height(a, band_rows(a)) * band_width(a) if is_merged(a) else 0
    return direct_scratch_bytes(a.R * a.S, unit_of(a), a.C) + copy * sizeof(real)


cdef Py_ssize_t conv_direct_shared(const void* args) noexcept nogil:
    cdef const ConvArgs* a = <const ConvArgs*>args
    return a.R * a.S * a.C * whole_vectors(a.K // a.G) * sizeof(real)


cdef void conv_direct_begin(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ConvArgs* a = <const ConvArgs*>args
    if is_merged(a):
        # One tap of S C channels for each kernel row.
        pack_taps(a.w, a.shared, 1, a.R, a.S * a.C, a.K, False, thread, n_threads)
    else:
        pack_taps(a.w, a.shared, a.G, a.R * a.S, a.C // a.G, a.K // a.G, False, thread, n_threads)


cdef void conv_direct(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ConvArgs* a = <const ConvArgs*>args
    cdef Direct d
    cdef Py_ssize_t r, s
    memset(&d, 0, sizeof(d))
    d.source, d.H, d.W, d.ld, d.depth = a.x, a.H, a.W, a.C, a.C // a.G
    d.y, d.bias, d.gate, d.P, d.Q, d.ldy, d.columns = a.y, a.bias, a.gate, a.P, a.Q, a.K, a.K // a.G
    d.N, d.G, d.down, d.across = a.N, a.G, a.P, a.Q
    d.step_h, d.step_w, d.apart_h, d.apart_w = a.sh, a.sw, 1, 1
    d.activation, d.alpha, d.gate_activation, d.gate_alpha = a.activation, a.alpha, a.gate_activation, a.gate_alpha
    d.weights = a.shared
    d.all_taps = a.R * a.S
    use_scratch(&d, <char*>a.scratch + thread * a.scratch_stride, a.R * a.S, unit_of(a))
    memset(<void*>d.zeros, 0, a.C * sizeof(real))
    if is_merged(a):
        compute_bands(a, &d, <real*>d.zeros + a.C, thread, n_threads)
        return
    for r in range(a.R):
        for s in range(a.S):
            d.taps[d.n_taps] = d.n_taps
            d.tap_h[d.n_taps] = r * a.eh - a.ph
            d.tap_w[d.n_taps] = s * a.ew - a.pw
            d.n_taps += 1
    compute_phase(&d, thread, n_threads)


# --- input gradient -----------------------------------------------------------------------------------------------

cdef Py_ssize_t conv_direct_data_scratch(const void* args) noexcept nogil:
    cdef const ConvDataArgs* a = <const ConvDataArgs*>args
    return direct_scratch_bytes(a.R * a.S, UNIT, a.K)


cdef Py_ssize_t conv_direct_data_shared(const void* args) noexcept nogil:
    cdef const ConvDataArgs* a = <const ConvDataArgs*>args
    return a.R * a.S * a.K * whole_vectors(a.C // a.G) * sizeof(real)


cdef void conv_direct_data_begin(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ConvDataArgs* a = <const ConvDataArgs*>args
    pack_taps(a.w, a.shared, a.G, a.R * a.S, a.C // a.G, a.K // a.G, True, thread, n_threads)


cdef void conv_direct_data(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ConvDataArgs* a = <const ConvDataArgs*>args
    cdef Direct d
    cdef Py_ssize_t r, s, y, x
    memset(&d, 0, sizeof(d))
    d.source, d.H, d.W, d.ld, d.depth = a.dy, a.P, a.Q, a.K, a.K // a.G
    d.y, d.bias, d.gate, d.P, d.Q, d.ldy, d.columns = a.dx, a.bias, a.gate, a.H, a.W, a.C, a.C // a.G
    d.N, d.G = a.N, a.G
    d.step_h, d.step_w, d.apart_h, d.apart_w = 1, 1, a.sh, a.sw
    d.activation, d.alpha, d.gate_activation, d.gate_alpha = a.activation, a.alpha, a.gate_activation, a.gate_alpha
    d.weights = a.shared
    d.all_taps = a.R * a.S
    use_scratch(&d, <char*>a.scratch + thread * a.scratch_stride, a.R * a.S, UNIT)
    memset(<void*>d.zeros, 0, a.K * sizeof(real))
    for y in range(min(a.sh, a.H)):
        for x in range(min(a.sw, a.W)):
            d.first_h, d.first_w = y, x
            d.down = (a.H - y + a.sh - 1) // a.sh
            d.across = (a.W - x + a.sw - 1) // a.sw
            d.n_taps = 0
            for r in range(a.R):
                for s in range(a.S):
                    if (y + a.ph - r * a.eh) % a.sh == 0 and (x + a.pw - s * a.ew) % a.sw == 0:
                        d.taps[d.n_taps] = r * a.S + s
                        d.tap_h[d.n_taps] = (y + a.ph - r * a.eh) // a.sh
                        d.tap_w[d.n_taps] = (x + a.pw - s * a.ew) // a.sw
                        d.n_taps += 1
            compute_phase(&d, thread, n_threads)
