// The upscalers' forward passes, and the tiles around them. rrdb() and compact() below read like the published
// architectures; memory is tokenizer/feature_maps.h.
//
//   picture | input of a tile, with margins | network | lines of the result, without | picture
//
// The dense network's last convolutions work at four times the size, where a map of 64 channels takes 4 KB for each
// pixel of the input: they run strip by strip, each with the lines around it that they see, which gives the same
// values.
#include "tokenizer/upscaler.h"

#include <algorithm>
#include <cmath>

#include "runtime/adopted.h"
#include "tokenizer/feature_maps.h"
#include "tokenizer/upscaler_weights.h"

namespace leon {
namespace {

using Map = FeatureMap;

constexpr float LEAKY_SLOPE = 0.2f;
constexpr int DENSE_MARGIN = 16;  // docs/upscaling.md has the measured effect
constexpr int STRIP_LINES = 16;
constexpr int STRIP_MARGIN =
    2;                          // lines that conv_up1 (at twice the size), conv_up2, conv_hr and conv_last see together
constexpr int LEAST_TILE = 16;  // however wide a network is

void check_size(const Picture& picture, int factor) {
    if (picture.width <= 0 || picture.height <= 0) throw Error("an empty picture cannot be enlarged");
    const int64_t width = int64_t{picture.width} * factor, height = int64_t{picture.height} * factor;
    if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS)
        throw Error("a picture of " + size_text(picture.width, picture.height) + " would become " +
                        size_text(width, height) + ", which is larger than leon's pictures may be",
                    "", "shrink or crop it first, or use a smaller factor");
}

// How far along, and whether to go on.
class Steps {
public:
    Steps(const UpscaleProgress* progress, size_t total) : progress_(progress), total_(total) {}
    bool go_on(size_t steps = 1) {
        done_ += steps;
        if (progress_ && *progress_ && !cancelled_) cancelled_ = !(*progress_)(done_, total_);
        return !cancelled_;
    }

private:
    const UpscaleProgress* progress_;  // may be null
    size_t done_ = 0, total_;
    bool cancelled_ = false;
};

// The operations of these networks' own.
class UpscalerPass : public FeaturePass {
public:
    using FeaturePass::FeaturePass;

    Map activated(Map x, const Tensor& slope) {
        if (kernels_) activate(*kernels_, x.tensor, Activation::Leaky, slope);
        return x;
    }
    // x + weight * y, in the place of x.
    Map sum(Map x, const Map& y, float weight) {
        if (kernels_) add(*kernels_, x.tensor, y.tensor, weight);
        return x;
    }
    void fill(Map& x, const std::vector<float>& values) {
        CHECK(values.size() == static_cast<size_t>(x.tensor.elements()));
        upload(*kernels_, x.tensor.data, values.data(), x.tensor.bytes());
    }
    std::vector<float> read(const Map& x) {
        std::vector<float> values(static_cast<size_t>(x.tensor.elements()));
        download(*kernels_, values.data(), x.tensor.data, x.tensor.bytes());
        return values;
    }
};

struct Network {
    UpscalerConfig config;
    UpscalerWeights weights;
    Tensor slopes;  // [channels or growth, whichever is more] f32: LEAKY_SLOPE

