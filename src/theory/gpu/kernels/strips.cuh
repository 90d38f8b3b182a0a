// Patch posteriors of small images with everything in registers, for one patch side and number of channels.
//
// A thread owns ROWS x COLUMNS query pixels: their values, their posteriors, and the values of the training pixels that
// they meet. The threads of a row sum squared differences along it by exchanging registers; rows are summed through
// shared memory. Displacements are worked on TOGETHER at a time, between two barriers; shared memory holds the row sums
// of twice as many, so that one barrier is enough for them. From one row stretch to the next the training rows move up
// by one, so that each thread reads one row, not ROWS.
//
// Whoever includes this defines STRIP_POSTERIOR, the kernel's name, SIDE, the odd patch side k >= 3, N_CHANNELS,
// IS_WHOLE, whether patches go on at an image's other side and all pairs are accepted (else the plan says which are),
// HAS_ALL, whether entropy and the nearest entry are wanted besides the mean, PIXELS_MAX, THREADS_MAX, TOGETHER, 1 or, of whole dictionaries, 2, and BLOCKS, how many blocks are to share a multiprocessor's registers.
// Images: height a multiple of ROWS, width of COLUMNS and at most 32 COLUMNS, both at least SIDE.

#include "posterior.cuh"

#ifndef MOSAIC_STRIPS
#define MOSAIC_STRIPS

#define ROWS 4
#define COLUMNS 2
#define WIDTH_MAX (32 * COLUMNS)
#define ALL_LANES 0xffffffffu

// What the threads are to each other.
typedef struct {
    // Of a warp: lanes a row of pixels, and groups of ROWS rows.
    int row_lanes, warp_groups;
    // This thread's place among its row's, and its first row.
    int place, row;
    // Whether it has pixels at all.
    int has_pixels;
} StripThread;

__device__ static inline StripThread strip_thread(int height, int width, int thread) {
    StripThread it;
    it.row_lanes = width / COLUMNS;
    it.warp_groups = 32 / it.row_lanes;
    int lane = thread % 32, group = lane / it.row_lanes;
    it.place = lane % it.row_lanes;
    it.row = (thread / 32 * it.warp_groups + group) * ROWS;
    it.has_pixels = group < it.warp_groups && it.row < height;
    return it;
}

// A distance in bits, and a little less: so that no rounding makes an equal one look nearer.
__device__ static inline float lowered_bits(float distance, float scale) {
    const float bits = distance * scale;
    return fmaf(bits, -2.4e-7f, bits);
}

// Takes in an entry that is nearer than all before by `nearer` bits, if that is more than nothing. Of a pixel's posterior
// `nearest` is what its weights refer to, in bits.
__device__ static inline void refer_to_nearer(PixelPosterior *posterior, float nearer, float distance, float scale) {
    const float reference = nearer > 0.0f ? lowered_bits(distance, scale) : posterior->nearest;
    // Before the first entry nothing was summed: any factor will do, but no infinity.
    const float bits = nearer > 0.0f ? fmaxf(reference - posterior->nearest, -BITS_MAX) : 0.0f;
    const float factor = exp2f(bits);
    posterior->spread = factor * fmaf(posterior->total, bits, posterior->spread);
    posterior->total *= factor;
    for (int c = 0; c < CHANNELS_MAX; c++) posterior->sums[c] *= factor;
    posterior->nearest = reference;
}

#endif

// Stretch `number` of an axis; of a whole dictionary they are every shift in turn.
#if IS_WHOLE
#define STRETCH(all, number, length) {number, 0, length}
#else
#define STRETCH(all, number, length) all[number]
#endif

// Rows that displacements worked on together need, and a multiple of TOGETHER.
#define RING (TOGETHER == 1 ? ROWS : ROWS + 2)
#define RADIUS (SIDE / 2)
// Pairs of columns on each side of a thread's own that a patch can reach.
#define REACH ((RADIUS + 1) / 2)

