# Elementwise activations, forward and backward.
#
#   y = f(x)        dx = dy f'(x)
#
# n         elements; all arrays contiguous. x and y or slope may be the same memory, and so may dy and dx
# saved     in: y where f' follows from it (linear, relu, leaky_relu, elu, selu, sigmoid, tanh, relu6),
#           x where it doesn't (gelu, gelu_tanh, silu, softplus, hard_swish), or f'(x) itself (SLOPE)
# slope     out, or NULL: f'(x) of gelu, gelu_tanh, silu and softplus. It shares its exponential with f(x), so training keeps it
#           instead of x, and the backward pass is a multiplication
# alpha     slope of leaky_relu (at least 0: the sign of y tells that of x), alpha of elu (above 0)
#
# One loop serves whole vectors and the last part of one, so an element's bits don't depend on where it
# is in the array: products call `activate` on rows of their tiles. Threads take whole blocks of 4096 elements. Large results
# are stored past the caches (elements.pxi).
#
# Accuracy. Nothing cancels on the way to a small result: for negative x, gelu is x Phi(-|x|) with Phi(-|x|) computed as
# such (math.pxi), and the slopes have 1 - sigmoid(x) as sigmoid(-x). Relative errors, for all x: gelu and silu 4 ulp (gelu in
# float64: 6, or 9 without FMA), the others 3. But gelu_tanh takes the rounding of its argument z along into e^2z, some 2 |z| ulp
# for negative x: 20 at x = -5, where y is 2e-7. Slopes of gelu, gelu_tanh, silu and hard_swish cross zero once; around there their
# error is absolute, 2 ulp of 1. A result below 1e-36 (float32; 1e-305 in float64) may be 0, where a factor of it is denormal.
#
# Sources: the formulas are PyTorch's. Maas, Hannun & Ng 2013 (leaky_relu); Clevert, Unterthiner & Hochreiter 2016 (elu);
# Klambauer et al. 2017 (selu); Hendrycks & Gimpel 2016 (gelu, silu); Dugas et al. 2001 (softplus); Krizhevsky 2010
# (relu6); Howard et al. 2019 (hard_swish).

cdef enum Activation:
    LINEAR = 0
    RELU = 1
    LEAKY_RELU = 2
    ELU = 3
    SELU = 4
    GELU = 5            # x Phi(x), with the error function
    GELU_TANH = 6       # its approximation x sigmoid(2 z), z = sqrt(2 / pi) (x + 0.044715 x^3)
    SILU = 7
    SIGMOID = 8
    TANH = 9
    SOFTPLUS = 10
    RELU6 = 11          # min(max(x, 0), 6)
    HARD_SWISH = 12     # x relu6(x + 3) / 6
    SLOPE = 13          # no activation: backward, by slopes that were computed with y

cdef struct ActivationArgs:
    const real* x
    real* y
    real* slope
    Py_ssize_t n
    Py_ssize_t kind
    double alpha

cdef struct ActivationBackwardArgs:
    const real* saved
    const real* dy
    real* dx
    Py_ssize_t n
    Py_ssize_t kind
    double alpha

cdef extern from *:
    """
    #define SELU_SCALE ((real)1.0507009873554804934193349852946)
    #define SELU_ALPHA ((real)1.6732632423543772848170429916717)
    #define SOFTPLUS_THRESHOLD ((real)20)
    /* 2 sqrt(2 / pi), and that times 0.044715 and 3 * 0.044715 */
    #define GELU_TANH_1 ((real)1.5957691216057308)
    #define GELU_TANH_3 ((real)0.07135481627260025)
    #define GELU_TANH_SLOPE ((real)0.21406444881780076)
    #define NORMAL_DENSITY_0 ((real)0.3989422804014327)
    #define SIXTH ((real)0.16666666666666666)
    """
    real SELU_SCALE, SELU_ALPHA, SOFTPLUS_THRESHOLD, GELU_TANH_1, GELU_TANH_3, GELU_TANH_SLOPE, NORMAL_DENSITY_0, SIXTH


# --- one vector -----------------------------------------------------------------------------------

