// The workbench: one step of the pipeline at a time, on arrays and files. Every command takes --backend and --compute,
// so that a script can pass them throughout; those that compute on no backend (text, resizing, probabilities) only
// check them.
#include <chrono>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "runtime/npy.h"
#include "tasks/report.h"
#include "tasks/workbench.h"

namespace leon {
namespace {

struct WorkbenchOptions {
    std::string input, output, rule, logits, chain, ids;
    bool jsonl = false, control = false, raw = false;

    LineFormat format() const { return jsonl ? LineFormat::Json : LineFormat::Plain; }
    ControlTokens control_tokens() const { return control ? ControlTokens::Parsed : ControlTokens::AsText; }
};
using SharedOptions = std::shared_ptr<WorkbenchOptions>;

void add_tokenizer_commands(CLI::App& app, CommonOptions& common, const SharedOptions& o) {
    CLI::App* command =
        add_command(app, "tokenize", "standard input to token ids", "echo -n \"a red car\" | leon tokenize");
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->add_flag("--jsonl", o->jsonl, "read {\"text\": ...} lines, print {\"ids\": [...]} lines");
    command->add_flag("--control", o->control, "let text that spells a control token become that token");
    command->callback([&common, o] {
        common.kernels();
        tokenize(open_tokenizer(common.model_path()), std::cin, std::cout, o->format(), o->control_tokens());
        std::cout.flush();
    });

    command =
        add_command(app, "detokenize", "token ids from standard input to text", "echo 64 266 315 | leon detokenize");
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->add_flag("--jsonl", o->jsonl, "read {\"ids\": [...]} lines, print {\"text\": ...} lines");
    command->callback([&common, o] {
        common.kernels();
        detokenize(open_tokenizer(common.model_path()), std::cin, std::cout, o->format());
        std::cout.flush();
    });
}

void logits_command(const CommonOptions& common, const WorkbenchOptions& o) {
    const Array stored = load_npy(o.input);
    const std::vector<int32_t> tokens = stored.ints(o.input);
    if (stored.shape.size() != 1) throw Error("tokens must have the shape [T]", o.input);
    const Model model(common.model_path(), common.kernels());
    GenerateStatistics statistics;
    const std::vector<float> result = logits(model, tokens, o.input, &statistics);
    save_npy(o.output, result.data(), {stored.shape[0], model.config().transformer.vocab});
    if (!common.quiet) std::cerr << speed_line(common.kernels(), statistics, 0) << '\n';
}

void encode_command(const CommonOptions& common, const WorkbenchOptions& o) {
    const Picture picture = load_picture(o.input);
    const Model model(common.model_path(), common.kernels());
    GenerateStatistics no_tokens;
    const auto start = std::chrono::steady_clock::now();
    const CodeGrid grid = encode_picture(model, picture, o.raw ? Fit::Raw : Fit::Frame);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    save_npy(o.output, grid.codes.data(), {grid.rows, grid.cols});
    if (!common.quiet) std::cerr << speed_line(common.kernels(), no_tokens, seconds.count()) << '\n';
}

void decode_command(const CommonOptions& common, const WorkbenchOptions& o) {
    const Array stored = load_npy(o.input);
    if (stored.shape.size() != 2) throw Error("codes must have the shape [rows, cols]", o.input);
    const std::vector<int32_t> codes = stored.ints(o.input);
    if (!o.output.ends_with(".npy")) check_picture_path(o.output);
    const Model model(common.model_path(), common.kernels());
    GenerateStatistics no_tokens;
    const auto start = std::chrono::steady_clock::now();
    const DecodedGrid decoded = decode_grid(model, codes, stored.shape, o.input);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (o.output.ends_with(".npy"))
        save_npy(o.output, planes(decoded.pixels, decoded.height, decoded.width).data(),
                 {3, decoded.height, decoded.width});
    else
        save_picture(o.output, to_picture(decoded.pixels, decoded.width, decoded.height));
    if (!common.quiet) std::cerr << speed_line(common.kernels(), no_tokens, seconds.count()) << '\n';
}

}  // namespace

void add_workbench_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<WorkbenchOptions>();
    add_tokenizer_commands(app, common, o);

    CLI::App* command = add_command(app, "logits", "scores after every token: [T] int32 to [T, vocab] float32",
                                    "leon logits --tokens tokens.npy -o logits.npy");
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->add_option("--tokens", o->input, "token ids, .npy [T] int32")->required();
    command->add_option("-o,--output", o->output, ".npy to write")->required();
    command->callback([&common, o] { logits_command(common, *o); });

    command = add_command(app, "encode", "picture to codes: [h, w] int32", "leon encode car.png -o codes.npy");
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->add_option("picture", o->input, "picture file")->required();
    command->add_option("-o,--output", o->output, ".npy to write")->required();
    command->add_flag("--raw", o->raw, "take the pixels as they are, without resize or crop");
    command->callback([&common, o] { encode_command(common, *o); });

    command = add_command(app, "decode", "codes to a picture, or to .npy [3, H, W] float32 before clamping",
                          "leon decode codes.npy -o car.png");
    add_model_option(*command, common);
    add_compute_options(*command, common);
    command->add_option("codes", o->input, "codes, .npy [h, w] int32")->required();
    command->add_option("-o,--output", o->output, "picture or .npy to write")->required();
    command->callback([&common, o] { decode_command(common, *o); });

    command = add_command(app, "preprocess", "resize and crop a picture by a published rule",
                          "leon preprocess photo.jpg --rule chameleon:512 -o frame.png");
    command->add_option("picture", o->input, "picture file")->required();
    command
        ->add_option(
            "--rule", o->rule,
            "chameleon:SIZE, lumina:WIDTHxHEIGHT, or a step alone: rgb, lanczos|bicubic|bilinear|box:WIDTHxHEIGHT")
        ->required();
    command->add_option("-o,--output", o->output, "picture to write")->required();
    add_compute_options(*command, common);
    command->callback([&common, o] {
        common.kernels();
        check_picture_path(o->output);
        save_picture(o->output, preprocess(load_picture(o->input), o->rule));
    });

    command = add_command(app, "probabilities", "the sampler's mathematics alone",
                          "leon probabilities --logits logits.npy --chain chain.json -o probabilities.npy");
    command->add_option("--logits", o->logits, ".npy [streams, vocab] float32")->required();
    command->add_option("--chain", o->chain, "JSON with per_stream, mix and ops")->required();
    command->add_option("--ids", o->ids, ".npy of the ids so far, for the repetition penalty");
    command->add_option("-o,--output", o->output, ".npy [vocab] float32 to write")->required();
    add_compute_options(*command, common);
    command->callback([&common, o] {
        common.kernels();
        probabilities(o->logits, o->chain, o->ids, o->output);
    });
}

}  // namespace leon
