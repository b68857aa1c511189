// A VQGAN's training run as one JSON file: "kind": "vqgan", in the manner of training/recipe.h.
#pragma once

#include <array>
#include <string>

#include "training/recipe.h"
#include "training/vqgan/codebook.h"
#include "training/vqgan/loss.h"
#include "training/vqgan/network.h"
#include "training/vqgan/pictures.h"

namespace leon {

struct VqganRecipe {
    std::string from;    // a leon file: what is trained on, and all that is not the VQGAN, which is carried over
    std::string output;  // the same with the VQGAN as it is, written with each checkpoint
    VqganHalf half = VqganHalf::Both;  // Decoder: encoder and codebook stay, and so do all codes

    std::array<double, PICTURE_KINDS> shares{};  // of the pictures; they add up to 1
    int batch = 0;                               // pictures of a step
    int steps = 0;
    uint64_t seed = 0;

    PictureLossRule loss;
    std::array<double, PICTURE_KINDS> weights{};  // of each kind's losses
    double object_weight = 1;                     // of a pixel that matters; all others 1
    double commitment = 0;                        // beta: weight of the mean of (latent - its code)^2
    CodebookRule codebook;
    OptimiserRule optimiser;

    int evaluate_every = 0;     // steps
    int evaluate_pictures = 0;  // of each kind, held out; four times as many scenes
    double checkpoint_minutes = 0;
};

VqganRecipe parse_vqgan_recipe(const std::string& text, const std::string& where);

}  // namespace leon
