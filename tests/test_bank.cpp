// Memory banks: what is written reads back bit for bit, whatever is damaged is refused in one line, and the way from a
// folder to the documents in front of a prompt.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/random.h"
#include "retrieval/native_embedder.h"
#include "retrieval/retrieve.h"
#include "tasks/retrieval.h"
#include "tests/temporary_folder.h"

#include "tests/testing.h"

using namespace leon;

namespace {

const std::string MODEL = "models/storybook.leon";

// Texts as the native one has them, pictures by their mean colour: quick, and exact enough to find things.
class ToyEmbedder : public Embedder {
public:
    explicit ToyEmbedder(std::string name = "toy-1") : name_(std::move(name)) {}
    std::string name() const override { return name_; }
    int dim() const override { return NATIVE_PART_DIM + 3; }
    std::vector<float> text(const std::string& text) const override {
        std::vector<float> v = hashed_text(text);
        v.resize(static_cast<size_t>(dim()), 0.0f);
        return v;
    }
    std::vector<float> picture(const Picture& picture) const override {
        std::vector<float> v(static_cast<size_t>(dim()), 0.0f);
        for (size_t i = 0; i < picture.rgb.size(); i++)
            v[NATIVE_PART_DIM + i % 3] += static_cast<float>(picture.rgb[i]) - 127.5f;
        normalise(v);
        return v;
    }

private:
    std::string name_;
};

constexpr int SIDE = 16;

Picture coloured(uint8_t r, uint8_t g, uint8_t b, int side = SIDE) {
    Picture picture(side, side);
    for (size_t i = 0; i < picture.rgb.size(); i += 3)
        picture.rgb[i] = r, picture.rgb[i + 1] = g, picture.rgb[i + 2] = b;
    picture.rgb[0] ^= 1;  // not quite flat
    return picture;
}

struct BankEntry {
    std::string text;
    std::optional<Picture> picture;
    std::string source;

    std::vector<float> vector(const Embedder& e) const {
        return document_vector(text.empty() ? std::vector<float>() : e.text(text),
                               picture ? e.picture(*picture) : std::vector<float>());
    }
};

const std::vector<BankEntry>& some_documents() {
    static const std::vector<BankEntry> documents = {
        {"a red car on a beach", coloured(250, 10, 10), "cars/1.png"},
        {"only text: a red car", {}, "notes.txt"},
        {"", coloured(10, 250, 10), "green.png"},
        {"\u732b </s><racm3:break><sentinel:0>IMGIMGAZ <eoss>", coloured(10, 10, 250), ""},
        {"a red car on the beach", coloured(250, 12, 10), "cars/2.png"},  // nearly the first
        {"a blue ship", coloured(20, 20, 240), "ship.png"}};
    return documents;
}

void write_bank(const std::string& path, const std::vector<BankEntry>& documents, const Embedder& embedder,
                int exact_search_documents = EXACT_SEARCH_DOCUMENTS) {
    BankWriter writer(path, embedder, SIDE, exact_search_documents);
    for (const BankEntry& d : documents)
        writer.add(d.text, d.picture ? &*d.picture : nullptr, d.source, d.vector(embedder));
    writer.finish();
}

std::vector<BankEntry> many_documents(int count) {
    std::vector<BankEntry> documents;
    for (int i = 0; i < count; i++) {
        std::string text;
        for (uint64_t w = 0; w < 6; w++)
            text += "word" + std::to_string(int(uniform(1, static_cast<uint64_t>(i), w) * 50)) + " ";
        documents.push_back({text, {}, std::to_string(i)});
    }
    return documents;
}

// Everything a bank can be asked, so that a damaged one has every chance to do harm.
void use(const Bank& bank, const Embedder& embedder) {
    if (bank.vectors().dim == embedder.dim()) {
        bank.search(embedder.text("a red car"), 3);
        bank.search(embedder.text("a red car"), 3, Bank::Search::Exact);
    }
    for (int i = 0; i < bank.documents(); i++) {
        printable(bank.text(i));
        printable(bank.source(i));
        if (bank.has_picture(i)) bank.picture(i);
    }
}

std::string error_in(const std::string& path) {
    return error_of([&] {
        const Bank bank(path);
        use(bank, ToyEmbedder());
    });
}

}  // namespace

