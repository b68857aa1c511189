// Memory of feature maps that come and go: a map goes back to its pool when it is dropped, and the next one of the same
// size gets its memory. After the first picture nothing is allocated.
#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "kernels/cpu/memory.h"
#include "kernels/tensor.h"

namespace leon {

class MapPool;

// A tensor that owns its memory; empty if null.
class Map {
public:
    Map() = default;
    Map(Tensor tensor, MapPool& pool) : tensor_(tensor), pool_(&pool) {}
    Map(Map&& other) noexcept : tensor_(std::exchange(other.tensor_, Tensor())), pool_(other.pool_) {}
    Map& operator=(Map&& other) noexcept {
        std::swap(tensor_, other.tensor_);
        std::swap(pool_, other.pool_);
        other.drop();
        return *this;
    }
    ~Map() { drop(); }

    explicit operator bool() const { return static_cast<bool>(tensor_); }
    Tensor operator*() const { return tensor_; }
    int64_t height() const { return tensor_.shape[0]; }
    int64_t width() const { return tensor_.shape[1]; }
    int64_t channels() const { return tensor_.shape[2]; }
    Tensor rows() const { return tensor_.as({height() * width(), channels()}); }

private:
    inline void drop();

    Tensor tensor_;
    MapPool* pool_ = nullptr;
};

// Must outlive its maps.
class MapPool {
public:
    MapPool() = default;
    MapPool(const MapPool&) = delete;
    ~MapPool() {
        for (void* memory : all_) release_memory(memory);
    }

    Map take(DType dtype, std::initializer_list<int64_t> shape) {
        Tensor tensor(nullptr, dtype, shape);
        std::vector<void*>& free = free_[tensor.bytes()];
        if (free.empty()) {
            all_.reserve(all_.size() + 1);
            all_.push_back(allocate_memory(tensor.bytes()));
            free.push_back(all_.back());
        }
        tensor.data = free.back();
        free.pop_back();
        return Map(tensor, *this);
    }
    void give_back(const Tensor& tensor) { free_[tensor.bytes()].push_back(tensor.data); }

private:
    std::map<size_t, std::vector<void*>> free_;
    std::vector<void*> all_;
};

void Map::drop() {
    if (tensor_) pool_->give_back(tensor_);
    tensor_ = Tensor();
}

}  // namespace leon
