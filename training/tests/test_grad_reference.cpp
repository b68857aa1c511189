// The definition of every operation of GradKernels against its formula, written again here over complex numbers: the
// imaginary part of f(x + ih) / h is the derivative without a difference (Squire and Trapp, SIAM Review 1998), exact to
// the last bits of a double, so that nothing but float32's rounding of the results may differ.
#include "training/grad_kernels.h"

#include <complex>

#include "tests/compare.h"
#include "tests/kernel_harness.h"
#include "tests/testing.h"

using namespace leon;

namespace {

using Complex = std::complex<double>;
using Values = std::vector<Complex>;

constexpr double STEP = 1e-100;
constexpr Tolerance ROUNDING = {3e-7, 1e-12};

// A function of several arrays, and what each of its results weighs in one sum, whose gradients are wanted.
struct Formula {
    std::vector<Host> inputs;
    std::function<Values(const std::vector<Values>&)> forward;

    std::vector<Values> arguments() const {
        std::vector<Values> all;
        for (const Host& input : inputs) {
            const std::vector<float> floats = input.floats();
            all.emplace_back(floats.begin(), floats.end());
        }
        return all;
    }
    std::vector<float> results() const {
        std::vector<float> all;
        for (const Complex& value : forward(arguments())) all.push_back(static_cast<float>(value.real()));
        return all;
    }
    // d sum(results * weights) / d inputs[input]
    std::vector<float> gradient(size_t input, const std::vector<float>& weights) const {
        std::vector<Values> at = arguments();
        std::vector<float> all;
        for (Complex& element : at[input]) {
            const Complex before = element;
            element += Complex(0, STEP);
            const Values results = forward(at);
            REQUIRE(results.size() == weights.size());
            double sum = 0;
            for (size_t i = 0; i < results.size(); i++) sum += results[i].imag() / STEP * weights[i];
            all.push_back(static_cast<float>(sum));
            element = before;
        }
        return all;
    }
};

void check_equal(const Host& got, const std::vector<float>& want, double scale = 1) {
    const Comparison comparison = compare(got.floats(), want, got.shape, ROUNDING, scale);
    CHECK_MESSAGE(comparison.fault.empty(), comparison.fault);
}

std::vector<float> plus(std::vector<float> a, const std::vector<float>& b) {
    for (size_t i = 0; i < a.size(); i++) a[i] += b[i];
    return a;
}

Values product(const Values& x, const Values& weight, int64_t rows, int64_t outputs, int64_t depth) {
    Values out(rows * outputs);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t n = 0; n < outputs; n++)
            for (int64_t i = 0; i < depth; i++) out[r * outputs + n] += x[r * depth + i] * weight[n * depth + i];
    return out;
}

// (x - mean) / sqrt(variance + eps) of `count` values, in place.
void standardise(Complex* x, int64_t count, double eps) {
    Complex mean = 0, variance = 0;
    for (int64_t i = 0; i < count; i++) mean += x[i] / double(count);
    for (int64_t i = 0; i < count; i++) variance += (x[i] - mean) * (x[i] - mean) / double(count);
    for (int64_t i = 0; i < count; i++) x[i] = (x[i] - mean) / std::sqrt(variance + eps);
}

const GradKernels& definition() {
    return reference_grad_kernels();
}

}  // namespace

