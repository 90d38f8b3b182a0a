/* Enough of CUDA to run our kernels on a CPU, one block after the other, its threads as fibers that change places at
 * barriers and shuffles. Shared memory and outputs are poisoned before each block, and it is an error if not all threads
 * reach the same barrier or shuffle, as it is on a GPU. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

typedef struct {
    unsigned x, y, z;
} Dimensions;
typedef struct {
    float x, y;
} float2;
typedef struct {
    float x, y, z, w;
} float4;
typedef struct {
    unsigned x, y;
} uint2;

#define THREADS_LIMIT 1024
#define WARP_SIZE 32

static Dimensions threadIdx, blockIdx, blockDim, gridDim;
static void *emulated_shared;
/* Fibers begin as contexts and then change places by jumps, which need no system call. */
static ucontext_t start, *fibers;
static jmp_buf scheduler, *places;
/* What each thread waits for. */
typedef enum { RUNS, BARRIER, SHUFFLE, ENDED } Wait;
static Wait waits[THREADS_LIMIT];
/* Values of the last two shuffles, in turn. */
static float shuffled[2][THREADS_LIMIT];
static unsigned n_shuffles[THREADS_LIMIT];

#define KERNELS_BEGIN
#define KERNELS_END
#define __global__ static __attribute__((unused))
#define __device__ __attribute__((unused))
#define __launch_bounds__(...)
#define SHARED(type, name) type *name = (type *)emulated_shared
#define PAIR(name, place) const float2 name = emulated_pair(place)
#define QUAD(name, place) const float4 name = *emulated_quad(place)
#define PUT_QUAD(place, a, b, c, d) (*emulated_quad(place) = (float4){a, b, c, d})
#define BF16_QUAD(name, place) const uint2 name = emulated_bf16_quad(place)
#define PUT_BF16_QUAD(place, low, high) emulated_put_bf16_quad(place, (uint2){low, high})
#define PUT_PAIR(place, values) (*emulated_aligned(place) = (float2){(values)[0], (values)[1]})

static void fail(const char *what) {
    fprintf(stderr, "%s (block %u, thread %u)\n", what, blockIdx.x, threadIdx.x);
    exit(1);
}

/* Memory of a GPU: it begins where a multiple of many bytes is, as theirs does, and is poisoned with what is not a
 * number. Guards of the same lie before and behind it: what is written there is an error. */
enum { GUARD = 4096, POISON = 0xff };

static struct {
    char *place;
    size_t n_bytes;
} guarded_places[4096];
static size_t n_guarded;

__attribute__((unused)) static void *guarded(size_t n_bytes) {
    const size_t whole = (n_bytes + 3 * GUARD - 1) / GUARD * GUARD;
    char *place = aligned_alloc(GUARD, whole);
    if (!place || n_guarded == sizeof guarded_places / sizeof *guarded_places) fail("no room for a buffer");
    memset(place, POISON, whole);
    guarded_places[n_guarded].place = place + GUARD;
    guarded_places[n_guarded++].n_bytes = n_bytes;
    return place + GUARD;
}

__attribute__((unused)) static void check_guards(const char *who) {
    static char expected[GUARD];
    memset(expected, POISON, GUARD);
    for (size_t i = 0; i < n_guarded; i++) {
        const char *place = guarded_places[i].place;
        if (memcmp(place - GUARD, expected, GUARD) || memcmp(place + guarded_places[i].n_bytes, expected, GUARD)) {
            fprintf(stderr, "%s wrote outside of buffer %zu\n", who, i);
            exit(1);
        }
    }
}

/* GPUs read and write pairs at even places only. */
static inline __attribute__((unused)) float2 *emulated_aligned(float *place) {
    if ((uintptr_t)place % sizeof(float2)) fail("a pair at an odd place");
    return (float2 *)place;
}

static inline __attribute__((unused)) float4 *emulated_quad(const float *place) {
    if ((uintptr_t)place % sizeof(float4)) fail("four values at a place that is no multiple of four");
    return (float4 *)place;
}

static inline __attribute__((unused)) uint2 emulated_bf16_quad(const unsigned short *place) {
    if ((uintptr_t)place % sizeof(uint2)) fail("four values at a place that is no multiple of four");
    uint2 bits;
    memcpy(&bits, place, sizeof bits);
    return bits;
}

static inline __attribute__((unused)) void emulated_put_bf16_quad(unsigned short *place, uint2 bits) {
    if ((uintptr_t)place % sizeof(uint2)) fail("four values at a place that is no multiple of four");
    memcpy(place, &bits, sizeof bits);
}

static inline __attribute__((unused)) float2 emulated_pair(const float *place) {
    return *emulated_aligned((float *)place);
}

