// Sprites and pictures a little out of focus, so that exact pictures and soft ones (a VQGAN's) are compared alike.
//
// Both sides are blurred by the same small kernel, [1 2 1]/4 in x and y, as many times as it takes. Blurred sprites are
// larger by a margin on each side; they are made once, when they are first asked for.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "training/storybook/scene.h"

namespace leon {

// [height, width, channels], the edge repeated.
void soften(std::vector<float>& values, int width, int height, int channels, int times);

class SoftSprites {
public:
    static constexpr int MARGIN = 2;

    // Heights of 1 to max_height pixels, margins not counted, blurred `times` times.
    SoftSprites(const World& world, std::span<const ObjectKind> kinds, int max_height, int times);
    ~SoftSprites();

    const Sprite& get(int kind, int height) const;

private:
    const World& world_;
    std::vector<std::string> emoji_;
    int max_height_, times_;
    mutable std::vector<std::atomic<const Sprite*>> made_;  // [kind, height]
    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<const Sprite>> owned_;
};

}  // namespace leon
