// Softmax attention and its gradient, with the weights in registers only, for heads of up to WIDTH channels.
//
// A block is 64 queries, or keys, of one head of one image, 16 a warp; it takes the others 64 at a time through shared
// memory. Products are of TensorFloat-32, sums of single precision. A sum over rows does not care for their order, so a
// product's result serves as the next one's left factor where it lies: columns 2t and 2t + 1 stand for rows t and t + 4.
//
// `numbers` of all: P, channels of looking (queries, then keys), channels of values, heads, a head's channels (a multiple
// of four), whether to add to what is there: to dlooking, to dvalues. `reals`: the factor of logits, 1 / sqrt(channels).
// Blocks: ceil(P / 64), images x heads. Shared memory: 2 x 64 x (WIDTH + 4) floats, and 128 for `attend_gradient_keys`.

#include "values.cuh"

#ifndef MOSAIC_ATTENTION
#define MOSAIC_ATTENTION

// Queries, or keys, of a block and of what it takes at a time.
#define TILE 64
#define WARP_ROWS 16
#define LOG2_E 1.4426950408889634f

#define JOIN_NAMES(name, width) name##_##width
#define JOINED(name, width) JOIN_NAMES(name, width)

// The head of the image that a block has: where it begins, its sizes, and the block's first row.
typedef struct {
    size_t looking, keys, values, sums;
    int n_pixels, wide, narrow, width, first;
} Head;

__device__ static inline Head head_of(Arguments a) {
    const size_t image = blockIdx.y / a.numbers[3], head = blockIdx.y % a.numbers[3];
    Head of;
    of.n_pixels = a.numbers[0], of.wide = a.numbers[1], of.narrow = a.numbers[2], of.width = a.numbers[4];
    of.first = TILE * blockIdx.x;
    of.looking = image * of.n_pixels * of.wide + head * of.width;
    of.keys = of.looking + of.wide / 2;
    of.values = image * of.n_pixels * of.narrow + head * of.width;
    of.sums = (size_t)blockIdx.y * of.n_pixels;
    return of;
}

// Over the four threads that hold a row.
__device__ static inline float row_sum(float value) {
    const int lane = threadIdx.x % 32;
    value += __shfl_sync(0xffffffffu, value, lane ^ 1);
    return value + __shfl_sync(0xffffffffu, value, lane ^ 2);
}

__device__ static inline float row_max(float value) {
    const int lane = threadIdx.x % 32;
    value = fmaxf(value, __shfl_sync(0xffffffffu, value, lane ^ 1));
    return fmaxf(value, __shfl_sync(0xffffffffu, value, lane ^ 2));
}

#endif

// Of a row in shared memory: no two threads of a warp that read at once meet in a bank.
#define ROW (WIDTH + 4)
#define NAME(name) JOINED(name, WIDTH)

// Rows first to first + TILE of [P, stride], a head's columns, to shared memory; the rest is zero.
__device__ static inline void NAME(stage)(Head head, Values from, int stride, int first, float *to) {
    for (int i = threadIdx.x; i < TILE * (WIDTH / 4); i += blockDim.x) {
        const int row = i / (WIDTH / 4), column = 4 * (i % (WIDTH / 4));
        float4 four = {0.0f, 0.0f, 0.0f, 0.0f};
        if (first + row < head.n_pixels && column < head.width) {
            four = get_quad(from, (size_t)(first + row) * stride + column);
        }
        PUT_QUAD(to + row * ROW + column, tf32_of(four.x), tf32_of(four.y), tf32_of(four.z), tf32_of(four.w));
    }
}

// A warp's rows as left factors.
__device__ static inline void NAME(take_rows)(const float *rows, float out[WIDTH / 8][4]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const float *mine = rows + (threadIdx.x / 32 * WARP_ROWS + g) * ROW + t;
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
        out[j][0] = mine[8 * j], out[j][1] = mine[8 * ROW + 8 * j];
        out[j][2] = mine[8 * j + 4], out[j][3] = mine[8 * ROW + 8 * j + 4];
    }
}

// out[16, 8] = rows[16, WIDTH] others[8, WIDTH]^T, the others in shared memory.
__device__ static inline void NAME(against)(const float rows[WIDTH / 8][4], const float *others, float *out) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int e = 0; e < 4; e++) out[e] = 0.0f;
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
        const float right[2] = {others[g * ROW + 8 * j + t], others[g * ROW + 8 * j + t + 4]};
        multiply(out, rows[j], right);
    }
}

