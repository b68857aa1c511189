// Steps as functions of a cursor: the same wherever a run is taken up again, every document once a pass, tasks as often
// as their shares say, rows within their bounds; and what stands in a batch against the documents it was made of.
#include "training/batches.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "tests/temporary_folder.h"

#include "tests/testing.h"

using namespace leon;
using Ids = std::vector<int32_t>;

namespace {

constexpr int32_t EOS = 100, BRK = 101, EOSS = 102, SENTINEL = 200, NAME = 1000;

CutIds control() {
    CutIds ids{EOS, BRK, EOSS, {}};
    for (int i = 0; i < 8; i++) ids.sentinels.push_back(SENTINEL + i);
    return ids;
}

// </s> NAME+n NAME+n ... <break> words </s>: the second id tells which document it is.
Example named(const std::string& task, int name, int length) {
    Example e;
    e.task = task;
    e.ids = {EOS};
    for (int i = 0; i < length / 2; i++) e.ids.push_back(NAME + name);
    e.ids.push_back(BRK);
    while (static_cast<int>(e.ids.size()) < length - 1) e.ids.push_back(name % 100);
    e.ids.push_back(EOS);
    e.kinds.assign(e.ids.size(), TokenKind::Text);
    for (size_t i = 1; i < e.ids.size() / 2; i++) e.kinds[i] = TokenKind::Picture;
    return e;
}

// 60 documents of "a", 30 of "b", 7 of "c", of 6 to 29 ids, in two shards.
struct Data {
    TemporaryFolder folder;
    std::map<int, std::pair<std::string, Ids>> documents;  // by name
    std::unique_ptr<Dataset> dataset;

    Data() {
        for (int shard = 0; shard < 2; shard++) {
            ShardWriter writer(folder / ("s" + std::to_string(shard) + ".shard"), "mark");
            for (int i = shard; i < 97; i += 2) {
                const std::string task = i < 60 ? "a" : i < 90 ? "b" : "c";
                const Example e = named(task, i, 6 + i * 7 % 24);
                documents[NAME + i] = {task, e.ids};
                writer.add(e);
            }
            writer.commit();
        }
        dataset = std::make_unique<Dataset>(std::vector<std::string>{folder.path()}, "mark");
    }
};

TransformerRecipe recipe() {
    TransformerRecipe r;
    r.context = 40;
    r.batch_tokens = 200;
    r.micro_tokens = 90;
    r.seed = 5;
    r.objective.spans = CutRule::Spans::Fixed;
    r.objective.mean = 0;
    r.weights = {1, 2, 3, 4, 5};
    return r;
}

bool same(const StepBatch& a, const StepBatch& b) {
    return a.rows.tokens == b.rows.tokens && a.rows.position == b.rows.position && a.rows.targets == b.rows.targets &&
           a.rows.weights == b.rows.weights && a.rows.starts == b.rows.starts && a.task == b.task && a.kinds == b.kinds;
}
bool same(const std::vector<StepBatch>& a, const std::vector<StepBatch>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](auto& x, auto& y) { return same(x, y); });
}

// The ids of each document of a batch: its tokens and its last target.
std::vector<Ids> documents_of(const StepBatch& batch) {
    std::vector<Ids> all;
    for (int d = 0; d < batch.rows.documents(); d++) {
        const int first = batch.rows.starts[static_cast<size_t>(d)],
                  end = batch.rows.starts[static_cast<size_t>(d) + 1];
        Ids ids(batch.rows.tokens.begin() + first, batch.rows.tokens.begin() + end);
        ids.push_back(batch.rows.targets[static_cast<size_t>(end) - 1]);
        all.push_back(ids);
    }
    return all;
}
int rows_of(const std::vector<StepBatch>& batches) {
    int rows = 0;
    for (const StepBatch& batch : batches) rows += batch.rows.rows();
    return rows;
}

