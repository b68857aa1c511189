// The tokenizer against the `tokenizers` library (tests/vectors/tokenizer), against a plain implementation of merging,
// and against texts and files that mean it no good.
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"
#include "tokenizer/bpe.h"
#include "tokenizer/merges.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_ranges.h"
#include "tokenizer/vocabulary.h"

#include "tests/testing.h"

namespace leon {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

const std::string VECTORS = "tests/vectors/tokenizer/";
constexpr auto AS_TEXT = ControlTokens::AsText, PARSED = ControlTokens::Parsed;

std::string source_of(const std::string& folder) {
    return read_text(VECTORS + folder + "/tokenizer.json");
}
Tokenizer load(const std::string& folder) {
    return Tokenizer(source_of(folder), folder);
}

std::string utf8(uint32_t c) {
    auto byte = [](uint32_t b) { return static_cast<char>(b); };
    if (c < 0x80) return {byte(c)};
    if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 63))};
    if (c < 0x10000) return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63))};
    return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 63)), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63))};
}

// Code points of every length, ASCII as often as all others.
std::string random_text(Random& random, int code_points) {
    std::string text;
    for (int i = 0; i < code_points; i++) {
        const int limits[] = {0x80, 0x80, 0x80, 0x800, 0x10000, 0x110000};
        const auto c = static_cast<uint32_t>(random.below(limits[random.below(6)]));
        text += utf8(c >= 0xD800 && c < 0xE000 ? ' ' : c);
    }
    return text;
}

bool has_added(const Tokenizer& tokenizer, const Ids& ids) {
    return std::any_of(ids.begin(), ids.end(), [&](int32_t id) { return tokenizer.is_added(id); });
}

std::string repeated(const std::string& part, size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += part;
    return text;
}

}  // namespace

TEST_CASE("tokenizer: ids and texts are those of the tokenizers library") {
    for (const char* folder : {"chameleon", "gpt2", "options"}) {
        const Tokenizer tokenizer = load(folder);
        std::istringstream lines(read_text(VECTORS + folder + "/cases.jsonl"));
        int cases = 0;
        for (std::string line; std::getline(lines, line); cases++) {
            const json c = json::parse(line);
            const std::string text = c["text"];
            const Ids ids = c["ids"];
            CAPTURE(folder);
            CAPTURE(line);
            CHECK(tokenizer.encode(text, PARSED) == ids);
            CHECK(tokenizer.encode(text, AS_TEXT) == c.value("as_text", ids));
            CHECK(tokenizer.decode(ids) == c.value("decoded", text));
        }
        CHECK(cases > 400);
    }
}

TEST_CASE("tokenizer: any text comes back") {
    Random random(1);
    for (const char* folder : {"chameleon", "gpt2"}) {
        const Tokenizer tokenizer = load(folder);
        for (int i = 0; i < 400; i++) {
            const std::string text = random_text(random, random.below(120));
            CAPTURE(text);
            CHECK(tokenizer.decode(tokenizer.encode(text, AS_TEXT)) == text);
            CHECK(tokenizer.decode(tokenizer.encode(text, PARSED)) == text);
        }
        for (uint32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 61) {
            if (c >= 0xD800 && c < 0xE000) continue;
            CHECK(tokenizer.decode(tokenizer.encode(utf8(c), AS_TEXT)) == utf8(c));
        }
    }
}

TEST_CASE("tokenizer: every byte has a token, and ids decode to whatever bytes they are") {
    const Tokenizer tokenizer = load("gpt2");
    std::vector<bool> seen(256);
    for (int32_t id = 0; id < tokenizer.size(); id++) {
        const std::string bytes = tokenizer.decode(Ids{id});
        if (bytes.size() == 1) seen[static_cast<unsigned char>(bytes[0])] = true;
    }
    CHECK(seen == std::vector<bool>(256, true));

    // A model may stop within a code point: half a letter decodes to its first byte.
    const Ids ids = tokenizer.encode("\xF0\x9F\xA6\x8E", AS_TEXT);
    REQUIRE(ids.size() > 1);
    CHECK(tokenizer.decode(std::span(ids).first(1)) == "\xF0");
    CHECK(tokenizer.decode({}) == "");
}

