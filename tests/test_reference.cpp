// The reference table defines every operation, so it is checked against something else: values worked out by hand,
// textbook formulas written in another way (complex rotation, an explicit matrix of probabilities, a scattered
// convolution), and properties that the mathematics promises.
#include <complex>
#include <numeric>

#include "kernels/kernels.h"
#include "tests/compare.h"
#include "tests/kernel_harness.h"

#include "tests/testing.h"

namespace leon {
namespace {

const Kernels& K = reference_kernels();

// The reference adds in double and rounds once, and these checks do the same: half a unit in the last place each.
constexpr Tolerance ROUNDING = {1.2e-7, 1e-14};

void check_same(const Host& got, const std::vector<double>& want) {
    std::vector<float> rounded(want.begin(), want.end());
    CHECK(compare(got.floats(), rounded, got.shape, ROUNDING).fault == "");
}

TEST_CASE("reference: bf16 rounds to nearest, ties to even") {
    for (uint32_t half = 0; half < 65536; half++) {
        float value = bf16_to_float(static_cast<uint16_t>(half));
        if (std::isnan(value)) {
            CHECK(std::isnan(bf16_to_float(float_to_bf16(value))));
            continue;
        }
        REQUIRE(float_to_bf16(value) == half);
        if (std::isinf(value) || (half & 0x7fff) >= 0x7f7f) continue;
        // Halfway to the next value away from zero, and one float32 step on either side of that.
        float next = bf16_to_float(static_cast<uint16_t>(half + 1)), middle = value / 2 + next / 2;
        if (std::fabs(value) < 1e-37f) continue;  // there the middle itself may be rounded
        REQUIRE(float_to_bf16(middle) == (half % 2 == 0 ? half : half + 1));
        REQUIRE(float_to_bf16(std::nextafter(middle, value)) == half);
        REQUIRE(float_to_bf16(std::nextafter(middle, next)) == half + 1);
    }
    CHECK(std::isinf(bf16_to_float(float_to_bf16(3.4e38f))));
}

TEST_CASE("reference: gather and gather_add pick rows") {
    Memory m(K);
    Host rows(DType::BF16, {4, 3});
    for (size_t i = 0; i < 12; i++) rows.set(i, static_cast<float>(i));
    Tensor table = m.put(rows);
    Tensor out = m.make({3, 3});
    gather(K, out, table, m.put(int_host({2, 0, 2})));
    check_same(m.get(out), {6, 7, 8, 0, 1, 2, 6, 7, 8});
    gather_add(K, out, table, m.put(int_host({1, 0, 0})), 2);
    check_same(m.get(out), {15, 17, 19, 6, 8, 10, 12, 14, 16});
}

TEST_CASE("reference: norms of rows worked out by hand") {
    Memory m(K);
    Host x(DType::F32, {1, 2});
    x.set(0, 3), x.set(1, 4);
    Host weight(DType::F32, {2});
    weight.set(0, 1), weight.set(1, 2);
    Tensor out = m.make({1, 2});
    rmsnorm(K, out, m.put(x), m.put(weight), 0);  // root of the mean square: sqrt(12.5)
    check_same(m.get(out), {3 / std::sqrt(12.5), 8 / std::sqrt(12.5)});
    rmsnorm(K, out, m.put(x), m.put(weight), 12.5f);
    check_same(m.get(out), {0.6, 1.6});
    layernorm(K, out, m.put(x), {}, {}, 0.75f);  // mean 3.5, variance 0.25
    check_same(m.get(out), {-0.5, 0.5});
}

TEST_CASE("reference: layernorm leaves mean 0 and variance 1, whatever shift and scale came in") {
    Memory m(K);
    Random random(1);
    Host x = random_host(random, {3, 65}, 5), moved = x;
    for (size_t i = 0; i < x.elements(); i++) moved.set(i, x.at(i) * 8 + 16);
    Tensor out = m.make({3, 65}), out_moved = m.make({3, 65});
    layernorm(K, out, m.put(x), {}, {}, 0);
    layernorm(K, out_moved, m.put(moved), {}, {}, 0);
    Host got = m.get(out);
    for (size_t r = 0; r < 3; r++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < 65; i++) sum += got.at(r * 65 + i), squares += std::pow(got.at(r * 65 + i), 2);
        CHECK(std::fabs(sum / 65) < 1e-7);
        CHECK(std::fabs(squares / 65 - 1) < 1e-6);
    }
    CHECK(compare(m.get(out_moved).floats(), got.floats(), got.shape, {1e-6, 1e-12}).fault == "");
}

TEST_CASE("reference: head_norm is layernorm of each head, then its own gain and bias") {
    Memory m(K);
    Random random(2);
    const int rows = 3, heads = 4, head_dim = 6;
    Host x = random_host(random, {rows, heads, head_dim}), weight = random_gain(random, {heads, head_dim});
    Host bias = random_host(random, {heads, head_dim});
    Tensor normed = m.make({rows * heads, head_dim}), got = m.put(x);
    Tensor flat = m.put(x).as({rows * heads, head_dim});
    layernorm(K, normed, flat, {}, {}, 1e-5f);
    head_norm(K, got, m.put(weight), m.put(bias), 1e-5f);
    std::vector<double> want;
    Host base = m.get(normed);
    for (size_t i = 0; i < base.elements(); i++) {
        size_t channel = i % (heads * head_dim);
        want.push_back(static_cast<double>(base.at(i)) * weight.at(channel) + bias.at(channel));
    }
    std::vector<float> rounded(want.begin(), want.end());
    CHECK(compare(m.get(got).floats(), rounded, x.shape, {3e-7, 1e-13}).fault == "");
}

TEST_CASE("reference: rope turns complex numbers, odd ones by the place in the segment if there are two axes") {
    for (int axes : {1, 2}) {
        Memory m(K);
        Random random(3);
        const std::vector<int32_t> positions = {0, 1, 77, 4095};
        const size_t heads = 2, half = 4;
        Host x = random_host(random, {4, 2, 8});
        Tensor got = m.put(x);
        const std::vector<int32_t> segment = axes == 2 ? std::vector<int32_t>{5, 0, 12, 4095} : positions;
        rope(K, got, {m.put(int_host(positions)), axes == 2 ? m.put(int_host(segment)) : Tensor(), 10000});
        std::vector<double> want(x.elements());
        for (size_t t = 0; t < positions.size(); t++)
            for (size_t h = 0; h < heads; h++)
                for (size_t i = 0; i < half; i++) {
                    size_t first = (t * heads + h) * 2 * half + i;
                    std::complex<double> pair(x.at(first), x.at(first + half));
                    double frequency = 1 / std::pow(10.0, static_cast<double>(i));  // 10000^(-2i/8) = 10^-i
                    pair *= std::polar(1.0, (i % 2 == 0 ? positions : segment)[t] * frequency);
                    want[first] = pair.real();
                    want[first + half] = pair.imag();
                }
        check_same(m.get(got), want);
    }
}

TEST_CASE("reference: scores of rotated heads depend on the distance of the positions only") {
    Memory m(K);
    Random random(4);
    Host q = random_host(random, {1, 1, 64}), k = random_host(random, {1, 1, 64});
    auto score = [&](int query_position, int key_position) {
        Tensor a = m.put(q), b = m.put(k);
        rope(K, a, {m.put(int_host({query_position})), {}, 10000});
        rope(K, b, {m.put(int_host({key_position})), {}, 10000});
        std::vector<float> u = m.get(a).floats(), v = m.get(b).floats();
        return std::inner_product(u.begin(), u.end(), v.begin(), 0.0);
    };
    CHECK(std::fabs(score(9, 4) - score(1005, 1000)) < 1e-5);
    CHECK(std::fabs(score(9, 4) - score(9, 9)) > 0.1);  // and they do depend on it
}

TEST_CASE("reference: matmul is a sum of scaled columns") {
    for (DType dtype : {DType::F32, DType::BF16}) {
        Memory m(K);
        Random random(5);
        const size_t rows = 3, n = 5, depth = 7;
        Host x = random_host(random, {3, 7}), weight = random_host(random, {5, 7}, 1, dtype);
        Host start = random_host(random, {3, 5});
        std::vector<double> product(rows * n, 0.0), added;
        for (size_t d = 0; d < depth; d++)
            for (size_t i = 0; i < n; i++)
                for (size_t r = 0; r < rows; r++)
                    product[r * n + i] += static_cast<double>(weight.at(i * depth + d)) * x.at(r * depth + d);
        for (size_t i = 0; i < product.size(); i++) added.push_back(product[i] + start.at(i));
        Tensor out = m.make({3, 5}), sum = m.put(start);
        matmul(K, out, m.put(x), m.put(weight));
        matmul_add(K, sum, m.put(x), m.put(weight));
        check_same(m.get(out), product);
        check_same(m.get(sum), added);
    }
}

TEST_CASE("reference: layernorm's gain and bias come after the norm") {
    Memory m(K);
    Host x(DType::F32, {1, 4}), weight(DType::F32, {4}), bias(DType::F32, {4});
    const float values[] = {2, 4, 4, 6}, gains[] = {1, 2, -1, 0}, shifts[] = {0, 1, 5, 7};  // mean 4, variance 2
    for (size_t i = 0; i < 4; i++) x.set(i, values[i]), weight.set(i, gains[i]), bias.set(i, shifts[i]);
    Tensor out = m.make({1, 4});
    layernorm(K, out, m.put(x), m.put(weight), m.put(bias), 2);  // divided by sqrt(2 + 2)
    check_same(m.get(out), {-1, 1, 5, 7});
}

TEST_CASE("reference: add, activate and swiglu element by element") {
    Memory m(K);
    Host x(DType::F32, {1, 4}), y(DType::F32, {1, 4});
    const float values[] = {-1.5f, 0, 1, 30}, others[] = {2, 3, -4, 0.5f};
    for (size_t i = 0; i < 4; i++) x.set(i, values[i]), y.set(i, others[i]);
    Tensor sum = m.put(x), scaled = m.put(x), gated = m.make({1, 4});
    add(K, sum, m.put(y));
    check_same(m.get(sum), {0.5, 3, -3, 30.5});
    add(K, scaled, m.put(y), -0.5f);
    check_same(m.get(scaled), {-2.5, -1.5, 3, 29.75});
    Tensor rows = m.put(x).as({2, 2});
    add(K, rows, Tensor(m.put(y).data, DType::F32, {2}), 2);  // (2, 3), twice, to each row
    check_same(m.get(rows), {2.5, 6, 5, 36});
    const auto activated = [&](Activation kind, Tensor slope = {}) {
        Tensor t = m.put(x);
        activate(K, t, kind, slope);
        return m.get(t);
    };
    check_same(activated(Activation::ReLU), {0, 0, 1, 30});
    check_same(activated(Activation::Leaky, m.put(y)), {-3, 0, 1, 30});
    check_same(activated(Activation::Swish),
               {-1.5 * (1 - std::tanh(0.75)) / 2, 0, (1 + std::tanh(0.5)) / 2, 15 * (1 + std::tanh(15.0))});
    check_same(activated(Activation::QuickGELU), {-1.5 * (1 - std::tanh(0.75 * 1.702)) / 2, 0,
                                                  (1 + std::tanh(0.5 * 1.702)) / 2, 15 * (1 + std::tanh(15.0))});
    // The normal distribution's tables: 0.06680720 below -1.5, 0.84134475 below 1.
    check_same(activated(Activation::GELU), {-1.5 * 0.0668072013, 0, 0.8413447461, 30});
    swiglu(K, gated, m.put(x), m.put(y));
    // sigmoid(z) = (1 + tanh(z/2)) / 2
    check_same(m.get(gated), {-3 * (1 - std::tanh(0.75)) / 2, 0, -4 * (1 + std::tanh(0.5)) / 2, 15});
}

TEST_CASE("reference: append follows the page table, and attention reads what it wrote") {
    Memory m(K);
    Random random(6);
    const int kv_heads = 2, head_dim = 4, heads = 4, tokens = 40;
    // One stream of 40 positions on the pages 2 and 0.
    KvPages cache = {m.make({3, kv_heads, PAGE_TOKENS, head_dim}), m.make({3, kv_heads, PAGE_TOKENS, head_dim}),
                     m.put(int_host({2, 0}, {1, 2}))};
    Host k = random_host(random, {tokens, kv_heads, head_dim}), v = random_host(random, {tokens, kv_heads, head_dim});
    Host q = random_host(random, {tokens, heads, head_dim});
    std::vector<int32_t> position(tokens);
    std::iota(position.begin(), position.end(), 0);
    Placement at = {m.put(int_host(std::vector<int32_t>(tokens, 0))), m.put(int_host(position))};
    append(K, cache, m.put(k), m.put(v), at);
    Host keys = m.get(cache.keys);
    CHECK(keys.at(((2 * kv_heads + 1) * PAGE_TOKENS + 5) * head_dim + 3) == k.at((5 * kv_heads + 1) * head_dim + 3));
    CHECK(keys.at(((0 * kv_heads + 0) * PAGE_TOKENS + 7) * head_dim + 0) == k.at((39 * kv_heads + 0) * head_dim + 0));
    CHECK(std::isnan(keys.at(1 * kv_heads * PAGE_TOKENS * head_dim)));  // page 1 belongs to nobody

    // The matrix of probabilities of each head, row by row below the diagonal.
    std::vector<double> want(q.elements());
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < tokens; i++) {
            std::vector<double> p(tokens, 0.0);
            for (int j = 0; j <= i; j++) {
                for (int c = 0; c < head_dim; c++)
                    p[j] += static_cast<double>(q.at((i * heads + h) * head_dim + c)) *
                            k.at((j * kv_heads + h / 2) * head_dim + c) / 2;  // sqrt(head_dim) = 2
                p[j] = std::exp(p[j]);
            }
            double total = std::accumulate(p.begin(), p.end(), 0.0);
            for (int c = 0; c < head_dim; c++)
                for (int j = 0; j <= i; j++)
                    want[(i * heads + h) * head_dim + c] += p[j] / total * v.at((j * kv_heads + h / 2) * head_dim + c);
        }
    Tensor out = m.make({tokens, heads, head_dim});
    attention(K, out, m.put(q), cache, at);
    check_same(m.get(out), want);
}

