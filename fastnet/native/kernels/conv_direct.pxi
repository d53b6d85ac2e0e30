# Direct convolution and its input gradient: any kernel, stride, dilation, padding and groups.
#
#   y[n, p, q, k] = activation(bias[k] + sum over r, s, c of x[n, p sh - ph + r eh, q sw - pw + s ew, c] w[r, s, c, k])
#   dx[n, y, x, c] = activation(bias[c] + sum over r, s, k of dy[n, p, q, k] w[r, s, c, k]),  p sh - ph + r eh = y, so for q and x
#
# The letters are those of conv.pxi; the arguments of both have one layout, with dy for x and dx for y in the second.
# Below, a pixel is one of the result, and its window are the pixels of what is read that it is a sum over.
#
# Algorithm: a matrix product whose rows are found by pointers (indirect convolution, Dukhan 2019). The pixels of all images in one
# order are divided evenly into tiles of h <= MR_NARROW pixels; a tile of h pixels x two vectors of filters lives in
# registers over the whole window. For each tap the tile has h pointers to what its pixels read there (a row of zeros
# outside of the image), and broadcasts h elements for each two vectors of weights. The pointers are found once for a tile, and serve
# all filters: weights are packed in panels of two vectors, of which as many as stay in L2 are taken together.
#
# With few channels a pointer would serve only a few steps. Where the taps of a row of the kernel are neighbours in memory they
# are one run of S C elements; the windows that reach over an edge are copied, with zeros.
#
# The input gradient is the same with the channels' parts exchanged. With a stride, pixels whose coordinates leave the
# same remainder (a phase) are reached by the same taps, in steps of one pixel of dy: each phase is a convolution of its own.
#
# Order of summation: from the bias, in the window's order (rows, columns, channels of what is read), so that the input
# gradient has its taps backwards.
#
# Shared: the packed weights [group][panel][phase][tap][channel read][NP or what is left, in whole vectors], and a row of zeros.
# Scratch: the pointers [tap][MR_NARROW] of a tile, the taps' offsets, and the copies.

# --- tiles -------------------------------------------------------------------------------------------------------

# A strip of tiles: h pixels, one panel after the other.
cdef struct WindowStrip:
    const size_t* pointers  # [runs][MR_NARROW]
    Py_ssize_t runs
    Py_ssize_t depth        # elements of a run
    Py_ssize_t shift        # bytes from a pointer to the group's first channel
    Py_ssize_t ahead        # bytes from a pointer to what the next tile reads there
    const real* b
    Py_ssize_t b_step       # elements from one panel to the next
    Py_ssize_t panels
    const Py_ssize_t* at    # [h], where results are in y, in `added` and in the gate
    real* y
    const real* bias        # or NULL
    const real* added       # added to the sums, or NULL
    const real* gate        # results become 0 where this is at most 0 (the slope of relu), or NULL
    real floor              # 0 for relu, -inf for none


cdef inline void window_strip(Py_ssize_t h, Py_ssize_t nv, const WindowStrip* args) noexcept nogil:
    """(The loop over the panels also makes GCC keep c in registers, as in gemm_strip.pxi.)"""
    cdef WindowStrip s = args[0]
    cdef vf c[MR_NARROW * 2]
    cdef vf b[2]
    cdef vf x, floor = vset(s.floor)
    cdef const real* rows[MR_NARROW]
    cdef const size_t* pointers
    cdef const real* pb
    cdef Py_ssize_t p, i, j, k, run
    for p in range(s.panels):
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = vzero() if s.bias == NULL else vload(s.bias + j * LANES)
        pb = s.b
        pointers = s.pointers
        for run in range(s.runs):
            # From the run's end: one counter is index and limit.
            for i in range(h):
                rows[i] = <const real*>(pointers[i] + <size_t>s.shift) + s.depth
                if s.ahead:
                    prefetch(<const char*>(pointers[i] + <size_t>s.ahead))
            pointers += MR_NARROW
            for k in range(-s.depth, 0):
                for j in range(nv):
                    b[j] = vload(pb + j * LANES)
                    prefetch(pb + (8 * nv + j) * LANES)
                for i in range(h):
                    x = vset(rows[i][k])
                    for j in range(nv):
                        c[i * nv + j] = vfma(x, b[j], c[i * nv + j])
                pb += nv * LANES
        if s.added != NULL:
            for i in range(h):
                for j in range(nv):
                    c[i * nv + j] = c[i * nv + j] + vload(s.added + s.at[i] + j * LANES)
            s.added += nv * LANES
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = vmax(floor, c[i * nv + j])
        if s.gate != NULL:
            for i in range(h):
                for j in range(nv):
                    x = vload(s.gate + s.at[i] + j * LANES)
                    c[i * nv + j] = vselect(vle(x, vzero()), vzero(), c[i * nv + j])
            s.gate += nv * LANES
        for i in range(h):
            for j in range(nv):
                vstore(s.y + s.at[i] + j * LANES, c[i * nv + j])
        if s.bias != NULL:
            s.bias += nv * LANES
        s.b += s.b_step
        s.y += nv * LANES


