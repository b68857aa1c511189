// Holds the CPU tables of a VQGAN's gradients to their definition, over odd and even sizes and every convolution.
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "training/vqgan/grad_kernels.h"

#include "tests/testing.h"

using namespace leon;

namespace {

struct Block {
    std::vector<float> values;  // room for either type
    Tensor tensor;

    Block(DType dtype, std::initializer_list<int64_t> shape) : tensor(nullptr, dtype, shape) {
        values.assign(static_cast<size_t>(tensor.elements()) + 16, 0.0f);
        tensor.data = values.data();
    }
    Block(const Block&) = delete;
};

void fill(Tensor t, uint32_t seed, float scale = 1.0f, float shift = 0.0f) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < t.elements(); i++) t.f32()[i] = shift + scale * normal(random);
}

void fill_halves(Tensor t, uint16_t value) {
    for (int64_t i = 0; i < t.elements(); i++) static_cast<uint16_t*>(t.data)[i] = value;
}

float at(const Tensor& t, int64_t i) {
    return t.dtype == DType::F32 ? t.f32()[i] : bf16_to_float(static_cast<const uint16_t*>(t.data)[i]);
}

// The largest difference over the root mean square of what is wanted.
double error(const Tensor& got, const Tensor& want) {
    double worst = 0, squares = 0;
    for (int64_t i = 0; i < want.elements(); i++) {
        const double difference = std::abs(double(at(got, i)) - at(want, i));
        if (!(difference <= worst)) worst = difference;
        squares += double(at(want, i)) * at(want, i);
    }
    return worst / std::sqrt(squares / double(want.elements()) + 1e-30);
}

struct Case {
    const char* name;
    Convolution shape;
    int64_t height, width, in, out;
};

const Case CASES[] = {{"same 6x32 64->64", SAME, 6, 32, 64, 64},
                      {"same 3->64", SAME, 4, 16, 3, 64},
                      {"same 64->3", SAME, 3, 16, 64, 3},
                      {"same 96->80, odd tiles", SAME, 3, 48, 96, 80},
                      {"same 7x9 32->48", SAME, 7, 9, 32, 48},
                      {"same, one pixel", SAME, 1, 1, 17, 5},
                      {"point 3x16 128->32", POINTWISE, 3, 16, 128, 32},
                      {"point 3x5 32->33", POINTWISE, 3, 5, 32, 33},
                      {"halve 6x32 64->64", HALVE, 6, 32, 64, 64},
                      {"halve 6x10 32->16", HALVE, 6, 10, 32, 16},
                      {"double 3x16 64->96", DOUBLE, 3, 16, 64, 96},
                      {"double 3x5 32->32", DOUBLE, 3, 5, 32, 32},
                      // more than a strip of pixels, and more than a band of tiles
                      {"same 70x16 32->32", SAME, 70, 16, 32, 32}};

}  // namespace

TEST_CASE("vqgan kernels: convolutions and their gradients equal the definition") {
    const VqganGradKernels& r = reference_bf16_vqgan_grad_kernels();
    for (const VqganGradKernels* k : cpu_vqgan_grad_variants())
        for (const Case& c : CASES) {
            CAPTURE(std::string(k->name) + ": " + c.name);
            const int64_t height = c.height * c.shape.upsample / c.shape.stride;
            const int64_t width = c.width * c.shape.upsample / c.shape.stride;
            Block x(DType::F32, {c.height, c.width, c.in}),
                weight(DType::F32, {c.out, c.shape.kernel, c.shape.kernel, c.in});
            Block bias(DType::F32, {c.out}), residual(DType::F32, {height, width, c.out}),
                dy(DType::F32, {height, width, c.out});
            Block before(DType::F32, {c.height, c.width, c.in});
            fill(x.tensor, 1), fill(weight.tensor, 2, 0.1f), fill(bias.tensor, 3), fill(residual.tensor, 4);
            fill(dy.tensor, 5), fill(before.tensor, 6);
            std::vector<std::unique_ptr<Block>> results[2];
            for (int side = 0; side < 2; side++) {
                const VqganGradKernels& table = side == 0 ? *k : r;
                auto make = [&](DType dtype, std::initializer_list<int64_t> shape) -> Tensor& {
                    results[side].push_back(std::make_unique<Block>(dtype, shape));
                    return results[side].back()->tensor;
                };
                const std::initializer_list<int64_t> inner = {c.height + 2, c.width + 2, map_channels(c.in)};
                const std::initializer_list<int64_t> outer = {height + 2, width + 2, map_channels(c.out)};
                Tensor& x_map = make(DType::BF16, inner);
                Tensor& dy_map = make(DType::BF16, outer);
                Tensor& residual_map = make(DType::BF16, outer);
                Tensor& before_map = make(DType::BF16, inner);
                Tensor& out = make(DType::BF16, outer);
                Tensor& plain = make(DType::F32, {height, width, c.out});
                Tensor& dx = make(DType::BF16, inner);
                Tensor& dx_plain = make(DType::F32, {c.height, c.width, c.in});
                Tensor& dweight = make(DType::F32, {c.out, c.shape.kernel, c.shape.kernel, c.in});
                Tensor& dbias = make(DType::F32, {c.out});
                Block packed(DType::BF16, {packed_elements(c.out, c.in, c.shape)});
                pack(table, packed.tensor, weight.tensor, c.shape);
                frame(table, x_map, x.tensor);
                frame(table, dy_map, dy.tensor);
                frame(table, residual_map, residual.tensor);
                frame(table, before_map, before.tensor);
                for (Tensor* t : {&out, &dx}) fill_halves(*t, 0x3f80);  // what was there is written over, frame and all
                conv2d(table, out, x_map, packed.tensor, bias.tensor, c.shape, residual_map);
                conv2d(table, plain, x_map, packed.tensor, bias.tensor, c.shape, {});
                d_conv2d_input(table, dx, dy_map, packed.tensor, c.in, c.shape, before_map);
                d_conv2d_input(table, dx_plain, dy_map, packed.tensor, c.in, c.shape, {});
                fill(dweight, 7), fill(dbias, 8);
                d_conv2d_weight(table, dweight, dbias, dy_map, x_map, c.shape);
            }
            // Of enlarged pictures, sums of weights are rounded, not weights.
            const bool sums = c.shape.upsample == 2;
            for (size_t i = 0; i < results[0].size(); i++) {
                CAPTURE(i);
                const bool half = results[0][i]->tensor.dtype == DType::BF16;
                CHECK(error(results[0][i]->tensor, results[1][i]->tensor) <
                      (half ? (sums ? 5e-2 : 3e-2) : (sums ? 1.2e-2 : 1e-5)));
            }
        }
}

