// Every claim of GradKernels against the definition, over odd shapes: tolerances stand in one table.
#include "training/tests/grad_harness.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>

#include "tests/compare.h"
#include "tests/cuda_on_cpu/core.h"
#include "tests/testing.h"
#include "training/cpu/amx.h"
#include "training/cpu/variants.h"

namespace leon {

namespace cuda_emulated::grad {
const GradKernels& table();
const GradKernels& bf16_table();
}  // namespace cuda_emulated::grad

std::vector<GradTable> grad_tables() {
    static const std::vector<GradKernels> emulated = [] {
        std::vector<GradKernels> renamed = {cuda_emulated::grad::table(), cuda_emulated::grad::bf16_table()};
        renamed[0].name = "cuda-emulated";
        renamed[1].name = "cuda-emulated-bf16";
        return renamed;
    }();
    std::vector<GradTable> all;
    for (const auto& variants : {cpu_grad_variants(), cpu_bf16_grad_variants()})
        for (const GradKernels* variant : variants) all.push_back({&cpu_kernels(), variant});
    if (static bool told = false; !amx_granted() && !told) {
        told = true;
        MESSAGE("this machine has no AMX: its table is not tested");
    }
    for (const GradKernels& table : emulated) all.push_back({&emulated_cuda_kernels(), &table});
    for (const GradKernels* table : {cuda_grad_kernels(), cuda_bf16_grad_kernels()})
        if (table) all.push_back({cuda_kernels(), table});
    const std::vector<const Kernels*> wanted = backends();
    std::erase_if(
        all, [&](const GradTable& t) { return std::find(wanted.begin(), wanted.end(), t.kernels) == wanted.end(); });
    return all;
}

std::vector<GradWay> ways(const GradTable& table) {
    using cuda_emulated::emu::Order;
    std::vector<GradWay> list;
    if (table.kernels == &emulated_cuda_kernels()) {
        if (std::getenv("EMU_SCHED")) return {{"as EMU_SCHED says", [] {}}};
        for (auto [name, order] : {std::pair("in reverse", Order::Reverse), std::pair("at random", Order::Random),
                                   std::pair("forward", Order::Forward)})
            list.push_back({name, [order = order] { cuda_emulated::emu::set_schedule({order, 1}); }});
        return list;
    }
    if (table.kernels == cuda_kernels()) return {{"at first", [] {}}, {"again", [] {}}};
    const int threads_before = cpu_threads();
    for (int threads : {1, 2, 3, threads_before})
        list.push_back({text("with ", threads, " threads"), [=] { set_cpu_threads(threads); }});
    return list;
}

namespace {

// By operation, of float32 and of bf16 products. Beside each the largest errors measured over all tables of a kind; no
// tolerance is more than four times its error. Heads of two channels that are nearly equal make the norm's way back
// ill-conditioned: rotate_backward.
struct Tolerances {
    Tolerance f32, bf16;
};
const std::map<std::string, Tolerances> TOLERANCES = {
    {"linear", {{3e-6, 2e-13}, {1.5e-6, 3e-14}}},           // 1.1e-6, 4.5e-14; 4.9e-7, 6.6e-15
    {"linear_dx", {{4e-6, 6e-13}, {1.5e-6, 1.2e-13}}},      // 1.7e-6, 2.6e-13; 8.1e-7, 5.4e-14
    {"linear_dw", {{3e-6, 1e-13}, {1e-6, 2e-14}}},          // 8.9e-7, 4.0e-14; 3.7e-7, 6.6e-15
    {"attention", {{2e-6, 1e-13}, {8e-3, 2e-6}}},           // 7.5e-7, 4.1e-14; 2.5e-3, 6.7e-7
    {"attention_backward", {{6e-6, 3e-13}, {4e-2, 5e-6}}},  // 2.3e-6, 1.3e-13; 1.2e-2, 3.6e-6
    {"norm_backward", {{2e-5, 1e-11}, {2e-5, 1e-11}}},      // 6.5e-6, 3.2e-12
    {"rotate", {{2e-5, 6e-12}, {2e-5, 6e-12}}},             // 5.8e-6, 1.9e-12
    {"rotate_backward", {{1.5e-4, 4e-6}, {1.5e-4, 4e-6}}},  // 4.3e-5, 1.3e-6
    {"swiglu_backward", {{2e-6, 3e-14}, {2e-6, 3e-14}}},    // 5.3e-7, 9.8e-15
    {"relu_backward", {{0, 0}, {0, 0}}},                    // 0
    {"gather_backward", {{4e-6, 4e-13}, {4e-6, 4e-13}}},    // 1.2e-6, 1.1e-13
    {"cross_entropy", {{1.2e-6, 6e-10}, {1.2e-6, 6e-10}}},  // 3.8e-7, 1.8e-10
};

Tolerance tolerance_of(const GradTable& table, const GradCase& c) {
    const auto found = TOLERANCES.find(c.operation);
    REQUIRE_MESSAGE(found != TOLERANCES.end(), "no tolerance for ", c.operation);
    if (!table.is_bf16()) return found->second.f32;
    // A GPU's tensor cores cut their sums off where the emulator rounds them: of the products of tests/test_kernels.cpp
    // an H200 showed up to 8.4 times the emulator's error, and 23 times the cosine.
    const Tolerance wide = found->second.bf16;
    return table.kernels == cuda_kernels() ? Tolerance{4 * wide.error, 12 * wide.cosine} : wide;
}

std::vector<Host> results_of(const GradCase& c, const GradTable& table) {
    Memory memory(*table.kernels);
    const std::vector<Tensor> tensors = c.call(*table.grads, memory);
    std::vector<Host> results;
    for (const Tensor& tensor : tensors) results.push_back(memory.get(tensor));
    CHECK_MESSAGE(memory.intact(), table.grads->name, " ", c.operation, " ", c.what, ": wrote beside its arrays");
    return results;
}

bool is_cuda(const GradTable& table) {
    return std::string_view(table.grads->name).starts_with("cuda");
}

bool is_product(const GradCase& c) {
    const std::string_view operation = c.operation;
    return operation.starts_with("linear") || operation.starts_with("attention");
}

std::map<std::string, Comparison>& measured() {
    static std::map<std::string, Comparison> worst;
    return worst;
}

}  // namespace

void hold(const std::vector<GradCase>& cases) {
    for (const GradCase& c : cases) {
        std::map<bool, std::vector<Host>> wanted;  // of tables of bf16, and of the others
        for (const GradKernels* definition : {&reference_grad_kernels(), &reference_bf16_grad_kernels()})
            for (const Host& host : wanted[definition == &reference_bf16_grad_kernels()] =
                                        results_of(c, {&reference_kernels(), definition})) {
                const std::vector<float> values = host.floats();
                REQUIRE(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }));
            }
        for (const GradTable& table : grad_tables()) {
            // The CUDA tables have but one function for what multiplies no matrices.
            if (is_cuda(table) && table.is_bf16() && !is_product(c)) continue;
            const std::vector<Host>& want = wanted[table.is_bf16()];
            std::vector<Host> first;
            for (const GradWay& way : ways(table)) {
                way.choose();
                const std::vector<Host> got = results_of(c, table);
                REQUIRE(got.size() == want.size());
                const std::string where = text(table.grads->name, " ", c.operation, " ", c.what, ", ", way.name);
                for (size_t i = 0; i < got.size(); i++) {
                    if (!first.empty()) {
                        const std::string fault = first_difference(got[i].floats(), first[i].floats(), got[i].shape);
                        CHECK_MESSAGE(fault.empty(), where, ", result ", i, ": other bits: ", fault);
                        continue;
                    }
                    const Comparison comparison =
                        compare(got[i].floats(), want[i].floats(), want[i].shape, tolerance_of(table, c), c.scale);
                    CHECK_MESSAGE(comparison.fault.empty(), where, ", result ", i, ": ", comparison.fault);
                    Comparison& worst = measured()[text(c.operation, is_cuda(table) ? " cuda" : " cpu",
                                                        table.is_bf16() ? " bf16" : " f32")];
                    worst.error = std::max(worst.error, comparison.error);
                    worst.cosine = std::max(worst.cosine, comparison.cosine);
                }
                if (first.empty()) first = got;
            }
        }
    }
}