    Tensor slope(const Map& x) const { return slopes.data ? slopes.first(x.channels()) : slopes; }
};

// Five convolutions, each reading x and all that the earlier ones made; the last one's is added to `residual`.
Map dense_block(UpscalerPass& p, const Network& n, const DenseBlockWeights& w, const Map& x, const Map& residual) {
    std::vector<Map> made;
    for (int i = 0; i + 1 < DENSE_CONVOLUTIONS; i++) {
        Map y = p.conv(x, w[i][0], SAME);
        for (int part = 1; part <= i; part++) y = p.conv(made[part - 1], w[i][part], SAME, &y);
        const Tensor slope = n.slope(y);
        made.push_back(p.activated(std::move(y), slope));
    }
    const DenseConvWeights& last = w[DENSE_CONVOLUTIONS - 1];
    Map y = p.conv(x, last[0], SAME, &residual);
    for (size_t part = 1; part < last.size(); part++) y = p.conv(made[part - 1], last[part], SAME, &y);
    return y;
}

// x + 0.2 h3, where h1 = x + 0.2 dense(x), and so on. The converter has put the weights of the inner sums, and for the
// last dense block their product, into its convolutions.
Map block(UpscalerPass& p, const Network& n, const BlockWeights& w, const Map& x) {
    Map h = dense_block(p, n, w[0], x, x);
    h = dense_block(p, n, w[1], h, h);
    return p.sum(dense_block(p, n, w[2], h, x), h, RESIDUAL_WEIGHT);
}

// input [height, width, 3 or 12] -> features [height, width, channels]. Cancelled: nothing of use.
Map rrdb_features(UpscalerPass& p, const Network& n, const Map& input, Steps& steps) {
    const RrdbWeights& w = n.weights.rrdb;
    const Map first = p.conv(input, w.conv_first, SAME);
    Map x = block(p, n, w.body[0], first);
    for (size_t i = 1; i < w.body.size(); i++) {
        if (!steps.go_on()) return x;
        x = block(p, n, w.body[i], x);
    }
    return p.conv(x, w.conv_body, SAME, &first);
}

// features [height, width, channels] -> colours [4 height, 4 width, 3]
Map rrdb_colours(UpscalerPass& p, const Network& n, const Map& features) {
    const RrdbWeights& w = n.weights.rrdb;
    const Tensor slope = n.slope(features);
    Map x = p.activated(p.conv(features, w.conv_up1, DOUBLE), slope);
    x = p.activated(p.conv(x, w.conv_up2, DOUBLE), slope);
    x = p.activated(p.conv(x, w.conv_hr, SAME), slope);
    return p.conv(x, w.conv_last, SAME);
}

// input [height, width, 3] -> what is added to the enlarged input [height, width, 3 factor^2]. Cancelled: nothing of
// use.
Map compact(UpscalerPass& p, const Network& n, const Map& input, Steps& steps) {
    const CompactWeights& w = n.weights.compact;
    Map x = p.activated(p.conv(input, w.convs[0], SAME), w.slopes[0]);
    for (size_t i = 1; i < w.slopes.size(); i++) {
        if (!steps.go_on()) return x;
        x = p.activated(p.conv(x, w.convs[i], SAME), w.slopes[i]);
    }
    return p.conv(x, w.convs.back(), SAME);
}

// Half open, in pixels of the network's input.
struct Rectangle {
    int x0, y0, x1, y1;
    int width() const { return x1 - x0; }
    int height() const { return y1 - y0; }
};

// One tile: what it gives, and what it is computed from.
struct Tile {
    Rectangle inner, outer;
};

// Tiles of nearly equal size, none longer than tiling.side; only sides within the picture get a margin.
std::vector<Tile> tiles_of(int width, int height, const Tiling& tiling) {
    CHECK(tiling.side > 0 && tiling.margin >= STRIP_MARGIN);
    const int columns = (width - 1) / tiling.side + 1, rows = (height - 1) / tiling.side + 1;
    auto edge = [](int64_t size, int i, int count) { return static_cast<int>(size * i / count); };
    std::vector<Tile> tiles;
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < columns; column++) {
            const Rectangle inner = {edge(width, column, columns), edge(height, row, rows),
                                     edge(width, column + 1, columns), edge(height, row + 1, rows)};
            tiles.push_back({inner,
                             {std::max(inner.x0 - tiling.margin, 0), std::max(inner.y0 - tiling.margin, 0),
                              std::min(inner.x1 + tiling.margin, width), std::min(inner.y1 + tiling.margin, height)}});
        }
    return tiles;
}

// A picture as floats in [0, 1], from which tiles are cut, and what takes the finished lines: `count` pixels of line y
// from x on. Lines and pixels beyond the result's edge are asked for and given, too: a network that begins with 2x2
// pixels sees an even number of them.
struct Frame {
    int width, height;  // of the picture
    std::function<float(int x, int y, int channel)> pixel;
    std::function<void(int x, int y, int count, const float* values)> line;
};

// The one line or column that makes an odd size even is mirrored, not repeated.
int mirrored(int at, int size) {
    return at < size ? at : std::max(2 * size - 2 - at, 0);
}

// The tile's input [height, width, channels]: 2x2 pixels become channels in the order (colour, line, column).
std::vector<float> cut(const Frame& frame, const Rectangle& area, int unshuffle) {
    std::vector<float> values;
    values.reserve(static_cast<size_t>(area.width()) * area.height() * 3 * unshuffle * unshuffle);
    for (int y = area.y0; y < area.y1; y++)
        for (int x = area.x0; x < area.x1; x++)
            for (int channel = 0; channel < 3; channel++)
                for (int dy = 0; dy < unshuffle; dy++)
                    for (int dx = 0; dx < unshuffle; dx++)
                        values.push_back(frame.pixel(mirrored(x * unshuffle + dx, frame.width),
                                                     mirrored(y * unshuffle + dy, frame.height), channel));
    return values;
}

// The finished lines of a strip, whose values [4 lines, 4 * outer.width, 3] begin at line `top` of the network's input.
void give_colours(const Frame& frame, const Tile& tile, const std::vector<float>& values, int top, int from, int to) {
    const int width = 4 * tile.outer.width(), left = 4 * (tile.inner.x0 - tile.outer.x0);
    for (int y = 4 * from; y < 4 * to; y++)
        frame.line(4 * tile.inner.x0, y, 4 * tile.inner.width(),
                   values.data() + (static_cast<size_t>(y - 4 * top) * width + left) * 3);
}

