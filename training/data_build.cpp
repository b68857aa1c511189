// See data_build.h. An example is a function of its item, whichever thread makes it, and whenever.
#include "training/data_build.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>

#include "kernels/check.h"
#include "retrieval/retrieve.h"
#include "runtime/files.h"
#include "tasks/common.h"
#include "tasks/pictures.h"
#include "training/records.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t BUILD_SEED = 1;  // of the words that queries lose, and of the documents drawn
constexpr int EACH = 2;             // documents by words, and by the picture: the paper's

// What is built from: sources of a folder, or lines of a file, which are read when their turn comes.
class Input {
public:
    Input(const std::string& path, const std::string& task, Layout layout)
        : rules_{task, fs::path(path).parent_path().string(), layout} {
        if (fs::is_directory(path))
            list(path);
        else
            index(path);
    }

    int64_t items() const { return static_cast<int64_t>(file_ ? lines_.size() : sources_.size()); }
    const std::string& mark() const { return mark_; }
    const std::vector<std::string>& problems() const { return problems_; }

    Record record(int64_t item) const {
        if (!file_) return record_of(sources_[static_cast<size_t>(item)], rules_);
        const Line& line = lines_[static_cast<size_t>(item)];
        const std::string number = std::to_string(line.number);
        return parse_record({reinterpret_cast<const char*>(file_->bytes().data()) + line.first, line.bytes},
                            file_->path() + ": line " + number,
                            fs::path(file_->path()).filename().string() + ":" + number, rules_);
    }

private:
    struct Line {
        size_t first, bytes, number;
    };

    void list(const std::string& folder) {
        sources_ = list_folder(folder, problems_);
        std::string all;
        for (const Source& s : sources_) {
            std::error_code absent;
            all += s.name + '\0' + s.text + '\0';
            if (!s.picture.empty()) all += std::to_string(fs::file_size(s.picture, absent)) + '\0';
        }
        mark_ = fingerprint(all.data(), all.size());
    }

    void index(const std::string& path) {
        file_.emplace(path);
        const std::string_view all(reinterpret_cast<const char*>(file_->bytes().data()), file_->bytes().size());
        size_t number = 0;
        for (size_t at = 0; at < all.size();) {
            const size_t end = std::min(all.find('\n', at), all.size());
            number++;
            if (!trimmed(all.substr(at, end - at)).empty()) lines_.push_back({at, end - at, number});
            at = end + 1;
        }
        mark_ = fingerprint(all.data(), all.size());
    }

    const RecordRules rules_;
    std::vector<Source> sources_;
    std::optional<MappedFile> file_;
    std::vector<Line> lines_;
    std::vector<std::string> problems_;
    std::string mark_;
};

std::string mark_of(const Bank& bank) {
    const VectorView& vectors = bank.vectors();
    return fingerprint(vectors.data,
                       static_cast<size_t>(vectors.count) * static_cast<size_t>(vectors.dim) * sizeof(float));
}

// Documents of the bank as the model reads them, each encoded once.
class Library {
public:
    Library(const Model& model, const Bank& bank) : model_(model), bank_(bank) {}

    Document document(int id) {
        {
            const std::lock_guard lock(mutex_);
            if (const auto found = known_.find(id); found != known_.end()) return found->second;
        }
        Document document;
        if (!bank_.text(id).empty()) document.parts.push_back(text_part(std::string(bank_.text(id))));
        if (bank_.has_picture(id))
            document.parts.push_back(picture_part_of(model_, frame_of(model_, bank_.picture(id))));
        const std::lock_guard lock(mutex_);
        return known_.emplace(id, std::move(document)).first->second;
    }

private:
    const Model& model_;
    const Bank& bank_;
    std::mutex mutex_;
    std::map<int, Document> known_;
};

class Builder {
public:
    Builder(const Model& model, const DataBuild& build)
        : model_(model),
          build_(build),
          writer_(model.documents()),
          input_(build.input, build.task, model.config().layout) {
        model.encoder();  // or an Error before anything is read
        if (build.bank) library_.emplace(model, *build.bank);
    }

    const Input& input() const { return input_; }

    Example example(int64_t item) {
        const Record record = input_.record(item);
        // By path: a picture may be asked with and written, and the document be written anew with less help.
        std::map<std::string, Picture> frames;
        std::map<std::string, Part> codes;
        const auto frame = [&](const std::string& path) -> const Picture& {
            if (const auto found = frames.find(path); found != frames.end()) return found->second;
            return frames[path] = frame_of(model_, load_picture(path, Orientation::Upright));
        };
        const auto picture = [&](const std::string& path) {
            if (const auto found = codes.find(path); found != codes.end()) return found->second;
            return codes[path] = picture_part_of(model_, frame(path));
        };
        std::vector<Document> help;
        if (library_) help = help_for(record, item, frame);
        const auto made = [&] {
            return example_of(writer_, document_of(record, help, model_.config().vqgan.patch(), picture));
        };
        Example e = made();
        const size_t context =
            model_.config().has_transformer ? static_cast<size_t>(model_.config().transformer.context) : SIZE_MAX;
        while (e.ids.size() > context && !help.empty()) {
            help.pop_back();
            e = made();
        }
        return e;
    }

private:
    template <class Frame>
    std::vector<Document> help_for(const Record& record, int64_t item, const Frame& frame) {
        const uint64_t sample = static_cast<uint64_t>(item);
        const std::string words = record.words(), path = record.last_picture();
        std::vector<std::vector<float>> queries;
        std::vector<float> text, picture;
        if (!path.empty()) {
            picture = build_.embedder->picture(frame(path));
            queries.push_back(picture);
        }
        if (!trimmed(words).empty()) {
            text = build_.embedder->text(words);
            queries.push_back(build_.embedder->text(drop_words(words, QUERY_DROPOUT, BUILD_SEED, sample)));
        }
        std::vector<Document> help;
        if (queries.empty()) return help;
        const std::vector<Candidate> found =
            find_documents(*build_.bank, queries, document_vector(text, picture), EACH);
        for (const Candidate& c : draw_some(found, build_.documents, BUILD_SEED, sample))
            help.push_back(library_->document(c.id));
        return help;
    }

    const Model& model_;
    const DataBuild& build_;
    const DocumentWriter& writer_;
    const Input input_;
    std::optional<Library> library_;
};

}  // namespace

ShardReport build_dataset(const Model& model, const DataBuild& build,
                          const std::function<void(size_t, size_t)>& progress) {
    if (build.documents < 0 || build.documents > MOST_HELP)
        throw Error(std::to_string(build.documents) + " is out of range", "--documents",
                    "choose from 0 to " + std::to_string(MOST_HELP));
    if (build.bank) check_embedder(*build.bank, *build.embedder);
    Builder builder(model, build);
    const Input& input = builder.input();
    const ShardBuild shards = {
        .folder = build.output,
        .mark = model_mark(model.file()),
        .items = input.items(),
        .items_per_shard = build.items_per_shard,
        .what = {{"input", input.mark()},
                 {"task", build.task},
                 {"bank", build.bank ? mark_of(*build.bank) : ""},
                 {"documents", build.bank ? build.documents : 0}},
    };
    ShardReport report = build_shards(
        shards, [&](int64_t item) { return builder.example(item); }, progress);
    report.skipped += static_cast<int64_t>(input.problems().size());
    report.problems.insert(report.problems.begin(), input.problems().begin(), input.problems().end());
    return report;
}

}  // namespace leon
