# A batch from a data set: rows of any dtype, in any order, as `real`; and class labels as int32.
#
# source   in: rows of `width` elements of dtype `kind`, `stride` elements from row to row
# order    in, int64, or NULL: numbers of the rows; the batch begins at order[cursor]
# y        out [rows, width], contiguous       control  in: cursor; out: status. NULL: cursor 0, no status
#
#   y[r] = scale source[order[cursor + r]]     or scale source[start + cursor + r] where order is NULL
#
# Threads take columns of all rows, as they do in the products that follow. Rows of the build's own dtype are copied by
# vectors, and a row's copying prefetches a later row, which the hardware cannot guess in a shuffled order; into L2, as L1
# can wait for few lines at a time.
# With `check`, a NaN or Inf that arrives in y (also one that came from a double too large for a float) is BAD_INPUT; the
# rows are copied all the same.

cdef enum Kind:              # the first two are IS_DOUBLE of their builds
    KIND_FLOAT32
    KIND_FLOAT64
    KIND_INT8
    KIND_UINT8
    KIND_INT16
    KIND_UINT16
    KIND_INT32
    KIND_UINT32
    KIND_INT64
    KIND_UINT64
    KIND_BOOL
    KIND_FLOAT16
    CONVERTED_TOGETHER = 16
    GATHER_SEGMENT = 256    # elements of a row between two bursts of prefetching
    GATHER_PIECE = 64       # of a row, in which threads share it
    AHEAD = 6144            # bytes of rows that are on their way from memory
    SMALL_BATCH = 16384     # bytes that are copied without prefetching: the core itself reads that far ahead

cdef struct GatherArgs:
    const void* source
    const int64_t* order
    real* y
    Control* control
    Py_ssize_t rows
    Py_ssize_t width
    Py_ssize_t stride
    Py_ssize_t kind
    Py_ssize_t check
    Py_ssize_t start
    double scale


cdef inline Py_ssize_t bytes_of_kind(Py_ssize_t kind) noexcept nogil:
    if kind == KIND_INT8 or kind == KIND_UINT8 or kind == KIND_BOOL:
        return 1
    if kind == KIND_INT16 or kind == KIND_UINT16 or kind == KIND_FLOAT16:
        return 2
    return 8 if kind == KIND_FLOAT64 or kind == KIND_INT64 or kind == KIND_UINT64 else 4


