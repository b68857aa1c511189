// Whole runs of a tiny transformer: they learn, they are resumed to the same bits, and they refuse what does not fit.
#include "training/train.h"

#include <cmath>
#include <filesystem>
#include <optional>
#include <set>

#include "kernels/random.h"
#include "runtime/weights_file.h"
#include "tasks/model.h"
#include "training/dataset.h"
#include "training/tests/grad_harness.h"
#include "training/training_log.h"

#include "tests/temporary_folder.h"
#include "tests/testing.h"

using namespace leon;

namespace {

constexpr const char* BASE = "models/storybook.leon";

// Documents "</s> word word <break> 12 codes </s>" in which the words say which codes follow.
void write_documents(const std::string& path, int count, uint64_t seed) {
    const Model model(BASE, cpu_kernels());
    const Vocabulary& v = model.vocabulary();
    ShardWriter shard(path, model_mark(model.file()));
    for (int i = 0; i < count; i++) {
        const int kind = static_cast<int>(uniform(seed, 0, i) * 5);
        Example e{.task = kind < 3 ? "draw" : "ask",
                  .source = std::to_string(i),
                  .ids = {v.eos},
                  .kinds = {TokenKind::Text},
                  .query = 0,
                  .answer_first = 0,
                  .answer_end = 0,
                  .prepared = false};
        const auto add = [&](int32_t id, TokenKind token) {
            e.ids.push_back(id);
            e.kinds.push_back(token);
        };
        for (int32_t id : model.documents().text_ids("thing " + std::to_string(kind))) add(id, TokenKind::Text);
        add(v.brk, TokenKind::Text);
        for (int c = 0; c < 12; c++) add(v.image_first + 40 * kind + c, c % 2 ? TokenKind::Object : TokenKind::Picture);
        add(v.eos, TokenKind::Text);
        shard.add(e);
    }
    shard.commit();
}

TransformerRecipe recipe_in(const TemporaryFolder& folder, int steps) {
    TransformerRecipe r;
    r.from = BASE;
    r.output = folder / "model.leon";
    r.fresh = true;
    r.architecture = {.norm = Norm::RMS,
                      .norm_placement = NormPlacement::Before,
                      .positions = Positions::Rotary,
                      .feed_forward = FeedForward::SwiGLU,
                      .qk_norm = true,
                      .tied_output = true,
                      .layers = 2,
                      .dim = 32,
                      .heads = 4,
                      .kv_heads = 2,
                      .head_dim = 8,
                      .ffn_dim = 48,
                      .vocab = 0,
                      .context = 64,
                      .norm_eps = 1e-5f,
                      .qk_norm_eps = 1e-5f,
                      .rope_theta = 10000,
                      .position_offset = 0,
                      .segments = {}};
    r.initial_std = 0.05;
    r.train = {folder / "train.shard"};
    r.held_out = {folder / "held_out.shard"};
    r.context = 64;
    r.batch_tokens = 200;
    r.micro_tokens = 100;
    r.steps = steps;
    r.seed = 3;
    r.objective.rotation = 0.3;
    r.weights = {1, 1, 2, 1, 1};
    r.optimiser = {.rate = {.peak = 1e-2, .warm_up = 5, .schedule = Schedule::Cosine, .end = 0.1},
                   .beta_1 = 0.9,
                   .beta_2 = 0.95,
                   .epsilon = 1e-8,
                   .weight_decay = 0.1,
                   .clip = 1,
                   .average = 0.9,
                   .z_loss = 1e-5};
    r.evaluate_every = 4;
    r.evaluate_documents = 5;
    r.checkpoint_minutes = 1000;
    return r;
}

// On the CPU, unless a test says otherwise.
const GradTable CPU = {&cpu_kernels(), &cpu_grad_kernels()};

std::string run_to(const TransformerRecipe& recipe, const std::string& folder, int64_t stop, Resume resume,
                   const GradTable& table = CPU) {
    TransformerTraining run(recipe, folder, resume, *table.kernels, *table.grads);
    while (run.step() < std::min<int64_t>(stop, run.steps())) run.advance();
    if (run.step() == run.steps())
        run.finish();
    else
        run.checkpoint();
    return read_text(folder + "/checkpoint.leon");
}

}  // namespace

TEST_CASE("train: a run learns, and ends in a model that opens") {
    TemporaryFolder folder;
    write_documents(folder / "train.shard", 60, 1);
    write_documents(folder / "held_out.shard", 20, 2);
    const TransformerRecipe recipe = recipe_in(folder, 60);
    TransformerTraining run(recipe, folder / "run", Resume::No, *CPU.kernels, *CPU.grads);
    CHECK(run.tasks() == std::vector<std::string>{"ask", "draw"});
    double first = 0, last = 0;
    int held_out = 0;
    while (run.step() < run.steps()) {
        const StepReport r = run.advance();
        if (r.step == 0) first = r.loss;
        last = r.loss;
        held_out += r.held_out.has_value();
        CHECK(r.tokens <= recipe.batch_tokens);
        CHECK(r.gradient_norm > 0);
    }
    CHECK(held_out == 15);
    CHECK(first > 6);  // about log 1600
    CHECK(last < first / 2);
    CHECK(run.evaluate().of_task.at("draw").mean() < 4);
    run.finish();

    const LogTable log = read_log(folder / "run/log.csv");
    CHECK(log.values[log.find("loss")].size() == 60);
    CHECK(log.values[log.find("held out ask")][3].has_value());
    CHECK(!log.values[log.find("held out ask")][4].has_value());
    CHECK(std::filesystem::file_size(folder / "run/loss.png") > 1000);
    const Model model(recipe.output, cpu_kernels());
    CHECK(model.config().transformer.dim == 32);
    CHECK(model.decoder().config().codes == 1024);
}

