// See answering.h.
#include "training/evaluation/answering.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "retrieval/vectors.h"
#include "tasks/answers.h"
#include "tasks/completion.h"
#include "tasks/fill.h"
#include "tasks/pictures.h"
#include "tasks/retrieval.h"
#include "training/storybook/rare_bank.h"

namespace leon {
namespace {

constexpr size_t WORK_OF_TEXT = 64;  // about a quarter of a picture's, encoding it included

bool is_fill(const Row& row) {
    return row.task == Task::FillPicture;
}

CodeGrid encoded(const Model& model, const Picture& picture) {
    return picture_part_of(model, picture).picture;
}

// What the sampler draws for a row begins with a number of its own, whatever rows stand beside it.
uint64_t seed_of(const Row& row, uint64_t seed) {
    return mixed(mixed(seed, static_cast<uint64_t>(row.kind)), row.seed);
}

struct Asking {
    const Row* row;
    const Template* words;
    Wish wish;  // what several tries are ranked by
    CompletionRequest request;
    std::vector<RetrievedDocument> found;
    CodeGrid right;  // codes of the right picture; none for texts
    bool fits = true;
};

Asking query_of(const Model& model, const Row& row, const AskSettings& how) {
    Asking q;
    q.row = &row;
    Fields fields = fields_of(row, [&](const Picture& picture) { return encoded(model, picture); });
    if (how.bank && row.kind == RowKind::RetrieveRare) {
        Help help = how.bank->retrieve(row.scene.caption, how.documents);
        fields.retrieved = std::move(help.documents);
        q.found = std::move(help.sources);
    }
    if (static_cast<int>(fields.retrieved.size()) > how.documents)
        fields.retrieved.resize(static_cast<size_t>(how.documents));
    q.wish = wish_of(fields);
    const auto made = fields.pictures.find(is_fill(row) ? "picture" : "new picture");
    if (made != fields.pictures.end()) q.right = made->second.picture;

    q.words = &template_of(model.config().layout, row.task);
    q.request.prompt = query(*q.words, fields);
    q.request.guidance = guidance_for(*q.words, settled(model, row.task, how.settings));
    q.request.seed = seed_of(row, how.settings.seed);
    size_t tokens = model.documents().ids(q.request.prompt).size();
    if (q.request.prompt.next == Prompt::Next::Picture) tokens += CELLS * CELLS;
    // A hole is followed by its end and the next one's sentinel; a text has at least one token.
    for (const Hole& hole : holes_of(q.request.prompt.document)) tokens += 3 + static_cast<size_t>(hole.length);
    q.fits = tokens <= static_cast<size_t>(model.config().transformer.context) + 1;
    return q;
}

// Which of a row's tries leon would keep.
size_t kept(const Model& model, const Asking& q, const std::vector<CodeGrid>& tries, const Settings& settings) {
    return tries.size() == 1 ? 0 : best_of(model, tries, q.wish, settings);
}

AnsweredRow answered(const Model& model, const Asking& q, const Completions& completions, const Settings& settings) {
    const Row& row = *q.row;
    AnsweredRow result;
    result.found = q.found;
    if (q.right.codes.empty()) {
        for (const Filling& filling : completions.candidates.front().fillings)
            result.answer.texts.push_back(row.task == Task::FillTextOfPicture ? filling.text
                                                                              : bare_answer(filling.text, *q.words));
        return result;
    }
    const auto decoded = [&](const CodeGrid& grid) {
        return model.decoder().decode_u8(grid.codes, grid.rows, grid.cols);
    };
    result.tokenizer = decoded(q.right);
    std::vector<CodeGrid> tries;
    for (const Completion& c : completions.candidates)
        tries.push_back(is_fill(row) ? filled(q.request.prompt.document, c.fillings).parts.back().picture : c.picture);
    const CodeGrid& drawn = tries[kept(model, q, tries, settings)];
    if (!is_fill(row)) {
        result.answer.picture = decoded(drawn);
        return result;
    }
    const RowPicture& given = row.picture("picture");
    for (size_t i = 0; i < given.hidden.size(); i++) CHECK(given.hidden[i] || drawn.codes[i] == q.right.codes[i]);
    result.tokenizer = filled_frame(given.picture, *result.tokenizer, given.hidden, CELL);
    result.answer.picture = filled_frame(given.picture, decoded(drawn), given.hidden, CELL);
    return result;
}

// What counts as wrong whatever the row: no text, a grey picture.
AnsweredRow nothing_for(const Asking& q) {
    AnsweredRow result;
    result.fits = false;
    if (q.right.codes.empty())
        result.answer.texts.resize(q.row->kind == RowKind::FillText ? q.row->fillings.size() : 1);
    else
        result.answer.picture = Picture(SCENE_SIZE, SCENE_SIZE, 128);
    return result;
}

}  // namespace

RareBank::RareBank(const Model& model, const World& world) : model_(model) {
    std::string name = (std::filesystem::temp_directory_path() / "leon_bank_XXXXXX").string();
    if (!mkdtemp(name.data())) throw Error("a temporary folder cannot be made", name);
    folder_ = name;
    embedder_ = std::make_unique<NativeEmbedder>(model.encoder(), model.file());
    const std::string path = folder_ + "/rare.leonbank";
    BankWriter writer(path, *embedder_, SCENE_SIZE);
    for (const RowDocument& document : rare_bank(world)) {
        const Picture& picture = document.picture.picture;
        writer.add(document.text, &picture, "storybook",
                   document_vector(embedder_->text(document.text), embedder_->picture(picture)));
    }
    writer.finish();
    bank_ = std::make_unique<Bank>(path);
}

RareBank::~RareBank() {
    bank_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

Help RareBank::retrieve(const std::string& caption, int documents) const {
    if (documents == 0) return {};
    return retrieve_for(model_, *bank_, *embedder_, caption, nullptr, documents);
}

size_t work_of(RowKind kind) {
    switch (kind) {
        case RowKind::Describe:
        case RowKind::DescribeLong:
        case RowKind::Ask:
        case RowKind::FillText:
        case RowKind::DescribeNovel:
        case RowKind::AskNovel:
            return WORK_OF_TEXT;
        default:
            return CELLS * CELLS;
    }
}

void check_storybook_model(const Model& model) {
    if (!model.documents().joins_by_break() || model.grid() != CELLS || model.config().vqgan.patch() != CELL)
        throw Error("the model does not draw storybook scenes: it takes CM3Leon's documents and pictures of " +
                        std::to_string(SCENE_SIZE) + " pixels in cells of " + std::to_string(CELL),
                    model.path());
}

std::vector<AnsweredRow> answer_rows(const Model& model, std::span<const Row> rows, const AskSettings& how) {
    check_storybook_model(model);
    std::vector<Asking> queries;
    size_t total = 0;
    for (const Row& row : rows) {
        queries.push_back(query_of(model, row, how));
        total += work_of(row.kind);
    }
    std::vector<CompletionRequest> requests;
    for (Asking& q : queries)
        if (q.fits) requests.push_back(q.request);
    Settings settings = settled(model, rows.front().task, how.settings);
    settings.candidates = settings.best_of.value_or(1);
    settings.best_of.reset();

    // Pictures tell how far they are; a text counts as nothing until all are done.
    size_t done = 0;
    Progress progress;
    if (how.progress)
        progress.picture = [&](int candidate, std::span<const int32_t>, int) {
            if (candidate % settings.candidates == 0) done++;
            return how.progress(std::min(done, total), total);
        };
    std::vector<Completions> completions;
    const size_t at_once = std::max<size_t>(1, rows.size() / static_cast<size_t>(settings.candidates));
    for (size_t first = 0; first < requests.size(); first += at_once) {
        const size_t count = std::min(at_once, requests.size() - first);
        for (Completions& each : complete(model, std::span(requests).subspan(first, count), settings, progress))
            completions.push_back(std::move(each));
        if (completions.back().cancelled) return {};
    }
    std::vector<AnsweredRow> answers;
    size_t next = 0;
    for (const Asking& q : queries) {
        if (!q.fits) {
            answers.push_back(nothing_for(q));
            continue;
        }
        answers.push_back(answered(model, q, completions[next++], settings));
        answers.back().seed = q.request.seed;
    }
    if (how.progress && !how.progress(total, total)) return {};
    return answers;
}

Picture through_tokenizer(const Model& model, const Picture& picture) {
    const CodeGrid grid = encoded(model, picture);
    return model.decoder().decode_u8(grid.codes, grid.rows, grid.cols);
}

}  // namespace leon
