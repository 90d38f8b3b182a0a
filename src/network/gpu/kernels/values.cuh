// What a network's kernels are given, and what they share.
//
// Values are [B, P, C]: images, pixels, channels, the last of them a multiple of eight. Every kernel takes one
// `Arguments`: `buffers` in the order that its comment names, then `numbers`, then `reals`. Buffers that a kernel reads or
// writes as `Values` may hold bfloat16, where this file is compiled with BF16; all else is single precision, sums too, which
// are made in an order that does not depend on timing, so that a step gives the same bits each time.

#ifndef MOSAIC_VALUES
#define MOSAIC_VALUES

typedef struct {
    float *buffers[8];
    int numbers[10];
    float reals[4];
    // Bit i: buffer i holds bfloat16.
    unsigned bf16;
} Arguments;

// Values of a buffer from some place on.
typedef struct {
    void *first;
    int is_bf16;
} Values;

#ifdef BF16
#define IS_BF16(a, which) ((a).bf16 >> (which) & 1u)
#else
#define IS_BF16(a, which) 0
#endif
#define VALUES(a, which, first) values_from((a).buffers[which], IS_BF16(a, which), first)

__device__ static inline Values values_from(float *buffer, int is_bf16, size_t first) {
    Values values;
    values.first = is_bf16 ? (void *)((unsigned short *)buffer + first) : (void *)(buffer + first);
    values.is_bf16 = is_bf16;
    return values;
}

// The nearest bfloat16, the even one of two; no number becomes none.
__device__ static inline unsigned short bf16_of(float value) {
    const unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

__device__ static inline float get(Values of, size_t i) {
    if (!of.is_bf16) return ((const float *)of.first)[i];
    return __uint_as_float((unsigned)((const unsigned short *)of.first)[i] << 16);
}

__device__ static inline void put(Values of, size_t i, float value) {
    if (of.is_bf16) ((unsigned short *)of.first)[i] = bf16_of(value);
    else ((float *)of.first)[i] = value;
}

// Four values from i on, a multiple of four.
__device__ static inline float4 get_quad(Values of, size_t i) {
    if (!of.is_bf16) {
        QUAD(values, (const float *)of.first + i);
        return values;
    }
    BF16_QUAD(bits, (const unsigned short *)of.first + i);
    float4 values;
    values.x = __uint_as_float(bits.x << 16), values.y = __uint_as_float(bits.x & 0xffff0000u);
    values.z = __uint_as_float(bits.y << 16), values.w = __uint_as_float(bits.y & 0xffff0000u);
    return values;
}

__device__ static inline void put_quad(Values of, size_t i, float x, float y, float z, float w) {
    if (!of.is_bf16) {
        PUT_QUAD((float *)of.first + i, x, y, z, w);
        return;
    }
    const unsigned low = bf16_of(x) | (unsigned)bf16_of(y) << 16, high = bf16_of(z) | (unsigned)bf16_of(w) << 16;
    PUT_BF16_QUAD((unsigned short *)of.first + i, low, high);
}

// The sum of every thread's value. Shared memory: a float a thread; it may be used again at once.
__device__ static inline float block_sum(float value, float *shared) {
    shared[threadIdx.x] = value;
    __syncthreads();
    int n = blockDim.x;
    while (n > 1) {
        const int half = (n + 1) / 2;
        if ((int)threadIdx.x + half < n) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
        n = half;
    }
    const float sum = shared[0];
    __syncthreads();
    return sum;
}

__device__ static inline float warp_sum(float value) {
    const int lane = threadIdx.x % 32;
    for (int apart = 16; apart > 0; apart /= 2) value += __shfl_sync(0xffffffffu, value, lane ^ apart);
    return value;
}

__device__ static inline float warp_max(float value) {
    const int lane = threadIdx.x % 32;
    for (int apart = 16; apart > 0; apart /= 2) value = fmaxf(value, __shfl_sync(0xffffffffu, value, lane ^ apart));
    return value;
}

// Every value i of n, dealt out to all threads.
#define EACH(i, n) for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (size_t)(n); i += (size_t)gridDim.x * blockDim.x)

#endif
