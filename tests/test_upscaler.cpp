// Upscalers against the same networks in torch (tests/vectors/upscaler), on the reference and on every backend; tiles
// against the whole; conversion from published names.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/npy.h"
#include "runtime/schema.h"
#include "tasks/upscale.h"
#include "tests/compare.h"
#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"
#include "tokenizer/upscaler.h"
#include "weights_converter/convert.h"
#include "weights_converter/inspect.h"
#include "weights_converter/random_model.h"

#include "tests/testing.h"

namespace leon {
namespace {

const std::string CASES = "tests/vectors/upscaler/";

// An upscaler in a file of its own, which any backend may open.
struct Opened {
    TemporaryFolder folder;
    std::unique_ptr<WeightsFile> file;
    ModelConfig config;

    // A checkpoint, converted.
    explicit Opened(const std::string& checkpoint, const ConvertOptions& options = {}) {
        convert(checkpoint, path(), options, nullptr);
        open();
    }
    // Random weights.
    explicit Opened(const UpscalerConfig& upscaler, uint64_t seed = 1) {
        config.has_upscaler = true;
        config.upscaler = upscaler;
        write_random_model(path(), config, DType::F32, seed);
        open();
    }
    std::string path() const { return folder / "up.leon"; }
    NetworkUpscaler on(const Kernels& kernels) const { return NetworkUpscaler(*file, config.upscaler, kernels); }

private:
    void open() {
        file = std::make_unique<WeightsFile>(path());
        config = parse_config(file->config_json(), path());
    }
};

std::vector<const Kernels*> all_backends() {
    std::vector<const Kernels*> all = backends();
    all.insert(all.begin(), &reference_kernels());
    return all;
}

// As networks see it.
std::vector<float> floats_of(const Picture& picture) {
    std::vector<float> values;
    for (uint8_t byte : picture.rgb) values.push_back(static_cast<float>(byte) / 255.0f);
    return values;
}

Picture picture_of(const std::string& path) {
    const Array array = load_npy(path);
    Picture picture(static_cast<int>(array.shape[1]), static_cast<int>(array.shape[0]));
    picture.rgb = array.bytes;
    return picture;
}

Picture made_up_picture(int width, int height, uint64_t seed) {
    Random random(seed);
    Picture picture(width, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                const double wave = 128 + 100 * std::sin(0.3 * x * (c + 1) + 0.5 * y);
                picture.at(x, y)[c] = static_cast<uint8_t>(std::clamp(wave + 20 * random.normal(), 0.0, 255.0));
            }
    return picture;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (size_t i = 0; i < a.size(); i++) largest = std::max(largest, std::fabs(double{a[i]} - b[i]));
    return largest;
}

constexpr Tiling WHOLE = {1 << 20, 2};

struct Published {
    const char* name;
    UpscalerConfig config;
    double tolerance;  // measured on the worst backend, the emulated GPU, beside it
};
const Published PUBLISHED[] = {
    {"rrdb_x4", {UpscalerKind::RRDB, 4, 6, 2, 3}, 1e-5},        // 3.1e-6; the CPU's 1.4e-6, torch in float32 1.4e-6
    {"rrdb_x2", {UpscalerKind::RRDB, 2, 8, 1, 3}, 4e-6},        // 1.2e-6
    {"rrdb_x4_bf16", {UpscalerKind::RRDB, 4, 5, 1, 4}, 3e-4},   // 8.7e-5: 0.2 times a weight is rounded to bf16 again
    {"compact_x4", {UpscalerKind::Compact, 4, 8, 3, 0}, 8e-7},  // 2.1e-7
    {"compact_x3", {UpscalerKind::Compact, 3, 5, 2, 0}, 4e-7},  // 1.2e-7
    {"compact_x2", {UpscalerKind::Compact, 2, 4, 1, 0}, 5e-7},  // 1.4e-7
};

}  // namespace

TEST_CASE("upscaler: the sizes of a network are those of its tensors, and its pictures those of torch") {
    for (const Published& published : PUBLISHED) {
        const std::string name = published.name;
        CAPTURE(name);
        const Opened opened(CASES + name + ".safetensors");
        ModelConfig expected;
        expected.name = name;
        expected.has_upscaler = true;
        expected.upscaler = published.config;
        CHECK(print_config(opened.config) == print_config(expected));

        const Picture picture = picture_of(CASES + name + "_input.npy");
        const std::vector<float> want = load_npy(CASES + name + "_expected.npy").floats("expected");
        for (const Kernels* kernels : all_backends()) {
            CAPTURE(std::string(kernels->name));
            const std::vector<float> got =
                opened.on(*kernels).upscale(floats_of(picture), picture.height, picture.width, WHOLE);
            CHECK(largest_difference(got, want) <= published.tolerance);
        }
    }
}

TEST_CASE("upscaler: bytes are the floats, clamped and rounded") {
    for (const std::string name : {"rrdb_x4", "compact_x3"}) {
        CAPTURE(name);
        const Opened opened(CASES + name + ".safetensors");
        const Picture picture = picture_of(CASES + name + "_input.npy");
        for (const Kernels* kernels : all_backends()) {
            CAPTURE(std::string(kernels->name));
            const NetworkUpscaler upscaler = opened.on(*kernels);
            const std::vector<float> values =
                upscaler.upscale(floats_of(picture), picture.height, picture.width, WHOLE);
            const Picture large = upscaler.upscale(picture);
            REQUIRE((large.width == picture.width * upscaler.factor() && large.rgb.size() == values.size()));
            CHECK(*std::min_element(values.begin(), values.end()) < 0);  // so that clamping is seen
            int differ = 0;
            for (size_t i = 0; i < values.size(); i++)
                differ += large.rgb[i] != std::lround(255 * std::clamp(values[i], 0.0f, 1.0f));
            CHECK(differ == 0);
        }
    }
}

// Where 16-bit weights let a GPU round the activations, bytes move by one at most.
TEST_CASE("upscaler: bytes from bf16 weights are the same on every backend but for one grey level") {
    for (const std::string name : {"rrdb_x4", "compact_x4"}) {
        CAPTURE(name);
        const Opened opened(CASES + name + ".safetensors", {.dtype = "bf16"});
        const Picture picture = picture_of(CASES + name + "_input.npy");
        const Picture want = opened.on(reference_kernels()).upscale(picture);
        for (const Kernels* kernels : backends()) {
            CAPTURE(std::string(kernels->name));
            const Picture got = opened.on(*kernels).upscale(picture);
            REQUIRE(got.rgb.size() == want.rgb.size());
            int largest = 0;
            for (size_t i = 0; i < got.rgb.size(); i++) largest = std::max(largest, std::abs(got.rgb[i] - want.rgb[i]));
            CHECK(largest <= 1);
        }
    }
}

// Nothing but the enlarged input: which pixel goes where, seen by hand.
TEST_CASE("upscaler: a compact network without weights repeats pixels") {
    TemporaryFolder folder;
    std::map<std::string, MadeTensor> tensors;
    auto zeros = [&](const std::string& name, std::vector<int64_t> shape) {
        size_t elements = 1;
        for (int64_t d : shape) elements *= static_cast<size_t>(d);
        tensors[name] = {"F32", std::move(shape), std::string(4 * elements, '\0')};
    };
    for (const std::string i : {"0", "2"}) zeros("body." + i + ".weight", {4, i == "0" ? 3 : 4, 3, 3});
    for (const std::string i : {"0", "2"}) zeros("body." + i + ".bias", {4});
    for (const std::string i : {"1", "3"}) zeros("body." + i + ".weight", {4});
    zeros("body.4.weight", {27, 4, 3, 3});
    zeros("body.4.bias", {27});
    // Channel (colour 1, line 2, column 0) of the last convolution is always 1.
    const float one = 1;
    std::memcpy(&tensors["body.4.bias"].bytes[4 * (1 * 9 + 2 * 3 + 0)], &one, 4);
    write_text(folder / "zero.safetensors", safetensors(tensors));
    const Picture picture = made_up_picture(4, 3, 1);
    const Picture large = Opened(folder / "zero.safetensors").on(cpu_kernels()).upscale(picture);
    REQUIRE((large.width == 12 && large.height == 9));
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 12; x++)
            for (int c = 0; c < 3; c++) {
                const bool set = c == 1 && y % 3 == 2 && x % 3 == 0;
                CHECK(large.at(x, y)[c] == (set ? 255 : picture.at(x / 3, y / 3)[c]));
            }
}

