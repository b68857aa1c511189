// Eigenvalues of a dense symmetric matrix, without vectors: Householder's reduction to a tridiagonal matrix, whose
// eigenvalues are then found by bisection with Sturm counts. Bisection is slower than QL and cannot fail to converge;
// against the reduction (4/3 n^3 operations) its n^2 do not show.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace leon {

// Diagonal [n] and what stands beside it [n - 1].
struct Tridiagonal {
    std::vector<double> diagonal, beside;
};

// `matrix` [n, n] must be symmetric and finite; its lower triangle is read. progress(done, n), if given, is called n
// times.
Tridiagonal tridiagonal_form(std::vector<double> matrix, size_t n,
                             const std::function<void(size_t, size_t)>& progress = {});

// In rising order, each to within a few units in the last place of the largest, which must be below 1e150 (squares
// follow).
std::vector<double> eigenvalues(const Tridiagonal& matrix);

}  // namespace leon
