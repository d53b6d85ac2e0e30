# Direct convolution: the gradient of the weights, for any kernel, stride, dilation, padding, groups.
#
#   dw[tap, c, k] = sum over pixels of x[source of pixel and tap][c] dy[pixel, k]
#
# The legend of conv.pxi.
#
# Algorithm: pixels in chunks, whose panel of NR filters of dy stays in L1. For each tap, tiles of h channels by nv vectors of filters
# are sums of outer products over the pixels of a chunk, which find x through pointers, and are added to the sums of the chunks
# before. With few channels (fewer than FEW_CHANNELS) the taps of a kernel row are one, of S C channels side by side
# in a copy of a band of the image with its padding.
# The chunks are halved, and each half has sums of its own, where these are small: an even number of threads takes a half each.
# The threads of a half divide its taps and tiles.
#
# Order of summation: pixels of a chunk ascending, then chunks, then the halves: by the shape alone.
#
# Shared: sums of each half. Scratch: pointers, one packed panel of dy, a row of zeros, the copy of a band.

cdef enum:
    DY_PANEL = 16 << 10     # bytes of a chunk's panel of dy

cdef struct DirectWeights:
    const ConvWeightsArgs* args
    bint merged
    Py_ssize_t taps
    Py_ssize_t depth        # channels of a tap, in a group
    Py_ssize_t columns      # of a group
    Py_ssize_t lds          # of the sums
    Py_ssize_t chunk        # pixels, at most
    Py_ssize_t bands        # of an image, merged
    Py_ssize_t chunks       # of all images
    Py_ssize_t halves
    Py_ssize_t half_sums    # elements from half to half: the sums of products, and those of dy
    Py_ssize_t copy         # elements


