// to_u8: out = (clamp(x, -1, 1) + 1) / 2 * 255 without its fraction; NaN gives 0. Four values a thread: 16 bytes read,
// 4 written. Bound by bytes.
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 256;
constexpr int WIDTH = 4;

__device__ __forceinline__ unsigned char to_byte(float x) {
    const float clamped = x >= 1.0f ? 1.0f : x > -1.0f ? x : -1.0f;
    return static_cast<unsigned char>((clamped + 1.0f) / 2.0f * 255.0f);
}

// aligned: x to 16 bytes, out to 4
__global__ void __launch_bounds__(THREADS)
    to_u8_kernel(unsigned char* out, const float* x, int64_t count, bool aligned) {
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * WIDTH;
    if (aligned && first + WIDTH <= count) {
        const float4 four = *reinterpret_cast<const float4*>(x + first);
        *reinterpret_cast<uchar4*>(out + first) =
            make_uchar4(to_byte(four.x), to_byte(four.y), to_byte(four.z), to_byte(four.w));
        return;
    }
    for (int64_t i = first; i < first + WIDTH && i < count; i++) out[i] = to_byte(x[i]);
}

}  // namespace

void to_u8(Tensor out, Tensor x) {
    const int64_t count = x.elements();
    const dim3 grid(static_cast<unsigned>(divide_up(count, THREADS * WIDTH)));
    const bool aligned =
        reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && reinterpret_cast<uintptr_t>(out.data) % WIDTH == 0;
    if (count == 0) return;
    CUDA_CHECK(launch_dependent(to_u8_kernel, grid, THREADS, 0, static_cast<unsigned char*>(out.data), x.f32(), count,
                                aligned));
}

}  // namespace leon::LEON_CUDA
