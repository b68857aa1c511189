// How much two areas have in common: boxes, and label maps class by class.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>

namespace leon {

// Any unit; x1 and y1 are outside, and the area is (x1 - x0) * (y1 - y0).
struct Box {
    double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

// Common area / area of the union; 0 if the union has none. Corners must be in order.
double box_iou(const Box& a, const Box& b);

// Pixels by (label in the reference, label in the candidate), over as many maps as one likes.
class Confusion {
public:
    // Pixels where the reference has the label `ignored` do not count. Both maps have the same number of pixels.
    void add(std::span<const int32_t> reference, std::span<const int32_t> candidate, std::optional<int32_t> ignored);

    struct ClassScore {
        int64_t reference = 0, candidate = 0, common = 0;  // pixels
        double iou() const { return static_cast<double>(common) / static_cast<double>(reference + candidate - common); }
    };
    // Of every label that occurs among the pixels that count, in either map. A candidate's `ignored` is no class of its
    // own: it only lacks where the reference has another label.
    std::map<int32_t, ClassScore> classes() const;

    int64_t pixels() const { return pixels_; }
    double accuracy() const;  // share of the pixels with equal labels; 0 without pixels
    double mean_iou() const;  // the mean of iou() over classes(); 0 without classes

private:
    std::map<std::pair<int32_t, int32_t>, int64_t> counts_;
    std::optional<int32_t> ignored_;
    int64_t pixels_ = 0;
};

}  // namespace leon
