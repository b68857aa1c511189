// The training pass as a whole: what it computes is what the runtime computes, and its gradients are those of that.
#include "training/network.h"

#include <cmath>

#include "runtime/transformer.h"
#include "training/parameters.h"
#include "training/tests/grad_harness.h"

#include "tests/tiny_transformer.h"

#include "tests/testing.h"

using namespace leon;

namespace {

// Small, odd, and with every fact of an architecture as asked.
TransformerConfig config_with(unsigned facts) {
    const auto fact = [&](int bit) { return (facts >> bit & 1) != 0; };
    TransformerConfig c = TinyTransformer(Family::CM3Leon, 37, 24).config;
    c.norm = fact(0) ? Norm::LayerNorm : Norm::RMS;
    c.norm_placement = fact(1) ? NormPlacement::After : NormPlacement::Before;
    c.positions = fact(2) ? Positions::Learned : Positions::Rotary;
    c.feed_forward = fact(3) ? FeedForward::ReLU : FeedForward::SwiGLU;
    c.qk_norm = fact(4);
    c.tied_output = fact(5);
    c.kv_heads = fact(4) ? 2 : c.heads;
    c.ffn_dim = 40;
    c.qk_norm_eps = c.qk_norm ? 1e-5f : 0;
    c.rope_theta = c.positions == Positions::Rotary ? 100.0f : 0;
    c.position_offset = c.positions == Positions::Learned ? 2 : 0;
    if (fact(6)) c.segments = {.begin = 1, .first_code = 5, .codes = 30, .cells = 7};
    return c;
}
constexpr unsigned ALL_FACTS = 128, CM3LEON = 0b101101, CHAMELEON = 0b010000, SWIN = 0b010010, TWO_AXES = 0b1110000;
// Two axes are of rotary positions.
bool exists(unsigned facts) {
    return (facts >> 6 & 1) == 0 || (facts >> 2 & 1) == 0;
}

// Values of about the size of a trained model's, nothing at 0 or 1.
void fill(ParameterVector& values, uint64_t seed = 3) {
    Random random(seed);
    for (const Parameter& p : values.layout().parameters())
        for (float& value : values.of(p)) value = (p.decays ? 0.0f : 1.0f) + 0.25f * random.normal();
}

// Documents of these lengths, each from position 0; the last row of each has no target, every fourth none either, and
// the weights differ.
PackedBatch batch_of(const std::vector<int>& lengths, int vocab, uint64_t seed = 5) {
    PackedBatch batch;
    Random random(seed);
    for (int length : lengths) {
        for (int i = 0; i < length; i++) {
            batch.tokens.push_back(random.below(vocab));
            batch.position.push_back(i);
            const bool has_target = i + 1 < length && batch.rows() % 4 != 0;
            batch.targets.push_back(has_target ? random.below(vocab) : NO_TARGET);
            batch.weights.push_back(0.25f * static_cast<float>(random.below(5)));
        }
        batch.starts.push_back(batch.rows());
    }
    return batch;
}

// A table of gradients beside the kernels it is used with.
struct Tables {
    const Kernels& kernels;
    const GradKernels& grads;
    double error;  // of losses and gradients, as a part of their size
};
std::vector<Tables> tables() {
    std::vector<Tables> all = {{reference_kernels(), reference_grad_kernels(), 1e-5}};
    for (const GradTable& t : grad_tables()) all.push_back({*t.kernels, *t.grads, t.is_bf16() ? 0.1 : 1e-4});
    return all;
}

// The same values in the memory of other kernels.
class Copy {
public:
    Copy(const ParameterVector& values, const Kernels& kernels) : copy_(values.layout(), kernels) {
        copy_.upload(values.floats());
    }
    const TransformerWeights& weights() const { return copy_.weights(); }

private:
    ParameterVector copy_;
};

double sum_of(std::span<const float> losses, const PackedBatch& batch) {
    double sum = 0;
    for (int r = 0; r < batch.rows(); r++) sum += static_cast<double>(losses[r]) * batch.weights[r];
    return sum;
}

double length_of(std::span<const float> v) {
    double squares = 0;
    for (float value : v) squares += static_cast<double>(value) * value;
    return std::sqrt(squares);
}

// |a - b| / |b|, tensor by tensor; the largest.
double distance(const ParameterVector& a, const ParameterVector& b) {
    double worst = 0;
    for (const Parameter& p : a.layout().parameters()) {
        const std::vector<float> x = a.download(p), y = b.download(p);
        double squares = 0;
        for (size_t i = 0; i < x.size(); i++) squares += std::pow(static_cast<double>(x[i]) - y[i], 2);
        worst = std::max(worst, std::sqrt(squares) / (length_of(y) + 1e-6));
    }
    return worst;
}

}  // namespace

