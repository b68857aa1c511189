// Feature maps of a convolutional network: [height, width, channels] in buffers that are used again and again.
//
// A pass is walked twice with the same code: first without kernels, which finds the sizes of the buffers (and counts
// the multiply-adds), then on buffers of exactly those sizes.
//
//   FeaturePass plan;                  draw(plan, plan.make(8, 8, 3));       // measures
//   FeaturePass pass(kernels, plan, Exactness::Float32);   draw(pass, pass.make(8, 8, 3));       // computes
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/kernels.h"
#include "runtime/state.h"

namespace leon {

struct ConvWeights {
    Tensor weight, bias;  // [out, kernel, kernel, in] f32 or bf16, [out] f32
    explicit operator bool() const { return weight.rank != 0; }
    int64_t in() const { return weight.shape[3]; }
    int64_t out() const { return weight.shape[0]; }
    int64_t kernel() const { return weight.shape[1]; }
};

// Convolutions that keep a picture's size, halve it and double it.
constexpr Convolution SAME = {.kernel = 3, .stride = 1, .pad_before = 1, .pad_after = 1, .upsample = 1};
constexpr Convolution POINTWISE = {.kernel = 1, .stride = 1, .pad_before = 0, .pad_after = 0, .upsample = 1};
constexpr Convolution HALVE = {.kernel = 3, .stride = 2, .pad_before = 0, .pad_after = 1, .upsample = 1};
constexpr Convolution DOUBLE = {.kernel = 3, .stride = 1, .pad_before = 1, .pad_after = 1, .upsample = 2};

// One reusable buffer of a pass.
struct MapSlot {
    size_t bytes = 0;  // the most that was ever wanted of it
    Buffer memory;
    bool taken = false;
};

// A feature map [height, width, channels] in a slot, which is free again when the map is dropped or replaced.
class FeatureMap {
public:
    FeatureMap(Tensor tensor, MapSlot& slot) : tensor(tensor), slot_(&slot) {}
    FeatureMap(FeatureMap&& other) noexcept : tensor(other.tensor), slot_(std::exchange(other.slot_, nullptr)) {}
    FeatureMap& operator=(FeatureMap&& other) noexcept {
        std::swap(tensor, other.tensor);
        std::swap(slot_, other.slot_);
        other.drop();
        return *this;
    }
    ~FeatureMap() { drop(); }

    int64_t height() const { return tensor.shape[0]; }
    int64_t width() const { return tensor.shape[1]; }
    int64_t channels() const { return tensor.shape[2]; }
    int64_t pixels() const { return height() * width(); }
    Tensor rows() const { return tensor.as({pixels(), channels()}); }
    // Lines `from` to `from + count`: the same memory, for as long as this map lives.
    FeatureMap lines(int64_t from, int64_t count) const {
        CHECK(from >= 0 && count > 0 && from + count <= height());
        const size_t offset = static_cast<size_t>(from * width() * channels()) * size_of(tensor.dtype);
        return FeatureMap(Tensor(tensor.data ? static_cast<char*>(tensor.data) + offset : nullptr, tensor.dtype,
                                 {count, width(), channels()}));
    }

    Tensor tensor;

private:
    explicit FeatureMap(Tensor view) : tensor(view), slot_(nullptr) {}
    void drop() {
        if (slot_) slot_->taken = false;
        slot_ = nullptr;
    }
    MapSlot* slot_;
};

// The operations on maps that every network has. Without kernels it only measures: sizes of slots and multiply-adds.
class FeaturePass {
public:
    FeaturePass() = default;
    FeaturePass(const Kernels& kernels, const FeaturePass& measured, Exactness exactness)
        : kernels_(&kernels), exactness_(exactness) {
        for (size_t i = 0; i < slots_.size(); i++) {
            slots_[i].bytes = measured.slots_[i].bytes;
            if (slots_[i].bytes > 0)
                slots_[i].memory = Buffer(kernels, DType::U8, {static_cast<int64_t>(slots_[i].bytes)});
        }
    }
    FeaturePass(const FeaturePass&) = delete;  // maps point into it
    FeaturePass& operator=(const FeaturePass&) = delete;

    double macs() const { return macs_; }
    size_t bytes() const {
        size_t bytes = 0;
        for (const MapSlot& slot : slots_) bytes += slot.bytes;
        return bytes;
    }

    FeatureMap make(int64_t height, int64_t width, int64_t channels, DType dtype = DType::F32) {
        auto found = std::find_if(slots_.begin(), slots_.end(), [](const MapSlot& s) { return !s.taken; });
        CHECK(found != slots_.end());
        MapSlot& slot = *found;
        Tensor tensor(slot.memory.tensor().data, dtype, {height, width, channels});
        slot.taken = true;
        if (!kernels_) slot.bytes = std::max(slot.bytes, tensor.bytes());
        CHECK(tensor.bytes() <= slot.bytes);
        return FeatureMap(tensor, slot);
    }
    FeatureMap like(const FeatureMap& x) { return make(x.height(), x.width(), x.channels()); }
    // The convolution of x, added to `residual` if there is one.
    FeatureMap conv(const FeatureMap& x, const ConvWeights& w, const Convolution& shape,
                    const FeatureMap* residual = nullptr) {
        return convolve(x, {}, w, shape, residual, {});
    }

protected:
    // The convolution of x, normalised first if the norm has weights. scratch: as in norm_conv2d.
    FeatureMap convolve(const FeatureMap& x, const GroupNorm& norm, const ConvWeights& w, Convolution shape,
                        const FeatureMap* residual, Tensor scratch) {
        FeatureMap out = make(convolved(x.height(), shape), convolved(x.width(), shape), w.out());
        macs_ += static_cast<double>(out.tensor.elements()) * static_cast<double>(w.kernel() * w.kernel() * w.in());
        shape.exactness = exactness_;
        if (kernels_)
            norm_conv2d(*kernels_, out.tensor, x.tensor, norm, w.weight, w.bias, shape,
                        residual ? residual->tensor : Tensor(), scratch);
        return out;
    }

    const Kernels* kernels_ = nullptr;
    Exactness exactness_ = Exactness::Float32;
    double macs_ = 0;

private:
    std::array<MapSlot, 10> slots_;  // a dense block and what is around it hold ten maps
};

}  // namespace leon
