// describe and ask: one prompt each per layout, then text until the layout's end of an answer.
#include "tasks/answers.h"

#include <chrono>

namespace leon {
namespace {

// The instruction that the model was trained to see before or after the picture (docs/models.md §4).
std::string describe_instruction(Layout layout) {
    return layout == Layout::CM3Leon ? "Describe the given picture. " : "Describe the given picture.";
}
std::string question_instruction(Layout layout, const std::string& question) {
    return layout == Layout::CM3Leon ? "Question: " + question + " Answer: " : question;
}

std::string trimmed(const std::string& text) {
    const char* blank = " \t\r\n";
    const size_t first = text.find_first_not_of(blank);
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

Answer answer(const Model& model, const Picture& picture, const std::string& instruction, const Settings& settings,
              const Progress& progress) {
    if (settings.max_tokens < 1) throw Error("must be at least 1", "--max-tokens");
    const Vqgan& encoder = model.encoder();
    const DocumentWriter& documents = model.documents();
    const Tokenizer& tokenizer = model.tokenizer();
    const int side = model.grid() * model.config().vqgan.patch();

    Answer result;
    const auto start = std::chrono::steady_clock::now();
    const auto codes = encoder.encode(to_floats(chameleon_preprocess(picture, side)), side, side);
    result.picture_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

    const int32_t end = documents.end_of_answer();
    const std::vector<int32_t> prompt = documents.describe_prompt(instruction, codes);
    const int room = model.config().transformer.context + 1 - static_cast<int>(prompt.size());
    Run run;
    run.kind = Run::Kind::Text;
    run.tokens = std::max(1, std::min(settings.max_tokens, room));
    run.allowed = model.vocabulary().text;
    run.stop = {end};
    run.chain = text_chain(model.config().layout, settings);
    run.guidance.emplace();

    GenerateOptions options;
    options.seed = settings.seed;
    options.max_tokens = run.tokens;
    options.cache_dtype = settings.cache_dtype;
    options.on_token = [&](const TokenEvent& event) {
        if (event.token == end || !progress.text) return true;
        return progress.text(tokenizer.decode(std::span(&event.token, 1)));
    };
    bool asked = false;
    auto once = [&](int, const std::vector<int32_t>&) -> std::optional<Run> {
        if (std::exchange(asked, true)) return std::nullopt;
        return run;
    };
    std::vector<int32_t> ids = generate(model.config().transformer, model.weights(), model.kernels(), prompt, once,
                                        options, &result.statistics)[0]
                                   .tokens;
    result.complete = !ids.empty() && ids.back() == end;
    if (result.complete) ids.pop_back();
    result.text = trimmed(tokenizer.decode(ids));
    return result;
}

}  // namespace

Answer describe(const Model& model, const Picture& picture, const Settings& settings, const Progress& progress) {
    return answer(model, picture, describe_instruction(model.config().layout), settings, progress);
}

Answer ask(const Model& model, const Picture& picture, const std::string& question, const Settings& settings,
           const Progress& progress) {
    if (trimmed(question).empty()) throw Error("is empty", "question", "ask something, for example \"Where is it?\"");
    return answer(model, picture, question_instruction(model.config().layout, trimmed(question)), settings, progress);
}

}  // namespace leon
