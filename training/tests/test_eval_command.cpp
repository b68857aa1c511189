// leon eval storybook, as a person runs it.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/files.h"

#include "tests/command_line.h"

using namespace leon;

namespace {

std::vector<std::string> eval(std::vector<std::string> words) {
    words.insert(words.begin(), {"eval", "storybook", "-m", "models/storybook.leon"});
    return words;
}

}  // namespace

TEST_CASE("eval command: a table, a report with its rows, and a page") {
    const Scratch scratch;
    const std::string report = scratch / "report.json", folder = scratch / "page";
    const Result r = leon_run(eval({"--kinds", "recogniser,tokenizer", "--rows-per-kind", "2", "--first-seed", "7",
                                    "-o", report, "--rows", "--page", folder, "--held-out-compositions"}));
    REQUIRE(r.status == 0);
    CHECK(r.err.empty());
    CHECK(contains(r.out, "object precision"));
    CHECK(contains(r.out, "PSNR of objects"));
    CHECK(contains(r.out, folder + "/index.html"));
    const auto json = nlohmann::json::parse(read_text(report));
    CHECK(json.at("rows_per_kind") == 2);
    CHECK(json.at("compositions") == "held out");
    for (const auto& section : json.at("sections"))
        for (const auto& row : section.at("each")) CHECK(row.at("held_out_composition") == true);
    CHECK(contains(read_text(folder + "/index.html"), "<h2>tokenizer</h2>"));
}

TEST_CASE("eval command: what cannot be done is refused before the work begins") {
    const Scratch scratch;
    check_refused(eval({"--kinds", "draw,dance"}), "--kinds");
    check_refused(eval({"--rows-per-kind", "0"}), "--rows-per-kind");
    check_refused(eval({"--kinds", "recogniser", "--first-seed", "999999"}), "--first-seed");
    check_refused(eval({"--batch", "0"}), "--batch");
    check_refused(eval({"-o", scratch / "no folder/report.json"}), "no folder");
    check_refused({"eval", "storybook", "-m", scratch / "none.leon"}, "none.leon");
    CHECK(scratch.empty_but(0));
}
