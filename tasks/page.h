// A web page that needs nothing else: text and pictures in one HTML file, for results that people look at.
#pragma once

#include <string>

#include "tokenizer/image.h"

namespace leon {

std::string html_escaped(const std::string& text);
// The picture inside the tag, as PNG.
std::string html_image(const Picture& picture, const std::string& alt);
// From <!doctype to the style's end.
std::string html_head(const std::string& title);

// Makes a folder (and those above it); Error if it cannot be made.
void make_folder(const std::string& folder);
// write_file for text.
void write_text(const std::string& path, const std::string& text);

}  // namespace leon
