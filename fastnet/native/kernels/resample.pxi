# Images made larger or smaller: linear interpolation, padding, cropping, and the gradients of them.
#
#   upsample_linear   y [N, fh H, fw W, C]: bilinear; the centres of pixels lie at halves, (o + 1/2) / f = i + 1/2
#   zero_pad          y [N, top + H + bottom, left + W + right, C]: x within zeros
#   reflect_pad       the same with x mirrored at its border pixels, which are not repeated
#   crop              x is the larger image, y [N, H, W, C] its part from (top, left) on; the gradient of zero_pad, as
#                     zero_pad is of crop
#
# N H W C           images of the smaller size, NHWC, contiguous
# fh fw             whole factors                  top bottom left right   pixels around the smaller image
# dy dx             gradients at y and at x; dx is set
#
# Algorithm: the larger image is written row by row in memory's order, or read by rows: gradients collect from all the
# pixels that a pixel went to, so that nothing is scattered. Upsampling by repetition is in pool_backward.pxi.
#
# Order of summation: pixels of dy in order, each row of them first. With reflection: the row itself, the one mirrored at the
# top, the one at the bottom; in each the pixels themselves, those on the left, those on the right. Threads take whole rows
# of what is written.

cdef struct UpsampleArgs:
    const real* x
    real* y
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C
    Py_ssize_t fh
    Py_ssize_t fw

cdef struct UpsampleBackwardArgs:
    const real* dy
    real* dx
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C
    Py_ssize_t fh
    Py_ssize_t fw

cdef struct PadArgs:
    const real* x
    real* y
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C
    Py_ssize_t top
    Py_ssize_t bottom
    Py_ssize_t left
    Py_ssize_t right

cdef struct PadBackwardArgs:
    const real* dy
    real* dx
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C
    Py_ssize_t top
    Py_ssize_t bottom
    Py_ssize_t left
    Py_ssize_t right


# --- bilinear upsampling ------------------------------------------------------------------------

# Where an output pixel lies on an axis of the input: at share `weight` from pixel `low` to pixel `high`.
cdef struct Between:
    Py_ssize_t low
    Py_ssize_t high
    real weight