namespace {

// An output of an operation: numbers to be added to, or NaN to be overwritten.
Tensor output(Memory& memory, Random& random, std::vector<int64_t> shape, Accumulate accumulate) {
    return accumulate == Accumulate::Yes ? memory.put(random_host(random, shape)) : memory.make(shape);
}

constexpr Accumulate BOTH[] = {Accumulate::No, Accumulate::Yes};
const char* name_of(Accumulate accumulate) {
    return accumulate == Accumulate::Yes ? "added" : "assigned";
}

struct Product {
    int64_t rows, depth;
    std::vector<int64_t> outputs;
    std::string what() const {
        std::string all = text("[", rows, ", ", depth, "] to");
        for (int64_t n : outputs) all += text(" ", n);
        return all;
    }
};

// One, primes, one beside the widths of tiles, and the shapes of a small model: a projection alone, q, k and v, gate
// and up, a slice of the vocabulary.
std::vector<Product> products() {
    std::vector<Product> all = {{1, 1, {1}},      {1, 64, {64}},          {2, 3, {5, 7, 1}},          {7, 13, {17, 3}},
                                {33, 32, {31}},   {64, 64, {64, 64, 64}}, {65, 96, {96, 32, 32}},     {127, 40, {65}},
                                {16, 256, {256}}, {61, 257, {129}},       {200, 48, {176, 176}},      {96, 704, {256}},
                                {513, 31, {33}},  {40, 64, {1601}},       {390, 72, {200, 100, 204}}, {516, 96, {128}},
                                {130, 72, {192}}, {130, 192, {72}}};
    for (int64_t n : {2, 3, 7, 15, 16, 17, 31, 33, 63, 65}) {
        all.push_back({n, 20, {18}});
        all.push_back({20, n, {18}});
        all.push_back({20, 18, {n}});
    }
    return all;
}

std::vector<Tensor> random_tensors(Memory& memory, Random& random, const std::vector<std::vector<int64_t>>& shapes) {
    std::vector<Tensor> all;
    for (const std::vector<int64_t>& shape : shapes) all.push_back(memory.put(random_host(random, shape)));
    return all;
}

}  // namespace