TEST_CASE("vqgan kernels: normalisations and attention equal the definition") {
    const VqganGradKernels& r = reference_bf16_vqgan_grad_kernels();
    struct Shape {
        int64_t height, width, channels;
        int groups;
        Activation activation;
        float shift;
    };
    const Shape shapes[] = {{8, 16, 64, 32, Activation::Swish, 0},
                            {7, 3, 96, 32, Activation::None, 100},
                            {1, 1, 32, 8, Activation::Swish, 0},
                            {16, 5, 16, 4, Activation::Swish, -3}};
    for (const VqganGradKernels* k : cpu_vqgan_grad_variants())
        for (const Shape& s : shapes) {
            CAPTURE(std::string(k->name) + ", channels " + std::to_string(s.channels));
            Block x(DType::F32, {s.height, s.width, s.channels}), dy(DType::F32, {s.height, s.width, s.channels});
            Block residual(DType::F32, {s.height, s.width, s.channels}), weight(DType::F32, {s.channels}),
                bias(DType::F32, {s.channels});
            fill(x.tensor, 1, 2, s.shift), fill(dy.tensor, 2), fill(residual.tensor, 3), fill(weight.tensor, 4),
                fill(bias.tensor, 5);
            const GroupNorm norm = {weight.tensor, bias.tensor, s.groups, 1e-6f, s.activation};
            std::vector<std::unique_ptr<Block>> results[2];
            for (int side = 0; side < 2; side++) {
                const VqganGradKernels& table = side == 0 ? *k : r;
                auto make = [&](DType dtype, std::initializer_list<int64_t> shape) -> Tensor& {
                    results[side].push_back(std::make_unique<Block>(dtype, shape));
                    return results[side].back()->tensor;
                };
                const std::initializer_list<int64_t> shape = {s.height + 2, s.width + 2, map_channels(s.channels)};
                Tensor& x_map = make(DType::BF16, shape);
                Tensor& dy_map = make(DType::BF16, shape);
                Tensor& residual_map = make(DType::BF16, shape);
                Tensor& normed = make(DType::BF16, shape);
                Tensor& statistics = make(DType::F32, {s.groups, 2});
                Tensor& dx = make(DType::BF16, shape);
                Tensor& dweight = make(DType::F32, {s.channels});
                Tensor& dbias = make(DType::F32, {s.channels});
                frame(table, x_map, x.tensor);
                frame(table, dy_map, dy.tensor);
                frame(table, residual_map, residual.tensor);
                for (Tensor* t : {&normed, &dx}) fill_halves(*t, 0x3f80);
                norm_map(table, normed, statistics, x_map, norm);
                d_norm_map(table, dx, dweight, dbias, dy_map, x_map, statistics, norm, residual_map);
                // In place, and without what may be left out.
                Tensor& plain_dx = make(DType::BF16, shape);
                frame(table, plain_dx, dy.tensor);
                d_norm_map(table, plain_dx, {}, {}, plain_dx, x_map, statistics, norm, {});
            }
            for (size_t i = 0; i < results[0].size(); i++) {
                CAPTURE(i);
                const bool half = results[0][i]->tensor.dtype == DType::BF16;
                // The last is dx alone: what is rounded is larger than what means leave of it, most of all in one
                // pixel.
                const double limit = i == 8 ? 0.15 : half ? 3e-2 : 5e-4;
                CHECK(error(results[0][i]->tensor, results[1][i]->tensor) < limit);
            }
            if (s.height * s.width < 2) continue;
            const int64_t pixels = s.height * s.width;
            Block got(DType::F32, {3, pixels, s.channels}), want(DType::F32, {3, pixels, s.channels});
            auto part = [&](Block& b, int i) {
                return Tensor(b.values.data() + i * pixels * s.channels, DType::F32, {pixels, s.channels});
            };
            const auto rows = [&](Block& b) { return b.tensor.as({pixels, s.channels}); };
            fill(x.tensor, 6);
            d_spatial_attention(*k, part(got, 0), part(got, 1), part(got, 2), rows(dy), rows(x), rows(residual),
                                rows(dy));
            d_spatial_attention(r, part(want, 0), part(want, 1), part(want, 2), rows(dy), rows(x), rows(residual),
                                rows(dy));
            for (int i = 0; i < 3; i++) CHECK(error(part(got, i), part(want, i)) < 1e-5);
        }
}
