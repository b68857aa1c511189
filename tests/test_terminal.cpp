// What the command line draws, read back by a small terminal: the pixels shown are the picture's, a frame replaces the
// one before, and nothing is left behind or drawn where it is not wanted.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/terminal.h"

#include "tests/testing.h"

namespace leon {
namespace {

struct Cell {
    std::string text = " ";
    std::string foreground, background;  // the parameters of the colour code, "" for the terminal's own
};

// Enough of a terminal to read frames: printing, \r, \n, cursor up, erasing, colours, cursor visibility.
struct Emulator {
    std::vector<std::vector<Cell>> rows = {{}};
    size_t row = 0, column = 0;
    std::string foreground, background;
    bool cursor_visible = true;

    void feed(const std::string& text) {
        for (size_t i = 0; i < text.size();) {
            const unsigned char c = static_cast<unsigned char>(text[i]);
            if (c == 0x1b) {
                REQUIRE(text[i + 1] == '[');
                size_t end = text.find_first_not_of("0123456789;?", i + 2);
                REQUIRE(end != text.npos);
                control(text.substr(i + 2, end - i - 2), text[end]);
                i = end + 1;
            } else if (c == '\r') {
                column = 0;
                i++;
            } else if (c == '\n') {
                column = 0;
                if (++row == rows.size()) rows.emplace_back();
                i++;
            } else {
                size_t length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
                if (rows[row].size() <= column) rows[row].resize(column + 1);
                rows[row][column++] = {text.substr(i, length), foreground, background};
                i += length;
            }
        }
    }
    void control(const std::string& values, char command) {
        if (command == 'A') {
            REQUIRE(std::stoul(values) <= row);
            row -= std::stoul(values);
        } else if (command == 'K' || command == 'J') {
            REQUIRE(values.empty());
            if (rows[row].size() > column) rows[row].resize(column);
            if (command == 'J') rows.resize(row + 1);
        } else if (command == 'm') {
            if (values == "0")
                foreground = background = "";
            else if (values.starts_with("38;"))
                foreground = values.substr(3);
            else if (values.starts_with("48;"))
                background = values.substr(3);
            else
                FAIL("unknown colour " << values);
        } else if (values == "?25" && (command == 'l' || command == 'h')) {
            cursor_visible = command == 'h';
        } else {
            FAIL("unknown control sequence " << values << command);
        }
    }
    std::string line(size_t y) const {
        std::string text;
        for (const Cell& cell : rows[y]) text += cell.text;
        return text;
    }
};

std::string true_colour(const uint8_t* rgb) {
    return "2;" + std::to_string(rgb[0]) + ";" + std::to_string(rgb[1]) + ";" + std::to_string(rgb[2]);
}

Picture noise(int width, int height, int levels = 256) {
    Picture picture(width, height);
    uint32_t state = 5;
    for (uint8_t& sample : picture.rgb)
        sample = static_cast<uint8_t>(((state = state * 1664525u + 1013904223u) >> 24) * levels / 256);
    return picture;
}

// A screen that writes into a file, with a clock that the test moves.
struct Stage {
    std::FILE* file = std::tmpfile();
    double now = 100;
    TerminalFacts facts{.draws = true, .colours = Colours::True, .columns = 60, .rows = 24};

