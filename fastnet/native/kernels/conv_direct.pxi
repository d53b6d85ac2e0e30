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
# Few channels have an iteration of their own, in conv_direct_patches.pxi.
#
# The input gradient is the same with the channels' parts exchanged. With a stride, pixels whose coordinates leave the
# same remainder (a phase) are reached by the same taps, in steps of one pixel of dy: each phase is a convolution of its own.
#
# Order of summation: from the bias, in the window's order (rows, columns, channels of what is read), so that the input
# gradient has its taps backwards.
#
# Shared: the packed weights [group][panel][phase][tap][channel read][NP or what is left, in whole vectors], and a row of zeros.
# Scratch: the pointers [tap][MR_NARROW] of a tile, the taps' offsets.

# --- tiles -------------------------------------------------------------------------------------------------------

# A strip of tiles: h pixels, one panel after the other; in a patch there may be several tiles of neighbours, one after the other.
cdef struct WindowStrip:
    Py_ssize_t tiles        # in a patch
    Py_ssize_t panels
    const size_t* pointers  # [runs][MR_NARROW], or NULL:
    const real* patch       # what the first pixel sees,
    Py_ssize_t step         # elements from pixel to pixel,
    Py_ssize_t row          # and from run to run;
    Py_ssize_t y_step       # from result to result
    Py_ssize_t runs
    Py_ssize_t depth        # elements of a run
    Py_ssize_t shift        # bytes from a pointer to the group's first channel
    Py_ssize_t ahead        # bytes from a pointer to what the next tile reads there
    const real* b
    Py_ssize_t b_step       # elements from one panel to the next
    const Py_ssize_t* at    # [h], where results are in y, in `added` and in the gate
    real* y
    const real* bias        # or NULL
    const real* added       # added to the sums, or NULL
    const real* gate        # results become 0 where this is at most 0 (the slope of relu), or NULL
    real floor              # 0 for relu, -inf for none


