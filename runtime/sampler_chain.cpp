// A sampler chain on the outside: from JSON, and the check of its parameters. The format stands in sampler.h.
//
// Strict on purpose: a name that is not understood, a parameter that is missing or is not used, and a number that is
// not of its kind are errors, because a chain that silently does less than it says still produces plausible pictures.
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/check.h"
#include "runtime/sampler.h"

namespace leon {
namespace {

using Json = nlohmann::json;

// One object of the chain ("ops[2]"), read key by key; finish() refuses what nobody asked for.
class Fields {
public:
    Fields(const Json& object, std::string place, const std::string& where)
        : object_(object), place_(std::move(place)), where_(where) {
        if (!object.is_object()) fail("is not an object");
    }

    [[noreturn]] void fail(const std::string& what) const { throw Error(place_ + " " + what, where_); }

    bool has(const char* key) const { return object_.contains(key); }
    const Json& get(const char* key) {
        const auto found = object_.find(key);
        if (found == object_.end()) fail(std::string("has no \"") + key + '"');
        used_.emplace_back(key);
        return *found;
    }
    std::string text(const char* key) {
        const Json& value = get(key);
        if (!value.is_string()) fail(std::string("\"") + key + "\" is not a string");
        return value.get<std::string>();
    }
    float number(const char* key) {
        const Json& value = get(key);
        if (!value.is_number()) fail(std::string("\"") + key + "\" is not a number");
        const double number = value.get<double>();
        if (std::abs(number) > std::numeric_limits<float>::max()) fail(std::string("\"") + key + "\" is too large");
        return static_cast<float>(number);
    }
    int32_t integer(const char* key) { return to_integer(get(key), key); }
    int32_t to_integer(const Json& value, const char* key) const {
        // A double holds every int32 exactly, and larger integers without wrapping.
        const double number = value.is_number_integer() ? value.get<double>() : std::nan("");
        if (!(std::abs(number) <= std::numeric_limits<int32_t>::max()))
            fail(std::string("\"") + key + "\" holds something else than a 32-bit integer");
        return value.get<int32_t>();
    }
    const Json& list(const char* key) {
        const Json& value = get(key);
        if (!value.is_array()) fail(std::string("\"") + key + "\" is not a list");
        return value;
    }
    void ignore(std::initializer_list<const char*> keys) { used_.insert(used_.end(), keys.begin(), keys.end()); }
    void finish() const {
        for (const auto& item : object_.items())
            if (std::find(used_.begin(), used_.end(), item.key()) == used_.end())
                fail("has an unknown key \"" + item.key() + '"');
    }

private:
    const Json& object_;
    std::string place_;
    const std::string& where_;
    std::vector<std::string> used_;
};

SamplerOp parse_op(Fields& fields) {
    const std::string name = fields.text("op");
    if (name == "temperature") return op::Temperature{fields.number("t")};
    if (name == "top_k") return op::TopK{fields.integer("k")};
    if (name == "top_p") return op::TopP{fields.number("p")};
    if (name == "top_p_before") return op::TopPBefore{fields.number("p")};
    if (name == "repetition_penalty") return op::RepetitionPenalty{fields.number("penalty")};
    if (name == "greedy") return op::Greedy{};
    if (name == "forbid") {
        op::Forbid forbid;
        for (const Json& id : fields.list("ids")) forbid.ids.push_back(fields.to_integer(id, "ids"));
        return forbid;
    }
    if (name == "allow") {
        op::Allow allow;
        for (const Json& range : fields.list("ranges")) {
            if (!range.is_array() || range.size() != 2)
                fields.fail("\"ranges\" holds something else than [first, last]");
            allow.ranges.emplace_back(fields.to_integer(range[0], "ranges"), fields.to_integer(range[1], "ranges"));
        }
        return allow;
    }
    fields.fail("is an unknown operation \"" + name +
                "\" (known: temperature, top_k, top_p, top_p_before, repetition_penalty, allow, forbid, greedy)");
}

std::vector<SamplerOp> parse_ops(Fields& chain, const char* key, const std::string& where) {
    std::vector<SamplerOp> ops;
    for (const Json& object : chain.list(key)) {
        Fields fields(object, std::string(key) + "[" + std::to_string(ops.size()) + "]", where);
        ops.push_back(parse_op(fields));
        fields.finish();
    }
    return ops;
}

Mix parse_mix(const Json& object, const std::string& where) {
    if (object.is_null()) return mix::None{};
    Fields fields(object, "mix", where);
    const std::string name = fields.text("mix");
    Mix result;
    if (name == "cfg") {
        result = mix::Guidance{fields.number("scale")};
    } else if (name == "cfg3") {
        result = mix::Guidance3{fields.number("scale_image"), fields.number("scale_text")};
    } else if (name == "cdk") {
        mix::ContrastiveTopK contrast{fields.integer("k"), fields.number("alpha")};
        if (fields.has("student_temperature")) contrast.student_temperature = fields.number("student_temperature");
        result = contrast;
    } else {
        fields.fail("is unknown: \"" + name + "\" (known: cfg, cfg3, cdk, or null)");
    }
    fields.finish();
    return result;
}

// %g, as a person would write it.
std::string print(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
}

// `name` is the parameter with its place, as in "ops: temperature t".
void require(bool holds, const std::string& name, const std::string& value, const std::string& range,
             const std::string& where) {
    if (!holds) throw Error(name + " is " + value, where, "it must be " + range);
}

// NaN is in no range.
void require_number(double value, double least, double most, const std::string& name, const std::string& range,
                    const std::string& where) {
    require(value >= least && value <= most, name, print(value), range, where);
}

constexpr double LARGEST = std::numeric_limits<float>::max();
constexpr double SMALLEST = std::numeric_limits<float>::denorm_min();

void check_op(const SamplerOp& operation, int vocab, const std::string& place, const std::string& where) {
    const std::string ids_of_vocabulary = "an id of the vocabulary, 0 to " + std::to_string(vocab - 1);
    std::visit(
        Overloaded{
            [&](const op::Temperature& o) {
                require_number(o.t, 0, LARGEST, place + "temperature t", "0 or more, and finite", where);
            },
            [&](const op::TopK&) {},
            [&](const op::TopP& o) { require_number(o.p, 0, 1, place + "top_p p", "from 0 to 1", where); },
            [&](const op::TopPBefore& o) { require_number(o.p, 0, 1, place + "top_p_before p", "from 0 to 1", where); },
            [&](const op::RepetitionPenalty& o) {
                require_number(o.penalty, SMALLEST, LARGEST, place + "repetition_penalty penalty",
                               "more than 0, and finite", where);
            },
            [&](const op::Allow& o) {
                require(!o.ranges.empty(), place + "allow ranges", "empty", "at least one range", where);
                for (auto [first, last] : o.ranges) {
                    const std::string range = '[' + std::to_string(first) + ", " + std::to_string(last) + ']';
                    require(first <= last, place + "allow ranges", range, "[first, last], not reversed", where);
                    require(first >= 0 && last < vocab, place + "allow ranges", range,
                            "within the vocabulary, 0 to " + std::to_string(vocab - 1), where);
                }
            },
            [&](const op::Forbid& o) {
                for (int32_t id : o.ids)
                    require(id >= 0 && id < vocab, place + "forbid ids", std::to_string(id), ids_of_vocabulary, where);
            },
            [&](const op::Greedy&) {},
        },
        operation);
}

void check_mix(const Mix& mix, const std::string& where) {
    const auto check_scale = [&](float scale, const char* name) {
        require_number(scale, -LARGEST, LARGEST, name, "finite", where);
    };
    std::visit(Overloaded{
                   [](const mix::None&) {},
                   [&](const mix::Guidance& m) { check_scale(m.scale, "mix: cfg scale"); },
                   [&](const mix::Guidance3& m) {
                       check_scale(m.scale_image, "mix: cfg3 scale_image");
                       check_scale(m.scale_text, "mix: cfg3 scale_text");
                   },
                   [&](const mix::ContrastiveTopK& m) {
                       require(m.k >= 1, "mix: cdk k", std::to_string(m.k), "1 or more", where);
                       require_number(m.alpha, 0, 1, "mix: cdk alpha", "from 0 to 1", where);
                       require_number(m.student_temperature, SMALLEST, LARGEST, "mix: cdk student_temperature",
                                      "more than 0, and finite", where);
                   },
               },
               mix);
}

}  // namespace

SamplerChain parse_chain(const std::string& json, const std::string& where) {
    Json document;
    try {
        document = Json::parse(json);
    } catch (const Json::exception& error) {
        throw Error(std::string("the chain is not JSON (") + error.what() + ')', where);
    }
    Fields fields(document, "the chain", where);
    SamplerChain chain;
    chain.per_stream = parse_ops(fields, "per_stream", where);
    chain.mix = parse_mix(fields.get("mix"), where);
    chain.ops = parse_ops(fields, "ops", where);

    if (document.contains("kind") && fields.get("kind") != "sampling") fields.fail("is a case of another kind");
    if (document.contains("streams") && static_cast<int>(fields.list("streams").size()) != streams_of(chain.mix))
        fields.fail("names " + std::to_string(document["streams"].size()) + " streams, but its mix takes " +
                    std::to_string(streams_of(chain.mix)));
    fields.ignore({"logits", "ids", "scores", "probs", "kept", "measured"});
    fields.finish();
    return chain;
}

void check_chain(const SamplerChain& chain, int vocab, const std::string& where) {
    const auto check_count = [&](const std::vector<SamplerOp>& ops, const char* name) {
        require(ops.size() <= MAX_CHAIN_OPS, name, "a list of " + std::to_string(ops.size()) + " operations",
                "at most " + std::to_string(MAX_CHAIN_OPS), where);
    };
    check_count(chain.per_stream, "per_stream");
    check_count(chain.ops, "ops");
    for (const SamplerOp& operation : chain.per_stream) check_op(operation, vocab, "per_stream: ", where);
    check_mix(chain.mix, where);
    for (const SamplerOp& operation : chain.ops) check_op(operation, vocab, "ops: ", where);
}

}  // namespace leon
