// See feedback.h. With P turning the order of rows around, P H P = L L^T, L lower triangular; then U = P inverse(L) P.
#include "weights_converter/feedback.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

constexpr double DAMPING = 0.01;
constexpr int64_t BLOCK = 32;    // columns of L that are finished together
constexpr int64_t ROWS = 16;     // of a task
constexpr int64_t COLUMNS = 64;  // of the inverse, of a task
constexpr int64_t LANES = 8;     // sums side by side, in which a compiler finds vectors

double dot(const double* a, const double* b, int64_t count) {
    double sums[LANES] = {};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int64_t j = 0; j < LANES; j++) sums[j] += a[i + j] * b[i + j];
    for (; i < count; i++) sums[0] += a[i] * b[i];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// body(i) for i in [from, to), some of them a task.
template <class Body>
void over(int64_t from, int64_t to, int64_t some, Body body) {
    parallel((to - from + some - 1) / some, [&](int64_t task, int) {
        for (int64_t i = from + task * some; i < std::min(to, from + (task + 1) * some); i++) body(i);
    });
}

// a [n, n], its lower triangle: in place, a = L L^T.
void factorise(std::vector<double>& a, int64_t n) {
    const auto row = [&](int64_t i) { return a.data() + i * n; };
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t end = std::min(n, first + BLOCK);
        over(first, n, ROWS, [&](int64_t i) {
            for (int64_t j = first; j < std::min(end, i + 1); j++) row(i)[j] -= dot(row(i), row(j), first);
        });
        for (int64_t j = first; j < end; j++)
            for (int64_t i = j; i < end; i++) {
                const double rest = row(i)[j] - dot(row(i) + first, row(j) + first, j - first);
                row(i)[j] = i == j ? std::sqrt(std::max(rest, 1e-300)) : rest / row(j)[j];
            }
        over(end, n, ROWS, [&](int64_t i) {
            for (int64_t j = first; j < end; j++)
                row(i)[j] = (row(i)[j] - dot(row(i) + first, row(j) + first, j - first)) / row(j)[j];
        });
    }
}

}  // namespace

Feedback::Feedback(const Moments& moments) : width_(moments.width), factor_(moments.sum.size()) {
    const int64_t n = width_;
    CHECK(n > 0 && static_cast<int64_t>(moments.sum.size()) == n * n);
    double diagonal = 0;
    for (int64_t i = 0; i < n; i++) diagonal += moments.sum[static_cast<size_t>(i * n + i)];
    const double damping = diagonal > 0 ? DAMPING * diagonal / static_cast<double>(n) : 1;

    std::vector<double> lower(moments.sum.size());
    over(0, n, ROWS, [&](int64_t i) {
        for (int64_t j = 0; j <= i; j++)
            lower[static_cast<size_t>(i * n + j)] = moments.sum[static_cast<size_t>((n - 1 - i) * n + n - 1 - j)];
        lower[static_cast<size_t>(i * n + i)] += damping;
    });
    factorise(lower, n);

    // Row i of the inverse is made of those before it, each column by itself.
    parallel((n + COLUMNS - 1) / COLUMNS, [&](int64_t task, int) {
        const int64_t first = task * COLUMNS, count = std::min(COLUMNS, n - first);
        std::vector<double> inverse(static_cast<size_t>((n - first) * COLUMNS));  // rows from `first` on
        for (int64_t i = first; i < n; i++) {
            const double* of_lower = lower.data() + i * n;
            double* mine = inverse.data() + (i - first) * COLUMNS;
            for (int64_t k = first; k < i; k++) {
                const double* earlier = inverse.data() + (k - first) * COLUMNS;
                for (int64_t c = 0; c < COLUMNS; c++) mine[c] -= of_lower[k] * earlier[c];
            }
            if (i < first + count) mine[i - first] += 1;
            for (int64_t c = 0; c < COLUMNS; c++) mine[c] /= of_lower[i];
            for (int64_t c = 0; c < std::min(count, i - first + 1); c++)
                factor_[static_cast<size_t>((n - 1 - i) * n + n - 1 - first - c)] = static_cast<float>(mine[c]);
        }
    });
}

}  // namespace leon