TEST_CASE("upscaler: tiles whose margin is as wide as the network sees have no seams, on every backend") {
    const Opened compact({UpscalerKind::Compact, 2, 6, 2, 0}), dense({UpscalerKind::RRDB, 4, 4, 1, 3}),
        unshuffled({UpscalerKind::RRDB, 2, 4, 1, 2});
    struct Case {
        const Opened& opened;
        int margin;  // what it sees
        int width, height;
    };
    const Case cases[] = {{compact, 4, 17, 11}, {dense, 19, 27, 3}, {unshuffled, 19, 51, 3}};
    for (const Case& c : cases) {
        const std::vector<float> pixels = floats_of(made_up_picture(c.width, c.height, 3));
        for (const Kernels* kernels : all_backends()) {
            CAPTURE(std::string(kernels->name));
            CAPTURE(c.margin);
            const NetworkUpscaler upscaler = c.opened.on(*kernels);
            CHECK(upscaler.tiling().margin == std::min(c.margin, 16));
            const std::vector<float> whole = upscaler.upscale(pixels, c.height, c.width, WHOLE);
            for (int side : {5, 13}) {
                if (side == 5 && kernels != &cpu_kernels()) continue;  // one fast backend is enough
                CAPTURE(side);
                CHECK(first_difference(upscaler.upscale(pixels, c.height, c.width, {side, c.margin}), whole,
                                       {c.height, c.width}) == "");
            }
            // A narrower margin is seen, so that the above could have failed.
            CHECK(largest_difference(upscaler.upscale(pixels, c.height, c.width, {13, 2}), whole) > 1e-4);
        }
    }
}