// Pixel shuffle: a pixel's values [3, factor, factor] are a square of the result, added to the pixel itself.
void give_shuffled(const Frame& frame, const Tile& tile, const std::vector<float>& values, int factor) {
    const Rectangle &inner = tile.inner, &outer = tile.outer;
    std::vector<float> line(static_cast<size_t>(inner.width()) * factor * 3);
    for (int y = inner.y0; y < inner.y1; y++)
        for (int dy = 0; dy < factor; dy++) {
            float* to = line.data();
            for (int x = inner.x0; x < inner.x1; x++) {
                const size_t pixel = static_cast<size_t>(y - outer.y0) * outer.width() + (x - outer.x0);
                const float* from = values.data() + pixel * 3 * factor * factor;
                for (int dx = 0; dx < factor; dx++)
                    for (int channel = 0; channel < 3; channel++)
                        *to++ = from[(channel * factor + dy) * factor + dx] + frame.pixel(x, y, channel);
            }
            frame.line(inner.x0 * factor, y * factor + dy, inner.width() * factor, line.data());
        }
}

constexpr size_t COLOUR_STEPS = 2;  // what rrdb_colours takes, in blocks; and the outer two convolutions of compact

size_t steps_of(const UpscalerConfig& config) {
    return static_cast<size_t>(config.blocks) + COLOUR_STEPS;
}

// One tile from the frame to its lines. False if cancelled.
bool enlarge(UpscalerPass& p, const Network& n, const Frame& frame, const Tile& tile, Steps& steps) {
    const Rectangle &inner = tile.inner, &outer = tile.outer;
    Map input = p.make(outer.height(), outer.width(), n.config.in_channels());
    p.fill(input, cut(frame, outer, n.config.unshuffle()));
    if (n.config.kind == UpscalerKind::Compact) {
        const Map result = compact(p, n, input, steps);
        if (!steps.go_on(COLOUR_STEPS)) return false;
        give_shuffled(frame, tile, p.read(result), n.config.factor);
        return true;
    }
    const Map features = rrdb_features(p, n, input, steps);
    if (!steps.go_on()) return false;
    for (int from = inner.y0; from < inner.y1; from += STRIP_LINES) {
        const int to = std::min(from + STRIP_LINES, inner.y1);
        const int top = std::max(from - STRIP_MARGIN, outer.y0), bottom = std::min(to + STRIP_MARGIN, outer.y1);
        const Map colours = rrdb_colours(p, n, features.lines(top - outer.y0, bottom - top));
        give_colours(frame, tile, p.read(colours), top, from, to);
    }
    return steps.go_on(COLOUR_STEPS);
}

// The same without data: what an input of this size takes, its colours made of so many lines at a time.
void measure(UpscalerPass& p, const Network& n, int width, int height, int lines) {
    Steps steps(nullptr, 0);
    const Map input = p.make(height, width, n.config.in_channels());
    if (n.config.kind == UpscalerKind::Compact) {
        compact(p, n, input, steps);
        return;
    }
    const Map features = rrdb_features(p, n, input, steps);
    rrdb_colours(p, n, features.lines(0, std::min(lines, height)));
}

constexpr int LINES_AT_ONCE = STRIP_LINES + 2 * STRIP_MARGIN;

}  // namespace

LanczosUpscaler::LanczosUpscaler(int factor) : factor_(factor) {
    if (factor < 2 || factor > 4) throw Error("cannot enlarge by " + std::to_string(factor), "", "choose 2, 3 or 4");
}

Picture LanczosUpscaler::upscale(const Picture& picture, const UpscaleProgress& progress) const {
    check_size(picture, factor_);
    Picture large = resize(picture, picture.width * factor_, picture.height * factor_, Filter::Lanczos);
    if (progress && !progress(1, 1)) return {};
    return large;
}

struct NetworkUpscaler::Impl {
    const Kernels& kernels;
    AdoptedMemory adopted;  // of which the weights are made
    Buffer slopes, zeros;   // and these
    Network network;

    // False if cancelled.
    bool run(const Frame& frame, const Tiling& tiling, Exactness exactness, const UpscaleProgress& progress) const {
        const int unshuffle = network.config.unshuffle();
        const std::vector<Tile> tiles =
            tiles_of((frame.width - 1) / unshuffle + 1, (frame.height - 1) / unshuffle + 1, tiling);
        int width = 0, height = 0;
        for (const Tile& tile : tiles) {
            width = std::max(width, tile.outer.width());
            height = std::max(height, tile.outer.height());
        }
        UpscalerPass plan;
        measure(plan, network, width, height, LINES_AT_ONCE);
        UpscalerPass pass(kernels, plan, exactness);
        Steps steps(&progress, tiles.size() * steps_of(network.config));
        for (const Tile& tile : tiles)
            if (!enlarge(pass, network, frame, tile, steps)) return false;
        return true;
    }
};

