// gather, gather_add, rope, add, append, to_u8: see plain.h. All but rope are bound by memory; rope by sine and
// cosine, which are taken in double precision (position times frequency reaches thousands of radians) once per row and
// pair, for all heads together.
#include "kernels/cpu/plain.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

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

// The two 16-bit floats as types of their own.
struct Bf16 {
    uint16_t bits;
};
struct F16 {
    uint16_t bits;
};
struct F8 {
    uint8_t bits;
};

// Elements of an I4 matrix, by their number among all of them.
struct Nibbles {
    const uint8_t *data, *groups;

    float operator[](int64_t index) const { return i4_element(data, groups, index); }
};

// use(the data as a pointer to its element type)
template <class Use>
void with_data(const Tensor& t, Use use) {
    switch (t.dtype) {
        case DType::BF16:
            return use(static_cast<Bf16*>(t.data));
        case DType::F16:
            return use(static_cast<F16*>(t.data));
        case DType::I8:
            return use(static_cast<int8_t*>(t.data));
        case DType::F8:
            return use(static_cast<F8*>(t.data));
        default:
            return use(static_cast<float*>(t.data));
    }
}
template <class Use>
void with_weights(const Tensor& t, Use use) {
    if (t.dtype == DType::I4) return use(Nibbles{static_cast<const uint8_t*>(t.data), t.groups});
    with_data(t, use);
}

float widen(Bf16 value) {
    return bf16_to_float(value.bits);
}
float widen(F16 value) {
    return f16_to_float(value.bits);
}
float widen(int8_t value) {
    return value;
}
float widen(F8 value) {
    return e4m3_to_float(value.bits);
}
float widen(float value) {
    return value;
}
void narrow(Bf16& to, float value) {
    to.bits = float_to_bf16(value);
}
void narrow(F16& to, float value) {
    to.bits = float_to_f16(value);
}
void narrow(float& to, float value) {
    to = value;
}

}  // namespace

void gather(Tensor out, Tensor table, Tensor ids) {
    const int64_t dim = table.cols();
    over_rows(ids.elements(), dim, [=](int64_t first, int64_t last) mutable {
        for (int64_t r = first; r < last; r++)
            with_weights(table, [&](const auto data) {
                const int64_t entry = ids.i32()[r];
                const float scale = table.scale ? table.scale[entry] : 1.0f;
                float* to = out.f32() + r * dim;
                for (int64_t i = 0; i < dim; i++) to[i] = widen(data[entry * dim + i]) * scale;
            });
    });
}

void gather_add(Tensor x, Tensor table, Tensor ids, int offset) {
    const int64_t dim = table.cols();
    over_rows(ids.elements(), dim, [=](int64_t first, int64_t last) mutable {
        for (int64_t r = first; r < last; r++)
            with_weights(table, [&](const auto data) {
                const int64_t entry = ids.i32()[r] + offset;
                const float scale = table.scale ? table.scale[entry] : 1.0f;
                float* to = x.f32() + r * dim;
                for (int64_t i = 0; i < dim; i++) to[i] += widen(data[entry * dim + i]) * scale;
            });
    });
}

void rope(Tensor x, const Rotary& rotary) {
    const int64_t rows = x.shape[0], heads = x.shape[1], half = x.shape[2] / 2;
    const double step = std::pow(double(rotary.theta), -1.0 / double(half));  // from one pair's frequency to the next's
    Tensor position = rotary.position, segment = rotary.segment ? rotary.segment : position;
    const int64_t per_worker = 2 * half;
    float* memory = scratch_floats(cpu_workers() * per_worker);

    parallel((rows + ROPE_ROWS - 1) / ROPE_ROWS, [=](int64_t task, int worker) mutable {
        float *cosine = memory + worker * per_worker, *sine = cosine + half;
        for (int64_t r = task * ROPE_ROWS; r < std::min(rows, (task + 1) * ROPE_ROWS); r++) {
            double angles[2] = {double(position.i32()[r]), double(segment.i32()[r])};
            for (int64_t i = 0; i < half; i++, angles[0] *= step, angles[1] *= step) {
                cosine[i] = float(std::cos(angles[i % 2]));
                sine[i] = float(std::sin(angles[i % 2]));
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

void add(Tensor x, Tensor y, float scale) {
    const int64_t cols = x.cols();
    float* to = x.f32();
    const float* from = y.f32();
    if (y.elements() == x.elements())
        return over_rows(x.elements(), 1, [=](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) to[i] += scale * from[i];
        });
    over_rows(x.rows(), cols, [=](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; r++)
            for (int64_t i = 0; i < cols; i++) to[r * cols + i] += scale * from[i];
    });
}

namespace {

template <class W>
void append_row(W* to, float*, const float* from, int64_t head_dim) {
    for (int64_t i = 0; i < head_dim; i++) narrow(to[i], from[i]);
}
void append_row(int8_t* to, float* scale, const float* from, int64_t head_dim) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < head_dim; i++) largest = std::max(largest, magnitude_bits(from[i]));
    const CacheScale by = cache_scale(largest);
    *scale = by.scale;
    for (int64_t i = 0; i < head_dim; i++) to[i] = cache_number(from[i], by.inverse);
}

}  // namespace

void append(KvPages cache, Tensor k, Tensor v, Placement at) {
    const int64_t heads = k.shape[1], head_dim = k.shape[2], dim = heads * head_dim;
    const int64_t max_pages = cache.page_table.shape[1];
    over_rows(k.shape[0], 2 * dim, [=](int64_t first, int64_t last) mutable {
        for (int64_t t = first; t < last; t++) {
            const int32_t stream = at.stream.i32()[t], position = at.position.i32()[t];
            const int64_t page = cache.page_table.i32()[stream * max_pages + position / PAGE_TOKENS];
            const int64_t row = page * heads * PAGE_TOKENS + position % PAGE_TOKENS;  // of head 0
            const auto rows_into = [&](const Tensor& pages, const float* from) {
                with_data(pages, [&](auto* to) {
                    if constexpr (!std::is_same_v<decltype(to), F8*>)
                        for (int64_t h = 0; h < heads; h++) {
                            const int64_t at = row + h * PAGE_TOKENS;
                            append_row(to + at * head_dim, row_scales(pages) + at, from + h * head_dim, head_dim);
                        }
                });
            };
            rows_into(cache.keys, k.f32() + t * dim);
            rows_into(cache.values, v.f32() + t * dim);
        }
    });
}

void to_u8(Tensor out, Tensor x) {
    over_rows(x.elements(), 1, [to = static_cast<uint8_t*>(out.data), from = x.f32()](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            const float clamped = from[i] >= 1.0f ? 1.0f : from[i] > -1.0f ? from[i] : -1.0f;
            to[i] = static_cast<uint8_t>((clamped + 1.0f) / 2.0f * 255.0f);
        }
    });
}

}  // namespace leon::plain
