// Recipes: every key is asked for and none is guessed; the schedules at their ends and against their formulas; shares.
#include "training/recipe.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/temporary_folder.h"

#include "tests/testing.h"

using namespace leon;
using nlohmann::json;

namespace {

json good() {
    return json::parse(R"({
        "kind": "transformer", "from": "a.leon", "output": "b.leon", "context": 1024, "products": "bfloat16",
        "architecture": {"layers": 2, "d_model": 64, "heads": 4, "kv_heads": 2, "head_dim": 16, "ffn_dim": 96,
            "norm": "rms", "norm_placement": "before", "positions": "rotary", "rope_theta": 10000,
            "feed_forward": "swiglu", "qk_norm": true, "tied_output": false},
        "initial_std": 0,
        "train": "data/train", "held_out": ["data/a.shard", "data/b.shard"],
        "mixture": {"least": 0.3, "most": 3, "shares": {"draw": 3, "ask": 1}},
        "packing": "documents", "batch_tokens": 8192, "micro_batch_tokens": 4096, "steps": 100, "seed": 7,
        "objective": {"spans": "poisson", "lambda": 1, "most_spans": 8, "whole_segments": 0.25, "cross_breaks": false,
            "whole_answers": 0.75, "drop_instructions": 0.125, "read_back": 0.0625, "loss": "cm3leon"},
        "weights": {"text": 1, "picture": 2, "object": 3, "answer": 4, "context": 5, "retrieved": 0.5},
        "optimiser": {"name": "adamw", "peak_lr": 0.5, "warm_up_steps": 10, "schedule": "cosine", "end_fraction": 0.25,
            "beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.0078125, "weight_decay": 0.0625, "clip": 1, "ema": 0.5,
            "z_loss": 0.03125},
        "evaluate_every": 20, "evaluate_documents": 16, "checkpoint_minutes": 5
    })");
}

TransformerRecipe parse(const json& object) {
    return parse_recipe(object.dump(), "recipe.json");
}
std::string error_with(const std::string& path, const json& value) {
    json changed = good();
    changed[json::json_pointer(path)] = value;
    return error_of([&] { parse(changed); });
}
bool names(const std::string& error, const std::string& key) {
    return contains(error, "recipe.json") && contains(error, key) && error.find('\n') == std::string::npos;
}

// The paths of all keys, in objects too.
void walk(const json& object, const std::string path, std::vector<std::string>& paths) {
    for (const auto& item : object.items()) {
        paths.push_back(path + "/" + item.key());
        if (item.value().is_object()) walk(item.value(), paths.back(), paths);
    }
}

}  // namespace

TEST_CASE("recipe: those of the model in the box are read, and each begins where the one before ends") {
    const std::string folder = "training/recipes/";
    const TransformerRecipe first = load_recipe(folder + "storybook.json"),
                            copies = load_recipe(folder + "storybook_copies.json"),
                            longer = load_recipe(folder + "storybook_longer.json"),
                            more = load_recipe(folder + "storybook_more.json"),
                            last = load_recipe(folder + "storybook_last.json"),
                            words = load_recipe(folder + "storybook_words.json");
    CHECK(first.fresh);
    CHECK(copies.weights_from == first.output);
    CHECK(copies.same_cell_heads.size() == 2);
    CHECK(longer.from == copies.output);
    CHECK(more.from == longer.output);
    CHECK(last.from == more.output);
    CHECK(words.from == last.output);
    CHECK(!words.fresh);
    CHECK(words.name == "storybook");
}

