// Patch posteriors of small images for the patch side SIDE, which build.rs names: of 1 and 3 channels, of up to 1,024
// pixels and up to 4,096, of whole dictionaries and of those that accept some pairs only; of small images and whole
// dictionaries also kernels for the mean alone.

#include "cuda.cuh"

#ifndef TOGETHER_SMALL
#define TOGETHER_SMALL 2
#endif
#ifndef BLOCKS_GREY
#define BLOCKS_GREY 3
#endif

KERNELS_BEGIN

#define PIXELS_MAX 1024
#define THREADS_MAX 128

#define STRIP_POSTERIOR strip_whole_1_1024
#define TOGETHER TOGETHER_SMALL
#define BLOCKS BLOCKS_GREY
#define N_CHANNELS 1
#define IS_WHOLE 1
#define HAS_ALL 1
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef BLOCKS
#undef TOGETHER
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#define STRIP_POSTERIOR strip_mean_1_1024
#define TOGETHER TOGETHER_SMALL
#define BLOCKS BLOCKS_GREY
#define N_CHANNELS 1
#define IS_WHOLE 1
#define HAS_ALL 0
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef BLOCKS
#undef TOGETHER
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#define STRIP_POSTERIOR strip_some_1_1024
#define TOGETHER 1
#define BLOCKS BLOCKS_GREY
#define N_CHANNELS 1
#define IS_WHOLE 0
#define HAS_ALL 1
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef BLOCKS
#undef TOGETHER
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#define STRIP_POSTERIOR strip_whole_3_1024
#define TOGETHER TOGETHER_SMALL
#define BLOCKS 3
#define N_CHANNELS 3
#define IS_WHOLE 1
#define HAS_ALL 1
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef BLOCKS
#undef TOGETHER
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#define STRIP_POSTERIOR strip_mean_3_1024
#define TOGETHER TOGETHER_SMALL
#define BLOCKS 3
#define N_CHANNELS 3
#define IS_WHOLE 1
#define HAS_ALL 0
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef BLOCKS
#undef TOGETHER
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#define STRIP_POSTERIOR strip_some_3_1024
#define TOGETHER 1
#define BLOCKS 3
#define N_CHANNELS 3
#define IS_WHOLE 0
#define HAS_ALL 1
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef BLOCKS
#undef TOGETHER
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#undef PIXELS_MAX
#undef THREADS_MAX

#define PIXELS_MAX 4096
#define THREADS_MAX 512
#define TOGETHER 1
#define BLOCKS 1

#define STRIP_POSTERIOR strip_whole_1_4096
#define N_CHANNELS 1
#define IS_WHOLE 1
#define HAS_ALL 1
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#define STRIP_POSTERIOR strip_some_1_4096
#define N_CHANNELS 1
#define IS_WHOLE 0
#define HAS_ALL 1
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#define STRIP_POSTERIOR strip_whole_3_4096
#define N_CHANNELS 3
#define IS_WHOLE 1
#define HAS_ALL 1
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#define STRIP_POSTERIOR strip_some_3_4096
#define N_CHANNELS 3
#define IS_WHOLE 0
#define HAS_ALL 1
#include "strips.cuh"
#undef STRIP_POSTERIOR
#undef N_CHANNELS
#undef IS_WHOLE
#undef HAS_ALL

#undef PIXELS_MAX
#undef THREADS_MAX
#undef TOGETHER
#undef BLOCKS

KERNELS_END
