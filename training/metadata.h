// What a file of training, a shard or a checkpoint, must say of itself.
#pragma once

#include <string>

#include "kernels/check.h"
#include "runtime/weights_file.h"

namespace leon {

// Error if it does not.
inline const std::string& metadata(const SafetensorsFile& file, const char* key) {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end()) throw Error(std::string("lacks the metadata '") + key + "'", file.path());
    return found->second;
}

}  // namespace leon
