// CLIP against transformers: small random checkpoints of both activations and both dtypes, converted, on every backend;
// its tokenizer against the library's, and what a converter and a reader must refuse.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "retrieval/clip.h"
#include "runtime/npy.h"
#include "tests/compare.h"
#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"
#include "tokenizer/normalizer.h"
#include "weights_converter/convert.h"
#include "weights_converter/inspect.h"

#include "tests/command_line.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string CASES = "tests/vectors/clip/";
const char* const PICTURES[] = {"picture_50x37", "picture_32x32", "picture_20x61", "picture_47x45"};

// Features against float64: the largest errors of both cases, measured. On the reference and the CPU, and on the
// emulated GPU, whose products with bf16 weights take x as two bf16 parts. Four times that is allowed.
constexpr Tolerance CPU = {4 * 5.6e-7, 4 * 1.1e-13}, CUDA = {4 * 8.6e-6, 4 * 1.2e-11};

std::string convert_case(const TemporaryFolder& folder, const std::string& name, ConvertOptions options = {}) {
    if (options.tokenizer.empty() && name != "quick") options.tokenizer = CASES + "quick/tokenizer.json";
    const std::string path = folder / (name + ".leon");
    convert(CASES + name, path, options, nullptr);
    return path;
}

struct TextCase {
    std::string text;
    std::vector<int32_t> ids;
};
std::vector<TextCase> text_cases() {
    std::ifstream lines(CASES + "texts.jsonl");
    std::vector<TextCase> cases;
    for (std::string line; std::getline(lines, line);) {
        const json object = json::parse(line);
        cases.push_back({object["text"], object["ids"].get<std::vector<int32_t>>()});
    }
    REQUIRE(cases.size() == 39);
    return cases;
}

void check_rows(const std::vector<float>& got, const std::vector<float>& want, const Kernels& k,
                const std::string& what) {
    const bool cuda = std::string_view(k.name).starts_with("cuda");
    const Comparison comparison = compare(got, want, {static_cast<int64_t>(want.size())}, cuda ? CUDA : CPU);
    CHECK_MESSAGE(comparison.fault == "", text(what, " on ", k.name, ": ", comparison.fault));
}

// --- the towers -------------------------------------------------------------------------------------------------

TEST_CASE("clip: features are those of transformers, on every backend") {
    const TemporaryFolder folder;
    const std::vector<TextCase> texts = text_cases();
    std::vector<const Kernels*> all = backends();
    all.push_back(&reference_kernels());
    for (const std::string name : {"quick", "gelu"}) {
        const std::string path = convert_case(folder, name);
        const std::vector<float> want = load_npy(CASES + name + "/text.npy").floats("text.npy");
        for (const Kernels* k : all) {
            const ClipEmbedder clip(path, *k);
            const size_t dim = static_cast<size_t>(clip.dim());
            REQUIRE(want.size() == dim * texts.size());
            for (size_t i = 0; i < texts.size(); i++)
                check_rows(clip.text_row(texts[i].ids), {&want[i * dim], &want[i * dim] + dim}, *k, texts[i].text);
            for (const char* picture : PICTURES) {
                const Array expected = load_npy(CASES + name + "/" + picture + ".npy");
                const std::vector<float> patches = clip.patches(load_picture(CASES + picture + ".png"));
                check_rows(clip.picture_row(patches), expected.floats(picture), *k, picture);
            }
        }
    }
}

