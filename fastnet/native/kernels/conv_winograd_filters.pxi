# The transformed weights of Winograd's convolution (conv_winograd.pxi): U = G w G^T, for each of the points a matrix in panels of filters.
#
# The legend of conv_winograd.pxi. For the input gradient the weights are read as [R, R, K, C], and turned by 180 degrees.

cdef inline void transform_kernel(Py_ssize_t t, Py_ssize_t r, const vf* w, Py_ssize_t ldw, real* u, Py_ssize_t ldu) noexcept nogil:
    """U = G w G^T for a vector of channels or filters: w in vectors ldw apart, row by row; U's points ldu elements apart."""
    cdef vf half[MOST_POINTS * 5]
    cdef vf row[MOST_POINTS]
    cdef Py_ssize_t i, j
    for j in range(r):
        kernel_points(t, r, w + j * ldw, r * ldw, half + j, r)
    for i in range(t):
        kernel_points(t, r, half + i * r, 1, row, 1)
        for j in range(t):
            vstore(u + (i * t + j) * ldu, row[j])


cdef inline real* panel_row(const Winograd* g, Py_ssize_t e, Py_ssize_t c, Py_ssize_t k) noexcept nogil:
    """Where U_e[c, k] lies: panels one after the other, the last one as wide as its whole vectors."""
    cdef Py_ssize_t first = k // g.panel * g.panel
    cdef Py_ssize_t width = min(g.panel, whole_vectors(g.args.K) - first)
    return g.u + e * g.u_matrix + first * g.args.C + c * width + (k - first)


cdef inline Py_ssize_t first_column(const Winograd* g, int thread, int n_threads) noexcept nogil:
    """Of a thread, where they divide the panels."""
    cdef Py_ssize_t panels = (g.args.K + g.panel - 1) // g.panel
    return min(thread * panels // n_threads * g.panel, g.args.K)


# The channels and filters whose weights a thread transforms.
cdef struct Weights:
    Py_ssize_t c0
    Py_ssize_t c1
    Py_ssize_t k0
    Py_ssize_t k1


cdef void kernel_of(Py_ssize_t t, Py_ssize_t r, const vf* w, Py_ssize_t ldw, real* u, Py_ssize_t ldu) noexcept nogil:
    if t == 4: transform_kernel(4, 3, w, ldw, u, ldu)
    elif t == 8: transform_kernel(8, 5, w, ldw, u, ldu)
    elif r == 3: transform_kernel(6, 3, w, ldw, u, ldu)
    else: transform_kernel(6, 5, w, ldw, u, ldu)


cdef inline void weights_of_rows(const Winograd* g, const Weights* part) noexcept nogil:
    cdef const ConvWinogradArgs* a = g.args
    cdef vf w[25]
    cdef Py_ssize_t c, k, i, r = a.R
    for c in range(part.c0, part.c1):
        for k from part.k0 <= k < part.k1 by LANES:
            for i in range(r * r):
                w[i] = vload_upto(a.w + (i * a.C + c) * a.K + k, a.K - k)
            kernel_of(g.t, r, w, 1, panel_row(g, 0, c, k), g.u_matrix)


cdef inline void turned_weights_of_rows(const Winograd* g, const Weights* part) noexcept nogil:
    """Of weights [r, r, K, C], a square of LANES filters by LANES channels at a time."""
    cdef const ConvWinogradArgs* a = g.args
    cdef vf w[25 * LANES]
    cdef Py_ssize_t c, k, i, j, n, r = a.R
    for c from part.c0 <= c < part.c1 by LANES:
        n = min(<Py_ssize_t>LANES, part.c1 - c)
        for k from part.k0 <= k < part.k1 by LANES:
            for i in range(r * r):
                for j in range(LANES):
                    w[i * LANES + j] = vzero()
                    if j < a.K - k:
                        w[i * LANES + j] = vload_upto(a.w + ((r * r - 1 - i) * a.K + k + j) * a.C + c, n)
                vtranspose(w + i * LANES)
            for j in range(n):
                kernel_of(g.t, r, w + j, LANES, panel_row(g, 0, c + j, k), g.u_matrix)


cdef void transform_weights(const Winograd* g, int thread, int n_threads) noexcept nogil:
    """Whole vectors of c for each thread; or all that it needs."""
    cdef Py_ssize_t parts = (g.args.C + LANES - 1) // LANES
    cdef Weights part = Weights(0, g.args.C, 0, g.args.K)
    if not g.own_weights:
        part.c0, part.c1 = thread * parts // n_threads * LANES, min((thread + 1) * parts // n_threads * LANES, g.args.C)
    elif g.by_columns:
        part.k0, part.k1 = first_column(g, thread, n_threads), first_column(g, thread + 1, n_threads)
    if g.turned:
        turned_weights_of_rows(g, &part)
    else:
        weights_of_rows(g, &part)
