// The configuration as JSON, strictly: every key must be there, none may be unknown, every number is in a range that
// keeps all later size arithmetic far from overflow. Keys that a configuration has no use for (a rotary base without
// rotary positions) are unknown to it. See docs/weights_format.md for the keys.
#include "runtime/config.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "kernels/check.h"
#include "runtime/config_reader.h"
#include "runtime/strict_json.h"

namespace leon {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int MAX_LAYERS = 1024;
constexpr int MAX_HEADS = 4096;
constexpr int MAX_DIM = 1 << 20;      // dim, heads * head_dim, and a picture level's channels stay below
constexpr int MAX_FFN_DIM = 1 << 22;  // so that the largest matrix has 2^42 elements
constexpr int MAX_VOCAB = 1 << 22;
constexpr int MAX_CONTEXT = 1 << 24;
constexpr int MAX_POSITION_OFFSET = 1024;
constexpr int MAX_CHANNELS = 1 << 14;
constexpr int MAX_MULTIPLIER = 64;
constexpr int MAX_CELLS = 1 << 16;  // of a picture
constexpr int MAX_LEVELS = 8;
constexpr int MAX_RES_BLOCKS = 64;
constexpr int MAX_RESOLUTION = 1 << 14;
constexpr int MAX_UPSCALER_WIDTH = 1024;  // channels and growth
constexpr int MAX_UPSCALER_BLOCKS = 256;
constexpr int MAX_CLIP_FFN = 16;  // times dim, so that no activation is much larger than a weight
constexpr int MAX_CLIP_CONTEXT = 4096;
constexpr int MAX_CLIP_SIDE = 2048;
constexpr int MAX_CLIP_GRID = 128;  // patches a side: attention is over all pairs of them
constexpr int NORM_GROUPS = 32;     // of the VQGAN's group norms

constexpr EnumName<Norm> NORMS[] = {{Norm::RMS, "rms"}, {Norm::LayerNorm, "layernorm"}};
constexpr EnumName<NormPlacement> PLACEMENTS[] = {{NormPlacement::Before, "before"}, {NormPlacement::After, "after"}};
constexpr EnumName<Positions> POSITIONS[] = {{Positions::Rotary, "rotary"}, {Positions::Learned, "learned"}};
constexpr EnumName<FeedForward> FEED_FORWARDS[] = {{FeedForward::SwiGLU, "swiglu"}, {FeedForward::ReLU, "relu"}};
constexpr EnumName<UpscalerKind> UPSCALER_KINDS[] = {{UpscalerKind::RRDB, "rrdb"}, {UpscalerKind::Compact, "compact"}};
constexpr EnumName<Layout> LAYOUTS[] = {{Layout::Chameleon, "chameleon"},
                                        {Layout::CM3Leon, "cm3leon"},
                                        {Layout::Anole, "anole"},
                                        {Layout::Lumina, "lumina"}};

TransformerConfig read_transformer(const json& object, const std::string& where) {
    ConfigReader r(object, "transformer", where);
    TransformerConfig c;
    c.norm = r.one_of("norm", NORMS);
    c.norm_placement = r.one_of("norm_placement", PLACEMENTS);
    c.positions = r.one_of("positions", POSITIONS);
    c.feed_forward = r.one_of("feed_forward", FEED_FORWARDS);
    c.qk_norm = r.boolean("qk_norm");
    c.tied_output = r.boolean("tied_output");
    c.layers = r.integer("layers", 1, MAX_LAYERS);
    c.dim = r.integer("dim", 1, MAX_DIM);
    c.heads = r.integer("heads", 1, MAX_HEADS);
    c.kv_heads = r.integer("kv_heads", 1, MAX_HEADS);
    c.head_dim = r.integer("head_dim", 1, MAX_DIM);
    c.ffn_dim = r.integer("ffn_dim", 1, MAX_FFN_DIM);
    c.vocab = r.integer("vocab", 1, MAX_VOCAB);
    c.context = r.integer("context", 1, MAX_CONTEXT);
    c.norm_eps = r.number("norm_eps", 1e-12, 0.1);
    if (c.qk_norm) c.qk_norm_eps = r.number("qk_norm_eps", 1e-12, 0.1);
    if (c.positions == Positions::Rotary) c.rope_theta = r.number("rope_theta", 1, 1e12);
    if (c.positions == Positions::Learned) c.position_offset = r.integer("position_offset", 0, MAX_POSITION_OFFSET);
    if (r.has("segments")) {
        if (c.positions != Positions::Rotary) r.fail("segments", "needs rotary positions");
        ConfigReader s(r.value("segments"), "segments", where);
        c.segments.begin = s.integer("begin", 0, c.vocab - 1);
        c.segments.first_code = s.integer("first_code", 0, c.vocab - 1);
        c.segments.codes = s.integer("codes", 1, c.vocab - c.segments.first_code);
        c.segments.cells = s.integer("cells", 1, MAX_CELLS);
        s.finish();
    }
    r.finish();

    if (c.heads % c.kv_heads != 0) r.fail("kv_heads", "must divide the number of heads");
    if (static_cast<int64_t>(c.heads) * c.head_dim > MAX_DIM) r.fail("head_dim", "times heads exceeds 2^20");
    if (c.positions == Positions::Rotary && c.head_dim % 2 != 0)
        r.fail("head_dim", "must be even for rotary positions");
    return c;
}

VqganConfig read_vqgan(const json& object, const std::string& where) {
    ConfigReader r(object, "vqgan", where);
    VqganConfig c;
    c.channels = r.integer("channels", NORM_GROUPS, MAX_CHANNELS);
    const json& multipliers = r.value("multipliers");
    if (!multipliers.is_array() || multipliers.empty() || multipliers.size() > MAX_LEVELS)
        r.fail("multipliers", "must be a list of 1 to " + std::to_string(MAX_LEVELS) + " numbers");
    for (const json& m : multipliers) c.multipliers.push_back(r.integer("multipliers", m, 1, MAX_MULTIPLIER));
    c.res_blocks = r.integer("res_blocks", 1, MAX_RES_BLOCKS);
    c.in_channels = r.integer("in_channels", 3, 3);
    c.z_channels = r.integer("z_channels", 1, MAX_CHANNELS);
    c.code_dim = r.integer("code_dim", 1, MAX_CHANNELS);
    c.codes = r.integer("codes", 1, MAX_VOCAB);
    c.resolution = r.integer("resolution", 1, MAX_RESOLUTION);
    c.encoder = r.boolean("encoder");
    c.decoder = r.boolean("decoder");
    r.finish();

    if (c.channels % NORM_GROUPS != 0) r.fail("channels", "must be a multiple of 32, the groups of its norms");
    if (c.resolution % c.patch() != 0) r.fail("resolution", "must be a multiple of " + std::to_string(c.patch()));
    if (!c.encoder && !c.decoder) r.fail("encoder", "or decoder must be true");
    return c;
}

UpscalerConfig read_upscaler(const json& object, const std::string& where) {
    ConfigReader r(object, "upscaler", where);
    UpscalerConfig c;
    c.kind = r.one_of("kind", UPSCALER_KINDS);
    c.factor = r.integer("factor", 2, 4);
    c.channels = r.integer("channels", 1, MAX_UPSCALER_WIDTH);
    c.blocks = r.integer("blocks", 1, MAX_UPSCALER_BLOCKS);
    if (c.kind == UpscalerKind::RRDB) c.growth = r.integer("growth", 1, MAX_UPSCALER_WIDTH);
    r.finish();

    if (c.kind == UpscalerKind::RRDB && c.factor == 3) r.fail("factor", "must be 2 or 4 for this kind");
    return c;
}

constexpr EnumName<Activation> CLIP_ACTIVATIONS[] = {{Activation::QuickGELU, "quick_gelu"}, {Activation::GELU, "gelu"}};

ClipTower read_clip_tower(ConfigReader& r) {
    ClipTower t;
    t.layers = r.integer("layers", 1, MAX_LAYERS);
    t.dim = r.integer("dim", 1, MAX_DIM);
    t.heads = r.integer("heads", 1, MAX_HEADS);
    t.ffn_dim = r.integer("ffn_dim", 1, MAX_FFN_DIM);
    t.activation = r.one_of("activation", CLIP_ACTIVATIONS);
    t.norm_eps = r.number("norm_eps", 1e-12, 0.1);
    if (t.dim % t.heads != 0) r.fail("heads", "must divide dim");
    if (t.ffn_dim > MAX_CLIP_FFN * int64_t{t.dim})
        r.fail("ffn_dim", "is more than " + std::to_string(MAX_CLIP_FFN) + " times dim");
    return t;
}

void read_colours(ConfigReader& r, const char* key, float (&values)[3], double least, double most) {
    const json& list = r.value(key);
    if (!list.is_array() || list.size() != 3) r.fail(key, "must be a list of three numbers");
    for (size_t i = 0; i < 3; i++) {
        const double value = list[i].is_number() ? list[i].get<double>() : NAN;
        if (!(value >= least && value <= most)) r.fail(key, "is out of range");
        values[i] = static_cast<float>(value);
    }
}

ClipConfig read_clip(const json& object, const std::string& where) {
    ConfigReader r(object, "clip", where), text(r.value("text"), "clip.text", where);
    ConfigReader vision(r.value("vision"), "clip.vision", where);
    ClipConfig c;
    c.dim = r.integer("dim", 1, MAX_DIM);
    c.text = read_clip_tower(text);
    c.vocab = text.integer("vocab", 1, MAX_VOCAB);
    c.context = text.integer("context", 2, MAX_CLIP_CONTEXT);
    text.finish();
    c.vision = read_clip_tower(vision);
    c.side = vision.integer("side", 1, MAX_CLIP_SIDE);
    c.patch = vision.integer("patch", 1, MAX_CLIP_SIDE);
    if (c.side % c.patch != 0) vision.fail("patch", "must divide side");
    if (c.side / c.patch > MAX_CLIP_GRID)
        vision.fail("patch", "makes more than " + std::to_string(MAX_CLIP_GRID) + " patches a side");
    vision.finish();
    read_colours(r, "mean", c.mean, -10, 10);
    read_colours(r, "std", c.std, 1e-3, 1e3);
    r.finish();
    return c;
}

// A float as the shortest decimal that reads back as the same float: 1e-05, not 9.999999747378752e-06.
double shortest(float value) {
    char text[32];
    std::to_chars_result end = std::to_chars(text, text + sizeof text, value);
    return std::strtod(std::string(text, end.ptr).c_str(), nullptr);
}

ordered_json print_clip_tower(const ClipTower& t) {
    ordered_json object;
    object["layers"] = t.layers;
    object["dim"] = t.dim;
    object["heads"] = t.heads;
    object["ffn_dim"] = t.ffn_dim;
    object["activation"] = name_of(t.activation);
    object["norm_eps"] = shortest(t.norm_eps);
    return object;
}

std::map<std::string, TaskDefaults> read_defaults(const json& object, const std::string& where) {
    if (!object.is_object()) throw Error("configuration: 'defaults' must be an object", where);
    std::map<std::string, TaskDefaults> all;
    for (const auto& [task, values] : object.items()) {
        ConfigReader r(values, "defaults." + task, where);
        TaskDefaults& d = all[task];
        if (r.has("guidance")) d.guidance = r.number("guidance", -100, 100);
        if (r.has("image_guidance")) d.image_guidance = r.number("image_guidance", -100, 100);
        if (r.has("temperature")) d.temperature = r.number("temperature", 0, 100);
        if (r.has("best_of")) d.best_of = r.integer("best_of", 1, MAX_CANDIDATES);
        r.finish();
    }
    return all;
}

}  // namespace

