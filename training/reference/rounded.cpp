// The definition of products in bf16: the reference over operands that were rounded first. Sums stay in double, and so
// do the weights of attention and their gradients, which an implementation rounds as well.
#include <vector>

#include "training/reference/reference.h"

namespace leon {
namespace {

// Copies of tensors, every element rounded to the nearest bf16.
class Rounded {
public:
    explicit Rounded(std::span<const Tensor> tensors) {
        copies_.reserve(tensors.size());
        for (const Tensor& from : tensors) {
            std::vector<float>& copy = copies_.emplace_back(from.f32(), from.f32() + from.elements());
            for (float& value : copy) value = bf16_to_float(float_to_bf16(value));
            Tensor tensor = from;
            tensor.data = copy.data();
            tensors_.push_back(tensor);
        }
    }
    Rounded(std::initializer_list<Tensor> tensors) : Rounded(std::span(tensors.begin(), tensors.size())) {}
    Rounded(const Rounded&) = delete;
    Rounded& operator=(const Rounded&) = delete;

    const Tensor& operator[](size_t i) const { return tensors_[i]; }
    operator std::span<const Tensor>() const { return tensors_; }

private:
    std::vector<std::vector<float>> copies_;
    std::vector<Tensor> tensors_;
};

void linear(std::span<const Tensor> outs, Tensor x, std::span<const Tensor> weights, Accumulate accumulate) {
    grad_reference::linear(outs, Rounded{x}[0], Rounded(weights), accumulate);
}
void linear_dx(Tensor dx, std::span<const Tensor> douts, std::span<const Tensor> weights, Accumulate accumulate) {
    grad_reference::linear_dx(dx, Rounded(douts), Rounded(weights), accumulate);
}
void linear_dw(std::span<const Tensor> dweights, Tensor x, std::span<const Tensor> douts) {
    grad_reference::linear_dw(dweights, Rounded{x}[0], Rounded(douts));
}
void attention(Tensor out, Tensor log_sums, Tensor q, Tensor k, Tensor v, Tensor starts) {
    const Rounded in = {q, k, v};
    grad_reference::attention(out, log_sums, in[0], in[1], in[2], starts);
}
void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out, Tensor log_sums, Tensor q, Tensor k,
                        Tensor v, Tensor starts) {
    const Rounded in = {q, k, v, dout};
    grad_reference::attention_backward(dq, dk, dv, in[3], out, log_sums, in[0], in[1], in[2], starts);
}

}  // namespace

const GradKernels& reference_bf16_grad_kernels() {
    static const GradKernels TABLE = [] {
        GradKernels table = reference_grad_kernels();
        table.name = "reference-bf16";
        table.linear = linear;
        table.linear_dx = linear_dx;
        table.linear_dw = linear_dw;
        table.attention = attention;
        table.attention_backward = attention_backward;
        return table;
    }();
    return TABLE;
}

}  // namespace leon
