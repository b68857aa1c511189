// The measurements of `leon bench`. Every figure stands beside a roof that was measured just before it, because the
// speed of a shared machine changes from minute to minute.
#include "tasks/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>

#include "kernels/roof.h"
#include "runtime/format.h"
#include "runtime/generate.h"
#include "runtime/transformer.h"
#include "tasks/model.h"
#include "weights_converter/random_model.h"

namespace leon {
namespace {

constexpr int CONTEXT_TOKENS = 64;          // in the cache before decoding starts
constexpr int PREFILL_TOKENS = 256;         // of one prefill
constexpr double ENOUGH_SECONDS = 2;        // of one measurement, if its repetitions are shorter
constexpr int REPETITIONS_AT_LEAST = 3;     // the first does not count: it brings weights into memory
constexpr double PREFILL_MOST_MACS = 1e12;  // shortens the prefill of large models to some seconds
constexpr int DRAWN_TOKENS = 32;            // of a generation, if that takes no more than ENOUGH_SECONDS
constexpr int DRAWING_ROUNDS = 3;           // at least; each kind of generation once a round
constexpr int CANDIDATES = 8;

double seconds_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The median over repetitions.
double measured(const std::function<void()>& work) {
    work();
    std::vector<double> seconds;
    double all = 0;
    while (seconds.size() + 1 < REPETITIONS_AT_LEAST || (all < ENOUGH_SECONDS && seconds.size() < 1000)) {
        seconds.push_back(seconds_of(work));
        all += seconds.back();
    }
    std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
    return seconds[seconds.size() / 2];
}

// Multiply-adds of one token's matrices.
double macs_per_token(const TransformerConfig& c) {
    const double attention = static_cast<double>(c.dim) * c.head_dim * (2.0 * c.heads + 2.0 * c.kv_heads);
    const double feed_forward =
        static_cast<double>(c.dim) * c.ffn_dim * (c.feed_forward == FeedForward::SwiGLU ? 3 : 2);
    return c.layers * (attention + feed_forward);
}

int32_t some_token(int i, int vocab) {
    return static_cast<int32_t>((static_cast<int64_t>(i) * 7919 + 17) % vocab);
}

// " = 83% of the read bandwidth"; nothing where there is no such roof.
std::string share(double of, double roof, const char* name) {
    return roof > 0 ? format(" = %3.0f%% of the %s", 100 * of / roof, name) : "";
}

class Report {
public:
    Report(const Kernels& kernels, const BenchmarkOptions& options) : kernels_(kernels), say_(options.say) {}

    void head() const {
        if (!runs_on_processor(kernels_)) {
            say_(format("backend %s, %d threads; its roofs: build/bench_cuda", kernels_.name, cpu_threads()));
            return;
        }
        const double gigabytes = read_bandwidth(Effort::Thorough), gigaflops = fma_peak(Effort::Thorough);
        say_(format("backend %s, %d threads; this machine reads %.1f GB/s and multiply-adds %.0f GFLOP/s",
                    kernels_.name, cpu_threads(), gigabytes, gigaflops));
    }

    void model(const std::string& label, const Model& model) const {
        const ModelConfig& c = model.config();
        say_("");
        say_(format("%s: %s, %.2f GB", label.c_str(), c.name.c_str(),
                    static_cast<double>(model.file().file().bytes()) / 1e9));
        if (c.has_transformer) {
            decode(model, 1);
            decode(model, 2);
            draw(model);
            prefill_rows(model);
        }
        if (c.has_vqgan) pictures(model);
    }

private:
    const Kernels& kernels_;
    const std::function<void(const std::string&)>& say_;

