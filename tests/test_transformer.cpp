// Properties of the forward pass and its cache, on tiny random networks of every family and on every backend: how rows
// are grouped into batches, chunks and streams never changes what a row computes.
#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/transformer.h"
#include "tests/cuda_on_cpu/emulated_kernels.h"
#include "tests/tiny_transformer.h"

#include "tests/testing.h"

using namespace leon;

namespace {

std::vector<const Kernels*> backends() {
    std::vector<const Kernels*> all = {&reference_kernels()};
    for (const Kernels* variant : cpu_variants()) all.push_back(variant);
    for (const Kernels* gpu : gpus()) all.push_back(gpu);
    return all;
}

// Logits after every token, fed `chunk` at a time.
std::vector<float> all_logits(const TinyTransformer& tiny, const Kernels& k, const std::vector<int32_t>& tokens,
                              int chunk, DType cache_dtype = DType::F32) {
    Transformer network(tiny.config, tiny.on(k), k, chunk, chunk);
    KvCache cache(tiny.config, k, 1, static_cast<int>(tokens.size()), 8, cache_dtype);
    const int stream = cache.add_stream();
    std::vector<float> out;
    for (size_t done = 0; done < tokens.size(); done += chunk) {
        Batch batch;
        for (size_t i = done; i < std::min(tokens.size(), done + chunk); i++)
            batch.add(tokens[i], stream, static_cast<int>(i), WantLogits::Yes);
        const float* logits = network.forward(cache, batch);
        out.insert(out.end(), logits, logits + batch.rows() * tiny.config.vocab);
    }
    return out;
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    float largest = 0;
    for (size_t i = 0; i < a.size(); i++) {
        REQUIRE(std::isfinite(a[i]));
        largest = std::max(largest, std::fabs(a[i] - b[i]));
    }
    return largest;
}

constexpr float SAME = 2e-5f;  // float32 sums in another order; the logits are of order 1
constexpr Family FAMILIES[] = {Family::Chameleon, Family::ChameleonSwin, Family::CM3Leon, Family::TwoAxes};

}  // namespace

TEST_CASE("transformer: every backend gives the reference's logits") {
    for (Family family : FAMILIES) {
        const TinyTransformer tiny(family);
        const auto tokens = random_tokens(70, tiny.config.vocab);
        const auto want = all_logits(tiny, reference_kernels(), tokens, 70);
        for (const Kernels* k : backends()) {
            CAPTURE(k->name);
            CHECK(largest_difference(all_logits(tiny, *k, tokens, 70), want) < SAME);
        }
    }
}

// The most likely token after a prompt, and after that, `count` times.
std::vector<int32_t> greedy_tokens(const TinyTransformer& tiny, const Kernels& k, const std::vector<int32_t>& prompt,
                                   int count, DType cache_dtype) {
    Transformer network(tiny.config, tiny.on(k), k, 8, 1);
    KvCache cache(tiny.config, k, 1, tiny.config.context, 8, cache_dtype);
    const int stream = cache.add_stream();
    prefill(network, cache, stream, std::span(prompt).first(prompt.size() - 1));
    std::vector<int32_t> tokens = {prompt.back()};
    for (int i = 0; i < count; i++) {
        Batch batch;
        batch.add(tokens.back(), stream, cache.length(stream), WantLogits::Yes);
        const float* logits = network.forward(cache, batch);
        tokens.push_back(static_cast<int32_t>(std::max_element(logits, logits + tiny.config.vocab) - logits));
    }
    return tokens;
}

// Greedy tokens would not do: where a value falls on the other side of a rounding, it is off by a whole step of 1/127.
TEST_CASE("transformer: logits over an i8 cache are near those over f32, on every backend") {
    for (Family family : FAMILIES) {
        const TinyTransformer tiny(family);
        const auto tokens = random_tokens(70, tiny.config.vocab);
        const auto exact = all_logits(tiny, reference_kernels(), tokens, 7);
        const auto want = all_logits(tiny, reference_kernels(), tokens, 7, DType::I8);
        const float cost = largest_difference(want, exact);
        CHECK(cost > 1e-4f);
        CHECK(cost < 0.1f);
        for (const Kernels* k : backends()) {
            CAPTURE(k->name);
            CHECK(largest_difference(all_logits(tiny, *k, tokens, 7, DType::I8), want) < cost);
        }
    }
}

