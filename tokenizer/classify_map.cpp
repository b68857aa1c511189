// From the soft colours of a drawn map to labels: seeds, growth by colour, no specks; see legend.h.
#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>

#include "kernels/check.h"
#include "tokenizer/legend.h"

namespace leon {
namespace {

constexpr int32_t NONE = -1;

int squared_distance(const uint8_t* a, const uint8_t* b) {
    int sum = 0;
    for (int c = 0; c < 3; c++) sum += (a[c] - b[c]) * (a[c] - b[c]);
    return sum;
}

std::vector<int32_t> nearest_kinds(const Picture& picture, const Legend& legend) {
    std::vector<int32_t> nearest(picture.rgb.size() / 3);
    for (size_t i = 0; i < nearest.size(); i++) {
        const uint8_t* pixel = &picture.rgb[i * 3];
        if (i > 0 && std::equal(pixel, pixel + 3, pixel - 3)) {  // flat areas are most of a map
            nearest[i] = nearest[i - 1];
            continue;
        }
        int best = std::numeric_limits<int>::max();
        for (size_t k = 0; k < legend.kinds.size(); k++) {
            const int distance = squared_distance(pixel, legend.kinds[k].colour.data());
            if (distance >= best) continue;
            best = distance;
            nearest[i] = static_cast<int32_t>(k);
        }
    }
    return nearest;
}

// Calls visit(index) for the pixels around (x, y) that are inside, eight at most.
template <class Visit>
void around(int x, int y, int width, int height, const Visit& visit) {
    for (int ny = std::max(y - 1, 0); ny <= std::min(y + 1, height - 1); ny++)
        for (int nx = std::max(x - 1, 0); nx <= std::min(x + 1, width - 1); nx++)
            if (nx != x || ny != y)
                visit(static_cast<size_t>(ny) * static_cast<size_t>(width) + static_cast<size_t>(nx));
}

std::vector<int32_t> seeds(const std::vector<int32_t>& nearest, int width, int height) {
    std::vector<int32_t> labels(nearest.size(), NONE);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const size_t i = static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x);
            bool agree = true;
            around(x, y, width, height, [&](size_t neighbour) { agree &= nearest[neighbour] == nearest[i]; });
            if (agree) labels[i] = nearest[i];
        }
    return labels;
}

// A watershed: of all offers of a labelled pixel to its neighbours, the one whose colour fits best is taken first.
void grow(LabelMap& map, const Picture& picture, const Legend& legend) {
    // Distance, number of the offer (the earlier one of equals), pixel, label.
    using Offer = std::tuple<int, uint64_t, size_t, int32_t>;
    std::priority_queue<Offer, std::vector<Offer>, std::greater<>> offers;
    std::vector<int> best(map.labels.size(), std::numeric_limits<int>::max());  // offer to each pixel so far
    uint64_t offered = 0;
    const auto offer_around = [&](size_t i) {
        const int x = static_cast<int>(i % static_cast<size_t>(map.width));
        const int y = static_cast<int>(i / static_cast<size_t>(map.width));
        const int32_t label = map.labels[i];
        const uint8_t* colour = legend.kinds[static_cast<size_t>(label)].colour.data();
        around(x, y, map.width, map.height, [&](size_t neighbour) {
            if (map.labels[neighbour] != NONE) return;
            const int distance = squared_distance(&picture.rgb[neighbour * 3], colour);
            if (distance >= best[neighbour]) return;
            best[neighbour] = distance;
            offers.emplace(distance, offered++, neighbour, label);
        });
    };
    for (size_t i = 0; i < map.labels.size(); i++)
        if (map.labels[i] != NONE) offer_around(i);
    while (!offers.empty()) {
        const auto [distance, number, pixel, label] = offers.top();
        offers.pop();
        if (map.labels[pixel] != NONE) continue;
        map.labels[pixel] = label;
        offer_around(pixel);
    }
}

// Takes the label from every 4-connected island of fewer pixels; false, and nothing is taken, if no island is larger.
bool clear_specks(LabelMap& map, int64_t speck_pixels) {
    const size_t width = static_cast<size_t>(map.width), height = static_cast<size_t>(map.height);
    std::vector<size_t> island, specks;  // pixels
    std::vector<bool> seen(map.labels.size());
    const auto reach = [&](size_t from, size_t to) {
        if (seen[to] || map.labels[to] != map.labels[from]) return;
        seen[to] = true;
        island.push_back(to);
    };
    for (size_t start = 0; start < map.labels.size(); start++) {
        if (seen[start]) continue;
        seen[start] = true;
        island.assign(1, start);
        for (size_t next = 0; next < island.size(); next++) {
            const size_t i = island[next], x = i % width, y = i / width;
            if (x > 0) reach(i, i - 1);
            if (x + 1 < width) reach(i, i + 1);
            if (y > 0) reach(i, i - width);
            if (y + 1 < height) reach(i, i + width);
        }
        if (static_cast<int64_t>(island.size()) < speck_pixels)
            specks.insert(specks.end(), island.begin(), island.end());
    }
    if (specks.size() == map.labels.size()) return false;
    for (size_t i : specks) map.labels[i] = NONE;
    return true;
}

}  // namespace

LabelMap classify_map(const Picture& drawn, const Legend& legend, std::optional<int64_t> speck_pixels) {
    CHECK(!legend.kinds.empty());
    std::vector<int32_t> nearest = nearest_kinds(drawn, legend);
    LabelMap map{drawn.width, drawn.height, seeds(nearest, drawn.width, drawn.height)};
    if (std::all_of(map.labels.begin(), map.labels.end(), [](int32_t label) { return label == NONE; }))
        map.labels = std::move(nearest);  // noise: nothing to grow from
    else
        grow(map, drawn, legend);
    if (clear_specks(map, speck_pixels.value_or(static_cast<int64_t>(map.labels.size()) / 1024)))
        grow(map, drawn, legend);
    return map;
}

}  // namespace leon
