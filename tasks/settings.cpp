// The families' default decoding, as data; see settings.h.
#include "tasks/settings.h"

#include <cmath>

namespace leon {
namespace {

struct Defaults {
    float guidance;
    float picture_temperature, picture_top_p;
    float text_temperature, text_top_p, repetition_penalty;
};

// CM3Leon's paper does not print its values; these are the settings measured best for the model in the box, greedy for
// answers. Chameleon's are those of its published inference code.
constexpr Defaults CM3LEON = {3.0f, 1.0f, 0.95f, 0.0f, 1.0f, 1.0f};
constexpr Defaults CHAMELEON = {3.0f, 0.7f, 0.9f, 0.7f, 0.9f, 1.2f};

const Defaults& defaults(Layout layout) {
    return layout == Layout::CM3Leon ? CM3LEON : CHAMELEON;
}

float in_range(float value, float low, float high, const char* option) {
    if (!(value >= low && value <= high))
        throw Error(std::to_string(value) + " is out of range", option,
                    "choose from " + std::to_string(low) + " to " + std::to_string(high));
    return value;
}

void add_cuts(SamplerChain& chain, Layout layout, const Settings& s, float temperature, float top_p) {
    if (s.top_k.value_or(0) > 0) chain.ops.push_back(op::TopK{*s.top_k});
    chain.ops.push_back(op::Temperature{in_range(s.temperature.value_or(temperature), 0, 100, "--temperature")});
    const float p = in_range(s.top_p.value_or(top_p), 0, 1, "--top-p");
    if (p >= 1) return;
    if (layout == Layout::CM3Leon)
        chain.ops.push_back(op::TopPBefore{p});
    else
        chain.ops.push_back(op::TopP{p});
}

}  // namespace

float guidance_scale(Layout layout, const Settings& settings) {
    return in_range(settings.guidance.value_or(defaults(layout).guidance), -100, 100, "--guidance");
}

SamplerChain picture_chain(Layout layout, const Settings& settings, bool guided) {
    SamplerChain chain;
    if (guided) chain.mix = mix::Guidance{guidance_scale(layout, settings)};
    add_cuts(chain, layout, settings, defaults(layout).picture_temperature, defaults(layout).picture_top_p);
    return chain;
}

SamplerChain text_chain(Layout layout, const Settings& settings) {
    SamplerChain chain;
    const float penalty = defaults(layout).repetition_penalty;
    if (penalty != 1) chain.ops.emplace_back(op::RepetitionPenalty{penalty});
    add_cuts(chain, layout, settings, defaults(layout).text_temperature, defaults(layout).text_top_p);
    return chain;
}

}  // namespace leon
