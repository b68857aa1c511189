// include/leon.h on top of the tasks: C structures in, one try block around each call, C structures out.
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <new>

#include "include/leon.h"
#include "tasks/answers.h"
#include "tasks/backend.h"
#include "tasks/fill.h"
#include "tasks/pictures.h"
#include "tasks/preview.h"
#include "tasks/ranking.h"
#include "tasks/segment.h"
#include "tasks/writing.h"

struct leon_model {
    leon_model(const std::string& path, const leon::Kernels& kernels) : model(path, kernels) {}

    const leon::Model model;
    std::atomic<bool> cancelled{false};
};

struct leon_result {
    struct Item {
        std::string text;
        leon::Picture picture;  // 0 x 0: it is a text
        double score = NAN;
        uint64_t seed = 0;
    };
    std::vector<Item> items;
};

namespace leon {
namespace {

constexpr const char* VERSION = "0.1.0";

// Runs take turns: all of them use the same threads.
std::mutex& turn() {
    static std::mutex mutex;
    return mutex;
}

void put(leon_error* error, const std::string& message) {
    if (!error) return;
    const size_t length = std::min(message.size(), sizeof error->message - 1);
    std::memcpy(error->message, message.data(), length);
    error->message[length] = 0;
}

// Calls and turns what it throws into a status.
template <class Function>
leon_status guarded(leon_error* error, Function function) {
    try {
        put(error, "");
        return function();
    } catch (const std::bad_alloc&) {
        put(error, "there is not enough memory for this; use a smaller model, picture or number of candidates");
    } catch (const std::exception& problem) {
        put(error, problem.what());
    }
    return LEON_BAD;
}

std::string text_of(const char* text) {
    return text ? text : "";
}

Picture picture_of(const leon_picture& picture, const char* what) {
    if (!picture.rgb || picture.width <= 0 || picture.height <= 0 || picture.width > MAX_SIDE ||
        picture.height > MAX_SIDE || int64_t{picture.width} * picture.height > MAX_PIXELS)
        throw Error("is empty or too large", what, "sides from 1 to " + std::to_string(MAX_SIDE));
    Picture copy(picture.width, picture.height);
    std::memcpy(copy.rgb.data(), picture.rgb, copy.rgb.size());
    return copy;
}

leon_picture view_of(const Picture& picture) {
    return {picture.width, picture.height, picture.rgb.data()};
}

Settings settings_of(const leon_options& o) {
    Settings s;
    const auto set = [](std::optional<float>& member, float value) {
        if (!std::isnan(value)) member = value;
    };
    s.seed = o.seed;
    s.candidates = o.candidates;
    set(s.guidance, o.guidance);
    set(s.image_guidance, o.image_guidance);
    set(s.temperature, o.temperature);
    set(s.top_p, o.top_p);
    set(s.contrast_alpha, o.alpha);
    set(s.student_temperature, o.student_temperature);
    if (o.top_k >= 0) s.top_k = o.top_k;
    if (o.contrast_k >= 0) s.contrast_k = o.contrast_k;
    s.max_tokens = o.max_tokens;
    s.strategy = strategy_named(text_of(o.strategy).empty() ? "top-p" : o.strategy);
    return s;
}

std::vector<PlacedObject> objects_of(const std::string& text) {
    std::vector<PlacedObject> objects;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find(';', at), text.size());
        objects.push_back(parse_object(text.substr(at, end - at)));
        at = end + 1;
    }
    return objects;
}

// One request on one model.
class CRun {
public:
    CRun(leon_model& owner, const leon_request& request, const leon_options& options)
        : owner_(owner),
          model_(owner.model),
          request_(request),
          options_(options),
          settings_(settings_of(options)),
          text_(text_of(request.text)) {
        if (request.picture) picture_ = picture_of(*request.picture, "picture");
        if (model_.config().has_vqgan && model_.config().vqgan.decoder) preview_.emplace(model_.decoder());
    }

