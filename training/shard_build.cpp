// See shard_build.h.
#include "training/shard_build.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <optional>

#include "kernels/check.h"
#include "kernels/cpu/threads.h"
#include "runtime/files.h"
#include "runtime/format.h"
#include "runtime/strict_json.h"
#include "tasks/common.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr size_t SHOWN_PROBLEMS = 20;
constexpr size_t MOST_BYTES_OF_MANIFEST = 1 << 24;

void make_folder(const std::string& folder) {
    std::error_code problem;
    fs::create_directories(folder, problem);
    if (problem) throw Error("cannot be made: " + problem.message(), folder);
}

// Writes what is built, or compares it with what was begun.
void agree_on_manifest(const ShardBuild& build) {
    const std::string path = build.folder + "/build.json";
    ordered_json wanted = build.what;
    wanted["model"] = build.mark;
    wanted["items"] = build.items;
    wanted["items_per_shard"] = build.items_per_shard;
    std::error_code absent;
    if (!fs::exists(path, absent)) {
        for (const auto& entry : fs::directory_iterator(build.folder))
            if (entry.path().extension() == ".shard")
                throw Error("holds shards of something else", build.folder, "name another folder");
        const std::string text = wanted.dump(2) + "\n";
        write_file(path, text.data(), text.size());
        return;
    }
    const std::vector<uint8_t> bytes = read_file(path, MOST_BYTES_OF_MANIFEST);
    const nlohmann::json found = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
    if (found == nlohmann::json(wanted)) return;
    std::string differs = "something";
    for (const auto& item : wanted.items())
        if (!found.is_object() || !found.contains(item.key()) || found[item.key()] != nlohmann::json(item.value())) {
            differs = in_quotes(item.key());
            break;
        }
    throw Error("a build with another " + differs + " was begun here", path, "name another folder, or delete this one");
}

// What was being written when a process was killed: nobody will finish it.
void remove_unfinished(const std::string& folder) {
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string ending = entry.path().extension().string(), inner = entry.path().stem().extension().string();
        std::error_code ignored;
        if (ending.size() == 7 && (inner == ".shard" || inner == ".skipped" || inner == ".json"))
            fs::remove(entry.path(), ignored);
    }
}

std::string name_of_folder(const std::string& folder) {
    fs::path path = fs::absolute(folder).lexically_normal();
    if (path.filename().empty()) path = path.parent_path();
    return path.filename().string();
}

std::vector<std::string> lines_of(const std::string& path) {
    std::error_code absent;
    if (!fs::exists(path, absent)) return {};
    const std::vector<uint8_t> bytes = read_file(path);
    std::vector<std::string> lines(1);
    for (uint8_t c : bytes) {
        if (c == '\n')
            lines.emplace_back();
        else
            lines.back() += static_cast<char>(c);
    }
    lines.pop_back();
    return lines;
}

struct Made {
    std::optional<Example> example;
    std::string problem;
};

Made make_one(const std::function<Example(int64_t)>& make, int64_t item) {
    try {
        return {make(item), ""};
    } catch (const Error& problem) {
        std::string line = problem.what();
        std::replace(line.begin(), line.end(), '\n', ' ');
        return {std::nullopt, line};
    } catch (const std::bad_alloc&) {
        return {std::nullopt, "item " + std::to_string(item) + ": there is not enough memory for it"};
    }
}

class Build {
public:
    Build(const ShardBuild& build, const std::function<Example(int64_t)>& make,
          const std::function<void(size_t, size_t)>& progress)
        : build_(build), make_(make), progress_(progress), prefix_(build.folder + "/" + name_of_folder(build.folder)) {}

    ShardReport run() {
        const double start = now();
        make_folder(build_.folder);
        check_writable(build_.folder + "/build.json");
        agree_on_manifest(build_);
        remove_unfinished(build_.folder);
        std::vector<std::string> shards;
        for (int64_t first = 0, number = 0; first < build_.items; first += build_.items_per_shard, number++) {
            const int64_t count = std::min<int64_t>(build_.items_per_shard, build_.items - first);
            const std::string stem = prefix_ + format("-%05lld", static_cast<long long>(number));
            if (!is_done(stem, count)) make_shard(stem, first, count);
            done_ += count;
            count_problems(stem);
            std::error_code absent;
            if (fs::exists(stem + ".shard", absent)) shards.push_back(stem + ".shard");
        }
        if (shards.empty())
            throw Error(report_.problems.empty()
                            ? "there is nothing to build"
                            : "nothing of it can be used; the first problem: " + report_.problems[0],
                        build_.folder);
        const Dataset data(shards, build_.mark);
        report_.documents = data.documents();
        report_.tokens = data.tokens();
        report_.seconds = now() - start;
        return report_;
    }

private:
    // The shard is there, or nothing of it could be used and that was written down.
    bool is_done(const std::string& stem, int64_t count) const {
        std::error_code absent;
        return fs::exists(stem + ".shard", absent) || static_cast<int64_t>(lines_of(stem + ".skipped").size()) == count;
    }

    void count_problems(const std::string& stem) {
        for (std::string& problem : lines_of(stem + ".skipped")) {
            report_.skipped++;
            if (report_.problems.size() < SHOWN_PROBLEMS) report_.problems.push_back(std::move(problem));
        }
    }

    void make_shard(const std::string& stem, int64_t first, int64_t count) {
        std::vector<Made> made(static_cast<size_t>(count));
        std::atomic<int64_t> finished{0};
        if (progress_) progress_(static_cast<size_t>(done_), static_cast<size_t>(build_.items));
        parallel(count, [&](int64_t i, int worker) {
            made[static_cast<size_t>(i)] = make_one(make_, first + i);
            finished++;
            if (worker == 0 && progress_)
                progress_(static_cast<size_t>(done_ + finished), static_cast<size_t>(build_.items));
        });
        report_.items_made += count;
        std::string skipped;
        ShardWriter shard(stem + ".shard", build_.mark);
        for (const Made& one : made) {
            if (one.example)
                shard.add(*one.example);
            else
                skipped += one.problem + "\n";
        }
        // In this order: a shard that is there is complete, with what is known of those that are not in it.
        if (!skipped.empty()) write_file(stem + ".skipped", skipped.data(), skipped.size());
        if (shard.documents() > 0) shard.commit();
    }

    const ShardBuild& build_;
    const std::function<Example(int64_t)>& make_;
    const std::function<void(size_t, size_t)>& progress_;
    const std::string prefix_;
    ShardReport report_;
    int64_t done_ = 0;
};

}  // namespace

ShardReport build_shards(const ShardBuild& build, const std::function<Example(int64_t)>& make,
                         const std::function<void(size_t, size_t)>& progress) {
    CHECK(build.items >= 0 && build.items_per_shard >= 1 && build.what.is_object());
    return Build(build, make, progress).run();
}

std::string summary(const ShardReport& r) {
    const double rate = r.seconds > 0 ? static_cast<double>(r.items_made) / r.seconds : 0;
    return format("%lld documents of %lld tokens, %lld skipped, in %.1f s (%.1f a second)",
                  static_cast<long long>(r.documents), static_cast<long long>(r.tokens),
                  static_cast<long long>(r.skipped), r.seconds, rate);
}

}  // namespace leon
