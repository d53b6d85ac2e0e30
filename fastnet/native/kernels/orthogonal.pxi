# A random orthogonal matrix: A = Q R of a matrix of normal numbers, and Q times the signs of R's diagonal.
#
# rows cols  of A, rows >= cols            a  in: A [rows, cols]; out: Q diag(sign R)
#
# With these signs Q is uniform over the orthogonal matrices (Mezzadri 2007).
#
# Algorithm: Householder reflections H_k = I - tau v v' (Golub & Van Loan 2013, section 5.2), all in double.
# Columns are contiguous in the workspace, v_k below the diagonal of column k. Phase 1, serial: each column
# gets all reflections before its own, a panel of them at a time, so that the panel stays in cache.
# Phase 2: column c of Q is H_0 H_1 ... H_c e_c; threads take whole blocks of columns.
#
# Order of summation: eight sums of every eighth row, then a tree over them; products are rounded by themselves
# (`vdproduct`). It is the same on every instruction set, and for a column alone or one among four.
#
# Shared: A and Q as columns of doubles, padded with zeros to eights, tau and the signs.

cdef enum:
    QR_EIGHT = 8                # rows of a step, whatever the vectors' width
    QR_PANEL = 32               # reflections whose vectors are used together; columns of a block of Q

cdef struct OrthogonalizeArgs:
    real* a
    double* shared
    Py_ssize_t rows
    Py_ssize_t cols

cdef struct QrSpace:
    double* v                   # columns of A, later the reflections
    double* q
    double* tau
    double* sign
    Py_ssize_t ld


cdef QrSpace qr_space(const OrthogonalizeArgs* o) noexcept nogil:
    cdef QrSpace s
    s.ld = (o.rows + QR_EIGHT - 1) // QR_EIGHT * QR_EIGHT
    s.v = o.shared
    s.q = s.v + s.ld * o.cols
    s.tau = s.q + s.ld * o.cols
    s.sign = s.tau + o.cols
    return s


cdef Py_ssize_t orthogonalize_shared(const void* args) noexcept nogil:
    cdef const OrthogonalizeArgs* o = <const OrthogonalizeArgs*>args
    cdef QrSpace s = qr_space(o)
    return (s.sign - s.v + o.cols) * sizeof(double)


cdef inline double sum_of_eight(const double* s) noexcept nogil:
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))


cdef inline void reflect_columns(int columns, const double* v, double tau, double* w, Py_ssize_t ld, Py_ssize_t n) noexcept nogil:
    """w -= tau v (v'w) for each of the columns, of n rows (a multiple of eight), ld apart."""
    cdef vd sums[4 * EIGHT]
    cdef vd x[EIGHT]
    cdef double lanes[QR_EIGHT]
    cdef vd factor[4]
    cdef Py_ssize_t i
    cdef int c, j
    for c in range(columns):
        for j in range(EIGHT):
            sums[c * EIGHT + j] = vdset(0)
    for i from 0 <= i < n by QR_EIGHT:
        for j in range(EIGHT):
            x[j] = vdload(v + i + j * LANES64)
        for c in range(columns):
            for j in range(EIGHT):
                sums[c * EIGHT + j] = (
                    sums[c * EIGHT + j] + vdproduct(x[j], vdload(w + c * ld + i + j * LANES64)))
    for c in range(columns):
        for j in range(EIGHT):
            vdstore(lanes + j * LANES64, sums[c * EIGHT + j])
        factor[c] = vdset(dproduct(tau, sum_of_eight(lanes)))
    for i from 0 <= i < n by QR_EIGHT:
        for j in range(EIGHT):
            x[j] = vdload(v + i + j * LANES64)
        for c in range(columns):
            for j in range(EIGHT):
                vdstore(w + c * ld + i + j * LANES64,
                        vdload(w + c * ld + i + j * LANES64) - vdproduct(factor[c], x[j]))


cdef void reflect(const QrSpace* s, Py_ssize_t k, double* w, Py_ssize_t columns) noexcept nogil:
    """H_k on columns that start at w."""
    cdef Py_ssize_t start = k // QR_EIGHT * QR_EIGHT
    cdef const double* v = s.v + k * s.ld + start
    cdef Py_ssize_t c
    if columns == 4:
        reflect_columns(4, v, s.tau[k], w + start, s.ld, s.ld - start)
    else:
        for c in range(columns):
            reflect_columns(1, v, s.tau[k], w + c * s.ld + start, s.ld, s.ld - start)


cdef void make_reflection(const QrSpace* s, Py_ssize_t k) noexcept nogil:
    """v_k in the place of column k, with tau_k and the sign of R's element."""
    cdef Py_ssize_t start = k // QR_EIGHT * QR_EIGHT
    cdef double* v = s.v + k * s.ld
    cdef double sums[QR_EIGHT]
    cdef double norm, head = v[k]
    cdef Py_ssize_t i, j
    for i in range(start, k):
        v[i] = 0
    for j in range(QR_EIGHT):
        sums[j] = 0
    for i from start <= i < s.ld by QR_EIGHT:
        for j in range(QR_EIGHT):
            sums[j] = sums[j] + dproduct(v[i + j], v[i + j])
    norm = sqrt(sum_of_eight(sums))
    if norm == 0:
        s.tau[k] = 0
        s.sign[k] = 1
    elif head < 0:
        v[k] = head - norm
        s.tau[k] = 1 / dproduct(norm, norm - head)
        s.sign[k] = 1
    else:
        v[k] = head + norm
        s.tau[k] = 1 / dproduct(norm, norm + head)
        s.sign[k] = -1


cdef void orthogonalize_factor(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const OrthogonalizeArgs* o = <const OrthogonalizeArgs*>args
    cdef QrSpace s = qr_space(o)
    cdef Py_ssize_t r, c, k, first, last
    if thread:
        return
    for c in range(o.cols):
        for r in range(o.rows):
            s.v[c * s.ld + r] = o.a[r * o.cols + c]
        for r in range(o.rows, s.ld):
            s.v[c * s.ld + r] = 0
    for first from 0 <= first < o.cols by QR_PANEL:
        last = min(first + QR_PANEL, o.cols)
        for k in range(first, last):
            make_reflection(&s, k)
            for c in range(k + 1, last):
                reflect(&s, k, s.v + c * s.ld, 1)
        for c from last <= c < o.cols by 4:
            for k in range(first, last):
                reflect(&s, k, s.v + c * s.ld, min(o.cols - c, <Py_ssize_t>4))


cdef void orthogonalize_form(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const OrthogonalizeArgs* o = <const OrthogonalizeArgs*>args
    cdef QrSpace s = qr_space(o)
    cdef Py_ssize_t blocks = (o.cols + QR_PANEL - 1) // QR_PANEL
    cdef Py_ssize_t block, begin, end, panel, c, k, r
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        begin = block * QR_PANEL
        end = min(begin + QR_PANEL, o.cols)
        memset(s.q + begin * s.ld, 0, (end - begin) * s.ld * sizeof(double))
        for c in range(begin, end):
            s.q[c * s.ld + c] = 1
        # A reflection beyond a column's own leaves it as it is, so that the block's columns go together.
        for panel from block >= panel >= 0:
            for c from begin <= c < end by 4:
                for k from min((panel + 1) * QR_PANEL, o.cols) > k >= panel * QR_PANEL:
                    reflect(&s, k, s.q + c * s.ld, min(end - c, <Py_ssize_t>4))
        for r in range(o.rows):
            for c in range(begin, end):
                o.a[r * o.cols + c] = <real>(s.sign[c] * s.q[c * s.ld + r])
