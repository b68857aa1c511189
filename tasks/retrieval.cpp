// Building and searching memory banks; see retrieval.h.
//
// Documents go through in batches: pictures of a batch are loaded, fitted and compressed on all threads, then embedded
// one after the other (a picture's encoder has all threads to itself). What was read is in the bank or in the report.
#include "tasks/retrieval.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/cpu/threads.h"
#include "retrieval/clip.h"
#include "retrieval/native_embedder.h"
#include "runtime/format.h"
#include "runtime/strict_json.h"
#include "tasks/common.h"
#include "tasks/pictures.h"
#include "tokenizer/unicode.h"

namespace leon {
namespace {

namespace fs = std::filesystem;

constexpr size_t MAX_JSONL_BYTES = size_t{1} << 34;

// Error naming `where` if a bank cannot hold this text.
std::string checked_text(std::string_view text, const std::string& where) {
    if (auto invalid = find_invalid_utf8(text))
        throw Error("is not valid UTF-8 at byte " + std::to_string(*invalid), where);
    const std::string result = trimmed(text);
    if (result.size() > MAX_DOCUMENT_TEXT_BYTES)
        throw Error("the text is longer than " + std::to_string(MAX_DOCUMENT_TEXT_BYTES) + " bytes", where);
    return result;
}

std::string checked_source(const std::string& name, const std::string& where) {
    if (find_invalid_utf8(name)) throw Error("the name of the source is not valid UTF-8", where);
    if (name.size() > MAX_SOURCE_BYTES) throw Error("the name of the source is too long", where);
    return name;
}

bool is_picture_name(const fs::path& path) {
    std::string ending = path.extension().string();
    for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    for (const char* known : {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".pnm"})
        if (ending == known) return true;
    return false;
}

bool is_hidden(const fs::path& path) {
    return path.filename().string().starts_with(".");
}

// Every regular file below the folder but hidden ones, sorted.
std::vector<fs::path> files_below(const std::string& folder) {
    std::vector<fs::path> files;
    try {
        for (fs::recursive_directory_iterator it(folder), end; it != end; ++it) {
            if (is_hidden(it->path())) {
                it.disable_recursion_pending();
                continue;
            }
            if (it->is_regular_file()) files.push_back(it->path());
        }
    } catch (const fs::filesystem_error& problem) {
        throw Error("cannot be listed: " + problem.code().message(), folder);
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

std::unique_ptr<Embedder> open_embedder(const std::string& which, const Model& model) {
    if (which == "native") return std::make_unique<NativeEmbedder>(model.encoder(), model.file());
    std::error_code unreadable;
    if (!fs::exists(which, unreadable))
        throw Error("there is no embedder '" + which + "'", "--embedder", "choose native, or the file of a CLIP");
    return std::make_unique<ClipEmbedder>(which, model.kernels());
}

std::unique_ptr<Embedder> open_embedder_of(const Bank& bank, const std::string& which, const Model& model) {
    if (which.empty() && !bank.embedder().starts_with(NATIVE_EMBEDDER_PREFIX))
        throw Error("was made with the embedder '" + bank.embedder() + "'", bank.path(),
                    "name its file with --embedder");
    std::unique_ptr<Embedder> embedder = open_embedder(which.empty() ? "native" : which, model);
    check_embedder(bank, *embedder);
    return embedder;
}

std::vector<float> embed(const std::string& path, const Kernels& kernels, const std::string& text,
                         const Picture* picture) {
    const auto vector_of = [&](const Embedder& embedder) {
        return picture ? embedder.picture(*picture) : embedder.text(text);
    };
    if (parse_config(WeightsFile(path).config_json(), path).has_clip) return vector_of(ClipEmbedder(path, kernels));
    const Model model(path, kernels);
    return vector_of(*open_embedder("native", model));
}

std::vector<Source> list_folder(const std::string& folder, std::vector<std::string>& problems) {
    const std::vector<fs::path> files = files_below(folder);
    std::map<fs::path, bool> captions;  // path without its ending -> whether a picture has it
    for (const fs::path& path : files)
        if (path.extension() == ".txt") captions[fs::path(path).replace_extension()] = false;
    for (const fs::path& path : files)
        if (is_picture_name(path))
            if (auto caption = captions.find(fs::path(path).replace_extension()); caption != captions.end())
                caption->second = true;

    std::vector<Source> sources;
    for (const fs::path& path : files) {
        const bool is_text = path.extension() == ".txt", is_picture = is_picture_name(path);
        if (!is_text && !is_picture) continue;
        const fs::path stem = fs::path(path).replace_extension();
        const auto caption = captions.find(stem);
        if (is_text && caption->second) continue;  // comes with its picture
        try {
            Source source;
            source.name = checked_source(path.lexically_relative(folder).string(), in_quotes(path.string()));
            if (is_picture) source.picture = path.string();
            if (caption != captions.end()) {
                const std::string text_path = stem.string() + ".txt";
                const std::vector<uint8_t> bytes = read_file(text_path, size_t{1} << 24);
                source.text = checked_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, text_path);
            }
            if (source.text.empty() && source.picture.empty()) throw Error("is empty", path.string());
            sources.push_back(std::move(source));
        } catch (const Error& problem) {
            problems.push_back(problem.what());
        }
    }
    return sources;
}

std::vector<Source> list_jsonl(const std::string& path) {
    const MappedFile file(path);
    const std::string_view all(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    if (all.size() > MAX_JSONL_BYTES) throw Error("is longer than 16 GB", path, "split it");
    const fs::path folder = fs::path(path).parent_path();
    std::vector<Source> sources;
    size_t line_number = 0;
    for (size_t at = 0; at < all.size();) {
        const size_t end = std::min(all.find('\n', at), all.size());
        const std::string_view line = all.substr(at, end - at);
        at = end + 1;
        const std::string where = path + ": line " + std::to_string(++line_number);
        if (trimmed(line).empty()) continue;
        const nlohmann::json object = parse_json(line, where);
        if (!object.is_object()) throw Error("is no JSON object", where);
        Source source;
        for (const auto& item : object.items()) {
            if (item.key() != "text" && item.key() != "picture" && item.key() != "source")
                throw Error("unknown key " + in_quotes(item.key()), where, "text, picture and source are known");
            if (!item.value().is_string()) throw Error("'" + item.key() + "' is no text", where);
            const auto& value = item.value().get_ref<const std::string&>();
            if (item.key() == "text") source.text = checked_text(value, where);
            if (item.key() == "picture" && !value.empty()) source.picture = (folder / value).string();
            if (item.key() == "source") source.name = checked_source(value, where);
        }
        if (source.text.empty() && source.picture.empty())
            throw Error("has neither a text nor a picture", where, "every document needs one of them");
        if (source.name.empty())
            source.name = source.picture.empty()
                              ? fs::path(path).filename().string() + ":" + std::to_string(line_number)
                              : checked_source(object["picture"].get<std::string>(), where);
        sources.push_back(std::move(source));
    }
    return sources;
}

namespace {

// A document on its way into the bank.
struct Prepared {
    Picture frame;
    std::vector<uint8_t> png;
    std::string problem;  // why it is skipped; empty if it is not
};

Prepared prepare(const Source& source, int side) {
    Prepared result;
    if (source.picture.empty()) return result;
    try {
        result.frame = chameleon_preprocess(load_picture(source.picture, Orientation::Upright), side);
        result.png = encode_png(result.frame);
    } catch (const std::exception& problem) {  // a damaged picture, or one too large for the memory there is
        result.problem = dynamic_cast<const Error*>(&problem) ? problem.what()
                                                              : source.picture + ": there is not enough memory for it";
    }
    return result;
}

}  // namespace

BankReport build_bank(const std::string& input, const std::string& output, const Embedder& embedder, const Model& model,
                      const BankProgress& progress) {
    constexpr size_t BATCH = 64;
    const double start = now();
    check_writable(output);
    BankReport report;
    const int side = model.config().vqgan.resolution;
    const std::vector<Source> sources =
        fs::is_directory(input) ? list_folder(input, report.problems) : list_jsonl(input);
    BankWriter writer(output, embedder, side);
    std::vector<Prepared> batch(std::min(BATCH, sources.size()));
    for (size_t begin = 0; begin < sources.size(); begin += BATCH) {
        const size_t count = std::min(BATCH, sources.size() - begin);
        parallel(static_cast<int64_t>(count), [&](int64_t i, int) {
            batch[static_cast<size_t>(i)] = prepare(sources[begin + static_cast<size_t>(i)], side);
        });
        for (size_t i = 0; i < count; i++) {
            if (progress.documents) progress.documents(begin + i, sources.size());
            const Source& source = sources[begin + i];
            const Prepared& prepared = batch[i];
            if (!prepared.problem.empty()) {
                report.problems.push_back(prepared.problem);
                continue;
            }
            std::vector<float> text, picture;
            if (!source.text.empty()) text = embedder.text(source.text);
            if (!prepared.png.empty()) picture = embedder.picture(prepared.frame);
            writer.add_png(source.text, prepared.png, source.name, document_vector(text, picture));
        }
    }
    report.documents = writer.documents();
    report.skipped = static_cast<int>(report.problems.size());
    if (report.documents == 0)
        throw Error(report.problems.empty() ? "holds no documents"
                                            : "nothing of it can be used; the first problem: " + report.problems[0],
                    input, "give a folder of pictures and .txt files, or a .jsonl file");
    const double graph_start = now();
    writer.finish(progress.graph);
    report.graph_seconds = now() - graph_start;
    report.seconds = now() - start;
    return report;
}

Query parse_query(const std::string& words) {
    std::error_code unreadable;  // a long text is no file's name
    if (is_picture_name(words) || fs::is_regular_file(words, unreadable))
        return {.text = "", .picture = load_picture(words, Orientation::Upright)};
    return {.text = words, .picture = {}};
}

std::vector<Found> search_bank(const Bank& bank, const Embedder& embedder, const std::string& text,
                               const Picture* picture, int count, Bank::Search how) {
    constexpr int MOST = 1000;
    if (count < 1 || count > MOST)
        throw Error(std::to_string(count) + " is out of range", "-k", "choose from 1 to " + std::to_string(MOST));
    check_embedder(bank, embedder);
    std::vector<Found> found;
    for (const Hit& hit : bank.search(query_vector(embedder, text, picture), count, how))
        found.push_back({.id = hit.id,
                         .score = hit.score,
                         .text = std::string(bank.text(hit.id)),
                         .source = std::string(bank.source(hit.id)),
                         .has_picture = bank.has_picture(hit.id)});
    return found;
}

Picture found_sheet(const Bank& bank, const std::vector<Found>& found) {
    std::vector<Picture> pictures;
    for (const Found& f : found)
        pictures.push_back(f.has_picture ? bank.picture(f.id) : Picture(bank.side(), bank.side(), 255));
    int columns = 1;
    while (columns * columns < static_cast<int>(found.size())) columns++;
    return contact_sheet(pictures, columns);
}

std::string printable(std::string_view text) {
    std::string result;
    for (size_t at = 0; at < text.size();) {
        const CodePoint point = code_point_at(text.data() + at);
        const bool control = point.value < 0x20 || (point.value >= 0x7f && point.value < 0xa0);
        result += control ? std::string_view(" ") : text.substr(at, point.bytes);
        at += point.bytes;
    }
    return result;
}

namespace {

std::string text_and_source(std::string_view text, std::string_view source) {
    return (text.empty() ? "[picture]" : printable(text)) + (source.empty() ? "" : "  (" + printable(source) + ")");
}

}  // namespace

std::string found_line(const Found& found) {
    return format("%7.4f  %6d  ", static_cast<double>(found.score), found.id) +
           text_and_source(found.text, found.source);
}

std::string document_line(const Bank& bank, int id) {
    const bool text = !bank.text(id).empty(), picture = bank.has_picture(id);
    return format("%6d  %-12s  ", id,
                  text && picture ? "text+picture"
                  : text          ? "text"
                                  : "picture") +
           text_and_source(bank.text(id), bank.source(id));
}

std::string found_json(const std::vector<Found>& found) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Found& f : found) {
        nlohmann::ordered_json entry;
        entry["id"] = f.id;
        entry["score"] = f.score;
        entry["text"] = f.text;
        entry["picture"] = f.has_picture;
        entry["source"] = f.source;
        list.push_back(std::move(entry));
    }
    return list.dump(2);
}

std::string bank_summary(const Bank& bank) {
    int texts = 0, pictures = 0, both = 0;
    for (int i = 0; i < bank.documents(); i++) {
        const bool text = !bank.text(i).empty(), picture = bank.has_picture(i);
        texts += text && !picture;
        pictures += picture && !text;
        both += text && picture;
    }
    std::string result;
    result += format("documents    %d: %d with text and picture, %d texts, %d pictures\n", bank.documents(), both,
                     texts, pictures);
    result += format("pictures     %d x %d\n", bank.side(), bank.side());
    result += "embedder     " + bank.embedder() + "\n";
    result += format("vectors      of %d numbers\n", bank.vectors().dim);
    result += format("search       %s\n", bank.has_graph() ? "along a graph of neighbours" : "exact");
    result += format("file         %.1f MB\n", static_cast<double>(bank.bytes()) / 1e6);
    return result;
}

Help retrieve_for(const Model& model, const Bank& bank, const Embedder& embedder, const std::string& text,
                  const Picture* picture, int documents) {
    Help help;
    help.sources = retrieve(bank, embedder, text, picture, documents);
    for (const RetrievedDocument& source : help.sources) {
        Document& document = help.documents.emplace_back();
        if (!source.text.empty()) document.parts.push_back(text_part(source.text));
        if (source.picture) document.parts.push_back(picture_part_of(model, frame_of(model, *source.picture)));
    }
    return help;
}

}  // namespace leon