TEST_CASE("bank: what is written reads back bit for bit, and twice the same file") {
    const TemporaryFolder folder;
    const ToyEmbedder toy;
    write_bank(folder / "a.bank", some_documents(), toy);
    write_bank(folder / "b.bank", some_documents(), toy);
    CHECK(read_text(folder / "a.bank") == read_text(folder / "b.bank"));
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);  // no scratch files stay

    const Bank bank(folder / "a.bank");
    REQUIRE(bank.documents() == static_cast<int>(some_documents().size()));
    CHECK(bank.embedder() == "toy-1");
    CHECK(bank.side() == SIDE);
    CHECK(!bank.has_graph());
    for (int i = 0; i < bank.documents(); i++) {
        const BankEntry& d = some_documents()[static_cast<size_t>(i)];
        CHECK(bank.text(i) == d.text);
        CHECK(bank.source(i) == d.source);
        CHECK(bank.has_picture(i) == d.picture.has_value());
        if (d.picture) CHECK(bank.picture(i).rgb == d.picture->rgb);
        const std::vector<float> vector = d.vector(toy);
        CHECK(std::memcmp(bank.vectors().at(i).data(), vector.data(), vector.size() * sizeof(float)) == 0);
    }
    const std::vector<float> query = toy.text("a red car");
    CHECK(bank.search(query, 3) == exact_search(bank.vectors(), query, 3));
}

TEST_CASE("bank: one with texts alone, one with pictures alone") {
    const TemporaryFolder folder;
    write_bank(folder / "texts.bank", {{"a", {}, ""}, {"b", {}, ""}}, ToyEmbedder());
    write_bank(folder / "pictures.bank", {{"", coloured(1, 2, 3), ""}}, ToyEmbedder());
    CHECK(Bank(folder / "texts.bank").text(1) == "b");
    CHECK(Bank(folder / "pictures.bank").picture(0).rgb == coloured(1, 2, 3).rgb);
    CHECK(error_in(folder / "texts.bank") == "");
    CHECK(error_in(folder / "pictures.bank") == "");
}

TEST_CASE("bank: a large one has a graph, which finds the same and survives the file") {
    const TemporaryFolder folder;
    const ToyEmbedder toy;
    write_bank(folder / "graph.bank", many_documents(300), toy, 100);
    write_bank(folder / "flat.bank", many_documents(300), toy);
    const Bank with(folder / "graph.bank"), without(folder / "flat.bank");
    CHECK(with.has_graph());
    CHECK(!without.has_graph());
    int found = 0;
    for (int q = 0; q < 50; q++) {
        const std::vector<float> query = toy.text("word" + std::to_string(q) + " word" + std::to_string(49 - q));
        const std::vector<Hit> truth = without.search(query, 2), fast = with.search(query, 2);
        CHECK(with.search(query, 2, Bank::Search::Exact) == truth);
        for (size_t i = 0; i < 2; i++) found += fast[i].score >= truth[i].score;
    }
    CHECK(found >= 99);
}

TEST_CASE("bank: an interrupted writer leaves the old file and no other") {
    const TemporaryFolder folder;
    write_text(folder / "a.bank", "old");
    {
        BankWriter writer(folder / "a.bank", ToyEmbedder(), SIDE);
        writer.add("a", nullptr, "", ToyEmbedder().text("a"));
        CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
    }
    CHECK(read_text(folder / "a.bank") == "old");
    CHECK(contains(error_of([&] { BankWriter(folder / "no/such/a.bank", ToyEmbedder(), SIDE); }), "no/such"));
}

