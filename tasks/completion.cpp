// A prompt as runs of the decode loop; see completion.h.
#include "tasks/completion.h"

#include <algorithm>
#include <deque>

#include "tokenizer/unicode.h"

namespace leon {
namespace {

using Ids = std::vector<int32_t>;

// A run, and the hole that its tokens belong into (-1: none, they are there already).
struct Step {
    Run run;
    int hole = -1;
};

// What happens behind a prompt, the same for every candidate but for its chain.
class Steps {
public:
    Steps(const Model& model, const Prompt& prompt, const Settings& settings, int room)
        : documents_(model.documents()), vocabulary_(model.vocabulary()) {
        switch (prompt.next) {
            case Prompt::Next::Picture:
                picture(prompt.rows, prompt.cols);
                break;
            case Prompt::Next::Text:
                text(0);
                break;
            case Prompt::Next::Holes:
                if (documents_.joins_by_break())
                    relocated_holes(prompt.document);
                else
                    raster_holes(prompt.document);
                break;
            case Prompt::Next::Nothing:
            case Prompt::Next::Anything:
                CHECK(!"a prompt with one thing to add");
        }
        share_room(settings, room);
    }

    const std::vector<Step>& steps() const { return steps_; }
    bool has_pictures() const {
        return std::any_of(steps_.begin(), steps_.end(), [](auto& s) { return s.run.kind == Run::Kind::Image; });
    }
    int tokens(Run::Kind kind) const {
        int count = 0;
        for (const Step& s : steps_)
            if (s.run.kind == kind)
                count += kind == Run::Kind::Forced ? static_cast<int>(s.run.forced.size()) : s.run.tokens;
        return count;
    }
    int all_tokens() const {
        return tokens(Run::Kind::Forced) + tokens(Run::Kind::Image) + tokens(Run::Kind::Text) + inserted_ends();
    }

private:
    void force(Ids ids) {
        if (ids.empty()) return;
        if (!steps_.empty() && steps_.back().run.kind == Run::Kind::Forced) {
            Ids& before = steps_.back().run.forced;
            before.insert(before.end(), ids.begin(), ids.end());
            return;
        }
        Step step;
        step.run.kind = Run::Kind::Forced;
        step.run.forced = std::move(ids);
        steps_.push_back(std::move(step));
    }
    void codes(int count, int hole) {
        Step step;
        step.hole = hole;
        step.run.kind = Run::Kind::Image;
        step.run.tokens = count;
        step.run.allowed = vocabulary_.image();
        steps_.push_back(std::move(step));
    }
    void text(int hole) {
        Step step;
        step.hole = hole;
        step.run.kind = Run::Kind::Text;
        step.run.allowed = vocabulary_.text;
        step.run.stop = {documents_.end_of_answer()};
        steps_.push_back(std::move(step));
        texts_++;
    }

    void picture(int rows, int cols) {
        const Ids behind_row = documents_.after_row();
        if (behind_row.empty()) return codes(rows * cols, 0);
        for (int y = 0; y < rows; y++) {
            codes(cols, 0);
            if (y + 1 < rows) force(behind_row);
        }
    }

    // CM3Leon: the prompt ends with <sentinel:0>; filling <eoss> <sentinel:1> filling <eoss> ...
    void relocated_holes(const Document& document) {
        const std::vector<Hole> holes = holes_of(document);
        for (size_t i = 0; i < holes.size(); i++) {
            if (i > 0) {
                // The end of a text is drawn, that of codes is known.
                Ids between = documents_.between_holes(i - 1);
                if (holes[i - 1].kind == Part::Kind::Text) between.erase(between.begin());
                force(between);
            }
            if (holes[i].kind == Part::Kind::Text)
                text(static_cast<int>(i));
            else
                codes(holes[i].length, static_cast<int>(i));
        }
    }

    // Chameleon was not trained to look ahead: in raster order, visible codes are forced and cells of the hole are
    // drawn. What stands behind the last hole need not be read.
    void raster_holes(const Document& document) {
        const Part& part = document.parts.back();
        const std::vector<Hole> holes = holes_of(document);
        size_t next = 0;
        for (int cell = 0; next < holes.size();) {
            const Hole& hole = holes[next];
            if (cell < hole.first) {
                force(documents_.image_ids({&part.picture.codes[cell], 1}));
                cell++;
            } else {
                codes(hole.length, static_cast<int>(next++));
                cell += hole.length;
            }
            if (cell % part.picture.cols == 0 && next < holes.size()) force(documents_.after_row());
        }
    }

    // A text that is cut gets its end all the same where something follows.
    int inserted_ends() const { return texts_ - (!steps_.empty() && steps_.back().run.kind == Run::Kind::Text); }

