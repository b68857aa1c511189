// gather_backward: dtable[ids[r] + offset] += dout[r], rows of one entry in their order, so that the sum has the same
// bits every time.
//
// A block owns 32 entries of the table and a slice of its columns. It reads all ids, a round of 2048 at a time, keeps
// those that name one of its entries in a list, and each warp adds the rows of its own four entries to sums in shared
// memory, eight rows in flight. What is read in vain are ids: 64 KiB a block at 16384 rows, from the cache; the rows
// themselves are read once. An entry that no row names is not touched.
//
//   ids     | warp 0: 256 | warp 1: 256 | ...     each warp keeps what it finds, in order
//   items   | found, found | found | ...          row within the round, entry within the block: 16 bits together
#include "kernels/cuda/ptx.h"
#include "training/cuda/lanes.h"
#include "training/cuda/launchers.h"

namespace leon::LEON_CUDA::grad {
namespace {

constexpr int WARPS = 8;
constexpr int ENTRIES = 32;         // of a block; entry e is warp e % WARPS's
constexpr int IDS_OF_A_WARP = 256;  // of a round
constexpr int ROUND = WARPS * IDS_OF_A_WARP;
constexpr int IN_FLIGHT = 8;  // rows

template <int WIDTH>
__global__ void __launch_bounds__(WARPS* WARP)
    gather_backward_kernel(float* dtable,      // [entries, dim]
                           const float* dout,  // [rows, dim]
                           const int* ids,     // [rows]
                           int64_t entries, int64_t rows, int64_t dim, int offset) {
    constexpr int COLUMNS = WARP * WIDTH;
    DYNAMIC_SHARED(float, sums);  // [ENTRIES, COLUMNS], the items, the number of each warp's items
    uint16_t* items = reinterpret_cast<uint16_t*>(sums + ENTRIES * COLUMNS);  // [WARPS, IDS_OF_A_WARP]
    int* counts = reinterpret_cast<int*>(items + ROUND);                      // [WARPS]
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const int64_t first_entry = static_cast<int64_t>(blockIdx.x) * ENTRIES;
    const int64_t column = static_cast<int64_t>(blockIdx.y) * COLUMNS + lane * WIDTH;
    const unsigned lanes_below = (1u << lane) - 1;
    for (int e = warp; e < ENTRIES; e += WARPS) store_lane(sums + e * COLUMNS + lane * WIDTH, Lane<WIDTH>{});
    unsigned named = 0;  // entries of this warp, as bits

    for (int64_t round = 0; round < rows; round += ROUND) {
        int found = 0;
        for (int i = 0; i < IDS_OF_A_WARP; i += WARP) {
            const int in_round = warp * IDS_OF_A_WARP + i + lane;
            const int64_t row = round + in_round;
            const int64_t entry = row < rows ? ids[row] + static_cast<int64_t>(offset) - first_entry : -1;
            const bool is_here = entry >= 0 && entry < ENTRIES;
            const unsigned here = __ballot_sync(~0u, is_here);
            if (is_here)
                items[warp * IDS_OF_A_WARP + found + __popc(here & lanes_below)] =
                    static_cast<uint16_t>(in_round | static_cast<int>(entry) << 11);
            found += __popc(here);
        }
        if (lane == 0) counts[warp] = found;
        __syncthreads();  // orders the writes of the items before all warps' reads
        for (int from = 0; from < WARPS; from++) {
            const int count = counts[from];
            for (int i = 0; i < count; i += WARP) {
                const int item = i + lane < count ? items[from * IDS_OF_A_WARP + i + lane] : 0;
                unsigned mine = __ballot_sync(~0u, i + lane < count && (item >> 11) % WARPS == warp);
                while (mine != 0) {
                    Lane<WIDTH> row[IN_FLIGHT];
                    int entry[IN_FLIGHT];
#pragma unroll
                    for (int k = 0; k < IN_FLIGHT; k++) {
                        row[k] = {};
                        const int next = __shfl_sync(~0u, item, mine != 0 ? __ffs(static_cast<int>(mine)) - 1 : 0);
                        entry[k] = mine != 0 ? next >> 11 : -1;
                        if (mine != 0 && column < dim)
                            row[k] = load_lane<WIDTH>(dout + (round + next % ROUND) * dim + column);
                        mine &= mine - 1;
                    }
#pragma unroll
                    for (int k = 0; k < IN_FLIGHT; k++) {
                        if (entry[k] < 0) continue;
                        named |= 1u << entry[k];
                        float* to = sums + entry[k] * COLUMNS + lane * WIDTH;
                        Lane<WIDTH> sum = load_lane<WIDTH>(to);
#pragma unroll
                        for (int w = 0; w < WIDTH; w++) sum.value[w] += row[k].value[w];
                        store_lane(to, sum);
                    }
                }
            }
        }
        __syncthreads();  // orders these reads of the items before the next round's writes
    }

    if (column >= dim) return;
    for (int e = warp; e < ENTRIES; e += WARPS) {
        if (!(named >> e & 1) || first_entry + e >= entries) continue;
        float* to = dtable + (first_entry + e) * dim + column;
        Lane<WIDTH> value = load_lane<WIDTH>(to);
        const Lane<WIDTH> sum = load_lane<WIDTH>(sums + e * COLUMNS + lane * WIDTH);
#pragma unroll
        for (int w = 0; w < WIDTH; w++) value.value[w] += sum.value[w];
        store_lane(to, value);
    }
}

template <int WIDTH>
void run(Tensor dtable, Tensor dout, Tensor ids, int offset) {
    static_assert(ROUND == 1 << 11 && ENTRIES <= 1 << 5, "an item has 16 bits");
    const int64_t entries = dtable.rows(), rows = dout.rows(), dim = dout.cols();
    const dim3 grid(static_cast<unsigned>(divide_up(entries, ENTRIES)),
                    static_cast<unsigned>(divide_up(dim, WARP * WIDTH)));
    const size_t shared_bytes = ENTRIES * WARP * WIDTH * sizeof(float) + ROUND * sizeof(uint16_t) + WARPS * sizeof(int);
    CUDA_CHECK(launch_dependent(gather_backward_kernel<WIDTH>, grid, dim3(WARPS * WARP), shared_bytes, dtable.f32(),
                                dout.f32(), ids.i32(), entries, rows, dim, offset));
}

}  // namespace

void gather_backward(Tensor dtable, Tensor dout, Tensor ids, int offset) {
    if (dout.elements() == 0) return;
    if (is_aligned(dtable) && is_aligned(dout))
        run<4>(dtable, dout, ids, offset);
    else
        run<1>(dtable, dout, ids, offset);
}

}  // namespace leon::LEON_CUDA::grad
