// What stands around the VQGAN's network in training: the loss, the codebook, the pictures, the recipe; and the run as
// a whole, resumed, on one thread and on two.
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/threads.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_model.h"
#include "training/checkpoint.h"
#include "training/training_log.h"
#include "training/vqgan/benchmark.h"
#include "training/vqgan/score.h"
#include "training/vqgan/train.h"

#include "tests/testing.h"

using namespace leon;

namespace {

std::vector<float> uniform_values(size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> draw(-1, 1);
    std::vector<float> values(count);
    for (float& v : values) v = draw(random);
    return values;
}

struct RecipeText {
    std::string from, output, half = "both", shares, extra;
    int batch = 3, steps = 4;
    double rate = 1e-3;

    std::string text() const {
        const std::string mixture =
            shares.empty()
                ? "\"scene\": 0.4, \"segmentation\": 0.1, \"edges\": 0.1, \"scribble\": 0.1, \"depth\": 0.1, "
                  "\"sign\": 0.1, \"novel\": 0.1"
                : shares;
        return "{ // a run\n\"kind\": \"vqgan\", \"from\": \"" + from + "\", \"output\": \"" + output +
               "\", \"half\": \"" + half + "\", \"pictures\": {" + mixture + "}, \"batch\": " + std::to_string(batch) +
               ", \"steps\": " + std::to_string(steps) +
               ", \"seed\": 5, \"loss\": {\"squares\": 1, \"absolutes\": 0.1, \"edges\": 0.05, \"object_weight\": 4, "
               "\"commitment\": 0.25, \"weights\": {\"scene\": 1, \"segmentation\": 1, \"edges\": 0.2, \"scribble\": "
               "0.3, "
               "\"depth\": 1, \"sign\": 0.5, \"novel\": 1}}, \"codebook\": {\"decay\": 0.9, \"epsilon\": 1e-5, "
               "\"revive_below\": 0.5}, "
               "\"optimiser\": {\"learning_rate\": " +
               std::to_string(rate) +
               ", \"warm_up\": 1, \"schedule\": \"cosine\", \"end\": 0.1, \"beta_1\": 0.9, \"beta_2\": 0.99, "
               "\"epsilon\": 1e-8, \"weight_decay\": 0.01, \"clip\": 1, \"average\": 0.9}, \"evaluate_every\": 100, "
               "\"evaluate_pictures\": 1, \"checkpoint_minutes\": 60" +
               extra + "}";
    }
};

VqganRun run_in(const std::string& folder, int stop_after = 0, bool resume = false) {
    return {folder, resume, stop_after, [] { return false; }, [](const std::string&) {}};
}

void train(const RecipeText& recipe, const VqganRun& run, int threads) {
    set_cpu_threads(threads);
    train_vqgan(parse_vqgan_recipe(recipe.text(), "recipe"), run);
    set_cpu_threads(0);
}

}  // namespace

TEST_CASE("vqgan training: the loss and its gradient agree") {
    const int64_t height = 5, width = 7, n = height * width * 3;
    std::vector<float> picture = uniform_values(static_cast<size_t>(n), 1), d(picture.size());
    const std::vector<float> target = uniform_values(static_cast<size_t>(n), 2);
    std::vector<float> weights = uniform_values(static_cast<size_t>(height * width), 3);
    for (float& w : weights) w += 2;
    const PictureLossRule rules[] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0.7, 0.2, 0.4}};
    for (const PictureLossRule& rule : rules) {
        std::vector<float> scratch(d.size());
        auto loss = [&](std::vector<float>& gradient) {
            return picture_loss(Tensor(gradient.data(), DType::F32, {height, width, 3}),
                                Tensor(picture.data(), DType::F32, {height, width, 3}), target, weights, rule, 3);
        };
        loss(d);
        for (size_t i = 0; i < d.size(); i += 4) {
            const float kept = picture[i];
            picture[i] = kept + 1e-3f;
            const double up = loss(scratch).loss;
            picture[i] = kept - 1e-3f;
            const double down = loss(scratch).loss;
            picture[i] = kept;
            CHECK(3 * (up - down) / 2e-3 == doctest::Approx(d[i]).epsilon(0.02).scale(1e-3));
        }
        double squares = 0;
        for (size_t i = 0; i < d.size(); i++) squares += std::pow(picture[i] - target[i], 2);
        CHECK(loss(scratch).squares == doctest::Approx(squares / static_cast<double>(n)).epsilon(1e-5));
    }
}

