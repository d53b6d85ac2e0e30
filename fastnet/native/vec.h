/* One vector type for every instruction set and dtype.
 *
 * Kernels are written in Cython against `vf`, a vector of LANES elements of
 * type `real`; the build defines FN_VECTOR_BYTES and FN_DOUBLE, and the
 * compiler's flags say which instructions there are. Arithmetic (+ - * /)
 * works on `vf` directly; what it cannot say is here: loads and stores, whole
 * or of the first n lanes; fused multiply-add; comparisons and selection;
 * sums over lanes in a fixed order; transposes; bit patterns.
 *
 *   real   float or double          LANES  elements in a vector
 *   vf     vector of real           vi     vector of integers of the same width
 *   vm     result of a comparison   vu     vector of LANES32 uint32
 *   vd     vector of LANES64 double: a vf widens to WIDE of them
 *
 * NaN: vmax(a, b) and vmin(a, b) return b when either is NaN, so
 * vmax(vzero(), x) keeps the NaN in x.
 */
#ifndef FASTNET_VEC_H
#define FASTNET_VEC_H

#include <stdint.h>
#include <string.h>
#include <math.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define FN_X86 1
#elif defined(__aarch64__)
#include <arm_neon.h>
#define FN_NEON 1
#endif

#if FN_DOUBLE
typedef double real;
typedef int64_t ireal;
typedef uint64_t ureal;
#define FN_PICK(f32, f64) f64
#define REAL_MAX 1.7976931348623157e308
#define REAL_MIN 2.2250738585072014e-308
#define REAL_EPSILON 2.220446049250313e-16
#else
typedef float real;
typedef int32_t ireal;
typedef uint32_t ureal;
#define FN_PICK(f32, f64) f32
#define REAL_MAX 3.40282346638528859812e38f
#define REAL_MIN 1.17549435082228750797e-38f
#define REAL_EPSILON 1.1920928955078125e-07f
#endif

enum {
    IS_DOUBLE = FN_PICK(0, 1),
    MANTISSA_BITS = FN_PICK(23, 52),
    EXPONENT_BIAS = FN_PICK(127, 1023),
    LANES = FN_VECTOR_BYTES / sizeof(real),
    LANES32 = FN_VECTOR_BYTES / 4,
    MR = FN_MR,                 /* blocking, from targets.py */
    MR_NARROW = FN_MR_NARROW,
    EIGHT = 64 / FN_VECTOR_BYTES, /* vectors that hold eight doubles */
    NV = FN_NV,
    NR = FN_NV * (FN_VECTOR_BYTES / sizeof(real)),
    TOGETHER = FN_NV == 4 ? 2 : 1, /* vectors of each array that Adam has in registers: of 32, or of 16 */
    KC = FN_KC,
    PACKED_BYTES = FN_PACKED_BYTES,
    COPY_AHEAD = 8              /* rows of B that a tile prefetches while it packs them */
};

typedef real vf __attribute__((vector_size(FN_VECTOR_BYTES)));
typedef ireal vi __attribute__((vector_size(FN_VECTOR_BYTES)));
typedef uint32_t vu __attribute__((vector_size(FN_VECTOR_BYTES)));
typedef double vd __attribute__((vector_size(FN_VECTOR_BYTES)));
typedef real vf_memory __attribute__((vector_size(FN_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef uint32_t vu_memory __attribute__((vector_size(FN_VECTOR_BYTES), aligned(4), may_alias));
typedef double vd_memory __attribute__((vector_size(FN_VECTOR_BYTES), aligned(8), may_alias));

#define FN_INLINE static inline __attribute__((always_inline, unused))

#define FN_AVX512 (FN_VECTOR_BYTES == 64)
#define FN_AVX2 (FN_VECTOR_BYTES == 32)

/* --- loads and stores ---------------------------------------------------- */

FN_INLINE vf vload(const real *p) { return *(const vf_memory *)p; }
FN_INLINE void vstore(real *p, vf v) { *(vf_memory *)p = v; }
FN_INLINE vf vzero(void) { return (vf){0}; }
/* `x - zero` folds into a broadcast; `zero + x` cannot, because of -0. */
FN_INLINE vf vset(real x) { return x - (vf){0}; }
/* v in a register: a load that the compiler joined with a mask would wait for the mask. */
#if FN_VECTOR_BYTES == 64
FN_INLINE vf vheld(vf v) { __asm__("" : "+v"(v)); return v; }
#elif defined(__x86_64__)
FN_INLINE vf vheld(vf v) { __asm__("" : "+x"(v)); return v; }
#else
FN_INLINE vf vheld(vf v) { return v; }
#endif
FN_INLINE void prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }
FN_INLINE void prefetch_l2(const void *p) { __builtin_prefetch(p, 0, 2); }

#if FN_AVX2
FN_INLINE __m256i fn_first_lanes(intptr_t n) {
    static const int32_t table[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(table + 8 - n * (intptr_t)(sizeof(real) / 4)));
}
#endif

/* Without masks lane by lane: calls, as these stand in hundreds of places. */
#if !FN_AVX512 && !FN_AVX2
static __attribute__((noinline, unused)) vf fn_load_lanes(const real *p, intptr_t n, vf v) {
    for (intptr_t i = 0; i < n; i++) v[i] = p[i];
    return v;
}
static __attribute__((noinline, unused)) void fn_store_lanes(real *p, vf v, intptr_t n) {
    for (intptr_t i = 0; i < n; i++) p[i] = v[i];
}
#endif

/* The first n lanes (0 <= n <= LANES); the others are zero. */
FN_INLINE vf vload_n(const real *p, intptr_t n) {
#if FN_AVX512
    return (vf)FN_PICK(_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p),
                       _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p));
#elif FN_AVX2
    return (vf)FN_PICK(_mm256_maskload_ps(p, fn_first_lanes(n)), _mm256_maskload_pd(p, fn_first_lanes(n)));
#else
    return fn_load_lanes(p, n, vzero());
#endif
}

