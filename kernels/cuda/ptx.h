// Every PTX instruction that the kernels use: one small function each, with two bodies. No other file contains
// assembly. The emulated bodies touch the caller's memory here, in code that sanitizers instrument.
//
// A wrong operand in an asm string is invisible to the emulator: keep the strings short, and run the tests of
// tests/test_cuda_emulator.cpp on a GPU after each change.
#pragma once

#include "kernels/cuda/gpu.h"

namespace leon::LEON_CUDA {

// --- copies to shared memory in the background ------------------------------------------------------------------

#ifdef __CUDACC__
__device__ __forceinline__ unsigned shared_address(const void* p) {
    return static_cast<unsigned>(__cvta_generic_to_shared(p));
}
#endif

// Copies BYTES (4, 8 or 16) to shared memory; if not `valid`, writes zeros and reads nothing. The destination must not
// be touched before cp_async_wait().
template <int BYTES>
__device__ __forceinline__ void cp_async(void* shared, const void* global, bool valid,
                                         [[maybe_unused]] Site site = Site::here()) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16);
#ifdef __CUDACC__
    if constexpr (BYTES == 16)  // .cg: past the L1 cache
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                     "r"(valid ? 16 : 0)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)), "l"(global),
                     "n"(BYTES), "r"(valid ? BYTES : 0)
                     : "memory");
#else
    emu::check_aligned(shared, BYTES, "cp.async", site);
    if (!emu::in_shared(shared)) emu::fail(site, "cp.async: the destination is not in shared memory");
    if (valid) {
        emu::check_aligned(global, BYTES, "cp.async", site);
        if (emu::count_access) emu::count_access(global, BYTES, emu::Direction::Read);
    }
    if (emu::count_access) emu::count_access(shared, BYTES, emu::Direction::Write);
    const emu::Uncounted parts;
    for (int i = 0; valid && i < BYTES; i++) (void)static_cast<const volatile char*>(global)[i];  // where it is issued
    for (int i = 0; i < BYTES / 4; i++) static_cast<unsigned*>(shared)[i] = ~0u;                  // neither old nor new
    emu::async_issue({shared, valid ? global : nullptr, BYTES});
#endif
}

// The same for 16 bytes that are read once in a token, such as weights: the L2 fetches ahead.
__device__ __forceinline__ void cp_async_streaming(void* shared, const void* global, bool valid,
                                                   [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
#else
    cp_async<16>(shared, global, valid, site);
#endif
}

// Closes the group of copies that this thread has issued since the last call.
__device__ __forceinline__ void cp_async_commit() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    emu::async_commit();
#endif
}

// Waits until at most GROUPS of this thread's groups are still under way.
template <int GROUPS>
__device__ __forceinline__ void cp_async_wait() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
#else
    while (emu::async_pending(GROUPS)) {
        const emu::AsyncCopy copy = emu::async_take();
        const emu::Uncounted parts;  // counted when it was issued
        for (uint32_t i = 0; i < copy.bytes / 4; i++)
            static_cast<unsigned*>(copy.to)[i] = copy.from ? static_cast<const unsigned*>(copy.from)[i] : 0u;
    }
#endif
}

// --- fragments of 8x8 matrices ----------------------------------------------------------------------------------

#ifndef __CUDACC__
namespace emu {
// Lane l passes the address of row l % 8 of matrix l / 8. In each matrix, lane l gets elements 2 (l % 4) and + 1 of row
// l / 4; transposed, of column l / 4.
template <int COUNT, bool TRANSPOSED>
void load_matrices(unsigned (&fragments)[COUNT], const void* row, Site site) {
    check_aligned(row, 16, "ldmatrix", site);
    Exchange<const uint16_t*> rows(~0u, static_cast<const uint16_t*>(row), "ldmatrix", site);
    const unsigned line = lane() / 4, pair = lane() % 4 * 2;
    if (count_access && lane() < 8 * COUNT) count_access(row, 16, Direction::Read);
    const Uncounted parts;
    for (unsigned m = 0; m < COUNT; m++) {
        const uint16_t low = TRANSPOSED ? rows[8 * m + pair][line] : rows[8 * m + line][pair];
        const uint16_t high = TRANSPOSED ? rows[8 * m + pair + 1][line] : rows[8 * m + line][pair + 1];
        fragments[m] = low | static_cast<unsigned>(high) << 16;
    }
}
}  // namespace emu
#endif

template <bool TRANSPOSED = false>
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row,
                                            [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    if constexpr (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(shared_address(row))
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(shared_address(row))
                     : "memory");
#else
    emu::load_matrices<4, TRANSPOSED>(r, row, site);
#endif
}

