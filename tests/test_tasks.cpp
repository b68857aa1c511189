// Tasks from end to end, for every family on tiny random models and on the model in the box: that each runs, gives what
// its contract says, and decodes as it claims. What random weights draw means nothing; that it is the same does.
#include <algorithm>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/score.h"
#include "tasks/answers.h"
#include "tasks/dialogue.h"
#include "tasks/fill.h"
#include "tasks/pictures.h"
#include "tasks/ranking.h"
#include "tasks/writing.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_model.h"
#include "tokenizer/unicode.h"

#include "tests/testing.h"

using namespace leon;

namespace {

constexpr Layout LAYOUTS[] = {Layout::CM3Leon, Layout::Chameleon, Layout::Anole, Layout::Lumina};

Picture gradient(int width, int height) {
    Picture picture(width, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t* p = picture.at(x, y);
            p[0] = static_cast<uint8_t>(x * 255 / width);
            p[1] = static_cast<uint8_t>(y * 255 / height);
            p[2] = 90;
        }
    return picture;
}

Settings with_seed(uint64_t seed, int candidates = 1) {
    Settings settings;
    settings.seed = seed;
    settings.candidates = candidates;
    return settings;
}

}  // namespace

TEST_CASE("tasks: every picture task of every family runs, cell for cell") {
    for (Layout layout : LAYOUTS) {
        CAPTURE(name_of(layout));
        const TinyModel tiny(layout);
        const Picture given = gradient(50, 40);
        int run = 0;
        for (int i = 0; i <= static_cast<int>(Task::EstimatePose); i++) {
            const Task task = static_cast<Task>(i);
            const Template* row = find_template(layout, task);
            if (!row || row->parts.back() != "{new picture}") continue;
            CAPTURE(name_of(task));
            Fields fields;
            fields.text = {{"text", "a dog"},
                           {"instruction", "add a cat"},
                           {"kind", words_of_map("depth")},
                           {"objects", "dog at location (1, 2) -> (3, 4)"},
                           {"word", "NO"},
                           {"object", "dog"}};
            fields.pictures["picture"] = fields.pictures["map"] = picture_part_of(*tiny, frame_of(*tiny, given));
            const Drawing drawing = make_picture(*tiny, task, fields, with_seed(5, 2));
            REQUIRE(drawing.pictures.size() == 2);
            CHECK(drawing.pictures[0].width == TINY_SIDE);
            CHECK(drawing.grids[0].cells() == TINY_GRID * TINY_GRID);
            CHECK(drawing.statistics.tokens == 2 * TINY_GRID * TINY_GRID);
            CHECK(drawing.grids[1].codes == make_picture(*tiny, task, fields, with_seed(6)).grids[0].codes);
            run++;
        }
        CHECK(run >= 2);
    }
}

TEST_CASE("tasks: Lumina-mGPT draws any size of its own, others squares only") {
    const TinyModel lumina(Layout::Lumina, cpu_kernels(), 512);
    DrawRequest request;
    request.text = "a dog";
    request.size = {48, 32};
    const Drawing drawing = draw(*lumina, request, with_seed(1));
    CHECK(drawing.pictures[0].width == 48);
    CHECK(drawing.pictures[0].height == 32);
    request.size = {40, 32};
    CHECK_THROWS_AS(draw(*lumina, request, with_seed(1)), Error);
    const TinyModel anole(Layout::Anole);
    request.size = {64, 32};
    CHECK_THROWS_AS(draw(*anole, request, with_seed(1)), Error);
    request.size = {32, 32};
    CHECK_NOTHROW(draw(*anole, request, with_seed(1)));
}

TEST_CASE("tasks: guidance of weight 1 equals plain sampling, with two streams and with three") {
    for (Layout layout : {Layout::CM3Leon, Layout::Anole}) {
        const TinyModel tiny(layout);
        Fields fields;
        fields.text["instruction"] = "add a cat";
        fields.pictures["picture"] = picture_part_of(*tiny, frame_of(*tiny, gradient(32, 32)));
        const Prompt prompt = query(template_of(layout, Task::Edit), fields);
        Prompt sized = prompt;
        sized.rows = sized.cols = TINY_GRID;
        const Settings settings = with_seed(3);
        const auto codes = [&](const Guidance& guidance) {
            return complete(*tiny, sized, guidance, settings).candidates[0].picture.codes;
        };
        const auto plain = codes({1, 0});
        CHECK(codes({1, 1}) == plain);
        CHECK(codes({5, 0}) != plain);
        CHECK(codes({5, 2}) != codes({5, 0}));
    }
}