// The transpose of the definition: every input pixel adds itself to the outputs that see it.
std::vector<double> scattered_convolution(const Host& x, const Host& weight, const Host& bias, const Convolution& s) {
    const int64_t height = x.shape[0], width = x.shape[1], in = x.shape[2], out = weight.shape[0];
    const int64_t out_height = convolved(height, s), out_width = convolved(width, s);
    std::vector<double> want(static_cast<size_t>(out_height * out_width * out));
    for (size_t i = 0; i < want.size(); i++) want[i] = bias.at(i % static_cast<size_t>(out));
    for (int64_t y = 0; y < height * s.upsample; y++)
        for (int64_t col = 0; col < width * s.upsample; col++)
            for (int64_t oy = 0; oy < out_height; oy++)
                for (int64_t ox = 0; ox < out_width; ox++) {
                    int64_t i = y + s.pad_before - oy * s.stride, j = col + s.pad_before - ox * s.stride;
                    if (i < 0 || j < 0 || i >= s.kernel || j >= s.kernel) continue;
                    for (int64_t o = 0; o < out; o++)
                        for (int64_t c = 0; c < in; c++)
                            want[(oy * out_width + ox) * out + o] +=
                                static_cast<double>(weight.at(((o * s.kernel + i) * s.kernel + j) * in + c)) *
                                x.at((y / s.upsample * width + col / s.upsample) * in + c);
                }
    return want;
}

