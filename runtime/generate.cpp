// The decode loop; the contract is in generate.h.
//
// Every candidate has lanes: lane 0 holds the whole document, the others are its guidance streams. A lane is a cache
// stream plus the tokens that it has not been fed yet ("pending"); one step feeds all pending tokens of all lanes of
// all candidates as one batch and draws one token per candidate.
//
// Steps are done in stretches in which nothing changes but the tokens: until some candidate's run ends. Within one, the
// steps follow each other on the device (decode_step.h), and this file reads along: it hears of a token when it has
// been drawn, while the next steps are under way. How many may be:
//
//   picture codes     8: their number is known, so no step is in vain unless the callback stops everything, and the
//                     device goes on while the callback takes its time
//   text              2: whether it ends shows in the token, so that every step under way may be in vain. One that runs
//                     and one behind it are what it takes for the device not to wait; at the end one of them is lost
//
// A step in vain is taken back by doing nothing: lengths, sequences and draws are counted here, when a token is taken,
// and the next stretch begins from these. That also makes the tokens independent of how far ahead the device was.
#include "runtime/generate.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>

#include "runtime/decode_step.h"

namespace leon {
namespace {

constexpr int PREFILL_ROWS = 256;  // rows of a prefill chunk: enough for the matrix kernels to be compute-bound
constexpr int MAX_LANES = 3;       // the document and two guidance streams
constexpr int MAX_TEMPLATES =
    5;  // prompts kept to fork from, those asked for last: a document's, the guidance of two rules
constexpr size_t RAGGED_PENDING = 4;                  // longer pending lists are prefilled on their own before the step
constexpr int AHEAD_OF_CODES = 8, AHEAD_OF_TEXT = 2;  // steps under way

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

using Ranges = std::vector<std::pair<int32_t, int32_t>>;

// Sorted and disjoint, with the stop ids among them.
Ranges drawable(const Run& run) {
    Ranges all = run.allowed;
    for (int32_t id : run.stop) all.emplace_back(id, id);
    std::sort(all.begin(), all.end());
    Ranges merged;
    for (const auto& range : all) {
        if (!merged.empty() && range.first <= merged.back().second + 1)
            merged.back().second = std::max(merged.back().second, range.second);
        else
            merged.push_back(range);
    }
    return merged;
}

struct Lane {
    int stream;
    std::vector<int32_t> pending;
};

struct Candidate {
    std::vector<int32_t> sequence;  // prompt and everything generated
    size_t prompt_tokens;
    int max_tokens;
    uint64_t seed;
    std::optional<Run> run;
    Ranges range;         // what the run may draw
    CompiledChain chain;  // how, for the kernels
    int drawn = 0;        // tokens drawn in this run
    std::vector<Lane> lanes;
    bool active = true, complete = true;

    std::vector<int32_t> generated() const { return {sequence.begin() + prompt_tokens, sequence.end()}; }
    int room() const { return max_tokens - static_cast<int>(sequence.size() - prompt_tokens); }
};

class DecodeLoop {
public:
    DecodeLoop(const TransformerConfig& config, const TransformerWeights& weights, const Kernels& kernels,
               std::vector<CandidateStart> starts, const NextRun& next_run, const GenerateOptions& options,
               GenerateStatistics& statistics, int positions, int longest)
        : starts_(std::move(starts)),
          candidate_count_(static_cast<int>(starts_.size())),
          options_(options),
          next_run_(next_run),
          statistics_(statistics),
          vocab_(config.vocab),
          positions_(positions),
          network_(config, weights, kernels, std::max(PREFILL_ROWS, candidate_count_ * MAX_LANES),
                   candidate_count_ * MAX_LANES),
          cache_(config, kernels, streams_for(candidate_count_), positions,
                 streams_for(candidate_count_) * ((positions + PAGE_TOKENS - 1) / PAGE_TOKENS), options.cache_dtype),
          step_(network_, cache_, kernels, candidate_count_, longest) {}

