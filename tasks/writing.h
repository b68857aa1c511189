// Documents of text and pictures that the model itself continues, as it decides, and conversations.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tasks/model.h"
#include "tasks/pictures.h"
#include "tasks/settings.h"

namespace leon {

// What a person says or gets: text or a picture, in order. A picture stands in the frame of the model.
struct Content {
    std::string text;
    Picture picture;  // 0 x 0: it is text

    bool is_picture() const { return picture.width > 0; }
};

// What a person names on a command line: a file that is there and ends like a picture is one, all else is text.
// "text:..." and "picture:..." say which. Error if a picture cannot be read.
std::vector<Content> read_contents(const std::vector<std::string>& words);

struct WritingLimits {
    int max_tokens = 1024;  // text and codes, all together
    // Not given: one, or none if the model does not draw (it has no picture decoder, or is Chameleon itself, whose
    // weights were released without that).
    std::optional<int> max_pictures;
};

struct Written {
    std::vector<Content> contents;  // what was added
    std::vector<Part> parts;        // the same as parts of a document
    bool finished = false;          // the model ended the document itself; false at a limit or when cancelled
    bool cancelled = false;
    std::string prompt;  // for a person to read
    GenerateStatistics statistics;
    double picture_seconds = 0;
};

struct WritingProgress {
    std::function<bool(const std::string& piece)> text;  // as it is drawn
    std::function<bool(std::span<const int32_t> codes, int total)> picture;
};

// Goes on behind the contents. Error if a picture is wanted that the model cannot draw, or if there is no room.
Written write_on(const Model& model, const std::vector<Content>& contents, const WritingLimits& limits,
                 const Settings& settings, const WritingProgress& progress = {});

// The contents as Markdown (FOLDER/index.md, pictures beside it as 1.png, 2.png, ...) and as one page that needs
// nothing else (FOLDER/index.html). `given` stands in front, and what was added behind it. Returns the path of the
// page.
std::string save_writing(const std::string& folder, const std::vector<Content>& given,
                         const std::vector<Content>& added);

// A conversation. Families that were trained on one (Chameleon, Anole, Lumina-mGPT) go on with all of it. CM3Leon's
// were not: there, a line is a question about the last picture, and without one a sentence to draw.
class Chat {
public:
    Chat(const Model& model, const Settings& settings, const WritingLimits& limits);

    void show(const Picture& picture);  // goes with the next thing said
    // Error as above; the conversation is then as before. When it no longer fits the context, the oldest turns are
    // forgotten, with the replies to them: `forgot` counts them.
    Written say(const std::string& text, const WritingProgress& progress = {});
    Written draw(const std::string& text, const WritingProgress& progress = {});
    Written edit(const std::string& instruction, const WritingProgress& progress = {});  // of the last picture
    void forget();

    const Picture* last_picture() const { return last_picture_.width > 0 ? &last_picture_ : nullptr; }
    int forgot() const { return forgot_; }

private:
    Written converse(const std::string& text, const WritingProgress& progress);
    void remember(std::vector<Part> turn, const Written& written);
    Settings next_settings();
    Written as_writing(Drawing drawing);

    const Model& model_;
    const Settings settings_;
    const WritingLimits limits_;
    std::vector<std::vector<Part>>
        turns_;                // what was said and the reply to it, by turns; each ends with an end of turn
    std::vector<Part> shown_;  // pictures that go with the next turn
    Picture last_picture_;
    int forgot_ = 0;
    uint64_t said_ = 0;
};

}  // namespace leon