// As x4 with two matrices: the addresses of lanes 0 to 15 count, but every lane passes a valid one.
template <bool TRANSPOSED = false>
__device__ __forceinline__ void ldmatrix_x2(unsigned (&r)[2], const void* row,
                                            [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    if constexpr (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(shared_address(row))
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(shared_address(row))
                     : "memory");
#else
    emu::load_matrices<2, TRANSPOSED>(r, row, site);
#endif
}

// --- tensor cores: d += a * b, a row-major, b column-major fragments, float32 sums ------------------------------
//
// Each in two forms: one product, and COUNT of them that share a, side by side: d[i] += a * b[i]. On a GPU the second
// is COUNT times the first; the emulator makes the lanes of a warp meet once for all of them.

#ifndef __CUDACC__
namespace emu {
inline void multiply_fragments(float (*d)[4], const unsigned (&a)[4], const unsigned (*b)[2], int count,
                               const char* name, void (*combine)(Slot*), Site site) {
    const Exchange<MmaOperands> all(~0u, {d, a, b, count}, name, site, combine);
}
}  // namespace emu
#endif

// d [16, 8]    a [16, 16] bf16    b [16, 8] bf16
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                                         [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    const unsigned b[1][2] = {{b0, b1}};
    emu::multiply_fragments(&d, a, b, 1, "mma.m16n8k16.bf16", emu::mma_m16n8k16_bf16, site);
#endif
}
template <int COUNT>
__device__ __forceinline__ void mma_bf16(float (&d)[COUNT][4], const unsigned (&a)[4], const unsigned (&b)[COUNT][2],
                                         [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
#pragma unroll
    for (int i = 0; i < COUNT; i++) mma_bf16(d[i], a, b[i][0], b[i][1]);
#else
    emu::multiply_fragments(d, a, b, COUNT, "mma.m16n8k16.bf16 of a row", emu::mma_m16n8k16_bf16, site);
#endif
}

// d [16, 8]    a [16, 16] f16    b [16, 8] f16
__device__ __forceinline__ void mma_f16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                                        [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    const unsigned b[1][2] = {{b0, b1}};
    emu::multiply_fragments(&d, a, b, 1, "mma.m16n8k16.f16", emu::mma_m16n8k16_f16, site);
#endif
}
template <int COUNT>
__device__ __forceinline__ void mma_f16(float (&d)[COUNT][4], const unsigned (&a)[4], const unsigned (&b)[COUNT][2],
                                        [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
#pragma unroll
    for (int i = 0; i < COUNT; i++) mma_f16(d[i], a, b[i][0], b[i][1]);
#else
    emu::multiply_fragments(d, a, b, COUNT, "mma.m16n8k16.f16 of a row", emu::mma_m16n8k16_f16, site);
#endif
}

// d [16, 8]    a [16, 8] tf32    b [8, 8] tf32: float32 bits, of which the lower 13 do not count
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                                         [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    const unsigned b[1][2] = {{b0, b1}};
    emu::multiply_fragments(&d, a, b, 1, "mma.m16n8k8.tf32", emu::mma_m16n8k8_tf32, site);
#endif
}
template <int COUNT>
__device__ __forceinline__ void mma_tf32(float (&d)[COUNT][4], const unsigned (&a)[4], const unsigned (&b)[COUNT][2],
                                         [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
#pragma unroll
    for (int i = 0; i < COUNT; i++) mma_tf32(d[i], a, b[i][0], b[i][1]);
#else
    emu::multiply_fragments(d, a, b, COUNT, "mma.m16n8k8.tf32 of a row", emu::mma_m16n8k8_tf32, site);
#endif
}

// --- overlap of a kernel with the one before it (launch_dependent) ----------------------------------------------

// Waits until all kernels before this one are done and what they wrote can be seen. Nothing before sm_90, where this
// kernel would not have begun.
__device__ __forceinline__ void grid_dependency_wait() {
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
#else
    emu::dependency_wait();
#endif
}

// Lets the next kernel begin, if it was launched as a dependent one, once every block of this one has called this or
// ended. It orders nothing: the next one still waits for this one's end.
__device__ __forceinline__ void grid_dependency_launch() {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// --- barriers and ordered accesses ------------------------------------------------------------------------------

// Barrier number `id` (1 to 15) among `threads` threads of the block, a multiple of 32.
__device__ __forceinline__ void bar_sync(int id, int threads, [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
    emu::barrier(id, threads, emu::Vote::None, 0, site);
#endif
}

// What was written before st_release() of a value is seen after the ld_acquire() that reads the value.
__device__ __forceinline__ unsigned ld_acquire(const unsigned* p, [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    unsigned value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
    return value;
#else
    emu::yield(site);
    return emu::read_modify_write(
        const_cast<unsigned*>(p), [](unsigned value) { return value; }, site);
#endif
}
__device__ __forceinline__ void st_release(unsigned* p, unsigned value, [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
#else
    emu::read_modify_write(
        p, [=](unsigned) { return value; }, site);
#endif
}

// As st_release, for the host, too: `p` may be its memory.
__device__ __forceinline__ void st_release_system(unsigned* p, unsigned value,
                                                  [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
#else
    emu::read_modify_write(
        p, [=](unsigned) { return value; }, site);
#endif
}

// --- no instruction at all --------------------------------------------------------------------------------------

// Hides from the compiler that x is what it was: what follows from x is computed here, not ahead of a loop, where it
// would fill a register for as long as the loop lasts.
__device__ __forceinline__ void compute_here(float& x) {
#ifdef __CUDACC__
    asm volatile("" : "+f"(x));
#else
    (void)x;
#endif
}
__device__ __forceinline__ void compute_here(int& x) {
#ifdef __CUDACC__
    asm volatile("" : "+r"(x));
#else
    (void)x;
#endif
}

// --- 16-byte loads ----------------------------------------------------------------------------------------------

// Data that is read once in a token, such as weights: straight past the L1 cache, first to leave the L2.
__device__ __forceinline__ uint4 load_streaming(const void* p, [[maybe_unused]] Site site = Site::here()) {
#ifdef __CUDACC__
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
#else
    emu::check_aligned(p, 16, "load_streaming", site);
    return *static_cast<const uint4*>(p);
#endif
}

}  // namespace leon::LEON_CUDA
