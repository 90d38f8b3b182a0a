/* Commands of a training step, from standard input to standard output: buffers, commands, then the buffers again. All
 * values come and go in single precision; those of a buffer of bfloat16 are rounded as they come. Around every buffer
 * lie guards: what a command writes there is an error, and what it reads there is not a number. */
#include "emulator.h"

#define BF16

#include "../../src/network/gpu/kernels/training.cuh"
#define WIDTH 8
#include "../../src/network/gpu/kernels/attention.cuh"
#undef WIDTH
#define WIDTH 16
#include "../../src/network/gpu/kernels/attention.cuh"
#undef WIDTH
#define WIDTH 32
#include "../../src/network/gpu/kernels/attention.cuh"
#undef WIDTH
#define WIDTH 64
#include "../../src/network/gpu/kernels/attention.cuh"
#undef WIDTH

static const struct {
    const char *name;
    void (*function)(Arguments);
} kernels[] = {
#define NAMED(function) {#function, function}
    NAMED(enter), NAMED(pad), NAMED(finish), NAMED(finish_gradient), NAMED(fold), NAMED(sum_rows), NAMED(group_norm),
    NAMED(group_norm_gradient), NAMED(pixel_norm), NAMED(pixel_norm_gradient), NAMED(softmax), NAMED(softmax_gradient), NAMED(watched_softmax), NAMED(received),
    NAMED(mean_pixels), NAMED(relu), NAMED(relu_gradient), NAMED(add_values), NAMED(add_to_rows), NAMED(columns),
    NAMED(pool), NAMED(pool_gradient), NAMED(deal), NAMED(deal_gradient), NAMED(classes), NAMED(classes_gradient),
#define OF_WIDTH(width) NAMED(attend_##width), NAMED(attend_gradient_queries_##width), NAMED(attend_gradient_keys_##width)
    OF_WIDTH(8), OF_WIDTH(16), OF_WIDTH(32), OF_WIDTH(64),
    NAMED(noise_loss), NAMED(square_sums), NAMED(decide), NAMED(update),
};

static void (*function)(Arguments);
static Arguments arguments;
static int64_t n_buffers;
static float **buffers;
static int64_t *are_bf16, *lengths;

static size_t bytes_of(int64_t buffer) { return lengths[buffer] * (are_bf16[buffer] ? 2 : sizeof(float)); }

static void call(void) { function(arguments); }

static void input(void *place, size_t n_bytes) {
    if (fread(place, 1, n_bytes, stdin) == n_bytes) return;
    fprintf(stderr, "the commands end early\n");
    exit(1);
}

static int64_t number(void) {
    int64_t value;
    input(&value, sizeof value);
    return value;
}

static double real(void) {
    double value;
    input(&value, sizeof value);
    return value;
}

static Values place(void) {
    const int64_t buffer = number(), first = number();
    return values_from(buffers[buffer], are_bf16[buffer], first);
}

static void launch(void) {
    char name[32];
    input(name, sizeof name);
    function = NULL;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (!strcmp(kernels[i].name, name)) function = kernels[i].function;
    }
    if (!function) {
        fprintf(stderr, "no kernel '%s'\n", name);
        exit(1);
    }
    gridDim.x = number(), gridDim.y = number(), blockDim.x = number();
    const size_t n_shared_bytes = number() * sizeof(float);
    const int64_t n_places = number();
    arguments.bf16 = 0;
    for (int64_t i = 0; i < n_places; i++) {
        const Values values = place();
        arguments.buffers[i] = values.first;
        arguments.bf16 |= (unsigned)values.is_bf16 << i;
    }
    const int64_t n_numbers = number();
    for (int64_t i = 0; i < n_numbers; i++) arguments.numbers[i] = number();
    const int64_t n_reals = number();
    for (int64_t i = 0; i < n_reals; i++) arguments.reals[i] = real();
    kernel_call = call;
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++) {
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) run_block(n_shared_bytes);
    }
    check_guards(name);
}

typedef struct {
    Values place;
    int64_t row, stride, transposed;
} Matrix;