cdef inline vf gelu_distance(vf x) noexcept nogil:
    """|x|, at most so much that Phi(-|x|) is 0 already."""
    return vmin(vset(<real>(39 if IS_DOUBLE else 14.5)), vabs(x))


cdef inline vf gelu(vf x, vf* slope) noexcept nogil:
    """x Phi(x), with the slope Phi(x) + x phi(x)."""
    cdef vf a = gelu_distance(x)
    cdef vf ratio = mills(a)
    cdef vf e = exp_minus_square(a, <real>0.5)
    cdef vf slope_ratio = vfma(a, vset(-NORMAL_DENSITY_0), ratio)
    cdef vm negative = vlt(x, vzero())
    slope[0] = vselect(negative, slope_ratio * e, vfma(vneg(slope_ratio), e, vset(<real>1)))
    return x * vselect(negative, ratio * e, vfma(vneg(ratio), e, vset(<real>1)))


cdef inline vf gelu_tanh(vf x, vf* slope) noexcept nogil:
    cdef vf square, s, other
    # So far out sigmoid is 0 or 1; x^2 or Inf would make the slope NaN.
    cdef vf near = vmin(vset(<real>40), vmax(vset(<real>-40), x))
    square = near * near
    s = sigmoid_pair(near * vfma(square, vset(GELU_TANH_3), vset(GELU_TANH_1)), &other)
    slope[0] = s * vfma(near * vfma(square, vset(GELU_TANH_SLOPE), vset(GELU_TANH_1)), other, vset(<real>1))
    return x * s


cdef inline vf silu(vf x, vf* slope) noexcept nogil:
    cdef vf other
    cdef vf s = sigmoid_pair(x, &other)
    slope[0] = s * vfma(vmin(vset(<real>1000), vmax(vset(<real>-1000), x)), other, vset(<real>1))
    return x * s


cdef inline vf softplus(vf x, vf* slope) noexcept nogil:
    cdef vf e = vexp(vneg(vabs(x)))
    cdef vm is_linear = vgt(x, vset(SOFTPLUS_THRESHOLD))
    slope[0] = vselect(vlt(x, vzero()), e, vset(<real>1)) / (vset(<real>1) + e)
    slope[0] = vselect(is_linear, vset(<real>1), slope[0])
    return vselect(is_linear, x, vmax(vzero(), x) + vlog1p_finite(e))


cdef inline vf hard_swish_slope(vf x) noexcept nogil:
    cdef vf slope = vselect(vge(x, vset(<real>3)), vset(<real>1), vfma(x, vset(2 * SIXTH), vset(<real>0.5)))
    return vselect(vle(x, vset(<real>-3)), vzero(), slope)


cdef inline vf activated(Py_ssize_t kind, vf alpha, vf x) noexcept nogil:
    cdef vf slope
    if kind == RELU:
        return vmax(vzero(), x)
    if kind == LEAKY_RELU:
        return vselect(vgt(x, vzero()), x, alpha * x)
    if kind == ELU:
        return vselect(vgt(x, vzero()), x, alpha * vexpm1(x))
    if kind == SELU:
        return vselect(vgt(x, vzero()), vset(SELU_SCALE) * x, vset(SELU_SCALE * SELU_ALPHA) * vexpm1(x))
    if kind == GELU:
        return gelu(x, &slope)
    if kind == GELU_TANH:
        return gelu_tanh(x, &slope)
    if kind == SILU:
        return silu(x, &slope)
    if kind == SIGMOID:
        return vsigmoid(x)
    if kind == TANH:
        return vtanh(x)
    if kind == SOFTPLUS:
        return softplus(x, &slope)
    if kind == RELU6:
        return vmin(vset(<real>6), vmax(vzero(), x))
    if kind == HARD_SWISH:
        return x * (vmin(vset(<real>6), vmax(vzero(), x + vset(<real>3))) * vset(SIXTH))
    return x


cdef inline vf activated_with_slope(Py_ssize_t kind, vf x, vf* slope) noexcept nogil:
    """Of those whose slope takes as long as they do."""
    if kind == GELU:
        return gelu(x, slope)
    if kind == GELU_TANH:
        return gelu_tanh(x, slope)
    if kind == SILU:
        return silu(x, slope)
    return softplus(x, slope)


