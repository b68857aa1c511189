// How much memory a file may make its reader allocate before it has been validated. Every growth of what the file's
// contents decide is charged first; a file that asks for more than its size justifies is refused, whatever it claims.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kernels/check.h"

namespace leon {

// What any file may cost beside its own size.
constexpr size_t SPARE_MEMORY_BYTES = size_t{64} << 20;
// What an entry of a std::map or std::set takes beside its key and value; and what the allocator takes for itself, and
// rounds up, for any block.
constexpr size_t NODE_BYTES = 48, BLOCK_BYTES = 32;

class MemoryBudget {
public:
    // `where` is the file, for the message.
    MemoryBudget(size_t bytes, std::string where) : left_(bytes), where_(std::move(where)) {}

    void charge(size_t bytes) {
        if (bytes > left_) throw Error("asks for more memory than its size justifies", where_, "it may be hostile");
        left_ -= bytes;
    }

    // Copies of a string, which lie in blocks of their own if they are long.
    void charge_text(size_t bytes, size_t copies) {
        if (bytes >= sizeof(std::string) / 2) charge(copies * (bytes + BLOCK_BYTES));
    }

    // Appends. While a list moves to its next capacity, old and new count both.
    template <class T>
    void push(std::vector<T>& list, T value) {
        if (list.size() == list.capacity()) reserve(list, std::max<size_t>(64, list.size() + list.size() / 2));
        list.push_back(std::move(value));
    }
    template <class T>
    void reserve(std::vector<T>& list, size_t capacity) {
        const size_t before = list.capacity();
        if (capacity <= before) return;
        charge(std::min(capacity, left_ / sizeof(T) + 1) * sizeof(T));
        list.reserve(capacity);
        left_ += before * sizeof(T);
    }

private:
    size_t left_;
    std::string where_;
};

}  // namespace leon
