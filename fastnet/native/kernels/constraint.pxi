# Constraints: a parameter is put back into a set after each update.
#
# w        in, out [rows][columns]: a column holds the incoming weights of one unit, or one filter
# control  in: with a status that is not GOOD nothing changes
# limit    of a column's norm
#
#   MAX_NORM   w *= min(1, limit / |w|)        UNIT_NORM  w *= 1 / |w|, a column of zeros stays        NON_NEGATIVE  w = max(w, 0)
#
# Threads take whole cache lines of columns; a column's squares are summed in double, row by row, so the bits depend on
# nothing else. (Srebro & Shraibman 2005; Srivastava et al. 2014, section 5.1.)

cdef enum Constraint:
    MAX_NORM = 0
    UNIT_NORM = 1
    NON_NEGATIVE = 2

cdef struct ConstrainArgs:
    real* w
    const Control* control
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t kind
    double limit


cdef inline vf column_scales(const ConstrainArgs* a, const real* w, Py_ssize_t n) noexcept nogil:
    """What n columns from w on are multiplied by."""
    cdef vd sums[WIDE]
    cdef vd x
    cdef double squares[LANES]
    cdef real scales[LANES]
    cdef double norm
    cdef Py_ssize_t row
    cdef int h, i
    for h in range(WIDE):
        sums[h] = vdset(0)
    for row in range(a.rows):
        for h in range(WIDE):
            x = vwiden(vload_upto(w + row * a.columns, n), h)
            sums[h] = sums[h] + x * x
    for h in range(WIDE):
        vdstore(squares + h * (LANES // WIDE), sums[h])
    for i in range(LANES):
        norm = sqrt(squares[i])
        if a.kind == MAX_NORM:
            scales[i] = <real>(a.limit / norm) if norm > a.limit else 1
        else:
            scales[i] = <real>(1 / norm) if norm > 0 else 1
    return vload(scales)


cdef void constrain(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ConstrainArgs* a = <const ConstrainArgs*>args
    cdef Py_ssize_t vectors = (a.columns + LANES - 1) // LANES
    cdef Py_ssize_t row, j, n
    cdef vf scale, w
    if a.control.status != GOOD:
        return
    for j from thread * vectors // n_threads * LANES <= j < min((thread + 1) * vectors // n_threads * LANES, a.columns) by LANES:
        n = a.columns - j
        scale = vzero() if a.kind == NON_NEGATIVE else column_scales(a, a.w + j, n)
        for row in range(a.rows):
            w = vload_upto(a.w + row * a.columns + j, n)
            w = vmax(vzero(), w) if a.kind == NON_NEGATIVE else w * scale
            vstore_upto(a.w + row * a.columns + j, w, n)
