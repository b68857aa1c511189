// Continuing documents; see writing.h.
#include "tasks/writing.h"

#include <algorithm>
#include <filesystem>

#include "runtime/modality.h"
#include "tasks/answers.h"
#include "tasks/common.h"
#include "tasks/page.h"
#include "tokenizer/unicode.h"

namespace leon {
namespace {

using Ids = std::vector<int32_t>;

// The streams beside a picture that begins behind `so_far` (prompt included), each ending with `begin`.
std::vector<Ids> guidance_prompts(const Model& model, const ModalityRules& rules, std::span<const int32_t> so_far,
                                  const Guidance& guidance) {
    const Vocabulary& v = model.vocabulary();
    if (!guidance.any()) return {};
    if (model.documents().joins_by_break()) return {{v.eos, v.sentinels[0], v.brk}};
    if (model.config().layout == Layout::Lumina) return {{v.brk}};
    std::vector<Ids> prompts;
    const Ids first{v.bos};
    if (guidance.three()) prompts.push_back(pictures_of(rules, so_far, first));
    prompts.push_back({v.bos, v.brk});
    return prompts;
}

int allowed_pictures(const Model& model, const WritingLimits& limits) {
    const ModelConfig& config = model.config();
    const bool draws = config.has_vqgan && config.vqgan.decoder && config.layout != Layout::Chameleon;
    return limits.max_pictures.value_or(draws ? 1 : 0);
}

bool has_picture(const Prompt& prompt) {
    const auto& parts = prompt.document.parts;
    return std::any_of(parts.begin(), parts.end(), [](auto& p) { return p.kind == Part::Kind::Picture; });
}

// Runs a prompt whose continuation the model shapes itself.
class Writer {
public:
    Writer(const Model& model, const WritingLimits& limits, const Settings& settings, const WritingProgress& progress)
        : model_(model),
          limits_(limits),
          settings_(settings),
          progress_(progress),
          rules_(model.documents().modality(model.config().has_vqgan ? model.grid() * model.grid() : 1)) {}

    Written write(const Prompt& prompt) {
        check_settings(settings_);
        const DocumentWriter& documents = model_.documents();
        const Ids ids = documents.ids(prompt);
        const int room = model_.config().transformer.context + 1 - static_cast<int>(ids.size());
        if (room <= 0)
            throw Error("the document has " + std::to_string(ids.size()) + " tokens, but the model's context is " +
                            std::to_string(model_.config().transformer.context),
                        "document", "shorten it");

        const Layout layout = model_.config().layout;
        const Settings of_pictures = settled(model_, Task::Draw, settings_);
        Guidance guidance = guidance_for(template_of(layout, Task::Draw), of_pictures);
        const Template* edit = find_template(layout, Task::Edit);
        ModalityPlan plan;
        plan.max_tokens = std::min(limits_.max_tokens, room);
        plan.max_pictures = allowed_pictures(model_, limits_);
        // What stands before a picture may be the model's own. Before the first one the third stream equals the second.
        const bool sees_pictures = has_picture(prompt) || plan.max_pictures > 1;
        if (!documents.joins_by_break() && edit && sees_pictures) guidance.image = edit->image_guidance;
        plan.text_chain = text_chain(layout, settings_);
        plan.picture_chain = picture_chain(layout, of_pictures, guidance, 0);
        plan.guidance = [&](std::span<const int32_t> generated) {
            Ids so_far = ids;
            so_far.insert(so_far.end(), generated.begin(), generated.end());
            return guidance_prompts(model_, rules_, so_far, guidance);
        };

        Written written;
        written.prompt = documents.readable(ids);
        Ids codes;
        GenerateOptions options;
        options.seed = settings_.seed;
        options.max_tokens = plan.max_tokens;
        options.cache_dtype = settings_.cache_dtype;
        options.on_token = [&](const TokenEvent& event) {
            bool go_on = true;
            if (event.kind == Run::Kind::Image) {
                codes.push_back(event.token - model_.vocabulary().image_first);
                if (progress_.picture) go_on = progress_.picture(codes, rules_.codes);
            } else {
                codes.clear();
                if (event.kind == Run::Kind::Text && is_word(event.token) && progress_.text)
                    go_on = progress_.text(model_.tokenizer().decode(std::span(&event.token, 1)));
            }
            if (!go_on) written.cancelled = true;
            return go_on;
        };
        const auto next = [&](int, const Ids& generated) { return next_run(rules_, plan, generated); };
        const Ids generated = generate(model_.config().transformer, model_.weights(), model_.kernels(), ids, next,
                                       options, &written.statistics)[0]
                                  .tokens;
        written.finished = is_finished(rules_, plan.start, generated);
        take_apart(generated, written);
        return written;
    }

private:
    bool is_word(int32_t id) const {
        return std::any_of(rules_.text.begin(), rules_.text.end(),
                           [id](auto& range) { return id >= range.first && id <= range.second; });
    }

