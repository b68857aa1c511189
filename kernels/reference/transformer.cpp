// The definition of the transformer's operations. Formulas and shapes stand at the wrappers in kernels/kernels.h.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace leon::reference {

void gather(Tensor out, Tensor table, Tensor ids) {
    const int64_t dim = table.cols();
    for (int64_t r = 0; r < ids.elements(); r++) {
        const int64_t entry = ids.i32()[r];
        for (int64_t i = 0; i < dim; i++)
            out.f32()[r * dim + i] = element(table, entry * dim + i) * scale_of(table, entry);
    }
}

void gather_add(Tensor x, Tensor table, Tensor ids, int offset) {
    const int64_t dim = table.cols();
    for (int64_t r = 0; r < ids.elements(); r++) {
        const int64_t entry = ids.i32()[r] + offset;
        for (int64_t i = 0; i < dim; i++)
            x.f32()[r * dim + i] += element(table, entry * dim + i) * scale_of(table, entry);
    }
}

void rmsnorm(Tensor out, Tensor x, Tensor weight, float eps) {
    const int64_t rows = x.rows(), dim = x.cols();
    for (int64_t r = 0; r < rows; r++) {
        const float* in = x.f32() + r * dim;
        double sum = 0;
        for (int64_t i = 0; i < dim; i++) sum += double(in[i]) * in[i];
        const double scale = 1.0 / std::sqrt(sum / double(dim) + eps);
        for (int64_t i = 0; i < dim; i++) out.f32()[r * dim + i] = float(in[i] * scale * weight.f32()[i]);
    }
}

namespace {

struct Moments {
    double mean, inverse_deviation;
};

Moments moments(const float* values, int64_t count, float eps) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    const double mean = sum / double(count);
    for (int64_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
    return {mean, 1.0 / std::sqrt(squares / double(count) + eps)};
}

}  // namespace

void layernorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float eps) {
    const int64_t rows = x.rows(), dim = x.cols();
    for (int64_t r = 0; r < rows; r++) {
        const float* in = x.f32() + r * dim;
        const Moments m = moments(in, dim, eps);
        for (int64_t i = 0; i < dim; i++) {
            const double gain = weight ? weight.f32()[i] : 1.0f, shift = bias ? bias.f32()[i] : 0.0f;
            out.f32()[r * dim + i] = float((in[i] - m.mean) * m.inverse_deviation * gain + shift);
        }
    }
}

void head_norm(Tensor x, Tensor weight, Tensor bias, float eps) {
    const int64_t rows = x.shape[0], heads = x.shape[1], head_dim = x.shape[2];
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t h = 0; h < heads; h++) {
            float* head = x.f32() + (r * heads + h) * head_dim;
            const float* w = weight.f32() + h * head_dim;
            const float* b = bias.f32() + h * head_dim;
            const Moments m = moments(head, head_dim, eps);
            for (int64_t i = 0; i < head_dim; i++)
                head[i] = float((head[i] - m.mean) * m.inverse_deviation * w[i] + b[i]);
        }
    }
}

void rope(Tensor x, const Rotary& rotary) {
    Tensor position = rotary.position, segment = rotary.segment ? rotary.segment : position;
    const int64_t rows = x.shape[0], heads = x.shape[1], half = x.shape[2] / 2;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t h = 0; h < heads; h++) {
            float* head = x.f32() + (r * heads + h) * 2 * half;
            for (int64_t i = 0; i < half; i++) {
                const int32_t p = (i % 2 == 0 ? position : segment).i32()[r];
                const double angle = p * std::pow(double(rotary.theta), -double(i) / double(half));
                const double c = std::cos(angle), s = std::sin(angle);
                const double u = head[i], v = head[i + half];
                head[i] = float(u * c - v * s);
                head[i + half] = float(u * s + v * c);
            }
        }
    }
}

void add(Tensor x, Tensor y, float scale) {
    const int64_t period = y.elements();  // all of x, or a row
    for (int64_t i = 0; i < x.elements(); i++) x.f32()[i] = float(x.f32()[i] + double(scale) * y.f32()[i % period]);
}

namespace {

double dot_row(const Tensor& x, int64_t row, const Tensor& weight, int64_t n) {
    const int64_t depth = x.cols();
    double sum = 0;
    for (int64_t i = 0; i < depth; i++) sum += double(x.f32()[row * depth + i]) * element(weight, n * depth + i);
    return sum * scale_of(weight, n);
}

}  // namespace

void matmul(Tensor out, Tensor x, Tensor weight) {
    const int64_t rows = x.rows(), n_out = weight.rows();
    for (int64_t r = 0; r < rows; r++)
        for (int64_t n = 0; n < n_out; n++) out.f32()[r * n_out + n] = float(dot_row(x, r, weight, n));
}

void matmul_add(Tensor out, Tensor x, Tensor weight) {
    const int64_t rows = x.rows(), n_out = weight.rows();
    for (int64_t r = 0; r < rows; r++)
        for (int64_t n = 0; n < n_out; n++) {
            float& value = out.f32()[r * n_out + n];
            value = float(value + dot_row(x, r, weight, n));
        }
}

