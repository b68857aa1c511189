// JSON that is small on disk and large in memory, wherever leon reads JSON: refused before it costs more than the
// text's size and 64 MiB. And the sizes of real files, which are not.
#include <functional>
#include <map>

#include "runtime/config.h"
#include "runtime/strict_json.h"
#include "tests/temporary_folder.h"
#include "tokenizer/bpe.h"
#include "weights_converter/foreign_config.h"

#include "tests/testing.h"

namespace leon {
namespace {

// `piece` so often that it fills `bytes`, between two ends. A piece may count: # becomes 0, 1, 2, ...
std::string repeated(const std::string& begin, const std::string& piece, const std::string& end, size_t bytes) {
    std::string text = begin;
    const size_t number = piece.find('#');
    for (size_t i = 0; text.size() < bytes; i++)
        text += number == piece.npos ? piece : piece.substr(0, number) + std::to_string(i) + piece.substr(number + 1);
    if (text.back() == ',') text.pop_back();
    return text + end;
}

constexpr size_t MIB = size_t{1} << 20;

}  // namespace

TEST_CASE("hostile JSON: values, keys and long words that would fill memory are refused") {
    for (const std::string& text :
         {repeated("[", "[],", "]", 4 * MIB), repeated("[", "{},", "]", 4 * MIB), repeated("[", "1,", "]", 8 * MIB),
          repeated("[", "\"\",", "]", 4 * MIB), repeated("{", "\"#\":0,", "}", 10 * MIB),
          "\"" + std::string(14 * MIB, 'x') + "\"", std::string(14 * MIB, '1'), "[" + std::string(14 * MIB, ' ') + "]",
          std::string(14 * MIB, 'x')}) {
        const std::string error = error_of([&] { parse_json(text, "a.json"); });
        CHECK_MESSAGE(contains(error, "a.json: asks for more memory"), text.substr(0, 20), error.substr(0, 200));
    }
    const TemporaryFolder folder;
    write_text(folder / "config.json", repeated("{\"a\":[", "1,", "]}", 8 * MIB));
    CHECK(contains(error_of([&] { read_json_object(folder / "config.json"); }), "more memory"));
}

TEST_CASE("hostile JSON: an index, a vocabulary and a header as large as real ones are read") {
    // 65,536 tokens and as many merges, twice what Chameleon has; a list of ten thousand tensors.
    CHECK(parse_json(repeated("{\"vocab\":{", "\"token #\":1,", "}}", 2 * MIB), "x")["vocab"].size() > 65536);
    CHECK(parse_json(repeated("[", "\"first second\",", "]", 2 * MIB), "x").size() > 131072);
    CHECK(parse_json("\"" + std::string(4 * MIB, 'x') + "\"", "x").get<std::string>().size() == 4 * MIB);
    CHECK(parse_json(R"({"a\\":"\",","b":[{}]})", "x").size() == 2);
}

TEST_CASE("hostile JSON: a header of a million tensors without bytes is refused, one of ten thousand is read") {
    const TemporaryFolder folder;
    const std::string path = folder / "a.safetensors";
    const auto made = [&](size_t bytes) {
        write_text(path, safetensors(
                             repeated("{", R"("#":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},)", "}", bytes), ""));
        return error_of([&] { SafetensorsFile file(path); });
    };
    CHECK(made(MIB / 2) == "");
    CHECK(contains(made(16 * MIB), path + ": asks for more memory"));
    write_text(path, safetensors(repeated(R"({"__metadata__":{)", R"("#":"",)", "}}", 8 * MIB), ""));
    CHECK(contains(error_of([&] { SafetensorsFile file(path); }), "more memory"));
}

TEST_CASE("hostile JSON: a tokenizer of millions of entries is refused") {
    const std::string rest = R"("version":"1.0","decoder":{"type":"ByteLevel"},)";
    for (const std::string& text :
         {repeated("{" + rest + R"("model":{"type":"BPE","vocab":{)", "\"#\":1,", "}}}", 16 * MIB),
          repeated("{" + rest + R"("model":{"type":"BPE","merges":[)", "\"a b\",", "]}}", 8 * MIB),
          repeated("{" + rest + R"("padding":[)", "1,", "]}", 4 * MIB)}) {
        const std::string error = error_of([&] { Tokenizer(text, "t.json"); });
        CHECK_MESSAGE(contains(error, "t.json: asks for more memory"), error.substr(0, 200));
    }
}

}  // namespace leon
