// gather, gather_add: one block per row of the output; threads walk along it, 16 bytes of the table at a time. Bound by
// the bytes of the rows; a few rows are bound by latency. The table may be what an earlier kernel has written.
#include "kernels/cuda/element.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/ptx.h"

namespace leon::LEON_CUDA {
namespace {

constexpr int THREADS = 256;

enum class Store { Assign, Accumulate };

// Product and sum are rounded one after the other, as the reference does it: nvcc would make one of them.
__device__ __forceinline__ void put(float& target, float value, float factor, Store store) {
    const float product = __fmul_rn(value, factor);
    target = store == Store::Assign ? product : __fadd_rn(target, product);
}

// 16 bytes of the table from element i on, and single elements.
template <class T>
__device__ __forceinline__ Pack<T> pack_at(const T* table, const uint8_t*, int64_t i) {
    return unpack(*reinterpret_cast<const uint4*>(table + i), T{});
}
__device__ __forceinline__ Pack<Nibbles> pack_at(const Nibbles* table, const uint8_t* groups, int64_t i) {
    return unpack_group(*reinterpret_cast<const uint4*>(element_at(table, i)), E4m3{groups[i / GROUP]});
}
template <class T>
__device__ __forceinline__ float value_at(const T* table, const uint8_t*, int64_t i) {
    return widen(table[i]);
}
__device__ __forceinline__ float value_at(const Nibbles* table, const uint8_t* groups, int64_t i) {
    const int64_t group = i / GROUP, within = i % GROUP;
    const int pair = table[group * (GROUP / 2) + within % (GROUP / 2)].pair;
    return static_cast<float>((within < GROUP / 2 ? pair & 15 : pair >> 4) - 8) * widen(E4m3{groups[group]});
}

template <class T>
__global__ void __launch_bounds__(THREADS) gather_kernel(float* out,             // [rows, dim]
                                                         const T* table,         // [entries, dim]
                                                         const uint8_t* groups,  // [entries, dim / GROUP], or null
                                                         const int* ids,         // [rows]
                                                         const float* scale,     // [entries], or null
                                                         int offset, int64_t dim, bool aligned, Store store) {
    constexpr int COUNT = Pack<T>::COUNT;
    grid_dependency_launch();
    grid_dependency_wait();  // orders the writes of the ids, and of x, before all that follows
    const int64_t row = blockIdx.x, entry = static_cast<int64_t>(ids[row]) + offset;
    const float factor = scale ? scale[entry] : 1.0f;
    const int64_t packs = aligned ? dim / COUNT : 0;
    for (int64_t p = threadIdx.x; p < packs; p += THREADS) {
        const Pack<T> pack = pack_at(table, groups, entry * dim + p * COUNT);
        float4* target = reinterpret_cast<float4*>(out + row * dim + p * COUNT);
#pragma unroll
        for (int i = 0; i < COUNT; i += 4) {
            float4 four = store == Store::Assign ? make_float4(0, 0, 0, 0) : target[i / 4];
            put(four.x, pack.value[i], factor, store);
            put(four.y, pack.value[i + 1], factor, store);
            put(four.z, pack.value[i + 2], factor, store);
            put(four.w, pack.value[i + 3], factor, store);
            target[i / 4] = four;
        }
    }
    for (int64_t i = packs * COUNT + threadIdx.x; i < dim; i += THREADS)
        put(out[row * dim + i], value_at(table, groups, entry * dim + i), factor, store);
}

void run(Tensor out, Tensor table, Tensor ids, int offset, Store store) {
    const dim3 grid(static_cast<unsigned>(ids.elements())), block(THREADS);
    if (out.elements() == 0) return;
    const int64_t dim = table.cols();
    const bool aligned = dim * bits_of(table.dtype) % 128 == 0 && is_aligned(table.data) && is_aligned(out.data);
    with_weight(table.dtype, [&](auto element) {
        using T = decltype(element);
        CUDA_CHECK(launch_dependent(gather_kernel<T>, grid, block, 0, out.f32(), data_of<T>(table), table.groups,
                                    ids.i32(), table.scale, offset, dim, aligned, store));
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
