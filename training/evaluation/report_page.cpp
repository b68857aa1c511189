// The report as a page; see report.h.
#include <algorithm>

#include "tasks/page.h"
#include "training/evaluation/report.h"

namespace leon {
namespace {

constexpr const char* STYLE = R"(<style>
table{border-collapse:collapse;font-size:14px}td,th{padding:.1rem .8rem .1rem 0;text-align:left;vertical-align:top}
.strip{display:flex;gap:4px}.strip div{flex:1;min-width:0}.strip small{display:block;text-align:center}
.right{border-left:4px solid #4a8}.wrong{border-left:4px solid #c54}figure{padding-left:.6rem}
</style>
)";

std::string cell(const std::string& text) {
    return "<td>" + html_escaped(text) + "</td>";
}

std::string row_of(const NamedScore& named, const std::string& name) {
    const auto value = [&](const std::optional<Score>& score) {
        return score ? text_of(score->value, named.scale) : std::string();
    };
    std::string row = "<tr>" + cell(name) + cell(value(named.score));
    row += cell(text_of(named.score.low, named.scale) + " to " + text_of(named.score.high, named.scale));
    row += cell(std::to_string(named.score.rows)) + cell(value(named.tokenizer)) + cell(value(named.held_out_scenes));
    return row + cell(named.goal ? text_of(*named.goal, named.scale) : "") + "</tr>\n";
}

std::string table_of(const Section& section) {
    std::string table =
        "<table><tr><th>score<th>value<th>95% interval<th>n<th>tokenizer<th>held-out compositions<th>goal</tr>\n";
    for (const NamedScore& named : section.scores()) table += row_of(named, named.name);
    for (const std::string& group : section.groups())
        if (section.kind) {
            const NamedScore named = section.group_score(group);
            table += row_of(named, named.name + ": " + group);
        }
    return table + "</table>\n";
}

std::string picture_of(const std::optional<Picture>& picture, const char* what) {
    if (!picture) return "";
    return "<div>" + html_image(*picture, what) + "<small>" + what + "</small></div>";
}

std::string figure_of(const Section& section, const Exhibit& exhibit) {
    const RowOutcome& row = section.rows[exhibit.row];
    std::string figure = std::string("<figure class=") + (row.is_right ? "right" : "wrong") + "><div class=strip>";
    figure += picture_of(exhibit.given, "given") + picture_of(exhibit.right, "right") +
              picture_of(exhibit.drawn, section.kind ? "drawn" : "decoded");
    figure += "</div><figcaption><b>" + html_escaped(row.asked) + "</b><dl>";
    const auto line = [&](const char* name, const std::string& text) {
        if (!text.empty()) figure += std::string("<dt>") + name + "</dt><dd>" + html_escaped(text) + "</dd>";
    };
    if (row.right != row.asked) line("right", row.right);
    line("seen", row.seen);
    line("seed", std::to_string(row.seed));
    return figure + "</dl></figcaption></figure>\n";
}

}  // namespace

std::string write_report_page(const StorybookReport& report, const std::string& folder) {
    make_folder(folder);
    std::string page = html_head("leon: the storybook world, row by row") + STYLE;
    page +=
        "<h1>The storybook world, row by row</h1>\n<p>Model: " + html_escaped(report.model) + ". " +
        std::to_string(report.options.rows) + " rows of each kind from seed " +
        std::to_string(report.options.first_seed) +
        (report.options.compositions == Compositions::HeldOut ? ", of compositions that training never shows" : "") +
        ", none of which training has seen; leon's default settings, one candidate. Shown are the first rows that "
        "came out right (green) and the first that did not (red): nothing is picked.</p>\n";
    for (const Section& section : report.sections) {
        page += "<h2>" + html_escaped(section.name) + "</h2>\n" + table_of(section) + "<div class=grid>\n";
        for (const bool is_right : {true, false})
            for (const Exhibit& exhibit : section.exhibits)
                if (section.rows[exhibit.row].is_right == is_right) page += figure_of(section, exhibit);
        page += "</div>\n";
    }
    if (!report.ablations.empty()) {
        page += "<h2>Ablations</h2>\n<table><tr><th>settings<th>rows right<th>against the defaults, paired</tr>\n";
        for (const Section& section : report.ablations) {
            page += "<tr>" + cell(section.name) +
                    cell(std::to_string(section.right()) + " of " + std::to_string(section.rows.size()));
            const std::optional<Score>& d = section.against_defaults;
            page += cell(d ? text_of(d->value, Scale::Share) + " (" + text_of(d->low, Scale::Share) + " to " +
                                 text_of(d->high, Scale::Share) + ")"
                           : "") +
                    "</tr>\n";
        }
        page += "</table>\n";
    }
    page += "<h2>Rules</h2>\n<dl>";
    std::vector<std::string> said;
    for (const Section& section : report.sections)
        for (const NamedScore& named : section.scores()) {
            if (std::find(said.begin(), said.end(), named.name) != said.end()) continue;
            said.push_back(named.name);
            page += "<dt>" + html_escaped(named.name) + "</dt><dd>" + html_escaped(definition_of(named.name).rule) +
                    "</dd>\n";
        }
    std::string path = folder + "/index.html";
    write_text(path, page + "</dl></html>\n");
    return path;
}

}  // namespace leon
