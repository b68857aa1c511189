// Backends by name; see backend.h.
#include "tasks/backend.h"

namespace leon {

const Kernels& backend(const std::string& name) {
    if (name == "reference") return reference_kernels();
    if (name == "cpu") return cpu_kernels();
    if (name == "cuda") {
        if (const Kernels* k = cuda_kernels()) return *k;
        throw Error(why_no_cuda(), "--backend cuda", "leave the option out to run on the CPU");
    }
    std::string known = "reference, cpu, cuda";
    for (const Kernels* variant : cpu_variants()) {
        if (name == variant->name) return *variant;
        known += std::string(", ") + variant->name;
    }
    throw Error("'" + name + "' is not a backend of this machine", "--backend", "choose from " + known);
}

}  // namespace leon
