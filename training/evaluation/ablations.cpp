// See ablations.h.
#include "training/evaluation/ablations.h"

#include "kernels/check.h"

namespace leon {
namespace {

Ablation drawing(const std::string& what, const Settings& settings) {
    return {"draw, " + what, RowKind::Draw, settings};
}

Settings guided(float guidance) {
    Settings settings;
    settings.guidance = guidance;
    return settings;
}

Settings tried(int tries, Strategy strategy) {
    Settings settings;
    settings.best_of = tries;
    settings.strategy = strategy;
    return settings;
}

}  // namespace

size_t Ablation::work() const {
    return work_of(kind) * static_cast<size_t>(settings.best_of.value_or(1));
}

Section Ablation::evaluate(const Model& model, const Judge& judge, const EvaluationOptions& options,
                           const AskSettings& defaults, const std::function<void(size_t, size_t)>& progress) const {
    AskSettings how = defaults;
    how.settings = settings;
    how.settings.seed = defaults.settings.seed;
    how.documents = documents;
    EvaluationOptions fewer = options;
    fewer.exhibits = 0;
    const size_t tries = static_cast<size_t>(settings.best_of.value_or(1));
    Section section = evaluate_kind(model, judge, kind, fewer, how,
                                    [&](size_t done, size_t total) { progress(done * tries, total * tries); });
    section.name = name;
    section.is_default = is_default;
    return section;
}

std::vector<Ablation> ablations() {
    std::vector<Ablation> all;
    all.push_back(drawing("as by default", {}));
    all.back().is_default = true;
    for (float guidance : {1.f, 2.f, 3.f, 5.f})
        all.push_back(drawing("guidance " + std::to_string(int(guidance)), guided(guidance)));
    for (int tries : {1, 8}) {
        const std::string name = "best of " + std::to_string(tries) + ", ";
        all.push_back(drawing(name + "top-p", tried(tries, Strategy::TopP)));
        all.push_back(drawing(name + "CD-K", tried(tries, Strategy::Contrastive)));
        if (tries > 1) all.push_back(drawing(name + "mixture", tried(tries, Strategy::Mixture)));
    }

    all.push_back({"edit, as by default", RowKind::Edit, {}, 2, true});
    const auto edit = [&](const std::string& what, float text, float image) {
        Settings settings = guided(text);
        settings.image_guidance = image;
        all.push_back({"edit, " + what, RowKind::Edit, settings});
    };
    edit("no guidance", 1, 1);
    edit("guidance 3 of the text alone", 3, 1);
    edit("guidance 7.5 and 1.5", 7.5f, 1.5f);
    edit("guidance 3 and 1.5", 3, 1.5f);
    edit("guidance 1.5 and 3", 1.5f, 3);

    for (RowKind kind : {RowKind::RetrieveRare, RowKind::RetrieveNovel}) {
        const std::string name = std::string(kind_facts(kind).name) + ", documents: ";
        all.push_back({name + "2 (as by default)", kind, {}, 2, true});
        if (kind == RowKind::RetrieveRare) all.push_back({name + "1", kind, {}, 1});
        all.push_back({name + "0", kind, {}, 0});
    }
    return all;
}

void compare_with_defaults(std::vector<Section>& sections) {
    const auto right = [](const Section& section) {
        std::vector<Mark> marks;
        for (const RowOutcome& row : section.rows) marks.push_back(yes_or_no("right", row.is_right));
        return marks;
    };
    const Section* defaults = nullptr;
    for (Section& section : sections) {
        if (section.is_default) {
            defaults = &section;
            continue;
        }
        CHECK(defaults && defaults->kind == section.kind);
        section.against_defaults = difference_of(right(*defaults), right(section));
    }
}

}  // namespace leon
