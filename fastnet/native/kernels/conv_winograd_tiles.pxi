# From the pixels of a tile to its points, for all of Winograd's kernels: V = B^T x B^T', and D = G dy G^T for the gradient of the weights.
#
# The legend of conv_winograd_transform.pxi; H, W, C are those of the image that is read. Vectors are over channels.
#
# Columns, and then rows, with what is between them in L1. Where there are 32 registers (NV > 2) and t = 6, storing that would take longer
# than all else: the rows of a pair of points, 12 vectors, are computed together, from pixels that are read anew for each pair.

# Where the pixels of a tile are: `row` elements from row to row, C from pixel to pixel.
cdef struct TilePixels:
    const real* corner
    Py_ssize_t row
    Py_ssize_t columns      # what the compiler doesn't know: the loop over them would be as large, unrolled, as all instances together


cdef inline TilePixels pixels_at(Py_ssize_t t, const real* image, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t y0, Py_ssize_t x0,
                                 real* copy) noexcept nogil:
    """The tile from (y0, x0) on; where it reaches over an edge of the image, a copy with zeros."""
    cdef TilePixels tile
    cdef Py_ssize_t left = max(0, -x0) * C, right = max(min(t, W - x0), 0) * C, y
    tile.columns = t
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


cdef inline void points_of(Py_ssize_t t, Py_ssize_t r, const vf* x, vf* v) noexcept nogil:
    """By B^T, of t pixels; or by G, of r pixels, where r is not t."""
    if r == t:
        input_points(t, x, v)
    else:
        kernel_points(t, r, x, 1, v, 1)


cdef inline void pair_of_column(Py_ssize_t t, Py_ssize_t r, Py_ssize_t pair, const real* x, Py_ssize_t row, vf* plus,
                                vf* minus) noexcept nogil:
    """A column of pixels at the points of a pair; at 0 for -1, and at infinity behind the last one."""
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


cdef inline void store_points(Py_ssize_t t, Py_ssize_t r, const vf* row, real* v, Py_ssize_t ldv) noexcept nogil:
    cdef vf points[MOST_POINTS]
    cdef Py_ssize_t j
    points_of(t, r, row, points)
    for j in range(t):
        vstore(v + j * ldv, points[j])


cdef inline void rows_of_pair(Py_ssize_t r, Py_ssize_t pair, const real* x, Py_ssize_t row, Py_ssize_t C, Py_ssize_t i0, Py_ssize_t i1,
                              real* v, Py_ssize_t ldv) noexcept nogil:
    """Those of the rows i0 .. i1 that belong to a pair of points, numbered as above; t = 6. (A loop over the columns would begin with
    arrays in memory.)
    """
    cdef vf plus[6]
    cdef vf minus[6]
    cdef Py_ssize_t first = max(2 * pair + 1, 0), last = first + (0 <= pair < 2)
    if last < i0 or first >= i1:
        return
    pair_of_column(6, r, pair, x, row, plus, minus)
    pair_of_column(6, r, pair, x + C, row, plus + 1, minus + 1)
    if r > 2:
        pair_of_column(6, r, pair, x + 2 * C, row, plus + 2, minus + 2)
        pair_of_column(6, r, pair, x + 3 * C, row, plus + 3, minus + 3)
    if r > 4:
        pair_of_column(6, r, pair, x + 4 * C, row, plus + 4, minus + 4)
        pair_of_column(6, r, pair, x + 5 * C, row, plus + 5, minus + 5)
    if first >= i0:
        store_points(6, r, plus, v + first * 6 * ldv, ldv)
    if first < last < i1:
        store_points(6, r, minus, v + last * 6 * ldv, ldv)


cdef inline void rows_by_columns(Py_ssize_t t, Py_ssize_t r, Py_ssize_t columns, const real* x, Py_ssize_t row, Py_ssize_t C, Py_ssize_t i0,
                                 Py_ssize_t i1, real* v, Py_ssize_t ldv) noexcept nogil:
    cdef vf half[MOST_POINTS * MOST_POINTS]
    cdef vf pixels[MOST_POINTS]
    cdef vf points[MOST_POINTS]
    cdef Py_ssize_t i, j
    for j in range(columns):
        for i in range(r):
            pixels[i] = vload(x + i * row + j * C)
        points_of(t, r, pixels, points)
        for i in range(t):
            half[i * r + j] = points[i]
    for i in range(i0, i1):
        store_points(t, r, half + i * r, v + i * t * ldv, ldv)


cdef inline void transform_channels(Py_ssize_t t, Py_ssize_t r, const TilePixels* tile, Py_ssize_t C, Py_ssize_t c0, Py_ssize_t c1,
                                    Py_ssize_t i0, Py_ssize_t i1, real* v, Py_ssize_t ldv) noexcept nogil:
    """The last channels, where they are not a whole vector, are copied, as a second instance of all this for partial vectors would be as
    large as the first."""
    cdef vf tail[MOST_POINTS * MOST_POINTS]
    cdef const real* x
    cdef Py_ssize_t c, i, row = tile.row, apart = C
    for c from c0 <= c < c1 by LANES:
        x = tile.corner + c
        if C - c < LANES:
            for i in range(r * r):
                tail[i] = vload_n(x + i // r * row + i % r * C, C - c)
            x, row, apart = <const real*>tail, r * LANES, LANES
        if NV > 2 and t == 6:
            rows_of_pair(r, -1, x, row, apart, i0, i1, v + c, ldv)
            rows_of_pair(r, 0, x, row, apart, i0, i1, v + c, ldv)
            rows_of_pair(r, 1, x, row, apart, i0, i1, v + c, ldv)
            rows_of_pair(r, 2, x, row, apart, i0, i1, v + c, ldv)
        else:
            rows_by_columns(t, r, tile.columns, x, row, apart, i0, i1, v + c, ldv)


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
