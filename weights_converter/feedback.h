// Rounding that knows what a matrix is multiplied with: GPTQ (Frantar et al., arXiv 2210.17323).
//
// Rounding a weight to the nearest step makes the error of that weight small, not the error of the products. With the
// second moments H = sum x x^T of the inputs x, the error that column j of a row leaves in the products is made good by
// the columns behind it, as far as they can: after column j is rounded from w_j to q_j,
//
//   w_k -= (w_j - q_j) / U[j, j] * U[j, k]   for k > j,   where inverse(H) = U^T U, U upper triangular
//
// Each group's step is chosen when its turn comes, from what the weights have become by then.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace leon {

// Of what a projection reads: the sum of x x^T over all inputs, [width, width].
struct Moments {
    int64_t width = 0;
    std::vector<float> sum;
};

// U, whose rows count from their diagonal on.
class Feedback {
public:
    // A hundredth of the mean of the diagonal is added to it: directions that no input took have no inverse. Takes
    // width^3 / 3 multiply-adds twice, on all cores, in double precision.
    explicit Feedback(const Moments& moments);

    int64_t width() const { return width_; }
    const float* row(int64_t j) const { return factor_.data() + j * width_; }

private:
    int64_t width_;
    std::vector<float> factor_;
};

// The feedback for a tensor of the target, or null where nothing is known of its inputs.
using FeedbackOf = std::function<std::shared_ptr<const Feedback>(const std::string& tensor)>;

}  // namespace leon
