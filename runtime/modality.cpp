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
    // End: one of rules.end must follow. Height, Width, NewLine: with a grid only.
    enum class Inside { Text, Height, Width, Row, NewLine, End, Finished };

    const ModalityRules& rules;
    Inside inside;
    int pictures = 0;  // begun
    // Of the open picture, or the last one:
    int rows = 0, columns = 0;  // in codes; without a grid, one row of them all
    int row = 0, column = 0;    // of the next code
    size_t begun_at = 0;        // what was read when it began, its begin id included
    size_t length = 0;          // read so far

    Reader(const ModalityRules& rules, ModalityPlan::Start start) : rules(rules), inside(Inside::Text) {
        if (rules.grid)
            CHECK(rules.grid->most_units > 0 && rules.grid->codes_per_unit > 0);
        else
            CHECK(rules.codes > 0);
        if (start == ModalityPlan::Start::Picture) begin_picture();
    }

    void read(int32_t token) {
        length++;
        switch (inside) {
            case Inside::Text:
                if (contains(rules.stop, token))
                    inside = Inside::Finished;
                else if (token == rules.begin)
                    begin_picture();
                break;
            case Inside::Height:
                rows = side(token);
                inside = Inside::Width;
                break;
            case Inside::Width:
                columns = side(token);
                inside = Inside::Row;
                break;
            case Inside::Row:
                CHECK(is_code(rules, token));
                if (++column == columns) end_row();
                break;
            case Inside::NewLine:
                CHECK(token == rules.grid->new_line);
                row++;
                column = 0;
                inside = row < rows ? Inside::Row : after_picture();
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

    // Of the open picture with its end, once its size is known.
    int64_t tokens_left() const {
        const int64_t end = rules.end.empty() ? 0 : 1, of_row = columns + (rules.grid ? 1 : 0);
        return (rows - row) * of_row - column + end;
    }

private:
    void begin_picture() {
        inside = rules.grid ? Inside::Height : Inside::Row;
        rows = row = column = 0;
        columns = 0;
        if (!rules.grid) {
            rows = 1;
            columns = rules.codes;
        }
        begun_at = length;
        pictures++;
    }
    int side(int32_t token) const {
        const int64_t units = int64_t{token} - rules.grid->zero;
        CHECK(units >= 1 && units <= rules.grid->most_units);
        return static_cast<int>(units) * rules.grid->codes_per_unit;
    }
    void end_row() {
        if (rules.grid) {
            inside = Inside::NewLine;
        } else {
            row++;
            column = 0;
            inside = after_picture();
        }
    }
    Inside after_picture() const { return rules.end.empty() ? Inside::Text : Inside::End; }
};

using Inside = Reader::Inside;

// Of a picture of so many units with its end, behind its begin id.
int64_t picture_tokens(const ModalityRules& rules, PictureUnits units) {
    const int64_t end = rules.end.empty() ? 0 : 1;
    if (!rules.grid) return rules.codes + end;
    const int64_t height = int64_t{units.height} * rules.grid->codes_per_unit;
    const int64_t width = int64_t{units.width} * rules.grid->codes_per_unit;
    return 2 + height * (width + 1) + end;
}

Run forced_run(std::vector<int32_t> ids) {
    Run run;
    run.forced = std::move(ids);
    return run;
}

Run drawn_run(const ModalityPlan& plan, int tokens) {
    Run run;
    run.kind = Run::Kind::Text;
    run.tokens = tokens;
    run.chain = plan.text_chain;
    run.guidance.emplace();
    return run;
}

// One of the two counts: the plan's, or drawn among those with which the picture fits into `room`. Nothing: none does.
std::optional<Run> count_run(const Reader& reader, const ModalityPlan& plan, int room) {
    const PictureGrid& grid = *reader.rules.grid;
    const bool is_height = reader.inside == Inside::Height;
    const auto fits = [&](int units) {
        const PictureUnits picture = is_height ? PictureUnits{units, plan.units ? plan.units->width : 1}
                                               : PictureUnits{reader.rows / grid.codes_per_unit, units};
        return picture_tokens(reader.rules, picture) - (is_height ? 0 : 1) <= room;
    };
    if (plan.units) {
        const int units = is_height ? plan.units->height : plan.units->width;
        CHECK(units >= 1 && units <= grid.most_units);
        if (!fits(units)) return std::nullopt;
        return forced_run({grid.zero + units});
    }
    int most = 0;
    while (most < grid.most_units && fits(most + 1)) most++;
    if (most == 0) return std::nullopt;
    Run run = drawn_run(plan, 1);
    run.allowed = {{grid.zero + 1, grid.zero + most}};
    return run;
}

// The rest of a row, which is all of a picture where there is no grid.
Run row_run(const Reader& reader, const ModalityPlan& plan, std::span<const int32_t> generated) {
    Run run;
    run.kind = Run::Kind::Image;
    run.tokens = reader.columns - reader.column;
    run.allowed = reader.rules.image;
    run.chain = plan.picture_chain;
    // Streams go on from row to row, unless this is the first run of codes that the generation asks for: what it knew
    // before may have ended with a row, whose new-line then was all that came between.
    const bool is_first = reader.row == 0 || reader.column > 0 || reader.length <= plan.known_tokens + size_t{1};
    if (!is_first) return run;
    run.guidance.emplace();
    if (!plan.guidance) return run;
    run.guidance = plan.guidance(generated.first(reader.begun_at));
    for (std::vector<int32_t>& prompt : *run.guidance)
        prompt.insert(prompt.end(), generated.begin() + static_cast<std::ptrdiff_t>(reader.begun_at), generated.end());
    return run;
}

Run end_run(const ModalityRules& rules, const ModalityPlan& plan) {
    if (rules.end.size() == 1) return forced_run(rules.end);
    Run run = drawn_run(plan, 1);
    run.stop = rules.end;
    return run;
}

// `begin` is drawable as long as a whole picture still fits behind it; from there on another run has to do without.
Run text_run(const ModalityRules& rules, const ModalityPlan& plan, int pictures, int room) {
    const int64_t least = 1 + picture_tokens(rules, plan.units.value_or(PictureUnits{1, 1}));
    Run run = drawn_run(plan, room);
    run.allowed = rules.text;
    run.stop = rules.stop;
    if (pictures < plan.max_pictures && room >= least) {
        run.tokens = static_cast<int>(room - least + 1);
        run.stop.push_back(rules.begin);
    }
    return run;
}

}  // namespace

