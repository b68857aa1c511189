// rotate and rotate_backward: the norm of each head of q or k, and its rotation by position, in one pass over memory.
//
// Angles are needed to double precision (position times frequency reaches thousands of radians), and sines are slow: so
// position = STEP a + b, sines and cosines of all STEP a and all b that occur are taken once per call, and a row's
// follow by the theorem of addition, in double. Bound by memory.
#pragma once

#include "kernels/cpu/gemm.h"
#include "training/cpu/rows.h"
#include "training/cpu/scratch_parts.h"

namespace leon {
namespace {

constexpr int64_t ANGLE_STEP = 32;

struct RotateMemory {
    ScratchParts parts;
    double *low, *high;  // [positions, 2 * half]: cosines, then sines, of positions 0, 1, ... and 0, STEP, 2 STEP ...
    float* rows;         // [workers, 2 * head_dim]: cosines and sines of a row, and a head of it
    float* sums;         // [chunks, 2, dim] of dweight and dbias

    RotateMemory(char* base, const RotateArguments& r, int64_t steps, int64_t chunks) : parts{base} {
        low = parts.take<double>(ANGLE_STEP * r.head_dim), high = parts.take<double>(steps * r.head_dim);
        rows = parts.take<float>(cpu_workers() * 2 * r.head_dim);
        sums = parts.take<float>(r.dweight ? chunks * 2 * r.heads * r.head_dim : 0);
    }
};

inline RotateMemory rotate_memory(const RotateArguments& r, int64_t chunks) {
    int64_t steps = 0;
    if (r.theta > 0)
        for (int64_t i = 0; i < r.rows; i++)
            steps = larger(steps, larger(r.position[i], r.segment[i]) / ANGLE_STEP + 1);
    const size_t bytes = RotateMemory(nullptr, r, steps, chunks).parts.bytes;
    const RotateMemory memory(static_cast<char*>(scratch(bytes)), r, steps, chunks);
    const int64_t half = r.head_dim / 2;
    parallel(steps > 0 ? ANGLE_STEP + steps : 0, [=](int64_t task, int) {
        const bool is_low = task < ANGLE_STEP;
        const int64_t place = is_low ? task : task - ANGLE_STEP;
        const double position = static_cast<double>(is_low ? place : place * ANGLE_STEP);
        double* cosine = (is_low ? memory.low : memory.high) + place * 2 * half;
        const double log_theta = __builtin_log(static_cast<double>(r.theta));
        for (int64_t i = 0; i < half; i++) {
            const double turn = static_cast<double>(i) / static_cast<double>(half);
            const double angle = position * __builtin_exp(-turn * log_theta);
            cosine[i] = __builtin_cos(angle);
            cosine[half + i] = __builtin_sin(angle);
        }
    });
    return memory;
}

inline void angles_of(const RotateMemory& memory, float* cosine, int64_t half, const RotateArguments& r, int64_t row) {
    const int32_t places[2] = {r.position[row], r.segment[row]};
    const double *high[2], *low[2];
    for (int odd = 0; odd < 2; odd++) {
        high[odd] = memory.high + places[odd] / ANGLE_STEP * 2 * half;
        low[odd] = memory.low + places[odd] % ANGLE_STEP * 2 * half;
    }
    for (int64_t i = 0; i < half; i++) {
        const double *a = high[i % 2], *b = low[i % 2];
        cosine[i] = static_cast<float>(a[i] * b[i] - a[half + i] * b[half + i]);
        cosine[half + i] = static_cast<float>(a[half + i] * b[i] + a[i] * b[half + i]);
    }
}

// out = (u, v) turned by the angles, or back. out may be the head itself.
enum class Turn : uint8_t { Forth, Back };
template <int LANES>
[[gnu::always_inline]] inline void turn_head(float* out, const float* head, const float* cosine, int64_t half,
                                             Turn turn) {
    const Vec<LANES> sign = broadcast<LANES>(turn == Turn::Forth ? 1.0f : -1.0f);
    each_vector<LANES>(half, [&](auto at, auto put) {
        const Vec<LANES> u = at(head), v = at(head + half), c = at(cosine), s = at(cosine + half) * sign;
        put(out, u * c - v * s);
        put(out + half, u * s + v * c);
    });
}

template <int LANES>
void rotate(const RotateArguments& r) {
    using V = Vec<LANES>;
    const int64_t dim = r.heads * r.head_dim, half = r.head_dim / 2, chunk = larger(1, GRAIN / larger(dim, 1));
    const RotateMemory memory = rotate_memory(r, 0);
    parallel(ceil_div(r.rows, chunk), [&](int64_t task, int worker) {
        float *cosine = memory.rows + worker * 2 * r.head_dim, *head = cosine + r.head_dim;
        for (int64_t row = task * chunk; row < smaller(r.rows, (task + 1) * chunk); row++) {
            if (r.theta > 0) angles_of(memory, cosine, half, r, row);
            for (int64_t h = 0; h < r.heads; h++) {
                const float* x = r.in + row * dim + h * r.head_dim;
                float* out = r.out + row * dim + h * r.head_dim;
                if (r.weight) {
                    float* normal = r.theta > 0 ? head : out;
                    const float *weight = r.weight + h * r.head_dim, *bias = r.bias + h * r.head_dim;
                    const Moments m = moments<LANES>(x, r.head_dim, r.eps);
                    const V mean = broadcast<LANES>(m.mean), scale = broadcast<LANES>(m.inverse_deviation);
                    each_vector<LANES>(r.head_dim, [&](auto at, auto put) {
                        put(normal, fma((at(x) - mean) * scale, at(weight), at(bias)));
                    });
                    x = normal;
                }
                if (r.theta > 0) turn_head<LANES>(out, x, cosine, half, Turn::Forth);
            }
        }
    });
}

// The norm's way back, with d = dout turned back, n = (x - mean) s:   dweight += d n, dbias += d, and with e = d weight
//   dx = s (e - mean(e) - n mean(e n))
template <int LANES>
void rotate_backward(const RotateArguments& r) {
    using V = Vec<LANES>;
    const int64_t dim = r.heads * r.head_dim, half = r.head_dim / 2;
    const int64_t chunk = rows_in_chunk(r.rows, dim), chunks = ceil_div(r.rows, chunk);
    const RotateMemory memory = rotate_memory(r, chunks);
    parallel(chunks, [&](int64_t task, int worker) {
        float *cosine = memory.rows + worker * 2 * r.head_dim, *head = cosine + r.head_dim;
        float* sums = memory.sums + task * 2 * dim;
        if (r.dweight) clear_floats(sums, 2 * dim);
        for (int64_t row = task * chunk; row < smaller(r.rows, (task + 1) * chunk); row++) {
            if (r.theta > 0) angles_of(memory, cosine, half, r, row);
            for (int64_t h = 0; h < r.heads; h++) {
                const int64_t place = row * dim + h * r.head_dim;
                const float* d = r.in + place;
                float* dx = r.out + place;
                if (r.theta > 0) {
                    turn_head<LANES>(r.weight ? head : dx, d, cosine, half, Turn::Back);
                    d = head;
                }
                if (!r.weight) continue;
                const float *x = r.x + place, *weight = r.weight + h * r.head_dim;
                float *dweight = sums + h * r.head_dim, *dbias = dweight + dim;
                const Moments m = moments<LANES>(x, r.head_dim, r.eps);
                const V centre = broadcast<LANES>(m.mean), scale = broadcast<LANES>(m.inverse_deviation);
                const TwoSums total = two_sums<LANES>(r.head_dim, [&](auto at, V& first, V& second) {
                    const V gradient = at(d) * at(weight);
                    first = first + gradient;
                    second = fma(gradient, (at(x) - centre) * scale, second);
                });
                const float size = static_cast<float>(r.head_dim);
                const V mean = broadcast<LANES>(total.first / size), pull = broadcast<LANES>(total.second / size);
                each_vector<LANES>(r.head_dim, [&](auto at, auto put) {
                    const V gradient = at(d), normal = (at(x) - centre) * scale;
                    put(dweight, fma(gradient, normal, at(dweight)));
                    put(dbias, at(dbias) + gradient);
                    put(dx, (gradient * at(weight) - mean - normal * pull) * scale);
                });
            }
        }
    });
    if (!r.dweight) return;
    add_rows<LANES>(r.dweight, memory.sums, 2 * dim, chunks, dim);
    add_rows<LANES>(r.dbias, memory.sums + dim, 2 * dim, chunks, dim);
}

}  // namespace
}  // namespace leon