TEST_CASE("vqgan training: the codebook is the mean of its latents, lately") {
    const std::vector<float> entries = {0, 0, 1, 1, 5, 5};
    MovingCodebook book(entries, 3, 2, 2.0);
    const std::vector<float> latents = {0.5f, 0, 0.25f, 0.5f, 2, 2};
    const std::vector<int32_t> codes = {0, 0, 1};
    CHECK(book.update(latents, codes, {.decay = 0.9, .epsilon = 0, .revive_below = 0}, 1) == 0);
    // counts: 0.9 * 2 + 0.1 * n; sums likewise
    CHECK(book.counts[0] == doctest::Approx(2.0));
    CHECK(book.counts[1] == doctest::Approx(1.9));
    CHECK(book.counts[2] == doctest::Approx(1.8));
    CHECK(book.values[0] == doctest::Approx(0.1 * 0.75 / 2.0));
    CHECK(book.values[1] == doctest::Approx(0.1 * 0.5 / 2.0));
    CHECK(book.values[2] == doctest::Approx((0.9 * 2 + 0.1 * 2) / 1.9));
    CHECK(book.values[4] == doctest::Approx(5.0));

    // Taken by nobody for long, the third dies and begins anew as one of the latents.
    int revived = 0;
    for (uint64_t step = 0; step < 40 && revived == 0; step++)
        revived = book.update(latents, codes, {.decay = 0.9, .epsilon = 1e-5, .revive_below = 0.07}, step);
    CHECK(revived == 1);
    bool is_latent = false;
    for (size_t i = 0; i < latents.size(); i += 2)
        is_latent |= book.values[4] == latents[i] && book.values[5] == latents[i + 1];
    CHECK(is_latent);
    // After many steps the entries are the means.
    for (uint64_t step = 0; step < 200; step++)
        book.update(latents, codes, {.decay = 0.9, .epsilon = 1e-5, .revive_below = 0}, step);
    CHECK(book.values[0] == doctest::Approx(0.375).epsilon(1e-3));
    CHECK(book.values[2] == doctest::Approx(2).epsilon(1e-3));

    CHECK(code_use(std::vector<int64_t>{4, 4, 0, 4, 4}).perplexity == doctest::Approx(4));
    CHECK(code_use(std::vector<int64_t>{4, 4, 0, 4, 4}).used == 4);
    CHECK(code_use(std::vector<int64_t>{9, 0}).perplexity == doctest::Approx(1));
}

TEST_CASE("vqgan training: pictures are functions of kind and seed") {
    const World world;
    for (int k = 0; k < PICTURE_KINDS; k++) {
        const PictureKind kind = static_cast<PictureKind>(k);
        CAPTURE(std::string(name_of(kind)));
        std::vector<std::vector<uint8_t>> seen;
        for (uint64_t seed : {uint64_t{3}, FIRST_TRAINING_SEED + 3, FIRST_TRAINING_SEED + 4}) {
            const TrainingPicture picture = training_picture(world, kind, seed),
                                  again = training_picture(world, kind, seed);
            CHECK(picture.picture.width == SCENE_SIZE);
            CHECK(picture.picture.height == SCENE_SIZE);
            CHECK(picture.picture.rgb == again.picture.rgb);
            CHECK(picture.matters == again.matters);
            size_t pixels = 0;
            for (uint8_t m : picture.matters) pixels += m;
            CHECK(picture.matters.size() == static_cast<size_t>(SCENE_SIZE * SCENE_SIZE));
            CHECK(pixels > 20);
            CHECK(pixels < picture.matters.size());
            CHECK(picture.labels.has_value() == (kind == PictureKind::Segmentation));
            if (picture.labels)
                CHECK(exact_map(picture.picture, storybook_legend(), "map").labels == picture.labels->labels);
            seen.push_back(picture.picture.rgb);
        }
        CHECK(seen[0] != seen[1]);
        CHECK(seen[1] != seen[2]);
    }
}

