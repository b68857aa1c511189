// The loop: batches, forward, backward, clip, AdamW, log, checkpoint. See train.h.
#include "training/train.h"

#include <cmath>
#include <filesystem>

#include "kernels/check.h"
#include "runtime/strict_json.h"
#include "tasks/common.h"
#include "tokenizer/bpe.h"
#include "tokenizer/vocabulary.h"
#include "training/batches.h"
#include "training/checkpoint.h"
#include "training/dataset.h"
#include "training/network.h"
#include "training/parameters.h"
#include "training/plot.h"
#include "training/same_cell_heads.h"
#include "training/training_log.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
constexpr const char* KIND = "transformer";

// Segments begin behind a <break>, and pictures are the VQGAN's.
SegmentRule segments_of(const ModelConfig& config, const Tokenizer& tokenizer, const std::string& where) {
    const Vocabulary vocabulary = read_vocabulary(tokenizer);
    if (!config.has_vqgan || vocabulary.codes == 0) throw Error("has no pictures, which segments are about", where);
    const int side = config.vqgan.resolution / config.vqgan.patch();
    return {
        .begin = vocabulary.brk, .first_code = vocabulary.image_first, .codes = vocabulary.codes, .cells = side * side};
}

// The model's configuration with the recipe's transformer in it.
ModelConfig configuration(const TransformerRecipe& recipe, const WeightsFile& file, const Tokenizer& tokenizer) {
    ModelConfig config = parse_config(file.config_json(), file.path());
    if (!recipe.name.empty()) config.name = recipe.name;
    if (!recipe.defaults.empty()) config.defaults = recipe.defaults;
    if (recipe.fresh) {
        config.has_transformer = true;
        config.transformer = recipe.architecture;
        config.transformer.vocab = tokenizer.size();
        if (recipe.segments) config.transformer.segments = segments_of(config, tokenizer, recipe.from);
        config.layout = Layout::CM3Leon;
        config = parse_config(print_config(config), "the recipe's architecture");  // which checks what kernels rely on
    }
    if (!config.has_transformer) throw Error("has no transformer to begin with", recipe.from, "give an architecture");
    if (config.layout != Layout::CM3Leon)
        throw Error("the CM3 objective needs CM3Leon's documents, not those of " + std::string(name_of(config.layout)),
                    recipe.from);
    return config;
}

}  // namespace

struct TransformerTraining::State {
    const TransformerRecipe recipe;
    const std::string folder;
    const GradKernels& grads;
    const WeightsFile file;
    const Tokenizer tokenizer;
    const Vocabulary vocabulary;
    const ModelConfig config;
    const Dataset train, held_out;
    const Batches batches, held_out_batches;
    const std::vector<StepBatch> held_out_rows;
    const ParameterLayout layout;
    ParameterVector values, gradients, first_moment, second_moment, average;
    Network network;
    Cursor cursor;
    int64_t step = 0;
    double last_checkpoint = now();
    std::unique_ptr<TrainingLog> log;

    State(const TransformerRecipe& r, const std::string& run_folder, const Kernels& kernels,
          const GradKernels& grad_kernels)
        : recipe(r),
          folder(run_folder),
          grads(grad_kernels),
          file(r.from),
          tokenizer(file.tokenizer_json(), r.from),
          vocabulary(read_vocabulary(tokenizer)),
          config(configuration(r, file, tokenizer)),
          train(r.train, model_mark(file)),
          held_out(r.held_out, model_mark(file)),
          batches(train, recipe, cut_ids(vocabulary)),
          held_out_batches(held_out, recipe, cut_ids(vocabulary), "held_out"),
          held_out_rows(held_out_batches.evaluation(r.evaluate_documents)),
          layout(config.transformer),
          values(layout, kernels),
          gradients(layout, kernels),
          first_moment(layout, kernels),
          second_moment(layout, kernels),
          average(layout, kernels),
          network(config.transformer, kernels, grad_kernels, r.micro_tokens),
          cursor(batches.begin()) {}

    bool averages() const { return recipe.optimiser.average > 0; }
    const ParameterVector& result() const { return averages() ? average : values; }
    std::string path(const char* name) const { return (fs::path(folder) / name).string(); }

    // What must not change when a run is resumed.
    nlohmann::ordered_json identity() const {
        const OptimiserRule& o = recipe.optimiser;
        return {{"config", nlohmann::json::parse(print_config(config))["transformer"]},
                {"model", train.model_mark()},
                {"documents", train.documents()},
                {"tasks", batches.tasks()},
                {"seed", recipe.seed},
                {"batch_tokens", recipe.batch_tokens},
                {"micro_tokens", recipe.micro_tokens},
                {"beta_1", o.beta_1},
                {"beta_2", o.beta_2}};
    }

