// See build.h.
#include "training/storybook/build.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <sstream>

#include "kernels/check.h"
#include "kernels/random.h"
#include "runtime/weights_file.h"
#include "training/example.h"
#include "training/vqgan/coder.h"

namespace leon {
namespace {

constexpr uint64_t KIND_SEED = 0x73746f7279;  // "story": rows draw from other generators

std::string words_of_kinds(const KindShares& kinds) {
    std::ostringstream words;
    for (const auto& [kind, share] : kinds)
        words << (words.tellp() > 0 ? "," : "") << kind_facts(kind).name << "=" << share;
    return words.str();
}

}  // namespace

KindShares default_kinds() {
    KindShares kinds;
    for (const std::string& name : row_kind_names()) {
        const RowKindFacts& facts = kind_facts(*find_row_kind(name));
        if (facts.share > 0) kinds.push_back({facts.kind, facts.share});
    }
    return kinds;
}

KindShares parse_kinds(const std::string& text) {
    const auto fail = [&](const std::string& why) {
        std::string known;
        for (const std::string& name : row_kind_names()) known += (known.empty() ? "" : ", ") + name;
        throw Error(why, "--kinds", "write NAME=SHARE,NAME=SHARE of " + known);
    };
    KindShares kinds;
    double sum = 0;
    for (size_t at = 0; at <= text.size();) {
        const size_t end = std::min(text.find(',', at), text.size());
        const std::string one = text.substr(at, end - at);
        at = end + 1;
        const size_t equals = one.find('=');
        const std::optional<RowKind> kind = find_row_kind(one.substr(0, equals));
        if (!kind) fail("there is no kind " + in_quotes(one.substr(0, equals)));
        if (equals == std::string::npos || equals + 1 == one.size()) fail(in_quotes(one) + " says no share");
        char* rest = nullptr;
        const double share = std::strtod(one.c_str() + equals + 1, &rest);
        if (*rest != '\0' || !(share >= 0 && share <= 1e6)) fail(in_quotes(one) + " is no share");
        for (const auto& other : kinds)
            if (other.first == *kind) fail(in_quotes(one) + " stands there twice");
        kinds.push_back({*kind, share});
        sum += share;
    }
    if (sum == 0) fail("nothing has a share above 0");
    return kinds;
}

RowKind kind_of_seed(const KindShares& kinds, uint64_t seed) {
    double sum = 0, below = 0;
    for (const auto& kind : kinds) sum += kind.second;
    CHECK(sum > 0);
    const double at = uniform(KIND_SEED, 0, seed) * sum;
    for (const auto& [kind, share] : kinds) {
        below += share;
        if (at < below) return kind;
    }
    return std::find_if(kinds.rbegin(), kinds.rend(), [](const auto& k) { return k.second > 0; })->first;
}

PictureEncoder exact_encoder(const Model& model) {
    const Vqgan& encoder = model.encoder();  // or an Error
    return [&encoder](const Picture& picture) {
        return CodeGrid{CELLS, CELLS, encoder.encode(to_floats(picture), picture.height, picture.width)};
    };
}

Example example_of_row(const Model& model, const Row& row, const PictureEncoder& encode) {
    const Fields fields = fields_of(row, encode);
    const Layout layout = model.config().layout;
    TaskDocument d;
    d.task = kind_facts(row.kind).name;
    d.source = "storybook " + std::to_string(row.seed);
    d.whole = whole_of(row, layout, fields);
    d.query = query_of(row, layout, fields);
    d.object_cells = object_cells(row.last_picture());
    const bool fills =
        row.task == Task::FillPicture || row.task == Task::FillText || row.task == Task::FillTextOfPicture;
    d.holes = fills ? Holes::Made : Holes::Later;
    return example_of(model.documents(), d);
}

ShardReport build_storybook(const Model& model, const StorybookBuild& build,
                            const std::function<void(size_t, size_t)>& progress) {
    const KindShares kinds = build.kinds.empty() ? default_kinds() : build.kinds;
    const uint64_t documents = static_cast<uint64_t>(build.documents);
    CHECK(build.documents >= 0);
    if (build.first_seed < FIRST_TRAINING_SEED && documents > FIRST_TRAINING_SEED - build.first_seed)
        throw Error("seeds from " + std::to_string(FIRST_TRAINING_SEED) + " on are for training", "--documents",
                    "there are " + std::to_string(FIRST_TRAINING_SEED - build.first_seed) + " from this one on");
    const int side = model.grid() * model.config().vqgan.patch();
    if (side != SCENE_SIZE || model.grid() != CELLS)
        throw Error("draws pictures of " + std::to_string(side) + " pixels in " + std::to_string(model.grid()) +
                        " cells a side",
                    model.path(),
                    "the storybook's have " + std::to_string(SCENE_SIZE) + " in " + std::to_string(CELLS));
    for (const auto& [kind, share] : kinds)
        if (share > 0) {
            template_of(model.config().layout, kind_facts(kind).task);
            if (build.first_seed >= FIRST_TRAINING_SEED && kind == RowKind::RetrieveRare)
                throw Error("rows of " + in_quotes(kind_facts(kind).name) + " are for evaluation only", "--kinds",
                            "build them with --held-out");
        }
    PictureEncoder encode = exact_encoder(model);
    std::optional<VqganCoder> coder;
    if (build.products == Products::BFloat16) {
        coder.emplace(model.config().vqgan, model.file());
        encode = [&coder](const Picture& picture) {
            return CodeGrid{CELLS, CELLS, coder->codes(to_floats(picture), picture.height, picture.width)};
        };
    }
    model.documents();  // what is made on first use is made before threads ask for it
    const World world;
    const ShardBuild shards = {.folder = build.output,
                               .mark = model_mark(model.file()),
                               .items = build.documents,
                               .items_per_shard = build.items_per_shard,
                               .what = {{"world", "storybook"},
                                        {"kinds", words_of_kinds(kinds)},
                                        {"first_seed", build.first_seed},
                                        {"products", build.products == Products::BFloat16 ? "bfloat16" : "float32"}}};
    return build_shards(
        shards,
        [&](int64_t item) {
            const uint64_t seed = build.first_seed + static_cast<uint64_t>(item);
            return example_of_row(model, make_row(world, kind_of_seed(kinds, seed), seed), encode);
        },
        progress);
}

}  // namespace leon