/* The first n lanes; the others are `fill`. */
FN_INLINE vf vload_or(const real *p, intptr_t n, real fill) {
#if FN_AVX512
    return (vf)FN_PICK(_mm512_mask_loadu_ps((__m512)vset(fill), (__mmask16)((1u << n) - 1), p),
                       _mm512_mask_loadu_pd((__m512d)vset(fill), (__mmask8)((1u << n) - 1), p));
#elif FN_AVX2
    __m256i m = fn_first_lanes(n);
    return (vf)FN_PICK(_mm256_blendv_ps((__m256)vset(fill), _mm256_maskload_ps(p, m), (__m256)m),
                       _mm256_blendv_pd((__m256d)vset(fill), _mm256_maskload_pd(p, m), (__m256d)m));
#else
    return fn_load_lanes(p, n, vset(fill));
#endif
}

FN_INLINE void vstore_n(real *p, vf v, intptr_t n) {
#if FN_AVX512
    FN_PICK(_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v),
            _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v));
#elif FN_AVX2
    FN_PICK(_mm256_maskstore_ps(p, fn_first_lanes(n), (__m256)v),
            _mm256_maskstore_pd(p, fn_first_lanes(n), (__m256d)v));
#else
    fn_store_lanes(p, v, n);
#endif
}

/* The same where n may exceed LANES: all lanes, or those that there are. */
FN_INLINE vf vload_upto(const real *p, intptr_t n) { return n >= LANES ? vload(p) : vload_n(p, n); }
FN_INLINE void vstore_upto(real *p, vf v, intptr_t n) {
    if (n >= LANES) vstore(p, v);
    else vstore_n(p, v, n);
}

/* The same at the ends of short rows, where a store by a mask would be much of the time: it takes 20 cycles on AMD's cores without
   AVX-512. */
FN_INLINE void vstore_end(real *p, vf v, intptr_t n) {
#if FN_AVX2
    const intptr_t half = 16 / sizeof(real), quarter = 8 / sizeof(real);
    __m128 x = _mm256_castps256_ps128((__m256)v);
    if (n >= LANES) {
        vstore(p, v);
        return;
    }
    if (n & half) {
        _mm_storeu_ps((float *)p, x);
        x = _mm256_extractf128_ps((__m256)v, 1);
        p += half;
    }
    if (n & quarter) {
        _mm_storel_pi((__m64 *)p, x);
        x = _mm_movehl_ps(x, x);
        p += quarter;
    }
    if (quarter > 1 && n & 1) _mm_store_ss((float *)p, x);
#else
    vstore_upto(p, v, n);
#endif
}

/* A store past the caches, which doesn't read the line first; p starts at a multiple of a vector's size. Other threads see it after
   `vfence`. Where there is no such store, an ordinary one. */
