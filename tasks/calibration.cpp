// See calibration.h. The network is the runtime's own; a kernel table that looks at inputs before it multiplies is all
// that is put under it.
#include "tasks/calibration.h"

#include <algorithm>
#include <map>
#include <memory>

#include "kernels/composed.h"
#include "runtime/transformer.h"
#include "tasks/workbench.h"

namespace leon {
namespace {

constexpr int ROWS = 128;  // of a batch

// What has been read so far, by the data of the weight that read it.
struct Witness {
    std::map<const void*, Moments> moments;
    std::vector<float> turned;

    void see(const Tensor& x, const Tensor& weight) {
        const auto found = moments.find(weight.data);
        if (found == moments.end()) return;
        const int64_t rows = x.rows(), width = x.cols();
        turned.resize(static_cast<size_t>(rows * width));
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < width; i++) turned[static_cast<size_t>(i * rows + r)] = x.f32()[r * width + i];
        const Tensor t(turned.data(), DType::F32, {width, rows});
        matmul_add(cpu_kernels(), Tensor(found->second.sum.data(), DType::F32, {width, width}), t, t);
    }
};
Witness* witness = nullptr;

// The processor's kernels, with every product seen by `witness`.
const Kernels& witnessed_kernels() {
    static const Kernels table = [] {
        Kernels k = cpu_kernels();
        k.matmul = [](Tensor out, Tensor x, Tensor weight) {
            witness->see(x, weight);
            cpu_kernels().matmul(out, x, weight);
        };
        k.matmul_add = [](Tensor out, Tensor x, Tensor weight) {
            witness->see(x, weight);
            cpu_kernels().matmul_add(out, x, weight);
        };
        k.project_qkv = [](Tensor q, Tensor key, Tensor v, Tensor x, const QkvWeights& w, Tensor scratch) {
            composed::project_qkv(witnessed_kernels(), q, key, v, x, w, scratch);
        };
        k.feed_forward = [](Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch, Tensor gate_scratch) {
            composed::feed_forward(witnessed_kernels(), out, x, w, scratch, gate_scratch);
        };
        return k;
    }();
    return table;
}

// A layer's projections by what they read.
enum Input { ATTENTION, MIXED, FEED_FORWARD, HIDDEN, INPUTS };
constexpr struct {
    const char* name;
    Input input;
} PROJECTIONS[] = {{"q", ATTENTION},       {"k", ATTENTION},     {"v", ATTENTION}, {"o", MIXED},
                   {"gate", FEED_FORWARD}, {"up", FEED_FORWARD}, {"down", HIDDEN}};

Tensor reader_of(const LayerWeights& w, Input input) {
    return input == ATTENTION ? w.q : input == MIXED ? w.o : input == FEED_FORWARD ? w.up : w.down;
}

class Calibration {
public:
    Calibration(const Model& model, const std::vector<std::vector<int32_t>>& streams, size_t moments_bytes)
        : model_(model), streams_(streams) {
        const LayerWeights& layer = model.weights().layers.front();
        size_t bytes = 0;
        for (int i = 0; i < INPUTS; i++) {
            const size_t width = static_cast<size_t>(reader_of(layer, Input(i)).cols());
            bytes += width * width * sizeof(float);
        }
        layers_at_once_ = std::max<size_t>(1, moments_bytes / bytes);
    }

    std::shared_ptr<const Feedback> of(const std::string& tensor) {
        const std::vector<LayerWeights>& layers = model_.weights().layers;
        for (size_t layer = 0; layer < layers.size(); layer++)
            for (const auto& projection : PROJECTIONS)
                if (tensor == "transformer.layers." + std::to_string(layer) + "." + projection.name)
                    return of(layer, projection.input);
        return nullptr;
    }

private:
    std::shared_ptr<const Feedback> of(size_t layer, Input input) {
        const void* reader = reader_of(model_.weights().layers[layer], input).data;
        if (reader == last_reader_) return last_;
        if (!seen_.moments.contains(reader)) read(layer);
        last_.reset();
        last_ = std::make_shared<Feedback>(seen_.moments.at(reader));
        last_reader_ = reader;
        return last_;
    }

    // Sums up what the layers from `first` on read, as many as there is room for.
    void read(size_t first) {
        const TransformerConfig& config = model_.config().transformer;
        const std::vector<LayerWeights>& layers = model_.weights().layers;
        seen_ = {};
        for (size_t layer = first; layer < std::min(layers.size(), first + layers_at_once_); layer++)
            for (int i = 0; i < INPUTS; i++) {
                const Tensor reader = reader_of(layers[layer], Input(i));
                Moments& m = seen_.moments[reader.data];
                m.width = reader.cols();
                m.sum.resize(static_cast<size_t>(m.width * m.width));
            }
        witness = &seen_;
        const Kernels& kernels = witnessed_kernels();
        Transformer network(config, model_.weights(), kernels, ROWS, 1);
        for (const std::vector<int32_t>& stream : streams_) {
            const int count = static_cast<int>(stream.size());
            KvCache cache(config, kernels, 1, count, (count + PAGE_TOKENS - 1) / PAGE_TOKENS, DType::F32);
            prefill(network, cache, cache.add_stream(), stream);
        }
        witness = nullptr;
    }

    const Model& model_;
    const std::vector<std::vector<int32_t>>& streams_;
    size_t layers_at_once_;
    Witness seen_;
    const void* last_reader_ = nullptr;
    std::shared_ptr<const Feedback> last_;
};

}  // namespace

void convert_calibrated(const Model& model, const std::string& output, ConvertOptions options,
                        const std::vector<std::vector<int32_t>>& streams,
                        const std::function<void(size_t done, size_t total)>& progress, size_t moments_bytes) {
    if (!options.dtype.starts_with("int4") && !options.dtype.starts_with("int8"))
        throw Error("calibration is for int4 and int8, and not for " + in_quotes(options.dtype), model.path());
    if (streams.empty()) throw Error("there are no tokens to calibrate with", model.path());
    for (size_t i = 0; i < streams.size(); i++) check_tokens(model, streams[i], "stream " + std::to_string(i));
    const auto calibration = std::make_shared<Calibration>(model, streams, moments_bytes);
    options.feedback = [calibration](const std::string& tensor) { return calibration->of(tensor); };
    convert(model.path(), output, options, progress);
}

}  // namespace leon
