// Marks for candidates; see ranking.h.
#include "tasks/ranking.h"

#include <algorithm>
#include <numeric>

#include "runtime/score.h"

namespace leon {
namespace {

std::vector<double> sums_of(const Model& model, const std::vector<Continuation>& texts, const ScoreOptions& options) {
    std::vector<double> sums;
    for (const std::vector<double>& each :
         log_probabilities(model.config().transformer, model.weights(), model.kernels(), texts, options))
        sums.push_back(std::accumulate(each.begin(), each.end(), 0.0));
    return sums;
}

ScoreOptions options_for_text(const Model& model, DType cache_dtype) {
    ScoreOptions options;
    options.allowed = model.vocabulary().text;
    const int32_t end = model.documents().end_of_answer();
    options.allowed.emplace_back(end, end);
    options.cache_dtype = cache_dtype;
    return options;
}

std::vector<double> marks_of_caption(const Model& model, const Drawing& drawing, DType cache_dtype) {
    const Template& row = template_of(model.config().layout, Task::Describe);
    std::vector<int32_t> said = model.documents().text_ids(drawing.wish.caption);
    said.push_back(model.documents().end_of_answer());
    std::vector<Continuation> texts;
    for (const CodeGrid& grid : drawing.grids) {
        Fields fields;
        fields.pictures["picture"] = picture_part(grid);
        texts.push_back({model.documents().ids(query(row, fields)), said});
    }
    return sums_of(model, texts, options_for_text(model, cache_dtype));
}

bool reads_maps(const Model& model) {
    return model.documents().joins_by_break() && find_template(model.config().layout, Task::DrawFromMap);
}

bool reads_back(const Model& model, const std::string& caption, bool has_map) {
    return !caption.empty() || (has_map && reads_maps(model));
}

// How likely the first part of a kind is in the task's document, cut out of it as CM3's training cuts out whole texts
// and pictures: one hole stands in its place, and it comes last.
std::vector<double> marks_of_cut(const Model& model, const Drawing& drawing, Task task, Fields fields, Part::Kind kind,
                                 const ScoreOptions& options) {
    const Template& row = template_of(model.config().layout, task);
    const DocumentWriter& writer = model.documents();
    std::vector<Continuation> texts;
    for (const CodeGrid& grid : drawing.grids) {
        fields.pictures["new picture"] = picture_part(grid);
        Prompt prompt = whole(row, fields);
        std::vector<Part>& parts = prompt.document.parts;
        const auto cut = std::find_if(parts.begin(), parts.end(), [&](const Part& part) { return part.kind == kind; });
        CHECK(cut != parts.end());
        std::vector<int32_t> ids;
        if (kind == Part::Kind::Picture) {
            ids = writer.image_ids(cut->picture.codes);
        } else {
            for (const TextPiece& piece : cut->text)
                for (int32_t id : writer.text_ids(piece.text)) ids.push_back(id);
            ids.push_back(writer.end_of_answer());
        }
        *cut = text_with_holes("___");
        prompt.next = Prompt::Next::Holes;
        texts.push_back({writer.ids(prompt), std::move(ids)});
    }
    return sums_of(model, texts, options);
}

std::vector<double> marks_of_map(const Model& model, const Drawing& drawing, DType cache_dtype) {
    const Wish& wish = drawing.wish;
    Fields fields;
    fields.text = {{"kind", wish.map_kind}, {"text", wish.caption}};
    fields.pictures["map"] = picture_part(wish.map);
    ScoreOptions options;
    options.allowed = model.vocabulary().image();
    options.cache_dtype = cache_dtype;
    return marks_of_cut(model, drawing, Task::DrawFromMap, std::move(fields), Part::Kind::Picture, options);
}

std::vector<double> marks_of_sign(const Model& model, const Drawing& drawing, DType cache_dtype) {
    Fields fields;
    fields.text = {{"word", drawing.wish.caption}};
    return marks_of_cut(model, drawing, Task::DrawSign, std::move(fields), Part::Kind::Text,
                        options_for_text(model, cache_dtype));
}

}  // namespace

std::vector<double> log_probabilities_of(const Model& model, const std::vector<int32_t>& prompt,
                                         const std::vector<std::vector<int32_t>>& continuations, DType cache_dtype) {
    std::vector<Continuation> texts;
    for (const std::vector<int32_t>& tokens : continuations) texts.push_back({prompt, tokens});
    return sums_of(model, texts, options_for_text(model, cache_dtype));
}

bool can_be_ranked(const Model& model, const Wish& wish) {
    return reads_back(model, wish.caption, wish.map.cells() > 0);
}

void check_ranking(const Model& model, const std::string& caption, bool has_map, RankBy by) {
    if (!reads_back(model, caption, has_map && by == RankBy::Model))
        throw Error("it is not said what the picture should show, so there is nothing to rank by", "--rank",
                    "rank what is drawn or filled after a text");
}

Scorer model_scorer(const Model& model, const Settings& settings) {
    return [&model, cache_dtype = settings.cache_dtype](const Drawing& drawing) {
        std::vector<double> marks(drawing.grids.size());
        const auto add = [&](double weight, const std::vector<double>& more) {
            for (size_t i = 0; i < marks.size(); i++) marks[i] += weight * more[i];
        };
        if (!drawing.wish.caption.empty())
            add(1, drawing.wish.sign ? marks_of_sign(model, drawing, cache_dtype)
                                     : marks_of_caption(model, drawing, cache_dtype));
        if (drawing.wish.map.cells() > 0 && reads_maps(model))
            add(MAP_WEIGHT, marks_of_map(model, drawing, cache_dtype));
        return marks;
    };
}

Scorer embedder_scorer(std::shared_ptr<const Embedder> embedder) {
    return [embedder](const Drawing& drawing) {
        const std::vector<float> text = embedder->text(drawing.wish.caption);
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
