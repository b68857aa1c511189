// Steps of the pre-tokenizer. Every step walks the text once and writes a finer list of piece ends.
#include "tokenizer/pretokenizer.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/check.h"
#include "runtime/weights_file.h"
#include "tokenizer/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace leon {

namespace {

using Json = nlohmann::json;
using namespace code_point_class;

constexpr size_t MAX_STEPS = 64;  // published files have at most six

// --- regular expressions --------------------------------------------------------------------------------------------

// Where the expression leaves the ground that Oniguruma and PCRE2 share, if it does.
std::optional<size_t> find_foreign_syntax(std::string_view pattern) {
    auto at = [&](size_t i) { return i < pattern.size() ? pattern[i] : '\0'; };
    auto is_digit = [&](size_t i) { return at(i) >= '0' && at(i) <= '9'; };
    auto is_escape = [&](size_t i) {
        const unsigned char c = static_cast<unsigned char>(at(i));
        return c == 't' || c == 'n' || c == 'r' || (c < 0x80 && std::ispunct(c));
    };
    bool quantifiable = false;  // does an item end here, on which a quantifier may stand?
    for (size_t i = 0; i < pattern.size(); i++) {
        const size_t start = i;
        switch (pattern[i]) {
            case '\\':
                if (!is_escape(++i)) return start;
                quantifiable = true;
                break;
            case '(':
                if (at(i + 1) == '?' && at(i += 2) != ':') return start;
                quantifiable = false;
                break;
            case '|':
                quantifiable = false;
                break;
            case ')':
                quantifiable = true;
                break;
            case '[':
                if (at(i + 1) == '^') i++;
                if (at(i + 1) == ']') return start;
                for (i++; at(i) != ']'; i++) {
                    if (i >= pattern.size() || at(i) == '[' || (at(i) == '&' && at(i + 1) == '&')) return start;
                    if (at(i) == '\\' && !is_escape(++i)) return start;
                }
                quantifiable = true;
                break;
            case '*':
            case '+':
            case '?':
                if (!quantifiable) return start;
                quantifiable = false;
                break;
            case '{':
                if (!quantifiable || !is_digit(i + 1)) return start;
                for (i++; is_digit(i); i++) {
                }
                if (at(i) == ',')
                    for (i++; is_digit(i); i++) {
                    }
                if (at(i) != '}') return start;
                quantifiable = false;
                break;
            case '.':
            case '^':
            case '$':
            case ']':
            case '}':
                return start;
            default:
                quantifiable = true;
        }
    }
    return std::nullopt;
}

class Regex {
public:
    Regex(const std::string& pattern, const std::string& where) : pattern_(pattern) {
        const std::string name = "the pre-tokenizer's expression " + in_quotes(pattern);
        if (auto position = find_foreign_syntax(pattern))
            throw Error(name + " uses unsupported syntax at byte " + std::to_string(*position), where,
                        "use literals, [classes], groups, | and greedy * + ? {n,m} only");
        int code = 0;
        PCRE2_SIZE offset = 0;
        code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &code,
                                  &offset, nullptr));
        if (!code_)
            throw Error(name + " does not compile: " + message(code) + " at byte " + std::to_string(offset), where);
        pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, the interpreter does the same
    }

    // Calls found(begin, end) for the matches in text[begin..end), left to right, without overlap.
    template <class Found>
    void for_each_match(pcre2_match_data* data, std::string_view text, Found found) const {
        const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
        for (size_t from = 0; from <= text.size();) {
            int count = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, nullptr);
            if (count == PCRE2_ERROR_JIT_STACKLIMIT)  // the interpreter keeps its stack on the heap
                count = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                                    nullptr);
            if (count == PCRE2_ERROR_NOMATCH) return;
            if (count < 0)
                throw Error("the pre-tokenizer's expression " + in_quotes(pattern_) +
                            " failed on this text: " + message(count));
            const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
            found(bounds[0], bounds[1]);
            from = bounds[1];
            if (bounds[0] == bounds[1]) {  // an empty match: go on behind the next code point
                if (from == text.size()) return;
                from += code_point_at(text.data() + from).bytes;
            }
        }
    }

private:
    static std::string message(int code) {
        char buffer[256] = "";
        pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(buffer), sizeof(buffer));
        return buffer;
    }
    struct Free {
        void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    };
    std::string pattern_;
    std::unique_ptr<pcre2_code, Free> code_;
};

