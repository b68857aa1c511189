// The demonstration page; see demo.h. The sentences stay within the storybook world that the model in the box knows.
#include "tasks/demo.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <span>
#include <vector>

#include "runtime/files.h"
#include "tasks/answers.h"
#include "tasks/pictures.h"

namespace leon {
namespace {

constexpr const char* SENTENCES[] = {
    "a red car on a sandy beach",
    "a house on a green meadow",
    "a sailboat on the open sea",
    "a balloon and a cactus in a desert",
    "an elephant in a field at sunset",
    "a snowman in the snow",
    "a castle and a moon on a field at night",
    "a cat and a gift in a room",
};
constexpr const char* QUESTIONS[] = {"Where is it?", "How many things are there?", "What is in the picture?"};
constexpr int COLUMNS = 4;

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

std::string escaped(const std::string& text) {
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

std::string image_tag(const Picture& picture, const std::string& alt) {
    return "<img alt=\"" + escaped(alt) + "\" src=\"data:image/png;base64," + base64(encode_png(picture)) + "\">";
}

// A picture with the hole shown in grey.
Picture with_hole(Picture picture, const PixelBox& box) {
    for (int y = box.y0; y < box.y1; y++)
        for (int x = box.x0; x < box.x1; x++)
            for (int c = 0; c < 3; c++) picture.at(x, y)[c] = 128;
    return picture;
}

constexpr const char* PAGE_HEAD = R"(<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>leon: pictures and sentences</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fafaf7}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:1.5rem}
figure{margin:0}img{width:100%;image-rendering:pixelated;border-radius:6px}
figcaption b{display:block}small{color:#777}dt{float:left;clear:left;color:#777;margin-right:.5rem}dd{margin:0}
</style>
)";

}  // namespace

std::string run_demo(const Model& model, const std::string& folder,
                     const std::function<void(const std::string&)>& say) {
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed) throw Error("the folder cannot be made: " + failed.message(), folder);

    const auto start = std::chrono::steady_clock::now();
    Settings settings;
    settings.seed = 1;
    std::string page =
        std::string(PAGE_HEAD) + "<h1>leon draws, looks and answers</h1>\n<p>Model: " + escaped(model.config().name) +
        ". Each picture was drawn from the sentence in bold; what stands below it is what the same "
        "model says when it looks at its own picture. Seed 1, first result, nothing picked.</p>\n<div class=grid>\n";
    std::vector<Picture> pictures;
    for (const char* sentence : SENTENCES) {
        const Picture picture = draw(model, sentence, settings).pictures.at(0);
        const std::string said = describe(model, picture, settings).text;
        const char* question = QUESTIONS[pictures.size() % std::size(QUESTIONS)];
        const std::string answer = ask(model, picture, question, settings).text;
        save_picture(folder + "/" + std::to_string(pictures.size() + 1) + ".png", picture);
        pictures.push_back(picture);
        page += "<figure>" + image_tag(picture, sentence) + "<figcaption><b>" + escaped(sentence) +
                "</b><dl><dt>sees</dt><dd>" + escaped(said) + "</dd><dt>" + escaped(question) + "</dt><dd>" +
                escaped(answer) + "</dd></dl></figcaption></figure>\n";
        say("\"" + std::string(sentence) + "\" -> " + std::to_string(pictures.size()) + ".png; sees \"" + said +
            "\"; " + question + " \"" + answer + "\"");
    }
    save_picture(folder + "/sheet.png", contact_sheet(pictures, COLUMNS));

    // The cactus gives way: a hole over the right of the fourth picture, filled with a desert that has only a balloon.
    const Picture& whole = pictures.at(3);
    const PixelBox box{whole.width * 9 / 16, whole.height / 4, whole.width, whole.height * 7 / 8};
    const std::string wish = "a balloon in a desert";
    const Picture filled = fill(model, whole, box, wish, settings).pictures.at(0);
    save_picture(folder + "/filled.png", filled);
    page += "</div>\n<h2>A hole, filled</h2>\n<div class=grid><figure>" +
            image_tag(with_hole(whole, box), "with a hole") +
            "<figcaption>the fourth picture with a hole</figcaption></figure><figure>" + image_tag(filled, wish) +
            "<figcaption><b>" + escaped(wish) + "</b>sees: " + escaped(describe(model, filled, settings).text) +
            "</figcaption></figure></div>\n";
    say("hole filled with \"" + wish + "\" -> filled.png");

    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f",
                  std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    page += std::string("<p><small>Made in ") + seconds + " seconds by the " + model.kernels().name +
            " backend.</small></p></html>\n";
    std::string path = folder + "/index.html";
    write_file(path, page.data(), page.size());
    return path;
}

}  // namespace leon