TEST_CASE("tokenizer: text never becomes a control token unless it is asked for") {
    for (const char* folder : {"chameleon", "gpt2", "options"}) {
        const Tokenizer tokenizer = load(folder);
        const bool adds_space = std::string(folder) == "options";
        std::vector<std::string> names;
        for (int32_t id = 0; id < tokenizer.size(); id++) {
            if (!tokenizer.is_added(id)) continue;
            const std::string& name = tokenizer.token(id);
            names.push_back(name);
            CAPTURE(name);
            CHECK(tokenizer.id(name) == id);
            CHECK(tokenizer.encode(name, PARSED) == Ids{id});
            CHECK(tokenizer.decode(Ids{id}) == name);
            CHECK(tokenizer.decode(Ids{id}, true) == "");
            for (const std::string& text :
                 {name, "x" + name + "y", " " + name + " ", name + name, "\n" + name + "\t"}) {
                const Ids ids = tokenizer.encode(text, AS_TEXT);
                CHECK_FALSE(has_added(tokenizer, ids));
                if (!adds_space) CHECK(tokenizer.decode(ids) == text);
            }
        }
        REQUIRE(!names.empty());
        Random random(2);
        for (int i = 0; i < 500; i++) {
            std::string text;
            for (int part = random.below(8); part >= 0; part--) {
                const std::string& name = names[random.below(static_cast<int>(names.size()))];
                const size_t from = random.below(static_cast<int>(name.size()));
                text += random.below(2) ? name : random.below(2) ? name.substr(from) : name.substr(0, from);
                if (text.empty() || find_invalid_utf8(text)) text = "<";
            }
            CAPTURE(text);
            CHECK_FALSE(has_added(tokenizer, tokenizer.encode(text, AS_TEXT)));
        }
    }
}

TEST_CASE("tokenizer: a merge that would make a control token is never applied") {
    json file = json::parse(source_of("gpt2"));
    json& vocabulary = file["model"]["vocab"];
    const int first = static_cast<int>(vocabulary.size());
    vocabulary["<s"] = first;
    vocabulary["<s>"] = first + 1;
    file["model"]["merges"].insert(file["model"]["merges"].begin(), {json{"<", "s"}, json{"<s", ">"}});
    const json token = {{"id", first + 1}, {"content", "<s>"}, {"single_word", false}, {"lstrip", false},
                        {"rstrip", false}, {"special", true},  {"normalized", false}};
    // The pre-tokenizer would keep the three apart; without its pattern the text is one piece.
    file["pre_tokenizer"]["use_regex"] = false;
    CHECK(Tokenizer(file.dump(), "x").encode("<s>", AS_TEXT) == Ids{first + 1});
    file["added_tokens"].push_back(token);
    const Tokenizer tokenizer(file.dump(), "x");
    CHECK(tokenizer.encode("<s>", AS_TEXT) == Ids{first, *tokenizer.id(">")});
    CHECK(tokenizer.encode("<s>", PARSED) == Ids{first + 1});
}

