// What a GPU reaches at best: bytes copied, multiply-adds and exponentials, each with nothing else to wait for.

#include "cuda.cuh"

KERNELS_BEGIN

// Independent chains of a thread: more than a multiply-add takes cycles.
#define CHAINS 8

// Copies n groups of four floats.
__global__ void copy_groups(size_t n, const float4 *from, float4 *to) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        to[i] = from[i];
    }
}

// CHAINS multiply-adds a round and thread; out [threads of the grid].
__global__ void multiply_adds(int rounds, float *out) {
    const float step = 1e-3f * threadIdx.x;
    float chains[CHAINS];
    #pragma unroll
    for (int i = 0; i < CHAINS; i++) chains[i] = i;
    for (int round = 0; round < rounds; round++) {
        #pragma unroll
        for (int i = 0; i < CHAINS; i++) chains[i] = fmaf(chains[i], 0.999f, step);
    }
    float sum = 0.0f;
    #pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += chains[i];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// CHAINS exponentials a round and thread; out as above.
__global__ void exponentials(int rounds, float *out) {
    float chains[CHAINS];
    #pragma unroll
    for (int i = 0; i < CHAINS; i++) chains[i] = -0.1f * i - 1e-3f * threadIdx.x;
    for (int round = 0; round < rounds; round++) {
        // From (-inf, 0] to (0, 1] and back: a sign is free.
        #pragma unroll
        for (int i = 0; i < CHAINS; i++) chains[i] = exp2f(-chains[i]);
    }
    float sum = 0.0f;
    #pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += chains[i];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

KERNELS_END
