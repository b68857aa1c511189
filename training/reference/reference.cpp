// The definition of everything in the table but attention.
#include "training/reference/reference.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace leon::grad_reference {
namespace {

void put(float& out, double value, Accumulate accumulate) {
    out = float(accumulate == Accumulate::Yes ? out + value : value);
}

struct Moments {
    double mean, scale;  // scale: 1 / standard deviation
};
Moments moments(const float* x, int64_t count, double eps) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i];
    const double mean = sum / double(count);
    for (int64_t i = 0; i < count; i++) squares += (x[i] - mean) * (x[i] - mean);
    return {mean, 1.0 / std::sqrt(squares / double(count) + eps)};
}

// What the gradient `d` of a normalised row n = (x - mean) * scale is for x:   scale (d - mean(d) - n mean(d n))
void layer_backward(double* d, const float* x, int64_t count, const Moments& m) {
    double sum = 0, along = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += d[i];
        along += d[i] * (x[i] - m.mean) * m.scale;
    }
    for (int64_t i = 0; i < count; i++)
        d[i] = m.scale * (d[i] - sum / double(count) - (x[i] - m.mean) * m.scale * along / double(count));
}

// Turns each pair (head[i], head[i + half]) by `sign` times its angle.
void turn(double* head, int64_t half, const Rotary& rotary, int64_t row, double sign) {
    Tensor position = rotary.position, segment = rotary.segment ? rotary.segment : position;
    for (int64_t i = 0; i < half; i++) {
        const int32_t p = (i % 2 == 0 ? position : segment).i32()[row];
        const double angle = p * std::pow(double(rotary.theta), -double(i) / double(half));
        const double c = std::cos(angle), s = sign * std::sin(angle), u = head[i], v = head[i + half];
        head[i] = u * c - v * s;
        head[i + half] = u * s + v * c;
    }
}

}  // namespace

void linear(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate) {
    const int64_t rows = x.rows(), depth = x.cols();
    for (size_t j = 0; j < outs.size(); j++) {
        Tensor out = outs[j];
        for (int64_t r = 0; r < rows; r++)
            for (int64_t n = 0; n < out.cols(); n++) {
                double sum = 0;
                for (int64_t i = 0; i < depth; i++)
                    sum += double(x.f32()[r * depth + i]) * weights[j].f32()[n * depth + i];
                put(out.f32()[r * out.cols() + n], sum, accumulate);
            }
    }
}

void linear_dx(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate) {
    const int64_t rows = dx.rows(), depth = dx.cols();
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < depth; i++) {
            double sum = 0;
            for (size_t j = 0; j < douts.size(); j++)
                for (int64_t n = 0; n < douts[j].cols(); n++)
                    sum += double(douts[j].f32()[r * douts[j].cols() + n]) * weights[j].f32()[n * depth + i];
            put(dx.f32()[r * depth + i], sum, accumulate);
        }
}

void linear_dw(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts) {
    const int64_t rows = x.rows(), depth = x.cols();
    for (size_t j = 0; j < douts.size(); j++) {
        Tensor dweight = dweights[j];
        const int64_t outputs = dweight.rows();
        for (int64_t n = 0; n < outputs; n++)
            for (int64_t i = 0; i < depth; i++) {
                double sum = 0;
                for (int64_t r = 0; r < rows; r++)
                    sum += double(douts[j].f32()[r * outputs + n]) * x.f32()[r * depth + i];
                put(dweight.f32()[n * depth + i], sum, Accumulate::Yes);
            }
    }
}

void norm_backward(Tensor dx, Tensor dweight, Tensor dout, Tensor x, const RowNorm& norm, Accumulate accumulate) {
    const int64_t rows = x.rows(), dim = x.cols();
    const bool rms = norm.kind == RowNorm::Kind::RMS;
    std::vector<double> d(dim), dgain(dim);
    for (int64_t r = 0; r < rows; r++) {
        const float *in = x.f32() + r * dim, *change = dout.f32() + r * dim;
        if (rms) {
            double squares = 0, along = 0;
            for (int64_t i = 0; i < dim; i++) {
                squares += double(in[i]) * in[i];
                along += double(change[i]) * norm.weight.f32()[i] * in[i];
            }
            const double scale = 1.0 / std::sqrt(squares / double(dim) + norm.eps);
            for (int64_t i = 0; i < dim; i++) {
                dgain[i] += change[i] * scale * in[i];
                d[i] = scale * (double(change[i]) * norm.weight.f32()[i] - in[i] * scale * scale * along / double(dim));
            }
        } else {
            std::copy(change, change + dim, d.begin());
            layer_backward(d.data(), in, dim, moments(in, dim, norm.eps));
        }
        for (int64_t i = 0; i < dim; i++) put(dx.f32()[r * dim + i], d[i], accumulate);
    }
    if (rms)
        for (int64_t i = 0; i < dim; i++) put(dweight.f32()[i], dgain[i], Accumulate::Yes);
}

