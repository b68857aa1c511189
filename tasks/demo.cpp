// The demonstration page; see demo.h. The sentences stay within the storybook world that the model in the box knows.
#include "tasks/demo.h"

#include <chrono>
#include <cstdio>
#include <vector>

#include "tasks/answers.h"
#include "tasks/fill.h"
#include "tasks/maps.h"
#include "tasks/page.h"
#include "tasks/ranking.h"
#include "tasks/upscale.h"

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

// A picture with the hole shown in grey.
Picture with_hole(Picture picture, const PixelBox& box) {
    for (int y = box.y0; y < box.y1; y++)
        for (int x = box.x0; x < box.x1; x++)
            for (int c = 0; c < 3; c++) picture.at(x, y)[c] = 128;
    return picture;
}

std::string figure(const Picture& picture, const std::string& title, const std::string& more) {
    return "<figure>" + html_image(picture, title) + "<figcaption><b>" + html_escaped(title) + "</b>" +
           html_escaped(more) + "</figcaption></figure>\n";
}

// Candidates and their ranking, a missing word, documents that help, a map, an enlargement.
std::string more_tasks(const Model& model, const std::string& folder, const Settings& settings,
                       const std::vector<Picture>& pictures, const std::function<void(const std::string&)>& say) {
    std::string page = "<h2>And also</h2>\n<div class=grid>\n";
    const auto add = [&](const Picture& picture, const std::string& file, const std::string& title,
                         const std::string& more) {
        save_picture(folder + "/" + file, picture);
        page += figure(picture, title, more);
        say(title + " -> " + file);
    };
    const std::string sentence = SENTENCES[1];
    Settings many = settings;
    many.candidates = 4;
    many.strategy = Strategy::Mixture;
    Drawing drawing = draw(model, sentence, many);
    rank(drawing, caption_scorer(model, sentence, settings));
    add(candidate_sheet(drawing), "candidates.png", "four candidates of \"" + sentence + "\", the best first",
        "half of them drawn with guidance, half by contrast; ranked by log p(sentence | picture)");

    if (model.documents().joins_by_break()) {
        const std::string text = "a car ___";
        const FilledTexts words = fill_text(model, text, &pictures.at(0), settings);
        add(pictures.at(0), "words.png", text, words.candidates.at(0).text);
    }
    add(edge_map(pictures.at(0), {}), "edges.png", "edges of the first picture", "a map to draw after: leon map");
    add(upscale(pictures.at(2), "", 4, model.kernels()), "large.png", "the third picture, four times as large",
        "by Lanczos; a network does it better: leon upscale");
    return page + "</div>\n";
}

}  // namespace

std::string run_demo(const Model& model, const std::string& folder,
                     const std::function<void(const std::string&)>& say) {
    make_folder(folder);
    const auto start = std::chrono::steady_clock::now();
    Settings settings;
    settings.seed = 1;
    std::string page =
        html_head("leon: pictures and sentences") +
        "<h1>leon draws, looks and answers</h1>\n<p>Model: " + html_escaped(model.config().name) +
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
        page += "<figure>" + html_image(picture, sentence) + "<figcaption><b>" + html_escaped(sentence) +
                "</b><dl><dt>sees</dt><dd>" + html_escaped(said) + "</dd><dt>" + html_escaped(question) + "</dt><dd>" +
                html_escaped(answer) + "</dd></dl></figcaption></figure>\n";
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
            html_image(with_hole(whole, box), "with a hole") +
            "<figcaption>the fourth picture with a hole</figcaption></figure><figure>" + html_image(filled, wish) +
            "<figcaption><b>" + html_escaped(wish) +
            "</b>sees: " + html_escaped(describe(model, filled, settings).text) + "</figcaption></figure></div>\n";
    say("hole filled with \"" + wish + "\" -> filled.png");
    page += more_tasks(model, folder, settings, pictures, say);

    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f",
                  std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    page += std::string("<p><small>Made in ") + seconds + " seconds by the " + model.kernels().name +
            " backend.</small></p></html>\n";
    std::string path = folder + "/index.html";
    write_text(path, page);
    return path;
}

}  // namespace leon