    std::vector<Generated> run() {
        const auto start = std::chrono::steady_clock::now();
        sharing_ = candidate_count_ > 1;
        for (int i = 0; i < candidate_count_; i++) {
            Candidate& c = candidates_.emplace_back();
            c.sequence = starts_[i].prompt;
            c.prompt_tokens = c.sequence.size();
            c.max_tokens = starts_[i].max_tokens;
            c.seed = starts_[i].seed;
            c.lanes.push_back(start_lane(c.sequence));
            advance(i);
        }
        for (Template& t : templates_) cache_.remove(t.stream);
        sharing_ = false;
        statistics_.prefill_seconds = seconds_since(start);

        const auto decode_start = std::chrono::steady_clock::now();
        while (!stopped_ && std::any_of(candidates_.begin(), candidates_.end(), [](auto& c) { return c.active; }))
            stretch();
        statistics_.decode_seconds = seconds_since(decode_start);

        std::vector<Generated> result;
        for (Candidate& c : candidates_) result.push_back({c.generated(), c.complete && !c.active});
        return result;
    }

private:
    // Every lane of every candidate, and the templates that candidates are forked from.
    static int streams_for(int candidates) { return MAX_LANES * candidates + (candidates > 1 ? MAX_TEMPLATES : 0); }

    // A prompt that was computed once, for the other candidates to fork.
    struct Template {
        std::vector<int32_t> prompt;
        int stream;
    };

    // A stream that holds all but the last token of the prompt; the last one is pending.
    Lane start_lane(const std::vector<int32_t>& prompt) {
        CHECK(!prompt.empty());
        auto known = std::find_if(templates_.begin(), templates_.end(), [&](auto& t) { return t.prompt == prompt; });
        if (sharing_ && known != templates_.end()) {
            std::rotate(known, known + 1, templates_.end());
            return {cache_.fork(templates_.back().stream), {prompt.back()}};
        }
        const int stream = cache_.add_stream();
        feed(stream, std::span(prompt).first(prompt.size() - 1));
        if (sharing_) {
            if (templates_.size() == MAX_TEMPLATES) {
                cache_.remove(templates_.front().stream);
                templates_.erase(templates_.begin());
            }
            templates_.push_back({prompt, cache_.fork(stream)});
        }
        return {stream, {prompt.back()}};
    }

    void feed(int stream, std::span<const int32_t> tokens) {
        prefill(network_, cache_, stream, tokens);
        statistics_.prompt_tokens += static_cast<int>(tokens.size());
    }

    // Appends a token to the candidate and to all its lanes, and tells the caller.
    void emit(int index, int32_t token, Run::Kind kind, int place, int of) {
        Candidate& c = candidates_[index];
        c.sequence.push_back(token);
        for (Lane& lane : c.lanes) lane.pending.push_back(token);
        if (options_.on_token && !options_.on_token({index, token, kind, place, of})) stopped_ = true;
    }

    // Ends the current run and starts the next that draws something; forced runs are done on the way.
    void advance(int index) {
        Candidate& c = candidates_[index];
        for (;;) {
            c.run = next_run_(index, c.generated());
            c.drawn = 0;
            if (!c.run) {
                c.active = false;
                return;
            }
            if (c.run->guidance) replace_guidance(c, *c.run->guidance);
            if (c.run->kind == Run::Kind::Forced) {
                const int count = static_cast<int>(c.run->forced.size());
                if (count > c.room()) return cut(c);
                for (int i = 0; i < count; i++) emit(index, c.run->forced[i], Run::Kind::Forced, i, count);
                continue;
            }
            if (c.run->tokens <= 0) continue;
            if (c.room() <= 0) return cut(c);
            if (c.run->kind == Run::Kind::Image && c.run->tokens > c.room()) return cut(c);
            CHECK(streams_of(c.run->chain.mix) <= static_cast<int>(c.lanes.size()));
            c.range = drawable(*c.run);
            CHECK(!c.range.empty() && c.range.front().first >= 0 && c.range.back().second < vocab_);
            c.run->chain.per_stream.insert(c.run->chain.per_stream.begin(), op::Allow{c.range});
            c.chain = compile(c.run->chain);
            return;
        }
    }

