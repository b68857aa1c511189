// Operations that are compiled once and shared by every variant: they move bytes, are a handful of instructions per
// row, or, like sample, select more than they compute. Contracts in kernels/kernels.h.
#pragma once

#include "kernels/kernels.h"

namespace leon::plain {

void gather(Tensor out, Tensor table, Tensor ids);
void gather_add(Tensor x, Tensor table, Tensor ids, int offset);
void rope(Tensor x, const Rotary& rotary);
void add(Tensor x, Tensor y, float scale);
void to_u8(Tensor out, Tensor x);
void append(KvPages cache, Tensor k, Tensor v, Placement at);
void sample(const Draws& draws, const SampleRule& rule);

}  // namespace leon::plain
