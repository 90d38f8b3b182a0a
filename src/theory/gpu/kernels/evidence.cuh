// What each training image says about each query pixel, shared along attention: the kernels of the attention machine.
//
// The specification is src/theory/image_evidence.rs and attention_machine.rs. A posterior kernel that has one block an image leaves that
// image's posterior in `partial`; from there on everything is a number an image and pixel:
//
//   evidence E[n,p] = logsumexp_q L[n,q,p], in nats      estimates m[n,c,p], the mean within image n
//   entropies H[n,p] of the weights within image n       log_weights[n,p], the largest of these; places[n,p], whose it is
//
// All of them are [n_images, P], estimates [n_images, C, P]; single precision, as distances are.

#ifndef MOSAIC_EVIDENCE
#define MOSAIC_EVIDENCE

#include "posterior.cuh"

#define LN_2 0.69314718055994530942
#define LOG2_E 1.44269504088896340736f

// A thread is a pixel (x) of image blockIdx.y. partial [n_images, N_OTHERS + C, P] and best [n_images, 2, P] as the
// posterior kernels leave them for one block an image.
__global__ void image_evidence(
    int channels,
    int n_pixels,
    const double *partial,
    const int *best,
    float *evidence,
    float *entropies,
    float *estimates,
    float *log_weights,
    int *places
) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= n_pixels) return;
    const size_t n = blockIdx.y;
    const double *found = partial + n * (N_OTHERS + channels) * n_pixels + p;
    const double total = found[TOTAL * n_pixels];
    const double log_total = log(total);
    const size_t at = n * n_pixels + p;
    evidence[at] = (float)(log_total - LN_2 * found[REFERENCE * n_pixels]);
    entropies[at] = (float)fmax(log_total - LN_2 * found[SPREAD * n_pixels] / total, 0.0);
    for (int c = 0; c < channels; c++) {
        estimates[(n * channels + c) * n_pixels + p] = (float)(found[(N_OTHERS + c) * n_pixels] / total);
    }
    // The reference is the nearest entry's logit, so its weight is one.
    log_weights[at] = (float)-log_total;
    places[at] = best[(2 * n + 1) * n_pixels + p];
}

// chances[n,p] = exp(E[n,p] - log_sums[p]), in the place of E: the chance that patch p came from image n. A thread is a pixel
// of image blockIdx.y.
__global__ void image_chances(int n_pixels, const float *log_sums, float *evidence) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= n_pixels) return;
    float *place = evidence + (size_t)blockIdx.y * n_pixels + p;
    *place = exp2f((*place - log_sums[p]) * LOG2_E);
}

// Rows and columns of a block, and how much of the sum it takes in at once; a thread has 8 x 8 of the block's values.
#define PRODUCT_SIDE 128
#define PRODUCT_DEPTH 8
#define PRODUCT_THREADS 256
// Rows of the factors in shared memory, kept apart.
#define PRODUCT_ROW (PRODUCT_SIDE + 4)

// Four neighbouring values of row `row` of a matrix of `rows` x `columns`, zeros beyond it.
__device__ static inline void take_four(const float *matrix, int rows, int columns, int row, int column, float *four) {
    for (int i = 0; i < 4; i++) {
        four[i] = row < rows && column + i < columns ? matrix[(size_t)row * columns + column + i] : 0.0f;
    }
}

