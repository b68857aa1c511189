// sample: every backend against the definition, to the bit; the state of the decode loop; golden cases; frequencies.
#include <cmath>
#include <filesystem>
#include <limits>

#include "kernels/random.h"
#include "runtime/files.h"
#include "runtime/npy.h"
#include "runtime/sampler.h"
#include "tests/kernel_harness.h"
#include "tests/temporary_folder.h"

#include "tests/testing.h"

using namespace leon;

namespace {

constexpr float INF = std::numeric_limits<float>::infinity();

// A decode loop's state on the host, and the logits of its turns.
struct Loop {
    CompiledChain chain;
    int candidates = 1, lanes = 1, first_id = 0, ids = 0, vocab = 0, slots = 4;
    std::vector<Host> logits;  // of each turn: [candidates * lanes, ids]
    std::vector<std::vector<int32_t>> prompts;
    std::vector<uint64_t> seeds;
};

// The turns of a loop on one backend: tokens, positions, sequences, lengths, ring and its counter afterwards.
std::vector<Tensor> play(const Kernels& k, Memory& m, const Loop& loop) {
    const int n = loop.candidates, rows = n * loop.lanes;
    size_t capacity = loop.logits.size();
    for (const auto& prompt : loop.prompts) capacity = std::max(capacity, prompt.size() + loop.logits.size());
    std::vector<int32_t> seeds, sequences(static_cast<size_t>(n) * capacity, -7), lengths;
    for (int c = 0; c < n; c++) {
        seeds.push_back(static_cast<int32_t>(static_cast<uint32_t>(loop.seeds[c])));
        seeds.push_back(static_cast<int32_t>(static_cast<uint32_t>(loop.seeds[c] >> 32)));
        std::copy(loop.prompts[c].begin(), loop.prompts[c].end(), sequences.begin() + c * capacity);
        lengths.push_back(static_cast<int32_t>(loop.prompts[c].size()));
    }
    std::vector<int32_t> positions(rows);
    for (int i = 0; i < rows; i++) positions[i] = 10 * i;

    Draws d;
    d.first_id = loop.first_id;
    d.vocab = loop.vocab;
    d.lanes = loop.lanes;
    const std::vector<int32_t>& ranges = loop.chain.ranges;
    if (!ranges.empty()) d.ranges = m.put(int_host(ranges, {static_cast<int64_t>(ranges.size() / 2), 2}));
    d.seed = m.put(int_host(seeds, {n, 2}));
    d.sequence = m.put(int_host(sequences, {n, static_cast<int64_t>(capacity)}));
    d.length = m.put(int_host(lengths));
    d.prompt = m.put(int_host(lengths));
    d.tokens = m.put(int_host(std::vector<int32_t>(rows, -7)));
    d.position = m.put(int_host(positions));
    d.segments = {.begin = 3, .first_code = 5, .codes = 40, .cells = 4};
    std::vector<int32_t> in_segment(rows), codes(rows);
    for (int i = 0; i < rows; i++) in_segment[i] = 7 * i, codes[i] = i % 5 - 1;
    d.segment = m.put(int_host(in_segment));
    d.code = m.put(int_host(codes));
    d.ring = m.put(int_host(std::vector<int32_t>(static_cast<size_t>(loop.slots) * n, -7), {loop.slots, n}));
    d.ring_written = m.put(int_host({0}));
    d.scratch = m.put(Host(DType::U8, {n, SAMPLE_SCRATCH}));
    for (const Host& logits : loop.logits) {
        d.logits = m.put(logits);
        sample(k, d, loop.chain.rule);
    }
    return {d.ring, d.ring_written, d.tokens, d.position, d.segment, d.code, d.sequence, d.length};
}

Case as_case(const Loop& loop, const std::string& what) {
    return {"sample", DType::F32, what, [=](const Kernels& k, Memory& m) { return play(k, m, loop); }};
}

std::vector<std::vector<int32_t>> ints_of(const Kernels& k, const Loop& loop) {
    Memory m(k);
    std::vector<std::vector<int32_t>> values;
    for (const Tensor& t : play(k, m, loop)) values.push_back(m.get(t).ints());
    return values;
}

// --- random rules -----------------------------------------------------------------------------------------------

struct RandomLoop {
    Random& random;
    int vocab, first_id, ids;

    float real(double low, double high) { return static_cast<float>(low + (high - low) * random.uniform()); }
    template <class T>
    T pick(std::initializer_list<T> values) {
        return values.begin()[random.below(static_cast<int>(values.size()))];
    }

