# Depthwise convolution, one filter for each channel (G = C = K): forward and input gradient.
#
# The legend of conv.pxi; w is [R, S, C]. In both directions, and for each axis, results i of a phase are sums over taps t of
# products with the source pixel i step + offset + t spread, and lie at i stride + place:
#
#   forward         one phase with all taps: tap t has number t, step = sh, offset = -ph, spread = eh, stride = 1
#   input gradient  one phase for each remainder of the place by the stride, with the taps r for which (place + ph - r eh) is a
#                   multiple of it: every so many, which see pixels every so far apart. In the order of those pixels, r descends.
#
# Algorithm: threads take whole rows of results. A row's pixels whose taps are all inside of the image are cut into blocks of
# WIDE_BLOCK or NARROW_BLOCK, held in registers for a vector of channels: for each kernel row, each source vector is read
# once, and multiplied by the weights of all taps that see it. The last block of a row overlaps the one before, and so does the
# last vector of channels: only where there is less than one, which is rare, are vectors not whole. The pixels at the left and
# the right end are computed one by one, with the taps that are inside. A block also prefetches what the next row of results
# reads and writes: a row of many pixels and channels is more streams than the hardware follows.
#
# Order of summation: from the bias or zero, kernel rows, then taps, those outside of the image left out: the same in any block.
#
# Scratch: the phases of both axes, a row's pointers to source rows and weights.

cdef enum:
    WIDE_BLOCK = 8          # pixels
    NARROW_BLOCK = 4

# One phase of one axis.
cdef struct Taps:
    Py_ssize_t n
    Py_ssize_t first        # number of the first tap, and from one to the next
    Py_ssize_t apart
    Py_ssize_t step
    Py_ssize_t offset
    Py_ssize_t spread
    Py_ssize_t place
    Py_ssize_t stride
    Py_ssize_t count        # results
    Py_ssize_t begin        # results begin .. end have all their taps inside of the source
    Py_ssize_t end

# Both directions.
cdef struct Depthwise:
    const real* x           # the source
    const real* w
    real* y
    const real* bias
    const real* gate
    Py_ssize_t N
    Py_ssize_t C
    Py_ssize_t S
    Py_ssize_t H            # of the source
    Py_ssize_t W
    Py_ssize_t P            # of the result
    Py_ssize_t Q
    Py_ssize_t phases_h
    Py_ssize_t phases_w
    Py_ssize_t activation
    Py_ssize_t gate_activation
    double alpha
    double gate_alpha
    # In the thread's scratch
    Taps* down
    Taps* across
    const real** rows       # of the source, those inside of the image
    const real** weights    # of the first tap of each

# Some pixels of a row, for all channels.
cdef struct Pixels:
    const real** rows
    const real** weights
    Py_ssize_t n_rows
    Py_ssize_t taps
    const real* ahead       # the source row that the next row of results adds
    Py_ssize_t x            # elements from a row's begin to the first tap of the first pixel, and from pixel to pixel
    Py_ssize_t x_step
    Py_ssize_t x_spread     # from tap to tap
    Py_ssize_t w            # from a row's weights to those of the first tap, and from tap to tap
    Py_ssize_t w_apart
    real* y
    Py_ssize_t y_stride     # from pixel to pixel, to the next row
    Py_ssize_t y_ahead
    const real* bias
    Py_ssize_t gate_apart   # bytes from an element of y to that of the gate
    bint gated              # by the slope of relu
    real floor              # 0 for relu, -inf for none
    Py_ssize_t C


# --- phases ------------------------------------------------------------------------------------------------------

