// A codebook that is learned by moving averages: every entry is the mean of the latents that took it, lately.
//
//   count_k <- decay count_k + (1 - decay) n_k       n_k: latents of this step whose nearest code is k
//   sum_k   <- decay sum_k + (1 - decay) sum of them
//   entry_k = sum_k / count'_k,   count'_k = (count_k + epsilon) / (total + codes epsilon) * total      (Laplace)
//
// An entry whose count falls below a limit is dead: it begins anew as one of the step's latents, drawn with chances
// that are their squared distances to their codes, so that entries go to where they are missed. van den Oord, Vinyals,
// Kavukcuoglu, arXiv 1711.00937, appendix A.1; revival as in Jukebox (arXiv 2005.00341), with the draw of k-means++
// (Arthur and Vassilvitskii, 2007).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace leon {

struct CodebookRule {
    double decay = 0.99, epsilon = 1e-5;
    double revive_below = 0;  // latents a step; 0: never
};

class MovingCodebook {
public:
    // Begins with these entries, each as if it were taken `count` times a step.
    MovingCodebook(std::span<const float> entries, int codes, int width, double count);

    Tensor entries();  // [codes, width] f32

    // Takes a step's latents [rows, width] and the codes they took. `seed` chooses those that revive the dead.
    // Returns how many entries began anew.
    int update(std::span<const float> latents, std::span<const int32_t> codes, const CodebookRule& rule, uint64_t seed);

    std::vector<float> values, counts, sums;  // [codes, width], [codes], [codes, width]: all of the state

private:
    int codes_, width_;
};

// Of how often each code was taken: 2^entropy, the number of codes in even use that would say as much; and how many
// were taken at all.
struct CodeUse {
    double perplexity = 0;
    int used = 0;
};
CodeUse code_use(std::span<const int64_t> taken);

}  // namespace leon
