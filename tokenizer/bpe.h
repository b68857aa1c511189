// Byte-level BPE, driven by a Hugging Face tokenizer.json: vocabulary, merges, added tokens and the pre-tokenizer.
//
// Text -> (added tokens, only if asked) -> normalizer -> pre-tokenizer pieces -> bytes in GPT-2's alphabet -> ranked
// merges -> ids. Understands what Chameleon's, CM3Leon's, GPT-2's and CLIP's files use; any other normalizer,
// pre-tokenizer, model or option in the file is an Error that names it, never ignored. Encoding takes time linear in
// the length of the text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leon {

// May ids of added tokens ("<s>", "<racm3:break>", ...) come out of text that spells them?
enum class ControlTokens { AsText, Parsed };

class Tokenizer {
public:
    // `json` is the content of tokenizer.json, `where` its name for messages.
    Tokenizer(std::string_view json, const std::string& where);
    ~Tokenizer();
    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(Tokenizer&&) noexcept;

    // With AsText, user text can never produce the id of an added token. `text` is UTF-8; invalid bytes are an Error.
    std::vector<int32_t> encode(std::string_view text, ControlTokens control) const;
    // Bytes of the ids, a space after those that end a word (CLIP's); added tokens appear by their names unless
    // skip_control. An id out of range is an Error.
    std::string decode(std::span<const int32_t> ids, bool skip_control = false) const;

    int size() const;                                         // largest id + 1
    std::optional<int32_t> id(std::string_view token) const;  // by the token's string in the file
    const std::string& token(int32_t id) const;               // empty string for an unused id
    bool is_added(int32_t id) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace leon
