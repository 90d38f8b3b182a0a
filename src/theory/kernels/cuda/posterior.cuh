// Running posteriors of every query pixel over a patch dictionary, one displacement at a time.
//
// The specification is src/theory/kernels/reference.rs, the method that of boxes.rs and posterior.rs: for the
// displacement s = q - p the patch distances of all pairs (p, p + s) are window sums over one image of squared
// differences, and weights 2^((reference - distance) scale) are summed, where the reference may lag behind the nearest
// entry by `slack`. Entries farther than the nearest so far by `width` or more are skipped; together they are lighter
// than exp(-NEGLIGIBLE_NATS) of the whole weight, as derived in posterior.rs.
//
// A block is one query (blockIdx.y) and every gridDim.x-th training image. A thread owns the query pixels
// threadIdx.x, threadIdx.x + blockDim.x, ... Within an image sums are float, across images double.
//
// Written in what C and CUDA C++ share, so that tests/emulator can run this very file on the CPU. Whoever includes it
// defines PATCH_POSTERIOR, the kernel's name, and PIXELS_PER_THREAD.

#ifndef MOSAIC_POSTERIOR
#define MOSAIC_POSTERIOR

// More channels stay on the CPU.
#define CHANNELS_MAX 4

// Which partial sum is which; the channels' follow. Each is [pixels].
enum { REFERENCE, TOTAL, SPREAD, N_OTHERS };

// Accepted pairs along an axis of length L at one displacement (Pool::stretches): training places start .. start + len
// (mod L), each with the query place `shift` before it (mod L).
typedef struct {
    int shift, start, len;
} Stretch;

// A patch's offsets along an axis, -before .. after.
typedef struct {
    int before, after;
} Window;

typedef struct {
    int channels, height, width;
    int n_images;
    // Number of the first image in the whole dictionary.
    int first_image;
    int n_row_stretches, n_column_stretches;
    Window rows, columns;
    // Whether a patch ends at the image's border, or goes on at its other side.
    int cut;
    // Bits per squared distance, precision / ln 2.
    float scale;
    // Beyond the nearest by this much, an entry is skipped.
    float width_of_weights;
    // How far the reference may lag, as a squared distance.
    float slack;
} PosteriorPlan;

// (a + b) mod n for 0 <= a, b < n.
__device__ static inline int wrapped(int a, int b, int n) {
    int sum = a + b;
    return sum < n ? sum : sum - n;
}

