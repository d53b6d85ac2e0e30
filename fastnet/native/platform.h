/* What C alone can say: the barrier, the CPU's level, the FPU mode, memory
 * advice, and the few OpenMP questions (with answers for builds without it).
 */
#ifndef FASTNET_PLATFORM_H
#define FASTNET_PLATFORM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <malloc.h>
#include <windows.h>
#else
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
#include <immintrin.h>
#endif

#ifdef _OPENMP
#include <omp.h>
#endif

/* --- OpenMP ---------------------------------------------------------------- */

static inline int fn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

static inline int fn_omp_max_threads(void) {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

static inline int fn_omp_in_parallel(void) {
#ifdef _OPENMP
    return omp_in_parallel();
#else
    return 0;
#endif
}

static inline int fn_omp_thread(void) {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

/* Threads of the present region, which may be fewer than were asked for. */
static inline int fn_omp_team(void) {
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

/* --- waiting --------------------------------------------------------------- */

static inline void fn_pause(void) {
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static inline void fn_yield(void) {
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* A barrier for the threads of one region. Each counter has a cache line of
 * its own. Waiting spins for some microseconds and then yields the CPU. */
typedef struct {
    int32_t arrived;
    char pad_1[60];
    int32_t generation;
    char pad_2[60];
} fn_barrier;

enum { FN_SPINS = 200 }; /* a pause takes 10 to 50 ns */

static inline void fn_barrier_wait(fn_barrier *b, int n_threads) {
    int32_t generation = __atomic_load_n(&b->generation, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == n_threads) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    int spins = 0;
    while (__atomic_load_n(&b->generation, __ATOMIC_ACQUIRE) == generation) {
        if (spins < FN_SPINS) {
            spins++;
            fn_pause();
        } else {
            fn_yield();
        }
    }
}

/* Threads that have slept may wake on the CPU of the thread that woke them, and take turns there for 10 ms before Linux moves
 * one. A thread of a region that finds itself on the CPU of an earlier one goes to another CPU of its affinity, which stays as it is. */
enum { FN_PLACES = 256 };

static inline void fn_take_place(int32_t *places, int thread) {
#if defined(__linux__)
    if (thread >= FN_PLACES) return;
    int cpu = sched_getcpu();
    for (int i = 0; i < thread; i++) {
        if (__atomic_load_n(&places[i], __ATOMIC_RELAXED) != cpu) continue;
        cpu_set_t allowed, others;
        if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) break;
        others = allowed;
        for (int j = 0; j < thread; j++) CPU_CLR(__atomic_load_n(&places[j], __ATOMIC_RELAXED), &others);
        if (CPU_COUNT(&others) && sched_setaffinity(0, sizeof(others), &others) == 0)
            sched_setaffinity(0, sizeof(allowed), &allowed);
        cpu = sched_getcpu();
        break;
    }
    __atomic_store_n(&places[thread], cpu, __ATOMIC_RELAXED);
#else
    (void)places;
    (void)thread;
#endif
}

static inline int fn_try_lock(int32_t *lock) {
    return __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void fn_unlock(int32_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }

static inline double fn_seconds(void) {
#if defined(_WIN32)
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (double)count.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#endif
}

/* --- the FPU mode: denormals are zero between _enter and _leave ------------- */

static inline uint64_t fn_flush_denormals_enter(void) {
#if defined(__x86_64__) || defined(_M_X64)
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
    return mode;
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(mode | (1ull << 24)));
    return mode;
#else
    return 0;
#endif
}

static inline void fn_flush_denormals_leave(uint64_t mode) {
#if defined(__x86_64__) || defined(_M_X64)
    /* Keep the caller's mode; the exceptions raised inside stay inside. */
    _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__)
    __asm__ __volatile__("msr fpcr, %0" : : "r"(mode));
#else
    (void)mode;
#endif
}

/* --- the CPU ----------------------------------------------------------------- */

/* x86-64: the microarchitecture level (1 to 4) that the CPU has and whose
 * registers the operating system saves. Elsewhere 1. */
static inline int fn_cpu_level(void) {
#if defined(__x86_64__) || defined(_M_X64)
    unsigned a, b, c, d, a7, b7, c7, d7, ax, bx, cx, dx;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 1;
    const unsigned v2 = (1u << 0) | (1u << 9) | (1u << 13) | (1u << 19) | (1u << 20) | (1u << 23);
    if ((c & v2) != v2) return 1;
    const unsigned v3 = (1u << 12) | (1u << 22) | (1u << 27) | (1u << 28) | (1u << 29);
    if ((c & v3) != v3) return 2;
    unsigned low, high;
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 0x6) != 0x6) return 2;
    if (!__get_cpuid_count(7, 0, &a7, &b7, &c7, &d7)) return 2;
    const unsigned v3b = (1u << 3) | (1u << 5) | (1u << 8);
    if ((b7 & v3b) != v3b) return 2;
    if (!__get_cpuid(0x80000001u, &ax, &bx, &cx, &dx) || !(cx & (1u << 5))) return 2;
    if ((low & 0xe6) != 0xe6) return 3;
    const unsigned v4 = (1u << 16) | (1u << 17) | (1u << 28) | (1u << 30) | (1u << 31);
    return (b7 & v4) == v4 ? 4 : 3;
#else
    return 1;
#endif
}

/* --- memory ------------------------------------------------------------------- */

enum { FN_ALIGNMENT = 64, FN_PAGE = 4096, FN_HUGE_PAGE = 2 << 20 };

/* `size` zeroed bytes on a 64-byte boundary (a page's or a huge page's for larger blocks), touched. A load waits for an
 * earlier store at the same place of another page: arrays that start alike are not in each other's way. */
static inline void *fn_allocate(size_t size) {
    size_t alignment = size >= FN_HUGE_PAGE ? FN_HUGE_PAGE : size >= 4 * FN_PAGE ? FN_PAGE : FN_ALIGNMENT;
    size_t rounded = (size + FN_ALIGNMENT - 1) / FN_ALIGNMENT * FN_ALIGNMENT;
    if (rounded < size) return NULL;
    if (rounded == 0) rounded = FN_ALIGNMENT;
    void *p = NULL;
#if defined(_WIN32)
    p = _aligned_malloc(rounded, alignment);
#else
    if (posix_memalign(&p, alignment, rounded) != 0) return NULL;
#if defined(MADV_HUGEPAGE)
    if (rounded >= FN_HUGE_PAGE) madvise(p, rounded, MADV_HUGEPAGE);
#endif
#endif
    if (p) memset(p, 0, rounded);
    return p;
}

static inline void fn_free(void *p) {
#if defined(_WIN32)
    _aligned_free(p);
#else
    free(p);
#endif
}

/* --- guard pages, a mode for tests ------------------------------------------------
 * `size` zeroed bytes that end (or begin) where a page does, between two pages whose access is a fault: one byte too far, on that
 * side, and the process ends. A page in front of the first guard holds the sizes. NULL where there is no memory, or no such pages. */

typedef struct {
    size_t size;  /* as asked for */
    size_t total; /* with all pages */
} fn_guarded;

static inline size_t fn_page_size(void) {
#if defined(_WIN32)
    return 0;
#else
    return (size_t)sysconf(_SC_PAGESIZE);
#endif
}

static inline void *fn_allocate_guarded(size_t size, int at_start) {
#if defined(_WIN32)
    (void)size;
    (void)at_start;
    return NULL;
#else
    size_t page = fn_page_size();
    if (size > (size_t)PTRDIFF_MAX - 4 * page) return NULL;
    size_t inside = (size ? size + page - 1 : page) / page * page;
    char *p = (char *)mmap(NULL, inside + 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == (char *)MAP_FAILED) return NULL;
    if (mprotect(p, page, PROT_READ | PROT_WRITE) || mprotect(p + 2 * page, inside, PROT_READ | PROT_WRITE)) {
        munmap(p, inside + 3 * page);
        return NULL;
    }
    *(fn_guarded *)p = (fn_guarded){size, inside + 3 * page};
    /* An empty one lies where it may be touched, so that its page is found by its address. */
    return p + 2 * page + (at_start || !size ? 0 : inside - size);
#endif
}

static inline fn_guarded *fn_guarded_of(void *p) {
    size_t page = fn_page_size();
    return (fn_guarded *)((uintptr_t)p / page * page - 2 * page);
}

static inline void fn_free_guarded(void *p) {
#if defined(_WIN32)
    (void)p;
#else
    if (p) munmap(fn_guarded_of(p), fn_guarded_of(p)->total);
#endif
}

/* Make a page inside of a block a guard, too. */
static inline int fn_protect_page(void *p) {
#if defined(_WIN32)
    (void)p;
    return -1;
#else
    return mprotect(p, fn_page_size(), PROT_NONE);
#endif
}

#endif
