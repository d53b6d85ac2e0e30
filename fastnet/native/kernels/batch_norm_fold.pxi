# Batch normalization by running statistics, folded into the weights of the product or convolution before it.
#
#   s = gamma / sqrt(running_var + epsilon)      folded_w[r, k] = w[r, k] s[k]      folded_bias = (bias - running_mean) s + beta
#
# rows channels   of w: everything but the filters, the filters      bias gamma beta   in [channels], or NULL
#
# Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference", 3.2.

cdef struct BatchNormFoldArgs:
    const real* w
    const real* bias
    const real* gamma
    const real* beta
    const real* running_mean
    const real* running_var
    real* folded_w
    real* folded_bias
    Py_ssize_t rows
    Py_ssize_t channels
    double epsilon


cdef void batch_norm_fold(const void* args, int thread, int n_threads) noexcept nogil:
    """Threads take rows; the first one also the bias."""
    cdef const BatchNormFoldArgs* a = <const BatchNormFoldArgs*>args
    cdef Py_ssize_t k, r, n
    cdef vf scale, bias
    for k from 0 <= k < a.channels by LANES:
        n = a.channels - k
        scale = load_or(a.gamma, <real>1, k, n) / vsqrt(vload_upto(a.running_var + k, n) + vset(<real>a.epsilon))
        for r in range(thread * a.rows // n_threads, (thread + 1) * a.rows // n_threads):
            vstore_upto(a.folded_w + r * a.channels + k, vload_upto(a.w + r * a.channels + k, n) * scale, n)
        if thread == 0:
            bias = load_or(a.bias, <real>0, k, n) - vload_upto(a.running_mean + k, n)
            vstore_upto(a.folded_bias + k, vfma(bias, scale, load_or(a.beta, <real>0, k, n)), n)