TEST_CASE("upscaler: any size, one pixel included, and as many strips as it takes") {
    const Opened dense({UpscalerKind::RRDB, 4, 4, 1, 2}), unshuffled({UpscalerKind::RRDB, 2, 4, 1, 2}),
        compact({UpscalerKind::Compact, 3, 4, 1, 0});
    struct Size {
        int width, height;
    };
    for (const Size& size : {Size{1, 1}, {1, 2}, {2, 1}, {3, 1}, {5, 33}, {4, 16}, {2, 17}}) {
        CAPTURE(size.width);
        CAPTURE(size.height);
        const std::vector<float> pixels = floats_of(made_up_picture(size.width, size.height, 7));
        for (const Opened* opened : {&dense, &unshuffled, &compact}) {
            const std::vector<float> want =
                opened->on(reference_kernels()).upscale(pixels, size.height, size.width, WHOLE);
            const int factor = opened->config.upscaler.factor;
            CHECK(want.size() == pixels.size() * static_cast<size_t>(factor * factor));
            const std::vector<float> got = opened->on(cpu_kernels()).upscale(pixels, size.height, size.width, WHOLE);
            CHECK(largest_difference(got, want) <= 1e-4);
        }
    }
}

TEST_CASE("upscaler: the number of threads changes no bit") {
    const Opened opened({UpscalerKind::RRDB, 4, 5, 1, 3});
    const Picture picture = made_up_picture(19, 21, 2);
    const int threads_before = cpu_threads();
    const NetworkUpscaler upscaler = opened.on(cpu_kernels());
    set_cpu_threads(1);
    const Picture want = upscaler.upscale(picture);
    for (int threads : {2, 3}) {
        set_cpu_threads(threads);
        CHECK(upscaler.upscale(picture).rgb == want.rgb);
    }
    set_cpu_threads(threads_before);
}

TEST_CASE("upscaler: progress rises to its end, and may cancel at any time") {
    for (const UpscalerConfig& config :
         {UpscalerConfig{UpscalerKind::RRDB, 4, 4, 3, 2}, UpscalerConfig{UpscalerKind::Compact, 2, 4, 3, 0}}) {
        const Opened opened(config);
        const NetworkUpscaler upscaler = opened.on(cpu_kernels());
        const Picture picture = made_up_picture(6, 5, 4);
        std::vector<size_t> seen;
        size_t in_all = 0;
        CHECK(upscaler
                  .upscale(picture,
                           [&](size_t done, size_t total) {
                               seen.push_back(done);
                               in_all = total;
                               return true;
                           })
                  .width == 6 * config.factor);
        CHECK(in_all == 5);  // three blocks, and what comes after and before
        CHECK(seen == std::vector<size_t>{1, 2, 3, 5});
        for (size_t at : seen) {
            int calls_after = 0;
            const Picture cancelled = upscaler.upscale(picture, [&](size_t done, size_t) {
                calls_after += done > at;
                return done < at;
            });
            CHECK((cancelled.width == 0 && cancelled.rgb.empty() && calls_after == 0));
        }
    }
}

