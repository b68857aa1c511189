// CLIP's normalizer; see normalizer.h. Text is composed in stretches that begin at an ASCII character, which composes
// with nothing before it; those that are nothing but ASCII, which is most, need no library.
#include "tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>

#include "kernels/check.h"
#include "runtime/weights_file.h"
#include "tokenizer/unicode.h"

namespace leon {
namespace {

using Json = nlohmann::json;

// U+11A7, which composes with nothing before it either; utf8proc 2.8 swallows it behind a Hangul syllable.
constexpr std::string_view OLD_VOWEL = "\xe1\x86\xa7";

bool is_ascii(char c) {
    return static_cast<unsigned char>(c) < 0x80;
}

void append(std::string& out, uint32_t code_point) {
    utf8proc_uint8_t bytes[4];
    const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
}

void check_marks(std::string_view text) {
    int marks = 0;
    for (size_t i = 0; i < text.size();) {
        const CodePoint c = code_point_at(text.data() + i);
        const bool is_mark = utf8proc_get_property(static_cast<utf8proc_int32_t>(c.value))->combining_class != 0;
        marks = is_mark ? marks + 1 : 0;
        if (marks > MAX_MARKS)
            throw Error("the text has more than " + std::to_string(MAX_MARKS) + " combining marks in a row");
        i += c.bytes;
    }
}

struct Free {
    void operator()(utf8proc_uint8_t* memory) const { std::free(memory); }
};

std::string composed(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t begin = 0; begin < text.size();) {
        size_t marks = begin + 1;  // where what is not ASCII begins
        while (marks < text.size() && is_ascii(text[marks])) marks++;
        if (marks == text.size() && is_ascii(text[begin])) return out.append(text.substr(begin));
        if (is_ascii(text[begin]))
            marks--;  // the last of them may be composed with what follows
        else
            marks = begin;
        out.append(text.substr(begin, marks - begin));
        size_t end = marks + 1;
        while (end < text.size() && !is_ascii(text[end]) && text.substr(end, OLD_VOWEL.size()) != OLD_VOWEL) end++;

        const std::string_view stretch = text.substr(marks, end - marks);
        check_marks(stretch);
        utf8proc_uint8_t* raw = nullptr;
        const auto count = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(stretch.data()),
                                        static_cast<utf8proc_ssize_t>(stretch.size()), &raw,
                                        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
        const std::unique_ptr<utf8proc_uint8_t, Free> memory(raw);
        if (count < 0) throw std::bad_alloc();  // the text is valid UTF-8: nothing else can go wrong
        out.append(reinterpret_cast<const char*>(raw), static_cast<size_t>(count));
        begin = end;
    }
    return out;
}

}  // namespace

Normalization read_normalization(const Json& spec, const std::string& where) {
    if (spec.is_null()) return Normalization::None;
    static const Json CLIP = Json::parse(R"({"type": "Sequence", "normalizers": [
        {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]})");
    if (spec == CLIP) return Normalization::Clip;
    const bool named = spec.is_object() && spec.contains("type") && spec["type"].is_string();
    const std::string type = named ? in_quotes(spec["type"].get<std::string>()) : "of no type";
    throw Error("normalizer " + type + " is not supported", where,
                "only null is, and CLIP's sequence of NFC, Replace of \\s+ by a space, and Lowercase");
}

std::string clip_normalized(std::string_view text) {
    constexpr uint32_t DOTTED_CAPITAL_I = 0x130, COMBINING_DOT = 0x307;
    const CodePointClasses& classes = CodePointClasses::get();
    const std::string nfc = composed(text);
    std::string out;
    out.reserve(nfc.size());
    bool space = false;
    for (size_t i = 0; i < nfc.size();) {
        const CodePoint c = code_point_at(nfc.data() + i);
        i += c.bytes;
        const bool is_space = classes.of(c.value) & code_point_class::SPACE;
        if (is_space && !space) out += ' ';
        space = is_space;
        if (is_space) continue;
        append(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
        if (c.value == DOTTED_CAPITAL_I) append(out, COMBINING_DOT);  // the one letter whose lower case is two
    }
    return out;
}

}  // namespace leon
