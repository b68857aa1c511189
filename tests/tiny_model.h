// A whole model of any family, small and random: what tasks need to run from end to end. 32 x 32 pixels in 4 x 4 cells.
#pragma once

#include <string>

#include "runtime/files.h"
#include "tasks/model.h"
#include "tests/temporary_folder.h"
#include "weights_converter/random_model.h"

namespace leon {

constexpr int TINY_GRID = 4, TINY_SIDE = 32;

class TinyModel {
public:
    explicit TinyModel(Layout layout, const Kernels& kernels = cpu_kernels(), int context = 256)
        : model_(written(folder_ / "tiny.leon", layout, context), kernels) {}

    const Model& operator*() const { return model_; }
    const Model* operator->() const { return &model_; }
    std::string path() const { return model_.file().path(); }

private:
    static std::string written(const std::string& path, Layout layout, int context) {
        const bool cm3leon = layout == Layout::CM3Leon;
        ModelConfig config;
        config.name = "tiny";
        config.layout = layout;
        config.has_transformer = config.has_vqgan = true;
        TransformerConfig& t = config.transformer;
        t.layers = 2;
        t.dim = 64;
        t.heads = t.kv_heads = 2;
        t.head_dim = 32;
        t.ffn_dim = 96;
        t.vocab = cm3leon ? 382 : 432;
        t.context = context;
        t.norm_eps = 1e-5f;
        t.rope_theta = 10000;
        t.qk_norm = true;
        t.qk_norm_eps = 1e-5f;
        VqganConfig& v = config.vqgan;
        v.channels = 32;
        v.multipliers = {1, 1, 1, 1};
        v.res_blocks = 1;
        v.z_channels = 32;
        v.code_dim = 8;
        v.codes = cm3leon ? 96 : 128;
        v.resolution = TINY_SIDE;
        v.encoder = v.decoder = true;
        const std::string tokenizer =
            std::string("tests/vectors/models/") + (cm3leon ? "cm3leon_a" : "chameleon_mha") + "/tokenizer.json";
        write_random_model(path, config, DType::F32, 7, read_text(tokenizer));
        return path;
    }

    TemporaryFolder folder_;
    Model model_;
};

}  // namespace leon
