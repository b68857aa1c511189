// How alike two pictures of the same size are, pixel by pixel: PSNR and SSIM, over 8-bit sRGB values.
#pragma once

#include "tokenizer/image.h"

namespace leon {

// Mean over pixels and channels of the squared difference, in levels squared.
double mean_squared_error(const Picture& a, const Picture& b);

// 10 log10(255^2 / mean squared error); infinite for equal pictures.
double psnr(const Picture& a, const Picture& b);

constexpr int SSIM_WINDOW = 11;

// Wang, Bovik, Sheikh and Simoncelli 2004: Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, range 255,
// population covariance; of each of R, G and B, averaged over the pixels whose window lies inside, then over the three.
// As scikit-image with gaussian_weights=True, use_sample_covariance=False, channel_axis=2. Both sides at least 11.
double ssim(const Picture& a, const Picture& b);

}  // namespace leon
