# Depthwise convolution: the gradient of the weights.
#
#   dw[r, s, c] = sum over n, p, q of x[source of pixel and tap][c] dy[n, p, q, c]
#
# The legends of conv.pxi and conv_depthwise.pxi.
#
# Algorithm: rows of dy in chunks, each with sums of its own. A row is cut into segments that stay in L1 with the rows of x
# that they see. Along a segment the sums of up to three kernel rows by 1, 2, 3 or 5 taps are in registers for a vector of channels.
# Pixels at the ends of a row have only the taps that are inside of the image.
#
# Order of summation: for each tap the pixels of a row, those at its ends first, then rows, then chunks: by the shape alone.
#
# Shared: the sums of each chunk [R S taps, and dy's own][whole vectors of C], and a vector that may be read behind them.
# Scratch: rows of x, and their kernel rows.

cdef enum:
    CHUNKS = 32             # at most
    CHUNK_ROWS = 4          # at least, of all but one chunk
    MOST_SUMS = 10          # in registers
    SEGMENT_BYTES = 24 << 10

cdef struct DepthwiseWeights:
    const ConvWeightsArgs* args
    Taps down
    Taps across
    Py_ssize_t chunks
    Py_ssize_t lds          # elements from sum to sum
    Py_ssize_t segment      # pixels

# Some pixels of a row, some of their taps.
cdef struct Products:
    const real* x[3]        # the first tap of the first pixel, in the row of each kernel row
    real* sums[3]           # of the first tap
    const real* dy
    Py_ssize_t pixels
    Py_ssize_t x_step       # from pixel to pixel
    Py_ssize_t x_spread     # from tap to tap
    Py_ssize_t ahead        # elements from dy to the next row, from x to the one that it adds
    Py_ssize_t x_ahead
    Py_ssize_t C
    Py_ssize_t lds


