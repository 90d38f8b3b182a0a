// Patch posteriors of images of up to 1, 4 and 16 pixels a thread, and the merging of what blocks find.

#include "cuda.cuh"

KERNELS_BEGIN

#define GENERAL_POSTERIOR general_posterior_1
#define PIXELS_PER_THREAD 1
#define THREADS_MAX 256
#include "general.cuh"
#undef GENERAL_POSTERIOR
#undef PIXELS_PER_THREAD

#define GENERAL_POSTERIOR general_posterior_4
#define PIXELS_PER_THREAD 4
#include "general.cuh"
#undef GENERAL_POSTERIOR
#undef PIXELS_PER_THREAD

#define GENERAL_POSTERIOR general_posterior_16
#define PIXELS_PER_THREAD 16
#include "general.cuh"

#include "merge.cuh"
#include "evidence.cuh"

KERNELS_END
