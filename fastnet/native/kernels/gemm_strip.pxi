# Strips of tiles: the inner loops of products (gemm.pxi).
#
#   C = op(A) B + start      for h rows of op(A), and one panel of NR columns after the other
#
# h        rows, a constant of each function      nv   vectors in a row of a tile, too
# K        depth                                  lda ldb ldc  elements from row to row
#
# A tile of h x nv vectors of C lives in registers; each step of k broadcasts h elements of A and loads nv vectors of
# B. There is code for every height, for widths of 1 to NV vectors, and for A along its rows, along its columns
# (transposed), and along its rows while B is copied into panels. Vectors are whole: only a tile that is one vector wide
# may have fewer columns, and `strip_to_edge` computes wider remainders on copies.
#
# Order of summation: k ascending, from zero, the bias or C.

cdef enum:
    ROW_VECTORS = 128       # sums of a row alone
    ROWS_TOGETHER = 4       # rows of B that are added to them at a time

cdef enum Start:
    FROM_ZERO
    FROM_BIAS
    FROM_C

cdef vf zero_vectors[NV]

# A strip of tiles, one for each of some panels: where the operands of the first are, and how sums start and end.
cdef struct Strip:
    const real* a
    const real* b
    const real* ahead       # what the tile after this one reads, in whole rows; only along rows
    real* copy              # where a copying tile packs B, panel after panel
    real* c
    const real* bias
    Py_ssize_t lda
    Py_ssize_t ldb
    Py_ssize_t ldc
    Py_ssize_t K
    Py_ssize_t panels
    Py_ssize_t b_step       # elements from one panel of b to the next
    Py_ssize_t width        # columns of a tile that is one vector wide
    Start start
    real floor              # 0 for relu, -inf for none
    bint check              # look for what is not finite
    bint bad                # out: found some


cdef inline Py_ssize_t whole_vectors(Py_ssize_t n) noexcept nogil:
    return (n + LANES - 1) // LANES * LANES


cdef inline vf load_part(const real* p, Py_ssize_t nv, Py_ssize_t width) noexcept nogil:
    return vload_upto(p, width) if nv == 1 else vload(p)


