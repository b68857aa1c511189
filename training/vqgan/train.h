// A VQGAN's training run: the loop around the network, its held-out scores, its checkpoints and the model it leaves.
#pragma once

#include <functional>
#include <string>

#include "training/vqgan/recipe.h"

namespace leon {

struct VqganRun {
    std::string folder;                // of checkpoint and log
    bool resume = false;               // go on from the folder's checkpoint; otherwise the folder must hold none
    int stop_after = 0;                // end after so many steps of the recipe, with a checkpoint; 0: all
    std::function<bool()> is_stopped;  // asked after each step: end with a checkpoint
    std::function<void(const std::string& line)> say;
};

// Step s is a pure function of the recipe, s, and the state before it, so that a resumed run is the uninterrupted one
// to the bit, for every number of threads. Error if a file does not fit.
// Returns the number of steps that are done.
int64_t train_vqgan(const VqganRecipe& recipe, const VqganRun& run);

}  // namespace leon