TEST_CASE("clip: text_row and picture_row, brought to unit length, are the embedder's vectors") {
    const TemporaryFolder folder;
    const ClipEmbedder clip(convert_case(folder, "gelu"), cpu_kernels());
    const Picture picture = load_picture(CASES + "picture_50x37.png");
    for (const auto& [row, vector] : {std::pair(clip.text_row(clip.tokens("a red car")), clip.text("a red car")),
                                      std::pair(clip.picture_row(clip.patches(picture)), clip.picture(picture))}) {
        double squares = 0, dot = 0, row_squares = 0;
        for (size_t i = 0; i < row.size(); i++) {
            squares += double(vector[i]) * vector[i];
            row_squares += double(row[i]) * row[i];
            dot += double(row[i]) * vector[i];
        }
        CHECK(std::fabs(squares - 1) < 1e-6);
        CHECK(std::fabs(dot / std::sqrt(row_squares) - 1) < 1e-6);
    }
    for (const char* nothing : {"", " ", "\t\n  "}) CHECK(clip.text(nothing) == std::vector<float>(20, 0.0f));
    CHECK(clip.text("a") != clip.text("b"));
    CHECK(clip.text("A  Red\tcar ") == clip.text("a red car"));
    CHECK(clip.name().starts_with("clip-1 "));
    CHECK(clip.name() != ClipEmbedder(convert_case(folder, "quick"), cpu_kernels()).name());
}

TEST_CASE("clip: several threads at a time get what one gets") {
    const TemporaryFolder folder;
    const ClipEmbedder clip(convert_case(folder, "quick"), cpu_kernels());
    const Picture picture = load_picture(CASES + "picture_32x32.png");
    const std::vector<float> want_text = clip.text("a cat"), want_picture = clip.picture(picture);
    std::vector<int> right(4);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < right.size(); t++)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 5; i++)
                right[t] += t % 2 ? clip.text("a cat") == want_text : clip.picture(picture) == want_picture;
        });
    for (std::thread& thread : threads) thread.join();
    for (int count : right) CHECK(count == 5);
}

TEST_CASE("clip: patches stand row by row, normalised by the checkpoint's mean and deviation") {
    const TemporaryFolder folder;
    const ClipEmbedder clip(convert_case(folder, "quick"), cpu_kernels());
    Picture picture(32, 32);
    picture.at(6, 9)[1] = 255;  // patch 2 of row 1 of patches of 4, x 2, y 1
    const std::vector<float> values = clip.patches(picture);
    REQUIRE(values.size() == 64 * 48);
    const size_t place = (2 * 8 + 1) * 48 + (1 * 4 + 2) * 3 + 1;
    for (size_t i = 0; i < values.size(); i++) {
        const float mean = i % 3 == 0   ? 0.5f
                           : i % 3 == 1 ? 0.4f
                                        : 0.3f,
                    std = i % 3 == 0   ? 0.25f
                          : i % 3 == 1 ? 0.3f
                                       : 0.2f;
        if (std::fabs(values[i] - ((i == place ? 1.0f : 0.0f) - mean) / std) > 1e-6f) FAIL_CHECK(text("value ", i));
    }
}

// --- the tokenizer ----------------------------------------------------------------------------------------------

TEST_CASE("clip: token ids are the library's") {
    const TemporaryFolder folder;
    const ClipEmbedder clip(convert_case(folder, "quick"), cpu_kernels());
    for (const TextCase& c : text_cases()) CHECK_MESSAGE(clip.tokens(c.text) == c.ids, c.text);
    CHECK_THROWS_WITH_AS(clip.tokens("\xff"), doctest::Contains("not valid UTF-8"), Error);
}

TEST_CASE("clip: control tokens are parsed when asked for, and decoding puts spaces where words end") {
    const std::string file = read_text(CASES + "quick/tokenizer.json");
    const Tokenizer tokenizer(file, "tokenizer.json");
    const int32_t start = *tokenizer.id("<|startoftext|>"), end = *tokenizer.id("<|endoftext|>");
    const std::string line = "<|startoftext|>A cat's  Tail<|endoftext|>";
    const std::vector<int32_t> ids = tokenizer.encode(line, ControlTokens::Parsed);
    CHECK((ids.front() == start && ids.back() == end));
    CHECK(tokenizer.decode(ids) == "<|startoftext|>a cat 's tail <|endoftext|>");
    for (int32_t id : tokenizer.encode(line, ControlTokens::AsText)) CHECK((id != start && id != end));

    // The other published spelling of the expression names the control tokens; text gives the same ids.
    std::string other = file;
    const size_t at = other.find("'s|'t|'re");
    REQUIRE(at != std::string::npos);
    other.insert(at, R"(<\\|startoftext\\|>|<\\|endoftext\\|>|)");
    CHECK(Tokenizer(other, "").encode(line, ControlTokens::AsText) == tokenizer.encode(line, ControlTokens::AsText));
}