TEST_CASE("upscaler: Lanczos is the default, and brings a network's picture to other factors") {
    const Picture picture = made_up_picture(7, 5, 9);
    for (int factor : {2, 3, 4})
        CHECK(upscale(picture, "", factor, cpu_kernels()).rgb ==
              resize(picture, 7 * factor, 5 * factor, Filter::Lanczos).rgb);
    CHECK(open_upscaler("", 0, cpu_kernels())->factor() == 4);

    const Opened opened({UpscalerKind::Compact, 2, 4, 1, 0});
    CHECK(open_upscaler(opened.path(), 0, cpu_kernels())->factor() == 2);
    const Picture doubled = upscale(picture, opened.path(), 0, cpu_kernels());
    CHECK(doubled.rgb == opened.on(cpu_kernels()).upscale(picture).rgb);
    const Picture tripled = upscale(picture, opened.path(), 3, cpu_kernels());
    CHECK(tripled.rgb == resize(doubled, 21, 15, Filter::Lanczos).rgb);
    CHECK(upscale(picture, opened.path(), 3, cpu_kernels(), [](size_t, size_t) { return false; }).width == 0);
    CHECK(upscale(picture, "", 3, cpu_kernels(), [](size_t, size_t) { return false; }).width == 0);
}

TEST_CASE("upscaler: what cannot be enlarged is an Error") {
    CHECK(error_of([] { open_upscaler("", 5, cpu_kernels()); }) == "--factor: cannot enlarge by 5; choose 2, 3 or 4");
    CHECK(contains(error_of([] { open_upscaler("models/storybook.leon", 4, cpu_kernels()); }), "holds no upscaler"));
    const Opened opened({UpscalerKind::Compact, 4, 4, 1, 0});
    const NetworkUpscaler network = opened.on(cpu_kernels());
    for (const Upscaler* upscaler : {static_cast<const Upscaler*>(&network)}) {
        CHECK(error_of([&] { upscaler->upscale(Picture(4097, 4096)); }) ==
              "a picture of 4097x4096 would become 16388x16384, which is larger than leon's pictures may be; shrink or "
              "crop it first, or use a smaller factor");
        CHECK(contains(error_of([&] { upscaler->upscale(Picture(16384, 1)); }), "would become 65536x4"));
        CHECK(contains(error_of([&] { upscaler->upscale(Picture()); }), "empty"));
    }
    CHECK(contains(error_of([] { LanczosUpscaler(4).upscale(Picture(4097, 4096)); }), "would become"));
}

TEST_CASE("upscaler: memory of a tile is bounded, however large the network") {
    for (const UpscalerConfig& config :
         {UpscalerConfig{UpscalerKind::RRDB, 4, 64, 1, 32}, UpscalerConfig{UpscalerKind::RRDB, 2, 256, 1, 64},
          UpscalerConfig{UpscalerKind::Compact, 4, 64, 32, 0}}) {
        const Opened opened(config);
        const Tiling tiling = opened.on(cpu_kernels()).tiling();
        const double side = tiling.side + 2.0 * tiling.margin;
        // The maps of a dense block at its last convolution; those of two convolutions.
        const double floats =
            config.kind == UpscalerKind::RRDB ? 5.0 * config.channels + 4.0 * config.growth : 2.0 * config.channels;
        CHECK(side * side * floats * 4 <= static_cast<double>(TILE_BYTES));
        CHECK(side * side * floats * 4 >= 0.5 * static_cast<double>(TILE_BYTES));
        CHECK(tiling.margin == (config.kind == UpscalerKind::RRDB ? 16 : 34));
    }
}

// --- conversion --------------------------------------------------------------------------------------------------

namespace {

// A checkpoint that a test may change before converting it.
struct Changed {
    TemporaryFolder folder;
    std::map<std::string, MadeTensor> tensors;

