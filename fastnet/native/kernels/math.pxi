# Elementary functions of vectors: exp, expm1, log, log1p, tanh, sigmoid, erf, and what GELU needs.
#
# Each is at most 2 units in the last place off (sigmoid 2.5), over its whole range, in float32 and
# float64, with and without fused multiply-add. +-0, Inf and NaN give what C's functions give.
# Kernels run with denormals flushed: a denormal argument counts as 0, and
# a result that would be denormal may be 0.
#
# Without FMA, vfma(a, b, c) rounds a * b first. So where a product must not be rounded it is
# one that is exact anyway: by a power of two, or of few bits by few bits (LN2_HIGH has 9 or 12 bits less
# than a number, and n has no more than these).
#
# No formula here leaves the compiler a choice of what to fuse: each a * b + c is a vfma. An element's bits
# are therefore the same wherever the function is inlined.
#
# Coefficients: minimax fits of the relative error (weighted least squares on Chebyshev points with
# Lawson's reweighting, in 60 digits; rounded from the lowest order up, refitting those above).

from libc.math cimport NAN

cdef extern from *:
    """
    #define LOG2_E FN_PICK(1.44269502f, 1.4426950408889634)
    #define LN2_HIGH FN_PICK(0.693145751953125f, 0.69314718055966295651)
    #define LN2_LOW FN_PICK(1.42860677e-06f, 2.8235290563031577e-13)
    """
    real LOG2_E, LN2_HIGH, LN2_LOW


cdef inline vf horner2(vf p, vf x, real c1, real c0) noexcept nogil:
    """p x^2 + c1 x + c0"""
    return vfma(vfma(p, x, vset(c1)), x, vset(c0))


cdef inline vf horner4(vf p, vf x, real c3, real c2, real c1, real c0) noexcept nogil:
    """p x^4 + c3 x^3 + c2 x^2 + c1 x + c0"""
    return horner2(horner2(p, x, c3, c2), x, c1, c0)


# --- exponentials ------------------------------------------------------------------------------
# e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2) / 2. Adding ROUND rounds, and leaves the
# exponent bits of 2^n in the lowest bits of the sum, which is what the functions below call t.

cdef inline vf exp_reduced(vf x, vf* t) noexcept nogil:
    """r of e^x = 2^n e^r; |x / ln 2| must be below 2^21."""
    cdef vf n
    t[0] = vfma(x, vset(LOG2_E), vset(ROUND))
    n = t[0] - vset(ROUND)
    return vfma(n, vset(-LN2_LOW), vfma(n, vset(-LN2_HIGH), x))


cdef inline vf power_of_two(vf t) noexcept nogil:
    """2^n, for n that are exponents of normal numbers."""
    return vfrombits(vshift_left(vbits(t), MANTISSA_BITS))


cdef inline vf exp_series(vf r) noexcept nogil:
    """(e^r - 1 - r) / r^2, the part of e^r that is not exact."""
    if IS_DOUBLE:
        return horner4(horner4(horner2(vset(<real>2.0894165152790745e-09), r,
                                       <real>2.5108758516640598e-08, <real>2.7557327771616403e-07), r,
                               <real>2.7557244979281295e-06, <real>2.4801587281763417e-05,
                               <real>0.00019841269885484739, <real>0.0013888888888892482), r,
                       <real>0.0083333333333217557, <real>0.041666666666666685, <real>0.16666666666666677, <real>0.5)
    return horner4(vset(<real>0.00138972281), r,
                   <real>0.00836602971, <real>0.0416668691, <real>0.166665494, <real>0.5)


cdef inline vf expm1_reduced(vf r) noexcept nogil:
    """e^r - 1 for |r| <= ln(2) / 2"""
    return vfma(r * r, exp_series(r), r)


cdef inline vf vexp(vf x) noexcept nogil:
    cdef vf t, r
    x = vmin(vset(<real>(710 if IS_DOUBLE else 89)), vmax(vset(<real>(-746 if IS_DOUBLE else -104)), x))
    r = exp_reduced(x, &t)
    return vscale(horner2(exp_series(r), r, <real>1, <real>1), t)


cdef inline vf vexpm1(vf x) noexcept nogil:
    cdef vf t, s, half, y
    s = vmin(vset(<real>(710 if IS_DOUBLE else 89)), vmax(vset(<real>-40), x))
    s = expm1_reduced(exp_reduced(s, &t))
    # 2^n s + (2^n - 1), at half its size: 2^128 is no number.
    half = vfrombits(vshift_left(vbits(t) - visplat(1), MANTISSA_BITS))
    y = vfma(s, half, half - vset(<real>0.5))
    # Half of a small x may be denormal; and -0 is to stay -0.
    return vselect(vlt(vabs(x), vset(REAL_EPSILON * REAL_EPSILON)), x, y + y)


