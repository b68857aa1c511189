// `leon eval storybook`: every task of the storybook world, asked of a model with leon's own defaults and scored
// against exact ground truth.
//
//   World world;
//   StorybookReport report = evaluate_storybook(model, world, {.rows = 100});
//   report.sections[0].scores()[0]     // name, rule, value, 95% interval, what the tokenizer allows, goal
//
// A section is a kind of row (or what the tokenizer and the recogniser do to true scenes), or with ablations a kind of
// row under other settings. Everything is a function of the model, the options and leon's version: no clock, no thread
// count, no order of batches changes a number.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tasks/model.h"
#include "training/evaluation/answering.h"
#include "training/evaluation/scores.h"

namespace leon {

// Which rows: any, or only those of scenes whose composition training never shows (held_out()); signs have none.
enum class Compositions { Any, HeldOut };

struct EvaluationOptions {
    std::vector<std::string> sections;  // of section_names(); empty: all
    int rows = 100;                     // of each section
    uint64_t first_seed = 0;            // of the rows; none may reach FIRST_TRAINING_SEED
    Compositions compositions = Compositions::Any;
    uint64_t seed = 0;                                           // of the draws
    std::optional<float> guidance, image_guidance, temperature;  // of pictures, in place of the model's and leon's own
    std::optional<int> best_of;
    int rows_at_once = 32;   // in one batch of the engine; changes the speed only
    bool ablations = false;  // and the sections of ablations.h
    int exhibits = 4;        // pictures that are kept, of right and of wrong rows each
};

struct RowOutcome {
    uint64_t seed = 0;
    std::string group;               // group_of()
    bool held_out_scene = false;     // its composition is one that training never shows: held_out()
    bool fits = true;                // false: the model's context is too short, and everything is wrong
    std::string asked, right, seen;  // for people: what was asked, what is right, what came
    bool is_right = false;
    Marks marks;      // of the model
    Marks tokenizer;  // of the right picture after the model's tokenizer: what no model can exceed by much
};

struct Exhibit {
    size_t row;  // of the section
    std::optional<Picture> given, right, drawn;
};

struct NamedScore {
    std::string name;
    Scale scale;
    Score score;
    std::optional<Score> tokenizer;
    std::optional<Score> held_out_scenes;  // of those rows alone; absent if there are none
    std::optional<double> goal;
};

struct Section {
    std::string name;  // "draw", "tokenizer", "draw, guidance 1"
    std::optional<RowKind> kind;
    std::vector<RowOutcome> rows;
    std::vector<Exhibit> exhibits;
    double seconds = 0;
    bool is_default = false;  // of ablations: what the others of its kind are compared with
    // Of the others: rows that are right here, less those that are right by the defaults, as a share; paired.
    std::optional<Score> against_defaults;

    std::vector<NamedScore> scores() const;
    std::vector<std::string> groups() const;  // that occur, sorted
    // Of the rows of a group, the headline's mark (headline_of) alone.
    NamedScore group_score(const std::string& group) const;
    size_t right() const;  // rows
};

struct StorybookReport {
    std::string model;  // its path
    EvaluationOptions options;
    std::vector<Section> sections, ablations;
};

// All kinds of rows by name, then "tokenizer", "tokenizer-maps", "tokenizer-signs" and "recogniser".
std::vector<std::string> section_names();

// label: the section's name; done and total: work of the whole evaluation.
using EvaluationProgress = std::function<void(const std::string& label, size_t done, size_t total)>;

// Error if an option is out of range, a section is unknown, or the model lacks a part that they need.
StorybookReport evaluate_storybook(const Model& model, const World& world, const EvaluationOptions& options,
                                   const EvaluationProgress& progress = {});

// The seeds of a kind's rows: first_seed and those that follow, without those that `compositions` leaves out. Error if
// there are not enough below FIRST_TRAINING_SEED.
std::vector<uint64_t> evaluation_seeds(const World& world, RowKind kind, const EvaluationOptions& options);

// One section: the rows of a kind, `how` they are asked. For a training loop that wants one
// number now and then.
Section evaluate_kind(const Model& model, const Judge& judge, RowKind kind, const EvaluationOptions& options,
                      const AskSettings& how, const std::function<void(size_t done, size_t total)>& progress = {});

}  // namespace leon