TEST_CASE("network: losses are those of the runtime's logits, in every architecture") {
    const std::vector<int> lengths = {5, 1, 9};
    for (unsigned facts = 0; facts < ALL_FACTS; facts++) {
        if (!exists(facts)) continue;
        CAPTURE(facts);
        const TransformerConfig config = config_with(facts);
        const ParameterLayout layout(config);
        ParameterVector values(layout, reference_kernels());
        fill(values);
        PackedBatch batch = batch_of(lengths, config.vocab);
        for (int r = 0; r < batch.rows(); r++) {
            batch.targets[r] = (batch.tokens[r] * 7 + r) % config.vocab;
            batch.weights[r] = 1;
        }

        Transformer runtime(config, values.weights(), reference_kernels(), batch.rows(), batch.rows());
        KvCache cache(config, reference_kernels(), 3, 24, 3, DType::F32);
        Batch rows;
        for (int d = 0; d < batch.documents(); d++) {
            const int stream = cache.add_stream();
            for (int r = batch.starts[d]; r < batch.starts[d + 1]; r++)
                rows.add(batch.tokens[r], stream, batch.position[r], WantLogits::Yes);
        }
        const float* logits = runtime.forward(cache, rows);
        std::vector<double> want;
        for (int r = 0; r < batch.rows(); r++) {
            double total = 0;
            for (int i = 0; i < config.vocab; i++) total += std::exp(static_cast<double>(logits[r * config.vocab + i]));
            want.push_back(std::log(total) - logits[r * config.vocab + batch.targets[r]]);
        }
        for (const Tables& t : tables()) {
            CAPTURE(t.grads.name);
            // The emulated GPU is slow, and its kernels know no architecture: one of each kind for it.
            if (&t.kernels == &emulated_cuda_kernels() && facts != CM3LEON && facts != CHAMELEON && facts != SWIN &&
                facts != TWO_AXES)
                continue;
            const Copy parameters(values, t.kernels);
            Network network(config, t.kernels, t.grads, batch.rows() + 3);
            const std::span<const float> losses = network.losses(parameters.weights(), batch);
            for (int r = 0; r < batch.rows(); r++) CHECK(std::fabs(losses[r] - want[r]) <= t.error * (1 + want[r]));
            // Whether anything is kept makes no difference.
            const std::vector<float> before(losses.begin(), losses.end());
            ParameterVector gradients(layout, t.kernels);
            const std::span<const float> after =
                network.add_gradients(parameters.weights(), gradients.weights(), batch, {});
            CHECK(std::equal(before.begin(), before.end(), after.begin(), after.end()));
        }
    }
}

// Along a direction that is half the gradient itself and half chance, for each tensor by itself: four losses give the
// derivative with an error of the fourth order.
TEST_CASE("network: gradients are what the losses change by, in every architecture") {
    for (unsigned facts = 0; facts < ALL_FACTS; facts++) {
        if (!exists(facts)) continue;
        CAPTURE(facts);
        const TransformerConfig config = config_with(facts);
        const ParameterLayout layout(config);
        ParameterVector values(layout, reference_kernels()), gradients(layout, reference_kernels());
        fill(values);
        const PackedBatch batch = batch_of({6, 1, 8}, config.vocab);
        const CrossEntropy rule = {.z_loss = 0.01f, .scale = 0.5f};
        Network network(config, reference_kernels(), reference_grad_kernels(), batch.rows());
        network.add_gradients(values.weights(), gradients.weights(), batch, rule);
        // ReLU has a corner, which a large step would cross.
        const bool smooth = config.feed_forward == FeedForward::SwiGLU;
        const double step = smooth ? 0.005 : 0.0003, error = smooth ? 1e-3 : 0.05;
        Random random(facts);
        for (const Parameter& p : layout.parameters()) {
            CAPTURE(p.spec.name);
            const std::span<float> value = values.of(p);
            const std::span<const float> gradient = std::as_const(gradients).of(p);
            const std::vector<float> before(value.begin(), value.end());
            const double length = length_of(gradient);
            std::vector<double> direction;
            double expected = 0;
            for (float g : gradient) {
                const double by_chance = random.normal() / std::sqrt(static_cast<double>(p.size()));
                direction.push_back(g / length + by_chance);
                expected += g * direction.back();
            }
            const auto at = [&](double along) {
                for (size_t i = 0; i < value.size(); i++)
                    value[i] = static_cast<float>(before[i] + along * direction[i]);
                const double sum = sum_of(network.losses(values.weights(), batch, rule), batch) * rule.scale;
                std::copy(before.begin(), before.end(), value.begin());
                return sum;
            };
            const double measured = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
            // A bias of all keys adds the same to all scores of a row, unless positions turn it: softmax does not see
            // it.
            const bool unseen = config.positions == Positions::Learned && p.spec.name.ends_with("k_norm.bias");
            CHECK((length > 1e-3) == !unseen);
            if (unseen) continue;
            CHECK(std::fabs(measured - expected) <= error * length + 1e-6 / step);
        }
    }
}

