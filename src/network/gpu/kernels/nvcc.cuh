// Words of the kernels for nvcc; tests/emulator has its own for the same.

#define KERNELS_BEGIN extern "C" {
#define KERNELS_END }
#define SHARED(type, name) extern __shared__ __align__(16) type name[]
#define QUAD(name, place) const float4 name = *(const float4 *)(place)
#define PUT_QUAD(place, a, b, c, d) *(float4 *)(place) = make_float4(a, b, c, d)
#define BF16_QUAD(name, place) const uint2 name = *(const uint2 *)(place)
#define PUT_BF16_QUAD(place, low, high) *(uint2 *)(place) = make_uint2(low, high)

// To TensorFloat-32, the nearest.
__device__ static inline float tf32_of(float value) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return __uint_as_float(bits);
}

// c[16, 8] += a[16, 8] b[8, 8] by a warp, of TensorFloat-32. With g = lane / 4 and t = lane % 4, a thread holds
// a[g, t], a[g + 8, t], a[g, t + 4], a[g + 8, t + 4]; b[t, g], b[t + 4, g]; c[g, 2t], c[g, 2t + 1], c[g + 8, 2t],
// c[g + 8, 2t + 1].
__device__ static inline void multiply(float *c, const float *a, const float *b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
          "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}
