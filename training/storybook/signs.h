// Signs: a board with a word on it, in a place; and the reader that finds the word again.
//
// Letters are drawn to survive a picture tokenizer of 8 x 8 pixels a code: black on white, in cells 16 pixels wide
// whose corners lie on the grid of codes. A letter is then always the same two by two codes (two by three in the 3x5
// font), wherever it stands, so that a model learns letters rather than offsets. Eight letters are as wide as the
// picture.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "training/storybook/staging.h"

namespace leon {

enum class SignFont { Bold8x8, Block3x5, Thin5x7 };
constexpr int SIGN_FONTS = 3;
constexpr int SHORTEST_WORD = 3, LONGEST_WORD = 8;
constexpr int SIGN_GRID = 8;       // what boards and letters are aligned to
constexpr int LETTER_WIDTH = 16;   // of a cell
int letter_height(SignFont font);  // of a cell: 16, and 24 for Block3x5

struct Sign {
    std::string word;  // SHORTEST_WORD to LONGEST_WORD letters, A to Z
    SignFont font = SignFont::Bold8x8;
    int x = 0, y = 0;  // corner of the first letter's cell, multiples of SIGN_GRID
};

// The board reaches one grid step beyond the letters (at the sides as far as the picture does), and two posts go from
// it to the ground.
struct SignPicture {
    Picture picture;
    std::vector<uint8_t> board;  // [SCENE_SIZE, SCENE_SIZE]: 1 on the board
};
SignPicture draw_sign(const Background& background, const Sign& sign);

// A word, a font (mostly Block3x5) and where the board stands: near the middle of the picture's width.
// Half of the words are of a list of some 400, the others are letters by chance. Training never sees a word that
// held_out_word() names, evaluation no other.
Sign draw_sign_words(Stage& stage);
bool held_out_word(std::string_view word);  // a tenth, by hash

struct SignReading {
    Sign sign;
    float likeness = 0;  // mean correlation of its letters with the font's, at most 1
};
// The likeliest word of a picture by matching all letters of all fonts at every second pixel, in rows of cells. Nothing
// if no three cells side by side look like letters.
std::optional<SignReading> read_sign(const Picture& picture);
std::string word_of(const Picture& picture);  // empty if there is none

}  // namespace leon
