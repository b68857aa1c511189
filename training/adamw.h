// AdamW (Loshchilov and Hutter, arXiv 1711.05101) over plain vectors of floats, and the two sums around it. Results do
// not depend on the number of threads. The tables of training/grad_kernels.h offer the same of their memory.
#pragma once

#include <cstdint>
#include <span>

namespace leon {

struct AdamWStep {
    double learning_rate = 0;
    double beta_1 = 0.9, beta_2 = 0.95, epsilon = 1e-8;
    double weight_decay = 0;    // decoupled: values *= 1 - learning_rate * weight_decay
    double gradient_scale = 1;  // of clipping
    int64_t step = 1;           // of this update, from 1: for the correction of moments that began at zero
};

// What is the same for every float of an update.
struct AdamWFactors {
    explicit AdamWFactors(const AdamWStep& rule);

    float beta_1, beta_2, fresh_1, fresh_2;  // fresh: 1 - beta
    float rate;                              // learning_rate / (1 - beta_1^step)
    float root;                              // 1 / sqrt(1 - beta_2^step)
    float epsilon, scale;
    float kept;  // 1 - learning_rate weight_decay
};

// With g = gradient_scale * gradients:
//   m = beta_1 m + (1 - beta_1) g      v = beta_2 v + (1 - beta_2) g^2
//   values = values (1 - learning_rate weight_decay)
//            - learning_rate m / (1 - beta_1^step) / (sqrt(v / (1 - beta_2^step)) + epsilon)
// All spans are equally long.
void adamw(std::span<float> values, std::span<const float> gradients, std::span<float> m, std::span<float> v,
           const AdamWStep& rule);

double sum_of_squares(std::span<const float> values);  // in double

// average = decay * average + (1 - decay) * values
void average_into(std::span<float> average, std::span<const float> values, double decay);

}  // namespace leon
