// The definition of the optimiser's operations.
#include <cmath>
#include <cstring>

#include "training/reference/reference.h"

namespace leon::grad_reference {

void clear(Tensor x) {
    std::memset(x.data, 0, x.bytes());
}

double sum_of_squares(std::span<const Tensor> parts) {
    double sum = 0;
    for (const Tensor& part : parts)
        for (int64_t i = 0; i < part.elements(); i++) sum += double(part.f32()[i]) * part.f32()[i];
    return sum;
}

void adamw(Tensor values, Tensor gradients, Tensor m, Tensor v, const AdamWStep& rule) {
    const double first = 1 - std::pow(rule.beta_1, double(rule.step));
    const double second = 1 - std::pow(rule.beta_2, double(rule.step));
    for (int64_t i = 0; i < values.elements(); i++) {
        const double gradient = rule.gradient_scale * gradients.f32()[i];
        const double mean = rule.beta_1 * m.f32()[i] + (1 - rule.beta_1) * gradient;
        const double square = rule.beta_2 * v.f32()[i] + (1 - rule.beta_2) * gradient * gradient;
        m.f32()[i] = float(mean);
        v.f32()[i] = float(square);
        values.f32()[i] = float(values.f32()[i] * (1 - rule.learning_rate * rule.weight_decay) -
                                rule.learning_rate * mean / first / (std::sqrt(square / second) + rule.epsilon));
    }
}

void average_into(Tensor average, Tensor values, double decay) {
    for (int64_t i = 0; i < values.elements(); i++)
        average.f32()[i] = float(decay * average.f32()[i] + (1 - decay) * values.f32()[i]);
}

}  // namespace leon::grad_reference