TEST_CASE("tasks: contrast and ranking need something to go by") {
    const TinyModel tiny(Layout::CM3Leon);
    Settings contrastive = with_seed(1);
    contrastive.strategy = Strategy::Contrastive;
    const HoleInFrame hole = place_hole(gradient(32, 32), {0, 0, 16, 16}, TINY_SIDE, 8);
    CHECK_THROWS_AS(fill(*tiny, hole, "", contrastive), Error);
    CHECK_NOTHROW(fill(*tiny, hole, "a dog", contrastive));
    CHECK_THROWS_AS(check_ranking(*tiny, "", false, RankBy::Model), Error);
    CHECK_THROWS_AS(check_ranking(*tiny, "", true, RankBy::Embedder), Error);
    CHECK_NOTHROW(check_ranking(*tiny, "", true, RankBy::Model));
    CHECK_NOTHROW(check_ranking(*tiny, "a dog", false, RankBy::Embedder));
    // The end of the document in front of the filling is a choice, and matters.
    Settings unclosed = with_seed(1);
    unclosed.unclosed = true;
    CHECK(fill(*tiny, hole, "a dog", unclosed).prompt != fill(*tiny, hole, "a dog", with_seed(1)).prompt);
    CHECK_THROWS_AS(parse_size("12"), Error);
    CHECK(parse_size("768x512") == std::pair{768, 512});
    CHECK_THROWS_AS(estimate(*tiny, gradient(32, 32), "depth", with_seed(1)), Error);  // not of this family
    const TinyModel lumina(Layout::Lumina);
    CHECK(estimate(*lumina, gradient(32, 32), "depth", with_seed(1)).pictures.size() == 1);
    CHECK_THROWS_AS(estimate(*lumina, gradient(32, 32), "smell", with_seed(1)), Error);
    CHECK_THROWS_AS(check_ranking(*lumina, "", true, RankBy::Model), Error);  // no holes, so no map is read back
}

TEST_CASE("tasks: a mixture draws every other candidate by contrast") {
    const TinyModel tiny(Layout::CM3Leon);
    Settings mixture = with_seed(10, 4), top_p = with_seed(10, 4), contrastive = with_seed(10, 4);
    mixture.strategy = Strategy::Mixture;
    contrastive.strategy = Strategy::Contrastive;
    const auto a = draw(*tiny, "a dog", mixture).grids, b = draw(*tiny, "a dog", top_p).grids,
               c = draw(*tiny, "a dog", contrastive).grids;
    for (int i : {0, 2}) CHECK(a[i] == b[i]);
    for (int i : {1, 3}) CHECK(a[i] == c[i]);
    CHECK(b[1] != c[1]);
    CHECK(b[0] != c[0]);
}

TEST_CASE("tasks: candidates are ranked by how likely the model describes them so") {
    const Model model("models/storybook.leon", cpu_kernels());
    const std::string caption = "a house on a green meadow";
    Drawing drawing = draw(model, caption, with_seed(1, 3));
    const Drawing before = drawing;
    const Scorer scorer = model_scorer(model, {});
    rank(drawing, scorer);
    REQUIRE(drawing.scores.size() == 3);
    CHECK(std::is_sorted(drawing.scores.rbegin(), drawing.scores.rend()));
    CHECK(drawing.scores == scorer(drawing));
    for (size_t i = 0; i < 3; i++) CHECK(drawing.grids[i] == before.grids[drawing.seeds[i] - 1]);
    // The mark of what the model says by itself is that answer's own.
    const Answer said = describe(model, drawing.pictures[0], {});
    Drawing again;
    again.grids.push_back(picture_part_of(model, drawing.pictures[0]).picture);
    again.wish.caption = said.text;
    CHECK(model_scorer(model, {})(again)[0] == doctest::Approx(said.log_probability).epsilon(1e-4));
}