    explicit Changed(const std::string& name) {
        const SafetensorsFile file(CASES + name + ".safetensors");
        for (const auto& [tensor, stored] : file.tensors())
            tensors[tensor] = {stored.dtype, stored.shape,
                               std::string(reinterpret_cast<const char*>(file.data(stored)), stored.bytes)};
    }
    std::string write() {
        const std::string path = folder / "changed.safetensors";
        write_text(path, safetensors(tensors));
        return path;
    }
    std::string error() {
        const std::string path = write();
        return error_of([&] { convert(path, folder / "up.leon", {}, nullptr); });
    }
    void rename(const std::string& from, const std::string& to) {
        std::map<std::string, MadeTensor> renamed;
        for (auto& [name, tensor] : tensors)
            renamed[name.starts_with(from) ? to + name.substr(from.size()) : name] = tensor;
        tensors = renamed;
    }
};

}  // namespace

TEST_CASE("upscaler: the nest of the tensors' names changes nothing, and the average of the training counts") {
    Changed changed("compact_x4");
    const std::string want = read_text(Opened(changed.write()).path());
    for (const std::string nest : {"params_ema.", "", "params."}) {
        changed.rename(changed.tensors.begin()->first.substr(0, changed.tensors.begin()->first.find("body.")), nest);
        CHECK(read_text(Opened(changed.write()).path()) == want);
    }
    // A second stage beside it.
    std::map<std::string, MadeTensor> both = changed.tensors;
    for (auto& [name, tensor] : changed.tensors) {
        MadeTensor other = tensor;
        other.bytes.assign(other.bytes.size(), '\0');
        both["params." + name.substr(7)] = other;
        both["params_ema." + name.substr(7)] = tensor;
    }
    changed.tensors = both;
    CHECK(read_text(Opened(changed.write()).path()) == want);
}

TEST_CASE("upscaler: what torch.save writes becomes the same file") {
    for (const std::string name : {"rrdb_x2", "compact_x3"}) {
        CAPTURE(name);
        CHECK(read_text(Opened(CASES + name + ".pth").path()) ==
              read_text(Opened(CASES + name + ".safetensors").path()));
    }
}

TEST_CASE("upscaler: bf16 and f16 weights are converted as they are or as one wishes") {
    const Opened stored(CASES + "rrdb_x4_bf16.safetensors"), halves(CASES + "compact_x3.safetensors"),
        widened(CASES + "rrdb_x4_bf16.safetensors", {.dtype = "f32"}),
        narrowed(CASES + "rrdb_x4.safetensors", {.dtype = "bf16"});
    const std::string name = "upscaler.conv_body.weight";
    CHECK(stored.file->file().find(name)->dtype == "BF16");
    CHECK(widened.file->file().find(name)->dtype == "F32");
    CHECK(narrowed.file->file().find(name)->dtype == "BF16");
    CHECK(halves.file->file().find("upscaler.body.0.weight")->dtype == "F32");
    CHECK(stored.file->file().find("upscaler.conv_body.bias")->dtype == "F32");
}

