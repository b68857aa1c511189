// Numbers as JSON and as a table; see report.h. The page is report_page.cpp.
#include "training/evaluation/report.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/format.h"

namespace leon {
namespace {

using nlohmann::ordered_json;

double rounded(double value) {
    return std::round(value * 1e6) / 1e6;
}

ordered_json json_of(const Score& score) {
    if (score.rows == 0) return {{"value", nullptr}, {"interval", nullptr}, {"rows", 0}};
    return {
        {"value", rounded(score.value)}, {"interval", {rounded(score.low), rounded(score.high)}}, {"rows", score.rows}};
}

ordered_json json_of(const NamedScore& named) {
    ordered_json json = {{"name", named.name}};
    json.update(json_of(named.score));
    if (named.tokenizer) json["tokenizer"] = json_of(*named.tokenizer);
    if (named.held_out_scenes) json["held_out_compositions"] = json_of(*named.held_out_scenes);
    if (named.goal) json["goal"] = *named.goal;
    return json;
}

ordered_json json_of(const Marks& marks) {
    ordered_json json = ordered_json::object();
    for (const Mark& mark : marks) json[mark.name] = {rounded(mark.part), rounded(mark.whole)};
    return json;
}
// Null where the defaults were left as they are.
ordered_json given(const std::optional<float>& setting) {
    return setting ? ordered_json(*setting) : ordered_json();
}

ordered_json json_of(const RowOutcome& row) {
    ordered_json json = {{"seed", row.seed}};
    if (!row.group.empty()) json["group"] = row.group;
    json["held_out_composition"] = row.held_out_scene;
    if (!row.fits) json["fits"] = false;
    json["asked"] = row.asked;
    json["right"] = row.right;
    json["seen"] = row.seen;
    json["is_right"] = row.is_right;
    json["marks"] = json_of(row.marks);
    if (!row.tokenizer.empty()) json["tokenizer"] = json_of(row.tokenizer);
    return json;
}

ordered_json json_of(const Section& section, ScoreDetail detail) {
    ordered_json json = {{"name", section.name}, {"rows", section.rows.size()}, {"right", section.right()}};
    json["seconds"] = rounded(section.seconds);
    size_t too_long = 0;
    for (const RowOutcome& row : section.rows) too_long += !row.fits;
    if (too_long > 0) json["do_not_fit_the_context"] = too_long;
    if (section.against_defaults) json["against_defaults"] = json_of(*section.against_defaults);
    json["scores"] = ordered_json::array();
    for (const NamedScore& named : section.scores()) json["scores"].push_back(json_of(named));
    for (const std::string& group : section.groups())
        if (section.kind) json["groups"][group] = json_of(section.group_score(group));
    if (detail == ScoreDetail::Each) {
        json["each"] = ordered_json::array();
        for (const RowOutcome& row : section.rows) json["each"].push_back(json_of(row));
    }
    return json;
}

std::string interval_text(const Score& score, Scale scale) {
    if (score.rows == 0) return "none to score";
    return text_of(score.value, scale) + " (" + text_of(score.low, scale) + " to " + text_of(score.high, scale) + ")";
}

std::string line_of(const std::string& section, const NamedScore& named) {
    std::string line = format("%-24s %-18s %-28s %5d", section.c_str(), named.name.c_str(),
                              interval_text(named.score, named.scale).c_str(), named.score.rows);
    line += format("  %-9s", named.tokenizer ? text_of(named.tokenizer->value, named.scale).c_str() : "");
    line += format("  %-9s", named.held_out_scenes ? text_of(named.held_out_scenes->value, named.scale).c_str() : "");
    if (named.goal)
        line += "  " + text_of(*named.goal, named.scale) + (named.score.value >= *named.goal ? "" : "  missed");
    while (line.ends_with(' ')) line.pop_back();
    return line + "\n";
}

std::string lines_of(const Section& section) {
    std::string lines;
    for (const NamedScore& named : section.scores()) {
        lines += line_of(lines.empty() ? section.name : "", named);
        if (!section.kind || named.name != headline_of(*section.kind).mark) continue;
        for (const std::string& group : section.groups()) {
            NamedScore of_group = section.group_score(group);
            of_group.name = "  " + group;
            lines += line_of("", of_group);
        }
    }
    return lines;
}

}  // namespace

std::string report_json(const StorybookReport& report, ScoreDetail detail) {
    ordered_json json = {{"kind", "storybook"},
                         {"model", report.model},
                         {"rows_per_kind", report.options.rows},
                         {"first_seed", report.options.first_seed},
                         {"compositions", report.options.compositions == Compositions::HeldOut ? "held out" : "any"},
                         {"seed", report.options.seed},
                         {"guidance", given(report.options.guidance)},
                         {"image_guidance", given(report.options.image_guidance)},
                         {"temperature", given(report.options.temperature)},
                         {"best_of", given(report.options.best_of)},
                         {"sections", ordered_json::array()}};
    ordered_json definitions = ordered_json::object();
    const auto add = [&](const std::vector<Section>& sections, const char* where) {
        for (const Section& section : sections) {
            json[where].push_back(json_of(section, detail));
            for (const NamedScore& named : section.scores()) definitions[named.name] = definition_of(named.name).rule;
        }
    };
    add(report.sections, "sections");
    add(report.ablations, "ablations");
    definitions["interval"] =
        "95%: Wilson's for shares of rows, else 1.96 standard errors of a ratio of sums over rows";
    definitions["tokenizer"] = "the same score of the right pictures after the model's own tokenizer";
    definitions["held_out_compositions"] =
        "of the rows alone whose first two objects and place training never shows together";
    definitions["against_defaults"] = "share of rows that are right, less the defaults'; paired, the same rows";
    json["definitions"] = std::move(definitions);
    return json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string report_table(const StorybookReport& report) {
    std::string table = format("%-24s %-18s %-28s %5s  %-9s  %-9s  %s\n", "rows", "score", "value (95% interval)", "n",
                               "tokenizer", "held out", "goal");
    for (const Section& section : report.sections) table += lines_of(section);
    if (report.ablations.empty()) return table;
    table += format("\n%-52s %-28s %s\n", "ablation", "rows right", "against the defaults, paired");
    for (const Section& section : report.ablations) {
        std::vector<Mark> right;
        for (const RowOutcome& row : section.rows) right.push_back(yes_or_no("right", row.is_right));
        std::string line = format("%-52s %-28s ", section.name.c_str(),
                                  interval_text(score_of(right, Scale::Share), Scale::Share).c_str());
        if (section.against_defaults) {
            const Score& d = *section.against_defaults;
            line += format("%+.1f (%+.1f to %+.1f) points", 100 * d.value, 100 * d.low, 100 * d.high);
        }
        while (line.ends_with(' ')) line.pop_back();
        table += line + "\n";
    }
    return table;
}

}  // namespace leon