TEST_CASE("vqgan training: scores of reconstructions") {
    const World world;
    const TrainingPicture map = training_picture(world, PictureKind::Segmentation, 3);
    VqganScore same = score_picture(map, map.picture);
    CHECK(same.psnr == EQUAL_DECIBELS);
    CHECK(same.object_psnr == EQUAL_DECIBELS);
    CHECK(same.ssim == doctest::Approx(1));
    CHECK(same.iou == 1);

    // Ten levels off where it matters, nowhere else.
    Picture off = map.picture;
    size_t pixels = 0;
    for (size_t p = 0; p < map.matters.size(); p++) {
        if (!map.matters[p]) continue;
        pixels++;
        for (size_t i = 3 * p; i < 3 * p + 3; i++)
            off.rgb[i] = static_cast<uint8_t>(off.rgb[i] < 128 ? off.rgb[i] + 10 : off.rgb[i] - 10);
    }
    const VqganScore score = score_picture(map, off);
    CHECK(score.object_psnr == doctest::Approx(20 * std::log10(25.5)));
    CHECK(score.psnr ==
          doctest::Approx(20 * std::log10(25.5) +
                          10 * std::log10(static_cast<double>(map.matters.size()) / static_cast<double>(pixels))));
    same += score;
    CHECK(same.pictures == 2);
    CHECK(same.mean().psnr == doctest::Approx((EQUAL_DECIBELS + score.psnr) / 2));

    LabelMap want = {4, 1, {0, 0, 1, 1}}, got = {4, 1, {0, 2, 1, 1}};
    CHECK(mean_iou(got, want) == doctest::Approx((0.5 + 1.0) / 2));  // what nobody wanted is no label of its own
    CHECK(mean_iou(want, got) == doctest::Approx((0.5 + 0 + 1.0) / 3));
}

TEST_CASE("vqgan training: a recipe says what is wrong with it") {
    RecipeText good;
    good.from = "a.leon", good.output = "b.leon";
    const VqganRecipe recipe = parse_vqgan_recipe(good.text(), "recipe");
    CHECK(recipe.half == VqganHalf::Both);
    CHECK(recipe.shares[static_cast<size_t>(PictureKind::Depth)] == doctest::Approx(0.1));
    CHECK(recipe.codebook.revive_below == doctest::Approx(0.5));

    auto complaint = [&](auto change) {
        RecipeText bad = good;
        change(bad);
        return error_of([&] { parse_vqgan_recipe(bad.text(), "recipe"); });
    };
    CHECK(contains(complaint([](RecipeText& r) { r.half = "encoder"; }), "'half'"));
    CHECK(contains(complaint([](RecipeText& r) { r.batch = 0; }), "'batch'"));
    CHECK(contains(complaint([](RecipeText& r) { r.extra = ", \"surprise\": 1"; }), "surprise"));
    CHECK(contains(complaint([](RecipeText& r) { r.shares = "\"scene\": 1"; }), "'pictures.segmentation'"));
    CHECK(contains(
        complaint([](RecipeText& r) {
            r.shares =
                "\"scene\": 0.5, \"segmentation\": 0, \"edges\": 0, \"scribble\": 0, \"depth\": 0, \"sign\": 0, "
                "\"novel\": 0.4";
        }),
        "add up to 1"));
    CHECK(contains(error_of([] { parse_vqgan_recipe("{\"kind\": \"transformer\"}", "recipe"); }), "'kind'"));
}

TEST_CASE("vqgan training: the recipe of the model in the box can be read") {
    const std::string path = "training/recipes/vqgan.json";
    const VqganRecipe recipe = parse_vqgan_recipe(read_text(path), path);
    CHECK(recipe.half == VqganHalf::Both);
    CHECK(recipe.steps > 1000);
}

TEST_CASE("vqgan training: the benchmark says how fast steps and operations are") {
    VqganBench bench;
    bench.config.channels = 32, bench.config.multipliers = {1, 1}, bench.config.res_blocks = 1;
    bench.config.z_channels = bench.config.code_dim = 8, bench.config.codes = 16, bench.config.resolution = 16;
    bench.config.encoder = bench.config.decoder = true;
    bench.side = 16, bench.steps = 2;
    std::vector<std::string> lines;
    benchmark_vqgan(bench, [&](const std::string& line) { lines.push_back(line); });
    REQUIRE(lines.size() == 11);  // two steps, the fastest, seven operations, and a picture
    CHECK(contains(lines[0], "pictures/s"));
    CHECK(contains(lines[2], "fastest"));
    CHECK(lines[10].find("a picture") == 0);
    bench.side = 17;
    CHECK(contains(error_of([&] { benchmark_vqgan(bench, [](const std::string&) {}); }), "--side"));
}

