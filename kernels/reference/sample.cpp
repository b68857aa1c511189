// The definition of sampling, over a rule as plain numbers: see kernels/sampling.h for the operation, runtime/sampler.h
// for what the steps mean. Plain loops over all ids and full sorts, one step after another.
#include <algorithm>
#include <functional>

#include "kernels/reference/reference.h"
#include "kernels/sample_host.h"
#include "kernels/sample_math.h"

namespace leon::reference {
namespace {

using namespace sampling;
using Row = std::vector<float>;  // [ids], EXCLUDED or finite

// The columns that are left, nearest to the maximum first; among equals the lowest first.
struct Ranked {
    size_t column;
    int32_t distance;
    uint64_t mass;
};
std::vector<Ranked> descending(const Row& row) {
    std::vector<Ranked> order;
    const float maximum = *std::max_element(row.begin(), row.end());
    for (size_t i = 0; i < row.size(); i++)
        if (row[i] != EXCLUDED) order.push_back({i, distance(row[i], maximum), mass(distance(row[i], maximum))});
    std::stable_sort(order.begin(), order.end(), [](auto& a, auto& b) { return a.distance < b.distance; });
    return order;
}
uint64_t total_mass(const std::vector<Ranked>& order) {
    uint64_t total = 0;
    for (const Ranked& r : order) total += r.mass;
    return total;
}

// The k-th largest, k >= 1; EXCLUDED if fewer are left.
float kth_largest(Row row, int32_t k) {
    std::sort(row.begin(), row.end(), std::greater<>());
    return k <= static_cast<int32_t>(row.size()) ? row[k - 1] : EXCLUDED;
}

void exclude_below(Row& row, float least) {
    for (float& value : row)
        if (value < least) value = EXCLUDED;
}

void keep_first_maximum(Row& row) {
    const auto best = std::max_element(row.begin(), row.end());  // the first of several
    for (auto value = row.begin(); value != row.end(); ++value)
        if (value != best) *value = EXCLUDED;
}

// Ascending: drop while the cumulative mass <= 1 - p.
void keep_top_p(Row& row, float p) {
    const std::vector<Ranked> order = descending(row);
    const uint64_t total = total_mass(order);
    uint64_t cumulative = 0;
    for (auto r = order.rbegin(); r != order.rend(); ++r) {
        cumulative += r->mass;
        if (cumulative > total - share(p, total)) return;
        row[r->column] = EXCLUDED;
    }
}

// Descending: keep while the mass before the id < p.
void keep_top_p_before(Row& row, float p) {
    const std::vector<Ranked> order = descending(row);
    const uint64_t total = total_mass(order);
    uint64_t before = 0;
    for (const Ranked& r : order) {
        if (before >= share(p, total)) row[r.column] = EXCLUDED;
        before += r.mass;
    }
}

// Which columns the ids of the sequence are, and which ones lie in the ranges of a step.
std::vector<bool> present(const SampleRows& rows) {
    std::vector<bool> found(rows.ids);
    for (int32_t id : rows.sequence)
        if (id >= rows.first_id && id - rows.first_id < rows.ids) found[id - rows.first_id] = true;
    return found;
}
std::vector<bool> in_ranges(const SampleRows& rows, const SampleStep& step) {
    std::vector<bool> found(rows.ids);
    for (int32_t r = step.first; r < step.last; r++)
        for (int32_t i = 0; i < rows.ids; i++)
            if (rows.ranges[2 * r] <= rows.first_id + i && rows.first_id + i <= rows.ranges[2 * r + 1]) found[i] = true;
    return found;
}

void apply(const SampleStep& step, Row& row, const SampleRows& rows) {
    if (std::all_of(row.begin(), row.end(), [](float value) { return value == EXCLUDED; })) return;
    switch (step.op) {
        case SampleOp::Temperature:
            for (float& value : row) value = divide(value, step.value);
            return;
        case SampleOp::TopK:
            return exclude_below(row, kth_largest(row, step.count));
        case SampleOp::TopP:
            return keep_top_p(row, step.value);
        case SampleOp::TopPBefore:
            return keep_top_p_before(row, step.value);
        case SampleOp::RepetitionPenalty: {
            const std::vector<bool> penalised = present(rows);
            for (size_t i = 0; i < row.size(); i++)
                if (penalised[i]) row[i] = penalise(row[i], step.value);
            return;
        }
        case SampleOp::Allow:
        case SampleOp::Forbid: {
            const std::vector<bool> named = in_ranges(rows, step);
            for (size_t i = 0; i < row.size(); i++)
                if (named[i] != (step.op == SampleOp::Allow)) row[i] = EXCLUDED;
            return;
        }
        case SampleOp::Greedy:
            return keep_first_maximum(row);
    }
}

// log(sum(exp(row)))
float log_sum(const Row& row) {
    const float maximum = *std::max_element(row.begin(), row.end());
    if (maximum == EXCLUDED) return EXCLUDED;
    uint64_t total = 0;
    for (float value : row) total += mass(distance(value, maximum));
    return maximum + log_of_mass(total);
}

// In log space: p_c >= alpha * kth(p_c) is l_c >= log(alpha) + kth(l_c), and exactly so for alpha = 1 (log 1 = 0).
Row contrast_rows(const Row& c, Row u, float log_alpha, int32_t k, float student_temperature) {
    for (float& value : u) value = divide(value, student_temperature);
    const float least = log_alpha + kth_largest(c, k), total_c = log_sum(c), total_u = log_sum(u);
    Row out(c.size(), EXCLUDED);
    for (size_t i = 0; i < out.size(); i++)
        if (c[i] >= least) out[i] = contrast(c[i], total_c, u[i], total_u);
    return out;
}

Row mix_rows(const SampleRule& rule, const Row& a, const Row& b, const Row& c) {
    Row out(a.size());
    switch (rule.mix) {
        case SampleMix::None:
            return a;
        case SampleMix::Guidance:
            for (size_t i = 0; i < out.size(); i++) out[i] = guide(a[i], b[i], rule.scale);
            return out;
        case SampleMix::Guidance3:
            for (size_t i = 0; i < out.size(); i++) out[i] = guide3(a[i], b[i], c[i], rule.scale, rule.scale_text);
            return out;
        case SampleMix::ContrastiveTopK:
            return contrast_rows(a, b, rule.scale, rule.k, rule.student_temperature);
    }
    return out;
}

}  // namespace

bool is_broken(std::span<const float> logits) {
    return std::any_of(logits.begin(), logits.end(), sampling::is_broken);
}

std::vector<float> score(const SampleRule& rule, const SampleRows& rows) {
    Row streams[3];
    for (int s = 0; s < streams_of(rule.mix); s++) {
        streams[s].assign(rows.row[s], rows.row[s] + rows.ids);
        for (int i = 0; i < rule.per_stream_count; i++) apply(rule.per_stream[i], streams[s], rows);
    }
    Row row = mix_rows(rule, streams[0], streams[1], streams[2]);
    for (int i = 0; i < rule.step_count; i++) apply(rule.steps[i], row, rows);
    return row;
}

int32_t draw(std::span<const float> scores, uint64_t random_bits) {
    const auto best = std::max_element(scores.begin(), scores.end());
    if (best == scores.end() || *best == EXCLUDED) return DREW_NOTHING;
    uint64_t total = 0, cumulative = 0;
    for (float score : scores) total += mass(distance(score, *best));
    const uint64_t place = place_in(total, random_bits);
    int32_t column = 0;
    for (;; column++) {
        cumulative += mass(distance(scores[column], *best));
        if (cumulative > place) return column;
    }
}

void sample(const Draws& d, const SampleRule& rule) {
    for (int64_t c = 0; c < d.candidates(); c++) {
        const SampleRows rows = rows_of(d, rule, c);
        bool broken = false;
        for (int s = 0; s < streams_of(rule.mix); s++)
            broken |= is_broken({rows.row[s], static_cast<size_t>(rows.ids)});
        const int32_t column = broken ? DREW_BROKEN : draw(score(rule, rows), random_bits_of(d, c));
        take_turn(d, c, column >= 0 ? rows.first_id + column : column);
    }
    count_turn(d);
}

}  // namespace leon::reference