    SamplerOp op() {
        switch (random.below(10)) {
            case 0:
            case 1:
                return op::Temperature{pick({0.1f, 0.7f, 1.0f, 1e-30f, real(0.2, 3)})};
            case 2:
                return op::TopK{pick({1, 2, ids, 1 + random.below(ids), 1 + random.below(20)})};
            case 3:
                return op::TopP{pick({0.0f, 0.5f, real(0, 1), real(0.9, 1), 0.99999994f})};
            case 4:
                return op::TopPBefore{pick({0.0f, 0.5f, real(0, 1), real(0.9, 1)})};
            case 5:
                return op::RepetitionPenalty{pick({1.2f, 0.8f, real(0.5, 2)})};
            case 6: {
                op::Forbid forbid;
                for (int i = random.below(4); i > 0; i--) forbid.ids.push_back(random.below(vocab));
                return forbid;
            }
            case 7:
                if (random.below(3) == 0) return op::Greedy{};
                [[fallthrough]];
            default: {
                op::Allow allow;
                for (int i = 1 + random.below(3); i > 0; i--) {
                    const auto [first, last] = std::minmax({random.below(vocab), random.below(vocab)});
                    allow.ranges.emplace_back(first, random.below(5) == 0 ? first : last);
                }
                return allow;
            }
        }
    }

    SamplerChain chain() {
        SamplerChain chain;
        for (int i = random.below(3); i > 0; i--) chain.per_stream.push_back(op());
        switch (random.below(5)) {
            case 0:
                chain.mix = mix::Guidance3{pick({0.0f, 1.0f, 1.2f}), pick({1.0f, 3.0f, -2.0f})};
                break;
            case 1:
                chain.mix = mix::ContrastiveTopK{1 + random.below(ids), pick({0.0f, 0.1f, 0.5f, 1.0f}),
                                                 pick({1.0f, 0.5f, real(0.2, 3), 1e30f})};
                break;
            case 2:
            case 3:
                chain.mix = mix::Guidance{pick({0.0f, 1.0f, 3.0f, -1.0f, 1e30f})};
                break;
        }
        for (int i = random.below(5); i > 0; i--) chain.ops.push_back(op());
        return chain;
    }

    // Few different values, so that ties are common, zeros of both signs among them; all equal; normal; nearly flat;
    // far apart. Some are excluded.
    Host logits(int rows) {
        Host values(DType::F32, {rows, ids});
        const int kind = random.below(5);
        const float size = pick({0.001f, 2.0f, 30.0f, 1e37f}), hole = pick({0.0f, 0.05f, 0.5f});
        for (size_t i = 0; i < values.elements(); i++) {
            float value = kind == 0 ? static_cast<float>(random.below(4)) : kind == 1 ? 1.5f : size * random.normal();
            if (value == 0 && random.below(2) == 0) value = -0.0f;
            if (random.uniform() < hole) value = -INF;
            values.set(i, value);
        }
        return values;
    }

    Loop loop() {
        Loop loop;
        const SamplerChain made = chain();
        loop.chain = compile(made);
        loop.candidates = pick({1, 1, 2, 3});
        loop.lanes = streams_of(made.mix) + random.below(2);
        loop.first_id = first_id;
        loop.ids = ids;
        loop.vocab = vocab;
        loop.slots = 1 + random.below(3);
        for (int turn = 0; turn < 3; turn++) loop.logits.push_back(logits(loop.candidates * loop.lanes));
        for (int c = 0; c < loop.candidates; c++) {
            loop.prompts.emplace_back();
            for (int i = random.below(12); i > 0; i--) loop.prompts[c].push_back(random.below(vocab));
            loop.seeds.push_back(random.bits());
        }
        return loop;
    }
};

Loop plain_loop(const SamplerChain& chain, std::vector<Host> logits, int lanes) {
    Loop loop;
    loop.chain = compile(chain);
    loop.lanes = lanes;
    loop.candidates = static_cast<int>(logits[0].shape[0]) / lanes;
    loop.ids = loop.vocab = static_cast<int>(logits[0].shape[1]);
    loop.logits = std::move(logits);
    loop.prompts.resize(loop.candidates);
    for (int c = 0; c < loop.candidates; c++) loop.seeds.push_back(c);
    return loop;
}

}  // namespace

