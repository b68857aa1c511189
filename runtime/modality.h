// Which run comes next where the model itself decides when a picture begins.
//
//   text, text, begin | exactly N codes | end | text, text, stop
//                       only codes        forced, or drawn where there are several ends
//
// A pure function of what has been generated: no state, so any number of candidates share it, and a generation can be
// taken up where it was left. Families differ in data only (DocumentWriter::modality() fills it in):
//
//                begin            end                             stop
//   Chameleon    begin of image   { end of image }                { eos }
//   CM3Leon      <break>          { <break>, eos }: a document    { eos }
//                                 ends behind text or picture
//
// Laws: a picture has exactly N codes and no code stands outside one; a picture begins only if it and its end fit into
// max_tokens; nothing follows a stop id.
#pragma once

#include <climits>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "runtime/run.h"

namespace leon {

struct ModalityRules {
    std::vector<std::pair<int32_t, int32_t>> text, image;  // inclusive ranges
    int32_t begin = -1;                                    // drawn in text: a picture follows
    std::vector<int32_t> end;                              // one of them follows a picture; may be empty
    std::vector<int32_t> stop;                             // ends everything
    int codes = 0;                                         // of one picture
};

struct ModalityPlan {
    // Picture: the prompt ends with `begin`.
    enum class Start { Text, Picture };

    Start start = Start::Text;
    int max_tokens = 0;  // as in GenerateOptions; counts everything behind the prompt
    int max_pictures = INT_MAX;
    SamplerChain text_chain, picture_chain;
    // The guidance streams' prompts for a picture that begins behind `generated`, in the order of picture_chain's mix,
    // each ending with `begin`. Empty: no guidance. Text has none.
    std::function<std::vector<std::vector<int32_t>>(std::span<const int32_t> generated)> guidance;
};

// Nothing: the generation has ended, at a stop id or at max_tokens.
std::optional<Run> next_run(const ModalityRules& rules, const ModalityPlan& plan, std::span<const int32_t> generated);

// Has a stop id ended it?
bool is_finished(const ModalityRules& rules, ModalityPlan::Start start, std::span<const int32_t> generated);

// What was generated, taken apart: begin, end and stop ids are left out, and so is empty text. Only the last picture
// can have fewer than its codes (the generation was stopped inside).
struct Segment {
    Run::Kind kind;  // Text or Image
    std::vector<int32_t> ids;

    bool operator==(const Segment&) const = default;
};
std::vector<Segment> segments(const ModalityRules& rules, ModalityPlan::Start start,
                              std::span<const int32_t> generated);

// The tokens without their text: codes, begin and end ids, and the `others`. Chameleon's guidance towards the pictures
// of a document uses it, with its first token as the only other.
std::vector<int32_t> pictures_of(const ModalityRules& rules, std::span<const int32_t> tokens,
                                 std::span<const int32_t> others);

}  // namespace leon
