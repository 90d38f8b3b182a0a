/* One launch of a posterior kernel and of those that go on from it, from standard input to standard output: the one that merges
 * its blocks, or those that take each image by itself. SIDE is 0 for the general kernels and the patch side of the others. */
#include "emulator.h"

#if SIDE == 0
#include "../../src/theory/gpu/kernels/general.cu"
#else
#include "../../src/theory/gpu/kernels/merge.cuh"
#include "../../src/theory/gpu/kernels/evidence.cuh"
#include "../../src/theory/gpu/kernels/strips.cu"
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
    NAMED(strip_mean_1_1024), NAMED(strip_mean_3_1024),
    NAMED(strip_whole_1_1024), NAMED(strip_whole_3_1024), NAMED(strip_some_1_1024), NAMED(strip_some_3_1024),
    NAMED(strip_whole_1_4096), NAMED(strip_whole_3_4096), NAMED(strip_some_1_4096), NAMED(strip_some_3_4096),
#endif
};

static struct {
    char name[32];
    int n_queries, n_threads, n_blocks, n_shared_bytes;
    /* A posterior, or of each image by itself: what it says, all mixed, chances of one origin, or all mixed through a mask or by crops. */
    enum { POSTERIOR, EVIDENCE, MIXED, CO_ORIGIN, MASKED, CROPS } what;
    int votes;
    float lambda;
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

/* A number an image and pixel. */
static float *evidence, *entropies, *estimates, *log_weights, *given, *votes, *pairs;
static int *patch_places;
static int n_all_pixels;

static void evidence_call(void) {
    image_evidence(
        launch.plan.channels, n_all_pixels, partial, best, evidence, entropies, estimates, log_weights, patch_places
    );
}

static void share_call(void) {
    matrix_product(launch.plan.n_images, n_all_pixels, n_all_pixels, 0, evidence, given, votes);
}

static int n_mixed_channels;

static void mix_call(void) {
    mix_images(
        launch.plan.n_images, launch.plan.first_image, n_mixed_channels, n_all_pixels, launch.votes, launch.lambda,
        evidence, votes, entropies, estimates, log_weights, patch_places, partial, nearest, best
    );
}

/* Coordinates stand for pixels. */
static float *sees, *squares;
static unsigned *bits;

static void matrix_call(void) { mask_matrix(n_all_pixels, launch.lambda, bits, sees); }

static void values_call(void) {
    const int n_channels = launch.plan.channels;
    coordinate_values(
        n_channels, n_all_pixels / n_channels, launch.plan.is_bytes, 0.5f / launch.lambda, queries, images, squares,
        entropies, estimates, log_weights, patch_places
    );
}

static void distances_call(void) {
    matrix_product(launch.plan.n_images, n_all_pixels, n_all_pixels, 0, squares, sees, evidence);
}

static void merge_mixed_call(void) {
    merge_posteriors(
        launch.n_blocks, n_mixed_channels + 1, n_all_pixels, partial, nearest, best, merged, merged_nearest, merged_best
    );
}

static void crops_call(void) {
    const PosteriorPlan *plan = &launch.plan;
    mix_crops(
        plan->n_images, plan->first_image, plan->channels, plan->height, plan->width, plan->rows.before, plan->is_bytes,
        evidence, images, partial, nearest, best
    );
}

static void chances_call(void) { image_chances(n_all_pixels, given, evidence); }

static void pairs_call(void) {
    matrix_product(n_all_pixels, n_all_pixels, launch.plan.n_images, 1, evidence, evidence, pairs);
}

static void *input(size_t n_bytes) {
    void *place = guarded(n_bytes);
    if (fread(place, 1, n_bytes, stdin) != n_bytes) {
        fprintf(stderr, "the launch ends early\n");
        exit(1);
    }
    return place;
}

static void *poisoned(size_t n_bytes) { return guarded(n_bytes); }

static void run_grid(void (*call)(void), int n_blocks, int n_rows, int n_threads, size_t n_shared_bytes) {
    kernel_call = call;
    blockDim.x = n_threads, gridDim.x = n_blocks, gridDim.y = n_rows;
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++) {
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) run_block(n_shared_bytes);
    }
    check_guards("a kernel");
}

static int blocks_of(int n, int n_threads) { return (n + n_threads - 1) / n_threads; }

/* What is known of each image and pixel, mixed. */
static void mix(void (*call)(void), int n_channels) {
    const size_t n_pixels = n_all_pixels, n_sums = (N_OTHERS + n_channels + 1) * n_pixels;
    n_mixed_channels = n_channels;
    partial = poisoned(launch.n_blocks * n_sums * sizeof(double));
    nearest = poisoned(launch.n_blocks * n_pixels * sizeof(float));
    best = poisoned(2 * launch.n_blocks * n_pixels * sizeof(int));
    merged = poisoned(n_sums * sizeof(double));
    merged_nearest = poisoned(n_pixels * sizeof(float));
    merged_best = poisoned(2 * n_pixels * sizeof(int));
    run_grid(call, blocks_of(n_pixels, WARP_SIZE), launch.n_blocks, WARP_SIZE, 0);
    run_grid(merge_mixed_call, blocks_of(n_pixels, WARP_SIZE), 1, WARP_SIZE, 0);
    fwrite(merged, sizeof(double), n_sums, stdout);
    fwrite(merged_nearest, sizeof(float), n_pixels, stdout);
    fwrite(merged_best, sizeof(int), 2 * n_pixels, stdout);
}