static inline __attribute__((unused)) int __float_as_int(float value) {
    int bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline __attribute__((unused)) unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline __attribute__((unused)) float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void wait_for(Wait what) {
    waits[threadIdx.x] = what;
    if (!_setjmp(places[threadIdx.x])) _longjmp(scheduler, 1);
}

static __attribute__((unused)) void __syncthreads(void) { wait_for(BARRIER); }

static __attribute__((unused)) float __shfl_sync(unsigned lanes, float value, int lane) {
    if (lanes != 0xffffffffu || lane < 0 || lane >= WARP_SIZE) fail("a shuffle of some lanes, or from no lane");
    const unsigned me = threadIdx.x, from = me / WARP_SIZE * WARP_SIZE + lane;
    if (from >= blockDim.x) fail("a shuffle from a thread that is not there");
    float *values = shuffled[n_shuffles[me]++ % 2];
    values[me] = value;
    wait_for(SHUFFLE);
    return values[from];
}

/* TensorFloat-32: the nearest; of two the one further from zero. */
static inline __attribute__((unused)) float tf32_of(float value) {
#ifdef UNROUNDED
    return value;
#else
    return __uint_as_float((__float_as_uint(value) + 0x1000u) & 0xffffe000u);
#endif
}

static float left_factors[2][THREADS_LIMIT][4], right_factors[2][THREADS_LIMIT][2];
static unsigned n_products[THREADS_LIMIT];

/* c[16, 8] += a[16, 8] b[8, 8] by a warp, dealt out as PTX says of mma.m16n8k8 for tf32. */
static __attribute__((unused)) void multiply(float *c, const float *a, const float *b) {
    const unsigned me = threadIdx.x, warp = me / WARP_SIZE * WARP_SIZE, lane = me % WARP_SIZE;
    if (warp + WARP_SIZE > blockDim.x) fail("a product of a warp that is not whole");
    const unsigned which = n_products[me]++ % 2;
    memcpy(left_factors[which][me], a, sizeof left_factors[which][me]);
    memcpy(right_factors[which][me], b, sizeof right_factors[which][me]);
#ifndef UNROUNDED
    for (int i = 0; i < 6; i++) {
        if (__float_as_uint(i < 4 ? a[i] : b[i - 4]) & 0x1fffu) fail("a factor that is no TensorFloat-32");
    }
#endif
    wait_for(SHUFFLE);
    for (unsigned e = 0; e < 4; e++) {
        const unsigned row = lane / 4 + 8 * (e / 2), column = 2 * (lane % 4) + e % 2;
        float sum = c[e];
        for (unsigned k = 0; k < 8; k++) {
            const float left = left_factors[which][warp + row % 8 * 4 + k % 4][row / 8 + 2 * (k / 4)];
            sum += left * right_factors[which][warp + column * 4 + k % 4][k / 4];
        }
        c[e] = sum;
    }
}

static void (*kernel_call)(void);

static void fiber(void) {
    kernel_call();
    wait_for(ENDED);
}

/* Runs a thread until it waits. */
static void resume(void) {
    if (_setjmp(scheduler)) return;
    if (waits[threadIdx.x] == RUNS) swapcontext(&start, &fibers[threadIdx.x]);
    _longjmp(places[threadIdx.x], 1);
}

/* Runs one block of blockDim.x threads to its end. */
static void run_block(size_t n_shared_bytes) {
    const size_t stack = 64 * 1024;
    const unsigned n = blockDim.x;
    if (n > THREADS_LIMIT) fail("too many threads");
    char *stacks = malloc(n * stack);
    fibers = calloc(n, sizeof *fibers);
    places = calloc(n, sizeof *places);
    const size_t guard = 256;
    emulated_shared = malloc(n_shared_bytes + guard);
    memset(emulated_shared, 0xff, n_shared_bytes + guard); /* NaN */
    for (unsigned t = 0; t < n; t++) {
        waits[t] = RUNS;
        n_shuffles[t] = n_products[t] = 0;
        getcontext(&fibers[t]);
        fibers[t].uc_stack.ss_sp = stacks + t * stack;
        fibers[t].uc_stack.ss_size = stack;
        makecontext(&fibers[t], fiber, 0);
    }
    do {
        for (threadIdx.x = 0; threadIdx.x < n; threadIdx.x++) {
            resume();
            if (waits[threadIdx.x] != waits[0]) fail("a barrier or shuffle that not all threads reach");
        }
    } while (waits[0] != ENDED);
    for (size_t i = n_shared_bytes; i < n_shared_bytes + guard; i++) {
        if (((unsigned char *)emulated_shared)[i] != 0xff) fail("a thread wrote beyond the block's shared memory");
    }
    free(stacks), free(fibers), free(places), free(emulated_shared);
}
