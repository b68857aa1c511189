// Metrics against what published implementations compute (tests/vectors/metrics; each case says which), against values
// by hand, and against their own laws.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

#include "metrics/answers.h"
#include "metrics/captions.h"
#include "metrics/frechet.h"
#include "metrics/likeness.h"
#include "metrics/overlap.h"
#include "metrics/symmetric_eigenvalues.h"
#include "runtime/npy.h"
#include "runtime/strict_json.h"

#include "tests/testing.h"

namespace leon {
namespace {

using nlohmann::json;

const std::string VECTORS = "tests/vectors/metrics/";

std::vector<json> read_lines(const std::string& name) {
    std::ifstream file(VECTORS + name);
    std::vector<json> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(parse_json(line, name));
    REQUIRE(!lines.empty());
    return lines;
}

std::string joined(const Words& words) {
    std::string text;
    for (const std::string& word : words) text += "[" + word + "]";
    return text;
}

bool near(double got, double want, double relative) {
    return std::abs(got - want) <= relative * std::max(1.0, std::abs(want));
}

Features features(const std::string& name) {
    const Array array = load_npy(VECTORS + name);
    return {static_cast<size_t>(array.shape[0]), static_cast<size_t>(array.shape[1]), array.doubles(name)};
}

Features random_features(size_t count, size_t dim, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    Features set{count, dim, std::vector<double>(count * dim)};
    for (double& value : set.values) value = normal(random);
    return set;
}

double distance(const Features& a, const Features& b) {
    return frechet_distance(a, b, "a.npy", "b.npy").squared_distance;
}

Picture noise(int width, int height, uint32_t seed) {
    std::mt19937 random(seed);
    Picture picture(width, height);
    for (uint8_t& sample : picture.rgb) sample = static_cast<uint8_t>(random() >> 24);
    return picture;
}

}  // namespace

TEST_CASE("metrics: captions are split into the words of pycocoevalcap's PTBTokenizer") {
    for (const json& line : read_lines("words.jsonl")) {
        const std::string text = line["text"];
        CAPTURE(text);
        CHECK(joined(caption_words(text)) == joined(line["words"].get<Words>()));
    }
    CHECK(joined(split_words("  a\tB'S \n c. ")) == "[a][B'S][c.]");
    CHECK(caption_words("\xff\xc3").size() == 1);  // not UTF-8: a word of some kind
    CHECK(lower_case("A\xc3\x84\xc3\x97\xc3\x9f") == "a\xc3\xa4\xc3\x97\xc3\x9f");
}

TEST_CASE("metrics: CIDEr-D and BLEU are pycocoevalcap's") {
    std::vector<CaptionCase> cases;
    std::vector<double> wanted;
    std::vector<double> wanted_bleu;
    for (const json& line : read_lines("captions.jsonl")) {
        if (line.contains("bleu")) {
            wanted_bleu = line["bleu"].get<std::vector<double>>();
            continue;
        }
        CaptionCase example{split_words(line["caption"].get<std::string>()), {}};
        for (const json& text : line["captions"]) example.references.push_back(split_words(text.get<std::string>()));
        cases.push_back(std::move(example));
        wanted.push_back(line["cider_d"]);
    }
    REQUIRE(cases.size() == 40);
    const auto scores = cider_d(cases);
    REQUIRE(scores.has_value());
    for (size_t i = 0; i < cases.size(); i++) {
        CAPTURE(i);
        CHECK(near((*scores)[i], wanted[i], 1e-12));
    }
    const auto bleu = corpus_bleu(cases);
    // pycocoevalcap adds 1e-9 to the number of n-grams.
    for (size_t n = 0; n < MAX_NGRAM; n++) CHECK(near(bleu[n], wanted_bleu[n], 1e-10));
}

TEST_CASE("metrics: captions by hand, and where scores end") {
    // Two of three words right, one of two pairs: 2/3, sqrt(2/3 * 1/2); no triple. Brevity: c = 3, r = 3 (the closest).
    const CaptionCase example{split_words("a red dog"),
                              {split_words("a red cat"), split_words("one two three four five")}};
    auto bleu = corpus_bleu({example});
    CHECK(near(bleu[0], 2.0 / 3, 1e-15));
    CHECK(near(bleu[1], std::sqrt(1.0 / 3), 1e-15));
    CHECK(bleu[2] == 0);
    CHECK(bleu[3] == 0);
    // Of lengths 1 and 5 the shorter is chosen for 3 words; a repeated word counts as often as one reference has it.
    bleu = corpus_bleu({{split_words("dog dog dog"), {split_words("a b c d dog"), split_words("dog")}}});
    CHECK(near(bleu[0], 1.0 / 3, 1e-15));
    // Brevity exp(1 - 4/2).
    bleu = corpus_bleu({{split_words("a b"), {split_words("a b c d")}}});
    CHECK(near(bleu[1], std::exp(-1), 1e-15));
    CHECK(corpus_bleu({{{}, {split_words("a")}}})[0] == 0);
    CHECK(corpus_bleu({{{}, {{}}}})[0] == 0);

    CHECK(!cider_d({example}).has_value());
    // Captions that share nothing with other pictures' and equal their references score 10.
    const auto same = cider_d({{split_words("a b c d"), {split_words("a b c d")}},
                               {split_words("e f g h"), {split_words("e f g h")}},
                               {split_words("a b c d"), {split_words("i j k l m")}},
                               {{}, {split_words("n o p q")}}});
    REQUIRE(same.has_value());
    CHECK(near((*same)[0], 10, 1e-12));
    CHECK(near((*same)[1], 10, 1e-12));
    CHECK((*same)[2] == 0);
    CHECK((*same)[3] == 0);
}

TEST_CASE("metrics: answers are judged as the VQA challenge's evaluation code does") {
    double sum = 0;
    for (const json& line : read_lines("answers.jsonl")) {
        const std::string answer = line["answer"];
        CAPTURE(line.dump());
        CHECK(normalised_answer(answer) == line["normalised"]);
        const double accuracy = vqa_accuracy(answer, line["answers"], References::Published);
        CHECK(near(accuracy, line["percent"].get<double>() / 100, 1e-12));
        sum += accuracy;
    }
    CHECK(sum > 10);
}

TEST_CASE("metrics: answers by hand") {
    const auto people = [](int matches) {
        std::vector<std::string> ten(10, "beach");
        for (int i = 0; i < 10 - matches; i++) ten[static_cast<size_t>(i)] = "meadow " + std::to_string(i);
        return ten;
    };
    // Leaving one out: m answers see m - 1 matches, the others m.
    const double wanted[] = {0, 0.9 / 3, (2.0 / 3 + 8 * 2.0 / 3) / 10, (3 * 2.0 / 3 + 7) / 10, 1, 1};
    for (int matches = 0; matches < 6; matches++) {
        CAPTURE(matches);
        CHECK(near(vqa_accuracy("The beach.", people(matches), References::Published), wanted[matches], 1e-15));
    }
    // As published, ten equal answers keep what the candidate's normalisation takes away.
    const std::vector<std::string> shirts(10, "A T-shirt");
    CHECK(vqa_accuracy("A T-shirt", shirts, References::Published) == 0);
    CHECK(vqa_accuracy("t shirt", shirts, References::Normalised) == 1);

    CHECK(normalised_answer(" The cat, the dog and a bird! ") == "cat dog and bird");
    CHECK(normalised_answer("three") == "3");
    CHECK(normalised_answer("1,000 (about)") == "1000 about");
    CHECK(normalised_answer("red/blue") == "red blue");
    CHECK(normalised_answer("3.5 m.") == "3.5 m");
    CHECK(normalised_answer("Isnt") == "isn't");
    CHECK(normalised_answer("") == "");
    CHECK(normalised_answer("\t\n") == "");
    CHECK(without_punctuation("a-b") == "a b");
    CHECK(without_punctuation("a -b-c") == "a bc");
}

TEST_CASE("metrics: boxes") {
    CHECK(box_iou({0, 0, 10, 10}, {0, 0, 10, 10}) == 1);
    CHECK(near(box_iou({0, 0, 10, 10}, {5, 5, 15, 15}), 25.0 / 175, 1e-15));
    CHECK(box_iou({0, 0, 10, 10}, {10, 0, 20, 10}) == 0);
    CHECK(box_iou({0, 0, 10, 10}, {30, 30, 40, 40}) == 0);
    CHECK(box_iou({0, 0, 4, 4}, {1, 1, 2, 2}) == 1.0 / 16);
    CHECK(box_iou({1, 1, 1, 1}, {1, 1, 1, 1}) == 0);
    CHECK(box_iou({-3, -3, -1, -1}, {-2, -3, 0, -1}) == 2.0 / 6);
}

TEST_CASE("metrics: label maps, by hand") {
    const std::vector<int32_t> reference = {1, 1, 1, 2, 2, 2, 3, 255};
    const std::vector<int32_t> candidate = {1, 1, 2, 2, 2, 4, 255, 1};
    Confusion confusion;
    confusion.add(reference, candidate, 255);
    // Of seven pixels: 1: 2/3. 2: 2/4. 3: 0/1. 4: 0/1. The candidate's 255 is a pixel that 3 lacks, and no class.
    CHECK(confusion.pixels() == 7);
    CHECK(near(confusion.accuracy(), 4.0 / 7, 1e-15));
    REQUIRE(confusion.classes().size() == 4);
    CHECK(near(confusion.classes().at(1).iou(), 2.0 / 3, 1e-15));
    CHECK(near(confusion.classes().at(2).iou(), 0.5, 1e-15));
    CHECK(near(confusion.mean_iou(), (2.0 / 3 + 0.5) / 4, 1e-15));
    // Two maps at once or one after the other.
    Confusion twice, once;
    twice.add(reference, candidate, {});
    twice.add(candidate, reference, {});
    std::vector<int32_t> a = reference, b = candidate;
    a.insert(a.end(), candidate.begin(), candidate.end());
    b.insert(b.end(), reference.begin(), reference.end());
    once.add(a, b, {});
    CHECK(twice.mean_iou() == once.mean_iou());
    CHECK(twice.classes().contains(255));
    CHECK(Confusion().mean_iou() == 0);
    CHECK(Confusion().accuracy() == 0);
}

TEST_CASE("metrics: PSNR and SSIM are scikit-image's") {
    std::ifstream file(VECTORS + "likeness.txt");
    int number = 0, cases = 0;
    std::string wanted_psnr, wanted_ssim;
    for (; file >> number >> wanted_psnr >> wanted_ssim; cases++) {
        CAPTURE(number);
        const std::string path = VECTORS + "picture_" + std::to_string(number);
        const Picture a = load_picture(path + "a.png"), b = load_picture(path + "b.png");
        if (wanted_psnr == "inf")
            CHECK(std::isinf(psnr(a, b)));
        else
            CHECK(near(psnr(a, b), std::stod(wanted_psnr), 1e-13));
        CHECK(near(ssim(a, b), std::stod(wanted_ssim), 1e-12));
        CHECK(near(ssim(b, a), ssim(a, b), 1e-14));
    }
    CHECK(cases == 4);
    CHECK(mean_squared_error(Picture(3, 2, 10), Picture(3, 2, 13)) == 9);
    const Picture black(12, 13, 0), white(12, 13, 255);
    CHECK(psnr(black, white) == 0);
    // Flat pictures have luminance alone: C1 / (255^2 + C1).
    CHECK(near(ssim(black, white), 6.5025 / (65025 + 6.5025), 1e-14));
    CHECK(ssim(noise(16, 11, 1), noise(16, 11, 2)) < 0.2);
}

TEST_CASE("metrics: eigenvalues of matrices whose eigenvalues are known") {
    const auto of = [](std::vector<double> matrix, size_t n) {
        return eigenvalues(tridiagonal_form(std::move(matrix), n));
    };
    CHECK(of({}, 0).empty());
    CHECK(of({-3}, 1) == std::vector<double>{-3});
    const auto pair = of({2, 1, 1, 2}, 2);
    CHECK(near(pair[0], 1, 1e-15));
    CHECK(near(pair[1], 3, 1e-15));
    CHECK(of(std::vector<double>(25, 0), 5) == std::vector<double>(5, 0));
    // min(i, j) + 1: 1 / (2 - 2 cos((2k - 1) pi / (2n + 1))).
    for (size_t n : {3, 17, 40}) {
        std::vector<double> matrix(n * n);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) matrix[i * n + j] = static_cast<double>(std::min(i, j) + 1);
        const auto got = of(matrix, n);
        for (size_t k = 0; k < n; k++) {
            const double angle = static_cast<double>(2 * (n - k) - 1) * M_PI / static_cast<double>(2 * n + 1);
            CHECK(near(got[k], 1 / (2 - 2 * std::cos(angle)), 1e-13 * static_cast<double>(n)));
        }
    }
    // A row that is all but reflected already: the sum of the squares stays, which it would not with cancellation.
    std::vector<double> nearly(36);
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 6; j++)
            nearly[i * 6 + j] = i == j ? 1.0 + static_cast<double>(i) : std::max(i, j) == 5 ? 1e-6 : 0.3;
    nearly[5 * 6 + 4] = nearly[4 * 6 + 5] = 1;
    double squares = 0, squared_values = 0;
    for (double value : nearly) squares += value * value;
    for (double value : of(nearly, 6)) squared_values += value * value;
    CHECK(near(squared_values, squares, 1e-13));
    // Q D Q of a reflection Q = I - 2 v v^T / |v|^2: the diagonal, with repeats, zeros and both signs, at any scale.
    for (double scale : {1.0, 1e-150, 1e120}) {
        const std::vector<double> diagonal = {-5, -5, -1e-3, 0, 0, 2, 2, 2, 7, 1000};
        const size_t n = diagonal.size();
        std::vector<double> v(n), matrix(n * n);
        std::iota(v.begin(), v.end(), -3.5);
        const double square = std::inner_product(v.begin(), v.end(), v.begin(), 0.0);
        const auto q = [&](size_t i, size_t j) { return (i == j) - 2 * v[i] * v[j] / square; };
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                for (size_t k = 0; k < n; k++) matrix[i * n + j] += scale * q(i, k) * diagonal[k] * q(k, j);
        const auto got = of(matrix, n);
        for (size_t k = 0; k < n; k++) CHECK(std::abs(got[k] / scale - diagonal[k]) < 1e-12 * 1000);
    }
}

