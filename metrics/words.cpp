// Splitting captions; see words.h.
#include "metrics/words.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

namespace leon {
namespace {

using Text = std::string_view;

bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}
bool is_ascii_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Signs outside ASCII that stand for one inside; replaced before splitting.
constexpr std::pair<Text, Text> TYPOGRAPHY[] = {
    {"\u2018", "'"},  {"\u2019", "'"},  {"\u201c", "\""}, {"\u201d", "\""},  {"\u00ab", "\""},
    {"\u00bb", "\""}, {"\u2013", "--"}, {"\u2014", "--"}, {"\u2026", "..."}, {"\u00a0", " "},
};

std::string plain_signs(Text text) {
    std::string plain;
    while (!text.empty()) {
        const auto* found = std::find_if(std::begin(TYPOGRAPHY), std::end(TYPOGRAPHY),
                                         [&](const auto& sign) { return text.starts_with(sign.first); });
        plain += found == std::end(TYPOGRAPHY) ? text.substr(0, 1) : found->second;
        text.remove_prefix(found == std::end(TYPOGRAPHY) ? 1 : found->first.size());
    }
    return plain;
}

// Letters, digits and all that is not ASCII.
bool is_inside(char c) {
    return is_digit(c) || is_ascii_letter(c) || static_cast<unsigned char>(c) >= 0x80;
}

// How many bytes of the text are "u.s." or "p.m.": single letters, each before a period, at least two; else 0.
size_t initials(Text text) {
    size_t bytes = 0;
    while (bytes + 1 < text.size() && is_ascii_letter(text[bytes]) && text[bytes + 1] == '.') bytes += 2;
    const bool ends = bytes == text.size() || !is_inside(text[bytes]);
    return bytes >= 4 && ends ? bytes : 0;
}

// A word from the beginning of the text, with the signs inside it.
size_t word_bytes(Text text) {
    if (const size_t bytes = initials(text)) return bytes;
    constexpr Text JOINTS = "-/'_@", IN_NUMBERS = ".,:";
    size_t i = 0;
    for (bool fraction = false; i < text.size(); i++) {
        if (is_inside(text[i])) {
            if (fraction && is_digit(text[i - 1]) && !is_digit(text[i])) break;  // 3:30 pm
            continue;
        }
        if (i + 1 >= text.size() || !is_inside(text[i + 1])) break;
        const bool in_number = IN_NUMBERS.find(text[i]) != Text::npos && is_digit(text[i - 1]) && is_digit(text[i + 1]);
        const bool in_name = text[i] == '.' && !is_digit(text[i - 1]) && !is_digit(text[i + 1]);
        if (JOINTS.find(text[i]) == Text::npos && !in_number && !in_name) break;
        fraction |= in_number;
    }
    constexpr Text ABBREVIATIONS[] = {"mr", "mrs", "ms", "dr", "st", "jr", "sr", "vs", "etc"};
    const bool abbreviated =
        i < text.size() && text[i] == '.' &&
        std::find(std::begin(ABBREVIATIONS), std::end(ABBREVIATIONS), text.substr(0, i)) != std::end(ABBREVIATIONS);
    return i + abbreviated;
}

constexpr Text CLITICS[] = {"n't", "'s", "'m", "'d", "'re", "'ve", "'ll"};

// How many bytes of the text are a clitic that stands alone, as in text whose words are parted already; else 0.
size_t clitic_bytes(Text text) {
    size_t bytes = 1;
    while (bytes < text.size() && is_inside(text[bytes])) bytes++;
    const bool is_one = std::find(std::begin(CLITICS), std::end(CLITICS), text.substr(0, bytes)) != std::end(CLITICS);
    return is_one ? bytes : 0;
}

void add_word(Words& words, Text word) {
    constexpr std::pair<Text, size_t> HALVED[] = {{"cannot", 3}, {"gonna", 3}, {"gotta", 3},
                                                  {"wanna", 3},  {"gimme", 3}, {"lemme", 3}};
    for (const auto& [whole, half] : HALVED)
        if (word == whole) {
            words.emplace_back(word.substr(0, half));
            words.emplace_back(word.substr(half));
            return;
        }
    for (Text clitic : CLITICS)
        if (word.size() > clitic.size() && word.ends_with(clitic)) {
            add_word(words, word.substr(0, word.size() - clitic.size()));
            words.emplace_back(clitic);
            return;
        }
    words.emplace_back(word);
}

// A sign, or a run of equal ones that stands for one, and whether it is a word.
void add_sign(Words& words, Text sign) {
    constexpr std::pair<Text, Text> BRACKETS[] = {{"(", "-lrb-"}, {")", "-rrb-"}, {"[", "-lsb-"},
                                                  {"]", "-rsb-"}, {"{", "-lcb-"}, {"}", "-rcb-"}};
    for (const auto& [bracket, name] : BRACKETS)
        if (sign == bracket) {
            words.emplace_back(name);
            return;
        }
    constexpr Text REMOVED = ".?!,:;-'`\"";
    const bool shouted = sign.size() > 1 && (sign[0] == '!' || sign[0] == '?');
    if (shouted || REMOVED.find(sign[0]) == Text::npos) words.emplace_back(sign);
}

size_t sign_bytes(Text text) {
    Text alike = text.substr(0, 1);
    if (text[0] == '!' || text[0] == '?') alike = "!?";
    if (text[0] == '-' || text[0] == '.' || alike.size() == 2)
        return std::min(text.find_first_not_of(alike), text.size());
    return 1;
}

}  // namespace

std::string lower_case(Text text) {
    std::string lower(text);
    for (size_t i = 0; i < lower.size(); i++) {
        if (lower[i] >= 'A' && lower[i] <= 'Z') lower[i] = static_cast<char>(lower[i] + 32);
        // U+00C0 to U+00DE, without the multiplication sign: C3 80 to C3 9E.
        const uint8_t byte = static_cast<uint8_t>(lower[i]), before = i > 0 ? static_cast<uint8_t>(lower[i - 1]) : 0;
        if (before == 0xC3 && byte >= 0x80 && byte <= 0x9E && byte != 0x97) lower[i] = static_cast<char>(byte + 0x20);
    }
    return lower;
}

Words split_words(Text text) {
    Words words;
    size_t i = 0;
    while (i < text.size()) {
        const size_t from = i;
        while (i < text.size() && !is_space(text[i])) i++;
        if (i > from) words.emplace_back(text.substr(from, i - from));
        while (i < text.size() && is_space(text[i])) i++;
    }
    return words;
}

Words caption_words(Text caption) {
    Words words;
    for (const std::string& chunk : split_words(plain_signs(lower_case(caption)))) {
        Text rest = chunk;
        if (const size_t bytes = clitic_bytes(rest)) {
            words.emplace_back(rest.substr(0, bytes));
            rest.remove_prefix(bytes);
        }
        while (!rest.empty()) {
            const size_t bytes = is_inside(rest[0]) ? word_bytes(rest) : sign_bytes(rest);
            if (is_inside(rest[0]))
                add_word(words, rest.substr(0, bytes));
            else
                add_sign(words, rest.substr(0, bytes));
            rest.remove_prefix(bytes);
        }
    }
    return words;
}

}  // namespace leon