FN_INLINE void vstream(real *p, vf v) {
#if FN_AVX512
    FN_PICK(_mm512_stream_ps((void *)p, (__m512)v), _mm512_stream_pd((void *)p, (__m512d)v));
#elif FN_AVX2
    FN_PICK(_mm256_stream_ps((void *)p, (__m256)v), _mm256_stream_pd((void *)p, (__m256d)v));
#elif defined(__SSE2__) && FN_VECTOR_BYTES == 16
    FN_PICK(_mm_stream_ps((void *)p, (__m128)v), _mm_stream_pd((void *)p, (__m128d)v));
#else
    vstore(p, v);
#endif
}
FN_INLINE void vfence(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* The first n lanes of v (0 <= n <= LANES); the others are zero. */
FN_INLINE vf vfirst(vf v, intptr_t n) {
#if FN_AVX512
    return (vf)FN_PICK(_mm512_maskz_mov_ps((__mmask16)((1u << n) - 1), (__m512)v),
                       _mm512_maskz_mov_pd((__mmask8)((1u << n) - 1), (__m512d)v));
#elif FN_AVX2
    return (vf)((vi)v & (vi)fn_first_lanes(n));
#else
    for (intptr_t i = n; i < LANES; i++) v[i] = 0;
    return v;
#endif
}

FN_INLINE real vlane(vf v, int i) { return v[i]; }

/* --- arithmetic ---------------------------------------------------------- */

/* a * b + c, with one rounding where the instruction set has it. */
FN_INLINE vf vfma(vf a, vf b, vf c) {
#if FN_AVX512
    return (vf)FN_PICK(_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c),
                       _mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c));
#elif FN_AVX2
    return (vf)FN_PICK(_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c),
                       _mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c));
#elif FN_NEON
    return (vf)FN_PICK(vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b),
                       vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b));
#else
    return a * b + c;
#endif
}

FN_INLINE vf vsqrt(vf a) {
#if FN_AVX512
    return (vf)FN_PICK(_mm512_sqrt_ps((__m512)a), _mm512_sqrt_pd((__m512d)a));
#elif FN_AVX2
    return (vf)FN_PICK(_mm256_sqrt_ps((__m256)a), _mm256_sqrt_pd((__m256d)a));
#elif FN_X86
    return (vf)FN_PICK(_mm_sqrt_ps((__m128)a), _mm_sqrt_pd((__m128d)a));
#elif FN_NEON
    return (vf)FN_PICK(vsqrtq_f32((float32x4_t)a), vsqrtq_f64((float64x2_t)a));
#else
    for (int i = 0; i < LANES; i++) a[i] = FN_PICK(sqrtf(a[i]), sqrt(a[i]));
    return a;
#endif
}

/* sqrt(x) for x >= 0, at most 1 ulp off. With 512-bit float vectors the divider takes 9 (Zen 4) to 20 cycles
 * (Intel) for a root, beside those of the division that mostly follows; an estimate with one of Newton's steps, on the
 * multipliers, leaves it to the division. */
FN_INLINE vf vroot(vf x) {
#if FN_AVX512 && !FN_DOUBLE
    /* Newton's step is relative, r (1 + (1/2 - r y / 2)) with r = x y: x - r^2 would be flushed where x is small. */
    __m512 v = (__m512)x, y = _mm512_rsqrt14_ps(v), root = _mm512_mul_ps(v, y), half = _mm512_set1_ps(0.5f);
    root = _mm512_fmadd_ps(root, _mm512_fnmadd_ps(root, _mm512_mul_ps(y, half), half), root);
    enum { ZERO = 0x06, PLUS_INFINITE = 0x08, DENORMAL = 0x20, NOT_A_NUMBER = 0x81 };
    __mmask16 itself = _mm512_fpclass_ps_mask(v, ZERO | PLUS_INFINITE | DENORMAL | NOT_A_NUMBER);
    return (vf)_mm512_mask_mov_ps(root, itself, v);
#else
    return vsqrt(x);
#endif
}

FN_INLINE vf vmax(vf a, vf b) {
#if FN_AVX512
    return (vf)FN_PICK(_mm512_max_ps((__m512)a, (__m512)b), _mm512_max_pd((__m512d)a, (__m512d)b));
#elif FN_AVX2
    return (vf)FN_PICK(_mm256_max_ps((__m256)a, (__m256)b), _mm256_max_pd((__m256d)a, (__m256d)b));
#elif FN_X86
    return (vf)FN_PICK(_mm_max_ps((__m128)a, (__m128)b), _mm_max_pd((__m128d)a, (__m128d)b));
#else
    vi m = a > b;
    return (vf)(((vi)a & m) | ((vi)b & ~m));
#endif
}

