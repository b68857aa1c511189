// Search at size, by hand: build/bench_retrieval [DOCUMENTS]. Prints, for three kinds of made-up memory banks, how
// often the graph finds what the exact search finds, and what both cost. The figures stand in docs/retrieval.md.
//
//   captions           texts of a small grammar, embedded natively
//   captions+pictures  the same with a grid of codes each, whose codes depend on what the caption says; text queries
//   clusters           vectors as learned embedders give them: 512 coordinates that 40 hidden ones decide, in clusters
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/random.h"
#include "retrieval/index.h"
#include "retrieval/native_embedder.h"
#include "retrieval/vectors.h"

using namespace leon;

namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int below(int limit, uint64_t lane, uint64_t counter) {
    return static_cast<int>(uniform(7, lane, counter) * limit);
}

double gaussian(uint64_t lane, uint64_t counter) {
    const double u = 1 - uniform(8, lane, 2 * counter), v = uniform(8, lane, 2 * counter + 1);
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979 * v);
}

const char* const COLOURS[] = {"red", "green", "blue", "yellow", "black", "white", "orange", "purple", "brown", "grey"};
const char* const SIZES[] = {"small", "large", "tiny", "huge", "old", "new", "shiny", "broken"};
const char* const THINGS[] = {"car",     "cat",      "dog",   "house",  "ship",   "tree",  "bird",
                              "horse",   "lamp",     "chair", "boat",   "train",  "table", "flower",
                              "bicycle", "elephant", "clock", "bottle", "bridge", "kite"};
const char* const RELATIONS[] = {"beside", "behind", "in front of", "under", "above", "near"};
const char* const PLACES[] = {"on a sandy beach",       "in a dark forest",   "on a green meadow", "in a snowy village",
                              "on the open sea",        "in a narrow street", "in a bright room",  "under a starry sky",
                              "at the railway station", "on a mountain",      "in the desert",     "at the market"};

template <size_t N>
int pick(const char* const (&)[N], uint64_t lane, uint64_t counter) {
    return below(static_cast<int>(N), lane, counter);
}

struct Scene {
    std::string caption;
    int thing, colour, place;
};
Scene scene(uint64_t i) {
    const int thing = pick(THINGS, i, 0), colour = pick(COLOURS, i, 1), place = pick(PLACES, i, 2);
    std::string text = std::string("a ") + SIZES[pick(SIZES, i, 3)] + " " + COLOURS[colour] + " " + THINGS[thing] +
                       " " + RELATIONS[pick(RELATIONS, i, 4)] + " a " + COLOURS[pick(COLOURS, i, 5)] + " " +
                       THINGS[pick(THINGS, i, 6)] + " " + PLACES[place];
    return {text, thing, colour, place};
}

std::vector<int32_t> codes_of(const Scene& s, uint64_t i) {
    std::vector<int32_t> codes(256);
    for (int cell = 0; cell < 256; cell++) {
        const bool inside = cell / 16 >= 5 && cell / 16 < 12 && cell % 16 >= 4 && cell % 16 < 12;
        const int theme = inside ? 100 + s.thing * 10 + s.colour : s.place;
        codes[static_cast<size_t>(cell)] =
            below(1024, 50000 + static_cast<uint64_t>(theme),
                  static_cast<uint64_t>(below(12, i, 100 + static_cast<uint64_t>(cell))));
    }
    return codes;
}

constexpr int DIM = 2 * NATIVE_PART_DIM, LEARNED_DIM = 512;

std::vector<float> padded(std::vector<float> part, bool picture) {
    if (picture) part.insert(part.begin(), NATIVE_PART_DIM, 0.0f);
    part.resize(DIM, 0.0f);
    return part;
}

std::vector<float> caption_vector(uint64_t i) {
    return padded(hashed_text(scene(i).caption), false);
}
std::vector<float> codes_vector(uint64_t i) {
    return padded(hashed_codes(codes_of(scene(i), i), 16, 16), true);
}
std::vector<float> pair_vector(uint64_t i) {
    return document_vector(caption_vector(i), codes_vector(i));
}