cdef inline void strip(Py_ssize_t h, Py_ssize_t nv, bint columns, bint copying, Strip* args) noexcept nogil:
    """Tiles of h x nv vectors. Where `columns`, A holds op(A) transposed: element (i, k) at a[k * lda + i].

    Only tiles along rows have a floor, only those along columns are checked. (The loop over the panels also
    makes GCC keep c in registers from its first value to the store: it unrolls early only what is inside of a loop.)
    """
    cdef Strip s = args[0]
    cdef vf c[MR_NARROW * NV]
    cdef vf b[NV]
    cdef vf x, infinite = vzero(), floor = vset(s.floor)
    cdef const real* rows[4]
    cdef const real* start
    cdef const real* pa
    cdef const real* pb
    cdef Py_ssize_t p, i, j, k, ldstart
    for p in range(s.panels):
        if s.start == FROM_C:
            start, ldstart = s.c, s.ldc
        else:
            start, ldstart = s.bias if s.start == FROM_BIAS else <const real*>zero_vectors, 0
        for i in range(h):
            for j in range(nv):
                c[i * nv + j] = load_part(start + i * ldstart + j * LANES, nv, s.width)
        if not columns and h > 1:
            for i in range(h):
                for j in range(nv):
                    prefetch(s.c + i * s.ldc + j * LANES)
        pa = s.a
        pb = s.b
        for i in range(4):
            rows[i] = s.a + i * 3 * s.lda
        for k in range(s.K):
            for j in range(nv):
                b[j] = vload(pb + j * LANES)
                if copying:
                    vstore(s.copy + j * LANES, b[j])
                    prefetch(pb + COPY_AHEAD * s.ldb + j * LANES)
            if not columns and not copying and h > 1:
                prefetch(s.ahead + k * h)
            for i in range(h):
                # Rows in groups of three: one pointer each, the others by the address's scale.
                x = vset(pa[i] if columns else rows[i // 3][i % 3 * s.lda])
                for j in range(nv):
                    c[i * nv + j] = vfma(x, b[j], c[i * nv + j])
            pb += s.ldb
            if copying:
                s.copy += NR
            if columns:
                pa += s.lda
            else:
                for i in range((h + 2) // 3):
                    rows[i] += 1
        if columns and s.check:
            # x - x is 0 or NaN; it takes the adders, where a multiply-add would delay the next tile.
            for i in range(h):
                for j in range(nv):
                    infinite = vor_bits(c[i * nv + j] - c[i * nv + j], infinite)
        if not columns:
            for i in range(h):
                for j in range(nv):
                    c[i * nv + j] = vmax(floor, c[i * nv + j])
        for i in range(h):
            for j in range(nv):
                if nv == 1:
                    vstore_end(s.c + i * s.ldc, c[i], s.width)
                else:
                    vstore(s.c + i * s.ldc + j * LANES, c[i * nv + j])
        if s.start == FROM_BIAS:
            s.bias += nv * LANES
        s.b += s.b_step
        s.c += nv * LANES
    if columns and vany(visnan(infinite)):
        args.bad = True


cdef inline void strip_of_height(Py_ssize_t h, Py_ssize_t nv, bint columns, bint copying, Strip* s) noexcept nogil:
    """Each height is code of its own; only tiles of one vector are higher than MR."""
    cdef bint narrow = nv == 1 and MR_NARROW > MR and not copying
    if h == 1: strip(1, nv, columns, copying, s)
    elif h == 2: strip(2, nv, columns, copying, s)
    elif h == 3: strip(3, nv, columns, copying, s)
    elif h == 4: strip(4, nv, columns, copying, s)
    elif h == 5: strip(5, nv, columns, copying, s)
    elif h == 6: strip(6, nv, columns, copying, s)
    elif narrow and h == 7: strip(7, nv, columns, copying, s)
    elif narrow and h == 8: strip(8, nv, columns, copying, s)
    elif narrow and h == 9: strip(9, nv, columns, copying, s)
    elif narrow and h == 10: strip(10, nv, columns, copying, s)
    elif narrow and h == 11: strip(11, nv, columns, copying, s)
    elif narrow and h == 12: strip(12, nv, columns, copying, s)


cdef inline void strip_of_width(Py_ssize_t h, Py_ssize_t width, bint columns, Strip* s) noexcept nogil:
    if width <= LANES: strip_of_height(h, 1, columns, False, s)
    elif NV == 2 or width <= 2 * LANES: strip_of_height(h, 2, columns, False, s)
    elif NV > 2 and width <= 3 * LANES: strip_of_height(h, 3, columns, False, s)
    elif NV > 3: strip_of_height(h, 4, columns, False, s)


cdef void strip_along_rows(Py_ssize_t h, Py_ssize_t width, Strip* s) noexcept nogil:
    strip_of_width(h, width, False, s)


cdef inline void add_rows(Py_ssize_t n, const real* a, const real* b, Py_ssize_t ldb, vf* sums, Py_ssize_t vectors) noexcept nogil:
    """sums += a[0] b[0] + ... + a[n - 1] b[n - 1], one after the other."""
    cdef vf x[ROWS_TOGETHER]
    cdef vf sum
    cdef Py_ssize_t i, j
    for i in range(n):
        x[i] = vset(a[i])
    for j in range(vectors):
        sum = sums[j]
        for i in range(n):
            sum = vfma(x[i], vload(b + i * ldb + j * LANES), sum)
        sums[j] = sum


cdef void strip_of_row(Strip* s) noexcept nogil:
    """One row: streams B, some long pieces of its rows at a time, with the sums in L1. (Tiles in registers would read short pieces of
    all rows, which the CPU cannot foresee: that took up to 1.4 times as long.)
    """
    cdef vf sums[ROW_VECTORS]
    cdef vf floor = vset(s.floor)
    cdef Py_ssize_t all = s.panels * NV, whole = s.K // ROWS_TOGETHER * ROWS_TOGETHER
    cdef Py_ssize_t v, vectors, j, k, first
    for v from 0 <= v < all by ROW_VECTORS:
        vectors = min(all - v, <Py_ssize_t>ROW_VECTORS)
        first = v * LANES
        for j in range(vectors):
            if s.start == FROM_ZERO:
                sums[j] = vzero()
            else:
                sums[j] = vload((s.bias if s.start == FROM_BIAS else s.c) + first + j * LANES)
        for k from 0 <= k < whole by ROWS_TOGETHER:
            add_rows(ROWS_TOGETHER, s.a + k, s.b + k * s.ldb + first, s.ldb, sums, vectors)
        for k in range(whole, s.K):
            add_rows(1, s.a + k, s.b + k * s.ldb + first, s.ldb, sums, vectors)
        for j in range(vectors):
            vstore(s.c + first + j * LANES, vmax(floor, sums[j]))


cdef void strip_copying(Py_ssize_t h, Strip* s) noexcept nogil:
    strip_of_height(h, NV, False, True, s)


cdef void strip_along_columns(Py_ssize_t h, Py_ssize_t width, Strip* s) noexcept nogil:
    strip_of_width(h, width, True, s)


cdef inline void copy_padded(const real* x, Py_ssize_t ldx, real* y, Py_ssize_t h, Py_ssize_t width) noexcept nogil:
    """h rows of `width` to rows of NR, up to the end of the last vector with zeros."""
    cdef Py_ssize_t i, j
    for i in range(h):
        for j from 0 <= j < width by LANES:
            vstore(y + i * NR + j, vload_upto(x + i * ldx + j, width - j))


cdef void strip_to_edge(Py_ssize_t h, Py_ssize_t width, Strip* s, const real* panel, Py_ssize_t j, bint columns) noexcept nogil:
    """The last tile of a strip, narrower than NR, with its packed panel; the strip begins j columns before it."""
    cdef Strip last = s[0]
    last.b, last.ldb, last.panels = panel, whole_vectors(width), 1
    last.width = min(width, <Py_ssize_t>LANES)
    last.c += j
    if s.start == FROM_BIAS:
        last.bias += j
    if width > LANES and width % LANES:
        tile_at_edge(h, width, columns, &last)
    elif columns:
        strip_along_columns(h, width, &last)
    else:
        strip_along_rows(h, width, &last)
    s.bad = last.bad


cdef void tile_at_edge(Py_ssize_t h, Py_ssize_t width, bint columns, Strip* s) noexcept nogil:
    """One tile of several vectors whose last is not whole: on copies that are NR wide."""
    cdef vf c_vectors[MR_NARROW * NV]
    cdef vf bias_vectors[NV]
    cdef real* c = <real*>c_vectors
    cdef real* bias = <real*>bias_vectors
    cdef Strip whole = s[0]
    cdef Py_ssize_t i, j
    whole.c, whole.ldc = c, NR
    if s.start == FROM_C:
        copy_padded(s.c, s.ldc, c, h, width)
    elif s.start == FROM_BIAS:
        copy_padded(s.bias, 0, bias, 1, width)
        whole.bias = bias
    if columns:
        strip_along_columns(h, width, &whole)
    else:
        strip_along_rows(h, width, &whole)
    s.bad = whole.bad
    for i in range(h):
        for j from 0 <= j < width by LANES:
            vstore_end(s.c + i * s.ldc + j, vload(c + i * NR + j), width - j)