NetworkUpscaler::NetworkUpscaler(const WeightsFile& file, const UpscalerConfig& config, const Kernels& kernels)
    : impl_(new Impl{kernels, AdoptedMemory(kernels), {}, {}, {}}) {
    Impl& m = *impl_;
    const int64_t widest = std::max(config.channels, config.growth);
    m.slopes = Buffer(kernels, DType::F32, {widest});
    m.zeros = Buffer(kernels, DType::F32, {widest});
    const std::vector<float> slopes(static_cast<size_t>(widest), LEAKY_SLOPE);
    m.slopes.fill_from(slopes.data(), slopes.size() * sizeof(float));
    m.network.config = config;
    m.network.slopes = m.slopes.tensor();
    m.network.weights = bind_upscaler(config, {[&](const std::string& name, std::initializer_list<int64_t> shape) {
                                                   return m.adopted.adopt(file.matrix("upscaler." + name, shape));
                                               },
                                               [&](const std::string& name, std::initializer_list<int64_t> shape) {
                                                   return m.adopted.adopt(file.vector("upscaler." + name, shape));
                                               },
                                               [&](int64_t size) { return m.zeros.first(size); }});
}
NetworkUpscaler::~NetworkUpscaler() = default;

const UpscalerConfig& NetworkUpscaler::config() const {
    return impl_->network.config;
}
int NetworkUpscaler::factor() const {
    return config().factor;
}

Tiling NetworkUpscaler::tiling() const {
    const UpscalerConfig& c = config();
    constexpr int SAMPLE = 256;  // pixels a side: strips count for as little as in a tile
    UpscalerPass plan;
    measure(plan, impl_->network, SAMPLE, SAMPLE, LINES_AT_ONCE);
    const double side = std::sqrt(static_cast<double>(TILE_BYTES) / static_cast<double>(plan.bytes())) * SAMPLE;
    // A pixel's worth for each convolution in a row.
    const int seen = c.kind == UpscalerKind::Compact ? c.blocks + 2 : c.blocks * DENSE_BLOCKS * DENSE_CONVOLUTIONS + 4;
    const int margin = c.kind == UpscalerKind::Compact ? seen : std::min(seen, DENSE_MARGIN);
    return {std::max(static_cast<int>(side) - 2 * margin, LEAST_TILE), margin};
}

Picture NetworkUpscaler::upscale(const Picture& picture, const UpscaleProgress& progress) const {
    check_size(picture, factor());
    Picture large(picture.width * factor(), picture.height * factor());
    auto line = [&](int x, int y, int count, const float* values) {
        if (y >= large.height) return;
        uint8_t* to = large.at(x, y);
        for (int i = 0; i < 3 * std::min(count, large.width - x); i++) {
            const float value = values[i] > 0 ? std::min(values[i], 1.0f) : 0.0f;  // NaN is 0, too
            to[i] = static_cast<uint8_t>(std::nearbyint(value * 255.0f));
        }
    };
    auto pixel = [&](int x, int y, int channel) { return static_cast<float>(picture.at(x, y)[channel]) / 255.0f; };
    if (!impl_->run({picture.width, picture.height, pixel, line}, tiling(), Exactness::Half, progress)) return {};
    return large;
}

std::vector<float> NetworkUpscaler::upscale(std::span<const float> pixels, int height, int width,
                                            const Tiling& tiling) const {
    CHECK(width > 0 && height > 0 && pixels.size() == static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
    const int large_width = width * factor(), large_height = height * factor();
    std::vector<float> large(static_cast<size_t>(large_width) * static_cast<size_t>(large_height) * 3);
    auto line = [&](int x, int y, int count, const float* values) {
        if (y >= large_height) return;
        std::copy_n(values, 3 * std::min(count, large_width - x),
                    large.data() + (static_cast<size_t>(y) * large_width + x) * 3);
    };
    auto pixel = [&](int x, int y, int channel) { return pixels[(static_cast<size_t>(y) * width + x) * 3 + channel]; };
    impl_->run({width, height, pixel, line}, tiling, Exactness::Float32, {});
    return large;
}

double NetworkUpscaler::macs(int height, int width) const {
    const int unshuffle = config().unshuffle();
    UpscalerPass plan;
    measure(plan, impl_->network, (width - 1) / unshuffle + 1, (height - 1) / unshuffle + 1, height);
    return plan.macs();
}

}  // namespace leon