TEST_CASE("tokenizer: invalid UTF-8 is an Error that says where") {
    const Tokenizer tokenizer = load("chameleon");
    struct Bad {
        std::string text;
        int at;
    };
    const std::vector<Bad> cases = {
        {"\x80", 0},              // a continuation on its own
        {"ab\xBF", 2},            //
        {"\xC3", 0},              // the end within a code point
        {"a\xE4\xB8", 1},         //
        {"\xF0\x9F\xA6", 0},      //
        {"\xC3(", 0},             // no continuation
        {"\xE4\xB8x", 0},         //
        {"\xC0\x80", 0},          // overlong
        {"\xC1\xBF", 0},          //
        {"\xE0\x9F\xBF", 0},      //
        {"\xF0\x8F\xBF\xBF", 0},  //
        {"\xED\xA0\x80", 0},      // surrogates
        {"\xED\xBF\xBF", 0},      //
        {"\xF4\x90\x80\x80", 0},  // beyond U+10FFFF
        {"\xF5\x80\x80\x80", 0},  //
        {"\xFE", 0},
        {"\xFF", 0},
        {"eight by\xFFtes", 8},
        {std::string(1000, 'a') + "\xC3\xA9\xFF", 1002},
    };
    for (const Bad& bad : cases) {
        CAPTURE(bad.text);
        CHECK(find_invalid_utf8(bad.text) == static_cast<size_t>(bad.at));
        for (ControlTokens control : {AS_TEXT, PARSED})
            CHECK(error_of([&] { tokenizer.encode(bad.text, control); }) ==
                  "the text is not valid UTF-8 at byte " + std::to_string(bad.at) + "; convert it to UTF-8");
    }
    for (uint32_t c : {0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xD7FFu, 0xE000u, 0xFFFFu, 0x10000u, 0x10FFFFu})
        CHECK_FALSE(find_invalid_utf8(utf8(c)).has_value());
}

TEST_CASE("tokenizer: ids out of range are an Error") {
    const Tokenizer tokenizer = load("gpt2");
    CHECK_THROWS_AS(tokenizer.decode(Ids{-1}), Error);
    CHECK_THROWS_AS(tokenizer.decode(Ids{tokenizer.size()}), Error);
    CHECK_THROWS_AS(tokenizer.token(-1), Error);
    CHECK_FALSE(tokenizer.is_added(-1));
    CHECK_FALSE(tokenizer.is_added(tokenizer.size()));
    CHECK_FALSE(tokenizer.id("no such token").has_value());
}

// Anything quadratic would take minutes here.
TEST_CASE("tokenizer: a megabyte of anything is encoded at once") {
    constexpr size_t BYTES = 1 << 20, PART = BYTES / 8;
    Random random(3);
    std::string letters;
    while (letters.size() < BYTES) letters += static_cast<char>('a' + random.below(26));
    const std::vector<std::string> texts = {
        std::string(BYTES, 'a'),         std::string(BYTES, ' '),       letters,
        std::string(PART, '\n'),         std::string(PART, '7'),        std::string(PART, '<'),
        repeated("<reserved", PART),     repeated("<sentinel:1", PART), "<sentinel:" + std::string(PART, '1'),
        repeated("IMGIMGAAAA", PART),    repeated("'ll'", PART),        repeated("\xF0\x9F\xA6\x8E", PART),
        repeated("<a><b> <left>", PART), repeated("  <both>  ", PART),
    };
    for (const char* folder : {"chameleon", "gpt2", "options"}) {
        const Tokenizer tokenizer = load(folder);
        for (const std::string& text : texts) {
            const Ids ids = tokenizer.encode(text, AS_TEXT);
            if (std::string(folder) != "options") CHECK(tokenizer.decode(ids) == text);
            tokenizer.encode(text, PARSED);
        }
    }
}

TEST_CASE("tokenizer: speed on English text (prints, asserts nothing)" * doctest::skip()) {
    const std::string text = repeated(
        "The lizard sat on the warm stone and waited for the sun. She said that it wasn't hers, that they had seen "
        "41 of them, and that (in 1991) nobody would have known what to do. ",
        20 << 20);
    for (const char* folder : {"chameleon", "gpt2"}) {
        const Tokenizer tokenizer = load(folder);
        const auto start = std::chrono::steady_clock::now();
        const size_t ids = tokenizer.encode(text, AS_TEXT).size();
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        MESSAGE(folder << ": " << ids << " ids, " << static_cast<double>(text.size()) / 1e6 / seconds.count()
                       << " MB/s");
    }
}

