// Tiles of matrices in registers (AMX): whether this processor and this process may use them, and their one shape.
//
// A tile is 16 rows of 64 bytes. _tile_dpbf16ps(c, a, b) adds the product of two tiles of bf16 to a tile of float32:
//
//   a   row m:       a[m][0] a[m][1] ... a[m][31]                          16 rows, 32 steps of depth
//   b   row k / 2:   b[k][0] b[k + 1][0]  b[k][1] b[k + 1][1] ...          32 steps in pairs, 16 columns
//   c   row m:       c[m][0] ... c[m][15]                                  float32
//
// Sums run in rising pairs of k, the even step of a pair first; subnormal numbers count as zero. Smaller matrices are
// padded with zeros to whole tiles, so every thread uses one configuration: eight tiles of the full shape.
//
// 2026-11-26, one core of a Xeon of the Sapphire Rapids generation: 1,870 GFLOP/s with all loads from L1.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // as g++ and clang++ 14 spell it
#include <immintrin.h>
#endif

namespace leon {

constexpr int64_t AMX_ROWS = 16, AMX_BYTES = 1024;
constexpr int64_t AMX_DEPTH = 32;    // steps of bf16
constexpr int64_t AMX_COLUMNS = 16;  // of a result, in float32

// True if the processor has AMX with bf16 and AVX-512 with bf16, the system saves the tiles, and it granted them to
// this process. The first call asks for the permission, which holds for all threads, and those that start later.
bool amx_granted();

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // as g++ and clang++ 14 spell it
namespace {

// Constant, since compilers do not know that the instruction reads all 64 bytes, and may leave out writing them.
struct TileShape {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileShape) == 64);
alignas(64) constexpr TileShape TILE_SHAPE;

// Tiles are the calling thread's while this lives. Between two such scopes the thread has no tile state, which makes
// a switch of threads cheap.
class Tiles {
public:
    Tiles() { _tile_loadconfig(&TILE_SHAPE); }
    ~Tiles() { _tile_release(); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;
};

}  // namespace
#endif

}  // namespace leon
