// append and attention of every backend against the reference: grouped heads, pages in any order and shared between
// streams, ragged batches of streams in any order, both dtypes of the cache.
#include <numeric>
#include <string_view>

#include "kernels/kernels.h"
#include "tests/compare.h"
#include "tests/kernel_harness.h"

#include "tests/testing.h"

namespace leon {
namespace {

struct Run {  // adjacent rows of one stream
    int32_t stream, first, count;
};

// A cache whose pages are handed out in a shuffled order. Every position that no stream has reached is NaN: whoever
// reads it is found out. With `shared_pages`, the leading pages of all streams are the same ones.
struct AttentionData {
    Host keys, values, page_table, q, stream, position;
    int64_t heads, kv_heads, head_dim, tokens;

    AttentionData(Random& random, DType dtype, std::vector<int64_t> sizes, const std::vector<Run>& runs,
                  int shared_pages = 0, float size = 1)
        : heads(sizes[0]), kv_heads(sizes[1]), head_dim(sizes[2]), tokens(0) {
        int32_t streams = 0, longest = 0;
        std::vector<int32_t> stream_of, position_of;
        for (const Run& r : runs) {
            streams = std::max(streams, r.stream + 1);
            longest = std::max(longest, r.first + r.count);
            for (int32_t i = 0; i < r.count; i++) stream_of.push_back(r.stream), position_of.push_back(r.first + i);
        }
        tokens = static_cast<int64_t>(stream_of.size());
        stream = int_host(stream_of);
        position = int_host(position_of);
        const int32_t max_pages = (longest + PAGE_TOKENS - 1) / PAGE_TOKENS;
        std::vector<int32_t> pages(static_cast<size_t>(streams * max_pages + 1));
        std::iota(pages.begin(), pages.end(), 0);
        for (size_t i = pages.size() - 1; i > 0; i--) std::swap(pages[i], pages[random.below(static_cast<int>(i) + 1)]);
        for (int32_t s = 1; s < streams; s++)
            for (int32_t p = 0; p < std::min(shared_pages, max_pages); p++) pages[s * max_pages + p] = pages[p];
        const int64_t count = static_cast<int64_t>(pages.size());
        for (Host* side : {&keys, &values})
            *side = random_host(random, {count, kv_heads, PAGE_TOKENS, head_dim}, 1, dtype);
        std::vector<bool> reached(static_cast<size_t>(count * kv_heads * PAGE_TOKENS));
        for (const Run& r : runs)
            for (int32_t p = 0; p < r.first + r.count; p++)
                for (int64_t h = 0; h < kv_heads; h++) {
                    const int64_t page = pages[static_cast<size_t>(r.stream * max_pages + p / PAGE_TOKENS)];
                    reached[static_cast<size_t>((page * kv_heads + h) * PAGE_TOKENS + p % PAGE_TOKENS)] = true;
                }
        for (size_t row = 0; row < reached.size(); row++)
            for (Host* side : {&keys, &values}) {
                if (reached[row]) continue;
                if (dtype == DType::I8) side->scale[row] = NAN;
                const size_t width = static_cast<size_t>(head_dim);
                for (size_t i = row * width; i < (row + 1) * width; i++) side->set(i, NAN);
            }
        pages.resize(static_cast<size_t>(streams * max_pages));
        page_table = int_host(pages, {streams, max_pages});
        q = random_host(random, {tokens, heads, head_dim}, size);
    }
    KvPages put_cache(Memory& m) const { return {m.put(keys), m.put(values), m.put(page_table)}; }
};

// heads, kv_heads, head_dim: small and odd, the storybook model's, a slice of Chameleon-30B's; groups of 1 to 32 heads.
const std::vector<std::vector<int64_t>> HEADS = {{1, 1, 1}, {2, 1, 3},  {3, 3, 17},  {4, 2, 33},
                                                 {5, 1, 8}, {4, 4, 64}, {8, 2, 128}, {6, 2, 20}};
const std::vector<std::vector<int64_t>> MORE_HEADS = {{1, 1, 8},   {8, 4, 8},  {4, 1, 80}, {8, 1, 24},
                                                      {33, 1, 16}, {72, 1, 8}, {2, 1, 160}};

struct Placed {
    const char* what;
    std::vector<Run> runs;
    int shared_pages = 0;
};
std::vector<Run> one_token_each(int32_t streams, int32_t first, int32_t step) {
    std::vector<Run> runs;
    for (int32_t s = 0; s < streams; s++) runs.push_back({streams - 1 - s, first + step * s, 1});
    return runs;
}
const std::vector<Placed> PLACEMENTS = {
    {"the first token", {{0, 0, 1}}},
    {"a token at a page's end", {{0, 31, 1}}},
    {"a token at a page's start", {{0, 32, 1}}},
    {"a token at position 200", {{0, 200, 1}}},
    {"17 tokens from 0", {{0, 0, 17}}},
    {"65 tokens from 0", {{0, 0, 65}}},
    {"5 tokens across a page boundary", {{0, 30, 5}}},
    {"three streams out of order", {{2, 5, 1}, {0, 40, 1}, {1, 0, 1}}},
    {"ragged chunks", {{1, 33, 8}, {0, 64, 1}, {2, 0, 16}, {4, 90, 3}}},
    {"streams that share a prefix", {{1, 70, 1}, {0, 66, 2}, {2, 64, 1}}, 2},
    {"twenty streams that share a prefix", one_token_each(20, 32, 1), 1},
};
// Around the parts of 4 pages into which decoding cuts the keys.
const std::vector<Placed> LONG_PLACEMENTS = {
    {"a token at a part's end", {{0, 127, 1}}},
    {"a token at a part's start", {{0, 128, 1}}},
    {"three tokens across a part's boundary", {{0, 126, 3}}},
    {"six streams that share a part", one_token_each(6, 126, 3), 4},
    {"streams that share a part and more", {{2, 254, 1}, {0, 257, 2}, {3, 160, 1}, {1, 290, 3}}, 5},
    {"twelve tokens across a part's boundary", {{0, 120, 12}}},
    {"40 tokens late in a stream", {{0, 230, 40}}},
    {"chunks of nine streams",
     {{8, 3, 7}, {3, 0, 9}, {0, 37, 4}, {7, 62, 3}, {1, 0, 1}, {2, 5, 2}, {6, 31, 8}, {5, 90, 5}, {4, 1, 2}}},
};

// Rows that are hard to round: zeros, hardly more, one value that is no number, one without bounds.
void hard_rows(Host& rows) {
    const size_t width = static_cast<size_t>(rows.shape.back()), count = rows.elements() / width;
    const float hard[] = {0, 1e-40f, NAN, -INFINITY};
    for (size_t row = 1; row < std::min<size_t>(count, 5); row++)
        for (size_t i = 0; i < width; i++)
            if (row < 3 || i == width / 2) rows.set(row * width + i, hard[row - 1]);
}

TEST_CASE("kernels: an i8 cache keeps each value to half of its row's scale, and what is no number") {
    Random random(124);
    const int64_t heads = 2, head_dim = 24, tokens = 6;
    Host rows = random_host(random, {tokens, heads, head_dim}, 3);
    hard_rows(rows);
    for (const Kernels* k : {&reference_kernels(), &cpu_kernels(), &emulated_cuda_kernels()}) {
        CAPTURE(std::string(k->name));
        Memory m(*k);
        Host empty = random_host(random, {1, heads, PAGE_TOKENS, head_dim}, 1, DType::I8);
        KvPages cache{m.put(empty), m.put(empty), m.put(int_host({0}, {1, 1}))};
        append(*k, cache, m.put(rows), m.put(rows),
               {m.put(int_host({0, 0, 0, 0, 0, 0})), m.put(int_host({0, 1, 2, 3, 4, 5}))});
        for (const Tensor& side : {cache.keys, cache.values}) {
            const Host got = m.get(side);
            for (int64_t row = 0; row < tokens * heads; row++) {
                const size_t place = static_cast<size_t>(row % heads * PAGE_TOKENS + row / heads);
                const auto given = [&](int64_t i) { return rows.at(static_cast<size_t>(row * head_dim + i)); };
                const auto kept = [&](int64_t i) { return got.at(place * head_dim + static_cast<size_t>(i)); };
                float largest = 0;
                bool numbers = true;
                for (int64_t i = 0; i < head_dim; i++) {
                    largest = std::max(largest, std::abs(given(i)));
                    numbers = numbers && std::isfinite(given(i));
                }
                CAPTURE(row);
                if (numbers) CHECK(got.scale[place] == (largest < 1e-30f ? 0 : largest / 127));
                bool close = true, lost = true;
                for (int64_t i = 0; i < head_dim; i++) {
                    close = close && std::abs(kept(i) - given(i)) <= 0.501f * got.scale[place] + 1e-37f;
                    lost = lost && std::isnan(kept(i));
                }
                CHECK((numbers ? close : lost));
            }
            for (size_t row = 0; row < got.scale.size(); row++)
                if (row % PAGE_TOKENS >= tokens) CHECK(got.scale[row] == empty.scale[row]);
        }
    }
}

TEST_CASE("kernels: append") {
    Random random(120);
    std::vector<Case> cases;
    for (DType dtype : CACHE_DTYPES)
        for (const auto& sizes : HEADS)
            for (const Placed& placed : PLACEMENTS) {
                AttentionData data(random, dtype, sizes, placed.runs);  // no shared page: each is written once
                Host rows = random_host(random, {data.tokens, data.kv_heads, data.head_dim});
                Host more = random_host(random, rows.shape, 1e4f);
                hard_rows(more);
                cases.push_back(
                    {"append", dtype, text(data.kv_heads, " heads of ", data.head_dim, ", ", placed.what),
                     [=](const Kernels& k, Memory& m) {
                         KvPages cache = data.put_cache(m);
                         append(k, cache, m.put(rows), m.put(more), {m.put(data.stream), m.put(data.position)});
                         return std::vector{cache.keys, cache.values};
                     }});
            }
    hold(cases);
}

std::vector<Tensor> attend(const Kernels& k, Memory& m, const AttentionData& data) {
    Tensor out = m.make(data.q.shape);
    attention(k, out, m.put(data.q), data.put_cache(m), {m.put(data.stream), m.put(data.position)});
    return {out};
}

TEST_CASE("kernels: attention") {
    Random random(121);
    for (DType dtype : CACHE_DTYPES) {
        std::vector<Case> cases;
        const auto add = [&](const std::vector<int64_t>& sizes, const Placed& placed, float size) {
            AttentionData data(random, dtype, sizes, placed.runs, placed.shared_pages, size);
            cases.push_back({"attention", dtype,
                             text(sizes[0], "/", sizes[1], " heads of ", sizes[2], ", ", placed.what, ", size ", size),
                             [=](const Kernels& k, Memory& m) { return attend(k, m, data); }, size});
        };
        for (const auto& sizes : HEADS)
            for (const Placed& placed : PLACEMENTS)
                for (float size : {1.0f, 30.0f})  // 30: nearly all of the mass on one position
                    if (size == 1 || sizes[2] < 128) add(sizes, placed, size);
        for (const auto& sizes : MORE_HEADS)
            for (size_t i : {3, 8, 9}) add(sizes, PLACEMENTS[i], 1);
        for (const auto& sizes : {HEADS[3], MORE_HEADS[1], MORE_HEADS[3]})
            for (const Placed& placed : LONG_PLACEMENTS) add(sizes, placed, 1);
        hold(cases);
    }
}

TEST_CASE("kernels: attention of rows that all see everything, or stand in groups at one position") {
    Random random(123);
    for (DType dtype : CACHE_DTYPES) {
        std::vector<Case> cases;
        for (const auto& sizes : {HEADS[1], HEADS[2], HEADS[5], HEADS[6], MORE_HEADS[2]})
            for (int32_t tokens : {2, 7, 16, 17, 50, 65, 145})
                for (int32_t group : {tokens, 5}) {
                    AttentionData data(random, dtype, sizes, {{1, 0, tokens}}, 0);
                    std::vector<int32_t> seen = data.position.ints();
                    for (int32_t& p : seen) p = std::min(p / group * group + group, tokens) - 1;
                    data.position = int_host(seen);
                    cases.push_back({"attention", dtype,
                                     text(sizes[0], "/", sizes[1], " heads of ", sizes[2], ", ", tokens,
                                          " rows in groups of ", group),
                                     [=](const Kernels& k, Memory& m) { return attend(k, m, data); }, 1});
                }
        hold(cases);
    }
}

TEST_CASE("kernels: a row of attention does not depend on the rows beside it, nor on where its pages lie") {
    Random random(122);
    std::vector<Placed> placements = PLACEMENTS;
    placements.insert(placements.end(), &LONG_PLACEMENTS[2], &LONG_PLACEMENTS[6]);
    for (DType dtype : CACHE_DTYPES)
        for (const auto& sizes : HEADS)
            for (const Placed& placed : placements) {
                AttentionData data(random, dtype, sizes, placed.runs, placed.shared_pages);
                for (const Kernels* k : backends()) {
                    if (data.tokens > 16 && std::string_view(k->name).starts_with("cuda")) continue;  // prefill's tiles
                    Memory m(*k);
                    std::vector<float> want = m.get(attend(*k, m, data)[0]).floats();
                    const size_t width = static_cast<size_t>(data.heads * data.head_dim);
                    KvPages cache = data.put_cache(m);
                    Tensor q = m.put(data.q), stream = m.put(data.stream), position = m.put(data.position);
                    for (int64_t t = 0; t < data.tokens; t++) {
                        Tensor row(q.f32() + t * static_cast<int64_t>(width), DType::F32,
                                   {1, data.heads, data.head_dim});
                        Tensor out = m.make({1, data.heads, data.head_dim});
                        attention(
                            *k, out, row, cache,
                            {Tensor(stream.i32() + t, DType::I32, {1}), Tensor(position.i32() + t, DType::I32, {1})});
                        std::string fault = first_difference(
                            m.get(out).floats(), std::span(want).subspan(static_cast<size_t>(t) * width, width),
                            {1, data.heads, data.head_dim});
                        CHECK_MESSAGE(fault == "", text("attention on ", k->name, ", ", placed.what, ", row ", t,
                                                        " alone: ", fault));
                    }
                }
            }
}

}  // namespace
}  // namespace leon
