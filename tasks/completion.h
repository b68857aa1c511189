// One prompt, completed by the model: the engine under every task that has one thing to add (a picture, an answer, what
// belongs into holes). tasks/writing.h has the other, where the model decides what comes next.
#pragma once

#include <span>
#include <vector>

#include "tasks/model.h"
#include "tasks/settings.h"
#include "tokenizer/document.h"

namespace leon {

struct Completion {
    CodeGrid picture;               // Prompt::Next::Picture
    std::vector<Filling> fillings;  // Holes: one a hole; Text: one, the answer
    std::vector<int32_t> text_ids;  // of the last text, without its end
    bool complete = true;           // false if a text was cut at max_tokens
};

struct Completions {
    std::vector<int32_t> prompt;         // as ids
    std::vector<Completion> candidates;  // in order of their seeds; none if it was cancelled
    bool cancelled = false;              // by Progress
    GenerateStatistics statistics;
};

// Candidates share one prefill. `guidance` is for pictures; texts are drawn without. Error if the prompt does not fit
// the context, or a setting is out of range.
Completions complete(const Model& model, const Prompt& prompt, const Guidance& guidance, const Settings& settings,
                     const Progress& progress = {});

// Many prompts in one batch, for who has many to ask: the weights are read once a step for all of them, and each gets
// what it would get alone with its seed in the settings. Candidate c of prompt p is number p * candidates + c for
// `progress`; a text's pieces are those of the first prompt. The statistics are those of the whole batch. Error as
// above, for any of them.
struct CompletionRequest {
    Prompt prompt;
    Guidance guidance;
    uint64_t seed = 0;
};
std::vector<Completions> complete(const Model& model, std::span<const CompletionRequest> requests,
                                  const Settings& settings, const Progress& progress = {});

// The prompts of the main stream and of its guidance streams, in the order of the sampler's mix.
std::vector<std::vector<int32_t>> stream_prompts(const DocumentWriter& documents, const Prompt& prompt,
                                                 const Guidance& guidance, const Settings& settings);

}  // namespace leon
