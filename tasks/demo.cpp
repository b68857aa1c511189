// The demonstration page; see demo.h. The words stay within the storybook world that the model in the box knows.
#include "tasks/demo.h"

#include <chrono>
#include <cstdio>
#include <vector>

#include "retrieval/vectors.h"
#include "tasks/answers.h"
#include "tasks/fill.h"
#include "tasks/maps.h"
#include "tasks/page.h"
#include "tasks/ranking.h"
#include "tasks/retrieval.h"
#include "tasks/segment.h"
#include "tasks/upscale.h"

namespace leon {
namespace {

constexpr const char* SENTENCES[] = {
    "a car on a sandy beach",
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

// A frame around where something was asked for.
Picture with_frame(Picture picture, const PlacedObject& object) {
    for (int y = object.y0; y < object.y1; y++)
        for (int x = object.x0; x < object.x1; x++) {
            const bool is_edge = y == object.y0 || y == object.y1 - 1 || x == object.x0 || x == object.x1 - 1;
            for (int c = 0; is_edge && c < 3; c++) picture.at(x, y)[c] = c == 0 ? 255 : 0;
        }
    return picture;
}

// The page as it grows: figures in sections, each picture also a PNG beside the page.
class Page {
public:
    Page(const Model& model, std::string folder, const std::function<void(const std::string&)>& say)
        : folder_(std::move(folder)), say_(say) {
        text_ = html_head("leon: pictures and sentences") +
                "<h1>leon draws, looks and answers</h1>\n<p>Model: " + html_escaped(model.config().name) +
                ". The words in bold are what was asked for. Seed 1, first result, nothing picked.</p>\n";
    }

    void section(const std::string& title) {
        text_ += (sections_++ == 0 ? "<h2>" : "</div>\n<h2>") + html_escaped(title) + "</h2>\n<div class=grid>\n";
    }
    // `facts`: pairs of a term and what the model says, below the title.
    void figure(const Picture& picture, const std::string& file, const std::string& title,
                const std::vector<std::pair<std::string, std::string>>& facts = {}) {
        save_picture(folder_ + "/" + file, picture);
        text_ += "<figure>" + html_image(picture, title) + "<figcaption><b>" + html_escaped(title) + "</b><dl>";
        std::string line = "\"" + title + "\" -> " + file;
        for (const auto& [term, fact] : facts) {
            text_ += "<dt>" + html_escaped(term) + "</dt><dd>" + html_escaped(fact) + "</dd>";
            line += "; " + term + " \"" + fact + "\"";
        }
        text_ += "</dl></figcaption></figure>\n";
        say_(line);
    }
    std::string finish(const std::string& last) {
        const std::string path = folder_ + "/index.html";
        write_text(path, text_ + "</div>\n<p><small>" + html_escaped(last) + "</small></p></html>\n");
        return path;
    }

private:
    std::string folder_, text_;
    const std::function<void(const std::string&)>& say_;
    int sections_ = 0;
};

struct Demo {
    const Model& model;
    const std::string& folder;
    Page& page;
    Settings settings;
    std::vector<Picture> pictures;  // of the sentences

    std::string seen(const Picture& picture) const { return describe(model, picture, settings).text; }
    Picture drawn(const DrawRequest& request) const { return draw(model, request, settings).pictures.at(0); }

    void sentences() {
        page.section("Drawn from a sentence, then looked at");
        for (const char* sentence : SENTENCES) {
            pictures.push_back(draw(model, sentence, settings).pictures.at(0));
            const char* question = QUESTIONS[(pictures.size() - 1) % std::size(QUESTIONS)];
            page.figure(
                pictures.back(), std::to_string(pictures.size()) + ".png", sentence,
                {{"sees", seen(pictures.back())}, {question, ask(model, pictures.back(), question, settings).text}});
        }
        save_picture(folder + "/sheet.png", contact_sheet(pictures, COLUMNS));
    }

    void edits() {
        page.section("Edited, and filled");
        const std::pair<int, const char*> edits[] = {{1, "add a cat"},
                                                     {0, "turn the car into a dog"},
                                                     {3, "remove the cactus"},
                                                     {5, "put everything in a desert"}};
        int number = 0;
        for (const auto& [of, instruction] : edits) {
            const Picture changed = edit(model, pictures.at(of), instruction, settings).pictures.at(0);
            page.figure(changed, "edit-" + std::to_string(++number) + ".png",
                        "picture " + std::to_string(of + 1) + ": " + instruction, {{"sees", seen(changed)}});
        }
        // The cactus gives way: a hole over the right of the fourth picture, filled with a desert with only a balloon.
        const Picture& whole = pictures.at(3);
        const PixelBox box{whole.width * 9 / 16, whole.height / 4, whole.width, whole.height * 7 / 8};
        const std::string wish = "a balloon in a desert";
        page.figure(with_hole(whole, box), "hole.png", "picture 4 with a hole");
        const Picture filled = fill(model, whole, box, wish, settings).pictures.at(0);
        page.figure(filled, "filled.png", wish, {{"sees", seen(filled)}});
    }

    void structures() {
        page.section("Drawn after a map, boxes, a word");
        DrawRequest request;
        request.text = SENTENCES[2];
        request.kind = "edges";
        request.map = edge_map(pictures.at(2), {});
        page.figure(*request.map, "edges.png", "edges of picture 3");
        page.figure(drawn(request), "from-edges.png", request.text + ", after these edges");

        DrawRequest placed;
        placed.text = "a dog on a green meadow";
        placed.objects = {{"dog", 72, 64, 112, 104}};
        page.figure(with_frame(drawn(placed), placed.objects[0]), "placed.png",
                    placed.text + ", " + words_of_objects(placed.objects));

        DrawRequest sign;
        sign.sign = "OPEN";
        page.figure(drawn(sign), "sign.png", "a sign that says OPEN");
    }

    void understanding() {
        page.section("Taken apart, and put into words");
        const Legend legend = storybook_legend();
        const Segmentation parts = segment(model, pictures.at(3), "", legend, settings);
        std::string names;
        for (const LabelRegion& region : parts.regions)
            names += (names.empty() ? "" : ", ") + legend.kinds[static_cast<size_t>(region.label)].name;
        page.figure(paint_map(parts.labels, legend), "segments.png", "segmentation of picture 4", {{"holds", names}});
        page.figure(pictures.at(6), "long.png", "picture 7 at length",
                    {{"sees", describe(model, pictures.at(6), settings, {}, Length::Long).text}});
        const std::string text = "a car ___";
        page.figure(pictures.at(0), "words.png", text,
                    {{"filled", fill_text(model, text, &pictures.at(0), settings).candidates.at(0).text}});
    }

    void help() {
        page.section("With help, and by choice");
        const std::string sentence = "a cat and a house on a green meadow";
        const std::unique_ptr<Embedder> embedder = open_embedder("native", model);
        const std::string path = folder + "/pictures.leonbank";
        BankWriter writer(path, *embedder, model.config().vqgan.resolution);
        for (size_t i = 0; i < pictures.size(); i++)
            writer.add(SENTENCES[i], &pictures[i], std::to_string(i + 1) + ".png",
                       document_vector(embedder->text(SENTENCES[i]), embedder->picture(pictures[i])));
        writer.finish();
        const Bank bank(path);
        const Help found = retrieve_for(model, bank, *embedder, sentence, nullptr, 2);
        DrawRequest request;
        request.text = sentence;
        request.retrieved = found.documents;
        std::string sources;
        for (const RetrievedDocument& document : found.sources)
            sources += (sources.empty() ? "" : ", ") + document.text;
        page.figure(drawn(request), "helped.png", sentence, {{"documents from the pictures above", sources}});

        Settings many = settings;
        many.candidates = 4;
        many.strategy = Strategy::Mixture;
        Drawing drawing = draw(model, SENTENCES[1], many);
        rank(drawing, model_scorer(model, settings));
        page.figure(candidate_sheet(drawing), "candidates.png",
                    "four candidates of \"" + std::string(SENTENCES[1]) + "\", the best first",
                    {{"two drawn with guidance, two by contrast; ranked by", "log p(sentence | picture)"}});
        page.figure(upscale(pictures.at(2), "", 4, model.kernels()), "large.png", "picture 3, four times as large",
                    {{"by", "Lanczos; a network does it better: leon upscale"}});
    }
};

}  // namespace

std::string run_demo(const Model& model, const std::string& folder,
                     const std::function<void(const std::string&)>& say) {
    make_folder(folder);
    const auto start = std::chrono::steady_clock::now();
    Page page(model, folder, say);
    Demo demo{model, folder, page, {}, {}};
    demo.settings.seed = 1;
    demo.sentences();
    if (model.documents().joins_by_break()) {
        demo.edits();
        demo.structures();
        demo.understanding();
        demo.help();
    }
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f",
                  std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return page.finish(std::string("Made in ") + seconds + " seconds by the " + model.kernels().name + " backend.");
}

}  // namespace leon
