// A storybook report for programs, for a terminal, and for people who want to see the pictures.
#pragma once

#include <string>

#include "tasks/evaluation.h"
#include "training/evaluation/evaluation.h"

namespace leon {

// {"kind": "storybook", "model", "rows_per_kind", "first_seed", "compositions", "seed", "sections": [{"name", "rows",
//  "right", "seconds",
//  "scores": [{"name", "value", "interval": [low, high], "rows", "tokenizer", "held_out_compositions", "goal"}],
//  "groups": {...}}], "ablations": [...], "definitions": {...}}; with ScoreDetail::Each every section has "each": a
//  row's seed, what was asked, right and seen, its marks as [part, whole]. Shares and overlaps are from 0 to 1.
std::string report_json(const StorybookReport& report, ScoreDetail detail);

// A line a score: section, name, value and interval, what the tokenizer allows, held-out compositions alone, goal.
std::string report_table(const StorybookReport& report);

// One self-contained page: the table of every section, rows that came out right and rows that did not. Returns its
// path, FOLDER/index.html; makes the folder if need be.
std::string write_report_page(const StorybookReport& report, const std::string& folder);

}  // namespace leon
