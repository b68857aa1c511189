// Drawing signs and reading them; see signs.h.
#include "training/storybook/signs.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/check.h"
#include "tasks/maps.h"
#include "training/storybook/sign_fonts.h"
#include "training/storybook/sign_words.h"

namespace leon {
namespace {

constexpr int LETTERS = 26;

struct FontFacts {
    SignFont font;
    int width, height, scale;          // of a glyph in dots, and pixels a dot
    std::span<const char* const> art;  // rows of glyphs side by side, as many glyphs in each as fit
};
constexpr FontFacts FONTS[SIGN_FONTS] = {
    {SignFont::Bold8x8, 7, 8, 2, BOLD_8X8},
    {SignFont::Block3x5, 3, 5, 4, BLOCK_3X5},
    {SignFont::Thin5x7, 5, 7, 2, THIN_5X7},
};
// Cut by the grid of codes, the alphabet is 13 different squares of 8 x 8 pixels in Block3x5, 48 in Bold8x8 and 39 in
// Thin5x7. The fewer, the more surely a codebook has each.
constexpr double BLOCK_SHARE = .8, BOLD_SHARE = .15;

constexpr std::array<uint8_t, 3> WHITE = {252, 252, 248}, INK = {16, 16, 20}, WOOD = {132, 92, 56};
constexpr int RIM = 3, POST = 6;  // pixels of wood along the board's upper and lower edge; width of a post

const FontFacts& facts_of(SignFont font) {
    return FONTS[static_cast<size_t>(font)];
}

bool has_ink(const FontFacts& font, char letter, int dot_x, int dot_y) {
    const int number = letter - 'A';
    const int per_row = (static_cast<int>(std::string_view(font.art[0]).size()) + 1) / (font.width + 1);
    const char* row = font.art[static_cast<size_t>(number / per_row * font.height + dot_y)];
    return row[number % per_row * (font.width + 1) + dot_x] == '#';
}

// Ink at pixel (x, y) of a letter's cell.
bool has_ink_at(const FontFacts& font, char letter, int x, int y) {
    const int dot_x = x / font.scale, dot_y = y / font.scale;
    return dot_x < font.width && dot_y < font.height && has_ink(font, letter, dot_x, dot_y);
}

void fill(Picture& picture, int x0, int y0, int x1, int y1, const std::array<uint8_t, 3>& colour) {
    for (int y = std::max(y0, 0); y < std::min(y1, picture.height); y++)
        for (int x = std::max(x0, 0); x < std::min(x1, picture.width); x++)
            std::copy(colour.begin(), colour.end(), picture.at(x, y));
}

std::vector<std::string> words_of_list() {
    std::vector<std::string> words(1);
    for (const char* c = SIGN_WORDS; *c; c++) {
        if (*c == ' ')
            words.emplace_back();
        else
            words.back() += *c;
    }
    return words;
}

// --- reading ----------------------------------------------------------------------------------------------------

// Pictures are read at half their size: all dots are two or four pixels wide, so no letter loses by it.
constexpr int COARSENESS = 2, COARSE_WIDTH = LETTER_WIDTH / COARSENESS, MOST_ROWS = 24 / COARSENESS;
constexpr float LEAST_CONTRAST = 24;    // standard deviation of a cell with a letter in it, in grey levels
constexpr float LEAST_LIKENESS = .55f;  // of a letter
constexpr float LEAST_OF_WORD = .78f;   // mean of a word: scenes reach .76 by chance, signs blurred twice keep .82
constexpr float LEAST_BLANK = .35f;  // brightness of the space behind a letter, between its darkest and lightest pixel
constexpr float LEAST_OF_MEAN = .75f;  // a word's first and last letter are at least so much as likely as the others

// A letter's cell in brightness, without its mean, of length 1.
using Pattern = std::vector<float>;  // [letter_height / COARSENESS, COARSE_WIDTH]

std::vector<Pattern> patterns_of(const FontFacts& font) {
    const int rows = letter_height(font.font) / COARSENESS;
    std::vector<Pattern> patterns;
    for (char letter = 'A'; letter <= 'Z'; letter++) {
        Pattern& pattern = patterns.emplace_back();
        double sum = 0, squares = 0;
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < COARSE_WIDTH; x++)
                sum += pattern.emplace_back(has_ink_at(font, letter, x * COARSENESS, y * COARSENESS) ? -1.f : 0.f);
        for (float& value : pattern) {
            value -= static_cast<float>(sum / static_cast<double>(pattern.size()));
            squares += value * value;
        }
        for (float& value : pattern) value /= static_cast<float>(std::sqrt(squares));
    }
    return patterns;
}

const std::vector<std::vector<Pattern>>& all_patterns() {
    static const std::vector<std::vector<Pattern>> of_fonts = [] {
        std::vector<std::vector<Pattern>> patterns;
        for (const FontFacts& font : FONTS) patterns.push_back(patterns_of(font));
        return patterns;
    }();
    return of_fonts;
}

struct LetterGuess {
    char letter = 0;
    float likeness = 0;  // 0: no letter
};

class Reader {
public:
    explicit Reader(const Picture& picture) : width_(picture.width / COARSENESS), height_(picture.height / COARSENESS) {
        const std::vector<uint8_t> grey = grey_levels(picture);
        const auto level = [&](int x, int y) {
            return static_cast<float>(
                grey[static_cast<size_t>(y) * static_cast<size_t>(picture.width) + static_cast<size_t>(x)]);
        };
        for (int y = 0; y < height_ * COARSENESS; y += COARSENESS)
            for (int x = 0; x < width_ * COARSENESS; x += COARSENESS)
                levels_.push_back((level(x, y) + level(x + 1, y) + level(x, y + 1) + level(x + 1, y + 1)) / 4);
    }

