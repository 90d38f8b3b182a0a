// What the kernels say in words of their own: here for CUDA, in tests/emulator/emulator.h for C.

#ifndef KERNELS_BEGIN

#define KERNELS_BEGIN extern "C" {
#define KERNELS_END }
#define SHARED(type, name) extern __shared__ __align__(16) type name[]
#define PAIR(name, place) const float2 name = *(const float2 *)(place)
#define QUAD(name, place) const float4 name = *(const float4 *)(place)
#define PUT_PAIR(place, values) *(float2 *)(place) = make_float2((values)[0], (values)[1])

#endif