    void take_apart(const Ids& generated, Written& written) {
        const double start = now();
        for (const Segment& segment : segments(rules_, ModalityPlan::Start::Text, generated)) {
            if (segment.kind == Run::Kind::Text) {
                const std::string text = repaired_utf8(model_.tokenizer().decode(segment.ids));
                written.contents.push_back({text, {}});
                written.parts.push_back(text_part(text));
                continue;
            }
            CodeGrid grid{model_.grid(), model_.grid(), model_.documents().codes(segment.ids)};
            if (rules_.grid) grid.rows = segment.height, grid.cols = segment.width;
            if (static_cast<int>(grid.codes.size()) < grid.cells()) continue;  // it was cancelled inside
            written.contents.push_back({"", model_.decoder().decode_u8(grid.codes, grid.rows, grid.cols)});
            written.parts.push_back(picture_part(std::move(grid)));
        }
        written.picture_seconds += now() - start;
    }

    const Model& model_;
    const WritingLimits& limits_;
    const Settings& settings_;
    const WritingProgress& progress_;
    const ModalityRules rules_;
};

void check_limits(const Model& model, const WritingLimits& limits) {
    if (limits.max_tokens < 1) throw Error("must be at least 1", "--max-tokens");
    if (limits.max_pictures.value_or(0) < 0) throw Error("must not be negative", "--max-pictures");
    if (limits.max_pictures.value_or(0) > 0) model.decoder();  // says so if it lacks one
}

}  // namespace

std::vector<Content> read_contents(const std::vector<std::string>& words) {
    std::vector<Content> contents;
    for (const std::string& word : words) {
        const auto ends = [&](const char* ending) { return word.ends_with(ending); };
        std::error_code unreadable;
        const bool is_file = (ends(".png") || ends(".jpg") || ends(".jpeg") || ends(".bmp") || ends(".gif")) &&
                             std::filesystem::exists(word, unreadable);
        if (word.starts_with("text:"))
            contents.push_back({word.substr(5), {}});
        else if (word.starts_with("picture:"))
            contents.push_back({"", load_picture(word.substr(8), Orientation::Upright)});
        else if (is_file)
            contents.push_back({"", load_picture(word, Orientation::Upright)});
        else
            contents.push_back({word, {}});
    }
    return contents;
}

Written write_on(const Model& model, const std::vector<Content>& contents, const WritingLimits& limits,
                 const Settings& settings, const WritingProgress& progress) {
    check_limits(model, limits);
    Prompt prompt;
    prompt.next = Prompt::Next::Anything;
    for (const Content& content : contents)
        prompt.document.parts.push_back(content.is_picture() ? picture_part_of(model, frame_of(model, content.picture))
                                                             : text_part(content.text));
    return Writer(model, limits, settings, progress).write(prompt);
}

std::string save_writing(const std::string& folder, const std::vector<Content>& given,
                         const std::vector<Content>& added) {
    make_folder(folder);
    std::string markdown, page = html_head("written by leon");
    int number = 0;
    const auto put = [&](const Content& content, bool is_new) {
        const std::string style = is_new ? "" : " style=\"color:#777\"";
        if (!content.is_picture()) {
            markdown += content.text + "\n\n";
            page += "<p" + style + ">" + html_escaped(content.text) + "</p>\n";
            return;
        }
        const std::string name = std::to_string(++number) + ".png";
        save_picture(folder + "/" + name, content.picture);
        markdown += "![](" + name + ")\n\n";
        page += "<figure style=\"max-width:24rem\">" + html_image(content.picture, "") + "</figure>\n";
    };
    for (const Content& content : given) put(content, false);
    for (const Content& content : added) put(content, true);
    write_text(folder + "/index.md", markdown);
    std::string path = folder + "/index.html";
    write_text(path, page + "</html>\n");
    return path;
}

Chat::Chat(const Model& model, const Settings& settings, const WritingLimits& limits)
    : model_(model), settings_(settings), limits_(limits) {
    check_settings(settings);
    check_limits(model, limits);
}

void Chat::show(const Picture& picture) {
    last_picture_ = frame_of(model_, picture);
    shown_.push_back(picture_part_of(model_, last_picture_));
}

void Chat::forget() {
    turns_.clear();
    shown_.clear();
    last_picture_ = {};
    forgot_ = 0;
}

// Another seed each time: the same words need not give the same answer.
Settings Chat::next_settings() {
    Settings settings = settings_;
    settings.seed += said_++;
    return settings;
}

Written Chat::as_writing(Drawing drawing) {
    Written written;
    written.prompt = drawing.prompt;
    written.cancelled = drawing.cancelled;
    written.finished = !drawing.cancelled;
    written.statistics = drawing.statistics;
    written.picture_seconds = drawing.picture_seconds;
    if (drawing.cancelled) return written;
    last_picture_ = drawing.pictures.front();
    written.contents.push_back({"", last_picture_});
    written.parts.push_back(picture_part(drawing.grids.front()));
    return written;
}

void Chat::remember(std::vector<Part> turn, const Written& written) {
    if (written.cancelled) return;
    std::vector<Part> reply = written.parts;
    reply.push_back(end_of_turn());
    turns_.push_back(std::move(turn));
    turns_.push_back(std::move(reply));
    shown_.clear();
}

Written Chat::draw(const std::string& text, const WritingProgress& progress) {
    Progress growing;
    growing.picture = [&](int, std::span<const int32_t> codes, int total) {
        return !progress.picture || progress.picture(codes, total);
    };
    Written written = as_writing(leon::draw(model_, text, next_settings(), growing));
    remember({text_part(text), end_of_turn()}, written);
    return written;
}

Written Chat::edit(const std::string& instruction, const WritingProgress& progress) {
    if (!last_picture()) throw Error("there is no picture to edit yet", "/edit", "show one, or draw one");
    Progress growing;
    growing.picture = [&](int, std::span<const int32_t> codes, int total) {
        return !progress.picture || progress.picture(codes, total);
    };
    Written written = as_writing(leon::edit(model_, last_picture_, instruction, next_settings(), growing));
    std::vector<Part> turn = shown_;
    turn.push_back(text_part(instruction));
    turn.push_back(end_of_turn());
    remember(std::move(turn), written);
    return written;
}

Written Chat::say(const std::string& text, const WritingProgress& progress) {
    if (!model_.documents().joins_by_break()) return converse(text, progress);
    if (!last_picture()) return draw(text, progress);
    Progress growing;
    growing.text = progress.text;
    Settings settings = next_settings();
    settings.max_tokens = std::min(settings.max_tokens, limits_.max_tokens);
    const Answer answer = ask(model_, last_picture_, text, settings, growing);
    Written written;
    written.contents.push_back({answer.text, {}});
    written.finished = answer.complete;
    written.prompt = answer.prompt;
    written.statistics = answer.statistics;
    written.picture_seconds = answer.picture_seconds;
    return written;
}

Written Chat::converse(const std::string& text, const WritingProgress& progress) {
    std::vector<Part> turn = shown_;
    // Lumina-mGPT puts the symbol of a picture and a blank before a question that does not name it.
    const bool blank = model_.config().layout == Layout::Lumina && !shown_.empty();
    turn.push_back(text_part((blank ? " " : "") + text));
    turn.push_back(end_of_turn());

    const Settings settings = next_settings();
    // A turn and its reply go together.
    for (;; turns_.erase(turns_.begin(), turns_.begin() + 2), forgot_++) {
        Prompt prompt;
        prompt.next = Prompt::Next::Anything;
        for (const std::vector<Part>& said : turns_)
            prompt.document.parts.insert(prompt.document.parts.end(), said.begin(), said.end());
        prompt.document.parts.insert(prompt.document.parts.end(), turn.begin(), turn.end());
        const int tokens = static_cast<int>(model_.documents().ids(prompt).size());
        const int wanted = std::min(limits_.max_tokens, model_.config().transformer.context / 4);
        if (!turns_.empty() && tokens + wanted > model_.config().transformer.context) continue;

        Written written = Writer(model_, limits_, settings, progress).write(prompt);
        if (written.cancelled) return written;
        for (const Content& content : written.contents)
            if (content.is_picture()) last_picture_ = content.picture;
        remember(std::move(turn), written);
        return written;
    }
}

}  // namespace leon
