// The plans of `leon bench --plan`; see plan.h.
#include "tasks/plan.h"

#include <algorithm>
#include <map>
#include <utility>

#include "kernels/planning/planning.h"
#include "runtime/format.h"
#include "runtime/generate.h"
#include "runtime/schema.h"
#include "runtime/weights_file.h"
#include "tokenizer/vqgan.h"
#include "tokenizer/vqgan_weights.h"
#include "weights_converter/random_model.h"

namespace leon {
namespace {

constexpr int PROMPT_TOKENS = 64, GUIDANCE_TOKENS = 3;
constexpr int PICTURE_TOKENS = 1024;
constexpr int TEXT_TOKENS[2] = {448, 704};  // the difference of two texts, so that their prefill drops out; half of the
                                            // picture's length: the mean length of the cache
constexpr double MS = 1e3, GB = 1e-9;

// Weights of a shape, in memory that nothing ever touches.
class ShapeOnly {
public:
    ShapeOnly(const ModelConfig& config, DType matrices) : config_(config), matrices_(matrices) {
        for (TensorSpec& spec : tensors_of(config)) specs_.emplace(spec.name, spec);
    }
    ~ShapeOnly() {
        for (void* block : blocks_) release(planning_kernels(), block);
    }
    ShapeOnly(const ShapeOnly&) = delete;

    TransformerWeights transformer() {
        return bind_weights(config_.transformer, {from("transformer."), from("transformer.")});
    }
    Vqgan vqgan() { return Vqgan(VqganTensors{from("vqgan."), from("vqgan.")}, config_.vqgan, planning_kernels()); }

private:
    std::function<Tensor(const std::string&, std::initializer_list<int64_t>)> from(const std::string& part) {
        return [this, part](const std::string& name, std::initializer_list<int64_t> shape) {
            const DType dtype = stored_type(specs_.at(part + name), matrices_);
            Tensor t(nullptr, dtype, shape);
            t.data = reserve(t.bytes());
            if (dtype == DType::I4)
                t.groups = static_cast<const uint8_t*>(reserve(static_cast<size_t>(t.elements() / GROUP)));
            if (has_row_scale(dtype)) t.scale = static_cast<const float*>(reserve(sizeof(float) * *shape.begin()));
            return t;
        };
    }
    void* reserve(size_t bytes) {
        blocks_.push_back(allocate(planning_kernels(), bytes));
        return blocks_.back();
    }

    const ModelConfig& config_;
    const DType matrices_;
    std::map<std::string, TensorSpec> specs_;
    std::vector<void*> blocks_;
};

// Everything that is planned for one shape.
class Passes {
public:
    Passes(const Machine& m, const ModelConfig& config, DType weights)
        : machine_(m), config_(config), shape_(config, weights) {
        if (config.has_transformer) weights_ = shape_.transformer();
    }

    Work text(int streams, int tokens) {
        return generated(Run::Kind::Text, streams, tokens, config_.transformer.vocab);
    }
    Work picture() {
        // CM3Leon and Chameleon both have 8,192 codes; which ids they are makes no difference.
        const int codes = config_.has_vqgan ? config_.vqgan.codes : std::min(8192, config_.transformer.vocab);
        return generated(Run::Kind::Image, 2, picture_tokens(), codes);
    }
    // One step of decoding, position after half a picture.
    Work step(int streams) {
        return difference(text(streams, PICTURE_TOKENS / 2), text(streams, PICTURE_TOKENS / 2 + 1));
    }

    Work prefill_rows(int tokens) {
        Transformer network(config_.transformer, weights_, planning_kernels(), tokens, 1);
        KvCache cache(config_.transformer, planning_kernels(), 1, tokens, tokens / PAGE_TOKENS + 1, DType::BF16);
        const int stream = cache.add_stream();
        const std::vector<int32_t> ids(static_cast<size_t>(tokens), 0);
        return work_of(machine_, [&] { prefill(network, cache, stream, ids); });
    }
    Work encode() {
        const int side = config_.vqgan.resolution;
        const std::vector<float> pixels(static_cast<size_t>(side) * side * 3);
        const Vqgan vqgan = shape_.vqgan();
        return work_of(machine_, [&] { vqgan.encode(pixels, side, side); });
    }
    Work decode() {
        const int grid = config_.vqgan.resolution / config_.vqgan.patch();
        const std::vector<int32_t> codes(static_cast<size_t>(grid) * grid);
        const Vqgan vqgan = shape_.vqgan();
        return work_of(machine_, [&] { vqgan.decode_u8(codes, grid, grid); });
    }

