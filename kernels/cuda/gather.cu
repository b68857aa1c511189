// gather, gather_add: one block per row of the output; threads walk along it. Bound by the bytes of the rows.
#include "kernels/cuda/element.h"
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 256;

enum class Store { Assign, Accumulate };

template <class T>
__global__ void __launch_bounds__(THREADS) gather_kernel(float* out,          // [rows, dim]
                                                         const T* table,      // [entries, dim]
                                                         const int* ids,      // [rows]
                                                         const float* scale,  // [entries], or null
                                                         int offset, int64_t dim, Store store) {
    const int64_t row = blockIdx.x, entry = static_cast<int64_t>(ids[row]) + offset;
    const float factor = scale ? scale[entry] : 1.0f;
    for (int64_t i = threadIdx.x; i < dim; i += blockDim.x) {
        const float value = widen(table[entry * dim + i]) * factor;
        float& target = out[row * dim + i];
        target = store == Store::Assign ? value : target + value;
    }
}

void run(Tensor out, Tensor table, Tensor ids, int offset, Store store) {
    const dim3 grid(static_cast<unsigned>(ids.elements())), block(THREADS);
    if (out.elements() == 0) return;
    with_weight(table.dtype, [&](auto element) {
        using T = decltype(element);
        CUDA_CHECK(launch(gather_kernel<T>, grid, block, 0, out.f32(), data_of<T>(table), ids.i32(), table.scale,
                          offset, table.cols(), store));
    });
}

}  // namespace

void gather(Tensor out, Tensor table, Tensor ids) {
    run(out, table, ids, 0, Store::Assign);
}

void gather_add(Tensor x, Tensor table, Tensor ids, int offset) {
    run(x, table, ids, offset, Store::Accumulate);
}

}  // namespace leon::LEON_CUDA