    void begin() {
        if (recipe.fresh) {
            const float std = static_cast<float>(recipe.initial_std);
            initialise(values,
                       std > 0 ? plain_initialisation(std, config.transformer.layers) : cm3leon_initialisation(),
                       recipe.seed);
            if (!recipe.weights_from.empty()) load_matching(values, WeightsFile(recipe.weights_from));
            look_at_same_cells(values, recipe.same_cell_heads, recipe.seed);
        } else {
            load(values, file);
        }
        average.upload(values.download());
    }

    // What a checkpoint holds.
    std::vector<std::pair<const char*, ParameterVector*>> kept() {
        std::vector<std::pair<const char*, ParameterVector*>> all = {
            {"values", &values}, {"first_moment", &first_moment}, {"second_moment", &second_moment}};
        if (averages()) all.emplace_back("average", &average);
        return all;
    }

    void resume() {
        const CheckpointFile checkpoint(path("checkpoint.leon"), KIND);
        const auto found = checkpoint.state().find("identity");
        if (found == checkpoint.state().end() || *found != nlohmann::json(identity()))
            throw Error("the run in it has another architecture, data or batch than the recipe", folder,
                        "resume with the recipe it began with, or begin in another folder");
        step = checkpoint.number("step");
        cursor.documents = checkpoint.number("documents");
        const auto counts = checkpoint.state().find("of_task");
        if (counts == checkpoint.state().end() || !counts->is_array() || counts->size() != cursor.of_task.size())
            throw Error("its state lacks 'of_task'", path("checkpoint.leon"));
        for (size_t i = 0; i < cursor.of_task.size(); i++) {
            if (!(*counts)[i].is_number_unsigned()) throw Error("its state lacks 'of_task'", path("checkpoint.leon"));
            cursor.of_task[i] = (*counts)[i].get<int64_t>();
        }
        for (const auto& [name, vector] : kept()) {
            std::vector<float> stored(static_cast<size_t>(layout.floats()));
            checkpoint.read(name, stored);
            vector->upload(stored);
        }
    }

    void write_checkpoint() {
        std::vector<std::vector<float>> copies;
        std::vector<CheckpointArray> arrays;
        for (const auto& [name, vector] : kept()) {
            copies.push_back(vector->download());
            arrays.push_back({name, copies.back()});
        }
        leon::write_checkpoint(
            path("checkpoint.leon"), KIND,
            {{"identity", identity()}, {"step", step}, {"documents", cursor.documents}, {"of_task", cursor.of_task}},
            arrays);
        last_checkpoint = now();
    }

    std::vector<std::string> log_columns() const {
        std::vector<std::string> columns = {"step",   "documents",        "loss", "gradient_norm", "learning_rate",
                                            "tokens", "tokens_per_second"};
        for (const std::string& task : batches.tasks()) columns.push_back("loss " + task);
        for (const std::string& task : held_out_batches.tasks()) columns.push_back("held out " + task);
        return columns;
    }

    void add_to_log(const StepReport& r) {
        std::vector<std::optional<double>> line = {static_cast<double>(r.step),
                                                   static_cast<double>(r.documents),
                                                   r.loss,
                                                   r.gradient_norm,
                                                   r.learning_rate,
                                                   static_cast<double>(r.tokens),
                                                   r.tokens_per_second};
        const auto add = [&](const std::map<std::string, MeanLoss>* losses, const std::string& task) {
            const auto found = losses ? losses->find(task) : std::map<std::string, MeanLoss>::const_iterator();
            const bool there = losses && found != losses->end() && found->second.weight > 0;
            line.push_back(there ? std::optional(found->second.mean()) : std::nullopt);
        };
        for (const std::string& task : batches.tasks()) add(&r.of_task, task);
        for (const std::string& task : held_out_batches.tasks()) add(r.held_out ? &r.held_out->of_task : nullptr, task);
        log->add(line);
    }

    void update(double rate, double scale) {
        const OptimiserRule& o = recipe.optimiser;
        adamw(grads, values, gradients, first_moment, second_moment,
              {.learning_rate = rate,
               .beta_1 = o.beta_1,
               .beta_2 = o.beta_2,
               .epsilon = o.epsilon,
               .weight_decay = o.weight_decay,
               .gradient_scale = scale,
               .step = step + 1});
        if (!averages()) return;
        // Short at first, so that the average does not remember how the run began.
        const double decay =
            std::min(o.average, (1.0 + static_cast<double>(step)) / (10.0 + static_cast<double>(step)));
        average_into(grads, average.tensor(), values.tensor(), decay);
    }
};

