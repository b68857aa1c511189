// Projections: few_rows.cu for up to 16 rows, gemm.cu for more, and their fused forms (fused.cu).
#include <algorithm>
#include <initializer_list>

#include "kernels/planning/cost.h"

namespace leon::cost {
namespace {

constexpr int FEW_ROWS = 16;

bool splits_in_bf16(DType weight) {
    return weight == DType::BF16 || has_row_scale(weight);
}
Unit unit_of(DType weight) {
    return splits_in_bf16(weight) ? Unit::Half : Unit::Tf32;
}
// Products per multiply-add: both halves of x, and for f32 those of the weight, too.
int terms_of(DType weight) {
    return weight == DType::F32 ? 3 : 2;
}
double size(DType type) {
    return bits_of(type) / 8.0 * (type == DType::I4 ? 17.0 / 16 : 1);  // with the factors of its groups
}

struct Products {
    std::vector<Tensor> out, weight;  // outs as many as weights, or with Swiglu one for two
    bool swiglu = false, adds = false;
    RowNorm norm;
};

// --- few_rows.cu ------------------------------------------------------------------------------------------------

// Instructions of a warp for a unit of 128 bytes of the depth, as nvcc 13.0 makes them for sm_90:
// tests/sass_expected.txt holds them. They are counted with both sorts of norms, of which at most one is done.
double instructions_of_unit(DType weight, int64_t lines, int64_t halves) {
    switch (weight) {
        case DType::BF16:
            return halves == 2 ? (lines == 1 ? 476 : 502) : lines == 1 ? 303 : 342;
        case DType::F16:
            return halves == 2 ? (lines == 1 ? 524 : 515) : lines == 1 ? 321 : 355;
        case DType::F8:
            return halves == 2 ? (lines == 1 ? 878 : 944) : lines == 1 ? 557 : lines == 2 ? 640 : 843;
        case DType::I4:  // with some 35 for the factors of its groups, which come in narrow loads
            return halves == 2 ? (lines == 1 ? 1440 : 1530) : lines == 1 ? 910 : 1030;
        case DType::I8:
            return halves == 2 ? (lines == 1 ? 886 : 973) : lines == 1 ? 571 : lines == 2 ? 672 : 906;
        default:
            return halves == 2 ? (lines == 1 ? 377 : 434) : lines == 1 ? 265 : 338;
    }
}

void few_rows(Launches& l, const Machine& m, const Products& p, const Tensor& x) {
    constexpr int WARPS = 8, BLOCKS_AT_ONCE = 2, CHUNKS = 2;
    const DType dtype = p.weight[0].dtype;
    const int64_t rows = x.rows(), depth = x.cols(), halves = rows <= 8 ? 1 : 2;
    int64_t n = 0;
    for (const Tensor& w : p.weight) n += w.rows();
    if (rows == 0 || n == 0) return;

    const auto is_enough = [&](int64_t lines) { return n * 10 >= 8 * lines * m.multiprocessors * 9; };
    int64_t lines = is_enough(2) || p.swiglu ? 2 : 1;
    if (bits_of(dtype) == 8 && is_enough(4) && rows <= 8) lines = 4;
    const int64_t columns = lines * (p.swiglu ? 4 : 8), stages = lines == 1 ? 6 : lines == 2 ? 3 : 2;
    int64_t tiles = 0;
    for (size_t i = 0; i < p.out.size(); i++) tiles += divide_up(p.weight[i].rows(), columns);

    const int64_t pack = 128 / bits_of(dtype), unit = CHUNKS * 4 * pack;
    const int64_t ring = WARPS * stages * lines * CHUNKS * WARP * 16;
    const int64_t products = tiles * divide_up(depth, unit) * CHUNKS * (pack / 4) * divide_up(lines, 2) * halves *
                             terms_of(dtype) * (splits_in_bf16(dtype) ? 1 : 2);
    const int norm_passes = p.norm.kind == RowNorm::Kind::None ? 0 : p.norm.kind == RowNorm::Kind::RMS ? 1 : 2;

    Launch k;
    k.kernel = "few_rows_kernel";
    k.blocks = std::min<int64_t>(tiles, BLOCKS_AT_ONCE * m.multiprocessors);
    k.threads = WARPS * WARP;
    k.shared_bytes = static_cast<int>(ring + 2 * 4 * WARPS * lines * halves * 2 * WARP);
    for (const Tensor& w : p.weight) k.weight_bytes += bytes_of(w);
    k.input_bytes = bytes_of(x);
    for (const Tensor& out : p.out) k.output_bytes += bytes_of(out);
    const double added = p.adds ? k.output_bytes : 0, blocks = static_cast<double>(k.blocks);
    // Each tile reads x, and the gain of an RMS norm, for every row; statistics are taken by every block. It stays in
    // L1.
    const double gains = p.norm.kind == RowNorm::Kind::RMS ? 2 : 1;
    // Lanes without a row of their own ask for the last one again, which costs nothing: it is the same access.
    const double x_of_tile = 4.0 * static_cast<double>(8 * halves * depth);
    k.load_bytes =
        k.weight_bytes + x_of_tile * static_cast<double>(tiles) * gains + bytes_of(x) * blocks * norm_passes + added;
    k.store_bytes = k.output_bytes;
    k.l2_bytes = k.weight_bytes + std::min<double>(blocks, m.multiprocessors) * bytes_of(x) + added + k.output_bytes;
    k.unit = unit_of(dtype);
    k.flops = 2.0 * 16 * 8 * (splits_in_bf16(dtype) ? 16 : 8) * static_cast<double>(products);
    k.instructions = static_cast<double>(tiles * divide_up(depth, unit)) * instructions_of_unit(dtype, lines, halves);
    k.barriers = tiles + k.blocks * (norm_passes > 0 ? norm_passes + 1 : 0);
    k.trips = 1 + norm_passes;
    k.in_flight_bytes = static_cast<double>(ring);
    k.early = true;
    k.ahead_bytes = std::min(k.weight_bytes, blocks * static_cast<double>(ring));
    l.push_back(k);
}

// --- gemm.cu ----------------------------------------------------------------------------------------------------

struct Shape {
    int64_t rows, cols, depth, stages, threads;
    double price;  // of an element of out, in gemm.cu's estimate

