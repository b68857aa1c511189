// matmul, matmul_add: out = x * weight^T, or out += it.
//
// Up to 16 rows (decoding): few_rows.cu. Bound by the bytes of the weight.
// More rows (prefill): gemm.cu. Bound by the tensor cores, for fewer than about a hundred by the bytes of the weight.
#include "kernels/cuda/few_rows.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launchers.h"

namespace leon::LEON_CUDA {

void matmul(Tensor out, Tensor x, Tensor weight) {
    if (out.elements() == 0) return;
    if (x.rows() <= FEW_ROWS) return few_rows(out, x, weight, Store::Assign);
    gemm(out, x, weight, Ending::Assign);
}

void matmul_add(Tensor out, Tensor x, Tensor weight) {
    if (out.elements() == 0) return;
    if (x.rows() <= FEW_ROWS) return few_rows(out, x, weight, Store::Accumulate);
    gemm(out, x, weight, Ending::Accumulate);
}

}  // namespace leon::LEON_CUDA