TEST_CASE("train: resumed runs end with the same bits, wherever they stopped") {
    TemporaryFolder folder;
    write_documents(folder / "train.shard", 40, 1);
    write_documents(folder / "held_out.shard", 10, 2);
    const TransformerRecipe recipe = recipe_in(folder, 14);
    const std::string whole = run_to(recipe, folder / "whole", 14, Resume::No);
    const std::string model = read_text(recipe.output);
    for (int64_t stop : {1, 5, 13}) {
        const std::string name = folder / ("run" + std::to_string(stop));
        run_to(recipe, name, stop, Resume::No);
        // What a killed run left behind its checkpoint.
        std::ofstream(name + "/log.csv", std::ios::app) << stop << ",half a li";
        CHECK(run_to(recipe, name, 14, Resume::Yes) == whole);
        CHECK(read_text(recipe.output) == model);
        const LogTable a = read_log(name + "/log.csv"), b = read_log(folder / "whole/log.csv");
        for (const char* column : {"step", "loss", "gradient_norm", "held out draw"})
            CHECK(a.values[a.find(column)] == b.values[b.find(column)]);
    }
    set_cpu_threads(1);
    CHECK(run_to(recipe, folder / "alone", 14, Resume::No) == whole);
    set_cpu_threads(0);
}

namespace {

std::vector<double> losses_in(const std::string& folder) {
    const LogTable log = read_log(folder + "/log.csv");
    std::vector<double> losses;
    for (const std::optional<double>& loss : log.values[log.find("loss")]) losses.push_back(*loss);
    return losses;
}

}  // namespace

TEST_CASE("train: a run on the GPU follows that on the CPU, is resumed to the same bits, and moves between them") {
    TemporaryFolder folder;
    write_documents(folder / "train.shard", 40, 1);
    write_documents(folder / "held_out.shard", 10, 2);
    TransformerRecipe recipe = recipe_in(folder, 4);
    recipe.batch_tokens = 60;
    recipe.evaluate_documents = 1;
    run_to(recipe, folder / "cpu", 4, Resume::No);
    const std::vector<double> want = losses_in(folder / "cpu");
    for (const GradTable& table : grad_tables()) {
        if (table.kernels == &cpu_kernels()) continue;
        CAPTURE(table.grads->name);
        const std::string name = folder / table.grads->name;
        const std::string whole = run_to(recipe, name, 4, Resume::No, table);
        const std::vector<double> got = losses_in(name);
        REQUIRE(got.size() == want.size());
        for (size_t i = 0; i < want.size(); i++) CHECK(std::fabs(got[i] - want[i]) < (table.is_bf16() ? 0.02 : 1e-4));

        run_to(recipe, name + "-stopped", 2, Resume::No, table);
        CHECK(run_to(recipe, name + "-stopped", 4, Resume::Yes, table) == whole);
        run_to(recipe, name + "-moved", 1, Resume::No, table);
        run_to(recipe, name + "-moved", 3, Resume::Yes);
        run_to(recipe, name + "-moved", 4, Resume::Yes, table);
        const std::vector<double> moved = losses_in(name + "-moved");
        for (size_t i = 0; i < want.size(); i++) CHECK(std::fabs(moved[i] - want[i]) < (table.is_bf16() ? 0.02 : 1e-4));
    }
}

TEST_CASE("train: what does not fit is one line, and nothing is lost") {
    TemporaryFolder folder;
    write_documents(folder / "train.shard", 40, 1);
    write_documents(folder / "held_out.shard", 10, 2);
    TransformerRecipe recipe = recipe_in(folder, 3);
    const auto problem = [&](Resume resume) {
        return error_of([&] { TransformerTraining(recipe, folder / "run", resume, *CPU.kernels, *CPU.grads); });
    };
    CHECK(contains(problem(Resume::Yes), "no run"));
    const std::string before = run_to(recipe, folder / "run", 2, Resume::No);
    CHECK(contains(problem(Resume::No), "--resume"));
    recipe.architecture.ffn_dim = 64;
    CHECK(contains(problem(Resume::Yes), "architecture"));
    recipe.architecture.ffn_dim = 48;
    recipe.seed = 4;
    CHECK(problem(Resume::Yes) != "");
    recipe.seed = 3;
    recipe.from = folder / "none.leon";
    CHECK(problem(Resume::Yes) != "");
    recipe.from = BASE;
    CHECK(read_text(folder / "run/checkpoint.leon") == before);
    recipe.optimiser.rate.peak = 1e30;
    recipe.optimiser.clip = 0;
    CHECK(contains(error_of([&] { run_to(recipe, folder / "wild", 3, Resume::No); }), "peak_lr"));
    // The checkpoint is read with distrust: truncated, or of something else.
    write_text(folder / "run/checkpoint.leon", before.substr(0, before.size() / 2));
    CHECK(problem(Resume::Yes) != "");
    write_text(folder / "run/checkpoint.leon", read_text(BASE));
    CHECK(contains(problem(Resume::Yes), "checkpoint"));
}
