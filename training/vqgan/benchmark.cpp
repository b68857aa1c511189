// Steps on noise, and a table of operations; see benchmark.h.
#include "training/vqgan/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "kernels/cpu/threads.h"
#include "training/adamw.h"
#include "training/vqgan/loss.h"
#include "training/vqgan/network.h"

namespace leon {
namespace {

double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
double processor_seconds() {  // of all threads
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

std::vector<float> noise(int64_t count, std::mt19937& random, float scale) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values) v = normal(random);
    return values;
}

// The fast table with a stopwatch around each operation. A table holds plain functions, so the watch is one for all.
struct Stopwatch {
    const VqganGradKernels& watched = cpu_vqgan_grad_kernels();
    std::map<std::string, double> spent;
};
Stopwatch& stopwatch() {
    static Stopwatch watch;
    return watch;
}
template <class Operation>
void timed(const char* name, Operation operation) {
    const double start = processor_seconds();
    operation(stopwatch().watched);
    stopwatch().spent[name] += processor_seconds() - start;
}
VqganGradKernels watched_kernels() {
    VqganGradKernels k = stopwatch().watched;
    k.frame = [](Tensor out, Tensor x) { timed("frame", [&](auto& t) { t.frame(out, x); }); };
    k.norm_map = [](Tensor out, Tensor statistics, Tensor x, const GroupNorm& norm) {
        timed("norm_map", [&](auto& t) { t.norm_map(out, statistics, x, norm); });
    };
    k.d_norm_map = [](Tensor dx, Tensor dweight, Tensor dbias, Tensor dy, Tensor x, Tensor statistics,
                      const GroupNorm& norm, Tensor residual) {
        timed("d_norm_map", [&](auto& t) { t.d_norm_map(dx, dweight, dbias, dy, x, statistics, norm, residual); });
    };
    k.conv2d = [](Tensor out, Tensor x, Tensor packed, Tensor bias, const Convolution& shape, Tensor residual) {
        timed("conv2d", [&](auto& t) { t.conv2d(out, x, packed, bias, shape, residual); });
    };
    k.d_conv2d_input = [](Tensor dx, Tensor dy, Tensor packed, const Convolution& shape, Tensor residual) {
        timed("d_conv2d_input", [&](auto& t) { t.d_conv2d_input(dx, dy, packed, shape, residual); });
    };
    k.d_conv2d_weight = [](Tensor dweight, Tensor dbias, Tensor dy, Tensor x, const Convolution& shape) {
        timed("d_conv2d_weight", [&](auto& t) { t.d_conv2d_weight(dweight, dbias, dy, x, shape); });
    };
    k.d_spatial_attention = [](Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor q, Tensor key, Tensor v) {
        timed("d_spatial_attention", [&](auto& t) { t.d_spatial_attention(dq, dk, dv, dout, q, key, v); });
    };
    return k;
}

// A network of random weights, and the memory of a step on noise.
class Bench {
public:
    Bench(const VqganBench& bench, const VqganGradKernels& kernels)
        : bench_(bench), kernels_(kernels), network_(bench.config, kernels_, cpu_kernels()) {
        std::mt19937 random(1);
        values_ = noise(network_.parameters(), random, 1);
        for (const VqganParameter& p : network_.layout()) {
            const bool is_scale = p.name.find("norm") != std::string::npos && p.name.ends_with(".weight");
            const float scale = p.is_matrix ? 1 / std::sqrt(static_cast<float>(p.count / p.shape[0])) : 0.01f;
            for (int64_t i = p.offset; i < p.offset + p.count; i++)
                values_[static_cast<size_t>(i)] = values_[static_cast<size_t>(i)] * scale + (is_scale ? 1.0f : 0.0f);
        }
        pixels_ = noise(int64_t{bench.side} * bench.side * 3, random, 0.3f);
        codebook_ = noise(int64_t{bench.config.codes} * bench.config.code_dim, random, 1);
        weights_.assign(pixels_.size() / 3, 1.0f);
        m_.resize(values_.size()), v_.resize(values_.size());
        for (int i = 0; i < LANES; i++)
            lanes_.push_back(std::make_unique<Lane>(network_, values_.size(), pixels_.size()));
        network_.pack(values_.data());
    }

