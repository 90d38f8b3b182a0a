// The kernels of a training step for nvcc; tests/emulator has its own words for the same.

#define KERNELS_BEGIN extern "C" {
#define KERNELS_END }
#define SHARED(type, name) extern __shared__ __align__(16) type name[]
#define QUAD(name, place) const float4 name = *(const float4 *)(place)
#define PUT_QUAD(place, a, b, c, d) *(float4 *)(place) = make_float4(a, b, c, d)
#define BF16_QUAD(name, place) const uint2 name = *(const uint2 *)(place)
#define PUT_BF16_QUAD(place, low, high) *(uint2 *)(place) = make_uint2(low, high)

#include "training.cuh"