cdef inline Between between(Py_ssize_t place, Py_ssize_t factor, Py_ssize_t size) noexcept nogil:
    cdef Between b
    # Halves of output pixels from the centre of input pixel 0.
    cdef Py_ssize_t halves = max(2 * place + 1 - factor, <Py_ssize_t>0)
    b.low = min(halves // (2 * factor), size - 1)
    b.high = min(b.low + 1, size - 1)
    b.weight = <real>(halves - 2 * factor * b.low) / <real>(2 * factor)
    return b


cdef inline void interpolate(const UpsampleArgs* a, const real* upper, const real* lower, const Between* h, const Between* v,
                             real* y, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    cdef vf across = vset(v.weight)
    cdef vf above = vload_upto(upper + v.low * a.C + j, n)
    cdef vf below = vload_upto(lower + v.low * a.C + j, n)
    above = vfma(vload_upto(upper + v.high * a.C + j, n), across, above * vset(1 - v.weight))
    below = vfma(vload_upto(lower + v.high * a.C + j, n), across, below * vset(1 - v.weight))
    vstore_upto(y + j, vfma(below, vset(h.weight), above * vset(1 - h.weight)), n)


cdef void upsample_linear(const void* args, int thread, int n_threads) noexcept nogil:
    cdef UpsampleArgs a = (<const UpsampleArgs*>args)[0]
    cdef Py_ssize_t P = a.H * a.fh, Q = a.W * a.fw
    cdef Py_ssize_t row, q, j
    cdef Between h, v
    cdef const real* image
    cdef const real* upper
    cdef const real* lower
    cdef real* y
    for row in range(a.N * P * thread // n_threads, a.N * P * (thread + 1) // n_threads):
        h = between(row % P, a.fh, a.H)
        image = a.x + row // P * a.H * a.W * a.C
        upper = image + h.low * a.W * a.C
        lower = image + h.high * a.W * a.C
        y = a.y + row * Q * a.C
        for q in range(Q):
            v = between(q, a.fw, a.W)
            for j from 0 <= j <= a.C - LANES by LANES:
                interpolate(&a, upper, lower, &h, &v, y, j, LANES)
            j = a.C // LANES * LANES
            if j < a.C:
                interpolate(&a, upper, lower, &h, &v, y, j, a.C - j)
            y += a.C


cdef inline real linear_share(Py_ssize_t place, Py_ssize_t pixel, Py_ssize_t factor, Py_ssize_t size, real scale) noexcept nogil:
    """The weight of an input pixel in the output pixel at `place`; `scale` is 1 / (2 factor)."""
    cdef Py_ssize_t halves = min(max(2 * place + 1 - factor, <Py_ssize_t>0), 2 * factor * (size - 1))
    cdef Py_ssize_t distance = halves - 2 * factor * pixel
    return max(1 - scale * <real>(distance if distance > 0 else -distance), <real>0)


cdef inline Py_ssize_t first_place(Py_ssize_t pixel, Py_ssize_t factor) noexcept nogil:
    """Output pixels from here on have a share of an input pixel."""
    return max(pixel * factor - factor // 2, <Py_ssize_t>0)


cdef inline Py_ssize_t end_place(Py_ssize_t pixel, Py_ssize_t factor, Py_ssize_t size) noexcept nogil:
    return min(pixel * factor + factor + factor // 2, size * factor)


cdef inline void collect_shares(const UpsampleBackwardArgs* a, const real* image, Py_ssize_t h, Py_ssize_t v, real* dx,
                                Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t Q = a.W * a.fw
    cdef Py_ssize_t p, q
    cdef real down = <real>1 / <real>(2 * a.fh), across = <real>1 / <real>(2 * a.fw)
    cdef vf total = vzero(), line
    for p in range(first_place(h, a.fh), end_place(h, a.fh, a.H)):
        line = vzero()
        for q in range(first_place(v, a.fw), end_place(v, a.fw, a.W)):
            line = vfma(vload_upto(image + (p * Q + q) * a.C + j, n), vset(linear_share(q, v, a.fw, a.W, across)), line)
        total = vfma(line, vset(linear_share(p, h, a.fh, a.H, down)), total)
    vstore_upto(dx + j, total, n)


cdef void upsample_linear_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef UpsampleBackwardArgs a = (<const UpsampleBackwardArgs*>args)[0]
    cdef Py_ssize_t row, v, j
    cdef const real* image
    cdef real* dx
    for row in range(a.N * a.H * thread // n_threads, a.N * a.H * (thread + 1) // n_threads):
        image = a.dy + row // a.H * a.H * a.fh * a.W * a.fw * a.C
        dx = a.dx + row * a.W * a.C
        for v in range(a.W):
            for j from 0 <= j <= a.C - LANES by LANES:
                collect_shares(&a, image, row % a.H, v, dx, j, LANES)
            j = a.C // LANES * LANES
            if j < a.C:
                collect_shares(&a, image, row % a.H, v, dx, j, a.C - j)
            dx += a.C


# --- zeros around an image, and a part of one ---------------------------------------------------

cdef void zero_pad(const void* args, int thread, int n_threads) noexcept nogil:
    cdef PadArgs a = (<const PadArgs*>args)[0]
    cdef Py_ssize_t P = a.top + a.H + a.bottom, Q = a.left + a.W + a.right
    cdef Py_ssize_t row, h
    cdef real* y
    for row in range(a.N * P * thread // n_threads, a.N * P * (thread + 1) // n_threads):
        h = row % P - a.top
        y = a.y + row * Q * a.C
        if h < 0 or h >= a.H:
            fill_elements(y, Q * a.C, 0)
        else:
            copy_between_zeros(a.x + (row // P * a.H + h) * a.W * a.C, a.W * a.C, y, a.left * a.C, a.right * a.C)


cdef void crop(const void* args, int thread, int n_threads) noexcept nogil:
    cdef PadArgs a = (<const PadArgs*>args)[0]
    cdef Py_ssize_t P = a.top + a.H + a.bottom, Q = a.left + a.W + a.right
    cdef Py_ssize_t row, source
    for row in range(a.N * a.H * thread // n_threads, a.N * a.H * (thread + 1) // n_threads):
        source = (row // a.H * P + a.top + row % a.H) * Q + a.left
        copy_row(a.x + source * a.C, a.y + row * a.W * a.C, a.W * a.C)


# --- a mirrored border --------------------------------------------------------------------------

cdef inline Py_ssize_t reflected(Py_ssize_t i, Py_ssize_t size) noexcept nogil:
    """The pixel that is seen at place i, which may lie up to size - 1 pixels outside of the image."""
    if i < 0:
        return -i
    return 2 * (size - 1) - i if i >= size else i


cdef void reflect_pad(const void* args, int thread, int n_threads) noexcept nogil:
    cdef PadArgs a = (<const PadArgs*>args)[0]
    cdef Py_ssize_t P = a.top + a.H + a.bottom, Q = a.left + a.W + a.right
    cdef Py_ssize_t row, v
    cdef const real* x
    cdef real* y
    for row in range(a.N * P * thread // n_threads, a.N * P * (thread + 1) // n_threads):
        x = a.x + (row // P * a.H + reflected(row % P - a.top, a.H)) * a.W * a.C
        y = a.y + (row * Q + a.left) * a.C
        for v in range(-a.left, 0):
            copy_row(x + reflected(v, a.W) * a.C, y + v * a.C, a.C)
        copy_row(x, y, a.W * a.C)
        for v in range(a.W, a.W + a.right):
            copy_row(x + reflected(v, a.W) * a.C, y + v * a.C, a.C)


cdef inline void add_row(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i from 0 <= i < n by LANES:
        vstore_upto(y + i, vload_upto(y + i, n - i) + vload_upto(x + i, n - i), n - i)


cdef inline void add_reflected(const PadBackwardArgs* a, const real* dy, real* dx, bint first) noexcept nogil:
    """One row of dy, from the place of the image's first pixel on, to the row of dx that it was copied from."""
    cdef Py_ssize_t v
    if first:
        copy_row(dy, dx, a.W * a.C)
    else:
        add_row(dy, dx, a.W * a.C)
    for v in range(1, a.left + 1):
        add_row(dy - v * a.C, dx + v * a.C, a.C)
    for v in range(a.W - 1 - a.right, a.W - 1):
        add_row(dy + (2 * (a.W - 1) - v) * a.C, dx + v * a.C, a.C)


cdef void reflect_pad_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef PadBackwardArgs a = (<const PadBackwardArgs*>args)[0]
    cdef Py_ssize_t P = a.top + a.H + a.bottom, Q = a.left + a.W + a.right
    cdef Py_ssize_t row, h
    cdef const real* image
    cdef real* dx
    for row in range(a.N * a.H * thread // n_threads, a.N * a.H * (thread + 1) // n_threads):
        h = row % a.H
        image = a.dy + ((row // a.H * P + a.top) * Q + a.left) * a.C
        dx = a.dx + row * a.W * a.C
        add_reflected(&a, image + h * Q * a.C, dx, True)
        if 1 <= h <= a.top:
            add_reflected(&a, image - h * Q * a.C, dx, False)
        if a.H - 1 - a.bottom <= h < a.H - 1:
            add_reflected(&a, image + (2 * (a.H - 1) - h) * Q * a.C, dx, False)