TEST_CASE("network: documents side by side are batches one after another") {
    for (unsigned facts : {CM3LEON, CHAMELEON, SWIN}) {
        const TransformerConfig config = config_with(facts);
        const ParameterLayout layout(config);
        ParameterVector values(layout, reference_kernels());
        fill(values);
        const PackedBatch together = batch_of({7, 1, 12, 3}, config.vocab);
        for (const Tables& t : tables()) {
            CAPTURE(t.grads.name);
            const Copy parameters(values, t.kernels);
            ParameterVector once(layout, t.kernels), apart(layout, t.kernels);
            Network network(config, t.kernels, t.grads, together.rows());
            const CrossEntropy rule = {.z_loss = 1e-3f, .scale = 0.1f};
            const std::span<const float> span =
                network.add_gradients(parameters.weights(), once.weights(), together, rule);
            const std::vector<float> losses(span.begin(), span.end());
            for (int d = 0; d < together.documents(); d++) {
                const int from = together.starts[d], to = together.starts[d + 1];
                const auto cut = [&](const auto& all) {
                    return std::decay_t<decltype(all)>(all.begin() + from, all.begin() + to);
                };
                const PackedBatch alone = {cut(together.tokens),
                                           cut(together.position),
                                           cut(together.targets),
                                           cut(together.weights),
                                           {0, to - from}};
                const std::span<const float> of_alone =
                    network.add_gradients(parameters.weights(), apart.weights(), alone, rule);
                for (int r = from; r < to; r++)
                    CHECK(std::fabs(of_alone[r - from] - losses[r]) <= t.error * (1 + losses[r]));
            }
            CHECK(distance(apart, once) <= t.error);
            // And by every table they are what the definition says.
            ParameterVector defined(layout, reference_kernels());
            Network definition(config, reference_kernels(), reference_grad_kernels(), together.rows());
            definition.add_gradients(values.weights(), defined.weights(), together, rule);
            CHECK(distance(once, defined) <= t.error);
        }
    }
}

TEST_CASE("network: rows without a target or a weight cost nothing and change nothing") {
    const TransformerConfig config = config_with(CHAMELEON);
    const ParameterLayout layout(config);
    ParameterVector values(layout, reference_kernels()), all(layout, reference_kernels()),
        none(layout, reference_kernels());
    fill(values);
    PackedBatch batch = batch_of({8}, config.vocab);
    Network network(config, reference_kernels(), reference_grad_kernels(), 8);
    const std::span<const float> losses = network.add_gradients(values.weights(), all.weights(), batch, {});
    for (int r = 0; r < batch.rows(); r++)
        CHECK((losses[r] == 0) == (batch.targets[r] == NO_TARGET || batch.weights[r] == 0));
    std::fill(batch.weights.begin(), batch.weights.end(), 0.0f);
    network.add_gradients(values.weights(), none.weights(), batch, {});
    CHECK(length_of(none.floats()) == 0);
    CHECK(length_of(all.floats()) > 0);
}

TEST_CASE("network: a large vocabulary is scored in parts") {
    TransformerConfig config = config_with(CHAMELEON);
    config.vocab = 5001;
    config.layers = 1;
    const ParameterLayout layout(config);
    ParameterVector values(layout, cpu_kernels());
    fill(values);
    PackedBatch batch = batch_of({300}, config.vocab);  // parts of 256 rows
    for (int r = 0; r < 300; r++) batch.targets[r] = r;
    for (float& weight : batch.weights) weight = 1;
    ParameterVector whole(layout, cpu_kernels()), parts(layout, cpu_kernels());
    Network network(config, cpu_kernels(), reference_grad_kernels(), 300);
    const CrossEntropy rule = {.scale = 0.01f};
    network.add_gradients(values.weights(), whole.weights(), batch, rule);
    for (int part : {0, 1, 2}) {
        PackedBatch some = batch;
        for (int r = 0; r < 300; r++) some.weights[r] = r % 3 == part ? 1.0f : 0.0f;
        network.add_gradients(values.weights(), parts.weights(), some, rule);
    }
    CHECK(distance(parts, whole) <= 1e-5);
}

TEST_CASE("network: operations are counted") {
    TransformerConfig config = config_with(CM3LEON);
    config.layers = 1;
    Network network(config, reference_kernels(), reference_grad_kernels(), 8);
    PackedBatch batch = batch_of({3, 1}, config.vocab);
    std::fill(batch.targets.begin(), batch.targets.end(), NO_TARGET);
    const double width = 32;  // of q, k, v: 4 heads of 8
    const double layer = 4 * width * 24 + 2 * 40 * 24, attention = (3 + 2 + 1 + 1) * width;
    CHECK(network.operations(batch) == 6 * 4 * layer + 14 * attention);
    batch.targets[1] = 5;
    batch.weights[1] = 1;
    CHECK(network.operations(batch) == 6 * (4 * layer + 24 * 37) + 14 * attention);
}
