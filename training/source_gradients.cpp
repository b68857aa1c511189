// The converter's steps backwards; see source_gradients.h.
#include "training/source_gradients.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/files.h"

namespace leon {
namespace {

// The steps of a plan that make the transformer, beside the parameters that they make.
template <class Body>
void for_each_step(const ParameterLayout& layout, const Plan& plan, Body body) {
    for (const Parameter& p : layout.parameters()) {
        const auto step = std::find_if(plan.steps.begin(), plan.steps.end(),
                                       [&](const Step& s) { return s.target.name == p.spec.name; });
        CHECK(step != plan.steps.end());
        body(p, *step);
    }
}

SourceGradient gradient_of(const Step& step, std::span<const float> target, int64_t head_dim) {
    SourceGradient source = {step.source->name, step.source->shape, {}};
    int64_t elements = 1;
    for (int64_t d : source.shape) elements *= d;
    const int64_t columns = step.target.shape.back(), rows = step.target.elements() / columns;
    const bool per_head = step.treatment == Treatment::HeadNorm;
    const int64_t vectors = per_head ? elements / columns : rows;  // rows of the source
    std::vector<double> sums(elements);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t column = 0; column < columns; column++) {
            int64_t from_row = row, from_column = column;
            if (per_head) from_row = row * vectors / rows;
            if (per_head && step.adjacent_pairs) from_column = adjacent_channel(column, head_dim);
            if (step.treatment == Treatment::RotaryRows && step.adjacent_pairs)
                from_row = row / head_dim * head_dim + adjacent_channel(row % head_dim, head_dim);
            sums[from_row * columns + from_column] += target[row * columns + column];
        }
    source.values.assign(sums.begin(), sums.end());
    return source;
}

// The checkpoint's name of a tensor, if this map has one.
std::optional<std::string> name_in(const NameMap& map, const std::string& target) {
    std::string star;
    for (const NameRule& rule : map.rules)
        if (match(rule.target, target, star)) return substitute(rule.source, star);
    return std::nullopt;
}
bool names_all(const NameMap& map, const ParameterLayout& layout) {
    const std::span<const Parameter> all = layout.parameters();
    return std::all_of(all.begin(), all.end(),
                       [&](const Parameter& p) { return name_in(map, p.spec.name).has_value(); });
}

}  // namespace

void load(ParameterVector& values, const Plan& plan) {
    check_same_transformer(values.layout().config(), plan.config, plan.config.name);
    const int64_t head_dim = plan.config.transformer.head_dim;
    std::vector<float> read;
    for_each_step(values.layout(), plan, [&](const Parameter& p, const Step& step) {
        read.resize(static_cast<size_t>(p.size()));
        read_target(step, head_dim, 0, p.spec.shape[0], read.data());
        values.upload(p, read);
    });
}

std::vector<SourceGradient> source_gradients(const ParameterVector& gradients, const Plan& plan) {
    std::vector<SourceGradient> all;
    for_each_step(gradients.layout(), plan, [&](const Parameter& p, const Step& step) {
        all.push_back(gradient_of(step, gradients.download(p), plan.config.transformer.head_dim));
    });
    return all;
}

std::vector<SourceGradient> source_gradients(const ParameterVector& gradients) {
    const ParameterLayout& layout = gradients.layout();
    const NameMap* map = nullptr;
    for (const NameMap* known : {&CHAMELEON_NAMES, &OPT_NAMES})
        if (!map && names_all(*known, layout)) map = known;
    std::vector<SourceGradient> all;
    for (const Parameter& p : layout.parameters())
        all.push_back({map ? *name_in(*map, p.spec.name) : p.spec.name, p.spec.shape, gradients.download(p)});
    return all;
}

void save_gradients(const std::string& path, const std::vector<SourceGradient>& gradients) {
    nlohmann::ordered_json header;
    size_t end = 0;
    for (const SourceGradient& g : gradients) {
        const size_t begin = end;
        end += g.values.size() * sizeof(float);
        header[g.name] = {{"dtype", "F32"}, {"shape", g.shape}, {"data_offsets", {begin, end}}};
    }
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');  // the data begin at a multiple of 8
    const uint64_t length = text.size();
    AtomicFile file(path);
    file.write(&length, sizeof length);
    file.write(text);
    for (const SourceGradient& g : gradients) file.write(g.values.data(), g.values.size() * sizeof(float));
    file.commit();
}

}  // namespace leon
