# Tiles of a matrix whose columns are channels: what the batch normalizations share.
#
# rows channels   of the contiguous matrices
# x dy added out  matrices [rows, channels]       gamma beta mean inverse_std variance  vectors [channels]
# partial         results of each tile and channel: matrices [down, channels], one after the other
#
# A tile is 1024 channels wide, or as wide as the matrix, and 64 to 256 rows high. Within it, vectors of channels are
# the inner loop and groups of rows the outer one: memory is read in its order, and what is kept of each
# channel is loaded and stored once for a group. Tiles are numbered along the channels first. They depend on the shape
# alone; lanes beyond the last channel are loaded as zeros and not stored.

cdef enum:
    NORM_WIDTH = 1024
    NORM_JOINED = 16            # channels of a block, where the results of tiles are joined
    NORM_AHEAD = 16             # rows that are fetched before they are read, where they are short and the matrix is not in L2:
    NORM_SHORT = 256            # channels, fewer than a tile's
    NORM_FAR = 1 << 22          # bytes

# Of the whole matrix; `tile_at` gives the same with all pointers at one tile.
cdef struct NormTile:
    const real* x
    const real* dy
    const real* added
    real* out
    const real* gamma
    const real* beta
    const real* mean
    const real* inverse_std
    const real* variance
    real* partial
    double epsilon
    double alpha
    Py_ssize_t activation
    bint streamed               # `out` is stored past the caches
    bint far                    # rows are fetched ahead
    Py_ssize_t rows
    Py_ssize_t width
    Py_ssize_t channels
    Py_ssize_t height           # rows of a tile, but for the last
    Py_ssize_t down             # tiles in a column, in a row, in all
    Py_ssize_t across
    Py_ssize_t tiles


cdef NormTile norm_tiles(Py_ssize_t rows, Py_ssize_t channels) noexcept nogil:
    cdef NormTile m
    memset(&m, 0, sizeof(m))
    m.rows = rows
    m.width = channels
    m.channels = channels
    m.far = channels <= NORM_SHORT and rows * channels * <Py_ssize_t>sizeof(real) >= NORM_FAR
    m.height = 256 if channels <= 64 else 128 if channels <= 128 else 64
    m.down = (rows + m.height - 1) // m.height
    m.across = (channels + NORM_WIDTH - 1) // NORM_WIDTH
    m.tiles = m.down * m.across
    return m


cdef inline const real* advanced(const real* p, Py_ssize_t offset) noexcept nogil:
    return p if p == NULL else p + offset


cdef NormTile tile_at(const NormTile* m, Py_ssize_t i) noexcept nogil:
    cdef NormTile t = m[0]
    cdef Py_ssize_t row = i // m.across * m.height
    cdef Py_ssize_t channel = i % m.across * NORM_WIDTH
    t.rows = min(m.rows - row, m.height)
    t.width = min(m.channels - channel, <Py_ssize_t>NORM_WIDTH)
    t.x = advanced(m.x, row * m.channels + channel)
    t.dy = advanced(m.dy, row * m.channels + channel)
    t.added = advanced(m.added, row * m.channels + channel)
    t.out = <real*>advanced(m.out, row * m.channels + channel)
    t.gamma = advanced(m.gamma, channel)
    t.beta = advanced(m.beta, channel)
    t.mean = advanced(m.mean, channel)
    t.inverse_std = advanced(m.inverse_std, channel)
    t.variance = advanced(m.variance, channel)
    t.partial = <real*>advanced(m.partial, i // m.across * m.channels + channel)
    return t


cdef inline bint streams_rows(const NormTile* m) noexcept nogil:
    """Whether `out`, of whose rows none has just been read, is stored past the caches: each row starts at a whole vector."""
    return m.channels % LANES == 0 and is_streamed(m.out, m.rows * m.channels)


cdef inline void fetch_rows(const real* x, const NormTile* m, Py_ssize_t n) noexcept nogil:
    """Fetch n rows that are read NORM_AHEAD rows after x: vectors of a group of short rows are read in an order that no core foresees."""
    if m.far:
        prefetch_elements(x + NORM_AHEAD * m.channels, n * m.channels)


cdef inline vf load_or(const real* p, real absent, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """Vector at j, of which n lanes (or more) are there; `absent` where there is no array."""
    return vset(absent) if p == NULL else vload_upto(p + j, n)


cdef void tile_scales(const NormTile* t, real* scale) noexcept nogil:
    """gamma / std of each channel, with std from `inverse_std` or, where that is NULL, from the variance."""
    cdef Py_ssize_t j, n
    cdef vf v
    for j from 0 <= j < t.width by LANES:
        n = t.width - j
        if t.inverse_std != NULL:
            v = vload_upto(t.inverse_std + j, n)
        else:
            v = vset(<real>1) / vsqrt(vload_upto(t.variance + j, n) + vset(<real>t.epsilon))
        vstore_upto(scale + j, v * load_or(t.gamma, <real>1, j, n), n)
