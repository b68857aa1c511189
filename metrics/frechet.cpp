// Covariances, their product's square root, and the distance; see frechet.h.
#include "metrics/frechet.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/check.h"
#include "metrics/symmetric_eigenvalues.h"

namespace leon {
namespace {

using Matrix = std::vector<double>;  // row-major

// out [n] += the four rows of b, each times its factor. The loop that takes the time: out is read and written once for
// four products.
void add_rows(double* out, const double* factors, const double* b, size_t stride, size_t n) {
    const double f0 = factors[0], f1 = factors[1], f2 = factors[2], f3 = factors[3];
    const double *b0 = b, *b1 = b + stride, *b2 = b + 2 * stride, *b3 = b + 3 * stride;
    for (size_t j = 0; j < n; j++) out[j] += f0 * b0[j] + f1 * b1[j] + f2 * b2[j] + f3 * b3[j];
}

void add_row(double* out, double factor, const double* b, size_t n) {
    for (size_t j = 0; j < n; j++) out[j] += factor * b[j];
}

// out [rows, cols] += a [rows, depth] b [depth, cols], all rows wide apart as they are long. From column `from(i)` of
// row i.
template <class From>
void multiply_add(Matrix& out, const double* a, const double* b, size_t rows, size_t depth, size_t cols, From from) {
    constexpr size_t BLOCK = 64;  // rows of b that stay in the cache while all of out passes
    for (size_t block = 0; block < depth; block += BLOCK) {
        const size_t end = std::min(block + BLOCK, depth);
        for (size_t i = 0; i < rows; i++) {
            const size_t first = from(i);
            double* row = &out[i * cols + first];
            size_t k = block;
            for (; k + 4 <= end; k += 4) add_rows(row, &a[i * depth + k], &b[k * cols + first], cols, cols - first);
            for (; k < end; k++) add_row(row, a[i * depth + k], &b[k * cols + first], cols - first);
        }
    }
}

Matrix transposed(const Matrix& matrix, size_t rows, size_t cols) {
    Matrix out(matrix.size());
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) out[j * rows + i] = matrix[i * cols + j];
    return out;
}

struct Statistics {
    std::vector<double> mean;
    Matrix covariance;  // [dim, dim], both triangles
    double trace = 0;
};

// Of the features divided by `scale`.
Statistics statistics_of(const Features& set, double scale) {
    const size_t dim = set.dim;
    Statistics s{std::vector<double>(dim), Matrix(dim * dim), 0};
    for (size_t i = 0; i < set.count; i++)
        for (size_t j = 0; j < dim; j++) s.mean[j] += set.values[i * dim + j] / scale;
    for (double& mean : s.mean) mean /= static_cast<double>(set.count);

    constexpr size_t CHUNK = 64;
    for (size_t start = 0; start < set.count; start += CHUNK) {
        const size_t rows = std::min(CHUNK, set.count - start);
        Matrix centred(rows * dim);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < dim; j++)
                centred[i * dim + j] = set.values[(start + i) * dim + j] / scale - s.mean[j];
        const Matrix columns = transposed(centred, rows, dim);
        multiply_add(s.covariance, columns.data(), centred.data(), dim, rows, dim, [](size_t i) { return i; });
    }
    for (size_t i = 0; i < dim; i++) {
        for (size_t j = i; j < dim; j++)
            s.covariance[j * dim + i] = s.covariance[i * dim + j] /= static_cast<double>(set.count - 1);
        s.trace += s.covariance[i * dim + i];
    }
    return s;
}

// The rows of R [rank, dim] with R^T R = covariance, up to rounding: Cholesky's, each time of the column with the
// largest rest on the diagonal, until that is rounding.
Matrix factor(const Matrix& covariance, size_t dim) {
    std::vector<double> rest(dim);
    for (size_t j = 0; j < dim; j++) rest[j] = covariance[j * dim + j];
    const double negligible =
        *std::max_element(rest.begin(), rest.end()) * static_cast<double>(dim) * std::numeric_limits<double>::epsilon();
    Matrix rows;
    for (size_t rank = 0; rank < dim; rank++) {
        const size_t pivot = static_cast<size_t>(std::max_element(rest.begin(), rest.end()) - rest.begin());
        if (rest[pivot] <= negligible) break;
        rows.insert(rows.end(), covariance.begin() + static_cast<std::ptrdiff_t>(pivot * dim),
                    covariance.begin() + static_cast<std::ptrdiff_t>((pivot + 1) * dim));
        double* row = &rows[rank * dim];
        for (size_t i = 0; i < rank; i++) add_row(row, -rows[i * dim + pivot], &rows[i * dim], dim);
        const double root = std::sqrt(rest[pivot]);
        for (size_t j = 0; j < dim; j++) {
            row[j] /= root;
            rest[j] -= row[j] * row[j];
        }
        rest[pivot] = 0;
    }
    return rows;
}

void check(const Features& set, const std::string& name) {
    CHECK(set.values.size() == set.count * set.dim);
    if (set.count < 2 || set.dim < 1)
        throw Error("holds " + std::to_string(set.count) + " vectors of " + std::to_string(set.dim) + " features", name,
                    "a covariance needs at least two vectors");
    if (!std::all_of(set.values.begin(), set.values.end(), [](double value) { return std::isfinite(value); }))
        throw Error("holds a value that is not finite", name);
}

double largest(const Features& set) {
    double result = 0;
    for (double value : set.values) result = std::max(result, std::fabs(value));
    return result;
}

}  // namespace

Frechet frechet_distance(const Features& a, const Features& b, const std::string& a_name, const std::string& b_name,
                         const std::function<void(size_t, size_t)>& progress) {
    check(a, a_name);
    check(b, b_name);
    if (a.dim != b.dim)
        throw Error(
            "holds vectors of " + std::to_string(b.dim) + " features, and " + a_name + " of " + std::to_string(a.dim),
            b_name, "both must come from the same network");
    const size_t dim = a.dim, steps = 4 + dim;
    size_t done = 0;
    const auto step = [&] {
        if (progress) progress(++done, steps);
    };
    const double scale = std::max(largest(a), largest(b));  // squares of squares follow: none shall overflow
    if (scale == 0) return {};
    const Statistics of_a = statistics_of(a, scale);
    step();
    const Statistics of_b = statistics_of(b, scale);
    step();
    Frechet result;
    for (size_t j = 0; j < dim; j++) {
        const double difference = of_a.mean[j] - of_b.mean[j];
        result.mean_part += difference * difference;
    }

    const Matrix rows = factor(of_a.covariance, dim);
    const size_t rank = rows.size() / dim;
    Matrix half(rank * dim), product(rank * rank);  // R B, and R B R^T
    multiply_add(half, rows.data(), of_b.covariance.data(), rank, dim, dim, [](size_t) { return size_t{0}; });
    step();
    const Matrix columns = transposed(rows, rank, dim);
    multiply_add(product, half.data(), columns.data(), rank, dim, rank, [](size_t) { return size_t{0}; });
    step();
    double root = 0;
    for (double value : eigenvalues(tridiagonal_form(std::move(product), rank, [&](size_t, size_t) { step(); })))
        root += std::sqrt(std::max(value, 0.0));

    result.mean_part *= scale * scale;
    result.squared_distance = result.mean_part + (of_a.trace + of_b.trace - 2 * root) * scale * scale;
    if (!std::isfinite(result.squared_distance))
        throw Error("the features are so large that their squares are not finite", a_name + ", " + b_name,
                    "scale them down");
    return result;
}

}  // namespace leon
