// A tokenizer that fits its texts: byte-pair encoding learnt from them (Sennrich et al., arXiv 1508.07909), at the
// level of bytes as GPT-2's.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "runtime/weights_file.h"

namespace leon {

// A text and how often it counts.
using TextCounts = std::map<std::string, int64_t>;

// The tokenizer.json `base` with other merges: its added tokens, pictures, bytes and pre-tokenizer keep their ids and
// rules, and behind them stand the tokens of new merges, up to `size` ids in all or until no pair comes twice. The most
// frequent pair merges first; of equals the one whose parts come first in the order of bytes. Error if `base` is no
// byte-level BPE whose bytes stand in front of its merges, or `size` holds less than these.
std::string train_tokenizer(std::string_view base, const std::string& where, const TextCounts& texts, int size);

// Writes `model` with another tokenizer, and without its transformer, whose embedding knows the old one: what `leon
// train` begins a fresh transformer from.
void write_with_tokenizer(const std::string& path, const WeightsFile& model, const std::string& tokenizer);

}  // namespace leon
