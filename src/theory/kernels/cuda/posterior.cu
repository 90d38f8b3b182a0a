// The posterior kernel for images of up to 1, 4 and 16 pixels a thread.

#define SHARED(type, name) extern __shared__ type name[]

extern "C" {

#define PATCH_POSTERIOR patch_posterior_1
#define PIXELS_PER_THREAD 1
#include "posterior.cuh"
#undef PATCH_POSTERIOR
#undef PIXELS_PER_THREAD

#define PATCH_POSTERIOR patch_posterior_4
#define PIXELS_PER_THREAD 4
#include "posterior.cuh"
#undef PATCH_POSTERIOR
#undef PIXELS_PER_THREAD

#define PATCH_POSTERIOR patch_posterior_16
#define PIXELS_PER_THREAD 16
#include "posterior.cuh"

}
