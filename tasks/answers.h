// Tasks that say something about a picture: describe it, answer a question about it.
#pragma once

#include <string>

#include "tasks/model.h"
#include "tasks/settings.h"
#include "tokenizer/image.h"

namespace leon {

struct Answer {
    std::string text;
    bool complete = true;  // false if it was cut at max_tokens or cancelled
    GenerateStatistics statistics;
    double picture_seconds = 0;
};

Answer describe(const Model& model, const Picture& picture, const Settings& settings, const Progress& progress = {});
Answer ask(const Model& model, const Picture& picture, const std::string& question, const Settings& settings,
           const Progress& progress = {});

}  // namespace leon
