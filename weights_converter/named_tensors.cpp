// See named_tensors.h.
#include "weights_converter/named_tensors.h"

#include <cstring>
#include <vector>

#include "runtime/weights_file.h"

namespace leon {
namespace {

std::string without(const std::string& prefix, const std::string& name) {
    return name.compare(0, prefix.size(), prefix) == 0 ? name.substr(prefix.size()) : name;
}

}  // namespace

NamedTensors::NamedTensors(const Checkpoint& checkpoint, const NameMap& map, std::set<std::string>& used)
    : checkpoint_(checkpoint), map_(map), used_(used) {
    for (const char* prefix : map.prefixes) {
        const std::string root = without(prefix, map.root);
        if (!checkpoint.tensors().count(root)) continue;
        prefix_ = prefix;
        present_ = true;
        return;
    }
}

std::string NamedTensors::actual(const std::string& name) const {
    return without(prefix_, name);
}

const SourceTensor* NamedTensors::find(const std::string& name) const {
    auto found = checkpoint_.tensors().find(actual(name));
    return found == checkpoint_.tensors().end() ? nullptr : &found->second;
}

bool NamedTensors::has_prefix(const std::string& name) const {
    const std::string prefix = actual(name);
    auto found = checkpoint_.tensors().lower_bound(prefix);
    return found != checkpoint_.tensors().end() && found->first.compare(0, prefix.size(), prefix) == 0;
}

const SourceTensor& NamedTensors::take(const std::string& target, const std::string& where, Treatment& treatment) {
    std::string star;
    for (const NameRule& rule : map_.rules) {
        if (!match(rule.target, target, star)) continue;
        const std::string name = substitute(rule.source, star);
        const SourceTensor* source = find(name);
        if (!source) throw Error("tensor " + in_quotes(actual(name)) + " is missing", where);
        used_.insert(source->name);
        treatment = rule.treatment;
        return *source;
    }
    check_failed(__FILE__, __LINE__, "the name map knows every target");
}

void NamedTensors::skip_all(const std::string& name) {
    const std::string prefix = actual(name);
    if (!present_ || prefix.empty()) return;
    for (const auto& [tensor, ignored] : checkpoint_.tensors())
        if (tensor.compare(0, prefix.size(), prefix) == 0) used_.insert(tensor);
}

void NamedTensors::skip_unused(const ModelConfig& config) {
    std::string star;
    for (const auto& [name, tensor] : checkpoint_.tensors())
        for (const UnusedRule& rule : map_.unused)
            if (match(actual(rule.source), name, star) && applies(rule.when, tensor, config)) used_.insert(name);
}

bool NamedTensors::applies(Unused when, const SourceTensor& tensor, const ModelConfig& config) const {
    switch (when) {
        case Unused::Always:
            return true;
        case Unused::WithoutDecoder:
            return !config.vqgan.decoder;
        case Unused::WithoutEncoder:
            return !config.vqgan.encoder;
        case Unused::EqualsEmbedding:
            check_equals_embedding(tensor);
            return true;
    }
    check_failed(__FILE__, __LINE__, "known rule");
}

void NamedTensors::check_equals_embedding(const SourceTensor& tensor) const {
    const SourceTensor& embedding = *find(map_.root);
    const Error different("tensor " + in_quotes(tensor.name) + " differs from the embedding", tensor.file,
                          "the output must be tied to the embedding");
    if (tensor.shape != embedding.shape) throw different;
    std::vector<float> a(static_cast<size_t>(tensor.row_elements())), b(a.size());
    for (int64_t row = 0; row < tensor.rows(); row++) {
        checkpoint_.read_rows(tensor, row, 1, a.data());
        checkpoint_.read_rows(embedding, row, 1, b.data());
        if (std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) != 0) throw different;
    }
}

}  // namespace leon
