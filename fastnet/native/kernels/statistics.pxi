# Statistics of weights, gradients, updates and activations, for the health of a network.
#
# x       in [n]                            y    in [n] or NULL: what is looked at is x - y (an update: weights now and before)
# result  out, double: elements, not finite ones, zeros, sum, sum of squares, least, greatest; then a histogram
#         [HISTOGRAM_BINS] of the finite ones, in equal steps from the least to the greatest
#
# Sums are in double and, as the least and greatest (0 where there is none), of finite elements alone. A block's vectors are
# added in one sum for each lane, blocks in order; chunks of blocks have a histogram each. Blocks and chunks depend on n
# alone, and threads take whole ones.

cdef enum:
    HISTOGRAM_BINS = 64
    HISTOGRAM_CHUNKS = 16
    SUMMARY = 7
    BAD = 1
    ZEROS = 2
    SUM = 3
    SQUARES = 4
    LEAST = 5
    GREATEST = 6

cdef struct StatisticsArgs:
    const real* x
    const real* y
    double* result
    double* shared          # histograms of the chunks, then a summary of each block
    Py_ssize_t n


cdef inline double* block_summaries(const StatisticsArgs* a) noexcept nogil:
    return a.shared + HISTOGRAM_CHUNKS * HISTOGRAM_BINS


cdef Py_ssize_t statistics_shared(const void* args) noexcept nogil:
    cdef Py_ssize_t blocks = blocks_in((<const StatisticsArgs*>args).n)
    return (HISTOGRAM_CHUNKS * HISTOGRAM_BINS + blocks * SUMMARY) * sizeof(double)


cdef inline void summarize(const StatisticsArgs* a, Py_ssize_t begin, Py_ssize_t end, double* summary) noexcept nogil:
    cdef vd sums[WIDE]
    cdef vd squares[WIDE]
    cdef vd wide
    cdef vf x, finite, least = vset(INFINITY), greatest = vset(-INFINITY)
    cdef vm bad
    cdef Py_ssize_t i, n, n_bad = 0, n_zeros = 0
    cdef int h
    for h in range(WIDE):
        sums[h] = squares[h] = vdset(0)
    for i from begin <= i < end by LANES:
        n = min(end - i, <Py_ssize_t>LANES)
        x = vload_or(a.x + i, n, NAN)
        if a.y != NULL:
            x = x - vload_upto(a.y + i, n)
        bad = visnan(x * vzero())
        n_bad += vcount(bad) - (LANES - n)
        n_zeros += vcount(veq(x, vzero()))
        finite = vselect(bad, vzero(), x)
        least = vmin(least, vselect(bad, vset(INFINITY), x))
        greatest = vmax(greatest, vselect(bad, vset(-INFINITY), x))
        for h in range(WIDE):
            wide = vwiden(finite, h)
            sums[h] = sums[h] + wide
            squares[h] = squares[h] + wide * wide
    for h in range(1, WIDE):
        sums[0] = sums[0] + sums[h]
        squares[0] = squares[0] + squares[h]
    summary[0] = end - begin
    summary[BAD] = n_bad
    summary[ZEROS] = n_zeros
    summary[SUM] = vdsum(sums[0])
    summary[SQUARES] = vdsum(squares[0])
    summary[LEAST] = -vgreatest(vneg(least))
    summary[GREATEST] = vgreatest(greatest)


cdef void statistics(const void* args, int thread, int n_threads) noexcept nogil:
    cdef StatisticsArgs a = (<const StatisticsArgs*>args)[0]
    cdef Py_ssize_t blocks = blocks_in(a.n), block
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        summarize(&a, block * UPDATE_BLOCK, min((block + 1) * UPDATE_BLOCK, a.n), block_summaries(&a) + block * SUMMARY)


cdef void join_summaries(const StatisticsArgs* a, double* total) noexcept nogil:
    cdef const double* summary = block_summaries(a)
    cdef Py_ssize_t block, i
    for i in range(SUMMARY):
        total[i] = 0
    total[LEAST] = INFINITY
    total[GREATEST] = -INFINITY
    for block in range(blocks_in(a.n)):
        for i in range(LEAST):
            total[i] += summary[i]
        total[LEAST] = min(total[LEAST], summary[LEAST])
        total[GREATEST] = max(total[GREATEST], summary[GREATEST])
        summary += SUMMARY
    if total[LEAST] > total[GREATEST]:
        total[LEAST] = total[GREATEST] = 0


cdef inline void count_into(const StatisticsArgs* a, Py_ssize_t begin, Py_ssize_t end, const double* total, double* bins) noexcept nogil:
    cdef double least = total[LEAST], width = total[GREATEST] - least, x
    cdef double per_step = HISTOGRAM_BINS / width if width > 0 else 0
    cdef Py_ssize_t i, bin
    for i in range(begin, end):
        x = a.x[i]
        if a.y != NULL:
            x = <real>(a.x[i] - a.y[i])
        if x - x == 0:
            bin = <Py_ssize_t>((x - least) * per_step)
            bins[min(bin, <Py_ssize_t>HISTOGRAM_BINS - 1)] += 1