TEST_CASE("bank: no prefix of a file opens, and no changed byte does harm") {
    const TemporaryFolder folder;
    write_bank(folder / "good.bank", many_documents(12), ToyEmbedder(), 5);
    const std::string whole = read_text(folder / "good.bank"), path = folder / "bad.bank";
    CHECK(error_in(folder / "good.bank") == "");
    for (size_t length = 0; length < whole.size(); length += 1 + length / 40) {
        write_text(path, whole.substr(0, length));
        CHECK(error_in(path) != "");
    }
    int refused = 0;
    for (uint64_t trial = 0; trial < 400; trial++) {
        std::string changed = whole;
        // The header, then the numbers of the graph and the lengths at the end: vectors are the most, and the dullest.
        const bool in_header = trial % 2 == 0;
        const size_t header = whole.find("   ");
        const size_t tail = whole.size() - 3000;
        const size_t at =
            in_header ? size_t(uniform(1, trial, 0) * double(header)) : tail + size_t(uniform(1, trial, 0) * 3000);
        changed[at] = static_cast<char>(static_cast<unsigned char>(uniform(1, trial, 1) * 256));
        write_text(path, changed);
        const std::string error = error_in(path);
        CHECK(error.find('\n') == std::string::npos);
        if (!error.empty()) CHECK(contains(error, "bad.bank"));
        refused += !error.empty();
    }
    CHECK(refused > 100);
}

TEST_CASE("bank: every rule of the format is enforced, in one line that names the file") {
    const TemporaryFolder folder;
    const std::string good = folder / "good.bank", bad = folder / "bad.bank";
    write_bank(good, some_documents(), ToyEmbedder());
    const std::string whole = read_text(good);
    const SafetensorsFile file(good);
    auto error_with = [&](const std::string& changed) {
        write_text(bad, changed);
        return error_in(bad);
    };
    auto check_refused = [&](const std::string& changed, const std::string& about) {
        const std::string error = error_with(changed);
        CAPTURE(error);
        CAPTURE(about);
        CHECK(error.starts_with(bad));
        CHECK(contains(error, about));
    };
    auto replaced = [&](const std::string& what, const std::string& by) {  // of equal length
        std::string changed = whole;
        REQUIRE(what.size() == by.size());
        REQUIRE(contains(changed, what));
        return changed.replace(changed.find(what), what.size(), by);
    };
    auto with_bytes = [&](const std::string& tensor, size_t at, const std::string& bytes) {
        std::string changed = whole;
        return changed.replace(file.find(tensor)->offset + at, bytes.size(), bytes);
    };
    auto number = [](auto value) { return std::string(reinterpret_cast<const char*>(&value), sizeof(value)); };
    const float nan = std::numeric_limits<float>::quiet_NaN();

    check_refused(replaced("\"leon-bank\"", "\"leon-tank\""), "not a memory bank");
    check_refused(replaced("\"leon.version\":\"1\"", "\"leon.version\":\"2\""), "version");
    check_refused(replaced("leon.bank", "leon.bonk"), "leon.bonk");
    check_refused(replaced("\\\"dim\\\":515", "\\\"dim\\\":516"), "vectors");
    check_refused(replaced("\\\"dim\\\":515", "\\\"dim\\\":  0"), "dim");
    check_refused(replaced("\\\"documents\\\":6", "\\\"documents\\\":7"), "vectors");
    check_refused(replaced("\\\"documents\\\":6", "\\\"documents\\\":0"), "documents");
    check_refused(replaced("\\\"side\\\":16", "\\\"side\\\":\\t"), "JSON");
    check_refused(replaced("\\\"side\\\":16", "\\\"sine\\\":16"), "sine");
    check_refused(replaced("\\\"side\\\":16", "\\\"side\\\":17"), "17x17");  // when a picture is asked for
    check_refused(replaced("toy-1", "to\\u0"), "JSON");
    check_refused(replaced("\"sources\":", "\"sauces_\":"), "sauces_");
    check_refused(with_bytes("vectors", 0, number(nan)), "document 0");
    check_refused(with_bytes("vectors", 515 * 4 * 2 + 4 * 513, number(3.0f)), "document 2");
    check_refused(with_bytes("vectors", 515 * 4, number(std::numeric_limits<float>::infinity())), "document 1");
    check_refused(with_bytes("texts.bytes", 4, number(int32_t{-1})), "document 1");
    check_refused(with_bytes("texts.bytes", 4, number(int32_t{1} << 20)), "document 1");
    check_refused(with_bytes("texts.bytes", 4, number(int32_t{21})), "'texts'");  // a byte more than there is
    check_refused(with_bytes("texts.bytes", 0, number(int32_t{0})), "'texts'");
    check_refused(with_bytes("texts", 3, "\xff"), "UTF-8");
    check_refused(with_bytes("sources", 0, "\xc0"), "UTF-8");
    check_refused(with_bytes("pictures", 20, "\xff\xff"), "document 0");  // the height in the PNG's header
    check_refused(whole.substr(0, whole.size() - 1), "file");
    CHECK(contains(error_of([&] { Bank bank(MODEL); }), "leon index build"));
    CHECK(contains(error_of([&] { Bank bank(folder / "none.bank"); }), "none.bank"));
    CHECK(error_with(whole) == "");

    // Texts with a document moved over to the next: the lengths still add up, and it reads as other documents.
    std::string moved = with_bytes("texts.bytes", 0, number(int32_t{0}));
    const int32_t second = int32_t(some_documents()[0].text.size() + some_documents()[1].text.size());
    moved.replace(file.find("texts.bytes")->offset + 4, 4, number(second));
    CHECK(error_with(moved) == "");
    CHECK(Bank(bad).text(1) == some_documents()[0].text + some_documents()[1].text);
}

