// A batch where the kernels read it: its arrays side by side in one block of memory, so that one copy brings them all.
//
//   | tokens | position | segment | code | starts | picked_rows | picked_targets | picked_weights |     each at a
//   multiple of 64 bytes
#pragma once

#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/state.h"
#include "training/batch.h"

namespace leon {

class UploadedBatch {
public:
    // At most `max_rows` rows, and as many documents.
    UploadedBatch(const Kernels& kernels, int max_rows);

    void upload(const PackedBatch& batch, const SegmentRule& segments);

    // Of the last batch, valid until the next one.
    Tensor tokens, position;             // [rows] i32
    Tensor segment, code;                // the same, of kernels/segments.h; empty where nobody asks
    Tensor starts;                       // [documents + 1] i32
    Tensor picked_rows, picked_targets;  // [picked] i32: rows that have a target and a weight, rising
    Tensor picked_weights;               // [picked] f32
    std::span<const int32_t> picked() const { return picked_; }  // picked_rows, for the host

private:
    Buffer memory_;
    std::vector<int32_t> host_, picked_;
};

}  // namespace leon
