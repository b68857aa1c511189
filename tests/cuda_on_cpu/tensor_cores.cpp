// mma.sync: unpacks the 32 lanes' fragments, multiplies, hands the result back. Layouts as in the PTX manual, "Matrix
// Fragments for mma.m16n8k16" and "...m16n8k8"; sums in float32, where the hardware truncates: compare with tolerance.
#include "tests/cuda_on_cpu/core.h"

namespace leon::cuda_emulated::emu {
namespace {

// d [16, 8] += a [16, DEPTH] * b [DEPTH, 8]
template <int DEPTH>
void multiply(float (&d)[16][8], const float (&a)[16][DEPTH], const float (&b)[DEPTH][8]) {
    for (int m = 0; m < 16; m++)
        for (int k = 0; k < DEPTH; k++)
            for (int n = 0; n < 8; n++) d[m][n] += a[m][k] * b[k][n];
}

template <class Widen>
void mma_16_bit(Slot* slots, Widen widen) {
    float a[16][16], b[16][8], d[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        MmaOperands o;
        std::memcpy(&o, slots[lane].bytes, sizeof o);
        uint16_t halves_a[8], halves_b[4];
        std::memcpy(halves_a, o.a, sizeof halves_a);
        std::memcpy(halves_b, o.b, sizeof halves_b);
        const unsigned group = lane / 4, pair = lane % 4 * 2;
        for (unsigned i = 0; i < 8; i++) a[group + i / 2 % 2 * 8][pair + i % 2 + i / 4 * 8] = widen(halves_a[i]);
        for (unsigned i = 0; i < 4; i++) b[pair + i % 2 + i / 2 * 8][group] = widen(halves_b[i]);
        for (unsigned i = 0; i < 4; i++) d[group + i / 2 * 8][pair + i % 2] = o.d[i];
    }
    multiply(d, a, b);
    for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned group = lane / 4, pair = lane % 4 * 2;
        const float out[4] = {d[group][pair], d[group][pair + 1], d[group + 8][pair], d[group + 8][pair + 1]};
        std::memcpy(slots[lane].bytes, out, sizeof out);
    }
}

}  // namespace

void mma_m16n8k16_bf16(Slot* slots) {
    mma_16_bit(slots, [](uint16_t bits) { return __bfloat162float(__nv_bfloat16{bits}); });
}
void mma_m16n8k16_f16(Slot* slots) {
    mma_16_bit(slots, [](uint16_t bits) { return __half2float(__half{bits}); });
}

// a: four tf32 of rows group, group + 8 and columns lane % 4, + 4; b: two of rows lane % 4, + 4 of column group.
void mma_m16n8k8_tf32(Slot* slots) {
    const auto tf32 = [](uint32_t bits) { return same_bits<float>(bits & 0xffffe000u); };  // 10 bits of mantissa
    float a[16][8], b[8][8], d[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        MmaOperands o;
        std::memcpy(&o, slots[lane].bytes, sizeof o);
        const unsigned group = lane / 4, column = lane % 4;
        for (unsigned i = 0; i < 4; i++) a[group + i % 2 * 8][column + i / 2 * 4] = tf32(o.a[i]);
        for (unsigned i = 0; i < 2; i++) b[column + i * 4][group] = tf32(o.b[i]);
        for (unsigned i = 0; i < 4; i++) d[group + i / 2 * 8][column * 2 + i % 2] = o.d[i];
    }
    multiply(d, a, b);
    for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned group = lane / 4, pair = lane % 4 * 2;
        const float out[4] = {d[group][pair], d[group][pair + 1], d[group + 8][pair], d[group + 8][pair + 1]};
        std::memcpy(slots[lane].bytes, out, sizeof out);
    }
}

}  // namespace leon::cuda_emulated::emu
