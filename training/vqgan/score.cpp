// PSNR, SSIM and IoU of reconstructions; see score.h.
#include "training/vqgan/score.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "kernels/check.h"
#include "metrics/likeness.h"

namespace leon {

VqganScore& VqganScore::operator+=(const VqganScore& other) {
    pictures += other.pictures;
    psnr += other.psnr, ssim += other.ssim, object_psnr += other.object_psnr, iou += other.iou;
    return *this;
}
VqganScore VqganScore::mean() const {
    CHECK(pictures > 0);
    return {1, psnr / pictures, ssim / pictures, object_psnr / pictures, iou / pictures};
}

double mean_iou(const LabelMap& got, const LabelMap& want) {
    CHECK(got.labels.size() == want.labels.size() && !want.labels.empty());
    struct Count {
        int64_t wanted = 0, both = 0, either = 0;
    };
    std::map<int32_t, Count> counts;
    for (size_t i = 0; i < want.labels.size(); i++) {
        Count& count = counts[want.labels[i]];
        count.wanted++, count.either++;
        if (got.labels[i] == want.labels[i])
            count.both++;
        else
            counts[got.labels[i]].either++;
    }
    double sum = 0, labels = 0;
    for (const auto& [label, n] : counts) {
        if (n.wanted == 0) continue;
        sum += static_cast<double>(n.both) / static_cast<double>(n.either);
        labels++;
    }
    return sum / labels;
}

VqganScore score_picture(const TrainingPicture& wanted, const Picture& got) {
    VqganScore s;
    s.pictures = 1;
    s.psnr = std::min(EQUAL_DECIBELS, psnr(got, wanted.picture));
    s.ssim = ssim(got, wanted.picture);
    double squares = 0, pixels = 0;
    for (size_t p = 0; p < wanted.matters.size(); p++) {
        if (!wanted.matters[p]) continue;
        pixels++;
        for (size_t i = p * 3; i < p * 3 + 3; i++) {
            const double d = double(got.rgb[i]) - wanted.picture.rgb[i];
            squares += d * d;
        }
    }
    if (pixels > 0)
        s.object_psnr = std::min(EQUAL_DECIBELS, 10 * std::log10(255.0 * 255.0 * 3 * pixels / std::max(squares, 1e-9)));
    if (wanted.labels) s.iou = mean_iou(classify_map(got, storybook_legend()), *wanted.labels);
    return s;
}

}  // namespace leon
