// Walks one prompt through the first layer of a Chameleon-shaped model by hand, printing every shape and the size of
// the numbers in it: the forward pass of runtime/transformer.cpp with the curtains open.
//
//   build/examples/walk_through_a_layer models/storybook.leon "a red car"
#include <cmath>
#include <cstdio>
#include <exception>

#include "runtime/segment_places.h"
#include "runtime/state.h"
#include "tasks/model.h"

using namespace leon;

namespace {

void show(const char* step, const Tensor& t) {
    double squares = 0;
    for (int64_t i = 0; i < t.elements(); i++) squares += double(t.f32()[i]) * t.f32()[i];
    std::printf("%-34s [", step);
    for (int d = 0; d < t.rank; d++) std::printf(d ? ", %lld" : "%lld", static_cast<long long>(t.shape[d]));
    std::printf("]   root mean square %.4f\n", std::sqrt(squares / double(t.elements())));
}

Tensor flat(const Tensor& t) {
    return t.as({t.shape[0], t.shape[1] * t.shape[2]});
}

void walk(const Model& model, const std::string& text) {
    const Kernels& k = model.kernels();
    const TransformerConfig& c = model.config().transformer;
    const LayerWeights& w = model.weights().layers[0];
    if (c.norm != Norm::RMS || c.norm_placement != NormPlacement::Before || c.positions != Positions::Rotary)
        throw Error("this walk is written for RMS norm before the branch and rotary positions", model.path());

    Prompt prompt;
    prompt.document.parts.push_back(text_part(text));
    prompt.next = Prompt::Next::Picture;
    const std::vector<int32_t> tokens = model.documents().ids(prompt);
    const int rows = static_cast<int>(tokens.size());
    std::printf("\"%s\" is %d tokens:", text.c_str(), rows);
    for (int32_t token : tokens) std::printf(" %s", model.tokenizer().token(token).c_str());
    std::printf("\n\n");

    LayerBuffers b(c, k, rows, 1);
    KvCache cache(c, k, 1, rows, (rows + PAGE_TOKENS - 1) / PAGE_TOKENS, DType::F32);
    const std::vector<int32_t> stream(rows, cache.add_stream());
    std::vector<int32_t> position(rows);
    for (int i = 0; i < rows; i++) position[i] = i;
    cache.extend(stream[0], tokens);
    b.tokens.fill_from(tokens.data(), rows * sizeof(int32_t));
    b.stream.fill_from(stream.data(), rows * sizeof(int32_t));
    b.position.fill_from(position.data(), rows * sizeof(int32_t));
    Placement at{b.stream.tensor(), b.position.tensor(), {}};
    if (c.segments) {  // the place of every token in its segment, and of codes in their picture
        SegmentPlaces places;
        places.add(c.segments, tokens);
        b.segment.fill_from(places.index.data(), rows * sizeof(int32_t));
        b.code.fill_from(places.code.data(), rows * sizeof(int32_t));
        at.segment = b.segment.tensor();
    }
    const Tensor x = b.x.tensor(), normed = b.normed.tensor(), q = b.q.tensor(), key = b.k.tensor(), v = b.v.tensor();

    gather(k, x, model.weights().embedding, b.tokens.tensor());
    show("embedding of each token", x);
    if (c.segments) {
        gather_add(k, x, model.weights().places, b.code.tensor(), OFFSET_OF_PLACES);
        show("and of its place in a picture", x);
    }
    rmsnorm(k, normed, x, w.attention_norm, c.norm_eps);
    show("RMS norm", normed);
    matmul(k, flat(q), normed, w.q);
    matmul(k, flat(key), normed, w.k);
    matmul(k, flat(v), normed, w.v);
    show("queries, by head", q);
    if (c.qk_norm) {
        head_norm(k, q, w.q_norm_weight, w.q_norm_bias, c.qk_norm_eps);
        head_norm(k, key, w.k_norm_weight, w.k_norm_bias, c.qk_norm_eps);
        show("queries after qk-norm", q);
    }
    rope(k, q, {at.position, at.segment, c.rope_theta});
    rope(k, key, {at.position, at.segment, c.rope_theta});
    show("queries after rotation", q);
    append(k, cache.layer(0), key, v, at);
    show("key pages of the cache", cache.layer(0).keys);
    attention(k, b.mixed.tensor(), q, cache.layer(0), at);
    show("values mixed by attention", b.mixed.tensor());
    matmul_add(k, x, flat(b.mixed.tensor()), w.o);
    show("residual stream + attention", x);
    rmsnorm(k, normed, x, w.ffn_norm, c.norm_eps);
    matmul(k, b.gate.tensor(), normed, w.gate);
    matmul(k, b.up.tensor(), normed, w.up);
    swiglu(k, b.up.tensor(), b.gate.tensor(), b.up.tensor());
    show("SwiGLU", b.up.tensor());
    matmul_add(k, x, b.up.tensor(), w.down);
    show("residual stream after the layer", x);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s MODEL TEXT\n", argv[0]);
        return 2;
    }
    try {
        walk(Model(argv[1], cpu_kernels()), argv[2]);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
}
