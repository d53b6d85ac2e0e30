# Normal, truncated normal and symmetric beta numbers, from the words of random.pxi.
#
#   random_normal            y = mean + std z
#   random_truncated_normal  the same with z between low and high, in units of std
#   random_beta              Beta(alpha, alpha), always double; the count is control.forward where there is a control
#
# n key_0 key_1 count: as in random.pxi           y  out [n]
#
# Algorithm: one uniform number u for each element, and z = Phi^-1(u). u = (k + 1/2) / 2^52 with the
# integer k from the element's word and 20 bits of its second word, so that u and 1 - u
# are exact and neither is 0: |z| is at most 8.2. Truncated: z = Phi^-1(Phi(low) + u (Phi(high) - Phi(low))),
# from whichever end is nearer, so that far intervals keep their precision.
#
# Everything is double, in both builds: float32 numbers are the float64 ones, rounded. Only
# + - * / and square roots are used, with every product rounded by itself (`dproduct`): the bits don't depend on
# the C library or on the instruction set. One element after the other: 10-20 ns each.
#
# Beta: y = 1/2 + s / (2 sqrt(1 + p / ((1 - p) c^2))) with p = u^(1 / alpha), c = sin(v pi / 2), uniform u and v and a
# random sign s; no rejection. u and v as above from words 0 to 3 of the element's own chunk of words, s from word 4.
#
# Threads take whole chunks of 128 elements, of random_beta single ones.
#
# Source: Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution" (PPND16, relative
# error 1e-16). Phi: Abramowitz & Stegun 1964, 26.2.11 (series) and 26.2.14 (continued fraction). Beta: Devroye 1996,
# "Random variate generation in one line of code".

cdef struct RandomNormalArgs:
    real* y
    Py_ssize_t n
    Py_ssize_t key_0
    Py_ssize_t key_1
    Py_ssize_t count
    double mean
    double std

cdef struct RandomTruncatedNormalArgs:
    real* y
    Py_ssize_t n
    Py_ssize_t key_0
    Py_ssize_t key_1
    Py_ssize_t count
    double mean
    double std
    double low
    double high

cdef struct RandomBetaArgs:
    double* y
    const Control* control
    Py_ssize_t n
    Py_ssize_t key_0
    Py_ssize_t key_1
    Py_ssize_t count
    double alpha


# --- elementary functions -----------------------------------------------------------------------

cdef inline double polynomial(const double* c, int degree, double x) noexcept nogil:
    """c[0] + c[1] x + ..., by Horner's rule."""
    cdef double y = c[degree]
    cdef int i
    for i in range(1, degree + 1):
        y = dproduct(y, x) + c[degree - i]
    return y


# 1 / (2 i + 3):  log((1 + s) / (1 - s)) = 2 s + 2 s^3 (1/3 + s^2/5 + ...), and s^2 < 0.0295
cdef double[11] LOG_SERIES = [
    1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23,
]
# 1 / i!, and |x| < 0.35
cdef double[15] EXP_SERIES = [
    1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
    1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0, 1.0 / 87178291200.0,
]
# log(2) in two parts; the first has 21 zeros at its end, so that its multiples are exact.
cdef double LOG2_HIGH = 6.93147180369123816490e-01
cdef double LOG2_LOW = 1.90821492927058770002e-10