TEST_CASE("grad kernels: linear") {
    std::vector<GradCase> cases;
    for (const Product& p : products())
        for (Accumulate accumulate : BOTH)
            cases.push_back({"linear", p.what() + ", " + name_of(accumulate),
                             [p, accumulate](const GradKernels& k, Memory& memory) {
                                 Random random(21);
                                 const Tensor x = memory.put(random_host(random, {p.rows, p.depth}));
                                 std::vector<Tensor> outs, weights;
                                 for (int64_t n : p.outputs) {
                                     weights.push_back(memory.put(random_host(random, {n, p.depth})));
                                     outs.push_back(output(memory, random, {p.rows, n}, accumulate));
                                 }
                                 linear(k, outs, x, weights, accumulate);
                                 return outs;
                             },
                             std::sqrt(static_cast<double>(p.depth))});
    hold(cases);
}

TEST_CASE("grad kernels: linear_dx") {
    std::vector<GradCase> cases;
    for (const Product& p : products())
        for (Accumulate accumulate : BOTH) {
            int64_t terms = 0;
            for (int64_t n : p.outputs) terms += n;
            cases.push_back({"linear_dx", p.what() + ", " + name_of(accumulate),
                             [p, accumulate](const GradKernels& k, Memory& memory) {
                                 Random random(22);
                                 std::vector<Tensor> douts, weights;
                                 for (int64_t n : p.outputs) {
                                     weights.push_back(memory.put(random_host(random, {n, p.depth})));
                                     douts.push_back(memory.put(random_host(random, {p.rows, n})));
                                 }
                                 const Tensor dx = output(memory, random, {p.rows, p.depth}, accumulate);
                                 linear_dx(k, dx, douts, weights, accumulate);
                                 return std::vector<Tensor>{dx};
                             },
                             std::sqrt(static_cast<double>(terms))});
        }
    hold(cases);
}

TEST_CASE("grad kernels: linear_dw") {
    std::vector<GradCase> cases;
    for (const Product& p : products())
        cases.push_back({"linear_dw", p.what(),
                         [p](const GradKernels& k, Memory& memory) {
                             Random random(23);
                             const Tensor x = memory.put(random_host(random, {p.rows, p.depth}));
                             std::vector<Tensor> douts, dweights;
                             for (int64_t n : p.outputs) {
                                 douts.push_back(memory.put(random_host(random, {p.rows, n})));
                                 dweights.push_back(memory.put(random_host(random, {n, p.depth})));
                             }
                             linear_dw(k, dweights, x, douts);
                             return dweights;
                         },
                         std::sqrt(static_cast<double>(p.rows))});
    hold(cases);
}

