// sample(): the decode loop's way from logits to a token; the definition is score() in sampler.cpp.
//
// Ids that an Allow excludes are never looked at, excluded ids are squeezed out as soon as they are known, and nothing
// is sorted: top-k and the nucleus of top-p are cut at a value found by quickselect. Buffers are kept per thread.
//
// Measured 2026-11 on one shared core of an AMD EPYC; vocabulary 65,536, logits of standard deviation 0.1 to 3:
//   picture   three streams, allow 8,192, temperature, top-p 0.9     0.39 - 0.44 ms    score() + draw()  8 - 15 ms
//   text      allow 49,153, penalty, temperature, top-p 0.9           1.1 - 1.7 ms                      22 - 31 ms
// Of the text chain, exp() is a third, the passes of the nucleus another; every id that is allowed needs its exp().
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/check.h"
#include "runtime/sampler.h"
#include "runtime/sampler_math.h"

namespace leon {
namespace {

using namespace sampler;
using Row = std::vector<double>;
using Ranges = std::vector<std::pair<int32_t, int32_t>>;

struct Weighted {
    double value;
    uint64_t mass;
};

// Candidates are ids in ascending order with one value per stream; rows[0] alone after the mix.
struct Scratch {
    std::vector<int32_t> ids;
    Row rows[3];
    std::vector<float> scores;
    Ranges ranges;                 // of an Allow: sorted, disjoint
    std::vector<uint8_t> present;  // [vocab], all 0 between calls
    Row selection;                 // reordered by top-k
    std::vector<uint64_t> mass;    // of each candidate
    std::vector<Weighted> heavy;   // reordered by top-p
};

void sort_ranges(Scratch& s, const Ranges& ranges) {
    s.ranges.assign(ranges.begin(), ranges.end());
    std::sort(s.ranges.begin(), s.ranges.end());
    size_t kept = 0;
    for (const auto& range : s.ranges) {
        if (kept > 0 && range.first <= s.ranges[kept - 1].second)
            s.ranges[kept - 1].second = std::max(s.ranges[kept - 1].second, range.second);
        else
            s.ranges[kept++] = range;
    }
    s.ranges.resize(kept);
}

// Operations that treat every id by itself; an Allow behind them may as well come first.
bool is_elementwise(const SamplerOp& operation) {
    if (const auto* o = std::get_if<op::Temperature>(&operation)) return o->t > 0;
    return std::holds_alternative<op::RepetitionPenalty>(operation) || std::holds_alternative<op::Allow>(operation) ||
           std::holds_alternative<op::Forbid>(operation);
}

// An Allow that can be moved to the front of the chain, or null. One that follows a mix can if the mix is elementwise.
const op::Allow* early_allow(const SamplerChain& chain) {
    for (const SamplerOp& operation : chain.per_stream) {
        if (const auto* allow = std::get_if<op::Allow>(&operation)) return allow;
        if (!is_elementwise(operation)) return nullptr;
    }
    if (std::holds_alternative<mix::ContrastiveTopK>(chain.mix)) return nullptr;
    for (const SamplerOp& operation : chain.ops) {
        if (const auto* allow = std::get_if<op::Allow>(&operation)) return allow;
        if (!is_elementwise(operation)) return nullptr;
    }
    return nullptr;
}

void gather(Scratch& s, const SamplerChain& chain, std::span<const float* const> logits, int vocab) {
    s.ids.clear();
    const op::Allow* allow = early_allow(chain);
    if (allow)
        sort_ranges(s, allow->ranges);
    else
        s.ranges.assign(1, {0, vocab - 1});
    for (auto [first, last] : s.ranges)
        for (int32_t id = first; id <= last; id++) s.ids.push_back(id);
    for (size_t stream = 0; stream < logits.size(); stream++) {
        Row& row = s.rows[stream];
        row.clear();
        for (auto [first, last] : s.ranges) row.insert(row.end(), logits[stream] + first, logits[stream] + last + 1);
    }
}

// rows[0] and the ids without the excluded.
void squeeze(Scratch& s) {
    Row& row = s.rows[0];
    size_t kept = 0;
    for (size_t i = 0; i < row.size(); i++) {
        row[kept] = row[i];
        s.ids[kept] = s.ids[i];
        kept += row[i] != EXCLUDED;
    }
    row.resize(kept);
    s.ids.resize(kept);
}

void keep_first_maximum(Row& row) {
    const auto best = std::find(row.begin(), row.end(), maximum_of(row));
    for (auto value = row.begin(); value != row.end(); ++value)
        if (value != best) *value = EXCLUDED;
}

double kth_largest(Scratch& s, const Row& row, int k) {
    if (k > static_cast<int>(row.size())) return EXCLUDED;
    s.selection.assign(row.begin(), row.end());
    std::nth_element(s.selection.begin(), s.selection.begin() + (k - 1), s.selection.end(), std::greater<>());
    return s.selection[k - 1];
}

void exclude_below(Row& row, double least) {
    for (double& value : row) value = value < least ? EXCLUDED : value;
}

double median(double a, double b, double c) {
    return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

// Bins of equal width below the maximum, as far down as there is any mass. A bin never holds a larger value than the
// bin before it, whatever the rounding.
constexpr int BINS = 1024;
int bin_of(double value, double maximum) {
    return static_cast<int>(std::min((maximum - value) * (BINS / 32.0), BINS - 1.0));
}

// Keeps what is before the point where the mass, largest value first, reaches the share p.
void keep_nucleus(Scratch& s, Row& row, double p) {
    const double maximum = maximum_of(row);
    if (p >= 1 || maximum == EXCLUDED) return;
    s.mass.resize(row.size());
    for (size_t i = 0; i < row.size(); i++) s.mass[i] = mass(row[i], maximum);

    // Find the bin that holds the cut: only its members need to be looked at one by one.
    uint64_t in_bin[BINS] = {}, total = 0;
    for (size_t i = 0; i < row.size(); i++) in_bin[bin_of(row[i], maximum)] += s.mass[i];
    for (uint64_t bin : in_bin) total += bin;
    uint64_t missing = share(p, total);
    int bin = 0;
    while (in_bin[bin] < missing) missing -= in_bin[bin++];
    s.heavy.clear();
    for (size_t i = 0; i < row.size(); i++)
        if (bin_of(row[i], maximum) == bin && s.mass[i] > 0) s.heavy.push_back({row[i], s.mass[i]});

    // Quickselect by mass. The cut lies in [first, last); `missing` is what that range has to contribute. Values that
    // equal the cut come in id order, so `ties` of them are kept.
    double cut = 0;
    uint64_t ties = 0;
    auto first = s.heavy.begin(), last = s.heavy.end();
    while (ties == 0) {
        cut = median(first->value, (first + (last - first) / 2)->value, (last - 1)->value);
        const auto equal = std::partition(first, last, [&](const Weighted& w) { return w.value > cut; });
        const auto below = std::partition(equal, last, [&](const Weighted& w) { return w.value == cut; });
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
    for (double& value : row) {
        const bool kept = value > cut || (value == cut && ties > 0);
        ties -= value == cut && ties > 0;
        if (!kept) value = EXCLUDED;
    }
}

void penalise_repetition(Scratch& s, Row& row, double penalty, std::span<const int32_t> sequence, int vocab) {
    for (int32_t id : sequence) refuse_outside(id, vocab);
    s.present.resize(vocab);
    for (int32_t id : sequence) s.present[id] = 1;
    for (size_t i = 0; i < row.size(); i++)
        if (s.present[s.ids[i]]) row[i] = penalise(row[i], penalty);
    for (int32_t id : sequence) s.present[id] = 0;
}

void keep_ranges(Scratch& s, Row& row, const Ranges& ranges) {
    sort_ranges(s, ranges);
    size_t next = 0;  // the first range that does not end before the id
    for (size_t i = 0; i < row.size(); i++) {
        while (next < s.ranges.size() && s.ranges[next].second < s.ids[i]) next++;
        if (next == s.ranges.size() || s.ids[i] < s.ranges[next].first) row[i] = EXCLUDED;
    }
}

void forbid(Scratch& s, Row& row, const std::vector<int32_t>& ids) {
    for (int32_t id : ids) {
        const auto found = std::lower_bound(s.ids.begin(), s.ids.end(), id);
        if (found != s.ids.end() && *found == id) row[found - s.ids.begin()] = EXCLUDED;
    }
}

// `early` is the Allow that gather() has already dealt with.
void apply(Scratch& s, const SamplerOp& operation, Row& row, std::span<const int32_t> sequence, int vocab,
           const op::Allow* early) {
    std::visit(Overloaded{
                   [&](const op::Temperature& o) {
                       if (o.t == 0) return keep_first_maximum(row);
                       for (double& value : row) value = divide(value, o.t);
                   },
                   [&](const op::TopK& o) {
                       if (o.k > 0) exclude_below(row, kth_largest(s, row, o.k));
                   },
                   [&](const op::TopP& o) { keep_nucleus(s, row, o.p); },
                   [&](const op::TopPBefore& o) { keep_nucleus(s, row, o.p); },
                   [&](const op::RepetitionPenalty& o) { penalise_repetition(s, row, o.penalty, sequence, vocab); },
                   [&](const op::Allow& o) {
                       if (&o != early) keep_ranges(s, row, o.ranges);
                   },
                   [&](const op::Forbid& o) { forbid(s, row, o.ids); },
                   [&](const op::Greedy&) { keep_first_maximum(row); },
               },
               operation);
}

bool may_exclude(const SamplerOp& operation) {
    if (const auto* o = std::get_if<op::Temperature>(&operation)) return o->t == 0;
    return !std::holds_alternative<op::RepetitionPenalty>(operation);
}

// Into rows[0].
void mix_rows(Scratch& s, const Mix& how) {
    Row &a = s.rows[0], &b = s.rows[1], &c = s.rows[2];
    std::visit(Overloaded{
                   [&](const mix::None&) {},
                   [&](const mix::Guidance& m) {
                       for (size_t i = 0; i < a.size(); i++) a[i] = guide(a[i], b[i], m.scale);
                   },
                   [&](const mix::Guidance3& m) {
                       for (size_t i = 0; i < a.size(); i++)
                           a[i] = guide3(a[i], b[i], c[i], m.scale_image, m.scale_text);
                   },
                   [&](const mix::ContrastiveTopK& m) {
                       const double least = std::log(static_cast<double>(m.alpha)) + kth_largest(s, a, m.k);
                       const double total_a = log_sum(a), total_b = log_sum(b);
                       for (size_t i = 0; i < a.size(); i++)
                           a[i] = a[i] >= least ? contrast(a[i], total_a, b[i], total_b) : EXCLUDED;
                   },
               },
               how);
}

}  // namespace

int32_t sample(const SamplerChain& chain, std::span<const float* const> logits, int vocab,
               std::span<const int32_t> sequence, double u) {
    CHECK(vocab > 0 && vocab <= MAX_VOCAB && static_cast<int>(logits.size()) == streams_of(chain.mix));
    refuse_broken(logits, vocab);
    thread_local Scratch s;
    gather(s, chain, logits, vocab);
    const op::Allow* early = early_allow(chain);
    for (size_t stream = 0; stream < logits.size(); stream++)
        for (const SamplerOp& operation : chain.per_stream) apply(s, operation, s.rows[stream], sequence, vocab, early);
    mix_rows(s, chain.mix);
    squeeze(s);
    for (const SamplerOp& operation : chain.ops) {
        apply(s, operation, s.rows[0], sequence, vocab, early);
        if (may_exclude(operation)) squeeze(s);
    }
    s.scores.assign(s.rows[0].begin(), s.rows[0].end());
    return s.scores.empty() ? draw({}, u) : s.ids[draw(s.scores, u)];
}

}  // namespace leon
