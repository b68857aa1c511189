// Reading a VQGAN's recipe, key by key; see recipe.h.
#include "training/vqgan/recipe.h"

#include <cmath>

#include "runtime/config_reader.h"
#include "runtime/strict_json.h"

namespace leon {
namespace {

constexpr EnumName<Schedule> SCHEDULES[] = {{Schedule::Constant, "constant"},
                                            {Schedule::Cosine, "cosine"},
                                            {Schedule::Linear, "linear"},
                                            {Schedule::Exponential, "exponential"}};
constexpr EnumName<VqganHalf> HALVES[] = {{VqganHalf::Both, "both"}, {VqganHalf::Decoder, "decoder"}};
constexpr int MOST_STEPS = 100'000'000;

OptimiserRule read_optimiser(const nlohmann::json& object, const std::string& where) {
    ConfigReader r(object, "optimiser", where);
    OptimiserRule o;
    o.rate.peak = r.number("learning_rate", 0, 1);
    o.rate.warm_up = r.integer("warm_up", 0, MOST_STEPS);
    o.rate.schedule = r.one_of("schedule", SCHEDULES);
    o.rate.end = r.number("end", 0, 1);
    o.beta_1 = r.number("beta_1", 0, 0.999999);
    o.beta_2 = r.number("beta_2", 0, 0.999999);
    o.epsilon = r.number("epsilon", 1e-20, 1);
    o.weight_decay = r.number("weight_decay", 0, 10);
    o.clip = r.number("clip", 0, 1e9);
    o.average = r.number("average", 0, 0.9999999);
    r.finish();
    return o;
}

}  // namespace

VqganRecipe parse_vqgan_recipe(const std::string& text, const std::string& where) {
    const nlohmann::json json = parse_json(without_comments(text), where);
    ConfigReader r(json, "", where);
    if (r.text("kind") != "vqgan") r.fail("kind", "must be \"vqgan\" here");
    VqganRecipe recipe;
    recipe.from = r.text("from");
    recipe.output = r.text("output");
    recipe.half = r.one_of("half", HALVES);

    ConfigReader shares(r.value("pictures"), "pictures", where);
    double sum = 0;
    for (int kind = 0; kind < PICTURE_KINDS; kind++)
        sum += recipe.shares[kind] = shares.number(name_of(static_cast<PictureKind>(kind)), 0, 1);
    shares.finish();
    if (std::abs(sum - 1) > 1e-6) throw Error("the shares of \"pictures\" must add up to 1", where);
    recipe.batch = r.integer("batch", 1, 4096);
    recipe.steps = r.integer("steps", 1, MOST_STEPS);
    recipe.seed = static_cast<uint64_t>(r.integer("seed", 0, 1 << 30));

    ConfigReader loss(r.value("loss"), "loss", where);
    recipe.loss.squares = loss.number("squares", 0, 1e6);
    recipe.loss.absolutes = loss.number("absolutes", 0, 1e6);
    recipe.loss.edges = loss.number("edges", 0, 1e6);
    recipe.object_weight = loss.number("object_weight", 0, 1e6);
    recipe.commitment = loss.number("commitment", 0, 1e6);
    ConfigReader weights(loss.value("weights"), "loss.weights", where);
    for (int kind = 0; kind < PICTURE_KINDS; kind++)
        recipe.weights[static_cast<size_t>(kind)] = weights.number(name_of(static_cast<PictureKind>(kind)), 0, 1e6);
    weights.finish();
    loss.finish();

    ConfigReader codebook(r.value("codebook"), "codebook", where);
    recipe.codebook.decay = codebook.number("decay", 0, 1);
    recipe.codebook.epsilon = codebook.number("epsilon", 0, 1);
    recipe.codebook.revive_below = codebook.number("revive_below", 0, 1e6);
    codebook.finish();

    recipe.optimiser = read_optimiser(r.value("optimiser"), where);
    recipe.evaluate_every = r.integer("evaluate_every", 1, MOST_STEPS);
    recipe.evaluate_pictures = r.integer("evaluate_pictures", 1, 10000);
    recipe.checkpoint_minutes = r.number("checkpoint_minutes", 0, 1e6);
    r.finish();
    return recipe;
}

}  // namespace leon