cdef void statistics_histograms(const void* args, int thread, int n_threads) noexcept nogil:
    cdef StatisticsArgs a = (<const StatisticsArgs*>args)[0]
    cdef Py_ssize_t blocks = blocks_in(a.n), chunk, i
    cdef double total[SUMMARY]
    cdef double* bins
    join_summaries(&a, total)
    for chunk in range(thread * HISTOGRAM_CHUNKS // n_threads, (thread + 1) * HISTOGRAM_CHUNKS // n_threads):
        bins = a.shared + chunk * HISTOGRAM_BINS
        for i in range(HISTOGRAM_BINS):
            bins[i] = 0
        count_into(&a, chunk * blocks // HISTOGRAM_CHUNKS * UPDATE_BLOCK,
                   min((chunk + 1) * blocks // HISTOGRAM_CHUNKS * UPDATE_BLOCK, a.n), total, bins)


cdef void statistics_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef StatisticsArgs a = (<const StatisticsArgs*>args)[0]
    cdef Py_ssize_t chunk, i
    if thread:
        return
    join_summaries(&a, a.result)
    for i in range(HISTOGRAM_BINS):
        a.result[SUMMARY + i] = 0
        for chunk in range(HISTOGRAM_CHUNKS):
            a.result[SUMMARY + i] += a.shared[chunk * HISTOGRAM_BINS + i]


# --- units: y in [rows][columns], a column is a unit or channel. active and saturated out [columns], double: rows in which
#     y > floor, and in which y <= low or y >= high. Threads take whole cache lines of columns. ---------------------------

cdef struct UnitActivityArgs:
    const real* y
    double* active
    double* saturated
    Py_ssize_t rows
    Py_ssize_t columns
    double floor
    double low
    double high


cdef void unit_activity(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const UnitActivityArgs* a = <const UnitActivityArgs*>args
    cdef Py_ssize_t vectors = (a.columns + LANES - 1) // LANES, row, j, n, i
    cdef vf floor = vset(<real>a.floor), low = vset(<real>a.low), high = vset(<real>a.high), one = vset(1), y
    cdef vf active, saturated
    for j from thread * vectors // n_threads * LANES <= j < min((thread + 1) * vectors // n_threads * LANES, a.columns) by LANES:
        n = min(a.columns - j, <Py_ssize_t>LANES)
        active = saturated = vzero()
        for row in range(a.rows):
            y = vload_upto(a.y + row * a.columns + j, n)
            active = active + vselect(vgt(y, floor), one, vzero())
            saturated = saturated + vselect(vor(vle(y, low), vge(y, high)), one, vzero())
        for i in range(n):
            a.active[j + i] = vlane(active, i)
            a.saturated[j + i] = vlane(saturated, i)


# --- how much two gradients agree: result out, double [3] = sum x y, sum x^2, sum y^2. Blocks as above. ---------------------

cdef struct AgreementArgs:
    const real* x
    const real* y
    double* result
    double* shared
    Py_ssize_t n


cdef Py_ssize_t agreement_shared(const void* args) noexcept nogil:
    return 3 * blocks_in((<const AgreementArgs*>args).n) * sizeof(double)


cdef void agreement(const void* args, int thread, int n_threads) noexcept nogil:
    cdef AgreementArgs a = (<const AgreementArgs*>args)[0]
    cdef Py_ssize_t blocks = blocks_in(a.n), block, i, n
    cdef vd sums[3]
    cdef vd x, y
    cdef vf narrow_x, narrow_y
    cdef int h
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        sums[0] = sums[1] = sums[2] = vdset(0)
        for i from block * UPDATE_BLOCK <= i < min((block + 1) * UPDATE_BLOCK, a.n) by LANES:
            n = a.n - i
            narrow_x = vload_upto(a.x + i, n)
            narrow_y = vload_upto(a.y + i, n)
            for h in range(WIDE):
                x = vwiden(narrow_x, h)
                y = vwiden(narrow_y, h)
                sums[0] = sums[0] + x * y
                sums[1] = sums[1] + x * x
                sums[2] = sums[2] + y * y
        for h in range(3):
            a.shared[3 * block + h] = vdsum(sums[h])


cdef void agreement_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AgreementArgs* a = <const AgreementArgs*>args
    cdef Py_ssize_t block, h
    if thread:
        return
    for h in range(3):
        a.result[h] = 0
        for block in range(blocks_in(a.n)):
            a.result[h] += a.shared[3 * block + h]
