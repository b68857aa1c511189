// The definition of decoding: see sampler.h. Plain loops over the whole vocabulary, full sorts, double precision.
//
// It refuses to be fast: sampler_fast.cpp is, and is held to this file by tests/test_sampler.cpp.
#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/check.h"
#include "runtime/sampler_math.h"

namespace leon {
namespace sampler {

void refuse_broken(std::span<const float* const> logits, int vocab) {
    constexpr float LARGEST_FLOAT = std::numeric_limits<float>::max();
    for (const float* row : logits) {
        bool broken = false;
        for (int id = 0; id < vocab; id++) broken |= !(row[id] <= LARGEST_FLOAT);
        if (!broken) continue;
        const float* first = std::find_if(row, row + vocab, [](float l) { return !(l <= LARGEST_FLOAT); });
        throw Error(std::string("the model produced ") + (std::isnan(*first) ? "NaN" : "an infinite logit") +
                        " for token " + std::to_string(first - row),
                    "", "the weights are damaged or overflow in this precision");
    }
}

void refuse_outside(int32_t id, int vocab) {
    if (id < 0 || id >= vocab)
        throw Error("token " + std::to_string(id) + " of the sequence is outside the vocabulary of " +
                    std::to_string(vocab));
}

}  // namespace sampler

namespace {

using namespace sampler;
using Row = std::vector<double>;  // [vocab], EXCLUDED or finite

// The ids that are left, largest logit first; among equals the lowest id first.
std::vector<int32_t> descending(const Row& row) {
    std::vector<int32_t> order;
    for (size_t id = 0; id < row.size(); id++)
        if (row[id] != EXCLUDED) order.push_back(static_cast<int32_t>(id));
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
    return order;
}

// The k-th largest logit, k >= 1; EXCLUDED if fewer are left.
double kth_largest(const Row& row, int k) {
    const std::vector<int32_t> order = descending(row);
    return k <= static_cast<int>(order.size()) ? row[order[k - 1]] : EXCLUDED;
}

void exclude_below(Row& row, double least) {
    for (double& value : row)
        if (value < least) value = EXCLUDED;
}

void keep_first_maximum(Row& row) {
    const auto best = std::max_element(row.begin(), row.end());  // the first of several
    for (auto value = row.begin(); value != row.end(); ++value)
        if (value != best) *value = EXCLUDED;
}

uint64_t total_mass(const Row& row, const std::vector<int32_t>& order) {
    uint64_t total = 0;
    for (int32_t id : order) total += mass(row[id], row[order[0]]);
    return total;
}

// Chameleon's wording.
void keep_top_p(Row& row, double p) {
    if (p >= 1) return;
    const std::vector<int32_t> order = descending(row);
    const uint64_t total = total_mass(row, order);
    uint64_t cumulative = 0;
    for (auto id = order.rbegin(); id != order.rend(); ++id) {
        cumulative += mass(row[*id], row[order[0]]);
        if (cumulative > total - share(p, total)) return;
        row[*id] = EXCLUDED;
    }
}

// CM3Leon's wording.
void keep_top_p_before(Row& row, double p) {
    if (p >= 1) return;
    const std::vector<int32_t> order = descending(row);
    const uint64_t total = total_mass(row, order);
    uint64_t before = 0;
    for (int32_t id : order) {
        const uint64_t own = mass(row[id], row[order[0]]);
        if (before >= share(p, total)) row[id] = EXCLUDED;
        before += own;
    }
}

void penalise_repetition(Row& row, double penalty, std::span<const int32_t> ids) {
    std::vector<bool> present(row.size());
    for (int32_t id : ids) {
        refuse_outside(id, static_cast<int>(row.size()));
        present[id] = true;
    }
    for (size_t id = 0; id < row.size(); id++)
        if (present[id]) row[id] = penalise(row[id], penalty);
}

void keep_ranges(Row& row, const std::vector<std::pair<int32_t, int32_t>>& ranges) {
    std::vector<bool> allowed(row.size());
    for (auto [first, last] : ranges)
        for (int32_t id = first; id <= last; id++) allowed[id] = true;
    for (size_t id = 0; id < row.size(); id++)
        if (!allowed[id]) row[id] = EXCLUDED;
}

void apply(const SamplerOp& operation, Row& row, std::span<const int32_t> ids) {
    std::visit(Overloaded{
                   [&](const op::Temperature& o) {
                       if (o.t == 0) return keep_first_maximum(row);
                       for (double& value : row) value = divide(value, o.t);
                   },
                   [&](const op::TopK& o) {
                       if (o.k > 0) exclude_below(row, kth_largest(row, o.k));
                   },
                   [&](const op::TopP& o) { keep_top_p(row, o.p); },
                   [&](const op::TopPBefore& o) { keep_top_p_before(row, o.p); },
                   [&](const op::RepetitionPenalty& o) { penalise_repetition(row, o.penalty, ids); },
                   [&](const op::Allow& o) { keep_ranges(row, o.ranges); },
                   [&](const op::Forbid& o) {
                       for (int32_t id : o.ids) row[id] = EXCLUDED;
                   },
                   [&](const op::Greedy&) { keep_first_maximum(row); },
               },
               operation);
}

// In log space: p_c >= alpha * kth(p_c) is l_c >= log(alpha) + kth(l_c), and exactly so for alpha = 1 (log 1 = 0).
Row contrast_rows(const Row& c, const Row& u, const mix::ContrastiveTopK& m) {
    const double least = std::log(static_cast<double>(m.alpha)) + kth_largest(c, m.k);
    const double total_c = log_sum(c), total_u = log_sum(u);
    Row out(c.size(), EXCLUDED);
    for (size_t id = 0; id < out.size(); id++)
        if (c[id] >= least) out[id] = contrast(c[id], total_c, u[id], total_u);
    return out;
}

Row mix_rows(const Mix& how, std::vector<Row>& rows) {
    return std::visit(Overloaded{
                          [&](const mix::None&) { return std::move(rows[0]); },
                          [&](const mix::Guidance& m) {
                              Row out(rows[0].size());
                              for (size_t id = 0; id < out.size(); id++)
                                  out[id] = guide(rows[0][id], rows[1][id], m.scale);
                              return out;
                          },
                          [&](const mix::Guidance3& m) {
                              Row out(rows[0].size());
                              for (size_t id = 0; id < out.size(); id++)
                                  out[id] = guide3(rows[0][id], rows[1][id], rows[2][id], m.scale_image, m.scale_text);
                              return out;
                          },
                          [&](const mix::ContrastiveTopK& m) { return contrast_rows(rows[0], rows[1], m); },
                      },
                      how);
}

}  // namespace

int streams_of(const Mix& mix) {
    return std::visit(Overloaded{
                          [](const mix::None&) { return 1; },
                          [](const mix::Guidance&) { return 2; },
                          [](const mix::Guidance3&) { return 3; },
                          [](const mix::ContrastiveTopK&) { return 2; },
                      },
                      mix);
}

std::vector<float> score(const SamplerChain& chain, std::span<const float* const> logits, int vocab,
                         std::span<const int32_t> ids) {
    CHECK(vocab > 0 && vocab <= MAX_VOCAB && static_cast<int>(logits.size()) == streams_of(chain.mix));
    refuse_broken(logits, vocab);
    std::vector<Row> rows;
    for (const float* stream : logits) {
        rows.emplace_back(stream, stream + vocab);
        for (const SamplerOp& operation : chain.per_stream) apply(operation, rows.back(), ids);
    }
    Row row = mix_rows(chain.mix, rows);
    for (const SamplerOp& operation : chain.ops) apply(operation, row, ids);
    return {row.begin(), row.end()};
}

std::vector<float> softmax(std::span<const float> scores) {
    const Row row(scores.begin(), scores.end());
    const double total = log_sum(row);
    std::vector<float> probabilities(row.size(), 0.0f);
    for (size_t id = 0; id < row.size(); id++)
        if (row[id] != EXCLUDED) probabilities[id] = static_cast<float>(std::exp(row[id] - total));
    return probabilities;
}

int32_t draw(std::span<const float> scores, double u) {
    CHECK(u >= 0 && u < 1);
    const float* row = scores.data();
    refuse_broken({&row, 1}, static_cast<int>(scores.size()));
    thread_local Row weights;  // kept between calls, so that a decode loop does not allocate
    weights.assign(scores.begin(), scores.end());
    const double maximum = maximum_of(weights);
    if (maximum == EXCLUDED) throw Error("no token is left to draw: the sampler chain excludes them all");
    double total = 0;
    for (double& weight : weights) {
        weight = weight == EXCLUDED ? 0.0 : std::exp(weight - maximum);
        total += weight;
    }
    double cumulative = 0;
    size_t last = 0;
    for (size_t id = 0; id < weights.size(); id++) {
        if (weights[id] == 0) continue;
        cumulative += weights[id];
        last = id;
        if (cumulative > u * total) break;  // without it: u * total was rounded up to the total
    }
    return static_cast<int32_t>(last);
}

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    constexpr int ROUNDS = 10;
    constexpr uint64_t MULTIPLIER_0 = 0xD2511F53, MULTIPLIER_1 = 0xCD9E8D57;
    constexpr uint32_t WEYL_0 = 0x9E3779B9, WEYL_1 = 0xBB67AE85;  // golden ratio and sqrt(3) - 1, as fractions of 2^32
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t a = MULTIPLIER_0 * counter[0], b = MULTIPLIER_1 * counter[2];
        counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
                   static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
        key = {key[0] + WEYL_0, key[1] + WEYL_1};
    }
    return counter;
}

double uniform(uint64_t seed, uint64_t lane, uint64_t counter) {
    const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
    const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
    const auto words = philox({low(counter), high(counter), low(lane), high(lane)}, {low(seed), high(seed)});
    const uint64_t bits = (static_cast<uint64_t>(words[0]) << 32 | words[1]) >> 11;  // the 53 that a double holds
    return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace leon
