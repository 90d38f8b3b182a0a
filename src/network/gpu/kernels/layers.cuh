// What a training step does besides its matrix products and convolutions.

#ifndef MOSAIC_LAYERS
#define MOSAIC_LAYERS

#include "values.cuh"

// What becomes of a convolution's values.
enum { PLAIN, RELU, RESIDUAL };

// A block's threads over the channels, four each, and over rows.
typedef struct {
    int lane, row, n_rows, is_used;
} Tile;

__device__ static inline Tile tile_of(int channels) {
    const int n_lanes = channels / 4;
    Tile tile;
    tile.lane = threadIdx.x % n_lanes;
    tile.row = threadIdx.x / n_lanes;
    tile.n_rows = blockDim.x / n_lanes;
    tile.is_used = tile.row < tile.n_rows;
    return tile;
}

__device__ static inline int around(int place, int length) {
    while (place < 0) place += length;
    while (place >= length) place -= length;
    return place;
}

// Adds up `mine` over a tile's rows, four channels a thread, into `out`, which the threads of row 0 write.
// Shared memory: four floats a thread.
__device__ static inline void write_tile_sums(Tile tile, int channels, const float *mine, float *shared, float *out) {
    if (tile.is_used) {
        for (int i = 0; i < 4; i++) shared[(tile.row * (channels / 4) + tile.lane) * 4 + i] = mine[i];
    }
    __syncthreads();
    if (tile.is_used && tile.row == 0) {
        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int row = 0; row < tile.n_rows; row++) {
            for (int i = 0; i < 4; i++) sums[i] += shared[(row * (channels / 4) + tile.lane) * 4 + i];
        }
        PUT_QUAD(out + 4 * tile.lane, sums[0], sums[1], sums[2], sums[3]);
    }
}

KERNELS_BEGIN

// x [B, Ct, P] -> out [B, P, C]; channels beyond Ct are zero. P, Ct, C.
__global__ void enter(Arguments a) {
    const float *x = a.buffers[0];
    float *out = a.buffers[1];
    const int n_pixels = a.numbers[0], n_true = a.numbers[1], channels = a.numbers[2];
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= n_pixels) return;
    for (int c = 0; c < channels; c++) {
        const float value = c < n_true ? x[((size_t)blockIdx.y * n_true + c) * n_pixels + p] : 0.0f;
        out[((size_t)blockIdx.y * n_pixels + p) * channels + c] = value;
    }
}

