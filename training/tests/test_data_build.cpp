// Datasets of pictures and texts, from folders and JSON lines: what arrives in the shards against the documents that
// the tasks' templates write, and what cannot be used.
#include "training/data_build.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "tasks/pictures.h"
#include "tasks/retrieval.h"
#include "tests/tiny_model.h"
#include "training/data_show.h"
#include "training/records.h"

#include "tests/command_line.h"

using namespace leon;
using Ids = std::vector<int32_t>;

namespace {

namespace fs = std::filesystem;
constexpr int CELLS = TINY_GRID * TINY_GRID;

// A gradient of its own for every number, wider than high.
Picture made_picture(int number) {
    Picture p(50, 40);
    for (int y = 0; y < p.height; y++)
        for (int x = 0; x < p.width; x++) {
            p.at(x, y)[0] = static_cast<uint8_t>(x * 5 + number * 40);
            p.at(x, y)[1] = static_cast<uint8_t>(y * 6 * (number % 3));
            p.at(x, y)[2] = static_cast<uint8_t>(number * 77 + (x / 8 + y / 8) % 2 * 120);
        }
    return p;
}

Part codes_of(const Model& model, int number) {
    return picture_part_of(model, frame_of(model, made_picture(number)));
}

// Pictures 0 to 4 with captions, 5 without, a text alone, and three files that cannot be used.
struct Folder {
    TemporaryFolder folder;
    std::string photos = folder / "photos";
    Folder() {
        fs::create_directories(photos + "/more");
        for (int i = 0; i < 6; i++) {
            const std::string stem = photos + (i % 2 ? "/more/" : "/") + "p" + std::to_string(i);
            save_picture(stem + ".png", made_picture(i));
            if (i < 5) write_text(stem + ".txt", " red thing number " + std::to_string(i) + "\n");
        }
        write_text(photos + "/alone.txt", "only words");
        write_text(photos + "/bad.png", "no picture");
        write_text(photos + "/bytes.txt", "caf\xff");
        write_text(photos + "/empty.txt", " ");
    }
};

Ids ids_of(const DocumentView& d) {
    return {d.ids.begin(), d.ids.end()};
}

std::string line_error(const std::string& line, const std::string& task = "") {
    return error_of([&] {
        parse_record(line, "x.jsonl: line 7", "x.jsonl:7", {.task = task, .folder = "f", .layout = Layout::CM3Leon});
    });
}

}  // namespace

TEST_CASE("data build: a folder of pictures with captions") {
    const TinyModel model(Layout::CM3Leon);
    const Folder in;
    const ShardReport report =
        build_dataset(*model, {.input = in.photos, .output = in.folder / "out", .task = "", .items_per_shard = 3});
    CHECK(report.documents == 7);
    CHECK(report.skipped == 3);
    CHECK(report.problems.size() == 3);
    const Dataset data({in.folder / "out"}, model_mark(model->file()));
    CHECK(data.tasks() == std::vector<std::string>{"draw", "text"});
    // In the order of the paths: more/p1, more/p3, more/p5, p0, p2, p4.
    const int order[] = {1, 3, 5, 0, 2, 4};
    for (int64_t i = 0; i < 6; i++) {
        const int number = order[i];
        CAPTURE(number);
        Prompt want;
        want.document.parts = {text_part(number < 5 ? "red thing number " + std::to_string(number) : ""),
                               codes_of(*model, number)};
        const DocumentView d = data.document("draw", i);
        CHECK(ids_of(d) == model->documents().ids(want));
        CHECK(std::count(d.kinds.begin(), d.kinds.end(), TokenKind::Picture) == CELLS);
        CHECK(data.source("draw", i) == (number % 2 ? "more/p" : "p") + std::to_string(number) + ".png");
    }
    CHECK(data.source("text", 0) == "alone.txt");
    CHECK(data.document("text", 0).ids.size() == model->documents().text_ids("only words").size() + 2);
    CHECK(Dataset({in.folder / "out/out-00002.shard"}, "").documents() == 2);

    // The captions as answers. What has none is skipped.
    const ShardReport described =
        build_dataset(*model, {.input = in.photos, .output = in.folder / "described", .task = "describe"});
    CHECK(described.documents == 5);
    CHECK(described.skipped == 5);
    const Dataset answers({in.folder / "described"}, "");
    const DocumentView d = answers.document("describe", 0);
    CHECK(model->documents().readable(
              d.ids.subspan(static_cast<size_t>(d.answer_first), static_cast<size_t>(d.answer_end - d.answer_first))) ==
          "\"red thing number 1\"");
    CHECK(std::count(d.kinds.begin(), d.kinds.end(), TokenKind::Context) == CELLS);

    // A caption that changes makes it another input.
    write_text(in.photos + "/p0.txt", "blue");
    CHECK(contains(error_of([&] {
                       build_dataset(
                           *model, {.input = in.photos, .output = in.folder / "out", .task = "", .items_per_shard = 3});
                   }),
                   "another 'input'"));
}

