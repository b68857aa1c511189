// Memory of the CPU backend: aligned, zeroed, and free of charge until it is touched.
#pragma once

#include <cstddef>

namespace leon {

// At least 64-byte aligned and zeroed; large blocks start at 2 MB and ask for huge pages. Pages come from the system
// one by one when they are first written, so that reserving a long cache costs nothing. Throws Error.
void* allocate_memory(size_t bytes);
void release_memory(void* memory);

}  // namespace leon
