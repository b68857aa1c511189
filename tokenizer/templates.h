// The documents of every task, as data: what each family was trained to read and write, word for word.
//
// A template is a list of parts. Within text, {name} is replaced by a field, and {answer} by what the model is to say.
//
//   "{picture}"       a picture of the fields, by its name ("{map}" too)
//   "{turn}"          the end of a turn
//   "{new picture}"   what the model is to draw; always last
//   "{reply}"         what the model is to say, behind everything else; always last
//
// query() builds the prompt of a task: CM3Leon's answers are holes, other families' replies follow. whole() builds the
// document that such a task is trained on, with the answer in its place. A new family's words go into templates.cpp and
// nowhere else.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/config.h"
#include "tokenizer/document.h"

namespace leon {

enum class Task {
    Draw,               // text -> new picture
    Describe,           // picture -> answer
    DescribeLong,       // picture -> answer
    Ask,                // picture, question -> answer
    Edit,               // picture, instruction -> new picture
    DrawFromMap,        // map, kind, text -> new picture
    DrawObjects,        // text, objects -> new picture
    DrawSign,           // word -> new picture
    SegmentAll,         // picture -> new picture
    SegmentObject,      // picture, object -> new picture
    EstimateDepth,      // picture -> new picture
    EstimateNormals,    // picture -> new picture
    EstimatePose,       // picture -> new picture
    FillPicture,        // picture with hidden cells, text -> the cells
    FillText,           // text with holes -> the words
    FillTextOfPicture,  // the same, with the picture that the text is about
};

struct Template {
    Task task;
    Layout layout;  // Anole has Chameleon's
    std::vector<std::string> parts;
    // Defaults of guidance: 1 is none. `image_guidance` is the weight of the pictures in a prompt against nothing,
    // where there are three streams; 0 where there are two.
    float guidance = 1, image_guidance = 0;
    int picture_top_k = 0;        // default, where it is not the family's
    std::string answer_end = {};  // stands behind every answer in training, and is no part of it
};

// What a person gave. A picture's hidden cells are holes.
struct Fields {
    std::map<std::string, std::string> text;
    std::map<std::string, Part> pictures;
    std::vector<Document> retrieved;
    int rows = 0, cols = 0;  // of the new picture
};

const char* name_of(Task task);  // "draw", "describe-long": as error messages call it
std::optional<Task> task_named(const std::string& name);

// Null if the family was not trained for it.
const Template* find_template(Layout layout, Task task);
// The same, or an Error that says so.
const Template& template_of(Layout layout, Task task);

// A field that the template names must be there (a bug otherwise).
Prompt query(const Template& row, const Fields& fields);
// With the fields "answer", or the picture "new picture", in their places.
Prompt whole(const Template& row, const Fields& fields);

// "segmentation" -> "a segmentation map": the words for a map's kind (cm3leon §6.2). Error listing the kinds otherwise.
std::string words_of_map(const std::string& kind);
std::vector<std::string> kinds_of_maps();

// {"dog", 10, 20, 60, 80} -> "dog at location (10, 20) -> (60, 80)", in pixels of the model's frame.
struct PlacedObject {
    std::string name;
    int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};
std::string words_of_objects(const std::vector<PlacedObject>& objects);
// "dog@10,20,60,80". Error on anything else.
PlacedObject parse_object(const std::string& text);
// The reverse of words_of_objects; Error if it is none.
std::vector<PlacedObject> parse_objects(const std::string& words);

}  // namespace leon
