// Shards: what was written is read back, whatever it is and however it is spread over files; a damaged shard is an
// Error in one line or harmless, never more.
#include "training/dataset.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <string>

#include "runtime/files.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_model.h"
#include "training/draws.h"

#include "tests/testing.h"

using namespace leon;

namespace {

Example random_example(RandomDraws& draws, const std::string& task) {
    Example e;
    e.task = task;
    for (int64_t i = draws.below(4); i > 0; i--) e.source += "é" + std::to_string(draws.below(1000));
    const int size = 2 + static_cast<int>(draws.below(40));
    for (int i = 0; i < size; i++) {
        e.ids.push_back(static_cast<int32_t>(draws.below(70000)));
        e.kinds.push_back(static_cast<TokenKind>(draws.below(TOKEN_KINDS)));
    }
    e.query = static_cast<int>(draws.below(size));
    e.answer_first = static_cast<int>(draws.below(size));
    e.answer_end = e.answer_first + static_cast<int>(draws.below(size + 1 - e.answer_first));
    e.prepared = draws.chance(0.5);
    return e;
}

void check_same(const Dataset& data, const std::string& task, int64_t index, const Example& e) {
    const DocumentView d = data.document(task, index);
    CHECK(std::vector<int32_t>(d.ids.begin(), d.ids.end()) == e.ids);
    CHECK(std::vector<TokenKind>(d.kinds.begin(), d.kinds.end()) == e.kinds);
    CHECK(d.query == e.query);
    CHECK(d.answer_first == e.answer_first);
    CHECK(d.answer_end == e.answer_end);
    CHECK(d.prepared == e.prepared);
    CHECK(data.source(task, index) == e.source);
}

Example small(const std::string& task = "draw", const std::string& source = "here") {
    return {.task = task,
            .source = source,
            .ids = {2, 7, 9, 2},
            .kinds = {TokenKind::Text, TokenKind::Answer, TokenKind::Picture, TokenKind::Text},
            .query = 0,
            .answer_first = 1,
            .answer_end = 2,
            .prepared = false};
}

void write_shard(const std::string& path, const std::vector<Example>& examples, const std::string& mark = "mark") {
    ShardWriter writer(path, mark);
    for (const Example& e : examples) writer.add(e);
    writer.commit();
}

std::string open_error(const std::string& path, const std::string& mark = "mark") {
    return error_of([&] { Dataset({path}, mark); });
}

// Everything that can be asked of a dataset; the sum is there so that nothing is left out.
int64_t read_all(const Dataset& data) {
    int64_t sum = data.tokens() + data.documents() + data.highest_id();
    for (const std::string& task : data.tasks())
        for (int64_t i = 0; i < data.documents(task); i++) {
            const DocumentView d = data.document(task, i);
            for (size_t k = 0; k < d.ids.size(); k++) sum += d.ids[k] + static_cast<int>(d.kinds[k]);
            for (char c : data.source(task, i)) sum += c;
            sum += d.query + d.answer_first + d.answer_end;
        }
    return sum;
}

}  // namespace

TEST_CASE("dataset: what was written is read back, over tasks and files") {
    TemporaryFolder folder;
    RandomDraws draws(1, 1);
    std::map<std::string, std::vector<Example>> want;
    int64_t documents = 0, tokens = 0;
    int32_t highest = 0;
    for (const char* name : {"a-00002.shard", "a-00001.shard", "b.shard"}) {
        ShardWriter writer(folder / name, "mark");
        int64_t in_shard = 0;
        for (int i = 0; i < 30; i++) {
            const char* tasks[] = {"draw", "ask", "so \"strange\" a näme"};
            const Example e = random_example(draws, tasks[draws.below(name[0] == 'b' ? 1 : 3)]);
            writer.add(e);
            in_shard += static_cast<int64_t>(e.ids.size());
            highest = std::max(highest, *std::max_element(e.ids.begin(), e.ids.end()));
            want[e.task].push_back(e);
        }
        CHECK(writer.documents() == 30);
        CHECK(writer.tokens() == in_shard);
        CHECK(!std::filesystem::exists(folder / name));
        writer.commit();
        documents += 30;
        tokens += in_shard;
    }
    write_text(folder / "notes.txt", "no shard");
    // Named one by one: the order is that of the paths.
    const Dataset listed({folder / "a-00002.shard", folder / "a-00001.shard", folder / "b.shard"}, "mark");
    CHECK(listed.documents() == documents);
    CHECK(listed.tokens() == tokens);
    CHECK(listed.highest_id() == highest);
    CHECK(listed.tasks() == std::vector<std::string>{"ask", "draw", "so \"strange\" a näme"});
    for (const auto& [task, examples] : want) {
        REQUIRE(listed.documents(task) == static_cast<int64_t>(examples.size()));
        for (size_t i = 0; i < examples.size(); i++) check_same(listed, task, static_cast<int64_t>(i), examples[i]);
    }
    CHECK(listed.documents("nothing") == 0);

    // A folder: in the order of the names.
    const Dataset whole({folder.path()}, "");
    CHECK(whole.documents() == documents);
    CHECK(whole.model_mark() == "mark");
    const Dataset first({folder / "a-00001.shard"}, "mark");
    CHECK(whole.document("draw", 0).ids.size() == first.document("draw", 0).ids.size());
    CHECK(whole.source("draw", 0) == first.source("draw", 0));
}

