# What a direct convolution (conv_direct.pxi) sees and reads: lines of windows, packed weights, pointers to pixels.
#
# Along each axis the windows of a phase form a line. The letters are those of conv.pxi, the terms those of conv_direct.pxi.
#
# Weights: [group][panel][phase][tap][channel read][NP or what is left, in whole vectors].
# Pointers: [tap][MR_NARROW] of a tile.

cdef enum:
    NP = 2 * LANES          # filters of a panel
    FEW_CHANNELS = 16       # below it, the taps of a row are one run (conv_direct_patches.pxi)


# Windows along one axis, for the results of one phase: result i is at first + i step; its tap j reads i move + origin +
# j distance (outside of 0 .. size there are zeros), with the weights of tap + j tap_step.
cdef struct Line:
    Py_ssize_t n
    Py_ssize_t first
    Py_ssize_t step
    Py_ssize_t size
    Py_ssize_t taps
    Py_ssize_t move
    Py_ssize_t origin
    Py_ssize_t distance
    Py_ssize_t tap
    Py_ssize_t tap_step


cdef inline Py_ssize_t greatest_divisor(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef inline Line forward_line(Py_ssize_t size, Py_ssize_t n, Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation,
                              Py_ssize_t padding) noexcept nogil:
    return Line(n, 0, 1, size, taps, stride, -padding, dilation, 0, 1)


cdef Line backward_line(Py_ssize_t size, Py_ssize_t n, Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation,
                        Py_ssize_t padding, Py_ssize_t phase) noexcept nogil:
    """The n pixels of x, from the `phase`-th in steps of the stride, as sums over the `size` pixels of dy."""
    cdef Py_ssize_t divisor = greatest_divisor(stride, dilation), between = stride // divisor, tap = 0, last
    cdef Line line = Line((n - phase + stride - 1) // stride, phase, stride, size, 0, 1, 0, dilation // divisor, 0, -between)
    while tap < min(taps, between) and (phase + padding - tap * dilation) % stride:
        tap += 1
    if tap < min(taps, between):
        line.taps = (taps - 1 - tap) // between + 1
        line.tap = last = tap + (line.taps - 1) * between
        line.origin = (phase + padding - last * dilation) // stride
    return line


cdef inline Line line_down(const ConvArgs* g, bint backward, Py_ssize_t phase) noexcept nogil:
    if backward:
        return backward_line(g.P, g.H, g.R, g.sh, g.eh, g.ph, phase)
    return forward_line(g.H, g.P, g.R, g.sh, g.eh, g.ph)


cdef inline Line line_across(const ConvArgs* g, bint backward, Py_ssize_t phase) noexcept nogil:
    if backward:
        return backward_line(g.Q, g.W, g.S, g.sw, g.ew, g.pw, phase)
    return forward_line(g.W, g.Q, g.S, g.sw, g.ew, g.pw)


cdef inline Py_ssize_t phases_down(const ConvArgs* g, bint backward) noexcept nogil:
    return min(g.sh, g.H) if backward else 1


cdef inline Py_ssize_t phases_across(const ConvArgs* g, bint backward) noexcept nogil:
    return min(g.sw, g.W) if backward else 1


# --- sizes ---------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t channels_read(const ConvArgs* g, bint backward) noexcept nogil:
    return g.K if backward else g.C


cdef inline Py_ssize_t channels_written(const ConvArgs* g, bint backward) noexcept nogil:
    return g.C if backward else g.K


cdef inline bint in_patches(const ConvArgs* g, bint backward) noexcept nogil:
    cdef Py_ssize_t distance = g.ew // greatest_divisor(g.sw, g.ew) if backward else g.ew
    return g.G == 1 and g.S > 1 and distance == 1 and channels_read(g, backward) < FEW_CHANNELS


cdef inline Py_ssize_t packed_group(const ConvArgs* g, bint backward) noexcept nogil:
    """Elements of a group's packed weights."""
    return whole_vectors(channels_written(g, backward) // g.G) * g.R * g.S * (channels_read(g, backward) // g.G)


cdef inline Py_ssize_t direct_shared(const ConvArgs* g, bint backward) noexcept nogil:
    return (g.G * packed_group(g, backward) + whole_vectors(channels_read(g, backward))) * sizeof(real)


cdef inline Py_ssize_t direct_scratch(const ConvArgs* g, bint backward) noexcept nogil:
    if in_patches(g, backward):
        return patch_bytes(g, backward)
    return (MR_NARROW + 1) * g.R * g.S * <Py_ssize_t>sizeof(size_t)


cdef Py_ssize_t conv_direct_shared(const void* args) noexcept nogil:
    return direct_shared(<const ConvArgs*>args, False)


cdef Py_ssize_t conv_direct_scratch(const void* args) noexcept nogil:
    return direct_scratch(<const ConvArgs*>args, False)


cdef Py_ssize_t conv_direct_data_shared(const void* args) noexcept nogil:
    return direct_shared(<const ConvArgs*>args, True)


cdef Py_ssize_t conv_direct_data_scratch(const void* args) noexcept nogil:
    return direct_scratch(<const ConvArgs*>args, True)


# --- packing ---------------------------------------------------------------------------------------------------

cdef void pack_filters(const real* w, Py_ssize_t ld, Py_ssize_t depth, Py_ssize_t width, real* panel) noexcept nogil:
    """depth rows of `width` filters, in whole vectors."""
    cdef Py_ssize_t k, j, whole = whole_vectors(width)
    for k in range(depth):
        for j from 0 <= j < width by LANES:
            vstore(panel + k * whole + j, vload_upto(w + k * ld + j, width - j))


cdef void pack_filters_transposed(const real* w, Py_ssize_t ld, Py_ssize_t depth, Py_ssize_t width,
                                  real* panel) noexcept nogil:
    """The same from `width` rows of `depth` elements."""
    cdef vf square[LANES]
    cdef Py_ssize_t k, v, i, n, whole = whole_vectors(width)
    for v from 0 <= v < width by LANES:
        n = min(width - v, <Py_ssize_t>LANES)
        for k from 0 <= k < depth by LANES:
            for i in range(LANES):
                square[i] = vload_upto(w + (v + i) * ld + k, depth - k) if i < n else vzero()
            vtranspose(square)
            for i in range(LANES):
                if k + i < depth:
                    vstore(panel + (k + i) * whole + v, square[i])


cdef void pack_panel_of_taps(const ConvArgs* g, bint backward, Py_ssize_t group, Py_ssize_t j0, Py_ssize_t width,
                             real* panel) noexcept nogil:
    cdef Py_ssize_t depth = channels_read(g, backward) // g.G, a, b, r, s
    cdef Py_ssize_t first = group * (g.K // g.G)
    cdef const real* w
    cdef Line down, across
    for a in range(phases_down(g, backward)):
        down = line_down(g, backward, a)
        for b in range(phases_across(g, backward)):
            across = line_across(g, backward, b)
            for r in range(down.taps):
                for s in range(across.taps):
                    w = g.w + ((down.tap + r * down.tap_step) * g.S + across.tap + s * across.tap_step) * (g.C // g.G) * g.K
                    if backward:
                        pack_filters_transposed(w + j0 * g.K + first, g.K, depth, width, panel)
                    else:
                        pack_filters(w + first + j0, g.K, depth, width, panel)
                    panel += depth * whole_vectors(width)


cdef inline void direct_pack(const ConvArgs* g, bint backward, int thread, int n_threads) noexcept nogil:
    cdef Py_ssize_t taps_depth = g.R * g.S * (channels_read(g, backward) // g.G)
    cdef Py_ssize_t width = channels_written(g, backward) // g.G, panels = (width + NP - 1) // NP, i, j
    for i in range(thread * g.G * panels // n_threads, (thread + 1) * g.G * panels // n_threads):
        j = i % panels * NP
        pack_panel_of_taps(g, backward, i // panels, j, min(width - j, <Py_ssize_t>NP),
                           g.shared + i // panels * packed_group(g, backward) + j * taps_depth)
    if thread == 0:
        i = g.G * packed_group(g, backward)
        memset(g.shared + i, 0, direct_shared(g, backward) - i * sizeof(real))


# --- the pointers of a tile --------------------------------------------------------------------------------------

# What a thread knows of a phase: where windows lie, and the tile at hand.
cdef struct ConvWindows:
    Line down
    Line across
    const real* source
    const real* zeros
    Py_ssize_t channels
    Py_ssize_t taps
    Py_ssize_t* offsets     # [taps], bytes from the first of a window
    size_t* pointers        # [taps][MR_NARROW]
    Py_ssize_t result_channels
    Py_ssize_t result_row   # elements of a row of pixels of the result
    Py_ssize_t result_image
    Py_ssize_t at[MR_NARROW]    # where the tile's results are
    Py_ssize_t n            # the pixel with which the next tile begins
    Py_ssize_t p
    Py_ssize_t q


cdef inline void begin_phase(ConvWindows* w) noexcept nogil:
    cdef Py_ssize_t r, s, tap = 0
    w.taps = w.down.taps * w.across.taps
    for r in range(w.down.taps):
        for s in range(w.across.taps):
            w.offsets[tap] = (r * w.down.distance * w.across.size + s * w.across.distance) * w.channels * sizeof(real)
            tap += 1


cdef inline void begin_at(ConvWindows* w, Py_ssize_t pixel) noexcept nogil:
    """The next tile begins with this pixel, in the order of images, rows, columns."""
    w.n = pixel // (w.down.n * w.across.n)
    w.p = pixel // w.across.n % w.down.n
    w.q = pixel % w.across.n


cdef inline Py_ssize_t result_at(const ConvWindows* w, Py_ssize_t image, Py_ssize_t p, Py_ssize_t q) noexcept nogil:
    return (image * w.result_image + (w.down.first + p * w.down.step) * w.result_row
            + (w.across.first + q * w.across.step) * w.result_channels)


cdef inline void place_results(ConvWindows* w, Py_ssize_t at, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    """Where the results of n neighbours are."""
    cdef Py_ssize_t i
    for i in range(n):
        w.at[i] = at + i * step


cdef void point_outside(ConvWindows* w, Py_ssize_t i, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    """Correct the pointers of pixel i, whose window begins at (y, x) and reaches over an edge."""
    cdef Py_ssize_t r, s, row = y, column
    cdef size_t* pointer = w.pointers + i
    for r in range(w.down.taps):
        column = x
        for s in range(w.across.taps):
            if row < 0 or row >= w.down.size or column < 0 or column >= w.across.size:
                pointer[0] = <size_t>w.zeros
            column += w.across.distance
            pointer += MR_NARROW
        row += w.down.distance


cdef void point_tile(ConvWindows* w, Py_ssize_t h) noexcept nogil:
    """The pointers, and the places of the results, of the next h pixels."""
    cdef size_t base[MR_NARROW]
    cdef Py_ssize_t ys[MR_NARROW]
    cdef Py_ssize_t xs[MR_NARROW]
    cdef Py_ssize_t begin[MR_NARROW]
    cdef Py_ssize_t end[MR_NARROW]
    cdef Py_ssize_t across = w.across.distance * (w.across.taps - 1), down = w.down.distance * (w.down.taps - 1)
    cdef Py_ssize_t step = w.across.move * w.channels * <Py_ssize_t>sizeof(real), result_step = w.across.step * w.result_channels
    cdef Py_ssize_t i = 0, k, n, tap, row, rows = 0, x, at
    cdef size_t address
    cdef size_t* pointers = w.pointers
    while i < h:
        # A part of one row of pixels.
        n = min(h - i, w.across.n - w.q)
        row = w.p * w.down.move + w.down.origin
        x = w.q * w.across.move + w.across.origin
        address = <size_t>w.source + ((w.n * w.down.size + row) * w.across.size + x) * w.channels * <Py_ssize_t>sizeof(real)
        at = result_at(w, w.n, w.p, w.q)
        if row < 0 or row + down >= w.down.size or x < 0 or x + (n - 1) * w.across.move + across >= w.across.size:
            ys[rows], xs[rows], begin[rows], end[rows] = row, x, i, i + n
            rows += 1
        for k in range(i, i + n):
            base[k] = address
            w.at[k] = at
            address += step
            at += result_step
        i += n
        w.q += n
        if w.q == w.across.n:
            w.q = 0
            w.p += 1
            if w.p == w.down.n:
                w.p = 0
                w.n += 1
    for i in range(h, MR_NARROW):
        base[i] = 0
    for tap in range(w.taps):
        for i in range(MR_NARROW):
            pointers[i] = base[i] + <size_t>w.offsets[tap]
        pointers += MR_NARROW
    for k in range(rows):
        x = xs[k]
        row = ys[k]
        for i in range(begin[k], end[k]):
            if row < 0 or row + down >= w.down.size or x < 0 or x + across >= w.across.size:
                point_outside(w, i, row, x)
            x += w.across.move