void swiglu(Tensor out, Tensor gate, Tensor up) {
    for (int64_t i = 0; i < out.elements(); i++) {
        const double g = gate.f32()[i];
        out.f32()[i] = float(g / (1.0 + std::exp(-g)) * up.f32()[i]);
    }
}

namespace {

double activated(double x, Activation kind, double slope) {
    switch (kind) {
        case Activation::None:
            return x;
        case Activation::Swish:
            return x / (1.0 + std::exp(-x));
        case Activation::ReLU:
            return std::max(x, 0.0);
        case Activation::QuickGELU:
            return x / (1.0 + std::exp(-1.702 * x));
        case Activation::GELU:
            return x * 0.5 * std::erfc(-x * std::sqrt(0.5));
        case Activation::Leaky:
            return x < 0 ? slope * x : x;
    }
    return x;
}

}  // namespace

void activate(Tensor x, Activation kind, Tensor slope) {
    const int64_t cols = x.cols();
    for (int64_t i = 0; i < x.elements(); i++)
        x.f32()[i] = float(activated(x.f32()[i], kind, slope ? slope.f32()[i % cols] : 0));
}

namespace {

// Index of the first channel of (stream, position, head) in keys or values.
int64_t cache_index(const KvPages& cache, int32_t stream, int32_t position, int64_t head) {
    const int64_t kv_heads = cache.keys.shape[1], head_dim = cache.keys.shape[3];
    const int64_t max_pages = cache.page_table.shape[1];
    const int64_t page = cache.page_table.i32()[stream * max_pages + position / PAGE_TOKENS];
    return ((page * kv_heads + head) * PAGE_TOKENS + position % PAGE_TOKENS) * head_dim;
}

// A channel of a row of the cache, by its index among all.
double kept(const Tensor& t, int64_t index) {
    return double(element(t, index)) * scale_of(t, index / t.cols());
}

// A row of the cache from `index` on.
void store_row(Tensor& t, int64_t index, const float* row, int64_t head_dim) {
    CacheScale by{};
    if (t.dtype == DType::I8) {
        uint32_t largest = 0;
        for (int64_t i = 0; i < head_dim; i++) largest = std::max(largest, magnitude_bits(row[i]));
        by = cache_scale(largest);
        row_scales(t)[index / head_dim] = by.scale;
    }
    for (int64_t i = 0; i < head_dim; i++) {
        if (t.dtype == DType::I8)
            static_cast<int8_t*>(t.data)[index + i] = cache_number(row[i], by.inverse);
        else if (t.dtype == DType::BF16)
            static_cast<uint16_t*>(t.data)[index + i] = float_to_bf16(row[i]);
        else if (t.dtype == DType::F16)
            static_cast<uint16_t*>(t.data)[index + i] = float_to_f16(row[i]);
        else
            t.f32()[index + i] = row[i];
    }
}

}  // namespace

void append(KvPages cache, Tensor k, Tensor v, Placement at) {
    const int64_t tokens = k.shape[0], kv_heads = k.shape[1], head_dim = k.shape[2];
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t h = 0; h < kv_heads; h++) {
            const int64_t base = cache_index(cache, at.stream.i32()[t], at.position.i32()[t], h);
            store_row(cache.keys, base, k.f32() + (t * kv_heads + h) * head_dim, head_dim);
            store_row(cache.values, base, v.f32() + (t * kv_heads + h) * head_dim, head_dim);
        }
    }
}

void attention(Tensor out, Tensor q, KvPages cache, Placement at) {
    const int64_t tokens = q.shape[0], heads = q.shape[1], head_dim = q.shape[2];
    const int64_t group = heads / cache.keys.shape[1];
    const double scale = 1.0 / std::sqrt(double(head_dim));
    for (int64_t t = 0; t < tokens; t++) {
        const int32_t stream = at.stream.i32()[t], last = at.position.i32()[t];
        for (int64_t h = 0; h < heads; h++) {
            const float* query = q.f32() + (t * heads + h) * head_dim;
            std::vector<double> scores(static_cast<size_t>(last) + 1);
            for (int32_t p = 0; p <= last; p++) {
                const int64_t key = cache_index(cache, stream, p, h / group);
                double sum = 0;
                for (int64_t i = 0; i < head_dim; i++) sum += double(query[i]) * kept(cache.keys, key + i);
                scores[p] = sum * scale;
            }
            const double top = *std::max_element(scores.begin(), scores.end());
            double total = 0;
            for (double& s : scores) total += s = std::exp(s - top);
            for (int64_t i = 0; i < head_dim; i++) {
                double sum = 0;
                for (int32_t p = 0; p <= last; p++)
                    sum += scores[p] * kept(cache.values, cache_index(cache, stream, p, h / group) + i);
                out.f32()[(t * heads + h) * head_dim + i] = float(sum / total);
            }
        }
    }
}

}  // namespace leon::reference