cdef DepthwiseWeights depthwise_weights_of(const void* args) noexcept nogil:
    cdef const ConvWeightsArgs* a = <const ConvWeightsArgs*>args
    cdef DepthwiseWeights d
    d.args = a
    d.down = taps_of(a.H, a.P, a.R, a.sh, a.eh, a.ph, False, 0)
    d.across = taps_of(a.W, a.Q, a.S, a.sw, a.ew, a.pw, False, 0)
    d.chunks = min(max(a.N * a.P // CHUNK_ROWS, 1), <Py_ssize_t>CHUNKS)
    d.lds = whole_vectors(a.C)
    d.segment = max(SEGMENT_BYTES // ((a.R * a.sw + 1) * a.C * <Py_ssize_t>sizeof(real)) , 4)
    return d


cdef Py_ssize_t depthwise_weights_shared(const void* args) noexcept nogil:
    cdef DepthwiseWeights d = depthwise_weights_of(args)
    return (d.chunks * (d.args.R * d.args.S + 1) * d.lds + LANES) * sizeof(real)


cdef Py_ssize_t depthwise_weights_scratch(const void* args) noexcept nogil:
    cdef const ConvWeightsArgs* a = <const ConvWeightsArgs*>args
    return a.R * (sizeof(void*) + sizeof(Py_ssize_t))


# --- products ----------------------------------------------------------------------------------------------------

cdef inline void sum_products(Py_ssize_t rows, Py_ssize_t taps, bint part, const Products* args) noexcept nogil:
    """The sums of rows x taps, for whole vectors of channels, or `part` of one."""
    cdef Products s = args[0]
    cdef vf sums[MOST_SUMS]
    cdef vf dy
    cdef const real* pdy
    cdef const real* px[3]
    cdef Py_ssize_t c0, c, r, t, q, n = s.C
    for c0 from 0 <= c0 < s.C by LANES:
        c = begin_of_vector(c0, s.C)
        for r in range(rows):
            px[r] = s.x[r] + c
            for t in range(taps):
                sums[r * taps + t] = vload(s.sums[r] + t * s.lds + c0)
        pdy = s.dy + c
        for q in range(s.pixels):
            dy = load_some(pdy, part, n)
            prefetch_l2(pdy + s.ahead)
            prefetch_l2(px[rows - 1] + s.x_ahead)
            pdy += s.C
            for r in range(rows):
                for t in range(taps):
                    sums[r * taps + t] = vfma(load_some(px[r] + t * s.x_spread, part, n), dy, sums[r * taps + t])
                px[r] += s.x_step
        for r in range(rows):
            for t in range(taps):
                vstore(s.sums[r] + t * s.lds + c0, sums[r * taps + t])


cdef inline void products_of_rows(Py_ssize_t rows, Py_ssize_t taps, const Products* s) noexcept nogil:
    """(Of less than a vector of channels, taps come one by one.)"""
    if s.C < LANES: sum_products(rows, 1, True, s)
    elif taps == 1: sum_products(rows, 1, False, s)
    elif taps == 2: sum_products(rows, 2, False, s)
    elif taps == 3: sum_products(rows, 3, False, s)
    elif rows < 3: sum_products(rows, 5, False, s)


cdef void add_pixels(const DepthwiseWeights* d, const real** rows, const Py_ssize_t* numbers, Py_ssize_t n_rows, const real* dy,
                     real* sums, Py_ssize_t q0, Py_ssize_t q1, Py_ssize_t t0, Py_ssize_t t1) noexcept nogil:
    """Pixels q0 .. q1 of a row, whose taps t0 .. t1 are all inside of the image."""
    cdef const Taps* across = &d.across
    cdef Products s
    cdef Py_ssize_t r, t, i, taps, beside
    cdef Py_ssize_t C = d.args.C
    s.C, s.lds, s.x_step, s.x_spread, s.pixels = C, d.lds, across.step * C, across.spread * C, q1 - q0
    s.dy = dy + q0 * C
    s.ahead, s.x_ahead = d.args.Q * C, d.args.W * C
    t = t0
    while t < t1:
        taps = t1 - t if C >= LANES else 1
        taps = 5 if taps == 5 or taps > 6 else min(taps, <Py_ssize_t>3)
        r = 0
        while r < n_rows:
            beside = min(n_rows - r, <Py_ssize_t>(2 if taps == 5 else 3))
            for i in range(beside):
                s.x[i] = rows[r + i] + (q0 * across.step + across.offset + t * across.spread) * C
                s.sums[i] = sums + (numbers[r + i] * d.args.S + t) * d.lds
            if beside == 1: products_of_rows(1, taps, &s)
            elif beside == 2: products_of_rows(2, taps, &s)
            else: products_of_rows(3, taps, &s)
            r += beside
        t += taps


cdef void add_clipped(const DepthwiseWeights* d, const real** rows, const Py_ssize_t* numbers, Py_ssize_t n_rows, const real* dy,
                      real* sums, Py_ssize_t q) noexcept nogil:
    """A pixel at an end of the row."""
    cdef Py_ssize_t x = q * d.across.step + d.across.offset, first = 0, last = d.across.n
    while first < last and x + first * d.across.spread < 0:
        first += 1
    while first < last and x + (last - 1) * d.across.spread >= d.args.W:
        last -= 1
    add_pixels(d, rows, numbers, n_rows, dy, sums, q, q + 1, first, last)


cdef inline void add_vectors(const real* dy, Py_ssize_t C, Py_ssize_t pixels, real* sums, bint part) noexcept nogil:
    cdef vf total
    cdef Py_ssize_t c0, c, q, n = C
    for c0 from 0 <= c0 < C by LANES:
        c = begin_of_vector(c0, C)
        total = vload(sums + c0)
        for q from 0 <= q <= pixels - 4 by 4:
            total = total + (
                (load_some(dy + q * C + c, part, n) + load_some(dy + (q + 1) * C + c, part, n))
                + (load_some(dy + (q + 2) * C + c, part, n) + load_some(dy + (q + 3) * C + c, part, n))
            )
        for q in range(pixels // 4 * 4, pixels):
            total = total + load_some(dy + q * C + c, part, n)
        vstore(sums + c0, total)


cdef void add_dy(const real* dy, Py_ssize_t C, Py_ssize_t pixels, real* sums) noexcept nogil:
    """The sums of dy over some pixels."""
    if C < LANES:
        add_vectors(dy, C, pixels, sums, True)
    else:
        add_vectors(dy, C, pixels, sums, False)


cdef void depthwise_weights(const void* args, int thread, int n_threads) noexcept nogil:
    cdef DepthwiseWeights d = depthwise_weights_of(args)
    cdef const ConvWeightsArgs* a = d.args
    cdef const real** rows = <const real**>(<char*>a.scratch + thread * a.scratch_stride)
    cdef Py_ssize_t* numbers = <Py_ssize_t*>(rows + a.R)
    cdef Py_ssize_t chunk, row, r, y, q, n_rows, image, size = (a.R * a.S + 1) * d.lds
    cdef real* sums
    cdef const real* dy
    for chunk in range(thread * d.chunks // n_threads, (thread + 1) * d.chunks // n_threads):
        sums = a.shared + chunk * size
        memset(sums, 0, size * sizeof(real))
        for row in range(chunk * a.N * a.P // d.chunks, (chunk + 1) * a.N * a.P // d.chunks):
            image = row // a.P
            n_rows = 0
            for r in range(a.R):
                y = row % a.P * a.sh + d.down.offset + r * a.eh
                if 0 <= y < a.H:
                    rows[n_rows], numbers[n_rows] = a.x + (image * a.H + y) * a.W * a.C, r
                    n_rows += 1
            dy = a.dy + row * a.Q * a.C
            for q in range(d.across.begin):
                add_clipped(&d, rows, numbers, n_rows, dy, sums, q)
            for q in range(d.across.end, a.Q):
                add_clipped(&d, rows, numbers, n_rows, dy, sums, q)
            for q from d.across.begin <= q < d.across.end by d.segment:
                add_pixels(&d, rows, numbers, n_rows, dy, sums, q, min(q + d.segment, d.across.end), 0, a.S)
            if a.dbias != NULL:
                add_dy(dy, a.C, a.Q, sums + a.R * a.S * d.lds)


# --- the weights -------------------------------------------------------------------------------------------------

cdef void depthwise_weights_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef DepthwiseWeights d = depthwise_weights_of(args)
    cdef const ConvWeightsArgs* a = d.args
    cdef Py_ssize_t taps = a.R * a.S, last = taps + (a.dbias != NULL), tap, c, chunk
    cdef const real* sums
    cdef real* to
    cdef vf x, infinite = vzero()
    for tap in range(thread * last // n_threads, (thread + 1) * last // n_threads):
        to = a.dw + tap * a.C if tap < taps else a.dbias
        for c from 0 <= c < a.C by LANES:
            # The last vector's sums begin with those of channels that the one before has, too.
            sums = a.shared + tap * d.lds + c + (c - begin_of_vector(c, a.C))
            x = vload(sums)
            for chunk in range(1, d.chunks):
                x = x + vload(sums + chunk * (taps + 1) * d.lds)
            write_sum(to + c, x, a.C - c, a.accumulate if tap < taps else a.accumulate_bias, &infinite)
    if a.control != NULL and vany(visnan(infinite)):
        report(a.control, BAD_GRADIENT)
