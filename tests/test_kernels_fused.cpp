// The fused operations of every backend against the compositions that define them: with each kind of norm and without,
// few rows (decoding) and many, all dtypes, odd shapes.
#include "kernels/kernels.h"
#include "tests/compare.h"
#include "tests/kernel_harness.h"

#include "tests/testing.h"

namespace leon {
namespace {

using Kind = RowNorm::Kind;
constexpr Kind KINDS[] = {Kind::None, Kind::RMS, Kind::Layer};
constexpr const char* KIND_NAMES[] = {"no norm", "RMS norm", "layer norm"};

// Activations whose rows differ in size and in mean; one row is zero if there are enough.
Host rows_of(Random& random, int64_t rows, int64_t dim) {
    Host x = random_host(random, {rows, dim});
    for (int64_t r = 0; r < rows; r++) {
        const float size = r % 3 == 0 ? 1.0f : r % 3 == 1 ? 0.1f : 3.0f, mean = r % 4 == 1 ? 0.5f : 0.0f;
        for (int64_t i = 0; i < dim; i++) {
            const size_t at = static_cast<size_t>(r * dim + i);
            x.set(at, r == 4 ? 0 : (x.at(at) + mean) * size);
        }
    }
    return x;
}

struct Norm {
    Kind kind;
    Host gain;
    Norm(Random& random, Kind k, int64_t dim) : kind(k), gain(random_gain(random, {dim})) {}
    RowNorm put(Memory& m) const { return {kind, kind == Kind::RMS ? m.put(gain) : Tensor(), 1e-5f}; }
    const char* name() const { return KIND_NAMES[static_cast<int>(kind)]; }
};

Host weight_of(Random& random, int64_t n, int64_t depth, DType dtype) {
    return random_host(random, {n, depth}, 1 / std::sqrt(static_cast<float>(depth)), dtype);
}

// A row count for every branch of the kernels, and around the limits.
const std::vector<int64_t> ROWS = {1, 2, 3, 5, 8, 9, 16, 17, 35};

// --- projections ------------------------------------------------------------------------------------------------

struct Widths {
    int64_t dim, first, second;  // of q, and of k and v; of the feed-forward branch
};
const std::vector<Widths> WIDTHS = {{1, 1, 1},    {7, 5, 3},      {31, 33, 17},   {64, 64, 64},
                                    {96, 48, 24}, {130, 100, 40}, {256, 256, 32}, {1040, 70, 9}};

TEST_CASE("kernels: project_qkv") {
    Random random(130);
    for (DType dtype : WEIGHT_DTYPES) {
        std::vector<Case> cases;
        for (size_t i = 0; i < WIDTHS.size() * 3 * 2; i++) {
            Widths w = WIDTHS[i % WIDTHS.size()];
            w.dim = depth_of(dtype, w.dim);
            const int64_t rows = ROWS[(i * 4 + static_cast<size_t>(dtype)) % ROWS.size()];
            const Norm norm(random, KINDS[i / WIDTHS.size() % 3], w.dim);
            const Host x = rows_of(random, rows, w.dim);
            const Host q_weight = weight_of(random, w.first, w.dim, dtype);
            const Host k_weight = weight_of(random, w.second, w.dim, dtype);
            const Host v_weight = weight_of(random, w.second, w.dim, dtype);
            cases.push_back(
                {"project_qkv", dtype,
                 text(rows, " rows of ", w.dim, " to ", w.first, " and twice ", w.second, ", ", norm.name()),
                 [=](const Kernels& kernels, Memory& m) {
                     Tensor q = m.make({rows, w.first}), k = m.make({rows, w.second});
                     Tensor v = m.make({rows, w.second});
                     project_qkv(kernels, q, k, v, m.put(x),
                                 {norm.put(m), m.put(q_weight), m.put(k_weight), m.put(v_weight)}, m.make(x.shape));
                     return std::vector{q, k, v};
                 }});
        }
        hold(cases);
    }
}

TEST_CASE("kernels: feed_forward") {
    Random random(131);
    for (DType dtype : WEIGHT_DTYPES) {
        std::vector<Case> cases;
        for (size_t i = 0; i < WIDTHS.size() * 3 * 3; i++) {
            Widths w = WIDTHS[i % WIDTHS.size()];
            w.dim = depth_of(dtype, w.dim);
            const int64_t rows = ROWS[(i * 5 + static_cast<size_t>(dtype)) % ROWS.size()];
            const bool gated = i / WIDTHS.size() / 3 != 1;
            const Norm norm(random, KINDS[i / WIDTHS.size() % 3], w.dim);
            const Host x = rows_of(random, rows, w.dim);
            const Host gate = weight_of(random, w.first, w.dim, dtype), up = weight_of(random, w.first, w.dim, dtype);
            cases.push_back(
                {"feed_forward", dtype,
                 text(rows, " rows of ", w.dim, " to ", w.first, gated ? ", SwiGLU, " : ", ReLU, ", norm.name()),
                 [=](const Kernels& k, Memory& m) {
                     Tensor out = m.make({rows, w.first});
                     feed_forward(k, out, m.put(x), {norm.put(m), gated ? m.put(gate) : Tensor(), m.put(up)},
                                  m.make(x.shape), gated ? m.make({rows, w.first}) : Tensor());
                     return std::vector{out};
                 }});
        }
        hold(cases);
    }
}

TEST_CASE("kernels: up to 16 rows, a row of a fused projection does not depend on the rows beside it") {
    Random random(132);
    const int64_t width = 40;
    for (DType dtype : WEIGHT_DTYPES)
        for (Kind kind : KINDS) {
            const int64_t dim = depth_of(dtype, 200);
            const Norm norm(random, kind, dim);
            const Host x = rows_of(random, 16, dim), gate = weight_of(random, width, dim, dtype);
            const Host up = weight_of(random, width, dim, dtype);
            Memory m(emulated_cuda_kernels());
            const auto both = [&](Tensor in) {
                const int64_t rows = in.rows();
                Tensor out = m.make({rows, width}), q = m.make({rows, width}), k = m.make({rows, width});
                Tensor v = m.make({rows, width}), scratch = m.make({rows, dim});
                feed_forward(emulated_cuda_kernels(), out, in, {norm.put(m), m.put(gate), m.put(up)}, scratch, v);
                project_qkv(emulated_cuda_kernels(), q, k, v, in, {norm.put(m), m.put(gate), m.put(up), m.put(gate)},
                            scratch);
                std::vector<float> all = m.get(out).floats();
                for (const Tensor& t : {q, k, v})
                    for (float value : m.get(t).floats()) all.push_back(value);
                return all;
            };
            Tensor in = m.put(x);
            const std::vector<float> want = both(in);
            for (int64_t first : {0, 3, 7, 8, 15}) {
                Tensor one(in.f32() + first * dim, DType::F32, {1, dim});
                const std::vector<float> got = both(one);
                for (size_t i = 0; i < got.size(); i++) {
                    const size_t array = i / width,
                                 at = array * 16 * width + static_cast<size_t>(first) * width + i % width;
                    CHECK(got[i] == want[at]);
                }
            }
        }
}

// --- rotation and the cache -------------------------------------------------------------------------------------

struct Heads {
    int64_t heads, kv_heads, head_dim;
};

// Streams and positions of tokens, in a cache whose pages are handed out in no order.
Case rotation(Random& random, DType dtype, Heads s, bool normed, float theta, const std::vector<int32_t>& stream,
              const std::vector<int32_t>& position, const std::vector<int32_t>& segment = {}) {
    const std::vector<int32_t> pages = {7, 2, 11, 5, 0, 9, 1, 12, 3, 4, 8, 6};  // [3, 4]
    const int64_t tokens = static_cast<int64_t>(stream.size());
    const Host q = rows_of(random, tokens, s.heads * s.head_dim);
    const Host k = rows_of(random, tokens, s.kv_heads * s.head_dim);
    const Host v = rows_of(random, tokens, s.kv_heads * s.head_dim);
    const Host q_gain = random_gain(random, {s.heads, s.head_dim});
    const Host q_bias = random_host(random, {s.heads, s.head_dim});
    const Host k_gain = random_gain(random, {s.kv_heads, s.head_dim});
    const Host k_bias = random_host(random, {s.kv_heads, s.head_dim});
    const Host cache = random_host(random, {13, s.kv_heads, PAGE_TOKENS, s.head_dim}, 1, dtype);
    const std::string what =
        text(tokens, " tokens, ", s.heads, " and ", s.kv_heads, " heads of ", s.head_dim, normed ? ", normed" : "",
             theta > 0 ? ", rotated" : "", segment.empty() ? "" : " on two axes");
    return {"rotate_append", dtype, what, [=](const Kernels& kernels, Memory& m) {
                Tensor qs = m.put(q).as({tokens, s.heads, s.head_dim});
                Tensor ks = m.put(k).as({tokens, s.kv_heads, s.head_dim});
                Tensor vs = m.put(v).as({tokens, s.kv_heads, s.head_dim});
                HeadNorms norms;
                if (normed) norms = {m.put(q_gain), m.put(q_bias), m.put(k_gain), m.put(k_bias), 1e-5f};
                KvPages paged = {m.put(cache), m.put(cache), m.put(int_host(pages, {3, 4}))};
                const Tensor in_segment = segment.empty() ? Tensor() : m.put(int_host(segment));
                rotate_append(kernels, qs, ks, vs, norms, theta, paged,
                              {m.put(int_host(stream)), m.put(int_host(position)), in_segment});
                return std::vector{qs, paged.keys, paged.values};
            }};
}

TEST_CASE("kernels: rotate_append") {
    Random random(133), another(137);
    const std::vector<Heads> shapes = {{1, 1, 2},  {3, 3, 6},   {4, 2, 16}, {5, 1, 34},
                                       {4, 4, 64}, {6, 2, 128}, {2, 1, 200}};
    std::vector<int32_t> many(70, 1), rising(70);
    for (int32_t i = 0; i < 70; i++) rising[static_cast<size_t>(i)] = 20 + i;
    std::vector<int32_t> in_segment(70);
    for (int32_t i = 0; i < 70; i++) in_segment[static_cast<size_t>(i)] = i % 33;
    for (DType dtype : CACHE_DTYPES) {
        std::vector<Case> cases;
        for (const Heads& s : shapes)
            for (bool normed : {false, true})
                for (float theta : {0.0f, 10000.0f})
                    cases.push_back(
                        rotation(random, dtype, s, normed, theta, {0, 0, 0, 2, 1, 1, 1}, {30, 31, 32, 0, 94, 95, 96}));
        for (const Heads& s : {Heads{5, 2, 12}, Heads{9, 9, 6}}) {
            cases.push_back(rotation(random, dtype, s, true, 10000, many, rising));
            cases.push_back(rotation(another, dtype, s, true, 10000, many, rising, in_segment));
        }
        for (const Heads& s : {Heads{3, 3, 6}, Heads{4, 2, 16}, Heads{6, 2, 128}})
            cases.push_back(rotation(another, dtype, s, true, 10000, {0, 0, 0, 2, 1, 1, 1}, {30, 31, 32, 0, 94, 95, 96},
                                     {12, 0, 1, 0, 90, 0, 1}));
        hold(cases);
    }
}

// --- the end of a branch ----------------------------------------------------------------------------------------

TEST_CASE("kernels: norm_add") {
    Random random(134);
    std::vector<Case> cases;
    std::vector<int64_t> sizes = ODD_SIZES;
    sizes.insert(sizes.end(), {256, 704, 4096, 9000});
    for (int64_t dim : sizes)
        for (Kind kind : KINDS) {
            const int64_t rows = dim > 1000 ? 3 : 9;
            const Norm norm(random, kind, dim);
            const Host x = random_host(random, {rows, dim}), y = rows_of(random, rows, dim);
            cases.push_back({"norm_add", DType::F32, text(rows, " rows of ", dim, ", ", norm.name()),
                             [=](const Kernels& k, Memory& m) {
                                 Tensor sum = m.put(x);
                                 norm_add(k, sum, m.put(y), norm.put(m));
                                 return std::vector{sum};
                             }});
        }
    hold(cases);
}

// --- one after the other ----------------------------------------------------------------------------------------

// Each operation reads what the one before it wrote, and no host is between them: where kernels may begin early, this
// is where they could read too early.
TEST_CASE("kernels: a layer of operations in a row") {
    Random random(135);
    const int64_t heads = 4, kv_heads = 2, head_dim = 16, dim = heads * head_dim, kv_dim = kv_heads * head_dim,
                  ffn = 96;
    for (DType dtype : {DType::F32, DType::I8, DType::F8, DType::I4}) {
        std::vector<Case> cases;
        for (int64_t rows : {2, 20})
            for (Kind kind : {Kind::RMS, Kind::Layer}) {
                const Norm norm(random, kind, dim);
                const Host table = weight_of(random, 30, dim, dtype), wq = weight_of(random, dim, dim, dtype);
                const Host wk = weight_of(random, kv_dim, dim, dtype), wv = weight_of(random, kv_dim, dim, dtype);
                const Host wo = weight_of(random, dim, dim, dtype), gate = weight_of(random, ffn, dim, dtype);
                const Host up = weight_of(random, ffn, dim, dtype), down = weight_of(random, dim, ffn, dtype);
                const Host gain = random_gain(random, {heads, head_dim}), bias = random_host(random, {heads, head_dim});
                const Host k_gain = random_gain(random, {kv_heads, head_dim});
                const Host k_bias = random_host(random, {kv_heads, head_dim});
                std::vector<int32_t> ids, stream, position;
                for (int32_t r = 0; r < rows; r++)
                    ids.push_back(random.below(30)), stream.push_back(0), position.push_back(r);
                const Host cache(DType::F32, {1, kv_heads, PAGE_TOKENS, head_dim});
                cases.push_back(
                    {"layer", dtype, text(rows, " rows, ", norm.name()), [=](const Kernels& k, Memory& m) {
                         Tensor x = m.make({rows, dim}), q = m.make({rows, heads, head_dim}),
                                scratch = m.make({rows, dim});
                         Tensor keys = m.make({rows, kv_heads, head_dim}), values = m.make({rows, kv_heads, head_dim});
                         Tensor mixed = m.make({rows, heads, head_dim}), hidden = m.make({rows, ffn}),
                                gates = m.make({rows, ffn});
                         const RowNorm n = norm.put(m);
                         const QkvWeights qkv{n, m.put(wq), m.put(wk), m.put(wv)};
                         const FeedForwardWeights branch{n, m.put(gate), m.put(up)};
                         const HeadNorms head_norms{m.put(gain), m.put(bias), m.put(k_gain), m.put(k_bias), 1e-5f};
                         const Tensor embedding = m.put(table), output = m.put(wo), last = m.put(down),
                                      tokens = m.put(int_host(ids));
                         const Placement at{m.put(int_host(stream)), m.put(int_host(position))};
                         KvPages pages{m.put(cache), m.put(cache), m.put(int_host({0}, {1, 1}))};
                         const auto flat = [&](Tensor t) { return t.as({rows, t.shape[1] * t.shape[2]}); };

                         gather(k, x, embedding, tokens);
                         project_qkv(k, flat(q), flat(keys), flat(values), x, qkv, scratch);
                         rotate_append(k, q, keys, values, head_norms, 10000, pages, at);
                         attention(k, mixed, q, pages, at);
                         matmul_add(k, x, flat(mixed), output);
                         feed_forward(k, hidden, x, branch, scratch, gates);
                         matmul(k, scratch, hidden, last);
                         norm_add(k, x, scratch, n);
                         return std::vector{x, pages.keys, pages.values};
                     }});
            }
        hold(cases);
    }
}

}  // namespace
}  // namespace leon
