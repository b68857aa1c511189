// The places of a stream's tokens (kernels/segments.h) as the two columns that kernels read.
#pragma once

#include <span>
#include <vector>

#include "kernels/segments.h"

namespace leon {

struct SegmentPlaces {
    std::vector<int32_t> index, code;

    // A stream from its first token on, behind the streams that are there.
    void add(const SegmentRule& rule, std::span<const int32_t> stream) {
        SegmentPlace place;
        for (int32_t token : stream) {
            place = place_after(rule, place, token);
            index.push_back(place.index);
            code.push_back(place.code);
        }
    }
};

}  // namespace leon