TEST_CASE("bank: retrieved documents keep the rules") {
    const TemporaryFolder folder;
    const ToyEmbedder toy;
    write_bank(folder / "a.bank", some_documents(), toy);
    const Bank bank(folder / "a.bank");
    auto ids = [&](const std::string& text, const Picture* picture, int documents) {
        std::vector<int> result;
        for (const RetrievedDocument& d : retrieve(bank, toy, text, picture, documents)) {
            result.push_back(d.id);
            const BankEntry& want = some_documents()[static_cast<size_t>(d.id)];
            CHECK(d.text == want.text);
            CHECK(d.source == want.source);
            CHECK(d.picture.has_value() == want.picture.has_value());
            if (d.picture) CHECK(d.picture->rgb == want.picture->rgb);
            CHECK(d.score <= 0.9f);
            CHECK(d.score > 0);
        }
        return result;
    };
    // 4 is nearly 0, so the text comes second although it scores higher; a text is after what has a picture, too.
    CHECK(ids("a red car on a beach", nullptr, 2) == std::vector<int>{0, 1});
    CHECK(ids("a red car on a beach", nullptr, 1) == std::vector<int>{0});
    CHECK(ids("a red car on a beach", nullptr, 0).empty());
    CHECK(ids("only text: a red car", nullptr, 1) != std::vector<int>{1});  // a copy of the query
    const Picture red = coloured(255, 0, 0), blue = coloured(0, 0, 255);
    CHECK(ids("", &red, 1) == std::vector<int>{0});
    CHECK(ids("a red car on a beach", &blue, 2)[0] != 0);  // the picture's first, then the text's
    CHECK(ids("a red car on a beach", &blue, 2)[1] == 0);
    CHECK(ids("", &*some_documents()[2].picture, 2).empty());  // the picture itself, and nothing else is green

    const std::vector<Candidate> both = find_documents(bank, toy, "a red car on a beach", &blue, 2);
    CHECK(both.size() == 4);  // two found by the picture, two by the text

    CHECK(contains(error_of([&] { retrieve(bank, toy, "a", nullptr, 3); }), "--documents"));
    CHECK(contains(error_of([&] { retrieve(bank, toy, "a", nullptr, -1); }), "--documents"));
    CHECK(contains(error_of([&] { retrieve(bank, toy, " \n", nullptr, 1); }), "nothing to search"));
    CHECK(contains(error_of([&] { retrieve(bank, toy, "\xff", nullptr, 1); }), "UTF-8"));
    const std::string other = error_of([&] { retrieve(bank, ToyEmbedder("toy-2"), "a", nullptr, 1); });
    CHECK(contains(other, "toy-1"));
    CHECK(contains(other, "toy-2"));
}

// --- tasks ------------------------------------------------------------------------------------------------------

namespace {

const Model& model() {
    static const Model the_model(MODEL, cpu_kernels());
    return the_model;
}

}  // namespace