FN_INLINE vf vmin(vf a, vf b) {
#if FN_AVX512
    return (vf)FN_PICK(_mm512_min_ps((__m512)a, (__m512)b), _mm512_min_pd((__m512d)a, (__m512d)b));
#elif FN_AVX2
    return (vf)FN_PICK(_mm256_min_ps((__m256)a, (__m256)b), _mm256_min_pd((__m256d)a, (__m256d)b));
#elif FN_X86
    return (vf)FN_PICK(_mm_min_ps((__m128)a, (__m128)b), _mm_min_pd((__m128d)a, (__m128d)b));
#else
    vi m = a < b;
    return (vf)(((vi)a & m) | ((vi)b & ~m));
#endif
}

#define FN_SIGN ((ireal)((ureal)1 << (8 * sizeof(real) - 1)))
FN_INLINE vi visplat(ireal x) { return x - (vi){0}; }
FN_INLINE vf vabs(vf a) { return (vf)((vi)a & visplat(~FN_SIGN)); }
FN_INLINE vf vneg(vf a) { return (vf)((vi)a ^ visplat(FN_SIGN)); }
FN_INLINE vf vor_bits(vf a, vf b) { return (vf)((vi)a | (vi)b); }
/* |a| with the sign of s. */
FN_INLINE vf vcopysign(vf a, vf s) {
    return (vf)(((vi)a & visplat(~FN_SIGN)) | ((vi)s & visplat(FN_SIGN)));
}

/* --- comparisons and selection ------------------------------------------- */

#if FN_AVX512
typedef FN_PICK(__mmask16, __mmask8) vm;
#define FN_COMPARE(name, code, op)                                                                   \
    FN_INLINE vm name(vf a, vf b) {                                                                  \
        return FN_PICK(_mm512_cmp_ps_mask((__m512)a, (__m512)b, code),                               \
                       _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, code));                            \
    }
FN_INLINE vf vselect(vm m, vf a, vf b) {
    return (vf)FN_PICK(_mm512_mask_blend_ps(m, (__m512)b, (__m512)a),
                       _mm512_mask_blend_pd(m, (__m512d)b, (__m512d)a));
}
FN_INLINE int vany(vm m) { return m != 0; }
FN_INLINE int vcount(vm m) { return __builtin_popcount((unsigned)m); }
FN_INLINE vm vnot(vm m) { return (vm)~m; }
#else
typedef vi vm;
#define FN_COMPARE(name, code, op)                                                                   \
    FN_INLINE vm name(vf a, vf b) { return a op b; }
/* m ? a : b */
FN_INLINE vf vselect(vm m, vf a, vf b) {
#if FN_AVX2
    return (vf)FN_PICK(_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m),
                       _mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)m));
#else
    return (vf)(((vi)a & m) | ((vi)b & ~m));
#endif
}
FN_INLINE int vany(vm m) {
#if FN_AVX2
    return FN_PICK(_mm256_movemask_ps((__m256)m), _mm256_movemask_pd((__m256d)m)) != 0;
#elif FN_X86
    return FN_PICK(_mm_movemask_ps((__m128)m), _mm_movemask_pd((__m128d)m)) != 0;
#else
    ireal any = 0;
    for (int i = 0; i < LANES; i++) any |= m[i];
    return any != 0;
#endif
}
FN_INLINE int vcount(vm m) {
#if FN_AVX2
    return __builtin_popcount((unsigned)FN_PICK(_mm256_movemask_ps((__m256)m), _mm256_movemask_pd((__m256d)m)));
#else
    int n = 0;
    for (int i = 0; i < LANES; i++) n -= (int)m[i];
    return n;
#endif
}
FN_INLINE vm vnot(vm m) { return ~m; }
#endif
FN_COMPARE(vgt, _CMP_GT_OQ, >)
FN_COMPARE(vge, _CMP_GE_OQ, >=)
FN_COMPARE(vlt, _CMP_LT_OQ, <)
FN_COMPARE(vle, _CMP_LE_OQ, <=)
FN_COMPARE(veq, _CMP_EQ_OQ, ==)
FN_INLINE vm vor(vm a, vm b) { return a | b; }
FN_INLINE vm vand(vm a, vm b) { return a & b; }
FN_INLINE vm visnan(vf a) { return vnot(veq(a, a)); }

/* --- transposes: r[i] lane j  <->  r[j] lane i ---------------------------- */

