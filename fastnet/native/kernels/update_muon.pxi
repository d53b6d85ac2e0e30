# Muon (Jordan et al. 2024): the update of a matrix, orthogonalized. What a plan makes of it are three kinds of ops, of which
# `muon_begin` and `muon_end` stand for each matrix and `update_product` three times for each Newton-Schulz iteration.
#
# w, g, b     flat memory as in update.pxi; b is the momentum buffer
# range       in: the matrix, R x C, in this memory, and its settings; the decay is a decoupled one
# x           [R, C], the orthogonalized direction
# control     in: after a bad status, and while gradients wait for others, all three do nothing
#
#   muon_begin      b = momentum b + (1 - momentum) g     u = b, or (1 - momentum) g + momentum b with `nesterov`
#                   x = factor u / max(|u|, epsilon),  |u| the root of the sum of squares
#   update_product  C = op(A) op(B) + start_factor start   (start: [M, N] or NULL; all else as in gemm.pxi, control only in)
#   muon_end        w -= lr factor x
#
# Order of summation: |u|^2 in double, by blocks of 4096 elements as `squares` has them (gradient.pxi). Products as in gemm.pxi.
# Shared: of `muon_begin` a double for each block, of products gemm's.

cdef struct MuonBeginArgs:
    const real* g
    real* b
    real* x
    const Range* range
    const Control* control
    double* shared
    Py_ssize_t n            # elements of the matrix, those of the range
    Py_ssize_t nesterov
    double momentum
    double factor
    double epsilon


cdef Py_ssize_t muon_begin_shared(const void* args) noexcept nogil:
    return blocks_in((<const MuonBeginArgs*>args).n) * sizeof(double)


cdef inline void muon_direction(const MuonBeginArgs* args, Py_ssize_t begin, Py_ssize_t n, bint nesterov) noexcept nogil:
    """b, and u in the place of x, of n elements from `begin` on, counted from the matrix' first."""
    cdef Terms t = terms_of(args.range)
    cdef const real* g = args.g + args.range.offset + begin
    cdef real* b = args.b + args.range.offset + begin
    cdef real* x = args.x + begin
    cdef vf momentum = vset(<real>args.momentum), rate = vset(<real>(1 - args.momentum))
    cdef vf gradient, mean
    cdef Py_ssize_t i
    for i from 0 <= i < n by LANES:
        mean = vload_upto(b + i, n - i)
        gradient = gradient_of(&t, vload_upto(g + i, n - i), vzero())
        mean = vfma(gradient - mean, rate, mean)
        vstore_upto(b + i, mean, n - i)
        vstore_upto(x + i, vfma(mean - gradient, momentum, gradient) if nesterov else mean, n - i)


cdef void muon_begin(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const MuonBeginArgs* a = <const MuonBeginArgs*>args
    cdef Py_ssize_t blocks = blocks_in(a.n), block, begin, n
    if a.control.status != GOOD:
        return
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        begin = block * UPDATE_BLOCK
        n = min(a.n - begin, <Py_ssize_t>UPDATE_BLOCK)
        if a.nesterov:
            muon_direction(a, begin, n, True)
        else:
            muon_direction(a, begin, n, False)
        a.shared[block] = sum_of_squares(a.x + begin, n)


cdef void muon_normalize(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const MuonBeginArgs* a = <const MuonBeginArgs*>args
    cdef Py_ssize_t blocks = blocks_in(a.n), block, i
    cdef Py_ssize_t end = min((thread + 1) * blocks // n_threads * UPDATE_BLOCK, a.n)
    cdef double total = 0
    cdef vf factor
    if a.control.status != GOOD:
        return
    for block in range(blocks):
        total += a.shared[block]
    factor = vset(<real>(a.factor / max(sqrt(total), a.epsilon)))
    for i from thread * blocks // n_threads * UPDATE_BLOCK <= i < end by LANES:
        vstore_upto(a.x + i, vload_upto(a.x + i, end - i) * factor, end - i)


cdef struct UpdateProductArgs:
    const real* start
    GemmArgs gemm
    double start_factor


cdef Py_ssize_t update_product_scratch(const void* args) noexcept nogil:
    return gemm_scratch(&(<const UpdateProductArgs*>args).gemm)


cdef Py_ssize_t update_product_shared(const void* args) noexcept nogil:
    return gemm_shared(&(<const UpdateProductArgs*>args).gemm)


cdef GemmArgs without_control(const UpdateProductArgs* a) noexcept nogil:
    """A result that is not finite does not make the step a bad one: its update has begun."""
    cdef GemmArgs g = a.gemm
    g.control = NULL
    return g


cdef void update_product_start(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const UpdateProductArgs* a = <const UpdateProductArgs*>args
    cdef ScaleArgs scaled = ScaleArgs(a.start, a.gemm.c, a.gemm.M * a.gemm.N, a.start_factor)
    if a.gemm.control.status == GOOD and a.start != NULL:
        scale_array(&scaled, thread, n_threads)


cdef void update_product(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const UpdateProductArgs* a = <const UpdateProductArgs*>args
    cdef GemmArgs g = without_control(a)
    if a.gemm.control.status == GOOD:
        gemm(&g, thread, n_threads)


cdef void update_product_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const UpdateProductArgs* a = <const UpdateProductArgs*>args
    cdef GemmArgs g = without_control(a)
    if a.gemm.control.status == GOOD:
        gemm_join(&g, thread, n_threads)


cdef struct MuonEndArgs:
    real* w
    const real* x
    const Range* range
    const Control* control
    double factor


cdef void muon_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const MuonEndArgs* a = <const MuonEndArgs*>args
    cdef Share s = share_of(a.range, 1, thread, n_threads)
    cdef Terms t = terms_of(a.range)
    cdef vf minus_lr = vset(<real>(-a.range.learning_rate * a.factor))
    cdef const real* x
    cdef real* w
    cdef Py_ssize_t i
    if a.control.status != GOOD:
        return
    while next_run(&s):
        w = a.w + s.begin
        x = a.x + (s.begin - a.range.offset)
        for i from 0 <= i < s.n by LANES:
            vstore_upto(w + i, vfma(vload_upto(x + i, s.n - i), minus_lr, vload_upto(w + i, s.n - i) * t.shrink), s.n - i)
