// Chameleon as Meta released it (and Anole): a folder with params.json, consolidate_params.json, and consolidated.pth
// or one file for every model-parallel rank, consolidated.00.pth, consolidated.01.pth, ...
//
// The ranks' files are seen as one checkpoint of whole tensors, joined while they are read; q, k and v, or gate and up,
// that lie in one tensor (wqkv, w13) are seen as three, or two. A rank's qk-norm vector becomes a row of [ranks,
// head_dim]. Rows of q and k stay in the order of the files: pairs (2i, 2i + 1).
#pragma once

#include <memory>
#include <string>

#include "weights_converter/checkpoint.h"
#include "weights_converter/checkpoint_config.h"

namespace leon {

struct MetaCheckpoint {
    CheckpointConfig config;  // family Meta; model_parallel_size is the number of files
    std::unique_ptr<Checkpoint> checkpoint;
};

bool is_meta_folder(const std::string& folder);
bool holds_meta_files(const std::string& folder);  // some of them; the first may be missing

// Error if a file or a rank's part is missing, or if ranks disagree.
MetaCheckpoint open_meta(const std::string& folder);

}  // namespace leon
