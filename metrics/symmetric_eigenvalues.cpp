// Householder's reduction and bisection; see symmetric_eigenvalues.h.
#include "metrics/symmetric_eigenvalues.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/check.h"

namespace leon {
namespace {

// The reflection I - u u^T / h, h = |u|^2 / 2, that turns v into (0, ..., 0, beside); v becomes u. Of the two signs the
// one without cancellation. h is 0 where v is of that form already.
struct Reflection {
    double h = 0, beside = 0;
};

Reflection reflection_of(double* v, size_t n) {
    double largest = 0;
    for (size_t i = 0; i + 1 < n; i++) largest = std::max(largest, std::fabs(v[i]));
    Reflection reflection;
    reflection.beside = v[n - 1];
    if (largest == 0) return reflection;
    largest = std::max(largest, std::fabs(v[n - 1]));
    double square = 0;  // of v / largest, which neither overflows nor vanishes
    for (size_t i = 0; i < n; i++) square += (v[i] / largest) * (v[i] / largest);
    const double length = largest * std::sqrt(square);
    reflection.beside = v[n - 1] > 0 ? -length : length;
    for (size_t i = 0; i < n; i++) v[i] /= length;
    v[n - 1] -= reflection.beside / length;
    reflection.h = std::fabs(v[n - 1]);  // |u|^2 / 2 = 1 + |last element of the unit vector v|
    return reflection;
}

}  // namespace

// Row by row from the last one: the part of a row left of the diagonal is reflected into its last element, and the
// leading block becomes A - u q^T - q u^T with p = A u / h, q = p - (u^T p / 2h) u. Both passes over the block go along
// its rows.
Tridiagonal tridiagonal_form(std::vector<double> a, size_t n, const std::function<void(size_t, size_t)>& progress) {
    CHECK(a.size() == n * n);
    Tridiagonal result{std::vector<double>(n), std::vector<double>(n > 0 ? n - 1 : 0)};
    std::vector<double> q(n);
    for (size_t last = n; last-- > 0;) {
        if (progress) progress(n - last, n);
        double* u = &a[last * n];
        result.diagonal[last] = u[last];
        if (last == 0) break;
        const Reflection reflection = reflection_of(u, last);
        result.beside[last - 1] = reflection.beside;
        if (reflection.h == 0) continue;

        std::fill_n(q.begin(), last, 0);
        for (size_t i = 0; i < last; i++) {
            const double* row = &a[i * n];
            double sum = row[i] * u[i];
            for (size_t j = 0; j < i; j++) {
                sum += row[j] * u[j];
                q[j] += row[j] * u[i];
            }
            q[i] += sum;
        }
        double up = 0;
        for (size_t i = 0; i < last; i++) up += u[i] * (q[i] /= reflection.h);
        for (size_t i = 0; i < last; i++) q[i] -= up / (2 * reflection.h) * u[i];
        for (size_t i = 0; i < last; i++) {
            double* row = &a[i * n];
            for (size_t j = 0; j <= i; j++) row[j] -= u[i] * q[j] + q[i] * u[j];
        }
    }
    return result;
}

std::vector<double> eigenvalues(const Tridiagonal& matrix) {
    const size_t n = matrix.diagonal.size();
    std::vector<double> squares(n, 0.0);  // of what stands left of the diagonal
    double low = 0, high = 0;             // Gershgorin's discs
    for (size_t i = 0; i < n; i++) {
        const double left = i > 0 ? std::fabs(matrix.beside[i - 1]) : 0;
        const double right = i + 1 < n ? std::fabs(matrix.beside[i]) : 0;
        squares[i] = left * left;
        low = std::min(low, matrix.diagonal[i] - left - right);
        high = std::max(high, matrix.diagonal[i] + left + right);
    }
    const double largest = std::max(-low, high);
    constexpr double EPSILON = std::numeric_limits<double>::epsilon();
    const double smallest_pivot = std::max(largest * EPSILON * EPSILON, std::numeric_limits<double>::min());
    // Sturm: as many eigenvalues lie below x as the pivots of T - x have minus signs.
    const auto below = [&](double x) {
        size_t count = 0;
        double pivot = 1;
        for (size_t i = 0; i < n; i++) {
            pivot = matrix.diagonal[i] - x - squares[i] / pivot;
            if (std::fabs(pivot) < smallest_pivot) pivot = -smallest_pivot;
            count += pivot < 0;
        }
        return count;
    };
    std::vector<double> values(n);
    double from = low;
    for (size_t k = 0; k < n; k++) {
        double to = high;
        while (true) {
            const double middle = from + (to - from) / 2;
            if (middle <= from || middle >= to || to - from <= largest * 1e-16) break;
            (below(middle) > k ? to : from) = middle;
        }
        values[k] = from + (to - from) / 2;  // the next one is no smaller: `from` stays
    }
    return values;
}

}  // namespace leon
