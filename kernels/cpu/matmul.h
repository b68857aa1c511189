// matmul and matmul_add for many rows (prefill, training), and the choice between the two ways.
//
// A task owns a range of outputs: it packs their weights block by block into its own L2, widened to float, and runs all
// rows over them, so that every weight is read from memory and unpacked once per call. Bound by arithmetic; below a
// hundred rows, packing shows.
// 2026-11-23, one core of an AMD EPYC (Zen 5), bf16 [1024, 1024]: 64 rows 160 GFLOP/s (AVX-512: 68% of the roof) and 94
// (AVX2: 78%), 256 rows 183 (77%) and 98 (83%). docs/kernels.md
#pragma once

#include "kernels/cpu/few_rows.h"
#include "kernels/cpu/gemm.h"

namespace leon {
namespace {

constexpr int64_t TASK_COLUMNS = 256;  // with BLOCK_K: 256 KB of packed weights, half of an L2 of 512 KB

template <int LANES, class W>
void matmul_many_rows(const MatmulArguments& m) {
    const int workers = cpu_workers();
    const int64_t columns = task_size(m.n, TASK_COLUMNS, 2 * PANEL<LANES>, 1, workers);
    const int64_t column_tasks = ceil_div(m.n, columns);
    const int64_t rows = task_size(m.rows, round_up(m.rows, BLOCK_ROWS), BLOCK_ROWS, column_tasks, workers);
    const int64_t row_tasks = ceil_div(m.rows, rows);

    constexpr int64_t A_FLOATS = BLOCK_ROWS * BLOCK_K;
    const int64_t worker_floats = A_FLOATS + round_up(columns, PANEL<LANES>) * BLOCK_K;
    float* memory = scratch_floats(workers * worker_floats);
    const auto weight = Begin<W>::of(m.weight, m.groups);

    parallel(column_tasks * row_tasks, [=](int64_t task, int worker) {
        float *a = memory + worker * worker_floats, *b = a + A_FLOATS;
        const int64_t j = task / row_tasks * columns, n = smaller(columns, m.n - j);
        const int64_t first = task % row_tasks * rows, last = smaller(first + rows, m.rows);
        for (int64_t k = 0; k < m.depth; k += BLOCK_K) {
            const int64_t depth = smaller(BLOCK_K, m.depth - k);
            const Start start = k == 0 && m.into == Into::Overwrite ? Start::Fresh : Start::Continue;
            pack_weights<LANES>(b, weight + j * m.depth + k, m.depth, n, depth);
            if (m.scale) scale_panels<LANES>(b, m.scale + j, n, depth);
            for (int64_t i = first; i < last; i += BLOCK_ROWS) {
                const int64_t count = smaller(BLOCK_ROWS, last - i);
                copy_rows<LANES>(a, m.x + i * m.depth + k, m.depth, count, depth);
                gemm_block<LANES>(m.out + i * m.n + j, m.n, a, BLOCK_K, b, count, n, depth, start);
            }
        }
    });
}

template <int LANES>
void matmul(const MatmulArguments& m) {
    const bool few = m.rows <= FEW_ROWS;
    with_weight(m.element, [&](auto* element) {
        using W = Pointee<decltype(element)>;
        few ? matmul_few_rows<LANES, W>(m) : matmul_many_rows<LANES, W>(m);
    });
}

}  // namespace
}  // namespace leon