    int picture_tokens() const { return std::min(PICTURE_TOKENS, config_.transformer.context - PROMPT_TOKENS - 1); }
    double weight_bytes() const {
        return static_cast<double>(weights_.layer_bytes()) + static_cast<double>(weights_.output.bytes());
    }
    double seconds(const Work& work) const { return seconds_of(work, machine_); }

    // The calls that `longer` makes beyond those of `shorter`: its last ones.
    static Work difference(const Work& shorter, Work longer) {
        longer.calls.erase(longer.calls.begin(), longer.calls.begin() + static_cast<int64_t>(shorter.calls.size()));
        longer.replays -= shorter.replays;
        longer.host_waits -= shorter.host_waits;
        longer.host_bytes -= shorter.host_bytes;
        return longer;
    }

private:
    // The decode loop with one document and, for two streams, a guidance stream beside it.
    Work generated(Run::Kind kind, int streams, int tokens, int ids) {
        Run run;
        run.kind = kind;
        run.tokens = tokens;
        run.allowed = {{0, ids - 1}};
        if (streams == 2) {
            run.guidance.emplace().emplace_back(GUIDANCE_TOKENS, 0);
            run.chain.mix = mix::Guidance{3};
        }
        GenerateOptions options;
        options.max_tokens = tokens;
        options.cache_dtype = DType::BF16;
        const std::vector<int32_t> prompt(PROMPT_TOKENS, 0);
        bool first = true;
        const auto next = [&](int, const std::vector<int32_t>&) {
            return std::exchange(first, false) ? std::optional<Run>(run) : std::nullopt;
        };
        return work_of(machine_,
                       [&] { generate(config_.transformer, weights_, planning_kernels(), prompt, next, options); });
    }