std::optional<Run> next_run(const ModalityRules& rules, const ModalityPlan& plan, std::span<const int32_t> generated) {
    Reader reader(rules, plan.start);
    reader.read(generated);
    const int room = plan.max_tokens - static_cast<int>(generated.size());
    switch (reader.inside) {
        case Inside::Text:
            if (room <= 0) break;
            return text_run(rules, plan, reader.pictures, room);
        case Inside::Height:
        case Inside::Width:
            return count_run(reader, plan, room);
        case Inside::Row:
            if (room < reader.tokens_left()) break;
            return row_run(reader, plan, generated);
        case Inside::NewLine:
            if (room < reader.tokens_left()) break;
            return forced_run({rules.grid->new_line});
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
        if (before == Inside::Row) {
            if (pictures < reader.pictures) all.push_back({Run::Kind::Image, {}});
            pictures = reader.pictures;
            in_text = false;
            if (rules.grid) {
                all.back().height = reader.rows;
                all.back().width = reader.columns;
            }
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
    const auto is_of_grid = [&](int32_t token) {
        return rules.grid && (token == rules.grid->new_line ||
                              (token > rules.grid->zero && token - rules.grid->zero <= rules.grid->most_units));
    };
    for (int32_t token : tokens)
        if (is_code(rules, token) || token == rules.begin || contains(rules.end, token) || is_of_grid(token) ||
            std::find(others.begin(), others.end(), token) != others.end())
            kept.push_back(token);
    return kept;
}

}  // namespace leon
