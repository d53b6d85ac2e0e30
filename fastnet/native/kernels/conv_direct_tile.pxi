# Tiles of a direct convolution: the inner loops of conv_direct.pxi.
#
#   y[i, k] = start[k] + sum over taps and c of rows[tap, i][c] w[tap, c, k]      for h pixels i and one panel of NR filters after the other
#
# h          pixels of a tile, a constant of each function      nv  vectors of filters in a row of it, too
# rows       a pointer for each tap and pixel: where its channels are, or a row of zeros
# depth      channels of a tap
#
# A tile of h x nv vectors lives in registers; each channel of each tap broadcasts h elements and loads nv vectors of weights.
# There are pointers for at most HIGH pixels, as many as the registers for addresses allow.
#
# Order of summation: from the bias or zero, taps in their order, c ascending.

cdef enum:
    HIGH = 8                # pixels of a tile that is at most two vectors wide; MR of the others

cdef struct TapTile:
    const real** rows       # h for each tap
    const Py_ssize_t* taps  # the number of each tap, by which its weights are found
    Py_ssize_t n_taps
    Py_ssize_t depth
    const real* weights     # of the first panel: [all taps][depth][NR]
    Py_ssize_t all_taps
    Py_ssize_t panels
    real** y                # of the first panel
    const real* bias        # of the first panel, or NULL
    Py_ssize_t gate_apart   # bytes from an element of y to that of the gate, where there is one
    bint gated              # by the slope of relu
    Py_ssize_t width        # columns of the last panel
    real floor              # 0 for relu, -inf for none


cdef inline void tap_tile(Py_ssize_t h, Py_ssize_t nv, const TapTile* args) noexcept nogil:
    """(The loop over the panels also makes GCC keep c in registers from its first value to the store.)"""
    cdef TapTile s = args[0]
    cdef vf c[HIGH * NV]
    cdef vf b[NV]
    cdef vf x, floor = vset(s.floor)
    cdef const real* a[HIGH]
    cdef const real* w
    cdef real* y
    cdef Py_ssize_t p, tap, i, j, k, n
    for p in range(s.panels):
        n = s.width - p * NR
        for i in range(h):
            for j in range(nv):
                if s.bias == NULL:
                    c[i * nv + j] = vzero()
                elif j < nv - 1:
                    c[i * nv + j] = vload(s.bias + p * NR + j * LANES)
                else:
                    c[i * nv + j] = vload_upto(s.bias + p * NR + j * LANES, n - j * LANES)
        for tap in range(s.n_taps):
            for i in range(h):
                a[i] = s.rows[tap * h + i]
            w = s.weights + (p * s.all_taps * NR + s.taps[tap] * nv * LANES) * s.depth
            for k in range(s.depth):
                for j in range(nv):
                    b[j] = vload(w + j * LANES)
                w += nv * LANES
                for i in range(h):
                    x = vset(a[i][k])
                    for j in range(nv):
                        c[i * nv + j] = vfma(x, b[j], c[i * nv + j])
        for i in range(h):
            y = s.y[i] + p * NR
            for j in range(nv):
                x = vmax(floor, c[i * nv + j])
                if s.gated:
                    b[0] = vload_upto(<const real*>(<const char*>(y + j * LANES) + s.gate_apart), n - j * LANES)
                    x = vselect(vle(b[0], vzero()), vzero(), x)
                if j < nv - 1:
                    vstore(y + j * LANES, x)
                else:
                    vstore_upto(y + j * LANES, x, n - j * LANES)


cdef inline void tap_tile_of_height(Py_ssize_t h, Py_ssize_t nv, const TapTile* s) noexcept nogil:
    if h == 1: tap_tile(1, nv, s)
    elif h == 2: tap_tile(2, nv, s)
    elif h == 3: tap_tile(3, nv, s)
    elif h == 4: tap_tile(4, nv, s)
    elif h == 5: tap_tile(5, nv, s)
    elif h == 6: tap_tile(6, nv, s)
    elif h == 7 and nv <= 2: tap_tile(7, nv, s)
    elif h == 8 and nv <= 2: tap_tile(8, nv, s)


cdef void tap_tile_of_width(Py_ssize_t h, Py_ssize_t width, const TapTile* s) noexcept nogil:
    if width <= LANES: tap_tile_of_height(h, 1, s)
    elif NV == 2 or width <= 2 * LANES: tap_tile_of_height(h, 2, s)
    elif NV > 2 and width <= 3 * LANES: tap_tile_of_height(h, 3, s)
    elif NV > 3: tap_tile_of_height(h, 4, s)


cdef inline Py_ssize_t tap_tile_height(Py_ssize_t columns) noexcept nogil:
    """The most pixels of a tile of so many filters: with two vectors of 16 registers, MR."""
    return MR if columns > 2 * LANES or NV == 2 else HIGH
