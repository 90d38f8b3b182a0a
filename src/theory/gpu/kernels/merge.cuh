// One posterior a query out of what its blocks found, in the order of the blocks.

#include "posterior.cuh"

// A thread is one pixel of query blockIdx.y. partial, nearest_distance and best as the posterior kernels leave them for
// `n_blocks` blocks a query; the same for one block a query into merged, merged_nearest and merged_best.
__global__ void merge_posteriors(
    int n_blocks,
    int channels,
    int n_pixels,
    const double *partial,
    const float *nearest_distance,
    const int *best,
    double *merged,
    float *merged_nearest,
    int *merged_best
) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= n_pixels) return;
    const int n_sums = N_OTHERS + channels;
    double sums[N_OTHERS + CHANNELS_MAX];
    for (int which = 0; which < N_OTHERS + CHANNELS_MAX; which++) sums[which] = 0.0;
    sums[REFERENCE] = INFINITY;
    float nearest = INFINITY;
    int image = 0, pixel = 0;
    for (int b = 0; b < n_blocks; b++) {
        const size_t block = (size_t)blockIdx.y * n_blocks + b;
        const double *found = partial + block * n_sums * n_pixels + p;
        if (found[REFERENCE * n_pixels] == INFINITY) continue;
        // The lower reference - the nearer entry's - stands, so that no weight overflows.
        double ours = sums[REFERENCE], theirs = found[REFERENCE * n_pixels];
        double reference = ours < theirs ? ours : theirs;
        double our_bits = ours == INFINITY ? 0.0 : reference - ours, their_bits = reference - theirs;
        double our_factor = ours == INFINITY ? 0.0 : exp2(our_bits), their_factor = exp2(their_bits);
        double total = found[TOTAL * n_pixels];
        sums[SPREAD] = our_factor * (sums[SPREAD] + sums[TOTAL] * our_bits) +
                       their_factor * (found[SPREAD * n_pixels] + total * their_bits);
        sums[TOTAL] = our_factor * sums[TOTAL] + their_factor * total;
        for (int c = 0; c < CHANNELS_MAX; c++) {
            if (c >= channels) break;
            sums[N_OTHERS + c] =
                our_factor * sums[N_OTHERS + c] + their_factor * found[(N_OTHERS + c) * n_pixels];
        }
        sums[REFERENCE] = reference;
        if (nearest_distance[block * n_pixels + p] < nearest) {
            nearest = nearest_distance[block * n_pixels + p];
            image = best[(block * 2) * n_pixels + p];
            pixel = best[(block * 2 + 1) * n_pixels + p];
        }
    }
    double *out = merged + (size_t)blockIdx.y * n_sums * n_pixels + p;
    for (int which = 0; which < N_OTHERS + CHANNELS_MAX; which++) {
        if (which < n_sums) out[which * n_pixels] = sums[which];
    }
    merged_nearest[(size_t)blockIdx.y * n_pixels + p] = nearest;
    merged_best[((size_t)blockIdx.y * 2) * n_pixels + p] = image;
    merged_best[((size_t)blockIdx.y * 2 + 1) * n_pixels + p] = pixel;
}