TEST_CASE("tasks: the best of n is the first of n that are ranked, where there is a caption") {
    const TinyModel tiny(Layout::CM3Leon);
    const Picture picture = gradient(TINY_SIDE, TINY_SIDE);
    const PixelBox box{0, 0, TINY_SIDE / 2, TINY_SIDE};
    std::set<uint64_t> chosen;
    for (uint64_t seed = 0; seed < 12; seed += 4) {
        Settings best = with_seed(seed);
        best.best_of = 4;
        const auto check = [&](const Drawing& kept, Drawing all) {
            rank(all, model_scorer(*tiny, {}));
            REQUIRE(kept.pictures.size() == 1);
            CHECK(kept.grids[0] == all.grids[0]);
            CHECK(kept.seeds == std::vector{all.seeds[0]});
            CHECK(kept.pictures[0].rgb == all.pictures[0].rgb);
            chosen.insert(kept.seeds[0] - seed);
        };
        check(draw(*tiny, "a dog", best), draw(*tiny, "a dog", with_seed(seed, 4)));
        check(fill(*tiny, picture, box, "a dog", best), fill(*tiny, picture, box, "a dog", with_seed(seed, 4)));
        // An instruction is no caption.
        CHECK(edit(*tiny, picture, "add a dog", best).grids ==
              edit(*tiny, picture, "add a dog", with_seed(seed)).grids);
    }
    CHECK(chosen.size() > 1);
    Settings both = with_seed(0, 2);
    both.best_of = 2;
    CHECK_THROWS_AS(draw(*tiny, "a dog", both), Error);
    both = with_seed(0);
    both.best_of = 65;
    CHECK_THROWS_AS(draw(*tiny, "a dog", both), Error);
}

TEST_CASE("tasks: what is drawn after a map is ranked by how well caption and map are read back") {
    const TinyModel tiny(Layout::CM3Leon);
    const Vocabulary& v = (*tiny).vocabulary();
    const DocumentWriter& writer = (*tiny).documents();
    for (const char* text : {"a dog", ""}) {
        CAPTURE(std::string(text));
        DrawRequest request;
        request.text = text;
        request.map = gradient(TINY_SIDE, TINY_SIDE);
        request.kind = "segmentation";
        Drawing drawing = draw(*tiny, request, with_seed(1, 4));
        REQUIRE(drawing.wish.map.codes.size() == TINY_GRID * TINY_GRID);
        const std::vector<double> marks = model_scorer(*tiny, {})(drawing);
        Drawing without_map = drawing;
        without_map.wish.map = {};
        const std::vector<double> of_caption = model_scorer(*tiny, {})(without_map);
        REQUIRE(marks.size() == 4);
        for (size_t i = 0; i < 4; i++) {
            // </s> words <break> <sentinel:0> <break> caption <break> codes </s> <sentinel:0> | the map's codes
            std::vector<int32_t> prompt{v.eos};
            const auto add = [&](const std::vector<int32_t>& ids) {
                prompt.insert(prompt.end(), ids.begin(), ids.end());
            };
            add(writer.text_ids("Make high quality image from a segmentation map"));
            add({v.brk, v.sentinels[0], v.brk});
            add(writer.text_ids(text));
            add({v.brk});
            add(writer.image_ids(drawing.grids[i].codes));
            add({v.eos, v.sentinels[0]});
            ScoreOptions options;
            options.allowed = v.image();
            double of_map = 0;
            for (double each : log_probabilities((*tiny).config().transformer, (*tiny).weights(), (*tiny).kernels(),
                                                 prompt, writer.image_ids(drawing.wish.map.codes), options))
                of_map += each;
            CHECK(of_map < 0);
            CHECK((of_caption[i] < 0) == (*text != 0));
            CHECK(marks[i] == doctest::Approx(of_caption[i] + MAP_WEIGHT * of_map).epsilon(1e-5));
        }
        rank(drawing, model_scorer(*tiny, {}));
        Settings best = with_seed(1);
        best.best_of = 4;
        CHECK(draw(*tiny, request, best).grids[0] == drawing.grids[0]);
        CHECK(drawing.scores.front() > drawing.scores.back());
    }
}