TEST_CASE("gradients: linear") {
    struct Shape {
        int64_t rows, depth;
        std::vector<int64_t> outputs;
    };
    for (const Shape& shape : {Shape{1, 1, {1}}, Shape{3, 5, {4, 2, 7}}, Shape{7, 3, {5, 1}}}) {
        Random random(11);
        const Host x = random_host(random, {shape.rows, shape.depth});
        const Host before = random_host(random, {shape.rows, shape.depth});
        Memory memory(reference_kernels());
        std::vector<Tensor> outs, outs_added, weights, dweights, douts;
        std::vector<float> dx(x.elements());
        std::vector<std::vector<float>> want_outs, want_dweights;
        const Host sum = random_host(random, {1});
        for (int64_t n : shape.outputs) {
            Formula f;
            f.inputs = {x, random_host(random, {n, shape.depth})};
            f.forward = [&](auto& in) { return product(in[0], in[1], shape.rows, n, shape.depth); };
            const Host dout = random_host(random, {shape.rows, n});
            outs.push_back(memory.make({shape.rows, n}));
            outs_added.push_back(memory.put(dout));
            weights.push_back(memory.put(f.inputs[1]));
            dweights.push_back(memory.put(f.inputs[1]));
            douts.push_back(memory.put(dout));
            want_outs.push_back(f.results());
            want_dweights.push_back(plus(f.gradient(1, dout.floats()), f.inputs[1].floats()));
            dx = plus(dx, f.gradient(0, dout.floats()));
        }
        const Tensor in = memory.put(x), assigned = memory.make(x.shape), added = memory.put(before);
        linear(definition(), outs, in, weights);
        linear(definition(), outs_added, in, weights, Accumulate::Yes);
        linear_dx(definition(), assigned, douts, weights);
        linear_dx(definition(), added, douts, weights, Accumulate::Yes);
        linear_dw(definition(), dweights, in, douts);
        for (size_t i = 0; i < outs.size(); i++) {
            check_equal(memory.get(outs[i]), want_outs[i]);
            check_equal(memory.get(outs_added[i]), plus(want_outs[i], memory.get(douts[i]).floats()));
            check_equal(memory.get(dweights[i]), want_dweights[i]);
        }
        check_equal(memory.get(assigned), dx);
        check_equal(memory.get(added), plus(dx, before.floats()));
        CHECK(memory.intact());
    }
}

TEST_CASE("gradients: norms of rows") {
    for (RowNorm::Kind kind : {RowNorm::Kind::RMS, RowNorm::Kind::Layer})
        for (int64_t rows : {1, 3})
            for (int64_t dim : {1, 2, 7, 24}) {
                CAPTURE(rows);
                CAPTURE(dim);
                Random random(12);
                const bool rms = kind == RowNorm::Kind::RMS;
                // A large mean, and an eps that counts.
                Host x = random_host(random, {rows, dim});
                for (size_t i = 0; i < x.elements(); i++) x.set(i, x.at(i) + 3);
                const float eps = 0.05f;
                Formula f;
                f.inputs = {x, random_gain(random, {dim})};
                f.forward = [&](auto& in) {
                    Values out = in[0];
                    for (int64_t r = 0; r < rows; r++) {
                        Complex squares = 0;
                        for (int64_t i = 0; i < dim; i++) squares += out[r * dim + i] * out[r * dim + i] / double(dim);
                        if (!rms) standardise(&out[r * dim], dim, eps);
                        if (rms)
                            for (int64_t i = 0; i < dim; i++)
                                out[r * dim + i] *= in[1][i] / std::sqrt(squares + double(eps));
                    }
                    return out;
                };
                const Host dout = random_host(random, {rows, dim}), before = random_host(random, {rows, dim});
                Memory memory(reference_kernels());
                const Tensor in = memory.put(x), change = memory.put(dout), weight = memory.put(f.inputs[1]);
                const Tensor assigned = memory.make(x.shape), added = memory.put(before);
                Tensor dweight, dweight_too;
                if (rms) dweight = memory.put(f.inputs[1]);
                if (rms) dweight_too = memory.put(f.inputs[1]);
                const RowNorm norm = {kind, rms ? weight : Tensor(), eps};
                norm_backward(definition(), assigned, dweight, change, in, norm, Accumulate::No);
                norm_backward(definition(), added, dweight_too, change, in, norm, Accumulate::Yes);
                const std::vector<float> dx = f.gradient(0, dout.floats());
                check_equal(memory.get(assigned), dx);
                check_equal(memory.get(added), plus(dx, before.floats()));
                if (rms) {
                    const std::vector<float> want = plus(f.gradient(1, dout.floats()), f.inputs[1].floats());
                    check_equal(memory.get(dweight), want);
                    check_equal(memory.get(dweight_too), want);
                }
                CHECK(memory.intact());
            }
}