cdef inline double natural_log(double x) noexcept nogil:
    """log(x) of a normal positive x, to about an ulp: x = 2^e m with m between sqrt(1/2) and sqrt(2)."""
    cdef uint64_t bits
    cdef double m, s, z
    cdef int e
    memcpy(&bits, &x, sizeof(double))
    e = <int>(bits >> 52) - 1023
    bits = (bits & 0xFFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL
    memcpy(&m, &bits, sizeof(double))
    if m > 1.4142135623730951:
        m = m * 0.5
        e += 1
    s = (m - 1) / (m + 1)
    z = dproduct(s, s)
    z = dproduct(z, polynomial(LOG_SERIES, 10, z))
    return dproduct(e, LOG2_HIGH) + (2 * s + (dproduct(2 * s, z) + dproduct(e, LOG2_LOW)))


cdef double exponential(double x) noexcept nogil:
    """exp(x) of x between -708 and 0."""
    cdef int64_t n = <int64_t>(dproduct(x, 1.4426950408889634) - 0.5)
    cdef double r = (x - dproduct(n, LOG2_HIGH)) - dproduct(n, LOG2_LOW)
    cdef uint64_t bits = <uint64_t>(n + 1023) << 52
    cdef double power
    memcpy(&power, &bits, sizeof(double))
    return dproduct(polynomial(EXP_SERIES, 14, r), power)


# --- the normal distribution --------------------------------------------------------------------

cdef enum:
    FRACTION_TERMS = 400        # their error is about exp(-2 |x| sqrt(terms)), and |x| > 1

cdef double normal_below(double x) noexcept nogil:
    """Phi(x), the probability of a number below x, with a small relative error in the lower tail."""
    cdef double square = dproduct(x, x)
    cdef double density, term, total
    cdef int i
    if x < -37.5:
        return 0
    if x > 1:
        return 1 - normal_below(-x)
    density = dproduct(0.3989422804014327, exponential(-0.5 * square))
    if x > -1:
        term = x
        total = x
        for i in range(1, 30):
            term = dproduct(term, square) / (2 * i + 1)
            total = total + term
        return 0.5 + dproduct(density, total)
    total = -x
    for i in range(FRACTION_TERMS, 0, -1):
        total = i / total - x
    return density / total


cdef double[8] CENTRE_ABOVE = [
    3.3871328727963666080e+0, 1.3314166789178437745e+2, 1.9715909503065514427e+3, 1.3731693765509461125e+4,
    4.5921953931549871457e+4, 6.7265770927008700853e+4, 3.3430575583588128105e+4, 2.5090809287301226727e+3,
]
cdef double[8] CENTRE_BELOW = [
    1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
    2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4, 5.2264952788528545610e+3,
]
cdef double[8] TAIL_ABOVE = [
    1.42343711074968357734e+0, 4.63033784615654529590e+0, 5.76949722146069140550e+0, 3.64784832476320460504e+0,
    1.27045825245236838258e+0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
]
cdef double[8] TAIL_BELOW = [
    1.0, 2.05319162663775882187e+0, 1.67638483018380384940e+0, 6.89767334985100004550e-1,
    1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
]
cdef double[8] FAR_ABOVE = [
    6.65790464350110377720e+0, 5.46378491116411436990e+0, 1.78482653991729133580e+0, 2.96560571828504891230e-1,
    2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
]
cdef double[8] FAR_BELOW = [
    1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
    7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
]


cdef inline double normal_quantile(double u, double rest) noexcept nogil:
    """Phi^-1(u), where `rest` is 1 - u. Both are positive."""
    cdef double q = u - 0.5
    cdef double r
    if q <= 0.425 and q >= -0.425:
        r = 0.180625 - dproduct(q, q)
        return dproduct(q, polynomial(CENTRE_ABOVE, 7, r)) / polynomial(CENTRE_BELOW, 7, r)
    r = sqrt(-natural_log(min(u, rest)))
    if r <= 5:
        r = r - 1.6
        r = polynomial(TAIL_ABOVE, 7, r) / polynomial(TAIL_BELOW, 7, r)
    else:
        r = r - 5
        r = polynomial(FAR_ABOVE, 7, r) / polynomial(FAR_BELOW, 7, r)
    return -r if q < 0 else r


cdef inline double open_unit(uint32_t word, uint32_t more) noexcept nogil:
    """(k + 1/2) / 2^52 for the 52 bits k of the two words: between 0 and 1, never either."""
    return (<double><int64_t>(<uint64_t>word << 20 | more >> 12) + 0.5) * (1.0 / 4503599627370496.0)


# --- the kernels --------------------------------------------------------------------------------

cdef void random_normal(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RandomNormalArgs* r = <const RandomNormalArgs*>args
    cdef uint32_t words[RANDOM_CHUNK]
    cdef uint32_t more[RANDOM_CHUNK]
    cdef uint32_t key_0 = <uint32_t>r.key_0, key_1 = <uint32_t>r.key_1, count = <uint32_t>r.count
    cdef Py_ssize_t chunks = random_chunks(r.n)
    cdef Py_ssize_t q, i
    cdef double u
    for q in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        random_words(words, key_0, key_1, <uint32_t>(q * RANDOM_BLOCKS), count)
        random_words(more, key_0, key_1, second_words(q), count)
        for i in range(min(r.n - q * RANDOM_CHUNK, <Py_ssize_t>RANDOM_CHUNK)):
            u = open_unit(words[i], more[i])
            r.y[q * RANDOM_CHUNK + i] = <real>(r.mean + dproduct(r.std, normal_quantile(u, 1 - u)))


cdef void random_truncated_normal(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RandomTruncatedNormalArgs* r = <const RandomTruncatedNormalArgs*>args
    cdef uint32_t words[RANDOM_CHUNK]
    cdef uint32_t more[RANDOM_CHUNK]
    cdef uint32_t key_0 = <uint32_t>r.key_0, key_1 = <uint32_t>r.key_1, count = <uint32_t>r.count
    cdef Py_ssize_t chunks = random_chunks(r.n)
    cdef Py_ssize_t q, i
    cdef double below = normal_below(r.low), above = normal_below(-r.high)
    cdef double inside = (normal_below(r.high) - below) if r.low < 0 else (normal_below(-r.low) - above)
    cdef double u, z
    for q in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        random_words(words, key_0, key_1, <uint32_t>(q * RANDOM_BLOCKS), count)
        random_words(more, key_0, key_1, second_words(q), count)
        for i in range(min(r.n - q * RANDOM_CHUNK, <Py_ssize_t>RANDOM_CHUNK)):
            u = open_unit(words[i], more[i])
            z = normal_quantile(below + dproduct(inside, u), above + dproduct(inside, 1 - u))
            z = min(max(z, r.low), r.high)
            r.y[q * RANDOM_CHUNK + i] = <real>(r.mean + dproduct(r.std, z))


# --- symmetric beta numbers ---------------------------------------------------------------------

# (-1)^i (pi / 2)^(2 i + 1) / (2 i + 1)!:  sin(v pi / 2) = v (c[0] + c[1] v^2 + ...), 0 <= v <= 1
cdef double[11] SINE_SERIES = [
    1.5707963267948966, -0.6459640975062463, 0.07969262624616704, -0.004681754135318688, 0.00016044118478735983,
    -3.5988432352120853e-06, 5.692172921967926e-08, -6.688035109811467e-10, 6.066935731106195e-12,
    -4.377065467313742e-14, 2.571422892860473e-16,
]


cdef inline double symmetric_beta(const uint32_t* words, double alpha) noexcept nogil:
    cdef double exponent_of_p = natural_log(open_unit(words[0], words[1])) / alpha
    cdef double v = open_unit(words[2], words[3])
    cdef double c = dproduct(v, polynomial(SINE_SERIES, 10, dproduct(v, v)))
    cdef double p = exponential(exponent_of_p) if exponent_of_p > -700 else 0
    cdef double q = dproduct(1 - p, dproduct(c, c))
    cdef double half = dproduct(0.5, sqrt(q / (q + p)))
    return 0.5 + half if words[4] >> 31 else 0.5 - half


cdef void random_beta(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RandomBetaArgs* r = <const RandomBetaArgs*>args
    cdef uint32_t words[RANDOM_CHUNK]
    cdef Py_ssize_t i
    for i in range(thread * r.n // n_threads, (thread + 1) * r.n // n_threads):
        random_words(words, <uint32_t>r.key_0, <uint32_t>r.key_1, <uint32_t>(i * RANDOM_BLOCKS),
                     count_of(r.control, r.count))
        r.y[i] = symmetric_beta(words, r.alpha)