cdef inline Py_ssize_t row_of(const int64_t* order, const Control* control,
                              Py_ssize_t start, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t place = r if control == NULL else control.cursor + r
    return start + place if order == NULL else order[place]


ctypedef fused element_t:
    float
    double
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    int64_t
    uint64_t


cdef void convert_elements(const element_t* x, real* y, Py_ssize_t n) noexcept nogil:
    """Rounds once, or not at all: the same for vectors and remainders, whatever the compiler makes of it: vectors, at -O2, of
    pieces whose length it knows."""
    cdef Py_ssize_t i, j, whole = n // CONVERTED_TOGETHER * CONVERTED_TOGETHER
    for i from 0 <= i < whole by CONVERTED_TOGETHER:
        for j in range(CONVERTED_TOGETHER):
            y[i + j] = <real>x[i + j]
    for i in range(whole, n):
        y[i] = <real>x[i]


cdef void convert_halves(const uint16_t* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = fn_from_half(x[i])


cdef void convert(const char* x, Py_ssize_t kind, real* y, Py_ssize_t n) noexcept nogil:
    if kind == KIND_FLOAT32: convert_elements(<const float*>x, y, n)
    elif kind == KIND_FLOAT64: convert_elements(<const double*>x, y, n)
    elif kind == KIND_INT8: convert_elements(<const int8_t*>x, y, n)
    elif kind == KIND_UINT8 or kind == KIND_BOOL: convert_elements(<const uint8_t*>x, y, n)
    elif kind == KIND_INT16: convert_elements(<const int16_t*>x, y, n)
    elif kind == KIND_UINT16: convert_elements(<const uint16_t*>x, y, n)
    elif kind == KIND_INT32: convert_elements(<const int32_t*>x, y, n)
    elif kind == KIND_UINT32: convert_elements(<const uint32_t*>x, y, n)
    elif kind == KIND_INT64: convert_elements(<const int64_t*>x, y, n)
    elif kind == KIND_UINT64: convert_elements(<const uint64_t*>x, y, n)
    elif kind == KIND_FLOAT16: convert_halves(<const uint16_t*>x, y, n)


cdef inline const char* row_at(const GatherArgs* a, Py_ssize_t size, Py_ssize_t r) noexcept nogil:
    return <const char*>a.source + row_of(a.order, a.control, a.start, r) * a.stride * size


cdef inline vf copy_elements(const real* x, real* y, Py_ssize_t n, vf zeros, bint check) noexcept nogil:
    """Returns `zeros`, which becomes NaN with the first element that is not finite, if `check`."""
    cdef Py_ssize_t i, whole = n // LANES * LANES
    cdef vf v
    for i from 0 <= i < whole by LANES:
        v = vload(x + i)
        vstore(y + i, v)
        if check:
            zeros = vfma(v, vzero(), zeros)
    if whole < n:
        v = vload_n(x + whole, n - whole)
        vstore_end(y + whole, v, n - whole)
        if check:
            zeros = vfma(v, vzero(), zeros)
    return zeros


cdef inline void scale_elements(real* y, Py_ssize_t n, real factor) noexcept nogil:
    cdef Py_ssize_t i
    cdef vf f = vset(factor)
    for i from 0 <= i < n by LANES:
        vstore_upto(y + i, vload_upto(y + i, n - i) * f, n - i)


cdef inline void gather_columns(const GatherArgs* args, Py_ssize_t first, Py_ssize_t end, bint check) noexcept nogil:
    cdef GatherArgs a = args[0]
    cdef Py_ssize_t size = bytes_of_kind(a.kind)
    cdef Py_ssize_t distance = min(max(AHEAD // max((end - first) * size, 1), 2), 16)
    cdef Py_ssize_t prefetched = 0 if a.rows * a.width * size < SMALL_BATCH else a.rows
    cdef Py_ssize_t r, i, j, n
    cdef const char* row = NULL
    cdef const char* ahead = NULL
    cdef real* y
    cdef vf zeros = vzero()
    for r in range(-distance if prefetched else 0, a.rows):
        if r >= 0:
            row = row_at(&a, size, r)
        if r + distance < prefetched:
            ahead = row_at(&a, size, r + distance)
        for j from first <= j < end by GATHER_SEGMENT:
            n = min(end - j, <Py_ssize_t>GATHER_SEGMENT)
            if r + distance < prefetched:
                for i from 0 <= i < n * size by 64:
                    prefetch_l2(ahead + j * size + i)
            if r < 0:
                continue
            y = a.y + r * a.width + j
            if a.kind == IS_DOUBLE:
                zeros = copy_elements(<const real*>row + j, y, n, zeros, check)
            else:
                convert(row + j * size, a.kind, y, n)
                if check:
                    zeros = copy_elements(y, y, n, zeros, check)
            if a.scale != 1:
                scale_elements(y, n, <real>a.scale)
    if check and vany(visnan(zeros)):
        report(a.control, BAD_INPUT)


cdef void gather_numbers(const GatherArgs* args) noexcept nogil:
    """Rows of one number, the targets of one output, of the build's own dtype."""
    cdef GatherArgs a = args[0]
    cdef const real* x = <const real*>a.source
    cdef Py_ssize_t r
    for r in range(a.rows):
        a.y[r] = x[row_of(a.order, a.control, a.start, r) * a.stride]
    if a.check and vany(visnan(copy_elements(a.y, a.y, a.rows, vzero(), True))):
        report(a.control, BAD_INPUT)
    if a.scale != 1:
        scale_elements(a.y, a.rows, <real>a.scale)


cdef void gather(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GatherArgs* a = <const GatherArgs*>args
    cdef Py_ssize_t pieces = (a.width + GATHER_PIECE - 1) // GATHER_PIECE
    cdef Py_ssize_t first = thread * pieces // n_threads * GATHER_PIECE
    cdef Py_ssize_t end = min((thread + 1) * pieces // n_threads * GATHER_PIECE, a.width)
    if a.width == 1 and a.kind == IS_DOUBLE:
        if thread == 0:
            gather_numbers(a)
    elif a.check:
        gather_columns(a, first, end, True)
    else:
        gather_columns(a, first, end, False)


# --- labels: y out, int32 [rows]; one element of `source` for each row, `stride` elements apart ----------------------
# A label outside of 0 <= label < classes, and a float that is not whole, is BAD_LABEL; y gets 0 then, so that an op
# that follows may use it as an index.

cdef struct GatherLabelsArgs:
    const void* source
    const int64_t* order
    int32_t* y
    Control* control
    Py_ssize_t rows
    Py_ssize_t stride
    Py_ssize_t kind
    Py_ssize_t classes
    Py_ssize_t start


cdef double element_as_double(const void* x, Py_ssize_t kind, Py_ssize_t i) noexcept nogil:
    """One element as a double: exact but for integers from 2^53 on, which no classes reach."""
    if kind == KIND_FLOAT32: return (<const float*>x)[i]
    if kind == KIND_FLOAT64: return (<const double*>x)[i]
    if kind == KIND_INT8: return (<const int8_t*>x)[i]
    if kind == KIND_UINT8 or kind == KIND_BOOL: return (<const uint8_t*>x)[i]
    if kind == KIND_INT16: return (<const int16_t*>x)[i]
    if kind == KIND_UINT16: return (<const uint16_t*>x)[i]
    if kind == KIND_INT32: return (<const int32_t*>x)[i]
    if kind == KIND_UINT32: return (<const uint32_t*>x)[i]
    if kind == KIND_INT64: return <double>(<const int64_t*>x)[i]
    if kind == KIND_UINT64: return <double>(<const uint64_t*>x)[i]
    return fn_from_half((<const uint16_t*>x)[i])


cdef void gather_labels(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GatherLabelsArgs* a = <const GatherLabelsArgs*>args
    cdef Py_ssize_t r
    cdef double label
    cdef bint good, bad = False
    for r in range(thread * a.rows // n_threads, (thread + 1) * a.rows // n_threads):
        label = element_as_double(a.source, a.kind, row_of(a.order, a.control, a.start, r) * a.stride)
        good = label >= 0 and label < a.classes and label == <double><int32_t>label
        a.y[r] = <int32_t>label if good else 0
        bad = bad or not good
    if bad:
        report(a.control, BAD_LABEL)
