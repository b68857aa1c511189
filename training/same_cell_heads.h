// Heads that begin by looking at the cell of an earlier picture whose code comes next.
//
// Edits, maps, segmentations and retrieved documents ask for it, and a network has to find it before it can use it: a
// trained one had not after 200 million tokens. Positions on two axes (kernels/segments.h) make the distance the same
// everywhere, and a head that begins there has used it after some hundred steps (docs/training.md has the figures).
// With qk-norm a head's queries and keys end in learned biases, and a rotation by constant angles between these is a
// constant distance:   q . k = sum_i a^2 cos((segment_q - segment_k + 1) theta_i),  largest where k is one cell
// further.
#pragma once

#include <cstdint>
#include <span>

#include "training/head_number.h"
#include "training/parameters.h"

namespace leon {

// Sets the norms of queries and keys, the values' matrix and its part of the output of these heads: random directions
// of the residual stream are copied as they are. Needs segments, qk-norm, and as many heads of keys as of queries
// (CHECKed). The matrices keep their size: their standard deviations are those of the layers' matrices as they are.
void look_at_same_cells(ParameterVector& values, std::span<const HeadNumber> heads, uint64_t seed);

}  // namespace leon
