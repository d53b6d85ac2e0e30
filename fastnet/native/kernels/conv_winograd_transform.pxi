# The one-dimensional transforms of Winograd's convolution, on vectors of channels.
#
#   y = A^T ((G g) * (B^T d))       y_k = sum over r of d_{k+r} g_r,  k < n,  for a tile of t inputs d
#
# t     values of a tile, and points at which polynomials are multiplied: 0, +-p for each of (t - 2) / 2 pairs, infinity
# B^T   t x t, of the input              G   t x r, of r values of a kernel             A^T  n x t, of the products, n = t - r + 1
#
# With M(x) = x R(x^2), R(z) = product over the pairs of z - p^2, and R_p(z) the same without one of them, the rows are
#
#   point      B^T, coefficients of                      G                              A^T, column
#   0          R(x^2)                                    1, 0, ...                 / R(0)      1, 0, 0, ...
#   +-p        (x^2 +- p x) R_p(x^2)                     1, +-p, p^2, ...          / 2 p^2 R_p(p^2)    1, +-p, p^2, ...
#   infinity   x R(x^2)                                  0, ..., 0, 1                          0, ..., 0, 1
#
# The transforms of both signs of a pair share their sums over even and over odd powers. Rounding errors grow with the spread of
# the coefficients: p = 1 for t = 4; sqrt(1/2), sqrt(2) for t = 6, a third of the error that 1 and 2 have; 1/2, 1, 2 for t = 8.
# Every number below is a constant when the compiler has unrolled the loops. Two dimensions: columns, and then rows.
#
# Sources: Winograd 1980, "Arithmetic complexity of computations"; Lavin & Gray 2016, "Fast algorithms for convolutional neural
# networks"; Barabasz, Anderson, Soodhalter & Gregg 2020, "Error analysis and improving the accuracy of Winograd convolution".

cdef enum:
    MOST_POINTS = 8         # of a tile, in each dimension


cdef inline double point_squared(Py_ssize_t t, Py_ssize_t i) noexcept nogil:
    """p^2 of pair i."""
    if t == 4:
        return 1.0
    if t == 6:
        return 0.5 if i == 0 else 2.0
    return 0.25 if i == 0 else (1.0 if i == 1 else 4.0)


cdef inline double point(Py_ssize_t t, Py_ssize_t i) noexcept nogil:
    """p of pair i."""
    if t == 4:
        return 1.0
    if t == 6:
        return 0.70710678118654752440 if i == 0 else 1.4142135623730950488
    return 0.5 if i == 0 else (1.0 if i == 1 else 2.0)


