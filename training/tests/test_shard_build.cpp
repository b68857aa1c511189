// Builds in shards: the same bytes however they were stopped and gone on with, nothing that could not be used lost from
// the report, and nothing else in the folder.
#include "training/shard_build.h"

#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "kernels/cpu/threads.h"
#include "kernels/kernels.h"
#include "tests/temporary_folder.h"

#include "tests/testing.h"

using namespace leon;

namespace {

namespace fs = std::filesystem;

Example example(int64_t item) {
    Example e;
    e.task = item % 3 == 0 ? "ask" : "draw";
    e.source = "item " + std::to_string(item);
    for (int64_t i = 0; i < 3 + item % 5; i++) e.ids.push_back(static_cast<int32_t>(item * 10 + i));
    e.kinds.assign(e.ids.size(), TokenKind::Picture);
    return e;
}
// Every seventh cannot be used.
Example sometimes(int64_t item) {
    if (item % 7 == 2) throw Error("is broken,\nvery much", "file " + std::to_string(item));
    return example(item);
}

ShardBuild build_of(const std::string& folder) {
    return {.folder = folder, .mark = "mark", .items = 50, .items_per_shard = 12, .what = {{"what", "a test"}}};
}

std::map<std::string, std::string> files_of(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder))
        files[entry.path().filename().string()] = read_text(entry.path().string());
    return files;
}

}  // namespace

TEST_CASE("shard build: all items, in order, and a line for each that could not be used") {
    TemporaryFolder folder;
    const std::string out = folder / "deep/data";
    std::set<size_t> told;
    const ShardReport report = build_shards(build_of(out), sometimes, [&](size_t done, size_t total) {
        CHECK(total == 50);
        CHECK((told.empty() || done >= *told.rbegin()));
        told.insert(done);
    });
    CHECK(report.documents == 43);
    CHECK(report.skipped == 7);
    CHECK(report.items_made == 50);
    REQUIRE(report.problems.size() == 7);
    CHECK(report.problems[1] == "file 9: is broken, very much");
    CHECK(*told.begin() == 0);
    CHECK(*told.rbegin() <= 50);
    CHECK(summary(report).starts_with("43 documents of "));

    const Dataset data({out}, "mark");
    CHECK(data.documents() == 43);
    CHECK(data.tokens() == report.tokens);
    std::map<std::string, int64_t> next;
    for (int64_t item = 0; item < 50; item++) {
        if (item % 7 == 2) continue;
        const Example want = example(item);
        const int64_t index = next[want.task]++;
        const DocumentView d = data.document(want.task, index);
        CHECK(std::vector<int32_t>(d.ids.begin(), d.ids.end()) == want.ids);
        CHECK(data.source(want.task, index) == want.source);
    }
    CHECK(fs::exists(out + "/data-00004.shard"));
    CHECK(!fs::exists(out + "/data-00005.shard"));
    CHECK(read_text(out + "/data-00000.skipped") == "file 2: is broken, very much\nfile 9: is broken, very much\n");
}

TEST_CASE("shard build: what was stopped is gone on with, and ends in the same bytes") {
    TemporaryFolder folder;
    const std::string whole = folder / "a/data", stopped = folder / "b/data";
    const int threads = cpu_threads();
    build_shards(build_of(whole), sometimes);
    const auto want = files_of(whole);
    CHECK(want.size() == 1 + 5 + 4);

    set_cpu_threads(1);
    build_shards(build_of(stopped), sometimes);
    CHECK(files_of(stopped) == want);
    set_cpu_threads(3);
    // As if it had been killed while the third shard was being written, or between its two files.
    for (const bool with_list : {false, true}) {
        for (const char* name :
             {"data-00002.shard", "data-00003.shard", "data-00004.shard", "data-00003.skipped", "data-00004.skipped"})
            fs::remove(stopped + "/" + name);
        if (!with_list) fs::remove(stopped + "/data-00002.skipped");
        write_text(stopped + "/data-00002.shard.aX9_bc", "half of it");
        std::atomic<int> made{0};
        std::atomic<int64_t> first{1000};
        const ShardReport report = build_shards(build_of(stopped), [&](int64_t item) {
            made++;
            for (int64_t now = first; item < now && !first.compare_exchange_weak(now, item);) {
            }
            return sometimes(item);
        });
        CHECK(files_of(stopped) == want);
        CHECK(made == 26);
        CHECK(first == 24);
        CHECK(report.documents == 43);
        CHECK(report.skipped == 7);
        CHECK(report.items_made == 26);
    }
    // Nothing is left to do.
    std::atomic<int> made{0};
    const ShardReport report = build_shards(build_of(stopped), [&](int64_t item) { return made++, example(item); });
    CHECK(made == 0);
    CHECK(report.documents == 43);
    CHECK(report.skipped == 7);
    set_cpu_threads(threads);
}

