// leon score from files to report: what is paired with what, what a report says, and one clear line for what does not
// fit.
#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "runtime/files.h"
#include "runtime/npy.h"
#include "runtime/strict_json.h"
#include "tasks/evaluation.h"
#include "tokenizer/legend.h"

#include "tests/temporary_folder.h"
#include "tests/testing.h"

namespace leon {
namespace {

using nlohmann::json;

const std::string VECTORS = "tests/vectors/metrics/";

// A folder with refs.jsonl and cands.jsonl.
struct Lines : TemporaryFolder {
    Lines(const std::string& references, const std::string& candidates) {
        write_text(*this / "refs.jsonl", references);
        write_text(*this / "cands.jsonl", candidates);
    }
    std::string references() const { return *this / "refs.jsonl"; }
    std::string candidates() const { return *this / "cands.jsonl"; }
};

json captions(const Lines& lines, CaptionTokens tokens = CaptionTokens::Split, ScoreDetail detail = ScoreDetail::Each) {
    return parse_json(score_captions(lines.references(), lines.candidates(), tokens, detail), "report");
}
json answers(const Lines& lines) {
    return parse_json(score_answers(lines.references(), lines.candidates(), ScoreDetail::Each), "report");
}
json boxes(const Lines& lines) {
    return parse_json(score_boxes(lines.references(), lines.candidates(), ScoreDetail::Each), "report");
}
json segmentation(const std::string& a, const std::string& b, const SegmentationOptions& options = {}) {
    return parse_json(score_segmentation(a, b, options, ScoreDetail::Each), "report");
}

// The message of the Error: one line that names what it is about.
template <class Action>
std::string refusal(const Action& action) {
    const std::string message = error_of(action);
    CHECK(!message.empty());
    CHECK(message.find('\n') == std::string::npos);
    return message;
}

Picture painted(int width, int height, std::array<uint8_t, 3> left, std::array<uint8_t, 3> right, int split) {
    Picture picture(width, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) std::copy_n((x < split ? left : right).begin(), 3, picture.at(x, y));
    return picture;
}

}  // namespace

TEST_CASE("evaluation: captions are paired by id, in any order, and split or taken as they are") {
    const Lines lines(
        "{\"id\": 1, \"captions\": [\"A dog's house.\", \"a red house\"]}\n\n"
        "{\"id\": \"1\", \"captions\": [\"Two birds\"], \"url\": \"x\"}\r\n",
        "{\"caption\": \"two birds!\", \"id\": \"1\"}\n{\"caption\": \"a dog 's house\", \"id\": 1}");
    const json report = captions(lines);
    CHECK(report["kind"] == "captions");
    CHECK(report["pictures"] == 2);
    CHECK(report["reference_captions"] == 3);
    CHECK(report["bleu_1"] == 1);
    CHECK(report["bleu_4"] == 1);
    REQUIRE(report["each"].size() == 2);
    CHECK(report["each"][0]["id"] == 1);
    CHECK(report["each"][1]["id"] == "1");
    CHECK(
        report["cider_d"].get<double>() ==
        doctest::Approx((report["each"][0]["cider_d"].get<double>() + report["each"][1]["cider_d"].get<double>()) / 2));
    for (const char* rule : {"cider_d", "bleu_n", "words"}) CHECK(report["definitions"].contains(rule));
    const json as_given = captions(lines, CaptionTokens::AsGiven, ScoreDetail::Summary);
    CHECK(as_given["bleu_1"].get<double>() < 0.5);
    CHECK(!as_given.contains("each"));
    CHECK(captions({"{\"id\": 1, \"captions\": [\"a\"]}", "{\"id\": 1, \"caption\": \"a\"}"})["cider_d"].is_null());
}

TEST_CASE("evaluation: lines that do not fit are refused by file and line") {
    const std::string good = "{\"id\": 1, \"captions\": [\"a\"]}\n", mine = "{\"id\": 1, \"caption\": \"a\"}\n";
    const auto complaint = [](const std::string& references, const std::string& candidates) {
        return refusal([&] { captions({references, candidates}); });
    };
    CHECK(contains(complaint("", mine), "refs.jsonl: holds no lines"));
    CHECK(contains(complaint(good, " \n\n"), "cands.jsonl: holds no lines"));
    CHECK(contains(complaint(good, mine + "\n{"), "cands.jsonl:3: not valid JSON"));
    CHECK(contains(complaint("[1]", mine), "refs.jsonl:1: must be a JSON object"));
    CHECK(contains(complaint("{\"captions\": [\"a\"]}", mine), "refs.jsonl:1: must be a JSON object with an \"id\""));
    CHECK(contains(complaint("{\"id\": 1.5, \"captions\": [\"a\"]}", mine), "a text or an integer"));
    CHECK(contains(complaint(good + good, mine), "refs.jsonl:2: the id 1 was in"));
    CHECK(contains(complaint(good, "{\"id\": 2, \"caption\": \"a\"}"), "refs.jsonl:1 is missing"));
    CHECK(contains(complaint(good, mine + "{\"id\": 2, \"caption\": \"a\"}"), "cands.jsonl:2: the id 2 is not in"));
    CHECK(contains(complaint("{\"id\": 1, \"captions\": []}", mine), "refs.jsonl:1: \"captions\""));
    CHECK(contains(complaint("{\"id\": 1}", mine), "refs.jsonl:1: \"captions\""));
    CHECK(contains(complaint("{\"id\": 1, \"captions\": [\"a\", 3]}", mine), "refs.jsonl:1: \"captions\""));
    CHECK(contains(complaint(good, "{\"id\": 1, \"caption\": [\"a\"]}"), "cands.jsonl:1: \"caption\""));
    CHECK(contains(refusal([] { score_captions("none.jsonl", "none.jsonl", CaptionTokens::Split, ScoreDetail::Each); }),
                   "none.jsonl"));
}

TEST_CASE("evaluation: answers have the challenge's accuracy only where ten people answered") {
    std::string ten = "[";
    for (int i = 0; i < 10; i++) ten += std::string(i ? "," : "") + (i < 2 ? "\"The beach\"" : "\"meadow\"");
    const std::string first = "{\"id\": 1, \"answers\": " + ten + "]}\n";
    json report = answers({first, "{\"id\": 1, \"answer\": \"beach\"}"});
    CHECK(report["exact"] == 0);
    CHECK(report["exact_normalised"] == 1);
    CHECK(report["vqa_accuracy"] == 0);  // the published code leaves a reference's article
    CHECK(report["vqa_accuracy_normalised"].get<double>() == doctest::Approx(0.6));
    report = answers({first, "{\"id\": 1, \"answer\": \"meadow\"}"});
    CHECK(report["exact"] == 1);
    CHECK(report["vqa_accuracy"] == 1);

    report = answers({"{\"id\": 2, \"answers\": [\"sea\"]}\n" + first,
                      "{\"id\": 1, \"answer\": \"meadow\"}\n{\"id\": 2, \"answer\": \"lake\"}"});
    CHECK(report["questions"] == 2);
    CHECK(report["exact"] == 0.5);
    CHECK(report["vqa_accuracy"].is_null());
    CHECK(report["vqa_accuracy_normalised"].is_null());
}

TEST_CASE("evaluation: boxes, with some not found") {
    const std::string references =
        "{\"id\": 1, \"box\": [0, 0, 10, 10]}\n{\"id\": 2, \"box\": [0, 0, 2, 2]}\n{\"id\": 3, \"box\": [0, 0, 4, 2]}";
    const json report = boxes(
        {references,
         "{\"id\": 1, \"box\": [5, 5, 15, 15]}\n{\"id\": 2, \"box\": null}\n{\"id\": 3, \"box\": [0, 0, 2, 2.0]}"});
    CHECK(report["boxes"] == 3);
    CHECK(report["missing"] == 1);
    CHECK(report["mean_iou"].get<double>() == doctest::Approx((25.0 / 175 + 0.5) / 3));
    CHECK(report["share_iou_50"].get<double>() == doctest::Approx(1.0 / 3));
    CHECK(report["each"][1]["iou"] == 0);

    const auto complaint = [](const std::string& box) {
        return refusal([&] { boxes({"{\"id\": 1, \"box\": [0, 0, 1, 1]}", "{\"id\": 1" + box + "}"}); });
    };
    for (const char* box :
         {", \"box\": [1, 2, 3]", ", \"box\": [1, 2, 3, \"4\"]", ", \"box\": 3", ", \"box\": [1, 2, 3, null]"})
        CHECK(contains(complaint(box), "cands.jsonl:1: \"box\" must be four numbers"));
    CHECK(contains(complaint(""), "\"box\" is missing"));
    CHECK(contains(complaint(", \"box\": [1, 2, 0, 3]"), "wrong order"));
    CHECK(contains(refusal([] {
                       boxes({"{\"id\": 1, \"box\": null}", "{\"id\": 1, \"box\": null}"});
                   }),
                   "refs.jsonl:1"));
}

TEST_CASE("evaluation: segmentation of colours, of a legend's kinds, and of arrays") {
    const TemporaryFolder folder;
    const Legend& legend = storybook_legend();
    const auto beach = legend.kinds[static_cast<size_t>(*legend.find("beach"))].colour;
    const auto dog = legend.kinds[static_cast<size_t>(*legend.find("dog"))].colour;
    save_picture(folder / "a.png", painted(16, 12, beach, dog, 8));
    save_picture(folder / "b.png", painted(16, 12, beach, dog, 4));
    json report = segmentation(folder / "a.png", folder / "b.png");
    CHECK(report["maps"] == 1);
    CHECK(report["pixels"] == 16 * 12);
    CHECK(report["pixel_accuracy"] == 0.75);
    CHECK(report["mean_iou"].get<double>() == doctest::Approx((4.0 / 8 + 8.0 / 12) / 2));
    REQUIRE(report["classes"].size() == 2);
    CHECK(contains(report["classes"].dump(), std::to_string(dog[0]) + "," + std::to_string(dog[1])));

    // A drawn map is a little off in every pixel; its kinds are not.
    Picture drawn = painted(16, 12, beach, dog, 4);
    for (size_t i = 0; i < drawn.rgb.size(); i++) drawn.rgb[i] ^= 3;
    save_picture(folder / "drawn.png", drawn);
    SegmentationOptions options{legend, ""};
    report = segmentation(folder / "a.png", folder / "drawn.png", options);
    CHECK(report["pixel_accuracy"] == 0.75);
    CHECK(contains(report["classes"].dump(), "\"dog\""));
    options.ignore = "beach";
    report = segmentation(folder / "a.png", folder / "drawn.png", options);
    CHECK(report["pixels"] == 8 * 12);
    CHECK(report["mean_iou"] == 1);
    CHECK(
        contains(refusal([&] { segmentation(folder / "drawn.png", folder / "a.png", options); }), "not in the legend"));

    const std::vector<int32_t> reference = {0, 1, 1, 255}, candidate = {0, 1, 2, 1};
    save_npy(folder / "a.npy", reference.data(), {2, 2});
    save_npy(folder / "b.npy", candidate.data(), {2, 2});
    report = segmentation(folder / "a.npy", folder / "b.npy", {{}, "255"});
    CHECK(report["mean_iou"].get<double>() == doctest::Approx((1 + 0.5 + 0) / 3));
    CHECK(report["definitions"]["ignored"] == "pixels where the reference has 255");
    report = segmentation(folder / "a.png", folder / "b.png",
                          {{}, std::to_string(dog[0]) + "," + std::to_string(dog[1]) + "," + std::to_string(dog[2])});
    CHECK(report["pixels"] == 8 * 12);
}

TEST_CASE("evaluation: label maps that do not fit are refused") {
    const TemporaryFolder folder;
    save_picture(folder / "a.png", Picture(8, 8, 5));
    save_picture(folder / "b.png", Picture(8, 9, 5));
    Picture photo(64, 64);
    std::mt19937 random(1);
    for (uint8_t& sample : photo.rgb) sample = static_cast<uint8_t>(random() >> 24);
    save_picture(folder / "photo.png", photo);
    save_picture(folder / "large.png", Picture(64, 64, 5));
    const std::vector<int32_t> labels(64, 1);
    save_npy(folder / "a.npy", labels.data(), {8, 8});
    save_npy(folder / "flat.npy", labels.data(), {64});
    const std::vector<float> floats(64, 1);
    save_npy(folder / "floats.npy", floats.data(), {8, 8});
    const auto complaint = [&](const char* a, const char* b, const SegmentationOptions& options = {}) {
        return refusal([&] { segmentation(folder / a, folder / b, options); });
    };
    CHECK(contains(complaint("a.png", "b.png"), "b.png: is 8 x 9, but "));
    CHECK(contains(complaint("large.png", "photo.png"), "photo.png: has more than 1024 labels"));
    CHECK(contains(complaint("a.png", "a.npy"), "cannot be compared"));
    CHECK(contains(complaint("a.npy", "flat.npy"), "[height, width]"));
    CHECK(contains(complaint("a.npy", "floats.npy"), "integers"));
    CHECK(contains(complaint("a.npy", "a.npy", {{}, "1"}), "no pixels that count"));
    for (const char* ignore : {"x", "1,2", "1 ", ""}) {
        if (*ignore) CHECK(contains(complaint("a.npy", "a.npy", {{}, ignore}), "--ignore"));
    }
    for (const char* ignore : {"5", "5,5", "5,5,256", "5,5,5,5", "5,5,", "red", "-1,0,0"})
        CHECK(contains(complaint("a.png", "a.png", {{}, ignore}), "write r,g,b"));
    CHECK(contains(complaint("a.png", "none.png"), "none.png"));
    save_picture(folder / "a.png", paint_map({8, 8, std::vector<int32_t>(64, 0)}, storybook_legend()));
    CHECK(contains(complaint("a.png", "a.png", {storybook_legend(), "unicorn"}), "has no such kind"));
}

TEST_CASE("evaluation: pictures and folders of them") {
    json report = parse_json(
        score_pictures(VECTORS + "picture_0a.png", VECTORS + "picture_0b.png", ScoreDetail::Summary), "report");
    CHECK(report["psnr"].get<double>() == doctest::Approx(30.900793068391145).epsilon(1e-12));
    CHECK(report["ssim"].get<double>() == doctest::Approx(0.9529292451875615).epsilon(1e-12));
    CHECK(!report.contains("each"));

    const TemporaryFolder folder;
    for (const char* side : {"a", "b"}) {
        std::filesystem::create_directory(folder / side);
        for (const char* number : {"0", "1", "3"})
            std::filesystem::copy_file(VECTORS + "picture_" + number + side + ".png",
                                       folder / side + "/" + number + ".PNG");
    }
    write_text(folder / "a/notes.txt", "not a picture");
    size_t steps = 0;
    report = parse_json(score_pictures(folder / "a", folder / "b", ScoreDetail::Each,
                                       [&](size_t done, size_t total) {
                                           CHECK(done == ++steps);
                                           CHECK(total == 3);
                                       }),
                        "report");
    CHECK(steps == 3);
    CHECK(report["pairs"] == 3);
    CHECK(report["equal_pairs"] == 1);
    CHECK(report["psnr"].get<double>() ==
          doctest::Approx((30.900793068391145 + 23.467847774720646) / 2).epsilon(1e-12));
    CHECK(report["ssim"].get<double>() ==
          doctest::Approx((0.9529292451875615 + 0.8223478443312245 + 1) / 3).epsilon(1e-12));
    REQUIRE(report["each"].size() == 3);
    CHECK(report["each"][2]["name"] == "3");
    CHECK(report["each"][2]["psnr"].is_null());
    CHECK(report["each"][2]["ssim"] == 1);

    const auto complaint = [&] {
        return refusal([&] { score_pictures(folder / "a", folder / "b", ScoreDetail::Summary); });
    };
    CHECK(contains(refusal([&] { score_pictures(folder / "a", VECTORS + "picture_0a.png", ScoreDetail::Summary); }),
                   "one is a folder"));
    save_picture(folder / "a/3.bmp", Picture(12, 12));
    CHECK(contains(complaint(), "has the name of"));
    std::filesystem::remove(folder / "a/3.bmp");
    save_picture(folder / "a/4.png", Picture(12, 12));
    CHECK(contains(complaint(), "there is no candidate for " + (folder / "a/4.png")));
    save_picture(folder / "b/4.png", Picture(12, 13));
    CHECK(contains(complaint(), "is 12 x 13, but"));
    save_picture(folder / "b/4.png", Picture(12, 12));
    save_picture(folder / "b/5.png", Picture(12, 12));
    CHECK(contains(complaint(), "there is no reference for " + (folder / "b/5.png")));
    std::filesystem::create_directory(folder / "empty");
    CHECK(contains(refusal([&] { score_pictures(folder / "empty", folder / "empty", ScoreDetail::Summary); }),
                   "no files"));
    save_picture(folder / "small.png", Picture(10, 12));
    CHECK(contains(refusal([&] { score_pictures(folder / "small.png", folder / "small.png", ScoreDetail::Summary); }),
                   "11 x 11"));
}

TEST_CASE("evaluation: the Fréchet distance is named after its features, and FID after Inception's alone") {
    const std::string a = VECTORS + "features_0a.npy", b = VECTORS + "features_0b.npy";
    size_t last = 0, total = 0;
    const auto watch = [&](size_t done, size_t all) {
        CHECK(done > last);
        last = done;
        total = all;
    };
    json report = parse_json(score_frechet(a, b, "CLIP ViT-B/32", watch), "report");
    CHECK(last == total);
    CHECK(report["frechet_distance"].get<double>() == doctest::Approx(303.3952866034227).epsilon(1e-9));
    CHECK(report["vectors"] == json({60, 45}));
    CHECK(report["dim"] == 16);
    CHECK(report["features"] == "CLIP ViT-B/32");
    CHECK(contains(report["name"].get<std::string>(), "CLIP ViT-B/32"));
    CHECK(!contains(report.dump(), "FID"));
    report = parse_json(score_frechet(a, b, "Inception v3 pool3"), "report");
    CHECK(contains(report["name"].get<std::string>(), "FID"));
    CHECK(contains(refusal([&] { score_frechet(a, b, " "); }), "--features"));
    CHECK(contains(refusal([&] { score_frechet(a, VECTORS + "features_1b.npy", "x"); }), "features_1b.npy"));
    CHECK(contains(refusal([&] { score_frechet(a, "tests/vectors/npy/scalar.npy", "x"); }), "[vectors, features]"));
    CHECK(contains(refusal([&] { score_frechet(a, VECTORS + "frechet.txt", "x"); }), "not a .npy file"));
}

}  // namespace leon