#if defined(__clang__)
#define FN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FN_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vi){__VA_ARGS__})
#endif

/* The lanes of two vectors that the stage of distance d = 1, 2, 4, 8 puts together: blocks of d lanes, of
 * both vectors in turn, the even blocks in EVEN_d and the odd ones in ODD_d. */
#if FN_VECTOR_BYTES / (4 + 4 * FN_DOUBLE) == 16
#define FN_EVEN_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define FN_ODD_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define FN_EVEN_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define FN_ODD_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define FN_EVEN_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define FN_ODD_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define FN_EVEN_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define FN_ODD_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define FN_STAGES(stage, ...) stage(1, __VA_ARGS__) stage(2, __VA_ARGS__) stage(4, __VA_ARGS__) stage(8, __VA_ARGS__)
#elif FN_VECTOR_BYTES / (4 + 4 * FN_DOUBLE) == 8
#define FN_EVEN_1 0, 8, 2, 10, 4, 12, 6, 14
#define FN_ODD_1 1, 9, 3, 11, 5, 13, 7, 15
#define FN_EVEN_2 0, 1, 8, 9, 4, 5, 12, 13
#define FN_ODD_2 2, 3, 10, 11, 6, 7, 14, 15
#define FN_EVEN_4 0, 1, 2, 3, 8, 9, 10, 11
#define FN_ODD_4 4, 5, 6, 7, 12, 13, 14, 15
#define FN_STAGES(stage, ...) stage(1, __VA_ARGS__) stage(2, __VA_ARGS__) stage(4, __VA_ARGS__)
#elif FN_VECTOR_BYTES / (4 + 4 * FN_DOUBLE) == 4
#define FN_EVEN_1 0, 4, 2, 6
#define FN_ODD_1 1, 5, 3, 7
#define FN_EVEN_2 0, 1, 4, 5
#define FN_ODD_2 2, 3, 6, 7
#define FN_STAGES(stage, ...) stage(1, __VA_ARGS__) stage(2, __VA_ARGS__)
#else
#define FN_EVEN_1 0, 2
#define FN_ODD_1 1, 3
#define FN_STAGES(stage, ...) stage(1, __VA_ARGS__)
#endif
#define FN_EVEN(d) FN_SHUFFLE(a, b, FN_EVEN_##d)
#define FN_ODD(d) FN_SHUFFLE(a, b, FN_ODD_##d)

/* One stage exchanges the off-diagonal d x d blocks of r[i] and r[i + d]. */
#define FN_EXCHANGE(d, unused)                            \
    for (int i = 0; i < LANES; i++)                       \
        if (!(i & d)) {                                   \
            vf a = r[i], b = r[i + d];                    \
            r[i] = FN_EVEN(d);                            \
            r[i + d] = FN_ODD(d);                         \
        }

FN_INLINE void vtranspose(vf *r) { FN_STAGES(FN_EXCHANGE, ) }

/* Lane i of the result is lane order[i] of v, 0 <= order[i] < LANES. */
FN_INLINE vf vpermute(vf v, vi order) {
#if FN_AVX512
    return (vf)FN_PICK(_mm512_permutexvar_ps((__m512i)order, (__m512)v),
                       _mm512_permutexvar_pd((__m512i)order, (__m512d)v));
#elif FN_AVX2 && !FN_DOUBLE
    return (vf)_mm256_permutevar8x32_ps((__m256)v, (__m256i)order);
#elif defined(__clang__)
    vf r = v;
    for (int i = 0; i < LANES; i++) r[i] = v[order[i]];
    return r;
#else
    return __builtin_shuffle(v, order);
#endif
}

/* Over the lanes of each of r[0] ... r[LANES - 1]: lane i of the result is from r[i]. A transpose whose
 * stages halve the vectors as they go. The order is a binary tree of neighbours, the same for each. */
#define FN_HALVE(d, op)                                   \
    for (int i = 0; i < LANES / d; i += 2) {              \
        vf a = r[i], b = r[i + 1];                        \
        r[i / 2] = op(FN_EVEN(d), FN_ODD(d));             \
    }
FN_INLINE vf fn_add(vf a, vf b) { return a + b; }

FN_INLINE vf vsum_each(vf *r) {
    FN_STAGES(FN_HALVE, fn_add)
    return r[0];
}

FN_INLINE vf vmax_each(vf *r) {
    FN_STAGES(FN_HALVE, vmax)
    return r[0];
}

/* --- bit patterns, for the elementary functions --------------------------- */