struct FreeMatchData {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// --- the other steps ------------------------------------------------------------------------------------------------

// Adds an end, unless the piece would be empty.
void cut(std::vector<size_t>& ends, size_t end) {
    if (end > (ends.empty() ? 0 : ends.back())) ends.push_back(end);
}

enum class Runs { Apart, Together };

// Code points of the class become pieces of their own, one each or a run together.
void split_class(std::vector<size_t>& out, std::string_view text, const std::vector<size_t>& ends, uint8_t mask,
                 Runs runs) {
    const CodePointClasses& classes = CodePointClasses::get();
    size_t i = 0;
    for (size_t end : ends) {
        bool previous = false;  // was the code point before this one, in this piece, of the class?
        while (i < end) {
            const CodePoint c = code_point_at(text.data() + i);
            const bool matches = classes.of(c.value) & mask;
            if (matches != previous || (matches && runs == Runs::Apart)) cut(out, i);
            previous = matches;
            i += c.bytes;
        }
        cut(out, end);
    }
}

// The length of the English ending that starts at i of text[..end) with an apostrophe: 's 't 're 've 'm 'll 'd; or 0.
size_t contraction(std::string_view text, size_t i, size_t end) {
    auto letter = [&](size_t at) { return at < end ? text[at] : '\0'; };
    if (text[i] != '\'') return 0;
    const char a = letter(i + 1), b = letter(i + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return 0;
}

// The end of the piece that starts at i of text[..end), by GPT-2's pattern
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// The alternatives before the last two match whatever starts with something other than a space, or with one ' '
// followed by something else; the last two: a run of spaces gives its last one to a word that follows.
size_t byte_level_piece(const CodePointClasses& classes, std::string_view text, size_t i, size_t end) {
    auto kind_of = [&](uint32_t c) { return classes.of(c) & (SPACE | LETTER | NUMBER); };
    if (const size_t ending = contraction(text, i, end)) return i + ending;
    CodePoint first = code_point_at(text.data() + i);
    size_t next = i + first.bytes;
    if (first.value == ' ' && next < end) {
        const CodePoint second = code_point_at(text.data() + next);
        if (kind_of(second.value) != SPACE) {
            first = second;
            next += second.bytes;
        }
    }
    const int kind = kind_of(first.value);
    size_t last = next - first.bytes;  // where the run's last code point starts
    while (next < end) {
        const CodePoint c = code_point_at(text.data() + next);
        if (kind_of(c.value) != kind) break;
        last = next;
        next += c.bytes;
    }
    const bool word_follows = kind == SPACE && next < end;
    return word_follows && last > i ? last : next;
}

void split_byte_level(std::vector<size_t>& out, std::string_view text, const std::vector<size_t>& ends) {
    const CodePointClasses& classes = CodePointClasses::get();
    size_t i = 0;
    for (size_t end : ends)
        while (i < end) out.push_back(i = byte_level_piece(classes, text, i, end));
}

// CLIP's pattern 's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+ : what it matches are the pieces, and what
// is between them, white space, is left out of `words`.
void split_words(std::vector<size_t>& out, std::string& words, std::string_view text, const std::vector<size_t>& ends) {
    const CodePointClasses& classes = CodePointClasses::get();
    size_t i = 0;
    for (size_t end : ends)
        while (i < end) {
            const CodePoint first = code_point_at(text.data() + i);
            const int kind = classes.of(first.value) & (SPACE | LETTER | NUMBER);
            size_t next = i + first.bytes;
            if (const size_t ending = contraction(text, i, end))
                next = i + ending;
            else if (kind != NUMBER)
                while (next < end) {
                    const CodePoint c = code_point_at(text.data() + next);
                    if ((classes.of(c.value) & (SPACE | LETTER | NUMBER)) != kind) break;
                    next += c.bytes;
                }
            if (kind != SPACE) {
                words += text.substr(i, next - i);
                out.push_back(words.size());
            }
            i = next;
        }
}

// --- reading the file -----------------------------------------------------------------------------------------------

const Json& member(const Json& object, const char* name, const std::string& where) {
    if (!object.is_object() || !object.contains(name))
        throw Error(std::string("a pre-tokenizer has no \"") + name + "\"", where);
    return object[name];
}

bool flag(const Json& object, const char* name, std::optional<bool> otherwise, const std::string& where) {
    if (otherwise && !object.contains(name)) return *otherwise;
    const Json& value = member(object, name, where);
    if (!value.is_boolean())
        throw Error(std::string("\"") + name + "\" of a pre-tokenizer must be true or false", where);
    return value.get<bool>();
}

std::string text_of(const Json& object, const char* name, const std::string& where) {
    const Json& value = member(object, name, where);
    if (!value.is_string()) throw Error(std::string("\"") + name + "\" of a pre-tokenizer must be a string", where);
    return value.get<std::string>();
}

void require_isolated(const Json& object, const std::string& where) {
    if (const std::string behavior = text_of(object, "behavior", where); behavior != "Isolated")
        throw Error("pre-tokenizer behavior " + in_quotes(behavior) + " is not supported", where,
                    "only \"Isolated\" is");
}

// Is this CLIP's Split? Its expression may begin with the names of its control tokens, which text never becomes here.
bool is_words(const Json& step) {
    const std::string words = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
    for (const std::string& pattern : {words, R"(<\|startoftext\|>|<\|endoftext\|>|)" + words})
        if (step ==
            Json{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Removed"}, {"invert", true}})
            return true;
    return false;
}

}  // namespace

struct Pretokenizer::Step {
    enum class Kind { Split, Digits, DigitRuns, Punctuation, PrefixSpace, ByteLevel, Words };
    Kind kind;
    std::optional<Regex> regex = std::nullopt;  // of Split
};

Pretokenizer::Pretokenizer(Pretokenizer&&) noexcept = default;
Pretokenizer::~Pretokenizer() = default;

Pretokenizer::Pretokenizer(const Json& spec, const std::string& where) {
    const bool is_sequence = spec.is_object() && spec.value("type", Json()) == "Sequence";
    const Json list = is_sequence ? member(spec, "pretokenizers", where) : Json::array({spec});
    if (!list.is_array() || list.empty() || list.size() > MAX_STEPS)
        throw Error("the pre-tokenizer must be a list of 1 to " + std::to_string(MAX_STEPS) + " steps", where);

    for (size_t i = 0; i < list.size(); i++) {
        const Json& step = list[i];
        const std::string type = text_of(step, "type", where);
        if (type == "Split") {
            const Json& pattern = member(step, "pattern", where);
            if (is_words(step)) {
                steps_.push_back({Step::Kind::Words});
                continue;
            }
            require_isolated(step, where);
            if (flag(step, "invert", false, where)) throw Error("an inverted Split is not supported", where);
            steps_.push_back({Step::Kind::Split, Regex(text_of(pattern, "Regex", where), where)});
        } else if (type == "Digits") {
            const bool individual = flag(step, "individual_digits", std::nullopt, where);
            steps_.push_back({individual ? Step::Kind::Digits : Step::Kind::DigitRuns});
        } else if (type == "Punctuation") {
            if (step.contains("behavior")) require_isolated(step, where);  // Isolated is the format's default
            steps_.push_back({Step::Kind::Punctuation});
        } else if (type == "ByteLevel") {
            if (i + 1 != list.size()) throw Error("ByteLevel must be the last step of the pre-tokenizer", where);
            if (flag(step, "add_prefix_space", std::nullopt, where)) steps_.push_back({Step::Kind::PrefixSpace});
            if (flag(step, "use_regex", true, where)) steps_.push_back({Step::Kind::ByteLevel});
        } else {
            throw Error("pre-tokenizer " + in_quotes(type) + " is not supported here", where,
                        "Split, Digits, Punctuation and, at the end, ByteLevel are");
        }
        if (i + 1 == list.size() && type != "ByteLevel")
            throw Error("the last step of the pre-tokenizer is " + in_quotes(type), where, "it must be ByteLevel");
    }
}

void Pretokenizer::split(Pieces& pieces, std::string_view text) const {
    std::vector<size_t>& out = pieces.spare;
    pieces.text = text;
    pieces.ends.clear();
    if (text.empty()) return;
    pieces.ends.push_back(text.size());

    for (const Step& step : steps_) {
        out.clear();
        switch (step.kind) {
            case Step::Kind::Split: {
                std::unique_ptr<pcre2_match_data, FreeMatchData> data(pcre2_match_data_create(1, nullptr));
                if (!data) throw std::bad_alloc();
                size_t begin = 0;
                for (size_t end : pieces.ends) {
                    step.regex->for_each_match(data.get(), text.substr(begin, end - begin),
                                               [&](size_t from, size_t to) {
                                                   cut(out, begin + from);
                                                   cut(out, begin + to);
                                               });
                    cut(out, end);
                    begin = end;
                }
                break;
            }
            case Step::Kind::Digits:
                split_class(out, text, pieces.ends, DIGIT, Runs::Apart);
                break;
            case Step::Kind::DigitRuns:
                split_class(out, text, pieces.ends, DIGIT, Runs::Together);
                break;
            case Step::Kind::Punctuation:
                split_class(out, text, pieces.ends, PUNCTUATION, Runs::Apart);
                break;
            case Step::Kind::PrefixSpace: {
                std::string prefixed;
                size_t begin = 0;
                for (size_t end : pieces.ends) {
                    if (text[begin] != ' ') prefixed += ' ';
                    prefixed += text.substr(begin, end - begin);
                    out.push_back(prefixed.size());
                    begin = end;
                }
                pieces.rewritten = std::move(prefixed);
                pieces.text = text = pieces.rewritten;
                break;
            }
            case Step::Kind::Words: {
                std::string words;
                split_words(out, words, text, pieces.ends);
                pieces.rewritten = std::move(words);
                pieces.text = text = pieces.rewritten;
                break;
            }
            case Step::Kind::ByteLevel:
                split_byte_level(out, text, pieces.ends);
                break;
        }
        pieces.ends.swap(out);
    }
}

}  // namespace leon
