// What the tensor-core products ask of memory, counted: the swizzle leaves no bank conflict in any tile of any type,
// and a tile reads each element of its two sides once, in whole sectors.
#include <vector>

#include "kernels/cuda/gemm.h"
#include "tests/kernel_harness.h"

#include "tests/testing.h"

namespace leon::LEON_CUDA {
namespace {

TEST_CASE("cuda gemm: no bank conflicts, whole sectors") {
    Random random(910);
    struct Tile {
        GemmShape shape;
        int64_t rows, cols;
    };
    for (DType dtype : WEIGHT_DTYPES)
        for (const Tile& tile : {Tile{GemmShape::Large, dtype == DType::I4 ? 64 : 128,
                                      dtype == DType::F32 || dtype == DType::F16 ? 128 : 256},
                                 Tile{GemmShape::Medium, 64, 128}, Tile{GemmShape::Small, 32, 64}}) {
            CAPTURE(name_of(dtype));
            CAPTURE(tile.rows);
            const int64_t depth = 256;
            Memory m(table());
            Tensor out = m.make({tile.rows, tile.cols}), x = m.put(random_host(random, {tile.rows, depth}));
            Host weights = random_host(random, {tile.cols, depth}, 1, dtype);
            Tensor weight = m.put(weights);
            emu::reset_counters();
            gemm(out, x, weight, Ending::Assign, tile.shape);
            const emu::Counters c = emu::counters;
            CHECK(c.launches == 1);
            CHECK(c.blocks == 1);
            CHECK(c.bank_conflicts == 0);
            CHECK(c.matrix_products > 0);
            // Scales of rows are read once for every pair of columns that a thread holds, factors of groups once.
            const uint64_t sides = x.bytes() + weight.bytes();
            CHECK(c.async_bytes == sides);
            if (!has_row_scale(dtype)) CHECK(c.global_read_sectors * 32 == sides);
            CHECK(c.global_write_sectors * 32 == out.bytes());
        }
}

}  // namespace
}  // namespace leon::LEON_CUDA