    // One token a step in each of `streams` streams; all logits are computed, as for text.
    void decode(const Model& model, int streams) const {
        const TransformerConfig& c = model.config().transformer;
        const int positions = c.context;
        const int pages = streams * (positions / PAGE_TOKENS + 1);
        Transformer network(c, model.weights(), kernels_, CONTEXT_TOKENS, streams);
        KvCache cache(c, kernels_, streams, positions, pages, DType::F32);
        std::vector<int32_t> context(CONTEXT_TOKENS);
        for (int i = 0; i < CONTEXT_TOKENS; i++) context[i] = some_token(i, c.vocab);
        const int first = cache.add_stream();
        prefill(network, cache, first, context);
        std::vector<int> forks = {first};
        while (static_cast<int>(forks.size()) < streams) forks.push_back(cache.fork(first));

        Batch batch;
        auto step = [&] {
            batch = {};
            if (cache.length(first) + 1 >= positions) return;
            for (int stream : forks)
                batch.add(some_token(cache.length(stream), c.vocab), stream, cache.length(stream), WantLogits::Yes);
            network.forward(cache, batch);
        };
        const double roof = runs_on_processor(kernels_) ? read_bandwidth(Effort::Thorough) : 0;
        const double seconds = measured(step);
        const double gigabytes = static_cast<double>(network.weight_bytes(batch.shape())) / 1e9;
        say_(format("  decode, %d stream%s  %8.2f tokens/s  %7.2f ms a step  %6.2f GB/s", streams,
                    streams > 1 ? "s" : " ", streams / seconds, 1e3 * seconds, gigabytes / seconds) +
             share(gigabytes / seconds, roof, "read bandwidth"));
    }

    // A generation: candidates with a document and guidance streams beside it draw the codes of a picture.
    struct Drawing {
        const char* name;
        int streams, candidates;
        double step_seconds = HUGE_VAL,
               seconds = HUGE_VAL;  // of a step, of all with the prefill: the best of all rounds
    };

    void measure(Drawing& d, const Model& model, int tokens) const {
        const TransformerConfig& c = model.config().transformer;
        const int ids = model.config().has_vqgan ? std::min(model.config().vqgan.codes, c.vocab) : c.vocab;
        std::vector<int32_t> prompt(CONTEXT_TOKENS);
        for (int i = 0; i < CONTEXT_TOKENS; i++) prompt[i] = some_token(i, c.vocab);
        Run run;
        run.kind = Run::Kind::Image;
        run.tokens = tokens;
        run.allowed = {{0, ids - 1}};
        run.chain.ops = {op::Temperature{1.0f}, op::TopP{0.9f}};
        if (d.streams == 2) run.chain.mix = mix::Guidance{3};
        if (d.streams == 3) run.chain.mix = mix::Guidance3{1.5f, 7.5f};
        run.guidance.emplace(d.streams - 1, std::vector<int32_t>(prompt.begin(), prompt.begin() + CONTEXT_TOKENS / 2));
        GenerateOptions options;
        options.candidates = d.candidates;
        options.max_tokens = tokens;
        std::vector<bool> begun(d.candidates);
        const auto next = [&](int candidate, const std::vector<int32_t>&) {
            const bool first = !begun[candidate];
            begun[candidate] = true;
            return first ? std::optional<Run>(run) : std::nullopt;
        };
        GenerateStatistics s;
        generate(c, model.weights(), kernels_, prompt, next, options, &s);
        d.step_seconds = std::min(d.step_seconds, s.decode_seconds / s.steps);
        d.seconds = std::min(d.seconds, s.prefill_seconds + s.decode_seconds);
    }

    // All kinds by turns, because a shared machine's speed changes; the best of the rounds, because what else it does
    // only adds.
    void draw(const Model& model) const {
        Drawing drawings[] = {
            {"1 stream", 1, 1}, {"2 streams", 2, 1}, {"3 streams", 3, 1}, {"8 candidates", 1, CANDIDATES}};
        Drawing& one = drawings[0];
        measure(one, model, 4);
        const int tokens = std::clamp(static_cast<int>(ENOUGH_SECONDS / one.step_seconds), 4, DRAWN_TOKENS);
        one.seconds = HUGE_VAL;
        double all = 0;
        for (int round = 0; round < DRAWING_ROUNDS || all < ENOUGH_SECONDS; round++)
            for (Drawing& d : drawings) all += seconds_of([&] { measure(d, model, tokens); });
        for (const Drawing& d : drawings) {
            std::string line = format("  draw, %-13s %8.2f ms a step = %.2f of one stream's", d.name,
                                      1e3 * d.step_seconds, d.step_seconds / one.step_seconds);
            if (d.candidates > 1)
                line +=
                    format("; all in %.2f of the time of %d runs", d.seconds / (CANDIDATES * one.seconds), CANDIDATES);
            say_(line);
        }
    }

