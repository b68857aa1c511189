// score: results against references, a subcommand for each kind of result. JSON on standard output.
#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "tasks/evaluation.h"

namespace leon {
namespace {

struct ScoreOptions {
    std::string reference, candidate, legend, features;
    SegmentationOptions segmentation;
    bool each = false, as_given = false, quiet = false;

    ScoreDetail detail() const { return each ? ScoreDetail::Each : ScoreDetail::Summary; }
};
using SharedScoreOptions = std::shared_ptr<ScoreOptions>;

void print(const std::string& report) {
    std::fputs(report.c_str(), stdout);
}

CLI::App* add_kind(CLI::App& score, const char* name, const char* what, const char* example) {
    CLI::App* kind = score.add_subcommand(name, what);
    kind->footer(std::string("Example:\n  ") + example);
    return kind;
}

void add_lines(CLI::App& kind, const SharedScoreOptions& o, const char* references, const char* candidates) {
    kind.add_option("--references", o->reference, references)->required();
    kind.add_option("--candidates", o->candidate, candidates)->required();
    kind.add_flag("--each", o->each, "the score of each line too");
}

void add_files(CLI::App& kind, const SharedScoreOptions& o, const char* what) {
    kind.add_option("reference", o->reference, what)->required();
    kind.add_option("candidate", o->candidate, "the same, to be scored")->required();
    kind.add_flag("--each", o->each, "the score of each pair too");
    kind.add_flag("-q,--quiet", o->quiet, "no progress");
}

// The report that `score` makes while a bar shows how far it is.
template <class Score>
void print_with_progress(const ScoreOptions& o, const Score& score) {
    ProgressBar bar(o.quiet ? Display::Quiet : Display::Terminal, "scoring");
    const std::string report = score([&bar](size_t done, size_t total) { bar.update(done, total); });
    bar.finish();
    print(report);
}

}  // namespace

void add_score_commands(CLI::App& app) {
    auto o = std::make_shared<ScoreOptions>();
    CLI::App* score = app.add_subcommand("score", "measure results against references; JSON with each number's rule");
    score->require_subcommand(1);
    score->footer("Example:\n  leon score captions --references refs.jsonl --candidates cands.jsonl");

    CLI::App* kind = add_kind(*score, "captions", "CIDEr-D and BLEU-1 to 4",
                              "leon score captions --references refs.jsonl --candidates cands.jsonl");
    add_lines(*kind, o, "JSON lines: {\"id\": 1, \"captions\": [\"a dog on a beach\", ...]}",
              "JSON lines: {\"id\": 1, \"caption\": \"a dog\"}");
    kind->add_flag("--pretokenized", o->as_given, "captions are words parted by spaces; take them as they are");
    kind->callback([o] {
        print(score_captions(o->reference, o->candidate, o->as_given ? CaptionTokens::AsGiven : CaptionTokens::Split,
                             o->detail()));
    });

    kind = add_kind(*score, "answers", "exact answers, and the VQA challenge's accuracy over ten people",
                    "leon score answers --references refs.jsonl --candidates cands.jsonl");
    add_lines(*kind, o, "JSON lines: {\"id\": 1, \"answers\": [\"beach\", ...]}",
              "JSON lines: {\"id\": 1, \"answer\": \"beach\"}");
    kind->callback([o] { print(score_answers(o->reference, o->candidate, o->detail())); });

    kind = add_kind(*score, "boxes", "intersection over union of boxes",
                    "leon score boxes --references refs.jsonl --candidates cands.jsonl");
    add_lines(*kind, o, "JSON lines: {\"id\": 1, \"box\": [x0, y0, x1, y1]}",
              "the same; \"box\": null is a box that was not found");
    kind->callback([o] { print(score_boxes(o->reference, o->candidate, o->detail())); });

    kind = add_kind(*score, "segmentation", "mean intersection over union of label maps",
                    "leon score segmentation truth.png drawn.png --legend storybook");
    add_files(*kind, o, "label map (picture, or .npy of integers) or a folder of them: the truth");
    kind->add_option("--legend", o->legend, "storybook, or a legend file: candidates are classified by its colours");
    kind->add_option("--ignore", o->segmentation.ignore,
                     "leave out where the truth has this label: a kind of the legend, r,g,b, or an integer for .npy");
    kind->callback([o] {
        if (!o->legend.empty())
            o->segmentation.legend = o->legend == "storybook" ? storybook_legend() : load_legend(o->legend);
        print_with_progress(*o, [&](const ScoreProgress& progress) {
            return score_segmentation(o->reference, o->candidate, o->segmentation, o->detail(), progress);
        });
    });

    kind = add_kind(*score, "pictures", "PSNR and SSIM", "leon score pictures originals/ decoded/ --each");
    add_files(*kind, o, "picture or a folder of them: the truth");
    kind->callback([o] {
        print_with_progress(*o, [&](const ScoreProgress& progress) {
            return score_pictures(o->reference, o->candidate, o->detail(), progress);
        });
    });

    kind = add_kind(*score, "frechet", "Fréchet distance between two sets of feature vectors",
                    "leon score frechet real.npy drawn.npy --features \"CLIP ViT-B/32 picture vectors\"");
    kind->add_option("a", o->reference, ".npy [vectors, features]")->required();
    kind->add_option("b", o->candidate, ".npy [vectors, features]")->required();
    kind->add_option("--features", o->features, "what the features are; the result is named after them")->required();
    kind->add_flag("-q,--quiet", o->quiet, "no progress");
    kind->callback([o] {
        print_with_progress(*o, [&](const ScoreProgress& progress) {
            return score_frechet(o->reference, o->candidate, o->features, progress);
        });
    });
}

}  // namespace leon