    double shared_bytes(DType weight) const {
        return static_cast<double>(stages * depth) *
               (4.0 * static_cast<double>(rows) + size(weight) * static_cast<double>(cols));
    }
};

Shape shape_for(DType weight, int64_t rows, int64_t n, const Machine& m) {
    const Shape shapes[] = {{weight == DType::I4 ? 64 : 128, splits_in_bf16(weight) ? 256 : 128, 32, 4, 256, 1},
                            {64, 128, 32, 4, 128, 1.3},
                            {32, 64, 128, weight == DType::F32 ? 3 : 4, 256, 2.6}};
    const auto time = [&](const Shape& s) {
        const int64_t share = divide_up(divide_up(rows, s.rows) * divide_up(n, s.cols), m.multiprocessors);
        return static_cast<double>(share * s.rows * s.cols) * s.price;
    };
    return *std::min_element(std::begin(shapes), std::end(shapes),
                             [&](const Shape& a, const Shape& b) { return time(a) < time(b); });
}

void gemm(Launches& l, const Machine& m, const Products& p, const Tensor& x) {
    const DType dtype = p.weight[0].dtype;
    const int64_t rows = x.rows(), depth = x.cols();
    int64_t n = 0;
    for (const Tensor& w : p.weight) n += w.rows();
    if (rows == 0 || n == 0) return;

    const Shape s = shape_for(dtype, rows, n, m);
    int64_t across = 0;
    for (size_t i = 0; i < p.out.size(); i++) {
        const int64_t columns = p.weight[i].rows();
        across += divide_up(p.swiglu ? 2 * divide_up(columns, 8) * 8 : columns, s.cols);
    }
    const int64_t down = divide_up(rows, s.rows), steps = divide_up(depth, s.depth);

    Launch k;
    k.kernel = "gemm_kernel";
    k.blocks = across * down;
    k.threads = static_cast<int>(s.threads);
    k.shared_bytes = static_cast<int>(s.shared_bytes(dtype));
    for (const Tensor& w : p.weight) k.weight_bytes += bytes_of(w);
    k.input_bytes = bytes_of(x);
    for (const Tensor& out : p.out) k.output_bytes += bytes_of(out);
    const double blocks = static_cast<double>(k.blocks), added = p.adds ? k.output_bytes : 0;
    k.load_bytes = blocks * static_cast<double>(depth) *
                       (4.0 * static_cast<double>(s.rows) + size(dtype) * static_cast<double>(s.cols)) +
                   added;
    if (has_row_scale(dtype)) k.load_bytes += 4.0 * static_cast<double>(rows * n);  // a scale for each sum
    k.store_bytes = k.output_bytes;
    k.unit = unit_of(dtype);
    k.flops =
        2.0 * blocks * static_cast<double>(s.rows * s.cols) * static_cast<double>(steps * s.depth) * terms_of(dtype);
    k.barriers = k.blocks * (steps + (s.depth > 32 ? 2 : 0));
    l.push_back(k);
}

void project(Launches& l, const Machine& m, const Products& p, const Tensor& x) {
    if (x.rows() <= FEW_ROWS)
        few_rows(l, m, p, x);
    else
        gemm(l, m, p, x);
}

// Few rows are normalised inside the product, many before it.
void normed(Launches& l, const Machine& m, const Tensor& x, const RowNorm& norm, const Tensor& scratch) {
    if (x.rows() <= FEW_ROWS) return;
    if (norm.kind == RowNorm::Kind::RMS) rmsnorm(l, m, scratch, x, norm.weight, norm.eps);
    if (norm.kind == RowNorm::Kind::Layer) layernorm(l, m, scratch, x, {}, {}, norm.eps);
}

}  // namespace

void matmul(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight) {
    project(l, m, {{out}, {weight}, false, false, {}}, x);
}
void matmul_add(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight) {
    project(l, m, {{out}, {weight}, false, true, {}}, x);
}

void project_qkv(Launches& l, const Machine& m, Tensor q, Tensor k, Tensor v, Tensor x, const QkvWeights& w,
                 Tensor scratch) {
    normed(l, m, x, w.norm, scratch);
    project(l, m, {{q, k, v}, {w.q, w.k, w.v}, false, false, w.norm}, x);
}

void feed_forward(Launches& l, const Machine& m, Tensor out, Tensor x, const FeedForwardWeights& w, Tensor scratch,
                  Tensor) {
    normed(l, m, x, w.norm, scratch);
    if (w.gate)
        project(l, m, {{out}, {w.gate, w.up}, true, false, w.norm}, x);
    else
        project(l, m, {{out}, {w.up}, false, false, w.norm}, x);
}

}  // namespace leon::cost
