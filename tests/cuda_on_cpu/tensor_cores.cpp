// mma.sync: gathers the 32 lanes' fragments, multiplies, and puts the sums back into the lanes' registers. Layouts as
// in the PTX manual, "Matrix Fragments for mma.m16n8k16" and "...m16n8k8"; sums in float32, one after the other by
// rising depth, where the hardware truncates and adds in an order of its own: compare with tolerance.
#include "tests/cuda_on_cpu/core.h"

namespace leon::cuda_emulated::emu {
namespace {

typedef float Row __attribute__((vector_size(32)));  // the 8 columns of b or d

// Of DEPTH elements of a row of a, a lane holds those of pair or column `lane % 4`, in rows lane / 4 and + 8.
//   fill_a(a, group, column, registers), fill_b(b, group, column, registers): one lane's share
template <int DEPTH, class FillA, class FillB>
void multiply(Slot* slots, FillA fill_a, FillB fill_b) {
    MmaOperands lanes[32];
    for (int lane = 0; lane < 32; lane++) std::memcpy(&lanes[lane], slots[lane].bytes, sizeof lanes[lane]);
    float a[16][DEPTH];
    for (int lane = 0; lane < 32; lane++) fill_a(a, lane / 4, lane % 4, lanes[lane].a);
    for (int i = 0; i < lanes[0].count; i++) {
        Row b[DEPTH], d[16];
        for (int lane = 0; lane < 32; lane++) {
            const int group = lane / 4, pair = lane % 4 * 2;
            fill_b(b, group, lane % 4, lanes[lane].b[i]);
            for (int j = 0; j < 4; j++) d[group + j / 2 * 8][pair + j % 2] = lanes[lane].d[i][j];
        }
        for (int m = 0; m < 16; m++)
            for (int k = 0; k < DEPTH; k++) d[m] += a[m][k] * b[k];
        for (int lane = 0; lane < 32; lane++) {
            const int group = lane / 4, pair = lane % 4 * 2;
            for (int j = 0; j < 4; j++) lanes[lane].d[i][j] = d[group + j / 2 * 8][pair + j % 2];
        }
    }
    counters.matrix_products += static_cast<uint64_t>(lanes[0].count);
    counters.warp_collectives += static_cast<uint64_t>(lanes[0].count - 1);  // one is counted already
}

// Two 16-bit elements in a register, the first one low: elements 2c, 2c + 1 of group c, then those 8 further on.
template <class Widen>
void multiply_16_bit(Slot* slots, Widen widen) {
    const auto low = [=](uint32_t word) { return widen(static_cast<uint16_t>(word)); };
    const auto high = [=](uint32_t word) { return widen(static_cast<uint16_t>(word >> 16)); };
    multiply<16>(
        slots,
        [=](float(&a)[16][16], int group, int column, const uint32_t* registers) {
            for (int i = 0; i < 4; i++) {
                float* pair = &a[group + i % 2 * 8][column * 2 + i / 2 * 8];
                pair[0] = low(registers[i]), pair[1] = high(registers[i]);
            }
        },
        [=](Row(&b)[16], int group, int column, const uint32_t* registers) {
            for (int i = 0; i < 2; i++) {
                b[column * 2 + i * 8][group] = low(registers[i]);
                b[column * 2 + i * 8 + 1][group] = high(registers[i]);
            }
        });
}

}  // namespace

void mma_m16n8k16_bf16(Slot* slots) {
    multiply_16_bit(slots, [](uint16_t bits) { return __bfloat162float(__nv_bfloat16{bits}); });
}
void mma_m16n8k16_f16(Slot* slots) {
    multiply_16_bit(slots, [](uint16_t bits) { return __half2float(__half{bits}); });
}

// a: rows group and group + 8 of column c, then of column c + 4; b: rows c and c + 4 of column group.
void mma_m16n8k8_tf32(Slot* slots) {
    const auto tf32 = [](uint32_t bits) { return same_bits<float>(bits & 0xffffe000u); };  // 10 bits of mantissa
    multiply<8>(
        slots,
        [=](float(&a)[16][8], int group, int column, const uint32_t* registers) {
            for (int i = 0; i < 4; i++) a[group + i % 2 * 8][column + i / 2 * 4] = tf32(registers[i]);
        },
        [=](Row(&b)[8], int group, int column, const uint32_t* registers) {
            for (int i = 0; i < 2; i++) b[column + i * 4][group] = tf32(registers[i]);
        });
}

}  // namespace leon::cuda_emulated::emu
