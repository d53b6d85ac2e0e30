# What batch normalization needs to know of all rows of a matrix, collected in parts, by itself or by the call that stores them.
#
#   forward     mean of y;  M2 = sum of (y - mean)^2             of the rows of a part, for each channel
#   backward    sum of dy;  sum of dy (x - mean), or 0           (here dy is y)
#
# statistics      out: [2, parts, channels], the two values above; behind them the rows of each part [parts]
# statistics_x    in, like y, or NULL                           statistics_mean  in [channels]; for backward, and only there
# parts           number of parts, or 0 where nobody wants statistics
# units           what a kernel works on at a time (rows, tiles, blocks of tiles), divided evenly among the parts, and if there are
#                 fewer of them (or nobody wants statistics), among as many; a thread takes whole parts
#
# Algorithm: a kernel that has stored some rows collects them while they are in L1. Groups of rows are held in registers: forward
# their mean, their squared deviations from it, and both joined to those of the rows before, so that nothing cancels.
#
# Order of summation: groups of 8, 4 and 1 rows, in the order in which they come. The parts depend on the shape alone.
#
# Source: Chan, Golub, LeVeque 1983.

cdef enum:
    COLLECTED = 8               # rows of a group

# One thread's way through the units.
cdef struct Collector:
    const real* y
    const real* x
    const real* mean
    bint backward
    Py_ssize_t channels
    Py_ssize_t parts
    Py_ssize_t unused           # parts without units
    Py_ssize_t units
    real* first                 # [parts, channels], or NULL where nobody wants them
    real* second
    real* counts                # [parts]
    Py_ssize_t part
    Py_ssize_t part_end         # its last unit + 1
    Py_ssize_t before           # rows of the part that have been collected


cdef inline Collector collector_of(const real* y, Py_ssize_t channels, real* statistics, const real* x, const real* mean,
                                   Py_ssize_t parts) noexcept nogil:
    cdef Collector c
    memset(&c, 0, sizeof(c))
    c.y, c.channels, c.parts = y, channels, parts
    if statistics != NULL:
        c.first = statistics
        c.second = c.first + parts * channels
        c.counts = c.second + parts * channels
        c.backward, c.x, c.mean = mean != NULL, x, mean
    return c


cdef inline Collector section_of(const Collector* whole, Py_ssize_t section, Py_ssize_t sections, Py_ssize_t units) noexcept nogil:
    """For units that belong to one of several sections of the parts, all of the same size."""
    cdef Collector c = whole[0]
    cdef Py_ssize_t parts = c.parts // sections
    if c.first != NULL:
        c.first += section * parts * c.channels
        c.second += section * parts * c.channels
        c.counts += section * parts
    c.units, c.parts = units, min(parts, units) if parts else units
    c.unused = parts - c.parts
    return c


cdef inline Py_ssize_t first_unit(const Collector* c, Py_ssize_t part) noexcept nogil:
    """(Without a division where nobody collects: it is asked for each unit.)"""
    return part if c.parts == c.units else part * c.units // c.parts


cdef inline void begin_at_part(Collector* c, Py_ssize_t part) noexcept nogil:
    cdef Py_ssize_t i
    c.part, c.part_end = part - 1, first_unit(c, part)
    if part == 0:
        for i in range(c.unused):
            c.counts[c.parts + i] = 0


cdef inline void enter_unit(Collector* c, Py_ssize_t unit) noexcept nogil:
    if unit == c.part_end:
        c.part += 1
        c.part_end = first_unit(c, c.part + 1)
        c.before = 0


# How a group joins the rows before it.
cdef struct Joining:
    bint alone
    vf share                # of the group in all rows so far
    vf spread               # factor of the squared distance of the two means


cdef inline void statistics_of_group(int g, const Collector* c, const Py_ssize_t* at, const Joining* joining, Py_ssize_t k,
                                     Py_ssize_t n) noexcept nogil:
    """One vector of channels of g rows, which start at at[i] of y."""
    cdef vf v[COLLECTED]
    cdef vf mean, d, m2
    cdef real* means = c.first + c.part * c.channels + k
    cdef real* m2s = c.second + c.part * c.channels + k
    cdef int i
    for i in range(g):
        v[i] = vload_upto(c.y + at[i] + k, n)
    mean = v[0]
    for i in range(1, g):
        mean = mean + v[i]
    mean = mean * vset(<real>1 / g)
    m2 = vzero()
    for i in range(g):
        d = v[i] - mean
        m2 = vfma(d, d, m2)
    if not joining.alone:
        d = mean - vload_upto(means, n)
        mean = vfma(d, joining.share, vload_upto(means, n))
        m2 = vfma(d * joining.spread, d, vload_upto(m2s, n) + m2)
    vstore_upto(means, mean, n)
    vstore_upto(m2s, m2, n)


cdef inline void sums_of_group(int g, const Collector* c, const Py_ssize_t* at, bint alone, Py_ssize_t k, Py_ssize_t n) noexcept nogil:
    cdef real* plain = c.first + c.part * c.channels + k
    cdef real* weighted = c.second + c.part * c.channels + k
    cdef vf p = vload_upto(c.y + at[0] + k, n)
    cdef vf w = vzero()
    cdef vf mean
    cdef int i
    if c.x != NULL:
        mean = vload_upto(c.mean + k, n)
        w = p * (vload_upto(c.x + at[0] + k, n) - mean)
        for i in range(1, g):
            w = vfma(vload_upto(c.y + at[i] + k, n), vload_upto(c.x + at[i] + k, n) - mean, w)
    for i in range(1, g):
        p = p + vload_upto(c.y + at[i] + k, n)
    vstore_upto(plain, p if alone else vload_upto(plain, n) + p, n)
    vstore_upto(weighted, w if alone else vload_upto(weighted, n) + w, n)