TEST_CASE("clip: a tokenizer.json that asks for something else is refused") {
    const json good = json::parse(read_text(CASES + "quick/tokenizer.json"));
    const auto problem = [&](const char* pointer, const json& value) {
        json changed = good;
        changed[json::json_pointer(pointer)] = value;
        return error_of([&] { Tokenizer(changed.dump(), "tokenizer.json"); });
    };
    CHECK(contains(problem("/normalizer/normalizers/0/type", "NFKC"), "normalizer 'Sequence' is not supported"));
    CHECK(contains(problem("/normalizer", {{"type", "Lowercase"}}), "normalizer"));
    CHECK(contains(problem("/pre_tokenizer/pretokenizers/0/behavior", "Isolated"), "inverted"));
    CHECK(contains(problem("/pre_tokenizer/pretokenizers/0/pattern/Regex", "a+"), "Removed"));
    CHECK(contains(problem("/model/end_of_word_suffix", 3), "end_of_word_suffix"));
    CHECK(contains(problem("/model/end_of_word_suffix", "</x>"), "end_of_word_suffix\" '</x>'"));
    json upper = good;
    upper["added_tokens"][0]["content"] = "<|START|>";
    upper["added_tokens"][0]["id"] = 700;
    CHECK(contains(error_of([&] { Tokenizer(upper.dump(), ""); }), "normalizer makes of it"));
}

TEST_CASE("clip: texts are normalised once and for all, and too many marks are refused") {
    for (const TextCase& c : text_cases()) {
        const std::string once = clip_normalized(c.text);
        CHECK(clip_normalized(once) == once);
    }
    CHECK(clip_normalized("e\xcc\x81") == "\xc3\xa9");
    CHECK(clip_normalized("x e\xcc\x81 y") == "x \xc3\xa9 y");
    CHECK(clip_normalized("\xea\xb0\x80\xe1\x86\xa7") == "\xea\xb0\x80\xe1\x86\xa7");  // no syllable, nor lost
    CHECK(clip_normalized("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8") == "\xea\xb0\x81");  // a syllable of three
    std::string marks = "a";
    for (int i = 0; i < MAX_MARKS; i++) marks += i % 2 ? "\xcc\xa3" : "\xcc\x87";
    CHECK_NOTHROW(clip_normalized(marks));
    CHECK_THROWS_AS(clip_normalized(marks + "\xcc\x87"), Error);
}

// --- conversion -------------------------------------------------------------------------------------------------

TEST_CASE("clip: convert keeps the dtype, tells what it assumes, and inspect explains the file") {
    const TemporaryFolder folder;
    std::vector<std::string> notes;
    ConvertOptions options;
    options.note = [&](const std::string& note) { notes.push_back(note); };
    convert(CASES + "gelu", folder / "gelu.leon", options, nullptr);
    REQUIRE(notes.size() == 2);
    CHECK(contains(notes[0], "preprocessor_config.json"));
    CHECK(contains(notes[1], "pictures only"));
    const WeightsFile file(folder / "gelu.leon");
    CHECK(file.file().find("clip.text.layers.1.up.weight")->dtype == "BF16");
    CHECK(file.file().find("clip.text.layers.1.up.bias")->dtype == "F32");
    CHECK(file.file().find("clip.vision.patches")->shape == std::vector<int64_t>{24, 14, 14, 3});
    const ModelConfig config = parse_config(file.config_json(), "");
    CHECK((config.clip.text.activation == Activation::GELU && config.clip.text.norm_eps == 1e-6f));
    CHECK(config.clip.mean[2] == 0.40821073f);
    CHECK(print_config(config) == file.config_json());
    const std::string report = inspect(file, Detail::Summary);
    for (const char* part :
         {"vectors of 20", "9 patches of 14 x 14", "gelu", "CLIP's text tower", "CLIP's picture tower"})
        CHECK_MESSAGE(contains(report, part), part);
    CHECK(!contains(report, "unknown to this leon"));

    const ClipEmbedder clip(folder / "gelu.leon", cpu_kernels());
    CHECK(clip.picture(Picture(9, 70, 50)).size() == 20);
    CHECK_THROWS_WITH_AS(clip.text("a"), doctest::Contains("holds no tokenizer"), Error);
    CHECK_THROWS_WITH_AS(ClipEmbedder("models/storybook.leon", cpu_kernels()), doctest::Contains("holds no CLIP"),
                         Error);
}