FN_INLINE vi vbits(vf a) { return (vi)a; }
FN_INLINE vf vfrombits(vi a) { return (vf)a; }
FN_INLINE vi vshift_left(vi a, int n) { return a << n; }
/* Logical shift: zeros come in from the left. */
typedef ureal fn_vureal __attribute__((vector_size(FN_VECTOR_BYTES)));
FN_INLINE vi vshift_right(vi a, int n) { return (vi)((fn_vureal)a >> n); }
FN_INLINE vi viand(vi a, vi b) { return a & b; }
FN_INLINE vi vior(vi a, vi b) { return a | b; }
FN_INLINE vi vixor(vi a, vi b) { return a ^ b; }

#define MANTISSA_MASK ((ireal)(((ureal)1 << MANTISSA_BITS) - 1))

/* Adding it to x rounds x to a whole number n, and leaves n + EXPONENT_BIAS in the lowest bits. */
#define ROUND FN_PICK(12583039.0f, 6755399441056767.0)

/* p 2^n with t = n + ROUND, down to 0 and up to Inf; |n| < 2 EXPONENT_BIAS. */
FN_INLINE vf vscale(vf p, vf t) {
#if FN_AVX512
    vf n = t - vset(ROUND);
    return (vf)FN_PICK(_mm512_scalef_ps((__m512)p, (__m512)n), _mm512_scalef_pd((__m512d)p, (__m512d)n));
#else
    /* In two steps, each a normal power of two. */
    vi twice = (vi)t + visplat(EXPONENT_BIAS);
    vi one = vshift_right(twice, 1);
    return p * (vf)(one << MANTISSA_BITS) * (vf)((twice - one) << MANTISSA_BITS);
#endif
}

/* a * b - p, where p = a * b rounded: all but exact, unless it is too small for a normal number. */
FN_INLINE vf vproduct_error(vf a, vf b, vf p) {
#if FN_AVX512 || FN_AVX2 || FN_NEON
    return vfma(a, b, vneg(p));
#else
    /* Dekker 1971, with halves cut off by their bits. */
    vi mask = visplat(-((ireal)1 << (MANTISSA_BITS + 2) / 2));
    vf ah = (vf)((vi)a & mask), al = a - ah;
    vf bh = (vf)((vi)b & mask), bl = b - bh;
    return ((ah * bh - p) + (ah * bl + al * bh)) + al * bl;
#endif
}

/* --- narrower whole numbers, one for each lane ---------------------------- */

typedef uint8_t fn_bytes __attribute__((vector_size(FN_VECTOR_BYTES / sizeof(real))));
typedef int32_t fn_ints __attribute__((vector_size(FN_VECTOR_BYTES / sizeof(real) * 4)));

FN_INLINE vm vieq(vi a, vi b) {
#if FN_AVX512
    return FN_PICK(_mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b), _mm512_cmpeq_epi64_mask((__m512i)a, (__m512i)b));
#else
    return a == b;
#endif
}

/* All lanes from bytes, and to bytes. Through registers: a narrowing store is slow, and compilers convert in many steps. */
FN_INLINE vi fn_from_bytes(fn_bytes b) {
#if FN_AVX512 || FN_AVX2
    __m128i whole = _mm_setzero_si128();
    memcpy(&whole, &b, sizeof b);
#endif
#if FN_AVX512
    return (vi)FN_PICK(_mm512_cvtepu8_epi32(whole), _mm512_cvtepu8_epi64(whole));
#elif FN_AVX2
    return (vi)FN_PICK(_mm256_cvtepu8_epi32(whole), _mm256_cvtepu8_epi64(whole));
#else
    return __builtin_convertvector(b, vi);
#endif
}
FN_INLINE fn_bytes fn_to_bytes(vi v) {
#if FN_AVX512
    __m128i whole = FN_PICK(_mm512_cvtepi32_epi8((__m512i)v), _mm512_cvtepi64_epi8((__m512i)v));
    __asm__("" : "+v"(whole)); /* or the compiler joins it with the store */
    fn_bytes b;
    memcpy(&b, &whole, sizeof b);
    return b;
#else
    return __builtin_convertvector(v, fn_bytes);
#endif
}