cdef inline void collect_group(int g, const Collector* c, const Py_ssize_t* at, Py_ssize_t before, Py_ssize_t k0,
                               Py_ssize_t k1) noexcept nogil:
    cdef Py_ssize_t k
    cdef Joining joining
    if c.backward:
        for k from k0 <= k <= k1 - LANES by LANES:
            sums_of_group(g, c, at, before == 0, k, LANES)
        k = k0 + (k1 - k0) // LANES * LANES
        if k < k1:
            sums_of_group(g, c, at, before == 0, k, k1 - k)
        return
    joining.alone = before == 0
    joining.share = vset(<real>(<double>g / (before + g)))
    joining.spread = vset(<real>(<double>(before * g) / (before + g)))
    for k from k0 <= k <= k1 - LANES by LANES:
        statistics_of_group(g, c, at, &joining, k, LANES)
    k = k0 + (k1 - k0) // LANES * LANES
    if k < k1:
        statistics_of_group(g, c, at, &joining, k, k1 - k)


cdef void collect(const Collector* c, const Py_ssize_t* at, Py_ssize_t n, Py_ssize_t k0, Py_ssize_t k1) noexcept nogil:
    """The next n rows of the part, which start at at[i] of y, their channels k0 .. k1. The caller counts them in `before` then."""
    cdef Py_ssize_t i = 0
    if k0 == 0:
        c.counts[c.part] = c.before + n
    while i + COLLECTED <= n:
        collect_group(COLLECTED, c, at + i, c.before + i, k0, k1)
        i += COLLECTED
    if i + 4 <= n:
        collect_group(4, c, at + i, c.before + i, k0, k1)
        i += 4
    while i < n:
        collect_group(1, c, at + i, c.before + i, k0, k1)
        i += 1


cdef void collect_line(Collector* c, Py_ssize_t first, Py_ssize_t step, Py_ssize_t n, Py_ssize_t k0, Py_ssize_t k1) noexcept nogil:
    """The same for n rows that start at `first` of y and every `step` elements behind it, and counts them."""
    cdef Py_ssize_t at[COLLECTED]
    cdef Py_ssize_t r, i, some
    for r from 0 <= r < n by COLLECTED:
        some = min(n - r, <Py_ssize_t>COLLECTED)
        for i in range(some):
            at[i] = first + (r + i) * step
        collect(c, at, some, k0, k1)
        c.before += some


cdef inline void collect_rows(Collector* c, Py_ssize_t row, Py_ssize_t n, Py_ssize_t k0, Py_ssize_t k1) noexcept nogil:
    """Neighbouring rows."""
    collect_line(c, row * c.channels, c.channels, n, k0, k1)


# --- of matrices ------------------------------------------------------------------------------------

cdef inline Py_ssize_t own_statistics_bytes(Py_ssize_t rows, Py_ssize_t channels) noexcept nogil:
    """Where each row of the tiles of norm.pxi is a part."""
    return norm_tiles(rows, channels).down * (2 * channels + 1) * sizeof(real)


cdef inline void collect_tile_rows(Collector* c, const NormTile* m, Py_ssize_t i, Py_ssize_t row, Py_ssize_t n) noexcept nogil:
    """Of tile i, n rows from its row `row` on."""
    cdef Py_ssize_t k = i % m.across * NORM_WIDTH
    cdef Py_ssize_t first, r
    c.part, c.before = i // m.across, row
    first = c.part * m.height + row
    for r from 0 <= r < n by COLLECTED:
        fetch_rows(c.y + (first + r) * m.channels, m, COLLECTED)
        if c.x != NULL:
            fetch_rows(c.x + (first + r) * m.channels, m, COLLECTED)
        collect_rows(c, first + r, min(n - r, <Py_ssize_t>COLLECTED), k, min(m.channels, k + NORM_WIDTH))


cdef void collect_tiles(const NormTile* m, real* statistics, const real* y, const real* x, const real* mean, int thread,
                        int n_threads) noexcept nogil:
    cdef Collector c = collector_of(y, m.channels, statistics, x, mean, m.down)
    cdef Py_ssize_t i
    for i in range(thread * m.tiles // n_threads, (thread + 1) * m.tiles // n_threads):
        collect_tile_rows(&c, m, i, 0, min(m.height, m.rows - i // m.across * m.height))


# As they are read.
cdef struct Statistics:
    Py_ssize_t parts
    const real* first
    const real* second
    const real* counts


cdef inline Statistics statistics_of(const real* given, Py_ssize_t parts, const real* own, Py_ssize_t rows,
                                     Py_ssize_t channels) noexcept nogil:
    """Those that a call before has collected, or one's own."""
    cdef Statistics s
    s.parts = parts if given != NULL else norm_tiles(rows, channels).down
    s.first = given if given != NULL else own
    s.second = s.first + s.parts * channels
    s.counts = s.second + s.parts * channels
    return s