const char* name_of(Norm value) {
    return text_of(NORMS, value);
}
const char* name_of(NormPlacement value) {
    return text_of(PLACEMENTS, value);
}
const char* name_of(Positions value) {
    return text_of(POSITIONS, value);
}
const char* name_of(FeedForward value) {
    return text_of(FEED_FORWARDS, value);
}
Layout layout_named(const std::string& name) {
    std::string known;
    for (const EnumName<Layout>& row : LAYOUTS) {
        if (name == row.text) return row.value;
        known += (known.empty() ? "" : ", ") + std::string(row.text);
    }
    throw Error("'" + name + "' is no layout of documents", "--layout", "choose one of " + known);
}

const char* name_of(Layout value) {
    return text_of(LAYOUTS, value);
}
const char* name_of(UpscalerKind value) {
    return text_of(UPSCALER_KINDS, value);
}
const char* name_of(Activation value) {
    return text_of(CLIP_ACTIVATIONS, value);
}

std::map<std::string, TaskDefaults> parse_task_defaults(const std::string& text, const std::string& where) {
    return read_defaults(parse_json(text, where), where);
}

ModelConfig parse_config(const std::string& text, const std::string& where) {
    const json object = parse_json(text, where);
    ConfigReader r(object, "", where);
    ModelConfig c;
    c.name = r.text("name");
    c.has_transformer = r.has("transformer");
    c.has_vqgan = r.has("vqgan");
    c.has_upscaler = r.has("upscaler");
    c.has_clip = r.has("clip");
    if (c.has_transformer || c.has_vqgan) c.layout = r.one_of("layout", LAYOUTS);
    if (c.has_transformer) c.transformer = read_transformer(r.value("transformer"), where);
    if (c.has_vqgan) c.vqgan = read_vqgan(r.value("vqgan"), where);
    if (c.has_upscaler) c.upscaler = read_upscaler(r.value("upscaler"), where);
    if (c.has_clip) c.clip = read_clip(r.value("clip"), where);
    if (r.has("defaults")) c.defaults = read_defaults(r.value("defaults"), where);
    if (!c.has_transformer && !c.has_vqgan && !c.has_upscaler && !c.has_clip)
        throw Error("the configuration has neither transformer nor vqgan, upscaler or clip", where);
    r.finish();
    return c;
}

