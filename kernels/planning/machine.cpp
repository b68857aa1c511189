// The machines that plans are made for; see machine.h.
//
// mma.sync: on A100 and Ada it is the tensor cores' own instruction, so the data sheet holds. Hopper reaches its data
// sheet only by wgmma; mma.sync was measured at 62% of it (Luo et al., "Dissecting the NVIDIA Hopper Architecture
// through Microbenchmarking", arXiv 2501.12084). For Blackwell we know of no such figure and assume A100's rate per
// multiprocessor and clock, 1,024 multiply-adds of 16 bits: the least certain number here.
#include "kernels/planning/machine.h"

#include "kernels/check.h"

namespace leon {
namespace {

constexpr double HOPPER_MMA_SYNC = 0.62;
constexpr int KB = 1024;

constexpr Machine MACHINES[] = {
    {"A100", "a100", "sm_80", 108, 1.41e9, 2048, 164 * KB, 80e9, 2039e9, 40e6, 4.5e12, 19.5e12, 312e12, 156e12,
     "NVIDIA A100 80GB SXM data sheet; L2 bandwidth assumed"},
    {"RTX 4090", "4090", "sm_89", 128, 2.52e9, 1536, 100 * KB, 24e9, 1008e9, 72e6, 4.5e12, 82.6e12, 165.2e12, 82.6e12,
     "NVIDIA Ada whitepaper; L2 bandwidth assumed"},
    {"H100", "h100", "sm_90", 132, 1.83e9, 2048, 227 * KB, 80e9, 3350e9, 50e6, 5.7e12, 66.9e12,
     HOPPER_MMA_SYNC * 989.4e12, HOPPER_MMA_SYNC * 494.7e12,
     "NVIDIA H100 SXM data sheet; mma.sync at 62% of it (arXiv 2501.12084); L2 assumed"},
    {"H200", "h200", "", 132, 1.83e9, 2048, 227 * KB, 141e9, 4800e9, 50e6, 5.7e12, 66.9e12, HOPPER_MMA_SYNC * 989.4e12,
     HOPPER_MMA_SYNC * 494.7e12, "NVIDIA H200 SXM data sheet; mma.sync at 62% of it (arXiv 2501.12084); L2 assumed"},
    {"B200", "b200", "sm_100", 148, 1.85e9, 2048, 227 * KB, 180e9, 8000e9, 126e6, 9e12, 74.4e12, 561e12, 280e12,
     "NVIDIA B200 data sheet; mma.sync at A100's rate per multiprocessor, 1.85 GHz, and L2: assumed"},
};

}  // namespace

std::span<const Machine> machines() {
    return MACHINES;
}

const Machine& machine(const std::string& option) {
    std::string known;
    for (const Machine& m : MACHINES) {
        if (option == m.option || (option == m.architecture && !option.empty())) return m;
        known += (known.empty() ? "" : ", ") + std::string(m.option);
        if (*m.architecture) known += std::string(", ") + m.architecture;
    }
    throw Error("there is no machine '" + option + "' to plan for", "--plan", "choose from " + known);
}

}  // namespace leon
