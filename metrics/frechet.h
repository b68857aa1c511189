// The Fréchet distance between two sets of feature vectors, taken as samples of two normal distributions.
//
//   d^2 = |mean_a - mean_b|^2 + tr(A) + tr(B) - 2 tr((A B)^1/2)      A, B: covariances over n - 1
//
// (Dowson and Landau 1982). It says nothing by itself: what it measures is decided by the features. Over the pool
// features of the Inception network that Heusel et al. 2017 used it is called FID, and over no others.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace leon {

struct Features {
    size_t count = 0, dim = 0;
    std::vector<double> values;  // [count, dim]
};

struct Frechet {
    double squared_distance = 0;  // the number that is published as FID is this square
    double mean_part = 0;         // |mean_a - mean_b|^2
};

// Error naming the set (`a_name`, `b_name`) if it has fewer than two vectors or a value that is not finite, or if the
// dims differ. No square root of a matrix is taken: with A = R^T R (Cholesky with pivots, for A need not have full
// rank), tr((A B)^1/2) is the sum of the square roots of the eigenvalues of R B R^T, which is symmetric. Those below
// zero by rounding count as zero. Time grows with count * dim^2 + dim^3. progress(done, total): steps of unequal
// length.
Frechet frechet_distance(const Features& a, const Features& b, const std::string& a_name, const std::string& b_name,
                         const std::function<void(size_t, size_t)>& progress = {});

}  // namespace leon
