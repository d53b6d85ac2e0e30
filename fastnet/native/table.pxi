# The body of every kernel module: all kernels, and the table that lists them.
# A row: name, fields of the argument struct in its order ("pointers | integers | reals"),
# size of the struct, phases, bytes of scratch for each thread, bytes shared by all.

from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

from fastnet.native.abi cimport *

cdef extern from "vec.h" nogil:
    ctypedef float real
    ctypedef int32_t ireal
    ctypedef float vf
    ctypedef int32_t vi
    ctypedef uint32_t vu
    ctypedef int vm
    enum:
        IS_DOUBLE, MANTISSA_BITS, EXPONENT_BIAS, LANES, LANES32, MR_ROWS, MR_COLUMNS, MR_MAX, NV, NR, KC, MC
    real REAL_MAX, REAL_MIN, REAL_EPSILON, ROUND
    ireal MANTISSA_MASK
    vf vload(const real* p)
    void vstore(real* p, vf v)
    vf vload_n(const real* p, Py_ssize_t n)
    vf vload_or(const real* p, Py_ssize_t n, real fill)
    void vstore_n(real* p, vf v, Py_ssize_t n)
    vf vzero()
    vf vset(real x)
    real vlane(vf v, int i)
    void prefetch(const void* p)
    void prefetch_write(const void* p)
    vf vfma(vf a, vf b, vf c)
    vf vsqrt(vf a)
    vf vmax(vf a, vf b)
    vf vmin(vf a, vf b)
    vf vabs(vf a)
    vf vneg(vf a)
    vf vcopysign(vf a, vf s)
    vm vgt(vf a, vf b)
    vm vge(vf a, vf b)
    vm vlt(vf a, vf b)
    vm vle(vf a, vf b)
    vm veq(vf a, vf b)
    vm vor(vm a, vm b)
    vm vand(vm a, vm b)
    vm vnot(vm a)
    vm visnan(vf a)
    vf vselect(vm m, vf a, vf b)
    int vany(vm m)
    int vcount(vm m)
    vf vsum_lanes(vf v)
    vf vmax_lanes(vf v)
    real vsum(vf v)
    real vgreatest(vf v)
    void vtranspose(vf* r)
    vi vbits(vf a)
    vf vfrombits(vi a)
    vi visplat(ireal x)
    vi vshift_left(vi a, int n)
    vi vshift_right(vi a, int n)
    vi viand(vi a, vi b)
    vi vior(vi a, vi b)
    vi vixor(vi a, vi b)
    vf vscale(vf p, vf t)
    vf vproduct_error(vf a, vf b, vf p)
    vu vuset(uint32_t x)
    vu vurotate(vu a, int n)
    vu vuxor(vu a, vu b)
    vu vuiota()
    void vustore(uint32_t* p, vu a)

cdef extern from *:
    """
    #define FN_DTYPE (FN_DOUBLE ? "float64" : "float32")
    """
    const char* FN_BUILD_ID
    const char* FN_TARGET
    const char* FN_DTYPE

include "kernels/math.pxi"
include "kernels/activation.pxi"
include "kernels/gemm.pxi"

cdef enum:
    MAX_ROWS = 96

cdef KernelRow rows[MAX_ROWS]
cdef KernelTable table


cdef void add(const char* name, const char* fields, Py_ssize_t size, Phase first, Phase second=NULL, Phase third=NULL,
              Bytes scratch=NULL, Bytes shared=NULL) noexcept:
    cdef KernelRow* row = &rows[table.n_rows]
    row.name = name
    row.fields = fields
    row.size = size
    row.phases[0] = first
    row.phases[1] = second
    row.phases[2] = third
    row.scratch = scratch
    row.shared = shared
    table.n_rows += 1


add("gemm",
    "a b c bias gate column_sums control scratch shared"
    " | M N K lda ldb ldc ldgate trans_a trans_b activation gate_activation accumulate accumulate_sums scratch_stride"
    " | alpha gate_alpha",
    sizeof(GemmArgs), gemm_pack, gemm_compute, NULL, gemm_scratch, gemm_shared)

table.abi_version = ABI_VERSION
table.size = sizeof(KernelTable)
table.build_id = FN_BUILD_ID
table.target = FN_TARGET
table.dtype = FN_DTYPE
table.lanes = LANES
table.rows = rows

TABLE = PyCapsule_New(&table, "fastnet.kernel_table", NULL)