TEST_CASE("dataset: the same documents are the same bytes") {
    TemporaryFolder folder;
    write_shard(folder / "a.shard", {small(), small("ask", "")});
    write_shard(folder / "b.shard", {small(), small("ask", "")});
    CHECK(read_text(folder / "a.shard") == read_text(folder / "b.shard"));
    write_shard(folder / "c.shard", {small("draw", ""), small("draw", "")});  // no source at all
    CHECK(Dataset({folder / "c.shard"}, "mark").source("draw", 1).empty());
}

TEST_CASE("dataset: ids of another model are refused") {
    TemporaryFolder folder;
    write_shard(folder / "a.shard", {small()}, "one");
    CHECK(open_error(folder / "a.shard", "one").empty());
    CHECK(contains(open_error(folder / "a.shard", "two"), "another model"));
    write_shard(folder / "b.shard", {small()}, "two");
    CHECK(contains(open_error(folder.path(), ""), "another model"));
    CHECK(contains(open_error(folder / "nothing", ""), "nothing"));
    std::filesystem::create_directory(folder / "empty");
    CHECK(contains(open_error(folder / "empty", ""), "no shards"));
    CHECK(error_of([&] { ShardWriter(folder / "no/where.shard", ""); }) != "");
}

TEST_CASE("dataset: a model's mark is that of its tokenizer, encoder and codebook") {
    TemporaryFolder folder;
    const TinyModel tiny(Layout::CM3Leon);
    const WeightsFile& file = tiny->file();
    const std::string mark = model_mark(file);
    CHECK(mark.size() == 16);
    CHECK(mark.find_first_not_of("0123456789abcdef") == std::string::npos);
    const std::string bytes = read_text(file.path());
    const auto mark_with = [&](size_t flipped) {
        std::string changed = bytes;
        changed[flipped] = static_cast<char>(changed[flipped] ^ 1);
        write_text(folder / "changed.leon", changed);
        return model_mark(WeightsFile(folder / "changed.leon"));
    };
    CHECK(mark_with(bytes.size() - 1) == mark);  // the decoder's end
    for (const auto& [name, tensor] : file.file().tensors()) {
        if (name.starts_with(PADDING_PREFIX) || tensor.bytes == 0) continue;
        const bool counts =
            name == "vqgan.codebook" || name.starts_with("vqgan.encoder") || name.starts_with("vqgan.quant_conv");
        if (tensor.bytes < 40 && counts) continue;  // enough
        CHECK((mark_with(tensor.offset) != mark) == counts);
        if (counts) CHECK(mark_with(tensor.offset + tensor.bytes - 1) != mark);
    }
    const TinyModel other(Layout::Chameleon);
    CHECK(model_mark(other->file()) != mark);
    // Another word in the tokenizer.
    std::string changed = bytes;
    const size_t word = changed.find("Ġ");
    if (word != std::string::npos) {
        changed[word + 1] = static_cast<char>(changed[word + 1] ^ 1);
        write_text(folder / "changed.leon", changed);
        CHECK(model_mark(WeightsFile(folder / "changed.leon")) != mark);
    }
}

