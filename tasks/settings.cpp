// The families' default decoding, as data; see settings.h.
#include "tasks/settings.h"

#include <cmath>

namespace leon {
namespace {

struct Defaults {
    float picture_temperature, picture_top_p;
    int picture_top_k;
    float text_temperature, text_top_p;
    int text_top_k;
    float repetition_penalty;
};

// CM3Leon's paper does not print its values; these are the settings measured best for the model in the box, greedy for
// answers. The others' are those of their published inference code.
constexpr Defaults CM3LEON = {1.0f, 0.95f, 0, 0.0f, 1.0f, 0, 1.0f};
constexpr Defaults CHAMELEON = {0.7f, 0.9f, 0, 0.7f, 0.9f, 0, 1.2f};
constexpr Defaults ANOLE = {0.7f, 0.9f, 0, 1.0f, 0.9f, 0, 1.2f};
constexpr Defaults LUMINA = {1.0f, 1.0f, 2000, 1.0f, 1.0f, 10, 1.0f};

// CD-K: the paper prints no values. Alpha and the student's temperature are those of the authors' demonstrations, k is
// ours (docs/models.md §7).
constexpr int CONTRAST_K = 8;
constexpr float CONTRAST_ALPHA = 0.5f, STUDENT_TEMPERATURE = 0.5f;

const Defaults& defaults(Layout layout) {
    switch (layout) {
        case Layout::CM3Leon:
            return CM3LEON;
        case Layout::Anole:
            return ANOLE;
        case Layout::Lumina:
            return LUMINA;
        case Layout::Chameleon:
            break;
    }
    return CHAMELEON;
}

std::string print(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
}

float in_range(float value, float low, float high, const char* option) {
    if (!(value >= low && value <= high))
        throw Error(print(value) + " is out of range", option, "choose from " + print(low) + " to " + print(high));
    return value;
}

void add_cuts(SamplerChain& chain, Layout layout, const Settings& s, float temperature, float top_p, int top_k) {
    const int k = s.top_k.value_or(top_k);
    if (k > 0) chain.ops.emplace_back(op::TopK{k});
    chain.ops.emplace_back(op::Temperature{in_range(s.temperature.value_or(temperature), 0, 100, "--temperature")});
    const float p = in_range(s.top_p.value_or(top_p), 0, 1, "--top-p");
    if (p >= 1) return;
    if (layout == Layout::CM3Leon)
        chain.ops.emplace_back(op::TopPBefore{p});
    else
        chain.ops.emplace_back(op::TopP{p});
}

bool is_contrastive(const Settings& settings, int candidate) {
    return settings.strategy == Strategy::Contrastive || (settings.strategy == Strategy::Mixture && candidate % 2 == 1);
}

}  // namespace

Strategy strategy_named(const std::string& name) {
    if (name == "top-p") return Strategy::TopP;
    if (name == "cdk") return Strategy::Contrastive;
    if (name == "mixture") return Strategy::Mixture;
    throw Error("'" + name + "' is no way to draw codes", "--strategy", "choose top-p, cdk or mixture");
}

Guidance guidance_of(const Settings& settings, const Guidance& by_default) {
    Guidance guidance = by_default;
    if (settings.guidance) guidance.text = in_range(*settings.guidance, -100, 100, "--guidance");
    if (settings.image_guidance) {
        if (by_default.image == 0)
            throw Error("this task has no stream for the pictures of its prompt", "--image-guidance");
        guidance.image = in_range(*settings.image_guidance, -100, 100, "--image-guidance");
    }
    return guidance;
}

SamplerChain picture_chain(Layout layout, const Settings& s, const Guidance& guidance, int candidate) {
    const Defaults& d = defaults(layout);
    SamplerChain chain;
    if (is_contrastive(s, candidate)) {
        // Drawn from the contrast itself: top-p would cut what it has just lifted.
        chain.mix = mix::ContrastiveTopK{
            s.contrast_k.value_or(CONTRAST_K), in_range(s.contrast_alpha.value_or(CONTRAST_ALPHA), 0, 1, "--alpha"),
            in_range(s.student_temperature.value_or(STUDENT_TEMPERATURE), 1e-3f, 100, "--student-temperature")};
        const float temperature = in_range(s.temperature.value_or(1), 0, 100, "--temperature");
        chain.ops.emplace_back(op::Temperature{temperature});
        return chain;
    }
    if (guidance.three())
        chain.mix = mix::Guidance3{guidance.image, guidance.text};
    else if (guidance.any())
        chain.mix = mix::Guidance{guidance.text};
    add_cuts(chain, layout, s, d.picture_temperature, d.picture_top_p, d.picture_top_k);
    return chain;
}

SamplerChain text_chain(Layout layout, const Settings& settings) {
    const Defaults& d = defaults(layout);
    SamplerChain chain;
    if (d.repetition_penalty != 1) chain.ops.emplace_back(op::RepetitionPenalty{d.repetition_penalty});
    add_cuts(chain, layout, settings, d.text_temperature, d.text_top_p, d.text_top_k);
    return chain;
}

void check_settings(const Settings& settings) {
    if (settings.candidates < 1 || settings.candidates > MAX_CANDIDATES)
        throw Error(std::to_string(settings.candidates) + " is out of range", "--candidates",
                    "choose from 1 to " + std::to_string(MAX_CANDIDATES));
    const int tries = settings.best_of.value_or(1);
    if (tries < 1 || tries > MAX_CANDIDATES)
        throw Error(std::to_string(tries) + " is out of range", "--best-of",
                    "choose from 1 to " + std::to_string(MAX_CANDIDATES));
    if (tries > 1 && settings.candidates > 1)
        throw Error("one picture is kept, but " + std::to_string(settings.candidates) + " candidates are asked for",
                    "--best-of", "to see all that were drawn, use --candidates with --rank");
    if (settings.top_k.value_or(0) < 0) throw Error("must not be negative", "--top-k");
    if (settings.contrast_k.value_or(1) < 1) throw Error("must be at least 1", "--contrast-k");
    if (settings.max_tokens < 1) throw Error("must be at least 1", "--max-tokens");
}

}  // namespace leon