// A copy of the case "quick" with a change; what convert says of it.
std::string refusal(const char* file, const char* pointer, const json& value) {
    const TemporaryFolder folder;
    fs::copy(CASES + "quick", folder / "clip");
    const std::string path = folder / "clip" + "/" + file;
    json object = json::parse(read_text(path));
    object[json::json_pointer(pointer)] = value;
    std::ofstream(path) << object.dump();
    const std::string output = folder / "out.leon";
    const std::string problem = error_of([&] { convert(folder / "clip", output, {}, nullptr); });
    CHECK(!fs::exists(output));
    return problem;
}

TEST_CASE("clip: checkpoints that say something else than their tensors, or something absurd, are refused") {
    struct Change {
        const char *file, *pointer;
        json value;
        const char* says;
    };
    const char *config = "config.json", *pixels = "preprocessor_config.json";
    const Change changes[] = {
        {config, "/text_config/hidden_act", "relu", "hidden_act"},
        {config, "/text_config/num_attention_heads", 0, "heads"},
        {config, "/text_config/num_attention_heads", 5, "heads' must divide dim"},
        {config, "/text_config/num_hidden_layers", 3, "is missing"},
        {config, "/text_config/num_hidden_layers", 1, "has no place"},
        {config, "/text_config/num_hidden_layers", 2000000000, "layers"},
        {config, "/text_config/intermediate_size", 1 << 20, "ffn_dim"},
        {config, "/text_config/hidden_size", 48, "the configuration implies"},
        {config, "/text_config/vocab_size", 1 << 21, "the configuration implies"},
        {config, "/text_config/max_position_embeddings", 1 << 30, "context"},
        {config, "/text_config", 3, "must be an object"},
        {config, "/text_config_dict", {{"hidden_size", 48}}, "the configuration implies"},
        {config, "/vision_config/num_channels", 4, "num_channels"},
        {config, "/vision_config/patch_size", 0, "patch"},
        {config, "/vision_config/patch_size", 5, "must divide side"},
        {config, "/vision_config/image_size", 1 << 20, "side"},
        {config, "/vision_config/layer_norm_eps", 0, "norm_eps"},
        {config, "/projection_dim", 13, "the configuration implies"},
        {pixels, "/do_center_crop", false, "do_center_crop"},
        {pixels, "/resample", 2, "resample"},
        {pixels, "/rescale_factor", 0.5, "rescale_factor"},
        {pixels, "/size", {{"shortest_edge", 36}}, "size"},
        {pixels, "/image_std", {1, 0, 1}, "std"},
        {pixels, "/image_mean", {1, 2}, "image_mean"},
    };
    for (const Change& c : changes) {
        const std::string problem = refusal(c.file, c.pointer, c.value);
        CHECK_MESSAGE(contains(problem, c.says), text(c.pointer, ": ", problem));
        CHECK(problem.find('\n') == std::string::npos);
    }
    const TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(convert(CASES + "gelu", folder / "x", {.vqgan = CASES + "gelu"}, nullptr),
                         doctest::Contains("no use for a VQGAN"), Error);
}

