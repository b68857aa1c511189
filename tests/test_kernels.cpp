// Every backend is held to the reference table: each operation over odd shapes, the shapes of real models, every
// dtype, aliasing where the contract allows it, and values that are hard on arithmetic.
//
// Here: the table of tolerances, the judge, and the operations on rows. Attention and pictures have their own files,
// test_kernels_attention.cpp and test_kernels_pictures.cpp.
#include <limits>

#include "kernels/kernels.h"
#include "tests/compare.h"
#include "tests/cuda_on_cpu/core.h"
#include "tests/kernel_harness.h"

#include "tests/testing.h"

namespace leon {
namespace {

// The largest error over all cases, measured: of all variants of the CPU table, and of the emulated GPU. Four times
// that is allowed. Zero means exact. See tests/compare.h for what `error` and `cosine` mean; dtype is that of the
// weight, or of the cache.
struct Measured {
    const char* operation;
    DType dtype;
    Tolerance cpu, cuda;
};
constexpr Measured MEASURED[] = {
    {"gather", DType::F32, {0, 0}, {0, 0}},
    {"gather", DType::BF16, {0, 0}, {0, 0}},
    {"gather", DType::F16, {0, 0}, {0, 0}},
    {"gather", DType::I8, {0, 0}, {0, 0}},
    {"gather", DType::F8, {0, 0}, {0, 0}},
    {"gather", DType::I4, {0, 0}, {0, 0}},
    {"gather_add", DType::F32, {0, 0}, {0, 0}},
    {"gather_add", DType::BF16, {0, 0}, {0, 0}},
    {"gather_add", DType::F16, {0, 0}, {0, 0}},
    {"gather_add", DType::I8, {0, 0}, {0, 0}},
    {"gather_add", DType::F8, {0, 0}, {0, 0}},
    {"gather_add", DType::I4, {0, 0}, {0, 0}},
    {"rmsnorm", DType::F32, {4.2e-7, 1.7e-14}, {1.5e-7, 3.7e-15}},
    {"layernorm", DType::F32, {2.9e-6, 6.8e-13}, {1.1e-6, 2.0e-13}},
    {"head_norm", DType::F32, {1.7e-6, 6.0e-14}, {1.7e-6, 6.0e-14}},
    {"rope", DType::F32, {1.6e-7, 1.6e-15}, {3.6e-7, 2.9e-15}},
    {"add", DType::F32, {0, 0}, {0, 0}},
    {"add, scaled", DType::F32, {9.9e-8, 8.6e-16}, {0, 0}},
    {"relu", DType::F32, {0, 0}, {0, 0}},
    {"leaky relu", DType::F32, {0, 0}, {0, 0}},
    {"swish", DType::F32, {7.9e-8, 2.1e-15}, {7.9e-8, 2.1e-15}},
    {"quick gelu", DType::F32, {9.0e-8, 2.4e-15}, {9.0e-8, 2.4e-15}},
    {"gelu", DType::F32, {7.9e-8, 3.6e-15}, {7.9e-8, 1.5e-15}},
    {"swiglu", DType::F32, {1.1e-7, 2.8e-15}, {1.1e-7, 2.8e-15}},
    {"matmul", DType::F32, {1.3e-6, 2.3e-13}, {2.4e-6, 5.0e-13}},
    {"matmul", DType::BF16, {1.7e-6, 2.1e-13}, {1.1e-5, 1.0e-11}},
    {"matmul", DType::F16, {1.4e-6, 1.6e-13}, {2.0e-6, 3.0e-13}},
    {"matmul", DType::I8, {2.2e-6, 2.8e-13}, {1.2e-5, 2.2e-11}},
    {"matmul", DType::F8, {2.0e-6, 1.8e-13}, {1.5e-5, 1.5e-11}},
    {"matmul", DType::I4, {2.4e-6, 1.7e-13}, {2.5e-5, 5.8e-12}},
    {"matmul_add", DType::F32, {1.7e-6, 1.2e-13}, {2.9e-6, 2.3e-13}},
    {"matmul_add", DType::BF16, {2.0e-6, 8.1e-14}, {1.1e-5, 3.2e-12}},
    {"matmul_add", DType::F16, {1.9e-6, 7.8e-14}, {2.6e-6, 1.5e-13}},
    {"matmul_add", DType::I8, {1.9e-6, 1.2e-13}, {1.2e-5, 8.8e-12}},
    {"matmul_add", DType::F8, {1.8e-6, 8.8e-14}, {1.4e-5, 3.2e-11}},
    {"matmul_add", DType::I4, {2.8e-6, 1.1e-13}, {2.2e-5, 3.9e-12}},
    {"append", DType::F32, {0, 0}, {0, 0}},
    {"append", DType::BF16, {0, 0}, {0, 0}},
    {"append", DType::F16, {0, 0}, {0, 0}},
    {"append", DType::I8, {0, 0}, {0, 0}},
    {"attention", DType::F32, {3.8e-7, 1.2e-12}, {1.2e-6, 1.2e-11}},
    {"attention", DType::BF16, {4.2e-7, 1.7e-12}, {8.4e-6, 2.6e-10}},
    {"attention", DType::F16, {4.2e-7, 2.4e-12}, {1.2e-6, 2.2e-12}},
    {"attention", DType::I8, {4.2e-7, 2.4e-12}, {1.2e-5, 2.2e-10}},
    {"project_qkv", DType::F32, {2.2e-6, 2.1e-13}, {3.2e-6, 6.3e-13}},
    {"project_qkv", DType::BF16, {2.9e-6, 6.4e-14}, {2.2e-5, 1.5e-11}},
    {"project_qkv", DType::F16, {2.2e-6, 1.1e-13}, {2.8e-6, 9.9e-14}},
    {"project_qkv", DType::I8, {2.9e-6, 5.6e-14}, {2.2e-5, 6.6e-12}},
    {"project_qkv", DType::F8, {3.5e-6, 7.6e-14}, {2.6e-5, 9.6e-12}},
    {"project_qkv", DType::I4, {3.6e-6, 6.5e-14}, {3.8e-5, 1.4e-11}},
    {"feed_forward", DType::F32, {7.1e-6, 1.4e-13}, {9.0e-6, 3.7e-13}},
    {"feed_forward", DType::BF16, {5.4e-6, 1.4e-13}, {6.0e-5, 2.6e-11}},
    {"feed_forward", DType::F16, {3.1e-6, 2.1e-13}, {5.2e-6, 2.3e-13}},
    {"feed_forward", DType::I8, {7.3e-6, 1.1e-13}, {7.2e-5, 6.9e-11}},
    {"feed_forward", DType::F8, {4.9e-6, 2.0e-13}, {7.0e-5, 2.0e-11}},
    {"feed_forward", DType::I4, {1.3e-5, 4.9e-13}, {1.1e-4, 3.5e-11}},
    {"rotate_append", DType::F32, {4.3e-7, 2.9e-15}, {7.4e-7, 3.8e-15}},
    {"rotate_append", DType::BF16, {8.5e-4, 3.3e-11}, {8.5e-4, 3.3e-11}},
    {"rotate_append", DType::F16, {3.8e-4, 4.3e-12}, {3.8e-4, 4.4e-12}},
    {"rotate_append", DType::I8, {8e-3, 1e-7}, {8e-3, 1e-7}},
    {"norm_add", DType::F32, {8.2e-6, 2.5e-12}, {8.2e-6, 2.5e-12}},
    {"layer", DType::F32, {2.4e-6, 1.7e-13}, {2.4e-6, 2.3e-13}},
    {"layer", DType::I8, {3.4e-6, 1.3e-13}, {3.4e-5, 3.1e-11}},
    {"layer", DType::F8, {2.9e-6, 1.7e-13}, {3.1e-5, 2.6e-11}},
    {"layer", DType::I4, {3.4e-6, 7.7e-14}, {5.0e-5, 2.0e-11}},
    {"conv2d", DType::F32, {1.6e-6, 4.7e-14}, {4.2e-6, 1.1e-12}},
    {"conv2d", DType::BF16, {2.1e-6, 3.0e-13}, {3.0e-6, 4.3e-13}},
    {"conv2d", DType::F16, {2.1e-6, 3.0e-13}, {4.1e-6, 1.7e-13}},
    {"conv2d, half", DType::F32, {1.4e-6, 1.9e-14}, {3.9e-6, 1.7e-13}},
    {"conv2d, half", DType::BF16, {1.5e-6, 1.8e-14}, {9.0e-4, 1.4e-8}},
    {"conv2d, half", DType::F16, {1.3e-6, 1.6e-14}, {1.0e-3, 1.5e-8}},
    {"norm_conv2d", DType::F32, {1.9e-6, 2.9e-14}, {4.1e-6, 3.1e-13}},
    {"norm_conv2d", DType::BF16, {1.3e-6, 2.2e-14}, {4.1e-6, 1.1e-13}},
    {"norm_conv2d", DType::F16, {1.5e-6, 1.8e-14}, {5.1e-6, 1.1e-13}},
    {"group_norm", DType::F32, {6.1e-7, 1.1e-14}, {2.3e-6, 2.0e-13}},
    {"spatial_attention", DType::F32, {1.0e-6, 2.1e-12}, {1.2e-6, 6.9e-12}},
};

bool is_cuda(const Kernels& k) {
    return std::string_view(k.name).starts_with("cuda");
}

Tolerance tolerance(const std::string& operation, DType dtype, const Kernels& k) {
    for (const Measured& m : MEASURED) {
        if (m.operation != operation || m.dtype != dtype) continue;
        const Tolerance measured = is_cuda(k) ? m.cuda : m.cpu;
        // An H200's tensor cores cut their sums off where the emulator rounds them: up to 2.1 times the error and 5.7
        // times the cosine of the emulated GPU's limits were measured.
        const bool hardware = std::string_view(k.name) == "cuda";
        return {(hardware ? 12 : 4) * measured.error, (hardware ? 40 : 4) * measured.cosine};
    }
    FAIL(text("no tolerance for ", operation, " ", name_of(dtype)));
    return {};
}

using Outputs = std::vector<Host>;

Outputs run(const Kernels& k, const Case& c) {
    Memory memory(k);
    Outputs outputs;
    for (const Tensor& t : c.call(k, memory)) outputs.push_back(memory.get(t));
    CHECK_MESSAGE(memory.intact(), text(c.operation, " on ", k.name, ", ", c.what, ": wrote outside its output"));
    return outputs;
}

struct Worst {
    std::string operation;
    DType dtype;
    Tolerance cpu, cuda;
};
std::vector<Worst> worst;

void record(const Case& c, const Kernels& k, const Comparison& comparison) {
    auto found = std::find_if(worst.begin(), worst.end(),
                              [&](const Worst& w) { return w.operation == c.operation && w.dtype == c.dtype; });
    if (found == worst.end()) found = worst.insert(worst.end(), Worst{c.operation, c.dtype, {}, {}});
    Tolerance& largest = is_cuda(k) ? found->cuda : found->cpu;
    largest.error = std::max(largest.error, comparison.error);
    largest.cosine = std::max(largest.cosine, comparison.cosine);
}

void agree(const Case& c, const Kernels& k, const Outputs& got, const Outputs& want) {
    for (size_t i = 0; i < want.size(); i++) {
        std::string fault;
        if (want[i].dtype == DType::I32 || want[i].dtype == DType::U8) {
            if (got[i].bytes != want[i].bytes) fault = "integers differ";
        } else {
            Comparison comparison =
                compare(got[i].floats(), want[i].floats(), want[i].shape, tolerance(c.operation, c.dtype, k), c.scale);
            record(c, k, comparison);
            fault = comparison.fault;
        }
        CHECK_MESSAGE(fault == "", text(c.operation, " on ", k.name, ", ", c.what, ": ", fault));
    }
}

}  // namespace

void print_measured() {
    for (const Worst& w : worst)
        std::printf("    {\"%s\", DType::%s, {%.1e, %.1e}, {%.1e, %.1e}},\n", w.operation.c_str(), name_of(w.dtype),
                    w.cpu.error, w.cpu.cosine, w.cuda.error, w.cuda.cosine);
}

namespace {

// A way to run a backend that must not show in the results.
struct Way {
    std::string name;
    std::function<void()> choose;
};

std::vector<Way> ways(const Kernels& k) {
    using cuda_emulated::emu::Order;
    std::vector<Way> list;
    if (&k == &emulated_cuda_kernels()) {
        if (std::getenv("EMU_SCHED")) return {{"as EMU_SCHED says", [] {}}};
        for (auto [name, order] : {std::pair("forward", Order::Forward), std::pair("in reverse", Order::Reverse),
                                   std::pair("at random", Order::Random)})
            list.push_back({name, [order = order] { cuda_emulated::emu::set_schedule({order, 1}); }});
        return list;
    }
    if (is_cuda(k)) return {{"at first", [] {}}, {"again", [] {}}};
    for (int threads : {1, 2, 3})
        list.push_back({text("with ", threads, " threads"), [=] { set_cpu_threads(threads); }});
    return list;
}

bool same_bits(const Host& a, const Host& b) {
    return a.bytes == b.bytes && a.scale.size() == b.scale.size() &&
           (a.scale.empty() || std::memcmp(a.scale.data(), b.scale.data(), a.scale.size() * sizeof(float)) == 0);
}

}  // namespace

void hold(const std::vector<Case>& cases) {
    std::vector<Outputs> reference;
    for (const Case& c : cases) reference.push_back(run(reference_kernels(), c));
    const int threads_before = cpu_threads();
    const auto schedule_before = cuda_emulated::emu::schedule();
    for (const Kernels* k : backends()) {
        std::vector<Outputs> first_way;
        for (const Way& way : ways(*k)) {
            way.choose();
            const bool first = first_way.size() < cases.size();
            for (size_t i = 0; i < cases.size(); i++) {
                Outputs got = run(*k, cases[i]);
                if (first) {
                    agree(cases[i], *k, got, reference[i]);
                    first_way.push_back(std::move(got));
                    continue;
                }
                for (size_t j = 0; j < got.size(); j++)
                    CHECK_MESSAGE(same_bits(got[j], first_way[i][j]), text(cases[i].operation, " on ", k->name, ", ",
                                                                           cases[i].what, ": other bits ", way.name));
            }
        }
    }
    set_cpu_threads(threads_before);
    cuda_emulated::emu::set_schedule(schedule_before);
}

namespace {

// --- rows -------------------------------------------------------------------------------------------------------

TEST_CASE("kernels: gather and gather_add") {
    Random random(100);
    std::vector<Case> cases;
    for (DType dtype : WEIGHT_DTYPES)
        for (int64_t width : {1, 7, 17, 33, 64, 256})
            for (int64_t rows : {1, 5, 33}) {
                const int64_t dim = depth_of(dtype, width);
                Host table = random_host(random, {19, dim}, 1, dtype), x = random_host(random, {rows, dim});
                std::vector<int32_t> ids(static_cast<size_t>(rows));
                for (int32_t& id : ids) id = random.below(17);
                ids.back() = 16;
                std::string what = text(rows, " of 19 rows of ", dim);
                cases.push_back({"gather", dtype, what, [=](const Kernels& k, Memory& m) {
                                     Tensor out = m.make({rows, dim});
                                     gather(k, out, m.put(table), m.put(int_host(ids)));
                                     return std::vector{out};
                                 }});
                cases.push_back({"gather_add", dtype, what, [=](const Kernels& k, Memory& m) {
                                     Tensor sum = m.put(x);
                                     gather_add(k, sum, m.put(table), m.put(int_host(ids)), 2);
                                     return std::vector{sum};
                                 }});
            }
    hold(cases);
}

// Rows that are hard on a norm: zeros, one constant, a large and a tiny scale, one outlier, an offset.
Host norm_rows(Random& random, int64_t dim) {
    Host x = random_host(random, {8, dim});
    for (int64_t i = 0; i < dim; i++) {
        auto set = [&](int64_t row, float value) { x.set(static_cast<size_t>(row * dim + i), value); };
        set(1, 0);
        set(2, 3);
        set(3, 1e4f * random.normal());
        set(4, 1e-12f * random.normal());
        set(5, i == dim / 2 ? 1e4f : random.normal());
        set(6, 10 + (i % 2 == 0 ? 1.0f : -1.0f) + 0.3f * random.normal());
    }
    return x;
}

TEST_CASE("kernels: rmsnorm and layernorm, in place too") {
    Random random(101);
    std::vector<Case> cases;
    std::vector<int64_t> sizes = ODD_SIZES;
    sizes.insert(sizes.end(), {256, 704, 4096});
    for (int64_t dim : sizes) {
        Host x = norm_rows(random, dim), weight = random_gain(random, {dim}), bias = random_host(random, {dim});
        for (bool in_place : {false, true}) {
            std::string what = text("8 rows of ", dim, in_place ? " in place" : "");
            cases.push_back({"rmsnorm", DType::F32, what, [=](const Kernels& k, Memory& m) {
                                 Tensor in = m.put(x), out = in_place ? in : m.make(x.shape);
                                 rmsnorm(k, out, in, m.put(weight), 1e-5f);
                                 return std::vector{out};
                             }});
            cases.push_back({"layernorm", DType::F32, what, [=](const Kernels& k, Memory& m) {
                                 Tensor in = m.put(x), out = in_place ? in : m.make(x.shape);
                                 layernorm(k, out, in, {}, {}, 1e-5f);
                                 return std::vector{out};
                             }});
            cases.push_back({"layernorm", DType::F32, what + " with parameters", [=](const Kernels& k, Memory& m) {
                                 Tensor in = m.put(x), out = in_place ? in : m.make(x.shape);
                                 layernorm(k, out, in, m.put(weight), m.put(bias), 1e-5f);
                                 return std::vector{out};
                             }});
        }
    }
    hold(cases);
}

TEST_CASE("kernels: head_norm") {
    Random random(102);
    std::vector<Case> cases;
    for (int64_t heads : {1, 3, 8})
        for (int64_t head_dim : {1, 2, 8, 17, 33, 64, 128}) {
            Host x = norm_rows(random, heads * head_dim), weight = random_gain(random, {heads, head_dim});
            Host bias = random_host(random, {heads, head_dim});
            x.shape = {8, heads, head_dim};
            cases.push_back(
                {"head_norm", DType::F32, text(heads, " heads of ", head_dim), [=](const Kernels& k, Memory& m) {
                     Tensor out = m.put(x);
                     head_norm(k, out, m.put(weight), m.put(bias), 1e-5f);
                     return std::vector{out};
                 }});
        }
    hold(cases);
}

TEST_CASE("kernels: rope") {
    Random random(103);
    std::vector<Case> cases;
    const std::vector<int32_t> positions = {0, 1, 2, 31, 32, 1000, 4095, 100000};
    const std::vector<int32_t> segment = {0, 1, 0, 7, 32, 256, 0, 99999};
    for (int64_t heads : {1, 3, 8})
        for (int64_t head_dim : {2, 6, 16, 34, 64, 128})
            for (float theta : {10000.0f, 500000.0f})
                for (int axes : {1, 2}) {
                    Host x = random_host(random, {8, heads, head_dim});
                    const std::string what =
                        text(heads, " heads of ", head_dim, ", theta ", theta, ", ", axes, " axes");
                    cases.push_back({"rope", DType::F32, what, [=](const Kernels& k, Memory& m) {
                                         Tensor out = m.put(x);
                                         const Tensor in_segment = axes == 2 ? m.put(int_host(segment)) : Tensor();
                                         rope(k, out, {m.put(int_host(positions)), in_segment, theta});
                                         return std::vector{out};
                                     }});
                }
    hold(cases);
}

struct NamedActivation {
    const char* name;
    Activation kind;
};
constexpr NamedActivation ACTIVATIONS[] = {{"relu", Activation::ReLU},
                                           {"leaky relu", Activation::Leaky},
                                           {"swish", Activation::Swish},
                                           {"quick gelu", Activation::QuickGELU},
                                           {"gelu", Activation::GELU}};

Case activation_case(const NamedActivation& a, const std::string& what, const Host& x, const Host& slope) {
    return {a.name, DType::F32, what, [=](const Kernels& k, Memory& m) {
                Tensor out = m.put(x);
                activate(k, out, a.kind, a.kind == Activation::Leaky ? m.put(slope) : Tensor());
                return std::vector{out};
            }};
}

TEST_CASE("kernels: add, activate and swiglu, in place too") {
    Random random(104);
    std::vector<Case> cases;
    std::vector<int64_t> sizes = ODD_SIZES;
    sizes.insert(sizes.end(), {704, 5000});
    for (int64_t dim : sizes)
        for (float size : {1.0f, 1e4f}) {
            Host x = random_host(random, {3, dim}, size), y = random_host(random, {3, dim});
            const Host row = random_host(random, {dim});
            x.set(0, 0), x.set(1, -0.0f);
            std::string what = text("3 rows of ", dim, ", size ", size);
            cases.push_back({"add", DType::F32, what, [=](const Kernels& k, Memory& m) {
                                 Tensor sum = m.put(x);
                                 add(k, sum, m.put(y));
                                 return std::vector{sum};
                             }});
            for (const Host& other : {y, row})
                cases.push_back({"add, scaled", DType::F32, what, [=](const Kernels& k, Memory& m) {
                                     Tensor sum = m.put(x);
                                     add(k, sum, m.put(other), 0.2f);
                                     return std::vector{sum};
                                 }});
            for (const NamedActivation& a : ACTIVATIONS) cases.push_back(activation_case(a, what, x, row));
            for (int alias : {0, 1, 2})
                cases.push_back({"swiglu", DType::F32, text(what, ", alias ", alias), [=](const Kernels& k, Memory& m) {
                                     Tensor gate = m.put(x), up = m.put(y);
                                     Tensor out = alias == 0 ? m.make(x.shape) : alias == 1 ? gate : up;
                                     swiglu(k, out, gate, up);
                                     return std::vector{out};
                                 }});
        }
    hold(cases);
}

TEST_CASE("kernels: NaN and infinity go where the reference lets them go") {
    Random random(105);
    std::vector<Case> cases;
    Host x = random_host(random, {4, 65}), y = random_host(random, {4, 65}), weight = random_host(random, {33, 65});
    x.set(3, std::numeric_limits<float>::quiet_NaN());
    x.set(64, std::numeric_limits<float>::quiet_NaN());
    x.set(2 * 65 + 40, std::numeric_limits<float>::infinity());
    for (const NamedActivation& a : ACTIVATIONS)
        cases.push_back(activation_case(a, "NaN and infinity", x, random_host(random, {65})));
    cases.push_back({"swiglu", DType::F32, "NaN and infinity", [=](const Kernels& k, Memory& m) {
                         Tensor out = m.make(x.shape);
                         swiglu(k, out, m.put(x), m.put(y));
                         return std::vector{out};
                     }});
    cases.push_back({"matmul", DType::F32, "NaN and infinity", [=](const Kernels& k, Memory& m) {
                         Tensor out = m.make({4, 33});
                         matmul(k, out, m.put(x), m.put(weight));
                         return std::vector{out};
                     }});
    cases.push_back({"rmsnorm", DType::F32, "NaN", [=](const Kernels& k, Memory& m) {
                         Tensor out = m.make({2, 65});
                         rmsnorm(k, out, m.put(x).first(2), m.put(filled({65}, 1)), 1e-5f);
                         return std::vector{out};
                     }});
    hold(cases);
}

// --- products ---------------------------------------------------------------------------------------------------

struct Product {
    int64_t rows, n, depth;
};

// One dimension odd at a time, all of them odd together, and the products of the storybook model and of a wide one.
std::vector<Product> products() {
    std::vector<Product> list;
    for (int64_t size : ODD_SIZES)
        for (Product p : {Product{size, 33, 40}, Product{3, size, 40}, Product{3, 33, size}, Product{17, size, 64},
                          Product{size, size, size}})
            list.push_back(p);
    for (int64_t rows : {1, 2, 5, 16, 17, 33})
        for (Product p : {Product{rows, 256, 256}, Product{rows, 704, 256}, Product{rows, 256, 704}}) list.push_back(p);
    for (int64_t rows : {1, 2, 4, 17}) list.push_back({rows, 1600, 256});
    for (int64_t rows : {1, 4, 19}) list.push_back({rows, 37, 4096});
    return list;
}

TEST_CASE("kernels: matmul and matmul_add") {
    Random random(110);
    for (DType dtype : WEIGHT_DTYPES) {
        std::vector<Case> cases;
        for (Product p : products())
            for (float size : {1.0f, 1e4f}) {
                p.depth = depth_of(dtype, p.depth);
                if (size > 1 && p.rows * p.n * p.depth > 5000) continue;
                Host x = random_host(random, {p.rows, p.depth}, size), start = random_host(random, {p.rows, p.n}, size);
                Host weight = random_host(random, {p.n, p.depth}, 1 / std::sqrt(static_cast<float>(p.depth)), dtype);
                for (int64_t i = 0; i < p.depth; i++) x.set(static_cast<size_t>(i), 0);  // one row of zeros
                if (p.rows == 1) x = random_host(random, {p.rows, p.depth}, size);
                std::string what = text(p.rows, " rows, n ", p.n, ", depth ", p.depth, ", size ", size);
                auto product = [=](const Kernels& k, Memory& m) {
                    Tensor out = m.make({p.rows, p.n});
                    matmul(k, out, m.put(x), m.put(weight));
                    return std::vector{out};
                };
                auto sum = [=](const Kernels& k, Memory& m) {
                    Tensor out = m.put(start);
                    matmul_add(k, out, m.put(x), m.put(weight));
                    return std::vector{out};
                };
                cases.push_back({"matmul", dtype, what, product, size});
                cases.push_back({"matmul_add", dtype, what, sum, size});
            }
        hold(cases);
    }
}

TEST_CASE("kernels: up to 16 rows, a row of a product does not depend on the rows beside it") {
    Random random(111);
    for (DType dtype : WEIGHT_DTYPES)
        for (auto [n, least] : {std::pair<int64_t, int64_t>{33, 65}, {1600, 256}, {256, 704}, {65, 31}}) {
            const int64_t depth = depth_of(dtype, least);
            Host x = random_host(random, {16, depth}), weight = random_host(random, {n, depth}, 1, dtype);
            for (const Kernels* k : backends()) {
                Memory m(*k);
                Tensor w = m.put(weight), in = m.put(x), all = m.make({16, n});
                matmul(*k, all, in, w);
                std::vector<float> want = m.get(all).floats();
                for (int64_t rows : {1, 2, 3, 4, 5, 7, 8, 11, 15})
                    for (int64_t first = 0; first + rows <= 16; first += rows) {
                        Tensor part(in.f32() + first * depth, DType::F32, {rows, depth});
                        Tensor out = m.make({rows, n}), sum = m.put(filled({rows, n}, 0));
                        matmul(*k, out, part, w);
                        matmul_add(*k, sum, part, w);
                        std::span<const float> rows_wanted(&want[static_cast<size_t>(first * n)],
                                                           static_cast<size_t>(rows * n));
                        std::string fault = first_difference(m.get(out).floats(), rows_wanted, {rows, n});
                        CHECK_MESSAGE(fault == "", text("matmul on ", k->name, ", rows ", first, " to ", first + rows,
                                                        " alone: ", fault));
                        fault = compare(m.get(sum).floats(), rows_wanted, {rows, n}, {0, 0}).fault;
                        CHECK_MESSAGE(fault == "", text("matmul_add to zero on ", k->name, ": ", fault));
                    }
            }
        }
}

// --- the table --------------------------------------------------------------------------------------------------

TEST_CASE("kernels: the comparison notices what it is there for") {
    const std::vector<float> want = {1, 2, NAN, -INFINITY, 5, 6};
    const std::vector<int64_t> shape = {2, 3};
    CHECK(compare(want, want, shape, {0, 0}).fault == "");
    for (size_t i = 0; i < want.size(); i++) {
        std::vector<float> got = want;
        got[i] = i == 3 ? INFINITY : 7;
        std::string fault = compare(got, want, shape, {0.1, 1e-3}).fault;
        CHECK(contains(fault, text("[", i / 3, ", ", i % 3, "]")));
    }
    std::vector<float> all_a_bit_off = {1, 1.05f, 1, 0.95f}, ones(4, 1);
    CHECK(compare(all_a_bit_off, ones, {4}, {0.03, 1}).fault == "");
    CHECK(contains(compare(all_a_bit_off, ones, {4}, {0.03, 1e-4}).fault, "cosine"));
    CHECK(first_difference(std::vector<float>{0.0f}, std::vector<float>{-0.0f}, {1}) != "");
}

}  // namespace
}  // namespace leon