    std::optional<SignReading> read() {
        std::optional<SignReading> best;
        float best_score = 0;
        for (const FontFacts& font : FONTS) {
            const std::vector<Pattern>& patterns = all_patterns()[static_cast<size_t>(font.font)];
            for (int y = 0; y + letter_height(font.font) / COARSENESS <= height_; y++)
                for (int phase = 0; phase < COARSE_WIDTH; phase++) {
                    std::vector<LetterGuess> row;
                    for (int x = phase; x + COARSE_WIDTH <= width_; x += COARSE_WIDTH)
                        row.push_back(guess(font, patterns, x, y));
                    take_words(font, row, phase, y, best, best_score);
                }
        }
        return best;
    }

private:
    LetterGuess guess(const FontFacts& font, const std::vector<Pattern>& patterns, int x0, int y0) const {
        const int rows = letter_height(font.font) / COARSENESS, pixels = rows * COARSE_WIDTH;
        std::array<float, MOST_ROWS * COARSE_WIDTH> cell;
        float sum = 0, squares = 0, darkest = 255, lightest = 0, blank = 0;
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < COARSE_WIDTH; x++) {
                const float value =
                    levels_[static_cast<size_t>(y0 + y) * static_cast<size_t>(width_) + static_cast<size_t>(x0 + x)];
                cell[static_cast<size_t>(y * COARSE_WIDTH + x)] = value;
                sum += value;
                squares += value * value;
                darkest = std::min(darkest, value);
                lightest = std::max(lightest, value);
                if (x == COARSE_WIDTH - 1) blank += value;  // in every font the space behind the letter
            }
        const float mean = sum / static_cast<float>(pixels);
        const float variance = squares / static_cast<float>(pixels) - mean * mean;
        if (variance < LEAST_CONTRAST * LEAST_CONTRAST) return {};
        if (blank / static_cast<float>(rows) < darkest + LEAST_BLANK * (lightest - darkest)) return {};
        LetterGuess best;
        for (int letter = 0; letter < LETTERS; letter++) {
            const Pattern& pattern = patterns[static_cast<size_t>(letter)];
            std::array<float, COARSE_WIDTH> products{};  // by columns, so that they are summed side by side
            for (size_t i = 0; i < pattern.size(); i += COARSE_WIDTH)
                for (size_t x = 0; x < COARSE_WIDTH; x++) products[x] += pattern[i + x] * cell[i + x];
            float product = 0;
            for (float of_column : products) product += of_column;
            const float likeness = product / std::sqrt(variance * static_cast<float>(pixels));
            if (likeness > best.likeness) best = {static_cast<char>('A' + letter), likeness};
        }
        return best;
    }

    // Runs of letters in a row of cells, without what only happens to stand at their ends.
    static void take_words(const FontFacts& font, const std::vector<LetterGuess>& row, int phase, int y,
                           std::optional<SignReading>& best, float& best_score) {
        for (size_t begin = 0; begin < row.size(); begin++) {
            if (row[begin].likeness < LEAST_LIKENESS) continue;
            size_t first = begin, last = begin;
            while (last < row.size() && row[last].likeness >= LEAST_LIKENESS) last++;
            begin = last;
            const auto mean = [&](size_t from, size_t to) {
                float sum = 0;
                for (size_t i = from; i < to; i++) sum += row[i].likeness;
                return to > from ? sum / static_cast<float>(to - from) : 0;
            };
            while (last - first > 1 && row[first].likeness < LEAST_OF_MEAN * mean(first + 1, last)) first++;
            while (last - first > 1 && row[last - 1].likeness < LEAST_OF_MEAN * mean(first, last - 1)) last--;
            const float length = static_cast<float>(last - first), likeness = mean(first, last);
            const float score = length * (likeness - .5f);
            if (length < SHORTEST_WORD || likeness < LEAST_OF_WORD || score <= best_score) continue;
            best_score = score;
            best = SignReading{
                {"", font.font, COARSENESS * phase + static_cast<int>(first) * LETTER_WIDTH, COARSENESS * y}, likeness};
            for (size_t i = first; i < last; i++) best->sign.word += row[i].letter;
        }
    }

