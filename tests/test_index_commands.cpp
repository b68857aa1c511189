// leon index as a person meets it.
#include <nlohmann/json.hpp>

#include "tokenizer/image.h"

#include "tests/command_line.h"

using namespace leon;

namespace {

const std::string MODEL = "models/storybook.leon";

}  // namespace

TEST_CASE("command line: a folder becomes a bank, which is searched and shown") {
    const Scratch scratch;
    std::filesystem::create_directory(scratch / "in");
    save_picture(scratch / "in/grey.png", Picture(40, 60, 120));
    write_text(scratch / "in/grey.txt", "a grey wall");
    write_text(scratch / "in/note.txt", "a note about ships\x1b[2J");
    write_text(scratch / "in/broken.png", "broken");
    const std::string bank = scratch / "a.bank";
    const Result built = leon_run({"index", "build", scratch / "in", "-o", bank, "-m", MODEL});
    CHECK(built.status == 0);
    CHECK(built.out.empty());
    CHECK(contains(built.err, "skipped: " + scratch / "in/broken.png"));
    CHECK(contains(built.err, "2 documents, 1 skipped"));

    const Result shown = leon_run({"index", "show", bank, "--documents"});
    CHECK(shown.status == 0);
    CHECK(contains(shown.out, "2: 1 with text and picture, 1 texts, 0 pictures"));
    CHECK(contains(shown.out, "a note about ships [2J  (note.txt)"));

    const Result text =
        leon_run({"index", "search", bank, "ships", "-k", "1", "-o", scratch / "sheet.png", "-m", MODEL});
    CHECK(text.status == 0);
    CHECK(lines(text.out) == 1);
    CHECK(contains(text.out, "a note about ships"));
    CHECK(load_picture(scratch / "sheet.png").width == 128);

    const Result picture = leon_run({"index", "search", bank, scratch / "in/grey.png", "--json", "-m", MODEL});
    REQUIRE(picture.status == 0);
    const auto found = nlohmann::json::parse(picture.out);
    REQUIRE(found.size() == 2);
    CHECK(found[0]["text"] == "a grey wall");
    CHECK(found[0]["picture"] == true);
    CHECK(found[0]["score"].get<double>() == doctest::Approx(0.7071).epsilon(1e-3));
    CHECK(found[1]["text"] == "a note about ships\x1b[2J");

    write_text(scratch / "data.jsonl", "{\"text\": \"a grey wall\", \"picture\": \"in/grey.png\"}\n");
    CHECK(leon_run({"index", "build", scratch / "data.jsonl", "-o", scratch / "b.bank", "-q", "-m", MODEL}).err == "");
    for (const char* command : {"build", "search", "show"}) {
        const Result help = leon_run({"index", command, "--help"});
        CHECK(help.status == 0);
        CHECK(contains(help.out, std::string("leon index ") + command));
    }
}

TEST_CASE("command line: index refuses bad input in one line and leaves no file") {
    const Scratch scratch;
    std::filesystem::create_directory(scratch / "empty");
    write_text(scratch / "data.jsonl", "{\"text\": \"good\"}\nnonsense\n");
    write_text(scratch / "one.jsonl", "{\"text\": \"good\"}\n");
    const std::string bank = scratch / "a.bank";
    REQUIRE(leon_run({"index", "build", scratch / "one.jsonl", "-o", bank, "-m", MODEL}).status == 0);
    const std::string out = scratch / "out.bank";
    check_refused({"index"}, "subcommand");
    check_refused({"index", "build", scratch / "none", "-o", out, "-m", MODEL}, "none");
    check_refused({"index", "build", scratch / "empty", "-o", out, "-m", MODEL}, "empty");
    check_refused({"index", "build", scratch / "data.jsonl", "-o", out, "-m", MODEL}, "line 2");
    check_refused({"index", "build", scratch / "one.jsonl", "-o", scratch / "no/such.bank", "-m", MODEL}, "no/such");
    check_refused({"index", "build", scratch / "one.jsonl", "-o", scratch / "empty", "-m", MODEL}, "folder");
    check_refused({"index", "build", scratch / "one.jsonl", "-o", out, "--embedder", bank, "-m", MODEL}, "a.bank");
    check_refused({"index", "search", scratch / "none.bank", "a", "-m", MODEL}, "none.bank");
    check_refused({"index", "search", scratch / "data.jsonl", "a", "-m", MODEL}, "data.jsonl");
    check_refused({"index", "search", MODEL, "a", "-m", MODEL}, "leon index build");
    check_refused({"index", "search", bank, "", "-m", MODEL}, "nothing to search");
    check_refused({"index", "search", bank, "\xff", "-m", MODEL}, "UTF-8");
    check_refused({"index", "search", bank, "none.png", "-m", MODEL}, "none.png");
    check_refused({"index", "search", bank, "a", "-k", "0", "-m", MODEL}, "-k");
    check_refused({"index", "search", bank, "a", "-o", scratch / "out.xyz", "-m", MODEL}, "out.xyz");
    check_refused({"index", "show", scratch / "empty"}, "empty");
    CHECK(scratch.empty_but(4));
}