TEST_CASE("grad kernels: norm_backward") {
    std::vector<GradCase> cases;
    for (RowNorm::Kind kind : {RowNorm::Kind::RMS, RowNorm::Kind::Layer})
        for (Accumulate accumulate : BOTH)
            for (int64_t rows : {1, 3, 130, 5000})
                for (int64_t dim : {1, 7, 16, 33, 64, 127, 256}) {
                    if (rows > 130 && dim != 16) continue;  // so many that a part of the sums has more than one round
                    cases.push_back({"norm_backward",
                                     text(kind == RowNorm::Kind::RMS ? "RMS" : "layer", " [", rows, ", ", dim, "], ",
                                          name_of(accumulate)),
                                     [=](const GradKernels& k, Memory& memory) {
                                         Random random(24);
                                         const std::vector<int64_t> shape = {rows, dim};
                                         RowNorm norm = {kind, {}, 1e-5f};
                                         const Tensor x = memory.put(random_host(random, shape));
                                         const Tensor dout = memory.put(random_host(random, shape));
                                         const Tensor dx = output(memory, random, shape, accumulate);
                                         if (kind == RowNorm::Kind::Layer) {
                                             norm_backward(k, dx, {}, dout, x, norm, accumulate);
                                             return std::vector<Tensor>{dx};
                                         }
                                         norm.weight = memory.put(random_gain(random, {dim}));
                                         const Tensor dweight = memory.put(random_host(random, {dim}));
                                         norm_backward(k, dx, dweight, dout, x, norm, accumulate);
                                         return std::vector<Tensor>{dx, dweight};
                                     }});
                }
    hold(cases);
}

TEST_CASE("grad kernels: rotate and its way back") {
    std::vector<GradCase> forward, backward;
    for (bool normed : {false, true})
        for (float theta : {0.0f, 10000.0f})
            for (bool in_place : {false, true})
                // The last one: more than all blocks together take at once.
                for (int64_t rows : {1, 70, normed ? 4300 : 9000})
                    for (int64_t heads : {1, 3, 4})
                        for (int64_t head_dim : {2, 6, 34, 64}) {
                            if (!normed && theta == 0) continue;
                            if (rows > 70 && (heads > 1 || head_dim != 6 || in_place || theta == 0)) continue;
                            const std::string what =
                                text("[", rows, ", ", heads, ", ", head_dim, "]", normed ? " normed" : "",
                                     theta > 0 ? " turned" : "", in_place ? " in place" : "");
                            const auto prepare = [=](Memory& memory, Random& random, HeadNorm& norm, Rotary& rotary) {
                                std::vector<int32_t> at;
                                for (int64_t r = 0; r < rows; r++) at.push_back(random.below(4096));
                                rotary = {memory.put(int_host(at)), {}, theta};
                                Random another(27);
                                for (int32_t& p : at) p = another.below(300);
                                if (head_dim != 6) rotary.segment = memory.put(int_host(at));
                                if (normed)
                                    norm = {memory.put(random_gain(random, {heads, head_dim})),
                                            memory.put(random_host(random, {heads, head_dim})), 1e-5f};
                            };
                            const std::vector<int64_t> shape = {rows, heads, head_dim};
                            forward.push_back({"rotate", what, [=](const GradKernels& k, Memory& memory) {
                                                   Random random(25);
                                                   HeadNorm norm;
                                                   Rotary rotary;
                                                   prepare(memory, random, norm, rotary);
                                                   const Tensor x = memory.put(random_host(random, shape));
                                                   const Tensor out = in_place ? x : memory.make(shape);
                                                   rotate(k, out, x, norm, rotary);
                                                   return std::vector<Tensor>{out};
                                               }});
                            backward.push_back({"rotate_backward", what, [=](const GradKernels& k, Memory& memory) {
                                                    Random random(26);
                                                    HeadNorm norm;
                                                    Rotary rotary;
                                                    Tensor x, dweight, dbias;
                                                    prepare(memory, random, norm, rotary);
                                                    const Tensor dout = memory.put(random_host(random, shape));
                                                    const Tensor dx = in_place ? dout : memory.make(shape);
                                                    std::vector<Tensor> results = {dx};
                                                    if (normed) {
                                                        x = memory.put(random_host(random, shape));
                                                        dweight = memory.put(random_host(random, {heads, head_dim}));
                                                        dbias = memory.put(random_host(random, {heads, head_dim}));
                                                        results.insert(results.end(), {dweight, dbias});
                                                    }
                                                    rotate_backward(k, dx, dweight, dbias, dout, x, norm, rotary);
                                                    return results;
                                                }});
                        }
    hold(forward);
    hold(backward);
}