TEST_CASE("data build: lines of JSON, a task each") {
    const TinyModel model(Layout::CM3Leon);
    const Folder in;
    const std::string list = in.folder / "photos/list.jsonl";
    write_text(
        list,
        R"({"text": "a thing", "picture": "p0.png", "source": "mine"})"
        "\n\n"
        R"({"task": "ask", "picture": "p0.png", "question": "What?", "answer": "a thing"})"
        "\n"
        R"({"task": "edit", "picture": "p0.png", "instruction": "more", "new picture": "p2.png"})"
        "\n"
        R"({"task": "draw-from-map", "map": "p0.png", "kind": "edges", "text": "", "new picture": "p2.png"})"
        "\n"
        R"({"task": "draw-objects", "text": "dogs", "objects": ["dog@1,2,3,4", "cat@5,6,7,8"], "new picture": "p2.png"})"
        "\n"
        R"({"task": "story", "parts": [{"text": "First"}, {"picture": "p0.png"}, {"text": "then"}, {"picture": "p0.png"}]})"
        "\n"
        R"({"task": "ask", "picture": "gone.png", "question": "What?", "answer": "a thing"})"
        "\nno JSON\n");
    const ShardReport report = build_dataset(*model, {.input = list, .output = in.folder / "out", .task = ""});
    CHECK(report.documents == 6);
    REQUIRE(report.skipped == 2);
    CHECK(contains(report.problems[0], "gone.png"));
    CHECK(contains(report.problems[1], "list.jsonl: line 9"));
    const Dataset data({in.folder / "out"}, "");
    CHECK(data.tasks() == std::vector<std::string>{"ask", "draw", "draw-from-map", "draw-objects", "edit", "story"});
    CHECK(data.source("draw", 0) == "mine");
    CHECK(data.source("ask", 0) == "list.jsonl:3");

    Fields x;
    x.pictures = {{"picture", codes_of(*model, 0)}, {"map", codes_of(*model, 0)}, {"new picture", codes_of(*model, 2)}};
    x.text = {{"question", "What?"},
              {"answer", "a thing"},
              {"instruction", "more"},
              {"kind", words_of_map("edges")},
              {"text", ""}};
    const auto check_is = [&](const char* name, Task task) {
        const DocumentView d = data.document(name, 0);
        CHECK(ids_of(d) == model->documents().ids(whole(template_of(Layout::CM3Leon, task), x)));
    };
    check_is("ask", Task::Ask);
    check_is("edit", Task::Edit);
    check_is("draw-from-map", Task::DrawFromMap);
    x.text["text"] = "dogs";
    x.text["objects"] = "dog at location (1, 2) -> (3, 4), cat at location (5, 6) -> (7, 8)";
    check_is("draw-objects", Task::DrawObjects);
    Prompt story;
    story.document.parts = {text_part("First"), codes_of(*model, 0), text_part("then"), codes_of(*model, 0)};
    const DocumentView d = data.document("story", 0);
    CHECK(ids_of(d) == model->documents().ids(story));
    CHECK(std::count(d.kinds.begin(), d.kinds.end(), TokenKind::Picture) == 2 * CELLS);
}

