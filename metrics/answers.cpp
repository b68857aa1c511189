// The VQA challenge's accuracy; see answers.h.
#include "metrics/answers.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "kernels/check.h"
#include "metrics/words.h"

namespace leon {
namespace {

constexpr std::string_view PUNCTUATION = ";/[]\"{}()=+\\_-><@`,?!";

bool has_comma_in_number(std::string_view text) {
    for (size_t i = 1; i + 1 < text.size(); i++)
        if (text[i] == ',' && is_digit(text[i - 1]) && is_digit(text[i + 1])) return true;
    return false;
}

bool stands_beside_space(std::string_view text, char sign) {
    for (size_t i = 0; i + 1 < text.size(); i++)
        if ((text[i] == sign && text[i + 1] == ' ') || (text[i] == ' ' && text[i + 1] == sign)) return true;
    return false;
}

// Every contraction as it should be written. Answers that lack one of its apostrophes are mended; 'twas and somebody'd
// are the published list's, the second one backwards.
constexpr const char* CONTRACTIONS[] = {
    "ain't",     "aren't",       "can't",      "could've",     "couldn't",      "couldn't've",    "didn't",
    "doesn't",   "don't",        "hadn't",     "hadn't've",    "hasn't",        "haven't",        "he'd",
    "he'd've",   "he's",         "how'd",      "how'll",       "how's",         "isn't",          "it'd",
    "it'd've",   "it'll",        "ma'am",      "mightn't",     "mightn't've",   "might've",       "mustn't",
    "must've",   "needn't",      "not've",     "o'clock",      "oughtn't",      "'ow's'at",       "shan't",
    "she'd've",  "should've",    "shouldn't",  "shouldn't've", "somebody'd've", "somebody'll",    "somebody's",
    "someone'd", "someone'd've", "someone'll", "someone's",    "something'd",   "something'd've", "something'll",
    "that's",    "there'd",      "there'd've", "there're",     "there's",       "they'd",         "they'd've",
    "they'll",   "they're",      "they've",    "'twas",        "wasn't",        "we'd've",        "we've",
    "weren't",   "what'll",      "what're",    "what's",       "what've",       "when's",         "where'd",
    "where's",   "where've",     "who'd",      "who'd've",     "who'll",        "who's",          "who've",
    "why'll",    "why're",       "why's",      "won't",        "would've",      "wouldn't",       "wouldn't've",
    "y'all",     "y'all'll",     "y'all'd've", "you'd",        "you'd've",      "you'll",         "you're",
    "you've",
};

const std::map<std::string, std::string>& mended_words() {
    static const std::map<std::string, std::string> mended = [] {
        std::map<std::string, std::string> table{{"somebody'd", "somebodyd"}};
        for (const std::string whole : CONTRACTIONS)
            for (size_t at = whole.find('\''); at != std::string::npos; at = whole.find('\'', at + 1))
                table[whole.substr(0, at) + whole.substr(at + 1)] = whole;
        return table;
    }();
    return mended;
}

// Line ends and tabs count as spaces, and none stand at the ends.
std::string stripped(std::string_view text) {
    std::string line(text);
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::replace(line.begin(), line.end(), '\t', ' ');
    const size_t from = line.find_first_not_of(' ');
    return from == std::string::npos ? "" : line.substr(from, line.find_last_not_of(' ') + 1 - from);
}

}  // namespace

std::string without_punctuation(std::string_view answer) {
    std::string text(answer);
    const bool number = has_comma_in_number(answer);
    for (char sign : PUNCTUATION) {
        if (number || stands_beside_space(answer, sign))
            std::erase(text, sign);
        else
            std::replace(text.begin(), text.end(), sign, ' ');
    }
    std::string result;
    for (size_t i = 0; i < text.size(); i++)
        if (text[i] != '.' || (i + 1 < text.size() && is_digit(text[i + 1]))) result += text[i];
    return result;
}

std::string normalised_answer(std::string_view answer) {
    static const std::map<std::string, std::string> NUMBERS = {
        {"none", "0"}, {"zero", "0"}, {"one", "1"},   {"two", "2"},   {"three", "3"}, {"four", "4"},
        {"five", "5"}, {"six", "6"},  {"seven", "7"}, {"eight", "8"}, {"nine", "9"},  {"ten", "10"}};
    std::string result;
    for (std::string word : split_words(lower_case(without_punctuation(stripped(answer))))) {
        if (word == "a" || word == "an" || word == "the") continue;
        if (const auto number = NUMBERS.find(word); number != NUMBERS.end()) word = number->second;
        if (const auto mended = mended_words().find(word); mended != mended_words().end()) word = mended->second;
        result += (result.empty() ? "" : " ") + word;
    }
    return result;
}

double vqa_accuracy(const std::string& candidate, const std::vector<std::string>& ten, References references) {
    CHECK(ten.size() == VQA_PEOPLE);
    const bool differ = std::set<std::string>(ten.begin(), ten.end()).size() > 1;
    const std::string answer = normalised_answer(candidate);
    std::vector<bool> same;
    for (const std::string& reference : ten) {
        if (references == References::Normalised)
            same.push_back(normalised_answer(reference) == answer);
        else
            same.push_back((differ ? without_punctuation(reference) : reference) == answer);
    }
    const auto matches = std::count(same.begin(), same.end(), true);
    double sum = 0;
    for (bool left_out : same) sum += std::min(1.0, static_cast<double>(matches - left_out) / 3);
    return sum / static_cast<double>(ten.size());
}

}  // namespace leon
