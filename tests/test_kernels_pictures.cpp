// The picture operations of every backend against the reference: convolutions as the picture tokenizer uses them, group
// norms, attention over pixels, and the search for the nearest code.
#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "tests/kernel_harness.h"

#include "tests/testing.h"

namespace leon {
namespace {

struct Picture {
    int64_t height, width, in, out;
};

const char* name_of(const Convolution& shape) {
    return shape.exactness == Exactness::Half ? "conv2d, half" : "conv2d";
}

Case convolution_case(Random& random, DType dtype, const Picture& p, const Convolution& shape) {
    Host x = random_host(random, {p.height, p.width, p.in}), bias = random_host(random, {p.out});
    float size = 1 / std::sqrt(static_cast<float>(shape.kernel * shape.kernel * p.in));
    Host weight = random_host(random, {p.out, shape.kernel, shape.kernel, p.in}, size, dtype);
    std::string what = text(p.height, "x", p.width, ", ", p.in, " -> ", p.out, " channels, kernel ", shape.kernel,
                            ", stride ", shape.stride, ", upsample ", shape.upsample);
    return {name_of(shape), dtype, what, [=](const Kernels& k, Memory& m) {
                Tensor out = m.make({convolved(p.height, shape), convolved(p.width, shape), p.out});
                conv2d(k, out, m.put(x), m.put(weight), m.put(bias), shape);
                return std::vector{out};
            }};
}

TEST_CASE("kernels: conv2d") {
    Random random(130);
    // As the picture tokenizer uses it: 3x3, 1x1, downsampling, upsampling; and the two 1x1 forms of the last two.
    const Convolution shapes[] = {{},
                                  {.kernel = 1, .pad_before = 0, .pad_after = 0},
                                  {.stride = 2, .pad_before = 0, .pad_after = 1},
                                  {.upsample = 2},
                                  {.kernel = 1, .stride = 2, .pad_before = 0, .pad_after = 0},
                                  {.kernel = 1, .pad_before = 0, .pad_after = 0, .upsample = 2}};
    const int64_t channels[] = {1, 3, 4, 31, 32, 64, 65};
    for (DType dtype : FLOAT_DTYPES) {
        std::vector<Case> cases;
        for (const Convolution& shape : shapes) {
            for (int64_t in : channels)
                for (int64_t out : channels)
                    if (in * out < 2500) cases.push_back(convolution_case(random, dtype, {2, 5, in, out}, shape));
            for (auto [height, width] :
                 {std::pair<int64_t, int64_t>{1, 1}, {2, 2}, {3, 1}, {1, 17}, {16, 15}, {17, 33}}) {
                if (convolved(height, shape) < 1 || convolved(width, shape) < 1) continue;
                cases.push_back(convolution_case(random, dtype, {height, width, 3, 32}, shape));
                cases.push_back(convolution_case(random, dtype, {height, width, 33, 16}, shape));
            }
            cases.push_back(convolution_case(random, dtype, {6, 7, 64, 65}, shape));
            cases.push_back(convolution_case(random, dtype, {4, 4, 128, 64}, shape));
        }
        hold(cases);
    }
}

// Maps of many tiles, so that a GPU takes its largest ones (the emulated one has four processors), and the widths of
// the published picture tokenizer.
TEST_CASE("kernels: conv2d of wide maps") {
    Random random(134);
    for (DType dtype : FLOAT_DTYPES) {
        std::vector<Case> cases;
        for (Exactness exactness : {Exactness::Float32, Exactness::Half}) {
            cases.push_back(convolution_case(random, dtype, {9, 20, 40, 136}, {.exactness = exactness}));
            cases.push_back(convolution_case(random, dtype, {9, 15, 16, 128}, {.upsample = 2, .exactness = exactness}));
        }
        hold(cases);
    }
}

// 16-bit operands where 16 bits are asked for, and only there.
TEST_CASE("kernels: conv2d of half exactness") {
    Random random(135);
    const Convolution shapes[] = {{.exactness = Exactness::Half},
                                  {.kernel = 1, .pad_before = 0, .pad_after = 0, .exactness = Exactness::Half},
                                  {.upsample = 2, .exactness = Exactness::Half}};
    for (DType dtype : FLOAT_DTYPES) {
        std::vector<Case> cases;
        for (const Convolution& shape : shapes)
            for (auto [in, out] : {std::pair<int64_t, int64_t>{3, 32}, {33, 5}, {64, 3}, {72, 65}})
                cases.push_back(convolution_case(random, dtype, {5, 18, in, out}, shape));
        hold(cases);
    }
}

struct NormedConvolution {
    Picture picture;
    Convolution shape = {};
    int groups = 0;  // 0: no norm
    Activation activation = Activation::None;
    bool residual = false, in_place = false;
};

Case norm_conv2d_case(Random& random, DType dtype, const NormedConvolution& n) {
    const Picture& p = n.picture;
    const Convolution& shape = n.shape;
    const std::vector<int64_t> out_shape = {convolved(p.height, shape), convolved(p.width, shape), p.out};
    Host x = random_host(random, {p.height, p.width, p.in}, 3), bias = random_host(random, {p.out});
    for (size_t i = 0; i < x.elements(); i++) x.set(i, x.at(i) + 2);  // so that a zero before the norm shows
    Host gain = random_gain(random, {p.in}), offset = random_host(random, {p.in});
    Host residual = random_host(random, out_shape);
    const float size = 1 / std::sqrt(static_cast<float>(shape.kernel * shape.kernel * p.in) * (n.groups ? 1 : 13));
    Host weight = random_host(random, {p.out, shape.kernel, shape.kernel, p.in}, size, dtype);
    const char* activation = n.activation == Activation::Swish ? "swish" : "no activation";
    std::string what = text(p.height, "x", p.width, ", ", p.in, " -> ", p.out, " channels, kernel ", shape.kernel,
                            ", stride ", shape.stride, ", upsample ", shape.upsample, ", ", n.groups, " groups, ",
                            activation, n.residual ? ", residual" : "", n.in_place ? ", scratch is x" : "");
    return {"norm_conv2d", dtype, what, [=](const Kernels& k, Memory& m) {
                Tensor out = m.make(out_shape), in = m.put(x);
                const Tensor scratch = !n.groups ? Tensor() : n.in_place ? in : m.make(x.shape);
                GroupNorm norm;
                if (n.groups) norm = {m.put(gain), m.put(offset), n.groups, 1e-6f, n.activation};
                norm_conv2d(k, out, in, norm, m.put(weight), m.put(bias), shape,
                            n.residual ? m.put(residual) : Tensor(), scratch);
                return std::vector{out};
            }};
}

TEST_CASE("kernels: norm_conv2d") {
    Random random(136);
    const Convolution same = {}, point = {.kernel = 1, .pad_before = 0, .pad_after = 0};
    const Convolution halve = {.stride = 2, .pad_before = 0, .pad_after = 1}, twice = {.upsample = 2};
    const Activation swish = Activation::Swish, none = Activation::None;
    const NormedConvolution list[] = {
        {{5, 7, 32, 32}, same, 32, swish, true, false},    {{5, 7, 32, 32}, same, 32, swish, true, true},
        {{8, 17, 64, 96}, same, 32, swish, false, true},   {{9, 16, 96, 64}, same, 32, none, true, false},
        {{3, 33, 64, 3}, same, 32, swish, false, true},    {{4, 5, 33, 5}, same, 3, swish, true, false},
        {{4, 5, 5, 33}, same, 5, swish, true, true},       {{6, 6, 3, 32}, same, 1, none, false, false},
        {{17, 3, 64, 32}, point, 32, none, true, false},   {{5, 5, 33, 3}, point, 11, swish, false, true},
        {{9, 11, 64, 64}, halve, 32, swish, true, false},  {{7, 6, 5, 33}, halve, 1, swish, false, true},
        {{5, 9, 32, 64}, twice, 8, swish, true, false},    {{4, 4, 3, 5}, twice, 3, none, true, true},
        {{5, 7, 64, 32}, same, 0, none, true, false},      {{5, 7, 33, 3}, point, 0, none, true, false},
        {{5, 7, 32, 96}, same, 0, none, false, false},     {{1, 1, 32, 32}, same, 32, swish, true, false},
        {{17, 20, 32, 130}, same, 32, swish, true, false},
    };
    for (DType dtype : FLOAT_DTYPES) {
        std::vector<Case> cases;
        for (const NormedConvolution& n : list) cases.push_back(norm_conv2d_case(random, dtype, n));
        hold(cases);
    }
}

TEST_CASE("kernels: to_u8, infinities and NaN too") {
    Random random(137);
    std::vector<Case> cases;
    const auto case_of = [&](const Host& x, const std::string& what, int64_t skip) {
        cases.push_back({"to_u8", DType::U8, what, [=](const Kernels& k, Memory& m) {
                             const int64_t count = static_cast<int64_t>(x.elements()) - skip;
                             Tensor in = m.put(x), out = m.make({count}, DType::U8);
                             Tensor part(in.f32() + skip, DType::F32, {count});
                             to_u8(k, out, part);
                             return std::vector{out};
                         }});
    };
    for (int64_t count : ODD_SIZES)
        for (int64_t skip : {0, 1})  // not aligned to 16 bytes
            if (count > skip)
                case_of(random_host(random, {count}, 0.7f), text(count, " values, ", skip, " skipped"), skip);
    case_of(random_host(random, {5000}, 0.7f), "5000 values", 0);
    Host edges(DType::F32, {14});
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    size_t i = 0;
    for (float value : {-1.0f, 1.0f, std::nextafter(1.0f, 0.0f), std::nextafter(-1.0f, 0.0f), inf, -inf, nan, -nan,
                        0.0f, -0.0f, 1e30f, -1e30f, 1.0f / 255, std::nextafter(1.0f, 2.0f)})
        edges.set(i++, value);
    case_of(edges, "edges", 0);
    hold(cases);
}

TEST_CASE("kernels: group_norm, in place too") {
    Random random(131);
    struct Shape {
        int64_t height, width, channels;
        int groups;
    };
    std::vector<Case> cases;
    for (Shape s : {Shape{1, 1, 32, 32},
                    {3, 5, 32, 32},
                    {7, 9, 64, 32},
                    {5, 5, 96, 32},
                    {16, 17, 128, 32},
                    {2, 3, 1, 1},
                    {4, 4, 6, 3},
                    {33, 31, 64, 32},
                    {3, 3, 65, 1},
                    {2, 2, 65, 65},
                    {4, 8, 512, 32}})
        for (float offset : {0.0f, 10.0f})
            for (float size : {0.0f, 1.0f, 1e4f}) {  // 0: constant groups
                Host x = random_host(random, {s.height, s.width, s.channels}, size);
                for (size_t i = 0; i < x.elements(); i++) x.set(i, x.at(i) + offset);
                Host weight = random_gain(random, {s.channels}), bias = random_host(random, {s.channels});
                for (Activation activation : {Activation::None, Activation::Swish})
                    for (bool in_place : {false, true})
                        cases.push_back({"group_norm", DType::F32,
                                         text(s.height, "x", s.width, "x", s.channels, ", ", s.groups, " groups, size ",
                                              size, ", offset ", offset, in_place ? ", in place" : ""),
                                         [=](const Kernels& k, Memory& m) {
                                             Tensor in = m.put(x), out = in_place ? in : m.make(x.shape);
                                             group_norm(k, out, in, m.put(weight), m.put(bias), s.groups, 1e-6f,
                                                        activation);
                                             return std::vector{out};
                                         }});
            }
    hold(cases);
}

TEST_CASE("kernels: spatial_attention") {
    Random random(132);
    std::vector<Case> cases;
    const auto add = [&](int64_t pixels, int64_t channels, float size) {
        Host q = random_host(random, {pixels, channels}, size), key = random_host(random, {pixels, channels});
        Host v = random_host(random, {pixels, channels});
        cases.push_back({"spatial_attention", DType::F32, text(pixels, " pixels, ", channels, " channels, size ", size),
                         [=](const Kernels& k, Memory& m) {
                             Tensor out = m.make({pixels, channels});
                             spatial_attention(k, out, m.put(q), m.put(key), m.put(v));
                             return std::vector{out};
                         },
                         size});
    };
    for (int64_t pixels : {1, 2, 15, 16, 17, 33, 63, 64, 65, 130})
        for (int64_t channels : {1, 3, 4, 31, 32, 65, 68, 128})
            for (float size : {1.0f, 30.0f})  // 30: nearly all of the mass on one pixel
                if (channels < 65 || pixels % 2 == 1) add(pixels, channels, size);
    add(65, 512, 1);
    add(49, 300, 1);
    hold(cases);
}

TEST_CASE("kernels: nearest_code, the first of equals") {
    Random random(133);
    struct Shape {
        int64_t pixels, codes, width;
    };
    std::vector<Case> cases;
    for (Shape s : {Shape{1, 1, 1},
                    {5, 7, 3},
                    {16, 256, 16},
                    {33, 65, 31},
                    {17, 1024, 32},
                    {64, 128, 12},
                    {7, 129, 17},
                    {2, 2048, 256}})
        for (float offset : {0.0f, 3.0f}) {
            Host z = random_host(random, {s.pixels, s.width}), codebook = random_host(random, {s.codes, s.width});
            for (size_t i = 0; i < z.elements(); i++) z.set(i, z.at(i) + offset);
            for (size_t i = 0; i < codebook.elements(); i++) codebook.set(i, codebook.at(i) + offset);
            // The second half of the codebook repeats the first, so that every winner has an equal behind it.
            const size_t half = static_cast<size_t>((s.codes + 1) / 2 * s.width);
            for (size_t i = half; i < codebook.elements(); i++) codebook.set(i, codebook.at(i - half));
            cases.push_back({"nearest_code", DType::F32,
                             text(s.pixels, " pixels, ", s.codes, " codes of ", s.width, ", offset ", offset),
                             [=](const Kernels& k, Memory& m) {
                                 Tensor codes = m.make({s.pixels}, DType::I32);
                                 nearest_code(k, codes, m.put(z), m.put(codebook));
                                 return std::vector{codes};
                             }});
        }
    hold(cases);
}

// leon_tests --no-skip -tc="kernels:*" prints the rows for the table of tolerances; every backend that the processor
// can run counts. Stands here because doctest runs the files in alphabetical order.
TEST_CASE("kernels: print what was measured" * doctest::skip()) {
    print_measured();
}

}  // namespace
}  // namespace leon
