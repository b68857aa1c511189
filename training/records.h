// What a person collects for training: pictures with captions, or JSON lines, each the fields of a task's template
// (tokenizer/templates.h) or parts in any order; and how that becomes a document.
//
//   {"text": "a red car", "picture": "car.jpg"}                                       as a picture with its caption
//   {"task": "ask", "picture": "car.jpg", "question": "What is it?", "answer": "a car"}
//   {"task": "edit", "picture": "car.jpg", "instruction": "make it blue", "new picture": "blue.jpg"}
//   {"task": "draw-from-map", "kind": "edges", "map": "edges.png", "text": "a car", "new picture": "car.jpg"}
//   {"task": "draw-objects", "text": "a dog", "objects": ["dog@10,20,60,80"], "new picture": "dog.jpg"}
//   {"parts": [{"text": "First"}, {"picture": "1.jpg"}, {"text": "then"}], "task": "story"}
//
// "source" may stand in each and says where it came from. Paths are relative to the file. Every field of a template
// must be there, and nothing else. Tasks that fill holes have no records: training makes holes in any document.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/retrieval.h"
#include "tokenizer/templates.h"
#include "training/example.h"

namespace leon {

struct RecordPart {
    std::string text, picture;  // one of them; picture: path
};

struct Record {
    std::string name;  // of the task, for mixtures
    std::string source;
    const Template* row = nullptr;                     // null: the parts are the document
    std::map<std::string, std::string> text, picture;  // fields of the template; paths
    std::vector<RecordPart> parts;

    // What retrieval asks with: the words of it but an answer, and the last picture's path. Either may be empty.
    std::string words() const;
    std::string last_picture() const;
};

struct RecordRules {
    // What a picture with its caption is for: a task that takes just these. Empty: to draw it; and where one of the two
    // is missing, what there is.
    std::string task;
    std::string folder;  // that paths are relative to
    Layout layout = Layout::CM3Leon;
};

// A picture with its caption. Error if the task takes something else, or if one of the two is missing.
Record record_of(const Source& source, const RecordRules& rules);
// A line of JSON; without "task" and "parts" as above. `where` is for messages, `source` where the line says nothing.
Record parse_record(std::string_view line, const std::string& where, const std::string& source,
                    const RecordRules& rules);

// picture(path): its codes as part of a document. `patch`: pixels a side of a cell.
TaskDocument document_of(const Record& record, const std::vector<Document>& retrieved, int patch,
                         const std::function<Part(const std::string& path)>& picture);

}  // namespace leon
