// Checkpoints are leon's safetensors with a format of their own; see checkpoint.h.
#include "training/checkpoint.h"

#include <cstring>

#include "kernels/check.h"
#include "runtime/strict_json.h"
#include "training/metadata.h"

namespace leon {
namespace {

constexpr const char* CHECKPOINT_FORMAT = "leon-checkpoint";
constexpr const char* CHECKPOINT_VERSION = "1";

}  // namespace

void write_checkpoint(const std::string& path, const std::string& kind, const nlohmann::ordered_json& state,
                      const std::vector<CheckpointArray>& arrays) {
    WeightsWriter file(path, {{"format", CHECKPOINT_FORMAT},
                              {"leon.version", CHECKPOINT_VERSION},
                              {"leon.kind", kind},
                              {"leon.state", state.dump()}});
    for (const CheckpointArray& array : arrays)
        file.declare(array.name, DType::F32, {static_cast<int64_t>(array.values.size())});
    file.begin();
    for (const CheckpointArray& array : arrays) file.write(array.name, array.values.data());
    file.commit();
}

CheckpointFile::CheckpointFile(const std::string& path, const std::string& kind) : file_(path) {
    if (metadata(file_, "format") != CHECKPOINT_FORMAT) throw Error("is no checkpoint of a training", path);
    if (metadata(file_, "leon.version") != CHECKPOINT_VERSION)
        throw Error("is a checkpoint of another version of leon", path);
    if (metadata(file_, "leon.kind") != kind)
        throw Error("is a checkpoint of another kind of training: " + in_quotes(metadata(file_, "leon.kind")), path);
    state_ = parse_json(metadata(file_, "leon.state"), path);
    if (!state_.is_object()) throw Error("'leon.state' is no object", path);
    check_alignment(file_);
}

int64_t CheckpointFile::number(const char* key) const {
    const auto found = state_.find(key);
    if (found == state_.end() || !found->is_number_integer() || found->get<int64_t>() < 0)
        throw Error(std::string("its state lacks the number '") + key + "'", file_.path());
    return found->get<int64_t>();
}

void CheckpointFile::read(const std::string& name, std::span<float> values) const {
    const StoredTensor* t = file_.find(name);
    if (!t || t->dtype != "F32" || t->bytes != values.size_bytes())
        throw Error("lacks " + std::to_string(values.size()) + " values '" + name + "'", file_.path(),
                    "the recipe has changed since; begin anew without --resume");
    std::memcpy(values.data(), file_.data(*t), t->bytes);
}

std::vector<float> CheckpointFile::all(const std::string& name) const {
    const StoredTensor* t = file_.find(name);
    if (!t || t->dtype != "F32") throw Error("lacks the values '" + name + "'", file_.path());
    std::vector<float> values(t->bytes / sizeof(float));
    read(name, values);
    return values;
}

}  // namespace leon