// c[m, n] = a[m, k] b[k, n]; a lies as [k, m] if `is_transposed`. Blocks are columns (x) and
// rows (y) of PRODUCT_SIDE values. Shared memory: 2 PRODUCT_DEPTH PRODUCT_ROW floats.
__global__ void __launch_bounds__(PRODUCT_THREADS) matrix_product(
    int m, int n, int k, int is_transposed, const float *a, const float *b, float *c
) {
    SHARED(float, shared);
    float *left = shared, *right = shared + PRODUCT_DEPTH * PRODUCT_ROW;
    const int thread = threadIdx.x;
    const int first_row = blockIdx.y * PRODUCT_SIDE, first_column = blockIdx.x * PRODUCT_SIDE;
    // A thread's rows and columns: four, and the four that are half a block further on.
    const int row = thread / 16 * 4, column = thread % 16 * 4;
    float sums[8][8];
    #pragma unroll
    for (int i = 0; i < 8; i++) {
        #pragma unroll
        for (int j = 0; j < 8; j++) sums[i][j] = 0.0f;
    }
    for (int depth = 0; depth < k; depth += PRODUCT_DEPTH) {
        float four[4];
        // A line is one row of b or of the transposed a.
        const int line = thread / 32, along = thread % 32 * 4;
        if (is_transposed) {
            take_four(a, k, m, depth + line, first_row + along, four);
            for (int i = 0; i < 4; i++) left[line * PRODUCT_ROW + along + i] = four[i];
        } else {
            const int half = thread % 2 * 4;
            take_four(a, m, k, first_row + thread / 2, depth + half, four);
            for (int i = 0; i < 4; i++) left[(half + i) * PRODUCT_ROW + thread / 2] = four[i];
        }
        take_four(b, k, n, depth + line, first_column + along, four);
        for (int i = 0; i < 4; i++) right[line * PRODUCT_ROW + along + i] = four[i];
        __syncthreads();
        #pragma unroll
        for (int d = 0; d < PRODUCT_DEPTH; d++) {
            const float *of_rows = left + d * PRODUCT_ROW + row, *of_columns = right + d * PRODUCT_ROW + column;
            QUAD(upper, of_rows);
            QUAD(lower, of_rows + PRODUCT_SIDE / 2);
            QUAD(near, of_columns);
            QUAD(far, of_columns + PRODUCT_SIDE / 2);
            const float ours[8] = {upper.x, upper.y, upper.z, upper.w, lower.x, lower.y, lower.z, lower.w};
            const float theirs[8] = {near.x, near.y, near.z, near.w, far.x, far.y, far.z, far.w};
            #pragma unroll
            for (int i = 0; i < 8; i++) {
                #pragma unroll
                for (int j = 0; j < 8; j++) sums[i][j] = fmaf(ours[i], theirs[j], sums[i][j]);
            }
        }
        // The next lines overwrite what is still read.
        __syncthreads();
    }
    #pragma unroll
    for (int i = 0; i < 8; i++) {
        #pragma unroll
        for (int j = 0; j < 8; j++) {
            const int y = first_row + row + i % 4 + i / 4 * (PRODUCT_SIDE / 2);
            const int x = first_column + column + j % 4 + j / 4 * (PRODUCT_SIDE / 2);
            if (y < m && x < n) c[(size_t)y * n + x] = sums[i][j];
        }
    }
}

// matrix[j,m] = -logit_scale where coordinate m sees coordinate j, and zero elsewhere. bits [n, (n + 31) / 32]: bit m % 32 of
// word m / 32 of row j says which. A thread is coordinate m (x) of row blockIdx.y.
__global__ void mask_matrix(int n, float logit_scale, const unsigned *bits, float *matrix) {
    const int m = blockIdx.x * blockDim.x + threadIdx.x;
    if (m >= n) return;
    const unsigned word = bits[(size_t)blockIdx.y * ((n + 31) / 32) + m / 32];
    matrix[(size_t)blockIdx.y * n + m] = word >> (m % 32) & 1 ? -logit_scale : 0.0f;
}

// The masked machine's images as the kernels here know them, with coordinates (channels of pixels, pixel by pixel) for pixels:
// an image's only entry is its coordinate's value. squares[n,m] = (x[m] - phi[n,m])^2 - typical, whose product with
// `mask_matrix` is the evidence. What is typical of an image that counts is the noise's variance; without it the product's
// sums stay small and exact, and as all images lose the same, no weight changes. query [C, P], images [n, C, P], all else [n, P C]. A thread is coordinate m (x) of image blockIdx.y.
__global__ void coordinate_values(
    int channels,
    int n_pixels,
    int is_bytes,
    float typical,
    const float *query,
    const void *images,
    float *squares,
    float *entropies,
    float *estimates,
    float *log_weights,
    int *places
) {
    const int m = blockIdx.x * blockDim.x + threadIdx.x;
    const int n_values = channels * n_pixels;
    if (m >= n_values) return;
    const size_t at = (size_t)blockIdx.y * n_values + m;
    const int planar = m % channels * n_pixels + m / channels;
    const float value = image_value(images, (size_t)blockIdx.y * n_values + planar, is_bytes);
    const float difference = query[planar] - value;
    squares[at] = fmaf(difference, difference, -typical);
    entropies[at] = log_weights[at] = 0.0f;
    estimates[at] = value;
    places[at] = m;
}

// What is added to an image's evidence before images are weighed: nothing, lambda times the evidence itself, times a number
// an image, or times a number an image and pixel.
enum { VOTES_NONE, VOTES_OWN, VOTES_IMAGES, VOTES_SHARED };