void rotate(Tensor out, Tensor x, const HeadNorm& norm, const Rotary& rotary) {
    const int64_t rows = x.shape[0], heads = x.shape[1], head_dim = x.shape[2];
    std::vector<double> head(head_dim);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t h = 0; h < heads; h++) {
            const float* in = x.f32() + (r * heads + h) * head_dim;
            std::copy(in, in + head_dim, head.begin());
            if (norm.weight) {
                const Moments m = moments(in, head_dim, norm.eps);
                for (int64_t i = 0; i < head_dim; i++)
                    head[i] = (in[i] - m.mean) * m.scale * norm.weight.f32()[h * head_dim + i] +
                              norm.bias.f32()[h * head_dim + i];
            }
            if (rotary.theta > 0) turn(head.data(), head_dim / 2, rotary, r, 1);
            std::copy(head.begin(), head.end(), out.f32() + (r * heads + h) * head_dim);
        }
}

void rotate_backward(Tensor dx, Tensor dweight, Tensor dbias, Tensor dout, Tensor x, const HeadNorm& norm,
                     const Rotary& rotary) {
    const int64_t rows = dx.shape[0], heads = dx.shape[1], head_dim = dx.shape[2], width = heads * head_dim;
    std::vector<double> d(head_dim), dgain(norm.weight ? width : 0), dshift(dgain.size());
    for (int64_t r = 0; r < rows; r++)
        for (int64_t h = 0; h < heads; h++) {
            const int64_t at = r * width + h * head_dim;
            std::copy(dout.f32() + at, dout.f32() + at + head_dim, d.begin());
            if (rotary.theta > 0) turn(d.data(), head_dim / 2, rotary, r, -1);
            if (norm.weight) {
                const float *in = x.f32() + at, *weight = norm.weight.f32() + h * head_dim;
                const Moments m = moments(in, head_dim, norm.eps);
                for (int64_t i = 0; i < head_dim; i++) {
                    dgain[h * head_dim + i] += d[i] * (in[i] - m.mean) * m.scale;
                    dshift[h * head_dim + i] += d[i];
                    d[i] *= weight[i];
                }
                layer_backward(d.data(), in, head_dim, m);
            }
            std::copy(d.begin(), d.end(), dx.f32() + at);
        }
    for (size_t i = 0; i < dgain.size(); i++) {
        put(dweight.f32()[i], dgain[i], Accumulate::Yes);
        put(dbias.f32()[i], dshift[i], Accumulate::Yes);
    }
}

void swiglu_backward(Tensor dgate, Tensor dup, Tensor dout, Tensor gate, Tensor up) {
    for (int64_t i = 0; i < dout.elements(); i++) {
        const double g = gate.f32()[i], u = up.f32()[i], d = dout.f32()[i];
        const double sigmoid = 1.0 / (1.0 + std::exp(-g));
        dgate.f32()[i] = float(d * u * sigmoid * (1.0 + g * (1.0 - sigmoid)));
        dup.f32()[i] = float(d * g * sigmoid);
    }
}

void relu_backward(Tensor dx, Tensor out) {
    for (int64_t i = 0; i < dx.elements(); i++)
        if (!(out.f32()[i] > 0)) dx.f32()[i] = 0;
}

void gather_backward(Tensor dtable, Tensor dout, Tensor ids, int offset) {
    const int64_t dim = dtable.cols();
    std::vector<double> sums(dtable.elements());
    for (int64_t r = 0; r < dout.rows(); r++)
        for (int64_t i = 0; i < dim; i++) sums[(ids.i32()[r] + offset) * dim + i] += dout.f32()[r * dim + i];
    for (int64_t i = 0; i < dtable.elements(); i++) put(dtable.f32()[i], sums[i], Accumulate::Yes);
}

void cross_entropy(Tensor losses, Tensor logits, Tensor targets, Tensor weights, const CrossEntropy& rule) {
    const int64_t rows = logits.rows(), vocab = logits.cols();
    for (int64_t r = 0; r < rows; r++) {
        float* row = logits.f32() + r * vocab;
        const int32_t target = targets.i32()[r];
        losses.f32()[r] = 0;
        if (target == NO_TARGET) {
            std::fill(row, row + vocab, 0.0f);
            continue;
        }
        const double top = *std::max_element(row, row + vocab);
        double total = 0;
        for (int64_t i = 0; i < vocab; i++) total += std::exp(row[i] - top);
        const double log_z = top + std::log(total);
        losses.f32()[r] = float(log_z - row[target] + rule.z_loss * log_z * log_z);
        const double scale = double(rule.scale) * weights.f32()[r], pull = 1.0 + 2.0 * rule.z_loss * log_z;
        for (int64_t i = 0; i < vocab; i++)
            row[i] = float(scale * (std::exp(row[i] - log_z) * pull - (i == target ? 1.0 : 0.0)));
    }
}

}  // namespace leon::grad_reference

namespace leon {

const GradKernels& reference_grad_kernels() {
    static const GradKernels TABLE = {
        .name = "reference",
        .linear = grad_reference::linear,
        .linear_dx = grad_reference::linear_dx,
        .linear_dw = grad_reference::linear_dw,
        .norm_backward = grad_reference::norm_backward,
        .rotate = grad_reference::rotate,
        .rotate_backward = grad_reference::rotate_backward,
        .attention = grad_reference::attention,
        .attention_backward = grad_reference::attention_backward,
        .swiglu_backward = grad_reference::swiglu_backward,
        .relu_backward = grad_reference::relu_backward,
        .gather_backward = grad_reference::gather_backward,
        .cross_entropy = grad_reference::cross_entropy,
        .clear = grad_reference::clear,
        .sum_of_squares = grad_reference::sum_of_squares,
        .adamw = grad_reference::adamw,
        .average_into = grad_reference::average_into,
    };
    return TABLE;
}

}  // namespace leon
