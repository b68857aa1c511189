// The stage behind the decoder: a picture becomes two to four times as wide and high.
//
//   LanczosUpscaler(4).upscale(picture)                   a resampler: the same pixels for everybody, no weights
//   NetworkUpscaler(file, config, kernels).upscale(...)   Real-ESRGAN's networks on the kernel table
//   (docs/upscaling.md)
//
// Large pictures go through a network in tiles, so that memory stays bounded. Each tile is computed with a margin of
// its surroundings, which is cut off afterwards: where the margin is as wide as the network sees, the seams are not
// there at all; a dense network sees hundreds of pixels, faintly, and gets a margin whose measured effect is below a
// grey level.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/config.h"
#include "runtime/weights_file.h"
#include "tokenizer/image.h"

namespace leon {

// Called now and then with the steps done and the steps in all, which are alike in time; returning false cancels.
using UpscaleProgress = std::function<bool(size_t done, size_t total)>;

class Upscaler {
public:
    virtual ~Upscaler() = default;
    virtual int factor() const = 0;
    // The picture factor() times as wide and high; empty (0 x 0) if `progress` cancelled. Error if the picture is empty
    // or the result would be larger than MAX_PIXELS or MAX_SIDE.
    virtual Picture upscale(const Picture& picture, const UpscaleProgress& progress = {}) const = 0;
};

class LanczosUpscaler : public Upscaler {
public:
    explicit LanczosUpscaler(int factor);  // Error unless 2, 3 or 4
    int factor() const override { return factor_; }
    Picture upscale(const Picture& picture, const UpscaleProgress& progress = {}) const override;

private:
    int factor_;
};

// In pixels of the network's input, which for a factor of 2 of the dense network are 2x2 of the picture.
struct Tiling {
    int side = 0;    // the longest side of a tile, its margins not counted
    int margin = 0;  // at every side that another tile touches
};

class NetworkUpscaler : public Upscaler {
public:
    // Binds (does not copy) the weights "upscaler.*" of the file, which must outlive this object.
    NetworkUpscaler(const WeightsFile& file, const UpscalerConfig& config, const Kernels& kernels);
    ~NetworkUpscaler() override;

    const UpscalerConfig& config() const;
    // What upscale() uses. The margin of a compact network is as wide as what it sees, so that tiles give the same
    // values as the whole; a dense one gets 16 pixels at most. A tile with its margins takes about TILE_BYTES.
    Tiling tiling() const;

    int factor() const override;
    Picture upscale(const Picture& picture, const UpscaleProgress& progress = {}) const override;

    // The same in float32 throughout, before clamping: pixels [height, width, 3] in [0, 1] ->
    // [height * factor, width * factor, 3].
    std::vector<float> upscale(std::span<const float> pixels, int height, int width, const Tiling& tiling) const;

    // Multiply-adds for a picture of this size in one tile.
    double macs(int height, int width) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

constexpr size_t TILE_BYTES = size_t{512} << 20;

}  // namespace leon
