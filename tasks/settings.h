// What a person may set for a generation, and each family's published defaults for what is left open.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "runtime/config.h"
#include "runtime/generate.h"
#include "tokenizer/document_writer.h"

namespace leon {

// How picture codes are drawn (docs/models.md §7).
//   TopP         guidance, then the nucleus
//   Contrastive  CD-K: what the prompt makes likelier than no prompt does, among what is plausible
//   Mixture      candidates take turns: the first by TopP, the second by Contrastive, ...
enum class Strategy { TopP, Contrastive, Mixture };
Strategy strategy_named(const std::string& name);  // "top-p", "cdk", "mixture"; Error on anything else

struct Settings {
    uint64_t seed = 0;
    int candidates = 1;
    std::optional<int> best_of;           // of so many pictures one is kept (best_of() in pictures.h)
    std::optional<float> guidance;        // of the text; 1 = none
    std::optional<float> image_guidance;  // of the pictures in the prompt, where the task has three streams
    UnconditionalKeeps unconditional_keeps = UnconditionalKeeps::Nothing;
    std::optional<float> temperature;  // 0 = greedy
    std::optional<float> top_p;        // 1 = off
    std::optional<int> top_k;          // 0 = off
    Strategy strategy = Strategy::TopP;
    std::optional<int> contrast_k;             // k and alpha of CD-K
    std::optional<float> contrast_alpha;       //
    std::optional<float> student_temperature;  // of the stream that is told nothing
    int max_tokens = 256;                      // of a text
    bool unclosed = false;                     // Prompt::unclosed of every prompt with holes
    DType cache_dtype = DType::F32;
};

// The streams that a picture is drawn with, as the task and the person want it.
struct Guidance {
    float text = 1;
    float image = 0;  // 0: two streams, without one that sees the pictures only
    bool any() const { return text != 1 || (image != 0 && image != 1); }
    bool three() const { return any() && image != 0; }
};
// `defaults` are the template's.
Guidance guidance_of(const Settings& settings, const Guidance& defaults);

// Sampler chains (docs/models.md §7). Error naming the option if a value is out of range. Candidate `i` matters for
// Strategy::Mixture.
SamplerChain picture_chain(Layout layout, const Settings& settings, const Guidance& guidance, int candidate);
SamplerChain text_chain(Layout layout, const Settings& settings);

void check_settings(const Settings& settings);

// Called while a picture or an answer grows; returning false cancels the task.
struct Progress {
    // A candidate's picture: its codes so far of `total`.
    std::function<bool(int candidate, std::span<const int32_t> codes, int total)> picture;
    // A piece of text as it is drawn (candidate 0).
    std::function<bool(const std::string& piece)> text;
};

}  // namespace leon
