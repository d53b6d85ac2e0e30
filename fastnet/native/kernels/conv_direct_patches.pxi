# Direct convolution (conv_direct.pxi) of few channels: first layers, and the gradients of images with few channels.
#
# The legend of conv.pxi, and the terms of conv_direct.pxi and conv_direct_windows.pxi.
#
# Algorithm: where a pixel has few channels, pointers to pixels would serve a few steps each. Here the taps of a row of the kernel are one
# run of S C elements. The results of an image are divided into patches; what a patch's windows see is copied, with zeros outside of the
# image, so that a tile (h neighbours of one row of a patch) is found by strides alone, and no tile sees an edge. The
# copy stays in L1. A patch is as high and as wide as that allows, but a quarter of the image's rows, so that threads share one image, too.
#
# Order of summation: that of conv_direct.pxi.
#
# Scratch: the copy.

cdef enum:
    PATCH_BYTES = 24 << 10
    LEAST_PATCHES = 4       # of an image, one below the other

cdef struct Patches:
    Py_ssize_t down         # of an image
    Py_ssize_t across
    Py_ssize_t rows         # results of the largest
    Py_ssize_t columns
    Py_ssize_t seen_rows    # and the pixels that they see
    Py_ssize_t row          # elements of a row of these


cdef inline Py_ssize_t pixels_seen(const Line* line, Py_ssize_t n) noexcept nogil:
    return (n - 1) * line.move + max(line.taps - 1, 0) * line.distance + 1