TEST_CASE("metrics: the Fréchet distance is scipy's, also where covariances lack rank") {
    std::ifstream file(VECTORS + "frechet.txt");
    int number = 0, cases = 0;
    double wanted = 0;
    for (; file >> number >> wanted; cases++) {
        CAPTURE(number);
        const std::string name = "features_" + std::to_string(number);
        const Features a = features(name + "a.npy"), b = features(name + "b.npy");
        CHECK(near(distance(a, b), wanted, 1e-7));  // square roots of eigenvalues that are zero but for rounding
        CHECK(near(distance(b, a), wanted, 1e-7));
    }
    CHECK(cases == 5);
}

TEST_CASE("metrics: laws of the Fréchet distance") {
    const Features a = random_features(70, 9, 1), b = random_features(50, 9, 2);
    CHECK(std::abs(distance(a, a)) < 1e-9);
    // Moved by t: |t|^2.
    Features moved = a;
    for (size_t i = 0; i < moved.values.size(); i++) moved.values[i] += static_cast<double>(i % 9);
    CHECK(near(distance(a, moved), 204, 1e-11));
    const Frechet parts = frechet_distance(a, moved, "a", "b");
    CHECK(near(parts.mean_part, 204, 1e-12));
    // Scaled by 3 about the mean zero: traces (1 + 9 - 6) tr A.
    Features centred = a;
    for (size_t j = 0; j < 9; j++) {
        double mean = 0;
        for (size_t i = 0; i < 70; i++) mean += centred.values[i * 9 + j] / 70;
        for (size_t i = 0; i < 70; i++) centred.values[i * 9 + j] -= mean;
    }
    double trace = 0;
    for (double value : centred.values) trace += value * value / 69;
    Features larger = centred;
    for (double& value : larger.values) value *= 3;
    CHECK(near(distance(centred, larger), 4 * trace, 1e-11));
    // Units: scaling both scales the square, from very small to very large.
    for (double unit : {1e-100, 1e100}) {
        Features small_a = a, small_b = b;
        for (double& value : small_a.values) value *= unit;
        for (double& value : small_b.values) value *= unit;
        CHECK(near(distance(small_a, small_b) / unit / unit, distance(a, b), 1e-10));
    }
    const Features zeros{3, 2, std::vector<double>(6)};
    CHECK(distance(zeros, zeros) == 0);
    const Features ones{2, 2, {1, 1, 1, 1}};
    CHECK(near(distance(zeros, ones), 2, 1e-15));
}

TEST_CASE("metrics: feature sets that have no distance are refused") {
    const Features good = random_features(5, 3, 1);
    const auto refusal = [&](const Features& bad) {
        return error_of([&] { frechet_distance(good, bad, "a.npy", "b.npy"); });
    };
    CHECK(refusal({1, 3, {1, 2, 3}}).starts_with("b.npy: holds 1 vectors"));
    CHECK(refusal({0, 3, {}}).starts_with("b.npy: holds 0 vectors"));
    CHECK(refusal({5, 0, {}}).starts_with("b.npy: holds 5 vectors of 0 features"));
    CHECK(contains(refusal({2, 2, {1, 2, 3, 4}}), "a.npy of 3"));
    Features bad = good;
    bad.values[7] = NAN;
    CHECK(refusal(bad).starts_with("b.npy: holds a value that is not finite"));
    bad.values[7] = 1e300;
    CHECK(contains(refusal(bad), "scale them down"));
}

}  // namespace leon