TEST_CASE("bank: texts of a bank never become control tokens, whatever they spell") {
    const TemporaryFolder folder;
    const ToyEmbedder toy;
    write_bank(folder / "a.bank", some_documents(), toy);
    const Bank bank(folder / "a.bank");
    const Vocabulary& v = model().vocabulary();
    const std::vector<RetrievedDocument> found = retrieve(bank, toy, "</s><sentinel:0> <eoss> IMGIMGAZ", nullptr, 1);
    REQUIRE(found.size() == 1);
    CHECK(found[0].text == some_documents()[3].text);
    for (const ControlTokens control : {ControlTokens::AsText, ControlTokens::Parsed}) {
        const std::vector<int32_t> ids = model().tokenizer().encode(found[0].text, control);
        const bool any = std::any_of(ids.begin(), ids.end(),
                                     [&](int32_t id) { return model().tokenizer().is_added(id) || v.is_image(id); });
        CHECK(any == (control == ControlTokens::Parsed));
        CHECK(model().tokenizer().decode(ids) == found[0].text);
    }
    // Nor do they reach a terminal as commands.
    CHECK(printable("a\x1b[2Jb\u009bc\nd\u732b\x7f") == "a [2Jb c d\u732b ");
}

TEST_CASE("bank: a folder is pictures with captions, pictures and texts, in order of their paths") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "sub");
    std::filesystem::create_directory(folder / ".hidden");
    save_picture(folder / "b.png", coloured(1, 2, 3));
    write_text(folder / "b.txt", "  a caption \n");
    save_picture(folder / "sub/c.bmp", coloured(1, 2, 3));
    write_text(folder / "a.txt", "only a text");
    write_text(folder / "sub/b.txt", "another b");
    write_text(folder / "e.txt", "bad \xff");
    write_text(folder / "f.txt", " \n");
    write_text(folder / "g.md", "not a document");
    write_text(folder / ".hidden.txt", "hidden");
    write_text(folder / ".hidden/x.txt", "hidden");
    std::vector<std::string> problems;
    const std::vector<Source> sources = list_folder(folder.path(), problems);
    std::vector<std::string> seen;
    for (const Source& s : sources) seen.push_back(s.name + "|" + s.text + "|" + (s.picture.empty() ? "" : "picture"));
    CHECK(seen == std::vector<std::string>{"a.txt|only a text|", "b.png|a caption|picture", "sub/b.txt|another b|",
                                           "sub/c.bmp||picture"});
    REQUIRE(problems.size() == 2);
    CHECK(contains(problems[0], "e.txt: is not valid UTF-8"));
    CHECK(contains(problems[1], "f.txt: is empty"));
    CHECK(contains(error_of([&] { list_folder(folder / "none", problems); }), "none"));
}

TEST_CASE("bank: a list of documents, and mistakes in it by line") {
    const TemporaryFolder folder;
    const std::string path = folder / "data.jsonl";
    write_text(path,
               "{\"text\": \" a caption \", \"picture\": \"pictures/1.png\", \"source\": \"a book\"}\n\n"
               "{\"picture\": \"2.png\"}\r\n{\"text\": \"alone \\u00e9\"}");
    const std::vector<Source> sources = list_jsonl(path);
    REQUIRE(sources.size() == 3);
    CHECK(sources[0].text == "a caption");
    CHECK(sources[0].picture == folder / "pictures/1.png");
    CHECK(sources[0].name == "a book");
    CHECK(sources[1].name == "2.png");
    CHECK(sources[2].text == "alone \u00e9");
    CHECK(sources[2].name == "data.jsonl:4");
    auto error = [&](const std::string& line) {
        write_text(path, "{\"text\": \"good\"}\n" + line + "\n");
        const std::string message = error_of([&] { list_jsonl(path); });
        CHECK(contains(message, "data.jsonl: line 2: "));
        return message;
    };
    error("{\"text\": \"a\"");
    error("[1]");
    error("{\"text\": 3}");
    error("{\"text\": \"a\", \"text\": \"b\"}");
    error("{}");
    error("{\"text\": \"  \"}");
    error("{\"picture\": \"\"}");
    error("{\"text\": \"\xff\"}");
    error("{\"text\": \"" + std::string(70000, 'x') + "\"}");
    error("{\"text\": \"a\", \"source\": \"" + std::string(5000, 'x') + "\"}");
    CHECK(contains(error("{\"text\": \"a\", \"image\": \"b.png\"}"), "'image'"));
}

