// The picture tokenizer: pixels <-> grid of codes, a VQGAN of the taming-transformers design (docs/models.md §5) on the
// kernel table. Channels last throughout; the converter has already put convolution weights in that order. Any height
// and width that are multiples of config.patch().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/config.h"
#include "runtime/weights_file.h"
#include "tokenizer/image.h"

namespace leon {

struct VqganTensors;  // tokenizer/vqgan_weights.h

class Vqgan {
public:
    // Binds (does not copy) the weights "vqgan.*" of the file, which must outlive this object.
    Vqgan(const WeightsFile& file, const VqganConfig& config, const Kernels& kernels);
    // The same with tensors from elsewhere, which are in the memory of `kernels` already.
    Vqgan(const VqganTensors& tensors, const VqganConfig& config, const Kernels& kernels);
    ~Vqgan();
    Vqgan(Vqgan&&) noexcept;

    const VqganConfig& config() const;

    // pixels [height, width, 3] in [-1, 1] -> codes [height/patch, width/patch], row-major.
    // Error if the file has no encoder, or the size is not a multiple of the patch.
    std::vector<int32_t> encode(std::span<const float> pixels, int height, int width) const;

    // codes [rows, cols] -> pixels [rows*patch, cols*patch, 3] before clamping.
    // Error if the file has no decoder; codes must be within the codebook (Error otherwise).
    std::vector<float> decode(std::span<const int32_t> codes, int rows, int cols) const;

    // The same as bytes, clamped: to_picture of decode(), but for a backend that rounds where weights have 16 bits,
    // which moves a value by one now and then.
    Picture decode_u8(std::span<const int32_t> codes, int rows, int cols) const;

    // Multiply-adds of one encode / decode at this size, for benchmarks.
    double encode_macs(int height, int width) const;
    double decode_macs(int rows, int cols) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The same counts from a configuration alone, without weights: convolutions, attention and the search for codes.
double vqgan_encode_macs(const VqganConfig& config, int height, int width);
double vqgan_decode_macs(const VqganConfig& config, int rows, int cols);

}  // namespace leon