TEST_CASE("transformer: every backend decodes the reference's greedy tokens") {
    for (Family family : FAMILIES)
        for (DType cache_dtype : {DType::F32, DType::BF16}) {
            const TinyTransformer tiny(family);
            const auto prompt = random_tokens(20, tiny.config.vocab);
            const int count = cache_dtype == DType::F32 ? 150 : 70;
            const auto want = greedy_tokens(tiny, reference_kernels(), prompt, count, cache_dtype);
            for (const Kernels* k : backends()) {
                CAPTURE(k->name);
                CHECK(greedy_tokens(tiny, *k, prompt, count, cache_dtype) == want);
            }
        }
}

TEST_CASE("transformer: prefill in chunks equals token by token") {
    for (Family family : FAMILIES) {
        const TinyTransformer tiny(family);
        const auto tokens = random_tokens(70, tiny.config.vocab);
        for (const Kernels* k : backends()) {
            CAPTURE(k->name);
            const auto one_by_one = all_logits(tiny, *k, tokens, 1);
            for (int chunk : {2, 3, 31, 32, 33, 70}) {
                CAPTURE(chunk);
                CHECK(largest_difference(all_logits(tiny, *k, tokens, chunk), one_by_one) < SAME);
            }
        }
    }
}

TEST_CASE("transformer: small batches of streams give the bits of single streams") {
    const TinyTransformer tiny(Family::Chameleon);
    const auto first = random_tokens(40, tiny.config.vocab, 1), second = random_tokens(40, tiny.config.vocab, 2);
    for (const Kernels* k : backends()) {
        CAPTURE(k->name);
        const auto alone_first = all_logits(tiny, *k, first, 1), alone_second = all_logits(tiny, *k, second, 1);
        Transformer network(tiny.config, tiny.on(*k), *k, 2, 2);
        KvCache cache(tiny.config, *k, 2, 40, 8, DType::F32);
        const int a = cache.add_stream(), b = cache.add_stream();
        for (int i = 0; i < 40; i++) {
            Batch batch;
            batch.add(first[i], a, i, WantLogits::Yes);
            batch.add(second[i], b, i, WantLogits::Yes);
            const float* logits = network.forward(cache, batch);
            for (int v = 0; v < tiny.config.vocab; v++) {
                REQUIRE(logits[v] == alone_first[i * tiny.config.vocab + v]);
                REQUIRE(logits[tiny.config.vocab + v] == alone_second[i * tiny.config.vocab + v]);
            }
        }
    }
}

TEST_CASE("transformer: a forked stream continues as if it had been computed anew") {
    const TinyTransformer tiny(Family::CM3Leon);
    const std::pair<int, DType> cases[] = {{1, DType::F32},  {31, DType::F32}, {32, DType::F32},  {33, DType::F32},
                                           {64, DType::F32}, {65, DType::F32}, {33, DType::BF16}, {33, DType::I8}};
    for (const auto& one : cases) {
        const int shared = one.first;
        const DType dtype = one.second;
        CAPTURE(shared);
        CAPTURE(std::string(name_of(dtype)));
        const auto prefix = random_tokens(shared, tiny.config.vocab);
        Transformer network(tiny.config, tiny.weights, cpu_kernels(), 80, 1);
        KvCache cache(tiny.config, cpu_kernels(), 3, 120, 24, dtype);
        const int parent = cache.add_stream();
        prefill(network, cache, parent, prefix);
        const int child = cache.fork(parent);
        // Both continue with different tokens; neither may see the other's.
        std::vector<std::vector<float>> got;
        for (auto [stream, seed] : {std::pair(parent, 11), std::pair(child, 12)}) {
            const auto tail = random_tokens(40, tiny.config.vocab, seed);
            prefill(network, cache, stream, std::span(tail).first(39));
            Batch last;
            last.add(tail[39], stream, shared + 39, WantLogits::Yes);
            const float* logits = network.forward(cache, last);
            got.emplace_back(logits, logits + tiny.config.vocab);
        }
        for (auto [index, seed] : {std::pair(0, 11), std::pair(1, 12)}) {
            auto whole = prefix;
            const auto tail = random_tokens(40, tiny.config.vocab, seed);
            whole.insert(whole.end(), tail.begin(), tail.end());
            const auto want = all_logits(tiny, cpu_kernels(), whole, static_cast<int>(whole.size()), dtype);
            // Batches of other sizes: a key may fall on the other side of a rounding of the cache.
            CHECK(largest_difference(got[index], {want.end() - tiny.config.vocab, want.end()}) <
                  (dtype == DType::F32 ? SAME : 1e-2f));
        }
    }
}

