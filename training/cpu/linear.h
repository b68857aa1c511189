// linear, linear_dx and linear_dw over an engine P: FloatProducts or TileProducts.
//
// In each, the operand that all tasks share is packed first, by all threads, as B. Then a task takes a stripe of rows
// of the result, packs its A block by block of depth, and runs it over all of B. So every element of an activation is
// read and packed once, also when three projections share it, and a sum is made by one thread in rising steps of depth:
// results do not depend on how many threads there are.
//
//               C                    A                          B                        depth
//   linear      y[i] [rows, n]       x, its rows                weight[i], by its rows   depth
//   linear_dx   x [rows, depth]      y[i], their rows           weight[i], across        n of each i
//   linear_dw   weight[i] [n, depth] y[i], their columns        x, across                rows
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/threads.h"
#include "training/cpu/grad_isa.h"

namespace leon {
namespace {

constexpr int64_t PACKED_AT_ONCE = 64;  // columns of B per task

// Rows of C per task: as the engine likes it, or less, until every worker has a few.
template <class P>
int64_t stripe_rows(int64_t rows, int64_t most) {
    return task_size(rows, most, P::ROW_UNIT, 1, cpu_workers());
}

// B in blocks of depth: block k begins at b_size(columns, k), since depths before it are whole.
template <class P>
void linear(const LinearArguments& l) {
    using Element = typename P::Element;
    int64_t place[4] = {}, tasks[4] = {};
    for (int64_t i = 0; i < l.count; i++) {
        place[i + 1] = place[i] + P::b_size(l.n[i], l.depth);
        tasks[i + 1] = tasks[i] + ceil_div(l.n[i], PACKED_AT_ONCE);
    }
    const int64_t stripe = stripe_rows<P>(l.rows, P::ROWS_AT_ONCE);
    const int64_t a_size = P::a_size(stripe, smaller(l.depth, P::DEPTH_BLOCK));
    const int64_t elements = place[l.count] + cpu_workers() * a_size;
    Element* packed = static_cast<Element*>(scratch(static_cast<size_t>(elements) * sizeof(Element)));

    parallel(tasks[l.count], [&](int64_t task, int) {
        int64_t i = 0;
        while (task >= tasks[i + 1]) i++;
        const int64_t j = (task - tasks[i]) * PACKED_AT_ONCE, columns = smaller(PACKED_AT_ONCE, l.n[i] - j);
        for (int64_t k = 0; k < l.depth; k += P::DEPTH_BLOCK) {
            const int64_t depth = smaller(P::DEPTH_BLOCK, l.depth - k);
            P::b_from_rows(packed + place[i] + P::b_size(l.n[i], k) + P::b_size(j, depth),
                           l.weight[i] + j * l.depth + k, l.depth, columns, depth);
        }
    });
    parallel(ceil_div(l.rows, stripe), [&](int64_t task, int worker) {
        typename P::Scope scope;
        Element* a = packed + place[l.count] + worker * a_size;
        const int64_t first = task * stripe, rows = smaller(stripe, l.rows - first);
        for (int64_t k = 0; k < l.depth; k += P::DEPTH_BLOCK) {
            const int64_t depth = smaller(P::DEPTH_BLOCK, l.depth - k);
            const Start start = k == 0 && l.into == Into::Overwrite ? Start::Fresh : Start::Continue;
            P::a_from_rows(a, l.x + first * l.depth + k, l.depth, rows, depth);
            for (int64_t i = 0; i < l.count; i++)
                P::multiply(l.y[i] + first * l.n[i], l.n[i], a, packed + place[i] + P::b_size(l.n[i], k), rows, l.n[i],
                            depth, start);
        }
    });
}

template <class P>
void linear_dx(const LinearArguments& l) {
    using Element = typename P::Element;
    int64_t place[4] = {}, tasks[4] = {}, deepest = 0;
    for (int64_t i = 0; i < l.count; i++) {
        place[i + 1] = place[i] + P::b_size(l.depth, round_up(l.n[i], P::DEPTH_BLOCK));
        tasks[i + 1] = tasks[i] + ceil_div(l.n[i], P::DEPTH_BLOCK);
        deepest = larger(deepest, smaller(l.n[i], P::DEPTH_BLOCK));
    }
    const int64_t stripe = stripe_rows<P>(l.rows, P::ROWS_AT_ONCE);
    const int64_t a_size = P::a_size(stripe, deepest), parts = ceil_div(l.depth, PACKED_AT_ONCE);
    const int64_t elements = place[l.count] + cpu_workers() * a_size;
    Element* packed = static_cast<Element*>(scratch(static_cast<size_t>(elements) * sizeof(Element)));

    parallel(tasks[l.count] * parts, [&](int64_t task, int) {
        int64_t i = 0;
        while (task / parts >= tasks[i + 1]) i++;
        const int64_t k = (task / parts - tasks[i]) * P::DEPTH_BLOCK, depth = smaller(P::DEPTH_BLOCK, l.n[i] - k);
        const int64_t j = task % parts * PACKED_AT_ONCE, columns = smaller(PACKED_AT_ONCE, l.depth - j);
        P::b_from_columns(packed + place[i] + P::b_size(l.depth, k) + P::b_size(j, depth),
                          l.weight[i] + k * l.depth + j, l.depth, columns, depth);
    });
    parallel(ceil_div(l.rows, stripe), [&](int64_t task, int worker) {
        typename P::Scope scope;
        Element* a = packed + place[l.count] + worker * a_size;
        const int64_t first = task * stripe, rows = smaller(stripe, l.rows - first);
        Start start = l.into == Into::Overwrite ? Start::Fresh : Start::Continue;
        for (int64_t i = 0; i < l.count; i++)
            for (int64_t k = 0; k < l.n[i]; k += P::DEPTH_BLOCK, start = Start::Continue) {
                const int64_t depth = smaller(P::DEPTH_BLOCK, l.n[i] - k);
                P::a_from_rows(a, l.y[i] + first * l.n[i] + k, l.n[i], rows, depth);
                P::multiply(l.x + first * l.depth, l.depth, a, packed + place[i] + P::b_size(l.depth, k), rows, l.depth,
                            depth, start);
            }
    });
}

template <class P>
void linear_dw(const LinearArguments& l) {
    using Element = typename P::Element;
    // Every stripe reads all of B, so they are as large as they may be; each worker gets as many of a weight.
    int64_t stripe[3] = {}, tasks[4] = {}, widest = 0;
    for (int64_t i = 0; i < l.count; i++) {
        const int64_t parts = cpu_workers() * ceil_div(l.n[i], P::STRIPE * cpu_workers());
        stripe[i] = round_up(ceil_div(l.n[i], parts), P::ROW_UNIT);
        tasks[i + 1] = tasks[i] + ceil_div(l.n[i], stripe[i]);
        widest = larger(widest, stripe[i]);
    }
    const int64_t b_size = P::b_size(l.depth, round_up(l.rows, P::ROWS_OF_DW));
    const int64_t a_size = P::a_size(widest, smaller(l.rows, P::ROWS_OF_DW));
    const int64_t elements = b_size + cpu_workers() * a_size;
    Element* packed = static_cast<Element*>(scratch(static_cast<size_t>(elements) * sizeof(Element)));

    // Whole rows of x, as memory likes it, where that leaves every worker a few tasks.
    const int64_t blocks = ceil_div(l.rows, P::ROWS_OF_DW);
    const int64_t wide = blocks < 4 * cpu_workers() ? PACKED_AT_ONCE : 8 * PACKED_AT_ONCE;
    const int64_t parts = ceil_div(l.depth, wide);
    parallel(blocks * parts, [&](int64_t task, int) {
        const int64_t k = task / parts * P::ROWS_OF_DW, depth = smaller(P::ROWS_OF_DW, l.rows - k);
        const int64_t j = task % parts * wide, columns = smaller(wide, l.depth - j);
        P::b_from_columns(packed + P::b_size(l.depth, k) + P::b_size(j, depth), l.x + k * l.depth + j, l.depth, columns,
                          depth);
    });
    parallel(tasks[l.count], [&](int64_t task, int worker) {
        typename P::Scope scope;
        int64_t i = 0;
        while (task >= tasks[i + 1]) i++;
        Element* a = packed + b_size + worker * a_size;
        const int64_t first = (task - tasks[i]) * stripe[i], rows = smaller(stripe[i], l.n[i] - first);
        for (int64_t k = 0; k < l.rows; k += P::ROWS_OF_DW) {
            const int64_t depth = smaller(P::ROWS_OF_DW, l.rows - k);
            P::a_from_columns(a, l.y[i] + k * l.n[i] + first, l.n[i], rows, depth);
            P::multiply(l.weight[i] + first * l.depth, l.depth, a, packed + P::b_size(l.depth, k), rows, l.depth, depth,
                        Start::Continue);
        }
    });
}

}  // namespace
}  // namespace leon