TEST_CASE("gradients: heads normed and turned") {
    struct Choice {
        bool norm;
        float theta;
        bool two_axes;
    };
    for (const Choice choice :
         {Choice{true, 0, false}, Choice{false, 100, false}, Choice{true, 10000, false}, Choice{true, 100, true}})
        for (int64_t heads : {1, 3})
            for (int64_t head_dim : {2, 6, 8}) {
                CAPTURE(choice.norm);
                CAPTURE(choice.theta);
                Random random(13);
                const int64_t rows = 3, width = heads * head_dim, half = head_dim / 2;
                const std::vector<int32_t> position = {0, 5, 1001};
                const std::vector<int32_t> segment = choice.two_axes ? std::vector<int32_t>{3, 0, 256} : position;
                const float eps = 0.01f;
                Formula f;
                f.inputs = {random_host(random, {rows, heads, head_dim}), random_gain(random, {heads, head_dim}),
                            random_host(random, {heads, head_dim})};
                f.forward = [&](auto& in) {
                    Values out = in[0];
                    for (int64_t r = 0; r < rows; r++)
                        for (int64_t h = 0; h < heads; h++) {
                            Complex* head = &out[r * width + h * head_dim];
                            if (choice.norm) {
                                standardise(head, head_dim, eps);
                                for (int64_t i = 0; i < head_dim; i++)
                                    head[i] = head[i] * in[1][h * head_dim + i] + in[2][h * head_dim + i];
                            }
                            for (int64_t i = 0; choice.theta > 0 && i < half; i++) {
                                const double angle =
                                    (i % 2 == 0 ? position : segment)[r] *
                                    std::pow(double(choice.theta), -2.0 * double(i) / double(head_dim));
                                const Complex u = head[i], v = head[i + half];
                                head[i] = u * std::cos(angle) - v * std::sin(angle);
                                head[i + half] = u * std::sin(angle) + v * std::cos(angle);
                            }
                        }
                    return out;
                };
                const Host dout = random_host(random, {rows, heads, head_dim});
                Memory memory(reference_kernels());
                const Rotary at = {memory.put(int_host(position)),
                                   choice.two_axes ? memory.put(int_host(segment)) : Tensor(), choice.theta};
                const Tensor change = memory.put(dout);
                const Tensor in = memory.put(f.inputs[0]), in_place = memory.put(f.inputs[0]);
                const Tensor out = memory.make(f.inputs[0].shape), dx = memory.make(f.inputs[0].shape);
                HeadNorm norm;
                Tensor dweight, dbias;
                if (choice.norm) {
                    norm = {memory.put(f.inputs[1]), memory.put(f.inputs[2]), eps};
                    dweight = memory.put(f.inputs[1]);
                    dbias = memory.put(f.inputs[2]);
                }
                rotate(definition(), out, in, norm, at);
                rotate(definition(), in_place, in_place, norm, at);
                check_equal(memory.get(out), f.results());
                check_equal(memory.get(in_place), f.results());
                const Tensor kept = choice.norm ? in : Tensor();
                rotate_backward(definition(), dx, dweight, dbias, change, kept, norm, at);
                check_equal(memory.get(dx), f.gradient(0, dout.floats()));
                if (choice.norm) {
                    check_equal(memory.get(dweight), plus(f.gradient(1, dout.floats()), f.inputs[1].floats()));
                    check_equal(memory.get(dbias), plus(f.gradient(2, dout.floats()), f.inputs[2].floats()));
                }
                rotate_backward(definition(), change, dweight, dbias, change, kept, norm, at);
                CHECK(first_difference(memory.get(change).floats(), memory.get(dx).floats(), dout.shape).empty());
                CHECK(memory.intact());
            }
}

