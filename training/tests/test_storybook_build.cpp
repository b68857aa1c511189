// Storybook datasets against the rows they are made of, for every kind; and a build that is killed as often as one
// likes.
#include "training/storybook/build.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "kernels/cpu/threads.h"
#include "runtime/files.h"
#include "training/draws.h"
#include "training/vqgan/coder.h"
#include "weights_converter/random_model.h"

#include "tests/command_line.h"

using namespace leon;
using Ids = std::vector<int32_t>;

namespace {

// The tokenizer of the model in the box and a small VQGAN, whose codes mean nothing but depend on the picture.
class SmallModel {
public:
    SmallModel() : model_(written(folder_ / "small.leon"), cpu_kernels()) {}
    const Model& operator*() const { return model_; }
    std::string path() const { return model_.path(); }

private:
    static std::string written(const std::string& path) {
        ModelConfig config;
        config.name = "small";
        config.layout = Layout::CM3Leon;
        config.has_vqgan = true;  // there need be no transformer yet
        VqganConfig& v = config.vqgan;
        v.channels = 32;
        v.multipliers = {1, 1, 1, 1};
        v.res_blocks = 1;
        v.z_channels = 8;
        v.code_dim = 8;
        v.codes = 1024;
        v.resolution = SCENE_SIZE;
        v.encoder = v.decoder = true;
        write_random_model(path, config, DType::F32, 7, WeightsFile("models/storybook.leon").tokenizer_json());
        return path;
    }
    TemporaryFolder folder_;
    Model model_;
};

CutIds control(const Vocabulary& v) {
    return {v.eos, v.brk, v.eoss, v.sentinels};
}

std::map<std::string, std::string> files_of(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        files[entry.path().filename().string()] = read_text(entry.path().string());
    return files;
}

}  // namespace

TEST_CASE("storybook build: an example of every kind is its row, as it is asked and as a whole") {
    const SmallModel model;
    const World world;
    const DocumentWriter& writer = (*model).documents();
    for (const std::string& name : row_kind_names()) {
        CAPTURE(name);
        const RowKindFacts& facts = kind_facts(*find_row_kind(name));
        const uint64_t seed = facts.kind == RowKind::RetrieveRare ? 3 : FIRST_TRAINING_SEED + 3;
        const Row row = make_row(world, facts.kind, seed);
        const Example e = example_of_row(*model, row, exact_encoder(*model));
        CHECK(e.task == name);
        CHECK(e.source == "storybook " + std::to_string(seed));
        const Fields fields = fields_of(row, [&](const Picture& picture) {
            return CodeGrid{CELLS, CELLS, (*model).encoder().encode(to_floats(picture), SCENE_SIZE, SCENE_SIZE)};
        });
        const Ids asked = writer.ids(query_of(row, Layout::CM3Leon, fields));
        const Ids whole = writer.ids(whole_of(row, Layout::CM3Leon, fields));
        CHECK(uncut(e.ids, control((*model).vocabulary())) == whole);
        CHECK((e.query > 0) == !row.retrieved.empty());

        std::map<TokenKind, int> count;
        for (TokenKind kind : e.kinds) count[kind]++;
        const int others = static_cast<int>(row.pictures.size() + row.retrieved.size()) - 1;
        const bool fills = row.task == Task::FillPicture || row.task == Task::FillTextOfPicture;
        const bool says = row.task == Task::Describe || row.task == Task::DescribeLong || row.task == Task::Ask ||
                          row.task == Task::FillTextOfPicture;
        CHECK(e.prepared == fills);
        CHECK((count[TokenKind::Answer] > 0) == says);
        if (says) CHECK(count[TokenKind::Context] == (others + 1) * CELLS * CELLS);
        if (fills) {
            CHECK(std::equal(asked.begin(), asked.end(), e.ids.begin()));
        } else if (says) {
            CutDocument said = cut(e.ids, e.kinds, e.query, {{e.answer_first, e.answer_end}},
                                   control((*model).vocabulary()), CutRule::Loss::CM3Leon, 0);
            CHECK(std::equal(asked.begin(), asked.end(), said.ids.begin()));
        } else {
            CHECK(std::equal(asked.begin(), asked.end(), e.ids.begin()));
            CHECK(count[TokenKind::Picture] + count[TokenKind::Object] == CELLS * CELLS);
            CHECK(count[TokenKind::Context] == others * CELLS * CELLS);
            // What matters is where the row says so.
            const std::vector<uint8_t> cells = object_cells(row.last_picture());
            const size_t first = e.ids.size() - 1 - cells.size();
            for (size_t i = 0; i < cells.size(); i++)
                CHECK((e.kinds[first + i] == TokenKind::Object) == (cells[i] == 1));
            CHECK(count[TokenKind::Object] > 0);
        }
    }
}

TEST_CASE("storybook build: kinds are drawn by their shares, a seed's always the same") {
    const KindShares kinds = parse_kinds("draw=3,ask=1,edit=0");
    REQUIRE(kinds.size() == 3);
    CHECK(kinds[0].first == RowKind::Draw);
    std::map<RowKind, int> found;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        const RowKind kind = kind_of_seed(kinds, seed);
        CHECK(kind == kind_of_seed(parse_kinds("draw=0.75,ask=.25,edit=0"), seed));
        found[kind]++;
    }
    CHECK(found.size() == 2);
    CHECK(std::abs(found[RowKind::Ask] - 1000) < 5 * std::sqrt(750.0));
    for (const char* bad : {"", "draw", "draw=", "draw=x", "draw=1x", "draw=-1", "draw=nan", "fly=1", "draw=1,,ask=1",
                            "draw=1,draw=2", "draw=0", "draw=1,", "=1"}) {
        CAPTURE(bad);
        CHECK(contains(error_of([&] { parse_kinds(bad); }), "--kinds"));
    }
}

