// What the CM3 objective makes of single documents: answers, instructions, drawings that are read back, and what was
// prepared (docs/training_data.md).
#include "training/tests/objective_documents.h"

using namespace leon;
using namespace leon::test_objective;

TEST_CASE("objective: an answer is the one span, as often as the rule says") {
    Doc doc = captioned(8, 16);
    doc.answer_first = 3;
    doc.answer_end = 7;
    for (int i = doc.answer_first; i < doc.answer_end; i++) doc.kinds[static_cast<size_t>(i)] = Answer;
    CutRule rule = rule_of(CutRule::Spans::Fixed, 0);
    rule.answer = 1;
    const Ids said(&doc.ids[3], &doc.ids[7]);
    Ids want(&doc.ids[0], &doc.ids[3]);
    want.push_back(SENTINEL);
    want.insert(want.end(), doc.ids.begin() + 7, doc.ids.end());
    want.push_back(SENTINEL);
    want.insert(want.end(), said.begin(), said.end());
    want.push_back(EOSS);
    const CutDocument c = transform_document(doc.view(), control(), rule, 0, RandomDraws(1, 1));
    CHECK(c.ids == want);
    CHECK(c.kinds.back() == Answer);
    CHECK(std::count(c.kinds.begin(), c.kinds.end(), Answer) == 5);

    rule.answer = 0.3;
    constexpr int TRIES = 20000;
    int cut_out = 0;
    for (uint64_t i = 0; i < TRIES; i++)
        cut_out += spans_in(transform_document(doc.view(), control(), rule, 0, RandomDraws(2, i)));
    check_count(cut_out, 0.3, TRIES);
    doc.answer_end = doc.answer_first;  // none
    rule.answer = 1;
    CHECK(transform_document(doc.view(), control(), rule, 0, RandomDraws(1, 1)).ids == doc.ids);
}

TEST_CASE("objective: the instruction between two pictures goes, and only there") {
    const auto document = [](bool picture_first, bool retrieved_first) {
        Doc doc;
        add(doc, EOS, Text);
        if (picture_first) {
            add_codes(doc, 4, Context);
            add(doc, BRK, Text);
        }
        if (retrieved_first) doc.query = doc.size();
        add_words(doc, 3);
        add(doc, BRK, Text);
        add_codes(doc, 4);
        add(doc, EOS, Text);
        return doc;
    };
    CutRule rule = rule_of(CutRule::Spans::Fixed, 0);
    rule.drop_text = 1;
    const Doc edit = document(true, false);
    const CutDocument c = transform_document(edit.view(), control(), rule, 0, RandomDraws(1, 1));
    Ids want(&edit.ids[0], &edit.ids[6]);
    want.insert(want.end(), edit.ids.begin() + 10, edit.ids.end());
    CHECK(c.ids == want);
    CHECK(std::count(c.kinds.begin(), c.kinds.end(), TokenKind::Picture) == 4);
    CHECK(std::count(c.kinds.begin(), c.kinds.end(), Context) == 4);
    // A caption alone is no instruction, and a retrieved picture is not what an instruction speaks of.
    const Doc caption = document(false, false), helped = document(true, true);
    CHECK(transform_document(caption.view(), control(), rule, 0, RandomDraws(1, 1)).ids == caption.ids);
    CHECK(transform_document(helped.view(), control(), rule, 0, RandomDraws(1, 1)).ids == helped.ids);
    rule.drop_text = 0.2;
    constexpr int TRIES = 10000;
    int dropped = 0;
    for (uint64_t i = 0; i < TRIES; i++)
        dropped += transform_document(edit.view(), control(), rule, 0, RandomDraws(4, i)).ids == want;
    check_count(dropped, 0.2, TRIES);
}

