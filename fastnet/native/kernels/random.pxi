# Counter-based random numbers: bits, uniform numbers, permutations, dropout.
#
# Threefry-2x32 with 20 rounds encrypts the counter (block, count) under the key (key_0, key_1) to
# two words; there is no state. A number therefore depends on its place alone, not on
# threads, on the instruction set, or on what was drawn before.
#
# n           elements                        count    second word of the counter, 32 bits
# key_0 key_1 the stream, 32 bits each        block    first word of the counter
#
# Layout: element e = 128 q + p takes its word from block 64 q + p mod 64, the first word where p < 64
# and the second where p >= 64, so that a vector of blocks gives two vectors of neighbours. A
# second word for each element, where one has too few bits, comes from the same
# place 2^31 blocks further on. So n is at most 2^32.
#
#   random_uniform  float32: the upper 24 bits / 2^24. float64: the word and the upper 21 bits of the second
#                   word, 53 in all, / 2^53. Then low + (high - low) u, kept below `high`.
#   shuffle         Fisher-Yates from the last place down; an index below s from a word by multiplication, and
#                   another word where that would favour some of them (Lemire 2019).
#   dropout         y = x (word >= rate 2^32 ? 1 / (1 - rate) : 0); so NaN and Inf in a dropped element give
#                   NaN, as in PyTorch. The count is control.forward (0 where control is NULL).
#                   dy in the place of x gives dx: nothing is saved. y may be x.
#   spatial_dropout the same with one mask, of elements [batch, channels], for all rows of a sample.
#
# Threads take whole chunks of 128 elements (spatial_dropout: rows); `shuffle` is serial.
#
# Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
# Lemire 2019, "Fast random integer generation in an interval". Tompson et al. 2015, "Efficient object localization using
# convolutional networks" (spatial_dropout).

cdef enum:
    RANDOM_CHUNK = 128
    RANDOM_BLOCKS = 64

cdef struct RandomBitsArgs:
    uint32_t* y                 # out [n]
    const Control* control      # in, or NULL: its `forward` is the count
    Py_ssize_t n
    Py_ssize_t key_0
    Py_ssize_t key_1
    Py_ssize_t count

cdef struct RandomUniformArgs:
    real* y                     # out [n]
    Py_ssize_t n
    Py_ssize_t key_0
    Py_ssize_t key_1
    Py_ssize_t count
    double low
    double high

cdef struct ShuffleArgs:
    int64_t* order              # out [n]
    const Control* control      # in, or NULL: its `forward` is the count
    Py_ssize_t n
    Py_ssize_t key_0
    Py_ssize_t key_1
    Py_ssize_t count

cdef struct DropoutArgs:
    const real* x               # in [n]
    real* y                     # out [n]
    const Control* control      # in, or NULL
    Py_ssize_t n
    Py_ssize_t key_0
    Py_ssize_t key_1
    double rate

cdef struct SpatialDropoutArgs:
    const real* x               # in [batch, rows, channels]
    real* y                     # out
    const Control* control      # in, or NULL
    Py_ssize_t batch
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t key_0
    Py_ssize_t key_1
    double rate


# --- the generator ------------------------------------------------------------------------------

cdef inline void threefry_round(vu* a, vu* b, int rotation) noexcept nogil:
    """One round on four vectors of blocks side by side, since one alone waits for itself."""
    cdef int i
    for i in range(4):
        a[i] = a[i] + b[i]
    for i in range(4):
        b[i] = vuxor(vurotate(b[i], rotation), a[i])


cdef inline void threefry_inject(vu* a, vu* b, vu key_a, vu key_b) noexcept nogil:
    cdef int i
    for i in range(4):
        a[i] = a[i] + key_a
        b[i] = b[i] + key_b


cdef void random_words(uint32_t* words, uint32_t key_0, uint32_t key_1, uint32_t block, uint32_t count) noexcept nogil:
    """The 128 words of the 64 blocks from `block` on: first words, then second words."""
    cdef uint32_t key_2 = <uint32_t>0x1BD11BDA ^ key_0 ^ key_1
    cdef vu a[4]
    cdef vu b[4]
    cdef vu k0 = vuset(key_0)
    cdef vu k1 = vuset(key_1)
    cdef vu k2 = vuset(key_2)
    cdef int i, g
    for g from 0 <= g < RANDOM_BLOCKS by 4 * LANES32:
        for i in range(4):
            a[i] = vuset(block + g + i * LANES32 + key_0) + vuiota()
            b[i] = vuset(count + key_1)
        threefry_round(a, b, 13)
        threefry_round(a, b, 15)
        threefry_round(a, b, 26)
        threefry_round(a, b, 6)
        threefry_inject(a, b, k1, vuset(key_2 + 1))
        threefry_round(a, b, 17)
        threefry_round(a, b, 29)
        threefry_round(a, b, 16)
        threefry_round(a, b, 24)
        threefry_inject(a, b, k2, vuset(key_0 + 2))
        threefry_round(a, b, 13)
        threefry_round(a, b, 15)
        threefry_round(a, b, 26)
        threefry_round(a, b, 6)
        threefry_inject(a, b, k0, vuset(key_1 + 3))
        threefry_round(a, b, 17)
        threefry_round(a, b, 29)
        threefry_round(a, b, 16)
        threefry_round(a, b, 24)
        threefry_inject(a, b, k1, vuset(key_2 + 4))
        threefry_round(a, b, 13)
        threefry_round(a, b, 15)
        threefry_round(a, b, 26)
        threefry_round(a, b, 6)
        threefry_inject(a, b, k2, vuset(key_0 + 5))
        for i in range(4):
            vustore(words + g + i * LANES32, a[i])
            vustore(words + RANDOM_BLOCKS + g + i * LANES32, b[i])


