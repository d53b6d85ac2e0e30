# A batch of images from a data set, changed at random while it is gathered.
#
# source order y control stride kind check start scale  as in gather.pxi; an image is [height, width, channels]
# crops flips cutouts       in, random words [rows, 2], or NULL where that is not wanted
# brightness contrast       in, random words [rows], or NULL
#
# Image r becomes, in this order, with words w of row r and u = w / 2^32:
#   crop        the window of the padded image that begins pad_y - floor(u0 (2 pad_y + 1)) rows above and
#               pad_x - floor(u1 (2 pad_x + 1)) pixels before it; outside is zero, or with `reflect` mirrored at the
#               first and last pixel (pad < size)
#   flip        left to right where w0 < flip_x, top to bottom where w1 < flip_y
#   colour      y = b (m + c (x - m)), with the mean m over all values, b = 1 + brighter (2 u - 1) and
#               c = 1 + sharper (2 u - 1)
#   cutout      `fill` in the cut_y x cut_x pixels around (floor(u0 height), floor(u1 width)), as far as they are inside
# So every pixel is read once, in one pass over the source. The colour pass runs over an image that was just written.
#
# A row is reversed by vectors of as many whole pixels as they hold, permuted; where a pixel is longer than a vector, pixel by
# pixel. Sources of other dtypes are converted to the thread's row of scratch first.
# With `check`, a NaN or Inf that arrives in y is BAD_INPUT.
#
# Threads take whole images. Order of summation of m: LANES interleaved sums over the image in pieces of 1024 values, whose
# sums are added in double.
#
# Sources: Krizhevsky 2009 (crop, flip), DeVries & Taylor 2017, "Improved regularization of convolutional neural networks
# with cutout".

cdef enum:
    SUM_PIECE = 1024
    MOST_AHEAD = 16         # images that are on their way from memory

cdef struct GatherImagesArgs:
    const void* source
    const int64_t* order
    const uint32_t* crops
    const uint32_t* flips
    const uint32_t* brightness
    const uint32_t* contrast
    const uint32_t* cutouts
    real* y
    Control* control
    char* scratch
    Py_ssize_t rows
    Py_ssize_t height
    Py_ssize_t width
    Py_ssize_t channels
    Py_ssize_t stride
    Py_ssize_t kind
    Py_ssize_t check
    Py_ssize_t start
    Py_ssize_t pad_y
    Py_ssize_t pad_x
    Py_ssize_t reflect
    Py_ssize_t flip_x           # thresholds, 0 to 2^32
    Py_ssize_t flip_y
    Py_ssize_t cut_y
    Py_ssize_t cut_x
    Py_ssize_t scratch_stride
    double scale
    double brighter
    double sharper
    double fill


cdef Py_ssize_t gather_images_scratch(const void* args) noexcept nogil:
    cdef const GatherImagesArgs* a = <const GatherImagesArgs*>args
    return a.width * a.channels * sizeof(real)


cdef inline Py_ssize_t below(uint32_t word, Py_ssize_t n) noexcept nogil:
    """0 to n - 1, each as likely as the others but for n / 2^32."""
    return <Py_ssize_t>(<uint64_t>word * <uint64_t>n >> 32)


cdef inline double around_one(uint32_t word, double amount) noexcept nogil:
    return 1 + dproduct(amount, word * (1.0 / 2147483648.0) - 1)


