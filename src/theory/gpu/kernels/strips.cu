// Patch posteriors of small images for the patch side SIDE, which build.rs names: of 1 and 3 channels, of up to 1,024
// pixels and up to 4,096, of whole dictionaries and of those that accept some pairs only; of small images and whole
// dictionaries also kernels for the mean alone.

#include "cuda.cuh"

KERNELS_BEGIN

#define PIXELS_MAX 1024
#define THREADS_MAX 128

#define STRIP_POSTERIOR strip_whole_1_1024
#define N_CHANNELS 1
#define IS_WHOLE 1
#define HAS_ALL 1
#define TOGETHER 2
#define BLOCKS 3
#include "strips.cuh"

#define STRIP_POSTERIOR strip_mean_1_1024
#define N_CHANNELS 1
#define IS_WHOLE 1
#define HAS_ALL 0
#define TOGETHER 2
#define BLOCKS 3
#include "strips.cuh"

#define STRIP_POSTERIOR strip_some_1_1024
#define N_CHANNELS 1
#define IS_WHOLE 0
#define HAS_ALL 1
#define TOGETHER 1
#define BLOCKS 3
#include "strips.cuh"

#define STRIP_POSTERIOR strip_whole_3_1024
#define N_CHANNELS 3
#define IS_WHOLE 1
#define HAS_ALL 1
#define TOGETHER 2
#define BLOCKS 3
#include "strips.cuh"

#define STRIP_POSTERIOR strip_mean_3_1024
#define N_CHANNELS 3
#define IS_WHOLE 1
#define HAS_ALL 0
#define TOGETHER 2
#define BLOCKS 3
#include "strips.cuh"

#define STRIP_POSTERIOR strip_some_3_1024
#define N_CHANNELS 3
#define IS_WHOLE 0
#define HAS_ALL 1
#define TOGETHER 1
#define BLOCKS 3
#include "strips.cuh"

#undef PIXELS_MAX
#undef THREADS_MAX

#define PIXELS_MAX 4096
#define THREADS_MAX 512

#define STRIP_POSTERIOR strip_whole_1_4096
#define N_CHANNELS 1
#define IS_WHOLE 1
#define HAS_ALL 1
#define TOGETHER 1
#define BLOCKS 1
#include "strips.cuh"

#define STRIP_POSTERIOR strip_some_1_4096
#define N_CHANNELS 1
#define IS_WHOLE 0
#define HAS_ALL 1
#define TOGETHER 1
#define BLOCKS 1
#include "strips.cuh"

#define STRIP_POSTERIOR strip_whole_3_4096
#define N_CHANNELS 3
#define IS_WHOLE 1
#define HAS_ALL 1
#define TOGETHER 1
#define BLOCKS 1
#include "strips.cuh"

#define STRIP_POSTERIOR strip_some_3_4096
#define N_CHANNELS 3
#define IS_WHOLE 0
#define HAS_ALL 1
#define TOGETHER 1
#define BLOCKS 1
#include "strips.cuh"

#undef PIXELS_MAX
#undef THREADS_MAX

KERNELS_END