cdef inline uint32_t second_words(Py_ssize_t q) noexcept nogil:
    """First block of the second words of chunk q."""
    return <uint32_t>(q * RANDOM_BLOCKS) + (<uint32_t>1 << 31)


cdef inline uint32_t count_of(const Control* control, Py_ssize_t count) noexcept nogil:
    return <uint32_t>(count if control == NULL else control.forward)


cdef inline Py_ssize_t random_chunks(Py_ssize_t n) noexcept nogil:
    return (n + RANDOM_CHUNK - 1) // RANDOM_CHUNK


cdef void random_bits(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RandomBitsArgs* r = <const RandomBitsArgs*>args
    cdef uint32_t words[RANDOM_CHUNK]
    cdef Py_ssize_t chunks = random_chunks(r.n)
    cdef Py_ssize_t q
    for q in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        random_words(words, <uint32_t>r.key_0, <uint32_t>r.key_1, <uint32_t>(q * RANDOM_BLOCKS),
                     count_of(r.control, r.count))
        memcpy(r.y + q * RANDOM_CHUNK, words, min(r.n - q * RANDOM_CHUNK, <Py_ssize_t>RANDOM_CHUNK) * sizeof(uint32_t))


# --- uniform numbers ----------------------------------------------------------------------------

cdef inline real greatest_below(double low, double high) noexcept nogil:
    """The greatest real below `high`; `low` where there is none between them."""
    cdef real h = <real>high
    cdef ireal bits
    if <double>h >= high:
        memcpy(&bits, &h, sizeof(real))
        bits += -1 if h > 0 else 1
        memcpy(&h, &bits, sizeof(real))
        if high == 0:
            h = -REAL_MIN       # the neighbours of zero are denormal
    return h if <double>h > low else <real>low


cdef inline double uniform_product(double span, double u) noexcept nogil:
    """In float32 both have 24 bits and the product is exact, so that it doesn't matter how it is added."""
    return dproduct(span, u) if IS_DOUBLE else span * u


cdef void random_uniform(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RandomUniformArgs* r = <const RandomUniformArgs*>args
    cdef uint32_t words[RANDOM_CHUNK]
    cdef uint32_t more[RANDOM_CHUNK]
    cdef real values[RANDOM_CHUNK]
    cdef Py_ssize_t chunks = random_chunks(r.n)
    cdef Py_ssize_t q, i
    cdef uint32_t key_0 = <uint32_t>r.key_0, key_1 = <uint32_t>r.key_1, count = <uint32_t>r.count
    cdef real top = greatest_below(r.low, r.high)
    cdef double low = r.low, span = <real>(r.high - r.low)
    cdef real value
    for q in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        random_words(words, key_0, key_1, <uint32_t>(q * RANDOM_BLOCKS), count)
        if IS_DOUBLE:
            random_words(more, key_0, key_1, second_words(q), count)
        for i in range(RANDOM_CHUNK):
            if IS_DOUBLE:
                value = <real>(low + uniform_product(
                    span, <double><int64_t>(<uint64_t>words[i] << 21 | more[i] >> 11) * (1.0 / 9007199254740992.0)))
            else:
                value = <real>(low + uniform_product(span, <double><int32_t>(words[i] >> 8) * (1.0 / 16777216.0)))
            values[i] = top if value > top else value
        memcpy(r.y + q * RANDOM_CHUNK, values, min(r.n - q * RANDOM_CHUNK, <Py_ssize_t>RANDOM_CHUNK) * sizeof(real))


# --- permutations -------------------------------------------------------------------------------

cdef struct WordSource:
    uint32_t words[RANDOM_CHUNK]
    uint32_t key_0
    uint32_t key_1
    uint32_t count
    uint32_t block
    Py_ssize_t used


cdef inline uint32_t next_word(WordSource* source) noexcept nogil:
    if source.used == RANDOM_CHUNK:
        random_words(source.words, source.key_0, source.key_1, source.block, source.count)
        source.block += RANDOM_BLOCKS
        source.used = 0
    source.used += 1
    return source.words[source.used - 1]


cdef void shuffle(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ShuffleArgs* s = <const ShuffleArgs*>args
    cdef WordSource source
    cdef Py_ssize_t i, j
    cdef uint64_t product
    cdef uint32_t size, least
    cdef int64_t held
    if thread:
        return
    source.key_0 = <uint32_t>s.key_0
    source.key_1 = <uint32_t>s.key_1
    source.count = count_of(s.control, s.count)
    source.block = 0
    source.used = RANDOM_CHUNK
    for i in range(s.n):
        s.order[i] = i
    for i from s.n > i >= 1:
        size = <uint32_t>(i + 1)
        product = <uint64_t>next_word(&source) * size
        if <uint32_t>product < size:
            least = (0 - size) % size
            while <uint32_t>product < least:
                product = <uint64_t>next_word(&source) * size
        j = <Py_ssize_t>(product >> 32)
        held = s.order[i]
        s.order[i] = s.order[j]
        s.order[j] = held


# --- dropout ------------------------------------------------------------------------------------

cdef inline uint32_t dropout_threshold(double rate) noexcept nogil:
    """The least word that keeps an element."""
    cdef double wanted = rate * 4294967296.0
    cdef int64_t whole = <int64_t>wanted
    if <double>whole < wanted:
        whole += 1
    return <uint32_t>min(whole, <int64_t>0xFFFFFFFF)


cdef void dropout(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const DropoutArgs* d = <const DropoutArgs*>args
    cdef uint32_t words[RANDOM_CHUNK]
    cdef Py_ssize_t chunks = random_chunks(d.n)
    cdef Py_ssize_t q, i, n
    cdef uint32_t count = 0 if d.control == NULL else <uint32_t>d.control.forward
    cdef uint32_t threshold = dropout_threshold(d.rate)
    cdef vf scale = vset(<real>(1.0 / (1.0 - d.rate)))
    cdef const real* x
    cdef real* y
    for q in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        random_words(words, <uint32_t>d.key_0, <uint32_t>d.key_1, <uint32_t>(q * RANDOM_BLOCKS), count)
        x = d.x + q * RANDOM_CHUNK
        y = d.y + q * RANDOM_CHUNK
        n = d.n - q * RANDOM_CHUNK
        if n >= RANDOM_CHUNK:
            for i from 0 <= i < RANDOM_CHUNK by LANES:
                vstore(y + i, vload(x + i) * vukeep(words + i, threshold, scale))
        else:
            for i from 0 <= i < n by LANES:
                vstore_n(y + i, vload_n(x + i, min(n - i, <Py_ssize_t>LANES)) * vukeep(words + i, threshold, scale),
                         min(n - i, <Py_ssize_t>LANES))


cdef void spatial_dropout_rows(const SpatialDropoutArgs* d, Py_ssize_t sample, Py_ssize_t row, Py_ssize_t end) noexcept nogil:
    """Rows of one sample: the words of 128 channels at most are drawn for all of them."""
    cdef uint32_t words[2 * RANDOM_CHUNK]       # vectors of the last words may read beyond them
    cdef uint32_t count = 0 if d.control == NULL else <uint32_t>d.control.forward
    cdef uint32_t threshold = dropout_threshold(d.rate)
    cdef vf scale = vset(<real>(1.0 / (1.0 - d.rate)))
    cdef Py_ssize_t first = 0, element, q, used, width, r, j, at
    while first < d.channels:
        element = sample * d.channels + first
        q = element // RANDOM_CHUNK
        used = element - q * RANDOM_CHUNK
        width = min(d.channels - first, RANDOM_CHUNK - used)
        random_words(words, <uint32_t>d.key_0, <uint32_t>d.key_1, <uint32_t>(q * RANDOM_BLOCKS), count)
        for r in range(row, end):
            at = (sample * d.rows + r) * d.channels + first
            for j from 0 <= j < width by LANES:
                vstore_upto(d.y + at + j, vload_upto(d.x + at + j, width - j) * vukeep(words + used + j, threshold, scale),
                            width - j)
        first += width


cdef void spatial_dropout(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SpatialDropoutArgs* d = <const SpatialDropoutArgs*>args
    cdef Py_ssize_t row = thread * d.batch * d.rows // n_threads
    cdef Py_ssize_t end = (thread + 1) * d.batch * d.rows // n_threads
    cdef Py_ssize_t sample, last
    while row < end:
        sample = row // d.rows
        last = min(end, (sample + 1) * d.rows)
        spatial_dropout_rows(d, sample, row - sample * d.rows, last - sample * d.rows)
        row = last