/* Lanes 0 <= i < n (n may exceed LANES) from and to bytes or int32; what is loaded beyond them is zero. */
FN_INLINE vi viload_bytes(const uint8_t *p, intptr_t n) {
    fn_bytes b = {0};
    if (n >= LANES) {
        memcpy(&b, p, sizeof b);
    } else {
#if FN_AVX512
        __m128i part = _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p);
        memcpy(&b, &part, sizeof b);
#else
        for (intptr_t i = 0; i < n; i++) b[i] = p[i];
#endif
    }
    return fn_from_bytes(b);
}
FN_INLINE void vistore_bytes(uint8_t *p, vi v, intptr_t n) {
    fn_bytes b = fn_to_bytes(v);
    if (n >= LANES) {
        memcpy(p, &b, sizeof b);
        return;
    }
#if FN_AVX512
    __m128i part = _mm_setzero_si128();
    memcpy(&part, &b, sizeof b);
    _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), part);
#else
    for (intptr_t i = 0; i < n; i++) p[i] = b[i];
#endif
}
FN_INLINE vi viload_ints(const int32_t *p, intptr_t n) {
    fn_ints b = {0};
    if (n >= LANES) memcpy(&b, p, sizeof b);
    else
        for (intptr_t i = 0; i < n; i++) b[i] = p[i];
    return __builtin_convertvector(b, vi);
}
FN_INLINE void vistore_ints(int32_t *p, vi v, intptr_t n) {
    fn_ints b = __builtin_convertvector(v, fn_ints);
    if (n >= LANES) memcpy(p, &b, sizeof b);
    else
        for (intptr_t i = 0; i < n; i++) p[i] = b[i];
}

/* --- over the lanes: a binary tree, the same for every caller ------------- */

/* Lane i takes part with lane i ^ (LANES / 2), then i ^ (LANES / 4), ...: all lanes end up equal. */
#if FN_VECTOR_BYTES / (4 + 4 * FN_DOUBLE) == 16
#define FN_FOLD(v, OP)                                                                              \
    v = OP(v, FN_SHUFFLE(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));              \
    v = OP(v, FN_SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));              \
    v = OP(v, FN_SHUFFLE(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));              \
    v = OP(v, FN_SHUFFLE(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14))
#elif FN_VECTOR_BYTES / (4 + 4 * FN_DOUBLE) == 8
#define FN_FOLD(v, OP)                                                                              \
    v = OP(v, FN_SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3));                                            \
    v = OP(v, FN_SHUFFLE(v, v, 2, 3, 0, 1, 6, 7, 4, 5));                                            \
    v = OP(v, FN_SHUFFLE(v, v, 1, 0, 3, 2, 5, 4, 7, 6))
#elif FN_VECTOR_BYTES / (4 + 4 * FN_DOUBLE) == 4
#define FN_FOLD(v, OP)                                                                              \
    v = OP(v, FN_SHUFFLE(v, v, 2, 3, 0, 1));                                                        \
    v = OP(v, FN_SHUFFLE(v, v, 1, 0, 3, 2))
#else
#define FN_FOLD(v, OP) v = OP(v, FN_SHUFFLE(v, v, 1, 0))
#endif

FN_INLINE vf fn_greater(vf a, vf b) { return vselect(vor(vgt(a, b), visnan(a)), a, b); }

/* The sum, and the greatest, of the lanes, in every lane; vmax_lanes may ignore NaN. */
FN_INLINE vf vsum_lanes(vf v) {
    FN_FOLD(v, fn_add);
    return v;
}
FN_INLINE vf vmax_lanes(vf v) {
    FN_FOLD(v, vmax);
    return v;
}

FN_INLINE real vsum(vf v) { return vlane(vsum_lanes(v), 0); }

/* The greatest lane; NaN if any lane is NaN. */
FN_INLINE real vgreatest(vf v) {
    FN_FOLD(v, fn_greater);
    return vlane(v, 0);
}

/* --- 32-bit lanes, for the random generator -------------------------------- */

FN_INLINE vu vuset(uint32_t x) { return x - (vu){0}; }
FN_INLINE vu vurotate(vu a, int n) { return (a << n) | (a >> (32 - n)); }
FN_INLINE vu vuxor(vu a, vu b) { return a ^ b; }
FN_INLINE void vustore(uint32_t *p, vu a) { *(vu_memory *)p = a; }
/* 0, 1, 2, ... */
FN_INLINE vu vuiota(void) {
    vu v;
    for (int i = 0; i < LANES32; i++) v[i] = (uint32_t)i;
    return v;
}

FN_INLINE vu vuload(const uint32_t *p) { return *(const vu_memory *)p; }