TransformerTraining::TransformerTraining(const TransformerRecipe& recipe, const std::string& folder, Resume resume,
                                         const Kernels& kernels, const GradKernels& grads) {
    const bool exists = fs::exists(fs::path(folder) / "checkpoint.leon");
    if (resume == Resume::No && exists)
        throw Error("holds a run already", folder, "go on with --resume, or name another folder");
    if (resume == Resume::Yes && !exists) throw Error("holds no run to resume", folder);
    check_writable(recipe.output);
    std::error_code status;
    fs::create_directories(folder, status);
    if (status) throw Error("cannot be made: " + status.message(), folder);
    state_ = std::make_unique<State>(recipe, folder, kernels, grads);
    State& s = *state_;
    if (resume == Resume::Yes)
        s.resume();
    else
        s.begin();
    s.log = std::make_unique<TrainingLog>(s.path("log.csv"), s.log_columns(), s.step - 1);
    if (resume == Resume::No) s.write_checkpoint();
}

TransformerTraining::~TransformerTraining() = default;

int64_t TransformerTraining::step() const {
    return state_->step;
}
int64_t TransformerTraining::steps() const {
    return state_->recipe.steps;
}
int64_t TransformerTraining::parameters() const {
    return state_->layout.count();
}
const std::vector<std::string>& TransformerTraining::tasks() const {
    return state_->batches.tasks();
}

StepReport TransformerTraining::advance() {
    State& s = *state_;
    CHECK(s.step < s.recipe.steps);
    const double began = now();
    const std::vector<StepBatch> batches = s.batches.step(s.cursor);

    StepReport report;
    double weight = 0, operations = 0;
    for (const StepBatch& b : batches) {
        for (int r = 0; r < b.rows.rows(); r++)
            if (b.rows.targets[r] != NO_TARGET) weight += b.rows.weights[r];
        report.tokens += b.rows.rows();
    }
    const CrossEntropy rule{static_cast<float>(s.recipe.optimiser.z_loss),
                            static_cast<float>(weight > 0 ? 1 / weight : 0)};
    clear(s.grads, s.gradients.tensor());
    MeanLoss all;
    std::vector<MeanLoss> of_task(s.batches.tasks().size());
    for (const StepBatch& b : batches) {
        const std::span<const float> losses =
            s.network.add_gradients(s.values.weights(), s.gradients.weights(), b.rows, rule);
        operations += s.network.operations(b.rows);
        for (int r = 0; r < b.rows.rows(); r++) {
            if (b.rows.targets[r] == NO_TARGET) continue;
            all.add(losses[r], b.rows.weights[r]);
            of_task[b.task[r]].add(losses[r], b.rows.weights[r]);
        }
    }
    for (size_t task = 0; task < of_task.size(); task++)
        if (of_task[task].weight > 0) report.of_task[s.batches.tasks()[task]] = of_task[task];
    report.loss = all.mean();
    report.gradient_norm = length(s.grads, s.gradients);  // before clipping
    if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm))
        throw Error("the loss is no number any more at step " + std::to_string(s.step), s.folder,
                    "resume from the checkpoint with a lower peak_lr, or clip");
    report.learning_rate = leon::learning_rate(s.recipe.optimiser.rate, static_cast<int>(s.step), s.recipe.steps);
    const double clip = s.recipe.optimiser.clip;
    s.update(report.learning_rate, clip > 0 && report.gradient_norm > clip ? clip / report.gradient_norm : 1);

    report.step = s.step++;
    report.documents = s.cursor.documents;
    report.seconds = now() - began;
    report.tokens_per_second = static_cast<double>(report.tokens) / report.seconds;
    report.flops_per_second = operations / report.seconds;
    const int every = s.recipe.evaluate_every;
    if (s.step == s.recipe.steps || (every > 0 && s.step % every == 0)) report.held_out = evaluate();
    s.add_to_log(report);
    if (now() - s.last_checkpoint > 60 * s.recipe.checkpoint_minutes) s.write_checkpoint();
    return report;
}

HeldOutLoss TransformerTraining::evaluate() {
    State& s = *state_;
    HeldOutLoss losses;
    for (const StepBatch& b : s.held_out_rows) {
        const std::span<const float> of_rows = s.network.losses(s.result().weights(), b.rows);
        for (int r = 0; r < b.rows.rows(); r++) {
            if (b.rows.targets[r] == NO_TARGET) continue;
            losses.of_task[s.held_out_batches.tasks()[b.task[r]]].add(of_rows[r], b.rows.weights[r]);
            losses.of_kind[name_of(b.kinds[r])].add(of_rows[r], 1);
        }
    }
    return losses;
}

void TransformerTraining::checkpoint() {
    state_->write_checkpoint();
}

void TransformerTraining::write_model(const std::string& path) {
    const State& s = *state_;
    save_model(path, s.config, s.result(), DType::BF16, s.file);
}

void TransformerTraining::finish() {
    State& s = *state_;
    s.write_checkpoint();
    write_model(s.recipe.output);
    plot_log(s.path("log.csv"), s.path("loss.png"));
}

}  // namespace leon
