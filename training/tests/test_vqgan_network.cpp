// The VQGAN's backward pass: against differences of the forward pass, and the CPU's against the definition's.
#include <cmath>
#include <random>
#include <vector>

#include "training/vqgan/loss.h"
#include "training/vqgan/network.h"

#include "tests/testing.h"

using namespace leon;

namespace {

VqganConfig small_config() {
    VqganConfig c;
    c.channels = 32, c.multipliers = {1, 2}, c.res_blocks = 1, c.z_channels = 16, c.code_dim = 8, c.codes = 20;
    c.resolution = 8, c.encoder = c.decoder = true;
    return c;
}

std::vector<float> normal_values(size_t count, uint32_t seed, float scale) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& v : values) v = scale * normal(random);
    return values;
}

std::vector<float> begin(const VqganNetwork& network) {
    std::vector<float> values = normal_values(static_cast<size_t>(network.parameters()), 1, 0.1f);
    for (const VqganParameter& p : network.layout())
        for (int64_t i = 0; i < p.count; i++) {
            float& value = values[static_cast<size_t>(p.offset + i)];
            if (p.is_matrix) value *= 10 / std::sqrt(static_cast<float>(p.count / p.shape[0]));
            if (contains(p.name, "norm") && p.name.ends_with("weight")) value += 1;
        }
    return values;
}

// One picture: its loss is picture_loss plus the latent times a fixed direction.
struct Problem {
    std::vector<float> pixels, weights, direction, codebook;
    int height, width;

    Problem(const VqganConfig& config, int h, int w)
        : pixels(normal_values(static_cast<size_t>(h * w * 3), 2, 0.5f)),
          weights(static_cast<size_t>(h * w), 1.0f),
          direction(
              normal_values(static_cast<size_t>(h * w / (config.patch() * config.patch()) * config.code_dim), 3, 0.1f)),
          codebook(normal_values(static_cast<size_t>(config.codes * config.code_dim), 4, 1.0f)),
          height(h),
          width(w) {
        for (size_t i = 0; i < weights.size(); i += 3) weights[i] = 4;
    }
    Tensor book(const VqganConfig& config) {
        return Tensor(codebook.data(), DType::F32, {config.codes, config.code_dim});
    }

    static constexpr PictureLossRule RULE = {1, 0.2, 0.1};
    double decoder_loss(const VqganPass& pass, std::vector<float>& d) {
        d.resize(pixels.size());
        return picture_loss(Tensor(d.data(), DType::F32, {height, width, 3}), pass.picture, pixels, weights, RULE, 1)
            .loss;
    }
    double latent_loss(const VqganPass& pass) {
        double sum = 0;
        for (size_t i = 0; i < direction.size(); i++) sum += static_cast<double>(direction[i]) * pass.latent.f32()[i];
        return sum;
    }
};

double latent_loss_at(VqganNetwork& network, VqganLane& lane, Problem& problem, std::vector<float>& values) {
    network.pack(values.data());
    return problem.latent_loss(
        lane.forward(problem.pixels, problem.height, problem.width, problem.book(network.config())));
}

// Of the decoder alone, after these codes.
double decoder_loss_at(VqganNetwork& network, VqganLane& lane, Problem& problem, std::vector<float>& values,
                       const std::vector<int32_t>& codes) {
    network.pack(values.data());
    std::vector<float> d;
    const VqganConfig& c = network.config();
    return problem.decoder_loss(
        lane.forward(codes, problem.height / c.patch(), problem.width / c.patch(), problem.book(c)), d);
}

std::vector<float> gradient_of(VqganNetwork& network, Problem& problem, std::vector<float>& values, VqganHalf half,
                               std::vector<int32_t>* codes) {
    network.pack(values.data());
    VqganLane lane(network);
    const VqganPass& pass = lane.forward(problem.pixels, problem.height, problem.width, problem.book(network.config()));
    if (codes) *codes = pass.codes;
    std::vector<float> d, gradient(values.size());
    problem.decoder_loss(pass, d);
    Tensor dlatent(problem.direction.data(), DType::F32, {pass.latent.rows(), pass.latent.cols()});
    lane.backward(Tensor(d.data(), DType::F32, {problem.height, problem.width, 3}), dlatent, gradient.data(), half);
    return gradient;
}

}  // namespace

