// Attention: attention.cu and the three kernels that it chooses from. What a block does depends on positions and pages,
// which stand in memory that the planner has filled.
#include <algorithm>

#include "kernels/planning/cost.h"

namespace leon::cost {
namespace {

constexpr int WARPS = 4, THREADS = WARPS * WARP;
constexpr int64_t TILE_ROWS = 16, MAX_TILE_CHANNELS = 128;

bool is_aligned(const Tensor& t) {
    return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && t.cols() * static_cast<int64_t>(size_of(t.dtype)) % 16 == 0;
}

struct Sizes {
    int64_t tokens, heads, kv_heads, group, head_dim, max_pages;
    double row_bytes;  // of a position's keys and values of one head
    int tile_keys, pitch_bytes, row_scale_bytes;
    Unit unit;
    int terms;  // products per multiply-add

    Sizes(const Tensor& q, const KvPages& cache)
        : tokens(q.shape[0]),
          heads(q.shape[1]),
          kv_heads(cache.keys.shape[1]),
          group(heads / kv_heads),
          head_dim(q.shape[2]),
          max_pages(cache.page_table.shape[1]) {
        const int element = static_cast<int>(size_of(cache.keys.dtype));
        row_scale_bytes = element == 1 ? 4 : 0;
        row_bytes = 2.0 * (static_cast<double>(head_dim) * element + row_scale_bytes);
        tile_keys = element == 4 ? 16 : 32;
        pitch_bytes = (head_dim <= MAX_TILE_CHANNELS / 2 ? 64 : 128) * element + 16;
        unit = element == 4 ? Unit::Tf32 : Unit::Half;
        terms = element == 4 ? 3 : 2;
    }
    int tile_bytes() const { return tile_keys * (pitch_bytes + row_scale_bytes); }
    int64_t channels() const { return head_dim <= MAX_TILE_CHANNELS / 2 ? 64 : 128; }
    // Tensor-core operations of one warp on one tile: 16 rows, both products.
    double tile_flops() const { return 2.0 * 2 * TILE_ROWS * tile_keys * static_cast<double>(channels()) * terms; }
};

// TileRows of attention.h
int64_t tile_tokens(int64_t group, int64_t rows) {
    return group < rows ? rows / group : 1;
}
int64_t tile_parts(int64_t group, int64_t rows) {
    return divide_up(group, rows);
}

// Bytes of the cache that the batch sees: each page once, however many rows and streams look at it.
double cache_bytes(const Sizes& s, const KvPages& cache, const Placement& at) {
    std::vector<int> seen(static_cast<size_t>(cache.keys.shape[0]));  // positions of each page
    for (int64_t t = 0; t < s.tokens; t++) {
        const int32_t* pages = cache.page_table.i32() + at.stream.i32()[t] * s.max_pages;
        for (int first = 0; first <= at.position.i32()[t]; first += PAGE_TOKENS) {
            int& positions = seen[static_cast<size_t>(pages[first / PAGE_TOKENS])];
            positions = std::max(positions, std::min(PAGE_TOKENS, at.position.i32()[t] + 1 - first));
        }
    }
    double all = 0;
    for (int positions : seen) all += positions;
    return all * s.row_bytes * static_cast<double>(s.kv_heads);
}

int64_t pages_of_a_part(const Sizes& s, int64_t blocks_per_token) {
    constexpr int64_t SUMS = 8 << 20, STATES = SUMS / 16, ARRIVALS = 1 << 16;
    const int64_t rows = std::max<int64_t>(s.tokens, 16) * s.heads;
    int64_t pages = WARPS;
    for (; pages < s.max_pages; pages *= 2) {
        const int64_t parts = divide_up(s.max_pages, pages);
        if (rows * parts * s.head_dim <= SUMS && rows * parts <= STATES && s.tokens * blocks_per_token <= ARRIVALS)
            break;
    }
    return pages;
}

void decode(Launches& l, const Sizes& s, const Tensor& out, const Tensor& q, const KvPages& cache,
            const Placement& at) {
    const int64_t window_tokens = tile_tokens(s.group, TILE_ROWS);
    const int64_t blocks_per_token = s.kv_heads * tile_parts(s.group, TILE_ROWS);
    const int64_t part_pages = pages_of_a_part(s, blocks_per_token), part_keys = part_pages * PAGE_TOKENS;
    const int64_t parts = divide_up(s.max_pages, part_pages);
    const int32_t *stream = at.stream.i32(), *position = at.position.i32();

    // As in the kernel: of the tokens of a window that see the same keys of a part, the first one works for all.
    int64_t working = 0, tiles = 0;
    double keys_read = 0;
    const auto seen_of = [&](int64_t token, int64_t other, int64_t part) -> int64_t {
        const int64_t first_key = part * part_keys, last = position[other] - first_key;
        const bool full = position[token] >= first_key + part_keys - 1;
        if (last < 0 || full != (last >= part_keys - 1)) return 0;
        if (stream[other] != stream[token]) {
            if (!full) return 0;
            const int32_t* pages = cache.page_table.i32() + part * part_pages;
            for (int64_t i = 0; i < part_pages; i++)
                if (pages[stream[token] * s.max_pages + i] != pages[stream[other] * s.max_pages + i]) return 0;
        }
        return std::min(last + 1, part_keys);
    };
    for (int64_t token = 0; token < s.tokens; token++)
        for (int64_t part = 0; part < parts && part * part_keys <= position[token]; part++) {
            const int64_t window = token / window_tokens * window_tokens;
            int64_t most = 0;
            bool first = true;
            for (int64_t other = window; other < std::min(window + window_tokens, s.tokens); other++) {
                const int64_t seen = seen_of(token, other, part);
                if (seen > 0 && other < token) first = false;
                most = std::max(most, seen);
            }
            if (!first) continue;
            working++;
            tiles += divide_up(most, s.tile_keys);
            keys_read += static_cast<double>(most);
        }

    Launch k;
    k.kernel = "attention_decode_kernel";
    k.blocks = s.tokens * blocks_per_token * parts;
    k.threads = THREADS;
    k.shared_bytes = WARPS * 2 * s.tile_bytes();
    k.weight_bytes = cache_bytes(s, cache, at);
    k.input_bytes = bytes_of(q);
    k.output_bytes = bytes_of(out);
    const double work = static_cast<double>(working * blocks_per_token);
    // Parts of a token are written and read again when they are joined.
    const double joined = parts > 1 ? 2 * bytes_of(out) : 0;
    k.load_bytes = keys_read * s.row_bytes * static_cast<double>(blocks_per_token) + WARPS * bytes_of(q);
    k.store_bytes = bytes_of(out);
    k.l2_bytes = k.load_bytes + k.store_bytes + joined;
    k.unit = s.unit;
    k.flops = static_cast<double>(tiles * blocks_per_token) * s.tile_flops();
    k.barriers = static_cast<int64_t>(3 * work);
    k.trips = 5;  // position, pages, keys; then the arrival and the other parts
    k.in_flight_bytes = k.shared_bytes * work / static_cast<double>(k.blocks);
    k.early = true;
    l.push_back(k);
}

void prefill(Launches& l, const Sizes& s, const Tensor& out, const Tensor& q, const KvPages& cache,
             const Placement& at) {
    constexpr int64_t ROWS = WARPS * TILE_ROWS, STRETCHES = 8, STAGES = 2;
    const int64_t tokens_of_tile = tile_tokens(s.group, ROWS), head_parts = tile_parts(s.group, ROWS);
    const int64_t stretches = std::min({cache.page_table.shape[0], STRETCHES, tokens_of_tile});
    const int32_t *stream = at.stream.i32(), *position = at.position.i32();

    double keys_read = 0, warp_tiles = 0;
    int64_t barriers = 0;
    for (int64_t first = 0; first < s.tokens; first += tokens_of_tile) {
        const int64_t end = std::min(first + tokens_of_tile, s.tokens);
        for (int64_t t = first; t < end;) {
            int64_t next = t + 1;
            while (next < end && stream[next] == stream[t]) next++;
            const int64_t seen = position[next - 1] + 1;
            keys_read += static_cast<double>(seen);
            barriers += 1 + divide_up(seen, s.tile_keys);
            for (int64_t warp = 0; warp < WARPS; warp++) {  // a warp works on what its last row sees
                const int64_t rows = std::min(s.group, ROWS);
                const int64_t from = first + warp * TILE_ROWS / rows, to = first + ((warp + 1) * TILE_ROWS - 1) / rows;
                if (to >= t && from < next)
                    warp_tiles += static_cast<double>(divide_up(position[std::min(to, next - 1)] + 1, s.tile_keys));
            }
            t = next;
        }
    }
    const int64_t columns = s.kv_heads * head_parts;

    Launch k;
    k.kernel = "attention_prefill_kernel";
    k.blocks = divide_up(s.tokens, tokens_of_tile) * columns * stretches;
    k.threads = THREADS;
    k.shared_bytes = static_cast<int>(STAGES * 2 * s.tile_bytes());
    k.weight_bytes = cache_bytes(s, cache, at);
    k.input_bytes = bytes_of(q);
    k.output_bytes = k.store_bytes = bytes_of(out);
    // A cache of f16 has a short range: q is read once more, for the scale that fits it in.
    const int q_reads = cache.keys.dtype == DType::F16 ? 2 : 1;
    k.load_bytes = keys_read * s.row_bytes * static_cast<double>(columns) + q_reads * bytes_of(q);
    k.unit = s.unit;
    k.flops = warp_tiles * static_cast<double>(columns) * s.tile_flops();
    k.barriers = barriers * columns;
    k.trips = 3;
    l.push_back(k);
}

void by_rows(Launches& l, const Sizes& s, const Tensor& out, const Tensor& q, const KvPages& cache,
             const Placement& at) {
    double seen = 0;
    int longest = 0;
    for (int64_t t = 0; t < s.tokens; t++) {
        seen += at.position.i32()[t] + 1;
        longest = std::max(longest, at.position.i32()[t] + 1);
    }
    Launch k;
    k.kernel = "attention_rows_kernel";
    k.blocks = q.rows();
    k.threads = THREADS;
    k.shared_bytes = static_cast<int>((s.head_dim + WARPS * 32 + WARPS * (2 + s.head_dim)) * 4);
    k.weight_bytes = cache_bytes(s, cache, at);
    k.input_bytes = bytes_of(q);
    k.output_bytes = k.store_bytes = bytes_of(out);
    k.load_bytes = bytes_of(q) + seen * s.row_bytes * static_cast<double>(s.heads);
    k.unit = Unit::Float;
    k.flops = 4.0 * seen * static_cast<double>(s.heads * s.head_dim);
    k.barriers = 2 * k.blocks;
    k.trips = static_cast<int>(3 + 2 * divide_up(longest, 32 * WARPS));  // each tile waits for its page and keys
    l.push_back(k);
}

}  // namespace

void attention(Launches& l, const Machine&, Tensor out, Tensor q, KvPages cache, Placement at) {
    constexpr int64_t FEW_ROWS = 16, TOKENS_PER_STREAM = 4;
    if (q.elements() == 0) return;
    const Sizes s(q, cache);
    if (s.head_dim > MAX_TILE_CHANNELS || !is_aligned(cache.keys) || !is_aligned(cache.values) || !is_aligned(q) ||
        !is_aligned(out))
        return by_rows(l, s, out, q, cache, at);
    if (s.tokens > FEW_ROWS && s.tokens >= TOKENS_PER_STREAM * cache.page_table.shape[0])
        return prefill(l, s, out, q, cache, at);
    decode(l, s, out, q, cache, at);
}

void spatial_attention(Launches& l, const Machine&, Tensor out, Tensor q, Tensor k, Tensor v) {
    constexpr int64_t SPATIAL_WARPS = 8, ROWS = 2 * TILE_ROWS, OWN = 64, KEYS = 16, BLOCKS = 128;
    const int64_t pixels = q.rows(), channels = q.cols();
    if (q.elements() == 0) return;
    const double pairs = static_cast<double>(pixels) * static_cast<double>(pixels), size = bytes_of(q);
    Launch a;
    a.input_bytes = bytes_of(q) + bytes_of(k) + bytes_of(v);
    a.output_bytes = a.store_bytes = bytes_of(out);
    if (channels > SPATIAL_WARPS * OWN || !is_aligned(out) || !is_aligned(k) || !is_aligned(v)) {
        a.kernel = "spatial_attention_rows_kernel";
        a.blocks = pixels;
        a.threads = THREADS;
        a.load_bytes = size + 8.0 * pairs * static_cast<double>(channels);
        a.unit = Unit::Float;
        a.flops = 4.0 * pairs * static_cast<double>(channels);
        a.barriers = 2 * pixels;
        a.trips = static_cast<int>(1 + 2 * divide_up(pixels, 32 * WARPS));
        l.push_back(a);
        return;
    }
    const int64_t tiles = divide_up(pixels, ROWS);
    const int64_t parts = std::max<int64_t>(1, std::min(BLOCKS / tiles, pixels / (2 * KEYS)));
    const int64_t part_keys = divide_up(divide_up(pixels, KEYS), parts) * KEYS;
    int64_t key_tiles = 0;  // of all parts
    for (int64_t part = 0; part < parts; part++)
        key_tiles += divide_up(std::max<int64_t>(0, std::min(pixels, (part + 1) * part_keys) - part * part_keys), KEYS);
    a.kernel = "spatial_attention_kernel";
    a.blocks = tiles * parts;
    a.threads = static_cast<int>(SPATIAL_WARPS * WARP);
    a.shared_bytes = 99 << 10;
    a.load_bytes =
        size * static_cast<double>(parts) + 8.0 * static_cast<double>(tiles * pixels) * static_cast<double>(channels);
    a.unit = Unit::Tf32;
    a.flops = 2.0 * 2 * 3 * static_cast<double>(tiles * ROWS * key_tiles * KEYS) *
              static_cast<double>(divide_up(channels, OWN) * OWN);
    a.barriers = tiles * (2 * key_tiles + parts);
    a.store_bytes *= static_cast<double>(parts);
    a.trips = 2;
    l.push_back(a);
    if (parts == 1) return;
    Launch join;
    join.kernel = "join_parts_kernel";
    join.blocks = pixels;
    join.threads = static_cast<int>(SPATIAL_WARPS * WARP);
    join.input_bytes = a.store_bytes;
    join.load_bytes = a.store_bytes;
    join.output_bytes = join.store_bytes = bytes_of(out);
    join.trips = 2;
    l.push_back(join);
}

}  // namespace leon::cost