    void cut(Candidate& c) {
        c.active = false;
        c.complete = false;
    }

    void replace_guidance(Candidate& c, const std::vector<std::vector<int32_t>>& prompts) {
        CHECK(prompts.size() < MAX_LANES);
        for (const std::vector<int32_t>& prompt : prompts)
            if (static_cast<int64_t>(prompt.size()) + c.room() - 1 > positions_)
                throw Error("the guidance prompt has " + std::to_string(prompt.size()) + " tokens, and " +
                                std::to_string(c.room()) + " are to follow: too many for the context",
                            "prompt", "generate without guidance");
        for (size_t i = 1; i < c.lanes.size(); i++) cache_.remove(c.lanes[i].stream);
        c.lanes.resize(1);
        for (const std::vector<int32_t>& prompt : prompts) c.lanes.push_back(start_lane(prompt));
    }

    // Long pending lists (teacher-forced stretches) go through the matrix kernels as a prefill of their own.
    void shorten_pending() {
        for (Candidate& c : candidates_) {
            if (!c.active) continue;
            for (Lane& lane : c.lanes) {
                const bool crowded =
                    static_cast<int>(candidates_.size() * MAX_LANES * RAGGED_PENDING) > network_.max_rows();
                if (lane.pending.size() <= (crowded ? 1 : RAGGED_PENDING)) continue;
                feed(lane.stream, std::span(lane.pending).first(lane.pending.size() - 1));
                lane.pending = {lane.pending.back()};
            }
        }
    }

    // Steps until some candidate's run ends.
    void stretch() {
        shorten_pending();
        std::vector<int> members;  // the active candidates
        for (int i = 0; i < static_cast<int>(candidates_.size()); i++)
            if (candidates_[i].active) members.push_back(i);
        const Batch batch = batch_of(members);
        const bool ragged = batch.outputs.size() < batch.tokens.size();
        int steps = ragged ? 1 : std::numeric_limits<int>::max(), ahead = AHEAD_OF_CODES;
        std::vector<DecodeStep::Member> drawing;
        for (int i : members) {
            const Candidate& c = candidates_[i];
            steps = std::min({steps, c.run->tokens - c.drawn, c.room()});
            if (!c.run->stop.empty()) ahead = AHEAD_OF_TEXT;
            drawing.push_back(
                {&c.sequence, static_cast<int>(c.prompt_tokens), c.seed, static_cast<int>(c.lanes.size()), &c.chain});
        }
        for (int i : members)
            for (const Lane& lane : candidates_[i].lanes)
                cache_.reserve(lane.stream, static_cast<int>(lane.pending.size()) + steps - 1);

        step_.begin(batch, drawing, steps);
        const double weight_bytes = static_cast<double>(network_.weight_bytes(batch.shape()));
        bool same_runs = true;
        for (int queued = 0, taken = 0; same_runs && taken < steps; taken++) {
            while (queued < steps && step_.under_way() < ahead) {
                step_.queue();
                queued++;
                if (step_.has_drawn()) break;  // at once on the CPU, where nothing is ever ahead
            }
            statistics_.steps++;
            statistics_.decode_weight_bytes += weight_bytes;
            same_runs = accept(members, step_.take());
        }
    }

    // All pending tokens of the members' lanes; the last of each lane gives logits.
    Batch batch_of(const std::vector<int>& members) const {
        Batch batch;
        int32_t lowest = vocab_, highest = -1;
        for (int i : members) {
            const Candidate& c = candidates_[i];
            lowest = std::min(lowest, c.range.front().first);
            highest = std::max(highest, c.range.back().second);
            for (const Lane& lane : c.lanes) {
                const int start = cache_.length(lane.stream);
                for (size_t t = 0; t < lane.pending.size(); t++)
                    batch.add(lane.pending[t], lane.stream, start + static_cast<int>(t),
                              t + 1 == lane.pending.size() ? WantLogits::Yes : WantLogits::No);
            }
        }
        batch.first_id = lowest;
        batch.ids = highest - lowest + 1;
        return batch;
    }

