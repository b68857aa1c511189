// Hostile files of our own making, given to the program as somebody might: one line, status 2, nothing run, nothing
// written. What each reader refuses in detail is tested with it; this is about what a person sees.
#include <filesystem>

#include "tests/made_zip.h"
#include "tests/temporary_folder.h"

#include "tests/command_line.h"

namespace leon {
namespace {

using namespace std::string_literals;

const std::string TENSOR = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";

// {"w": a float32 tensor of four, "x": VALUE}
std::string pickle_with(const std::string& value) {
    const auto text = [](const std::string& word) { return "X" + little_endian(word.size(), 4) + word; };
    return "\x80\2}(" + text("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") +
           "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\4tQK\0K\4\x85K\1\x85\x89}tR"s + text("x") + value +
           "u.";
}

std::string archive(const std::string& pickle, const std::vector<MadeMember>& more = {}) {
    std::vector<MadeMember> members = {{.name = "a/data.pkl", .bytes = pickle},
                                       {.name = "a/data/0", .bytes = std::string(16, '\1')}};
    members.insert(members.end(), more.begin(), more.end());
    return made_zip(members);
}

std::string nested(const std::string& open, const std::string& close) {
    std::string text;
    for (int i = 0; i < 100'000; i++) text += open;
    text += "1";
    for (int i = 0; i < 100'000; i++) text += close;
    return text;
}

}  // namespace

TEST_CASE("hostile files: the program says one line about each, and does nothing else") {
    const std::string run_it = "cos\nsystem\n(X\x0b\0\0\0touch PWNEDtR"s;
    const std::map<std::string, std::string> files = {
        // Pickles, of every protocol: a call to the shell.
        {"protocol_0.pth", archive("(dp0\nS'x'\np1\ncposix\nsystem\np2\n(S'touch PWNED'\ntRs.")},
        {"protocol_1.pth", archive("}q\0(U\1xcposix\nsystem\n(U\x0btouch PWNEDtRu."s)},
        {"protocol_2.pth", archive(pickle_with(run_it))},
        {"protocol_4.pth", archive(pickle_with("\x8c\5posix\x8c\6system\x93\x8c\x0btouch PWNED\x85R"))},
        {"protocol_5.pth", archive("\x80\5\x95\x20\0\0\0\0\0\0\0}\x8c\1x\x8c\x0asubprocess\x8c\5Popen\x93)R\x94s."s)},
        {"instance.pth", archive(pickle_with("(X\x0b\0\0\0touch PWNEDios\nsystem\n"s))},
        {"deep_in_a_list.pth", archive(pickle_with("](](](" + run_it + "eee"))},
        {"twice.pth", archive("\x80\2" + run_it + "0}.")},
        {"extension.pth", archive(pickle_with("\x82\1"))},
        {"count.pth", archive(pickle_with("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"))},
        {"memory_bomb.pth", archive("\x80\2" + std::string(4'000'000, ']') + ".")},
        {"memo_bomb.pth", archive("\x80\2}" + std::string(12'000'000, '\x94') + ".")},
        // Archives.
        {"zip_bomb.pth",
         made_zip({{.name = "a/data.pkl", .bytes = std::string(100, '\0'), .method = 8, .size = 4 << 20}})},
        {"outside.pth", made_zip({{.name = "../data.pkl", .bytes = "cos\nsystem\n."}})},
        {"absolute.pth", made_zip({{.name = "/etc/data.pkl", .bytes = "cos\nsystem\n."}})},
        {"link.pth", archive(pickle_with("N"), {{.name = "a/data/0", .bytes = "/etc/passwd"}})},
        {"overlap.pth", archive(pickle_with("N"), {{.name = "a/data/1", .bytes = "1", .offset = 0}})},
        {"encrypted.pth", archive(pickle_with("N"), {{.name = "a/data/1", .bytes = "1", .flags = 1}})},
        {"checksum.pth", made_zip({{.name = "a/data.pkl", .bytes = pickle_with("N"), .crc = 7},
                                   {.name = "a/data/0", .bytes = std::string(16, '\1')}})},
        {"entries.pth", made_zip({{.name = "a/data.pkl", .bytes = "."}}, {.entries = int64_t{1} << 60, .zip64 = true})},
        // Safetensors.
        {"duplicate.safetensors", safetensors("{\"a\":" + TENSOR + ",\"a\":" + TENSOR + "}", "1")},
        {"overlap.safetensors", safetensors("{\"a\":" + TENSOR + ",\"b\":" + TENSOR + "}", "1")},
        {"infinite.safetensors", safetensors(R"({"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,1]}})", "1")},
        {"nan.safetensors", safetensors(R"({"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}})", "1")},
        {"huge.safetensors",
         safetensors(R"({"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,1]}})", "1")},
        {"garbage.safetensors", safetensors("{\"\xff\xfe\":" + TENSOR + "}", "1")},
        {"lists.safetensors", safetensors(nested("[", "]"), "")},
        {"objects.safetensors", safetensors(nested("{\"a\":", "}"), "")},
        {"escape.safetensors", safetensors(R"({"\u001b[2J":)" + TENSOR + R"(,"\u001b[2J":1})", "1")},
        {"leon.leon", safetensors(R"({"__metadata__":{"format":"leon","leon.version":"1","leon.config":")" +
                                      std::string(1000, '[') + R"("}})",
                                  "")},
        {"zeros.leon", std::string(4096, '\0')},
        {"text.pth", "#!/bin/sh\ntouch PWNED\n"},
    };
    const Scratch scratch;
    for (const auto& [name, content] : files) {
        const std::string path = scratch / name;
        write_text(path, content);
        CAPTURE(path);
        check_refused({"inspect", path}, path);
        check_refused({"convert", path, "-o", scratch / "out.leon"}, path);
        std::filesystem::remove(path);
        CHECK(scratch.empty_but(0));
    }
    CHECK(!std::filesystem::exists("PWNED"));
}

}  // namespace leon
