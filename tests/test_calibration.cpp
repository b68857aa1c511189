// Rounding with regard to inputs: the factor held to its definition, the products held to those of plain rounding, and
// a whole model that is nearer to itself for it.
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "tasks/calibration.h"
#include "tasks/compare.h"
#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_model.h"
#include "weights_converter/narrow.h"

#include "tests/testing.h"

using namespace leon;

namespace {

// Inputs of which some directions are taken often and some hardly: each is a mixture of a third as many sources.
std::vector<float> inputs(Random& random, int64_t count, int64_t width) {
    const int64_t sources = width / 3 + 1;
    const std::vector<float> mixing = random_host(random, {sources, width}).floats();
    std::vector<float> x;
    for (int64_t i = 0; i < count; i++) {
        std::vector<float> row(static_cast<size_t>(width));
        for (float& value : row) value = 0.05f * random.normal();
        for (int64_t s = 0; s < sources; s++) {
            const float amount = random.normal();
            for (int64_t j = 0; j < width; j++)
                row[static_cast<size_t>(j)] += amount * mixing[static_cast<size_t>(s * width + j)];
        }
        x.insert(x.end(), row.begin(), row.end());
    }
    return x;
}

Moments moments_of(const std::vector<float>& x, int64_t width) {
    Moments m{width, std::vector<float>(static_cast<size_t>(width * width))};
    for (size_t first = 0; first < x.size(); first += static_cast<size_t>(width))
        for (int64_t i = 0; i < width; i++)
            for (int64_t j = 0; j < width; j++)
                m.sum[static_cast<size_t>(i * width + j)] +=
                    x[first + static_cast<size_t>(i)] * x[first + static_cast<size_t>(j)];
    return m;
}

// A matrix as a file would hold it.
struct Narrowed {
    std::vector<uint8_t> data, groups;
    std::vector<float> scales;

    Narrowed(std::vector<float> values, int64_t rows, int64_t cols, DType type, const Feedback* feedback)
        : data(packed_bytes(type, rows * cols)),
          groups(static_cast<size_t>(rows * cols / GROUP)),
          scales(static_cast<size_t>(rows)) {
        narrow_rows(values.data(), rows, cols, type, {data.data(), scales.data(), groups.data()}, "w", "file",
                    feedback);
    }
    float at(int64_t row, int64_t col, int64_t cols, DType type) const {
        const int64_t i = row * cols + col;
        const float number = type == DType::I4 ? i4_element(data.data(), groups.data(), i)
                                               : static_cast<float>(static_cast<int8_t>(data[static_cast<size_t>(i)]));
        return number * scales[static_cast<size_t>(row)];
    }
    bool operator==(const Narrowed&) const = default;
};

// The sum of the squared errors of all products.
double product_error(const std::vector<float>& x, const std::vector<float>& w, int64_t rows, int64_t cols, DType type,
                     const Narrowed& narrowed) {
    double sum = 0;
    for (size_t first = 0; first < x.size(); first += static_cast<size_t>(cols))
        for (int64_t r = 0; r < rows; r++) {
            double error = 0;
            for (int64_t c = 0; c < cols; c++)
                error += x[first + static_cast<size_t>(c)] *
                         (double{w[static_cast<size_t>(r * cols + c)]} - narrowed.at(r, c, cols, type));
            sum += error * error;
        }
    return sum;
}

}  // namespace

TEST_CASE("calibration: the factor's square is the inverse of the damped moments") {
    Random random(301);
    for (int64_t width : {1, 2, 31, 32, 33, 70, 130}) {
        CAPTURE(width);
        const Moments m = moments_of(inputs(random, 40, width), width);
        const Feedback feedback(m);
        double damping = 0;
        for (int64_t i = 0; i < width; i++)
            damping += 0.01 * m.sum[static_cast<size_t>(i * width + i)] / static_cast<double>(width);
        // inverse(H) times H is one
        double worst = 0;
        for (int64_t i = 0; i < width; i++)
            for (int64_t j = 0; j < width; j++) {
                double sum = i == j ? -1 : 0;
                for (int64_t k = 0; k < width; k++) {
                    double inverse = 0;
                    for (int64_t l = 0; l <= std::min(i, k); l++)
                        inverse += double{feedback.row(l)[i]} * feedback.row(l)[k];
                    sum += inverse * (m.sum[static_cast<size_t>(k * width + j)] + (k == j ? damping : 0));
                }
                worst = std::max(worst, std::fabs(sum));
                if (j < i) CHECK(feedback.row(i)[j] == 0);
            }
        CHECK(worst < 2e-4);
    }
}

