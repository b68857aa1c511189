// The decode loop: prompts in, tokens out, for any number of candidates and guidance streams at once.
//
// A generation is a sequence of runs (runtime/run.h): forced ids, exactly N picture codes, or text until a stop id. Who
// asks supplies the next run when one has ended, so a task is a function from "tokens so far" to "what comes next".
// Every candidate and each of its guidance streams is a stream of one batch: the weights are read once a step. The
// prompt is computed once and its pages are shared by all candidates.
//
// Candidate i of seed s draws with (s + i, token index), so it equals a single run with seed s + i. Candidates may also
// begin with prompts of their own: then one batch serves many who ask, and each gets what it would get alone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "runtime/run.h"
#include "runtime/transformer.h"

namespace leon {

// The next run of a candidate, given what it has generated so far (forced ids included); nothing ends it. Candidates
// may be given different runs from the first one on: other chains, other guidance prompts, other lengths. What they
// have in common costs nothing extra: the prompt and the guidance prompts of first runs are computed once for all who
// ask for them, and adjacent candidates with one chain are drawn by one operation.
using NextRun = std::function<std::optional<Run>(int candidate, const std::vector<int32_t>& generated)>;

struct TokenEvent {
    int candidate;
    int32_t token;
    Run::Kind kind;
    int index, of;  // place within the run, and its length (the most it may have, for text)
};

struct GenerateOptions {
    int candidates = 1;
    uint64_t seed = 0;
    std::vector<uint64_t> seeds;                      // one for each candidate; empty: seed + i
    int max_tokens = 0;                               // the most that a candidate may add to its prompt
    DType cache_dtype = DType::F32;                   // f32, bf16, f16 or i8
    std::function<bool(const TokenEvent&)> on_token;  // may be empty; returning false stops everything
};

// What one candidate begins with.
struct CandidateStart {
    std::vector<int32_t> prompt;
    uint64_t seed = 0;
    int max_tokens = 0;  // the most that it may add
};

struct GenerateStatistics {
    int prompt_tokens = 0;  // computed in prefill, all streams
    int steps = 0;          // forward passes of the decode loop
    int tokens = 0;         // drawn, all candidates
    double prefill_seconds = 0, decode_seconds = 0;
    double decode_weight_bytes = 0;  // read by the decode loop
};

struct Generated {
    std::vector<int32_t> tokens;  // forced ids included
    bool complete = true;         // false if max_tokens, the context or the callback ended it early
};

// Error if the prompt is empty or if prompt and max_tokens exceed the context.
std::vector<Generated> generate(const TransformerConfig& config, const TransformerWeights& weights,
                                const Kernels& kernels, const std::vector<int32_t>& prompt, const NextRun& next_run,
                                const GenerateOptions& options, GenerateStatistics* statistics = nullptr);

// The same from a start for each candidate; of the options only the type of the cache and on_token are read. Each
// candidate equals a run of its own, whatever stands beside it.
std::vector<Generated> generate(const TransformerConfig& config, const TransformerWeights& weights,
                                const Kernels& kernels, std::vector<CandidateStart> starts, const NextRun& next_run,
                                const GenerateOptions& options, GenerateStatistics* statistics = nullptr);

}  // namespace leon