/* `scale` in the lanes whose word is at least `threshold`, zero in the others; one word for each lane of vf. */
FN_INLINE vf vukeep(const uint32_t *words, uint32_t threshold, vf scale) {
#if FN_AVX512 && FN_DOUBLE
    __mmask8 m = _mm256_cmpge_epu32_mask(_mm256_loadu_si256((const __m256i *)words), _mm256_set1_epi32((int)threshold));
    return (vf)_mm512_maskz_mov_pd(m, (__m512d)scale);
#elif FN_AVX512
    __mmask16 m = _mm512_cmpge_epu32_mask(_mm512_loadu_si512(words), _mm512_set1_epi32((int)threshold));
    return (vf)_mm512_maskz_mov_ps(m, (__m512)scale);
#elif FN_AVX2 && FN_DOUBLE
    vi w = (vi)_mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)words));
    return (vf)((vi)(w >= visplat((ireal)threshold)) & (vi)scale);
#elif FN_DOUBLE
    vi w;
    for (int i = 0; i < LANES; i++) w[i] = -(ireal)(words[i] >= threshold);
    return (vf)(w & (vi)scale);
#else
    return (vf)((vi)(vuload(words) >= vuset(threshold)) & (vi)scale);
#endif
}

/* --- sums in double --------------------------------------------------------- */

enum { WIDE = FN_PICK(2, 1), LANES64 = FN_VECTOR_BYTES / 8 };

/* The lanes h * LANES64 ... of v as doubles, h < WIDE. */
FN_INLINE vd vwiden(vf v, int h) {
#if FN_DOUBLE
    (void)h;
    return v;
#elif FN_AVX512
    return (vd)_mm512_cvtps_pd(h ? _mm512_extractf32x8_ps((__m512)v, 1) : _mm512_castps512_ps256((__m512)v));
#elif FN_AVX2
    return (vd)_mm256_cvtps_pd(h ? _mm256_extractf128_ps((__m256)v, 1) : _mm256_castps256_ps128((__m256)v));
#elif FN_X86
    return (vd)_mm_cvtps_pd(h ? _mm_movehl_ps((__m128)v, (__m128)v) : (__m128)v);
#else
    vd d;
    for (int i = 0; i < LANES64; i++) d[i] = v[h * LANES64 + i];
    return d;
#endif
}
FN_INLINE vd vdset(double x) { return x - (vd){0}; }
FN_INLINE vd vdabs(vd v) {
    typedef int64_t bits __attribute__((vector_size(FN_VECTOR_BYTES)));
    return (vd)((bits)v & (INT64_MAX - (bits){0}));
}
FN_INLINE double vdsum(vd v) {
    double t[LANES64];
    memcpy(t, &v, sizeof t);
    for (int n = LANES64 / 2; n >= 1; n /= 2)
        for (int i = 0; i < n; i++) t[i] = t[i] + t[i + n];
    return t[0];
}

/* --- half precision ----------------------------------------------------------- */

/* The value of an IEEE binary16 number; every one is a normal float or zero. */
FN_INLINE float fn_from_half(uint16_t h) {
    uint32_t magnitude = h & 0x7fffu;
    uint32_t normal = (magnitude << 13) + (112u << 23);
    float subnormal = (float)(int32_t)magnitude * 0x1p-24f;
    uint32_t bits;
    memcpy(&bits, &subnormal, 4);
    bits = magnitude >= 0x0400u ? normal : bits;
    bits = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : bits;
    bits |= (uint32_t)(h & 0x8000u) << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* --- arithmetic whose bits are the same on every instruction set ------------ */

/* The compiler sees nothing of what happens to x here: it cannot fuse a product with the sum that
 * follows, which it does (-ffp-contract=fast) where there is an FMA, and changes the last bit. */
#if FN_X86
#define FN_OPAQUE(x) __asm__("" : "+v"(x))
#elif FN_NEON
#define FN_OPAQUE(x) __asm__("" : "+w"(x))
#else
#define FN_OPAQUE(x) __asm__("" : "+m"(x))
#endif

/* a * b, rounded. */
FN_INLINE double dproduct(double a, double b) {
    double p = a * b;
    FN_OPAQUE(p);
    return p;
}

FN_INLINE vd vdproduct(vd a, vd b) {
    vd p = a * b;
    FN_OPAQUE(p);
    return p;
}

FN_INLINE vd vdload(const double *p) { return *(const vd_memory *)p; }
FN_INLINE void vdstore(double *p, vd v) { *(vd_memory *)p = v; }

#endif