// out[16, WIDTH] += weights[16, 8] others[8, WIDTH], the weights as a product left them.
__device__ static inline void NAME(mix)(const float *weights, const float *others, float out[WIDTH / 8][4]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const float left[4] = {tf32_of(weights[0]), tf32_of(weights[2]), tf32_of(weights[1]), tf32_of(weights[3])};
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
        const float right[2] = {others[2 * t * ROW + 8 * j + g], others[(2 * t + 1) * ROW + 8 * j + g]};
        multiply(out[j], left, right);
    }
}

// rows of [P, stride] (+)= what a warp holds, where there are such rows and columns.
__device__ static inline void NAME(write_rows)(
    Head head, Values to, int stride, const float rows[WIDTH / 8][4], int adds
) {
    const int t = threadIdx.x % 4, row = head.first + threadIdx.x / 32 * WARP_ROWS + threadIdx.x % 32 / 4;
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
        for (int e = 0; e < 4; e++) {
            const int p = row + 8 * (e / 2), column = 8 * j + 2 * t + e % 2;
            if (p >= head.n_pixels || column >= head.width) continue;
            const size_t place = (size_t)p * stride + column;
            put(to, place, adds ? get(to, place) + rows[j][e] : rows[j][e]);
        }
    }
}

KERNELS_BEGIN

// looking [B, P, 2C], values [B, P, C], out [B, P, C], sums [B, heads, P]: base-2 logarithms of each query's sum.
__global__ void NAME(attend)(Arguments a) {
    SHARED(float, shared);
    float *keys = shared, *values = shared + TILE * ROW;
    const int t = threadIdx.x % 4;
    const Head head = head_of(a);
    const Values of_keys = VALUES(a, 0, head.keys), of_values = VALUES(a, 1, head.values);
    const float factor = a.reals[0] * LOG2_E;
    float queries[WIDTH / 8][4], out[WIDTH / 8][4];
    NAME(stage)(head, VALUES(a, 0, head.looking), head.wide, head.first, keys);
    __syncthreads();
    NAME(take_rows)(keys, queries);
    for (int j = 0; j < WIDTH / 8; j++) {
        for (int e = 0; e < 4; e++) out[j][e] = 0.0f;
    }
    float largest[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
    for (int start = 0; start < head.n_pixels; start += TILE) {
        __syncthreads();
        NAME(stage)(head, of_keys, head.wide, start, keys);
        NAME(stage)(head, of_values, head.narrow, start, values);
        __syncthreads();
        float weights[TILE / 8][4];
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
            NAME(against)(queries, keys + 8 * n * ROW, weights[n]);
            for (int e = 0; e < 4; e++) {
                const int is_key = start + 8 * n + 2 * t + e % 2 < head.n_pixels;
                weights[n][e] = is_key ? factor * weights[n][e] : -INFINITY;
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float most = largest[half];
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) most = fmaxf(most, fmaxf(weights[n][2 * half], weights[n][2 * half + 1]));
            most = row_max(most);
            const float kept = exp2f(largest[half] - most);
            largest[half] = most;
            total[half] *= kept;
#pragma unroll
            for (int j = 0; j < WIDTH / 8; j++) out[j][2 * half] *= kept, out[j][2 * half + 1] *= kept;
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    weights[n][e] = exp2f(weights[n][e] - most);
                    total[half] += weights[n][e];
                }
            }
        }
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) NAME(mix)(weights[n], values + 8 * n * ROW, out);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        total[half] = row_sum(total[half]);
        const float share = 1.0f / total[half];
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++) out[j][2 * half] *= share, out[j][2 * half + 1] *= share;
        const int p = head.first + threadIdx.x / 32 * WARP_ROWS + threadIdx.x % 32 / 4 + 8 * half;
        if (t == 0 && p < head.n_pixels) a.buffers[3][head.sums + p] = largest[half] + log2f(total[half]);
    }
    NAME(write_rows)(head, VALUES(a, 2, head.values), head.narrow, out, 0);
}