TEST_CASE("recipe: an architecture with segments, weights to take over, and heads that look at the same cell") {
    json object = good();
    CHECK(!parse(object).segments);
    object["architecture"]["segments"] = false;
    CHECK(!parse(object).segments);
    object["same_cell_heads"] = json::parse("[[1, 0], [0, 3]]");
    object["architecture"]["kv_heads"] = 4;
    CHECK(names(error_of([&] { parse(object); }), "same_cell_heads"));  // without segments
    object["architecture"]["segments"] = true;
    object["weights_from"] = "old.leon";
    const TransformerRecipe r = parse(object);
    CHECK(r.segments);
    CHECK(r.weights_from == "old.leon");
    CHECK(r.name.empty());
    object["defaults"] = {{"edit", {{"guidance", 1}, {"temperature", 0.5}}}};
    CHECK(parse(object).defaults.at("edit") == TaskDefaults{1.0f, {}, 0.5f, {}});
    object["defaults"]["edit"]["top_p"] = 1;
    CHECK(names(error_of([&] { parse(object); }), "top_p"));
    object.erase("defaults");
    object["name"] = "storybook";
    CHECK(parse(object).name == "storybook");
    CHECK(r.same_cell_heads == std::vector<HeadNumber>{{1, 0}, {0, 3}});
    for (const char* list : {"3", "[3]", "[[2, 0]]", "[[0, 4]]", "[[0, -1]]", "[[0, 1, 2]]", "[[0.5, 1]]"}) {
        CAPTURE(list);
        object["same_cell_heads"] = json::parse(list);
        CHECK(names(error_of([&] { parse(object); }), "same_cell_heads"));
    }
    object["architecture"]["segments"] = 1;
    CHECK(names(error_of([&] { parse(object); }), "segments"));
}

TEST_CASE("recipe: every key arrives") {
    const TransformerRecipe r = parse(good());
    CHECK(r.from == "a.leon");
    CHECK(r.output == "b.leon");
    CHECK(r.context == 1024);
    CHECK(r.products == Products::BFloat16);
    CHECK(r.fresh);
    CHECK(r.architecture.layers == 2);
    CHECK(r.architecture.dim == 64);
    CHECK(r.architecture.heads == 4);
    CHECK(r.architecture.kv_heads == 2);
    CHECK(r.architecture.head_dim == 16);
    CHECK(r.architecture.ffn_dim == 96);
    CHECK(r.architecture.norm == Norm::RMS);
    CHECK(r.architecture.norm_placement == NormPlacement::Before);
    CHECK(r.architecture.positions == Positions::Rotary);
    CHECK(r.architecture.rope_theta == 10000);
    CHECK(r.architecture.feed_forward == FeedForward::SwiGLU);
    CHECK(r.architecture.qk_norm);
    CHECK(!r.architecture.tied_output);
    CHECK(r.architecture.context == 1024);
    CHECK(r.initial_std == 0);
    CHECK(r.train == std::vector<std::string>{"data/train"});
    CHECK(r.held_out == std::vector<std::string>{"data/a.shard", "data/b.shard"});
    CHECK(r.mixture.shares == std::map<std::string, double>{{"draw", 3}, {"ask", 1}});
    CHECK(r.mixture.least == doctest::Approx(0.3));
    CHECK(r.mixture.most == 3);
    CHECK(r.packing == Packing::Documents);
    CHECK(r.batch_tokens == 8192);
    CHECK(r.micro_tokens == 4096);
    CHECK(r.steps == 100);
    CHECK(r.seed == 7);
    CHECK(r.objective.spans == CutRule::Spans::Poisson);
    CHECK(r.objective.mean == 1);
    CHECK(r.objective.most == 8);
    CHECK(r.objective.rotation == 0.25);
    CHECK(!r.objective.crossing);
    CHECK(r.objective.answer == 0.75);
    CHECK(r.objective.drop_text == 0.125);
    CHECK(r.objective.read_back == 0.0625);
    CHECK(r.objective.loss == CutRule::Loss::CM3Leon);
    CHECK(r.weights == std::array<double, TOKEN_KINDS>{1, 2, 3, 4, 5});
    CHECK(r.retrieved_weight == 0.5);
    CHECK(r.optimiser.rate.peak == 0.5);
    CHECK(r.optimiser.rate.warm_up == 10);
    CHECK(r.optimiser.rate.schedule == Schedule::Cosine);
    CHECK(r.optimiser.rate.end == 0.25);
    CHECK(r.optimiser.beta_1 == 0.5);
    CHECK(r.optimiser.beta_2 == 0.75);
    CHECK(r.optimiser.epsilon == 0.0078125);
    CHECK(r.optimiser.weight_decay == 0.0625);
    CHECK(r.optimiser.clip == 1);
    CHECK(r.optimiser.average == 0.5);
    CHECK(r.optimiser.z_loss == 0.03125);
    CHECK(r.evaluate_every == 20);
    CHECK(r.evaluate_documents == 16);
    CHECK(r.checkpoint_minutes == 5);
    CHECK(std::string(name_of(TokenKind::Object)) == "object");
}