cdef DirectWeights direct_weights_of(const void* args) noexcept nogil:
    cdef const ConvWeightsArgs* a = <const ConvWeightsArgs*>args
    cdef DirectWeights d
    cdef Py_ssize_t rows
    d.args = a
    d.merged = a.C < FEW_CHANNELS and a.G == 1 and a.ew == 1 and a.S > 1
    d.taps = a.R if d.merged else a.R * a.S
    d.depth = a.S * a.C if d.merged else a.C // a.G
    d.columns = a.K // a.G
    d.lds = whole_vectors(d.columns)
    d.chunk = DY_PANEL // (min(<Py_ssize_t>NR, d.lds) * <Py_ssize_t>sizeof(real))
    d.copy = d.bands = 0
    if d.merged:
        rows = min(max(2 * d.chunk // a.Q, 1), a.P)
        d.bands = (a.P + rows - 1) // rows
        d.chunks = a.N * d.bands
        d.chunk = rows * a.Q
        d.copy = ((rows - 1) * a.sh + (a.R - 1) * a.eh + 1) * ((a.Q - 1) * a.sw + a.S) * a.C
    else:
        d.chunks = (a.N * a.P * a.Q + d.chunk - 1) // d.chunk
    d.half_sums = (d.taps * d.depth + 1) * a.G * d.lds
    d.halves = 2 if 2 * d.half_sums * <Py_ssize_t>sizeof(real) <= HALVES_BYTES and d.chunks >= 4 else 1
    return d


cdef Py_ssize_t conv_direct_weights_shared(const void* args) noexcept nogil:
    cdef DirectWeights d = direct_weights_of(args)
    return d.halves * d.half_sums * sizeof(real)


cdef Py_ssize_t conv_direct_weights_scratch(const void* args) noexcept nogil:
    cdef DirectWeights d = direct_weights_of(args)
    return d.taps * d.chunk * sizeof(void*) + (d.chunk * NR + d.args.C + d.copy) * sizeof(real)


# --- tiles ---------------------------------------------------------------------------------------------------

cdef inline void outer_tile(Py_ssize_t h, Py_ssize_t nv, const real** rows, Py_ssize_t i0, Py_ssize_t n, const real* b, Py_ssize_t ldb,
                            real* sums, Py_ssize_t lds, bint first) noexcept nogil:
    """sums [h, nv vectors] of rows[pixel][i0 + i] b[pixel], over n pixels; added to what is there, but for the first time."""
    cdef vf c[MR_NARROW * NV]
    cdef vf x
    cdef vf row[NV]
    cdef const real* a
    cdef Py_ssize_t once, i, j, k
    for once in range(1):
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = vzero()
        for k in range(n):
            a = rows[k] + i0
            for j in range(nv):
                row[j] = vload(b + j * LANES)
            b += ldb
            for i in range(h):
                x = vset(a[i])
                for j in range(nv):
                    c[i * nv + j] = vfma(x, row[j], c[i * nv + j])
        for i in range(h):
            for j in range(nv):
                x = c[i * nv + j]
                vstore(sums + i * lds + j * LANES, x if first else vload(sums + i * lds + j * LANES) + x)


cdef inline void outer_tile_of_height(Py_ssize_t h, Py_ssize_t nv, const real** rows, Py_ssize_t i0, Py_ssize_t n, const real* b,
                                      Py_ssize_t ldb, real* sums, Py_ssize_t lds, bint first) noexcept nogil:
    cdef bint narrow = nv == 1 and MR_NARROW > MR
    if h == 1: outer_tile(1, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif h == 2: outer_tile(2, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif h == 3: outer_tile(3, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif h == 4: outer_tile(4, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif h == 5: outer_tile(5, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif h == 6: outer_tile(6, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif narrow and h == 7: outer_tile(7, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif narrow and h == 8: outer_tile(8, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif narrow and h == 9: outer_tile(9, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif narrow and h == 10: outer_tile(10, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif narrow and h == 11: outer_tile(11, nv, rows, i0, n, b, ldb, sums, lds, first)
    elif narrow and h == 12: outer_tile(12, nv, rows, i0, n, b, ldb, sums, lds, first)


cdef void outer_tile_of_width(Py_ssize_t h, Py_ssize_t width, const real** rows, Py_ssize_t i0, Py_ssize_t n, const real* b,
                              Py_ssize_t ldb, real* sums, Py_ssize_t lds, bint first) noexcept nogil:
    if width <= LANES: outer_tile_of_height(h, 1, rows, i0, n, b, ldb, sums, lds, first)
    elif NV == 2 or width <= 2 * LANES: outer_tile_of_height(h, 2, rows, i0, n, b, ldb, sums, lds, first)
    elif NV > 2 and width <= 3 * LANES: outer_tile_of_height(h, 3, rows, i0, n, b, ldb, sums, lds, first)
    elif NV > 3: outer_tile_of_height(h, 4, rows, i0, n, b, ldb, sums, lds, first)


# --- a chunk -------------------------------------------------------------------------------------------------

cdef void point_at_taps(const DirectWeights* d, Py_ssize_t start, Py_ssize_t n, const real* zeros, const real** rows) noexcept nogil:
    """rows[tap, pixel] for the n pixels from number `start` on, a row of pixels after the other."""
    cdef const ConvWeightsArgs* a = d.args
    cdef Py_ssize_t image = start // (a.P * a.Q), p = start // a.Q % a.P, q = start % a.Q
    cdef Py_ssize_t i = 0, end, r, s, y, x, k
    cdef const real* row
    cdef const real** at
    while i < n:
        end = min(n, i + a.Q - q)
        at = rows
        for r in range(a.R):
            y = p * a.sh - a.ph + r * a.eh
            row = a.x + (image * a.H + y) * a.W * a.C
            for s in range(a.S):
                x = q * a.sw - a.pw + s * a.ew
                for k in range(i, end):
                    at[k] = row + x * a.C if 0 <= y < a.H and 0 <= x < a.W else zeros
                    x += a.sw
                at += d.chunk
        i = end
        q = 0
        p += 1
        if p == a.P:
            p = 0
            image += 1


cdef inline Py_ssize_t band_width(const ConvWeightsArgs* a) noexcept nogil:
    """Elements of a row of a band's copy."""
    return ((a.Q - 1) * a.sw + a.S) * a.C


cdef void copy_band(const ConvWeightsArgs* a, const real* image, Py_ssize_t p0, Py_ssize_t p1, real* copy) noexcept nogil:
    """What rows p0 .. p1 of dy see of an image, its padding included."""
    cdef Py_ssize_t width = band_width(a), i, y, left, inside
    left = min(a.pw * a.C, width)
    inside = max(min(width - left, a.W * a.C), <Py_ssize_t>0)
    for i in range((p1 - p0 - 1) * a.sh + (a.R - 1) * a.eh + 1):
        y = p0 * a.sh - a.ph + i
        if 0 <= y < a.H:
            copy_between_zeros(image + y * a.W * a.C, inside, copy + i * width, left, width - left - inside)
        else:
            fill_elements(copy + i * width, width, 0)


cdef void copy_for_taps(const DirectWeights* d, Py_ssize_t image, Py_ssize_t p0, Py_ssize_t p1, real* copy,
                        const real** rows) noexcept nogil:
    """The copy of a band, and rows[kernel row, pixel] in it."""
    cdef const ConvWeightsArgs* a = d.args
    cdef Py_ssize_t width = band_width(a), r, p, q
    copy_band(a, a.x + image * a.H * a.W * a.C, p0, p1, copy)
    for r in range(a.R):
        for p in range(p1 - p0):
            for q in range(a.Q):
                rows[r * d.chunk + p * a.Q + q] = copy + (p * a.sh + r * a.eh) * width + q * a.sw * a.C


cdef void pack_dy(const real* dy, Py_ssize_t ldy, Py_ssize_t n, Py_ssize_t width, real* panel) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(n):
        for j from 0 <= j < width by LANES:
            vstore(panel + i * NR + j, vload_upto(dy + i * ldy + j, width - j))


cdef void add_chunk(const DirectWeights* d, const real* dy, Py_ssize_t n, const real** rows, real* panel, real* sums, bint first,
                    int member, int beside) noexcept nogil:
    """The products of a chunk: the tiles of one thread of `beside`, panel by panel; the first one also sums dy."""
    cdef const ConvWeightsArgs* a = d.args
    cdef Py_ssize_t group, j, width, task, tap, c, h, i, v
    cdef Py_ssize_t most = MR_NARROW if d.columns <= LANES else MR
    cdef Py_ssize_t tiles = (d.depth + most - 1) // most
    cdef Py_ssize_t tasks = d.taps * tiles
    cdef const real* b
    cdef real* to
    cdef Py_ssize_t ldb
    cdef vf total
    for group in range(a.G):
        for j from 0 <= j < d.columns by NR:
            width = min(d.columns - j, <Py_ssize_t>NR)
            b, ldb = dy + group * d.columns + j, a.K
            if a.K > NR or width % LANES:
                pack_dy(b, ldb, n, width, panel)
                b, ldb = panel, NR
            if member == 0 and a.dbias != NULL:
                to = sums + d.taps * d.depth * a.G * d.lds + group * d.lds + j
                for v from 0 <= v < width by LANES:
                    total = vzero()
                    for i in range(n):
                        total = total + vload(b + i * ldb + v)
                    vstore(to + v, total if first else vload(to + v) + total)
            for task in range(member * tasks // beside, (member + 1) * tasks // beside):
                tap = task // tiles
                c = task % tiles * d.depth // tiles
                h = (task % tiles + 1) * d.depth // tiles - c
                to = sums + ((group * d.taps + tap) * d.depth + c) * d.lds + j
                outer_tile_of_width(h, width, rows + tap * d.chunk, group * d.depth + c, n, b, ldb, to, d.lds, first)


cdef void conv_direct_weights(const void* args, int thread, int n_threads) noexcept nogil:
    cdef DirectWeights d = direct_weights_of(args)
    cdef const ConvWeightsArgs* a = d.args
    cdef const real** rows = <const real**>(<char*>a.scratch + thread * a.scratch_stride)
    cdef real* panel = <real*>(rows + d.taps * d.chunk)
    cdef real* zeros = panel + d.chunk * NR
    cdef real* copy = zeros + a.C
    cdef HalfTeam team = team_of_halves(d.halves, thread, n_threads)
    cdef Py_ssize_t half, chunk, begin, end, start, n, image, p0, p1, pixels = a.N * a.P * a.Q
    memset(zeros, 0, a.C * sizeof(real))
    for half in range(d.halves):
        if team.apart and half != team.half:
            continue
        begin = half * d.chunks // d.halves
        end = (half + 1) * d.chunks // d.halves
        for chunk in range(begin, end):
            if d.merged:
                image = chunk // d.bands
                p0 = chunk % d.bands * a.P // d.bands
                p1 = (chunk % d.bands + 1) * a.P // d.bands
                start, n = (image * a.P + p0) * a.Q, (p1 - p0) * a.Q
                copy_for_taps(&d, image, p0, p1, copy, rows)
            else:
                start = chunk * pixels // d.chunks
                n = (chunk + 1) * pixels // d.chunks - start
                point_at_taps(&d, start, n, zeros, rows)
            add_chunk(&d, a.dy + start * a.K, n, rows, panel, a.shared + half * d.half_sums, chunk == begin, team.member,
                      team.beside)


# --- the weights ---------------------------------------------------------------------------------------------

cdef void conv_direct_weights_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef DirectWeights d = direct_weights_of(args)
    cdef const ConvWeightsArgs* a = d.args
    cdef Py_ssize_t rows = a.G * d.taps * d.depth
    cdef Py_ssize_t row, k, group, inner, last = rows + (a.G if a.dbias != NULL else 0)
    cdef const real* sums
    cdef real* to
    cdef vf x, infinite = vzero()
    for row in range(thread * last // n_threads, (thread + 1) * last // n_threads):
        sums = a.shared + row * d.lds
        if row < rows:
            group, inner = row // (d.taps * d.depth), row % (d.taps * d.depth)
            to = a.dw + inner * a.K + group * d.columns
        else:
            to = a.dbias + (row - rows) * d.columns
        for k from 0 <= k < d.columns by LANES:
            x = vload(sums + k)
            if d.halves == 2:
                x = x + vload(sums + d.half_sums + k)
            write_sum(to + k, x, d.columns - k, a.accumulate if row < rows else a.accumulate_bias, &infinite)
    if a.control != NULL and vany(visnan(infinite)):
        report(a.control, BAD_GRADIENT)
