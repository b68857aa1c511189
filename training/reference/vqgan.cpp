// The definition of a VQGAN's gradients, channels last: plain loops, sums in double. Formulas and shapes stand at the
// wrappers in training/vqgan/grad_kernels.h. Operands are f32 here, or bf16 as the fast backends have them.
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

// Where channel c of pixel (y, x), from -1 to the height and width, stands in an operand.
int64_t place(const Tensor& operand, int64_t y, int64_t x, int64_t c) {
    return ((y + 1) * operand.shape[1] + x + 1) * operand.shape[2] + c;
}

template <class F>
void fill_operand(Tensor& out, int64_t height, int64_t width, int64_t channels, F f) {
    for (int64_t i = 0; i < out.elements(); i++) set(out, i, 0);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            for (int64_t c = 0; c < channels; c++) set(out, place(out, y, x, c), f((y * width + x) * channels + c, c));
}

void to_operand(Tensor out, Tensor x) {
    fill_operand(out, x.shape[0], x.shape[1], x.shape[2], [&](int64_t i, int64_t) { return double(x.f32()[i]); });
}

double sigmoid(double x) {
    return 1.0 / (1.0 + std::exp(-x));
}

void norm_operand(Tensor out, Tensor statistics, Tensor x, const GroupNorm& norm) {
    const int64_t pixels = x.rows(), channels = x.cols(), width = channels / norm.groups;
    std::vector<double> mean(static_cast<size_t>(norm.groups)), deviation(mean);
    for (int64_t g = 0; g < norm.groups; g++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < pixels * channels; i++)
            if (i % channels / width == g) sum += x.f32()[i];
        mean[g] = sum / double(pixels * width);
        for (int64_t i = 0; i < pixels * channels; i++)
            if (i % channels / width == g) squares += (x.f32()[i] - mean[g]) * (x.f32()[i] - mean[g]);
        deviation[g] = 1.0 / std::sqrt(squares / double(pixels * width) + norm.eps);
        statistics.f32()[2 * g] = float(mean[g]);
        statistics.f32()[2 * g + 1] = float(deviation[g]);
    }
    fill_operand(out, x.shape[0], x.shape[1], channels, [&](int64_t i, int64_t c) {
        const int64_t g = c / width;
        const double u = (x.f32()[i] - mean[g]) * deviation[g] * norm.weight.f32()[c] + norm.bias.f32()[c];
        return norm.activation == Activation::Swish ? u * sigmoid(u) : u;
    });
}

void d_norm(Tensor dx, Tensor dx_operand, Tensor dweight, Tensor dbias, Tensor dy, Tensor x, Tensor statistics,
            const GroupNorm& norm, Tensor residual) {
    const int64_t channels = x.cols(), width = channels / norm.groups, count = x.rows() * width;
    std::vector<double> g(static_cast<size_t>(x.elements())), xhat(g);
    std::vector<double> sum(static_cast<size_t>(channels)), products(sum);
    std::vector<double> mean(static_cast<size_t>(norm.groups)), product(mean);
    for (int64_t i = 0; i < x.elements(); i++) {
        const int64_t c = i % channels;
        const float* s = statistics.f32() + 2 * (c / width);
        xhat[i] = (double(x.f32()[i]) - s[0]) * s[1];
        const double u = xhat[i] * norm.weight.f32()[c] + norm.bias.f32()[c], o = sigmoid(u);
        g[i] = dy.f32()[i] * (norm.activation == Activation::Swish ? o + u * o * (1 - o) : 1.0);
        sum[c] += g[i];
        products[c] += g[i] * xhat[i];
    }
    for (int64_t c = 0; c < channels; c++) {
        mean[c / width] += sum[c] * norm.weight.f32()[c] / double(count);
        product[c / width] += products[c] * norm.weight.f32()[c] / double(count);
        if (dweight) dweight.f32()[c] += float(products[c]);
        if (dbias) dbias.f32()[c] += float(sum[c]);
    }
    auto gradient = [&](int64_t i, int64_t c) {
        const int64_t group = c / width;
        const double inner = g[i] * norm.weight.f32()[c] - mean[group] - xhat[i] * product[group];
        return (residual ? residual.f32()[i] : 0.0) + statistics.f32()[2 * group + 1] * inner;
    };
    if (dx_operand) fill_operand(dx_operand, x.shape[0], x.shape[1], channels, gradient);
    if (dx)
        for (int64_t i = 0; i < x.elements(); i++) dx.f32()[i] = float(gradient(i, i % channels));
}

// [out, kernel, kernel, operand_channels(in)], zeros behind; both directions read the same.
int64_t weight_place(const Convolution& shape, int64_t ins, int64_t o, int64_t i, int64_t j, int64_t c) {
    return ((o * shape.kernel + i) * shape.kernel + j) * ins + c;
}
void pack(Tensor packed, Tensor weight, const Convolution& shape) {
    const int64_t in = weight.shape[3], kernel = shape.kernel;
    for (int64_t i = 0; i < packed.elements(); i++) set(packed, i, 0);
    for (int64_t row = 0; row < weight.elements() / in; row++)
        for (int64_t c = 0; c < in; c++)
            set(packed,
                weight_place(shape, operand_channels(in), row / (kernel * kernel), row / kernel % kernel, row % kernel,
                             c),
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

// out [pixels, channels] = residual + sums
void write_sums(Tensor& out, const std::vector<double>& sums, const Tensor& residual) {
    for (int64_t i = 0; i < out.elements(); i++) out.f32()[i] = float(sums[i] + (residual ? residual.f32()[i] : 0.0));
}

void conv2d(Tensor out, Tensor x, Tensor packed, Tensor bias, const Convolution& shape, Tensor residual) {
    const int64_t channels = out.shape[2], ins = x.shape[2];
    std::vector<double> sums(static_cast<size_t>(out.elements()));
    for (int64_t i = 0; i < out.elements(); i++) sums[i] = bias.f32()[i % channels];
    each_tap(shape, x.shape[0] - 2, x.shape[1] - 2,
             [&](int64_t y, int64_t xo, int64_t i, int64_t j, int64_t row, int64_t col) {
                 for (int64_t o = 0; o < channels; o++)
                     for (int64_t c = 0; c < ins; c++)
                         sums[(y * out.shape[1] + xo) * channels + o] +=
                             value(x, place(x, row, col, c)) * value(packed, weight_place(shape, ins, o, i, j, c));
             });
    write_sums(out, sums, residual);
}

void d_conv2d_input(Tensor dx, Tensor dy, Tensor packed, const Convolution& shape, Tensor residual) {
    const int64_t in = dx.shape[2], ins = operand_channels(in), outs = dy.shape[2];
    std::vector<double> sums(static_cast<size_t>(dx.elements()));
    each_tap(shape, dx.shape[0], dx.shape[1],
             [&](int64_t y, int64_t xo, int64_t i, int64_t j, int64_t row, int64_t col) {
                 for (int64_t o = 0; o < outs; o++)
                     for (int64_t c = 0; c < in; c++)
                         sums[(row * dx.shape[1] + col) * in + c] +=
                             value(dy, place(dy, y, xo, o)) * value(packed, weight_place(shape, ins, o, i, j, c));
             });
    write_sums(dx, sums, residual);
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
    write_sums(dq, sums[0], {});
    write_sums(dk, sums[1], {});
    write_sums(dv, sums[2], {});
}

constexpr VqganGradKernels table(const char* name, DType operand) {
    return {.name = name,
            .operand = operand,
            .to_operand = to_operand,
            .norm_operand = norm_operand,
            .d_norm = d_norm,
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
