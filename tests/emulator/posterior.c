/* The posterior kernel on the CPU: a launch from standard input, what its blocks found to standard output. */
#include "emulator.h"

#define PATCH_POSTERIOR patch_posterior
#define PIXELS_PER_THREAD 4
#include "../../src/theory/kernels/cuda/posterior.cuh"

static struct {
    PosteriorPlan plan;
    int n_queries, n_threads, n_blocks;
} launch;
static Stretch *row_stretches, *column_stretches;
static float *queries, *images, *nearest;
static double *partial;
static int *best;

static void call(void) {
    patch_posterior(launch.plan, row_stretches, column_stretches, queries, images, partial, nearest, best);
}

static void *input(size_t n_bytes) {
    void *place = malloc(n_bytes + 1);
    if (fread(place, 1, n_bytes, stdin) != n_bytes) {
        fprintf(stderr, "the launch ends early\n");
        exit(1);
    }
    return place;
}

static void *poisoned(size_t n_bytes) { return memset(malloc(n_bytes), 0xff, n_bytes); }

int main(void) {
    memcpy(&launch, input(sizeof launch), sizeof launch);
    const PosteriorPlan *plan = &launch.plan;
    const size_t n_pixels = (size_t)plan->height * plan->width, n_values = n_pixels * plan->channels;
    row_stretches = input(plan->n_row_stretches * sizeof(Stretch));
    column_stretches = input(plan->n_column_stretches * sizeof(Stretch));
    queries = input(launch.n_queries * n_values * sizeof(float));
    images = input(plan->n_images * n_values * sizeof(float));
    const size_t n_found = (size_t)launch.n_queries * launch.n_blocks * n_pixels;
    const size_t n_sums = n_found * (N_OTHERS + plan->channels);
    partial = poisoned(n_sums * sizeof(double));
    nearest = poisoned(n_found * sizeof(float));
    best = poisoned(2 * n_found * sizeof(int));
    kernel_call = call;
    blockDim.x = launch.n_threads, gridDim.x = launch.n_blocks, gridDim.y = launch.n_queries;
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++) {
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) run_block(2 * n_pixels * sizeof(float));
    }
    fwrite(partial, sizeof(double), n_sums, stdout);
    fwrite(nearest, sizeof(float), n_found, stdout);
    fwrite(best, sizeof(int), 2 * n_found, stdout);
    return 0;
}