cdef inline Py_ssize_t mirrored(Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    return -i if i < 0 else (2 * (n - 1) - i if i >= n else i)


# --- rows of pixels ---------------------------------------------------------------------------------------------------

cdef inline vi reversing(Py_ssize_t pixels, Py_ssize_t channels) noexcept nogil:
    """The permutation that puts so many pixels of a vector into reverse order."""
    cdef ireal lanes[LANES]
    cdef vi order
    cdef Py_ssize_t i
    for i in range(LANES):
        lanes[i] = <ireal>i
    for i in range(pixels * channels):
        lanes[i] = <ireal>((pixels - 1 - i // channels) * channels + i % channels)
    memcpy(&order, lanes, sizeof(vi))
    return order


cdef inline void reverse_pixels(const real* x, real* y, Py_ssize_t n, Py_ssize_t channels, vi order) noexcept nogil:
    """n pixels in reverse order. Whole vectors are stored where later ones overwrite what they have too many."""
    cdef Py_ssize_t pixels = LANES // channels
    cdef Py_ssize_t useful = pixels * channels
    cdef Py_ssize_t total = n * channels
    cdef Py_ssize_t i, from_end
    cdef vf v
    if pixels == 0:
        for i in range(n):
            copy_elements(x + (n - 1 - i) * channels, y + i * channels, channels, vzero(), False)
        return
    for i from 0 <= i <= total - useful by useful:
        from_end = total - useful - i
        v = vload_upto(x + from_end, useful if from_end + LANES > total else <Py_ssize_t>LANES)
        v = vpermute(v, order)
        vstore_upto(y + i, v, useful if i + LANES > total else <Py_ssize_t>LANES)
    i = total // useful * useful
    while i < total:
        copy_elements(x + total - channels - i, y + i, channels, vzero(), False)
        i += channels


cdef inline void take_elements(const GatherImagesArgs* a, const char* x, real* y, Py_ssize_t n) noexcept nogil:
    """n elements of the source as `real`, scaled."""
    if a.kind == IS_DOUBLE:
        copy_elements(<const real*>x, y, n, vzero(), False)
    else:
        convert(x, a.kind, y, n)
    if a.scale != 1:
        scale_elements(y, n, <real>a.scale)


cdef inline void mirror_pixel(const GatherImagesArgs* a, const char* row, Py_ssize_t left, Py_ssize_t j, bint flip,
                              real* y) noexcept nogil:
    """Pixel j of the window, which is outside of the source: mostly the one that it mirrors is in the window, done already."""
    cdef Py_ssize_t pixel = mirrored(j + left, a.width), from_j = pixel - left, k
    cdef real* to = y + (a.width - 1 - j if flip else j) * a.channels
    cdef const real* done = y + (a.width - 1 - from_j if flip else from_j) * a.channels
    if 0 <= from_j < a.width:
        for k in range(a.channels):
            to[k] = done[k]
    else:
        take_elements(a, row + pixel * a.channels * bytes_of_kind(a.kind), to, a.channels)


cdef void take_row(const GatherImagesArgs* a, const char* row, Py_ssize_t left, bint flip, real* y, real* scratch,
                   vi order) noexcept nogil:
    """A row of the window that begins at pixel `left` of a source row, |left| < width."""
    cdef Py_ssize_t pixel = a.channels * bytes_of_kind(a.kind)
    cdef Py_ssize_t first = max(-left, 0), end = min(a.width - left, a.width)
    cdef Py_ssize_t n = (end - first) * a.channels
    cdef Py_ssize_t at = (a.width - end if flip else first) * a.channels
    cdef const char* x = row + (first + left) * pixel
    cdef Py_ssize_t j
    if not flip:
        take_elements(a, x, y + at, n)
    elif a.kind == IS_DOUBLE and a.scale == 1:
        reverse_pixels(<const real*>x, y + at, end - first, a.channels, order)
    else:
        take_elements(a, x, scratch, n)
        reverse_pixels(scratch, y + at, end - first, a.channels, order)
    if end - first == a.width:
        return
    if not a.reflect:
        fill_elements(y, at, 0)
        fill_elements(y + at + n, a.width * a.channels - at - n, 0)
        return
    for j in range(first):
        mirror_pixel(a, row, left, j, flip, y)
    for j in range(end, a.width):
        mirror_pixel(a, row, left, j, flip, y)


# --- what follows on the image that was written -------------------------------------------------------------------------

cdef double sum_of_elements(const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, piece, end
    cdef double total = 0
    cdef vf s
    for piece from 0 <= piece < n by SUM_PIECE:
        s = vzero()
        end = min(n, piece + SUM_PIECE)
        for i from piece <= i < end by LANES:
            s = s + vload_upto(x + i, end - i)
        total += vsum(s)
    return total


cdef void recolour(const GatherImagesArgs* a, Py_ssize_t r, real* y, Py_ssize_t n) noexcept nogil:
    cdef double b = 1, c = 1, mean = 0
    cdef Py_ssize_t i
    cdef vf gain, shift
    if a.brightness != NULL:
        b = around_one(a.brightness[r], a.brighter)
    if a.contrast != NULL:
        c = around_one(a.contrast[r], a.sharper)
        mean = sum_of_elements(y, n) / n
    gain = vset(<real>dproduct(b, c))
    shift = vset(<real>dproduct(dproduct(mean, b), 1 - c))
    for i from 0 <= i < n by LANES:
        vstore_upto(y + i, vfma(vload_upto(y + i, n - i), gain, shift), n - i)


cdef void cut_out(const GatherImagesArgs* a, const uint32_t* words, real* y) noexcept nogil:
    cdef Py_ssize_t top = below(words[0], a.height) - a.cut_y // 2
    cdef Py_ssize_t left = below(words[1], a.width) - a.cut_x // 2
    cdef Py_ssize_t first = max(left, 0), end = min(left + a.cut_x, a.width)
    cdef Py_ssize_t i
    for i in range(max(top, 0), min(top + a.cut_y, a.height)):
        fill_elements(y + (i * a.width + first) * a.channels, (end - first) * a.channels, <real>a.fill)


cdef void prefetch_part(const char* x, Py_ssize_t n, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    """One of the parts of n bytes into L2."""
    cdef Py_ssize_t i
    for i from part * n // parts // 64 * 64 <= i < (part + 1) * n // parts by 64:
        prefetch_l2(x + i)


cdef void gather_images(const void* args, int thread, int n_threads) noexcept nogil:
    cdef GatherImagesArgs a = (<const GatherImagesArgs*>args)[0]
    cdef real* scratch = <real*>(a.scratch + thread * a.scratch_stride)
    cdef Py_ssize_t row = a.width * a.channels
    cdef Py_ssize_t n = a.height * row
    cdef Py_ssize_t size = bytes_of_kind(a.kind)
    cdef Py_ssize_t first = thread * a.rows // n_threads, end = (thread + 1) * a.rows // n_threads
    cdef Py_ssize_t distance = min(max(AHEAD // max(n * size, 1), 1), <Py_ssize_t>MOST_AHEAD)
    cdef Py_ssize_t prefetched = 0 if a.rows * n * size < SMALL_BATCH else end
    cdef Py_ssize_t r, i, from_row, top, left
    cdef bint flip_x, flip_y
    cdef const char* image
    cdef const char* ahead = NULL
    cdef real* y
    cdef vf zeros = vzero()
    cdef vi order = reversing(LANES // a.channels, a.channels)
    for r in range(first, min(first + distance, prefetched)):
        prefetch_part(image_at(&a, size, r), n * size, 0, 1)
    for r in range(first, end):
        image = image_at(&a, size, r)
        y = a.y + r * n
        top = left = 0
        flip_x = flip_y = False
        if a.crops != NULL:
            top = below(a.crops[2 * r], 2 * a.pad_y + 1) - a.pad_y
            left = below(a.crops[2 * r + 1], 2 * a.pad_x + 1) - a.pad_x
        if a.flips != NULL:
            flip_x = a.flips[2 * r] < <uint64_t>a.flip_x
            flip_y = a.flips[2 * r + 1] < <uint64_t>a.flip_y
        if r + distance < prefetched:
            ahead = image_at(&a, size, r + distance)
        for i in range(a.height):
            if r + distance < prefetched:
                prefetch_part(ahead, n * size, i, a.height)
            from_row = (a.height - 1 - i if flip_y else i) + top
            if a.reflect:
                from_row = mirrored(from_row, a.height)
            if 0 <= from_row < a.height:
                take_row(&a, image + from_row * row * size, left, flip_x, y + i * row, scratch, order)
            else:
                fill_elements(y + i * row, row, 0)
        if a.check:
            zeros = copy_elements(y, y, n, zeros, True)
        if a.brightness != NULL or a.contrast != NULL:
            recolour(&a, r, y, n)
        if a.cutouts != NULL:
            cut_out(&a, a.cutouts + 2 * r, y)
    if a.check and vany(visnan(zeros)):
        report(a.control, BAD_INPUT)


cdef inline const char* image_at(const GatherImagesArgs* a, Py_ssize_t size, Py_ssize_t r) noexcept nogil:
    return <const char*>a.source + row_of(a.order, a.control, a.start, r) * a.stride * size
