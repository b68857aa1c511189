// describe and ask: a template with an answer in it; see answers.h.
#include "tasks/answers.h"

#include <algorithm>

#include "tasks/common.h"
#include "tasks/pictures.h"
#include "tasks/ranking.h"

namespace leon {
std::string bare_answer(const std::string& text, const Template& row) {
    std::string answer = trimmed(text);
    if (!row.answer_end.empty() && answer.ends_with(row.answer_end))
        answer.resize(answer.size() - row.answer_end.size());
    return answer;
}

std::vector<Answer> answers(const Model& model, const Picture& picture, Task task, const std::string& question,
                            const Settings& settings, const Progress& progress,
                            const std::vector<Document>& retrieved) {
    if (task == Task::Ask && trimmed(question).empty())
        throw Error("is empty", "question", "ask something, for example \"Where is it?\"");
    const Template& row = template_of(model.config().layout, task);
    Fields fields;
    fields.retrieved = retrieved;
    const double start = now();
    fields.pictures["picture"] = picture_part_of(model, frame_of(model, picture));
    const double picture_seconds = now() - start;
    fields.text["question"] = trimmed(question);

    const Prompt prompt = query(row, fields);
    const Completions completions = complete(model, prompt, {}, settings, progress);
    const std::string readable = readable_prompts(model, prompt, {}, settings);
    std::vector<Answer> all;
    std::vector<std::vector<int32_t>> said;
    for (const Completion& completion : completions.candidates) {
        Answer& answer = all.emplace_back();
        answer.text = bare_answer(completion.fillings.at(0).text, row);
        answer.complete = completion.complete;
        answer.seed = settings.seed + all.size() - 1;
        answer.prompt = readable;
        answer.statistics = completions.statistics;
        answer.picture_seconds = picture_seconds;
        std::vector<int32_t> ids = completion.text_ids;
        if (completion.complete) ids.push_back(model.documents().end_of_answer());
        said.push_back(std::move(ids));
    }
    if (all.empty()) {  // cancelled
        all.emplace_back().complete = false;
        all.front().statistics = completions.statistics;
        return all;
    }

    const std::vector<double> log_p = log_probabilities_of(model, completions.prompt, said, settings.cache_dtype);
    std::vector<size_t> order(all.size());
    for (size_t i = 0; i < all.size(); i++) {
        all[i].log_probability = log_p[i];
        order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return all[a].log_probability > all[b].log_probability; });
    std::vector<Answer> sorted;
    for (size_t i : order) sorted.push_back(std::move(all[i]));
    return sorted;
}

Answer describe(const Model& model, const Picture& picture, const Settings& settings, const Progress& progress,
                Length length) {
    return answers(model, picture, length == Length::Long ? Task::DescribeLong : Task::Describe, "", settings, progress)
        .front();
}

Answer ask(const Model& model, const Picture& picture, const std::string& question, const Settings& settings,
           const Progress& progress) {
    return answers(model, picture, Task::Ask, question, settings, progress).front();
}

}  // namespace leon
