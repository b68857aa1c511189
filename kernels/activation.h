// The functions that stand between the layers of a network. A header of its own, because the instruction-set units of
// kernels/cpu see no other of kernels/.
#pragma once

namespace leon {

enum class Activation : unsigned char {
    None,
    Swish,      // x * sigmoid(x), also called SiLU
    ReLU,       // max(x, 0)
    QuickGELU,  // x * sigmoid(1.702 x)
    GELU,       // x * (1 + erf(x / sqrt(2))) / 2
    Leaky,      // x where x >= 0, slope * x below: LeakyReLU, and PReLU if the slopes were learned
};

}  // namespace leon