TEST_CASE("data build: a line that is wrong says what is") {
    CHECK(line_error(R"({"text": "a"})").empty());
    CHECK(contains(line_error(R"({"text": "a"})", "draw"), "no picture"));
    CHECK(contains(line_error(R"({"picture": "a.png"})", "describe"), "no caption"));
    CHECK(line_error(R"({"picture": "a.png"})").empty());
    CHECK(contains(line_error(R"({"picture": "a.png", "text": "b"})", "edit"), ".jsonl"));
    for (const auto& [line, about] : std::vector<std::pair<std::string, std::string>>{
             {"[]", "no JSON object"},
             {"{}", "neither"},
             {R"({"text": 1})", "'text'"},
             {R"({"text": "a", "colour": "b"})", "'colour'"},
             {R"({"task": "fly", "picture": "a"})", "'fly'"},
             {R"({"task": 3})", "'task'"},
             {R"({"task": "fill-text", "text with holes": "a"})", "'fill-text'"},
             {R"({"task": "edit", "picture": "a", "instruction": "b"})", "'new picture'"},
             {R"({"task": "edit", "picture": "", "instruction": "b", "new picture": "c"})", "'picture'"},
             {R"({"task": "ask", "picture": "a", "question": "b", "answer": "c", "answers": "d"})", "'answers'"},
             {R"({"task": "depth", "picture": "a", "new picture": "b"})", "depth"},
             {R"({"task": "draw-from-map", "map": "a", "kind": "x", "text": "", "new picture": "b"})", "'x'"},
             {R"({"task": "draw-objects", "text": "", "objects": "dog", "new picture": "b"})", "objects"},
             {R"({"task": "draw-objects", "text": "", "objects": ["dog"], "new picture": "b"})", "dog"},
             {R"({"parts": []})", "parts"},
             {R"({"parts": [{"text": "a", "picture": "b"}]})", "a part"},
             {R"({"parts": [{"picture": ""}]})", "'picture'"},
             {R"({"parts": [{"text": "a"}], "text": "b"})", "'text'"},
             {R"({"text": ")" + std::string(70000, 'a') + "\"}", "longer than"}}) {
        const std::string error = line_error(line);
        CAPTURE(error);
        CHECK(contains(error, about));
        CHECK(error.find('\n') == std::string::npos);
    }
    // The rows of other families.
    CHECK(error_of([] {
              parse_record(R"({"task": "depth", "picture": "a", "new picture": "b"})", "w", "w",
                           {.task = "", .folder = "", .layout = Layout::Lumina});
          }).empty());
    const Record r = parse_record(R"({"task": "ask", "picture": "a", "question": "b", "answer": "c"})", "w", "w",
                                  {.task = "", .folder = "f", .layout = Layout::CM3Leon});
    CHECK(r.words() == "b");  // nobody asks with the answer
    CHECK(r.last_picture() == "f/a");
}

TEST_CASE("data build: retrieved documents stand in front, and never the document itself") {
    const TinyModel model(Layout::CM3Leon);
    const Folder in;
    const std::unique_ptr<Embedder> embedder = open_embedder("native", *model);
    build_bank(in.photos, in.folder / "photos.bank", *embedder, *model);
    const Bank bank(in.folder / "photos.bank");
    DataBuild build = {.input = in.photos,
                       .output = in.folder / "out",
                       .task = "draw",
                       .bank = &bank,
                       .embedder = embedder.get(),
                       .documents = 2};
    build_dataset(*model, build);
    const Dataset data({in.folder / "out"}, "");
    int with_help = 0;
    std::set<Ids> seen;
    for (int64_t i = 0; i < data.documents("draw"); i++) {
        const DocumentView d = data.document("draw", i);
        const Ids own(d.ids.begin() + std::max(1, d.query), d.ids.end());
        if (d.query == 0) continue;
        with_help++;
        const Ids help(d.ids.begin() + 1, d.ids.begin() + d.query);
        CHECK(std::count(d.kinds.begin(), d.kinds.begin() + d.query, TokenKind::Picture) == 0);
        // A retrieved document is one of the bank's, which is in the folder, and another one than this.
        const Ids itself(own.begin(), own.end() - 1);
        CHECK(std::search(help.begin(), help.end(), itself.begin(), itself.end()) == help.end());
        CHECK(help.back() == model->vocabulary().brk);
        seen.insert(help);
    }
    CHECK(with_help >= 4);
    CHECK(seen.size() > 1);

    // As many as fit into the context: a document and one more take up to about 60 ids.
    build.output = in.folder / "short";
    const TinyModel narrow(Layout::CM3Leon, cpu_kernels(), 64);
    build_dataset(*narrow, build);
    const Dataset fitted({in.folder / "short"}, "");
    for (int64_t i = 0; i < fitted.documents("draw"); i++) CHECK(fitted.document("draw", i).ids.size() <= 64);
    build.documents = MOST_HELP + 1;
    CHECK(contains(error_of([&] { build_dataset(*model, build); }), "--documents"));
}