TEST_CASE("dataset: facts that do not fit are refused by name") {
    TemporaryFolder folder;
    const std::string path = folder / "a.shard";
    write_shard(path, {small(), small("ask", "there")});
    const std::string good = read_text(path);
    const SafetensorsFile file(path);
    const auto at = [&](const char* tensor, size_t element, size_t bytes = 4) {
        return file.find(tensor)->offset + element * bytes;
    };
    const auto error_with = [&](size_t offset, int32_t value, size_t bytes = 4) {
        std::string bad = good;
        for (size_t i = 0; i < bytes; i++) bad[offset + i] = static_cast<char>(value >> (8 * i));
        write_text(folder / "bad.shard", bad);
        const std::string error = open_error(folder / "bad.shard");
        CHECK(error.find('\n') == std::string::npos);
        CHECK((error.empty() || contains(error, "bad.shard")));
        return error;
    };
    CHECK(error_with(at("ids", 0), 2).empty());
    CHECK(contains(error_with(at("ids", 0), -1), "below 0"));
    CHECK(contains(error_with(at("kinds", 2, 1), TOKEN_KINDS, 1), "no known kind"));
    CHECK(contains(error_with(at("lengths", 0), 5), "add up"));
    CHECK(contains(error_with(at("lengths", 0), 1), "too short"));
    CHECK(contains(error_with(at("lengths", 0), -4), "too short"));
    CHECK(contains(error_with(at("source_bytes", 0), -1), "too short"));
    CHECK(contains(error_with(at("source_bytes", 0), 5), "add up"));
    const auto range = [&](size_t fact, int32_t value) {
        return contains(error_with(at("facts", 5 + fact), value), "document 1 has facts out of range");
    };
    CHECK(range(0, 2));  // the task
    CHECK(range(0, -1));
    CHECK(range(1, 4));  // where the query begins
    CHECK(range(1, -1));
    CHECK(range(2, 3));  // the answer's ends
    CHECK(range(2, -1));
    CHECK(range(3, 5));
    CHECK(range(3, 0));
    CHECK(range(4, 2));  // prepared
    CHECK(!range(3, 4));
    CHECK(!range(1, 3));

    for (const char* word : {"leon-shard", "leon.version", "leon.shard", "\\\"tasks", "\\\"model", "draw"}) {
        CAPTURE(word);
        std::string bad = good;
        const size_t place = bad.find(word);
        REQUIRE(place != std::string::npos);
        bad[place + 3] ^= 2;
        write_text(folder / "bad.shard", bad);
        CHECK((open_error(folder / "bad.shard") != "") == (std::string(word) != "draw"));
    }
    write_text(folder / "bad.shard", "{}");
    CHECK(open_error(folder / "bad.shard") != "");
    const TinyModel model(Layout::CM3Leon);
    CHECK(contains(open_error(model.path()), "not a shard"));
}

TEST_CASE("dataset: no damage does more than an Error in one line") {
    TemporaryFolder folder;
    const std::string path = folder / "a.shard";
    write_shard(path, {small(), small("ask", "there")});
    const std::string good = read_text(path);
    size_t data = good.size();  // where tensors begin
    const SafetensorsFile file(path);
    for (const auto& entry : file.tensors()) data = std::min(data, entry.second.offset);
    const size_t header = good.find_last_not_of(' ', data - 1) + 1;

    int refused = 0, harmless = 0;
    const auto try_it = [&] {
        const std::string error = error_of([&] { read_all(Dataset({path}, "")); });
        CHECK(error.find('\n') == std::string::npos);
        for (char c : error) CHECK(static_cast<unsigned char>(c) >= ' ');
        (error.empty() ? harmless : refused)++;
    };
    std::fstream bytes(path, std::ios::in | std::ios::out | std::ios::binary);
    const auto put = [&](size_t at, char c) {
        bytes.seekp(static_cast<std::streamoff>(at));
        bytes.put(c);
        bytes.flush();
    };
    RandomDraws draws(2, 2);
    for (size_t i = 0; i < good.size(); i++) {
        if (i >= header && i < data && i % 64 != 0) continue;  // blanks between header and tensors
        put(i, static_cast<char>(good[i] ^ (1 << draws.below(8))));
        try_it();
        put(i, good[i]);
    }
    CHECK(refused > 500);
    CHECK(harmless > 20);  // ids, sources, digits of the mark
    CHECK(read_text(path) == good);
    bytes.close();
    for (size_t length = 0; length < good.size(); length += length < header + 64 ? 7 : 64) {
        write_text(path, good.substr(0, length));
        CHECK(open_error(path) != "");
    }
}
