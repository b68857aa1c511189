// Progress and pictures on a terminal; see terminal.h. The few control sequences used (ECMA-48 and xterm's colours):
//
//   ESC[nA up n lines   ESC[K erase to the end of the line   ESC[J erase to the end of the screen
//   ESC[?25l / ESC[?25h hide / show the cursor   ESC[38;..m foreground   ESC[48;..m background   ESC[0m reset
#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "kernels/check.h"
#include "runtime/format.h"

namespace leon {
namespace {

constexpr double FRAME_SECONDS = 0.1;
constexpr int MAX_PICTURE_COLUMNS = 64, MAX_PICTURE_LINES = 32;
constexpr int LINES_BESIDE_PICTURE = 2;  // the bar, and the line of the command itself
constexpr int MAX_BAR_COLUMNS = 40, MIN_BAR_COLUMNS = 8;

// Where a frame is on the screen now, or -1; for restore_terminal().
volatile std::sig_atomic_t framed_descriptor = -1;

// Best effort: a terminal that has gone away is no reason to stop working.
void write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        ssize_t written = write(descriptor, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        text.remove_prefix(static_cast<size_t>(written));
    }
}

void look_up_size(int descriptor, TerminalFacts& facts) {
    winsize size{};
    if (ioctl(descriptor, TIOCGWINSZ, &size) != 0) return;
    if (size.ws_col > 0) facts.columns = size.ws_col;
    if (size.ws_row > 0) facts.rows = size.ws_row;
}

double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string bytes_text(double bytes) {
    const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    for (; bytes >= 999.5 && unit + 1 < std::size(units); unit++) bytes /= 1000;
    return format(unit == 0 || bytes >= 99.95 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

std::string seconds_text(double seconds) {
    const long whole = std::lround(std::min(seconds, 359999.0));  // 99:59:59
    if (whole < 3600) return format("%ld:%02ld", whole / 60, whole % 60);
    return format("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
}

// Nearest of xterm's 6 x 6 x 6 cube (16..231) and its 24 greys (232..255).
int palette_index(const uint8_t* rgb) {
    constexpr int LEVELS[6] = {0, 95, 135, 175, 215, 255};
    auto nearest_level = [&](int value) {
        int best = 0;
        for (int i = 1; i < 6; i++)
            if (std::abs(LEVELS[i] - value) < std::abs(LEVELS[best] - value)) best = i;
        return best;
    };
    auto distance = [&](int red, int green, int blue) {
        int r = rgb[0] - red, g = rgb[1] - green, b = rgb[2] - blue;
        return r * r + g * g + b * b;
    };
    const int r = nearest_level(rgb[0]), g = nearest_level(rgb[1]), b = nearest_level(rgb[2]);
    const int grey = std::clamp(((rgb[0] + rgb[1] + rgb[2]) / 3 - 3) / 10, 0, 23), grey_value = 8 + 10 * grey;
    if (distance(grey_value, grey_value, grey_value) < distance(LEVELS[r], LEVELS[g], LEVELS[b])) return 232 + grey;
    return 16 + 36 * r + 6 * g + b;
}

// `layer` is 38 (foreground) or 48 (background).
std::string colour_code(int layer, const uint8_t* rgb, Colours colours) {
    if (colours == Colours::True) return format("\x1b[%d;2;%d;%d;%dm", layer, rgb[0], rgb[1], rgb[2]);
    return format("\x1b[%d;5;%dm", layer, palette_index(rgb));
}

bool names_another_charset(const char* locale) {
    std::string_view text = locale ? locale : "";
    size_t dot = text.find('.');
    if (dot == text.npos) return false;
    std::string charset;
    for (char c : text.substr(dot + 1, text.find('@', dot) - dot - 1))
        if (c != '-') charset += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return charset != "utf8";
}

}  // namespace

// --- from state to text -----------------------------------------------------------------------------------------

TerminalFacts terminal_facts(bool is_terminal, const std::function<const char*(const char*)>& variable) {
    auto text_of = [&](const char* name) {
        const char* value = variable(name);
        return std::string(value ? value : "");
    };
    TerminalFacts facts;
    const std::string term = text_of("TERM"), colour_term = text_of("COLORTERM");
    facts.draws = is_terminal && !term.empty() && term != "dumb";
    std::string locale = text_of("LC_ALL");
    if (locale.empty()) locale = text_of("LC_CTYPE");
    if (locale.empty()) locale = text_of("LANG");
    if (!facts.draws || !text_of("NO_COLOR").empty() || names_another_charset(locale.c_str())) return facts;
    if (colour_term == "truecolor" || colour_term == "24bit" || term.ends_with("-direct"))
        facts.colours = Colours::True;
    else if (term.find("256color") != term.npos)
        facts.colours = Colours::Palette;
    return facts;
}

std::string progress_line(const ProgressState& state, int columns) {
    const size_t room = static_cast<size_t>(std::max(columns, 0));
    const size_t done = std::min(state.done, state.total);
    const double fraction = state.total == 0 ? 0.0 : static_cast<double>(done) / static_cast<double>(state.total);

    // What stands behind the bar, the most important first; what does not fit is left out.
    std::vector<std::string> parts = {format(" %3d%%", static_cast<int>(fraction * 100))};
    const bool bytes = state.counted == Counted::Bytes;
    parts.push_back(bytes ? "  " + bytes_text(done) + "/" + bytes_text(state.total)
                          : format("  %zu/%zu", done, state.total));
    if (state.per_second > 0) {
        parts.push_back(bytes ? "  " + bytes_text(state.per_second) + "/s"
                              : format(state.per_second < 99.95 ? "  %.1f/s" : "  %.0f/s", state.per_second));
        parts.push_back("  " + seconds_text(static_cast<double>(state.total - done) / state.per_second) + " left");
    }
    const std::string start = state.label + " [";
    std::string tail = "]";
    for (const std::string& part : parts) {
        if (start.size() + MIN_BAR_COLUMNS + tail.size() + part.size() > room) break;
        tail += part;
    }
    if (start.size() + MIN_BAR_COLUMNS + tail.size() > room) return (state.label + parts[0]).substr(0, room);
    const size_t bar = std::min<size_t>(room - start.size() - tail.size(), MAX_BAR_COLUMNS);
    const size_t filled = static_cast<size_t>(fraction * static_cast<double>(bar));
    return start + std::string(filled, '#') + std::string(bar - filled, '.') + tail;
}

Picture fit_to_cells(const Picture& picture, int columns, int lines) {
    CHECK(picture.width > 0 && picture.height > 0 && columns > 0 && lines > 0);
    const double factor = std::min(static_cast<double>(columns) / picture.width, 2.0 * lines / picture.height);
    auto scaled = [&](int side, int most) { return std::clamp(static_cast<int>(std::lround(side * factor)), 1, most); };
    return resize(picture, scaled(picture.width, columns), scaled(picture.height, 2 * lines), Filter::Box);
}

std::vector<std::string> picture_lines(const Picture& picture, Colours colours) {
    std::vector<std::string> lines;
    if (colours == Colours::None) return lines;
    for (int y = 0; y < picture.height; y += 2) {
        std::string line, foreground, background;  // the colours in force
        for (int x = 0; x < picture.width; x++) {
            std::string upper = colour_code(38, picture.at(x, y), colours);
            if (upper != foreground) line += foreground = upper;
            if (y + 1 < picture.height) {  // under the last row of an odd picture, the terminal's own background
                std::string lower = colour_code(48, picture.at(x, y + 1), colours);
                if (lower != background) line += background = lower;
            }
            line += "▀";
        }
        lines.push_back(line + "\x1b[0m");
    }
    return lines;
}

std::string replace_lines(int previous, const std::vector<std::string>& lines) {
    std::string text = "\r";
    if (previous > 1) text += format("\x1b[%dA", previous - 1);
    for (size_t i = 0; i < lines.size(); i++) text += (i ? "\n" : "") + lines[i] + "\x1b[K";
    return text + "\x1b[J";
}

// --- the writer -------------------------------------------------------------------------------------------------

Screen::Screen(Display display)
    : Screen(STDERR_FILENO,
             terminal_facts(display == Display::Terminal && isatty(STDERR_FILENO),
                            [](const char* name) { return std::getenv(name); }),
             steady_seconds) {}

Screen::Screen(int descriptor, const TerminalFacts& facts, std::function<double()> seconds)
    : descriptor_(descriptor), facts_(facts), seconds_(std::move(seconds)) {}

bool Screen::due() {
    if (!facts_.draws || seconds_() < next_frame_) return false;
    look_up_size(descriptor_, facts_);
    return true;
}

void Screen::show(const std::vector<std::string>& lines) {
    CHECK(facts_.draws && !lines.empty());
    framed_descriptor = descriptor_;
    write_all(descriptor_, "\x1b[?25l" + replace_lines(shown_lines_, lines));
    shown_lines_ = static_cast<int>(lines.size());
    next_frame_ = seconds_() + FRAME_SECONDS;
}

void Screen::close(const std::vector<std::string>& kept) {
    if (shown_lines_ == 0) return;
    write_all(descriptor_, replace_lines(shown_lines_, kept) + (kept.empty() ? "" : "\n") + "\x1b[?25h");
    shown_lines_ = 0;
    framed_descriptor = -1;
}

void restore_terminal() {
    constexpr char RESTORE[] = "\x1b[0m\r\x1b[K\x1b[?25h";  // the cursor is on the frame's last line
    const int descriptor = framed_descriptor;
    if (descriptor < 0) return;
    framed_descriptor = -1;
    [[maybe_unused]] ssize_t written = write(descriptor, RESTORE, sizeof RESTORE - 1);
}

// --- what commands use ------------------------------------------------------------------------------------------

double Pace::per_second(size_t done, double seconds) {
    if (!started_) {
        started_ = true;
        first_done_ = done;
        first_seconds_ = seconds;
    }
    if (done <= first_done_ || seconds <= first_seconds_) return 0;
    return static_cast<double>(done - first_done_) / (seconds - first_seconds_);
}

ProgressBar::ProgressBar(Display display, const std::string& label, Counted counted)
    : ProgressBar(std::make_unique<Screen>(display), label, counted) {}

ProgressBar::ProgressBar(std::unique_ptr<Screen> screen, const std::string& label, Counted counted)
    : screen_(std::move(screen)), state_{.label = label, .counted = counted} {}

void ProgressBar::update(size_t done, size_t total) {
    const double per_second = pace_.per_second(done, screen_->seconds());
    if (!screen_->due()) return;
    state_.done = done;
    state_.total = total;
    state_.per_second = per_second;
    screen_->show({progress_line(state_, screen_->facts().columns - 1)});
}

GrowingPicture::GrowingPicture(Display display, const std::string& label)
    : GrowingPicture(std::make_unique<Screen>(display), label) {}

GrowingPicture::GrowingPicture(std::unique_ptr<Screen> screen, const std::string& label)
    : screen_(std::move(screen)), state_{.label = label} {}

void GrowingPicture::update(size_t done, size_t total, const std::function<Picture()>& picture) {
    const double per_second = pace_.per_second(done, screen_->seconds());
    const bool last = done >= total && screen_->facts().draws;  // the picture that stays must be whole
    if (!screen_->due() && !last) return;
    state_.done = done;
    state_.total = total;
    state_.per_second = per_second;
    const TerminalFacts& facts = screen_->facts();
    const int columns = std::min(facts.columns - 1, MAX_PICTURE_COLUMNS);
    const int lines = std::min(facts.rows - LINES_BESIDE_PICTURE, MAX_PICTURE_LINES);
    picture_lines_.clear();
    if (facts.colours != Colours::None && columns > 0 && lines > 0) {
        const Picture grown = picture();
        if (grown.width > 0) picture_lines_ = picture_lines(fit_to_cells(grown, columns, lines), facts.colours);
    }
    std::vector<std::string> frame = picture_lines_;
    frame.push_back(progress_line(state_, facts.columns - 1));
    screen_->show(frame);
}

}  // namespace leon
