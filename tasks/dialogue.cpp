// Lines in, replies out; see dialogue.h.
#include "tasks/dialogue.h"

#include <filesystem>

#include "tasks/common.h"

namespace leon {
namespace {

constexpr const char* HELP =
    "  /image FILE   show a picture        /draw TEXT   draw one        /edit TEXT   change the last one\n"
    "  /save FILE    save the last one     /forget      begin anew      /quit        end\n"
    "  everything else is said to the model\n";

}  // namespace

Dialogue::Dialogue(const Model& model, const Settings& settings, const WritingLimits& limits, std::string folder,
                   std::function<void(const Picture&)> show)
    : model_(model), chat_(model, settings, limits), folder_(std::move(folder)), show_(std::move(show)) {}

void Dialogue::take(const std::string& typed, std::ostream& out) {
    const std::string line = trimmed(typed);
    if (line.empty()) return;
    try {
        if (line[0] != '/') return reply([&](const WritingProgress& p) { return chat_.say(line, p); }, out);
        const size_t end = std::min(line.find_first_of(" \t"), line.size());
        command(line.substr(1, end - 1), trimmed(line.substr(end)), out);
    } catch (const Error& error) {
        out << error.what() << '\n';
    }
    out.flush();
}

void Dialogue::command(const std::string& name, const std::string& rest, std::ostream& out) {
    const auto needs = [&](const char* what) {
        if (rest.empty()) throw Error(std::string("needs ") + what, "/" + name);
    };
    if (name == "quit") {
        over_ = true;
    } else if (name == "help") {
        out << HELP;
    } else if (name == "forget") {
        chat_.forget();
        forgot_ = 0;
    } else if (name == "image") {
        needs("a file");
        chat_.show(load_picture(rest, Orientation::Upright));
        if (show_) show_(*chat_.last_picture());
    } else if (name == "save") {
        needs("a file");
        if (!chat_.last_picture()) throw Error("there is no picture yet", "/save");
        save_picture(rest, *chat_.last_picture());
    } else if (name == "draw") {
        needs("a text");
        reply([&](const WritingProgress& p) { return chat_.draw(rest, p); }, out);
    } else if (name == "edit") {
        needs("an instruction");
        reply([&](const WritingProgress& p) { return chat_.edit(rest, p); }, out);
    } else {
        throw Error("there is no such command", "/" + name, "/help lists them");
    }
}

void Dialogue::reply(const std::function<Written(const WritingProgress&)>& say, std::ostream& out) {
    WritingProgress progress;
    bool in_text = false;
    progress.text = [&](const std::string& piece) {
        out << piece;
        out.flush();
        in_text = true;
        return true;
    };
    const Written written = say(progress);
    if (in_text) out << '\n';
    for (const Content& content : written.contents) {
        if (!content.is_picture()) continue;
        const std::string path = next_path();
        save_picture(path, content.picture);
        out << '[' << path << "]\n";
        if (show_) show_(content.picture);
    }
    if (chat_.forgot() > forgot_) out << "(the oldest turns no longer fit and were forgotten)\n";
    forgot_ = chat_.forgot();
}

// The first number that is free, so that an earlier conversation's pictures stay.
std::string Dialogue::next_path() const {
    for (int number = 1;; number++) {
        std::string path = (std::filesystem::path(folder_) / ("chat-" + std::to_string(number) + ".png")).string();
        std::error_code unreadable;
        if (!std::filesystem::exists(path, unreadable)) return path;
    }
}

}  // namespace leon
