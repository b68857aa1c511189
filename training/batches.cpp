// From the mixture to rows; see batches.h.
#include "training/batches.h"

#include <algorithm>

#include "kernels/check.h"

namespace leon {
namespace {

// Lanes of the recipe's seed, so that no two uses of random numbers meet.
enum Lane : uint64_t { CHOOSE_TASK = 1, CUT = 2, SHUFFLE = 3, CUT_EVALUATION = 4 };

uint64_t lane(Lane use, uint64_t number) {
    return static_cast<uint64_t>(use) << 56 | number;
}

}  // namespace

int64_t shuffled(int64_t index, int64_t size, uint64_t seed) {
    CHECK(index >= 0 && index < size);
    int half = 1;
    while ((int64_t{1} << (2 * half)) < size) half++;
    const uint64_t mask = (uint64_t{1} << half) - 1;
    uint64_t at = static_cast<uint64_t>(index);
    do {  // the network permutes a power of four; places beyond the end are walked on from
        uint64_t left = at >> half, right = at & mask;
        for (uint64_t round = 0; round < 4; round++) {
            const uint64_t next = left ^ (uniform_bits(seed, round, right) & mask);
            left = right;
            right = next;
        }
        at = left << half | right;
    } while (at >= static_cast<uint64_t>(size));
    return static_cast<int64_t>(at);
}

Batches::Batches(const Dataset& data, const TransformerRecipe& recipe, const CutIds& control, const std::string& set)
    : data_(data), recipe_(recipe), control_(control) {
    std::map<std::string, int64_t> documents;
    for (const std::string& task : data.tasks()) documents[task] = data.documents(task);
    double sum = 0;
    for (const auto& [task, share] : shares_of(recipe.mixture, documents, set)) {
        tasks_.push_back(task);
        shares_.push_back(sum += share);
    }
    if (tasks_.size() > UINT8_MAX)
        throw Error("there are more than " + std::to_string(UINT8_MAX) + " tasks", "recipe",
                    "name fewer in its mixture");
}

Batches::Drawn Batches::draw(const Cursor& cursor) const {
    const uint64_t number = static_cast<uint64_t>(cursor.documents);
    const double at = uniform(recipe_.seed, lane(CHOOSE_TASK, 0), number) * shares_.back();
    const int task = static_cast<int>(
        std::min<size_t>(std::upper_bound(shares_.begin(), shares_.end(), at) - shares_.begin(), tasks_.size() - 1));
    const int64_t size = data_.documents(tasks_[task]);
    const int64_t pass = cursor.of_task[task] / size, nth = cursor.of_task[task] % size;
    const uint64_t order =
        uniform_bits(recipe_.seed, lane(SHUFFLE, static_cast<uint64_t>(task)), static_cast<uint64_t>(pass));
    const DocumentView view = data_.document(tasks_[task], shuffled(nth, size, order));
    const int most = recipe_.packing == Packing::Documents ? recipe_.context + 1 : 0;
    if (recipe_.packing == Packing::Stream) {
        CutRule whole = recipe_.objective;
        whole.spans = CutRule::Spans::Fixed;
        whole.mean = 0;
        whole.answer = whole.drop_text = whole.read_back = 0;
        whole.loss = CutRule::Loss::CM3Leon;  // which cuts nothing where nothing is asked for
        return {task, transform_document(view, control_, whole, 0, RandomDraws(0, 0))};
    }
    return {task,
            transform_document(view, control_, recipe_.objective, most, RandomDraws(recipe_.seed, lane(CUT, number)))};
}

// Rows are all ids but the last, targets all but the first. What is longer than the context is cut off.
void Batches::add(StepBatch& batch, const Drawn& drawn) const {
    const CutDocument& d = drawn.document;
    const int rows = std::min(static_cast<int>(d.ids.size()) - 1, recipe_.context);
    for (int i = 0; i < rows; i++) {
        const TokenKind kind = d.kinds[i + 1];
        double weight = recipe_.weights[static_cast<size_t>(kind)];
        if (d.learn[i + 1] == Learn::AsHelp) weight *= recipe_.retrieved_weight;
        if (d.learn[i + 1] == Learn::Not) weight = 0;
        batch.rows.tokens.push_back(d.ids[i]);
        batch.rows.position.push_back(i);
        batch.rows.targets.push_back(weight > 0 ? d.ids[i + 1] : NO_TARGET);
        batch.rows.weights.push_back(static_cast<float>(weight));
        batch.task.push_back(static_cast<uint8_t>(drawn.task));
        batch.kinds.push_back(kind);
    }
    batch.rows.starts.push_back(batch.rows.rows());
}

std::vector<StepBatch> Batches::step(Cursor& cursor) const {
    if (recipe_.packing == Packing::Stream) return stream_step(cursor);
    std::vector<StepBatch> batches(1);
    int rows = 0;
    for (;;) {
        const Drawn drawn = draw(cursor);
        const int more = std::min(static_cast<int>(drawn.document.ids.size()) - 1, recipe_.context);
        // A document that would go too far begins the next step; the first one always counts.
        if (rows > 0 && rows + more > recipe_.batch_tokens) return batches;
        if (batches.back().rows.rows() + more > recipe_.micro_tokens) batches.emplace_back();
        add(batches.back(), drawn);
        rows += more;
        cursor.documents++;
        cursor.of_task[drawn.task]++;
    }
}

// A step's stream begins with a document; what is behind its last whole block is left out.
std::vector<StepBatch> Batches::stream_step(Cursor& cursor) const {
    const int block = recipe_.context + 1;
    const int blocks = std::max(1, recipe_.batch_tokens / recipe_.context);
    std::vector<int32_t> ids;
    std::vector<TokenKind> kinds;
    std::vector<int> tasks;
    const uint64_t first = static_cast<uint64_t>(cursor.documents);
    while (static_cast<int>(ids.size()) < blocks * block) {
        const Drawn drawn = draw(cursor);
        ids.insert(ids.end(), drawn.document.ids.begin(), drawn.document.ids.end());
        kinds.insert(kinds.end(), drawn.document.kinds.begin(), drawn.document.kinds.end());
        tasks.resize(ids.size(), drawn.task);
        cursor.documents++;
        cursor.of_task[drawn.task]++;
    }
    std::vector<StepBatch> batches(1);
    for (int b = 0; b < blocks; b++) {
        const std::span<const int32_t> at(&ids[static_cast<size_t>(b) * block], static_cast<size_t>(block));
        const std::span<const TokenKind> of(&kinds[static_cast<size_t>(b) * block], static_cast<size_t>(block));
        RandomDraws draws(recipe_.seed, lane(CUT, first * 4096 + static_cast<uint64_t>(b)));
        if (batches.back().rows.rows() + recipe_.context > recipe_.micro_tokens) batches.emplace_back();
        add(batches.back(),
            {tasks[static_cast<size_t>(b) * block], transform_block(at, of, control_, recipe_.objective, draws)});
    }
    return batches;
}

std::vector<StepBatch> Batches::evaluation(int documents) const {
    std::vector<StepBatch> batches(1);
    for (size_t task = 0; task < tasks_.size(); task++) {
        const int64_t count = std::min<int64_t>(documents, data_.documents(tasks_[task]));
        for (int64_t i = 0; i < count; i++) {
            const DocumentView view = data_.document(tasks_[task], i);
            const RandomDraws draws(recipe_.seed, lane(CUT_EVALUATION, task << 32 | static_cast<uint64_t>(i)));
            const Drawn drawn{static_cast<int>(task),
                              transform_document(view, control_, recipe_.objective, recipe_.context + 1, draws)};
            const int more = std::min(static_cast<int>(drawn.document.ids.size()) - 1, recipe_.context);
            if (batches.back().rows.rows() + more > recipe_.micro_tokens) batches.emplace_back();
            add(batches.back(), drawn);
        }
    }
    return batches;
}

}  // namespace leon
