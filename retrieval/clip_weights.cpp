// Binding by name; see clip_weights.h.
#include "retrieval/clip_weights.h"

#include <string>

namespace leon {
namespace {

// The file's tensors, checked; with a backend, where that backend reads them.
class Binder {
public:
    Binder(const WeightsFile& file, AdoptedMemory* adopted) : file_(file), adopted_(adopted) {}

    Tensor matrix(const std::string& name, std::initializer_list<int64_t> shape) {
        return there(file_.matrix("clip." + name, shape));
    }
    Tensor vector(const std::string& name, int64_t size) { return there(file_.vector("clip." + name, {size})); }
    ClipAffine norm(const std::string& name, int64_t dim) {
        return {vector(name + ".weight", dim), vector(name + ".bias", dim)};
    }
    ClipAffine linear(const std::string& name, int64_t out, int64_t in) {
        return {matrix(name + ".weight", {out, in}), vector(name + ".bias", out)};
    }
    ClipTowerWeights tower(const std::string& name, const ClipTower& c, int64_t positions, int64_t out) {
        ClipTowerWeights w;
        w.positions = matrix(name + ".positions", {positions, c.dim});
        for (int i = 0; i < c.layers; i++) {
            const std::string layer = name + ".layers." + std::to_string(i) + ".";
            w.layers.push_back({.attention_norm = norm(layer + "attention_norm", c.dim),
                                .q = linear(layer + "q", c.dim, c.dim),
                                .k = linear(layer + "k", c.dim, c.dim),
                                .v = linear(layer + "v", c.dim, c.dim),
                                .o = linear(layer + "o", c.dim, c.dim),
                                .ffn_norm = norm(layer + "ffn_norm", c.dim),
                                .up = linear(layer + "up", c.ffn_dim, c.dim),
                                .down = linear(layer + "down", c.dim, c.ffn_dim)});
        }
        w.norm = norm(name + ".norm", c.dim);
        w.projection = matrix(name + ".projection", {out, c.dim});
        return w;
    }

private:
    Tensor there(Tensor t) { return adopted_ ? adopted_->adopt(t) : t; }

    const WeightsFile& file_;
    AdoptedMemory* adopted_;
};

void bind(ClipWeights& w, Binder binder, const ClipConfig& c) {
    w.embedding = binder.matrix("text.embedding", {c.vocab, c.text.dim});
    w.text = binder.tower("text", c.text, c.context, c.dim);
    w.patches = binder.matrix("vision.patches", {c.vision.dim, c.patch, c.patch, 3})
                    .as({c.vision.dim, int64_t{3} * c.patch * c.patch});
    w.first_row = binder.vector("vision.class", c.vision.dim).as({1, c.vision.dim});
    w.first_norm = binder.norm("vision.first_norm", c.vision.dim);
    w.vision = binder.tower("vision", c.vision, c.patches() + 1, c.dim);
}

}  // namespace

ClipWeights bind_clip(const WeightsFile& file, const ClipConfig& config, const Kernels& kernels) {
    ClipWeights checked, w;
    bind(checked, Binder(file, nullptr), config);
    w.adopted = AdoptedMemory(kernels);
    bind(w, Binder(file, &w.adopted), config);
    return w;
}

}  // namespace leon