    void picture(int64_t lane) {
        Lane& l = *lanes_[static_cast<size_t>(lane)];
        const int side = bench_.side;
        Tensor book(codebook_.data(), DType::F32, {bench_.config.codes, bench_.config.code_dim});
        const VqganPass& pass = l.vqgan.forward(pixels_, side, side, book);
        Tensor d(l.dpicture.data(), DType::F32, {side, side, 3});
        picture_loss(d, pass.picture, pixels_, weights_, {.squares = 1, .absolutes = 0, .edges = 0}, 1);
        l.vqgan.backward(d, {}, l.gradient.data(), VqganHalf::Both);
    }
    void step() {
        parallel(LANES, [&](int64_t lane, int) {
            std::vector<float>& gradient = lanes_[static_cast<size_t>(lane)]->gradient;
            std::fill(gradient.begin(), gradient.end(), 0.0f);
            for (int64_t i = lane; i < bench_.pictures; i += LANES) picture(lane);
        });
        std::vector<float>& gradient = lanes_[0]->gradient;
        for (size_t i = 0; i < gradient.size(); i++) gradient[i] += lanes_[1]->gradient[i];
        AdamWStep rule;
        rule.learning_rate = 1e-4;
        adamw(values_, gradient, m_, v_, rule);
        network_.pack(values_.data());
    }
    double flops() const { return 6 * network_.forward_macs(bench_.side, bench_.side); }  // of a picture

private:
    static constexpr int LANES = 2;
    struct Lane {
        VqganLane vqgan;
        std::vector<float> gradient, dpicture;
        Lane(const VqganNetwork& network, size_t parameters, size_t values)
            : vqgan(network), gradient(parameters), dpicture(values) {}
    };

    const VqganBench& bench_;
    const VqganGradKernels kernels_;  // which the network refers to
    VqganNetwork network_;
    std::vector<float> values_, pixels_, codebook_, weights_, m_, v_;
    std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace

void benchmark_vqgan(const VqganBench& bench, const std::function<void(const std::string&)>& say) {
    if (bench.side < bench.config.patch() || bench.side % bench.config.patch() != 0)
        throw Error("pictures of that side do not divide into codes", "--side",
                    "give a multiple of " + std::to_string(bench.config.patch()));
    char line[200];
    double wall = 1e30, processor = 1e30, flops = 0;
    {
        Bench run(bench, cpu_vqgan_grad_kernels());
        flops = run.flops();
        run.step();  // takes its memory
        const double n = bench.pictures;
        for (int i = 0; i <= bench.steps; i++) {
            const bool is_last = i == bench.steps;
            const double start = seconds(), processor_start = processor_seconds();
            if (!is_last) run.step();
            const double w = is_last ? wall : seconds() - start;
            const double p = is_last ? processor : processor_seconds() - processor_start;
            wall = std::min(wall, w), processor = std::min(processor, p);
            std::snprintf(line, sizeof line,
                          "%s  %s  %6.2f pictures/s  %7.1f ms  %7.1f ms of processors  %5.0f GFLOP/s of a processor",
                          cpu_vqgan_grad_kernels().name, is_last ? "fastest" : "step   ", n / w, 1e3 * w, 1e3 * p,
                          n * flops / p / 1e9);
            say(line);
        }
    }
    Bench run(bench, watched_kernels());
    run.picture(0);
    stopwatch().spent.clear();
    const double start = processor_seconds();
    run.picture(0);
    const double all = processor_seconds() - start;
    std::vector<std::pair<double, std::string>> rows;
    for (const auto& [name, spent] : stopwatch().spent) rows.push_back({spent, name});
    std::sort(rows.rbegin(), rows.rend());
    for (const auto& [spent, name] : rows) {
        std::snprintf(line, sizeof line, "%-20s %7.2f ms  %4.1f%%", name.c_str(), 1e3 * spent, 100 * spent / all);
        say(line);
    }
    std::snprintf(line, sizeof line, "%-20s %7.2f ms", "a picture", 1e3 * all);
    say(line);
}

}  // namespace leon