namespace {

struct Packed {
    int64_t heads, kv_heads, head_dim;
    std::vector<int32_t> starts;
    std::string what() const {
        return text(heads, "/", kv_heads, " heads of ", head_dim, ", ", starts.size() - 1, " documents in ",
                    starts.back(), " rows");
    }
};

// Documents of one row, of none, at the widths of blocks and one beside; many of them; some of more rows than the way
// back takes at a time.
std::vector<Packed> packed() {
    std::vector<int32_t> singles, mixed = {0};
    for (int32_t i = 0; i <= 70; i++) singles.push_back(i);
    for (int32_t length : {1, 2, 31, 1, 64, 65, 0, 17, 128, 3}) mixed.push_back(mixed.back() + length);
    return {{1, 1, 1, {0, 1}},
            {2, 2, 8, {0, 7}},
            {4, 2, 16, {0, 3, 4, 20}},
            {6, 2, 20, {0, 33}},
            {3, 1, 64, singles},
            {4, 4, 64, mixed},
            {4, 1, 32, mixed},
            {2, 1, 33, mixed},
            {1, 1, 128, {0, 130}},
            {2, 2, 64, {0, 63, 64, 192}},
            {2, 2, 48, {0, 200}},
            {4, 2, 160, {0, 5, 45}},
            {1, 1, 64, {0, 30, 93, 130}},
            {2, 1, 40, {0, 257, 290}},
            {1, 1, 64, {0, 5, 560}}};
}

// What attention() writes of q, k and v by the definition.
std::array<Host, 2> defined_attention(const Packed& p, const std::array<Host, 3>& in) {
    Memory memory(reference_kernels());
    const int64_t rows = p.starts.back();
    const Tensor out = memory.make({rows, p.heads, p.head_dim}), log_sums = memory.make({rows, p.heads});
    attention(reference_grad_kernels(), out, log_sums, memory.put(in[0]), memory.put(in[1]), memory.put(in[2]),
              memory.put(int_host(p.starts)));
    return {memory.get(out), memory.get(log_sums)};
}

}  // namespace

TEST_CASE("grad kernels: attention and its way back") {
    std::vector<GradCase> forward, backward;
    for (const Packed& p : packed()) {
        const int64_t rows = p.starts.back();
        const std::vector<int64_t> q_shape = {rows, p.heads, p.head_dim}, k_shape = {rows, p.kv_heads, p.head_dim};
        forward.push_back(
            {"attention", p.what(), [=](const GradKernels& k, Memory& memory) {
                 Random random(27);
                 const std::vector<Tensor> in = random_tensors(memory, random, {q_shape, k_shape, k_shape});
                 const Tensor out = memory.make(q_shape), log_sums = memory.make({rows, p.heads});
                 attention(k, out, log_sums, in[0], in[1], in[2], memory.put(int_host(p.starts)));
                 return std::vector<Tensor>{out, log_sums};
             }});
        backward.push_back(
            {"attention_backward", p.what(), [=](const GradKernels& k, Memory& memory) {
                 Random random(28);
                 const std::vector<Tensor> in = random_tensors(memory, random, {q_shape, k_shape, k_shape, q_shape});
                 const Tensor dq = memory.make(q_shape), dk = memory.make(k_shape);
                 const Tensor dv = memory.make(k_shape), starts = memory.put(int_host(p.starts));
                 // The forward pass of the definition: no table's error enters another's comparison.
                 const std::array<Host, 2> forward_results =
                     defined_attention(p, {memory.get(in[0]), memory.get(in[1]), memory.get(in[2])});
                 const Tensor out = memory.put(forward_results[0]), log_sums = memory.put(forward_results[1]);
                 attention_backward(k, dq, dk, dv, in[3], out, log_sums, in[0], in[1], in[2], starts);
                 return std::vector<Tensor>{dq, dk, dv};
             }});
    }
    hold(forward);
    hold(backward);
}

