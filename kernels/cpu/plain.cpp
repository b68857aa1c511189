// gather, gather_add, rope, add, relu, append: see plain.h. All but rope are bound by memory; rope by sine and cosine,
// which are taken in double precision (position times frequency reaches thousands of radians) once per row and pair,
// for all heads together.
#include "kernels/cpu/plain.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/threads.h"

namespace leon::plain {
namespace {

constexpr int64_t GRAIN = 16 << 10;  // elements per task: below, waking another thread costs more than it brings

constexpr int64_t ROPE_ROWS = 4;  // per task: each costs a few microseconds of sines

// body(first, last) over [0, rows) in tasks of about GRAIN elements.
template <class Body>
void over_rows(int64_t rows, int64_t dim, Body body) {
    const int64_t chunk = std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, dim));
    parallel((rows + chunk - 1) / chunk,
             [&](int64_t task, int) { body(task * chunk, std::min(rows, (task + 1) * chunk)); });
}

// use(row of the table as a pointer to its element type)
template <class Use>
void with_row(const Tensor& table, int64_t entry, Use use) {
    const int64_t first = entry * table.cols();
    if (table.dtype == DType::BF16)
        use(static_cast<const uint16_t*>(table.data) + first);
    else
        use(table.f32() + first);
}

float widen(uint16_t half) {
    return bf16_to_float(half);
}
float widen(float value) {
    return value;
}
void narrow(uint16_t& to, float value) {
    to = float_to_bf16(value);
}
void narrow(float& to, float value) {
    to = value;
}

}  // namespace

void gather(Tensor out, Tensor table, Tensor ids) {
    const int64_t dim = table.cols();
    over_rows(ids.elements(), dim, [=](int64_t first, int64_t last) mutable {
        for (int64_t r = first; r < last; r++)
            with_row(table, ids.i32()[r], [&](const auto* row) {
                float* to = out.f32() + r * dim;
                for (int64_t i = 0; i < dim; i++) to[i] = widen(row[i]);
            });
    });
}

void gather_add(Tensor x, Tensor table, Tensor ids, int offset) {
    const int64_t dim = table.cols();
    over_rows(ids.elements(), dim, [=](int64_t first, int64_t last) mutable {
        for (int64_t r = first; r < last; r++)
            with_row(table, ids.i32()[r] + offset, [&](const auto* row) {
                float* to = x.f32() + r * dim;
                for (int64_t i = 0; i < dim; i++) to[i] += widen(row[i]);
            });
    });
}

void rope(Tensor x, Tensor position, float theta) {
    const int64_t rows = x.shape[0], heads = x.shape[1], half = x.shape[2] / 2;
    const double step = std::pow(double(theta), -1.0 / double(half));  // from the frequency of one pair to the next
    const int64_t per_worker = 2 * half;
    float* memory = scratch_floats(cpu_workers() * per_worker);

    parallel((rows + ROPE_ROWS - 1) / ROPE_ROWS, [=](int64_t task, int worker) mutable {
        float *cosine = memory + worker * per_worker, *sine = cosine + half;
        for (int64_t r = task * ROPE_ROWS; r < std::min(rows, (task + 1) * ROPE_ROWS); r++) {
            double angle = position.i32()[r];
            for (int64_t i = 0; i < half; i++, angle *= step) {
                cosine[i] = float(std::cos(angle));
                sine[i] = float(std::sin(angle));
            }
            for (int64_t h = 0; h < heads; h++) {
                float *u = x.f32() + (r * heads + h) * 2 * half, *v = u + half;
                for (int64_t i = 0; i < half; i++) {
                    const float a = u[i] * cosine[i] - v[i] * sine[i], b = u[i] * sine[i] + v[i] * cosine[i];
                    u[i] = a, v[i] = b;
                }
            }
        }
    });
}

void add(Tensor x, Tensor y) {
    over_rows(x.elements(), 1, [to = x.f32(), from = y.f32()](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) to[i] += from[i];
    });
}

void relu(Tensor x) {
    over_rows(x.elements(), 1, [to = x.f32()](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) to[i] = to[i] < 0.0f ? 0.0f : to[i];
    });
}

namespace {

template <class W>
void append_rows(W* to, const float* from, int64_t heads, int64_t head_dim) {
    for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < head_dim; i++) narrow(to[h * PAGE_TOKENS * head_dim + i], from[h * head_dim + i]);
}

}  // namespace

void append(KvPages cache, Tensor k, Tensor v, Placement at) {
    const int64_t heads = k.shape[1], head_dim = k.shape[2], dim = heads * head_dim;
    const int64_t max_pages = cache.page_table.shape[1];
    over_rows(k.shape[0], 2 * dim, [=](int64_t first, int64_t last) mutable {
        for (int64_t t = first; t < last; t++) {
            const int32_t stream = at.stream.i32()[t], position = at.position.i32()[t];
            const int64_t page = cache.page_table.i32()[stream * max_pages + position / PAGE_TOKENS];
            const int64_t place = (page * heads * PAGE_TOKENS + position % PAGE_TOKENS) * head_dim;  // of head 0
            if (cache.keys.dtype == DType::BF16) {
                append_rows(static_cast<uint16_t*>(cache.keys.data) + place, k.f32() + t * dim, heads, head_dim);
                append_rows(static_cast<uint16_t*>(cache.values.data) + place, v.f32() + t * dim, heads, head_dim);
            } else {
                append_rows(cache.keys.f32() + place, k.f32() + t * dim, heads, head_dim);
                append_rows(cache.values.f32() + place, v.f32() + t * dim, heads, head_dim);
            }
        }
    });
}

}  // namespace leon::plain
