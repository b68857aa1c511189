// `leon gradients` and `leon bench-training` as a person runs them.
#include "kernels/kernels.h"
#include "runtime/npy.h"
#include "runtime/weights_file.h"
#include "training/benchmark.h"

#include "tests/command_line.h"

using namespace leon;

namespace {

const std::string CASE = "training/tests/vectors/gradients/chameleon";

std::vector<std::string> gradients_command(const std::string& mask, const std::string& output) {
    return {"gradients", "-m", CASE, "--tokens", CASE + "/tokens.npy", "--mask", mask, "-o", output, "-q"};
}

}  // namespace

TEST_CASE("training commands: gradients") {
    const Scratch scratch;
    const std::string out = scratch / "gradients.safetensors";
    for (const char* backend : {"reference", "cpu"}) {
        std::vector<std::string> words = gradients_command(CASE + "/mask.npy", out);
        words.insert(words.end(), {"--backend", backend});
        const Result r = leon_run(words);
        CHECK(r.status == 0);
        CHECK(r.err.empty());
        CHECK(r.out.starts_with("loss 6.89394"));
        CHECK(lines(r.out) == 1);
        CHECK(SafetensorsFile(out).tensors().size() == 29);
    }
    std::filesystem::remove(out);

    save_npy(scratch / "short.npy", std::vector<int32_t>{0, 1}.data(), {2});
    check_refused(gradients_command(scratch / "short.npy", out), "short.npy");
    save_npy(scratch / "flat.npy", std::vector<int32_t>(24).data(), {4, 6});
    check_refused(gradients_command(scratch / "flat.npy", out), "shape [T]");
    check_refused(gradients_command(scratch / "absent.npy", out), "absent.npy");
    check_refused(gradients_command(CASE + "/mask.npy", scratch / "no/folder"), "no/folder");
    if (!cuda_kernels()) {
        std::vector<std::string> on_gpu = gradients_command(CASE + "/mask.npy", out);
        on_gpu.insert(on_gpu.end(), {"--backend", "cuda"});
        check_refused(on_gpu, "cuda");
    }
    CHECK(!std::filesystem::exists(out));
}

TEST_CASE("training commands: bench-training") {
    for (const char* architecture : {"chameleon", "cm3leon"}) {
        const Result r = leon_run({"bench-training", "--architecture", architecture, "--layers", "1", "--dim", "32",
                                   "--heads", "2", "--ffn", "48", "--vocab", "50", "--length", "9", "--steps", "2"});
        CAPTURE(r.err);
        CHECK(r.status == 0);
        CHECK(lines(r.out) == 4);
        CHECK(contains(r.out, "fastest"));
    }
    const Result r = leon_run({"bench-training", "--layers", "1", "--dim", "32", "--heads", "2", "--ffn", "48",
                               "--vocab", "50", "--length", "9", "--steps", "1", "--operations"});
    CHECK(r.status == 0);
    for (const char* operation : {"linear_dw", "attention_backward", "rmsnorm", "adamw", "the rest"})
        CHECK(contains(r.out, operation));
    check_refused({"bench-training", "--architecture", "gpt"}, "--architecture");
    check_refused({"bench-training", "--heads", "0"}, "heads");
    check_refused({"bench-training", "--documents", "0"}, "--documents");
    check_refused({"bench-training", "--layers", "-1"}, "layers");
}