cdef inline double power(Py_ssize_t t, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """p^n of pair i, n at most 5."""
    cdef double even = 1.0
    if n >= 2:
        even = even * point_squared(t, i)
    if n >= 4:
        even = even * point_squared(t, i)
    return even * point(t, i) if n % 2 else even


cdef inline double other_squared(Py_ssize_t t, Py_ssize_t left_out, Py_ssize_t i) noexcept nogil:
    """p^2 of pair i of those that remain without pair `left_out` (or none: -1)."""
    return point_squared(t, i if left_out < 0 or i < left_out else i + 1)


cdef inline double coefficient(Py_ssize_t t, Py_ssize_t left_out, Py_ssize_t j) noexcept nogil:
    """That of z^j in the product over the pairs that remain of (z - p^2). (Without loops, or GCC computes it at run time.)"""
    cdef Py_ssize_t degree = (t - 2) // 2 - (left_out >= 0)
    cdef double a = other_squared(t, left_out, 0), b = other_squared(t, left_out, 1), c = other_squared(t, left_out, 2)
    if j == degree:
        return 1.0
    if degree == 1:
        return -a
    if degree == 2:
        return a * b if j == 0 else -(a + b)
    if j == 0:
        return -a * b * c
    return a * b + a * c + b * c if j == 1 else -(a + b + c)


cdef inline double normalizer(Py_ssize_t t, Py_ssize_t i) noexcept nogil:
    """2 p^2 R_p(p^2) of pair i."""
    cdef Py_ssize_t others = (t - 2) // 2 - 1
    cdef double square = point_squared(t, i), value = 2.0 * square
    if others >= 1:
        value = value * (square - other_squared(t, i, 0))
    if others >= 2:
        value = value * (square - other_squared(t, i, 1))
    return value


cdef inline vf input_end(Py_ssize_t t, bint infinity, const vf* d) noexcept nogil:
    """The value of B^T d at 0, or at infinity."""
    cdef Py_ssize_t pairs = (t - 2) // 2
    cdef Py_ssize_t j
    cdef vf value = d[2 * pairs + infinity]
    for j in range(pairs):
        value = vfma(vset(<real>coefficient(t, -1, j)), d[2 * j + infinity], value)
    return value


cdef inline void input_pair(Py_ssize_t t, Py_ssize_t i, const vf* d, vf* plus, vf* minus) noexcept nogil:
    """Those at both points of pair i."""
    cdef Py_ssize_t pairs = (t - 2) // 2
    cdef Py_ssize_t j
    cdef vf even = d[2 * pairs], odd = d[2 * pairs - 1]
    for j in range(pairs - 1):
        even = vfma(vset(<real>coefficient(t, i, j)), d[2 * j + 2], even)
        odd = vfma(vset(<real>coefficient(t, i, j)), d[2 * j + 1], odd)
    plus[0] = vfma(vset(<real>point(t, i)), odd, even)
    minus[0] = vfma(vset(<real>-point(t, i)), odd, even)


cdef inline void input_points(Py_ssize_t t, const vf* d, vf* v) noexcept nogil:
    """v = B^T d."""
    cdef Py_ssize_t i
    v[0] = input_end(t, False, d)
    for i in range((t - 2) // 2):
        input_pair(t, i, d, v + 2 * i + 1, v + 2 * i + 2)
    v[t - 1] = input_end(t, True, d)


cdef inline void kernel_pair(Py_ssize_t t, Py_ssize_t r, Py_ssize_t i, const vf* g, Py_ssize_t ldg, vf* plus,
                             vf* minus) noexcept nogil:
    """The values of G g at both points of pair i, for r values ldg apart."""
    cdef Py_ssize_t j
    cdef vf even = vset(<real>(1.0 / normalizer(t, i))) * g[0]
    cdef vf odd = vset(<real>(point(t, i) / normalizer(t, i))) * g[ldg]
    for j in range(2, r):
        if j % 2:
            odd = vfma(vset(<real>(power(t, i, j) / normalizer(t, i))), g[j * ldg], odd)
        else:
            even = vfma(vset(<real>(power(t, i, j) / normalizer(t, i))), g[j * ldg], even)
    plus[0] = even + odd
    minus[0] = even - odd


cdef inline vf kernel_end(Py_ssize_t t, Py_ssize_t r, bint infinity, const vf* g, Py_ssize_t ldg) noexcept nogil:
    """That at 0, or at infinity."""
    return g[(r - 1) * ldg] if infinity else vset(<real>(1.0 / coefficient(t, -1, 0))) * g[0]


cdef inline void kernel_points(Py_ssize_t t, Py_ssize_t r, const vf* g, Py_ssize_t ldg, vf* u, Py_ssize_t ldu) noexcept nogil:
    """u = G g, for r values, the results ldu apart."""
    cdef Py_ssize_t i
    u[0] = kernel_end(t, r, False, g, ldg)
    for i in range((t - 2) // 2):
        kernel_pair(t, r, i, g, ldg, u + (2 * i + 1) * ldu, u + (2 * i + 2) * ldu)
    u[(t - 1) * ldu] = kernel_end(t, r, True, g, ldg)


cdef inline vf output_value(Py_ssize_t t, Py_ssize_t n, Py_ssize_t k, const vf* m, const vf* sums) noexcept nogil:
    """y_k; `sums` has what the two points of each pair give, their total for an even k, their difference for an odd one."""
    cdef Py_ssize_t i
    cdef vf value = vset(<real>power(t, 0, k)) * sums[0] if k else m[0] + sums[0]
    if k and k == n - 1:
        value = vfma(vset(<real>power(t, 0, k)), sums[0], m[t - 1])
    for i in range(1, (t - 2) // 2):
        value = vfma(vset(<real>power(t, i, k)), sums[i], value) if k else value + sums[i]
    return value


cdef inline void output_values(Py_ssize_t t, Py_ssize_t n, const vf* m, vf* y) noexcept nogil:
    """y = A^T m, n values."""
    cdef vf totals[3]
    cdef vf differences[3]
    cdef Py_ssize_t i, k
    for i in range((t - 2) // 2):
        totals[i] = m[2 * i + 1] + m[2 * i + 2]
        differences[i] = m[2 * i + 1] - m[2 * i + 2]
    for k in range(n):
        if k % 2:
            y[k] = output_value(t, n, k, m, differences)
        else:
            y[k] = output_value(t, n, k, m, totals)
