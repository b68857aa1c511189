// Operations on rows, heads and elements: gather.cu, norms.cu, heads.cu, elementwise.cu, to_u8.cu.
#include "kernels/planning/cost.h"

namespace leon::cost {
namespace {

double count_of(const Tensor& t) {
    return static_cast<double>(t.elements());
}

void gather_rows(Launches& l, const Tensor& out, const Tensor& table, const Tensor& ids, bool adds) {
    if (out.elements() == 0) return;
    Launch k;
    k.kernel = "gather_kernel";
    k.blocks = ids.elements();
    k.threads = 256;
    k.weight_bytes = count_of(out) * bits_of(table.dtype) / 8;
    k.input_bytes = adds ? bytes_of(out) : 0;
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.load_bytes = k.weight_bytes + k.input_bytes + bytes_of(ids);
    k.trips = 2;  // the id, then its row
    k.early = true;
    l.push_back(k);
}

// A row is read once and stays in registers.
// `vectors`: of the row's length, gain and bias, which every row reads.
void normalise(Launches& l, const Tensor& out, const Tensor& x, RowNorm::Kind kind, int vectors, bool adds) {
    constexpr int THREADS = 256;
    if (x.elements() == 0) return;
    Launch k;
    k.kernel = "norm_kernel";
    k.blocks = x.rows();
    k.threads = THREADS;
    k.input_bytes = bytes_of(x) + (adds ? bytes_of(out) : 0);
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.load_bytes = k.input_bytes + vectors * bytes_of(x);
    k.l2_bytes = k.input_bytes + k.output_bytes;
    k.barriers = k.blocks * (kind == RowNorm::Kind::None ? 0 : kind == RowNorm::Kind::RMS ? 2 : 4);
    k.early = true;
    l.push_back(k);
}

// q, and with a cache k and v, whose rows go there.
void heads_kernel(Launches& l, const Tensor& q, const Tensor& k, const KvPages& cache, bool normed) {
    constexpr int64_t WARPS = 4, MANY_TOKENS = 64, HEADS_OF_A_WARP = 8;
    const int64_t tokens = q.shape[0], head_dim = q.shape[2], kv_heads = k ? k.shape[1] : 0;
    if (tokens == 0 || head_dim == 0) return;
    const int64_t per_warp = tokens < MANY_TOKENS ? 1 : HEADS_OF_A_WARP;
    const double head_bytes = 4.0 * static_cast<double>(head_dim * tokens);
    Launch launch;
    launch.kernel = "heads_kernel";
    launch.blocks = tokens * divide_up(q.shape[1] + 2 * kv_heads, WARPS * per_warp);
    launch.threads = static_cast<int>(WARPS * WARP);
    launch.input_bytes = head_bytes * static_cast<double>(q.shape[1] + 2 * kv_heads);
    launch.output_bytes = head_bytes * static_cast<double>(q.shape[1]);
    if (kv_heads > 0)
        launch.output_bytes +=
            head_bytes * static_cast<double>(2 * kv_heads) * static_cast<double>(size_of(cache.keys.dtype)) / 4 +
            (cache.keys.dtype == DType::I8 ? 4.0 * static_cast<double>(2 * kv_heads * tokens) : 0);
    launch.store_bytes = launch.output_bytes;
    launch.load_bytes = launch.input_bytes;
    if (normed) launch.load_bytes += 2 * head_bytes * static_cast<double>(q.shape[1] + kv_heads);  // weight and bias
    launch.l2_bytes = launch.input_bytes + launch.output_bytes;
    launch.trips = 3;  // position and stream, page, row
    launch.early = true;
    l.push_back(launch);
}

// Four elements a thread, of out and of what stands beside them: `other_bytes` in memory.
void elements_kernel(Launches& l, const Tensor& out, double other_bytes) {
    constexpr int THREADS = 256;
    if (out.elements() == 0) return;
    Launch k;
    k.kernel = "elementwise_kernel";
    k.blocks = divide_up(out.elements(), 4 * THREADS);
    k.threads = THREADS;
    k.input_bytes = bytes_of(out) + other_bytes;
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.load_bytes = 2 * bytes_of(out);
    k.early = true;
    l.push_back(k);
}

}  // namespace

void gather(Launches& l, const Machine&, Tensor out, Tensor table, Tensor ids) {
    gather_rows(l, out, table, ids, false);
}
void gather_add(Launches& l, const Machine&, Tensor x, Tensor table, Tensor ids, int) {
    gather_rows(l, x, table, ids, true);
}

void rmsnorm(Launches& l, const Machine&, Tensor out, Tensor x, Tensor, float) {
    normalise(l, out, x, RowNorm::Kind::RMS, 1, false);
}
void layernorm(Launches& l, const Machine&, Tensor out, Tensor x, Tensor weight, Tensor, float) {
    normalise(l, out, x, RowNorm::Kind::Layer, weight ? 2 : 0, false);
}
void norm_add(Launches& l, const Machine&, Tensor x, Tensor y, const RowNorm& norm) {
    normalise(l, x, y, norm.kind, norm.kind == RowNorm::Kind::RMS ? 1 : 0, true);
}

void head_norm(Launches& l, const Machine&, Tensor x, Tensor, Tensor, float) {
    heads_kernel(l, x, {}, {}, true);
}
void rope(Launches& l, const Machine&, Tensor x, const Rotary&) {
    heads_kernel(l, x, {}, {}, false);
}
void append(Launches& l, const Machine&, KvPages cache, Tensor k, Tensor, Placement) {
    heads_kernel(l, Tensor(nullptr, DType::F32, {k.shape[0], 0, k.shape[2]}), k, cache, false);
}
void rotate_append(Launches& l, const Machine&, Tensor q, Tensor k, Tensor, const HeadNorms& norms, float,
                   KvPages cache, Placement) {
    heads_kernel(l, q, k, cache, static_cast<bool>(norms.q_weight));
}

void add(Launches& l, const Machine&, Tensor x, Tensor y, float) {
    elements_kernel(l, x, bytes_of(y));
}
void swiglu(Launches& l, const Machine&, Tensor out, Tensor, Tensor) {
    elements_kernel(l, out, bytes_of(out));
}
void activate(Launches& l, const Machine&, Tensor x, Activation, Tensor slope) {
    elements_kernel(l, x, slope ? bytes_of(slope) : 0);
}

void to_u8(Launches& l, const Machine&, Tensor out, Tensor x) {
    constexpr int THREADS = 256, WIDTH = 4;
    if (x.elements() == 0) return;
    Launch k;
    k.kernel = "to_u8_kernel";
    k.blocks = divide_up(x.elements(), THREADS * WIDTH);
    k.threads = THREADS;
    k.early = true;
    k.input_bytes = k.load_bytes = bytes_of(x);
    k.output_bytes = k.store_bytes = bytes_of(out);
    l.push_back(k);
}

}  // namespace leon::cost