void check_shape(const StepBatch& batch, const TransformerRecipe& r) {
    const PackedBatch& rows = batch.rows;
    const size_t size = rows.tokens.size();
    CHECK(rows.rows() <= r.micro_tokens);
    CHECK(rows.rows() > 0);
    CHECK(rows.position.size() == size);
    CHECK(rows.targets.size() == size);
    CHECK(rows.weights.size() == size);
    CHECK(batch.task.size() == size);
    CHECK(batch.kinds.size() == size);
    CHECK(rows.starts.front() == 0);
    CHECK(rows.starts.back() == rows.rows());
    for (int d = 0; d < rows.documents(); d++) {
        const int first = rows.starts[static_cast<size_t>(d)], end = rows.starts[static_cast<size_t>(d) + 1];
        CHECK(end > first);
        CHECK(end - first <= r.context);
        for (int i = first; i < end; i++) {
            const size_t at = static_cast<size_t>(i);
            CHECK(rows.position[at] == i - first);
            CHECK(batch.task[at] == batch.task[static_cast<size_t>(first)]);
            CHECK((rows.targets[at] == NO_TARGET) == (rows.weights[at] == 0));
            if (i + 1 < end && rows.targets[at] != NO_TARGET) CHECK(rows.targets[at] == rows.tokens[at + 1]);
        }
    }
}

}  // namespace

TEST_CASE("batches: shuffled() is a permutation, another one for every seed") {
    for (const int64_t size : {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000}) {
        CAPTURE(size);
        std::vector<int64_t> first, second;
        for (int64_t i = 0; i < size; i++) {
            first.push_back(shuffled(i, size, 1));
            second.push_back(shuffled(i, size, 2));
        }
        if (size > 4) CHECK(first != second);
        int64_t kept = 0;
        for (int64_t i = 0; i < size; i++) kept += first[static_cast<size_t>(i)] == i;
        if (size > 100) CHECK(kept < 12);  // one is expected
        for (std::vector<int64_t>* all : {&first, &second}) {
            std::sort(all->begin(), all->end());
            for (int64_t i = 0; i < size; i++) CHECK((*all)[static_cast<size_t>(i)] == i);
        }
    }
    // Every place of a small one is reached about equally often.
    std::map<int64_t, int> places;
    for (uint64_t seed = 0; seed < 6000; seed++) places[shuffled(2, 6, seed)]++;
    CHECK(places.size() == 6);
    for (const auto& entry : places) CHECK(std::abs(entry.second - 1000) < 150);
    CHECK(shuffled(123456789, int64_t{1} << 40, 3) < int64_t{1} << 40);
}

TEST_CASE("batches: a step is a function of its cursor") {
    const Data data;
    for (const Packing packing : {Packing::Documents, Packing::Stream}) {
        TransformerRecipe r = recipe();
        r.packing = packing;
        r.objective.spans = CutRule::Spans::Poisson;
        r.objective.mean = 1;
        r.objective.rotation = 0.5;
        const Batches batches(*data.dataset, r, control());
        CHECK(batches.tasks() == std::vector<std::string>{"a", "b", "c"});
        std::vector<Cursor> cursors = {batches.begin()};
        std::vector<std::vector<StepBatch>> steps;
        for (int step = 0; step < 30; step++) {
            Cursor cursor = cursors.back();
            steps.push_back(batches.step(cursor));
            CHECK(cursor.documents > cursors.back().documents);
            CHECK(cursor.of_task[0] + cursor.of_task[1] + cursor.of_task[2] == cursor.documents);
            cursors.push_back(cursor);
            for (const StepBatch& batch : steps.back()) check_shape(batch, r);
        }
        const Dataset again({data.folder.path()}, "mark");
        const Batches resumed(again, r, control());
        for (const size_t step : {17, 3, 29}) {
            Cursor cursor = cursors[step];
            CHECK(same(resumed.step(cursor), steps[step]));
            CHECK(cursor == cursors[step + 1]);
        }
        CHECK(!same(steps[0], steps[1]));
        r.seed = 6;
        Cursor cursor = batches.begin();
        CHECK(!same(Batches(again, r, control()).step(cursor), steps[0]));
    }
}