TEST_CASE("merges: short and long pieces merge as the plain algorithm does") {
    Random random(4);
    for (int trial = 0; trial < 60; trial++) {
        // Letters a to d have ids 0 to 3; rules join ids that exist, some pairs twice, some results shared.
        std::array<int32_t, 256> byte_ids;
        byte_ids.fill(-1);
        for (int i = 0; i < 4; i++) byte_ids['a' + i] = i;
        std::vector<Merges::Rule> rules;
        for (int i = 0; i < 1 + random.below(30); i++)
            rules.push_back({random.below(4 + i), random.below(4 + i), random.below(8) ? 4 + i : random.below(4 + i)});
        const Merges merges(byte_ids, byte_ids, rules);
        for (int length : {1, 2, 3, 7, 47, 48, 49, 50, 200}) {
            std::string piece;
            Ids want;
            for (int i = 0; i < length; i++) {
                piece += static_cast<char>('a' + random.below(random.below(2) ? 4 : 2));
                want.push_back(byte_ids[static_cast<unsigned char>(piece.back())]);
            }
            for (;;) {
                size_t best = rules.size(), place = 0;
                for (size_t i = 0; i + 1 < want.size(); i++)
                    for (size_t rank = rules.size(); rank-- > 0;) {
                        if (rules[rank].left != want[i] || rules[rank].right != want[i + 1]) continue;
                        if (rank < best) best = rank, place = i;
                        break;  // the later of two rules for one pair is the one that counts
                    }
                if (best == rules.size()) break;
                want[place] = rules[best].result;
                want.erase(want.begin() + static_cast<std::ptrdiff_t>(place) + 1);
            }
            Ids got = {77};
            merges.encode(got, piece);
            want.insert(want.begin(), 77);
            CHECK(got == want);
        }
    }
}

TEST_CASE("unicode: the classes of all code points are the library's") {
    const CodePointClasses& classes = CodePointClasses::get();
    uint64_t hash = 0xcbf29ce484222325;
    for (uint32_t c = 0; c < 0x110000; c++) hash = (hash ^ classes.of(c)) * 0x100000001b3;
    CHECK(hash == 0x7ef027af246d0df0);  // printed by tests/vectors/tokenizer/make_unicode_ranges.py

    using namespace code_point_class;
    CHECK(classes.of(' ') == SPACE);
    CHECK(classes.of(0x85) == SPACE);
    CHECK(classes.of(0x200B) == 0);  // zero width space is none
    CHECK(classes.of('a') == LETTER);
    CHECK(classes.of(0x4E2D) == LETTER);
    CHECK(classes.of('7') == (NUMBER | DIGIT));
    CHECK(classes.of(0xBD) == (NUMBER | DIGIT));  // one half
    CHECK(classes.of('$') == PUNCTUATION);        // a symbol by Unicode, but ASCII
    CHECK(classes.of(0x20AC) == 0);               // the euro sign is only a symbol
    CHECK(classes.of(0x2019) == PUNCTUATION);
    CHECK(classes.of(0x301) == 0);  // a combining accent is no letter
}

TEST_CASE("vocabulary: ids are found by name") {
    const Tokenizer tokenizer = load("chameleon");
    const Vocabulary v = read_vocabulary(tokenizer);
    CHECK(v.bos == 0);
    CHECK(v.pad == 1);
    CHECK(v.eos == 2);
    CHECK(v.unk == 3);
    CHECK(v.image_first == 4);
    CHECK(v.codes == 64);
    CHECK(v.eoss == 68);
    CHECK(v.brk == 69);
    CHECK(v.sentinels == Ids{70, 71, 72, 73, 74, 75, 76, 77});
    CHECK(v.end_of_turn == 78);
    CHECK(v.text == IdRanges{{82, tokenizer.size() - 1}});
    CHECK(v.image() == IdRanges{{4, 67}});
    CHECK(v.is_image(4));
    CHECK(v.is_image(67));
    CHECK_FALSE(v.is_image(3));
    CHECK_FALSE(v.is_image(68));
    for (int32_t id : tokenizer.encode("IMGIMGAZ<eoss> <sentinel:0>\n", AS_TEXT)) CHECK(id >= 82);

    CHECK(image_token_name(0) == "IMGIMGAZ");
    CHECK(image_token_name(53) == "IMGIMGFDZ");
    CHECK(image_token_name(8191) == "IMGIMGIBJBZ");

    const Vocabulary plain = read_vocabulary(load("gpt2"));
    CHECK(plain.codes == 0);
    CHECK(plain.brk == -1);
    CHECK(plain.text.size() == 1);
}

