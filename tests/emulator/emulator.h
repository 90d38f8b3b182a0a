/* Enough of CUDA to run our kernels on a CPU, one block after the other, its threads as fibers that change places at
 * barriers. Shared memory and outputs are poisoned before each block, and a barrier that not all threads reach is an
 * error, as it is on a card. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

typedef struct {
    unsigned x, y, z;
} Dimensions;

static Dimensions threadIdx, blockIdx, blockDim, gridDim;
static void *emulated_shared;
static ucontext_t scheduler, *fibers;
static int *has_ended;

#define __global__ static
#define __device__
#define SHARED(type, name) type *name = (type *)emulated_shared

static void __syncthreads(void) { swapcontext(&fibers[threadIdx.x], &scheduler); }

static void (*kernel_call)(void);

static void fiber(void) {
    kernel_call();
    has_ended[threadIdx.x] = 1;
    swapcontext(&fibers[threadIdx.x], &scheduler);
}

/* Runs one block of blockDim.x threads to its end. */
static void run_block(size_t n_shared_bytes) {
    const size_t stack = 64 * 1024;
    const unsigned n = blockDim.x;
    char *stacks = malloc(n * stack);
    fibers = calloc(n, sizeof *fibers);
    has_ended = calloc(n, sizeof *has_ended);
    emulated_shared = malloc(n_shared_bytes);
    memset(emulated_shared, 0xff, n_shared_bytes); /* NaN */
    for (unsigned t = 0; t < n; t++) {
        getcontext(&fibers[t]);
        fibers[t].uc_stack.ss_sp = stacks + t * stack;
        fibers[t].uc_stack.ss_size = stack;
        makecontext(&fibers[t], fiber, 0);
    }
    for (unsigned n_ended = 0; n_ended < n;) {
        n_ended = 0;
        for (unsigned t = 0; t < n; t++) {
            threadIdx.x = t;
            if (!has_ended[t]) swapcontext(&scheduler, &fibers[t]);
            n_ended += has_ended[t];
        }
        if (n_ended && n_ended < n) {
            fprintf(stderr, "a barrier that only %u of %u threads reach\n", n - n_ended, n);
            exit(1);
        }
    }
    free(stacks), free(fibers), free(has_ended), free(emulated_shared);
}