TEST_CASE("recipe: a key that is missing, unknown, or of another type is named") {
    std::vector<std::string> paths;
    walk(good(), "", paths);
    CHECK(paths.size() > 50);
    for (const std::string& path : paths) {
        CAPTURE(path);
        const std::string key = path.substr(path.rfind('/') + 1), parent = path.substr(0, path.rfind('/'));
        const bool share = parent == "/mixture/shares";
        if (!share && path != "/architecture" && path != "/mixture/least") {  // which may be absent
            json without = good();
            (parent.empty() ? without : without[json::json_pointer(parent)]).erase(key);
            CHECK(names(error_of([&] { parse(without); }), key));
        }
        const bool is_object = good()[json::json_pointer(path)].is_object();
        CHECK(names(error_with(path, json::array({json::object()})), share ? "shares" : key));
        CHECK(names(error_with(path, nullptr), share ? "shares" : key));
        if (is_object && path != "/mixture/shares") CHECK(names(error_with(path + "/colour", 1), "colour"));
    }
    CHECK(names(error_with("/colour", 1), "colour"));
    CHECK(names(error_with("/mixture/shares/draw", -1), "shares"));
    CHECK(names(error_with("/mixture/shares/draw", 1e300), "shares"));
    CHECK(names(error_with("/mixture/shares", json{{"draw", 0}}), "shares"));
    CHECK(error_with("/mixture/shares", json::object()).empty());
    CHECK(names(error_with("/context", 1), "context"));
    CHECK(names(error_with("/micro_batch_tokens", 1023), "micro_batch_tokens"));
    CHECK(names(error_with("/architecture/kv_heads", 3), "kv_heads"));
    CHECK(names(error_with("/optimiser/beta_1", 1), "beta_1"));
    CHECK(names(error_with("/optimiser/ema", 1), "ema"));
    CHECK(names(error_with("/objective/whole_segments", 1.5), "whole_segments"));
    CHECK(names(error_with("/packing", "tight"), "packing"));
    json odd = good();
    odd["optimiser"]["schedule"] = "exponential";
    CHECK(error_of([&] { parse(odd); }).empty());
    odd["optimiser"]["end_fraction"] = 0;
    CHECK(names(error_of([&] { parse(odd); }), "end_fraction"));
    odd = good();
    odd["packing"] = "stream";
    CHECK(names(error_of([&] { parse(odd); }), "retrieved"));
    odd["weights"]["retrieved"] = 1;
    CHECK(error_of([&] { parse(odd); }).empty());
    odd = good();
    odd["objective"]["loss"] = "cm3";
    CHECK(error_of([&] { parse(odd); }).empty());
    odd["objective"]["most_spans"] = 0;  // CM3 cuts at least once
    CHECK(names(error_of([&] { parse(odd); }), "most_spans"));
    odd = good();
    odd.erase("architecture");
    CHECK(names(error_of([&] { parse(odd); }), "initial_std"));
    odd.erase("initial_std");
    CHECK(!parse(odd).fresh);
}

TEST_CASE("recipe: comments are passed over, outside of strings") {
    std::string text = good().dump(1);
    text.insert(1, " // the whole of it, with a \" and a }\n");
    text += "\n// the end";
    CHECK(parse_recipe(text, "recipe.json").context == 1024);
    json odd = good();
    odd["from"] = "http://a \"quoted\" //path\\";
    odd["output"] = "\\\"//";
    CHECK(parse(odd).from == "http://a \"quoted\" //path\\");
    CHECK(parse(odd).output == "\\\"//");
    CHECK(error_of([] { parse_recipe("{ / }", "recipe.json"); }) != "");
    CHECK(error_of([] { parse_recipe("", "recipe.json"); }) != "");
    CHECK(error_of([] { parse_recipe("// nothing", "recipe.json"); }) != "");
    CHECK(error_of([] { parse_recipe("{\"a\": \"\\", "recipe.json"); }) != "");
    // Two times the same key: which one would count?
    CHECK(error_of([] { parse_recipe(R"({"kind": "transformer", "kind": "transformer"})", "recipe.json"); }) != "");

    TemporaryFolder folder;
    write_text(folder / "r.json", text);
    CHECK(load_recipe(folder / "r.json").steps == 100);
    CHECK(contains(error_of([&] { load_recipe(folder / "none.json"); }), "none.json"));
}

