// Pages in one file; see page.h.
#include "tasks/page.h"

#include <cstdint>
#include <filesystem>
#include <span>

#include "kernels/check.h"
#include "runtime/files.h"

namespace leon {
namespace {

std::string base64(std::span<const uint8_t> bytes) {
    static const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        uint32_t block = bytes[i] << 16;
        if (i + 1 < bytes.size()) block |= bytes[i + 1] << 8;
        if (i + 2 < bytes.size()) block |= bytes[i + 2];
        out += digits[block >> 18 & 63];
        out += digits[block >> 12 & 63];
        out += i + 1 < bytes.size() ? digits[block >> 6 & 63] : '=';
        out += i + 2 < bytes.size() ? digits[block & 63] : '=';
    }
    return out;
}

constexpr const char* STYLE = R"(<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fafaf7}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:1.5rem}
figure{margin:0}img{width:100%;image-rendering:pixelated;border-radius:6px}
figcaption b{display:block}small{color:#777}dt{float:left;clear:left;color:#777;margin-right:.5rem}dd{margin:0}
</style>
)";

}  // namespace

std::string html_escaped(const std::string& text) {
    std::string out;
    for (char c : text) {
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else
            out += c;
    }
    return out;
}

std::string html_image(const Picture& picture, const std::string& alt) {
    return "<img alt=\"" + html_escaped(alt) + "\" src=\"data:image/png;base64," + base64(encode_png(picture)) + "\">";
}

std::string html_head(const std::string& title) {
    return "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
           "content=\"width=device-width\">\n<title>" +
           html_escaped(title) + "</title>\n" + STYLE;
}

void make_folder(const std::string& folder) {
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed) throw Error("the folder cannot be made: " + failed.message(), folder);
}

void write_text(const std::string& path, const std::string& text) {
    write_file(path, text.data(), text.size());
}

}  // namespace leon
