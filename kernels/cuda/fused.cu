// The fused operations. Few rows, which the bytes of the weight bound: one launch, the norm inside (few_rows.cu). Many
// rows: a launch that normalises, since each row is read by many blocks of the product, and one for all products.
#include "kernels/composed.h"
#include "kernels/cuda/few_rows.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

void project_qkv(Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w, Tensor scratch) {
    if (x.rows() <= FEW_ROWS) return few_rows_qkv(q, k, v, x, w);
    gemm_qkv(q, k, v, composed::normed(table(), x, w.norm, scratch), w.q, w.k, w.v);
}

void feed_forward(Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch, Tensor) {
    if (x.rows() <= FEW_ROWS) return few_rows_feed_forward(out, x, w);
    const Tensor input = composed::normed(table(), x, w.norm, scratch);
    if (w.gate)
        gemm_swiglu(out, input, w.gate, w.up);
    else
        gemm(out, input, w.up, Ending::Relu);
}

}  // namespace leon::LEON_CUDA