TEST_CASE("tasks: signs are ranked by how well the model fills in what was asked for") {
    const TinyModel tiny(Layout::CM3Leon);
    const Vocabulary& v = (*tiny).vocabulary();
    const DocumentWriter& writer = (*tiny).documents();
    DrawRequest request;
    request.sign = "PONY";
    Drawing drawing = draw(*tiny, request, with_seed(1, 4));
    const std::vector<double> marks = model_scorer(*tiny, {})(drawing);
    REQUIRE(marks.size() == 4);
    for (size_t i = 0; i < 4; i++) {
        // </s> <sentinel:0> <break> codes </s> <sentinel:0> | draw "PONY" <eoss>
        std::vector<int32_t> prompt{v.eos, v.sentinels[0], v.brk};
        const std::vector<int32_t> codes = writer.image_ids(drawing.grids[i].codes);
        prompt.insert(prompt.end(), codes.begin(), codes.end());
        prompt.insert(prompt.end(), {v.eos, v.sentinels[0]});
        std::vector<int32_t> said = writer.text_ids("draw \"PONY\"");
        said.push_back(writer.end_of_answer());
        CHECK(marks[i] == doctest::Approx(log_probabilities_of(*tiny, prompt, {said}, DType::F32)[0]).epsilon(1e-5));
    }
    rank(drawing, model_scorer(*tiny, {}));
    CHECK(drawing.scores.front() > drawing.scores.back());
    Settings best = with_seed(1);
    best.best_of = 4;
    CHECK(draw(*tiny, request, best).grids[0] == drawing.grids[0]);
    // A word that is a caption is described.
    Drawing caption = draw(*tiny, "PONY", with_seed(1, 4));
    CHECK(!caption.wish.sign);
    caption.grids = drawing.grids;
    CHECK(model_scorer(*tiny, {})(caption)[0] != doctest::Approx(drawing.scores[0]).epsilon(1e-5));
}

TEST_CASE("tasks: many prompts in one batch give what each gives alone") {
    const TinyModel tiny(Layout::CM3Leon);
    const Picture picture = gradient(TINY_SIDE, TINY_SIDE);
    Settings settings = with_seed(0, 2);
    settings.max_tokens = 9;
    std::vector<CompletionRequest> requests;
    const auto add = [&](Task task, Fields fields, uint64_t seed) {
        const Template& row = template_of(Layout::CM3Leon, task);
        fields.rows = fields.cols = TINY_GRID;
        requests.push_back({query(row, fields), guidance_for(row, settings), seed});
    };
    Fields fields = fields_for(*tiny, picture);
    fields.text = {
        {"text", "a dog"}, {"instruction", "no dog"}, {"question", "where?"}, {"text with holes", "a ___ on ___"}};
    add(Task::Draw, fields, 5);
    add(Task::Edit, fields, 6);
    add(Task::Ask, fields, 7);
    add(Task::Draw, fields, 8);
    add(Task::FillTextOfPicture, fields, 9);
    fields.pictures["picture"].hidden.assign(TINY_GRID * TINY_GRID, 0);
    for (int cell : {1, 2, 5, 6, 15}) fields.pictures["picture"].hidden[static_cast<size_t>(cell)] = 1;
    add(Task::FillPicture, fields, 10);

    const std::vector<Completions> together = complete(*tiny, requests, settings);
    REQUIRE(together.size() == requests.size());
    for (size_t i = 0; i < requests.size(); i++) {
        CAPTURE(i);
        settings.seed = requests[i].seed;
        const Completions alone = complete(*tiny, requests[i].prompt, requests[i].guidance, settings);
        CHECK(together[i].prompt == alone.prompt);
        REQUIRE(together[i].candidates.size() == alone.candidates.size());
        for (size_t c = 0; c < alone.candidates.size(); c++) {
            const Completion &a = together[i].candidates[c], &b = alone.candidates[c];
            CHECK(a.picture == b.picture);
            CHECK(a.text_ids == b.text_ids);
            CHECK(a.complete == b.complete);
            REQUIRE(a.fillings.size() == b.fillings.size());
            for (size_t f = 0; f < a.fillings.size(); f++) {
                CHECK(a.fillings[f].text == b.fillings[f].text);
                CHECK(a.fillings[f].codes == b.fillings[f].codes);
            }
        }
    }
    CHECK(together[0].candidates[0].picture != together[3].candidates[0].picture);

    int pictures = 0;
    Progress progress;
    progress.picture = [&](int candidate, std::span<const int32_t> codes, int total) {
        CHECK(candidate < 12);
        return static_cast<int>(codes.size()) < total || ++pictures < 2;
    };
    for (const Completions& c : complete(*tiny, requests, settings, progress)) {
        CHECK(c.cancelled);
        CHECK(c.candidates.empty());
    }
}