TEST_CASE("upscaler: checkpoints that are not these networks are refused, and say why") {
    const std::string nest = "params_ema.";
    auto error = [](const char* name, const std::function<void(Changed&)>& change) {
        Changed changed(name);
        change(changed);
        return changed.error();
    };
    CHECK(error("rrdb_x4", [](Changed&) {}) == "");
    CHECK(contains(error("rrdb_x4", [&](Changed& c) { c.tensors.erase(nest + "conv_hr.bias"); }),
                   "tensor 'params_ema.conv_hr.bias' is missing"));
    CHECK(contains(error("rrdb_x4",
                         [&](Changed& c) {
                             c.tensors[nest + "extra"] = {"F32", {1}, "1234"};
                         }),
                   "tensor 'params_ema.extra' has no place"));
    CHECK(contains(error("rrdb_x4",
                         [&](Changed& c) {
                             c.tensors[nest + "conv_hr.bias"] = {"F32", {3}, std::string(12, 0)};
                         }),
                   "tensor 'params_ema.conv_hr.bias' is [3], but the others imply [6]"));
    CHECK(contains(error("rrdb_x4",
                         [&](Changed& c) {
                             MadeTensor& t = c.tensors[nest + "body.1.rdb2.conv3.weight"];
                             t.shape = {3, 12, 3, 2};
                             t.bytes.resize(4 * 3 * 12 * 3 * 2);
                         }),
                   "body.1.rdb2.conv3.weight' is [3, 12, 3, 2], but the others imply [3, 12, 3, 3]"));
    CHECK(contains(error("rrdb_x4",
                         [&](Changed& c) {
                             c.tensors[nest + "conv_hr.bias"] = {"I32", {6}, std::string(24, 0)};
                         }),
                   "has dtype I32"));
    CHECK(contains(error("rrdb_x4", [&](Changed& c) { c.tensors[nest + "conv_first.weight"].shape = {162}; }),
                   "but a convolution has four dimensions"));
    CHECK(contains(
        error("rrdb_x4",
              [&](Changed& c) {
                  c.tensors[nest + "conv_first.weight"] = {"F32", {6, 48, 3, 3}, std::string(4 * 6 * 48 * 9, 0)};
              }),
        "reads 48 channels"));
    CHECK(contains(error("rrdb_x4", [&](Changed& c) { c.rename(nest + "body.0.rdb1", "model.1.sub.0.RDB1"); }),
                   "has the tensor names of the first ESRGAN"));
    CHECK(contains(error("rrdb_x4", [&](Changed& c) { c.rename(nest + "body", "other"); }),
                   "is no upscaler that leon knows"));
    CHECK(contains(error("compact_x4", [](Changed& c) { c.tensors.erase("params.body.1.weight"); }), "has no PReLU"));
    CHECK(contains(error("compact_x4",
                         [](Changed& c) {
                             c.tensors["params.body.8.weight"] = {"F32", {45, 8, 3, 3}, std::string(4 * 45 * 72, 0)};
                         }),
                   "ends with 45 channels"));
    TemporaryFolder empty;
    write_text(empty / "none.safetensors", safetensors("{}", ""));
    CHECK(contains(error_of([&] { convert(empty / "none.safetensors", empty / "x.leon", {}, nullptr); }),
                   "holds no tensors"));
    // Absurd sizes, as far as a file can hold them.
    CHECK(
        contains(error("compact_x4",
                       [](Changed& c) {
                           c.tensors["params.body.0.weight"] = {"F32", {2000, 3, 3, 3}, std::string(4 * 2000 * 27, 0)};
                       }),
                 "'upscaler.channels' must lie in 1..1024"));
    CHECK(contains(
        error_of([] { convert(CASES + "compact_x4.safetensors", "x.leon", {.tokenizer = "t.json"}, nullptr); }),
        "takes neither --vqgan nor --tokenizer"));
}

TEST_CASE("upscaler: the configuration is strict") {
    const std::string good =
        R"({"name": "n", "upscaler": {"kind": "rrdb", "factor": 4, "channels": 8, "blocks": 1, "growth": 4}})";
    auto error = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        text.replace(text.find(from), from.size(), to);
        return error_of([&] { parse_config(text, "file"); });
    };
    CHECK(error("\"n\"", "\"n\"") == "");
    CHECK(contains(error("\"factor\": 4", "\"factor\": 3"), "'upscaler.factor' must be 2 or 4"));
    CHECK(contains(error("\"factor\": 4", "\"factor\": 5"), "'upscaler.factor' must lie in 2..4"));
    CHECK(contains(error(", \"growth\": 4", ""), "lacks 'upscaler.growth'"));
    CHECK(contains(error("rrdb", "compact"), "unknown key 'growth'"));
    CHECK(contains(error("rrdb", "swin"), "must be one of rrdb, compact"));
    CHECK(contains(error("\"blocks\": 1", "\"blocks\": 1000000"), "'upscaler.blocks' must lie in 1..256"));
    CHECK(contains(error("\"name\"", "\"layout\": \"cm3leon\", \"name\""), "unknown key 'layout'"));
}

TEST_CASE("upscaler: inspect tells what a file holds") {
    const Opened opened(CASES + "rrdb_x2.safetensors");
    const std::string text = inspect(*opened.file, Detail::Summary);
    CHECK(contains(text, "upscaler     x2, 1 residual-in-residual dense blocks, 8 channels growing by 3"));
    CHECK(!contains(text, "layout"));
    CHECK(!contains(text, "unknown to this leon"));
}

}  // namespace leon
