// The instruments behind the workbench commands: each does one step of the pipeline alone, on arrays and files, so that
// it can be studied and compared with a reference.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "runtime/generate.h"
#include "runtime/state.h"
#include "runtime/transformer.h"
#include "tasks/model.h"
#include "tokenizer/document.h"
#include "tokenizer/image.h"

namespace leon {

// The number of tokens. Error if there is none, if one is outside the vocabulary (`where` names the source) or if there
// are more than the context holds.
int check_tokens(const Model& model, std::span<const int32_t> tokens, const std::string& where);

// Logits after each of the tokens, [tokens, vocab] row-major. Error if a token is outside the vocabulary (`where` names
// the source) or there are more tokens than the context holds.
std::vector<float> logits(const Model& model, std::span<const int32_t> tokens, const std::string& where,
                          GenerateStatistics* statistics = nullptr);

// The same piece by piece, for who cannot hold all of them: next() gives those after the next tokens, at most 128, as
// [rows, vocab], valid until the call after. The model and the tokens must outlive this. Errors as above, when it is
// made; not to be called again once all tokens were read (CHECKed).
class LogitReader {
public:
    LogitReader(const Model& model, std::span<const int32_t> tokens, const std::string& where,
                DType cache_dtype = DType::F32);
    std::span<const float> next();

private:
    std::span<const int32_t> tokens_;
    int done_ = 0, chunk_, stream_;
    Transformer network_;
    KvCache cache_;
};

// Codes of a picture: fitted to the model's frame, or (Fit::Raw) with its pixels as they are, whose sides must then be
// multiples of the patch.
enum class Fit { Frame, Raw };
CodeGrid encode_picture(const Model& model, const Picture& picture, Fit fit);

// Codes of the given shape [rows, cols] to pixels before clamping, channels last; `where` names the source in messages.
struct DecodedGrid {
    std::vector<float> pixels;  // [height, width, 3]
    int height = 0, width = 0;
};
DecodedGrid decode_grid(const Model& model, std::span<const int32_t> codes, std::span<const int64_t> shape,
                        const std::string& where);

// Pixels in the order that references exchange, [3, height, width], from channels last.
std::vector<float> planes(std::span<const float> pixels, int height, int width);

// The published rules "chameleon:512" and "lumina:768x512", or one of their steps alone: "lanczos:640x480" (also box,
// bilinear, bicubic) resizes, "rgb" gives the pixels after alpha was blended on white.
Picture preprocess(const Picture& picture, const std::string& rule);

// The bare tokenizer of a leon file, or of a tokenizer.json.
Tokenizer open_tokenizer(const std::string& path);

enum class LineFormat { Plain, Json };  // the whole input as one text / ids; or one JSON object a line
void tokenize(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, LineFormat format,
              ControlTokens control);
void detokenize(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, LineFormat format);

// The sampler's mathematics alone: files as the golden cases write them; writes probabilities [vocab].
void probabilities(const std::string& logits_path, const std::string& chain_path, const std::string& ids_path,
                   const std::string& output_path);

}  // namespace leon
