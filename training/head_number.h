// A head of a transformer.
#pragma once

namespace leon {

struct HeadNumber {
    int layer = 0, head = 0;
    bool operator==(const HeadNumber&) const = default;
};

}  // namespace leon
