// The tokenizer: binds the file's tokens, merges and pre-tokenizer together, and finds added tokens in text.
//
// That AsText cannot yield an added token rests on two facts established when the file is read: no byte has an added
// token's id, and merges that would make one are left out. (The `tokenizers` library keeps such merges; it never gets
// to apply them either, except where it is told not to look for the added token in the text.)
//
// Most pieces of ordinary text are one token. Whatever bytes merge to exactly one token are therefore kept in an index
// and looked up first: the same answer as merging, without a cache that would grow or need a lock.
#include "tokenizer/bpe.h"

#include <algorithm>
#include <array>

#include "kernels/check.h"
#include "runtime/weights_file.h"
#include "tokenizer/merges.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/string_index.h"
#include "tokenizer/tokenizer_file.h"
#include "tokenizer/unicode.h"

namespace leon {

namespace {

// GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the other 68 are numbered from U+0100.
struct ByteAlphabet {
    std::array<uint32_t, 256> code_point;
    std::array<int16_t, 256 + 68> byte;  // by code point; -1: stands for no byte
    ByteAlphabet() {
        byte.fill(-1);
        uint32_t next = 256;
        for (uint32_t b = 0; b < 256; b++) {
            const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
            code_point[b] = printable ? b : next++;
            byte[code_point[b]] = static_cast<int16_t>(b);
        }
    }
    // The bytes that a token of the vocabulary stands for; a token with other characters stands for itself.
    std::string bytes_of(const std::string& name) const {
        std::string bytes;
        for (size_t i = 0; i < name.size();) {
            const CodePoint c = code_point_at(name.data() + i);
            if (c.value >= byte.size() || byte[c.value] < 0) return name;
            bytes += static_cast<char>(byte[c.value]);
            i += c.bytes;
        }
        return bytes;
    }
    std::string name_of(uint8_t b) const {
        const uint32_t c = code_point[b];
        if (c < 0x80) return std::string(1, static_cast<char>(c));
        return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    }
};

// Finds added tokens where they are spelled out: the leftmost, of those the longest.
class AddedTokens {
public:
    AddedTokens(const std::vector<std::string>& names, const std::vector<AddedToken>& tokens) : index_(tokens.size()) {
        for (const AddedToken& token : tokens) {
            index_.add(names, token.id);
            std::vector<size_t>& lengths = lengths_[first_byte(names[token.id])];
            lengths.push_back(names[token.id].size());
        }
        for (std::vector<size_t>& lengths : lengths_) {
            std::sort(lengths.begin(), lengths.end(), std::greater<>());
            lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
        }
    }
    // The token that starts at `at`, if one does.
    std::optional<int32_t> find(const std::vector<std::string>& names, std::string_view text, size_t at) const {
        for (size_t length : lengths_[first_byte(text.substr(at))])
            if (length <= text.size() - at)
                if (auto id = index_.find(names, text.substr(at, length))) return id;
        return std::nullopt;
    }

private:
    static uint8_t first_byte(std::string_view text) { return static_cast<uint8_t>(text[0]); }

    StringIndex index_;
    std::array<std::vector<size_t>, 256> lengths_;  // of the tokens that start with this byte, longest first
};

// What the tables of a file that has been read will take, before any of them is there.
void charge_tables(const TokenizerFile& file, MemoryBudget& budget) {
    const size_t count = file.names.size(), added = file.added.size(), merges = file.merge_parts.size() / 2;
    const size_t spellings = file.end_of_word.empty() ? 1 : 2;
    for (const std::string& name : file.names) budget.charge_text(name.size(), spellings);
    budget.charge(count * (spellings * sizeof(std::string) + sizeof(int32_t)));
    budget.charge(2 * StringIndex::memory_for(count));
    budget.charge(2 * (StringIndex::memory_for(added) + 2 * added * (sizeof(AddedToken) + sizeof(size_t))));
    budget.charge(3 * merges * sizeof(Merges::Rule) + Merges::memory_for(merges));  // the list grows by doubling
}

TokenizerFile read_within_budget(std::string_view json, const std::string& where) {
    MemoryBudget budget(json.size() + SPARE_MEMORY_BYTES, where);
    TokenizerFile file = read_tokenizer_file(json, where, budget);
    charge_tables(file, budget);
    return file;
}

bool is_space_at(std::string_view text, size_t at) {
    return CodePointClasses::get().of(code_point_at(text.data() + at).value) & code_point_class::SPACE;
}

}  // namespace

struct Tokenizer::Impl {
    Impl(TokenizerFile file, const std::string& where);