TEST_CASE("batches: documents arrive whole, each once a pass, tasks by their shares") {
    const Data data;
    TransformerRecipe r = recipe();
    const Batches batches(*data.dataset, r, control());
    Cursor cursor = batches.begin();
    std::map<std::string, std::vector<int>> order;
    while (cursor.of_task[2] < 21) {
        const std::vector<StepBatch> step = batches.step(cursor);
        CHECK(rows_of(step) <= r.batch_tokens);
        CHECK(rows_of(step) > r.batch_tokens - r.context);
        for (const StepBatch& batch : step) {
            check_shape(batch, r);
            for (const Ids& ids : documents_of(batch)) {
                const auto& [task, want] = data.documents.at(ids[1]);
                CHECK(ids == want);
                order[task].push_back(ids[1]);
            }
        }
    }
    const std::map<std::string, size_t> sizes = {{"a", 60}, {"b", 30}, {"c", 7}};
    for (const auto& [task, size] : sizes) {
        const std::vector<int>& drawn = order[task];
        REQUIRE(drawn.size() >= 2 * size);
        for (size_t pass = 0; (pass + 1) * size <= drawn.size(); pass++)
            CHECK(std::set<int>(&drawn[pass * size], &drawn[pass * size] + size).size() == size);
        CHECK(!std::equal(drawn.begin(), drawn.begin() + static_cast<int64_t>(size),
                          drawn.begin() + static_cast<int64_t>(size)));
    }

    r.mixture.shares = {{"a", 1}, {"c", 3}};
    const Batches mixed(*data.dataset, r, control());
    CHECK(mixed.tasks() == std::vector<std::string>{"a", "c"});
    cursor = mixed.begin();
    while (cursor.documents < 4000) mixed.step(cursor);
    const double share = static_cast<double>(cursor.of_task[1]) / static_cast<double>(cursor.documents);
    CHECK(std::abs(share - 0.75) < 5 * std::sqrt(0.75 * 0.25 / 4000));
    r.mixture.shares = {{"d", 1}};
    CHECK(contains(error_of([&] { Batches(*data.dataset, r, control()); }), "no documents in 'train'"));
    const std::string of_held_out = error_of([&] { Batches(*data.dataset, r, control(), "held_out"); });
    CHECK(contains(of_held_out, "'d'"));
    CHECK(contains(of_held_out, "no documents in 'held_out'"));
}

TEST_CASE("batches: weights are those of the target's kind, of what was retrieved, of what is not learnt") {
    TemporaryFolder folder;
    Example e;
    e.task = "t";
    e.ids = {EOS, 1, 2, 3, 4, 5, EOS};
    e.kinds = {TokenKind::Text,    TokenKind::Picture, TokenKind::Object, TokenKind::Answer,
               TokenKind::Context, TokenKind::Text,    TokenKind::Text};
    e.query = 3;
    ShardWriter writer(folder / "a.shard", "");
    writer.add(e);
    e.prepared = true;
    e.task = "u";
    e.ids[5] = SENTINEL;
    writer.add(e);
    writer.commit();
    const Dataset data({folder.path()}, "");
    TransformerRecipe r = recipe();
    r.retrieved_weight = 0.5;
    r.objective.loss = CutRule::Loss::CM3;
    r.objective.most = 8;
    r.weights[static_cast<size_t>(TokenKind::Context)] = 0;
    r.mixture.shares = {{"u", 1}};
    Cursor cursor;
    const Batches batches(data, r, control());
    cursor = batches.begin();
    const StepBatch batch = batches.step(cursor)[0];
    const std::vector<float> weights(batch.rows.weights.begin(), batch.rows.weights.begin() + 6);
    CHECK(weights == std::vector<float>{1, 1.5f, 4, 0, 0, 1});  // half, half, answer, context, sentinel, text
    CHECK(Ids(batch.rows.targets.begin(), batch.rows.targets.begin() + 6) == Ids{1, 2, 3, NO_TARGET, NO_TARGET, EOS});
    CHECK(Ids(batch.rows.tokens.begin(), batch.rows.tokens.begin() + 7) == Ids{EOS, 1, 2, 3, 4, SENTINEL, EOS});
    CHECK(std::vector<TokenKind>(batch.kinds.begin(), batch.kinds.begin() + 6) ==
          std::vector<TokenKind>(e.kinds.begin() + 1, e.kinds.end()));
}