// Mixes images by softmax_n(E[n,p] + lambda votes): a thread is pixel p, block y takes every gridDim.y-th image. partial
// [gridDim.y, N_OTHERS + C + 1, P]: reference and spread in bits, sums of estimates and of entropies. nearest [gridDim.y, P]:
// minus the logarithm of the largest product of an image's weight and its best patch's, up to what all share, and best
// [gridDim.y, 2, P]: whose it is. A block without images leaves reference and nearest infinite.
__global__ void mix_images(
    int n_images,
    int first_image,
    int channels,
    int n_pixels,
    int votes,
    float lambda,
    const float *evidence,
    const float *shared_votes,
    const float *entropies,
    const float *estimates,
    const float *log_weights,
    const int *places,
    double *partial,
    float *nearest,
    int *best
) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= n_pixels) return;
    float highest = -INFINITY, largest = -INFINITY;
    int image = 0, place = 0;
    double total = 0.0, spread = 0.0, sums[CHANNELS_MAX];
    #pragma unroll
    for (int c = 0; c < CHANNELS_MAX; c++) sums[c] = 0.0;
    for (int n = blockIdx.y; n < n_images; n += gridDim.y) {
        const size_t at = (size_t)n * n_pixels + p;
        float vote = evidence[at];
        if (votes == VOTES_OWN) vote += lambda * vote;
        if (votes == VOTES_IMAGES) vote += lambda * shared_votes[n];
        if (votes == VOTES_SHARED) vote += lambda * shared_votes[at];
        const float bits = vote * LOG2_E;
        if (bits > highest) {
            const double change = highest == -INFINITY ? 0.0 : (double)highest - bits;
            const double factor = highest == -INFINITY ? 0.0 : exp2(change);
            spread = factor * (spread + total * change);
            total *= factor;
            #pragma unroll
            for (int c = 0; c < CHANNELS_MAX; c++) sums[c] *= factor;
            highest = bits;
        }
        const float below = bits - highest;
        const float weight = exp2f(below);
        total += weight;
        spread += (double)weight * below;
        #pragma unroll
        for (int c = 0; c < CHANNELS_MAX; c++) {
            if (c < channels) sums[c] += (double)weight * estimates[((size_t)n * channels + c) * n_pixels + p];
            if (c == channels) sums[c] += (double)weight * entropies[at];
        }
        if (vote + log_weights[at] > largest) {
            largest = vote + log_weights[at];
            image = first_image + n;
            place = places[at];
        }
    }
    const size_t n_sums = N_OTHERS + channels + 1;
    double *kept = partial + blockIdx.y * n_sums * n_pixels + p;
    kept[REFERENCE * n_pixels] = -(double)highest;
    kept[TOTAL * n_pixels] = total;
    kept[SPREAD * n_pixels] = spread;
    #pragma unroll
    for (int c = 0; c < CHANNELS_MAX; c++) {
        if (c <= channels) kept[(N_OTHERS + c) * n_pixels] = sums[c];
    }
    nearest[(size_t)blockIdx.y * n_pixels + p] = -largest;
    best[(size_t)blockIdx.y * 2 * n_pixels + p] = image;
    best[((size_t)blockIdx.y * 2 + 1) * n_pixels + p] = place;
}

// Mixes images by the crops that hold a pixel: a thread is pixel p, block y takes every gridDim.y-th image. chances [n, P]:
// of the crops' centres, what `image_chances` says; centres nearer to the border than `half` are no crop's. images
// [n, C, P]. partial, nearest and best as in `mix_images`, with reference, spread and the last channel zero.
__global__ void mix_crops(
    int n_images,
    int first_image,
    int channels,
    int height,
    int width,
    int half,
    int is_bytes,
    const float *chances,
    const void *images,
    double *partial,
    float *nearest,
    int *best
) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    const int n_pixels = height * width;
    if (p >= n_pixels) return;
    const int row = p / width, column = p % width;
    const int top = row < 2 * half ? half : row - half, left = column < 2 * half ? half : column - half;
    const int bottom = row + half < height - half ? row + half : height - 1 - half;
    const int right = column + half < width - half ? column + half : width - 1 - half;
    float largest = -INFINITY;
    int image = 0;
    double total = 0.0, sums[CHANNELS_MAX];
    #pragma unroll
    for (int c = 0; c < CHANNELS_MAX; c++) sums[c] = 0.0;
    for (int n = blockIdx.y; n < n_images; n += gridDim.y) {
        const float *of_image = chances + (size_t)n * n_pixels;
        float weight = 0.0f;
        for (int y = top; y <= bottom; y++) {
            for (int x = left; x <= right; x++) weight += of_image[y * width + x];
        }
        total += weight;
        #pragma unroll
        for (int c = 0; c < CHANNELS_MAX; c++) {
            if (c >= channels) break;
            sums[c] += (double)weight * image_value(images, ((size_t)n * channels + c) * n_pixels + p, is_bytes);
        }
        if (weight > largest) {
            largest = weight;
            image = first_image + n;
        }
    }
    double *kept = partial + blockIdx.y * (size_t)(N_OTHERS + channels + 1) * n_pixels + p;
    kept[REFERENCE * n_pixels] = kept[SPREAD * n_pixels] = kept[(N_OTHERS + channels) * n_pixels] = 0.0;
    kept[TOTAL * n_pixels] = total;
    #pragma unroll
    for (int c = 0; c < CHANNELS_MAX; c++) {
        if (c < channels) kept[(N_OTHERS + c) * n_pixels] = sums[c];
    }
    nearest[(size_t)blockIdx.y * n_pixels + p] = -largest;
    best[(size_t)blockIdx.y * 2 * n_pixels + p] = image;
    best[((size_t)blockIdx.y * 2 + 1) * n_pixels + p] = p;
}

#endif
