// Operations on rows and elements: gather.cu, norms.cu, rope.cu, cache.cu, elementwise.cu.
#include "kernels/planning/cost.h"

namespace leon::cost {
namespace {

// One block per row of `x`, which is read `reads` times (from cache but for the first) and written once.
Launch rows_kernel(const char* kernel, const Tensor& x, int threads, int reads, int barriers) {
    Launch k;
    k.kernel = kernel;
    k.blocks = x.rows();
    k.threads = threads;
    k.input_bytes = k.output_bytes = k.store_bytes = bytes_of(x);
    k.load_bytes = reads * bytes_of(x);
    k.barriers = barriers * k.blocks;
    k.trips = reads;
    return k;
}

Launch elements_kernel(const char* kernel, const Tensor& out, double input_bytes) {
    constexpr int THREADS = 256;
    Launch k;
    k.kernel = kernel;
    k.blocks = divide_up(out.elements(), THREADS);
    k.threads = THREADS;
    k.input_bytes = k.load_bytes = input_bytes;
    k.output_bytes = k.store_bytes = bytes_of(out);
    return k;
}

void gather_rows(Launches& l, const Tensor& out, const Tensor& table, const Tensor& ids, bool adds) {
    if (out.elements() == 0) return;
    Launch k = rows_kernel("gather_kernel", out, 256, 1, 0);
    k.input_bytes = adds ? bytes_of(out) : 0;
    k.weight_bytes = static_cast<double>(out.elements()) * static_cast<double>(size_of(table.dtype));
    k.load_bytes = k.weight_bytes + k.input_bytes + bytes_of(ids);
    k.trips = 2;  // the id, then its row
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
    if (x.elements() == 0) return;
    Launch k = rows_kernel("rmsnorm_kernel", x, 256, 2, 2);
    k.load_bytes += bytes_of(x) + bytes_of(out);  // two factors of the square; the weight once a row
    l.push_back(k);
}
void layernorm(Launches& l, const Machine&, Tensor, Tensor x, float) {
    if (x.elements() > 0) l.push_back(rows_kernel("layernorm_kernel", x, 256, 3, 4));
}
void head_norm(Launches& l, const Machine&, Tensor x, Tensor, Tensor, float) {
    if (x.elements() == 0) return;
    Launch k = rows_kernel("head_norm_kernel", x, 32, 3, 4);
    k.load_bytes += 2 * bytes_of(x);  // weight and bias
    l.push_back(k);
}

void rope(Launches& l, const Machine&, Tensor x, Tensor, float) {
    if (x.elements() == 0) return;
    Launch k = rows_kernel("rope_kernel", x, 64, 1, 0);
    k.blocks = x.shape[0];
    k.trips = 2;
    l.push_back(k);
}

void add(Launches& l, const Machine&, Tensor x, Tensor y) {
    if (x.elements() > 0) l.push_back(elements_kernel("add_kernel", x, bytes_of(x) + bytes_of(y)));
}
void swiglu(Launches& l, const Machine&, Tensor out, Tensor gate, Tensor up) {
    if (out.elements() > 0) l.push_back(elements_kernel("swiglu_kernel", out, bytes_of(gate) + bytes_of(up)));
}
void relu(Launches& l, const Machine&, Tensor x) {
    if (x.elements() > 0) l.push_back(elements_kernel("relu_kernel", x, bytes_of(x)));
}
void to_u8(Launches& l, const Machine&, Tensor out, Tensor x) {
    if (x.elements() == 0) return;
    Launch k = elements_kernel("to_u8_kernel", out, bytes_of(x));
    k.blocks = divide_up(x.elements(), 256 * 4);  // four values a thread
    l.push_back(k);
}

void append(Launches& l, const Machine&, KvPages cache, Tensor k, Tensor v, Placement) {
    if (k.elements() == 0) return;
    Launch launch = rows_kernel("append_kernel", k, 128, 1, 0);
    launch.input_bytes = launch.load_bytes = bytes_of(k) + bytes_of(v);
    launch.output_bytes = launch.store_bytes =
        2 * static_cast<double>(k.elements()) * static_cast<double>(size_of(cache.keys.dtype));
    launch.trips = 3;  // position and stream, page, row
    l.push_back(launch);
}

void rotate_append(Launches& l, const Machine& m, Tensor q, Tensor k, Tensor v, const HeadNorms& norms, float theta,
                   KvPages cache, Placement at) {
    if (norms.q_weight) {
        head_norm(l, m, q, norms.q_weight, norms.q_bias, norms.eps);
        head_norm(l, m, k, norms.k_weight, norms.k_bias, norms.eps);
    }
    if (theta > 0) {
        rope(l, m, q, at.position, theta);
        rope(l, m, k, at.position, theta);
    }
    append(l, m, cache, k, v, at);
}

void norm_add(Launches& l, const Machine& m, Tensor x, Tensor y, const RowNorm& norm) {
    if (norm.kind == RowNorm::Kind::RMS) rmsnorm(l, m, y, y, norm.weight, norm.eps);
    if (norm.kind == RowNorm::Kind::Layer) layernorm(l, m, y, y, norm.eps);
    add(l, m, x, y);
}

}  // namespace leon::cost
