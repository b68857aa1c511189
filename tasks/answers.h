// Tasks that say something about a picture: describe it, answer a question about it.
#pragma once

#include <string>
#include <vector>

#include "tasks/completion.h"
#include "tasks/model.h"
#include "tokenizer/image.h"
#include "tokenizer/templates.h"

namespace leon {

struct Answer {
    std::string text;
    bool complete = true;        // false if it was cut at max_tokens or cancelled
    double log_probability = 0;  // of its tokens and its end under the model, whatever the sampler did; natural log
    uint64_t seed = 0;
    std::string prompt;  // what the model was given, for a person to read
    GenerateStatistics statistics;
    double picture_seconds = 0;
};

// A text as it was drawn, without white space at its ends and without what the template puts behind every answer.
std::string bare_answer(const std::string& text, const Template& row);

enum class Length { Short, Long };

// With several candidates the likeliest answer. Error as in pictures.h.
Answer describe(const Model& model, const Picture& picture, const Settings& settings, const Progress& progress = {},
                Length length = Length::Short);
Answer ask(const Model& model, const Picture& picture, const std::string& question, const Settings& settings,
           const Progress& progress = {});

// All candidates, the likeliest first.
std::vector<Answer> answers(const Model& model, const Picture& picture, Task task, const std::string& question,
                            const Settings& settings, const Progress& progress = {},
                            const std::vector<Document>& retrieved = {});

}  // namespace leon
