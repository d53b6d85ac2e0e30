# What all convolutions share: their arguments, and the names of the letters.
#
#   y[n, p, q, k] = activation(bias[k] + sum over r, s, c of x[n, p sh - ph + r eh, q sw - pw + s ew, c] w[r, s, c, k])
#
# N          images                            H W C   of x: height, width, channels
# P Q K      of y: height, width, filters      R S     of the kernel
# sh sw      stride      eh ew  dilation       ph pw   padding above and to the left; x is zero outside of the image
# G          groups: filter k sees the channels of its group alone; C and K count those of all groups
# x y        NHWC, contiguous                  w       [R, S, C / G, K]
# bias       in, or NULL                       activation, alpha: of the result (activation.pxi)
# added      in, like the result, or NULL: added to the sums, before the activation (not by depthwise kernels)
# gate       in, like the result, or NULL: the result is multiplied by the slope of `gate_activation` there
# statistics and what belongs to it: of the result, for the batch norm that reads it (batch_statistics.pxi)
# dw dbias   gradients of w and of bias (sums of dy over all pixels), set, or added to with `accumulate...`; dbias may be NULL
# control    or NULL: with it, a dw or dbias that is not finite makes the step a bad one
#
# The input gradient has the same arguments, with dy for x and dx for y; it is also the forward pass of a transposed
# convolution, which has a bias and an activation. Geometry is always that of the forward convolution from x to y.

cdef struct ConvArgs:
    const real* x
    const real* w
    const real* bias
    const real* added
    const real* gate
    real* y
    real* statistics
    const real* statistics_x
    const real* statistics_mean
    real* scratch
    real* shared
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C
    Py_ssize_t P
    Py_ssize_t Q
    Py_ssize_t K
    Py_ssize_t R
    Py_ssize_t S
    Py_ssize_t sh
    Py_ssize_t sw
    Py_ssize_t eh
    Py_ssize_t ew
    Py_ssize_t ph
    Py_ssize_t pw
    Py_ssize_t G
    Py_ssize_t parts
    Py_ssize_t activation
    Py_ssize_t gate_activation
    Py_ssize_t scratch_stride
    double alpha
    double gate_alpha

cdef struct ConvWeightsArgs:
    const real* x
    const real* dy
    real* dw
    real* dbias
    Control* control
    real* scratch
    real* shared
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C
    Py_ssize_t P
    Py_ssize_t Q
    Py_ssize_t K
    Py_ssize_t R
    Py_ssize_t S
    Py_ssize_t sh
    Py_ssize_t sw
    Py_ssize_t eh
    Py_ssize_t ew
    Py_ssize_t ph
    Py_ssize_t pw
    Py_ssize_t G
    Py_ssize_t accumulate
    Py_ssize_t accumulate_bias
    Py_ssize_t scratch_stride


# A gradient of the weights may keep the sums of two halves of its work apart, and an even number of threads take a half each.
# `beside` threads then share a half (or else everything, one half after the other), of which one is number `member`.
cdef struct HalfTeam:
    bint apart
    int half                # of this thread, where they are apart
    int beside
    int member


cdef inline HalfTeam team_of_halves(Py_ssize_t halves, int thread, int n_threads) noexcept nogil:
    cdef HalfTeam team
    team.apart = halves == 2 and n_threads % 2 == 0
    team.beside = n_threads // 2 if team.apart else n_threads
    team.half = thread // team.beside
    team.member = thread % team.beside
    return team


cdef inline void write_sum(real* y, vf x, Py_ssize_t n, bint accumulate, vf* infinite) noexcept nogil:
    """n results of a gradient, set or added; `infinite` becomes NaN where one is not finite."""
    if accumulate:
        x = vload_upto(y, n) + x
    vstore_upto(y, x, n)
    infinite[0] = vor_bits(vfirst(x - x, min(n, <Py_ssize_t>LANES)), infinite[0])