cdef inline void window_strip(Py_ssize_t h, Py_ssize_t nv, bint in_patch, const WindowStrip* args) noexcept nogil:
    """(The loop over the panels also makes GCC keep c in registers, as in gemm_strip.pxi.)"""
    cdef WindowStrip s = args[0]
    cdef vf c[MR_NARROW * 2]
    cdef vf b[2]
    cdef vf x, floor = vset(s.floor)
    cdef const real* rows[MR_NARROW]
    cdef const size_t* pointers
    cdef const real* pb
    cdef Py_ssize_t n, i, j, k, run, ahead, panel = 0, beyond = h * s.y_step - s.panels * nv * LANES
    for n in range(s.panels * s.tiles if in_patch else s.panels):
        ahead = nv * LANES if panel + 1 < s.panels else beyond + nv * LANES     # to the next results
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = vload((<const real*>zero_vectors if s.bias == NULL else s.bias) + j * LANES)
                if in_patch:
                    prefetch(s.y + s.at[i] + ahead + j * LANES)
        pb = s.b
        pointers = s.pointers
        for run in range(s.runs):
            if in_patch:
                # Pixels in groups of three: one pointer each, the others by the address's scale.
                for i in range((h + 2) // 3):
                    rows[i] = s.patch + run * s.row + 3 * i * s.step
            else:
                for i in range(h):
                    rows[i] = <const real*>(pointers[i] + <size_t>s.shift) + s.depth
                    if s.ahead:
                        prefetch(<const char*>(pointers[i] + <size_t>s.ahead))
                pointers += MR_NARROW
            # From the run's end: one counter is index and limit.
            for k in range(-s.depth, 0):
                for j in range(nv):
                    b[j] = vload(pb + j * LANES)
                    if not in_patch:
                        prefetch(pb + (8 * nv + j) * LANES)
                for i in range(h):
                    x = vset(rows[i // 3][i % 3 * s.step] if in_patch else rows[i][k])
                    for j in range(nv):
                        c[i * nv + j] = vfma(x, b[j], c[i * nv + j])
                if in_patch:
                    for i in range((h + 2) // 3):
                        rows[i] += 1
                pb += nv * LANES
        if s.added != NULL:
            for i in range(h):
                for j in range(nv):
                    c[i * nv + j] = c[i * nv + j] + vload(s.added + s.at[i] + j * LANES)
            s.added += nv * LANES
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = vmax(floor, c[i * nv + j])
        if s.gate != NULL:      # before the store: the gate's memory may be the result's
            for i in range(h):
                for j in range(nv):
                    x = vload(s.gate + s.at[i] + j * LANES)
                    c[i * nv + j] = vselect(vle(x, vzero()), vzero(), c[i * nv + j])
            s.gate += nv * LANES
        for i in range(h):
            for j in range(nv):
                vstore(s.y + s.at[i] + j * LANES, c[i * nv + j])
        s.y += nv * LANES
        s.b += s.b_step
        if s.bias != NULL:
            s.bias += nv * LANES
        panel += 1
        if in_patch and panel == s.panels:
            panel = 0
            s.patch += h * s.step
            s.b -= s.panels * s.b_step
            s.y += beyond
            s.bias = args.bias
            if s.added != NULL:
                s.added += beyond
            if s.gate != NULL:
                s.gate += beyond


cdef inline void window_strip_of_height(Py_ssize_t h, Py_ssize_t nv, bint in_patch, const WindowStrip* s) noexcept nogil:
    if h == 1: window_strip(1, nv, in_patch, s)
    elif h == 2: window_strip(2, nv, in_patch, s)
    elif h == 3: window_strip(3, nv, in_patch, s)
    elif h == 4: window_strip(4, nv, in_patch, s)
    elif h == 5: window_strip(5, nv, in_patch, s)
    elif h == 6: window_strip(6, nv, in_patch, s)
    elif MR_NARROW > 6 and h == 7: window_strip(7, nv, in_patch, s)
    elif MR_NARROW > 6 and h == 8: window_strip(8, nv, in_patch, s)
    elif MR_NARROW > 6 and h == 9: window_strip(9, nv, in_patch, s)
    elif MR_NARROW > 6 and h == 10: window_strip(10, nv, in_patch, s)
    elif MR_NARROW > 6 and h == 11: window_strip(11, nv, in_patch, s)
    elif MR_NARROW > 6 and h == 12: window_strip(12, nv, in_patch, s)


cdef void window_strip_of_one(Py_ssize_t h, const WindowStrip* s) noexcept nogil:
    if s.pointers == NULL:
        window_strip_of_height(h, 1, True, s)
    else:
        window_strip_of_height(h, 1, False, s)


cdef void window_strip_of_two(Py_ssize_t h, const WindowStrip* s) noexcept nogil:
    if s.pointers == NULL:
        window_strip_of_height(h, 2, True, s)
    else:
        window_strip_of_height(h, 2, False, s)


cdef inline void window_strip_of_width(Py_ssize_t h, Py_ssize_t width, const WindowStrip* s) noexcept nogil:
    """Of one vector, or two."""
    if width <= LANES:
        window_strip_of_one(h, s)
    else:
        window_strip_of_two(h, s)


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
    window_strip_of_width(h, width, &whole)
    for i in range(h):
        if s.added != NULL:
            for v from 0 <= v < width by LANES:
                vstore(y + i * NP + v, vload(y + i * NP + v) + vload_upto(s.added + s.at[i] + v, width - v))
        finish_pixel(g, s.at[i] + j, y + i * NP, width)
        for v from 0 <= v < width by LANES:
            vstore_upto(s.y + s.at[i] + v, vload(y + i * NP + v), width - v)


# --- phases ------------------------------------------------------------------------------------------------------

cdef inline void strip_at_channel(const ConvArgs* g, Py_ssize_t j, bint finishing, WindowStrip* s) noexcept nogil:
    """The strip's results begin with channel j of the pixels."""
    s.y = g.y + j
    s.bias = s.added = s.gate = NULL
    if g.bias != NULL:
        s.bias = g.bias + j
    if g.added != NULL:
        s.added = g.added + j
    if g.gate != NULL and not finishing:
        s.gate = g.gate + j


cdef void convolve_group(const ConvArgs* g, const ConvWindows* w, Py_ssize_t h, Py_ssize_t group, Py_ssize_t width,
                         Py_ssize_t p0, Py_ssize_t p1, const real* weights, Py_ssize_t panel_step, Py_ssize_t before,
                         bint finishing, WindowStrip* s) noexcept nogil:
    """The tile at hand, for the panels p0 .. p1 of one group, whose weights are given, with `before` rows of other phases."""
    cdef Py_ssize_t whole = min(p1, width // NP), rest = width - whole * NP, j, i
    if whole > p0:
        j = group * width + p0 * NP
        s.b, s.b_step, s.panels = weights + p0 * panel_step + before * NP, panel_step, whole - p0
        strip_at_channel(g, j, finishing, s)
        window_strip_of_two(h, s)
        if finishing:
            for i in range(h):
                finish_pixel(g, w.at[i] + j, g.y + w.at[i] + j, (whole - p0) * NP)
    if p1 * NP > width:
        # The last panel; its rows are as wide as it has vectors, and so are its offsets.
        j = group * width + whole * NP
        s.b, s.panels = weights + whole * panel_step + before * whole_vectors(rest), 1
        strip_at_channel(g, j, finishing, s)
        if rest != LANES:
            window_tile_at_edge(g, h, rest, j, s)
            return
        window_strip_of_one(h, s)
        if finishing:
            for i in range(h):
                finish_pixel(g, w.at[i] + j, g.y + w.at[i] + j, rest)


cdef inline bint has_finish_of_pixels(const ConvArgs* g) noexcept nogil:
    """Whether there is an activation, or the slope of one, that the strips don't apply."""
    return g.activation > RELU or (g.gate != NULL and g.gate_activation != RELU)


cdef inline Py_ssize_t panels_together(const ConvWindows* w, Py_ssize_t depth) noexcept nogil:
    """Whose weights stay in L2."""
    return max(PACKED_BYTES // (NP * max(w.down.taps * w.across.taps * depth, 1) * <Py_ssize_t>sizeof(real)), 1)


cdef inline Py_ssize_t tiles_of_phase(const ConvArgs* g, const ConvWindows* w) noexcept nogil:
    return (g.N * w.down.n * w.across.n + MR_NARROW - 1) // MR_NARROW


cdef void convolve_phase(const ConvArgs* g, bint backward, ConvWindows* w, Py_ssize_t taps_before, Collector c, int thread,
                         int n_threads) noexcept nogil:
    cdef Py_ssize_t width = channels_written(g, backward) // g.G, depth = channels_read(g, backward) // g.G
    cdef Py_ssize_t panels = (width + NP - 1) // NP, panel_step = NP * g.R * g.S * depth
    cdef Py_ssize_t pixels = g.N * w.down.n * w.across.n
    cdef Py_ssize_t tiles = tiles_of_phase(g, w)
    cdef Py_ssize_t height, higher, together, q, end, t, h, i, group, first, last, p0, p1, k, t0, t1
    cdef bint finishing = has_finish_of_pixels(g)
    cdef Share2D share
    cdef WindowStrip s
    cdef const real* weights
    if tiles == 0:
        return
    height, higher = pixels // tiles, pixels % tiles        # the first tiles are one pixel higher
    share = share_2d(c.parts, g.G * panels, True, thread, n_threads)
    t0, t1 = first_unit(&c, share.t0), first_unit(&c, share.t1)
    begin_phase(w)
    memset(&s, 0, sizeof(s))
    s.pointers, s.at, s.runs = w.pointers, w.at, w.taps
    s.depth = depth
    s.floor = <real>0 if g.activation == RELU else -<real>INFINITY
    together = panels_together(w, depth)
    for q from share.p0 <= q < share.p1 by together:
        end = min(q + together, share.p1)
        first, last = q // panels, (end - 1) // panels
        begin_at(w, t0 * height + min(t0, higher))
        begin_at_part(&c, share.t0)
        for t in range(t0, t1):
            enter_unit(&c, t)
            h = height + 1 if t < higher else height
            point_tile(w, h)
            for group in range(first, last + 1):
                p0, p1 = max(q - group * panels, 0), min(end - group * panels, panels)
                s.shift = group * depth * sizeof(real)
                s.ahead = 0 if backward else s.shift + h * w.across.move * w.channels * <Py_ssize_t>sizeof(real)
                weights = g.shared + group * packed_group(g, backward)
                for i in range(h):
                    prefetch_elements(g.y + w.at[i] + group * width + p0 * NP, min((p1 - p0) * NP, width))
                    if g.statistics_x != NULL:
                        prefetch_elements(g.statistics_x + w.at[i] + group * width + p0 * NP, min((p1 - p0) * NP, width))
                convolve_group(g, w, h, group, width, p0, p1, weights, panel_step, taps_before * depth, finishing, &s)
                if c.first != NULL:
                    k = group * width
                    collect(&c, w.at, h, k + p0 * NP, k + min(p1 * NP, width))
            c.before += h


cdef inline void direct_convolve(const ConvArgs* g, bint backward, int thread, int n_threads) noexcept nogil:
    cdef char* scratch = <char*>g.scratch + thread * g.scratch_stride
    cdef Py_ssize_t down = phases_down(g, backward), across = phases_across(g, backward)
    cdef Py_ssize_t a, b, taps_before = 0
    cdef Collector collector = collector_of(g.y, channels_written(g, backward), g.statistics, g.statistics_x, g.statistics_mean, g.parts)
    cdef Collector section
    cdef ConvWindows w
    w.source = g.x
    w.zeros = g.shared + g.G * packed_group(g, backward)
    w.channels = channels_read(g, backward)
    w.pointers = <size_t*>scratch
    w.offsets = <Py_ssize_t*>(w.pointers + MR_NARROW * g.R * g.S)
    w.result_channels = channels_written(g, backward)
    w.result_row = (g.W if backward else g.Q) * w.result_channels
    w.result_image = (g.H if backward else g.P) * w.result_row
    for a in range(down):
        w.down = line_down(g, backward, a)
        for b in range(across):
            w.across = line_across(g, backward, b)
            if in_patches(g, backward):
                section = section_of(&collector, a * across + b, down * across, number_of_patches(g, &w))
                convolve_patches(g, backward, &w, taps_before, section, <real*>scratch, thread, n_threads)
            else:
                section = section_of(&collector, a * across + b, down * across, tiles_of_phase(g, &w))
                convolve_phase(g, backward, &w, taps_before, section, thread, n_threads)
            taps_before += w.down.taps * w.across.taps


cdef void conv_direct_pack(const void* args, int thread, int n_threads) noexcept nogil:
    direct_pack(<const ConvArgs*>args, False, thread, n_threads)


cdef void conv_direct(const void* args, int thread, int n_threads) noexcept nogil:
    direct_convolve(<const ConvArgs*>args, False, thread, n_threads)


cdef void conv_direct_data_pack(const void* args, int thread, int n_threads) noexcept nogil:
    direct_pack(<const ConvArgs*>args, True, thread, n_threads)


cdef void conv_direct_data(const void* args, int thread, int n_threads) noexcept nogil:
    direct_convolve(<const ConvArgs*>args, True, thread, n_threads)
