// The tensor-core products of kernels/cuda/gemm.h, each shape of tile by name: what the table picks by size is held to
// the reference in tests/test_kernels.cpp, at sizes that an emulator can pay for. Here: the edges of every tile, each
// ending, gate and up at once, three products at once, infinities, and the estimate that picks a shape.
#include <limits>

#include "kernels/composed.h"
#include "kernels/cuda/cublas.h"
#include "kernels/cuda/gemm.h"
#include "tests/kernel_harness.h"

#include "tests/testing.h"

namespace leon {
namespace {

namespace gpu = LEON_CUDA;
using gpu::Ending, gpu::GemmShape;

struct Tile {
    GemmShape shape;
    const char* name;
};
constexpr Tile TILES[] = {{GemmShape::Large, "large"}, {GemmShape::Medium, "medium"}, {GemmShape::Small, "small"}};

bool is_emulated(const Kernels& k) {
    return &k == &emulated_cuda_kernels();
}

struct Size {
    int64_t rows, n, depth;
};

// Around the edges of the tiles: rows of 32, 64, 128, columns of 64, 128, 256, stages of 32 and 128, of which four are
// under way. 176 elements of any type are a multiple of 16 bytes, 168 are for all types but bytes, 161 for none.
const Size SIZES[] = {{129, 257, 161}, {127, 255, 176}, {65, 130, 168}, {33, 64, 544},
                      {17, 129, 37},   {1, 1, 1},       {2, 66, 8}};

TEST_CASE("cuda gemm: every tile, ending and weight against the reference") {
    Random random(900);
    for (DType dtype : WEIGHT_DTYPES) {
        std::vector<Case> cases;
        for (const Tile& tile : TILES)
            for (Size s : SIZES) {
                s.depth = depth_of(dtype, s.depth);
                const Host x = random_host(random, {s.rows, s.depth}), start = random_host(random, {s.rows, s.n});
                const Host weight =
                    random_host(random, {s.n, s.depth}, 1 / std::sqrt(static_cast<float>(s.depth)), dtype);
                const std::string what = text(tile.name, ", ", s.rows, " rows, n ", s.n, ", depth ", s.depth);
                const auto product = [=](Ending ending, const Kernels& k, Memory& m) {
                    Tensor out = ending == Ending::Accumulate ? m.put(start) : m.make({s.rows, s.n});
                    const Tensor in = m.put(x), w = m.put(weight);
                    if (is_emulated(k)) {
                        gpu::gemm(out, in, w, ending, tile.shape);
                    } else {
                        ending == Ending::Accumulate ? matmul_add(k, out, in, w) : matmul(k, out, in, w);
                        if (ending == Ending::Relu) activate(k, out, Activation::ReLU);
                    }
                    return std::vector{out};
                };
                for (Ending ending : {Ending::Assign, Ending::Relu})
                    cases.push_back({"matmul", dtype, text(what, ending == Ending::Relu ? ", relu" : ""),
                                     [=](const Kernels& k, Memory& m) { return product(ending, k, m); }});
                cases.push_back({"matmul_add", dtype, what,
                                 [=](const Kernels& k, Memory& m) { return product(Ending::Accumulate, k, m); }});
            }
        hold(cases);
    }
}

TEST_CASE("cuda gemm: gate and up at once; q, k and v at once") {
    Random random(901);
    for (DType dtype : WEIGHT_DTYPES) {
        std::vector<Case> cases;
        for (const Tile& tile : TILES)
            for (Size s : {Size{65, 133, 72}, {129, 128, 48}, {18, 7, 33}}) {
                s.depth = depth_of(dtype, s.depth);
                const float size = 1 / std::sqrt(static_cast<float>(s.depth));
                const Host x = random_host(random, {s.rows, s.depth});
                const Host a = random_host(random, {s.n, s.depth}, size, dtype);
                const Host b = random_host(random, {s.n, s.depth}, size, dtype);
                const Host c = random_host(random, {2 * s.n + 1, s.depth}, size, dtype);
                const std::string what = text(tile.name, ", ", s.rows, " rows, n ", s.n, ", depth ", s.depth);
                cases.push_back({"feed_forward", dtype, what, [=](const Kernels& k, Memory& m) {
                                     Tensor out = m.make({s.rows, s.n}), in = m.put(x);
                                     FeedForwardWeights w;
                                     w.gate = m.put(a), w.up = m.put(b);
                                     if (is_emulated(k))
                                         gpu::gemm_swiglu(out, in, w.gate, w.up, tile.shape);
                                     else
                                         feed_forward(k, out, in, w, m.make(x.shape), m.make({s.rows, s.n}));
                                     return std::vector{out};
                                 }});
                cases.push_back({"matmul", dtype, text(what, " and three"), [=](const Kernels& k, Memory& m) {
                                     Tensor q = m.make({s.rows, 2 * s.n + 1}), in = m.put(x);
                                     Tensor key = m.make({s.rows, s.n}), value = m.make({s.rows, s.n});
                                     QkvWeights w;
                                     w.q = m.put(c), w.k = m.put(a), w.v = m.put(b);
                                     if (is_emulated(k))
                                         gpu::gemm_qkv(q, key, value, in, w.q, w.k, w.v, tile.shape);
                                     else
                                         project_qkv(k, q, key, value, in, w, m.make(x.shape));
                                     return std::vector{q, key, value};
                                 }});
            }
        hold(cases);
    }
}

TEST_CASE("cuda gemm: NaN and infinity go where the reference lets them go") {
    Random random(902);
    for (DType dtype : WEIGHT_DTYPES) {
        std::vector<Case> cases;
        Host x = random_host(random, {40, 64}), weight = random_host(random, {33, 64}, 0.1f, dtype);
        x.set(3, std::numeric_limits<float>::quiet_NaN());
        x.set(2 * 64 + 40, std::numeric_limits<float>::infinity());
        x.set(39 * 64 + 63, -std::numeric_limits<float>::infinity());
        for (uint8_t& byte : weight.bytes) {  // infinity times zero is NaN in any order
            if (dtype == DType::I8 && byte == 0) byte = 1;
            if (dtype == DType::F8 && byte % 128 == 0) byte = 1;
            if (dtype == DType::I4 && byte % 16 == 8) byte++;
            if (dtype == DType::I4 && byte / 16 == 8) byte = static_cast<uint8_t>(byte + 16);
        }
        for (const Tile& tile : TILES)
            cases.push_back({"matmul", dtype, text(tile.name, ", NaN and infinity"), [=](const Kernels& k, Memory& m) {
                                 Tensor out = m.make({40, 33}), in = m.put(x), w = m.put(weight);
                                 if (is_emulated(k))
                                     gpu::gemm(out, in, w, Ending::Assign, tile.shape);
                                 else
                                     matmul(k, out, in, w);
                                 return std::vector{out};
                             }});
        hold(cases);
    }
}

// What the split must not lose: a product of one element is as exact as two parts of x can make it.
TEST_CASE("cuda gemm: an element of x counts with both of its parts") {
    const Kernels& k = emulated_cuda_kernels();
    for (auto [dtype, allowed] : {std::pair{DType::BF16, 0x1p-16}, {DType::F16, 0x1p-22}, {DType::F32, 0x1p-21}}) {
        Random random(903);
        Memory m(k);
        Host x = filled({32, 32}, 0), one(dtype, {1, 32});
        for (size_t r = 0; r < 32; r++) x.set(r * 32 + r, std::ldexp(1 + static_cast<float>(random.uniform()), int(r)));
        for (size_t i = 0; i < 32; i++) one.set(i, 1);
        for (const Tile& tile : TILES) {
            Tensor out = m.make({32, 1});
            gpu::gemm(out, m.put(x), m.put(one), Ending::Assign, tile.shape);
            const Host got = m.get(out);
            for (size_t r = 0; r < 32; r++) CHECK(std::abs(got.at(r) - x.at(r * 32 + r)) <= allowed * x.at(r * 32 + r));
        }
    }
}

TEST_CASE("cuda gemm: the yardstick makes the same product") {
    Random random(904);
    CHECK(gpu::why_no_cublas() == nullptr);
    for (DType dtype : FLOAT_DTYPES) {
        std::vector<Case> cases;
        const Host x = random_host(random, {19, 40}), weight = random_host(random, {33, 40}, 0.2f, dtype);
        const Host rounded = random_host(random, {19, 40}, 1, dtype);
        cases.push_back({"matmul", dtype, "cuBLAS", [=](const Kernels& k, Memory& m) {
                             Tensor out = m.make({19, 33}), in = m.put(x), w = m.put(weight);
                             if (is_emulated(k))
                                 gpu::cublas_matmul(out, in, w, m.make({2, 19, 40}, dtype));
                             else
                                 matmul(k, out, in, w);
                             return std::vector{out};
                         }});
        Host widened(DType::F32, {19, 40});
        for (size_t i = 0; i < widened.elements(); i++) widened.set(i, rounded.at(i));
        cases.push_back({"matmul", dtype, "cuBLAS of a rounded x", [=](const Kernels& k, Memory& m) {
                             Tensor out = m.make({19, 33}), w = m.put(weight);
                             if (is_emulated(k))
                                 gpu::cublas_matmul_rounded(out, m.put(rounded), w);
                             else
                                 matmul(k, out, m.put(widened), w);
                             return std::vector{out};
                         }});
        hold(cases);
    }
}

TEST_CASE("cuda gemm: the shape follows the size") {  // the emulated GPU has 4 multiprocessors
    CHECK(gpu::choose_gemm_shape(DType::BF16, 17, 128) == GemmShape::Small);
    CHECK(gpu::choose_gemm_shape(DType::BF16, 64, 4096) == GemmShape::Medium);
    CHECK(gpu::choose_gemm_shape(DType::BF16, 128, 1024) == GemmShape::Large);
    CHECK(gpu::choose_gemm_shape(DType::F32, 4096, 4096) == GemmShape::Large);
}

}  // namespace
}  // namespace leon
