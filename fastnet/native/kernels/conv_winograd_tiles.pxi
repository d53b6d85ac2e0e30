# From the pixels of a tile to its points, for all of Winograd's kernels: V = B^T x B^T', and D = G dy G^T for the gradient of the weights.
#
# The legend of conv_winograd_transform.pxi; H, W, C are those of the image that is read. Vectors are over channels.

# Where the t x t pixels of a tile are: `row` elements from row to row, C from pixel to pixel.
cdef struct TilePixels:
    const real* corner
    Py_ssize_t row


cdef inline TilePixels pixels_at(Py_ssize_t t, const real* image, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t y0, Py_ssize_t x0,
                                 real* copy) noexcept nogil:
    """The tile from (y0, x0) on; where it reaches over an edge of the image, a copy with zeros."""
    cdef TilePixels tile
    cdef Py_ssize_t left = max(0, -x0) * C, right = max(min(t, W - x0), 0) * C, y
    if y0 >= 0 and x0 >= 0 and y0 + t <= H and x0 + t <= W:
        tile.corner, tile.row = image + (y0 * W + x0) * C, W * C
        return tile
    tile.corner, tile.row = copy, t * C
    for y in range(y0, y0 + t):
        if y < 0 or y >= H or left >= right:
            fill_elements(copy, t * C, 0)
        else:
            copy_between_zeros(image + (y * W + x0) * C + left, right - left, copy, left, t * C - right)
        copy += t * C
    return tile


cdef inline void points_of_column(Py_ssize_t t, Py_ssize_t r, Py_ssize_t pair, const real* x, Py_ssize_t row, vf* plus,
                                  vf* minus) noexcept nogil:
    """A column of pixels at the points of a pair; at 0 for -1, and at infinity behind the last one.

    By B^T, of t pixels; or by G, of r pixels, where r is not t."""
    cdef vf column[MOST_POINTS]
    cdef Py_ssize_t i
    for i in range(r):
        column[i] = vload(x + i * row)
    if 0 <= pair < t // 2 - 1:
        if r == t:
            input_pair(t, pair, column, plus, minus)
        else:
            kernel_pair(t, r, pair, column, 1, plus, minus)
    else:
        plus[0] = input_end(t, pair >= 0, column) if r == t else kernel_end(t, r, pair >= 0, column, 1)


cdef inline void store_points(Py_ssize_t t, Py_ssize_t r, const vf* half, real* v, Py_ssize_t ldv) noexcept nogil:
    """The other dimension of a row of points."""
    cdef vf points[MOST_POINTS]
    cdef Py_ssize_t j
    if r == t:
        input_points(t, half, points)
    else:
        kernel_points(t, r, half, 1, points, 1)
    for j in range(t):
        vstore(v + j * ldv, points[j])


cdef inline void rows_of_points(Py_ssize_t t, Py_ssize_t r, Py_ssize_t pair, const real* x, Py_ssize_t row, Py_ssize_t C,
                                Py_ssize_t i0, Py_ssize_t i1, real* v, Py_ssize_t ldv) noexcept nogil:
    """Those of the rows i0 .. i1 that belong to a pair of points, numbered as above. (GCC would not unroll over the columns.)"""
    cdef vf plus[MOST_POINTS]
    cdef vf minus[MOST_POINTS]
    cdef bint two = 0 <= pair < t // 2 - 1
    cdef Py_ssize_t first = max(2 * pair + 1, 0)
    if first + two < i0 or first >= i1:
        return
    points_of_column(t, r, pair, x, row, plus, minus)
    points_of_column(t, r, pair, x + C, row, plus + 1, minus + 1)
    if r > 2:
        points_of_column(t, r, pair, x + 2 * C, row, plus + 2, minus + 2)
        points_of_column(t, r, pair, x + 3 * C, row, plus + 3, minus + 3)
    if r > 4:
        points_of_column(t, r, pair, x + 4 * C, row, plus + 4, minus + 4)
        points_of_column(t, r, pair, x + 5 * C, row, plus + 5, minus + 5)
    if r > 6:
        points_of_column(t, r, pair, x + 6 * C, row, plus + 6, minus + 6)
        points_of_column(t, r, pair, x + 7 * C, row, plus + 7, minus + 7)
    if first >= i0:
        store_points(t, r, plus, v + first * t * ldv, ldv)
    if two and first + 1 < i1:
        store_points(t, r, minus, v + (first + 1) * t * ldv, ldv)


cdef inline void transform_channels(Py_ssize_t t, Py_ssize_t r, const TilePixels* tile, Py_ssize_t C, Py_ssize_t c0, Py_ssize_t c1,
                                    Py_ssize_t i0, Py_ssize_t i1, real* v, Py_ssize_t ldv) noexcept nogil:
    """Each pair of rows reads the pixels anew: all of B^T x would not fit into registers. The last channels, where they are not a whole
    vector, are copied, as a second instance of all this for partial vectors would be as large as the first."""
    cdef vf tail[MOST_POINTS * MOST_POINTS]
    cdef const real* x
    cdef Py_ssize_t c, i, row = tile.row, apart = C
    for c from c0 <= c < c1 by LANES:
        x = tile.corner + c
        if C - c < LANES:
            for i in range(r * r):
                tail[i] = vload_n(x + i // r * row + i % r * C, C - c)
            x, row, apart = <const real*>tail, r * LANES, LANES
        rows_of_points(t, r, -1, x, row, apart, i0, i1, v + c, ldv)
        rows_of_points(t, r, 0, x, row, apart, i0, i1, v + c, ldv)
        rows_of_points(t, r, 1, x, row, apart, i0, i1, v + c, ldv)
        if t >= 6:
            rows_of_points(t, r, 2, x, row, apart, i0, i1, v + c, ldv)
        if t >= 8:
            rows_of_points(t, r, 3, x, row, apart, i0, i1, v + c, ldv)


cdef void transform_pixels(Py_ssize_t t, Py_ssize_t r, const TilePixels* tile, Py_ssize_t C, Py_ssize_t c0, Py_ssize_t c1, Py_ssize_t i0,
                           Py_ssize_t i1, real* v, Py_ssize_t ldv) noexcept nogil:
    """Rows i0 .. i1 of B^T x B^T' (r = t), or of G x G^T, of the channels c0 .. c1 (whole vectors, or up to the last); the points ldv
    elements apart."""
    if r == t:
        if t == 4: transform_channels(4, 4, tile, C, c0, c1, i0, i1, v, ldv)
        elif t == 6: transform_channels(6, 6, tile, C, c0, c1, i0, i1, v, ldv)
        else: transform_channels(8, 8, tile, C, c0, c1, i0, i1, v, ldv)
    elif t == 4: transform_channels(4, 2, tile, C, c0, c1, i0, i1, v, ldv)
    elif t == 8: transform_channels(8, 4, tile, C, c0, c1, i0, i1, v, ldv)
    elif r == 4: transform_channels(6, 4, tile, C, c0, c1, i0, i1, v, ldv)
    else: transform_channels(6, 2, tile, C, c0, c1, i0, i1, v, ldv)
