// What the command line draws on a terminal: a progress bar, and a picture in half-block characters that grows in
// place.
//
// All of it goes to standard error, only if that is a terminal, and never when quiet. What is drawn is computed by
// functions from state to text; a Screen is the thin writer that puts lines at the bottom of the terminal, replaces
// them at most ten times a second, and leaves nothing behind. Knows no model and no task.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/image.h"

namespace leon {

enum class Display { Quiet, Terminal };
enum class Colours { None, Palette, True };  // Palette: the 256 colours of xterm; True: 24 bits
enum class Counted { Things, Bytes };

// --- from state to text -----------------------------------------------------------------------------------------

struct TerminalFacts {
    bool draws = false;  // cursor movement is understood and wanted
    Colours colours = Colours::None;
    int columns = 80, rows = 24;
};

// Respects TERM (dumb or unset: draws nothing; 256color), COLORTERM, NO_COLOR and the character set of the locale (half
// blocks need UTF-8). `variable` is std::getenv, or a test's.
TerminalFacts terminal_facts(bool is_terminal, const std::function<const char*(const char*)>& variable);

// "drawing [######......]  45%  115/256  23.4/s  0:06 left", with less on narrow terminals, never above `columns`.
// per_second 0: not known yet.
struct ProgressState {
    std::string label;
    size_t done = 0, total = 0;
    double per_second = 0;
    Counted counted = Counted::Things;
};
std::string progress_line(const ProgressState& state, int columns);

// The largest picture of the same shape that fits into so many columns and lines of half blocks (a line holds two
// rows), by box filter; at least one pixel.
Picture fit_to_cells(const Picture& picture, int columns, int lines);

// One string a line: upper half blocks, the upper pixel as foreground, the lower one as background. Each line ends with
// the colours reset. Colours::None has no picture: no lines.
std::vector<std::string> picture_lines(const Picture& picture, Colours colours);

// Text that replaces `previous` lines, of which the last holds the cursor, by these. The cursor stays on the last line.
std::string replace_lines(int previous, const std::vector<std::string>& lines);

// --- the writer -------------------------------------------------------------------------------------------------

class Screen {
public:
    explicit Screen(Display display);  // standard error
    Screen(int descriptor, const TerminalFacts& facts, std::function<double()> seconds);
    ~Screen() { close({}); }
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    const TerminalFacts& facts() const { return facts_; }  // as of the last due()
    double seconds() const { return seconds_(); }
    bool due();  // may a frame be shown now? Also looks up the size of the window.
    void show(const std::vector<std::string>& lines);  // narrower than the window
    void close(const std::vector<std::string>& kept);  // replaces a shown frame by lines that stay

private:
    int descriptor_;
    TerminalFacts facts_;
    std::function<double()> seconds_;
    int shown_lines_ = 0;  // 0: no frame on the screen
    double next_frame_ = 0;
};

// Puts cursor and colours right if a frame is on the screen; async-signal-safe, for a SIGINT handler.
void restore_terminal();

// --- what commands use ------------------------------------------------------------------------------------------

// Speed since the first report, so that loading and the prompt do not count.
class Pace {
public:
    double per_second(size_t done, double seconds);  // 0 at first

private:
    bool started_ = false;
    size_t first_done_ = 0;
    double first_seconds_ = 0;
};

class ProgressBar {
public:
    ProgressBar(Display display, const std::string& label, Counted counted = Counted::Things);
    ProgressBar(std::unique_ptr<Screen> screen, const std::string& label, Counted counted);

    void update(size_t done, size_t total);
    void finish() { screen_->close({}); }  // erases it; so does the destructor

private:
    std::unique_ptr<Screen> screen_;
    ProgressState state_;
    Pace pace_;
};

// A picture above a progress bar. finish() erases the bar and leaves the picture; the destructor alone erases both.
class GrowingPicture {
public:
    GrowingPicture(Display display, const std::string& label);
    GrowingPicture(std::unique_ptr<Screen> screen, const std::string& label);

    // `picture` is called only if a frame is due and the terminal has colours; it may return an empty Picture (0 x 0).
    void update(size_t done, size_t total, const std::function<Picture()>& picture);
    void finish() { screen_->close(picture_lines_); }

private:
    std::unique_ptr<Screen> screen_;
    ProgressState state_;
    Pace pace_;
    std::vector<std::string> picture_lines_;
};

}  // namespace leon