    void share_room(const Settings& settings, int room) {
        if (texts_ == 0) return;
        const int left = room - tokens(Run::Kind::Forced) - tokens(Run::Kind::Image) - inserted_ends();
        for (Step& step : steps_)
            if (step.run.kind == Run::Kind::Text)
                step.run.tokens = std::max(1, std::min(settings.max_tokens, left / texts_));
    }

    const DocumentWriter& documents_;
    const Vocabulary& vocabulary_;
    std::vector<Step> steps_;
    int texts_ = 0;
};

// Leads every candidate through the steps, and keeps what each has drawn.
class Conductor {
public:
    Conductor(const Model& model, const Steps& steps, const Guidance& guidance, std::vector<Ids> streams,
              const Settings& settings, const Progress& progress)
        : model_(model),
          steps_(steps.steps()),
          guidance_(guidance),
          streams_(std::move(streams)),
          settings_(settings),
          progress_(progress),
          end_(model.documents().end_of_answer()),
          total_codes_(steps.tokens(Run::Kind::Image)),
          states_(settings.candidates) {
        int holes = 1;
        for (const Step& step : steps_) holes = std::max(holes, step.hole + 1);
        for (State& state : states_) state.drawn.resize(holes);
    }

    std::optional<Run> next(int candidate, const Ids& generated) {
        State& state = states_[candidate];
        if (state.next > 0 && state.next < steps_.size() && steps_[state.next - 1].run.kind == Run::Kind::Text &&
            generated.back() != end_) {  // it was cut
            state.is_cut = true;
            state.inserted = true;
            Run run;
            run.forced = {end_};
            return run;
        }
        state.inserted = false;
        if (state.next == steps_.size()) return std::nullopt;
        Run run = steps_[state.next].run;
        if (state.next == 0) run.guidance = streams_;
        if (run.kind == Run::Kind::Image)
            run.chain = picture_chain(model_.config().layout, settings_, guidance_, candidate);
        if (run.kind == Run::Kind::Text) run.chain = text_chain(model_.config().layout, settings_);
        state.next++;
        return run;
    }

    // `candidate` of this prompt; the event has its number in the batch.
    bool hear(const TokenEvent& event, int candidate) {
        State& state = states_[candidate];
        const Step& step = steps_[state.next - 1];
        if (state.inserted || step.hole < 0) return true;
        state.drawn[step.hole].push_back(event.token);
        if (event.kind == Run::Kind::Image) {
            state.codes.push_back(event.token - model_.vocabulary().image_first);
            if (progress_.picture && !progress_.picture(event.candidate, state.codes, total_codes_)) cancelled = true;
        } else if (event.candidate == 0 && progress_.text && event.token != end_) {
            if (!progress_.text(model_.tokenizer().decode(std::span(&event.token, 1)))) cancelled = true;
        }
        return !cancelled;
    }

    Completion result(int candidate, const Prompt& prompt) const {
        const State& state = states_[candidate];
        Completion completion;
        completion.complete = !state.is_cut;
        if (prompt.next == Prompt::Next::Picture) {
            completion.picture = {prompt.rows, prompt.cols, state.codes};
            return completion;
        }
        for (size_t i = 0; i < state.drawn.size(); i++) {
            Filling& filling = completion.fillings.emplace_back();
            Ids ids = state.drawn[i];
            if (is_text(static_cast<int>(i))) {
                if (!ids.empty() && ids.back() == end_)
                    ids.pop_back();
                else
                    completion.complete = false;
                filling.text = repaired_utf8(model_.tokenizer().decode(ids));
                completion.text_ids = std::move(ids);
            } else {
                filling.codes = model_.documents().codes(ids);
            }
        }
        return completion;
    }

    bool cancelled = false;

private:
    struct State {
        size_t next = 0;         // step
        bool inserted = false;   // the run that is under way is no step
        bool is_cut = false;     // a text was
        std::vector<Ids> drawn;  // by hole
        Ids codes;               // all of them
    };

    bool is_text(int hole) const {
        return std::any_of(steps_.begin(), steps_.end(),
                           [&](auto& s) { return s.hole == hole && s.run.kind == Run::Kind::Text; });
    }

    const Model& model_;
    const std::vector<Step>& steps_;
    const Guidance guidance_;
    const std::vector<Ids> streams_;
    const Settings& settings_;
    const Progress& progress_;
    const int32_t end_;
    const int total_codes_;
    std::vector<State> states_;
};

bool has_words(const Document& document) {
    for (const Part& part : document.parts)
        for (const TextPiece& piece : part.text)
            if (!piece.hole && !piece.text.empty()) return true;
    return false;
}

bool has_pictures(const Document& document) {
    return std::any_of(document.parts.begin(), document.parts.end(),
                       [](auto& p) { return p.kind == Part::Kind::Picture && p.hidden.empty(); });
}

// Nothing says what is to be drawn into the holes but what is around them.
bool is_unled(const Prompt& prompt) {
    return prompt.next == Prompt::Next::Holes && prompt.retrieved.empty() && !has_words(prompt.document) &&
           !has_pictures(prompt.document);
}

Prompt with_settings(Prompt prompt, const Settings& settings) {
    prompt.unclosed |= settings.unclosed && prompt.next == Prompt::Next::Holes;
    return prompt;
}

// The guidance that a prompt can have: a stream that sees the pictures only needs some, and without words there is
// nothing to be guided by.
Guidance fitting(const Prompt& prompt, Guidance guidance) {
    if (!has_pictures(prompt.document)) guidance.image = 0;
    if (is_unled(prompt)) guidance = {};
    return guidance;
}

// One prompt of a batch, and what happens behind it.
struct Asked {
    Prompt prompt;
    Ids ids;
    Steps steps;
    Guidance guidance;
    Conductor conductor;

