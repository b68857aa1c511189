// Where a row of keys or values stands in the paged cache; see KvPages in kernels/kernels.h.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/kernels.h"

namespace leon::LEON_CUDA {

struct PageTable {
    const int* pages;  // [streams, max_pages]
    int64_t max_pages;
    int kv_heads, head_dim;

    __device__ __forceinline__ const int* pages_of(int stream) const { return pages + stream * max_pages; }

    // Index of the row of a page's first position, for one head: from there on lie PAGE_TOKENS rows of head_dim.
    __device__ __forceinline__ int64_t row_of(int page, int head) const {
        return (static_cast<int64_t>(page) * kv_heads + head) * PAGE_TOKENS;
    }
    // The same for page number `nth` of a stream.
    __device__ __forceinline__ int64_t page_row(int stream, int nth, int head) const {
        return row_of(pages_of(stream)[nth], head);
    }
};

// The keys or the values of a cache: rows of head_dim, and of int8_t a scale for each.
template <class T>
struct CacheSide {
    T* rows;
    float* scales;
};
template <class T>
CacheSide<T> side_of(const Tensor& t) {
    return {static_cast<T*>(t.data), row_scales(t)};
}

inline PageTable page_table_of(const KvPages& cache) {
    return {cache.page_table.i32(), cache.page_table.shape[1], static_cast<int>(cache.keys.shape[1]),
            static_cast<int>(cache.keys.shape[3])};
}

}  // namespace leon::LEON_CUDA