TEST_CASE("grad kernels: activations") {
    std::vector<GradCase> cases;
    for (int64_t rows : {1, 3, 129})
        for (int64_t cols : {1, 15, 16, 33, 257})
            for (bool in_place : {false, true}) {
                const std::vector<int64_t> shape = {rows, cols};
                const std::string what = text("[", rows, ", ", cols, "]", in_place ? " in place" : "");
                cases.push_back({"swiglu_backward", what, [=](const GradKernels& k, Memory& memory) {
                                     Random random(29);
                                     Host wide = random_host(random, shape, 4);
                                     wide.set(0, 100);  // beyond where exp overflows, once each way
                                     wide.set(wide.elements() - 1, -100);
                                     const Tensor gate = memory.put(wide), up = memory.put(random_host(random, shape));
                                     const Tensor dout = memory.put(random_host(random, shape));
                                     const Tensor dgate = in_place ? gate : memory.make(shape);
                                     const Tensor dup = in_place ? up : memory.make(shape);
                                     swiglu_backward(k, dgate, dup, dout, gate, up);
                                     return std::vector<Tensor>{dgate, dup};
                                 }});
                if (in_place)
                    cases.push_back(
                        {"swiglu_backward", what + ", dgate over dout", [=](const GradKernels& k, Memory& memory) {
                             Random random(30);
                             const std::vector<Tensor> in = random_tensors(memory, random, {shape, shape, shape});
                             swiglu_backward(k, in[2], in[1], in[2], in[0], in[1]);
                             return std::vector<Tensor>{in[2], in[1]};
                         }});
                if (in_place)
                    cases.push_back({"relu_backward", what, [=](const GradKernels& k, Memory& memory) {
                                         Random random(31);
                                         Host activated = random_host(random, shape);
                                         for (size_t i = 0; i < activated.elements(); i++)
                                             activated.set(i, std::max(activated.at(i), 0.0f));
                                         const Tensor dx = memory.put(random_host(random, shape));
                                         relu_backward(k, dx, memory.put(activated));
                                         return std::vector<Tensor>{dx};
                                     }});
            }
    hold(cases);
}

TEST_CASE("grad kernels: gather_backward") {
    std::vector<GradCase> cases;
    for (int64_t rows : {1, 7, 300, 5000})
        for (int64_t dim : {1, 12, 65, 132})
            for (int offset : {0, 2})
                for (int entries : {1, 5, 300}) {
                    if (rows > 300 && (entries < 300 || offset > 0)) continue;
                    cases.push_back({"gather_backward",
                                     text("[", rows, ", ", dim, "] into ", entries, " after ", offset),
                                     [=](const GradKernels& k, Memory& memory) {
                                         Random random(32);
                                         std::vector<int32_t> ids;
                                         for (int64_t r = 0; r < rows; r++) ids.push_back(random.below(entries));
                                         const Tensor dout = memory.put(random_host(random, {rows, dim}));
                                         const Tensor dtable = memory.put(random_host(random, {entries + offset, dim}));
                                         gather_backward(k, dtable, dout, memory.put(int_host(ids)), offset);
                                         return std::vector<Tensor>{dtable};
                                     },
                                     std::sqrt(static_cast<double>(rows) / entries) + 1});
                }
    hold(cases);
}

TEST_CASE("grad kernels: cross_entropy") {
    std::vector<GradCase> cases;
    for (int64_t rows : {1, 3, 17, 130})
        for (int64_t vocab : {1, 2, 17, 64, 1601})
            for (float z_loss : {0.0f, 1e-2f}) {
                if (rows * vocab > 30000) continue;  // beyond where the CPU divides it
                cases.push_back({"cross_entropy", text("[", rows, ", ", vocab, "], z-loss ", z_loss),
                                 [=](const GradKernels& k, Memory& memory) {
                                     Random random(33);
                                     std::vector<int32_t> targets;
                                     Host weights(DType::F32, {rows});
                                     for (int64_t r = 0; r < rows; r++) {
                                         const int draw = random.below(static_cast<int>(vocab) + 1);
                                         targets.push_back(draw == vocab ? NO_TARGET : draw);
                                         weights.set(r, static_cast<float>(random.below(3)) * 0.7f);
                                     }
                                     const Tensor logits = memory.put(random_host(random, {rows, vocab}, 5));
                                     const Tensor losses = memory.make({rows});
                                     cross_entropy(k, losses, logits, memory.put(int_host(targets)),
                                                   memory.put(weights), {z_loss, 0.5f});
                                     return std::vector<Tensor>{losses, logits};
                                 }});
            }
    hold(cases);
}

// For whoever changes a kernel: build/training_tests -tc="*print measured*" -ns, after the cases above.
TEST_CASE("grad kernels: print measured errors" * doctest::skip()) {
    for (const auto& [name, worst] : measured())
        std::printf("%-32s {%.1e, %.1e}\n", name.c_str(), worst.error, worst.cosine);
}

}  // namespace leon
