// A training run as one JSON file, in which // comments are allowed: every hyper-parameter, named as in the paper where
// it has one. Nothing is defaulted silently: a missing or unknown key is an Error that names it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/config.h"
#include "training/head_number.h"
#include "training/objective.h"

namespace leon {

enum class Schedule {
    Constant,
    Cosine,
    Linear,
    Exponential
};  // from the peak, after the warm-up, to the end's fraction
enum class Packing {
    Documents,  // whole documents side by side, blind to one another
    Stream,     // the paper's: all documents in one stream that is cut every `context` + 1 tokens, wherever that is
};
enum class Products { Float32, BFloat16 };  // what their operands are rounded to; all else is float32

struct LearningRate {
    double peak = 0;
    int warm_up = 0;  // steps from 0 to the peak
    Schedule schedule = Schedule::Cosine;
    double end = 0;  // fraction of the peak at the last step
};

struct OptimiserRule {
    LearningRate rate;
    double beta_1 = 0, beta_2 = 0, epsilon = 0;
    double weight_decay = 0;  // decoupled; of matrices only
    double clip = 0;          // largest norm of a step's gradient; 0: none
    double average =
        0;  // decay of an exponential moving average of the weights, which is then what is written; 0: none
    double z_loss = 0;
};

// How often each task is drawn. Sampling ratio of a task: its share here, divided by its share of the documents. With
// bounds, ratios are limited to least..most times (the paper's 3 / 0.3), and shares follow.
struct Mixture {
    std::map<std::string, double> shares;  // tasks that are not named are left out; empty: as many as there are of each
    double least = 0, most = 0;            // 0: no bounds
};

struct TransformerRecipe {
    std::string from;  // a leon file: tokenizer, VQGAN, and (unless `fresh`) the weights to begin with
    std::string output;
    std::map<std::string, TaskDefaults> defaults;  // of the model that is written; empty: as `from` has them
    std::string name;                              // of the model that is written; empty: as `from` has it
    bool fresh = false;
    TransformerConfig architecture;  // if fresh; its vocabulary is that of the tokenizer
    double initial_std = 0;          // if fresh: of all matrices; 0: CM3Leon's initialisation
    bool segments = false;           // if fresh: positions on two axes and places of codes (kernels/segments.h)
    std::string weights_from;        // if fresh: a leon file whose tensors of the same name and shape are taken over
    std::vector<HeadNumber> same_cell_heads;  // if fresh: training/same_cell_heads.h
    Products products = Products::Float32;

    std::vector<std::string> train, held_out;  // shards or folders of them
    Mixture mixture;
    Packing packing = Packing::Documents;
    int context = 0;       // tokens of a document or block
    int batch_tokens = 0;  // of a step, about
    int micro_tokens = 0;  // that go through the network at a time
    int steps = 0;
    uint64_t seed = 0;

    CutRule objective;
    std::array<double, TOKEN_KINDS> weights{};  // of losses, by TokenKind
    double retrieved_weight = 1;                // of the losses in retrieved documents (RA-CM3: 0.1; CM3Leon: 1)
    OptimiserRule optimiser;

    int evaluate_every = 0;      // steps; 0: only at the end
    int evaluate_documents = 0;  // of each task
    double checkpoint_minutes = 0;
};

// Text with // comments blanked out, strings left alone; line numbers stay.
std::string without_comments(std::string text);

// `where` names the file in messages. Paths in a recipe are relative to the working directory.
TransformerRecipe parse_recipe(const std::string& text, const std::string& where);
TransformerRecipe load_recipe(const std::string& path);

// Step 0 is the first. Warm-up is linear and reaches the peak at step `warm_up`.
double learning_rate(const LearningRate& rule, int step, int steps);

// The probability with which each of the tasks is drawn, by the rule above; sums to 1. `documents`: how many there are
// of each task in the data that the recipe calls `set`. Error if the mixture names a task that has none.
std::map<std::string, double> shares_of(const Mixture& mixture, const std::map<std::string, int64_t>& documents,
                                        const std::string& set = "train");

// The names that recipes and reports use.
const char* name_of(TokenKind kind);

}  // namespace leon
