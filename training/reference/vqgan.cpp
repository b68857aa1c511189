// The definition of a VQGAN's gradients, channels last: plain loops, sums in double. Formulas and shapes stand at the
// wrappers in training/vqgan/grad_kernels.h. Maps are f32 here, or bf16 as the fast backends have them.
#include <algorithm>
#include <cmath>
#include <vector>

#include "training/vqgan/grad_kernels.h"

namespace leon {
namespace {

double value(const Tensor& t, int64_t i) {
    return t.dtype == DType::F32 ? t.f32()[i] : double(bf16_to_float(static_cast<const uint16_t*>(t.data)[i]));
}
void set(Tensor& t, int64_t i, double value) {
    if (t.dtype == DType::F32)
        t.f32()[i] = float(value);
    else
        static_cast<uint16_t*>(t.data)[i] = float_to_bf16(float(value));
}

// Where channel c of pixel (y, x), from -1 to the height and width, stands in a framed map.
int64_t place(const Tensor& map, int64_t y, int64_t x, int64_t c) {
    return ((y + 1) * map.shape[1] + x + 1) * map.shape[2] + c;
}

// f(y, x, c) for every value of a framed map that is not filling, of [height, width, channels].
template <class F>
void each_value(const Tensor& map, int64_t channels, F f) {
    for (int64_t y = 0; y < map.shape[0] - 2; y++)
        for (int64_t x = 0; x < map.shape[1] - 2; x++)
            for (int64_t c = 0; c < channels; c++) f(y, x, c);
}
void clear(Tensor& map) {
    for (int64_t i = 0; i < map.elements(); i++) set(map, i, 0);
}

void frame(Tensor out, Tensor x) {
    clear(out);
    each_value(out, x.shape[2], [&](int64_t y, int64_t col, int64_t c) {
        set(out, place(out, y, col, c), x.f32()[(y * x.shape[1] + col) * x.shape[2] + c]);
    });
}

double sigmoid(double x) {
    return 1.0 / (1.0 + std::exp(-x));
}

void norm_map(Tensor out, Tensor statistics, Tensor x, const GroupNorm& norm) {
    const int64_t channels = norm.weight.elements(), width = channels / norm.groups;
    const double count = double((x.shape[0] - 2) * (x.shape[1] - 2) * width);
    std::vector<double> mean(static_cast<size_t>(norm.groups)), deviation(mean);
    each_value(x, channels,
               [&](int64_t y, int64_t col, int64_t c) { mean[c / width] += value(x, place(x, y, col, c)) / count; });
    each_value(x, channels, [&](int64_t y, int64_t col, int64_t c) {
        const double centred = value(x, place(x, y, col, c)) - mean[c / width];
        deviation[c / width] += centred * centred / count;
    });
    for (int64_t g = 0; g < norm.groups; g++) {
        deviation[g] = 1.0 / std::sqrt(deviation[g] + norm.eps);
        statistics.f32()[2 * g] = float(mean[g]);
        statistics.f32()[2 * g + 1] = float(deviation[g]);
    }
    clear(out);
    each_value(x, channels, [&](int64_t y, int64_t col, int64_t c) {
        const int64_t i = place(x, y, col, c), g = c / width;
        const double u = (value(x, i) - mean[g]) * deviation[g] * norm.weight.f32()[c] + norm.bias.f32()[c];
        set(out, i, norm.activation == Activation::Swish ? u * sigmoid(u) : u);
    });
}

void d_norm_map(Tensor dx, Tensor dweight, Tensor dbias, Tensor dy, Tensor x, Tensor statistics, const GroupNorm& norm,
                Tensor residual) {
    const int64_t channels = norm.weight.elements(), width = channels / norm.groups;
    const double count = double((x.shape[0] - 2) * (x.shape[1] - 2) * width);
    std::vector<double> g(static_cast<size_t>(x.elements())), xhat(g);  // frames included
    std::vector<double> sum(static_cast<size_t>(channels)), products(sum);
    std::vector<double> mean(static_cast<size_t>(norm.groups)), product(mean);
    each_value(x, channels, [&](int64_t y, int64_t col, int64_t c) {
        const int64_t i = place(x, y, col, c);
        const float* s = statistics.f32() + 2 * (c / width);
        xhat[i] = (value(x, i) - s[0]) * s[1];
        const double u = xhat[i] * norm.weight.f32()[c] + norm.bias.f32()[c], o = sigmoid(u);
        g[i] = value(dy, i) * (norm.activation == Activation::Swish ? o + u * o * (1 - o) : 1.0);
        sum[c] += g[i];
        products[c] += g[i] * xhat[i];
    });
    for (int64_t c = 0; c < channels; c++) {
        mean[c / width] += sum[c] * norm.weight.f32()[c] / count;
        product[c / width] += products[c] * norm.weight.f32()[c] / count;
        if (dweight) dweight.f32()[c] += float(products[c]);
        if (dbias) dbias.f32()[c] += float(sum[c]);
    }
    std::vector<double> result(static_cast<size_t>(x.elements()));
    each_value(x, channels, [&](int64_t y, int64_t col, int64_t c) {
        const int64_t i = place(x, y, col, c), group = c / width;
        const double inner = g[i] * norm.weight.f32()[c] - mean[group] - xhat[i] * product[group];
        result[i] = (residual ? value(residual, i) : 0.0) + statistics.f32()[2 * group + 1] * inner;
    });
    for (int64_t i = 0; i < dx.elements(); i++) set(dx, i, result[i]);
}

// [out, kernel, kernel, map_channels(in)], zeros behind; both directions read the same.
int64_t weight_place(const Convolution& shape, int64_t ins, int64_t o, int64_t i, int64_t j, int64_t c) {
    return ((o * shape.kernel + i) * shape.kernel + j) * ins + c;
}
void pack(Tensor packed, Tensor weight, const Convolution& shape) {
    const int64_t in = weight.shape[3], kernel = shape.kernel;
    for (int64_t i = 0; i < packed.elements(); i++) set(packed, i, 0);
    for (int64_t row = 0; row < weight.elements() / in; row++)
        for (int64_t c = 0; c < in; c++)
            set(packed,
                weight_place(shape, map_channels(in), row / (kernel * kernel), row / kernel % kernel, row % kernel, c),
                weight.f32()[row * in + c]);
}

// use(y, x, i, j, row, col) for every result (y, x) and tap (i, j) whose input pixel (row, col) exists.
template <class Use>
void each_tap(const Convolution& shape, int64_t height, int64_t width, Use use) {
    const int64_t up = shape.upsample;
    for (int64_t y = 0; y < height * up / shape.stride; y++)
        for (int64_t x = 0; x < width * up / shape.stride; x++)
            for (int64_t i = 0; i < shape.kernel; i++)
                for (int64_t j = 0; j < shape.kernel; j++) {
                    const int64_t row = y * shape.stride + i - shape.pad_before;
                    const int64_t col = x * shape.stride + j - shape.pad_before;
                    if (row < 0 || col < 0 || row >= height * up || col >= width * up) continue;
                    use(y, x, i, j, row / up, col / up);
                }
}

// Sums of a result, [height, width, channels], plus the residual, into the result, framed or plain.
struct Result {
    Tensor out;
    int64_t height, width, channels;
    std::vector<double> sums;