TEST_CASE("objective: what was prepared stays, and what would be too long is not cut") {
    Doc doc = captioned(3, 8);
    doc.ids[2] = SENTINEL;
    doc.prepared = true;
    CutRule rule = rule_of(CutRule::Spans::Fixed, 2, false, 1);
    rule.answer = rule.drop_text = rule.read_back = 1;
    for (const CutRule::Loss loss : {CutRule::Loss::CM3Leon, CutRule::Loss::CM3}) {
        rule.loss = loss;
        const CutDocument c = transform_document(doc.view(), control(), rule, 0, RandomDraws(1, 1));
        CHECK(c.ids == doc.ids);
        CHECK(c.kinds == doc.kinds);
        CHECK(c.learn[2] == (loss == CutRule::Loss::CM3 ? Learn::Not : Learn::Fully));
        CHECK(c.learn[3] == Learn::Fully);
    }

    doc = captioned(3, 8);
    rule = rule_of(CutRule::Spans::Always, 1, false, 1);
    for (int most = doc.size() - 2; most < doc.size() + 6; most++) {
        const CutDocument c = transform_document(doc.view(), control(), rule, most, RandomDraws(1, 1));
        CHECK(spans_in(c) == (most >= doc.size() + 3 ? 1 : 0));
        if (spans_in(c) == 0) CHECK(c.ids == doc.ids);
    }
}

TEST_CASE("objective: what a picture was drawn after is read off it, as often as the rule says") {
    // A retrieved document, perhaps a picture that is given, a text, and the picture to draw.
    const auto document = [](bool helped, bool edit) {
        Doc doc;
        add(doc, EOS, Text);
        if (helped) {
            add_words(doc, 2);
            add(doc, BRK, Text);
            add_codes(doc, 3, Context);
            add(doc, BRK, Text);
            doc.query = doc.size();
        }
        if (edit) {
            add_codes(doc, 4, Context);
            add(doc, BRK, Text);
        }
        add_words(doc, 3);
        add(doc, BRK, Text);
        add_codes(doc, 4);
        add(doc, 2000, Object);
        add(doc, EOS, Text);
        return doc;
    };
    CutRule rule = rule_of(CutRule::Spans::Fixed, 0);
    rule.read_back = 1;
    for (const bool helped : {false, true})
        for (const bool edit : {false, true}) {
            CAPTURE(helped);
            CAPTURE(edit);
            const Doc doc = document(helped, edit);
            const size_t text = doc.ids.size() - 10, picture = text + 3;  // the latter with its <break>
            Ids want(doc.ids.begin(), doc.ids.begin() + static_cast<long>(text));
            want.push_back(SENTINEL);
            want.insert(want.end(), doc.ids.begin() + static_cast<long>(picture), doc.ids.end());
            want.push_back(SENTINEL);
            want.insert(want.end(), &doc.ids[text], &doc.ids[picture]);
            want.push_back(EOSS);
            const CutDocument c = transform_document(doc.view(), control(), rule, 0, RandomDraws(1, 1));
            CHECK(c.ids == want);
            // The picture is given now, and what is to be said is the text with its end.
            CHECK(std::count(c.kinds.begin(), c.kinds.end(), TokenKind::Picture) == 0);
            CHECK(std::count(c.kinds.begin(), c.kinds.end(), Object) == 0);
            CHECK(std::count(c.kinds.begin(), c.kinds.end(), Context) == 5 + 3 * helped + 4 * edit);
            CHECK(std::count(c.kinds.begin(), c.kinds.end(), Answer) == 4);
            CHECK(uncut(c.ids, control()) == doc.ids);
            CHECK(transform_document(doc.view(), control(), rule, doc.size() + 2, RandomDraws(1, 1)).ids == doc.ids);
        }

    // A text of a retrieved document, a picture after a picture, one that is given, and one without a text stay.
    Doc retrieved = document(false, false), map, given, alone;
    retrieved.query = 5;
    for (Doc* doc : {&map, &given, &alone}) add(*doc, EOS, Text);
    add_codes(map, 3, Context);
    add_words(given, 3);
    add(map, BRK, Text);
    add(given, BRK, Text);
    add_codes(map, 3);
    add_codes(given, 3, Context);
    add_codes(alone, 3);
    for (Doc* doc : {&map, &given, &alone}) add(*doc, EOS, Text);
    for (const Doc* doc : {&retrieved, &map, &given, &alone}) {
        const CutDocument c = transform_document(doc->view(), control(), rule, 0, RandomDraws(1, 1));
        CHECK(c.ids == doc->ids);
        CHECK(c.kinds == doc->kinds);
    }

    rule.read_back = 0.3;
    constexpr int TRIES = 20000;
    int read = 0;
    const Doc doc = document(false, false);
    for (uint64_t i = 0; i < TRIES; i++)
        read += spans_in(transform_document(doc.view(), control(), rule, 0, RandomDraws(5, i)));
    check_count(read, 0.3, TRIES);
}
