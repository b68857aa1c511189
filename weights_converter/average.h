// One model between two of the same shape: every weight (1 - share) of a's and `share` of b's.
//
// A model that was trained further on few documents has learnt them and forgotten a little else; the weights between
// it and where it came from often have both (Wortsman et al., arXiv 2109.01903).
#pragma once

#include <string>

namespace leon {

// Configuration, tokenizer and name are b's. Error if the files' tensors are not the same by name, shape and type, or
// if they hold weights below 16 bits, whose scales cannot be averaged beside them.
void average(const std::string& a, const std::string& b, double share, const std::string& output);

}  // namespace leon
