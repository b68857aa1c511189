// Host memory that a backend has adopted: the tensors where its kernels read them, given back with this object.
//
//   AdoptedMemory memory(kernels);
//   Tensor weight = memory.adopt(tensor_of_the_file);   // the same address on the CPU, a copy on a GPU
#pragma once

#include <utility>
#include <vector>

#include "kernels/kernels.h"

namespace leon {

class AdoptedMemory {
public:
    AdoptedMemory() = default;  // adopts nothing
    explicit AdoptedMemory(const Kernels& kernels) : kernels_(&kernels) {}
    ~AdoptedMemory() {
        for (const void* memory : adopted_) disown(*kernels_, memory);
    }
    AdoptedMemory(AdoptedMemory&& other) noexcept
        : kernels_(other.kernels_), adopted_(std::exchange(other.adopted_, {})) {}
    AdoptedMemory& operator=(AdoptedMemory&& other) noexcept {
        std::swap(kernels_, other.kernels_);
        std::swap(adopted_, other.adopted_);
        return *this;
    }
    AdoptedMemory(const AdoptedMemory&) = delete;

    // An absent tensor stays absent.
    Tensor adopt(Tensor t) {
        if (!t) return t;
        t.data = const_cast<void*>(keep(t.data, t.bytes()));
        if (t.groups) t.groups = static_cast<const uint8_t*>(keep(t.groups, t.group_bytes()));
        if (t.scale) t.scale = static_cast<const float*>(keep(t.scale, static_cast<size_t>(t.rows()) * sizeof(float)));
        return t;
    }

private:
    const void* keep(const void* host, size_t bytes) {
        adopted_.reserve(adopted_.size() + 1);  // no copy may be lost for want of a place to remember it
        adopted_.push_back(leon::adopt(*kernels_, host, bytes));
        return adopted_.back();
    }

    const Kernels* kernels_ = nullptr;
    std::vector<const void*> adopted_;
};

}  // namespace leon