TEST_CASE("kernels: sample over random rules") {
    Random random(400);
    std::vector<Case> cases;
    for (int round = 0; round < 300; round++) {
        const int ids = round % 25 == 0 ? 1 : round % 10 == 0 ? 1000 + random.below(100) : 2 + random.below(60);
        const int first_id = round % 3 == 0 ? random.below(30) : 0;
        RandomLoop make{random, first_id + ids + random.below(10), first_id, ids};
        cases.push_back(as_case(make.loop(), text("round ", round, ", ", ids, " ids")));
    }
    hold(cases);
}

TEST_CASE("kernels: sample as models do") {
    Random random(401);
    const op::Temperature warm{0.9f};
    const op::TopP nucleus{0.9f};
    const op::RepetitionPenalty penalty{1.2f};
    struct Shape {
        const char* what;
        int ids, lanes, candidates;
        SamplerChain chain;
    };
    const std::vector<Shape> shapes = {
        {"picture, guided", 8192, 2, 2, {{op::Allow{{{0, 8191}}}}, mix::Guidance{3}, {warm, nucleus}}},
        {"picture, three streams", 8192, 3, 1, {{}, mix::Guidance3{1.2f, 3}, {warm, nucleus}}},
        {"picture, contrastive", 8192, 2, 1, {{}, mix::ContrastiveTopK{50, 0.5f}, {op::TopK{50}}}},
        {"picture, a warm student", 8192, 2, 2, {{op::TopP{0.9f}}, mix::ContrastiveTopK{9, 0.5f, 1.3f}, {}}},
        {"one more than a block", 8193, 1, 2, {{}, {}, {nucleus}}},
        {"text", 65536, 1, 1, {{op::Allow{{{0, 3}, {16384, 65535}}}}, {}, {penalty, warm, nucleus}}},
        {"text, guided", 65536, 2, 1, {{}, mix::Guidance{1.5f}, {op::TopK{1000}, warm}}},
        {"text, greedy", 65536, 1, 2, {{}, {}, {op::Greedy{}}}},
        {"text, contrastive", 20000, 2, 1, {{op::TopK{100}}, mix::ContrastiveTopK{50, 0.1f}, {nucleus}}},
    };
    std::vector<Case> cases;
    for (const Shape& s : shapes) {
        Loop loop = plain_loop(s.chain, {random_host(random, {s.lanes * s.candidates, s.ids}, 2)}, s.lanes);
        for (auto& prompt : loop.prompts)
            for (int i = 0; i < 200; i++) prompt.push_back(random.below(s.ids));
        cases.push_back(as_case(loop, s.what));
    }
    // The blocks that draw together are others in each turn, and so is the number of digits that they look at.
    std::vector<Host> turns;
    for (auto [ids, size] : {std::pair(8193, 2.0f),
                             {20000, 0.001f},
                             {100, 2.0f},
                             {16400, 2.0f},
                             {9000, 0.001f},
                             {8193, 1.0f},
                             {9000, 0.001f},
                             {8200, 0.5f}})
        turns.push_back(random_host(random, {2, ids}, size));
    Loop loop = plain_loop({{}, mix::Guidance{2}, {nucleus}}, turns, 2);
    loop.vocab = 20000;
    cases.push_back(as_case(loop, "turns of different widths"));
    // Ties across the whole row, so that ids decide: at the cut of a nucleus, and of a top-k.
    for (int ids : {8192, 20000}) {
        cases.push_back(as_case(plain_loop({{}, {}, {nucleus}}, {filled({1, ids}, 1)}, 1), text(ids, " equal ids")));
        Host steps(DType::F32, {1, ids});
        for (int i = 0; i < ids; i++) steps.set(i, static_cast<float>(i * 7919 % 5));
        cases.push_back(as_case(plain_loop({{}, {}, {op::TopP{0.3f}}}, {steps}, 1), text(ids, " ids of five values")));
    }
    hold(cases);
}

TEST_CASE("segments: an index in the segment, and a count of codes until a hole") {
    const SegmentRule rule = {.begin = 3, .first_code = 5, .codes = 4, .cells = 3};
    const auto places = [&](std::initializer_list<int32_t> tokens) {
        std::vector<int32_t> all;
        SegmentPlace place;
        for (int32_t token : tokens) {
            place = place_after(rule, place, token);
            all.insert(all.end(), {place.index, place.code});
        }
        return all;
    };
    CHECK(places({2, 20, 3, 5, 8, 6}) == std::vector<int32_t>{0, -1, 1, -1, 0, 0, 1, 1, 2, 2, 3, 3});
    CHECK(places({3, 5, 6, 7, 8, 3, 8}) ==
          std::vector<int32_t>{0, 0, 1, 1, 2, 2, 3, 3, 4, -1, 0, 0, 1, 1});         // too many
    CHECK(places({3, 5, 9, 5}) == std::vector<int32_t>{0, 0, 1, 1, 2, -1, 3, -1});  // 9 is no code: a hole
    CHECK(places({5, 3, 4}) == std::vector<int32_t>{0, -1, 0, 0, 1, -1});           // no picture begins without a 3
    CHECK(!SegmentRule());
    CHECK(place_after({}, {}, 0) == SegmentPlace{0, -1});
}

