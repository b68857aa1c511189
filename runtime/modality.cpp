// Reading where a generation stands, and the run that follows from it.
#include "runtime/modality.h"

#include <algorithm>

#include "kernels/check.h"

namespace leon {
namespace {

bool contains(const std::vector<int32_t>& ids, int32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool is_code(const ModalityRules& rules, int32_t id) {
    return std::any_of(rules.image.begin(), rules.image.end(),
                       [id](const auto& range) { return id >= range.first && id <= range.second; });
}

// Walks over what was generated, one token at a time.
struct Reader {
    enum class Inside { Text, Picture, End, Finished };  // End: one of rules.end must follow

    const ModalityRules& rules;
    Inside inside;
    int codes = 0;     // of the open picture
    int pictures = 0;  // begun

    Reader(const ModalityRules& rules, ModalityPlan::Start start)
        : rules(rules), inside(start == ModalityPlan::Start::Text ? Inside::Text : Inside::Picture) {
        CHECK(rules.codes > 0);
        if (inside == Inside::Picture) pictures = 1;
    }

    void read(int32_t token) {
        switch (inside) {
            case Inside::Text:
                if (contains(rules.stop, token))
                    inside = Inside::Finished;
                else if (token == rules.begin)
                    begin_picture();
                break;
            case Inside::Picture:
                CHECK(is_code(rules, token));
                if (++codes == rules.codes) inside = rules.end.empty() ? Inside::Text : Inside::End;
                break;
            case Inside::End:
                CHECK(contains(rules.end, token));
                inside = contains(rules.stop, token) ? Inside::Finished : Inside::Text;
                break;
            case Inside::Finished:
                CHECK(!"tokens behind a stop id");
        }
    }
    void read(std::span<const int32_t> tokens) {
        for (int32_t token : tokens) read(token);
    }

private:
    void begin_picture() {
        inside = Inside::Picture;
        codes = 0;
        pictures++;
    }
};

using Inside = Reader::Inside;

Run image_run(const ModalityRules& rules, const ModalityPlan& plan, int codes_so_far,
              std::span<const int32_t> generated) {
    Run run;
    run.kind = Run::Kind::Image;
    run.tokens = rules.codes - codes_so_far;
    run.allowed = rules.image;
    run.chain = plan.picture_chain;
    run.guidance.emplace();
    if (!plan.guidance) return run;
    const size_t before = generated.size() - static_cast<size_t>(codes_so_far);
    run.guidance = plan.guidance(generated.first(before));
    for (std::vector<int32_t>& prompt : *run.guidance)
        prompt.insert(prompt.end(), generated.begin() + static_cast<std::ptrdiff_t>(before), generated.end());
    return run;
}

Run end_run(const ModalityRules& rules, const ModalityPlan& plan) {
    Run run;
    if (rules.end.size() == 1) {
        run.forced = rules.end;
        return run;
    }
    run.kind = Run::Kind::Text;
    run.tokens = 1;
    run.stop = rules.end;
    run.chain = plan.text_chain;
    run.guidance.emplace();
    return run;
}

// `begin` is drawable as long as a whole picture still fits behind it; from there on another run has to do without.
Run text_run(const ModalityRules& rules, const ModalityPlan& plan, int pictures, int room) {
    const int picture_tokens = 1 + rules.codes + (rules.end.empty() ? 0 : 1);
    Run run;
    run.kind = Run::Kind::Text;
    run.tokens = room;
    run.allowed = rules.text;
    run.stop = rules.stop;
    run.chain = plan.text_chain;
    run.guidance.emplace();
    if (pictures < plan.max_pictures && room >= picture_tokens) {
        run.tokens = room - picture_tokens + 1;
        run.stop.push_back(rules.begin);
    }
    return run;
}

}  // namespace

std::optional<Run> next_run(const ModalityRules& rules, const ModalityPlan& plan, std::span<const int32_t> generated) {
    Reader reader(rules, plan.start);
    reader.read(generated);
    const int room = plan.max_tokens - static_cast<int>(generated.size());
    const int end_tokens = rules.end.empty() ? 0 : 1;
    switch (reader.inside) {
        case Inside::Text:
            if (room <= 0) break;
            return text_run(rules, plan, reader.pictures, room);
        case Inside::Picture:
            if (room < rules.codes - reader.codes + end_tokens) break;
            return image_run(rules, plan, reader.codes, generated);
        case Inside::End:
            if (room <= 0) break;
            return end_run(rules, plan);
        case Inside::Finished:
            break;
    }
    return std::nullopt;
}

bool is_finished(const ModalityRules& rules, ModalityPlan::Start start, std::span<const int32_t> generated) {
    Reader reader(rules, start);
    reader.read(generated);
    return reader.inside == Inside::Finished;
}

std::vector<Segment> segments(const ModalityRules& rules, ModalityPlan::Start start,
                              std::span<const int32_t> generated) {
    std::vector<Segment> all;
    Reader reader(rules, start);
    int pictures = 0;  // that have a segment
    bool in_text = false;
    for (int32_t token : generated) {
        const Inside before = reader.inside;
        reader.read(token);
        if (before == Inside::Picture) {
            if (pictures < reader.pictures) all.push_back({Run::Kind::Image, {}});
            pictures = reader.pictures;
            in_text = false;
        } else if (before == Inside::Text && reader.inside == Inside::Text) {
            if (!in_text) all.push_back({Run::Kind::Text, {}});
            in_text = true;
        } else {
            continue;
        }
        all.back().ids.push_back(token);
    }
    return all;
}

std::vector<int32_t> pictures_of(const ModalityRules& rules, std::span<const int32_t> tokens,
                                 std::span<const int32_t> others) {
    std::vector<int32_t> kept;
    for (int32_t token : tokens)
        if (is_code(rules, token) || token == rules.begin || contains(rules.end, token) ||
            std::find(others.begin(), others.end(), token) != others.end())
            kept.push_back(token);
    return kept;
}

}  // namespace leon