/* One query through a mask. */
static void masked(void) {
    const size_t n_values = n_all_pixels = n_all_pixels * launch.plan.channels;
    const int n = launch.plan.n_images, n_blocks = blocks_of(n_values, WARP_SIZE);
    const size_t n_each = n * n_values, product = 2 * PRODUCT_DEPTH * PRODUCT_ROW * sizeof(float);
    bits = input(n_values * blocks_of(n_values, 32) * sizeof(unsigned));
    sees = poisoned(n_values * n_values * sizeof(float)), squares = poisoned(n_each * sizeof(float));
    evidence = poisoned(n_each * sizeof(float)), entropies = poisoned(n_each * sizeof(float));
    estimates = poisoned(n_each * sizeof(float)), log_weights = poisoned(n_each * sizeof(float));
    patch_places = poisoned(n_each * sizeof(int));
    run_grid(matrix_call, n_blocks, n_values, WARP_SIZE, 0);
    run_grid(values_call, n_blocks, n, WARP_SIZE, 0);
    const int n_columns = blocks_of(n_values, PRODUCT_SIDE), n_rows = blocks_of(n, PRODUCT_SIDE);
    run_grid(distances_call, n_columns, n_rows, PRODUCT_THREADS, product);
    mix(mix_call, 1);
}

/* One query; each image is a block of the posterior kernel. */
static void by_image(void) {
    const int n = launch.plan.n_images, n_channels = launch.plan.channels;
    const size_t n_pixels = n_all_pixels, n_each = n * n_pixels;
    const size_t product = 2 * PRODUCT_DEPTH * PRODUCT_ROW * sizeof(float);
    partial = poisoned(n_each * (N_OTHERS + n_channels) * sizeof(double));
    nearest = poisoned(n_each * sizeof(float));
    best = poisoned(2 * n_each * sizeof(int));
    evidence = poisoned(n_each * sizeof(float)), entropies = poisoned(n_each * sizeof(float));
    estimates = poisoned(n_each * n_channels * sizeof(float)), log_weights = poisoned(n_each * sizeof(float));
    patch_places = poisoned(n_each * sizeof(int));
    run_grid(posterior_call, n, 1, launch.n_threads, launch.n_shared_bytes);
    run_grid(evidence_call, blocks_of(n_pixels, WARP_SIZE), n, WARP_SIZE, 0);
    if (launch.what == EVIDENCE) {
        fwrite(evidence, sizeof(float), n_each, stdout);
        fwrite(entropies, sizeof(float), n_each, stdout);
        fwrite(estimates, sizeof(float), n_each * n_channels, stdout);
        fwrite(log_weights, sizeof(float), n_each, stdout);
        fwrite(patch_places, sizeof(int), n_each, stdout);
    } else if (launch.what == MIXED) {
        const size_t n_given = launch.votes == VOTES_SHARED ? n_pixels * n_pixels : launch.votes == VOTES_IMAGES ? n : 0;
        given = votes = input(n_given * sizeof(float));
        if (launch.votes == VOTES_SHARED) {
            votes = poisoned(n_each * sizeof(float));
            run_grid(share_call, blocks_of(n_pixels, PRODUCT_SIDE), blocks_of(n, PRODUCT_SIDE), PRODUCT_THREADS, product);
        }
        mix(mix_call, n_channels);
    } else {
        given = input(n_pixels * sizeof(float));
        run_grid(chances_call, blocks_of(n_pixels, WARP_SIZE), n, WARP_SIZE, 0);
        if (launch.what == CROPS) {
            mix(crops_call, n_channels);
            return;
        }
        pairs = poisoned(n_pixels * n_pixels * sizeof(float));
        const int n_blocks = blocks_of(n_pixels, PRODUCT_SIDE);
        run_grid(pairs_call, n_blocks, n_blocks, PRODUCT_THREADS, product);
        fwrite(pairs, sizeof(float), n_pixels * n_pixels, stdout);
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
    n_all_pixels = n_pixels;
    if (launch.what == MASKED) {
        masked();
        return 0;
    }
    if (launch.what != POSTERIOR) {
        by_image();
        return 0;
    }
    run_grid(posterior_call, launch.n_blocks, launch.n_queries, launch.n_threads, launch.n_shared_bytes);
    run_grid(merge_call, (n_pixels + WARP_SIZE - 1) / WARP_SIZE, launch.n_queries, WARP_SIZE, 0);
    fwrite(merged, sizeof(double), n_merged * n_sums, stdout);
    fwrite(merged_nearest, sizeof(float), n_merged, stdout);
    fwrite(merged_best, sizeof(int), 2 * n_merged, stdout);
    return 0;
}