std::vector<float> learned_vector(uint64_t i) {
    constexpr int HIDDEN = 40, CLUSTERS = 1000;
    static const std::vector<float> projection = [] {
        std::vector<float> p(static_cast<size_t>(HIDDEN) * LEARNED_DIM);
        for (size_t k = 0; k < p.size(); k++) p[k] = static_cast<float>(gaussian(1, k));
        return p;
    }();
    const uint64_t cluster = 1'000'000'000 + static_cast<uint64_t>(below(CLUSTERS, i, 0));
    std::vector<float> v(LEARNED_DIM, 0.0f);
    for (int h = 0; h < HIDDEN; h++) {
        const double value =
            gaussian(cluster, static_cast<uint64_t>(h)) + 0.5 * gaussian(i, static_cast<uint64_t>(h) + 1);
        for (int d = 0; d < LEARNED_DIM; d++)
            v[static_cast<size_t>(d)] +=
                static_cast<float>(value) * projection[static_cast<size_t>(h) * LEARNED_DIM + static_cast<size_t>(d)];
    }
    for (int d = 0; d < LEARNED_DIM; d++)
        v[static_cast<size_t>(d)] += static_cast<float>(0.5 * gaussian(i, 100 + static_cast<uint64_t>(d)));
    normalise(v);
    return v;
}

// Of this thread alone, so that other processes do not count.
double cpu_seconds() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

using Make = std::vector<float> (*)(uint64_t i);
struct Ask {
    const char* name;
    Make make;
};

void measure(const char* name, int documents, int dim, Make make, const std::vector<Ask>& asks) {
    constexpr int QUERIES = 200, K = 2;
    std::vector<float> data;
    data.reserve(static_cast<size_t>(documents) * static_cast<size_t>(dim));
    for (int i = 0; i < documents; i++) {
        const std::vector<float> v = make(static_cast<uint64_t>(i));
        data.insert(data.end(), v.begin(), v.end());
    }
    const VectorView vectors{data.data(), documents, dim};
    double start = cpu_seconds();
    const NeighbourGraph graph = NeighbourGraph::build(vectors, {});
    std::printf("%s: %d documents of %d, built in %.0f s\n", name, documents, dim, cpu_seconds() - start);
    for (const Ask& ask : asks) {
        std::vector<std::vector<float>> queries;
        for (int q = 0; q < QUERIES; q++) queries.push_back(ask.make(static_cast<uint64_t>(10'000'000 + q)));
        std::vector<std::vector<Hit>> truth;
        start = now();
        for (const auto& query : queries) truth.push_back(exact_search(vectors, query, K));
        std::printf("  asked by %s: exact %.2f ms (%d threads, wall)\n", ask.name, (now() - start) / QUERIES * 1e3,
                    cpu_threads());
        for (const int effort : {100, 200, 400, 600}) {
            int found = 0;
            start = cpu_seconds();
            double slowest = 0;
            for (size_t q = 0; q < QUERIES; q++) {
                const double begin = cpu_seconds();
                const std::vector<Hit> hits = graph.search(queries[q], K, effort);
                slowest = std::max(slowest, cpu_seconds() - begin);
                for (size_t i = 0; i < K; i++) found += hits[i].score >= truth[q][i].score;  // ties count as found
            }
            std::printf("    effort %3d    %6.2f ms, slowest %6.2f ms    recall@%d %.4f\n", effort,
                        (cpu_seconds() - start) / QUERIES * 1e3, slowest * 1e3, K, found / double(QUERIES * K));
        }
    }
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const int documents = argc > 1 ? std::atoi(argv[1]) : 100'000;
    measure("captions with pictures", documents, DIM, pair_vector,
            {{"text", caption_vector}, {"picture", codes_vector}, {"both", pair_vector}});
    measure("clusters", documents, LEARNED_DIM, learned_vector, {{"another of them", learned_vector}});
}
