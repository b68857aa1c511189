// Answers to questions about pictures against the answers of ten people: the VQA challenge's rule, and plain equality.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leon {

constexpr size_t VQA_PEOPLE = 10;

// The challenge's processing of an answer, as its evaluation code does it:
//   without_punctuation   ; / [ ] " { } ( ) = + \ _ - > < @ ` , ? ! are deleted if one of that kind stands beside a
//   space
//                         or the answer has a comma between digits, else replaced by a space; periods are deleted
//                         unless a digit follows. (The published code stops after the 32nd period; this one does not.)
//   normalised_answer     that; then lower case, number words up to ten as digits ("none" is 0), no articles, and
//                         apostrophes into contractions that lack one ("dont", "couldnt've"), words parted by one space
std::string without_punctuation(std::string_view answer);
std::string normalised_answer(std::string_view answer);

// min(people who gave the answer / 3, 1), averaged over the ten sets of nine people.
// References: Published processes them as the published code does: without_punctuation, and only if the ten are not all
// equal, because the data set's answers are normalised already. Normalised treats them like the candidate.
enum class References { Published, Normalised };
double vqa_accuracy(const std::string& candidate, const std::vector<std::string>& ten, References references);

}  // namespace leon