TEST_CASE("shard build: another build in the same folder is refused, and says why") {
    TemporaryFolder folder;
    const std::string out = folder / "data";
    build_shards(build_of(out), example);
    const auto before = files_of(out);
    const auto error_with = [&](auto change) {
        ShardBuild other = build_of(out);
        change(other);
        const std::string error = error_of([&] { build_shards(other, example); });
        CHECK(files_of(out) == before);
        return error;
    };
    CHECK(contains(error_with([](ShardBuild& b) { b.mark = "other"; }), "another 'model'"));
    CHECK(contains(error_with([](ShardBuild& b) { b.items = 51; }), "another 'items'"));
    CHECK(contains(error_with([](ShardBuild& b) { b.items_per_shard = 7; }), "items_per_shard"));
    CHECK(contains(error_with([](ShardBuild& b) { b.what["what"] = 1; }), "another 'what'"));
    CHECK(contains(error_with([](ShardBuild& b) { b.what["more"] = 1; }), "another 'more'"));
    CHECK(error_with([](ShardBuild&) {}).empty());
    write_text(out + "/build.json", "{");
    CHECK(contains(error_of([&] { build_shards(build_of(out), example); }), "build.json"));
    fs::remove(out + "/build.json");
    CHECK(contains(error_of([&] { build_shards(build_of(out), example); }), "something else"));
    write_text(folder / "file", "");
    CHECK(error_of([&] { build_shards(build_of(folder / "file/data"), example); }) != "");
}

TEST_CASE("shard build: where nothing can be used there is no dataset") {
    TemporaryFolder folder;
    ShardBuild build = build_of(folder / "data");
    const auto never = [](int64_t item) -> Example { throw Error("is broken", std::to_string(item)); };
    const std::string error = error_of([&] { build_shards(build, never); });
    CHECK(contains(error, "the first problem: 0: is broken"));
    // What was found to be broken is not tried again.
    std::atomic<int> tried{0};
    CHECK(error_of([&] { build_shards(build, [&](int64_t item) { return tried++, never(item); }); }) == error);
    CHECK(tried == 0);
    build.folder = folder / "none";
    build.items = 0;
    CHECK(contains(error_of([&] { build_shards(build, example); }), "nothing to build"));
}

TEST_CASE("parallel: a body may call it too, which then runs on its thread alone") {
    const int threads = cpu_threads();
    for (const int count : {1, 2, 4}) {
        set_cpu_threads(count);
        std::vector<std::atomic<int>> done(20 * 30);
        std::atomic<int> elsewhere{0};
        parallel(20, [&](int64_t i, int) {
            const auto me = std::this_thread::get_id();
            parallel(30, [&](int64_t k, int worker) {
                done[static_cast<size_t>(i * 30 + k)]++;
                elsewhere += worker != 0 || std::this_thread::get_id() != me;
            });
        });
        for (const std::atomic<int>& one : done) CHECK(one == 1);
        CHECK(elsewhere == 0);
    }
    set_cpu_threads(threads);
}