cdef inline vf gradient(Py_ssize_t kind, vf alpha, vf saved, vf dy) noexcept nogil:
    cdef vf slope
    if kind == RELU:
        return vselect(vle(saved, vzero()), vzero(), dy)
    if kind == LEAKY_RELU:
        return vselect(vgt(saved, vzero()), dy, dy * alpha)
    if kind == ELU:
        return vselect(vgt(saved, vzero()), dy, dy * (saved + alpha))
    if kind == SELU:
        return dy * vselect(vgt(saved, vzero()), vset(SELU_SCALE), saved + vset(SELU_SCALE * SELU_ALPHA))
    if kind == SLOPE:
        return dy * saved
    if kind == GELU or kind == GELU_TANH or kind == SILU or kind == SOFTPLUS:
        activated_with_slope(kind, saved, &slope)
        return dy * slope
    if kind == SIGMOID:
        return dy * ((vset(<real>1) - saved) * saved)
    if kind == TANH:
        return dy * vfma(vneg(saved), saved, vset(<real>1))
    if kind == RELU6:
        return vselect(vor(vle(saved, vzero()), vge(saved, vset(<real>6))), vzero(), dy)
    if kind == HARD_SWISH:
        return dy * hard_swish_slope(saved)
    return dy


# --- arrays -----------------------------------------------------------------------------------------