TEST_CASE("reference: conv2d gathers what a scatter would add") {
    const Convolution shapes[] = {{},
                                  {.kernel = 1, .pad_before = 0, .pad_after = 0},
                                  {.stride = 2, .pad_before = 0, .pad_after = 1},
                                  {.upsample = 2}};
    Random random(7);
    for (const Convolution& shape : shapes)
        for (DType dtype : {DType::F32, DType::BF16}) {
            Memory m(K);
            Host x = random_host(random, {4, 6, 3}), bias = random_host(random, {5});
            Host weight = random_host(random, {5, shape.kernel, shape.kernel, 3}, 1, dtype);
            Tensor out = m.make({convolved(4, shape), convolved(6, shape), 5});
            conv2d(K, out, m.put(x), m.put(weight), m.put(bias), shape);
            check_same(m.get(out), scattered_convolution(x, weight, bias, shape));
        }
}

TEST_CASE("reference: conv2d of ones counts the taps inside the picture") {
    Memory m(K);
    Tensor x = m.put(filled({3, 4, 2}, 1)), weight = m.put(filled({1, 3, 3, 2}, 1)), bias = m.put(filled({1}, 100));
    Tensor out = m.make({3, 4, 1});
    conv2d(K, out, x, weight, bias, {});
    check_same(m.get(out), {108, 112, 112, 108, 112, 118, 118, 112, 108, 112, 112, 108});
    // VQGAN's downsampling pads right and below only: the first output sees nine pixels, the last one four.
    Tensor even = m.put(filled({4, 4, 2}, 1)), half = m.make({2, 2, 1});
    conv2d(K, half, even, weight, bias, {.stride = 2, .pad_before = 0, .pad_after = 1});
    check_same(m.get(half), {118, 112, 112, 108});
}

