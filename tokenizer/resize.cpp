// Pillow's 8-bit resampling, bit for bit, and the two published ways to bring a picture to a model's size.
//
// Each output sample is a weighted sum over a window of input samples. Weights are computed in double, normalised and
// rounded to 22 fraction bits; sums are exact 32-bit integers, rounded to u8 after the horizontal pass and again after
// the vertical one. A pass whose size does not change is skipped. (Pillow 13 sometimes goes vertically first, which
// gives other values; the published models were trained on earlier versions, so that order is not offered.)
//
// Both passes run in one sweep: rows resized horizontally live in a ring as high as one vertical window, so that the
// memory needed beside input and output stays small whatever the sizes.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/check.h"
#include "tokenizer/image.h"

namespace leon {
namespace {

constexpr int FRACTION_BITS = 22;  // 32 bits - 8 of the sample - 2 for overshoot of the negative lobes
constexpr int32_t HALF = 1 << (FRACTION_BITS - 1);

double sinc(double x) {
    return x == 0.0 ? 1.0 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi);
}

double filter_support(Filter filter) {
    switch (filter) {
        case Filter::Box:
            return 0.5;
        case Filter::Bilinear:
            return 1.0;
        case Filter::Bicubic:
            return 2.0;
        case Filter::Lanczos:
            return 3.0;
    }
    CHECK(!"a filter");
}

double filter_value(Filter filter, double x) {
    double a = std::abs(x);
    switch (filter) {
        case Filter::Box:
            return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
        case Filter::Bilinear:
            return a < 1.0 ? 1.0 - a : 0.0;
        case Filter::Bicubic:  // Keys, a = -0.5
            if (a < 1.0) return (1.5 * a - 2.5) * a * a + 1.0;
            if (a < 2.0) return (((a - 5.0) * a + 8.0) * a - 4.0) * -0.5;
            return 0.0;
        case Filter::Lanczos:
            return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
    }
    CHECK(!"a filter");
}

// One axis: output i is the sum over t < count[i] of weight(i)[t] * input[first[i] + t].
struct Axis {
    bool identity;
    int stride;  // room for the longest window
    std::vector<int> first, count;
    std::vector<int32_t> weights;  // [size, stride], 22 fraction bits

    const int32_t* weight(int i) const { return weights.data() + static_cast<size_t>(i) * stride; }
};

Axis make_axis(int in_size, int size, Filter filter) {
    Axis axis;
    axis.identity = in_size == size;
    if (axis.identity) return axis;

    double scale = static_cast<double>(in_size) / size;
    double stretch = std::max(scale, 1.0);  // going down, the filter widens to cover what it replaces
    double support = filter_support(filter) * stretch;
    axis.stride = std::min(in_size, static_cast<int>(std::ceil(support)) * 2 + 1);
    axis.first.resize(size);
    axis.count.resize(size);
    axis.weights.assign(static_cast<size_t>(size) * axis.stride, 0);
    std::vector<double> window(axis.stride);
    for (int i = 0; i < size; i++) {
        double centre = (i + 0.5) * scale;
        int begin = std::max(0, static_cast<int>(centre - support + 0.5));
        int end = std::min(in_size, static_cast<int>(centre + support + 0.5));
        axis.first[i] = begin;
        axis.count[i] = end - begin;
        double sum = 0;
        for (int t = 0; t < end - begin; t++) {
            window[t] = filter_value(filter, (t + begin - centre + 0.5) * (1.0 / stretch));
            sum += window[t];
        }
        for (int t = 0; t < end - begin; t++) {
            double w = sum != 0.0 ? window[t] / sum : window[t];
            double fixed = w * (1 << FRACTION_BITS);
            axis.weights[static_cast<size_t>(i) * axis.stride + t] =
                static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
        }
    }
    return axis;
}

uint8_t to_u8(int32_t sum) {
    return static_cast<uint8_t>(std::clamp(sum >> FRACTION_BITS, 0, 255));
}

// out [size, 3], in [in_size, 3]
void resize_row(uint8_t* out, const uint8_t* in, const Axis& axis) {
    for (size_t x = 0; x < axis.first.size(); x++) {
        const uint8_t* pixel = in + static_cast<size_t>(axis.first[x]) * 3;
        const int32_t* weight = axis.weight(static_cast<int>(x));
        int32_t red = HALF, green = HALF, blue = HALF;
        for (int t = 0; t < axis.count[x]; t++, pixel += 3) {
            red += pixel[0] * weight[t];
            green += pixel[1] * weight[t];
            blue += pixel[2] * weight[t];
        }
        *out++ = to_u8(red);
        *out++ = to_u8(green);
        *out++ = to_u8(blue);
    }
}

[[noreturn]] void refuse_size(double width, double height) {
    char text[100];
    std::snprintf(text, sizeof text, "would be resized to %.0f x %.0f pixels, more than leon allows", width, height);
    throw Error(text, "the picture", "crop it to a less extreme shape first");
}

// Both sides times `factor`, rounded half to even as Python does, and resampled.
Picture resize_by(const Picture& picture, double factor, Filter filter) {
    double width = std::nearbyint(factor * picture.width), height = std::nearbyint(factor * picture.height);
    if (std::max(width, height) > MAX_SIDE) refuse_size(width, height);
    return resize(picture, static_cast<int>(width), static_cast<int>(height), filter);
}

Picture centre_crop(const Picture& picture, int width, int height) {
    return crop(picture, (picture.width - width) / 2, (picture.height - height) / 2, width, height);
}

}  // namespace