TEST_CASE("gradients: attention within documents") {
    struct Shape {
        int64_t heads, kv_heads, head_dim;
        std::vector<int32_t> starts;
    };
    for (const Shape& shape : {Shape{1, 1, 1, {0, 1}}, Shape{2, 2, 3, {0, 4}}, Shape{4, 2, 2, {0, 1, 4, 5, 7}},
                               Shape{3, 1, 4, {0, 2, 2, 5}}}) {
        Random random(14);
        const int64_t rows = shape.starts.back(), heads = shape.heads, kv_heads = shape.kv_heads,
                      head_dim = shape.head_dim;
        Formula f;
        f.inputs = {random_host(random, {rows, heads, head_dim}), random_host(random, {rows, kv_heads, head_dim}),
                    random_host(random, {rows, kv_heads, head_dim})};
        Values log_sums;
        f.forward = [&](auto& in) {
            Values out(rows * heads * head_dim);
            log_sums.assign(rows * heads, 0);
            for (size_t d = 0; d + 1 < shape.starts.size(); d++)
                for (int64_t t = shape.starts[d]; t < shape.starts[d + 1]; t++)
                    for (int64_t h = 0; h < heads; h++) {
                        const int64_t g = h * kv_heads / heads;
                        Values weight;
                        Complex total = 0;
                        for (int64_t p = shape.starts[d]; p <= t; p++) {
                            Complex score = 0;
                            for (int64_t i = 0; i < head_dim; i++)
                                score +=
                                    in[0][(t * heads + h) * head_dim + i] * in[1][(p * kv_heads + g) * head_dim + i];
                            weight.push_back(std::exp(score / std::sqrt(double(head_dim))));
                            total += weight.back();
                        }
                        log_sums[t * heads + h] = std::log(total);
                        for (int64_t p = shape.starts[d]; p <= t; p++)
                            for (int64_t i = 0; i < head_dim; i++)
                                out[(t * heads + h) * head_dim + i] +=
                                    weight[p - shape.starts[d]] / total * in[2][(p * kv_heads + g) * head_dim + i];
                    }
            return out;
        };
        const Host dout = random_host(random, {rows, heads, head_dim});
        Memory memory(reference_kernels());
        const Tensor starts = memory.put(int_host(shape.starts)), change = memory.put(dout);
        const Tensor q = memory.put(f.inputs[0]), k = memory.put(f.inputs[1]), v = memory.put(f.inputs[2]);
        const Tensor out = memory.make(dout.shape), sums = memory.make({rows, heads});
        const Tensor dq = memory.make(dout.shape), dk = memory.make(f.inputs[1].shape);
        const Tensor dv = memory.make(f.inputs[1].shape);
        attention(definition(), out, sums, q, k, v, starts);
        check_equal(memory.get(out), f.results());
        std::vector<float> want_sums;
        for (const Complex& sum : log_sums) want_sums.push_back(static_cast<float>(sum.real()));
        check_equal(memory.get(sums), want_sums);
        attention_backward(definition(), dq, dk, dv, change, out, sums, q, k, v, starts);
        check_equal(memory.get(dq), f.gradient(0, dout.floats()));
        check_equal(memory.get(dk), f.gradient(1, dout.floats()));
        check_equal(memory.get(dv), f.gradient(2, dout.floats()));
        CHECK(memory.intact());
    }
}

