// A training run of a transformer, from a recipe to a model.
//
//   TransformerTraining run(load_recipe("recipe.json"), "build/run", Resume::No, cpu_kernels(),
//   cpu_bf16_grad_kernels()); while (run.step() < run.steps()) { StepReport report = run.advance(); ... } run.finish();
//
// The run's folder holds checkpoint.leon (replaced as a whole), log.csv (a line a step) and loss.png. A run that was
// killed and is resumed ends with the same bits as one that was not: every step is a function of parameters, moments
// and cursor, and the checkpoint holds all three. On another backend it can be gone on with, too; from there on bits
// are that backend's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "training/grad_kernels.h"
#include "training/recipe.h"

namespace leon {

// A weighted mean of losses, in nats a token.
struct MeanLoss {
    double sum = 0, weight = 0;
    double mean() const { return weight > 0 ? sum / weight : 0; }
    void add(double loss, double with_weight) {
        sum += loss * with_weight;
        weight += with_weight;
    }
};

struct HeldOutLoss {
    std::map<std::string, MeanLoss> of_task;
    std::map<std::string, MeanLoss> of_kind;  // by name_of(TokenKind), unweighted
};

struct StepReport {
    int64_t step = 0;  // the number of the step that was done, from 0
    int64_t tokens = 0, documents = 0;
    double loss = 0, gradient_norm = 0, learning_rate = 0, seconds = 0;
    double tokens_per_second = 0, flops_per_second = 0;
    std::map<std::string, MeanLoss> of_task;
    std::optional<HeldOutLoss> held_out;  // where the recipe wants one
};

enum class Resume { No, Yes };

class TransformerTraining {
public:
    // Error if the folder holds a run already and Resume is No, or none and it is Yes; if the recipe is another one
    // than the run began with (but for steps, evaluation and checkpoints, which may change).
    // What is computed, and where parameters, gradients and moments lie: `kernels`, and `grads`, which goes with them
    // and with the recipe's products (training/grad_backend.h).
    TransformerTraining(const TransformerRecipe& recipe, const std::string& folder, Resume resume,
                        const Kernels& kernels, const GradKernels& grads);
    ~TransformerTraining();

    int64_t step() const;  // steps that are done
    int64_t steps() const;
    int64_t parameters() const;
    const std::vector<std::string>& tasks() const;

    // One step of the optimiser, its line in the log, and a checkpoint if it is time for one.
    StepReport advance();
    HeldOutLoss evaluate();
    void checkpoint();
    // A checkpoint, the model with the weights as they are (their average, if the recipe asks for one), and the plot.
    void finish();
    void write_model(const std::string& path);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace leon