std::string print_config(const ModelConfig& config) {
    ordered_json object;
    object["name"] = config.name;
    if (config.has_transformer || config.has_vqgan) object["layout"] = name_of(config.layout);
    for (const auto& [task, d] : config.defaults) {
        ordered_json& values = object["defaults"][task] = ordered_json::object();
        if (d.guidance) values["guidance"] = shortest(*d.guidance);
        if (d.image_guidance) values["image_guidance"] = shortest(*d.image_guidance);
        if (d.temperature) values["temperature"] = shortest(*d.temperature);
        if (d.best_of) values["best_of"] = *d.best_of;
    }
    if (config.has_transformer) {
        const TransformerConfig& c = config.transformer;
        ordered_json& t = object["transformer"];
        t["norm"] = name_of(c.norm);
        t["norm_placement"] = name_of(c.norm_placement);
        t["positions"] = name_of(c.positions);
        t["feed_forward"] = name_of(c.feed_forward);
        t["qk_norm"] = c.qk_norm;
        t["tied_output"] = c.tied_output;
        t["layers"] = c.layers;
        t["dim"] = c.dim;
        t["heads"] = c.heads;
        t["kv_heads"] = c.kv_heads;
        t["head_dim"] = c.head_dim;
        t["ffn_dim"] = c.ffn_dim;
        t["vocab"] = c.vocab;
        t["context"] = c.context;
        t["norm_eps"] = shortest(c.norm_eps);
        if (c.qk_norm) t["qk_norm_eps"] = shortest(c.qk_norm_eps);
        if (c.positions == Positions::Rotary) t["rope_theta"] = shortest(c.rope_theta);
        if (c.positions == Positions::Learned) t["position_offset"] = c.position_offset;
        if (const SegmentRule& s = c.segments)
            t["segments"] = {{"begin", s.begin}, {"first_code", s.first_code}, {"codes", s.codes}, {"cells", s.cells}};
    }
    if (config.has_vqgan) {
        const VqganConfig& c = config.vqgan;
        ordered_json& v = object["vqgan"];
        v["channels"] = c.channels;
        v["multipliers"] = c.multipliers;
        v["res_blocks"] = c.res_blocks;
        v["in_channels"] = c.in_channels;
        v["z_channels"] = c.z_channels;
        v["code_dim"] = c.code_dim;
        v["codes"] = c.codes;
        v["resolution"] = c.resolution;
        v["encoder"] = c.encoder;
        v["decoder"] = c.decoder;
    }
    if (config.has_upscaler) {
        const UpscalerConfig& c = config.upscaler;
        ordered_json& u = object["upscaler"];
        u["kind"] = name_of(c.kind);
        u["factor"] = c.factor;
        u["channels"] = c.channels;
        u["blocks"] = c.blocks;
        if (c.kind == UpscalerKind::RRDB) u["growth"] = c.growth;
    }
    if (config.has_clip) {
        const ClipConfig& c = config.clip;
        ordered_json& o = object["clip"];
        o["dim"] = c.dim;
        o["text"] = print_clip_tower(c.text);
        o["text"]["vocab"] = c.vocab;
        o["text"]["context"] = c.context;
        o["vision"] = print_clip_tower(c.vision);
        o["vision"]["side"] = c.side;
        o["vision"]["patch"] = c.patch;
        for (float value : c.mean) o["mean"].push_back(shortest(value));
        for (float value : c.std) o["std"].push_back(shortest(value));
    }
    return object.dump(1);
}

}  // namespace leon