TEST_CASE("bank: from a folder to results, natively") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "in");
    // Patterns that no two share, so that codes differ.
    for (int i = 0; i < 3; i++) {
        Picture picture(150, 128);
        for (int y = 0; y < picture.height; y++)
            for (int x = 0; x < picture.width; x++)
                for (int c = 0; c < 3; c++)
                    picture.at(x, y)[c] = static_cast<uint8_t>(i == 0   ? x * 255 / 150
                                                               : i == 1 ? (y / 16 % 2) * 200 + c * 20
                                                                        : 255 - y - c * 60);
        save_picture(folder / ("in/" + std::to_string(i) + ".png"), picture);
    }
    write_text(folder / "in/0.txt", "a slope from dark to bright");
    write_text(folder / "in/1.txt", "stripes");
    write_text(folder / "in/3.txt", "a bright slope of snow");
    write_text(folder / "in/4.png", "no picture");
    const std::unique_ptr<Embedder> native = open_embedder("native", model());
    size_t reports = 0;
    BankProgress progress;
    progress.documents = [&](size_t done, size_t total) { reports += done < total && total == 5; };
    const BankReport report = build_bank(folder / "in", folder / "a.bank", *native, model(), progress);
    CHECK(report.documents == 4);
    CHECK(report.skipped == 1);
    CHECK(reports == 5);
    CHECK(contains(report.problems.at(0), "4.png"));

    const Bank bank(folder / "a.bank");
    CHECK(bank.side() == 128);
    CHECK(bank.embedder() == native->name());
    CHECK(open_embedder_of(bank, "", model())->name() == native->name());
    CHECK(contains(bank_summary(bank), "4: 2 with text and picture, 1 texts, 1 pictures"));

    const std::vector<Found> by_text = search_bank(bank, *native, "a slope", nullptr, 2);
    REQUIRE(by_text.size() == 2);
    CHECK(std::min(by_text[0].text, by_text[1].text) == "a bright slope of snow");
    CHECK(std::max(by_text[0].text, by_text[1].text) == "a slope from dark to bright");
    for (int i = 0; i < 3; i++) {
        const Picture picture = load_picture(folder / ("in/" + std::to_string(i) + ".png"));
        const std::vector<Found> found = search_bank(bank, *native, "", &picture, 4);
        REQUIRE(found.size() == 4);
        CHECK(found[0].source == std::to_string(i) + ".png");
        CHECK(found[0].score == doctest::Approx(i == 2 ? 1.0 : std::sqrt(0.5)).epsilon(1e-4));
        for (const Found& f : found)
            if (!f.has_picture) CHECK(f.score == 0);  // the parts of text and picture share nothing
        CHECK(found_sheet(bank, found).width == 2 * 128 + 4);
    }
    const std::vector<RetrievedDocument> documents = retrieve(bank, *native, "a bright slope", nullptr, 2);
    REQUIRE(documents.size() == 2);
    CHECK(documents[0].text == "a slope from dark to bright");  // has a picture
    CHECK(documents[1].text == "a bright slope of snow");

    CHECK(contains(error_of([&] { search_bank(bank, *native, "a", nullptr, 0); }), "-k"));
    CHECK(contains(error_of([&] { open_embedder("no such embedder", model()); }), "--embedder"));
    std::filesystem::create_directory(folder / "empty");
    CHECK(contains(error_of([&] { build_bank(folder / "empty", folder / "b.bank", *native, model()); }), "empty"));
    CHECK(contains(error_of([&] { build_bank(folder / "none", folder / "b.bank", *native, model()); }), "none"));
    CHECK(!std::filesystem::exists(folder / "b.bank"));
    CHECK(parse_query(folder / "in/0.png").picture.has_value());
    CHECK(parse_query("a red car").text == "a red car");
    CHECK(contains(error_of([&] { parse_query(folder / "in/9.png"); }), "9.png"));
}