cdef inline void activate_loop(Py_ssize_t kind, double alpha, const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef vf parameter = vset(<real>alpha)
    cdef Py_ssize_t i
    for i from 0 <= i < n by LANES:
        vstore_end(y + i, activated(kind, parameter, vload_upto(x + i, n - i)), n - i)


cdef inline void with_slope_loop(Py_ssize_t kind, const real* x, real* y, real* slope, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef vf y_part, slope_part
    for i from 0 <= i < n by LANES:
        y_part = activated_with_slope(kind, vload_upto(x + i, n - i), &slope_part)
        vstore_upto(y + i, y_part, n - i)
        vstore_upto(slope + i, slope_part, n - i)


cdef inline void backward_loop(Py_ssize_t kind, double alpha, const real* saved, const real* dy, real* dx,
                               Py_ssize_t n) noexcept nogil:
    cdef vf parameter = vset(<real>alpha)
    cdef Py_ssize_t i
    cdef vf dx_part
    for i from 0 <= i < n by LANES:
        dx_part = gradient(kind, parameter, vload_upto(saved + i, n - i), vheld(vload_upto(dy + i, n - i)))
        vstore_end(dx + i, dx_part, n - i)


cdef void activate_with_slope(Py_ssize_t kind, const real* x, real* y, real* slope, Py_ssize_t n) noexcept nogil:
    if kind == GELU: with_slope_loop(GELU, x, y, slope, n)
    elif kind == GELU_TANH: with_slope_loop(GELU_TANH, x, y, slope, n)
    elif kind == SILU: with_slope_loop(SILU, x, y, slope, n)
    elif kind == SOFTPLUS: with_slope_loop(SOFTPLUS, x, y, slope, n)


cdef void activate(Py_ssize_t kind, double alpha, const real* x, real* y, Py_ssize_t n) noexcept nogil:
    if kind == LINEAR: activate_loop(LINEAR, alpha, x, y, n)
    elif kind == RELU: activate_loop(RELU, alpha, x, y, n)
    elif kind == LEAKY_RELU: activate_loop(LEAKY_RELU, alpha, x, y, n)
    elif kind == ELU: activate_loop(ELU, alpha, x, y, n)
    elif kind == SELU: activate_loop(SELU, alpha, x, y, n)
    elif kind == GELU: activate_loop(GELU, alpha, x, y, n)
    elif kind == GELU_TANH: activate_loop(GELU_TANH, alpha, x, y, n)
    elif kind == SILU: activate_loop(SILU, alpha, x, y, n)
    elif kind == SIGMOID: activate_loop(SIGMOID, alpha, x, y, n)
    elif kind == TANH: activate_loop(TANH, alpha, x, y, n)
    elif kind == SOFTPLUS: activate_loop(SOFTPLUS, alpha, x, y, n)
    elif kind == RELU6: activate_loop(RELU6, alpha, x, y, n)
    elif kind == HARD_SWISH: activate_loop(HARD_SWISH, alpha, x, y, n)


cdef void activate_backward(Py_ssize_t kind, double alpha, const real* saved, const real* dy, real* dx,
                            Py_ssize_t n) noexcept nogil:
    if kind == LINEAR: backward_loop(LINEAR, alpha, saved, dy, dx, n)
    elif kind == RELU: backward_loop(RELU, alpha, saved, dy, dx, n)
    elif kind == LEAKY_RELU: backward_loop(LEAKY_RELU, alpha, saved, dy, dx, n)
    elif kind == ELU: backward_loop(ELU, alpha, saved, dy, dx, n)
    elif kind == SELU: backward_loop(SELU, alpha, saved, dy, dx, n)
    elif kind == GELU: backward_loop(GELU, alpha, saved, dy, dx, n)
    elif kind == GELU_TANH: backward_loop(GELU_TANH, alpha, saved, dy, dx, n)
    elif kind == SILU: backward_loop(SILU, alpha, saved, dy, dx, n)
    elif kind == SIGMOID: backward_loop(SIGMOID, alpha, saved, dy, dx, n)
    elif kind == TANH: backward_loop(TANH, alpha, saved, dy, dx, n)
    elif kind == SOFTPLUS: backward_loop(SOFTPLUS, alpha, saved, dy, dx, n)
    elif kind == RELU6: backward_loop(RELU6, alpha, saved, dy, dx, n)
    elif kind == HARD_SWISH: backward_loop(HARD_SWISH, alpha, saved, dy, dx, n)
    elif kind == SLOPE: backward_loop(SLOPE, alpha, saved, dy, dx, n)


cdef enum:
    STREAMED_BLOCK = 1024       # elements that lie in L1 between the function and a store past the caches


# --- kernels ----------------------------------------------------------------------------------------

cdef inline void activate_part(const ActivationArgs* g, const real* x, real* y, real* slope, Py_ssize_t n) noexcept nogil:
    if g.slope == NULL:
        activate(g.kind, g.alpha, x, y, n)
    else:
        activate_with_slope(g.kind, x, y, slope, n)


cdef void activation(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ActivationArgs* g = <const ActivationArgs*>args
    cdef Py_ssize_t i = share_start(g.n, thread, n_threads)
    cdef Py_ssize_t end = share_start(g.n, thread + 1, n_threads)
    cdef real blocks[2][STREAMED_BLOCK]
    cdef real* y
    cdef real* slope
    cdef bint streams_y = g.x != g.y and is_streamed(g.y, g.n)
    cdef bint streams_slope = g.slope != NULL and g.x != g.slope and is_streamed(g.slope, g.n)
    cdef Py_ssize_t n
    if not (streams_y or streams_slope):
        activate_part(g, g.x + i, g.y + i, g.slope + i, end - i)
        return
    while i < end:
        n = min(end - i, <Py_ssize_t>STREAMED_BLOCK)
        y = &blocks[0][0] if streams_y else g.y + i
        slope = &blocks[1][0] if streams_slope else g.slope + i
        activate_part(g, g.x + i, y, slope, n)
        if streams_y:
            stream_row(y, g.y + i, n)
        if streams_slope:
            stream_row(slope, g.slope + i, n)
        i += n
    vfence()


cdef void activation_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ActivationBackwardArgs* g = <const ActivationBackwardArgs*>args
    cdef Py_ssize_t i = share_start(g.n, thread, n_threads)
    cdef Py_ssize_t end = share_start(g.n, thread + 1, n_threads)
    cdef real block[STREAMED_BLOCK]
    cdef Py_ssize_t n
    if g.dx == g.dy or g.dx == g.saved or not is_streamed(g.dx, g.n):
        activate_backward(g.kind, g.alpha, g.saved + i, g.dy + i, g.dx + i, end - i)
        return
    while i < end:
        n = min(end - i, <Py_ssize_t>STREAMED_BLOCK)
        activate_backward(g.kind, g.alpha, g.saved + i, g.dy + i, block, n)
        stream_row(block, g.dx + i, n)
        i += n
    vfence()
