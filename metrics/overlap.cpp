// Intersections over unions; see overlap.h.
#include "metrics/overlap.h"

#include <algorithm>

#include "kernels/check.h"

namespace leon {

double box_iou(const Box& a, const Box& b) {
    CHECK(a.x0 <= a.x1 && a.y0 <= a.y1 && b.x0 <= b.x1 && b.y0 <= b.y1);
    const double width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
    const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
    const double common = std::max(width, 0.0) * std::max(height, 0.0);
    const double all = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - common;
    return all > 0 ? common / all : 0;
}

void Confusion::add(std::span<const int32_t> reference, std::span<const int32_t> candidate,
                    std::optional<int32_t> ignored) {
    CHECK(reference.size() == candidate.size());
    ignored_ = ignored;
    for (size_t i = 0; i < reference.size();) {
        const size_t from = i;  // labels come in runs
        while (i < reference.size() && reference[i] == reference[from] && candidate[i] == candidate[from]) i++;
        if (reference[from] == ignored) continue;
        counts_[{reference[from], candidate[from]}] += static_cast<int64_t>(i - from);
        pixels_ += static_cast<int64_t>(i - from);
    }
}

std::map<int32_t, Confusion::ClassScore> Confusion::classes() const {
    std::map<int32_t, ClassScore> classes;
    for (const auto& [labels, pixels] : counts_) {
        classes[labels.first].reference += pixels;
        classes[labels.second].candidate += pixels;
        if (labels.first == labels.second) classes[labels.first].common += pixels;
    }
    if (ignored_) classes.erase(*ignored_);
    return classes;
}

double Confusion::accuracy() const {
    int64_t equal = 0;
    for (const auto& [labels, pixels] : counts_)
        if (labels.first == labels.second) equal += pixels;
    return pixels_ > 0 ? static_cast<double>(equal) / static_cast<double>(pixels_) : 0;
}

double Confusion::mean_iou() const {
    double sum = 0;
    const auto scores = classes();
    for (const auto& [label, score] : scores) sum += score.iou();
    return scores.empty() ? 0 : sum / static_cast<double>(scores.size());
}

}  // namespace leon