cdef inline Taps taps_of(Py_ssize_t size, Py_ssize_t results, Py_ssize_t R, Py_ssize_t stride, Py_ssize_t dilation,
                         Py_ssize_t padding, bint turned, Py_ssize_t phase) noexcept nogil:
    """One axis, from `size` pixels to so many results."""
    cdef Taps t
    cdef Py_ssize_t r, number, last
    memset(&t, 0, sizeof(t))
    t.spread = t.apart = 1
    if turned:
        t.step, t.stride, t.place = 1, stride, phase
        t.count = (results - phase + stride - 1) // stride
        for number in range(R):
            r = R - 1 - number
            if (phase + padding - r * dilation) % stride == 0:
                if t.n == 0:
                    t.first, t.offset = r, (phase + padding - r * dilation) // stride
                elif t.n == 1:
                    t.apart, t.spread = r - t.first, (phase + padding - r * dilation) // stride - t.offset
                t.n += 1
    else:
        t.n, t.step, t.offset, t.spread, t.stride, t.count = R, stride, -padding, dilation, 1, results
    t.begin = 0 if t.offset >= 0 else (-t.offset + t.step - 1) // t.step
    last = size - 1 - t.offset - (t.n - 1) * t.spread
    t.end = min(last // t.step + 1, t.count) if last >= 0 else 0
    if t.n == 0:
        t.begin, t.end = 0, t.count
    t.begin = min(t.begin, t.count)
    t.end = max(t.end, t.begin)
    return t


# --- blocks of pixels ------------------------------------------------------------------------------------------------

cdef inline vf load_some(const real* p, bint part, Py_ssize_t n) noexcept nogil:
    return vload_n(p, n) if part else vload(p)


cdef inline void block_of_pixels(Py_ssize_t h, Py_ssize_t taps, Py_ssize_t step, bint part, const Pixels* s) noexcept nogil:
    """h pixels, for whole vectors of channels, or `part` of one. With `taps` 0, their number, step and spread are variable.

    (The loop over the channels also makes GCC keep y in registers from its first value to the store.)
    """
    cdef vf y[WIDE_BLOCK]
    cdef vf w[5]
    cdef vf window[5]
    cdef vf x, start, floor = vset(s.floor)
    cdef const real* px
    cdef const real* pw
    cdef real* to
    cdef Py_ssize_t c0, c, r, i, t, n = s.C
    for c0 from 0 <= c0 < s.C by LANES:
        c = begin_of_vector(c0, s.C)
        start = vzero() if s.bias == NULL else load_some(s.bias + c, part, n)
        for i in range(h):
            y[i] = start
        for r in range(s.n_rows):
            px = s.rows[r] + s.x + c
            pw = s.weights[r] + s.w + c
            if taps:
                for t in range(taps):
                    w[t] = load_some(pw + t * s.w_apart, part, n)
                for i in range(taps - step):
                    window[i] = load_some(px + i * s.C, part, n)
                px += (taps - step) * s.C
                for i in range(h):
                    for t in range(step):
                        window[taps - step + t] = load_some(px + t * s.C, part, n)
                    px += step * s.C
                    for t in range(taps):
                        y[i] = vfma(window[t], w[t], y[i])
                    for t in range(taps - step):
                        window[t] = window[t + step]
            else:
                for t in range(s.taps):
                    w[0] = load_some(pw, part, n)
                    for i in range(h):
                        y[i] = vfma(load_some(px + i * s.x_step, part, n), w[0], y[i])
                    px += s.x_spread
                    pw += s.w_apart
        to = s.y + c
        for i in range(h):
            if h > 1:
                prefetch_l2(s.ahead + s.x + c + i * s.x_step)
                prefetch_l2(to + i * s.y_stride + s.y_ahead)
            y[i] = vmax(floor, y[i])
            if s.gated:
                x = load_some(<const real*>(<const char*>(to + i * s.y_stride) + s.gate_apart), part, n)
                y[i] = vselect(vle(x, vzero()), vzero(), y[i])
            if part:
                vstore_n(to + i * s.y_stride, y[i], n)
            else:
                vstore(to + i * s.y_stride, y[i])


cdef void wide_block(Py_ssize_t taps, Py_ssize_t step, const Pixels* s) noexcept nogil:
    if taps == 3 and step == 1: block_of_pixels(WIDE_BLOCK, 3, 1, False, s)
    elif taps == 3 and step == 2: block_of_pixels(WIDE_BLOCK, 3, 2, False, s)
    elif taps == 5 and step == 1: block_of_pixels(WIDE_BLOCK, 5, 1, False, s)
    elif taps == 5 and step == 2: block_of_pixels(WIDE_BLOCK, 5, 2, False, s)
    elif taps == 2 and step == 1: block_of_pixels(WIDE_BLOCK, 2, 1, False, s)
    else: block_of_pixels(WIDE_BLOCK, 0, 0, False, s)


cdef void narrow_block(Py_ssize_t taps, Py_ssize_t step, const Pixels* s) noexcept nogil:
    if s.C < LANES: block_of_pixels(NARROW_BLOCK, 0, 0, True, s)
    elif taps == 3 and step == 1: block_of_pixels(NARROW_BLOCK, 3, 1, False, s)
    elif taps == 3 and step == 2: block_of_pixels(NARROW_BLOCK, 3, 2, False, s)
    elif taps == 5 and step == 1: block_of_pixels(NARROW_BLOCK, 5, 1, False, s)
    else: block_of_pixels(NARROW_BLOCK, 0, 0, False, s)


cdef void one_pixel(const Pixels* s) noexcept nogil:
    if s.C < LANES: block_of_pixels(1, 0, 0, True, s)
    else: block_of_pixels(1, 0, 0, False, s)


# --- rows ------------------------------------------------------------------------------------------------------------

cdef inline void clipped_pixel(const Depthwise* d, const Taps* t, Pixels s, Py_ssize_t j) noexcept nogil:
    """Pixel j of a phase at an end of the row: only the taps inside of the image; s is that of pixel 0 with all taps."""
    cdef Py_ssize_t x = j * t.step + t.offset, first = 0, last = t.n
    while first < last and x + first * t.spread < 0:
        first += 1
    while first < last and x + (last - 1) * t.spread >= d.W:
        last -= 1
    s.taps = last - first
    s.x += j * s.x_step + first * s.x_spread
    s.w += first * s.w_apart
    s.y += j * s.y_stride
    one_pixel(&s)


cdef inline Pixels moved(Pixels s, Py_ssize_t j) noexcept nogil:
    """From pixel 0 of a phase to pixel j."""
    s.x += j * s.x_step
    s.y += j * s.y_stride
    return s


cdef void row_of_phase(const Depthwise* d, const Taps* t, Pixels* s) noexcept nogil:
    """The pixels of a row that belong to one phase, whose first is s."""
    cdef Py_ssize_t j, rest, taps = t.n if t.spread == 1 and (t.step == 1 or t.n > 1) else 0
    cdef Pixels at
    for j in range(t.begin):
        clipped_pixel(d, t, s[0], j)
    j = t.begin
    while j < t.end:
        rest = t.end - j
        if rest > NARROW_BLOCK and t.end - t.begin >= WIDE_BLOCK and s.C >= LANES:
            j = min(j, t.end - WIDE_BLOCK)
            at = moved(s[0], j)
            wide_block(taps, t.step, &at)
            j += WIDE_BLOCK
        elif t.end - t.begin >= NARROW_BLOCK:
            j = min(j, t.end - NARROW_BLOCK)
            at = moved(s[0], j)
            narrow_block(taps, t.step, &at)
            j += NARROW_BLOCK
        else:
            at = moved(s[0], j)
            one_pixel(&at)
            j += 1
    for j in range(t.end, t.count):
        clipped_pixel(d, t, s[0], j)


cdef void depthwise_row(const Depthwise* d, Py_ssize_t image, Py_ssize_t p) noexcept nogil:
    cdef const Taps* down = d.down + p % d.phases_h
    cdef const Taps* t
    cdef Pixels s
    cdef Py_ssize_t tap, r, y, phase
    cdef real* row = d.y + (image * d.P + p) * d.Q * d.C
    s.rows, s.weights, s.n_rows, s.C, s.bias = d.rows, d.weights, 0, d.C, d.bias
    for tap in range(down.n):
        y = p // down.stride * down.step + down.offset + tap * down.spread
        if 0 <= y < d.H:
            r = down.first + tap * down.apart
            d.rows[s.n_rows] = d.x + (image * d.H + y) * d.W * d.C
            d.weights[s.n_rows] = d.w + r * d.S * d.C
            s.n_rows += 1
    s.y_ahead = d.Q * d.C
    # One row of the source further on; where there is none, an address is harmless.
    s.ahead = d.x + (image * d.H + p // down.stride * down.step + down.offset + down.n * down.spread) * d.W * d.C
    s.floor = <real>0 if d.activation == RELU else -<real>INFINITY
    s.gated = d.gate != NULL and d.gate_activation == RELU
    s.gate_apart = <const char*>d.gate - <const char*>d.y
    for phase in range(d.phases_w):
        t = d.across + phase
        s.taps = t.n
        s.x, s.x_step, s.x_spread = t.offset * d.C, t.step * d.C, t.spread * d.C
        s.w, s.w_apart = t.first * d.C, t.apart * d.C
        s.y, s.y_stride = row + t.place * d.C, t.stride * d.C
        row_of_phase(d, t, &s)
    if d.activation > RELU:
        activate(d.activation, d.alpha, row, row, d.Q * d.C)
    if d.gate != NULL and d.gate_activation != RELU:
        activate_backward(d.gate_activation, d.gate_alpha, <const real*>(<const char*>row + s.gate_apart), row, row, d.Q * d.C)


cdef void depthwise_rows(const Depthwise* d, const Collector* collector, int thread, int n_threads) noexcept nogil:
    cdef Collector c = section_of(collector, 0, 1, d.N * d.P)
    cdef Py_ssize_t part0 = thread * c.parts // n_threads, part1 = (thread + 1) * c.parts // n_threads
    cdef Py_ssize_t row
    if part0 == part1:
        return
    begin_at_part(&c, part0)
    for row in range(first_unit(&c, part0), first_unit(&c, part1)):
        enter_unit(&c, row)
        depthwise_row(d, row // d.P, row % d.P)
        if c.first != NULL:
            collect_rows(&c, row * d.Q, d.Q, 0, d.C)


cdef inline Py_ssize_t depthwise_bytes(Py_ssize_t phases, Py_ssize_t R) noexcept nogil:
    return phases * sizeof(Taps) + 2 * R * sizeof(void*)


cdef inline void use_depthwise_scratch(Depthwise* d, void* scratch, Py_ssize_t R) noexcept nogil:
    d.down = <Taps*>scratch
    d.across = d.down + d.phases_h
    d.rows = <const real**>(d.across + d.phases_w)
    d.weights = d.rows + R


cdef Py_ssize_t depthwise_scratch(const void* args) noexcept nogil:
    cdef const ConvArgs* a = <const ConvArgs*>args
    return depthwise_bytes(2, a.R)


cdef void depthwise(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ConvArgs* a = <const ConvArgs*>args
    cdef Collector collector = collector_of(a.y, a.C, a.statistics, a.statistics_x, a.statistics_mean, a.parts)
    cdef Depthwise d
    d.x, d.w, d.y, d.bias, d.gate = a.x, a.w, a.y, a.bias, a.gate
    d.N, d.C, d.S, d.H, d.W, d.P, d.Q, d.phases_h, d.phases_w = a.N, a.C, a.S, a.H, a.W, a.P, a.Q, 1, 1
    d.activation, d.alpha, d.gate_activation, d.gate_alpha = a.activation, a.alpha, a.gate_activation, a.gate_alpha
    use_depthwise_scratch(&d, <char*>a.scratch + thread * a.scratch_stride, a.R)
    d.down[0] = taps_of(a.H, a.P, a.R, a.sh, a.eh, a.ph, False, 0)
    d.across[0] = taps_of(a.W, a.Q, a.S, a.sw, a.ew, a.pw, False, 0)
    depthwise_rows(&d, &collector, thread, n_threads)


cdef Py_ssize_t depthwise_data_scratch(const void* args) noexcept nogil:
    cdef const ConvArgs* a = <const ConvArgs*>args
    return depthwise_bytes(min(a.sh, a.H) + min(a.sw, a.W), a.R)


cdef void depthwise_data(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ConvArgs* a = <const ConvArgs*>args
    cdef Collector collector = collector_of(a.y, a.C, a.statistics, a.statistics_x, a.statistics_mean, a.parts)
    cdef Depthwise d
    cdef Py_ssize_t phase
    d.x, d.w, d.y, d.bias, d.gate = a.x, a.w, a.y, a.bias, a.gate
    d.N, d.C, d.S, d.H, d.W, d.P, d.Q = a.N, a.C, a.S, a.P, a.Q, a.H, a.W
    d.phases_h, d.phases_w = min(a.sh, a.H), min(a.sw, a.W)
    d.activation, d.alpha, d.gate_activation, d.gate_alpha = a.activation, a.alpha, a.gate_activation, a.gate_alpha
    use_depthwise_scratch(&d, <char*>a.scratch + thread * a.scratch_stride, a.R)
    for phase in range(d.phases_h):
        d.down[phase] = taps_of(a.P, a.H, a.R, a.sh, a.eh, a.ph, True, phase)
    for phase in range(d.phases_w):
        d.across[phase] = taps_of(a.Q, a.W, a.S, a.sw, a.ew, a.pw, True, phase)
    depthwise_rows(&d, &collector, thread, n_threads)
