// The network: a batch of rows from any streams in, logits of the chosen rows out.
//
//   Transformer network(config, weights, kernels, 128, 16);
//   KvCache cache(config, kernels, 2, 1024, 64, DType::F32);
//   int stream = cache.add_stream();
//   prefill(network, cache, stream, prompt);                       // all but the last token
//   Batch step;  step.add(prompt.back(), stream, cache.length(stream), WantLogits::Yes);
//   const float* logits = network.forward(cache, step);
//
// Guidance streams, candidates and prefill chunks are all the same thing: rows of one batch.
//
// forward() is two halves: place() is the host's part, compute() the device's. A loop that draws its tokens on the
// device places the first batch, and then only computes: once recorded, again and again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/config.h"
#include "runtime/state.h"
#include "runtime/weights.h"

namespace leon {

enum class WantLogits { No, Yes };

// What stays the same from step to step, and so may be fixed in a recording: everything but what the rows hold.
struct BatchShape {
    int rows = 0, outputs = 0;
    int first_id = 0, ids = 0;  // the slice of the vocabulary, as in Batch
    bool operator==(const BatchShape&) const = default;
};

// Rows of one stream must be adjacent and continue it: their positions are length(stream), length(stream)+1, ...
struct Batch {
    std::vector<int32_t> tokens, stream, position;  // one entry a row
    std::vector<int32_t> outputs;                   // rows whose logits are wanted, in the order of the result
    // The slice of the vocabulary that is computed; a picture needs only its codes' rows of the output matrix.
    int first_id = 0, ids = 0;  // ids = 0: all of them

    int rows() const { return static_cast<int>(tokens.size()); }
    BatchShape shape() const { return {rows(), static_cast<int>(outputs.size()), first_id, ids}; }
    void add(int32_t token, int32_t in_stream, int32_t at_position, WantLogits want) {
        if (want == WantLogits::Yes) outputs.push_back(rows());
        tokens.push_back(token);
        stream.push_back(in_stream);
        position.push_back(at_position);
    }
};

class Transformer {
public:
    // Weights, and what they point to, must outlive this object. At most `max_rows` rows a batch, `max_outputs`
    // outputs.
    Transformer(const TransformerConfig& config, const TransformerWeights& weights, const Kernels& kernels,
                int max_rows, int max_outputs);

    // Appends the batch's rows to their streams and returns logits [outputs, ids] in host memory, valid until the next
    // call. Tokens must be within the vocabulary and positions within what the cache was made for (CHECKed).
    const float* forward(KvCache& cache, const Batch& batch);

    // The host's part: reserves the positions in the cache without counting them, and puts tokens, streams, positions
    // and outputs where compute() reads them.
    void place(KvCache& cache, const Batch& batch);

    // The device's part: from tokens() and position() to logits [outputs, ids] in device memory, valid until the next
    // call. Keys and values go to positions that must be reserved. May be recorded: it reads nothing of the host's.
    Tensor compute(const KvCache& cache, const BatchShape& shape);

    // The rows' inputs in device memory, for who draws the next ones there.
    Tensor tokens(int rows) const { return buffers_.tokens.first(rows); }
    Tensor position(int rows) const { return buffers_.position.first(rows); }
    Tensor segment(int rows) const { return buffers_.segment.first(rows); }  // and code: networks with segments only
    Tensor code(int rows) const { return buffers_.code.first(rows); }
    const SegmentRule& segments() const { return config_.segments; }

    const TransformerConfig& config() const { return config_; }
    int max_rows() const { return buffers_.rows; }
    int max_outputs() const { return buffers_.max_outputs; }
    size_t weight_bytes(const BatchShape& shape) const;  // that one forward pass reads

private:
    const TransformerConfig config_;
    const TransformerWeights& weights_;
    const Kernels& kernels_;
    int ids_of(const BatchShape& shape) const { return shape.ids > 0 ? shape.ids : config_.vocab; }

    LayerBuffers buffers_;
    std::vector<float> host_logits_;
};

// Feeds `tokens` to the end of a stream in chunks of at most network.max_rows(), without computing logits.
void prefill(Transformer& network, KvCache& cache, int stream, std::span<const int32_t> tokens);

}  // namespace leon
