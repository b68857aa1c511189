// One checkpoint seen through one name map: resolves names, remembers which tensors were used.
#pragma once

#include <set>
#include <string>

#include "runtime/config.h"
#include "weights_converter/checkpoint.h"
#include "weights_converter/name_maps.h"

namespace leon {

class NamedTensors {
public:
    // All three must outlive this. `used` collects names as the checkpoint writes them.
    NamedTensors(const Checkpoint& checkpoint, const NameMap& map, std::set<std::string>& used);

    bool present() const { return present_; }  // the map's root is there, so that the names' prefix is known
    const Checkpoint& checkpoint() const { return checkpoint_; }

    // The checkpoint's name for a name as the map writes it.
    std::string actual(const std::string& name) const;
    const SourceTensor* find(const std::string& name) const;  // null if absent
    bool has_prefix(const std::string& name) const;           // a tensor's name begins so

    // The tensor for a target, marked as used, and what to do with it; an Error if it is not there.
    const SourceTensor& take(const std::string& target, const std::string& where, Treatment& treatment);
    // Marks all tensors whose names begin with this part of a name of the map.
    void skip_all(const std::string& name);
    // Marks the tensors that this model has no use for.
    void skip_unused(const ModelConfig& config);

private:
    bool applies(Unused when, const SourceTensor& tensor, const ModelConfig& config) const;
    void check_equals_embedding(const SourceTensor& tensor) const;

    const Checkpoint& checkpoint_;
    const NameMap& map_;
    std::set<std::string>& used_;
    std::string prefix_;
    bool present_ = false;
};

}  // namespace leon
