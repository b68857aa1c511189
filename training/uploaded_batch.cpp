#include "training/uploaded_batch.h"

#include <cstring>

#include "runtime/segment_places.h"

namespace leon {
namespace {

constexpr size_t ALIGNED_WORDS = 16;  // 64 bytes
constexpr int ARRAYS = 8;

size_t aligned(size_t words) {
    return (words + ALIGNED_WORDS - 1) / ALIGNED_WORDS * ALIGNED_WORDS;
}

}  // namespace

UploadedBatch::UploadedBatch(const Kernels& kernels, int max_rows)
    : memory_(kernels, DType::I32, {static_cast<int64_t>(ARRAYS * aligned(static_cast<size_t>(max_rows) + 1))}) {
    host_.reserve(static_cast<size_t>(memory_.tensor().elements()));
    picked_.reserve(static_cast<size_t>(max_rows));
}

void UploadedBatch::upload(const PackedBatch& batch, const SegmentRule& segments) {
    host_.clear();
    picked_.clear();
    const auto begin = [&] {
        host_.resize(aligned(host_.size()));
        return host_.size();
    };
    // What was appended since `first`, as it lies in the kernels' memory.
    const auto end = [&](size_t first, DType dtype) {
        CHECK(static_cast<int64_t>(host_.size()) <= memory_.tensor().elements());
        return Tensor(memory_.tensor().i32() + first, dtype, {static_cast<int64_t>(host_.size() - first)});
    };
    const auto append = [&](const std::vector<int32_t>& values) {
        const size_t first = begin();
        host_.insert(host_.end(), values.begin(), values.end());
        return end(first, DType::I32);
    };
    tokens = append(batch.tokens);
    position = append(batch.position);
    SegmentPlaces places;
    for (int d = 0; segments && d < batch.documents(); d++)
        places.add(segments, std::span(batch.tokens).subspan(batch.starts[d], batch.starts[d + 1] - batch.starts[d]));
    segment = append(places.index);
    code = append(places.code);
    starts = append(batch.starts);

    for (int r = 0; r < batch.rows(); r++)
        if (batch.targets[r] != NO_TARGET && batch.weights[r] != 0) picked_.push_back(r);
    picked_rows = append(picked_);
    const size_t targets = begin();
    for (int32_t r : picked_) host_.push_back(batch.targets[r]);
    picked_targets = end(targets, DType::I32);
    const size_t weights = begin();
    for (int32_t r : picked_) {
        int32_t bits;
        std::memcpy(&bits, &batch.weights[r], sizeof bits);
        host_.push_back(bits);
    }
    picked_weights = end(weights, DType::F32);
    memory_.fill_from(host_.data(), host_.size() * sizeof(int32_t));
}

}  // namespace leon