// out = x + addend[b] inside the image, with a border of wrapped-around pixels.
// x [B, H, W, C], addend [B, stride], out [B, H + 2r, W + 2r, C]. H, W, C, r, stride, whether there is an addend.
__global__ void pad(Arguments a) {
    const int height = a.numbers[0], width = a.numbers[1], channels = a.numbers[2], radius = a.numbers[3];
    const int wide = width + 2 * radius, n_out = (height + 2 * radius) * wide;
    const Values x = VALUES(a, 0, (size_t)blockIdx.y * height * width * channels);
    const float *addend = a.buffers[1] + (size_t)blockIdx.y * a.numbers[4];
    const Values out = VALUES(a, 2, (size_t)blockIdx.y * n_out * channels);
    const Tile tile = tile_of(channels);
    if (!tile.is_used) return;
    float told[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (a.numbers[5]) {
        for (int i = 0; i < 4; i++) told[i] = addend[4 * tile.lane + i];
    }
    for (int p = blockIdx.x * tile.n_rows + tile.row; p < n_out; p += gridDim.x * tile.n_rows) {
        const int row = around(p / wide - radius, height), column = around(p % wide - radius, width);
        const float4 value = get_quad(x, ((size_t)row * width + column) * channels + 4 * tile.lane);
        put_quad(
            out, (size_t)p * channels + 4 * tile.lane,
            value.x + told[0], value.y + told[1], value.z + told[2], value.w + told[3]
        );
    }
}

// out = y + bias, relu(y + bias) or x + relu(y + bias). y, bias [C], x, out; all but bias [B, P, C]. P, C, form.
__global__ void finish(Arguments a) {
    const int n_pixels = a.numbers[0], channels = a.numbers[1], form = a.numbers[2];
    const float *bias = a.buffers[1];
    const Values plain = VALUES(a, 0, 0), before = VALUES(a, 2, 0), finished = VALUES(a, 3, 0);
    const Tile tile = tile_of(channels);
    if (!tile.is_used) return;
    const size_t image = (size_t)blockIdx.y * n_pixels * channels + 4 * tile.lane;
    QUAD(shift, bias + 4 * tile.lane);
    for (int p = blockIdx.x * tile.n_rows + tile.row; p < n_pixels; p += gridDim.x * tile.n_rows) {
        const size_t place = image + (size_t)p * channels;
        const float4 y = get_quad(plain, place);
        float out[4] = {y.x + shift.x, y.y + shift.y, y.z + shift.z, y.w + shift.w};
        if (form != PLAIN) {
            for (int i = 0; i < 4; i++) out[i] = fmaxf(out[i], 0.0f);
        }
        if (form == RESIDUAL) {
            const float4 x = get_quad(before, place);
            out[0] += x.x, out[1] += x.y, out[2] += x.z, out[3] += x.w;
        }
        put_quad(finished, place, out[0], out[1], out[2], out[3]);
    }
}

// dy = dout where the convolution's value was above zero, and its sums over pixels. dout, y (RELU: the finished values;
// RESIDUAL: the convolution's own), bias [C], dy (not written if PLAIN), sums [B, slices, C]. P, C, form.
// Shared memory: four floats a thread.
__global__ void finish_gradient(Arguments a) {
    SHARED(float, shared);
    const int n_pixels = a.numbers[0], channels = a.numbers[1], form = a.numbers[2];
    const Values dout = VALUES(a, 0, 0), convolved = VALUES(a, 1, 0), found = VALUES(a, 3, 0);
    const Tile tile = tile_of(channels);
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (tile.is_used) {
        const size_t image = (size_t)blockIdx.y * n_pixels * channels + 4 * tile.lane;
        float shift[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (form == RESIDUAL) {
            for (int i = 0; i < 4; i++) shift[i] = a.buffers[2][4 * tile.lane + i];
        }
        for (int p = blockIdx.x * tile.n_rows + tile.row; p < n_pixels; p += gridDim.x * tile.n_rows) {
            const size_t place = image + (size_t)p * channels;
            const float4 gradient = get_quad(dout, place);
            float dy[4] = {gradient.x, gradient.y, gradient.z, gradient.w};
            if (form != PLAIN) {
                const float4 y = get_quad(convolved, place);
                const float value[4] = {y.x, y.y, y.z, y.w};
                for (int i = 0; i < 4; i++) dy[i] = value[i] + shift[i] > 0.0f ? dy[i] : 0.0f;
                put_quad(found, place, dy[0], dy[1], dy[2], dy[3]);
            }
            for (int i = 0; i < 4; i++) sums[i] += dy[i];
        }
    }
    const size_t slice = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    write_tile_sums(tile, channels, sums, shared, a.buffers[4] + slice * channels);
}

// What bit of `fold`'s flags asks for what.
enum { FOLD_ADDS = 1, FOLD_RESIDUAL = 2, FOLD_SUMS = 4, FOLD_WRITES = 8 };

// dx = (dx if FOLD_ADDS) + (residual if FOLD_RESIDUAL) + dtold, the latter with its border folded back, and the sums of
// the latter alone over pixels. dtold [B, H + 2r, W + 2r, C], residual, dx (may be residual), sums [B, slices, C].
// H, W, C, r, flags. Shared memory: four floats a thread.
__global__ void fold(Arguments a) {
    SHARED(float, shared);
    const int height = a.numbers[0], width = a.numbers[1], channels = a.numbers[2], radius = a.numbers[3];
    const int flags = a.numbers[4], wide = width + 2 * radius, high = height + 2 * radius, n_pixels = height * width;
    const Values dtold = VALUES(a, 0, (size_t)blockIdx.y * high * wide * channels);
    const Values residual = VALUES(a, 1, 0), dx = VALUES(a, 2, 0);
    const Tile tile = tile_of(channels);
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (tile.is_used) {
        const size_t image = (size_t)blockIdx.y * n_pixels * channels + 4 * tile.lane;
        for (int p = blockIdx.x * tile.n_rows + tile.row; p < n_pixels; p += gridDim.x * tile.n_rows) {
            float folded[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (int y = (p / width + radius) % height; y < high; y += height) {
                for (int x = (p % width + radius) % width; x < wide; x += width) {
                    const float4 d = get_quad(dtold, ((size_t)y * wide + x) * channels + 4 * tile.lane);
                    folded[0] += d.x, folded[1] += d.y, folded[2] += d.z, folded[3] += d.w;
                }
            }
            for (int i = 0; i < 4; i++) sums[i] += folded[i];
            const size_t place = image + (size_t)p * channels;
            if (flags & FOLD_RESIDUAL) {
                const float4 d = get_quad(residual, place);
                folded[0] += d.x, folded[1] += d.y, folded[2] += d.z, folded[3] += d.w;
            }
            if (flags & FOLD_ADDS) {
                const float4 d = get_quad(dx, place);
                folded[0] += d.x, folded[1] += d.y, folded[2] += d.z, folded[3] += d.w;
            }
            if (flags & FOLD_WRITES) put_quad(dx, place, folded[0], folded[1], folded[2], folded[3]);
        }
    }
    if (flags & FOLD_SUMS) {
        const size_t slice = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
        write_tile_sums(tile, channels, sums, shared, a.buffers[3] + slice * channels);
    }
}

// out[b, c] (+)= sum over rows of rows[b, row, c]; a block is 16 channels. rows [B, n, C], out [B, stride].
// n, C, stride, whether to add. 256 threads; shared memory: four floats a thread.
__global__ void sum_rows(Arguments a) {
    SHARED(float, shared);
    const int n = a.numbers[0], channels = a.numbers[1];
    const int lane = threadIdx.x % 4, first = threadIdx.x / 4, n_rows = blockDim.x / 4;
    const int channel = 16 * blockIdx.x + 4 * lane;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (channel < channels) {
        const float *rows = a.buffers[0] + (size_t)blockIdx.y * n * channels + channel;
        for (int row = first; row < n; row += n_rows) {
            QUAD(value, rows + (size_t)row * channels);
            sums[0] += value.x, sums[1] += value.y, sums[2] += value.z, sums[3] += value.w;
        }
    }
    for (int i = 0; i < 4; i++) shared[4 * threadIdx.x + i] = sums[i];
    __syncthreads();
    int left = n_rows;
    while (left > 1) {
        const int half = (left + 1) / 2;
        if (first + half < left) {
            for (int i = 0; i < 4; i++) shared[4 * threadIdx.x + i] += shared[4 * (threadIdx.x + 4 * half) + i];
        }
        __syncthreads();
        left = half;
    }
    if (first == 0 && channel < channels) {
        float *out = a.buffers[1] + (size_t)blockIdx.y * a.numbers[2] + channel;
        for (int i = 0; i < 4; i++) out[i] = (a.numbers[3] ? out[i] : 0.0f) + shared[4 * threadIdx.x + i];
    }
}

// Group normalisation, with a ReLU after it if asked. A block is one image's group.
// x, gamma [C], beta [C], y, stats [B, G, 2]: mean and inverse deviation. P, C, channels a group, whether ReLU follows;
// epsilon. Threads: a multiple of the channels a group; shared memory: a float a thread.
__global__ void group_norm(Arguments a) {
    SHARED(float, shared);
    const int n_pixels = a.numbers[0], channels = a.numbers[1], per_group = a.numbers[2];
    const size_t image = ((size_t)blockIdx.y * n_pixels) * channels + (size_t)blockIdx.x * per_group;
    const Values x = VALUES(a, 0, image), y = VALUES(a, 3, image);
    const int c = threadIdx.x % per_group, first = threadIdx.x / per_group, n_rows = blockDim.x / per_group;
    const float n = (float)n_pixels * (float)per_group;
    float sum = 0.0f;
    for (int p = first; p < n_pixels; p += n_rows) sum += get(x, (size_t)p * channels + c);
    const float mean = block_sum(sum, shared) / n;
    float squares = 0.0f;
    for (int p = first; p < n_pixels; p += n_rows) {
        const float difference = get(x, (size_t)p * channels + c) - mean;
        squares += difference * difference;
    }
    const float inverse = 1.0f / sqrtf(block_sum(squares, shared) / n + a.reals[0]);
    const int channel = blockIdx.x * per_group + c;
    const float scale = a.buffers[1][channel] * inverse, shift = a.buffers[2][channel] - mean * scale;
    for (int p = first; p < n_pixels; p += n_rows) {
        const float value = get(x, (size_t)p * channels + c) * scale + shift;
        put(y, (size_t)p * channels + c, a.numbers[3] ? fmaxf(value, 0.0f) : value);
    }
    if (threadIdx.x == 0) {
        float *stats = a.buffers[4] + 2 * ((size_t)blockIdx.y * gridDim.x + blockIdx.x);
        stats[0] = mean;
        stats[1] = inverse;
    }
}

// The gradient of `group_norm`. x, gamma, y, dy, stats, dx, sums [B, 2, C]: of gamma and of beta.
// P, C, channels a group, whether ReLU followed, whether to add to dx. Threads and shared memory twice those of `group_norm`.
__global__ void group_norm_gradient(Arguments a) {
    SHARED(float, shared);
    const int n_pixels = a.numbers[0], channels = a.numbers[1], per_group = a.numbers[2];
    const size_t image = ((size_t)blockIdx.y * n_pixels) * channels + (size_t)blockIdx.x * per_group;
    const Values x = VALUES(a, 0, image), y = VALUES(a, 2, image), dy = VALUES(a, 3, image), dx = VALUES(a, 5, image);
    const float *stats = a.buffers[4] + 2 * ((size_t)blockIdx.y * gridDim.x + blockIdx.x);
    const float mean = stats[0], inverse = stats[1];
    const int c = threadIdx.x % per_group, first = threadIdx.x / per_group, n_rows = blockDim.x / per_group;
    float sum = 0.0f, product = 0.0f;
    for (int p = first; p < n_pixels; p += n_rows) {
        const size_t place = (size_t)p * channels + c;
        const float d = a.numbers[3] && !(get(y, place) > 0.0f) ? 0.0f : get(dy, place);
        sum += d;
        product += d * (get(x, place) - mean) * inverse;
    }
    float *sums = shared, *products = shared + blockDim.x;
    sums[threadIdx.x] = sum;
    products[threadIdx.x] = product;
    __syncthreads();
    int left = n_rows;
    while (left > 1) {
        const int half = (left + 1) / 2;
        if (first + half < left) {
            sums[threadIdx.x] += sums[threadIdx.x + half * per_group];
            products[threadIdx.x] += products[threadIdx.x + half * per_group];
        }
        __syncthreads();
        left = half;
    }
    const int channel = blockIdx.x * per_group + c;
    if (first == 0) {
        float *of_image = a.buffers[6] + (size_t)blockIdx.y * 2 * channels + channel;
        of_image[0] = products[c];
        of_image[channels] = sums[c];
    }
    const float *gamma = a.buffers[1] + blockIdx.x * per_group;
    float mean_sum = 0.0f, mean_product = 0.0f;
    for (int i = 0; i < per_group; i++) {
        mean_sum += gamma[i] * sums[i];
        mean_product += gamma[i] * products[i];
    }
    const float n = (float)n_pixels * (float)per_group;
    mean_sum /= n, mean_product /= n;
    for (int p = first; p < n_pixels; p += n_rows) {
        const size_t place = (size_t)p * channels + c;
        const float d = a.numbers[3] && !(get(y, place) > 0.0f) ? 0.0f : get(dy, place);
        const float found = inverse * (gamma[c] * d - mean_sum - (get(x, place) - mean) * inverse * mean_product);
        put(dx, place, a.numbers[4] ? get(dx, place) + found : found);
    }
}

// Each pixel's channels normalised, a warp a pixel. x, y [rows, C], inverse [rows]: the deviation's. rows, C, Ct;
// epsilon.
__global__ void pixel_norm(Arguments a) {
    const int n_rows = a.numbers[0], channels = a.numbers[1], n_true = a.numbers[2];
    const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int is_row = row < n_rows;
    const size_t place = (size_t)(is_row ? row : 0) * channels;
    const Values x = VALUES(a, 0, place), y = VALUES(a, 1, place);
    float sum = 0.0f;
    for (int c = lane; c < n_true; c += 32) sum += get(x, c);
    const float mean = warp_sum(sum) / n_true;
    float squares = 0.0f;
    for (int c = lane; c < n_true; c += 32) squares += (get(x, c) - mean) * (get(x, c) - mean);
    const float inverse = 1.0f / sqrtf(warp_sum(squares) / n_true + a.reals[0]);
    if (!is_row) return;
    for (int c = lane; c < channels; c += 32) put(y, c, c < n_true ? (get(x, c) - mean) * inverse : 0.0f);
    if (lane == 0) a.buffers[2][row] = inverse;
}

// The gradient of `pixel_norm`. y, inverse, dy, dx. rows, C, Ct, whether to add.
__global__ void pixel_norm_gradient(Arguments a) {
    const int n_rows = a.numbers[0], channels = a.numbers[1], n_true = a.numbers[2];
    const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int is_row = row < n_rows;
    const size_t place = (size_t)(is_row ? row : 0) * channels;
    const Values y = VALUES(a, 0, place), dy = VALUES(a, 2, place), dx = VALUES(a, 3, place);
    float sum = 0.0f, product = 0.0f;
    for (int c = lane; c < n_true; c += 32) sum += get(dy, c), product += get(dy, c) * get(y, c);
    sum = warp_sum(sum) / n_true;
    product = warp_sum(product) / n_true;
    if (!is_row) return;
    const float inverse = a.buffers[1][row];
    for (int c = lane; c < channels; c += 32) {
        const float found = c < n_true ? inverse * (get(dy, c) - sum - get(y, c) * product) : 0.0f;
        put(dx, c, a.numbers[3] ? get(dx, c) + found : found);
    }
}

// Rows of logits to weights, a warp a row. logits, weights (may be where logits are) [rows, P]. rows, P.
__global__ void softmax(Arguments a) {
    const int n_rows = a.numbers[0], n = a.numbers[1];
    const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int is_row = row < n_rows;
    const float *map = a.buffers[0] + (size_t)(is_row ? row : 0) * n;
    const Values weights = VALUES(a, 1, (size_t)(is_row ? row : 0) * n);
    float largest = -INFINITY;
    for (int i = lane; i < n; i += 32) largest = fmaxf(largest, map[i]);
    largest = warp_max(largest);
    float total = 0.0f;
    for (int i = lane; i < n; i += 32) total += expf(map[i] - largest);
    const float share = 1.0f / warp_sum(total);
    if (!is_row) return;
    for (int i = lane; i < n; i += 32) put(weights, i, expf(map[i] - largest) * share);
}

// The distance of pixels p and q of an image, the shortest way round where it is a torus.
__device__ static inline float apart(int p, int q, int height, int width, int is_torus) {
    int rows = abs(p / width - q / width), columns = abs(p % width - q % width);
    if (is_torus && 2 * rows > height) rows = height - rows;
    if (is_torus && 2 * columns > width) columns = width - columns;
    return sqrtf((float)(rows * rows + columns * columns));
}

// `softmax`, and for each row its entropy, its mean distance and its largest logit. maps [images, P, P], figures
// [images, stride], of which [3, P] are written. rows, P, width of an image, whether it is a torus, stride.
__global__ void watched_softmax(Arguments a) {
    const int n_rows = a.numbers[0], n = a.numbers[1], width = a.numbers[2], height = n / width;
    const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int is_row = row < n_rows, p = (is_row ? row : 0) % n;
    float *map = a.buffers[0] + (size_t)(is_row ? row : 0) * n;
    float largest = -INFINITY;
    for (int i = lane; i < n; i += 32) largest = fmaxf(largest, map[i]);
    largest = warp_max(largest);
    float total = 0.0f, slope = 0.0f, distance = 0.0f;
    for (int i = lane; i < n; i += 32) {
        const float below = map[i] - largest, weight = expf(below);
        total += weight;
        slope += weight * below;
        distance += weight * apart(p, i, height, width, a.numbers[3]);
    }
    total = warp_sum(total);
    slope = warp_sum(slope) / total;
    distance = warp_sum(distance) / total;
    if (!is_row) return;
    for (int i = lane; i < n; i += 32) map[i] = expf(map[i] - largest) / total;
    if (lane == 0) {
        float *figures = a.buffers[1] + (size_t)(row / n) * a.numbers[4] + p;
        figures[0] = logf(total) - slope;
        figures[n] = distance;
        figures[2 * n] = largest;
    }
}

// What each pixel receives of all rows on average. maps [images, P, P], out [images, stride], of which P are written. images, P,
// stride.
__global__ void received(Arguments a) {
    const int n = a.numbers[1];
    EACH(i, (size_t)a.numbers[0] * n) {
        const size_t image = i / n, r = i % n;
        const float *map = a.buffers[0] + image * n * n + r;
        float sum = 0.0f;
        for (int p = 0; p < n; p++) sum += map[(size_t)p * n];
        a.buffers[1][image * a.numbers[2] + r] = sum / n;
    }
}

// dS = scale A (dA - sum A dA). A, dA, dS (may be where dA is) [rows, P]. rows, P; scale.
__global__ void softmax_gradient(Arguments a) {
    const int n_rows = a.numbers[0], n = a.numbers[1];
    const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int is_row = row < n_rows;
    const size_t first = (size_t)(is_row ? row : 0) * n;
    const Values map = VALUES(a, 0, first), out = VALUES(a, 2, first);
    const float *gradient = a.buffers[1] + first;
    float sum = 0.0f;
    for (int i = lane; i < n; i += 32) sum += get(map, i) * gradient[i];
    sum = warp_sum(sum);
    if (!is_row) return;
    for (int i = lane; i < n; i += 32) put(out, i, a.reals[0] * get(map, i) * (gradient[i] - sum));
}

// out (+)= the mean of x over an image's pixels, at every pixel. x, out [B, P, C]. P, C, whether to add.
// A block is an image. Shared memory: five floats a thread.
__global__ void mean_pixels(Arguments a) {
    SHARED(float, shared);
    const int n_pixels = a.numbers[0], channels = a.numbers[1];
    const Values from = VALUES(a, 0, 0), to = VALUES(a, 1, 0);
    const Tile tile = tile_of(channels);
    float *means = shared + 4 * blockDim.x;
    const size_t image = (size_t)blockIdx.y * n_pixels * channels + 4 * tile.lane;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (tile.is_used) {
        for (int p = tile.row; p < n_pixels; p += tile.n_rows) {
            const float4 x = get_quad(from, image + (size_t)p * channels);
            sums[0] += x.x, sums[1] += x.y, sums[2] += x.z, sums[3] += x.w;
        }
    }
    write_tile_sums(tile, channels, sums, shared, means);
    __syncthreads();
    if (!tile.is_used) return;
    float mean[4];
    for (int i = 0; i < 4; i++) mean[i] = means[4 * tile.lane + i] / n_pixels;
    for (int p = tile.row; p < n_pixels; p += tile.n_rows) {
        const size_t place = image + (size_t)p * channels;
        for (int i = 0; i < 4; i++) put(to, place + i, a.numbers[2] ? get(to, place + i) + mean[i] : mean[i]);
    }
}

// y = max(x, 0). x, y. n.
__global__ void relu(Arguments a) {
    EACH(i, a.numbers[0]) a.buffers[1][i] = fmaxf(a.buffers[0][i], 0.0f);
}

// dx (+)= dy where y is above zero. y, dy, dx. n, whether to add.
__global__ void relu_gradient(Arguments a) {
    EACH(i, a.numbers[0]) {
        const float found = a.buffers[0][i] > 0.0f ? a.buffers[1][i] : 0.0f;
        a.buffers[2][i] = a.numbers[1] ? a.buffers[2][i] + found : found;
    }
}

// out = x + y. n.
__global__ void add_values(Arguments a) {
    const Values x = VALUES(a, 0, 0), y = VALUES(a, 1, 0), out = VALUES(a, 2, 0);
    EACH(i, a.numbers[0]) put(out, i, get(x, i) + get(y, i));
}

// y[row, c] += bias[c]. bias [C], y [rows, C]. n, C.
__global__ void add_to_rows(Arguments a) {
    EACH(i, a.numbers[0]) a.buffers[1][i] += a.buffers[0][i % a.numbers[1]];
}

// Columns of rows: out[row, first_out + c] (+)= x[row, first_in + c]. x, out. rows, n columns, row of x, first_in, row of
// out, first_out, whether to add.
__global__ void columns(Arguments a) {
    const int n = a.numbers[1];
    const Values x = VALUES(a, 0, 0), out = VALUES(a, 1, 0);
    EACH(i, (size_t)a.numbers[0] * n) {
        const size_t row = i / n, c = i % n, place = row * a.numbers[4] + a.numbers[5] + c;
        const float value = get(x, row * a.numbers[2] + a.numbers[3] + c);
        put(out, place, a.numbers[6] ? get(out, place) + value : value);
    }
}

// Largest of each 2x2 block. x [B, H, W, C], y. B, H, W, C.
__global__ void pool(Arguments a) {
    const int height = a.numbers[1] / 2, width = a.numbers[2] / 2, channels = a.numbers[3];
    const Values x = VALUES(a, 0, 0), y = VALUES(a, 1, 0);
    EACH(i, (size_t)a.numbers[0] * height * width * channels) {
        const size_t c = i % channels, column = i / channels % width, row = i / channels / width;
        const size_t first = (4 * row * width + 2 * column) * channels + c, below = first + 2 * width * channels;
        const float above = fmaxf(get(x, first), get(x, first + channels));
        put(y, i, fmaxf(above, fmaxf(get(x, below), get(x, below + channels))));
    }
}

// The first of the largest, in reading order, gets the gradient. x, dy, dx. B, H, W, C, whether to add.
__global__ void pool_gradient(Arguments a) {
    const int height = a.numbers[1] / 2, width = a.numbers[2] / 2, channels = a.numbers[3];
    const Values x = VALUES(a, 0, 0), dy = VALUES(a, 1, 0), dx = VALUES(a, 2, 0);
    EACH(i, (size_t)a.numbers[0] * height * width * channels) {
        const size_t c = i % channels, column = i / channels % width, row = i / channels / width;
        const size_t first = (4 * row * width + 2 * column) * channels + c, below = first + 2 * width * channels;
        const size_t places[4] = {first, first + channels, below, below + channels};
        int best = 0;
        for (int j = 1; j < 4; j++) {
            if (get(x, places[j]) > get(x, places[best])) best = j;
        }
        for (int j = 0; j < 4; j++) {
            const float found = j == best ? get(dy, i) : 0.0f;
            put(dx, places[j], a.numbers[4] ? get(dx, places[j]) + found : found);
        }
    }
}

// Four values a pixel to 2x2 pixels, plus bias. x [B, H, W, 4, C], bias [C], out [B, 2H, 2W, C]. B, H, W, C.
__global__ void deal(Arguments a) {
    const int width = a.numbers[2], channels = a.numbers[3];
    const Values x = VALUES(a, 0, 0), out = VALUES(a, 2, 0);
    EACH(i, (size_t)a.numbers[0] * a.numbers[1] * width * 4 * channels) {
        const size_t c = i % channels, column = i / channels % (2 * width), row = i / channels / (2 * width);
        const size_t quarter = 2 * (row % 2) + column % 2;
        const size_t pixel = row / 2 * width + column / 2;
        put(out, i, get(x, (pixel * 4 + quarter) * channels + c) + a.buffers[1][c]);
    }
}

// The other way round, without bias. dout [B, 2H, 2W, C], dx [B, H, W, 4, C]. B, H, W, C.
__global__ void deal_gradient(Arguments a) {
    const int width = a.numbers[2], channels = a.numbers[3];
    const Values dout = VALUES(a, 0, 0), dx = VALUES(a, 1, 0);
    EACH(i, (size_t)a.numbers[0] * a.numbers[1] * width * 4 * channels) {
        const size_t c = i % channels, column = i / channels % (2 * width), row = i / channels / (2 * width);
        const size_t quarter = 2 * (row % 2) + column % 2;
        const size_t pixel = row / 2 * width + column / 2;
        put(dx, (pixel * 4 + quarter) * channels + c, get(dout, i));
    }
}

// out = waves + table[label]. waves [B, width], labels [B], table [classes, width], out. B, width.
__global__ void classes(Arguments a) {
    const int width = a.numbers[1];
    EACH(i, (size_t)a.numbers[0] * width) {
        const size_t label = (size_t)a.buffers[1][i / width];
        a.buffers[3][i] = a.buffers[0][i] + a.buffers[2][label * width + i % width];
    }
}

// dtable[class] += the gradients of its images, in their order. dout [B, width], labels, dtable. B, width, classes.
__global__ void classes_gradient(Arguments a) {
    const int n = a.numbers[0], width = a.numbers[1];
    EACH(i, (size_t)a.numbers[2] * width) {
        float sum = 0.0f;
        for (int b = 0; b < n; b++) {
            if ((int)a.buffers[1][b] == (int)(i / width)) sum += a.buffers[0][(size_t)b * width + i % width];
        }
        a.buffers[2][i] += sum;
    }
}

KERNELS_END
#endif
