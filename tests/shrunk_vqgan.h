// A VQGAN made small in every direction, for tests whose model must have one.
#pragma once

#include "runtime/config.h"

namespace leon {

inline void shrink(VqganConfig& c) {
    c.channels = 32;
    c.multipliers = {1, 2};
    c.res_blocks = 1;
    c.z_channels = c.code_dim = 16;
    c.codes = 64;
    c.resolution = 16;
}

}  // namespace leon
