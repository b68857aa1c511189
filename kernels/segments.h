// Where a token stands in its segment and in its picture, for transformers that are told (docs/models.md, §2).
//
//   token     </s>  a  cat  <break>  c0  c1  ...  c255  <break>  c0  c1  <sentinel:0>  c9
//   index        0  1    2        0   1   2  ...   256        0   1   2             3   4
//   code        -1 -1   -1        0   1   2  ...   256        0   1   2            -1  -1
//
// index counts tokens since the segment's <break>, code counts codes of the picture that the segment is. Behind a hole
// in a picture there is no count, since how long the hole is cannot be told from the tokens before it. Both are
// functions of the ids alone, from left to right, so that a decode loop on a device can go on with them.
#pragma once

#include <cstdint>

#include "kernels/portable.h"

namespace leon {

struct SegmentRule {
    int32_t begin = -1;                 // id that begins a segment; -1: nobody asks
    int32_t first_code = 0, codes = 0;  // ids of pictures' codes
    int32_t cells = 0;                  // codes of a picture, at most

    explicit operator bool() const { return begin >= 0; }
    bool operator==(const SegmentRule&) const = default;
};

struct SegmentPlace {
    int32_t index = -1, code = -1;  // before the first token of a stream
    bool operator==(const SegmentPlace&) const = default;
};

// Of a token behind one at `previous`.
HOST_DEVICE inline SegmentPlace place_after(const SegmentRule& rule, SegmentPlace previous, int32_t token) {
    if (token == rule.begin) return {0, 0};
    const bool is_code = token >= rule.first_code && token - rule.first_code < rule.codes;
    const bool counts = is_code && previous.code >= 0 && previous.code < rule.cells;
    return {previous.index + 1, counts ? previous.code + 1 : -1};
}

// Rows of the table of places that networks add to embeddings: row code + 1.
constexpr int64_t places_of(const SegmentRule& rule) {
    return int64_t{rule.cells} + 2;
}
constexpr int OFFSET_OF_PLACES = 1;

}  // namespace leon
