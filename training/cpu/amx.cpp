// Asks the processor and the system for AMX: see amx.h.
#include "training/cpu/amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace leon {

#if defined(__x86_64__) && defined(__linux__)

namespace {

bool has_instructions() {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    constexpr unsigned AMX_BF16 = 1u << 22, AMX_TILE = 1u << 24;
    if ((d & (AMX_BF16 | AMX_TILE)) != (AMX_BF16 | AMX_TILE)) return false;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return false;
    constexpr unsigned AVX512_BF16 = 1u << 5;
    return (a & AVX512_BF16) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

// Linux hands the 8 KB of tile state of each thread out on request only, since 5.16; older ones refuse the call.
bool has_permission() {
    constexpr long REQUEST_STATE = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
}

}  // namespace

bool amx_granted() {
    static const bool granted = has_instructions() && has_permission();
    return granted;
}

#else

bool amx_granted() {
    return false;
}

#endif

}  // namespace leon
