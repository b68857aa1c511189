// include/leon.h on top of the tasks: C structures in, one try block around each call, C structures out.
//
// Runs take turns (Turn). A run is cancelled by its own callback, or when its model's count of cancels has changed
// since leon_run was called: so nothing needs to be reset, and a run that still waits can be cancelled too.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>

#include "include/leon.h"
#include "tasks/answers.h"
#include "tasks/backend.h"
#include "tasks/fill.h"
#include "tasks/pictures.h"
#include "tasks/preview.h"
#include "tasks/ranking.h"
#include "tasks/retrieval.h"
#include "tasks/segment.h"
#include "tasks/upscale.h"
#include "tasks/writing.h"
#include "tokenizer/unicode.h"

struct leon_model {
    leon_model(const std::string& path, const leon::Kernels& kernels) : model(path, kernels) {}

    const leon::Model model;
    std::atomic<uint64_t> cancels{0};
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

// All runs use the same threads, so there is one at a time. What a callback calls is inside the turn of its thread, and
// would wait for itself.
class Turn {
public:
    explicit Turn(const char* function) {
        if (mine_) throw Error("cannot be called from a callback", function, "wait until leon_run has returned");
        mutex().lock();
        mine_ = true;
    }
    ~Turn() {
        mine_ = false;
        mutex().unlock();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    static bool is_mine() { return mine_; }

private:
    static std::mutex& mutex() {
        static std::mutex mutex;
        return mutex;
    }
    static thread_local bool mine_;
};
thread_local bool Turn::mine_ = false;

// One line of valid UTF-8, whatever names and texts the message quotes.
void put(leon_error* error, const std::string& message) {
    if (!error) return;
    const std::string line = printable(repaired_utf8(message));
    size_t length = std::min(line.size(), sizeof error->message - 1);
    if (length < line.size())
        while (length > 0 && (line[length] & 0xC0) == 0x80) length--;  // not inside a character
    std::memcpy(error->message, line.data(), length);
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
    if (o.best_of >= 0) s.best_of = o.best_of;
    if (o.top_k >= 0) s.top_k = o.top_k;
    if (o.contrast_k >= 0) s.contrast_k = o.contrast_k;
    s.max_tokens = o.max_tokens;
    s.unclosed = o.unclosed != 0;
    s.strategy = strategy_named(text_of(o.strategy).empty() ? "top-p" : o.strategy);
    s.unconditional_keeps = o.keep_documents ? UnconditionalKeeps::Retrieved : UnconditionalKeeps::Nothing;
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

// What each task reads of a request: the table of include/leon.h.
struct Reads {
    std::string_view task;
    std::vector<std::string_view> members;
};
const std::vector<Reads>& table_of_tasks() {
    static const std::vector<Reads> table = {
        {"draw", {"text", "picture", "kind", "objects", "sign", "size"}},
        {"edit", {"picture", "text"}},
        {"fill", {"picture", "text", "box", "mask", "grow"}},
        {"estimate", {"picture", "kind"}},
        {"segment", {"picture", "text"}},
        {"describe", {"picture"}},
        {"describe-long", {"picture"}},
        {"ask", {"picture", "text"}},
        {"fill-text", {"text", "picture"}},
        {"write", {"text", "picture"}},
    };
    return table;
}

void check_members(const leon_request& r) {
    const std::string task = text_of(r.task);
    const auto row =
        std::find_if(table_of_tasks().begin(), table_of_tasks().end(), [&](auto& each) { return each.task == task; });
    if (row == table_of_tasks().end())
        throw Error("there is no task '" + task + "'", "task", "include/leon.h lists them");
    const std::pair<const char*, bool> given[] = {
        {"text", r.text && *r.text},          {"picture", r.picture != nullptr},
        {"mask", r.mask != nullptr},          {"box", r.box && *r.box},
        {"grow", r.grow && *r.grow},          {"kind", r.kind && *r.kind},
        {"objects", r.objects && *r.objects}, {"sign", r.sign && *r.sign},
        {"size", r.size && *r.size},
    };
    for (const auto& [member, is_given] : given)
        if (is_given && std::find(row->members.begin(), row->members.end(), member) == row->members.end())
            throw Error("is nothing that '" + task + "' reads", member, "leave it null");
}

// One request on one model.
class CRun {
public:
    CRun(const leon_model& owner, uint64_t cancels, const leon_request& request, const leon_options& options)
        : owner_(owner),
          cancels_(cancels),
          model_(owner.model),
          request_(request),
          options_(options),
          settings_(settings_of(options)),
          text_(text_of(request.text)) {
        check_members(request);
        if (request.picture) picture_ = picture_of(*request.picture, "picture");
        if (!model_.config().has_vqgan || !model_.config().vqgan.decoder) return;
        preview_.emplace(model_.decoder());
        rows_ = cols_ = model_.grid();
    }

    leon_status run(leon_result& result) {
        if (is_cancelled()) return LEON_CANCELLED;
        const std::string task = text_of(request_.task);
        const Progress progress = this->progress();
        if (task == "draw") {
            const DrawRequest request = draw_request();
            open_finish(request.caption(), request.map.has_value());
            if (request.size) expect(request.size->first, request.size->second);
            return finish(result, draw(model_, request, settings_, progress));
        }
        if (task == "fill") {
            const HoleInFrame hole = this->hole();
            open_finish(text_);
            const std::vector<Document> help = retrieved(text_, &hole.frame);
            return finish(result, fill(model_, hole, text_, settings_, progress, help));
        }
        if (task == "edit" || task == "estimate" || task == "segment") {
            const Picture frame = frame_of(model_, picture());
            expect(frame.width, frame.height);
        }
        if (task == "edit") {
            open_finish("");
            const std::vector<Document> help = retrieved(text_, &picture());
            return finish(result, edit(model_, picture(), text_, settings_, progress, help));
        }
        if (task == "estimate") {
            open_finish("");
            return finish(result, estimate(model_, picture(), text_of(request_.kind), settings_, progress));
        }
        if (task == "segment")
            return keep(result, segment(model_, picture(), text_, storybook_legend(), settings_, progress).drawing);
        if (task == "describe") return answer(result, Task::Describe, progress);
        if (task == "describe-long") return answer(result, Task::DescribeLong, progress);
        if (task == "ask") return answer(result, Task::Ask, progress);
        if (task == "fill-text") return fill_holes(result, progress);
        CHECK(task == "write");
        return write(result);
    }

private:
    bool is_cancelled() const { return stopped_ || owner_.cancels != cancels_; }
    bool go_on(int answer) {
        if (answer != 0) stopped_ = true;
        return !is_cancelled();
    }
    bool hear_picture(int candidate, std::span<const int32_t> codes, int total) {
        if (!options_.on_picture) return go_on(0);
        Picture preview;
        if (preview_ && total == rows_ * cols_) preview = preview_->picture(codes, rows_, cols_);
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

    // What is going to be drawn, in pixels: what previews show.
    void expect(int width, int height) {
        const int patch = model_.config().vqgan.patch();
        rows_ = height / patch;
        cols_ = width / patch;
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
        if (!text_of(request_.size).empty()) request.size = parse_size(request_.size);
        request.retrieved = retrieved(request.caption(), nullptr);
        return request;
    }
    std::vector<Document> retrieved(const std::string& text, const Picture* picture) const {
        if (text_of(options_.bank).empty()) return {};
        const Bank bank(options_.bank);
        const std::unique_ptr<Embedder> embedder = open_embedder_of(bank, text_of(options_.embedder), model_);
        return retrieve_for(model_, bank, *embedder, text, picture, options_.documents).documents;
    }
    HoleInFrame hole() const {
        if (!request_.mask) return chosen_hole(model_, picture(), text_of(request_.box), "", text_of(request_.grow));
        if (!text_of(request_.box).empty() || !text_of(request_.grow).empty())
            throw Error("where is the hole?", "fill", "give exactly one of box, mask and grow");
        const int grid = model_.grid(), patch = model_.config().vqgan.patch();
        return place_mask(picture(), picture_of(*request_.mask, "mask"), grid * patch, patch);
    }

    // What finish() will need, before anything is drawn in vain.
    void open_finish(const std::string& caption, bool has_map = false) {
        const std::string scorer = text_of(options_.scorer);
        if (options_.rank || !scorer.empty())
            check_ranking(model_, caption, has_map, scorer.empty() ? RankBy::Model : RankBy::Embedder);
        if (!scorer.empty()) scorer_ = open_embedder(scorer, model_);
        if (options_.upscale == 0) throw Error("cannot enlarge by 0", "upscale", "choose 2, 3 or 4, or 1 for none");
        if (options_.upscale != 1)
            upscaler_ = open_upscaler(text_of(options_.upscaler), options_.upscale, model_.kernels());
    }
    leon_status finish(leon_result& result, Drawing drawing) {
        if (drawing.cancelled) return LEON_CANCELLED;
        if (scorer_)
            rank(drawing, embedder_scorer(scorer_));
        else if (options_.rank)
            rank(drawing, model_scorer(model_, settings_));
        if (upscaler_) {
            for (Picture& picture : drawing.pictures) {
                picture = upscaler_->upscale(picture, [this](size_t, size_t) { return go_on(0); });
                if (picture.width == 0) return LEON_CANCELLED;
            }
        }
        return keep(result, std::move(drawing));
    }
    leon_status keep(leon_result& result, Drawing drawing) {
        if (drawing.cancelled) return LEON_CANCELLED;
        for (size_t i = 0; i < drawing.pictures.size(); i++) {
            leon_result::Item& item = result.items.emplace_back();
            item.picture = std::move(drawing.pictures[i]);
            item.seed = drawing.seeds[i];
            if (!drawing.scores.empty()) item.score = drawing.scores[i];
        }
        return LEON_OK;
    }
    leon_status answer(leon_result& result, Task task, const Progress& progress) {
        const std::vector<Document> help = retrieved(text_, &picture());
        const std::vector<Answer> all = answers(model_, picture(), task, text_, settings_, progress, help);
        if (is_cancelled()) return LEON_CANCELLED;
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
        if (model_.config().layout == Layout::Lumina) preview_.reset();  // it chooses the size itself
        std::vector<Content> contents;
        if (!text_.empty()) contents.push_back({text_, {}});
        if (picture_) contents.push_back({"", *picture_});
        WritingLimits limits;
        limits.max_tokens = options_.max_tokens;
        if (options_.max_pictures >= 0) limits.max_pictures = options_.max_pictures;
        WritingProgress progress;
        progress.text = [this](const std::string& piece) { return hear_text(piece); };
        progress.picture = [this](std::span<const int32_t> codes, int total) { return hear_picture(0, codes, total); };
        Written written = write_on(model_, contents, limits, settings_, progress);
        if (written.cancelled) return LEON_CANCELLED;
        for (Content& content : written.contents)
            result.items.push_back({content.text, std::move(content.picture), NAN, settings_.seed});
        return LEON_OK;
    }

    const leon_model& owner_;
    const uint64_t cancels_;  // the model's when leon_run was called
    bool stopped_ = false;    // by a callback
    const Model& model_;
    const leon_request& request_;
    const leon_options& options_;
    const Settings settings_;
    const std::string text_;
    std::optional<Picture> picture_;
    std::optional<Preview> preview_;
    int rows_ = 0, cols_ = 0;  // cells of the picture to be drawn
    std::shared_ptr<const Embedder> scorer_;
    std::unique_ptr<Upscaler> upscaler_;
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
    return LEON_VERSION;
}

leon_status leon_open(const char* path, const char* backend, leon_model** model, leon_error* error) {
    return guarded(error, [&] {
        if (!path || !model) throw Error("an argument is null", "leon_open", "give a path and where the model goes");
        *model = nullptr;
        const Turn turn("leon_open");
        *model = new leon_model(path, leon::backend(backend ? backend : "cpu"));
        return LEON_OK;
    });
}

void leon_close(leon_model* model) {
    std::optional<Turn> turn;
    if (!Turn::is_mine()) turn.emplace("leon_close");
    delete model;
}

const char* leon_model_name(const leon_model* model) {
    if (!model) return "";
    return model->model.config().name.c_str();
}

int32_t leon_picture_side(const leon_model* model) {
    if (!model) return 0;
    const ModelConfig& config = model->model.config();
    if (!config.has_transformer || !config.has_vqgan || !config.vqgan.decoder) return 0;
    return config.vqgan.resolution;
}

leon_status leon_set_threads(int32_t threads, leon_error* error) {
    return guarded(error, [&] {
        if (threads < 0 || threads > 1024)
            throw Error(std::to_string(threads) + " is out of range", "threads", "0 uses all");
        const Turn turn("leon_set_threads");
        set_cpu_threads(threads);
        return LEON_OK;
    });
}

void leon_default_options(leon_options* options) {
    if (!options) return;
    *options = {};
    options->size = sizeof *options;
    options->candidates = 1;
    options->guidance = options->image_guidance = options->temperature = options->top_p = NAN;
    options->alpha = options->student_temperature = NAN;
    options->best_of = options->top_k = options->contrast_k = -1;
    options->max_tokens = 256;
    options->max_pictures = -1;
    options->upscale = 1;
    options->documents = MAX_RETRIEVED;
}

leon_status leon_run(leon_model* model, const leon_request* request, const leon_options* options, leon_result** result,
                     leon_error* error) {
    return guarded(error, [&] {
        if (result) *result = nullptr;
        if (!model || !request || !result)
            throw Error("an argument is null", "leon_run", "only options and error may be");
        const uint64_t cancels = model->cancels;
        leon_options defaults;
        leon_default_options(&defaults);
        if (!options) options = &defaults;
        if (options->size != sizeof *options)
            throw Error("has a size that this library does not know", "options", "call leon_default_options first");
        const Turn turn("leon_run");
        auto made = std::make_unique<leon_result>();
        const leon_status status = CRun(*model, cancels, *request, *options).run(*made);
        if (status == LEON_OK) *result = made.release();
        return status;
    });
}

void leon_cancel(leon_model* model) {
    if (model) model->cancels++;
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
    if (picture) *picture = view_of(found->picture);
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
        if (result) *result = nullptr;
        if (!path || !result) throw Error("an argument is null", "leon_load_picture");
        auto made = std::make_unique<leon_result>();
        made->items.emplace_back().picture = load_picture(path, Orientation::Upright);
        *result = made.release();
        return LEON_OK;
    });
}

leon_status leon_save_picture(const char* path, const leon_picture* picture, leon_error* error) {
    return guarded(error, [&] {
        if (!path || !picture) throw Error("an argument is null", "leon_save_picture");
        save_picture(path, picture_of(*picture, "picture"));
        return LEON_OK;
    });
}

}  // extern "C"