cdef Patches patches_of(const Line* down, const Line* across, Py_ssize_t channels) noexcept nogil:
    cdef Patches t
    cdef Py_ssize_t most = PATCH_BYTES // (pixels_seen(down, 1) * channels * sizeof(real))      # pixels of a row
    t.columns = across.n
    if pixels_seen(across, across.n) > most:
        t.columns = max(((most - pixels_seen(across, 1)) // across.move + 1) // MR_NARROW, 1) * MR_NARROW
    t.across = (across.n + t.columns - 1) // t.columns
    t.columns = (across.n + t.across - 1) // t.across
    t.row = pixels_seen(across, t.columns) * channels
    most = PATCH_BYTES // (t.row * <Py_ssize_t>sizeof(real))                                    # rows
    t.rows = max((most - pixels_seen(down, 1)) // down.move + 1, 1)
    t.rows = min(t.rows, (down.n + LEAST_PATCHES - 1) // LEAST_PATCHES)
    t.down = (down.n + t.rows - 1) // t.rows
    t.seen_rows = pixels_seen(down, t.rows)
    return t


cdef inline Py_ssize_t number_of_patches(const ConvArgs* g, const ConvWindows* w) noexcept nogil:
    cdef Patches t = patches_of(&w.down, &w.across, w.channels)
    return g.N * t.down * t.across


cdef Py_ssize_t patch_bytes(const ConvArgs* g, bint backward) noexcept nogil:
    """Of the largest copy."""
    cdef Py_ssize_t most = 0, a, b
    cdef Line down, across
    cdef Patches t
    for a in range(phases_down(g, backward)):
        down = line_down(g, backward, a)
        for b in range(phases_across(g, backward)):
            across = line_across(g, backward, b)
            t = patches_of(&down, &across, channels_read(g, backward))
            most = max(most, t.seen_rows * t.row * <Py_ssize_t>sizeof(real))
    return most


cdef void copy_patch(const ConvWindows* w, const Patches* t, Py_ssize_t image, Py_ssize_t p, Py_ssize_t q, Py_ssize_t rows,
                     Py_ssize_t columns, real* copy) noexcept nogil:
    """What the results from (p, q) on see."""
    cdef Py_ssize_t x = q * w.across.move + w.across.origin, seen = pixels_seen(&w.across, columns)
    cdef Py_ssize_t left = min(max(-x, 0), seen), right = max(min(w.across.size - x, seen), left), r, y
    for r in range(pixels_seen(&w.down, rows)):
        y = p * w.down.move + w.down.origin + r
        if y < 0 or y >= w.down.size:
            fill_elements(copy, seen * w.channels, 0)
        else:
            copy_between_zeros(w.source + ((image * w.down.size + y) * w.across.size + x + left) * w.channels,
                               (right - left) * w.channels, copy, left * w.channels, (seen - right) * w.channels)
        copy += t.row


cdef void convolve_row(const ConvArgs* g, ConvWindows* w, Py_ssize_t at, Py_ssize_t columns, Py_ssize_t j, Py_ssize_t width, bint finishing,
                       WindowStrip* s) noexcept nogil:
    """A row of a patch, whose first result is at `at`: `width` channels from j on, in `panels` of NP, of one vector or of less than NP."""
    cdef Py_ssize_t tiles = (columns + MR_NARROW - 1) // MR_NARROW, h = columns // tiles, higher = columns % tiles
    cdef Py_ssize_t first = higher * (h + 1), i, n
    cdef const real* patch = s.patch
    strip_at_channel(g, j, finishing, s)
    if width % LANES:
        s.tiles = 1
        for i in range(tiles):
            n = h + 1 if i < higher else h
            place_results(w, at, s.y_step, n)
            window_tile_at_edge(g, n, width, j, s)
            s.patch += n * s.step
            at += n * s.y_step
    else:
        place_results(w, at, s.y_step, MR_NARROW)
        s.tiles = higher        # the first tiles are one pixel higher
        if higher:
            window_strip_of_width(h + 1, width, s)
        place_results(w, at + first * s.y_step, s.y_step, MR_NARROW)
        s.patch += first * s.step
        s.tiles = tiles - higher
        window_strip_of_width(h, width, s)
        if finishing:
            for i in range(columns):
                finish_pixel(g, at + i * s.y_step + j, g.y + at + i * s.y_step + j, width)
    s.patch = patch


cdef void convolve_patches(const ConvArgs* g, bint backward, ConvWindows* w, Py_ssize_t taps_before, Collector c, real* copy, int thread,
                           int n_threads) noexcept nogil:
    """The results of one phase."""
    cdef Py_ssize_t width = channels_written(g, backward), panels = (width + NP - 1) // NP, panel_step = NP * g.R * g.S * w.channels
    cdef Patches t = patches_of(&w.down, &w.across, w.channels)
    cdef Share2D share = share_2d(c.parts, panels, True, thread, n_threads)
    cdef Py_ssize_t whole = min(share.p1, width // NP), rest = width - whole * NP
    cdef Py_ssize_t patch, image, p, q, rows, columns, i, at
    cdef bint finishing = has_finish_of_pixels(g)
    cdef WindowStrip s
    memset(&s, 0, sizeof(s))
    s.at, s.runs, s.depth, s.step = w.at, w.down.taps, w.across.taps * w.channels, w.across.move * w.channels
    s.row, s.y_step, s.b_step = w.down.distance * t.row, w.across.step * w.result_channels, panel_step
    s.floor = <real>0 if g.activation == RELU else -<real>INFINITY
    if c.units == 0 or share.p0 == share.p1:    # a thread more than there are panels counts nothing, either
        return
    begin_at_part(&c, share.t0)
    for patch in range(first_unit(&c, share.t0), first_unit(&c, share.t1)):
        enter_unit(&c, patch)
        image, p, q = patch // (t.down * t.across), patch // t.across % t.down * t.rows, patch % t.across * t.columns
        rows, columns = min(t.rows, w.down.n - p), min(t.columns, w.across.n - q)
        copy_patch(w, &t, image, p, q, rows, columns, copy)
        for i in range(rows):
            at = result_at(w, image, p + i, q)
            s.patch = copy + i * w.down.move * t.row
            if whole > share.p0:
                s.b, s.panels = g.shared + share.p0 * panel_step + taps_before * w.channels * NP, whole - share.p0
                convolve_row(g, w, at, columns, share.p0 * NP, s.panels * NP, finishing, &s)
            if share.p1 * NP > width:
                s.b, s.panels = g.shared + whole * panel_step + taps_before * w.channels * whole_vectors(rest), 1
                convolve_row(g, w, at, columns, whole * NP, rest, finishing, &s)
            if c.first != NULL:
                collect_line(&c, at, s.y_step, columns, share.p0 * NP, min(share.p1 * NP, width))
