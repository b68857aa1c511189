// What tests of the storybook world share: one world for all of them, and how rows are read.
#pragma once

#include <cctype>
#include <set>
#include <string>

#include "training/storybook/rows.h"

namespace leon {

inline const World& world() {
    static const World shared;
    return shared;
}

inline Row evaluation_row(RowKind kind, uint64_t number) {
    return make_row(world(), kind, number);
}
inline Row training_row(RowKind kind, uint64_t number) {
    return make_row(world(), kind, FIRST_TRAINING_SEED + number);
}

inline std::set<std::string> names_of(const Scene& scene) {
    std::set<std::string> names;
    for (const SceneObject& object : scene.objects) names.insert(object.kind.name);
    return names;
}

// Whole, not inside a longer word.
inline bool has_word(const std::string& text, const std::string& word) {
    const auto is_letter = [&](size_t i) {
        return i < text.size() && std::isalpha(static_cast<unsigned char>(text[i]));
    };
    for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1))
        if ((at == 0 || !is_letter(at - 1)) && !is_letter(at + word.size())) return true;
    return false;
}

}  // namespace leon