// Whether training place q is among a stretch's, on an axis of length n.
__device__ static inline int is_accepted(Stretch stretch, int q, int n) {
    int place = q - stretch.start;
    return (place < 0 ? place + n : place) < stretch.len;
}

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
// Shared memory: 2 H W floats. Threads times PIXELS_PER_THREAD must be H W or more.
__global__ void PATCH_POSTERIOR(
    PosteriorPlan plan,
    const Stretch *row_stretches,
    const Stretch *column_stretches,
    const float *queries,
    const float *images,
    double *partial,
    float *nearest_distance,
    int *best
) {
    SHARED(float, shared);
    const int n_pixels = plan.height * plan.width;
    const int n_values = plan.channels * n_pixels;
    float *squares = shared;
    float *row_sums = shared + n_pixels;
    const float *x = queries + (size_t)blockIdx.y * n_values;
    const size_t block = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    double *kept = partial + block * (N_OTHERS + plan.channels) * n_pixels;
    float *kept_nearest = nearest_distance + block * n_pixels;
    int *kept_best = best + block * 2 * n_pixels;

    // Of this thread's pixels: what is nearest, and the sums within the present image.
    float nearest[PIXELS_PER_THREAD], reference[PIXELS_PER_THREAD];
    float total[PIXELS_PER_THREAD], spread[PIXELS_PER_THREAD];
    float sums[PIXELS_PER_THREAD][CHANNELS_MAX];
    int best_image[PIXELS_PER_THREAD], best_pixel[PIXELS_PER_THREAD];
    for (int i = 0; i < PIXELS_PER_THREAD; i++) {
        int p = threadIdx.x + i * blockDim.x;
        nearest[i] = reference[i] = INFINITY;
        total[i] = spread[i] = 0.0f;
        best_image[i] = best_pixel[i] = 0;
        for (int c = 0; c < CHANNELS_MAX; c++) sums[i][c] = 0.0f;
        if (p >= n_pixels) continue;
        for (int which = 0; which < N_OTHERS + plan.channels; which++) {
            kept[which * n_pixels + p] = which == REFERENCE ? INFINITY : 0.0;
        }
    }

    for (int n = blockIdx.x; n < plan.n_images; n += gridDim.x) {
        const float *image = images + (size_t)n * n_values;
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

                for (int i = 0; i < PIXELS_PER_THREAD; i++) {
                    int p = threadIdx.x + i * blockDim.x;
                    if (p >= n_pixels) break;
                    int row = wrapped(p / plan.width, rows.shift, plan.height);
                    int column = wrapped(p % plan.width, columns.shift, plan.width);
                    if (!is_accepted(rows, row, plan.height) || !is_accepted(columns, column, plan.width)) continue;
                    float distance =
                        window_sum(row_sums + column, plan.width, plan.rows, row, plan.height, plan.cut);
                    int q = row * plan.width + column;
                    if (distance < nearest[i]) {
                        nearest[i] = distance;
                        best_image[i] = plan.first_image + n;
                        best_pixel[i] = q;
                        if (distance < reference[i] - plan.slack || reference[i] == INFINITY) {
                            // 2^-inf = 0: nothing was summed under an infinite reference.
                            float bits = (distance - reference[i]) * plan.scale;
                            float scale = exp2f(bits);
                            spread[i] = scale * (total[i] > 0.0f ? spread[i] + total[i] * bits : 0.0f);
                            total[i] *= scale;
                            for (int c = 0; c < CHANNELS_MAX; c++) sums[i][c] *= scale;
                            reference[i] = distance;
                        }
                    }
                    if (distance - nearest[i] < plan.width_of_weights) {
                        float bits = (reference[i] - distance) * plan.scale;
                        float weight = exp2f(bits);
                        total[i] += weight;
                        spread[i] += weight * bits;
                        // Of constant length, so that the sums stay in registers.
                        for (int c = 0; c < CHANNELS_MAX; c++) {
                            if (c < plan.channels) sums[i][c] += weight * image[c * n_pixels + q];
                        }
                    }
                }
                // The next displacement overwrites what this one still reads.
                __syncthreads();
            }
        }

        // The image's sums join those of the images before, which may have another reference.
        for (int i = 0; i < PIXELS_PER_THREAD; i++) {
            int p = threadIdx.x + i * blockDim.x;
            if (p >= n_pixels || reference[i] == INFINITY) continue;
            double before = kept[REFERENCE * n_pixels + p];
            double bits = before == INFINITY ? 0.0 : ((double)reference[i] - before) * plan.scale;
            double scale = before == INFINITY ? 0.0 : exp2(bits);
            double old = kept[TOTAL * n_pixels + p];
            kept[SPREAD * n_pixels + p] = scale * (kept[SPREAD * n_pixels + p] + old * bits) + spread[i];
            kept[TOTAL * n_pixels + p] = scale * old + total[i];
            for (int c = 0; c < CHANNELS_MAX; c++) {
                if (c >= plan.channels) break;
                double *sum = kept + (N_OTHERS + c) * n_pixels + p;
                *sum = scale * *sum + sums[i][c];
                sums[i][c] = 0.0f;
            }
            kept[REFERENCE * n_pixels + p] = reference[i];
            total[i] = spread[i] = 0.0f;
        }
    }
    for (int i = 0; i < PIXELS_PER_THREAD; i++) {
        int p = threadIdx.x + i * blockDim.x;
        if (p >= n_pixels) break;
        kept_nearest[p] = nearest[i];
        kept_best[p] = best_image[i];
        kept_best[n_pixels + p] = best_pixel[i];
    }
}
