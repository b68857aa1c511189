// How far a reconstruction is from its picture, and the gradient of that.
#pragma once

#include <span>

#include "kernels/tensor.h"

namespace leon {

// With e = reconstruction - target, of values in [-1, 1], and N = height * width * 3:
//   squares    (1 / N) sum_p weight_p e^2
//   absolutes  (1 / N) sum_p weight_p |e|            |.| rounded off below ABSOLUTE_CORNER
//   edges      (1 / N) sum |e(y, x+1) - e(y, x)| + |e(y+1, x) - e(y, x)|, weighted by the mean of the two pixels
struct PictureLossRule {
    double squares = 1, absolutes = 0, edges = 0;
};
constexpr float ABSOLUTE_CORNER = 0.01f;

struct PictureLoss {
    double loss = 0;     // squares, absolutes and edges, times their factors
    double squares = 0;  // mean of e^2 over all pixels, unweighted: PSNR before bytes is 10 log10(4 / squares)
};

// dpicture = scale * the gradient.   dpicture, picture [height, width, 3]    target as many    weights [height, width]
PictureLoss picture_loss(Tensor dpicture, Tensor picture, std::span<const float> target, std::span<const float> weights,
                         const PictureLossRule& rule, double scale);

}  // namespace leon