TEST_CASE("transformer: removed streams return their pages") {
    const TinyTransformer tiny(Family::Chameleon);
    KvCache cache(tiny.config, reference_kernels(), 3, 96, 4, DType::F32);
    for (int round = 0; round < 20; round++) {  // runs out of pages in the second round if any is lost
        const int a = cache.add_stream();
        cache.extend(a, std::vector<int32_t>(40));
        const int b = cache.fork(a);
        cache.extend(b, std::vector<int32_t>(30));
        cache.remove(a);
        CHECK(cache.length(b) == 70);
        cache.remove(b);
    }
}

// Steps that were computed ahead and are not wanted leave keys and values behind the end of their stream.
TEST_CASE("transformer: what is computed at reserved positions is nothing until it is counted") {
    const TinyTransformer tiny(Family::Chameleon);
    const auto prefix = random_tokens(40, tiny.config.vocab);
    Transformer network(tiny.config, tiny.weights, cpu_kernels(), 40, 1);
    KvCache cache(tiny.config, cpu_kernels(), 2, 100, 8, DType::F32);
    const int parent = cache.add_stream();
    prefill(network, cache, parent, prefix);
    cache.reserve(parent, 60);
    for (int32_t position : {40, 41, 64, 99}) {  // in vain
        Batch ahead;
        ahead.add(1, parent, 40, WantLogits::Yes);
        network.place(cache, ahead);
        upload(cpu_kernels(), network.position(1).data, &position, sizeof position);
        network.compute(cache, ahead.shape());
    }
    CHECK(cache.length(parent) == 40);

    const int child = cache.fork(parent);  // must not get the reserved pages: both go on, each by itself
    const std::vector<int32_t> tails[] = {random_tokens(30, tiny.config.vocab, 11),
                                          random_tokens(30, tiny.config.vocab, 12)};
    for (int stream : {parent, child}) prefill(network, cache, stream, std::span(tails[stream == child]).first(29));
    for (int stream : {parent, child}) {
        const auto& tail = tails[stream == child];
        Batch last;
        last.add(tail[29], stream, 69, WantLogits::Yes);
        const float* logits = network.forward(cache, last);
        CHECK(cache.length(stream) == 70);
        auto whole = prefix;
        whole.insert(whole.end(), tail.begin(), tail.end());
        const auto want = all_logits(tiny, cpu_kernels(), whole, static_cast<int>(whole.size()));
        CHECK(largest_difference({logits, logits + tiny.config.vocab}, {want.end() - tiny.config.vocab, want.end()}) <
              SAME);
    }
    for (int stream : {parent, child}) cache.remove(stream);
    const int a = cache.add_stream(), b = cache.add_stream();  // all pages are back
    cache.reserve(a, 100);
    cache.reserve(b, 100);
}

TEST_CASE("transformer: a slice of the vocabulary has the bits of the whole") {
    const TinyTransformer tiny(Family::Chameleon);
    const auto tokens = random_tokens(5, tiny.config.vocab);
    const auto whole = all_logits(tiny, cpu_kernels(), tokens, 5);
    Transformer network(tiny.config, tiny.weights, cpu_kernels(), 5, 5);
    KvCache cache(tiny.config, cpu_kernels(), 1, 5, 1, DType::F32);
    Batch batch;
    const int stream = cache.add_stream();
    for (int i = 0; i < 5; i++) batch.add(tokens[i], stream, i, WantLogits::Yes);
    batch.first_id = 17;
    batch.ids = 30;
    const float* slice = network.forward(cache, batch);
    for (int row = 0; row < 5; row++)
        for (int id = 0; id < 30; id++) CHECK(slice[row * 30 + id] == whole[row * tiny.config.vocab + 17 + id]);
}

TEST_CASE("transformer: a bf16 cache stays near the f32 one") {
    for (Family family : FAMILIES) {
        const TinyTransformer tiny(family);
        const auto tokens = random_tokens(50, tiny.config.vocab);
        for (const Kernels* k : backends()) {
            const auto exact = all_logits(tiny, *k, tokens, 50),
                       rounded = all_logits(tiny, *k, tokens, 50, DType::BF16);
            const float difference = largest_difference(exact, rounded);
            CHECK(difference > 0);      // it did round
            CHECK(difference < 0.15f);  // measured 0.02 to 0.05
        }
    }
}