cdef inline void window_strip_of_height(Py_ssize_t h, Py_ssize_t nv, const WindowStrip* s) noexcept nogil:
    if h == 1: window_strip(1, nv, s)
    elif h == 2: window_strip(2, nv, s)
    elif h == 3: window_strip(3, nv, s)
    elif h == 4: window_strip(4, nv, s)
    elif h == 5: window_strip(5, nv, s)
    elif h == 6: window_strip(6, nv, s)
    elif MR_NARROW > 6 and h == 7: window_strip(7, nv, s)
    elif MR_NARROW > 6 and h == 8: window_strip(8, nv, s)
    elif MR_NARROW > 6 and h == 9: window_strip(9, nv, s)
    elif MR_NARROW > 6 and h == 10: window_strip(10, nv, s)
    elif MR_NARROW > 6 and h == 11: window_strip(11, nv, s)
    elif MR_NARROW > 6 and h == 12: window_strip(12, nv, s)


cdef void window_strip_of_one(Py_ssize_t h, const WindowStrip* s) noexcept nogil:
    window_strip_of_height(h, 1, s)


cdef void window_strip_of_two(Py_ssize_t h, const WindowStrip* s) noexcept nogil:
    window_strip_of_height(h, 2, s)


cdef inline void finish_pixel(const ConvArgs* g, Py_ssize_t at, real* y, Py_ssize_t width) noexcept nogil:
    """Activation and gate of stored sums; `at` is their place in the gate."""
    if g.activation:
        activate(g.activation, g.alpha, y, y, width)
    if g.gate != NULL:
        activate_backward(g.gate_activation, g.gate_alpha, g.gate + at, y, y, width)


cdef void window_tile_at_edge(const ConvArgs* g, Py_ssize_t h, Py_ssize_t width, Py_ssize_t j, const WindowStrip* s) noexcept nogil:
    """One tile whose last vector is not whole, of the channels from j on: on a copy that is NP wide."""
    cdef vf y_vectors[MR_NARROW * 2]
    cdef vf bias_vectors[2]
    cdef real* y = <real*>y_vectors
    cdef real* bias = <real*>bias_vectors
    cdef Py_ssize_t at[MR_NARROW]
    cdef Py_ssize_t i, v
    cdef WindowStrip whole = s[0]
    for i in range(h):
        at[i] = i * NP
    whole.y, whole.at, whole.added, whole.gate, whole.floor = y, at, NULL, NULL, -<real>INFINITY
    if s.bias != NULL:
        copy_padded(s.bias, 0, bias, 1, width)
        whole.bias = bias
    if width <= LANES:
        window_strip_of_one(h, &whole)
    else:
        window_strip_of_two(h, &whole)
    for i in range(h):
        if s.added != NULL:
            for v from 0 <= v < width by LANES:
                vstore(y + i * NP + v, vload(y + i * NP + v) + vload_upto(s.added + s.at[i] + v, width - v))
        finish_pixel(g, s.at[i] + j, y + i * NP, width)
        for v from 0 <= v < width by LANES:
            vstore_upto(s.y + s.at[i] + v, vload(y + i * NP + v), width - v)


# --- phases ------------------------------------------------------------------------------------------------------

