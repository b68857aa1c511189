// Marks for candidates; see ranking.h.
#include "tasks/ranking.h"

#include <algorithm>
#include <numeric>

#include "runtime/score.h"

namespace leon {

std::vector<double> log_probabilities_of(const Model& model, const std::vector<int32_t>& prompt,
                                         const std::vector<std::vector<int32_t>>& continuations, DType cache_dtype) {
    ScoreOptions options;
    options.allowed = model.vocabulary().text;
    const int32_t end = model.documents().end_of_answer();
    options.allowed.emplace_back(end, end);
    options.cache_dtype = cache_dtype;
    std::vector<Continuation> texts;
    for (const std::vector<int32_t>& tokens : continuations) texts.push_back({prompt, tokens});
    std::vector<double> sums;
    for (const std::vector<double>& each :
         log_probabilities(model.config().transformer, model.weights(), model.kernels(), texts, options))
        sums.push_back(std::accumulate(each.begin(), each.end(), 0.0));
    return sums;
}

void check_caption(const std::string& caption) {
    if (caption.empty())
        throw Error("it is not said what the picture should show, so there is nothing to rank by", "--rank",
                    "rank what is drawn or filled after a text");
}

Scorer caption_scorer(const Model& model, const std::string& caption, const Settings& settings) {
    return [&model, caption, cache_dtype = settings.cache_dtype](const Drawing& drawing) {
        const Template& row = template_of(model.config().layout, Task::Describe);
        std::vector<int32_t> said = model.documents().text_ids(caption);
        said.push_back(model.documents().end_of_answer());
        std::vector<double> marks;
        for (const CodeGrid& grid : drawing.grids) {
            Fields fields;
            fields.pictures["picture"] = picture_part(grid);
            marks.push_back(
                log_probabilities_of(model, model.documents().ids(query(row, fields)), {said}, cache_dtype).front());
        }
        return marks;
    };
}

Scorer embedder_scorer(std::shared_ptr<const Embedder> embedder, const std::string& caption) {
    return [embedder, caption](const Drawing& drawing) {
        const std::vector<float> text = embedder->text(caption);
        std::vector<double> marks;
        for (const Picture& picture : drawing.pictures) {
            const std::vector<float> seen = embedder->picture(picture);
            marks.push_back(std::inner_product(text.begin(), text.end(), seen.begin(), 0.0));
        }
        return marks;
    };
}

void rank(Drawing& drawing, const Scorer& scorer) {
    const std::vector<double> marks = scorer(drawing);
    CHECK(marks.size() == drawing.pictures.size());
    std::vector<size_t> order(marks.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return marks[a] > marks[b]; });
    Drawing sorted = drawing;
    sorted.scores.clear();
    for (size_t i = 0; i < order.size(); i++) {
        sorted.pictures[i] = std::move(drawing.pictures[order[i]]);
        sorted.grids[i] = std::move(drawing.grids[order[i]]);
        sorted.seeds[i] = drawing.seeds[order[i]];
        sorted.scores.push_back(marks[order[i]]);
    }
    drawing = std::move(sorted);
}

}  // namespace leon
