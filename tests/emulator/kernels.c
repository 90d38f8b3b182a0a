/* One launch of a posterior kernel and of the one that merges its blocks, from standard input to standard output.
 * SIDE is 0 for the general kernels and the patch side of the others. */
#include "emulator.h"

#if SIDE == 0
#include "../../src/theory/card/kernels/general.cu"
#else
#include "../../src/theory/card/kernels/merge.cuh"
#include "../../src/theory/card/kernels/strips.cu"
#endif

typedef void Posterior(
    PosteriorPlan, const Stretch *, const Stretch *, const float *, const void *, double *, float *, int *
);

static const struct {
    const char *name;
    Posterior *function;
} kernels[] = {
#define NAMED(function) {#function, function}
#if SIDE == 0
    NAMED(general_posterior_1), NAMED(general_posterior_4), NAMED(general_posterior_16),
#else
    NAMED(strip_whole_1_1024), NAMED(strip_whole_3_1024), NAMED(strip_some_1_1024), NAMED(strip_some_3_1024),
    NAMED(strip_whole_1_4096), NAMED(strip_whole_3_4096), NAMED(strip_some_1_4096), NAMED(strip_some_3_4096),
#endif
};

static struct {
    char name[32];
    int n_queries, n_threads, n_blocks, n_shared_bytes;
    PosteriorPlan plan;
} launch;
static Posterior *kernel;
static Stretch *row_stretches, *column_stretches;
static float *queries, *nearest, *merged_nearest;
static void *images;
static double *partial, *merged;
static int *best, *merged_best;

static void posterior_call(void) {
    kernel(launch.plan, row_stretches, column_stretches, queries, images, partial, nearest, best);
}

static void merge_call(void) {
    const int n_pixels = launch.plan.height * launch.plan.width;
    merge_posteriors(
        launch.n_blocks, launch.plan.channels, n_pixels, partial, nearest, best, merged, merged_nearest, merged_best
    );
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

static void run_grid(void (*call)(void), int n_blocks, int n_threads, size_t n_shared_bytes) {
    kernel_call = call;
    blockDim.x = n_threads, gridDim.x = n_blocks, gridDim.y = launch.n_queries;
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++) {
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) run_block(n_shared_bytes);
    }
}

int main(void) {
    memcpy(&launch, input(sizeof launch), sizeof launch);
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (!strcmp(kernels[i].name, launch.name)) kernel = kernels[i].function;
    }
    if (!kernel) {
        fprintf(stderr, "no kernel '%s'\n", launch.name);
        return 1;
    }
    const PosteriorPlan *plan = &launch.plan;
    const size_t n_pixels = (size_t)plan->height * plan->width, n_values = n_pixels * plan->channels;
    row_stretches = input(plan->n_row_stretches * sizeof(Stretch));
    column_stretches = input(plan->n_column_stretches * sizeof(Stretch));
    queries = input(launch.n_queries * n_values * sizeof(float));
    images = input(plan->n_images * n_values * (plan->is_bytes ? 1 : sizeof(float)));
    const size_t n_merged = launch.n_queries * n_pixels, n_found = n_merged * launch.n_blocks;
    const size_t n_sums = N_OTHERS + plan->channels;
    partial = poisoned(n_found * n_sums * sizeof(double));
    nearest = poisoned(n_found * sizeof(float));
    best = poisoned(2 * n_found * sizeof(int));
    merged = poisoned(n_merged * n_sums * sizeof(double));
    merged_nearest = poisoned(n_merged * sizeof(float));
    merged_best = poisoned(2 * n_merged * sizeof(int));
    run_grid(posterior_call, launch.n_blocks, launch.n_threads, launch.n_shared_bytes);
    run_grid(merge_call, (n_pixels + WARP_SIZE - 1) / WARP_SIZE, WARP_SIZE, 0);
    fwrite(merged, sizeof(double), n_merged * n_sums, stdout);
    fwrite(merged_nearest, sizeof(float), n_merged, stdout);
    fwrite(merged_best, sizeof(int), 2 * n_merged, stdout);
    return 0;
}
