// Patch posteriors for any patch side and any image that fits into shared memory.
//
// Whoever includes this defines GENERAL_POSTERIOR, the kernel's name, PIXELS_PER_THREAD and THREADS_MAX.

#include "posterior.cuh"

#ifndef MOSAIC_GENERAL
#define MOSAIC_GENERAL

// The sum of `values`, `stride` apart, over a window around place q of an axis of length n.
__device__ static inline float window_sum(const float *values, int stride, Window window, int q, int n, int cut) {
    float sum = 0.0f;
    for (int offset = -window.before; offset <= window.after; offset++) {
        int place = q + offset;
        if (place < 0 || place >= n) {
            if (cut) continue;
            place = place < 0 ? place + n : place - n;
        }
        sum += values[place * stride];
    }
    return sum;
}

#endif

// queries [gridDim.y, C, H, W]: x_t / sqrt(abar). images [n_images, C, H, W]. partial
// [gridDim.y, gridDim.x, N_OTHERS + C, H W], nearest_distance [gridDim.y, gridDim.x, H W] and best [gridDim.y, gridDim.x,
// 2, H W] (image, training pixel) are written whole; a block without images leaves reference and distance infinite.
// Shared memory: (C + 2) H W floats. Threads times PIXELS_PER_THREAD must be H W or more.
__global__ void __launch_bounds__(THREADS_MAX) GENERAL_POSTERIOR(
    PosteriorPlan plan,
    const Stretch *row_stretches,
    const Stretch *column_stretches,
    const float *queries,
    const void *images,
    double *partial,
    float *nearest_distance,
    int *best
) {
    SHARED(float, shared);
    const int n_pixels = plan.height * plan.width;
    const int n_values = plan.channels * n_pixels;
    float *image = shared;
    float *squares = shared + n_values;
    float *row_sums = squares + n_pixels;
    const float *x = queries + (size_t)blockIdx.y * n_values;
    const size_t block = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    double *kept = partial + block * (N_OTHERS + plan.channels) * n_pixels;
    float *kept_nearest = nearest_distance + block * n_pixels;
    int *kept_best = best + block * 2 * n_pixels;

    PixelPosterior posteriors[PIXELS_PER_THREAD];
    // Image times pixels plus training pixel of the nearest entry; a launch has fewer than 2^32 of them.
    unsigned nearest_entries[PIXELS_PER_THREAD];
    #pragma unroll
    for (int i = 0; i < PIXELS_PER_THREAD; i++) {
        int p = threadIdx.x + i * blockDim.x;
        clear_posterior(&posteriors[i]);
        nearest_entries[i] = 0;
        if (p < n_pixels) clear_kept(kept + p, n_pixels, plan.channels);
    }

    for (int n = blockIdx.x; n < plan.n_images; n += gridDim.x) {
        for (int v = threadIdx.x; v < n_values; v += blockDim.x) {
            image[v] = image_value(images, (size_t)n * n_values + v, plan.is_bytes);
        }
        __syncthreads();
        for (int r = 0; r < plan.n_row_stretches; r++) {
            const Stretch rows = row_stretches[r];
            for (int s = 0; s < plan.n_column_stretches; s++) {
                const Stretch columns = column_stretches[s];

                // squares[q] = sum_c (x[c, q - s] - phi[c, q])^2
                for (int q = threadIdx.x; q < n_pixels; q += blockDim.x) {
                    int row = wrapped(q / plan.width, (plan.height - rows.shift) % plan.height, plan.height);
                    int column = wrapped(q % plan.width, (plan.width - columns.shift) % plan.width, plan.width);
                    int p = row * plan.width + column;
                    float sum = 0.0f;
                    for (int c = 0; c < plan.channels; c++) {
                        float difference = x[c * n_pixels + p] - image[c * n_pixels + q];
                        sum += difference * difference;
                    }
                    squares[q] = sum;
                }
                __syncthreads();
                for (int q = threadIdx.x; q < n_pixels; q += blockDim.x) {
                    const float *line = squares + q / plan.width * plan.width;
                    row_sums[q] = window_sum(line, 1, plan.columns, q % plan.width, plan.width, plan.cut);
                }
                __syncthreads();

                #pragma unroll
                for (int i = 0; i < PIXELS_PER_THREAD; i++) {
                    int p = threadIdx.x + i * blockDim.x;
                    if (p >= n_pixels) continue;
                    int row = wrapped(p / plan.width, rows.shift, plan.height);
                    int column = wrapped(p % plan.width, columns.shift, plan.width);
                    if (!is_accepted(rows, row, plan.height) || !is_accepted(columns, column, plan.width)) continue;
                    float distance =
                        window_sum(row_sums + column, plan.width, plan.rows, row, plan.height, plan.cut);
                    PixelPosterior *posterior = &posteriors[i];
                    int q = row * plan.width + column;
                    if (distance < posterior->nearest) {
                        note_nearest(posterior, distance, plan.channels, plan.scale);
                        nearest_entries[i] = (unsigned)n * n_pixels + q;
                    }
                    const float gap = distance - posterior->nearest;
                    if (gap < plan.width_of_weights) {
                        float weight = add_weight(posterior, gap, plan.scale);
                        for (int c = 0; c < CHANNELS_MAX; c++) {
                            if (c < plan.channels) posterior->sums[c] += weight * image[c * n_pixels + q];
                        }
                    }
                }
                // The next displacement overwrites what this one still reads.
                __syncthreads();
            }
        }
        #pragma unroll
        for (int i = 0; i < PIXELS_PER_THREAD; i++) {
            int p = threadIdx.x + i * blockDim.x;
            const double reference = (double)posteriors[i].nearest * plan.scale;
            if (p < n_pixels) flush_posterior(&posteriors[i], reference, kept + p, n_pixels, plan.channels);
        }
    }
    #pragma unroll
   for (int i = 0; i < PIXELS_PER_THREAD; i++) {
        int p = threadIdx.x + i * blockDim.x;
        if (p >= n_pixels) continue;
        kept_nearest[p] = posteriors[i].nearest;
        kept_best[p] = plan.first_image + (int)(nearest_entries[i] / n_pixels);
        kept_best[n_pixels + p] = (int)(nearest_entries[i] % n_pixels);
    }
}