TEST_CASE("tasks: answers come with their probability, the likeliest first") {
    const Model model("models/storybook.leon", cpu_kernels());
    const Picture picture = load_picture("docs/pictures/car.png");
    Settings settings = with_seed(1, 6);
    settings.temperature = 1.5f;
    const auto all = answers(model, picture, Task::Ask, "Where is it?", settings);
    REQUIRE(all.size() == 6);
    for (size_t i = 1; i < all.size(); i++) CHECK(all[i - 1].log_probability >= all[i].log_probability);
    CHECK(all.front().log_probability < 0);
    CHECK(ask(model, picture, "Where is it?", {}).text == "on a sandy beach");
    CHECK_THROWS_AS(ask(model, picture, " ", {}), Error);
    for (Layout layout : LAYOUTS) {
        const TinyModel tiny(layout);
        Settings few;
        few.max_tokens = 5;
        const Answer answer = describe(*tiny, picture, few, {}, Length::Long);
        CHECK((answer.complete || answer.statistics.tokens == 5));
        CHECK(!answer.prompt.empty());
    }
}

TEST_CASE("tasks: retrieved documents change what is drawn, and are for CM3Leon's family only") {
    const TinyModel tiny(Layout::CM3Leon);
    DrawRequest request;
    request.text = "a dog";
    const Drawing plain = draw(*tiny, request, with_seed(2));
    request.retrieved = {{{text_part("a cat"), picture_part_of(*tiny, frame_of(*tiny, gradient(32, 32)))}}};
    const Drawing helped = draw(*tiny, request, with_seed(2));
    CHECK(helped.grids[0] != plain.grids[0]);
    Settings keeps = with_seed(2);
    keeps.unconditional_keeps = UnconditionalKeeps::Retrieved;
    CHECK(draw(*tiny, request, keeps).grids[0] != helped.grids[0]);
    const TinyModel anole(Layout::Anole);
    CHECK_THROWS_AS(draw(*anole, request, with_seed(2)), Error);
    const auto asked = [&](const std::vector<Document>& retrieved) {
        return answers(*tiny, gradient(32, 32), Task::Ask, "what?", with_seed(1), {}, retrieved).front().prompt;
    };
    CHECK(asked(request.retrieved).size() > asked({}).size());
}

TEST_CASE("tasks: a document goes on within its limits") {
    const TemporaryFolder folder;
    for (Layout layout : LAYOUTS) {
        CAPTURE(name_of(layout));
        const TinyModel tiny(layout);
        const std::vector<Content> given = {{"a dog", {}}, {"", frame_of(*tiny, gradient(40, 40))}, {"and", {}}};
        for (uint64_t seed : {1, 2, 3}) {
            WritingLimits limits;
            limits.max_tokens = 90;
            limits.max_pictures = 2;
            const Written written = write_on(*tiny, given, limits, with_seed(seed));
            CHECK(written.statistics.tokens <= 90);
            const auto pictures = std::count_if(written.contents.begin(), written.contents.end(),
                                                [](const Content& c) { return c.is_picture(); });
            CHECK(pictures <= 2);
            CHECK(written.parts.size() == written.contents.size());
            CHECK((written.finished || written.statistics.tokens > 0));
        }
    }
    const std::vector<Content> contents = {{"a <b>dog</b>", {}}, {"", gradient(8, 8)}};
    const std::string page = save_writing(folder / "story", contents, {{"an end", {}}});
    CHECK(contains(read_text(page), "a &lt;b&gt;dog"));
    CHECK(contains(read_text(page), "data:image/png;base64,"));
    CHECK(read_text(folder / "story/index.md") == "a <b>dog</b>\n\n![](1.png)\n\nan end\n\n");
    CHECK(load_picture(folder / "story/1.png").rgb == gradient(8, 8).rgb);
}