TEST_CASE("vqgan network: gradients are the differences of the losses") {
    VqganNetwork network(small_config(), reference_vqgan_grad_kernels(), reference_kernels());
    Problem problem(network.config(), 8, 8);
    std::vector<float> values = begin(network);
    std::vector<int32_t> codes;
    const std::vector<float> decoder = gradient_of(network, problem, values, VqganHalf::Decoder, &codes);

    // The latent alone: the gradient that the quantiser hands on is taken away by an empty picture's loss.
    VqganLane lane(network);
    std::vector<float> encoder(values.size()), nothing(problem.pixels.size());
    const VqganPass& pass = lane.forward(problem.pixels, 8, 8, problem.book(network.config()));
    lane.backward(Tensor(nothing.data(), DType::F32, {8, 8, 3}),
                  Tensor(problem.direction.data(), DType::F32, {pass.latent.rows(), pass.latent.cols()}),
                  encoder.data(), VqganHalf::Both);

    for (const VqganParameter& p : network.layout()) {
        CAPTURE(p.name);
        const bool in_encoder = p.offset < network.encoder_parameters();
        // Along a random direction of this parameter alone.
        std::vector<float> direction = normal_values(static_cast<size_t>(p.count), 9, 1.0f);
        double expected = 0, norm = 0;
        for (int64_t i = 0; i < p.count; i++) {
            const double d = direction[static_cast<size_t>(i)];
            expected += d * (in_encoder ? encoder : decoder)[static_cast<size_t>(p.offset + i)];
            norm += d * d;
        }
        const float step = static_cast<float>(2e-3 / std::sqrt(norm));
        double side[2];
        for (int s = 0; s < 2; s++) {
            std::vector<float> moved = values;
            for (int64_t i = 0; i < p.count; i++)
                moved[static_cast<size_t>(p.offset + i)] += (s == 0 ? -step : step) * direction[static_cast<size_t>(i)];
            side[s] = in_encoder ? latent_loss_at(network, lane, problem, moved)
                                 : decoder_loss_at(network, lane, problem, moved, codes);
        }
        const double got = (side[1] - side[0]) / (2 * step);
        CHECK(std::abs(got - expected) < 2e-2 * std::abs(expected) + 2e-3 * std::sqrt(norm));
        if (in_encoder) continue;
        CHECK(encoder[static_cast<size_t>(p.offset)] == 0);  // nothing of the picture, nothing for the decoder
    }
}

TEST_CASE("vqgan network: the CPU's gradients are the definition's") {
    for (int width : {6, 16}) {
        CAPTURE(width);
        VqganNetwork slow(small_config(), reference_bf16_vqgan_grad_kernels(), reference_kernels());
        Problem problem(slow.config(), 8, width);
        std::vector<float> values = begin(slow);
        std::vector<int32_t> want_codes;
        const std::vector<float> want = gradient_of(slow, problem, values, VqganHalf::Both, &want_codes);
        for (const VqganGradKernels* k : cpu_vqgan_grad_variants()) {
            CAPTURE(k->name);
            VqganNetwork fast(small_config(), *k, cpu_kernels());
            std::vector<int32_t> codes;
            const std::vector<float> got = gradient_of(fast, problem, values, VqganHalf::Both, &codes);
            int others = 0;  // a latent between two codes may fall to either side
            for (size_t i = 0; i < codes.size(); i++) others += codes[i] != want_codes[i];
            CHECK(others <= 1);
            double all = 0;
            for (float w : want) all += static_cast<double>(w) * w;
            all = std::sqrt(all / static_cast<double>(want.size()));
            for (const VqganParameter& p : fast.layout()) {
                CAPTURE(p.name);
                double difference = 0, size = 0;
                for (int64_t i = p.offset; i < p.offset + p.count; i++) {
                    const double w = want[static_cast<size_t>(i)], g = got[static_cast<size_t>(i)];
                    difference += (w - g) * (w - g), size += w * w;
                }
                // Some gradients are zero but for rounding: of a bias that a normalisation takes away again.
                CHECK(std::sqrt(difference) <
                      0.03 * std::sqrt(size) + 0.1 * all * std::sqrt(static_cast<double>(p.count)));
            }
        }
    }
}
