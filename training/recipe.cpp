// Reading a recipe, key by key; see recipe.h.
#include "training/recipe.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "runtime/config_reader.h"
#include "runtime/files.h"
#include "runtime/strict_json.h"

namespace leon {
namespace {

using nlohmann::json;

constexpr EnumName<Schedule> SCHEDULES[] = {{Schedule::Constant, "constant"},
                                            {Schedule::Cosine, "cosine"},
                                            {Schedule::Linear, "linear"},
                                            {Schedule::Exponential, "exponential"}};
constexpr EnumName<Packing> PACKINGS[] = {{Packing::Documents, "documents"}, {Packing::Stream, "stream"}};
constexpr EnumName<Products> PRODUCTS[] = {{Products::Float32, "float32"}, {Products::BFloat16, "bfloat16"}};
constexpr EnumName<CutRule::Spans> SPANS[] = {
    {CutRule::Spans::Poisson, "poisson"}, {CutRule::Spans::Fixed, "fixed"}, {CutRule::Spans::Always, "one"}};
constexpr EnumName<CutRule::Loss> LOSSES[] = {{CutRule::Loss::CM3Leon, "cm3leon"}, {CutRule::Loss::CM3, "cm3"}};
constexpr EnumName<TokenKind> KINDS[] = {{TokenKind::Text, "text"},
                                         {TokenKind::Picture, "picture"},
                                         {TokenKind::Object, "object"},
                                         {TokenKind::Answer, "answer"},
                                         {TokenKind::Context, "context"}};
constexpr EnumName<Norm> NORMS[] = {{Norm::RMS, "rms"}, {Norm::LayerNorm, "layernorm"}};
constexpr EnumName<NormPlacement> PLACEMENTS[] = {{NormPlacement::Before, "before"}, {NormPlacement::After, "after"}};
constexpr EnumName<Positions> POSITIONS[] = {{Positions::Rotary, "rotary"}, {Positions::Learned, "learned"}};
constexpr EnumName<FeedForward> FEED_FORWARDS[] = {{FeedForward::SwiGLU, "swiglu"}, {FeedForward::ReLU, "relu"}};

constexpr int MOST_STEPS = 100'000'000, MOST_TOKENS = 1 << 24;
constexpr double MOST_SHARE = 1e9;

std::vector<std::string> texts(ConfigReader& reader, const char* key) {
    const json& value = reader.value(key);
    if (value.is_string()) return {value.get<std::string>()};
    std::vector<std::string> all;
    if (!value.is_array()) reader.fail(key, "must be a path or a list of paths");
    for (const json& item : value) {
        if (!item.is_string()) reader.fail(key, "must be a path or a list of paths");
        all.push_back(item.get<std::string>());
    }
    return all;
}

// [[layer, head], ...]
std::vector<HeadNumber> read_heads(const ConfigReader& r, const TransformerConfig& c, const json& list) {
    const auto refuse = [&] { r.fail("same_cell_heads", "must be a list of [layer, head] of the architecture"); };
    if (!list.is_array()) refuse();
    std::vector<HeadNumber> heads;
    for (const json& item : list) {
        if (!item.is_array() || item.size() != 2 || !item[0].is_number_unsigned() || !item[1].is_number_unsigned() ||
            item[0] >= c.layers || item[1] >= c.heads)
            refuse();
        heads.push_back({item[0].get<int>(), item[1].get<int>()});
    }
    return heads;
}

TransformerConfig read_architecture(const json& object, int context, const std::string& where, bool& segments) {
    ConfigReader r(object, "architecture", where);
    TransformerConfig c;
    c.layers = r.integer("layers", 1, 1000);
    c.dim = r.integer("d_model", 2, 1 << 16);
    c.heads = r.integer("heads", 1, 1024);
    c.kv_heads = r.integer("kv_heads", 1, 1024);
    c.head_dim = r.integer("head_dim", 2, 1024);
    c.ffn_dim = r.integer("ffn_dim", 1, 1 << 18);
    c.norm = r.one_of("norm", NORMS);
    c.norm_placement = r.one_of("norm_placement", PLACEMENTS);
    c.positions = r.one_of("positions", POSITIONS);
    c.feed_forward = r.one_of("feed_forward", FEED_FORWARDS);
    c.qk_norm = r.boolean("qk_norm");
    c.tied_output = r.boolean("tied_output");
    c.norm_eps = 1e-5f;
    c.qk_norm_eps = c.qk_norm ? 1e-5f : 0;
    if (c.positions == Positions::Rotary) c.rope_theta = r.number("rope_theta", 1, 1e9);
    c.context = context;
    segments = r.has("segments") && r.boolean("segments");
    r.finish();
    if (segments && c.positions != Positions::Rotary) r.fail("segments", "needs rotary positions");
    if (c.heads % c.kv_heads != 0) r.fail("kv_heads", "must divide heads");
    return c;
}

CutRule read_objective(const json& object, const std::string& where) {
    ConfigReader r(object, "objective", where);
    CutRule rule;
    rule.spans = r.one_of("spans", SPANS);
    if (rule.spans == CutRule::Spans::Poisson) rule.mean = r.number("lambda", 0, 100);
    if (rule.spans == CutRule::Spans::Fixed) rule.mean = r.integer("count", 0, 1000);
    rule.most = r.integer("most_spans", 0, 1000);
    rule.rotation = r.number("whole_segments", 0, 1);
    rule.crossing = r.boolean("cross_breaks");
    rule.answer = r.number("whole_answers", 0, 1);
    rule.drop_text = r.number("drop_instructions", 0, 1);
    rule.read_back = r.number("read_back", 0, 1);
    rule.loss = r.one_of("loss", LOSSES);
    if (rule.loss == CutRule::Loss::CM3 && rule.most == 0)
        r.fail("most_spans", "must be at least 1, as CM3 always cuts");
    r.finish();
    return rule;
}

OptimiserRule read_optimiser(const json& object, const std::string& where) {
    ConfigReader r(object, "optimiser", where);
    OptimiserRule o;
    if (r.text("name") != "adamw") r.fail("name", "must be adamw");
    o.rate.peak = r.number("peak_lr", 0, 10);
    o.rate.warm_up = r.integer("warm_up_steps", 0, MOST_STEPS);
    o.rate.schedule = r.one_of("schedule", SCHEDULES);
    o.rate.end = r.number("end_fraction", 0, 1);
    if (o.rate.schedule == Schedule::Exponential && o.rate.end == 0)
        r.fail("end_fraction", "must be above 0 for an exponential schedule");
    o.beta_1 = r.number("beta_1", 0, 1);
    o.beta_2 = r.number("beta_2", 0, 1);
    o.epsilon = r.number("epsilon", 0, 1);
    o.weight_decay = r.number("weight_decay", 0, 10);
    o.clip = r.number("clip", 0, 1e9);
    o.average = r.number("ema", 0, 1);
    o.z_loss = r.number("z_loss", 0, 1);
    if (o.beta_1 == 1 || o.beta_2 == 1 || o.average == 1) r.fail("beta_1", "and beta_2 and ema must be below 1");
    r.finish();
    return o;
}

Mixture read_mixture(const json& object, const std::string& where) {
    ConfigReader r(object, "mixture", where);
    Mixture m;
    if (r.has("least")) {
        m.least = r.number("least", 0, 1);
        m.most = r.number("most", 1, 1e6);
    }
    const json& shares = r.value("shares");
    if (!shares.is_object()) r.fail("shares", "must be an object of task names and numbers");
    for (const auto& [task, share] : shares.items()) {
        if (!share.is_number() || !(share.get<double>() >= 0 && share.get<double>() <= MOST_SHARE))
            r.fail("shares", "of " + in_quotes(task) + " must be a number from 0 on");
        if (share.get<double>() > 0) m.shares[task] = share.get<double>();
    }
    if (m.shares.empty() && !shares.empty()) r.fail("shares", "leave nothing to be drawn");
    r.finish();
    return m;
}

}  // namespace

std::string without_comments(std::string text) {
    bool quoted = false;
    for (size_t i = 0; i < text.size(); i++) {
        if (quoted) {
            if (text[i] == '\\')
                i++;
            else
                quoted = text[i] != '"';
        } else if (text[i] == '"') {
            quoted = true;
        } else if (text.compare(i, 2, "//") == 0) {
            while (i < text.size() && text[i] != '\n') text[i++] = ' ';
        }
    }
    return text;
}

TransformerRecipe parse_recipe(const std::string& text, const std::string& where) {
    const json object = parse_json(without_comments(text), where);
    ConfigReader r(object, "", where);
    TransformerRecipe recipe;
    if (r.text("kind") != "transformer") r.fail("kind", "must be transformer");
    recipe.from = r.text("from");
    recipe.output = r.text("output");
    if (r.has("name")) recipe.name = r.text("name");
    if (r.has("defaults")) recipe.defaults = parse_task_defaults(r.value("defaults").dump(), where);
    recipe.context = r.integer("context", 2, MOST_TOKENS);
    recipe.fresh = r.has("architecture");
    if (recipe.fresh) {
        recipe.architecture = read_architecture(r.value("architecture"), recipe.context, where, recipe.segments);
        recipe.initial_std = r.number("initial_std", 0, 1);
        if (r.has("weights_from")) recipe.weights_from = r.text("weights_from");
        if (r.has("same_cell_heads")) {
            const TransformerConfig& c = recipe.architecture;
            if (!recipe.segments || !c.qk_norm || c.heads != c.kv_heads)
                r.fail("same_cell_heads", "need segments, qk_norm, and as many kv_heads as heads");
            recipe.same_cell_heads = read_heads(r, c, r.value("same_cell_heads"));
        }
    }
    recipe.products = r.one_of("products", PRODUCTS);
    recipe.train = texts(r, "train");
    recipe.held_out = texts(r, "held_out");
    recipe.mixture = read_mixture(r.value("mixture"), where);
    recipe.packing = r.one_of("packing", PACKINGS);
    recipe.batch_tokens = r.integer("batch_tokens", 1, 1 << 30);
    recipe.micro_tokens = r.integer("micro_batch_tokens", 1, MOST_TOKENS);
    if (recipe.micro_tokens < recipe.context) r.fail("micro_batch_tokens", "must hold at least one context");
    recipe.steps = r.integer("steps", 1, MOST_STEPS);
    recipe.seed = static_cast<uint64_t>(r.integer("seed", 0, INT32_MAX));
    recipe.objective = read_objective(r.value("objective"), where);
    ConfigReader weights(r.value("weights"), "weights", where);
    for (const auto& kind : KINDS) recipe.weights[static_cast<size_t>(kind.value)] = weights.number(kind.text, 0, 1e6);
    recipe.retrieved_weight = weights.number("retrieved", 0, 1e6);
    weights.finish();
    if (recipe.packing == Packing::Stream && recipe.retrieved_weight != 1)
        weights.fail("retrieved", "must be 1 where documents are packed as a stream, which knows no retrieved ones");
    recipe.optimiser = read_optimiser(r.value("optimiser"), where);
    recipe.evaluate_every = r.integer("evaluate_every", 0, MOST_STEPS);
    recipe.evaluate_documents = r.integer("evaluate_documents", 1, 1 << 20);
    recipe.checkpoint_minutes = r.number("checkpoint_minutes", 0, 1e6);
    r.finish();
    return recipe;
}

TransformerRecipe load_recipe(const std::string& path) {
    const std::vector<uint8_t> bytes = read_file(path, 1 << 20);
    return parse_recipe({bytes.begin(), bytes.end()}, path);
}

double learning_rate(const LearningRate& rule, int step, int steps) {
    if (step < rule.warm_up) return rule.peak * (step + 1) / (rule.warm_up + 1);
    const double length = std::max(1, steps - 1 - rule.warm_up);
    const double done = std::clamp((step - rule.warm_up) / length, 0.0, 1.0);
    switch (rule.schedule) {
        case Schedule::Constant:
            return rule.peak;
        case Schedule::Cosine:
            return rule.peak * (rule.end + (1 - rule.end) * 0.5 * (1 + std::cos(done * std::acos(-1.0))));
        case Schedule::Linear:
            return rule.peak * (1 + (rule.end - 1) * done);
        case Schedule::Exponential:
            return rule.peak * std::pow(rule.end, done);
    }
    check_failed(__FILE__, __LINE__, "known schedule");
}

std::map<std::string, double> shares_of(const Mixture& mixture, const std::map<std::string, int64_t>& documents,
                                        const std::string& set) {
    std::map<std::string, double> shares = mixture.shares, natural;
    double sum = 0, all = 0;
    if (shares.empty())
        for (const auto& [task, count] : documents) shares[task] = static_cast<double>(count);
    for (const auto& [task, share] : shares) {
        const auto found = documents.find(task);
        if (found == documents.end() || found->second == 0)
            throw Error("the mixture names the task " + in_quotes(task) + ", of which there are no documents in " +
                            in_quotes(set),
                        "recipe");
        sum += share;
        all += static_cast<double>(found->second);
    }
    for (auto& [task, share] : shares) {
        share /= sum;
        natural[task] = static_cast<double>(documents.at(task)) / all;
    }
    if (mixture.most > 0) {
        sum = 0;
        for (auto& [task, share] : shares) {
            share = natural[task] * std::clamp(share / natural[task], mixture.least, mixture.most);
            sum += share;
        }
        for (auto& [task, share] : shares) share /= sum;
    }
    return shares;
}

const char* name_of(TokenKind kind) {
    return text_of(KINDS, kind);
}

}  // namespace leon