TEST_CASE("tasks: Chameleon, which was released without drawing, adds text unless it is told to draw") {
    const TinyModel chameleon(Layout::Chameleon), anole(Layout::Anole);
    const auto pictures = [](const TinyModel& tiny, std::optional<int> most) {
        size_t count = 0;
        for (uint64_t seed = 0; seed < 12; seed++) {
            WritingLimits limits;
            limits.max_tokens = 60;
            limits.max_pictures = most;
            Settings hot = with_seed(seed);  // so that a picture begins somewhere
            hot.temperature = 20;
            hot.top_p = 1;
            for (const Content& content : write_on(*tiny, {{"a dog", {}}}, limits, hot).contents)
                count += content.is_picture();
        }
        return count;
    };
    CHECK(pictures(chameleon, {}) == 0);
    CHECK(pictures(chameleon, 3) > 0);
    CHECK(pictures(anole, {}) > 0);
    CHECK(pictures(anole, 0) == 0);
}

TEST_CASE("tasks: Anole's second picture is guided by its first, as by one of the prompt") {
    const TinyModel anole(Layout::Anole);
    const int codes = anole->grid() * anole->grid();
    int with_two = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        WritingLimits limits;
        limits.max_tokens = 250;
        limits.max_pictures = 2;
        Settings hot = with_seed(seed);  // so that pictures begin somewhere
        hot.temperature = 20;
        hot.top_p = 1;
        const Written written = write_on(*anole, {{"a dog", {}}}, limits, hot);
        const auto pictures = std::count_if(written.contents.begin(), written.contents.end(),
                                            [](const Content& c) { return c.is_picture(); });
        if (pictures < 2) continue;
        with_two++;
        // A third stream has read the first picture, without the words.
        CHECK(written.statistics.prompt_tokens > codes);
    }
    CHECK(with_two > 0);
}

TEST_CASE("tasks: words of a command line are texts or pictures") {
    const TemporaryFolder folder;
    save_picture(folder / "a.png", gradient(8, 8));
    const auto contents = read_contents({"a dog", folder / "a.png", "text:" + (folder / "a.png"), "no such.png"});
    REQUIRE(contents.size() == 4);
    CHECK(!contents[0].is_picture());
    CHECK(contents[1].is_picture());
    CHECK(contents[2].text == folder / "a.png");
    CHECK(contents[3].text == "no such.png");
    CHECK_THROWS_AS(read_contents({"picture:no such.png"}), Error);
}

TEST_CASE("tasks: a dialogue draws, looks, answers, and survives what it does not understand") {
    const TemporaryFolder folder;
    const Model model("models/storybook.leon", cpu_kernels());
    WritingLimits limits;
    int shown = 0;
    Dialogue dialogue(model, with_seed(1), limits, folder / "", [&](const Picture&) { shown++; });
    const auto take = [&](const std::string& line) {
        std::ostringstream out;
        dialogue.take(line, out);
        return out.str();
    };
    CHECK(take("  ") == "");
    CHECK(contains(take("/edit add a dog"), "no picture"));
    CHECK(contains(take("a red car on a sandy beach"), "chat-1.png"));  // nothing was shown: it draws
    CHECK(take("Where is it?") == "on a sandy beach.\n");
    CHECK(contains(take("/image no such.png"), "no such.png"));
    CHECK(contains(take("/fly"), "/help"));
    CHECK(take("/image docs/pictures/sailboat.png") == "");
    CHECK(take("Where is it?") == "on the open sea.\n");
    CHECK(take("/save " + (folder / "saved.png")) == "");
    CHECK(load_picture(folder / "saved.png").rgb == load_picture("docs/pictures/sailboat.png").rgb);
    CHECK(shown == 2);
    CHECK(take("/forget") == "");
    CHECK(contains(take("/save x.png"), "no picture"));
    CHECK(!dialogue.is_over());
    take("/quit");
    CHECK(dialogue.is_over());
}

