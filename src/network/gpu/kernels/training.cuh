// What a training step does with a network's output and its gradients.

#ifndef MOSAIC_TRAINING
#define MOSAIC_TRAINING

#include "layers.cuh"

// Places in the optimiser's state.
enum { N_UPDATES, FACTOR, IS_TAKEN, UNBIAS_MEAN, UNBIAS_SQUARE, DECAY, RATE };

#define BETA_MEAN 0.9f
#define BETA_SQUARE 0.99f
#define EPSILON 1e-8f

KERNELS_BEGIN

// The squared error of eps_hat = sigma x + signal out, and its gradient. A block is an image.
// out [B, P, C], x, eps [B, Ct, P], images [3, B]: sigma, signal, factor of the loss; piece [1]; dout, errors [pieces, B].
// P, Ct, C; what the mean over a step's images is divided by. Shared memory: a float a thread.
__global__ void noise_loss(Arguments a) {
    SHARED(float, shared);
    const int n_pixels = a.numbers[0], n_true = a.numbers[1], channels = a.numbers[2];
    const int b = blockIdx.x, n_images = gridDim.x;
    const float sigma = a.buffers[3][b], signal = a.buffers[3][n_images + b], factor = a.buffers[3][2 * n_images + b];
    const float n = (float)n_pixels * (float)n_true;
    const float slope = 2.0f * factor * signal / (n * a.reals[0]);
    float sum = 0.0f;
    for (int p = threadIdx.x; p < n_pixels; p += blockDim.x) {
        for (int c = 0; c < channels; c++) {
            const size_t place = ((size_t)b * n_pixels + p) * channels + c;
            float gradient = 0.0f;
            if (c < n_true) {
                const size_t pixel = ((size_t)b * n_true + c) * n_pixels + p;
                const float error = sigma * a.buffers[1][pixel] + signal * a.buffers[0][place] - a.buffers[2][pixel];
                sum += error * error;
                gradient = slope * error;
            }
            a.buffers[5][place] = gradient;
        }
    }
    const float total = block_sum(sum, shared);
    if (threadIdx.x == 0) a.buffers[6][(int)a.buffers[4][0] * n_images + b] = total / n;
}

// Sums of squares of all gradients, one a block. gradients, partial [blocks]. n. Shared memory: a float a thread.
__global__ void square_sums(Arguments a) {
    SHARED(float, shared);
    float sum = 0.0f;
    EACH(i, a.numbers[0]) sum += a.buffers[0][i] * a.buffers[0][i];
    const float total = block_sum(sum, shared);
    if (threadIdx.x == 0) a.buffers[1][blockIdx.x] = total;
}

// Whether and how the update is made, by one block. partial, errors, rate [1], state, report [2]: norm, updates made.
// number of partial sums, of errors; clip norm, decay of the average at most. Shared memory: a float a thread.
__global__ void decide(Arguments a) {
    SHARED(float, shared);
    float *state = a.buffers[3];
    float of_partial = 0.0f, of_errors = 0.0f;
    for (int i = threadIdx.x; i < a.numbers[0]; i += blockDim.x) of_partial += a.buffers[0][i];
    for (int i = threadIdx.x; i < a.numbers[1]; i += blockDim.x) of_errors += a.buffers[1][i];
    const float squared = block_sum(of_partial, shared), error = block_sum(of_errors, shared);
    if (threadIdx.x != 0) return;
    const double norm = sqrt((double)squared);
    const int is_taken = squared - squared == 0.0f && error - error == 0.0f;
    state[IS_TAKEN] = (float)is_taken;
    if (is_taken) {
        const double n = state[N_UPDATES] + 1.0, clip = a.reals[0];
        state[N_UPDATES] = (float)n;
        state[FACTOR] = norm > clip ? (float)(clip / norm) : 1.0f;
        state[UNBIAS_MEAN] = (float)(1.0 - pow(0.9, n));
        state[UNBIAS_SQUARE] = (float)(1.0 - pow(0.99, n));
        const double early = n / (9.0 + n);
        state[DECAY] = early < a.reals[1] ? (float)early : a.reals[1];
        state[RATE] = a.buffers[2][0];
    }
    a.buffers[4][0] = (float)norm;
    a.buffers[4][1] = state[N_UPDATES];
}

// AdamW and the moving average; gradients are zero afterwards. parameters, gradients, mean, square, average, state. n;
// weight decay.
__global__ void update(Arguments a) {
    const float *state = a.buffers[5];
    const float rate = state[RATE], kept = 1.0f - rate * a.reals[0], decay = state[DECAY];
    EACH(i, a.numbers[0]) {
        const float gradient = a.buffers[1][i] * state[FACTOR];
        a.buffers[1][i] = 0.0f;
        if (state[IS_TAKEN] == 0.0f) continue;
        const float mean = a.buffers[2][i] * BETA_MEAN + gradient * (1.0f - BETA_MEAN);
        const float square = a.buffers[3][i] * BETA_SQUARE + gradient * gradient * (1.0f - BETA_SQUARE);
        const float direction = mean / state[UNBIAS_MEAN] / (sqrtf(square / state[UNBIAS_SQUARE]) + EPSILON);
        const float parameter = a.buffers[0][i] * kept - rate * direction;
        a.buffers[2][i] = mean;
        a.buffers[3][i] = square;
        a.buffers[0][i] = parameter;
        a.buffers[4][i] = a.buffers[4][i] * decay + parameter * (1.0f - decay);
    }
}

KERNELS_END
#endif
