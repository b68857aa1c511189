// Projections: matmul.cu, fused.cu.
#include "kernels/planning/cost.h"

namespace leon::cost {
namespace {

constexpr int FEW_ROWS = 16, WARPS = 4, COLUMNS = 2;
constexpr int GEMM_TILE = 64, GEMM_SLICE = 16;

// out = x * weight^T; `adds`: to what stands in out.
void project(Launches& l, const Machine& m, const Tensor& out, const Tensor& x, const Tensor& weight, bool adds) {
    if (out.elements() == 0) return;
    const int64_t rows = x.rows(), n = weight.rows(), depth = weight.cols();
    Launch k;
    k.weight_bytes = bytes_of(weight);
    k.input_bytes = bytes_of(x) + (adds ? bytes_of(out) : 0);
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.unit = Unit::Float;
    const double products = 2.0 * static_cast<double>(n) * static_cast<double>(depth);
    if (rows <= FEW_ROWS) {
        int64_t padded = 1;  // rows of the instance that is launched
        while (padded < rows) padded *= 2;
        k.kernel = "few_rows_kernel";
        k.blocks = divide_up(n, WARPS * COLUMNS);
        k.threads = WARPS * WARP;
        k.load_bytes = k.weight_bytes + 4.0 * static_cast<double>(padded * depth * divide_up(n, COLUMNS)) +
                       (adds ? bytes_of(out) : 0);
        k.l2_bytes = k.weight_bytes + k.input_bytes * m.multiprocessors +
                     k.output_bytes;  // x stays in the L1 of each multiprocessor
        k.flops = products * static_cast<double>(padded);
        k.in_flight_bytes = WARPS * WARP * COLUMNS * 16;
        k.trips = 1;
    } else {
        const int64_t across = divide_up(n, GEMM_TILE), down = divide_up(rows, GEMM_TILE);
        k.kernel = "many_rows_kernel";
        k.blocks = across * down;
        k.threads = 256;
        k.shared_bytes = 2 * GEMM_SLICE * (GEMM_TILE + 4) * 4;
        k.load_bytes = bytes_of(x) * static_cast<double>(across) + k.weight_bytes * static_cast<double>(down) +
                       (adds ? bytes_of(out) : 0);
        k.flops = products * static_cast<double>(down * GEMM_TILE);
        k.barriers = k.blocks * 2 * divide_up(depth, GEMM_SLICE);
    }
    l.push_back(k);
}

// x, or scratch with x normalised in it.
void normed(Launches& l, const Machine& m, const Tensor& x, const RowNorm& norm, const Tensor& scratch) {
    if (norm.kind == RowNorm::Kind::RMS) rmsnorm(l, m, scratch, x, norm.weight, norm.eps);
    if (norm.kind == RowNorm::Kind::Layer) layernorm(l, m, scratch, x, norm.eps);
}

}  // namespace

void matmul(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight) {
    project(l, m, out, x, weight, false);
}
void matmul_add(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight) {
    project(l, m, out, x, weight, true);
}

void project_qkv(Launches& l, const Machine& m, Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w,
                 Tensor scratch) {
    normed(l, m, x, w.norm, scratch);
    matmul(l, m, q, x, w.q);
    matmul(l, m, k, x, w.k);
    matmul(l, m, v, x, w.v);
}

void feed_forward(Launches& l, const Machine& m, Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch,
                  Tensor gate_scratch) {
    normed(l, m, x, w.norm, scratch);
    matmul(l, m, out, x, w.up);
    if (w.gate) {
        matmul(l, m, gate_scratch, x, w.gate);
        swiglu(l, m, out, gate_scratch, out);
    } else {
        relu(l, m, out);
    }
}

}  // namespace leon::cost