    // A step has been done: its input counts as fed, and its tokens are appended. Whether all runs go on.
    bool accept(const std::vector<int>& members, std::span<const int32_t> drawn) {
        for (int i : members)
            for (Lane& lane : candidates_[i].lanes) {
                cache_.extend(lane.stream, lane.pending);
                lane.pending.clear();
            }
        bool same_runs = true;
        for (size_t m = 0; m < members.size() && !stopped_; m++) same_runs &= append(members[m], drawn[m]);
        return same_runs && !stopped_;
    }

    // Whether the run goes on.
    bool append(int index, int32_t token) {
        if (token == DREW_BROKEN)
            throw Error("the model produced NaN or an infinite logit", "",
                        "the weights are damaged or overflow in this precision");
        if (token == DREW_NOTHING) throw Error("no token is left to draw: the sampler chain excludes them all");
        Candidate& c = candidates_[index];
        statistics_.tokens++;
        emit(index, token, c.run->kind, c.drawn, c.run->tokens);
        c.drawn++;
        const bool stop = std::find(c.run->stop.begin(), c.run->stop.end(), token) != c.run->stop.end();
        if (stop || c.drawn == c.run->tokens) {
            advance(index);
            return false;
        }
        if (c.room() > 0) return true;
        cut(c);
        return false;
    }

    const std::vector<CandidateStart> starts_;
    const int candidate_count_;
    const GenerateOptions& options_;
    const NextRun& next_run_;
    GenerateStatistics& statistics_;
    const int vocab_, positions_;
    Transformer network_;
    KvCache cache_;
    DecodeStep step_;
    std::vector<Candidate> candidates_;
    std::vector<Template> templates_;
    bool sharing_ = false, stopped_ = false;
};

}  // namespace

std::vector<Generated> generate(const TransformerConfig& config, const TransformerWeights& weights,
                                const Kernels& kernels, const std::vector<int32_t>& prompt, const NextRun& next_run,
                                const GenerateOptions& options, GenerateStatistics* statistics) {
    CHECK(options.candidates > 0 && options.max_tokens > 0);
    CHECK(options.seeds.empty() || static_cast<int>(options.seeds.size()) == options.candidates);
    std::vector<CandidateStart> starts;
    for (int i = 0; i < options.candidates; i++)
        starts.push_back({prompt, options.seeds.empty() ? options.seed + static_cast<uint64_t>(i) : options.seeds[i],
                          options.max_tokens});
    return generate(config, weights, kernels, std::move(starts), next_run, options, statistics);
}

std::vector<Generated> generate(const TransformerConfig& config, const TransformerWeights& weights,
                                const Kernels& kernels, std::vector<CandidateStart> starts, const NextRun& next_run,
                                const GenerateOptions& options, GenerateStatistics* statistics) {
    CHECK(!starts.empty());
    int64_t positions = 0;
    for (const CandidateStart& start : starts) {
        CHECK(start.max_tokens > 0);
        if (start.prompt.empty()) throw Error("the prompt is empty", "prompt");
        const int64_t wanted = static_cast<int64_t>(start.prompt.size()) + start.max_tokens - 1;
        if (wanted > config.context)
            throw Error("the prompt has " + std::to_string(start.prompt.size()) + " tokens and up to " +
                            std::to_string(start.max_tokens) + " are to follow, but the model's context is " +
                            std::to_string(config.context),
                        "prompt", "shorten the text");
        positions = std::max(positions, wanted);
    }
    GenerateStatistics unused;
    // Guidance prompts may be a little longer than the document's (a sentinel in place of an empty text).
    const int64_t room = std::min<int64_t>(positions + PAGE_TOKENS, config.context);
    DecodeLoop loop(config, weights, kernels, std::move(starts), next_run, options, statistics ? *statistics : unused,
                    static_cast<int>(room), static_cast<int>(positions + 1));
    return loop.run();
}

}  // namespace leon
