// index build, index search, index show: memory banks.
#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "tasks/retrieval.h"

namespace leon {
namespace {

struct IndexOptions {
    std::string input, bank, query, output, embedder;
    int count = 5;
    bool json = false, exact = false, documents = false;
};

void build_command(const CommonOptions& common, const IndexOptions& o) {
    const Model model(common.model_path(), common.kernels());
    const std::unique_ptr<Embedder> embedder = open_embedder(o.embedder, model);
    const Display display = common.quiet ? Display::Quiet : Display::Terminal;
    ProgressBar embedding(display, "embedding");
    std::unique_ptr<ProgressBar> linking;
    BankProgress progress;
    progress.documents = [&](size_t done, size_t total) { embedding.update(done, total); };
    progress.graph = [&](size_t done, size_t total) {
        if (!linking) {
            embedding.finish();
            linking = std::make_unique<ProgressBar>(display, "linking");
        }
        linking->update(done, total);
    };
    const BankReport report = build_bank(o.input, o.output, *embedder, model, progress);
    embedding.finish();
    if (linking) linking->finish();
    for (const std::string& problem : report.problems) std::fprintf(stderr, "leon: skipped: %s\n", problem.c_str());
    if (!common.quiet)
        std::fprintf(stderr, "%d documents, %d skipped, in %.1f s\n", report.documents, report.skipped, report.seconds);
}

void search_command(const CommonOptions& common, const IndexOptions& o) {
    if (!o.output.empty()) check_picture_path(o.output);
    const Bank bank(o.bank);
    const Model model(common.model_path(), common.kernels());
    const std::unique_ptr<Embedder> embedder = open_embedder_of(bank, o.embedder, model);
    const Query query = parse_query(o.query);
    const std::vector<Found> found = search_bank(bank, *embedder, query.text, query.picture ? &*query.picture : nullptr,
                                                 o.count, o.exact ? Bank::Search::Exact : Bank::Search::Fast);
    if (!o.output.empty()) save_picture(o.output, found_sheet(bank, found));
    if (o.json) std::printf("%s\n", found_json(found).c_str());
    if (o.json) return;
    for (const Found& f : found) std::printf("%s\n", found_line(f).c_str());
}

}  // namespace

void add_index_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<IndexOptions>();
    CLI::App* index = app.add_subcommand("index", "memory banks: documents that are found by text or picture");
    index->require_subcommand(1);
    index->footer(
        "Examples:\n  leon index build photos -o photos.bank\n  leon index search photos.bank \"a red car\" -o "
        "found.png\n"
        "leon index COMMAND --help explains one of them.");

    CLI::App* command = add_command(*index, "build", "a bank from a folder or a list of documents",
                                    "leon index build photos -o photos.bank");
    command
        ->add_option("input", o->input,
                     "folder of pictures, with captions in .txt files of the same name, and of texts; or a file of "
                     "{\"text\": ..., \"picture\": path, \"source\": ...} lines")
        ->required();
    command->add_option("-o,--output", o->output, "bank to write")->required();
    command->add_option("--embedder", o->embedder, "native: hashed words and picture codes; or a CLIP file")
        ->default_str("native");
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->callback([&common, o] {
        if (o->embedder.empty()) o->embedder = "native";
        build_command(common, *o);
    });

    command = add_command(*index, "search", "the documents of a bank that are closest to a text or a picture",
                          "leon index search photos.bank \"a red car\" -k 9 -o found.png");
    command->add_option("bank", o->bank, "bank to search")->required();
    command->add_option("query", o->query, "a text, or a picture file")->required();
    command->add_option("-k,--count", o->count, "documents to find")->capture_default_str();
    command->add_option("-o,--output", o->output, "contact sheet to write, in the order of the lines");
    command->add_option("--embedder", o->embedder, "the CLIP file that the bank was made with");
    command->add_flag("--exact", o->exact, "look at every document, also of a large bank");
    command->add_flag("--json", o->json, "print JSON");
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->callback([&common, o] { search_command(common, *o); });

    command = add_command(*index, "show", "what a bank holds", "leon index show photos.bank --documents");
    command->add_option("bank", o->bank, "bank to show")->required();
    command->add_flag("--documents", o->documents, "one line a document");
    command->callback([o] {
        const Bank bank(o->bank);
        std::fputs(bank_summary(bank).c_str(), stdout);
        for (int i = 0; o->documents && i < bank.documents(); i++) std::printf("%s\n", document_line(bank, i).c_str());
    });
}

}  // namespace leon
