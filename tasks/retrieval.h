// Memory banks: made from a folder or a list of documents, searched, shown.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "retrieval/bank.h"
#include "retrieval/embedder.h"
#include "retrieval/retrieve.h"
#include "tasks/model.h"
#include "tokenizer/document.h"

namespace leon {

// "native" (of this model, which must outlive it), or the path of a CLIP's leon file.
std::unique_ptr<Embedder> open_embedder(const std::string& which, const Model& model);
// The one that made the bank: `which`, or if that is empty the native one if it was that. Error if it is another.
std::unique_ptr<Embedder> open_embedder_of(const Bank& bank, const std::string& which, const Model& model);

// The vector of the picture, or of the text if that is null: by the CLIP in the file, or by the native embedder of the
// model there.
std::vector<float> embed(const std::string& path, const Kernels& kernels, const std::string& text,
                         const Picture* picture);

// What will be one document of a bank.
struct Source {
    std::string text;     // UTF-8, without white space at its ends; may be empty
    std::string picture;  // path; may be empty
    std::string name;     // where it came from, as the bank will say
};

// The documents of a folder and the folders in it, in the order of their paths: a picture (.png .jpg .jpeg .bmp .gif
// .ppm .pgm .pnm) with the .txt of the same name beside it as its caption, a picture alone, a .txt alone. Hidden files
// and others are passed over. A text that cannot be read or is not UTF-8 goes to `problems`, a line each.
std::vector<Source> list_folder(const std::string& folder, std::vector<std::string>& problems);
// The documents of a file with one JSON object a line: {"text": ..., "picture": path relative to the file, "source":
// ...}, text or picture or both; "source" is the picture's path or the line number otherwise. Empty lines are passed
// over. Error naming the line if one is anything else.
std::vector<Source> list_jsonl(const std::string& path);

struct BankReport {
    int documents = 0, skipped = 0;
    std::vector<std::string> problems;  // one line each, of what was skipped
    double seconds = 0, graph_seconds = 0;
};
struct BankProgress {
    std::function<void(size_t done, size_t total)> documents, graph;
};

// Pictures go to the frame of the model (shorter side to its resolution, centre crop). A picture that cannot be read is
// skipped and reported. Error if nothing is left.
BankReport build_bank(const std::string& input, const std::string& output, const Embedder& embedder, const Model& model,
                      const BankProgress& progress = {});

// What a person searches for: a picture if there is a file of that name or the ending is a picture's, else a text.
struct Query {
    std::string text;
    std::optional<Picture> picture;
};
Query parse_query(const std::string& words);

// The documents that a task puts in front of its query (at most MAX_RETRIEVED), best first, as the model reads them:
// the picture in the bank is encoded anew, so that a bank serves any model of its frame. Error if the bank is another
// embedder's.
struct Help {
    std::vector<Document> documents;
    std::vector<RetrievedDocument> sources;
};
Help retrieve_for(const Model& model, const Bank& bank, const Embedder& embedder, const std::string& text,
                  const Picture* picture, int documents);

struct Found {
    int id;
    float score;
    std::string text, source;
    bool has_picture;
};
// The `count` best by score alone, without the rules of selection.
std::vector<Found> search_bank(const Bank& bank, const Embedder& embedder, const std::string& text,
                               const Picture* picture, int count, Bank::Search how = Bank::Search::Fast);
// Their pictures in order, white where there is none.
Picture found_sheet(const Bank& bank, const std::vector<Found>& found);

std::string found_line(const Found& found);  // "0.5312  12  a red car  (cars/12.png)", fit for a terminal
std::string found_json(const std::vector<Found>& found);
std::string bank_summary(const Bank& bank);
std::string document_line(const Bank& bank, int id);  // "    12  text+picture  a red car  (cars/12.png)"

// Text from a file as a terminal may see it: control characters become spaces.
std::string printable(std::string_view text);

}  // namespace leon