    Result(Tensor o, int64_t h, int64_t w, int64_t c) : out(o), height(h), width(w), channels(c) {
        sums.assign(static_cast<size_t>(h * w * c), 0.0);
    }
    double& at(int64_t y, int64_t x, int64_t c) { return sums[(y * width + x) * channels + c]; }
    void write(const Tensor& residual) {
        const bool plain = is_plain(out, height, width);
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++)
                for (int64_t c = 0; c < channels; c++)
                    at(y, x, c) += residual ? value(residual, place(residual, y, x, c)) : 0.0;
        clear(out);
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++)
                for (int64_t c = 0; c < channels; c++)
                    set(out, plain ? (y * width + x) * channels + c : place(out, y, x, c), at(y, x, c));
    }
};

void conv2d(Tensor out, Tensor x, Tensor packed, Tensor bias, const Convolution& shape, Tensor residual) {
    const int64_t height = x.shape[0] - 2, width = x.shape[1] - 2, ins = x.shape[2];
    Result result(out, convolved(height, shape), convolved(width, shape), bias.elements());
    for (size_t i = 0; i < result.sums.size(); i++) result.sums[i] = bias.f32()[int64_t(i) % result.channels];
    each_tap(shape, height, width, [&](int64_t y, int64_t xo, int64_t i, int64_t j, int64_t row, int64_t col) {
        for (int64_t o = 0; o < result.channels; o++)
            for (int64_t c = 0; c < ins; c++)
                result.at(y, xo, o) +=
                    value(x, place(x, row, col, c)) * value(packed, weight_place(shape, ins, o, i, j, c));
    });
    result.write(residual);
}