static Matrix matrix(void) {
    Matrix read = {place(), number(), number(), number()};
    return read;
}

static float at(const Matrix *of, int64_t which, int64_t row, int64_t column) {
    return get(of->place, which * of->stride + (of->transposed ? column * of->row + row : row * of->row + column));
}

static void product(void) {
    const int64_t m = number(), n = number(), k = number();
    const Matrix a = matrix(), b = matrix(), c = matrix();
    const double alpha = real(), beta = real();
    const int64_t count = number();
    for (int64_t which = 0; which < count; which++) {
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                double sum = 0.0;
                for (int64_t l = 0; l < k; l++) sum += (double)at(&a, which, i, l) * at(&b, which, l, j);
                const size_t out = which * c.stride + i * c.row + j;
                put(c.place, out, (float)(alpha * sum + (beta == 0.0 ? 0.0 : beta * get(c.place, out))));
            }
        }
    }
}

/* All three passes visit every (y, w, x) that go together. */
static void convolution(void) {
    const int64_t pass = number(), batch = number(), height = number(), width = number(), c_in = number();
    const int64_t c_out = number(), kernel = number(), border = number();
    const Values x = place(), w = place(), y = place();
    const int64_t adds = number();
    const int64_t high = height + 2 * border + 1 - kernel, wide = width + 2 * border + 1 - kernel;
    const int64_t sizes[3] = {batch * high * wide * c_out, batch * height * width * c_in, c_out * kernel * kernel * c_in};
    const Values out = pass == 0 ? y : pass == 1 ? x : w;
    double *sums = calloc(sizes[pass], sizeof *sums);
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t py = 0; py < high; py++) {
            for (int64_t px = 0; px < wide; px++) {
                for (int64_t ky = 0; ky < kernel; ky++) {
                    for (int64_t kx = 0; kx < kernel; kx++) {
                        const int64_t iy = py + ky - border, ix = px + kx - border;
                        if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
                        const int64_t at_x = ((b * height + iy) * width + ix) * c_in;
                        const int64_t at_y = ((b * high + py) * wide + px) * c_out;
                        for (int64_t o = 0; o < c_out; o++) {
                            const int64_t at_w = ((o * kernel + ky) * kernel + kx) * c_in;
                            for (int64_t i = 0; i < c_in; i++) {
                                if (pass == 0) sums[at_y + o] += (double)get(x, at_x + i) * get(w, at_w + i);
                                if (pass == 1) sums[at_x + i] += (double)get(y, at_y + o) * get(w, at_w + i);
                                if (pass == 2) sums[at_w + i] += (double)get(y, at_y + o) * get(x, at_x + i);
                            }
                        }
                    }
                }
            }
        }
    }
    for (int64_t i = 0; i < sizes[pass]; i++) put(out, i, (float)((adds ? get(out, i) : 0.0) + sums[i]));
    free(sums);
}

int main(void) {
    n_buffers = number();
    buffers = calloc(n_buffers, sizeof *buffers);
    are_bf16 = calloc(n_buffers, sizeof *are_bf16);
    lengths = calloc(n_buffers, sizeof *lengths);
    for (int64_t i = 0; i < n_buffers; i++) {
        lengths[i] = number();
        are_bf16[i] = number();
        buffers[i] = guarded(bytes_of(i));
        const Values values = values_from(buffers[i], are_bf16[i], 0);
        for (int64_t j = 0; j < lengths[i]; j++) {
            float value;
            input(&value, sizeof value);
            put(values, j, value);
        }
    }
    for (int64_t left = number(); left > 0; left--) {
        switch (number()) {
            case 0: launch(); break;
            case 1: product(), check_guards("a product"); break;
            default: convolution(), check_guards("a convolution");
        }
    }
    for (int64_t i = 0; i < n_buffers; i++) {
        const Values values = values_from(buffers[i], are_bf16[i], 0);
        for (int64_t j = 0; j < lengths[i]; j++) {
            const float value = get(values, j);
            fwrite(&value, sizeof value, 1, stdout);
        }
    }
    return 0;
}
