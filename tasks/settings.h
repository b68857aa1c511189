// What a person may set for a generation, and each family's published defaults for what is left open.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "runtime/config.h"
#include "runtime/generate.h"

namespace leon {

struct Settings {
    uint64_t seed = 0;
    int candidates = 1;
    std::optional<float> guidance;     // 1 = none
    std::optional<float> temperature;  // 0 = greedy
    std::optional<float> top_p;        // 1 = off
    std::optional<int> top_k;          // 0 = off
    int max_tokens = 256;              // of a text answer
    DType cache_dtype = DType::F32;
};

// Sampler chains (docs/models.md §7). Error naming the option if a value is out of range.
SamplerChain picture_chain(Layout layout, const Settings& settings, bool guided);
SamplerChain text_chain(Layout layout, const Settings& settings);
float guidance_scale(Layout layout, const Settings& settings);

// Called while a picture or an answer grows; returning false cancels the task.
struct Progress {
    // A candidate's picture: its codes so far of `total`.
    std::function<bool(int candidate, std::span<const int32_t> codes, int total)> picture;
    // A piece of text as it is drawn (candidate 0).
    std::function<bool(const std::string& piece)> text;
};

}  // namespace leon