TEST_CASE("tasks: a conversation forgets its oldest turns rather than failing") {
    const TinyModel tiny(Layout::Chameleon, cpu_kernels(), 128);
    WritingLimits limits;
    limits.max_tokens = 24;
    limits.max_pictures = 0;
    Chat chat(*tiny, with_seed(4), limits);
    chat.show(gradient(32, 32));
    int tokens = 0;
    for (int i = 0; i < 12; i++) tokens += chat.say("tell me more").statistics.tokens;
    CHECK(tokens > 0);
    CHECK(chat.forgot() > 0);
    CHECK_THROWS_AS(chat.say(std::string(4000, 'a')), Error);
    CHECK_NOTHROW(chat.say("go on"));
}

TEST_CASE("tasks: what a model says is made valid UTF-8") {
    CHECK(repaired_utf8("a\xC3\xA4z") == "a\xC3\xA4z");
    CHECK(repaired_utf8("\xC3") == "\xEF\xBF\xBD");
    CHECK(repaired_utf8("a\xFF\xC3z") == "a\xEF\xBF\xBD\xEF\xBF\xBDz");
    CHECK(repaired_utf8("") == "");
}

TEST_CASE("tasks: progress can cancel a picture, an answer and a document") {
    const TinyModel tiny(Layout::CM3Leon);
    Progress progress;
    progress.picture = [](int, std::span<const int32_t> codes, int) { return codes.size() < 5; };
    progress.text = [](const std::string&) { return false; };
    const Drawing drawing = draw(*tiny, "a dog", with_seed(1), progress);
    CHECK(drawing.cancelled);
    CHECK(drawing.pictures.empty());
    CHECK(!describe(*tiny, gradient(32, 32), with_seed(1), progress).complete);
}

TEST_CASE("tasks: what a model's file says of a task holds where nobody says otherwise") {
    const TinyModel tiny(Layout::CM3Leon);
    const TemporaryFolder folder;
    ModelConfig config = tiny->config();
    config.defaults["edit"] = {1.0f, 2.0f, 0.25f, {}};
    config.defaults["draw"] = {4.0f, 5.0f, {}, 3};
    write_random_model(folder / "with.leon", config, DType::F32, 7, tiny->file().tokenizer_json());
    const Model model(folder / "with.leon", cpu_kernels());

    Settings given;
    CHECK(!settled(*tiny, Task::Edit, given).guidance);
    const Settings edit = settled(model, Task::Edit, given), draw = settled(model, Task::Draw, given);
    CHECK(edit.guidance == 1.0f);
    CHECK(edit.image_guidance == 2.0f);
    CHECK(edit.temperature == 0.25f);
    CHECK(draw.guidance == 4.0f);
    CHECK(!draw.image_guidance);  // there is no such stream
    CHECK(!draw.temperature);
    CHECK(draw.best_of == 3);
    given.candidates = 2;  // they are all to be seen
    CHECK(!settled(model, Task::Draw, given).best_of);
    given.candidates = 1;
    CHECK(!settled(model, Task::Ask, given).guidance);
    given.guidance = 3.0f;
    given.strategy = Strategy::Contrastive;
    CHECK(settled(model, Task::Edit, given).guidance == 3.0f);
    CHECK(settled(model, Task::Edit, given).image_guidance == 2.0f);
    CHECK(!settled(model, Task::Edit, given).temperature);

    // And it arrives: greedy edits are the same for every seed.
    const Picture picture(TINY_SIDE, TINY_SIDE, 100);
    config.defaults["edit"] = {1.0f, 1.0f, 0.0f, {}};
    write_random_model(folder / "greedy.leon", config, DType::F32, 7, tiny->file().tokenizer_json());
    const Model greedy(folder / "greedy.leon", cpu_kernels());
    Settings one, other;
    other.seed = 1;
    CHECK(leon::edit(greedy, picture, "a", one).grids[0].codes ==
          leon::edit(greedy, picture, "a", other).grids[0].codes);
    CHECK(leon::edit(*tiny, picture, "a", one).grids[0].codes != leon::edit(*tiny, picture, "a", other).grids[0].codes);
}
