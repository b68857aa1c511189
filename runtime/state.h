// What a forward pass works on besides the weights: device memory, the key-value cache, one set of layer buffers.
#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/config.h"

namespace leon {

// Owned device memory seen as a Tensor.
class Buffer {
public:
    Buffer() = default;
    Buffer(const Kernels& kernels, DType dtype, std::initializer_list<int64_t> shape, Reach reach = Reach::Device)
        : kernels_(&kernels), reach_(reach), tensor_(nullptr, dtype, shape) {
        tensor_.data = allocate(kernels, tensor_.bytes(), reach);
    }
    ~Buffer() {
        if (tensor_.data) release(*kernels_, tensor_.data, reach_);
    }
    Buffer(Buffer&& other) noexcept
        : kernels_(other.kernels_), reach_(other.reach_), tensor_(std::exchange(other.tensor_, Tensor())) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(kernels_, other.kernels_);
        std::swap(reach_, other.reach_);
        std::swap(tensor_, other.tensor_);
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    Tensor tensor() const { return tensor_; }
    Tensor first(int64_t rows) const { return tensor_.first(rows); }
    void fill_from(const void* host, size_t bytes) {
        CHECK(bytes <= tensor_.bytes());
        upload(*kernels_, tensor_.data, host, bytes);
    }

private:
    const Kernels* kernels_ = nullptr;
    Reach reach_ = Reach::Device;
    Tensor tensor_;
};

// Owned operations that can be replayed. What they refer to must outlive this object.
class Replayable {
public:
    Replayable() = default;
    Replayable(const Kernels& kernels, const std::function<void()>& operations)
        : kernels_(&kernels), recording_(record(kernels, operations)) {}
    ~Replayable() {
        if (recording_) forget(*kernels_, recording_);
    }
    Replayable(Replayable&& other) noexcept
        : kernels_(other.kernels_), recording_(std::exchange(other.recording_, nullptr)) {}
    Replayable& operator=(Replayable&& other) noexcept {
        std::swap(kernels_, other.kernels_);
        std::swap(recording_, other.recording_);
        return *this;
    }
    Replayable(const Replayable&) = delete;
    Replayable& operator=(const Replayable&) = delete;

    explicit operator bool() const { return recording_ != nullptr; }
    void replay() { leon::replay(*kernels_, recording_); }

private:
    const Kernels* kernels_ = nullptr;
    Recording* recording_ = nullptr;
};

// Keys and values of several streams, in pages that streams with a common prefix share.
//
//   prompt:      page 0 | page 1 | page 2 (half full)
//   fork:        page 0 | page 1 | page 3 (copy of the half page)       <- nothing is computed again
//
// All memory is reserved by the constructor; on the CPU it is only committed when it is first written.
class KvCache {
public:
    // `pages` in all, `streams` at a time, each at most `positions` long. dtype f32, bf16, f16 or i8.
    KvCache(const TransformerConfig& config, const Kernels& kernels, int streams, int positions, int pages,
            DType dtype);

    int add_stream();         // an empty one
    int fork(int stream);     // a stream that holds the same positions
    void remove(int stream);  // its pages return to the pool unless others share them
    int length(int stream) const { return streams_[stream].length; }
    // Makes room for that many more positions without counting them: steps that are under way may write them, and what
    // they wrote is nothing until extend() counts it.
    void reserve(int stream, int positions);
    // Counts these tokens' positions as held, in room made now if there was none.
    void extend(int stream, std::span<const int32_t> tokens);
    SegmentPlace place(int stream) const { return streams_[stream].place; }  // of the last token that is held
    KvPages layer(int index) const;

private:
    struct Stream {
        bool used = false;
        int length = 0;
        SegmentPlace place;
        std::vector<int32_t> pages;  // of `length` positions, and of those that are reserved
    };
    int32_t take_page();
    void give_back(int32_t page);
    void upload_table(int stream);

    const Kernels& kernels_;
    SegmentRule segments_;
    int max_positions_, pages_per_stream_;
    // One a layer: rows [pages, kv_heads, PAGE_TOKENS, head_dim], and of i8 their scales without the last dimension.
    struct Side {
        Buffer rows, scales;
        Tensor tensor() const;
    };
    std::vector<Side> keys_, values_;
    Buffer page_table_;  // [streams, pages_per_stream]
    std::vector<Stream> streams_;
    std::vector<int> page_users_;  // streams that hold the page
    std::vector<int32_t> free_pages_;
};

// Scratch of one layer for up to `rows` rows; every layer uses the same.
struct LayerBuffers {
    Buffer x;               // [rows, dim]                 the residual stream
    Buffer normed;          // [rows, dim]                 input of a branch, or its output before it is added
    Buffer q, k, v, mixed;  // [rows, heads, head_dim] and [rows, kv_heads, head_dim]
    Buffer gate, up;        // [rows, ffn_dim]
    Buffer picked, logits;  // [outputs, dim], [outputs, vocab]
    Buffer tokens, stream, position, outputs;  // [rows] i32
    Buffer segment, code;                      // the same, networks with segments only
    int rows = 0, max_outputs = 0;

    LayerBuffers(const TransformerConfig& config, const Kernels& kernels, int rows, int max_outputs);
};

}  // namespace leon