    ~Stage() { std::fclose(file); }
    std::unique_ptr<Screen> screen() {
        return std::make_unique<Screen>(fileno(file), facts, [this] { return now; });
    }
    std::string written() const {
        std::string text(1 << 20, '\0');
        ssize_t bytes = pread(fileno(file), text.data(), text.size(), 0);
        text.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
        return text;
    }
    Emulator seen() const {
        Emulator emulator;
        emulator.feed(written());
        return emulator;
    }
};

TEST_CASE("terminal: what it can do follows from the environment") {
    auto facts = [](bool is_terminal, std::map<std::string, std::string> environment) {
        return terminal_facts(is_terminal, [environment = std::move(environment)](const char* name) {
            auto found = environment.find(name);
            return found == environment.end() ? nullptr : found->second.c_str();
        });
    };
    CHECK(facts(true, {{"TERM", "xterm"}}).draws);
    CHECK(!facts(false, {{"TERM", "xterm-256color"}, {"COLORTERM", "truecolor"}}).draws);
    CHECK(facts(false, {{"TERM", "xterm-256color"}}).colours == Colours::None);
    CHECK(!facts(true, {{"TERM", "dumb"}, {"COLORTERM", "truecolor"}}).draws);
    CHECK(!facts(true, {}).draws);
    CHECK(facts(true, {{"TERM", "xterm"}}).colours == Colours::None);
    CHECK(facts(true, {{"TERM", "xterm-256color"}}).colours == Colours::Palette);
    CHECK(facts(true, {{"TERM", "xterm-256color"}, {"COLORTERM", "truecolor"}}).colours == Colours::True);
    CHECK(facts(true, {{"TERM", "xterm"}, {"COLORTERM", "24bit"}}).colours == Colours::True);
    CHECK(facts(true, {{"TERM", "xterm-direct"}}).colours == Colours::True);

    const std::map<std::string, std::string> able = {{"TERM", "xterm-256color"}, {"COLORTERM", "truecolor"}};
    auto with = [&](const char* name, const char* value) {
        auto environment = able;
        environment[name] = value;
        return facts(true, environment);
    };
    CHECK(with("NO_COLOR", "1").draws);
    CHECK(with("NO_COLOR", "1").colours == Colours::None);
    CHECK(with("NO_COLOR", "").colours == Colours::True);  // by its convention, empty means unset
    CHECK(with("LANG", "de_DE.ISO-8859-1").colours == Colours::None);
    CHECK(with("LC_ALL", "de_DE.ISO-8859-15@euro").colours == Colours::None);
    for (const char* locale : {"de_DE.UTF-8", "C.utf8", "en_US.UTF-8@latin", "C"})
        CHECK(with("LC_CTYPE", locale).colours == Colours::True);
}

TEST_CASE("terminal: a progress line fits any width and keeps what matters") {
    for (Counted counted : {Counted::Things, Counted::Bytes})
        for (size_t total : {size_t{0}, size_t{1}, size_t{256}, size_t{14000000000}, ~size_t{0}})
            for (size_t done : {size_t{0}, total / 3, total, total == ~size_t{0} ? total : total + 5})
                for (double per_second : {0.0, 0.001, 23.4, 5e9})
                    for (int columns = 0; columns <= 200; columns++) {
                        std::string line = progress_line({"drawing", done, total, per_second, counted}, columns);
                        REQUIRE(line.size() <= static_cast<size_t>(columns));
                        if (columns >= 25) REQUIRE(line.find('%') != line.npos);
                        if (columns >= 12) REQUIRE(line.starts_with("drawing"));
                    }
    CHECK(progress_line({"drawing", 115, 256, 23.4}, 80) ==
          "drawing [################.....................]  44%  115/256  23.4/s  0:06 left");
    CHECK(progress_line({"drawing", 115, 256, 23.4}, 60) ==
          "drawing [#######..........]  44%  115/256  23.4/s  0:06 left");
    CHECK(progress_line({"drawing", 115, 256, 23.4}, 50) == "drawing [########..........]  44%  115/256  23.4/s");
    CHECK(progress_line({"drawing", 115, 256, 0}, 40) == "drawing [#######.........]  44%  115/256");
    CHECK(progress_line({"drawing", 115, 256, 23.4}, 15) == "drawing  44%");
    CHECK(progress_line({"converting", 7000000000, 14000000000, 8.12e8, Counted::Bytes}, 80) ==
          "converting [############.............]  50%  7.0 GB/14.0 GB  812 MB/s  0:09 left");
    CHECK(progress_line({"x", 1, 2, 1 / 4000.0}, 80).ends_with("1:06:40 left"));
}

TEST_CASE("terminal: the bar never shrinks while work is done, and is full only at the end") {
    long before = 0;
    for (size_t done = 0; done <= 1000; done++) {
        std::string line = progress_line({"x", done, 1000, 1}, 70);
        long filled = std::count(line.begin(), line.end(), '#'), open = std::count(line.begin(), line.end(), '.') - 1;
        if (done < 1000) CHECK(line.find("100%") == line.npos);
        if (done == 0) CHECK(filled == 0);
        if (done == 1000) CHECK(open <= 0);
        CHECK(filled >= before);
        before = filled;
    }
    CHECK(before > 10);
}

TEST_CASE("terminal: half blocks show exactly the picture's pixels") {
    for (auto [width, height] : {std::pair{1, 1}, {1, 2}, {7, 5}, {16, 16}, {64, 63}})
        for (int levels : {2, 256}) {  // few levels make runs of equal colours
            Picture picture = noise(width, height, levels);
            std::vector<std::string> lines = picture_lines(picture, Colours::True);
            REQUIRE(lines.size() == static_cast<size_t>((height + 1) / 2));
            for (int y = 0; y < height; y += 2) {
                Emulator terminal;
                terminal.feed(lines[y / 2]);
                REQUIRE(terminal.rows[0].size() == static_cast<size_t>(width));
                for (int x = 0; x < width; x++) {
                    const Cell& cell = terminal.rows[0][x];
                    REQUIRE(cell.text == "▀");
                    REQUIRE(cell.foreground == true_colour(picture.at(x, y)));
                    REQUIRE(cell.background == (y + 1 < height ? true_colour(picture.at(x, y + 1)) : ""));
                }
                CHECK(terminal.foreground.empty());
                CHECK(terminal.background.empty());
            }
        }
    CHECK(picture_lines(noise(4, 4), Colours::None).empty());
}

TEST_CASE("terminal: 256 colours are the nearest of xterm's") {
    auto index = [](uint8_t red, uint8_t green, uint8_t blue) {
        Picture pixel(1, 1);
        pixel.rgb = {red, green, blue};
        Emulator terminal;
        terminal.feed(picture_lines(pixel, Colours::Palette)[0]);
        REQUIRE(terminal.rows[0][0].foreground.starts_with("5;"));
        return std::stoi(terminal.rows[0][0].foreground.substr(2));
    };
    CHECK(index(0, 0, 0) == 16);
    CHECK(index(255, 255, 255) == 231);
    CHECK(index(255, 0, 0) == 196);
    CHECK(index(0, 95, 135) == 16 + 6 + 2);
    CHECK(index(8, 8, 8) == 232);
    CHECK(index(238, 238, 238) == 255);
    CHECK(index(119, 121, 120) == 243);  // 118
    constexpr int LEVELS[6] = {0, 95, 135, 175, 215, 255};
    for (int i = 0; i < 216; i++) {
        int r = LEVELS[i / 36], g = LEVELS[i / 6 % 6], b = LEVELS[i % 6];
        CHECK(index(static_cast<uint8_t>(r), static_cast<uint8_t>(g), static_cast<uint8_t>(b)) == 16 + i);
    }
}

TEST_CASE("terminal: a picture is scaled to the room there is and keeps its shape") {
    Picture wide = fit_to_cells(noise(200, 100), 64, 32);
    CHECK(wide.width == 64);
    CHECK(wide.height == 32);
    Picture tall = fit_to_cells(noise(100, 200), 64, 20);
    CHECK(tall.width == 20);
    CHECK(tall.height == 40);
    Picture doubled = fit_to_cells(noise(32, 32), 64, 32);
    CHECK(doubled.width == 64);
    CHECK(doubled.height == 64);
    Picture line = fit_to_cells(noise(1000, 1), 10, 10);
    CHECK(line.width == 10);
    CHECK(line.height == 1);
}

TEST_CASE("terminal: a progress bar is redrawn ten times a second at most, and leaves nothing") {
    Stage stage;
    {
        ProgressBar bar(stage.screen(), "working", Counted::Things);
        bar.update(0, 1000);
        CHECK(stage.seen().line(0).starts_with("working [...."));
        CHECK(stage.seen().line(0).size() < 60);
        CHECK(!stage.seen().cursor_visible);
        size_t frames = 1, bytes = stage.written().size();
        for (size_t done = 1; done <= 1000; done++) {
            stage.now += 0.001;
            bar.update(done, 1000);
            frames += stage.written().size() != bytes;
            bytes = stage.written().size();
        }
        CHECK(frames >= 9);
        CHECK(frames <= 11);
        CHECK(stage.seen().rows.size() == 1);
        CHECK(contains(stage.seen().line(0), "1000/s"));
        bar.finish();
        Emulator after = stage.seen();
        CHECK(after.rows.size() == 1);
        CHECK(after.line(0) == "");
        CHECK(after.column == 0);
        CHECK(after.cursor_visible);
        bytes = stage.written().size();
        bar.finish();
        CHECK(stage.written().size() == bytes);
    }
    Stage interrupted;
    {
        ProgressBar bar(interrupted.screen(), "working", Counted::Things);
        bar.update(1, 3);
    }  // as when an Error passes
    CHECK(interrupted.seen().line(0) == "");
    CHECK(interrupted.seen().cursor_visible);
}

TEST_CASE("terminal: a growing picture is replaced in place, and stays when finished") {
    Stage stage;
    Picture picture = noise(32, 32);
    auto check_picture = [&](const Emulator& terminal) {
        Picture shown = fit_to_cells(picture, 59, 22);
        REQUIRE(shown.width == 44);
        for (int y = 0; y < 44; y++)
            for (int x = 0; x < 44; x++) {
                const Cell& cell = terminal.rows[y / 2][x];
                REQUIRE((y % 2 ? cell.background : cell.foreground) == true_colour(shown.at(x, y)));
            }
    };
    GrowingPicture growing(stage.screen(), "drawing");
    growing.update(1, 256, [] { return Picture(); });
    CHECK(stage.seen().rows.size() == 1);
    for (size_t done = 2; done <= 20; done++) {
        stage.now += 0.11;
        picture.rgb[done] ^= 0x80;
        growing.update(done, 256, [&] { return picture; });
        Emulator terminal = stage.seen();
        REQUIRE(terminal.rows.size() == 23);
        check_picture(terminal);
        CHECK(terminal.line(22).starts_with("drawing ["));
    }
    bool asked = false;  // within a tenth of a second nothing is computed
    growing.update(21, 256, [&] { return asked = true, picture; });
    CHECK(!asked);
    picture.rgb[1000] ^= 0x80;
    growing.update(256, 256, [&] { return picture; });  // the last one is always shown
    growing.finish();
    Emulator after = stage.seen();
    CHECK(after.rows.size() == 23);
    check_picture(after);
    CHECK(after.line(22) == "");
    CHECK(after.row == 22);
    CHECK(after.cursor_visible);
}

TEST_CASE("terminal: without colours or room there is only the bar, and without a terminal nothing") {
    for (int variant = 0; variant < 3; variant++) {
        Stage stage;
        if (variant == 0) stage.facts.colours = Colours::None;
        if (variant == 1) stage.facts.rows = 2;
        if (variant == 2) stage.facts.draws = false;
        bool asked = false;
        GrowingPicture growing(stage.screen(), "drawing");
        for (size_t done = 1; done <= 10; done++, stage.now += 1)
            growing.update(done, 10, [&] { return asked = true, noise(8, 8); });
        CHECK(!asked);
        CHECK(stage.written().empty() == (variant == 2));
        CHECK(stage.seen().rows.size() == 1);
        growing.finish();
        CHECK(stage.seen().line(0) == "");
        ProgressBar bar(stage.screen(), "working", Counted::Bytes);
        bar.update(1, 2);
        bar.finish();
        CHECK(stage.written().empty() == (variant == 2));
    }
    ProgressBar quiet(Display::Quiet, "this must not be seen");
    quiet.update(1, 2);
}

TEST_CASE("terminal: an interrupt gives cursor and colours back, and only if a frame is shown") {
    Stage stage;
    restore_terminal();
    CHECK(stage.written().empty());
    GrowingPicture growing(stage.screen(), "drawing");
    growing.update(1, 2, [] { return noise(4, 4); });
    CHECK(!stage.seen().cursor_visible);
    restore_terminal();
    Emulator after = stage.seen();
    CHECK(after.cursor_visible);
    CHECK(after.foreground.empty());
    CHECK(after.line(after.rows.size() - 1) == "");  // the bar is gone
    const size_t bytes = stage.written().size();
    restore_terminal();
    CHECK(stage.written().size() == bytes);
    growing.finish();
    restore_terminal();
    CHECK(stage.seen().cursor_visible);
}

}  // namespace
}  // namespace leon
