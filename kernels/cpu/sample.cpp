// sample: the processor's way from logits to a token; the definition is kernels/reference/sample.cpp.
//
// Ids that an Allow excludes are never looked at, excluded ids are squeezed out as soon as they are known, and nothing
// is sorted: top-k and the nucleus of top-p are cut at a value found by quickselect. Buffers are kept per thread.
#include <algorithm>
#include <functional>

#include "kernels/cpu/plain.h"
#include "kernels/cpu/threads.h"
#include "kernels/sample_host.h"
#include "kernels/sample_math.h"

namespace leon::plain {
namespace {

using namespace sampling;
using Row = std::vector<float>;

struct Range {  // of columns, inclusive
    int32_t first, last;
};
struct Weighted {
    int32_t distance;
    uint64_t mass;
};

// Candidates are columns in ascending order with one value per stream; values[0] alone after the mix.
struct Scratch {
    std::vector<int32_t> columns;
    Row values[3];
    std::vector<Range> ranges;       // of an Allow or a Forbid, cut to the columns
    std::vector<uint8_t> present;    // [ids], all 0 between calls
    Row selection;                   // reordered by top-k
    std::vector<int32_t> distances;  // of each candidate
    std::vector<uint64_t> masses;    // of each candidate
    std::vector<Weighted> heavy;     // reordered by top-p
};

void cut_ranges(Scratch& s, const SampleRows& rows, const SampleStep& step) {
    s.ranges.clear();
    for (int32_t r = step.first; r < step.last; r++) {
        const int32_t first = std::max(rows.ranges[2 * r] - rows.first_id, 0);
        const int32_t last = std::min(rows.ranges[2 * r + 1] - rows.first_id, rows.ids - 1);
        if (first <= last) s.ranges.push_back({first, last});
    }
}

// Steps that treat every id by itself; an Allow behind them may as well come first.
bool is_elementwise(SampleOp op) {
    return op == SampleOp::Temperature || op == SampleOp::RepetitionPenalty || op == SampleOp::Allow ||
           op == SampleOp::Forbid;
}

// An Allow that can be moved to the front of the rule, or null. One behind the mix can if the mix is elementwise.
const SampleStep* early_allow(const SampleRule& rule) {
    for (int i = 0; i < rule.per_stream_count; i++) {
        if (rule.per_stream[i].op == SampleOp::Allow) return &rule.per_stream[i];
        if (!is_elementwise(rule.per_stream[i].op)) return nullptr;
    }
    if (rule.mix == SampleMix::ContrastiveTopK) return nullptr;
    for (int i = 0; i < rule.step_count; i++) {
        if (rule.steps[i].op == SampleOp::Allow) return &rule.steps[i];
        if (!is_elementwise(rule.steps[i].op)) return nullptr;
    }
    return nullptr;
}

void gather(Scratch& s, const SampleRows& rows, int streams, const SampleStep* allow) {
    if (allow)
        cut_ranges(s, rows, *allow);
    else
        s.ranges.assign(1, {0, rows.ids - 1});
    s.columns.clear();
    for (auto [first, last] : s.ranges)
        for (int32_t i = first; i <= last; i++) s.columns.push_back(i);
    for (int stream = 0; stream < streams; stream++) {
        Row& values = s.values[stream];
        values.clear();
        for (auto [first, last] : s.ranges)
            values.insert(values.end(), rows.row[stream] + first, rows.row[stream] + last + 1);
    }
}

// values[0] and the columns without the excluded.
void squeeze(Scratch& s) {
    Row& row = s.values[0];
    size_t kept = 0;
    for (size_t i = 0; i < row.size(); i++) {
        row[kept] = row[i];
        s.columns[kept] = s.columns[i];
        kept += row[i] != EXCLUDED;
    }
    row.resize(kept);
    s.columns.resize(kept);
}

// EXCLUDED if there is none. Sixteen running maxima, because one would wait for itself.
float maximum_of(const Row& values) {
    constexpr size_t LANES = 16;
    float best[LANES];
    std::fill(best, best + LANES, EXCLUDED);
    size_t i = 0;
    for (; i + LANES <= values.size(); i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) best[lane] = std::max(best[lane], values[i + lane]);
    for (; i < values.size(); i++) best[0] = std::max(best[0], values[i]);
    return *std::max_element(best, best + LANES);
}

// Distances and masses of all values, maximum != EXCLUDED; the sum of the masses.
uint64_t weigh(Scratch& s, const Row& row, float maximum) {
    s.distances.resize(row.size());
    s.masses.resize(row.size());
    for (size_t i = 0; i < row.size(); i++) s.distances[i] = distance(row[i], maximum);
    uint64_t total = 0;
    for (size_t i = 0; i < row.size(); i++) total += s.masses[i] = mass(s.distances[i]);
    return total;
}

void keep_first_maximum(Row& row) {
    const auto best = std::find(row.begin(), row.end(), maximum_of(row));
    for (auto value = row.begin(); value != row.end(); ++value)
        if (value != best) *value = EXCLUDED;
}

float kth_largest(Scratch& s, const Row& row, int32_t k) {
    if (k > static_cast<int32_t>(row.size())) return EXCLUDED;
    s.selection.assign(row.begin(), row.end());
    std::nth_element(s.selection.begin(), s.selection.begin() + (k - 1), s.selection.end(), std::greater<>());
    return s.selection[k - 1];
}

void exclude_below(Row& row, float least) {
    for (float& value : row) value = value < least ? EXCLUDED : value;
}

int32_t median(int32_t a, int32_t b, int32_t c) {
    return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

// Keeps what is before the point where the mass, largest value first, reaches the share p.
void keep_nucleus(Scratch& s, Row& row, float p) {
    const float maximum = maximum_of(row);
    if (maximum == EXCLUDED) return;
    uint64_t missing = share(p, weigh(s, row, maximum));

    // Find the bin of distances, a 64th wide, that holds the cut: only its members need to be looked at one by one.
    constexpr int BINS = 2048, WIDTH_BITS = 20;
    uint64_t in_bin[BINS] = {};
    for (size_t i = 0; i < row.size(); i++) in_bin[s.distances[i] >> WIDTH_BITS] += s.masses[i];
    int bin = 0;
    while (in_bin[bin] < missing) missing -= in_bin[bin++];
    s.heavy.clear();
    for (size_t i = 0; i < row.size(); i++)
        if (s.distances[i] >> WIDTH_BITS == bin) s.heavy.push_back({s.distances[i], s.masses[i]});

    // Quickselect by mass. The cut lies in [first, last); `missing` is what that range has to contribute. Values at the
    // distance of the cut come in the order of their ids, so `ties` of them are kept.
    int32_t cut = 0;
    uint64_t ties = 0;
    auto first = s.heavy.begin(), last = s.heavy.end();
    while (ties == 0) {
        cut = median(first->distance, (first + (last - first) / 2)->distance, (last - 1)->distance);
        const auto equal = std::partition(first, last, [&](const Weighted& w) { return w.distance < cut; });
        const auto below = std::partition(equal, last, [&](const Weighted& w) { return w.distance == cut; });
        uint64_t above = 0;
        for (auto w = first; w != equal; ++w) above += w->mass;
        const uint64_t each = equal->mass, of_equal = each * static_cast<uint64_t>(below - equal);
        if (above >= missing) {
            last = equal;
        } else if (above + of_equal < missing) {
            missing -= above + of_equal;
            first = below;
        } else {
            ties = (missing - above + each - 1) / each;
        }
    }
    for (size_t i = 0; i < row.size(); i++) {
        const bool kept = s.distances[i] < cut || (s.distances[i] == cut && ties > 0);
        ties -= s.distances[i] == cut && ties > 0;
        if (!kept) row[i] = EXCLUDED;
    }
}

void penalise_repetition(Scratch& s, Row& row, float penalty, const SampleRows& rows) {
    const auto mark = [&](uint8_t value) {
        for (int32_t id : rows.sequence)
            if (id >= rows.first_id && id - rows.first_id < rows.ids) s.present[id - rows.first_id] = value;
    };
    if (s.present.size() < static_cast<size_t>(rows.ids)) s.present.resize(rows.ids);
    mark(1);
    for (size_t i = 0; i < row.size(); i++)
        if (s.present[s.columns[i]]) row[i] = penalise(row[i], penalty);
    mark(0);
}

// Excludes the columns in the ranges of the step, or those outside.
void restrict_to(Scratch& s, Row& row, const SampleRows& rows, const SampleStep& step) {
    cut_ranges(s, rows, step);
    const bool wanted = step.op == SampleOp::Allow;
    size_t next = 0;  // the first range that does not end before the column
    for (size_t i = 0; i < row.size(); i++) {
        while (next < s.ranges.size() && s.ranges[next].last < s.columns[i]) next++;
        const bool named = next < s.ranges.size() && s.columns[i] >= s.ranges[next].first;
        if (named != wanted) row[i] = EXCLUDED;
    }
}

// `early` is the Allow that gather() has already dealt with.
void apply(Scratch& s, const SampleStep& step, Row& row, const SampleRows& rows, const SampleStep* early) {
    switch (step.op) {
        case SampleOp::Temperature:
            for (float& value : row) value = divide(value, step.value);
            return;
        case SampleOp::TopK:
            return exclude_below(row, kth_largest(s, row, step.count));
        case SampleOp::TopP:
        case SampleOp::TopPBefore:
            return keep_nucleus(s, row, step.value);
        case SampleOp::RepetitionPenalty:
            return penalise_repetition(s, row, step.value, rows);
        case SampleOp::Allow:
        case SampleOp::Forbid:
            if (&step != early) restrict_to(s, row, rows, step);
            return;
        case SampleOp::Greedy:
            return keep_first_maximum(row);
    }
}

float log_sum(Scratch& s, const Row& row) {
    const float maximum = maximum_of(row);
    return maximum == EXCLUDED ? EXCLUDED : maximum + log_of_mass(weigh(s, row, maximum));
}

// Into values[0].
void mix_rows(Scratch& s, const SampleRule& rule) {
    Row &a = s.values[0], &b = s.values[1], &c = s.values[2];
    switch (rule.mix) {
        case SampleMix::None:
            return;
        case SampleMix::Guidance:
            for (size_t i = 0; i < a.size(); i++) a[i] = guide(a[i], b[i], rule.scale);
            return;
        case SampleMix::Guidance3:
            for (size_t i = 0; i < a.size(); i++) a[i] = guide3(a[i], b[i], c[i], rule.scale, rule.scale_text);
            return;
        case SampleMix::ContrastiveTopK: {
            const float least = rule.scale + kth_largest(s, a, rule.k);
            for (float& value : b) value = divide(value, rule.student_temperature);
            const float total_a = log_sum(s, a), total_b = log_sum(s, b);
            for (size_t i = 0; i < a.size(); i++)
                a[i] = a[i] >= least ? contrast(a[i], total_a, b[i], total_b) : EXCLUDED;
            return;
        }
    }
}

bool may_exclude(SampleOp op) {
    return op != SampleOp::Temperature && op != SampleOp::RepetitionPenalty;
}

}  // namespace

bool is_broken(std::span<const float> logits) {
    bool broken = false;
    for (float logit : logits) broken |= sampling::is_broken(logit);
    return broken;
}

int32_t draw_column(const SampleRule& rule, const SampleRows& rows, uint64_t random_bits) {
    thread_local Scratch s;
    const SampleStep* early = early_allow(rule);
    const int streams = streams_of(rule.mix);
    gather(s, rows, streams, early);
    for (int stream = 0; stream < streams; stream++)
        for (int i = 0; i < rule.per_stream_count; i++) apply(s, rule.per_stream[i], s.values[stream], rows, early);
    mix_rows(s, rule);
    squeeze(s);
    for (int i = 0; i < rule.step_count; i++) {
        apply(s, rule.steps[i], s.values[0], rows, early);
        if (may_exclude(rule.steps[i].op)) squeeze(s);
    }
    if (s.columns.empty()) return DREW_NOTHING;
    const uint64_t place = place_in(weigh(s, s.values[0], maximum_of(s.values[0])), random_bits);
    size_t i = 0;
    for (uint64_t cumulative = s.masses[0]; cumulative <= place; cumulative += s.masses[i]) i++;
    return s.columns[i];
}

void sample(const Draws& d, const SampleRule& rule) {
    parallel(d.candidates(), [&](int64_t c, int) {
        const SampleRows rows = rows_of(d, rule, c);
        bool broken = false;
        for (int s = 0; s < streams_of(rule.mix); s++)
            broken |= is_broken({rows.row[s], static_cast<size_t>(rows.ids)});
        const int32_t column = broken ? DREW_BROKEN : draw_column(rule, rows, random_bits_of(d, c));
        take_turn(d, c, column >= 0 ? rows.first_id + column : column);
    });
    count_turn(d);
}

}  // namespace leon::plain