void d_conv2d_input(Tensor dx, Tensor dy, Tensor packed, const Convolution& shape, Tensor residual) {
    const int64_t height = (dy.shape[0] - 2) * shape.stride / shape.upsample;
    const int64_t width = (dy.shape[1] - 2) * shape.stride / shape.upsample;
    const int64_t ins = map_channels(dx.shape[2]), outs = dy.shape[2];
    Result result(dx, height, width, dx.shape[2]);  // a framed one's filling, too: its weights are zeros
    each_tap(shape, height, width, [&](int64_t y, int64_t xo, int64_t i, int64_t j, int64_t row, int64_t col) {
        for (int64_t o = 0; o < outs; o++)
            for (int64_t c = 0; c < result.channels; c++)
                result.at(row, col, c) +=
                    value(dy, place(dy, y, xo, o)) * value(packed, weight_place(shape, ins, o, i, j, c));
    });
    result.write(residual);
}

void d_conv2d_weight(Tensor dweight, Tensor dbias, Tensor dy, Tensor x, const Convolution& shape) {
    const int64_t out = dweight.shape[0], in = dweight.shape[3];
    std::vector<double> sums(static_cast<size_t>(dweight.elements()));
    each_tap(shape, x.shape[0] - 2, x.shape[1] - 2,
             [&](int64_t y, int64_t xo, int64_t i, int64_t j, int64_t row, int64_t col) {
                 for (int64_t o = 0; o < out; o++)
                     for (int64_t c = 0; c < in; c++)
                         sums[weight_place(shape, in, o, i, j, c)] +=
                             value(dy, place(dy, y, xo, o)) * value(x, place(x, row, col, c));
             });
    for (int64_t i = 0; i < dweight.elements(); i++) dweight.f32()[i] += float(sums[i]);
    for (int64_t o = 0; o < out; o++) {
        double sum = 0;
        for (int64_t y = 0; y < dy.shape[0] - 2; y++)
            for (int64_t xo = 0; xo < dy.shape[1] - 2; xo++) sum += value(dy, place(dy, y, xo, o));
        dbias.f32()[o] += float(sum);
    }
}

void d_spatial_attention(Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor q, Tensor k, Tensor v) {
    const int64_t pixels = q.rows(), channels = q.cols();
    const double scale = 1.0 / std::sqrt(double(channels));
    std::vector<double> p(static_cast<size_t>(pixels)), dp(p), sums[3];
    for (std::vector<double>& sum : sums) sum.assign(static_cast<size_t>(q.elements()), 0.0);
    auto dot = [&](const Tensor& a, int64_t i, const Tensor& b, int64_t j) {
        double sum = 0;
        for (int64_t c = 0; c < channels; c++) sum += double(a.f32()[i * channels + c]) * b.f32()[j * channels + c];
        return sum;
    };
    for (int64_t i = 0; i < pixels; i++) {
        for (int64_t j = 0; j < pixels; j++) p[j] = dot(q, i, k, j) * scale;
        const double top = *std::max_element(p.begin(), p.end());
        double total = 0, mean = 0;
        for (double& value : p) total += value = std::exp(value - top);
        for (int64_t j = 0; j < pixels; j++) {
            p[j] /= total;
            dp[j] = dot(dout, i, v, j);
            mean += p[j] * dp[j];
        }
        for (int64_t j = 0; j < pixels; j++)
            for (int64_t c = 0; c < channels; c++) {
                const double ds = p[j] * (dp[j] - mean) * scale;
                sums[0][i * channels + c] += ds * k.f32()[j * channels + c];
                sums[1][j * channels + c] += ds * q.f32()[i * channels + c];
                sums[2][j * channels + c] += p[j] * dout.f32()[i * channels + c];
            }
    }
    Tensor outs[3] = {dq, dk, dv};
    for (int part = 0; part < 3; part++)
        for (int64_t i = 0; i < q.elements(); i++) outs[part].f32()[i] = float(sums[part][i]);
}

constexpr VqganGradKernels table(const char* name, DType element) {
    return {.name = name,
            .element = element,
            .frame = frame,
            .norm_map = norm_map,
            .d_norm_map = d_norm_map,
            .pack = pack,
            .conv2d = conv2d,
            .d_conv2d_input = d_conv2d_input,
            .d_conv2d_weight = d_conv2d_weight,
            .d_spatial_attention = d_spatial_attention};
}

}  // namespace

const VqganGradKernels& reference_vqgan_grad_kernels() {
    static constexpr VqganGradKernels TABLE = table("reference", DType::F32);
    return TABLE;
}
const VqganGradKernels& reference_bf16_vqgan_grad_kernels() {
    static constexpr VqganGradKernels TABLE = table("reference-bf16", DType::BF16);
    return TABLE;
}

}  // namespace leon
