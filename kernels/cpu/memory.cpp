// allocate / release by mmap: see memory.h.
//
//   | ... unused ... | header page end: Header | memory the caller sees ... |
//                                              ^ 64-byte aligned (small), 2 MB aligned (large)
//
// Anonymous mappings are zeroed by the system page by page at the first write. Huge pages matter for streaming reads:
// a 4096 x 11008 matrix spans 22,000 pages of 4 KB, far beyond the reach of any translation buffer, but 43 of 2 MB.
#include "kernels/cpu/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <string>

#include "kernels/check.h"

namespace leon {
namespace {

constexpr size_t ALIGNMENT = 64;  // a cache line, and the widest register
constexpr size_t HUGE_PAGE = size_t(2) << 20;
constexpr size_t HUGE_FROM = 2 * HUGE_PAGE;  // below, huge pages would waste more than they give

struct alignas(ALIGNMENT) Header {
    void* mapping;
    size_t mapped_bytes;
};

}  // namespace

void* allocate_memory(size_t bytes) {
    const bool large = bytes >= HUGE_FROM;
    const size_t alignment = large ? HUGE_PAGE : ALIGNMENT, extra = alignment + sizeof(Header);
    const std::string where = "allocating " + std::to_string(bytes) + " bytes";
    if (bytes > SIZE_MAX - extra) throw Error("more than this processor can address", where);

    void* mapping = mmap(nullptr, bytes + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        throw Error("the system has not enough memory", where, "use a smaller model or a shorter context");
    uintptr_t first = reinterpret_cast<uintptr_t>(mapping) + sizeof(Header);
    char* memory = reinterpret_cast<char*>((first + alignment - 1) / alignment * alignment);
    if (large) madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: without huge pages everything works, slower
    reinterpret_cast<Header*>(memory)[-1] = {mapping, bytes + extra};
    return memory;
}

void release_memory(void* memory) {
    if (memory == nullptr) return;
    Header header = static_cast<Header*>(memory)[-1];
    munmap(header.mapping, header.mapped_bytes);
}

}  // namespace leon
