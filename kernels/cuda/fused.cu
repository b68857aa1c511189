// The fused operations, composed of this table's own kernels.
#include "kernels/composed.h"
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

void project_qkv(Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w, Tensor scratch) {
    composed::project_qkv(table(), q, k, v, x, w, scratch);
}
void rotate_append(Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta, KvPages cache, Placement at) {
    composed::rotate_append(table(), q, k, v, norms, theta, cache, at);
}
void feed_forward(Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch, Tensor gate_scratch) {
    composed::feed_forward(table(), out, x, w, scratch, gate_scratch);
}
void norm_add(Tensor x, Tensor y, const RowNorm& norm) {
    composed::norm_add(table(), x, y, norm);
}
void norm_conv2d(Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor bias, Convolution shape,
                 Tensor residual, Tensor scratch) {
    composed::norm_conv2d(table(), out, x, norm, weight, bias, shape, residual, scratch);
}

}  // namespace leon::LEON_CUDA
