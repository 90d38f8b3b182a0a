// Running posteriors of query pixels over a patch dictionary: what the kernels share.
//
// The specification is src/theory/cpu_kernels/reference.rs, the method that of box_sums.rs and posterior.rs: for the
// displacement s = q - p the patch distances of all pairs (p, p + s) are window sums over one image of squared
// differences, and weights 2^((nearest - distance) scale) are summed, where `nearest` is the nearest entry's distance so
// far. Entries farther than that by `width_of_weights` or more may be skipped; together they are lighter than
// exp(-NEGLIGIBLE_NATS) of the whole weight, as derived in posterior.rs.
//
// A block is one query (blockIdx.y) and every gridDim.x-th training image; a thread keeps the posteriors of some query
// pixels in registers. Within an image sums are float, across images double.
//
// All kernels are written in what C and CUDA C++ share, so that tests/emulator can run these very files on the CPU.

#ifndef MOSAIC_POSTERIOR
#define MOSAIC_POSTERIOR

// More channels stay on the CPU.
#define CHANNELS_MAX 4
// 2^-BITS_MAX is zero in single precision.
#define BITS_MAX 1000.0f

// Which partial sum is which; the channels' follow. Each is [pixels]. The reference is in bits.
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
    // Whether images are bytes, mapped to [-1, 1], or floats.
    int is_bytes;
    int n_row_stretches, n_column_stretches;
    Window rows, columns;
    // Whether a patch ends at the image's border, or goes on at its other side.
    int cut;
    // Bits per squared distance, logit_scale / ln 2.
    float scale;
    // Beyond the nearest by this much, an entry is skipped.
    float width_of_weights;
} PosteriorPlan;

// One query pixel's posterior within one image, and its nearest entry so far, of all images.
typedef struct {
    float nearest, total, spread;
    float sums[CHANNELS_MAX];
} PixelPosterior;

__device__ static inline void clear_posterior(PixelPosterior *posterior) {
    posterior->nearest = INFINITY;
    posterior->total = posterior->spread = 0.0f;
    for (int c = 0; c < CHANNELS_MAX; c++) posterior->sums[c] = 0.0f;
}

// Takes in an entry's distance, which may be smaller than all before it.
__device__ static inline void note_nearest(PixelPosterior *posterior, float distance, int channels, float scale) {
    const float nearest = fminf(posterior->nearest, distance);
    // Before the first entry nothing was summed: any factor will do, but no infinity.
    const float bits = fmaxf((nearest - posterior->nearest) * scale, -BITS_MAX);
    const float factor = exp2f(bits);
    posterior->spread = factor * fmaf(posterior->total, bits, posterior->spread);
    posterior->total *= factor;
    // Of constant length, so that the sums stay in registers.
    for (int c = 0; c < CHANNELS_MAX; c++) {
        if (c < channels) posterior->sums[c] *= factor;
    }
    posterior->nearest = nearest;
}

// Adds the weight of an entry that is farther than the nearest by `gap`; returns it.
__device__ static inline float add_weight(PixelPosterior *posterior, float gap, float scale) {
    const float bits = -gap * scale;
    const float weight = exp2f(bits);
    posterior->total += weight;
    posterior->spread = fmaf(weight, bits, posterior->spread);
    return weight;
}

// Joins an image's sums to those of the images before, which may have had another reference. It is in bits, and infinite
// before the first entry. `kept` is this pixel's place in [N_OTHERS + channels, n_pixels].
__device__ static inline void flush_posterior(
    PixelPosterior *posterior, double reference, double *kept, int n_pixels, int channels
) {
    if (reference == INFINITY) return;
    double before = kept[REFERENCE * n_pixels];
    double bits = before == INFINITY ? 0.0 : reference - before;
    double factor = before == INFINITY ? 0.0 : exp2(bits);
    double old = kept[TOTAL * n_pixels];
    kept[SPREAD * n_pixels] = factor * (kept[SPREAD * n_pixels] + old * bits) + posterior->spread;
    kept[TOTAL * n_pixels] = factor * old + posterior->total;
    for (int c = 0; c < CHANNELS_MAX; c++) {
        if (c >= channels) break;
        double *sum = kept + (N_OTHERS + c) * n_pixels;
        *sum = factor * *sum + posterior->sums[c];
        posterior->sums[c] = 0.0f;
    }
    kept[REFERENCE * n_pixels] = reference;
    posterior->total = posterior->spread = 0.0f;
}

// No entries yet.
__device__ static inline void clear_kept(double *kept, int n_pixels, int channels) {
    for (int which = 0; which < N_OTHERS + channels; which++) {
        kept[which * n_pixels] = which == REFERENCE ? INFINITY : 0.0;
    }
}

// Value `at` of all images' values. Bytes stand for b / 127.5 - 1, here with a single rounding.
__device__ static inline float image_value(const void *images, size_t at, int is_bytes) {
    if (is_bytes) return (2.0f * ((const unsigned char *)images)[at] - 255.0f) / 255.0f;
    return ((const float *)images)[at];
}

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

#endif