cdef inline vf sigmoid_terms(vf x, vf* small) noexcept nogil:
    """d = 1 + e^-|x| and `small` = e^-|x|, with sigmoid(|x|) = 1 / d, sigmoid(-|x|) = small / d."""
    cdef vf t, r, p, power
    r = exp_reduced(vmax(vset(<real>(-708.7 if IS_DOUBLE else -87.6)), vneg(vabs(x))), &t)
    p = horner2(exp_series(r), r, <real>1, <real>1)
    power = power_of_two(t)
    small[0] = p * power
    return vfma(p, power, vset(<real>1))


cdef inline vf vsigmoid(vf x) noexcept nogil:
    """1 / (1 + e^-x)"""
    cdef vf small
    cdef vf d = sigmoid_terms(x, &small)
    return vselect(vlt(x, vzero()), small, vset(<real>1)) / d


cdef inline vf sigmoid_pair(vf x, vf* other) noexcept nogil:
    """sigmoid(x), and sigmoid(-x) as `other`, with one division: up to 3 ulp off."""
    cdef vf small
    cdef vf large = vset(<real>1) / sigmoid_terms(x, &small)
    cdef vm negative = vlt(x, vzero())
    small = small * large
    other[0] = vselect(negative, large, small)
    return vselect(negative, small, large)


cdef inline vf vtanh(vf x) noexcept nogil:
    cdef vf t, r, a, z, p, small, large
    a = vabs(x)
    # 1 - 2 / (e^2a + 1), which is exactly 1 above the limit.
    r = exp_reduced(vmin(vset(<real>(40 if IS_DOUBLE else 20)), a + a), &t)
    p = horner2(exp_series(r), r, <real>1, <real>1)
    large = vset(<real>1) - vset(<real>2) / vfma(p, power_of_two(t), vset(<real>1))
    # Below 0.55 that cancels.
    z = a * a
    if IS_DOUBLE:
        p = horner4(vfma(z, vset(<real>-1.9011130406225492e-05), vset(<real>8.2536592858162056e-05)), z,
                    <real>-0.00023284003205425075, <real>0.00058823271204680862,
                    <real>-0.0014554916377963313, <real>0.0035920841188617661)
        p = horner4(p, z, <real>-0.008863231822119828, <real>0.021869488338503704,
                    <real>-0.053968253962111627, <real>0.13333333333323782)
        p = vfma(p, z, vset(<real>-0.33333333333333282))
    else:
        p = horner4(vset(<real>-0.00617634039), z, <real>0.0210040081, <real>-0.053836301,
                    <real>0.133324385, <real>-0.333333135)
    small = vfma(a * z, p, a)
    return vcopysign(vselect(vlt(a, vset(<real>0.55)), small, large), x)


# --- logarithms ----------------------------------------------------------------------------------
# x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), and log(1 + f) = 2 atanh(s), s = f / (2 + f), arranged
# as in fdlibm's e_log.c: f - (f^2/2 - s (f^2/2 + R)), R = 2 atanh(s) / s - 2, whose largest term is exact.

cdef inline vf log_sum(vf k, vf f, vf correction) noexcept nogil:
    """k ln 2 + log(1 + f) + correction"""
    cdef vf s = f / (vset(<real>2) + f)
    cdef vf z = s * s
    cdef vf half = vset(<real>0.5) * f * f
    cdef vf p
    if IS_DOUBLE:
        p = horner4(vfma(z, vset(<real>0.14795696453471163), vset(<real>0.15314086555375286)), z,
                    <real>0.18183562616088889, <real>0.22222198610382046,
                    <real>0.28571428741976768, <real>0.3999999999941688)
        p = vfma(p, z, vset(<real>0.6666666666666734))
    else:
        p = horner2(vset(<real>0.298746943), z, <real>0.399774909, <real>0.666667759)
    p = vfma(p, z, half)
    p = vfma(s, p, vfma(k, vset(LN2_LOW), correction))
    return vfma(k, vset(LN2_HIGH), f - (half - p))


cdef inline vi shifted(vf x) noexcept nogil:
    """Bits whose exponent field is k + bias; the rest is what 1 + f has above sqrt(1/2)."""
    return vbits(x) + (vbits(vset(<real>1)) - vbits(vset(<real>0.70710678118654752)))


cdef inline vf exponent(vi bits) noexcept nogil:
    """The exponent field, less the bias, as a number; the sign bit must be 0."""
    cdef vf unit = vset(<real>(4503599627370496.0 if IS_DOUBLE else 8388608.0))    # 2^MANTISSA_BITS
    return vfrombits(vior(vshift_right(bits, MANTISSA_BITS), vbits(unit))) - (unit + vset(<real>EXPONENT_BIAS))


cdef inline vf vlog_positive(vf x) noexcept nogil:
    """log x of positive, normal, finite numbers."""
    cdef vi bits = shifted(x)
    cdef vf m = vfrombits(viand(bits, visplat(MANTISSA_MASK)) + vbits(vset(<real>0.70710678118654752)))
    return log_sum(exponent(bits), m - vset(<real>1), vzero())


