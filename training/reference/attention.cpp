// The definition of attention over packed documents, and of its way back.
#include <algorithm>
#include <cmath>
#include <vector>

#include "training/reference/reference.h"

namespace leon::grad_reference {
namespace {

// One row of q and the keys that it sees: those of its document up to itself.
struct Sight {
    int64_t row, head, kv_head, first;
};

// Calls body for every row and head, document by document.
template <class Body>
void for_every_sight(const Tensor& q, const Tensor& k, const Tensor& starts, Body body) {
    const int64_t heads = q.shape[1], group = heads / k.shape[1];
    for (int64_t d = 0; d + 1 < starts.elements(); d++)
        for (int64_t row = starts.i32()[d]; row < starts.i32()[d + 1]; row++)
            for (int64_t h = 0; h < heads; h++) body(Sight{row, h, h / group, starts.i32()[d]});
}

float* vector_of(Tensor& t, int64_t row, int64_t head) {
    return t.f32() + (row * t.shape[1] + head) * t.shape[2];
}
double dot(const float* a, const float* b, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += double(a[i]) * b[i];
    return sum;
}

}  // namespace

void attention(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts) {
    const int64_t head_dim = q.shape[2];
    const double scale = 1.0 / std::sqrt(double(head_dim));
    for_every_sight(q, k, starts, [&](const Sight& s) {
        std::vector<double> weights;
        for (int64_t p = s.first; p <= s.row; p++)
            weights.push_back(scale * dot(vector_of(q, s.row, s.head), vector_of(k, p, s.kv_head), head_dim));
        const double top = *std::max_element(weights.begin(), weights.end());
        double total = 0;
        for (double& w : weights) total += w = std::exp(w - top);
        log_sums.f32()[s.row * q.shape[1] + s.head] = float(top + std::log(total));
        for (int64_t i = 0; i < head_dim; i++) {
            double sum = 0;
            for (int64_t p = s.first; p <= s.row; p++) sum += weights[p - s.first] * vector_of(v, p, s.kv_head)[i];
            vector_of(out, s.row, s.head)[i] = float(sum / total);
        }
    });
}

void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q, Tensor k,
                        Tensor v, Tensor starts) {
    const int64_t head_dim = q.shape[2];
    const double scale = 1.0 / std::sqrt(double(head_dim));
    std::vector<double> sum_q(q.elements()), sum_k(k.elements()), sum_v(v.elements());
    for_every_sight(q, k, starts, [&](const Sight& s) {
        const float *query = vector_of(q, s.row, s.head), *change = vector_of(dout, s.row, s.head);
        const double log_sum = log_sums.f32()[s.row * q.shape[1] + s.head];
        const double mean = dot(change, vector_of(out, s.row, s.head), head_dim);
        for (int64_t p = s.first; p <= s.row; p++) {
            const float *key = vector_of(k, p, s.kv_head), *value = vector_of(v, p, s.kv_head);
            const double weight = std::exp(scale * dot(query, key, head_dim) - log_sum);
            const double score = weight * (dot(change, value, head_dim) - mean) * scale;
            for (int64_t i = 0; i < head_dim; i++) {
                sum_v[(p * k.shape[1] + s.kv_head) * head_dim + i] += weight * change[i];
                sum_k[(p * k.shape[1] + s.kv_head) * head_dim + i] += score * query[i];
                sum_q[(s.row * q.shape[1] + s.head) * head_dim + i] += score * key[i];
            }
        }
    });
    std::copy(sum_q.begin(), sum_q.end(), dq.f32());
    std::copy(sum_k.begin(), sum_k.end(), dk.f32());
    std::copy(sum_v.begin(), sum_v.end(), dv.f32());
}

}  // namespace leon::grad_reference
