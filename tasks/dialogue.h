// A conversation as lines of text, for a terminal or a script: what `leon chat` reads and prints.
//
//   Where is it?          goes to the model
//   /image FILE           shows it a picture
//   /draw TEXT  /edit TEXT    a new picture; a change of the last one
//   /save FILE            the last picture, once more
//   /forget  /help  /quit
//
// Pictures that the model draws are saved as FOLDER/chat-1.png, -2, ... and named in the reply. A line that cannot be
// done says why and changes nothing.
#pragma once

#include <functional>
#include <ostream>
#include <string>

#include "tasks/writing.h"

namespace leon {

class Dialogue {
public:
    // `show` may be empty; it receives every new picture.
    Dialogue(const Model& model, const Settings& settings, const WritingLimits& limits, std::string folder,
             std::function<void(const Picture&)> show = {});

    // Does what the line says, and writes the reply, with text as it is drawn.
    void take(const std::string& line, std::ostream& out);
    bool is_over() const { return over_; }

private:
    void command(const std::string& name, const std::string& rest, std::ostream& out);
    void reply(const std::function<Written(const WritingProgress&)>& say, std::ostream& out);
    std::string next_path() const;

    const Model& model_;
    Chat chat_;
    const std::string folder_;
    const std::function<void(const Picture&)> show_;
    bool over_ = false;
    int forgot_ = 0;
};

}  // namespace leon
