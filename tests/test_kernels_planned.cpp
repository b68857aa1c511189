// The performance model against the emulated GPU: each entry of the table is called once on planning_kernels() and once
// on the emulator, and what the plan says must be what the launcher did. Launches, blocks, threads and barriers
// exactly, tensor-core products nearly; where the build counts traffic (make test-races), the bytes that instructions
// ask for and those that are touched at least once, within bounds.
#include "kernels/planning/planning.h"
#include "tests/cuda_on_cpu/core.h"
#include "tests/kernel_harness.h"

#include "tests/testing.h"

namespace leon {
namespace {

using Call = std::function<void(const Kernels&, Memory&)>;

// The emulated GPU: what tests/cuda_on_cpu/runtime.cpp says of itself.
Machine emulated_machine() {
    Machine m = machine("sm_90");
    m.multiprocessors = 4;
    return m;
}

// How far the planned figures may be from the counted ones, as a factor. Products: of tiles beyond the last row, which
// some kernels leave out and plans do not. Bytes: what every thread reads for itself (positions, page tables, scales)
// is left out of plans.
constexpr double PRODUCTS_WITHIN = 2, BYTES_WITHIN = 1.3;
constexpr double BYTES_OF_A_THREAD = 16, SMALL_BYTES = 4096;

bool is_near(double planned, double counted, double factor, double small) {
    return planned <= counted * factor + small && counted <= planned * factor + small;
}

// Whether barriers follow from shapes and positions alone. Sampling's depend on the logits, too; and where several
// blocks share a candidate, what they ask each other while they wait for one another is not planned.
enum class Certainty { Exact, Estimated, Waiting };

void agree(const std::string& what, const Call& call, Certainty certainty = Certainty::Exact) {
    const Machine m = emulated_machine();
    Work work;
    {
        Memory memory(planning_kernels());
        work = work_of(m, [&] { call(planning_kernels(), memory); });
    }
    cuda_emulated::emu::reset_counters();
    {
        Memory memory(emulated_cuda_kernels());
        call(emulated_cuda_kernels(), memory);
    }
    const cuda_emulated::emu::Counters counted = cuda_emulated::emu::counters;

    uint64_t launches = 0, blocks = 0, threads = 0, barriers = 0;
    double loads = 0, stores = 0, touched = 0, products = 0;
    for (const PlannedCall& planned : work.calls)
        for (const Launch& l : planned.launches) {
            launches++;
            blocks += static_cast<uint64_t>(l.blocks);
            threads += static_cast<uint64_t>(l.blocks * l.threads);
            barriers += static_cast<uint64_t>(l.barriers);
            loads += l.load_bytes;
            stores += l.store_bytes;
            touched += l.weight_bytes + l.input_bytes + l.output_bytes;
            if (l.unit == Unit::Half) products += l.flops / (2 * 16 * 8 * 16);
            if (l.unit == Unit::Tf32) products += l.flops / (2 * 16 * 8 * 8);
        }
    CAPTURE(what);
    CHECK(launches == counted.launches);
    CHECK(blocks == counted.blocks);
    CHECK(threads == counted.threads);
    if (certainty == Certainty::Exact) CHECK(barriers == counted.barriers);
    const double multiplied = static_cast<double>(counted.matrix_products);
    CHECK_MESSAGE(is_near(products, multiplied, PRODUCTS_WITHIN, 0),
                  text(what, ": ", products, " products are planned, ", multiplied, " were counted"));
    if (counted.global_requests == 0 || certainty == Certainty::Waiting) return;  // not counted in this build
    const double read = static_cast<double>(counted.global_read_bytes);           // asynchronous copies are among them
    const double written = static_cast<double>(counted.global_write_bytes);
    const double footprint = 32 * static_cast<double>(counted.footprint_sectors);
    const double small = SMALL_BYTES + BYTES_OF_A_THREAD * static_cast<double>(counted.threads);
    CHECK_MESSAGE(is_near(loads, read, BYTES_WITHIN, small),
                  text(what, ": ", loads, " bytes to load are planned, ", read, " were counted"));
    CHECK_MESSAGE(is_near(stores, written, BYTES_WITHIN, small),
                  text(what, ": ", stores, " bytes to store are planned, ", written, " were counted"));
    CHECK_MESSAGE(is_near(touched, footprint, BYTES_WITHIN, small),
                  text(what, ": ", touched, " bytes are planned to be touched, ", footprint, " were"));
}

// Arrays of the right shapes; what they hold does not matter to the counts, positions and pages aside.
struct Arrays {
    Random random{1};
    Tensor floats(Memory& m, std::vector<int64_t> shape) { return m.put(random_host(random, std::move(shape))); }
    Tensor weight(Memory& m, std::vector<int64_t> shape, DType dtype) {
        return m.put(random_host(random, std::move(shape), 1, dtype));
    }
    Tensor ints(Memory& m, const std::vector<int32_t>& values) { return m.put(int_host(values)); }
};

TEST_CASE("kernels: the plan launches what the emulator counts, rows") {
    for (const auto& size : {std::pair<int64_t, int64_t>{1, 256}, {3, 704}, {33, 128}}) {
        const int64_t rows = size.first, dim = size.second;
        const std::string shape = text(rows, " rows of ", dim);
        const auto rows_of = [=](Memory& m) { return Arrays().floats(m, {rows, dim}); };
        const auto vector = [=](Memory& m) { return Arrays().floats(m, {dim}); };
        agree("gather " + shape, [=](const Kernels& k, Memory& m) {
            const std::vector<int32_t> ids(static_cast<size_t>(rows), 5);
            gather(k, rows_of(m), Arrays().weight(m, {19, dim}, DType::BF16), Arrays().ints(m, ids));
        });
        agree("gather_add " + shape, [=](const Kernels& k, Memory& m) {
            const std::vector<int32_t> ids(static_cast<size_t>(rows), 5);
            gather_add(k, rows_of(m), Arrays().weight(m, {19, dim}, DType::F32), Arrays().ints(m, ids), 2);
        });
        agree("rmsnorm " + shape,
              [=](const Kernels& k, Memory& m) { rmsnorm(k, rows_of(m), rows_of(m), vector(m), 1e-5f); });
        agree("layernorm " + shape,
              [=](const Kernels& k, Memory& m) { layernorm(k, rows_of(m), rows_of(m), {}, {}, 1e-5f); });
        agree("layernorm with parameters " + shape,
              [=](const Kernels& k, Memory& m) { layernorm(k, rows_of(m), rows_of(m), vector(m), vector(m), 1e-5f); });
        agree("head_norm " + shape, [=](const Kernels& k, Memory& m) {
            head_norm(k, rows_of(m).as({rows, dim / 64, 64}), vector(m), vector(m), 1e-5f);
        });
        agree("rope " + shape, [=](const Kernels& k, Memory& m) {
            const std::vector<int32_t> positions(static_cast<size_t>(rows), 7);
            rope(k, rows_of(m).as({rows, dim / 64, 64}), {Arrays().ints(m, positions), {}, 1e4f});
        });
        agree("add " + shape, [=](const Kernels& k, Memory& m) { add(k, rows_of(m), rows_of(m)); });
        agree("add a row " + shape, [=](const Kernels& k, Memory& m) { add(k, rows_of(m), vector(m), 0.2f); });
        agree("activate " + shape, [=](const Kernels& k, Memory& m) { activate(k, rows_of(m), Activation::GELU); });
        agree("activate, slopes " + shape,
              [=](const Kernels& k, Memory& m) { activate(k, rows_of(m), Activation::Leaky, vector(m)); });
        agree("swiglu " + shape, [=](const Kernels& k, Memory& m) { swiglu(k, rows_of(m), rows_of(m), rows_of(m)); });
        for (auto kind : {RowNorm::Kind::None, RowNorm::Kind::RMS, RowNorm::Kind::Layer})
            agree(text("norm_add ", static_cast<int>(kind), " ", shape), [=](const Kernels& k, Memory& m) {
                norm_add(k, rows_of(m), rows_of(m), {kind, vector(m), 1e-5f});
            });
    }
}

TEST_CASE("kernels: the plan launches what the emulator counts, projections") {
    for (DType dtype : WEIGHT_DTYPES)
        for (int64_t rows : {1, 2, 5, 16, 17, 130}) {
            const int64_t dim = 160, ffn_dim = 416;
            const std::string shape = text(rows, " rows, ", name_of(dtype));
            const auto x = [=](Memory& m, int64_t width) { return Arrays().floats(m, {rows, width}); };
            const auto w = [=](Memory& m, int64_t out, int64_t in) { return Arrays().weight(m, {out, in}, dtype); };
            agree("matmul " + shape,
                  [=](const Kernels& k, Memory& m) { matmul(k, x(m, ffn_dim), x(m, dim), w(m, ffn_dim, dim)); });
            agree("matmul_add " + shape,
                  [=](const Kernels& k, Memory& m) { matmul_add(k, x(m, dim), x(m, ffn_dim), w(m, dim, ffn_dim)); });
            for (auto kind : {RowNorm::Kind::None, RowNorm::Kind::RMS, RowNorm::Kind::Layer}) {
                const auto norm = [=](Memory& m) { return RowNorm{kind, Arrays().floats(m, {dim}), 1e-5f}; };
                agree(text("project_qkv, norm ", static_cast<int>(kind), ", ", shape),
                      [=](const Kernels& k, Memory& m) {
                          project_qkv(k, x(m, 128), x(m, 64), x(m, 64), x(m, dim),
                                      {norm(m), w(m, 128, dim), w(m, 64, dim), w(m, 64, dim)}, x(m, dim));
                      });
                for (bool gated : {false, true})
                    agree(text("feed_forward, norm ", static_cast<int>(kind), gated ? ", gated, " : ", ", shape),
                          [=](const Kernels& k, Memory& m) {
                              const Tensor gate = gated ? w(m, ffn_dim, dim) : Tensor();
                              feed_forward(k, x(m, ffn_dim), x(m, dim), {norm(m), gate, w(m, ffn_dim, dim)}, x(m, dim),
                                           gated ? x(m, ffn_dim) : Tensor());
                          });
            }
        }
}

// A cache of `streams` streams with a page of its own for each 32 positions, and the last `rows` rows of each.
struct Cached {
    KvPages pages;
    Placement at;
};
Cached cached(Memory& m, int64_t streams, int64_t rows, int64_t length, int64_t kv_heads, int64_t head_dim,
              DType dtype) {
    const int64_t per_stream = (length + PAGE_TOKENS - 1) / PAGE_TOKENS;
    std::vector<int32_t> table, stream, position;
    for (int64_t i = 0; i < streams * per_stream; i++) table.push_back(static_cast<int32_t>(i));
    for (int64_t s = 0; s < streams; s++)
        for (int64_t r = 0; r < rows; r++) {
            stream.push_back(static_cast<int32_t>(s));
            position.push_back(static_cast<int32_t>(length - rows + r));
        }
    const std::vector<int64_t> shape = {streams * per_stream, kv_heads, PAGE_TOKENS, head_dim};
    Arrays a;
    const Tensor keys = a.weight(m, shape, dtype), values = a.weight(m, shape, dtype);
    return {{keys, values, m.put(int_host(table, {streams, per_stream}))}, {a.ints(m, stream), a.ints(m, position)}};
}

TEST_CASE("kernels: the plan launches what the emulator counts, attention") {
    struct Shape {
        int64_t streams, rows, length, heads, kv_heads, head_dim;
    };
    for (DType dtype : CACHE_DTYPES)
        for (const Shape& s : {Shape{1, 1, 1, 2, 2, 64},
                               {1, 1, 300, 4, 4, 64},
                               {2, 1, 700, 4, 2, 128},
                               {3, 2, 70, 2, 1, 64},
                               {1, 40, 40, 2, 2, 64},
                               {1, 100, 161, 4, 1, 128}}) {
            const std::string shape = text(s.streams, " streams, ", s.rows, " rows, ", s.length, " positions, ",
                                           s.heads, " heads on ", s.kv_heads, " of ", s.head_dim, ", ", name_of(dtype));
            const auto heads = [=](Memory& m, int64_t count) {
                return Arrays().floats(m, {s.streams * s.rows, count, s.head_dim});
            };
            const auto cache = [=](Memory& m) {
                return cached(m, s.streams, s.rows, s.length, s.kv_heads, s.head_dim, dtype);
            };
            agree("attention, " + shape, [=](const Kernels& k, Memory& m) {
                const Cached c = cache(m);
                attention(k, heads(m, s.heads), heads(m, s.heads), c.pages, c.at);
            });
            agree("append, " + shape, [=](const Kernels& k, Memory& m) {
                const Cached c = cache(m);
                append(k, c.pages, heads(m, s.kv_heads), heads(m, s.kv_heads), c.at);
            });
            for (bool normed : {false, true})
                agree((normed ? "rotate_append with norms, " : "rotate_append, ") + shape,
                      [=](const Kernels& k, Memory& m) {
                          const Cached c = cache(m);
                          Arrays a;
                          const std::vector<int64_t> q = {s.heads, s.head_dim}, kv = {s.kv_heads, s.head_dim};
                          HeadNorms norms;
                          if (normed) norms = {a.floats(m, q), a.floats(m, q), a.floats(m, kv), a.floats(m, kv), 1e-5f};
                          rotate_append(k, heads(m, s.heads), heads(m, s.kv_heads), heads(m, s.kv_heads), norms, 1e4f,
                                        c.pages, c.at);
                      });
        }
}

TEST_CASE("kernels: the plan launches what the emulator counts, pictures") {
    const Convolution one = {.kernel = 1, .stride = 1, .pad_before = 0, .pad_after = 0, .upsample = 1}, three;
    const Convolution twice = {.kernel = 3, .stride = 1, .pad_before = 1, .pad_after = 1, .upsample = 2};
    const Convolution half = {.kernel = 3, .stride = 2, .pad_before = 0, .pad_after = 1, .upsample = 1};
    struct Shape {
        int64_t side, in, out;
        Convolution shape;
    };
    for (auto [dtype, exactness] : {std::pair(DType::F32, Exactness::Float32),
                                    {DType::BF16, Exactness::Float32},
                                    {DType::F16, Exactness::Float32},
                                    {DType::BF16, Exactness::Half}})
        for (Shape s : {Shape{9, 32, 32, three},
                        {16, 64, 96, three},
                        {12, 32, 64, one},
                        {8, 32, 32, twice},
                        {18, 32, 32, half},
                        {10, 32, 3, three},
                        {10, 3, 32, three}}) {
            s.shape.exactness = exactness;
            const std::string shape = text(s.in, " to ", s.out, " at ", s.side, ", kernel ", s.shape.kernel, ", ",
                                           name_of(dtype), exactness == Exactness::Half ? ", half" : "");
            const int64_t side = convolved(s.side, s.shape);
            const auto x = [=](Memory& m) { return Arrays().floats(m, {s.side, s.side, s.in}); };
            const auto out = [=](Memory& m) { return Arrays().floats(m, {side, side, s.out}); };
            const auto w = [=, type = dtype](Memory& m) {
                return Arrays().weight(m, {s.out, s.shape.kernel, s.shape.kernel, s.in}, type);
            };
            const auto vector = [](Memory& m, int64_t n) { return Arrays().floats(m, {n}); };
            agree("conv2d " + shape,
                  [=](const Kernels& k, Memory& m) { conv2d(k, out(m), x(m), w(m), vector(m, s.out), s.shape); });
            for (bool residual : {false, true})
                for (bool normed : {false, true})
                    agree(text("norm_conv2d ", shape, residual ? ", residual" : "", normed ? ", norm" : ""),
                          [=](const Kernels& k, Memory& m) {
                              GroupNorm norm;
                              if (normed && s.in % 32 == 0)
                                  norm = {vector(m, s.in), vector(m, s.in), 32, 1e-6f, Activation::Swish};
                              norm_conv2d(k, out(m), x(m), norm, w(m), vector(m, s.out), s.shape,
                                          residual ? out(m) : Tensor(), norm.weight ? x(m) : Tensor());
                          });
            if (s.in % 32 == 0)
                agree("group_norm " + shape, [=](const Kernels& k, Memory& m) {
                    group_norm(k, x(m), x(m), vector(m, s.in), vector(m, s.in), 32, 1e-6f, Activation::Swish);
                });
        }
    for (int64_t pixels : {16, 100}) {
        const auto rows = [=](Memory& m, int64_t width) { return Arrays().floats(m, {pixels, width}); };
        agree(text("spatial_attention of ", pixels), [=](const Kernels& k, Memory& m) {
            spatial_attention(k, rows(m, 64), rows(m, 64), rows(m, 64), rows(m, 64));
        });
        agree(text("nearest_code of ", pixels), [=](const Kernels& k, Memory& m) {
            nearest_code(k, Arrays().ints(m, std::vector<int32_t>(static_cast<size_t>(pixels))), rows(m, 32),
                         Arrays().floats(m, {130, 32}));
        });
        agree(text("to_u8 of ", pixels), [=](const Kernels& k, Memory& m) {
            to_u8(k, m.make({pixels, 3}, DType::U8), rows(m, 3));
        });
    }
}

TEST_CASE("kernels: the plan launches what the emulator counts, sampling") {
    for (int64_t candidates : {1, 3})
        for (int64_t ids : {300, 8192, 20000})
            for (SampleMix mix : {SampleMix::None, SampleMix::Guidance}) {
                SampleRule rule{};
                rule.mix = mix;
                rule.scale = 3;
                rule.steps[0] = {SampleOp::TopP, 0.9f, 0, 0, 0};
                rule.step_count = 1;
                agree(
                    text("sample for ", candidates, " from ", ids, ", ", streams_of(mix), " streams"),
                    [=](const Kernels& k, Memory& m) {
                        Arrays a;
                        const int lanes = streams_of(mix);
                        const auto zeros = [&](std::vector<int64_t> shape) {
                            int64_t n = 1;
                            for (int64_t d : shape) n *= d;
                            return m.put(int_host(std::vector<int32_t>(static_cast<size_t>(n)), std::move(shape)));
                        };
                        Draws d;
                        d.logits = a.floats(m, {candidates * lanes, ids});
                        d.first_id = 0;
                        d.vocab = static_cast<int32_t>(ids);
                        d.lanes = lanes;
                        d.seed = zeros({candidates, 2});
                        d.sequence = zeros({candidates, 8});
                        d.length = zeros({candidates});
                        d.prompt = zeros({candidates});
                        d.tokens = zeros({candidates * lanes});
                        d.position = zeros({candidates * lanes});
                        d.ring = zeros({4, candidates});
                        d.ring_written = zeros({1});
                        d.scratch = m.put(Host(DType::U8, {candidates, SAMPLE_SCRATCH}));
                        sample(k, d, rule);
                    },
                    ids > 8192 ? Certainty::Waiting : Certainty::Estimated);
            }
}

}  // namespace
}  // namespace leon