cdef void convolve_group(const ConvArgs* g, const ConvWindows* w, Py_ssize_t h, Py_ssize_t group, Py_ssize_t width,
                         Py_ssize_t p0, Py_ssize_t p1, const real* weights, Py_ssize_t panel_step, Py_ssize_t before,
                         bint finishing, WindowStrip* s) noexcept nogil:
    """The tile at hand, for the panels p0 .. p1 of one group, whose weights are given, with `before` rows of other phases."""
    cdef Py_ssize_t whole = min(p1, width // NP), rest = width - whole * NP, j, i
    if whole > p0:
        j = group * width + p0 * NP
        s.b, s.b_step, s.panels = weights + p0 * panel_step + before * NP, panel_step, whole - p0
        s.y = g.y + j
        s.bias = NULL if g.bias == NULL else g.bias + j
        s.added = NULL if g.added == NULL else g.added + j
        s.gate = g.gate + j if g.gate != NULL and not finishing else NULL
        window_strip_of_two(h, s)
        if finishing:
            for i in range(h):
                finish_pixel(g, w.at[i] + j, g.y + w.at[i] + j, (whole - p0) * NP)
    if p1 * NP > width:
        # The last panel; its rows are as wide as it has vectors, and so are its offsets.
        j = group * width + whole * NP
        s.b, s.panels = weights + whole * panel_step + before * whole_vectors(rest), 1
        s.y = g.y + j
        s.bias = NULL if g.bias == NULL else g.bias + j
        s.added = NULL if g.added == NULL else g.added + j
        s.gate = g.gate + j if g.gate != NULL and not finishing else NULL
        if rest != LANES:
            window_tile_at_edge(g, h, rest, j, s)
            return
        window_strip_of_one(h, s)
        if finishing:
            for i in range(h):
                finish_pixel(g, w.at[i] + j, g.y + w.at[i] + j, rest)


cdef void convolve_phase(const ConvArgs* g, bint backward, ConvWindows* w, Py_ssize_t taps_before, int thread,
                         int n_threads) noexcept nogil:
    cdef Py_ssize_t width = channels_written(g, backward) // g.G, depth = channels_read(g, backward) // g.G
    cdef Py_ssize_t panels = (width + NP - 1) // NP, panel_step = NP * g.R * g.S * depth
    cdef Py_ssize_t pixels = g.N * w.down.n * w.across.n
    cdef Py_ssize_t tiles = (pixels + MR_NARROW - 1) // MR_NARROW
    cdef Py_ssize_t height, higher, together, q, end, t, h, i, group, first, last, p0, p1
    cdef bint finishing = g.activation > RELU or (g.gate != NULL and g.gate_activation != RELU)
    cdef Share2D share
    cdef WindowStrip s
    cdef const real* weights
    if tiles == 0:
        return
    height, higher = pixels // tiles, pixels % tiles        # the first tiles are one pixel higher
    share = share_2d(tiles, g.G * panels, True, thread, n_threads)
    begin_phase(w)
    s.pointers, s.at, s.runs = w.pointers, w.at, w.runs
    s.depth = depth * w.across.taps if w.joined else depth
    s.floor = <real>0 if g.activation == RELU else -<real>INFINITY
    together = max(PACKED_BYTES // (NP * max(w.down.taps * w.across.taps * depth, 1) * <Py_ssize_t>sizeof(real)), 1)
    for q from share.p0 <= q < share.p1 by together:
        end = min(q + together, share.p1)
        first, last = q // panels, (end - 1) // panels
        begin_at(w, share.t0 * height + min(share.t0, higher))
        for t in range(share.t0, share.t1):
            h = height + 1 if t < higher else height
            point_tile(w, h)
            for group in range(first, last + 1):
                p0, p1 = max(q - group * panels, 0), min(end - group * panels, panels)
                s.shift = group * depth * sizeof(real)
                s.ahead = 0 if backward or w.joined else s.shift + h * w.across.move * w.channels * <Py_ssize_t>sizeof(real)
                weights = g.shared + group * packed_group(g, backward)
                for i in range(h):
                    prefetch_elements(g.y + w.at[i] + group * width + p0 * NP, min((p1 - p0) * NP, width))
                convolve_group(g, w, h, group, width, p0, p1, weights, panel_step, taps_before * depth, finishing, &s)


cdef inline void direct_convolve(const ConvArgs* g, bint backward, int thread, int n_threads) noexcept nogil:
    cdef char* scratch = <char*>g.scratch + thread * g.scratch_stride
    cdef Py_ssize_t a, b, taps_before = 0
    cdef ConvWindows w
    w.source = g.x
    w.zeros = g.shared + g.G * packed_group(g, backward)
    w.channels = channels_read(g, backward)
    w.joined = joins_taps(g, backward)
    w.pointers = <size_t*>scratch
    w.offsets = <Py_ssize_t*>(w.pointers + MR_NARROW * g.R * g.S)
    w.copies = <real*>(w.offsets + g.R * g.S)
    w.result_channels = channels_written(g, backward)
    w.result_row = (g.W if backward else g.Q) * w.result_channels
    w.result_image = (g.H if backward else g.P) * w.result_row
    for a in range(phases_down(g, backward)):
        w.down = line_down(g, backward, a)
        for b in range(phases_across(g, backward)):
            w.across = line_across(g, backward, b)
            convolve_phase(g, backward, &w, taps_before, thread, n_threads)
            taps_before += w.down.taps * w.across.taps


cdef void conv_direct_pack(const void* args, int thread, int n_threads) noexcept nogil:
    direct_pack(<const ConvArgs*>args, False, thread, n_threads)


cdef void conv_direct(const void* args, int thread, int n_threads) noexcept nogil:
    direct_convolve(<const ConvArgs*>args, False, thread, n_threads)


cdef void conv_direct_data_pack(const void* args, int thread, int n_threads) noexcept nogil:
    direct_pack(<const ConvArgs*>args, True, thread, n_threads)


cdef void conv_direct_data(const void* args, int thread, int n_threads) noexcept nogil:
    direct_convolve(<const ConvArgs*>args, True, thread, n_threads)