TEST_CASE("reference: group_norm is a layernorm of the transposed picture") {
    Random random(8);
    const size_t pixels = 12, channels = 6;
    Host x = random_host(random, {3, 4, 6}, 2), weight = random_gain(random, {6}), bias = random_host(random, {6});
    for (int groups : {1, 2, 3, 6})
        for (Activation activation : {Activation::None, Activation::Swish}) {
            Memory m(K);
            // The rows of `grouped` are the groups.
            const size_t width = channels / static_cast<size_t>(groups);
            Host grouped(DType::F32, {groups, static_cast<int64_t>(pixels * width)});
            auto place = [&](size_t p, size_t c) { return c / width * pixels * width + p * width + c % width; };
            for (size_t p = 0; p < pixels; p++)
                for (size_t c = 0; c < channels; c++) grouped.set(place(p, c), x.at(p * channels + c));
            Tensor normed = m.make(grouped.shape), out = m.make(x.shape);
            layernorm(K, normed, m.put(grouped), {}, {}, 1e-6f);
            group_norm(K, out, m.put(x), m.put(weight), m.put(bias), groups, 1e-6f, activation);
            Host rows = m.get(normed);
            std::vector<float> want(x.elements());
            for (size_t p = 0; p < pixels; p++)
                for (size_t c = 0; c < channels; c++) {
                    double value = static_cast<double>(rows.at(place(p, c))) * weight.at(c) + bias.at(c);
                    if (activation == Activation::Swish) value *= (1 + std::tanh(value / 2)) / 2;
                    want[p * channels + c] = static_cast<float>(value);
                }
            CHECK(compare(m.get(out).floats(), want, x.shape, {3e-7, 1e-13}).fault == "");
        }
}

