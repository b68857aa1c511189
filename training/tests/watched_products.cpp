// What the trainer's products ask of memory on the watched emulator (make test-races), counted: shared memory is laid
// out without a bank conflict wherever tensor cores are fed, and every value is read in whole sectors, once for each
// tile.
#include <array>

#include "training/cuda/launchers.h"

#include "tests/kernel_harness.h"
#include "tests/testing.h"

namespace leon::LEON_CUDA {
namespace {

Tensor random_tensor(Memory& memory, Random& random, std::vector<int64_t> shape) {
    return memory.put(random_host(random, std::move(shape)));
}

// Calls `operation` and returns what it did.
template <class Operation>
emu::Counters counted(Operation operation) {
    emu::reset_counters();
    operation();
    return emu::counters;
}

TEST_CASE("cuda training: linear layers have no bank conflicts, and read whole sectors") {
    Random random(41);
    struct Shape {
        int64_t rows, depth, n;
    };
    for (const Shape& s : {Shape{64, 64, 64}, Shape{128, 192, 192}, Shape{256, 384, 192}, Shape{768, 192, 384}}) {
        CAPTURE(s.rows);
        CAPTURE(s.depth);
        Memory memory(table());
        const Tensor x = random_tensor(memory, random, {s.rows, s.depth});
        const Tensor weight = random_tensor(memory, random, {s.n, s.depth});
        const Tensor out = memory.make({s.rows, s.n}), dout = random_tensor(memory, random, {s.rows, s.n});
        const Tensor dx = memory.make({s.rows, s.depth}), dweight = random_tensor(memory, random, {s.n, s.depth});
        const uint64_t products = static_cast<uint64_t>(s.rows * s.depth * s.n / (16 * 8 * 16));
        for (const emu::Counters& c :
             {counted([&] { grad::linear_bf16(std::array{out}, x, std::array{weight}, Accumulate::No); }),
              counted([&] { grad::linear_dx_bf16(dx, std::array{dout}, std::array{weight}, Accumulate::No); }),
              counted([&] { grad::linear_dw_bf16(std::array{dweight}, x, std::array{dout}); })}) {
            CHECK(c.bank_conflicts == 0);
            CHECK(c.matrix_products >= products);  // more where a tile reaches beyond the edges
            CHECK(c.global_read_sectors * 32 == c.global_read_bytes);
            CHECK(c.global_write_sectors * 32 == c.global_write_bytes);
        }
    }
}

TEST_CASE("cuda training: attention has no bank conflicts") {
    Random random(42);
    for (int64_t head_dim : {64, 128}) {
        CAPTURE(head_dim);
        Memory memory(table());
        const std::vector<int64_t> shape = {192, 2, head_dim};
        const Tensor q = random_tensor(memory, random, shape), k = random_tensor(memory, random, shape);
        const Tensor v = random_tensor(memory, random, shape), dout = random_tensor(memory, random, shape);
        const Tensor out = memory.make(shape), log_sums = memory.make({192, 2});
        const Tensor dq = memory.make(shape), dk = memory.make(shape), dv = memory.make(shape);
        const Tensor starts = memory.put(int_host({0, 50, 192}));
        const emu::Counters forward = counted([&] { grad::attention_bf16(out, log_sums, q, k, v, starts); });
        const emu::Counters backward =
            counted([&] { grad::attention_backward_bf16(dq, dk, dv, dout, out, log_sums, q, k, v, starts); });
        CHECK(forward.bank_conflicts == 0);
        CHECK(forward.matrix_products > 0);
        CHECK(backward.bank_conflicts == 0);
        CHECK(backward.matrix_products > 2 * forward.matrix_products);
    }
}

}  // namespace
}  // namespace leon::LEON_CUDA
