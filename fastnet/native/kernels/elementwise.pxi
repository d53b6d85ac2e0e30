# Arithmetic element by element, and copies of a part of a matrix.
#
#   add         y = activation(a + b), times the slope of `gate_activation` at `gate`, where there is one
#   accumulate  y += x
#   multiply    y = a b            scale       y = factor x
#   fill        y = value
#   copy_2d     y = x, `rows` rows of `cols` elements, ldx and ldy elements from row to row: concatenation,
#               slicing and padding along the last axis
#
# n           elements of flat arrays             y may be a, b or x (not for copy_2d)
# gate        in [n], or NULL; not y               activation alpha, gate_activation gate_alpha  as in activation.pxi
#
# Threads take whole blocks of 4096 elements (copy_2d: of 4096 columns of a row), so that an element is
# always in the same lane of the same vector. Bound by memory: large sums are stored past the caches (elements.pxi). Nothing is
# summed up. What follows a sum, but for relu and its slope, is done to 1024 elements at a time, while they are in L1; it has the
# bits of a call of its own.

cdef enum:
    ELEMENTWISE_BLOCK = 4096
    ADDED_BLOCK = 1024

cdef struct AddArgs:
    const real* a
    const real* b
    const real* gate
    real* y
    Py_ssize_t n
    Py_ssize_t activation
    Py_ssize_t gate_activation
    double alpha
    double gate_alpha

cdef struct MultiplyArgs:
    const real* a
    const real* b
    real* y
    Py_ssize_t n

cdef struct AccumulateArgs:
    const real* x
    real* y
    Py_ssize_t n

cdef struct ScaleArgs:
    const real* x
    real* y
    Py_ssize_t n
    double factor

cdef struct FillArgs:
    real* y
    Py_ssize_t n
    double value

cdef struct Copy2dArgs:
    const real* x
    real* y
    Py_ssize_t rows
    Py_ssize_t cols
    Py_ssize_t ldx
    Py_ssize_t ldy


cdef inline Py_ssize_t share_start(Py_ssize_t n, int thread, int n_threads) noexcept nogil:
    """First element of a thread's blocks; the next thread's is where they end."""
    return min((n + ELEMENTWISE_BLOCK - 1) // ELEMENTWISE_BLOCK * thread // n_threads * ELEMENTWISE_BLOCK, n)


cdef inline vf sum_part(bint relu, bint gated, const AddArgs* g, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    cdef vf sum = vload_upto(g.a + i, n) + vload_upto(g.b + i, n)
    if relu:
        sum = activated(RELU, vzero(), sum)
    if gated:
        sum = gradient(RELU, vzero(), vload_upto(g.gate + i, n), sum)
    return sum


cdef inline void add_range(bint relu, bint gated, bint streamed, const AddArgs* g, Py_ssize_t i, Py_ssize_t end) noexcept nogil:
    """With what residual networks mostly have: relu, or its slope."""
    while i + LANES <= end:
        store_or_stream(streamed, g.y + i, sum_part(relu, gated, g, i, LANES), LANES)
        i += LANES
    if i < end:
        vstore_n(g.y + i, sum_part(relu, gated, g, i, end - i), end - i)
    if streamed:
        vfence()


cdef void add_arrays(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AddArgs* g = <const AddArgs*>args
    cdef Py_ssize_t begin = share_start(g.n, thread, n_threads)
    cdef Py_ssize_t end = share_start(g.n, thread + 1, n_threads)
    cdef Py_ssize_t i, n
    cdef bint streamed = g.y != g.a and g.y != g.b and is_streamed(g.y, g.n)
    if g.activation == LINEAR and g.gate == NULL:
        add_range(False, False, streamed, g, begin, end)
    elif g.activation == RELU and g.gate == NULL:
        add_range(True, False, streamed, g, begin, end)
    elif g.activation == LINEAR and g.gate_activation == RELU:
        add_range(False, True, streamed, g, begin, end)
    else:
        for i from begin <= i < end by ADDED_BLOCK:
            n = min(end - i, <Py_ssize_t>ADDED_BLOCK)
            add_range(False, False, False, g, i, i + n)
            if g.activation != LINEAR:
                activate(g.activation, g.alpha, g.y + i, g.y + i, n)
            if g.gate != NULL:
                activate_backward(g.gate_activation, g.gate_alpha, g.gate + i, g.y + i, g.y + i, n)


cdef void multiply_arrays(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const MultiplyArgs* g = <const MultiplyArgs*>args
    cdef Py_ssize_t i = share_start(g.n, thread, n_threads)
    cdef Py_ssize_t end = share_start(g.n, thread + 1, n_threads)
    while i + LANES <= end:
        vstore(g.y + i, vload(g.a + i) * vload(g.b + i))
        i += LANES
    if i < end:
        vstore_n(g.y + i, vload_n(g.a + i, end - i) * vload_n(g.b + i, end - i), end - i)


cdef void accumulate_array(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AccumulateArgs* g = <const AccumulateArgs*>args
    cdef Py_ssize_t i = share_start(g.n, thread, n_threads)
    cdef Py_ssize_t end = share_start(g.n, thread + 1, n_threads)
    while i + LANES <= end:
        vstore(g.y + i, vload(g.y + i) + vload(g.x + i))
        i += LANES
    if i < end:
        vstore_n(g.y + i, vload_n(g.y + i, end - i) + vload_n(g.x + i, end - i), end - i)


cdef void scale_array(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ScaleArgs* g = <const ScaleArgs*>args
    cdef Py_ssize_t i = share_start(g.n, thread, n_threads)
    cdef Py_ssize_t end = share_start(g.n, thread + 1, n_threads)
    cdef vf factor = vset(<real>g.factor)
    while i + LANES <= end:
        vstore(g.y + i, factor * vload(g.x + i))
        i += LANES
    if i < end:
        vstore_n(g.y + i, factor * vload_n(g.x + i, end - i), end - i)


cdef void fill_array(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const FillArgs* g = <const FillArgs*>args
    cdef Py_ssize_t i = share_start(g.n, thread, n_threads)
    cdef Py_ssize_t end = share_start(g.n, thread + 1, n_threads)
    cdef vf value = vset(<real>g.value)
    while i < end:
        vstore_upto(g.y + i, value, end - i)
        i += LANES


cdef void copy_2d(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const Copy2dArgs* g = <const Copy2dArgs*>args
    cdef Py_ssize_t rows = g.rows, cols = g.cols
    if g.ldx == cols and g.ldy == cols:
        cols = rows * cols
        rows = 1
    cdef Py_ssize_t across = (cols + ELEMENTWISE_BLOCK - 1) // ELEMENTWISE_BLOCK
    cdef Py_ssize_t begin = rows * across * thread // n_threads
    cdef Py_ssize_t end = rows * across * (thread + 1) // n_threads
    if begin == end:
        return
    cdef Py_ssize_t row = begin // across, j = begin % across * ELEMENTWISE_BLOCK, piece
    for piece in range(begin, end):
        copy_row(g.x + row * g.ldx + j, g.y + row * g.ldy + j, min(cols - j, <Py_ssize_t>ELEMENTWISE_BLOCK))
        j += ELEMENTWISE_BLOCK
        if j >= cols:
            j = 0
            row += 1
