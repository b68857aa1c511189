// What the files that make rows share; nobody else includes it.
#pragma once

#include "training/storybook/rows.h"

namespace leon {

RowPicture picture_of(const Scene& scene);  // its objects matter

// Each fills what it is about into a row that has its kind, seed and task.
void make_retrieve(Stage& stage, Row& row);  // retrieval_rows.cpp
void make_retrieve_novel(Stage& stage, Row& row);
void make_retrieve_rare(Stage& stage, Row& row);
void make_describe_novel(Stage& stage, Row& row);
void make_ask_novel(Stage& stage, Row& row);

}  // namespace leon