TEST_CASE("storybook build: documents are those of neighbouring seeds, and builds continue each other") {
    const SmallModel model;
    TemporaryFolder folder;
    const KindShares kinds = parse_kinds("draw=1,describe=1");
    const auto build = [&](const char* name, int64_t documents, uint64_t first) {
        build_storybook(*model, {.output = folder / name,
                                 .documents = documents,
                                 .kinds = kinds,
                                 .first_seed = first,
                                 .items_per_shard = 5});
        return Dataset({folder / name}, model_mark((*model).file()));
    };
    const Dataset all = build("all", 12, FIRST_TRAINING_SEED + 2), end = build("end", 4, FIRST_TRAINING_SEED + 10);
    CHECK(all.documents() == 12);
    std::set<std::string> sources;
    for (const std::string& task : all.tasks())
        for (int64_t i = 0; i < all.documents(task); i++) sources.insert(all.source(task, i));
    CHECK(sources.size() == 12);
    CHECK(sources.count("storybook 1000002") == 1);
    CHECK(sources.count("storybook 1000013") == 1);
    for (const std::string& task : end.tasks())
        for (int64_t i = 0; i < end.documents(task); i++) {
            const int64_t there = all.documents(task) - end.documents(task) + i;
            CHECK(end.source(task, i) == all.source(task, there));
            CHECK(std::equal(end.document(task, i).ids.begin(), end.document(task, i).ids.end(),
                             all.document(task, there).ids.begin()));
        }

    const auto refused = [&](const StorybookBuild& b) { return error_of([&] { build_storybook(*model, b); }); };
    StorybookBuild bad{.output = folder / "x", .documents = 11, .kinds = kinds, .first_seed = FIRST_TRAINING_SEED - 10};
    CHECK(contains(refused(bad), "for training"));
    bad.first_seed = FIRST_TRAINING_SEED;
    bad.kinds = parse_kinds("retrieve-rare=1");
    CHECK(contains(refused(bad), "evaluation only"));
    CHECK(!std::filesystem::exists(folder / "x"));
}

TEST_CASE("storybook build: killed again and again, it ends in the same bytes") {
    const SmallModel model;
    TemporaryFolder folder;
    const auto command = [&](const std::string& name) {
        return std::vector<std::string>{"data",    "storybook",   "-m",          model.path(),        "--documents",
                                        "24",      "-o",          folder / name, "--shard-documents", "4",
                                        "--kinds", "draw=2,ask=1"};
    };
    CHECK(leon_run(command("a/data")).status == 0);
    const char* named = std::getenv("LEON_BINARY");
    std::string killed = quoted(named ? named : "build/leon");
    for (const std::string& word : command("b/data")) killed += " " + quoted(word);
    int kills = 0;
    for (int i = 0; i < 4; i++) {
        const std::string limited = "timeout -s KILL " + std::to_string(0.02 + 0.3 * i) + " " + killed + " 2>/dev/null";
        kills += std::system(limited.c_str()) != 0;
    }
    CHECK(kills > 0);
    const Result r = leon_run(command("b/data"));
    CHECK(r.status == 0);
    CHECK(r.err.find("24 documents of ") == 0);
    CHECK(files_of(folder / "a/data") == files_of(folder / "b/data"));

    check_refused({"data", "storybook", "-m", model.path(), "-o", folder / "c", "--documents", "2", "--held-out",
                   "--first-seed", "1000000"},
                  "--held-out");
    check_refused(
        {"data", "storybook", "-m", model.path(), "-o", folder / "c", "--documents", "2", "--first-seed", "7"},
        "--held-out");
    check_refused({"data", "storybook", "-m", model.path(), "-o", folder / "c", "--documents", "2", "--kinds", "fly=1"},
                  "fly");
    const Result held = leon_run({"data", "storybook", "-m", model.path(), "-o", folder / "d", "--documents", "3",
                                  "--held-out", "--kinds", "draw=1"});
    CHECK(held.status == 0);
    CHECK(Dataset({folder / "d"}, "").source("draw", 0) == "storybook 0");
}

TEST_CASE("storybook build: the coder of bf16 gives nearly the same codes, and the same whoever asks") {
    const Model model("models/storybook.leon", cpu_kernels());
    const World world;
    VqganCoder coder(model.config().vqgan, model.file());
    const PictureEncoder exact = exact_encoder(model);
    std::vector<std::vector<float>> pictures;
    std::vector<std::vector<int32_t>> alone;
    int same = 0, cells = 0;
    for (uint64_t seed = 0; seed < 6; seed++) {
        const Scene s = scene(world, seed);
        pictures.push_back(to_floats(s.picture));
        alone.push_back(coder.codes(pictures.back(), SCENE_SIZE, SCENE_SIZE));
        const CodeGrid want = exact(s.picture);
        for (int i = 0; i < want.cells(); i++) same += want.codes[i] == alone.back()[i];
        cells += want.cells();
    }
    MESSAGE("the same codes: ", same, " of ", cells);
    CHECK(same > cells * 0.93);
    std::vector<std::vector<int32_t>> together(pictures.size());
    parallel(static_cast<int64_t>(pictures.size()),
             [&](int64_t i, int) { together[i] = coder.codes(pictures[i], SCENE_SIZE, SCENE_SIZE); });
    CHECK(together == alone);
}
