#include "training/benchmark.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "kernels/random.h"
#include "kernels/roof.h"
#include "runtime/format.h"
#include "training/grad_backend.h"
#include "training/network.h"
#include "training/operation_times.h"
#include "training/parameters.h"

namespace leon {
namespace {

constexpr uint64_t SEED = 1;

PackedBatch random_batch(const TrainingShape& shape, int step) {
    PackedBatch batch;
    uint64_t drawn = 0;
    const auto token = [&] {
        return static_cast<int32_t>(uniform(SEED, static_cast<uint64_t>(step), drawn++) * shape.vocab);
    };
    for (int d = 0; d < shape.documents; d++) {
        for (int i = 0; i < shape.length; i++) {
            batch.tokens.push_back(token());
            batch.position.push_back(i);
            batch.targets.push_back(token());
            batch.weights.push_back(1);
        }
        batch.starts.push_back(batch.rows());
    }
    return batch;
}

// On a busy machine the processors' time says more than the clock's: both threads' together, waiting included.
struct Time {
    double seconds, of_processors;
};
template <class Work>
Time time_of(Work work) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t ticks = std::clock();
    work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    return {seconds.count(), static_cast<double>(std::clock() - ticks) / CLOCKS_PER_SEC};
}

// Everything of a training run but the data.
class Trainee {
public:
    Trainee(const TransformerConfig& config, const Kernels& kernels, const GradKernels& grads, int rows)
        : kernels_(kernels),
          grads_(grads),
          layout_(config),
          values_(layout_, kernels),
          gradients_(layout_, kernels),
          m_(layout_, kernels),
          v_(layout_, kernels),
          network_(config, kernels, grads, rows) {
        initialise(values_, plain_initialisation(0.02f, config.layers), SEED);
    }

    void step(const PackedBatch& batch) {
        clear(grads_, gradients_.tensor());
        const CrossEntropy mean = {.scale = 1.0f / static_cast<float>(batch.rows())};
        network_.add_gradients(values_.weights(), gradients_.weights(), batch, mean);
        AdamWStep rule;
        rule.learning_rate = 1e-3;
        rule.weight_decay = 0.1;
        rule.step = ++steps_;
        adamw(grads_, values_, gradients_, m_, v_, rule);
        finish(kernels_);
    }
    int64_t parameters() const { return layout_.count(); }
    double operations(const PackedBatch& batch) const { return network_.operations(batch); }

private:
    const Kernels& kernels_;
    const GradKernels& grads_;
    ParameterLayout layout_;
    ParameterVector values_, gradients_, m_, v_;
    Network network_;
    int64_t steps_ = 0;
};

void say_operations(const TransformerConfig& config, const Kernels& kernels, const GradKernels& grad_kernels,
                    const PackedBatch& batch, const std::function<void(const std::string&)>& say) {
    OperationTimes times(kernels, grad_kernels);
    Trainee trainee(config, times.kernels(), times.grads(), batch.rows());
    trainee.step(batch);
    times.forget();
    const double whole = time_of([&] { trainee.step(batch); }).seconds;
    double counted = 0;
    say(format("  a step whose operations are waited for one by one: %.2f ms", 1e3 * whole));
    for (const OperationTimes::Line& line : times.lines()) {
        counted += line.seconds;
        say(format("  %-20s %5lld calls  %8.3f ms  %3.0f%%", line.operation.c_str(), static_cast<long long>(line.calls),
                   1e3 * line.seconds, 100 * line.seconds / whole));
    }
    say(format("  %-20s              %8.3f ms  %3.0f%%", "the rest", 1e3 * (whole - counted),
               100 * (whole - counted) / whole));
}

}  // namespace

TransformerConfig transformer_of(const TrainingShape& shape) {
    const bool cm3leon = shape.architecture == "cm3leon";
    if (!cm3leon && shape.architecture != "chameleon")
        throw Error("'" + shape.architecture + "' is not an architecture", "--architecture",
                    "use chameleon or cm3leon");
    ModelConfig model;
    model.name = "benchmark";
    model.has_transformer = true;
    TransformerConfig& c = model.transformer;
    c.norm = cm3leon ? Norm::LayerNorm : Norm::RMS;
    c.positions = cm3leon ? Positions::Learned : Positions::Rotary;
    c.feed_forward = cm3leon ? FeedForward::ReLU : FeedForward::SwiGLU;
    c.qk_norm = !cm3leon;
    c.tied_output = true;
    c.layers = shape.layers;
    c.dim = shape.dim;
    c.heads = c.kv_heads = shape.heads;
    c.head_dim = shape.heads > 0 ? shape.dim / shape.heads : 0;
    c.ffn_dim = shape.ffn_dim;
    c.vocab = shape.vocab;
    c.context = shape.length;
    c.norm_eps = 1e-5f;
    if (c.qk_norm) c.qk_norm_eps = 1e-5f;
    if (!cm3leon) c.rope_theta = 10000;
    if (cm3leon) c.position_offset = 2;
    return parse_config(print_config(model), "the shape").transformer;  // its ranges
}

void benchmark_training(const TrainingShape& shape, const Kernels& kernels, const GradKernels& grad_kernels,
                        const std::function<void(const std::string&)>& say) {
    const TransformerConfig config = transformer_of(shape);
    const int64_t rows = int64_t{shape.documents} * shape.length;
    if (shape.documents < 1 || shape.length < 1 || rows > 1 << 20)
        throw Error("a step of " + std::to_string(rows) + " tokens is out of range", "--documents");
    Trainee trainee(config, kernels, grad_kernels, static_cast<int>(rows));
    say(format("%s, %d threads: %d layers, dim %d, %d heads, ffn %d, vocab %d: %.2f M parameters; %d documents of %d",
               grad_kernels.name, cpu_threads(), config.layers, config.dim, config.heads, config.ffn_dim, config.vocab,
               1e-6 * static_cast<double>(trainee.parameters()), shape.documents, shape.length));
    const bool has_roof = in_host_memory(kernels);  // which is the processor's
    const auto line = [&](const char* what, const Time& time, double gigaflops, double roof) {
        const std::string part =
            has_roof ? format(" = %3.0f%% of the float32 roof", 100 * gigaflops / time.seconds / roof) : "";
        say(format("  %-8s %8.0f tokens/s  %7.1f ms  %7.1f ms of processors  %6.0f GFLOP/s%s", what,
                   static_cast<double>(rows) / time.seconds, 1e3 * time.seconds, 1e3 * time.of_processors,
                   gigaflops / time.seconds, part.c_str()));
    };
    trainee.step(random_batch(shape, 0));  // commits memory, starts threads
    Time fastest = {1e30, 1e30};
    double gigaflops = 0, roof = 0;
    for (int step = 1; step <= shape.steps; step++) {
        const PackedBatch batch = random_batch(shape, step);
        gigaflops = 1e-9 * trainee.operations(batch);
        if (has_roof) roof = std::max(roof, fma_peak(Effort::Quick));
        const Time time = time_of([&] { trainee.step(batch); });
        fastest = {std::min(fastest.seconds, time.seconds), std::min(fastest.of_processors, time.of_processors)};
        line("step", time, gigaflops, roof);
    }
    line("fastest", fastest, gigaflops, roof);
    if (shape.operations) say_operations(config, kernels, grad_kernels, random_batch(shape, 0), say);
}

}  // namespace leon