TEST_CASE("batches: what is longer than the context loses its end, and is not cut") {
    const Data data;
    TransformerRecipe r = recipe();
    r.context = 12;
    r.micro_tokens = 12;
    r.batch_tokens = 1;  // one document a step
    r.objective.spans = CutRule::Spans::Always;
    r.objective.rotation = 1;
    const Batches batches(*data.dataset, r, control());
    Cursor cursor = batches.begin();
    int cut_short = 0, with_spans = 0;
    for (int i = 0; i < 200; i++) {
        const std::vector<StepBatch> step = batches.step(cursor);
        CHECK(cursor.documents == i + 1);
        REQUIRE(step.size() == 1);
        check_shape(step[0], r);
        const Ids ids = documents_of(step[0])[0];
        const bool spans = std::find(ids.begin(), ids.end(), EOSS) != ids.end();
        with_spans += spans;
        if (spans) CHECK(uncut(ids, control()).size() <= 10);
        if (spans) continue;
        const Ids& want = data.documents.at(ids[1]).second;
        CHECK(ids.size() == std::min<size_t>(13, want.size()));
        CHECK(std::equal(ids.begin(), ids.end(), want.begin()));
        cut_short += ids.size() < want.size();
    }
    CHECK(cut_short > 50);
    CHECK(with_spans > 20);
}

TEST_CASE("batches: a stream is packed without gaps, and begins every step with a document") {
    const Data data;
    TransformerRecipe r = recipe();
    r.packing = Packing::Stream;
    const Batches batches(*data.dataset, r, control()), whole(*data.dataset, recipe(), control());
    Cursor cursor = batches.begin();
    for (int i = 0; i < 20; i++) {
        const Cursor before = cursor;
        const std::vector<StepBatch> step = batches.step(cursor);
        CHECK(rows_of(step) == r.batch_tokens / r.context * r.context);
        Ids stream;
        for (const StepBatch& batch : step) {
            check_shape(batch, r);
            CHECK(batch.rows.rows() <= 80);
            for (const Ids& block : documents_of(batch)) {
                CHECK(static_cast<int>(block.size()) == r.context + 1);
                stream.insert(stream.end(), block.begin(), block.end());
            }
        }
        // The same documents that whole packing draws from here, in their order.
        Ids want;
        Cursor other = before;
        while (want.size() < stream.size())
            for (const StepBatch& batch : whole.step(other))
                for (const Ids& ids : documents_of(batch)) want.insert(want.end(), ids.begin(), ids.end());
        CHECK(std::equal(stream.begin(), stream.end(), want.begin()));
    }
    // Cut blocks are of the same size, and hold spans.
    r.objective.spans = CutRule::Spans::Always;
    r.objective.rotation = 1;
    cursor = batches.begin();
    const Batches cutting(*data.dataset, r, control());
    int spans = 0, blocks = 0;
    for (const StepBatch& batch : cutting.step(cursor))
        for (const Ids& block : documents_of(batch)) {
            CHECK(static_cast<int>(block.size()) == r.context + 1);
            spans += block.back() == EOSS;
            blocks++;
        }
    CHECK(spans == blocks);
}

TEST_CASE("batches: an evaluation is the first documents of every task, the same every time") {
    const Data data;
    TransformerRecipe r = recipe();
    const Batches batches(*data.dataset, r, control());
    const std::vector<StepBatch> evaluation = batches.evaluation(10);
    std::map<std::string, std::vector<Ids>> found;
    for (const StepBatch& batch : evaluation) {
        check_shape(batch, r);
        for (const Ids& ids : documents_of(batch)) found[data.documents.at(ids[1]).first].push_back(ids);
    }
    for (const auto& [task, count] : std::map<std::string, size_t>{{"a", 10}, {"b", 10}, {"c", 7}}) {
        REQUIRE(found[task].size() == count);
        for (size_t i = 0; i < count; i++) {
            const DocumentView d = data.dataset->document(task, static_cast<int64_t>(i));
            CHECK(found[task][i] == Ids(d.ids.begin(), d.ids.end()));
        }
    }
    r.objective.spans = CutRule::Spans::Poisson;
    r.objective.mean = 1;
    const Batches cutting(*data.dataset, r, control());
    CHECK(same(cutting.evaluation(10), cutting.evaluation(10)));
    CHECK(!same(cutting.evaluation(10), evaluation));
}