TEST_CASE("recipe: learning rates rise to their peak, and end where they are to") {
    constexpr int STEPS = 200;
    for (const Schedule schedule : {Schedule::Constant, Schedule::Cosine, Schedule::Linear, Schedule::Exponential})
        for (const int warm_up : {0, 1, 20}) {
            CAPTURE(static_cast<int>(schedule));
            CAPTURE(warm_up);
            const LearningRate rule = {.peak = 0.01, .warm_up = warm_up, .schedule = schedule, .end = 0.1};
            for (int step = 0; step < warm_up; step++)
                CHECK(learning_rate(rule, step, STEPS) == doctest::Approx(0.01 * (step + 1) / (warm_up + 1)));
            CHECK(learning_rate(rule, warm_up, STEPS) == doctest::Approx(0.01));
            const double end = schedule == Schedule::Constant ? 0.01 : 0.001;
            CHECK(learning_rate(rule, STEPS - 1, STEPS) == doctest::Approx(end));
            CHECK(learning_rate(rule, STEPS + 50, STEPS) == doctest::Approx(end));
            for (int step = warm_up + 1; step < STEPS; step++) {
                const double rate = learning_rate(rule, step, STEPS), before = learning_rate(rule, step - 1, STEPS);
                if (schedule == Schedule::Constant) CHECK(rate == before);
                if (schedule != Schedule::Constant) CHECK(rate < before);
                if (schedule == Schedule::Exponential && step > warm_up + 1)  // by the same factor every time
                    CHECK(rate / before ==
                          doctest::Approx(before / learning_rate(rule, step - 2, STEPS)).epsilon(1e-9));
                if (schedule == Schedule::Linear && step > warm_up + 1)
                    CHECK(before - rate == doctest::Approx(learning_rate(rule, step - 2, STEPS) - before));
            }
        }
    // Half way down a cosine is half way down; near its ends it is flat.
    const LearningRate cosine = {.peak = 1, .warm_up = 0, .schedule = Schedule::Cosine, .end = 0.2};
    CHECK(learning_rate(cosine, 100, 201) == doctest::Approx(0.6));
    CHECK(learning_rate(cosine, 50, 201) == doctest::Approx(0.2 + 0.8 * (0.5 + std::sqrt(2) / 4)));
    // A run of one step, or all of it warm-up.
    CHECK(learning_rate(cosine, 0, 1) == doctest::Approx(1));
    const LearningRate rising = {.peak = 1, .warm_up = 9, .schedule = Schedule::Linear, .end = 0};
    CHECK(learning_rate(rising, 4, 5) == doctest::Approx(0.5));
}

TEST_CASE("recipe: shares follow the mixture, within its bounds") {
    const std::map<std::string, int64_t> documents = {{"a", 900}, {"b", 90}, {"c", 10}};
    Mixture m;
    CHECK(shares_of(m, documents).at("a") == doctest::Approx(0.9));
    CHECK(shares_of(m, documents).size() == 3);
    m.shares = {{"a", 1}, {"c", 1}};
    CHECK(shares_of(m, documents) == std::map<std::string, double>{{"a", 0.5}, {"c", 0.5}});
    // The paper's 3 / 0.3: c would be drawn 45.5 times as often as it is there, a 0.55 times.
    m.least = 0.3;
    m.most = 3;
    double a = 900.0 / 910 * (0.5 / (900.0 / 910)), c = 10.0 / 910 * 3;
    CHECK(shares_of(m, documents).at("c") == doctest::Approx(c / (a + c)));
    m.shares = {{"a", 1}, {"c", 99}};  // a 0.01 times
    a = 900.0 / 910 * 0.3;
    CHECK(shares_of(m, documents).at("a") == doctest::Approx(a / (a + c)));
    CHECK(shares_of(m, documents).at("a") + shares_of(m, documents).at("c") == doctest::Approx(1));
    m.shares = {{"d", 1}};
    CHECK(contains(error_of([&] { shares_of(m, documents); }), "'d'"));
    m.shares = {{"a", 1}};
    CHECK(contains(error_of([&] { shares_of(m, {{"a", 0}}); }), "'a'"));
}
