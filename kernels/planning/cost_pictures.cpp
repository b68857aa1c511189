// The VQGAN: conv2d.cu with convolution.h, group_norm.cu, nearest_code.cu. (spatial_attention.cu: cost_attention.cpp.)
#include <algorithm>
#include <initializer_list>

#include "kernels/planning/cost.h"

namespace leon::cost {
namespace {

constexpr int64_t SLICE = 32, TILE_WIDTH = 16, TAPS = 9, CONV_THREADS = 128;
constexpr int64_t WORKSPACE_BYTES = 16 << 20;

bool is_aligned(const Tensor& t, int64_t run) {
    return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && run * static_cast<int64_t>(size_of(t.dtype)) % 16 == 0;
}

// How a product is done on tensor cores: tensor_products.h.
struct Products {
    int64_t planes, row, weight_row;  // of activations and weights in shared memory
    Unit unit;
    int terms;
    int64_t stages() const { return weight_row > 64 || planes > 2 ? 3 : 4; }
};
Products products_of(DType dtype, Exactness exactness) {
    const bool half = exactness == Exactness::Half && dtype != DType::F32;
    if (half) return {1, 64, 64, Unit::Half, 1};
    if (dtype == DType::BF16) return {3, 64, 64, Unit::Half, 3};
    if (dtype == DType::F16) return {1, 128, 64, Unit::Tf32, 2};
    return {1, 128, 128, Unit::Tf32, 3};
}

struct ConvTile {
    int64_t lines, columns;            // of a block: pixels down, outputs
    int64_t warp_lines, warp_columns;  // of one of its four warps
    bool patch;                        // the pixels under all taps at once, or tap by tap
};
constexpr ConvTile LARGE = {8, 128, 4, 64, true}, SMALL = {4, 64, 2, 32, true}, THIN = {8, 16, 2, 16, true};
constexpr ConvTile WINDOW = {4, 64, 2, 32, false};

struct Sizes {
    int64_t height, width, channels, out_height, out_width, out_channels;
    Convolution shape;
    int64_t depth() const { return static_cast<int64_t>(shape.kernel) * shape.kernel * channels; }
};

// Of `count` places from `first` on, those inside 0 to `size` - 1.
int64_t inside(int64_t first, int64_t count, int64_t size) {
    return std::max<int64_t>(0, std::min(first + count, size) - std::max<int64_t>(first, 0));
}

// Rows (or columns) of the input that all tiles together read: `tiles` of them, of `lines` rows of the output each.
double rows_read(const ConvTile& tile, const Sizes& s, int64_t tiles, int64_t lines, int64_t size) {
    const int doubled = s.shape.upsample - 1, pad = s.shape.pad_before, kernel = s.shape.kernel;
    int64_t rows = 0;
    for (int64_t t = 0; t < tiles; t++) {
        if (tile.patch) {
            rows += inside((t * lines - pad) >> doubled, ((lines + kernel - 2 + doubled) >> doubled) + 1, size);
            continue;
        }
        for (int64_t y = t * lines; y < (t + 1) * lines; y++)
            for (int tap = 0; tap < kernel; tap++) {
                const int64_t row = (y * s.shape.stride + tap - pad) >> doubled;
                rows += row >= 0 && row < size;
            }
    }
    return static_cast<double>(rows);
}

Launch convolve(const ConvTile& tile, const Products& p, const Sizes& s, double weight_element) {
    const int64_t down = divide_up(s.out_height, tile.lines), across = divide_up(s.out_width, TILE_WIDTH);
    const int64_t column_tiles = divide_up(s.out_channels, tile.columns);
    const int64_t steps = tile.patch ? divide_up(s.channels, SLICE) * TAPS : divide_up(s.depth(), SLICE);
    const auto covered = [&](int64_t pixels) {
        return ((pixels + s.shape.kernel - 3 + s.shape.upsample) >> (s.shape.upsample - 1)) + 1;
    };
    const int64_t positions = tile.patch ? covered(TILE_WIDTH) * covered(tile.lines) : TILE_WIDTH * tile.lines;
    Launch k;
    k.kernel = "conv2d_kernel";
    k.blocks = down * across * column_tiles;
    k.threads = CONV_THREADS;
    k.early = true;
    k.shared_bytes = static_cast<int>(2 * p.planes * positions * p.row + p.stages() * tile.columns * p.weight_row);
    k.weight_bytes = static_cast<double>(s.out_channels * s.depth()) * weight_element;
    k.load_bytes = static_cast<double>(column_tiles) * 4.0 * static_cast<double>(s.channels) *
                   rows_read(tile, s, down, tile.lines, s.height) * rows_read(tile, s, across, TILE_WIDTH, s.width);
    k.l2_bytes = k.load_bytes + static_cast<double>(down * across) * k.weight_bytes;
    k.unit = p.unit;
    // Warps beyond the last line or output do nothing.
    const auto busy = [](int64_t size, int64_t of_warp) { return divide_up(size, of_warp) * of_warp; };
    k.flops = 2.0 * p.terms * static_cast<double>(steps * SLICE) *
              static_cast<double>(busy(s.out_height, tile.warp_lines) * across * TILE_WIDTH) *
              static_cast<double>(busy(s.out_channels, tile.warp_columns));
    k.barriers = k.blocks * steps;
    k.trips = 2;
    return k;
}

void convolution(Launches& l, const Machine& m, const Tensor& out, const Tensor& x, const Tensor& weight,
                 const Convolution& shape, bool normed, bool adds) {
    if (out.elements() == 0) return;
    const Sizes s = {x.shape[0], x.shape[1], x.shape[2], out.shape[0], out.shape[1], out.shape[2], shape};
    const bool whole_rows = is_aligned(x, s.channels) && is_aligned(weight, s.depth());
    const int64_t large = divide_up(s.out_height, LARGE.lines) * divide_up(s.out_width, TILE_WIDTH) *
                          divide_up(s.out_channels, LARGE.columns);
    const ConvTile& tile = shape.kernel != 3 || shape.stride != 1 || !whole_rows || s.channels < SLICE / 2 ? WINDOW
                           : s.out_channels <= 16                                                          ? THIN
                           : 2 * large >= 3 * m.multiprocessors                                            ? LARGE
                                                                                                           : SMALL;
    Launch k =
        convolve(tile, products_of(weight.dtype, shape.exactness), s, static_cast<double>(size_of(weight.dtype)));
    k.input_bytes = bytes_of(x) + (adds ? bytes_of(out) : 0);
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.l2_bytes += k.store_bytes + (adds ? bytes_of(out) : 0);
    // The three factors of a channel are read beside each value, from L1; the bias beside each result.
    k.load_bytes = k.load_bytes * (normed ? 4 : 1) + (k.l2_bytes - k.load_bytes - k.store_bytes) + bytes_of(out);
    l.push_back(k);
}

// Two launches that leave the factors of every channel.
void group_statistics(Launches& l, const Tensor& x, int groups) {
    constexpr int64_t THREADS = 256, CHUNK_FLOATS = 8192, MOMENTS_BYTES = 8;
    const int64_t channels = x.cols(), pixels = x.rows();
    const int64_t room = (WORKSPACE_BYTES - (3 * channels + 1) * 4) / (groups * MOMENTS_BYTES);
    const int64_t chunk_pixels = std::max(divide_up(CHUNK_FLOATS, channels), divide_up(pixels, room));
    const int64_t vector = is_aligned(x, channels) ? 4 : 1, lines = std::max<int64_t>(1, THREADS * vector / channels);
    Launch chunks;
    chunks.kernel = "chunk_moments_kernel";
    chunks.blocks = divide_up(pixels, chunk_pixels);
    chunks.threads = THREADS;
    chunks.early = true;
    chunks.shared_bytes = static_cast<int>((lines * channels + groups) * 4);
    chunks.input_bytes = bytes_of(x);
    chunks.load_bytes = 2 * bytes_of(x);
    chunks.store_bytes = static_cast<double>(chunks.blocks * groups * MOMENTS_BYTES);
    chunks.l2_bytes = bytes_of(x) + chunks.store_bytes;  // the second reading finds the chunk in L1
    chunks.unit = Unit::Float;
    chunks.flops = 5.0 * static_cast<double>(x.elements());
    chunks.barriers = 3 * chunks.blocks;
    chunks.in_flight_bytes = THREADS * 16 * 2;
    l.push_back(chunks);

    Launch factors;
    factors.kernel = "channel_factors_kernel";
    factors.blocks = groups;
    factors.threads = 128;
    factors.early = true;
    factors.load_bytes = chunks.store_bytes + 8.0 * static_cast<double>(channels);
    factors.store_bytes = 12.0 * static_cast<double>(channels);
    factors.barriers = groups;
    factors.trips = 1 + static_cast<int>(divide_up(chunks.blocks, 128 * 4));
    l.push_back(factors);
}

}  // namespace

void conv2d(Launches& l, const Machine& m, Tensor out, Tensor x, Tensor weight, Tensor, Convolution shape) {
    convolution(l, m, out, x, weight, shape, false, false);
}

void norm_conv2d(Launches& l, const Machine& m, Tensor out, Tensor x, const GroupNorm& norm, Tensor weight, Tensor,
                 Convolution shape, Tensor residual, Tensor) {
    const bool normed = norm.weight && x.elements() > 0;
    if (normed) group_statistics(l, x, norm.groups);
    convolution(l, m, out, x, weight, shape, normed, static_cast<bool>(residual));
}

void group_norm(Launches& l, const Machine&, Tensor out, Tensor x, Tensor, Tensor, int groups, float, Activation) {
    constexpr int64_t THREADS = 256;
    if (x.elements() == 0) return;
    group_statistics(l, x, groups);
    const int64_t vector = is_aligned(x, x.cols()) && is_aligned(out, out.cols()) ? 4 : 1;
    Launch k;
    k.kernel = "apply_kernel";
    k.blocks = divide_up(x.elements(), THREADS * vector);
    k.threads = THREADS;
    k.early = true;
    k.input_bytes = bytes_of(x);
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.load_bytes = 4 * bytes_of(x);  // with the three factors of a channel, from L1
    k.l2_bytes = bytes_of(x) + bytes_of(out);
    l.push_back(k);
}

void nearest_code(Launches& l, const Machine&, Tensor, Tensor z, Tensor codebook) {
    constexpr int64_t GROUP = 32, WARPS = 4;
    if (z.elements() == 0) return;
    const int64_t pixels = z.rows(), entries = codebook.rows(), width = z.cols(), groups = divide_up(entries, GROUP);
    Launch norms;
    norms.kernel = "code_norms_kernel";
    norms.blocks = divide_up(groups, WARPS);
    norms.threads = WARPS * WARP;
    norms.early = true;
    norms.weight_bytes = norms.load_bytes = bytes_of(codebook);
    norms.store_bytes = 4.0 * static_cast<double>(entries + groups);
    l.push_back(norms);

    const int64_t most_lines = (WORKSPACE_BYTES / 4 - entries - groups) / groups / TILE_WIDTH;
    const auto search = [&](int64_t lines, int64_t across) {
        Convolution one;
        one.kernel = 1;
        one.pad_before = one.pad_after = 0;
        const Sizes s = {lines, across, width, lines, across, entries, one};
        Launch scores = convolve(WINDOW, products_of(DType::F32, Exactness::Float32), s, 4);
        const double least = 4.0 * static_cast<double>(lines * across * groups);
        scores.kernel = "least_scores_kernel";
        scores.load_bytes = scores.l2_bytes + 4.0 * static_cast<double>(lines * across * entries);
        scores.input_bytes = 4.0 * static_cast<double>(lines * across * width);
        scores.output_bytes = scores.store_bytes = least;
        l.push_back(scores);
        Launch pick;
        pick.kernel = "pick_code_kernel";
        pick.blocks = divide_up(lines * across, WARPS);
        pick.threads = WARPS * WARP;
        pick.early = true;
        // The scores and the longest codes twice; then a group of codes, in the mean one, a lane for each.
        pick.load_bytes = 4 * least + static_cast<double>(lines * across * GROUP * width) * 8;
        pick.l2_bytes = 2 * least + static_cast<double>(lines * across * GROUP * width) * 4;
        pick.store_bytes = 4.0 * static_cast<double>(lines * across);
        pick.trips = 4;
        l.push_back(pick);
    };
    const int64_t lines = pixels / TILE_WIDTH;
    for (int64_t line = 0; line < lines; line += most_lines) search(std::min(most_lines, lines - line), TILE_WIDTH);
    if (pixels % TILE_WIDTH) search(1, pixels % TILE_WIDTH);
}

}  // namespace leon::cost