Picture resize(const Picture& picture, int width, int height, Filter filter) {
    CHECK(picture.width > 0 && picture.height > 0 && width > 0 && height > 0);
    if (std::max(width, height) > MAX_SIDE || int64_t{width} * height > MAX_PIXELS) refuse_size(width, height);
    Axis across = make_axis(picture.width, width, filter), down = make_axis(picture.height, height, filter);
    if (across.identity && down.identity) return picture;

    Picture out(width, height);
    if (down.identity) {
        for (int y = 0; y < height; y++) resize_row(out.at(0, y), picture.at(0, y), across);
        return out;
    }
    size_t row_bytes = static_cast<size_t>(width) * 3;
    std::vector<uint8_t> ring(across.identity ? 0 : row_bytes * down.stride);  // row y lives in slot y % stride
    std::vector<int32_t> sums(row_bytes);
    int done = down.first[0];  // rows before this one have been resized horizontally
    for (int y = 0; y < height; y++) {
        int end = down.first[y] + down.count[y];
        for (; !across.identity && done < end; done++)
            resize_row(ring.data() + done % down.stride * row_bytes, picture.at(0, done), across);
        std::fill(sums.begin(), sums.end(), HALF);
        for (int in_y = down.first[y]; in_y < end; in_y++) {
            const uint8_t* row = across.identity ? picture.at(0, in_y) : ring.data() + in_y % down.stride * row_bytes;
            int32_t weight = down.weight(y)[in_y - down.first[y]];
            for (size_t i = 0; i < row_bytes; i++) sums[i] += row[i] * weight;
        }
        uint8_t* out_row = out.at(0, y);
        for (size_t i = 0; i < row_bytes; i++) out_row[i] = to_u8(sums[i]);
    }
    return out;
}

Picture crop(const Picture& picture, int x, int y, int width, int height) {
    CHECK(x >= 0 && y >= 0 && width > 0 && height > 0);
    CHECK(x <= picture.width - width && y <= picture.height - height);
    Picture out(width, height);
    for (int row = 0; row < height; row++)
        std::copy_n(picture.at(x, y + row), static_cast<size_t>(width) * 3, out.at(0, row));
    return out;
}

Picture chameleon_preprocess(const Picture& picture, int size) {
    CHECK(size > 0 && picture.width > 0 && picture.height > 0);
    double factor = static_cast<double>(size) / std::min(picture.width, picture.height);
    return centre_crop(resize_by(picture, factor, Filter::Lanczos), size, size);
}

Picture lumina_preprocess(const Picture& picture, int width, int height) {
    CHECK(width > 0 && height > 0 && picture.width > 0 && picture.height > 0);
    Picture halved = picture;
    while (halved.width >= 2 * width && halved.height >= 2 * height)
        halved = resize(halved, halved.width / 2, halved.height / 2, Filter::Box);
    double factor = std::max(static_cast<double>(width) / halved.width, static_cast<double>(height) / halved.height);
    return centre_crop(resize_by(halved, factor, Filter::Bicubic), width, height);
}

Picture clip_preprocess(const Picture& picture, int size) {
    CHECK(size > 0 && picture.width > 0 && picture.height > 0);
    const int shorter = std::min(picture.width, picture.height);
    const auto scaled = [&](int side) { return static_cast<int>(int64_t{size} * side / shorter); };
    return centre_crop(resize(picture, scaled(picture.width), scaled(picture.height), Filter::Bicubic), size, size);
}

std::vector<float> to_floats(const Picture& picture) {
    float value_of[256];  // in double and rounded once, as the published code does
    for (int i = 0; i < 256; i++) value_of[i] = static_cast<float>(i / 255.0 * 2.0 - 1.0);
    std::vector<float> values(picture.rgb.size());
    std::transform(picture.rgb.begin(), picture.rgb.end(), values.begin(), [&](uint8_t c) { return value_of[c]; });
    return values;
}

Picture to_picture(std::span<const float> values, int width, int height) {
    Picture out(width, height);
    CHECK(values.size() == out.rgb.size());
    std::transform(values.begin(), values.end(), out.rgb.begin(), [](float x) {
        float clamped = x > -1.0f ? std::min(x, 1.0f) : -1.0f;  // NaN gives -1
        return static_cast<uint8_t>((clamped + 1.0f) / 2.0f * 255.0f);
    });
    return out;
}

Picture contact_sheet(const std::vector<Picture>& pictures, int columns, int gap) {
    CHECK(!pictures.empty() && columns > 0 && gap >= 0);
    const int count = static_cast<int>(pictures.size()), width = pictures[0].width, height = pictures[0].height;
    columns = std::min(columns, count);
    const int rows = (count + columns - 1) / columns;
    Picture sheet(columns * width + (columns - 1) * gap, rows * height + (rows - 1) * gap, 255);
    for (int i = 0; i < count; i++) {
        CHECK(pictures[i].width == width && pictures[i].height == height);
        int x = i % columns * (width + gap), y = i / columns * (height + gap);
        for (int row = 0; row < height; row++)
            std::copy_n(pictures[i].at(0, row), static_cast<size_t>(width) * 3, sheet.at(x, y + row));
    }
    return sheet;
}

}  // namespace leon