// Row sums of one displacement, with a row of zeros.
#define N_ROW_SUMS (PIXELS_MAX + WIDTH_MAX)

// As the general kernel, but for the nearest distance, which is a little less, what is not wanted - spread is zero, `best` is the
// first entry - and shared memory: two copies of an image, 2 TOGETHER of row sums and, if all is wanted, each thread's nearest
// entries, 2 N_CHANNELS PIXELS_MAX + 2 TOGETHER N_ROW_SUMS + HAS_ALL ROWS COLUMNS THREADS_MAX floats. Threads: 32 for every 32 / (W / COLUMNS) groups of ROWS rows.
__global__ void __launch_bounds__(THREADS_MAX, BLOCKS) STRIP_POSTERIOR(
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
    const int height = plan.height, width = plan.width, n_pixels = height * width;
    const int n_values = N_CHANNELS * n_pixels;
    // The image, and the image moved by one column, in which pairs that begin at an odd column are aligned.
    float *even = shared, *odd = shared + N_CHANNELS * PIXELS_MAX;
    float *row_sums = shared + 2 * N_CHANNELS * PIXELS_MAX;
    // Image times pixels plus training pixel, which is rarely changed; a launch has fewer than 2^32 of them.
#if HAS_ALL
    unsigned *nearest_entries = (unsigned *)(row_sums + 2 * TOGETHER * N_ROW_SUMS) + threadIdx.x;
#endif
    // Weights of fewer bits than this are skipped.
    const float least_bits = -plan.width_of_weights * plan.scale;
    const StripThread my = strip_thread(height, width, threadIdx.x);
    const int column = my.place * COLUMNS;
    const size_t block = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    double *kept = partial + block * (N_OTHERS + N_CHANNELS) * n_pixels;

    // Lanes of the pairs of columns to the left and to the right, or this lane's own where there are none.
    int left_lane[REACH], right_lane[REACH];
    int has_left[REACH], has_right[REACH];
    const int cut = !IS_WHOLE && plan.cut;
    const int first_lane = threadIdx.x % 32 - my.place;
    for (int j = 0; j < REACH; j++) {
        int left = my.place - 1 - j, right = my.place + 1 + j;
        has_left[j] = left >= 0 || !cut;
        has_right[j] = right < my.row_lanes || !cut;
        left = left < 0 ? left + my.row_lanes : left;
        right = right >= my.row_lanes ? right - my.row_lanes : right;
        // Lanes without pixels are a warp's last ones and may have fewer neighbours than a row has.
        left_lane[j] = my.has_pixels ? first_lane + left : threadIdx.x % 32;
        right_lane[j] = my.has_pixels ? first_lane + right : threadIdx.x % 32;
    }
    // Where the row sums above and below this thread's rows are; the row of zeros stands for those outside.
    int above[RADIUS], below[RADIUS];
    for (int j = 0; j < RADIUS; j++) {
        int up = my.row - 1 - j, down = my.row + ROWS + j;
        if (cut) {
            up = up < 0 ? height : up;
            down = down >= height ? height : down;
        } else {
            up = up < 0 ? up + height : up;
            down = down >= height ? down - height : down;
        }
        above[j] = up * width + column;
        below[j] = down * width + column;
    }

    PixelPosterior posteriors[ROWS][COLUMNS];
    float x[ROWS][COLUMNS][N_CHANNELS];
    #pragma unroll
    for (int i = 0; i < ROWS; i++) {
        #pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            int p = (my.row + i) * width + column + j;
            clear_posterior(&posteriors[i][j]);
#if HAS_ALL
            nearest_entries[(i * COLUMNS + j) * THREADS_MAX] = 0;
#endif
            #pragma unroll
            for (int c = 0; c < N_CHANNELS; c++) {
                x[i][j][c] = my.has_pixels ? queries[(size_t)blockIdx.y * n_values + c * n_pixels + p] : 0.0f;
            }
            if (my.has_pixels) clear_kept(kept + p, n_pixels, N_CHANNELS);
        }
    }
    for (int i = threadIdx.x; i < 2 * TOGETHER * width; i += blockDim.x) {
        row_sums[(i / width) * N_ROW_SUMS + n_pixels + i % width] = 0.0f;
    }

    for (int n = blockIdx.x; n < plan.n_images; n += gridDim.x) {
        // Nobody reads the image before any more: that ends before the last displacement's barrier.
        for (int v = threadIdx.x; v < n_values; v += blockDim.x) {
            float value = image_value(images, (size_t)n * n_values + v, plan.is_bytes);
            int at = v % width, place = v / n_pixels * PIXELS_MAX + v % n_pixels;
            even[place] = value;
            odd[place - at + (at == 0 ? width - 1 : at - 1)] = value;
        }
        __syncthreads();
        for (int s = 0; s < plan.n_column_stretches; s++) {
            const Stretch columns = STRETCH(column_stretches, s, width);
            // Training columns of this thread's pixels, and which of them count.
            const int training_column = wrapped(column, columns.shift, width);
            const int next_column = wrapped(training_column, 1, width);
            const int is_in[COLUMNS] = {
                is_accepted(columns, training_column, width),
                is_accepted(columns, next_column, width),
            };
            const float *training = training_column % 2 == 0 ? even + training_column : odd + training_column - 1;
            // The training rows in a ring; row i of a displacement is phi[(first + i) % RING].
            float phi[RING][COLUMNS][N_CHANNELS];
            int present = -1, turn = 0;
            for (int r = 0; r < plan.n_row_stretches; r += RING) {
                // As often as the ring has rows, so that `first` is a constant and phi stays in registers.
                #pragma unroll
                for (int first = 0; first < RING; first += TOGETHER) {
                    if (r + first >= plan.n_row_stretches) break;
                    float *these = row_sums + turn * TOGETHER * N_ROW_SUMS;
                    turn = 1 - turn;
                    Stretch rows[TOGETHER];
                    float sums[TOGETHER][ROWS][COLUMNS];
                    #pragma unroll
                    for (int t = 0; t < TOGETHER; t++) {
                        rows[t] = (Stretch)STRETCH(row_stretches, r + first + t, height);
                        // All rows but the last are there already if the stretch before was one row up.
                        const int is_next = IS_WHOLE ? r + first + t > 0
                                                     : present >= 0 && wrapped(present, 1, height) == rows[t].shift;
                        present = rows[t].shift;
                        #pragma unroll
                        for (int i = 0; i < ROWS; i++) {
                            if (is_next && i < ROWS - 1) continue;
                            int line = my.has_pixels ? wrapped(my.row + i, rows[t].shift, height) : 0;
                            #pragma unroll
                            for (int c = 0; c < N_CHANNELS; c++) {
                                PAIR(pair, training + c * PIXELS_MAX + line * width);
                                phi[(first + t + i) % RING][0][c] = pair.x;
                                phi[(first + t + i) % RING][1][c] = pair.y;
                            }
                        }

                        // Sums of squared differences along rows.
                        #pragma unroll
                        for (int i = 0; i < ROWS; i++) {
                            float square[COLUMNS];
                            #pragma unroll
                            for (int j = 0; j < COLUMNS; j++) {
                                #pragma unroll
                                for (int c = 0; c < N_CHANNELS; c++) {
                                    float difference = x[i][j][c] - phi[(first + t + i) % RING][j][c];
                                    square[j] =
                                        c == 0 ? difference * difference : fmaf(difference, difference, square[j]);
                                }
                            }
                            // Whole pairs that both windows hold, then what only one of them does.
                            float pair = square[0] + square[1], common = pair;
                            float left = 0.0f, right = 0.0f;
                            #pragma unroll
                            for (int d = 0; d < REACH; d++) {
                                const int is_last = d == REACH - 1;
                                if (!is_last) {
                                    float a = __shfl_sync(ALL_LANES, pair, left_lane[d]);
                                    float b = __shfl_sync(ALL_LANES, pair, right_lane[d]);
                                    common += (has_left[d] ? a : 0.0f) + (has_right[d] ? b : 0.0f);
                                } else if (RADIUS % 2 == 1) {
                                    float a = __shfl_sync(ALL_LANES, square[1], left_lane[d]);
                                    float b = __shfl_sync(ALL_LANES, square[0], right_lane[d]);
                                    left = has_left[d] ? a : 0.0f;
                                    right = has_right[d] ? b : 0.0f;
                                } else {
                                    float a = __shfl_sync(ALL_LANES, pair, left_lane[d]);
                                    float a_last = __shfl_sync(ALL_LANES, square[1], left_lane[d]);
                                    float b = __shfl_sync(ALL_LANES, pair, right_lane[d]);
                                    float b_first = __shfl_sync(ALL_LANES, square[0], right_lane[d]);
                                    left = (has_left[d] ? a : 0.0f) + (has_right[d] ? b_first : 0.0f);
                                    right = (has_left[d] ? a_last : 0.0f) + (has_right[d] ? b : 0.0f);
                                }
                            }
                            sums[t][i][0] = common + left;
                            sums[t][i][1] = common + right;
                            if (my.has_pixels) {
                                PUT_PAIR(these + t * N_ROW_SUMS + (my.row + i) * width + column, sums[t][i]);
                            }
                        }
                    }
                    __syncthreads();

                    #pragma unroll
                    for (int t = 0; t < TOGETHER; t++) {
                        // Sums of those along columns: rows -RADIUS .. ROWS - 1 + RADIUS of this thread.
                        const float *lines_of = these + t * N_ROW_SUMS;
                        float distances[ROWS][COLUMNS];
                        float outer[2][RADIUS][COLUMNS];
                        #pragma unroll
                        for (int d = 0; d < RADIUS; d++) {
                            PAIR(up, lines_of + (my.has_pixels ? above[d] : 0));
                            PAIR(down, lines_of + (my.has_pixels ? below[d] : 0));
                            outer[0][d][0] = up.x, outer[0][d][1] = up.y;
                            outer[1][d][0] = down.x, outer[1][d][1] = down.y;
                        }
                        #pragma unroll
                        for (int j = 0; j < COLUMNS; j++) {
                            // The window of row i is lines[i] .. lines[i + SIDE - 1]; all hold lines[3] .. lines[SIDE - 1].
                            float lines[ROWS - 1 + SIDE];
                            #pragma unroll
                            for (int d = 0; d < RADIUS; d++) {
                                lines[RADIUS - 1 - d] = outer[0][d][j];
                                lines[RADIUS + ROWS + d] = outer[1][d][j];
                            }
                            #pragma unroll
                            for (int i = 0; i < ROWS; i++) lines[RADIUS + i] = sums[t][i][j];
                            float middle = SIDE < ROWS ? 0.0f : lines[ROWS - 1];
                            #pragma unroll
                            for (int d = ROWS; d < SIDE; d++) middle += lines[d];
                            distances[ROWS - 1][j] = middle;
                            #pragma unroll
                            for (int i = ROWS - 2; i >= 0; i--) distances[i][j] = distances[i + 1][j] + lines[i];
                            float after = lines[SIDE];
                            distances[1][j] += after;
                            #pragma unroll
                            for (int i = 2; i < ROWS; i++) {
                                after += lines[SIDE - 1 + i];
                                distances[i][j] += after;
                            }
                        }

                        // The rare and the many apart: nearer than all before, and near enough to count.
                        float bits[ROWS][COLUMNS], largest[ROWS];
                        #pragma unroll
                        for (int i = 0; i < ROWS; i++) {
                            #pragma unroll
                            for (int j = 0; j < COLUMNS; j++) {
                                const int line = IS_WHOLE ? 0 : wrapped(my.row + i, rows[t].shift, height);
                                if (!IS_WHOLE && !(is_in[j] && is_accepted(rows[t], line, height))) {
                                    distances[i][j] = INFINITY;
                                }
                                // No number where nothing was accepted yet and this is not either.
                                bits[i][j] = fmaf(distances[i][j], -plan.scale, posteriors[i][j].nearest);
                            }
                            largest[i] = fmaxf(bits[i][0], bits[i][1]);
                        }
                        const float most = fmaxf(fmaxf(largest[0], largest[1]), fmaxf(largest[2], largest[3]));
                        if (most > 0.0f) {
                            #pragma unroll
                            for (int i = 0; i < ROWS; i++) {
                                #pragma unroll
                                for (int j = 0; j < COLUMNS; j++) {
#if HAS_ALL
                                    const int line = wrapped(my.row + i, rows[t].shift, height);
                                    const unsigned q = line * width + (j == 0 ? training_column : next_column);
                                    if (bits[i][j] > 0.0f) {
                                        nearest_entries[(i * COLUMNS + j) * THREADS_MAX] = (unsigned)n * n_pixels + q;
                                    }
#endif
                                    refer_to_nearer(&posteriors[i][j], bits[i][j], distances[i][j], plan.scale);
                                    if (bits[i][j] > 0.0f) {
                                        bits[i][j] = fmaf(distances[i][j], -plan.scale, posteriors[i][j].nearest);
                                    }
                                }
                            }
                        }
                        // At little noise nobody is near. Where one pair is, all are added: less work than to ask each,
                        // and what is far weighs next to nothing.
                        if (!(most > least_bits)) continue;
                        #pragma unroll
                        for (int i = 0; i < ROWS; i++) {
                            #pragma unroll
                            for (int j = 0; j < COLUMNS; j++) {
                                // Not accepted, which leaves no number or an infinite one.
                                if (!IS_WHOLE && !(bits[i][j] > -INFINITY)) continue;
                                PixelPosterior *posterior = &posteriors[i][j];
                                const float weight = exp2f(bits[i][j]);
                                posterior->total += weight;
                                if (HAS_ALL) posterior->spread = fmaf(weight, bits[i][j], posterior->spread);
                                #pragma unroll
                                for (int c = 0; c < N_CHANNELS; c++) {
                                    posterior->sums[c] =
                                        fmaf(weight, phi[(first + t + i) % RING][j][c], posterior->sums[c]);
                                }
                            }
                        }
                    }
                }
            }
            // The next column begins with the first row sums again.
            __syncthreads();
        }
        #pragma unroll
        for (int i = 0; i < ROWS; i++) {
            #pragma unroll
            for (int j = 0; j < COLUMNS; j++) {
                int p = (my.row + i) * width + column + j;
                const double reference = posteriors[i][j].nearest;
                if (my.has_pixels) flush_posterior(&posteriors[i][j], reference, kept + p, n_pixels, N_CHANNELS);
            }
        }
    }
    if (!my.has_pixels) return;
    #pragma unroll
    for (int i = 0; i < ROWS; i++) {
        #pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            int p = (my.row + i) * width + column + j;
#if HAS_ALL
            const unsigned entry = nearest_entries[(i * COLUMNS + j) * THREADS_MAX];
#else
            const unsigned entry = 0;
#endif
            nearest_distance[block * n_pixels + p] = posteriors[i][j].nearest / plan.scale;
            best[block * 2 * n_pixels + p] = plan.first_image + (int)(entry / n_pixels);
            best[block * 2 * n_pixels + n_pixels + p] = (int)(entry % n_pixels);
        }
    }
}

#undef STRETCH
#undef RING
#undef RADIUS
#undef REACH
#undef N_ROW_SUMS
// What named this kernel; the next one has names of its own.
#undef STRIP_POSTERIOR
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL
#undef TOGETHER
#undef BLOCKS