TEST_CASE("data build: the commands, and what they show") {
    const TinyModel model(Layout::CM3Leon);
    const Folder in;
    const std::string out = in.folder / "out";
    Result r = leon_run({"data", "build", in.photos, "-o", out, "-m", model.path(), "--shard-documents", "2"});
    CHECK(r.status == 0);
    CHECK(r.out.empty());
    CHECK(r.err.find("leon: skipped: ") == 0);
    CHECK(contains(r.err, "7 documents of "));
    CHECK(lines(r.err) == 4);
    CHECK(leon_run({"data", "build", in.photos, "-o", out, "-m", model.path(), "--shard-documents", "2"}).status == 0);

    r = leon_run({"data", "show", out, "-m", model.path(), "-n", "1", "-o", in.folder / "sheet.png"});
    CHECK(r.status == 0);
    CHECK(contains(r.out, "draw 0 (more/p1.png), "));
    CHECK(contains(r.out, "\"red thing number 1\" <racm3:break> [16 codes] </s>"));
    CHECK(contains(r.out, "text 0 (alone.txt), "));
    const Picture sheet = load_picture(in.folder / "sheet.png");
    CHECK(sheet.width == TINY_SIDE);
    CHECK(sheet.height == 2 * TINY_SIDE + 4);
    CHECK(crop(sheet, 0, 0, TINY_SIDE, TINY_SIDE).rgb ==
          model->decoder().decode_u8(codes_of(*model, 1).picture.codes, TINY_GRID, TINY_GRID).rgb);

    check_refused({"data", "build", in.folder / "nothing", "-o", in.folder / "new", "-m", model.path()}, "nothing");
    check_refused({"data", "build", in.photos, "-o", out, "-m", model.path()}, "items_per_shard");
    check_refused({"data", "build", in.photos, "-o", in.folder / "new", "-m", model.path(), "--task", "fly"}, "fly");
    check_refused({"data", "show", out, "-m", model.path(), "--task", "fly"}, "fly");
    check_refused({"data", "show", in.photos, "-m", model.path()}, "no shards");
    check_refused({"data", "show", out, "-m", model.path(), "-o", in.folder / "sheet.txt"}, "sheet.txt");
}

TEST_CASE("data show: holes are filled with what belongs there, and what matters is not dimmed") {
    const TinyModel model(Layout::CM3Leon);
    TemporaryFolder folder;
    Part picture = codes_of(*model, 1);
    TaskDocument d;
    d.task = "fill";
    d.whole.document.parts = {text_part("a"), picture};
    d.object_cells = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    d.query = d.whole;
    ShardWriter writer(folder / "a.shard", model_mark(model->file()));
    writer.add(example_of(model->documents(), d));
    d.query.document.parts[1].hidden = {0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0};
    d.query.next = Prompt::Next::Holes;
    d.object_cells.clear();
    d.holes = Holes::Made;
    writer.add(example_of(model->documents(), d));
    writer.commit();
    const Dataset data({folder.path()}, "");
    const Picture sheet = shown_pictures(*model, data, documents_to_show(data, "fill", 5));
    CHECK(sheet.height == 2 * TINY_SIDE + 4);
    const Picture first = crop(sheet, 0, 0, TINY_SIDE, TINY_SIDE),
                  second = crop(sheet, 0, TINY_SIDE + 4, TINY_SIDE, TINY_SIDE);
    CHECK(second.rgb == model->decoder().decode_u8(picture.picture.codes, TINY_GRID, TINY_GRID).rgb);
    for (int y = 0; y < TINY_SIDE; y++)
        for (int x = 0; x < TINY_SIDE; x++) {
            const bool matters = x / 8 == 1 && y / 8 == 1;
            CHECK(first.at(x, y)[1] == (matters ? second.at(x, y)[1] : second.at(x, y)[1] / 3));
        }
    CHECK(contains(shown_text(*model, data, {"fill", 1}), "holes are made"));
    CHECK(contains(shown_text(*model, data, {"fill", 0}), " 15 picture, 1 object"));
    CHECK(contains(dataset_summary(data), "2 documents"));
}