TEST_CASE("kernels: sample keeps the state of the decode loop") {
    // Two candidates of two lanes, of which the rule looks at the first only; greedy, so that the tokens are known.
    Host logits(DType::F32, {4, 5});
    const float rows[4][5] = {{0, 9, 0, 9, 0}, {5, 0, 0, 0, 0}, {-INF, -INF, 1, 0, 2}, {0, 0, 0, 0, 0}};
    for (int i = 0; i < 20; i++) logits.set(i, rows[i / 5][i % 5]);
    Host broken = logits, nothing = logits;
    broken.set(12, std::numeric_limits<float>::quiet_NaN());
    broken.set(7, INF);  // of a lane that is not looked at
    for (int i = 0; i < 5; i++) nothing.set(i, -INF);

    Loop loop = plain_loop({{}, {}, {op::Greedy{}}}, {logits, broken, nothing, logits}, 2);
    loop.first_id = 100;
    loop.vocab = 105;
    loop.slots = 3;
    loop.prompts = {{101, 102}, {}};
    std::vector<const Kernels*> all = backends();
    all.push_back(&reference_kernels());
    for (const Kernels* k : all) {
        CAPTURE(std::string(k->name));
        const auto values = ints_of(*k, loop);
        // Turn 3 has overwritten turn 0.
        CHECK(values[0] == std::vector<int32_t>{101, 104, 101, DREW_BROKEN, DREW_NOTHING, 104});
        CHECK(values[1] == std::vector<int32_t>{4});
        CHECK(values[2] == std::vector<int32_t>{101, 101, 104, 104});
        CHECK(values[3] == std::vector<int32_t>{4, 14, 24, 34});
        CHECK(values[4] == std::vector<int32_t>{4, 11, 18, 25});  // none of these ids begins a segment or is a code
        CHECK(values[5] == std::vector<int32_t>{-1, -1, -1, -1});
        CHECK(values[6] == std::vector<int32_t>{101, 102, 101, 101, 101, -7, 104, 104, 104, -7, -7, -7});
        CHECK(values[7] == std::vector<int32_t>{5, 3});

        Host zeros(DType::F32, {1, 3});  // of equal logits the first, and -0 equals 0
        for (int i = 0; i < 3; i++) zeros.set(i, i == 0 ? -1.0f : i == 1 ? -0.0f : 0.0f);
        CHECK(ints_of(*k, plain_loop({{}, {}, {op::Greedy{}}}, {zeros}, 1))[0][0] == 1);

        loop.logits.resize(3);  // ends with a candidate that draws nothing: its next input is token 0
        const auto stopped = ints_of(*k, loop);
        CHECK(stopped[2] == std::vector<int32_t>{0, 0, 104, 104});
        loop.logits.push_back(logits);
    }
}

TEST_CASE("kernels: sample finds a broken logit wherever it stands") {
    Random random(402);
    std::vector<Case> cases;
    for (int ids : {1, 33, 9000})
        for (float value : {INF, std::numeric_limits<float>::quiet_NaN()})
            for (int at : {0, ids / 2, 2 * ids - 1}) {  // in either stream, allowed or not
                Host logits = random_host(random, {2, ids});
                logits.set(at, value);
                const SamplerChain chain = {{op::Allow{{{0, 0}}}}, mix::Guidance{2}, {op::TopP{0.5f}}};
                const Loop loop = plain_loop(chain, {logits}, 2);
                CHECK(ints_of(reference_kernels(), loop)[0][0] == DREW_BROKEN);
                cases.push_back(as_case(loop, text(value, " at ", at, " of ", ids)));
            }
    hold(cases);
}