TEST_CASE("gradients: activations") {
    Random random(15);
    const std::vector<int64_t> shape = {3, 5};
    Formula f;
    f.inputs = {random_host(random, shape, 3), random_host(random, shape)};
    f.forward = [](auto& in) {
        Values out;
        for (size_t i = 0; i < in[0].size(); i++) out.push_back(in[0][i] / (1.0 + std::exp(-in[0][i])) * in[1][i]);
        return out;
    };
    const Host dout = random_host(random, shape);
    Memory memory(reference_kernels());
    const Tensor gate = memory.put(f.inputs[0]), up = memory.put(f.inputs[1]), change = memory.put(dout);
    const Tensor dgate = memory.make(shape), dup = memory.make(shape);
    swiglu_backward(definition(), dgate, dup, change, gate, up);
    check_equal(memory.get(dgate), f.gradient(0, dout.floats()));
    check_equal(memory.get(dup), f.gradient(1, dout.floats()));
    swiglu_backward(definition(), gate, up, change, gate, up);  // in place
    CHECK(first_difference(memory.get(gate).floats(), memory.get(dgate).floats(), shape).empty());
    CHECK(first_difference(memory.get(up).floats(), memory.get(dup).floats(), shape).empty());

    Host activated(DType::F32, {4});
    for (int i = 0; i < 4; i++) activated.set(i, std::vector<float>{0, 2, -0.0f, 1e-30f}[i]);
    const Tensor dx = memory.put(filled({4}, 7));
    relu_backward(definition(), dx, memory.put(activated));
    CHECK(memory.get(dx).floats() == std::vector<float>{0, 7, 0, 7});
    CHECK(memory.intact());
}

TEST_CASE("gradients: rows of a table") {
    Random random(16);
    const std::vector<int32_t> ids = {2, 0, 2, 3, 2};
    for (int offset : {0, 2}) {
        const Host table = random_host(random, {4 + offset, 3}), dout = random_host(random, {5, 3});
        Formula f;
        f.inputs = {table};
        f.forward = [&](auto& in) {
            Values out;
            for (int32_t id : ids)
                for (int i = 0; i < 3; i++) out.push_back(in[0][(id + offset) * 3 + i]);
            return out;
        };
        Memory memory(reference_kernels());
        const Tensor dtable = memory.put(table);
        gather_backward(definition(), dtable, memory.put(dout), memory.put(int_host(ids)), offset);
        check_equal(memory.get(dtable), plus(table.floats(), f.gradient(0, dout.floats())));
        CHECK(memory.intact());
    }
}

TEST_CASE("gradients: softmax cross-entropy with z-loss") {
    const std::vector<int32_t> targets = {2, NO_TARGET, 0, 4, 1};
    const std::vector<float> weights = {1, 1, 0.25f, 0, 3};
    const int64_t rows = 5, vocab = 5;
    for (float z_loss : {0.0f, 0.1f}) {
        Random random(17);
        Formula f;
        f.inputs = {random_host(random, {rows, vocab}, 2)};
        f.forward = [&](auto& in) {
            Values losses(rows);
            for (int64_t r = 0; r < rows; r++) {
                Complex total = 0;
                for (int64_t i = 0; i < vocab; i++) total += std::exp(in[0][r * vocab + i]);
                const Complex log_z = std::log(total);
                if (targets[r] != NO_TARGET)
                    losses[r] = log_z - in[0][r * vocab + targets[r]] + double(z_loss) * log_z * log_z;
            }
            return losses;
        };
        Memory memory(reference_kernels());
        const Tensor logits = memory.put(f.inputs[0]), losses = memory.make({rows});
        Host weight(DType::F32, {rows});
        std::vector<float> scaled;
        for (int64_t r = 0; r < rows; r++) {
            weight.set(r, weights[r]);
            scaled.push_back(weights[r] * 0.5f);
        }
        cross_entropy(definition(), losses, logits, memory.put(int_host(targets)), memory.put(weight), {z_loss, 0.5f});
        check_equal(memory.get(losses), f.results());
        check_equal(memory.get(logits), f.gradient(0, scaled));
        CHECK(memory.get(losses).at(1) == 0);
        CHECK(memory.intact());
    }
    // Logits as large as float32 can tell apart neither overflow nor underflow.
    Memory memory(reference_kernels());
    Host large(DType::F32, {1, 2});
    large.set(0, 3e4f);
    large.set(1, -3e4f);
    const Tensor logits = memory.put(large), losses = memory.make({1});
    cross_entropy(definition(), losses, logits, memory.put(int_host({1})), memory.put(filled({1}, 1)), {});
    CHECK(memory.get(losses).at(0) == 6e4f);
    CHECK(memory.get(logits).floats() == std::vector<float>{1, -1});
}