    void prefill_rows(const Model& model) const {
        const TransformerConfig& c = model.config().transformer;
        const double macs = macs_per_token(c);
        const int rows = std::clamp(static_cast<int>(PREFILL_MOST_MACS / macs), PREFILL_TOKENS / 4, PREFILL_TOKENS);
        Transformer network(c, model.weights(), kernels_, rows, 1);
        KvCache cache(c, kernels_, 1, rows, rows / PAGE_TOKENS + 1, DType::F32);
        std::vector<int32_t> tokens(rows);
        for (int i = 0; i < rows; i++) tokens[i] = some_token(i, c.vocab);
        const double roof = runs_on_processor(kernels_) ? fma_peak(Effort::Thorough) : 0;
        const double seconds = measured([&] {
            const int stream = cache.add_stream();
            prefill(network, cache, stream, tokens);
            cache.remove(stream);
        });
        rate(format("prefill, %d tokens", rows), rows / seconds, "tokens/s", seconds, 2 * macs * rows, roof);
    }

    void pictures(const Model& model) const {
        const VqganConfig& c = model.config().vqgan;
        const int side = c.resolution, grid = side / c.patch();
        const std::string size = format("%dx%d", side, side);
        const double roof = runs_on_processor(kernels_) ? fma_peak(Effort::Thorough) : 0;
        if (c.encoder) {
            const std::vector<float> pixels(static_cast<size_t>(side) * side * 3, 0.25f);
            const double seconds = measured([&] { model.encoder().encode(pixels, side, side); });
            rate("encode " + size, 1 / seconds, "pictures/s", seconds, 2 * vqgan_encode_macs(c, side, side), roof);
        }
        if (c.decoder) {
            std::vector<int32_t> codes(static_cast<size_t>(grid) * grid);
            for (size_t i = 0; i < codes.size(); i++) codes[i] = some_token(static_cast<int>(i), c.codes);
            const double seconds = measured([&] { model.decoder().decode_u8(codes, grid, grid); });
            rate("decode " + size, 1 / seconds, "pictures/s", seconds, 2 * vqgan_decode_macs(c, grid, grid), roof);
        }
    }

    void rate(const std::string& what, double per_second, const char* unit, double seconds, double flops,
              double roof) const {
        const double gigaflops = flops / seconds / 1e9;
        say_(format("  %-18s %8.2f %s  %7.0f ms  %6.0f GFLOP/s", what.c_str(), per_second, unit, 1e3 * seconds,
                    gigaflops) +
             share(gigaflops, roof, "FMA peak"));
    }
};

// Writes a random model and maps it. The file's name is gone before the measurement begins, its contents when the model
// is closed: an interrupted benchmark leaves nothing behind.
std::unique_ptr<Model> random_model(const std::string& shape, const std::string& folder, const Kernels& kernels) {
    const std::string path = (std::filesystem::path(folder) / ("leon-bench-" + shape + ".leon")).string();
    write_random_model(path, preset(shape, WithVqgan::Yes), DType::BF16, 1);
    std::unique_ptr<Model> model;
    try {
        model = std::make_unique<Model>(path, kernels);
    } catch (...) {
        std::filesystem::remove(path);
        throw;
    }
    std::filesystem::remove(path);
    return model;
}

}  // namespace

void benchmark(const std::string& model_path, const Kernels& kernels, const BenchmarkOptions& options) {
    for (const std::string& shape : options.shapes)
        if (shape != "box") preset(shape, WithVqgan::No);  // an unknown name is an Error before anything is measured
    const Report report(kernels, options);
    report.head();
    for (const std::string& shape : options.shapes) {
        if (shape == "box")
            report.model("the model in the box", Model(model_path, kernels));
        else
            report.model("random weights of " + shape + " shape", *random_model(shape, options.scratch, kernels));
    }
}

}  // namespace leon