TEST_CASE("kernels: sample draws golden cases by their probabilities") {
    constexpr int DRAWS = 4;
    std::vector<Case> cases;
    for (const auto& entry : std::filesystem::directory_iterator("tests/vectors/sampling")) {
        const std::string folder = entry.path().string();
        CAPTURE(folder);
        const SamplerChain chain = parse_chain(read_text(folder + "/case.json"), folder);
        const std::vector<float> probabilities = load_npy(folder + "/probs.npy").floats(folder);
        const std::vector<float> stored = load_npy(folder + "/logits.npy").floats(folder);
        const int vocab = static_cast<int>(probabilities.size()), lanes = streams_of(chain.mix);
        Host logits(DType::F32, {DRAWS * lanes, vocab});
        for (size_t i = 0; i < logits.elements(); i++) logits.set(i, stored[i % stored.size()]);
        Loop loop = plain_loop(chain, {logits}, lanes);
        if (std::filesystem::exists(folder + "/ids.npy"))
            for (auto& prompt : loop.prompts) prompt = load_npy(folder + "/ids.npy").ints(folder);
        cases.push_back(as_case(loop, folder));

        const std::vector<int32_t> drawn = ints_of(reference_kernels(), loop)[0];
        for (int c = 0; c < DRAWS; c++) {
            double below = 0;
            for (int32_t id = 0; id < drawn[c]; id++) below += probabilities[id];
            const double u = uniform(loop.seeds[c], 0, 0);
            CHECK(u >= below - 1e-4);
            CHECK(u <= below + probabilities[drawn[c]] + 1e-4);
            CHECK(probabilities[drawn[c]] > 1e-7f);
        }
    }
    hold(cases);
    CHECK(cases.size() == 41);
}

TEST_CASE("kernels: sample draws as often as the probabilities say") {
    constexpr int CANDIDATES = 60, TURNS = 25, DRAWS = CANDIDATES * TURNS;
    Host logits(DType::F32, {CANDIDATES, 5});
    const double probabilities[5] = {0.5, 0, 0.3, 0.2, 0};
    for (int i = 0; i < CANDIDATES * 5; i++) logits.set(i, static_cast<float>(std::log(probabilities[i % 5])));
    Loop loop = plain_loop({}, std::vector<Host>(TURNS, logits), 1);
    loop.slots = TURNS;
    for (const Kernels* k : backends()) {
        CAPTURE(std::string(k->name));
        int count[5] = {};
        const std::vector<int32_t> ring = ints_of(*k, loop)[0];
        for (int32_t id : ring) count[id]++;
        CHECK(count[1] + count[4] == 0);
        double chi_squared = 0;
        for (int id : {0, 2, 3})
            chi_squared += std::pow(count[id] - DRAWS * probabilities[id], 2) / (DRAWS * probabilities[id]);
        CHECK(chi_squared < 13.8);  // 2 degrees of freedom: exceeded with probability 0.001
    }
}

TEST_CASE("kernels: sample's ring can be read while others draw") {
    for (const Kernels* k : backends()) {
        CAPTURE(std::string(k->name));
        Loop loop = plain_loop({{}, {}, {op::Greedy{}}}, {filled({1, 3}, 1)}, 1);
        Memory m(*k);
        Draws d;
        d.vocab = 3;
        d.first_id = 0;
        d.lanes = 1;
        d.logits = m.put(loop.logits[0]);
        d.seed = m.put(int_host({1, 2}, {1, 2}));
        d.sequence = m.put(int_host(std::vector<int32_t>(9, -7), {1, 9}));
        for (Tensor* t : {&d.length, &d.prompt, &d.tokens, &d.position}) *t = m.put(int_host({0}));
        d.scratch = m.put(Host(DType::U8, {1, SAMPLE_SCRATCH}));
        auto* ring = static_cast<int32_t*>(allocate(*k, 2 * sizeof(int32_t), Reach::Shared));
        auto* written = static_cast<int32_t*>(allocate(*k, sizeof(int32_t), Reach::Shared));
        d.ring = Tensor(ring, DType::I32, {2, 1});
        d.ring_written = Tensor(written, DType::I32, {1});
        Recording* turn = record(*k, [&] { sample(*k, d, loop.chain.rule); });
        CHECK(*written == 0);
        for (int i = 1; i <= 3; i++) {
            ring[(i - 1) % 2] = 99;
            replay(*k, turn);
            finish(*k);
            CHECK(*written == i);
            CHECK(ring[(i - 1) % 2] == 0);
        }
        forget(*k, turn);
        release(*k, ring, Reach::Shared);
        release(*k, written, Reach::Shared);
        CHECK(m.get(d.length).ints()[0] == 3);
    }
}