    const Machine& machine_;
    const ModelConfig& config_;
    ShapeOnly shape_;
    TransformerWeights weights_;
};

PlanFigures figures(Passes& p, const ModelConfig& config, const Machine& m) {
    PlanFigures f;
    if (config.has_transformer) {
        f.weight_bytes = p.weight_bytes();
        const int shorter = std::min(TEXT_TOKENS[0], p.picture_tokens() / 2),
                  longer = std::min(TEXT_TOKENS[1], p.picture_tokens());
        for (int streams : {1, 2})
            f.token_ms[streams - 1] =
                MS * (p.seconds(p.text(streams, longer)) - p.seconds(p.text(streams, shorter))) / (longer - shorter);
        const Work step = p.step(1);
        double step_bytes = 0;
        for (const KernelSum& k : by_kernel(step, m)) step_bytes += k.memory_bytes;
        f.share_of_read = step_bytes / device_seconds(step, m) / (m.memory_bandwidth * READABLE_SHARE);
        f.picture_tokens = p.picture_tokens();
        const Work picture = p.picture();
        f.picture_seconds = p.seconds(picture);
        f.prefill_ms = MS * p.seconds(p.prefill_rows(std::min(PLAN_PREFILL_TOKENS, config.transformer.context)));
    }
    if (config.has_vqgan && config.vqgan.encoder) f.encode_ms = MS * p.seconds(p.encode());
    if (config.has_vqgan && config.vqgan.decoder) f.decode_ms = MS * p.seconds(p.decode());
    return f;
}

using Say = std::function<void(const std::string&)>;

void say_assumptions(const Machine& m, const Say& say) {
    say(format("plan for %s: %d multiprocessors, %.0f GB/s, L2 %.0f MB at %.1f TB/s,", m.name, m.multiprocessors,
               m.memory_bandwidth * GB, m.l2_bytes / 1e6, m.l2_bandwidth / 1e12));
    say(format("  mma.sync %.0f TFLOP/s in 16 bits, %.0f in tf32; float32 %.0f", m.half_peak / 1e12, m.tf32_peak / 1e12,
               m.float_peak / 1e12));
    say(format("  source: %s", m.source));
    say(format(
        "assumed: %.0f%% of that bandwidth can be read; of the peaks, tiled kernels get %.0f%% (tensor cores) and "
        "%.0f%% (float32),",
        100 * READABLE_SHARE, 100 * TENSOR_SHARE, 100 * FLOAT_SHARE));
    say(format("  and %.0f%% of four instructions a clock of %.2f GHz;", 100 * ISSUE_SHARE, m.clock / 1e9));
    say(format(
        "  %.1f us between the kernels of a graph, %.1f us where the next is launched early; a load takes %.2f us "
        "from memory, %.2f from L2",
        GRAPH_GAP_SECONDS * 1e6, EARLY_GAP_SECONDS * 1e6, MEMORY_SECONDS * 1e6, L2_SECONDS * 1e6));
    say(format("  a barrier takes %.0f ns, one of the grid %.1f us; the host %.1f us a launch, %.0f us a wait",
               BARRIER_SECONDS * 1e9, GRID_BARRIER_SECONDS * 1e6, HOST_LAUNCH_SECONDS * 1e6, HOST_WAIT_SECONDS * 1e6));
    say("  nothing of this was measured on a GPU by us: it is arithmetic");
}

void say_kernels(const std::string& what, const Work& work, const Machine& m, const Say& say) {
    say(format("  %s, by kernel:", what.c_str()));
    say(format("    %-18s %-26s %8s %9s %9s %9s %9s %10s  %s", "operation", "kernel", "launches", "blocks", "barriers",
               "memory MB", "GFLOP", "us", "bound by"));
    KernelSum all;
    for (const KernelSum& k : by_kernel(work, m)) {
        say(format("    %-18s %-26s %8ld %9ld %9ld %9.2f %9.2f %10.1f  %s", k.operation.c_str(), k.kernel.c_str(),
                   static_cast<long>(k.launches), static_cast<long>(k.blocks), static_cast<long>(k.barriers),
                   k.memory_bytes / 1e6, k.flops * GB, k.seconds * 1e6, name_of(k.bound)));
        all.launches += k.launches;
        all.barriers += k.barriers;
        all.memory_bytes += k.memory_bytes;
        all.flops += k.flops;
        all.seconds += k.seconds;
    }
    say(format("    %-18s %-26s %8ld %9s %9ld %9.2f %9.2f %10.1f", "together", "", static_cast<long>(all.launches), "",
               static_cast<long>(all.barriers), all.memory_bytes / 1e6, all.flops * GB, all.seconds * 1e6));
}

void say_figures(const PlanFigures& f, DType weights, const Machine& m, const Say& say) {
    std::string line = format("  %-5s", name_of(weights));
    if (f.weight_bytes > 0) {
        line += format("%7.2f GB  %8.3f  %8.3f  %5.1f%%  %8.2f  %9.1f", f.weight_bytes * GB, f.token_ms[0],
                       f.token_ms[1], 100 * f.share_of_read, f.picture_seconds, f.prefill_ms);
    } else {
        line += std::string(56, ' ');
    }
    if (f.encode_ms > 0 || f.decode_ms > 0) line += format("  %8.2f  %8.2f", f.encode_ms, f.decode_ms);
    if (f.weight_bytes > m.memory_bytes) line += "  more than its memory";
    say(line);
}

}  // namespace

PlanFigures plan_figures(const std::string& option, const ModelConfig& config, DType weights) {
    const Machine& m = machine(option);
    Passes passes(m, config, weights);
    return figures(passes, config, m);
}

void plan(const std::string& model_path, const PlanOptions& o) {
    const Machine& m = machine(o.machine);
    const auto config_of = [&](const std::string& shape) {
        return shape == "box" ? parse_config(WeightsFile(model_path).config_json(), model_path)
                              : preset(shape, WithVqgan::Yes);
    };
    for (const std::string& shape : o.shapes) config_of(shape);  // an unknown name is an Error before anything is said
    say_assumptions(m, o.say);
    for (const std::string& shape : o.shapes) {
        const ModelConfig config = config_of(shape);
        o.say("");
        o.say(format("%s: %s", shape.c_str(), config.name.c_str()));
        o.say(format("  %-5s%10s  %8s  %8s  %6s  %8s  %9s  %8s  %8s", "", "weights", "ms/token", "2 streams", "of read",
                     "s/picture", "ms/prefill", "ms/encode", "ms/decode"));
        for (DType weights : o.weights) say_figures(plan_figures(o.machine, config, weights), weights, m, o.say);
        Passes p(m, config, o.weights.front());
        if (config.has_transformer) {
            say_kernels("a decode step with all logits", p.step(1), m, o.say);
            say_kernels(format("prefill of %d tokens", PLAN_PREFILL_TOKENS), p.prefill_rows(PLAN_PREFILL_TOKENS), m,
                        o.say);
        }
        if (config.has_vqgan && config.vqgan.decoder) say_kernels("codes to picture", p.decode(), m, o.say);
    }
}

}  // namespace leon