TEST_CASE("vqgan training: a resumed run is the uninterrupted one, on any number of threads") {
    const TinyModel model(Layout::CM3Leon);
    TemporaryFolder folder;
    RecipeText recipe;
    recipe.from = model.path();
    recipe.output = folder / "whole.leon";
    train(recipe, run_in(folder / "whole"), 2);

    recipe.output = folder / "parts.leon";
    train(recipe, run_in(folder / "parts", 1), 1);
    const std::string checkpoint = "/checkpoint.safetensors";
    CHECK(read_file(folder / "whole" + checkpoint) != read_file(folder / "parts" + checkpoint));
    CHECK(contains(error_of([&] { train(recipe, run_in(folder / "parts"), 1); }), "--resume"));
    VqganRun asked = run_in(folder / "parts", 0, true);
    asked.is_stopped = [] { return true; };  // after its first step
    train(recipe, asked, 2);
    CHECK(CheckpointFile(folder / "parts" + checkpoint, "vqgan").number("step") == 2);
    train(recipe, run_in(folder / "parts", 0, true), 1);
    CHECK(read_file(folder / "whole" + checkpoint) == read_file(folder / "parts" + checkpoint));
    CHECK(read_file(folder / "whole.leon") == read_file(folder / "parts.leon"));
    const LogTable whole = read_log(folder / "whole/log.csv"), parts = read_log(folder / "parts/log.csv");
    CHECK(whole.values[0].back() == parts.values[0].back());

    // All that is not the VQGAN is carried over, and the VQGAN can be used.
    const WeightsFile before(model.path()), after(folder / "whole.leon");
    CHECK(before.config_json() == after.config_json());
    CHECK(before.tokenizer_json() == after.tokenizer_json());
    int same = 0, other = 0;
    for (const auto& entry : before.file().tensors()) {
        const std::string& name = entry.first;
        const StoredTensor& tensor = entry.second;
        if (name.rfind(PADDING_PREFIX, 0) == 0) continue;
        CAPTURE(name);
        const StoredTensor* fresh = after.file().find(name);
        REQUIRE(fresh != nullptr);
        CHECK(fresh->dtype == tensor.dtype);
        REQUIRE(fresh->shape == tensor.shape);
        const bool equal = std::memcmp(before.file().data(tensor), after.file().data(*fresh), tensor.bytes) == 0;
        CHECK(equal != (name.rfind("vqgan.", 0) == 0));
        (equal ? same : other)++;
    }
    CHECK(same > 10);
    CHECK(other > 100);
    const Vqgan vqgan(after, parse_config(after.config_json(), "").vqgan, cpu_kernels());
    CHECK(vqgan.encode(std::vector<float>(32 * 32 * 3), 32, 32).size() == 16);
}

TEST_CASE("vqgan training: the decoder alone leaves every code as it is, and learns") {
    const TinyModel model(Layout::CM3Leon);
    TemporaryFolder folder;
    RecipeText recipe;
    recipe.from = model.path();
    recipe.output = folder / "decoder.leon";
    recipe.half = "decoder";
    recipe.steps = 12, recipe.batch = 4, recipe.rate = 4e-3;
    train(recipe, run_in(folder / "run"), 0);
    const WeightsFile before(model.path()), after(recipe.output);
    for (const auto& entry : before.file().tensors()) {
        const std::string& name = entry.first;
        const StoredTensor& tensor = entry.second;
        if (name.rfind("vqgan.", 0) != 0) continue;
        CAPTURE(name);
        const bool equal =
            std::memcmp(before.file().data(tensor), after.file().data(*after.file().find(name)), tensor.bytes) == 0;
        const bool decodes = name.rfind("vqgan.decoder.", 0) == 0 || name.rfind("vqgan.post_quant_conv", 0) == 0;
        CHECK(equal != decodes);
    }
    const LogTable log = read_log(folder / "run/log.csv");
    const std::vector<std::optional<double>>& psnr = log.values[static_cast<size_t>(log.find("scene psnr"))];
    REQUIRE(psnr.front().has_value());
    REQUIRE(psnr.back().has_value());
    CHECK(*psnr.back() > *psnr.front() + 1);
}