    const int width_, height_;   // half the picture's
    std::vector<float> levels_;  // [height, width] grey
};

}  // namespace

int letter_height(SignFont font) {
    return font == SignFont::Block3x5 ? 24 : 16;
}

SignPicture draw_sign(const Background& background, const Sign& sign) {
    const FontFacts& font = facts_of(sign.font);
    const int length = static_cast<int>(sign.word.size()), height = letter_height(sign.font);
    CHECK(length >= SHORTEST_WORD && length <= LONGEST_WORD && sign.x % SIGN_GRID == 0 && sign.y % SIGN_GRID == 0);
    CHECK(sign.x >= 0 && sign.x + length * LETTER_WIDTH <= SCENE_SIZE && sign.y >= SIGN_GRID &&
          sign.y + height + SIGN_GRID <= SCENE_SIZE);
    SignPicture out{background.picture, std::vector<uint8_t>(static_cast<size_t>(SCENE_SIZE) * SCENE_SIZE)};
    const int x0 = std::max(sign.x - SIGN_GRID, 0), y0 = sign.y - SIGN_GRID;
    const int x1 = std::min(sign.x + length * LETTER_WIDTH + SIGN_GRID, SCENE_SIZE), y1 = sign.y + height + SIGN_GRID;
    const int foot = std::min(std::max(background.shore + SCENE_SIZE / 8, y1 + SIGN_GRID), SCENE_SIZE);
    for (int post : {x0 + SIGN_GRID, x1 - SIGN_GRID - POST}) fill(out.picture, post, y1, post + POST, foot, WOOD);
    fill(out.picture, x0, y0, x1, y1, WHITE);
    fill(out.picture, x0, y0, x1, y0 + RIM, WOOD);
    fill(out.picture, x0, y1 - RIM, x1, y1, WOOD);
    for (int i = 0; i < length; i++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < LETTER_WIDTH; x++)
                if (has_ink_at(font, sign.word[static_cast<size_t>(i)], x, y))
                    std::copy(INK.begin(), INK.end(), out.picture.at(sign.x + i * LETTER_WIDTH + x, sign.y + y));
    for (int y = y0; y < y1; y++)
        std::fill_n(&out.board[static_cast<size_t>(y) * SCENE_SIZE + static_cast<size_t>(x0)], x1 - x0, uint8_t{1});
    return out;
}

Sign draw_sign_words(Stage& stage) {
    static const std::vector<std::string> WORDS = words_of_list();
    PythonRandom& random = stage.random();
    Sign sign;
    do {
        if (stage.chance(.5)) {
            sign.word = random.choice(WORDS);
        } else {
            sign.word.assign(static_cast<size_t>(random.randint(SHORTEST_WORD, LONGEST_WORD)), 'A');
            for (char& letter : sign.word) letter = static_cast<char>('A' + random.below(LETTERS));
        }
    } while (held_out_word(sign.word) != stage.evaluates());
    const double font = random.random();
    sign.font = font < BLOCK_SHARE                ? SignFont::Block3x5
                : font < BLOCK_SHARE + BOLD_SHARE ? SignFont::Bold8x8
                                                  : SignFont::Thin5x7;
    const int width = static_cast<int>(sign.word.size()) * LETTER_WIDTH, middle = (SCENE_SIZE - width) / 2;
    const int room = std::clamp(middle / SIGN_GRID - 1, 0, 1);  // grid steps to either side
    sign.x = middle + random.randint(-room, room) * SIGN_GRID;
    sign.y = random.randint(4, 7) * SIGN_GRID;
    return sign;
}

bool held_out_word(std::string_view word) {
    uint64_t hash = 0;
    for (char c : word) hash = mixed(hash, static_cast<uint8_t>(c));
    return hash % 10 == 0;
}

std::optional<SignReading> read_sign(const Picture& picture) {
    return Reader(picture).read();
}

std::string word_of(const Picture& picture) {
    const std::optional<SignReading> reading = read_sign(picture);
    return reading ? reading->sign.word : "";
}

}  // namespace leon
