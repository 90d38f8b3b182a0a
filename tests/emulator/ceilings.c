/* The kernels that measure a GPU: what they copied, then what four blocks of 32 threads summed in five rounds. */
#include "emulator.h"

#include "../../src/theory/gpu/kernels/ceilings.cu"

enum { N_GROUPS = 1000, N_THREADS = 32, N_BLOCKS = 4, ROUNDS = 5 };
static float4 from[N_GROUPS], to[N_GROUPS];
static float sums[N_BLOCKS * N_THREADS];

static void copy_call(void) { copy_groups(N_GROUPS, from, to); }
static void multiply_call(void) { multiply_adds(ROUNDS, sums); }
static void raise_call(void) { exponentials(ROUNDS, sums); }

static void run_grid(void (*call)(void)) {
    kernel_call = call;
    blockDim.x = N_THREADS, gridDim.x = N_BLOCKS, gridDim.y = 1;
    for (blockIdx.x = 0; blockIdx.x < N_BLOCKS; blockIdx.x++) run_block(0);
}

int main(void) {
    for (int i = 0; i < N_GROUPS; i++) from[i] = (float4){4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3};
    memset(to, 0xff, sizeof to);
    run_grid(copy_call);
    fwrite(to, sizeof to, 1, stdout);
    void (*calls[])(void) = {multiply_call, raise_call};
    for (int i = 0; i < 2; i++) {
        memset(sums, 0xff, sizeof sums);
        run_grid(calls[i]);
        fwrite(sums, sizeof sums, 1, stdout);
    }
    return 0;
}