    Asked(const Model& model, const CompletionRequest& request, const Settings& settings, const Progress& progress)
        : prompt(checked(with_settings(request.prompt, settings), settings)),
          ids(model.documents().ids(prompt)),
          steps(model, prompt, settings, model.config().transformer.context + 1 - static_cast<int>(ids.size())),
          guidance(guidance_for(request, settings)),
          conductor(model, steps, guidance, guidance_prompts(model, settings), settings, progress) {}

private:
    static Prompt checked(Prompt prompt, const Settings& settings) {
        if (settings.strategy != Strategy::TopP && is_unled(prompt))
            throw Error("without words or other pictures there is nothing to contrast with", "--strategy",
                        "say what to draw, or draw by top-p");
        return prompt;
    }
    Guidance guidance_for(const CompletionRequest& request, const Settings& settings) const {
        Guidance fits = fitting(prompt, request.guidance);
        if (settings.strategy != Strategy::TopP) fits.image = 0;  // CD-K has two streams
        return fits;
    }
    std::vector<Ids> guidance_prompts(const Model& model, const Settings& settings) const {
        if (!steps.has_pictures()) return {};
        std::vector<Ids> streams = stream_prompts(model.documents(), prompt, guidance, settings);
        streams.erase(streams.begin());
        return streams;
    }
};

}  // namespace

std::vector<Ids> stream_prompts(const DocumentWriter& documents, const Prompt& given, const Guidance& wanted,
                                const Settings& settings) {
    const Prompt prompt = with_settings(given, settings);
    const Guidance guidance = fitting(prompt, wanted);
    std::vector<Ids> streams{documents.ids(prompt)};
    const bool contrastive = settings.strategy != Strategy::TopP;
    const bool three = guidance.three() && settings.strategy == Strategy::TopP;
    if (three) streams.push_back(documents.ids(prompt, GuidanceStream::Pictures, settings.unconditional_keeps));
    if (guidance.any() || contrastive)
        streams.push_back(documents.ids(prompt, GuidanceStream::Nothing, settings.unconditional_keeps));
    return streams;
}

Completions complete(const Model& model, const Prompt& prompt, const Guidance& guidance, const Settings& settings,
                     const Progress& progress) {
    const CompletionRequest request{prompt, guidance, settings.seed};
    return std::move(complete(model, std::span(&request, 1), settings, progress).front());
}

std::vector<Completions> complete(const Model& model, std::span<const CompletionRequest> requests,
                                  const Settings& settings, const Progress& progress) {
    check_settings(settings);
    CHECK(!requests.empty());
    std::deque<Asked> asked;  // conductors refer to the steps beside them
    std::vector<CandidateStart> starts;
    for (const CompletionRequest& request : requests) {
        const Asked& a = asked.emplace_back(model, request, settings, progress);
        for (int i = 0; i < settings.candidates; i++)
            starts.push_back({a.ids, request.seed + static_cast<uint64_t>(i), a.steps.all_tokens()});
    }
    const auto of = [&](int candidate) { return candidate / settings.candidates; };
    GenerateOptions options;
    options.cache_dtype = settings.cache_dtype;
    options.on_token = [&](const TokenEvent& event) {
        return asked[of(event.candidate)].conductor.hear(event, event.candidate % settings.candidates);
    };
    GenerateStatistics statistics;
    generate(
        model.config().transformer, model.weights(), model.kernels(), std::move(starts),
        [&](int candidate, const Ids& generated) {
            return asked[of(candidate)].conductor.next(candidate % settings.candidates, generated);
        },
        options, &statistics);

    const bool cancelled = std::any_of(asked.begin(), asked.end(), [](auto& a) { return a.conductor.cancelled; });
    std::vector<Completions> all;
    for (const Asked& a : asked) {
        Completions& result = all.emplace_back();
        result.prompt = a.ids;
        result.cancelled = cancelled;
        result.statistics = statistics;
        if (cancelled) continue;
        for (int i = 0; i < settings.candidates; i++) result.candidates.push_back(a.conductor.result(i, a.prompt));
    }
    return all;
}

}  // namespace leon