TEST_CASE("clip: a leon file whose tensors or tokenizer do not fit is refused") {
    const TemporaryFolder folder;
    const WeightsFile good(convert_case(folder, "quick"));
    const auto rewritten = [&](const json& config, const json& tokenizer, const std::string& without) {
        const std::string path = folder / "changed.leon";
        WeightsWriter writer(path, config.dump(), tokenizer.dump());
        std::vector<const StoredTensor*> kept;
        for (const auto& [name, tensor] : good.file().tensors())
            if (name != without && !name.starts_with(PADDING_PREFIX)) kept.push_back(&tensor);
        for (const StoredTensor* t : kept) writer.declare(t->name, DType::F32, t->shape);
        writer.begin();
        for (const StoredTensor* t : kept) writer.write(t->name, good.file().data(*t));
        writer.commit();
        return error_of([&] { ClipEmbedder(path, cpu_kernels()); });
    };
    const json config = json::parse(good.config_json()), tokenizer = json::parse(good.tokenizer_json());
    CHECK(rewritten(config, tokenizer, "") == "");
    CHECK(contains(rewritten(config, tokenizer, "clip.vision.class"), "is missing"));
    json changed = config;
    changed["clip"]["dim"] = 1 << 20;
    CHECK(contains(rewritten(changed, tokenizer, ""), "the configuration expects"));
    changed = config;
    changed["clip"]["vision"]["heads"] = 3;
    CHECK(contains(rewritten(changed, tokenizer, ""), "must divide dim"));
    changed = config;
    changed["clip"]["mean"] = {0, 0, "x"};
    CHECK(contains(rewritten(changed, tokenizer, ""), "mean"));
    changed = config;
    changed["layout"] = "cm3leon";
    CHECK(contains(rewritten(changed, tokenizer, ""), "unknown key"));
    json renamed = tokenizer;
    renamed["added_tokens"][1]["content"] = "<|end|>";
    renamed["added_tokens"][1]["id"] = 634;
    CHECK(contains(rewritten(config, renamed, ""), "no control token <|endoftext|>"));
    json larger = tokenizer;
    larger["added_tokens"].push_back(tokenizer["added_tokens"][1]);
    larger["added_tokens"][2]["content"] = "<|more|>";
    larger["added_tokens"][2]["id"] = 634;
    CHECK(contains(rewritten(config, larger, ""), "ids up to 634"));
}

TEST_CASE("clip: convert and embed on the command line, and a bank made with it") {
    const Scratch scratch;
    const std::string model = scratch / "clip.leon", out = scratch / "v.npy";
    REQUIRE(leon_run({"convert", CASES + "quick", "-o", model, "-q"}).status == 0);
    const ClipEmbedder clip(model, cpu_kernels());
    const std::string picture = CASES + "picture_50x37.png";
    REQUIRE(leon_run({"embed", "-m", model, "--text", "a red car", "-o", out}).status == 0);
    CHECK(load_npy(out).floats(out) == clip.text("a red car"));
    REQUIRE(leon_run({"embed", "-m", model, "--picture", picture, "-o", out}).status == 0);
    CHECK(load_npy(out).floats(out) == clip.picture(load_picture(picture)));
    REQUIRE(leon_run({"embed", "--text", "a red car", "-o", out}).status == 0);  // the model in the box: native
    CHECK(load_npy(out).elements() == 1024);

    check_refused({"embed", "-m", model, "-o", out}, "--text");
    check_refused({"embed", "-m", model, "--text", "a", "--picture", picture, "-o", out}, "--text");
    check_refused({"embed", "-m", model, "--text", "\xff", "-o", out}, "UTF-8");
    check_refused({"embed", "-m", model, "--picture", model, "-o", out}, "clip.leon");
    check_refused({"embed", "-m", CASES + "texts.jsonl", "--text", "a", "-o", out}, "texts.jsonl");
    check_refused({"draw", "-m", model, "a cat", "-o", scratch / "x.png"}, "clip.leon");

    fs::create_directory(scratch / "documents");
    std::ofstream(scratch / "documents/cat.txt") << "a photo of a cat";
    std::ofstream(scratch / "documents/ship.txt") << "a ship on the sea";
    const std::string bank = scratch / "documents.bank";
    REQUIRE(leon_run({"index", "build", scratch / "documents", "-o", bank, "--embedder", model}).status == 0);
    const Result found = leon_run({"index", "search", bank, "a photo of a cat", "-k", "1", "--embedder", model});
    CHECK(contains(found.out, "cat.txt"));
    CHECK(contains(found.out, "1.0000"));
    check_refused({"index", "search", bank, "a cat"}, "clip-1");
}

}  // namespace
}  // namespace leon