TEST_CASE("calibration: inputs that have nothing to do with each other change nothing") {
    Random random(302);
    const int64_t rows = 5, cols = 96;
    const std::vector<float> w = random_host(random, {rows, cols}).floats();
    Moments m{cols, std::vector<float>(cols * cols)};
    for (int64_t i = 0; i < cols; i++) m.sum[static_cast<size_t>(i * cols + i)] = 3;
    const Feedback feedback(m), of_nothing({cols, std::vector<float>(cols * cols)});
    for (DType type : {DType::I8, DType::I4}) {
        const Narrowed plain(w, rows, cols, type, nullptr);
        CHECK(Narrowed(w, rows, cols, type, &feedback) == plain);
        CHECK(Narrowed(w, rows, cols, type, &of_nothing) == plain);
    }
}

TEST_CASE("calibration: products lose less than by rounding to the nearest") {
    Random random(303);
    for (DType type : {DType::I8, DType::I4})
        for (int64_t cols : {32, 96, 160}) {
            CAPTURE(cols);
            CAPTURE(std::string(name_of(type)));
            const int64_t rows = 9;
            std::vector<float> w = random_host(random, {rows, cols}).floats();
            std::fill_n(w.begin() + cols, cols, 0.0f);
            const std::vector<float> seen = inputs(random, 400, cols);
            const Feedback feedback(moments_of(seen, cols));
            const Narrowed plain(w, rows, cols, type, nullptr), better(w, rows, cols, type, &feedback);
            CHECK(product_error(seen, w, rows, cols, type, better) <
                  0.6 * product_error(seen, w, rows, cols, type, plain));
            CHECK(better.scales[1] == 0);
            CHECK(Narrowed(w, rows, cols, type, &feedback) == better);
        }
}

TEST_CASE("calibration: a model is nearer to itself, however few layers are looked at at a time") {
    const TinyModel tiny(Layout::CM3Leon);
    const TemporaryFolder folder;
    Random random(304);
    Material material;
    for (int i = 0; i < 6; i++) {
        std::vector<int32_t>& stream = material.streams.emplace_back();
        for (int t = 0; t < 200; t++) stream.push_back(random.below(tiny->config().transformer.vocab));
    }
    for (const char* dtype : {"int4", "int8", "int4-mixed"}) {
        CAPTURE(std::string(dtype));
        convert(tiny.path(), folder / "plain.leon", {.dtype = dtype}, nullptr);
        convert_calibrated(*tiny, folder / "better.leon", {.dtype = dtype}, material.streams, nullptr);
        convert_calibrated(*tiny, folder / "slowly.leon", {.dtype = dtype}, material.streams, nullptr, 1);
        CHECK(read_text(folder / "slowly.leon") == read_text(folder / "better.leon"));
        const auto kl = [&](const std::string& file) {
            return compare(*tiny, Model(folder / file, cpu_kernels()), material).kl;
        };
        CHECK(kl("better.leon") < 0.9 * kl("plain.leon"));
    }
}

TEST_CASE("calibration: what cannot be calibrated is said, and nothing is written") {
    const TinyModel tiny(Layout::CM3Leon);
    const TemporaryFolder folder;
    const std::string file = folder / "out.leon";
    const auto error = [&](const char* dtype, const std::vector<std::vector<int32_t>>& streams) {
        const std::string said = error_of([&] { convert_calibrated(*tiny, file, {.dtype = dtype}, streams, nullptr); });
        CHECK(!std::filesystem::exists(file));
        return said;
    };
    CHECK(contains(error("bf16", {{1, 2}}), "int4 and int8"));
    CHECK(contains(error("int4", {}), "no tokens"));
    CHECK(contains(error("int4", {{1, 2}, {1, 1 << 20}}), "outside the vocabulary"));
    CHECK(contains(error("int4", {std::vector<int32_t>(10000)}), "context"));
}