    leon_status run(leon_result& result) {
        const std::string task = text_of(request_.task);
        const Progress progress = this->progress();
        if (task == "draw") return keep(result, draw(model_, draw_request(), settings_, progress), caption());
        if (task == "edit") return keep(result, edit(model_, picture(), text_, settings_, progress), text_);
        if (task == "fill") return keep(result, fill(model_, hole(), text_, settings_, progress), text_);
        if (task == "segment") {
            const Drawing map = segment(model_, picture(), text_, storybook_legend(), settings_, progress).drawing;
            return keep(result, map, text_);
        }
        if (task == "describe") return answer(result, Task::Describe, progress);
        if (task == "describe-long") return answer(result, Task::DescribeLong, progress);
        if (task == "ask") return answer(result, Task::Ask, progress);
        if (task == "fill-text") return fill_holes(result, progress);
        if (task == "write") return write(result);
        throw Error("there is no task '" + task + "'", "task", "include/leon.h lists them");
    }

private:
    bool go_on(int answer) {
        if (answer != 0) owner_.cancelled = true;
        return !owner_.cancelled;
    }
    bool hear_picture(int candidate, std::span<const int32_t> codes, int total) {
        if (!options_.on_picture) return go_on(0);
        const int side = model_.grid();
        Picture preview;
        if (preview_ && total == side * side && candidate == 0) preview = preview_->picture(codes, side, side);
        const leon_picture view = view_of(preview);
        return go_on(options_.on_picture(options_.user, candidate, static_cast<int32_t>(codes.size()), total, &view));
    }
    bool hear_text(const std::string& piece) {
        return go_on(options_.on_text ? options_.on_text(options_.user, piece.data(), piece.size()) : 0);
    }
    Progress progress() {
        Progress progress;
        progress.picture = [this](int candidate, std::span<const int32_t> codes, int total) {
            return hear_picture(candidate, codes, total);
        };
        progress.text = [this](const std::string& piece) { return hear_text(piece); };
        return progress;
    }

    const Picture& picture() const {
        if (!picture_) throw Error("is missing", "picture", "this task needs one");
        return *picture_;
    }
    DrawRequest draw_request() const {
        DrawRequest request;
        request.text = text_;
        request.map = picture_;
        request.kind = text_of(request_.kind);
        request.sign = text_of(request_.sign);
        request.objects = objects_of(text_of(request_.objects));
        return request;
    }
    std::string caption() const { return text_.empty() ? text_of(request_.sign) : text_; }
    HoleInFrame hole() const {
        if (!request_.mask) return chosen_hole(model_, picture(), text_of(request_.box), "", text_of(request_.grow));
        if (request_.box || request_.grow)
            throw Error("where is the hole?", "fill", "give exactly one of box, mask and grow");
        const int patch = model_.config().vqgan.patch();
        return place_mask(picture(), picture_of(*request_.mask, "mask"), model_.grid() * patch, patch);
    }

    leon_status keep(leon_result& result, Drawing drawing, const std::string& caption) {
        if (drawing.cancelled) return LEON_CANCELLED;
        if (options_.rank) rank(drawing, caption_scorer(model_, caption, settings_));
        for (size_t i = 0; i < drawing.pictures.size(); i++) {
            leon_result::Item& item = result.items.emplace_back();
            item.picture = std::move(drawing.pictures[i]);
            item.seed = drawing.seeds[i];
            if (!drawing.scores.empty()) item.score = drawing.scores[i];
        }
        return LEON_OK;
    }
    leon_status answer(leon_result& result, Task task, const Progress& progress) {
        const std::vector<Answer> all = answers(model_, picture(), task, text_, settings_, progress);
        if (owner_.cancelled) return LEON_CANCELLED;
        for (const Answer& answer : all) result.items.push_back({answer.text, {}, answer.log_probability, answer.seed});
        return LEON_OK;
    }
    leon_status fill_holes(leon_result& result, const Progress& progress) {
        const FilledTexts texts = fill_text(model_, text_, picture_ ? &*picture_ : nullptr, settings_, progress);
        if (texts.cancelled) return LEON_CANCELLED;
        for (size_t i = 0; i < texts.candidates.size(); i++)
            result.items.push_back({texts.candidates[i].text, {}, NAN, settings_.seed + i});
        return LEON_OK;
    }
    leon_status write(leon_result& result) {
        std::vector<Content> contents;
        if (!text_.empty()) contents.push_back({text_, {}});
        if (picture_) contents.push_back({"", *picture_});
        WritingLimits limits;
        limits.max_tokens = options_.max_tokens;
        limits.max_pictures = options_.max_pictures;
        WritingProgress progress;
        progress.text = [this](const std::string& piece) { return hear_text(piece); };
        progress.picture = [this](std::span<const int32_t> codes, int total) { return hear_picture(0, codes, total); };
        Written written = write_on(model_, contents, limits, settings_, progress);
        if (written.cancelled) return LEON_CANCELLED;
        for (Content& content : written.contents)
            result.items.push_back({content.text, std::move(content.picture), NAN, settings_.seed});
        return LEON_OK;
    }