// The gradient of queries. looking, values, out, dout, sums, dlooking, products [B, heads, P]: of out and dout.
__global__ void NAME(attend_gradient_queries)(Arguments a) {
    SHARED(float, shared);
    float *keys = shared, *values = shared + TILE * ROW;
    const int t = threadIdx.x % 4;
    const Head head = head_of(a);
    const Values of_keys = VALUES(a, 0, head.keys), of_values = VALUES(a, 1, head.values);
    const Values out = VALUES(a, 2, head.values), dout = VALUES(a, 3, head.values);
    const float factor = a.reals[0] * LOG2_E;
    float queries[WIDTH / 8][4], gradients[WIDTH / 8][4], found[WIDTH / 8][4];
    NAME(stage)(head, VALUES(a, 0, head.looking), head.wide, head.first, keys);
    NAME(stage)(head, dout, head.narrow, head.first, values);
    __syncthreads();
    NAME(take_rows)(keys, queries);
    NAME(take_rows)(values, gradients);
    for (int j = 0; j < WIDTH / 8; j++) {
        for (int e = 0; e < 4; e++) found[j][e] = 0.0f;
    }
    float sums[2], products[2];
    for (int half = 0; half < 2; half++) {
        const int p = head.first + threadIdx.x / 32 * WARP_ROWS + threadIdx.x % 32 / 4 + 8 * half;
        float product = 0.0f;
        if (p < head.n_pixels) {
            const size_t row = (size_t)p * head.narrow;
            for (int c = t; c < head.width; c += 4) product += get(out, row + c) * get(dout, row + c);
        }
        products[half] = row_sum(product);
        sums[half] = p < head.n_pixels ? a.buffers[4][head.sums + p] : INFINITY;
        if (t == 0 && p < head.n_pixels) a.buffers[6][head.sums + p] = products[half];
    }
    for (int start = 0; start < head.n_pixels; start += TILE) {
        __syncthreads();
        NAME(stage)(head, of_keys, head.wide, start, keys);
        NAME(stage)(head, of_values, head.narrow, start, values);
        __syncthreads();
        for (int n = 0; n < TILE / 8; n++) {
            float weights[4], slopes[4];
            NAME(against)(queries, keys + 8 * n * ROW, weights);
            NAME(against)(gradients, values + 8 * n * ROW, slopes);
            for (int e = 0; e < 4; e++) {
                const int is_key = start + 8 * n + 2 * t + e % 2 < head.n_pixels;
                const float weight = is_key ? exp2f(factor * weights[e] - sums[e / 2]) : 0.0f;
                slopes[e] = a.reals[0] * weight * (slopes[e] - products[e / 2]);
            }
            NAME(mix)(slopes, keys + 8 * n * ROW, found);
        }
    }
    NAME(write_rows)(head, VALUES(a, 5, head.looking), head.wide, found, a.numbers[5]);
}

// The gradients of keys and of values. looking, values, dout, sums, products, dlooking, dvalues.
__global__ void NAME(attend_gradient_keys)(Arguments a) {
    SHARED(float, shared);
    float *queries = shared, *gradients = shared + TILE * ROW, *sums = shared + 2 * TILE * ROW, *products = sums + TILE;
    const int t = threadIdx.x % 4;
    const Head head = head_of(a);
    const Values of_queries = VALUES(a, 0, head.looking), dout = VALUES(a, 2, head.values);
    const float factor = a.reals[0] * LOG2_E;
    float keys[WIDTH / 8][4], values[WIDTH / 8][4], of_keys[WIDTH / 8][4], of_values[WIDTH / 8][4];
    NAME(stage)(head, VALUES(a, 0, head.keys), head.wide, head.first, queries);
    NAME(stage)(head, VALUES(a, 1, head.values), head.narrow, head.first, gradients);
    __syncthreads();
    NAME(take_rows)(queries, keys);
    NAME(take_rows)(gradients, values);
    for (int j = 0; j < WIDTH / 8; j++) {
        for (int e = 0; e < 4; e++) of_keys[j][e] = of_values[j][e] = 0.0f;
    }
    for (int start = 0; start < head.n_pixels; start += TILE) {
        __syncthreads();
        NAME(stage)(head, of_queries, head.wide, start, queries);
        NAME(stage)(head, dout, head.narrow, start, gradients);
        for (int i = threadIdx.x; i < TILE; i += blockDim.x) {
            const int is_query = start + i < head.n_pixels;
            // A query that is not there looks nowhere.
            sums[i] = is_query ? a.buffers[3][head.sums + start + i] : INFINITY;
            products[i] = is_query ? a.buffers[4][head.sums + start + i] : 0.0f;
        }
        __syncthreads();
        for (int n = 0; n < TILE / 8; n++) {
            float weights[4], slopes[4];
            NAME(against)(keys, queries + 8 * n * ROW, weights);
            NAME(against)(values, gradients + 8 * n * ROW, slopes);
            for (int e = 0; e < 4; e++) {
                const int query = 8 * n + 2 * t + e % 2;
                weights[e] = exp2f(factor * weights[e] - sums[query]);
                slopes[e] = a.reals[0] * weights[e] * (slopes[e] - products[query]);
            }
            NAME(mix)(weights, gradients + 8 * n * ROW, of_values);
            NAME(mix)(slopes, queries + 8 * n * ROW, of_keys);
        }
    }
    NAME(write_rows)(head, VALUES(a, 5, head.keys), head.wide, of_keys, a.numbers[5]);
    NAME(write_rows)(head, VALUES(a, 6, head.values), head.narrow, of_values, a.numbers[6]);
}

KERNELS_END

#undef ROW
#undef NAME