    void encode_text(std::vector<int32_t>& ids, Pretokenizer::Pieces& pieces, std::string_view text) const;
    enum class Pass { Plain, Normalized };
    void encode_parsed(std::vector<int32_t>& ids, Pretokenizer::Pieces& pieces, std::string_view text, Pass pass) const;
    std::vector<AddedToken> tokens_of(Pass pass) const;

    std::vector<std::string> names;  // [size]: as the file has them
    std::vector<std::string> bytes;  // [size]: what they decode to
    std::vector<std::string> stems;  // [size], if words have ends of their own: bytes without the space behind
    std::vector<AddedToken> added;
    std::vector<int32_t> added_at;  // [size]: place in `added`, or -1
    StringIndex by_name;
    AddedTokens plain_added, normalized_added;  // matched in this order
    Pretokenizer pretokenizer;
    std::optional<Merges> merges;
    StringIndex whole_pieces;  // by spelled(): what merges to one token
    Normalization normalization;

    std::string_view normalized(std::string_view text, std::string& memory) const {
        if (normalization == Normalization::None) return text;
        return memory = clip_normalized(text);
    }
    const std::vector<std::string>& spelled() const { return stems.empty() ? bytes : stems; }
};

Tokenizer::Impl::Impl(TokenizerFile file, const std::string& where)
    : names(std::move(file.names)),
      added(std::move(file.added)),
      added_at(names.size(), -1),
      by_name(names.size()),
      plain_added(names, tokens_of(Pass::Plain)),
      normalized_added(names, tokens_of(Pass::Normalized)),
      pretokenizer(file.pre_tokenizer, where),
      whole_pieces(names.size()),
      normalization(file.normalization) {
    const ByteAlphabet alphabet;
    const int32_t count = static_cast<int32_t>(names.size());
    for (size_t i = 0; i < added.size(); i++) added_at[added[i].id] = static_cast<int32_t>(i);
    bytes.resize(count);
    const std::string& end_of_word = file.end_of_word;
    const auto ends_word = [&](const std::string& name) {
        return !end_of_word.empty() && name.size() > end_of_word.size() && name.ends_with(end_of_word);
    };
    if (!end_of_word.empty()) stems.resize(count);
    for (int32_t id = 0; id < count; id++) {
        if (names[id].empty()) continue;
        if (!by_name.add(names, id)) throw Error("token " + in_quotes(names[id]) + " has two ids", where);
        const std::string& name = names[id];
        bytes[id] = added_at[id] < 0 ? alphabet.bytes_of(name) : name;
        if (added_at[id] >= 0 || !ends_word(name)) continue;
        stems[id] = alphabet.bytes_of(name.substr(0, name.size() - end_of_word.size()));
        bytes[id] = stems[id] + ' ';
    }
    for (const AddedToken& token : added)
        if (normalization == Normalization::Clip && token.normalized &&
            clip_normalized(names[token.id]) != names[token.id])
            throw Error("added token " + in_quotes(names[token.id]) + " is not what the normalizer makes of it", where);

    const auto byte_ids_of = [&](const std::string& suffix) {
        std::array<int32_t, 256> byte_ids;
        for (int b = 0; b < 256; b++) {
            const auto id = by_name.find(names, alphabet.name_of(static_cast<uint8_t>(b)) + suffix);
            byte_ids[b] = id.value_or(-1);
            const bool occurs_in_utf8 = b != 0xC0 && b != 0xC1 && b < 0xF5;
            if (!id && occurs_in_utf8)
                throw Error("the vocabulary has no token for byte " + std::to_string(b) +
                                (suffix.empty() ? "" : " and the \"end_of_word_suffix\" " + in_quotes(suffix)),
                            where);
            if (id && added_at[*id] >= 0)
                throw Error("added token " + in_quotes(names[*id]) + " is also the token of a single byte", where,
                            "text could not be told from it");
        }
        return byte_ids;
    };

    std::vector<Merges::Rule> rules;
    std::string joined;
    for (size_t i = 0; i < file.merge_parts.size(); i += 2) {
        const std::string &left = file.merge_parts[i], &right = file.merge_parts[i + 1];
        auto id_of = [&](const std::string& name) {
            const auto id = by_name.find(names, name);
            if (!id)
                throw Error(
                    "merge " + in_quotes(left + " " + right) + ": " + in_quotes(name) + " is not in the vocabulary",
                    where);
            return *id;
        };
        joined.assign(left).append(right);
        const Merges::Rule rule{id_of(left), id_of(right), id_of(joined)};
        if (added_at[rule.result] < 0) rules.push_back(rule);
    }
    merges.emplace(byte_ids_of(""), byte_ids_of(end_of_word), rules);

    std::vector<int32_t> ids;
    for (const Merges::Rule& rule : rules) {
        if (!end_of_word.empty() && !ends_word(names[rule.result])) continue;  // never a whole piece
        ids.clear();
        merges->encode(ids, spelled()[rule.result]);
        if (ids.size() == 1) whole_pieces.add(spelled(), ids[0]);
    }
}

std::vector<AddedToken> Tokenizer::Impl::tokens_of(Pass pass) const {
    std::vector<AddedToken> tokens;
    for (const AddedToken& token : added)
        if (token.normalized == (pass == Pass::Normalized)) tokens.push_back(token);
    return tokens;
}

void Tokenizer::Impl::encode_text(std::vector<int32_t>& ids, Pretokenizer::Pieces& pieces,
                                  std::string_view text) const {
    pretokenizer.split(pieces, text);
    size_t begin = 0;
    for (size_t end : pieces.ends) {
        const std::string_view piece = pieces.text.substr(begin, end - begin);
        const auto id = piece.size() > 1 ? whole_pieces.find(spelled(), piece) : std::nullopt;
        if (id)
            ids.push_back(*id);
        else
            merges->encode(ids, piece);
        begin = end;
    }
}

void Tokenizer::Impl::encode_parsed(std::vector<int32_t>& ids, Pretokenizer::Pieces& pieces, std::string_view text,
                                    Pass pass) const {
    const AddedTokens& tokens = pass == Pass::Plain ? plain_added : normalized_added;
    auto encode_between = [&](std::string_view between) {
        std::string memory;
        if (pass == Pass::Plain)
            encode_parsed(ids, pieces, normalized(between, memory), Pass::Normalized);
        else
            encode_text(ids, pieces, between);
    };
    size_t done = 0;  // everything before is encoded
    for (size_t at = 0; at < text.size();) {
        const auto id = tokens.find(names, text, at);
        if (!id) {
            at++;
            continue;
        }
        const AddedToken& token = added[added_at[*id]];
        size_t begin = at, end = at + names[*id].size();
        at = end;
        if (token.skip_left) {
            for (size_t space = begin; space > done;) {
                do space--;
                while (space > done && (text[space] & 0xC0) == 0x80);  // back to the start of a code point
                if (!is_space_at(text, space)) break;
                begin = space;
            }
        }
        if (token.skip_right)
            while (end < text.size() && is_space_at(text, end)) end += code_point_at(text.data() + end).bytes;
        if (begin > done) encode_between(text.substr(done, begin - done));
        ids.push_back(*id);
        done = end;
    }
    if (done < text.size()) encode_between(text.substr(done));
}

Tokenizer::Tokenizer(std::string_view json, const std::string& where)
    : impl_(std::make_unique<Impl>(read_within_budget(json, where), where)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, ControlTokens control) const {
    if (text.size() >= INT32_MAX) throw Error("the text is longer than 2 GiB");
    if (auto position = find_invalid_utf8(text))
        throw Error("the text is not valid UTF-8 at byte " + std::to_string(*position), "", "convert it to UTF-8");
    std::vector<int32_t> ids;
    ids.reserve(text.size() / 4);
    Pretokenizer::Pieces pieces;
    std::string memory;
    if (control == ControlTokens::Parsed)
        impl_->encode_parsed(ids, pieces, text, Impl::Pass::Plain);
    else
        impl_->encode_text(ids, pieces, impl_->normalized(text, memory));
    return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_control) const {
    std::string text;
    for (int32_t id : ids) {
        token(id);  // refuses ids out of range
        if (!skip_control || !is_added(id)) text += impl_->bytes[id];
    }
    return text;
}

int Tokenizer::size() const {
    return static_cast<int>(impl_->names.size());
}

std::optional<int32_t> Tokenizer::id(std::string_view token) const {
    return impl_->by_name.find(impl_->names, token);
}

const std::string& Tokenizer::token(int32_t id) const {
    if (id < 0 || id >= size())
        throw Error("token id " + std::to_string(id) + " is out of range: the tokenizer has " + std::to_string(size()));
    return impl_->names[id];
}

bool Tokenizer::is_added(int32_t id) const {
    return id >= 0 && id < size() && impl_->added_at[id] >= 0;
}

}  // namespace leon
