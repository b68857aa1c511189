// Which run comes next where the model itself decides when a picture begins.
//
//   text, text, begin | exactly N codes | end | text, text, stop
//                       only codes        forced, or drawn where there are several ends
//
//   text, begin, height, width | w codes, new-line | w codes, new-line | ... h rows | end | text, stop
//                drawn, or the plan's           forced
//
// A pure function of what has been generated: no state, so any number of candidates share it, and a generation can be
// taken up where it was left. Families differ in data only (DocumentWriter::modality() fills it in):
//
//                begin            end                             stop
//   Chameleon    begin of image   { end of image }                { eos }
//   CM3Leon      <break>          { <break>, eos }: a document    { eos }
//                                 ends behind text or picture
//   Lumina-mGPT  begin of image   { end of image }                { end of turn }     and a grid
//
// Laws: a picture has exactly N codes, or its grid's, and no code stands outside one; a picture begins only if it and
// its end fit into max_tokens, and where its size is drawn, only sizes that fit can be; nothing follows a stop id.
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

// Pictures whose size stands in front of them, in units of a few codes; behind each of their rows there is a new-line.
struct PictureGrid {
    int32_t zero = -1;       // the id of a count of 0; zero + n says n units, n >= 1
    int most_units = 0;      // a side has at most
    int codes_per_unit = 1;  // along a side
    int32_t new_line = -1;
};

struct ModalityRules {
    std::vector<std::pair<int32_t, int32_t>> text, image;  // inclusive ranges
    int32_t begin = -1;                                    // drawn in text: a picture follows
    std::vector<int32_t> end;                              // one of them follows a picture; may be empty
    std::vector<int32_t> stop;                             // ends everything
    int codes = 0;                                         // of one picture, where there is no grid
    std::optional<PictureGrid> grid = std::nullopt;
};

// Of a picture, in units of the grid.
struct PictureUnits {
    int height, width;
};

struct ModalityPlan {
    // Picture: the prompt ends with `begin`.
    enum class Start { Text, Picture };

    Start start = Start::Text;
    int max_tokens = 0;  // as in GenerateOptions; counts everything behind the prompt
    int max_pictures = INT_MAX;
    // With a grid: the size of every picture, forced; nothing: the model draws it, with text_chain.
    std::optional<PictureUnits> units;
    SamplerChain text_chain, picture_chain;
    // The guidance streams' prompts for a picture that begins behind `generated`, in the order of picture_chain's mix,
    // each ending with `begin`. Empty: no guidance. Text has none, and so have the two counts of a grid: the prompts
    // get them appended, and guidance begins with the first code. Lumina's one stream is { begin }.
    std::function<std::vector<std::vector<int32_t>>(std::span<const int32_t> generated)> guidance;
    // How much of `generated` was there before this generation: a picture in the midst of which it goes on gets its
    // guidance streams anew. Only a grid asks for it, whose later rows otherwise go on with the streams of the first.
    int known_tokens = 0;
};

// Nothing: the generation has ended, at a stop id or at max_tokens.
std::optional<Run> next_run(const ModalityRules& rules, const ModalityPlan& plan, std::span<const int32_t> generated);

// Has a stop id ended it?
bool is_finished(const ModalityRules& rules, ModalityPlan::Start start, std::span<const int32_t> generated);

// What was generated, taken apart: begin, end and stop ids, counts and new-lines are left out, and so is empty text.
// Only the last picture can have fewer than its codes (the generation was stopped inside).
struct Segment {
    Run::Kind kind;  // Text or Image
    std::vector<int32_t> ids;
    int height = 0, width = 0;  // in codes, of a picture with a grid; else 0

    bool operator==(const Segment&) const = default;
};
std::vector<Segment> segments(const ModalityRules& rules, ModalityPlan::Start start,
                              std::span<const int32_t> generated);

// The tokens without their text: codes, begin and end ids, counts and new-lines, and the `others`. Chameleon's guidance
// towards the pictures of a document uses it, with its first token as the only other.
std::vector<int32_t> pictures_of(const ModalityRules& rules, std::span<const int32_t> tokens,
                                 std::span<const int32_t> others);

}  // namespace leon
