// The definition of the picture operations, channels last. Formulas and shapes stand at the wrappers in
// kernels/kernels.h.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace leon::reference {

void conv2d(Tensor out, Tensor x, Tensor weight, Tensor bias, Convolution shape) {
    const int64_t height = x.shape[0], width = x.shape[1], in_channels = x.shape[2];
    const int64_t out_height = out.shape[0], out_width = out.shape[1], out_channels = out.shape[2];
    const int64_t kernel = shape.kernel, up = shape.upsample;
    for (int64_t y = 0; y < out_height; y++) {
        for (int64_t xo = 0; xo < out_width; xo++) {
            for (int64_t o = 0; o < out_channels; o++) {
                double sum = bias.f32()[o];
                for (int64_t i = 0; i < kernel; i++) {
                    for (int64_t j = 0; j < kernel; j++) {
                        const int64_t row = y * shape.stride + i - shape.pad_before;
                        const int64_t col = xo * shape.stride + j - shape.pad_before;
                        if (row < 0 || col < 0 || row >= height * up || col >= width * up) continue;
                        const float* pixel = x.f32() + (row / up * width + col / up) * in_channels;
                        const int64_t tap = ((o * kernel + i) * kernel + j) * in_channels;
                        for (int64_t c = 0; c < in_channels; c++) sum += double(pixel[c]) * element(weight, tap + c);
                    }
                }
                out.f32()[(y * out_width + xo) * out_channels + o] = float(sum);
            }
        }
    }
}

void group_norm(Tensor out, Tensor x, Tensor weight, Tensor bias, int groups, float eps, Activation activation) {
    const int64_t pixels = x.rows(), channels = x.cols(), width = channels / groups;
    for (int64_t g = 0; g < groups; g++) {
        double sum = 0, squares = 0;
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = g * width; c < (g + 1) * width; c++) sum += x.f32()[p * channels + c];
        const double mean = sum / double(pixels * width);
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = g * width; c < (g + 1) * width; c++) {
                const double centred = x.f32()[p * channels + c] - mean;
                squares += centred * centred;
            }
        const double scale = 1.0 / std::sqrt(squares / double(pixels * width) + eps);
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = g * width; c < (g + 1) * width; c++) {
                double value = (x.f32()[p * channels + c] - mean) * scale * weight.f32()[c] + bias.f32()[c];
                if (activation == Activation::Swish) value = value / (1.0 + std::exp(-value));
                out.f32()[p * channels + c] = float(value);
            }
    }
}

void spatial_attention(Tensor out, Tensor q, Tensor k, Tensor v) {
    const int64_t pixels = q.rows(), channels = q.cols();
    const double scale = 1.0 / std::sqrt(double(channels));
    std::vector<double> scores(static_cast<size_t>(pixels));
    for (int64_t i = 0; i < pixels; i++) {
        for (int64_t j = 0; j < pixels; j++) {
            double sum = 0;
            for (int64_t c = 0; c < channels; c++) sum += double(q.f32()[i * channels + c]) * k.f32()[j * channels + c];
            scores[j] = sum * scale;
        }
        const double top = *std::max_element(scores.begin(), scores.end());
        double total = 0;
        for (double& s : scores) total += s = std::exp(s - top);
        for (int64_t c = 0; c < channels; c++) {
            double sum = 0;
            for (int64_t j = 0; j < pixels; j++) sum += scores[j] * v.f32()[j * channels + c];
            out.f32()[i * channels + c] = float(sum / total);
        }
    }
}

void nearest_code(Tensor codes, Tensor z, Tensor codebook) {
    const int64_t pixels = z.rows(), width = z.cols(), entries = codebook.rows();
    for (int64_t p = 0; p < pixels; p++) {
        double best = INFINITY;
        int32_t best_code = 0;
        for (int64_t n = 0; n < entries; n++) {
            double distance = 0;
            for (int64_t i = 0; i < width; i++) {
                const double d = double(z.f32()[p * width + i]) - codebook.f32()[n * width + i];
                distance += d * d;
            }
            if (distance < best) {
                best = distance;
                best_code = int32_t(n);
            }
        }
        codes.i32()[p] = best_code;
    }
}

void to_u8(Tensor out, Tensor x) {
    for (int64_t i = 0; i < x.elements(); i++) {
        const float value = x.f32()[i], clamped = value >= 1 ? 1.0f : value > -1 ? value : -1.0f;
        static_cast<uint8_t*>(out.data)[i] = static_cast<uint8_t>((clamped + 1.0f) / 2.0f * 255.0f);
    }
}

}  // namespace leon::reference