cdef inline vf vlog(vf x) noexcept nogil:
    cdef vf y = vlog_positive(x)
    cdef vf outside = vselect(vlt(x, vzero()), vset(<real>NAN), vset(-<real>INFINITY))
    y = vselect(vlt(x, vset(REAL_MIN)), outside, y)
    return vselect(vlt(x, vset(<real>INFINITY)), y, x)


cdef inline vf vlog1p_finite(vf x) noexcept nogil:
    """log(1 + x) of finite x > -1 but -0."""
    cdef vi bits = shifted(vset(<real>1) + x)
    cdef vi k = viand(bits, visplat(~MANTISSA_MASK)) - vbits(vset(<real>1))
    # f = 2^-k x + (2^-k - 1), both terms exact; so is the sum but for some f below -1/4.
    cdef vf a = vfrombits(vbits(x) - k)
    cdef vf b = vfma(vfrombits(vbits(vset(<real>4)) - k), vset(<real>0.25), vset(<real>-1))
    cdef vf f = b + a
    return log_sum(exponent(bits), f, a - (f - b))


cdef inline vf vlog1p(vf x) noexcept nogil:
    cdef vf y = vcopysign(vlog1p_finite(x), x)
    cdef vf outside = vselect(vlt(x, vset(<real>-1)), vset(<real>NAN), vset(-<real>INFINITY))
    y = vselect(vle(x, vset(<real>-1)), outside, y)
    return vselect(vlt(x, vset(<real>INFINITY)), y, x)


# --- the normal distribution -----------------------------------------------------------------------

cdef inline vf exp_minus_square(vf a, real factor) noexcept nogil:
    """e^(-factor a^2); factor is a power of two, factor a^2 < 2^20. The square's rounding error counts in."""
    cdef vf square = a * a
    cdef vf t, r
    r = exp_reduced(vset(-factor) * square, &t)
    r = vfma(vset(-factor), vproduct_error(a, a, square), r)
    return vscale(horner2(exp_series(r), r, <real>1, <real>1), t)


cdef inline vf mills(vf a) noexcept nogil:
    """Phi(-a) e^(a^2/2) for 0 <= a <= 39 (float64), 14.5 (float32), Phi the normal distribution function.

    Mills' ratio over sqrt(2 pi). All coefficients are positive: nothing cancels.
    """
    cdef vf p, q
    if IS_DOUBLE:
        p = horner4(horner2(vset(<real>2.2409043042703385e-07), a, <real>6.9736137202441948e-06,
                            <real>0.00010654311940412084), a, <real>0.0010394778549538204, <real>0.0071215405391222546,
                    <real>0.035662376309512037, <real>0.13203027110304394)
        p = horner4(p, a, <real>0.35731242198997493, <real>0.67956689314463536, <real>0.82789774071802658, <real>0.5)
        q = horner4(vfma(a, vset(<real>5.6171140898250553e-07), vset(<real>1.7480257327548672e-05)), a,
                    <real>0.000267625706971568, <real>0.0026230648396121624,
                    <real>0.018116995437995696, <real>0.091962945158162376)
        q = horner4(q, a, <real>0.34827334741271354, <real>0.98000551492827392,
                    <real>2.0012971568255553, <real>2.8168872091418189)
        q = horner2(q, a, <real>2.4536800422389184, <real>1)
    else:
        p = horner4(vset(<real>0.00411922764), a, <real>0.040653307, <real>0.183295086, <real>0.438376218, <real>0.5)
        q = horner4(vfma(a, vset(<real>0.0103252539), vset(<real>0.101909153)), a,
                    <real>0.469628662, <real>1.20275271, <real>1.67463744, <real>1)
    return p / q


cdef inline vf verf(vf x) noexcept nogil:
    cdef vf a, z, p, small, large
    # 1 - 2 Phi(-sqrt(2) a), which is exactly 1 at the limit.
    a = vmin(vset(<real>(6 if IS_DOUBLE else 4)), vabs(x))
    large = mills(vset(<real>1.4142135623730951) * a) * exp_minus_square(a, <real>1)
    large = vfma(vset(<real>-2), large, vset(<real>1))
    # Below 0.9 that cancels.
    z = a * a
    if IS_DOUBLE:
        p = horner4(horner4(vfma(z, vset(<real>-1.0585746615103438e-09), vset(<real>1.4994565492799593e-08)), z,
                            <real>-1.6460349895568479e-07, <real>1.647560450379748e-06,
                            <real>-1.4926698477023825e-05, <real>0.00012055382799982776), z,
                    <real>-0.0008548328510329657, <real>0.0052239776528054454,
                    <real>-0.026866170648055437, <real>0.11283791670971158)
        p = horner2(p, z, <real>-0.37612638903184098, <real>0.12837916709551259)
    else:
        p = horner4(horner2(vset(<real>7.96111708e-05), z, <real>-0.000804335112, <real>0.0051920074), z,
                    <real>-0.0268556345, <real>0.112836249, <real>-0.376126289, <real>0.128379166)
    small = (vset(<real>1) + p) * a
    return vcopysign(vselect(vlt(a, vset(<real>0.9)), small, large), x)