TEST_CASE("vocabulary: picture codes must be complete and in order") {
    auto renamed = [](const std::string& from, const std::string& to) {
        json file = json::parse(source_of("chameleon"));
        json& vocabulary = file["model"]["vocab"];
        vocabulary[to] = vocabulary[from];
        vocabulary.erase(from);
        for (json& token : file["added_tokens"])
            if (token["content"] == from) token["content"] = to;
        const Tokenizer tokenizer(file.dump(), "x");
        return error_of([&] { read_vocabulary(tokenizer); });
    };
    CHECK(renamed("<unk>", "<none>") == "");
    CHECK(contains(renamed("IMGIMGFZ", "<none>"), "stands apart"));
    CHECK(contains(renamed("<unk>", "IMGIMGGEZ"), "code 64 has id 3"));
    CHECK(contains(renamed("<unk>", "IMGIMGAAZ"), "stands apart"));
}

TEST_CASE("tokenizer: a hostile tokenizer.json is a one-line Error that names the file") {
    const json good = json::parse(source_of("chameleon"));
    auto complaint = [](const std::string& source) {
        const std::string message = error_of([&] { Tokenizer(source, "dir/tokenizer.json"); });
        if (message.empty()) return message;
        CAPTURE(message);
        CHECK(message.rfind("dir/tokenizer.json: ", 0) == 0);
        CHECK(message.size() < 500);
        CHECK(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; }));
        return message;
    };
    auto refuses = [&](const std::string& source, const std::string& part) {
        const std::string message = complaint(source);
        CAPTURE(source.substr(0, 200));
        CAPTURE(message);
        CHECK(!message.empty());
        CHECK(contains(message, part));
    };
    auto refuses_change = [&](const std::function<void(json&)>& change, const std::string& part) {
        json file = good;
        change(file);
        refuses(file.dump(), part);
    };
    REQUIRE(complaint(good.dump()) == "");

    SUBCASE("no JSON") {
        const std::string text = good.dump();
        for (size_t length : {size_t{0}, size_t{1}, size_t{20}, text.size() / 3, text.size() / 2, text.size() - 1})
            refuses(text.substr(0, length), "not valid JSON");
        refuses(text + "}", "not valid JSON");
        refuses("\xFF\xFE{}", "not valid JSON");
        refuses("{\"version\": \"\xC3\x28\"}", "not valid JSON");
        for (const char* other : {"null", "[]", "3", "\"text\"", "true"}) refuses(other, "");
        refuses("{}", "version");
    }
    SUBCASE("nested deeply") {
        auto deep = [](const std::string& open, const std::string& close) {
            return repeated(open, 1000000 * open.size()) + "1" + repeated(close, 1000000 * close.size());
        };
        for (const char* key : {"normalizer", "pre_tokenizer", "decoder", "padding", "post_processor", "model"}) {
            json file = good;
            file[key] = "@@@";
            for (const std::string& value : {deep("[", "]"), deep("{\"a\":", "}")}) {
                std::string text = file.dump();
                text.replace(text.find("\"@@@\""), 5, value);
                refuses(text, "nested too deeply");
            }
        }
        refuses(deep("[", "]"), "nested too deeply");
    }
    SUBCASE("unknown parts") {
        refuses_change([](json& f) { f["x\ny"] = 1; }, "unknown key 'x?y'");
        refuses_change([](json& f) { f[std::string(100000, 'k')] = 1; }, "unknown key");
        refuses_change([](json& f) { f["version"] = "2.0"; }, "version");
        refuses_change([](json& f) { f["normalizer"] = {{"type", "NFC"}}; }, "normalizer 'NFC'");
        refuses_change([](json& f) { f["normalizer"] = {{"type", "null"}}; }, "normalizer 'null'");
        refuses_change([](json& f) { f["normalizer"] = false; }, "normalizer");
        refuses_change([](json& f) { f["decoder"] = nullptr; }, "decoder");
        refuses_change([](json& f) { f["decoder"]["type"] = "\x1b[2J"; }, "decoder");
        refuses_change([](json& f) { f.erase("decoder"); }, "decoder");
        refuses_change([](json& f) { f["model"]["type"] = "Unigram"; }, "model 'Unigram'");
        refuses_change([](json& f) { f["model"] = 7; }, "model");
        refuses_change([](json& f) { f.erase("model"); }, "model");
        refuses_change([](json& f) { f["model"]["dropout"] = 0.1; }, "dropout");
        refuses_change([](json& f) { f["model"]["byte_fallback"] = true; }, "byte_fallback");
        refuses_change([](json& f) { f["model"]["ignore_merges"] = true; }, "ignore_merges");
        refuses_change([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix");
        refuses_change([](json& f) { f["model"]["more"] = 1; }, "unknown key 'more'");
    }
    SUBCASE("vocabulary") {
        auto vocabulary = [&](const std::string& name, const json& id, const std::string& part) {
            refuses_change([&](json& f) { f["model"]["vocab"][name] = id; }, part);
        };
        vocabulary("new", -1, "not a whole number");
        vocabulary("new", 1.5, "not a whole number");
        vocabulary("new", "7", "not a whole number");
        vocabulary("new", nullptr, "not a whole number");
        vocabulary("new", json::object(), "not a whole number");
        vocabulary("new", json::array(), "not a whole number");
        vocabulary("new", 4000000000, "far beyond");
        vocabulary("new", 18446744073709551615u, "far beyond");
        vocabulary("new\n", 100, "taken by both");
        vocabulary("", 5000, "empty");
        refuses_change([](json& f) { f["model"]["vocab"] = json::array(); }, "");
        refuses_change([](json& f) { f["model"]["vocab"].erase("a"); }, "");
        refuses_change([](json& f) { f["model"].erase("vocab"); }, "");
    }
    SUBCASE("merges") {
        for (const json& merge : {json("ab"), json("a b c"), json(""), json(" "), json(7), json(nullptr), json::array(),
                                  json{"a"}, json{"a", "b", "c"}, json{"a", 7}, json{"a", json::array()}, json("a qqq"),
                                  json("a \n"), json{"\n", "b"}})
            refuses_change([&](json& f) { f["model"]["merges"].push_back(merge); }, "merge");
        refuses_change([](json& f) { f["model"]["merges"] = {{"a", "b"}}; }, "");
    }
    SUBCASE("added tokens") {
        auto added = [&](const char* key, const json& value, const std::string& part) {
            refuses_change(
                [&](json& f) {
                    if (value.is_discarded())
                        f["added_tokens"][5].erase(key);
                    else
                        f["added_tokens"][5][key] = value;
                },
                part);
        };
        added("id", -1, "added token");
        added("id", 1u << 31, "far beyond");
        added("id", 7, "taken by both");
        added("id", json(json::value_t::discarded), "added token");
        added("content", "", "empty");
        added("content", 5, "added token");
        added("content", "other\n", "taken by both");
        added("lstrip", 1, "lstrip");
        added("normalized", json(json::value_t::discarded), "normalized");
        added("single_word", true, "single_word");
        refuses_change([](json& f) { f["added_tokens"] = {{"a", 1}}; }, "added_tokens");
        refuses_change([](json& f) { f["added_tokens"] = "x"; }, "added_tokens");
        refuses_change([](json& f) { f["added_tokens"].push_back(3); }, "added_tokens");
        refuses_change([](json& f) { f["added_tokens"].push_back(f["added_tokens"][0]); }, "taken by both");
        refuses_change(
            [](json& f) {
                json token = f["added_tokens"][0];
                token["content"] = "a";
                token["id"] = f["model"]["vocab"]["a"];
                f["added_tokens"].push_back(token);
            },
            "single byte");
    }
    SUBCASE("pre-tokenizer") {
        auto steps = [&](const json& value, const std::string& part) {
            refuses_change([&](json& f) { f["pre_tokenizer"] = value; }, part);
        };
        const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
        auto sequence = [&](const json& step) {
            return json{{"type", "Sequence"}, {"pretokenizers", json::array({step, byte_level})}};
        };
        auto split = [&](const std::string& expression) {
            return sequence({{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}});
        };
        steps(nullptr, "");
        steps("ByteLevel", "");
        steps(json::array(), "");
        steps({{"type", "Whitespace"}}, "'Whitespace'");
        steps({{"type", "Digits"}, {"individual_digits", true}}, "must be ByteLevel");
        steps({{"type", "ByteLevel"}}, "add_prefix_space");
        steps({{"type", "ByteLevel"}, {"add_prefix_space", 1}}, "add_prefix_space");
        steps({{"type", "Sequence"}, {"pretokenizers", json::array()}}, "1 to");
        steps({{"type", "Sequence"}, {"pretokenizers", std::vector<json>(1000, byte_level)}}, "1 to");
        steps(sequence(byte_level), "last step");
        steps(sequence(7), "");
        steps(sequence({{"type", "Metaspace\n"}}), "'Metaspace?'");
        steps(sequence({{"type", "Digits"}}), "individual_digits");
        steps(sequence({{"type", "Punctuation"}, {"behavior", "Removed"}}), "'Removed'");
        steps(sequence({{"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Isolated"}}), "Regex");
        for (const char* expression :
             {"(",   "a)",  "[",  "a{2", "*a", "a**", "a+?",         "a++",    "(?=a)", "(?<!a)", "(?i)a", "\\p{L}",
              "\\d", "\\1", "\\", ".",   "^a", "a$",  "[[:alpha:]]", "[a&&b]", "[]a]",  "{",      "a{,3}"})
            steps(split(expression), "expression");
        steps(split("\n\x1b[0m("), "expression '??[0m('");
        steps(split(repeated("(", 5000)), "expression");
        steps(split("((a{1000}){1000}){1000}"), "expression");
    }
}

// What is read and what is made of it count together: a file within its budget may still promise too large tables.
TEST_CASE("tokenizer: more tokens than the file's size justifies are refused before their tables are made") {
    const auto problem_with = [](int tokens) {
        json file = json::parse(source_of("chameleon"));
        json& vocabulary = file["model"]["vocab"];
        const int first = static_cast<int>(Tokenizer(file.dump(), "source").size());
        for (int i = 0; i < tokens; i++) vocabulary["t" + std::to_string(i)] = first + i;
        return error_of([&] { Tokenizer(file.dump(), "tokenizer.json"); });
    };
    CHECK(problem_with(150'000) == "");
    const std::string refused = problem_with(600'000);
    CAPTURE(refused);
    CHECK(contains(refused, "more memory than its size justifies"));
}

// What backtracks without end stops at PCRE2's limit: an Error or an answer, at once.
TEST_CASE("tokenizer: a hostile expression does not hang") {
    json file = json::parse(source_of("chameleon"));
    for (const char* expression : {"(a*)*b", "(a|aa)+b", "(a|a)*(a|a)*c", "a*a*a*a*c"}) {
        CAPTURE(expression);
        file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = expression;
        const Tokenizer tokenizer(file.dump(), "x");
        const std::string text(5000, 'a');
        const std::string message = error_of([&] { CHECK(tokenizer.decode(tokenizer.encode(text, AS_TEXT)) == text); });
        CHECK((message.empty() || contains(message, "failed on this text")));
    }
}

}  // namespace leon