TEST_CASE("reference: spatial_attention is the explicit matrix of probabilities") {
    Memory m(K);
    Random random(9);
    const size_t pixels = 10, channels = 4;
    Host q = random_host(random, {10, 4}), k = random_host(random, {10, 4}), v = random_host(random, {10, 4});
    std::vector<double> want(pixels * channels, 0.0);
    for (size_t i = 0; i < pixels; i++) {
        double total = 0;
        for (size_t j = 0; j < pixels; j++) {
            double dot = 0;
            for (size_t c = 0; c < channels; c++) dot += static_cast<double>(q.at(i * 4 + c)) * k.at(j * 4 + c);
            double p = std::exp(dot / 2);
            total += p;
            for (size_t c = 0; c < channels; c++) want[i * 4 + c] += p * v.at(j * 4 + c);
        }
        for (size_t c = 0; c < channels; c++) want[i * 4 + c] /= total;
    }
    Tensor out = m.make({10, 4});
    spatial_attention(K, out, m.put(q), m.put(k), m.put(v));
    check_same(m.get(out), want);
}

TEST_CASE("reference: nearest_code finds the row it came from, and the first of equals") {
    Memory m(K);
    Random random(10);
    Host codebook = random_host(random, {50, 8}), z(DType::F32, {50, 8});
    for (size_t c = 0; c < 8; c++) codebook.set(40 * 8 + c, codebook.at(7 * 8 + c));  // code 40 repeats code 7
    std::vector<int32_t> want;
    for (int i = 0; i < 50; i++) {
        int code = (i * 13) % 50;
        for (size_t c = 0; c < 8; c++) z.set(i * 8 + c, codebook.at(code * 8 + c) + 0.01f * random.normal());
        want.push_back(code == 40 ? 7 : code);
    }
    Tensor codes = m.make({50}, DType::I32);
    nearest_code(K, codes, m.put(z), m.put(codebook));
    CHECK(m.get(codes).ints() == want);
}

}  // namespace
}  // namespace leon