    leon_model& owner_;
    const Model& model_;
    const leon_request& request_;
    const leon_options& options_;
    const Settings settings_;
    const std::string text_;
    std::optional<Picture> picture_;
    std::optional<Preview> preview_;
};

const leon_result::Item* item_of(const leon_result* result, int32_t item) {
    if (!result || item < 0 || item >= static_cast<int32_t>(result->items.size())) return nullptr;
    return &result->items[static_cast<size_t>(item)];
}

}  // namespace
}  // namespace leon

using namespace leon;

extern "C" {

const char* leon_version(void) {
    return VERSION;
}

leon_status leon_open(const char* path, const char* backend, leon_model** model, leon_error* error) {
    return guarded(error, [&] {
        if (!path || !model) throw Error("is null", "leon_open");
        const std::lock_guard lock(turn());
        *model = new leon_model(path, leon::backend(backend ? backend : "cpu"));
        return LEON_OK;
    });
}

void leon_close(leon_model* model) {
    const std::lock_guard lock(turn());
    delete model;
}

const char* leon_model_name(const leon_model* model) {
    return model->model.config().name.c_str();
}

int32_t leon_picture_side(const leon_model* model) {
    const ModelConfig& config = model->model.config();
    if (!config.has_transformer || !config.has_vqgan || !config.vqgan.decoder) return 0;
    return config.vqgan.resolution;
}

leon_status leon_set_threads(int32_t threads, leon_error* error) {
    return guarded(error, [&] {
        if (threads < 0 || threads > 1024)
            throw Error(std::to_string(threads) + " is out of range", "threads", "0 uses all");
        const std::lock_guard lock(turn());
        set_cpu_threads(threads);
        return LEON_OK;
    });
}

void leon_default_options(leon_options* options) {
    *options = {};
    options->size = sizeof *options;
    options->candidates = 1;
    options->guidance = options->image_guidance = options->temperature = options->top_p = NAN;
    options->alpha = options->student_temperature = NAN;
    options->top_k = options->contrast_k = -1;
    options->max_tokens = 256;
    options->max_pictures = 1;
}

leon_status leon_run(leon_model* model, const leon_request* request, const leon_options* options, leon_result** result,
                     leon_error* error) {
    return guarded(error, [&] {
        if (!model || !request || !result) throw Error("is null", "leon_run");
        leon_options defaults;
        leon_default_options(&defaults);
        if (!options) options = &defaults;
        if (options->size != sizeof *options)
            throw Error("has a size that this library does not know", "options", "call leon_default_options first");
        const std::lock_guard lock(turn());
        model->cancelled = false;
        auto made = std::make_unique<leon_result>();
        const leon_status status = CRun(*model, *request, *options).run(*made);
        if (status == LEON_OK) *result = made.release();
        return status;
    });
}

void leon_cancel(leon_model* model) {
    model->cancelled = true;
}

int32_t leon_result_count(const leon_result* result) {
    return result ? static_cast<int32_t>(result->items.size()) : 0;
}

const char* leon_result_text(const leon_result* result, int32_t item) {
    const leon_result::Item* found = item_of(result, item);
    return found && found->picture.width == 0 ? found->text.c_str() : nullptr;
}

int32_t leon_result_picture(const leon_result* result, int32_t item, leon_picture* picture) {
    const leon_result::Item* found = item_of(result, item);
    if (!found || found->picture.width == 0) return 0;
    *picture = view_of(found->picture);
    return 1;
}

double leon_result_score(const leon_result* result, int32_t item) {
    const leon_result::Item* found = item_of(result, item);
    return found ? found->score : NAN;
}

uint64_t leon_result_seed(const leon_result* result, int32_t item) {
    const leon_result::Item* found = item_of(result, item);
    return found ? found->seed : 0;
}

void leon_free_result(leon_result* result) {
    delete result;
}

leon_status leon_load_picture(const char* path, leon_result** result, leon_error* error) {
    return guarded(error, [&] {
        if (!path || !result) throw Error("is null", "leon_load_picture");
        auto made = std::make_unique<leon_result>();
        made->items.emplace_back().picture = load_picture(path, Orientation::Upright);
        *result = made.release();
        return LEON_OK;
    });
}

leon_status leon_save_picture(const char* path, const leon_picture* picture, leon_error* error) {
    return guarded(error, [&] {
        if (!path || !picture) throw Error("is null", "leon_save_picture");
        save_picture(path, picture_of(*picture, "picture"));
        return LEON_OK;
    });
}

}  // extern "C"
