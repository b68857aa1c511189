// Tokenizers learnt from texts: what must stay stays, what is frequent becomes one token, and every text comes back.
#include "training/tokenizer_training.h"

#include "runtime/weights_file.h"
#include "tests/testing.h"
#include "tokenizer/bpe.h"
#include "tokenizer/vocabulary.h"

using namespace leon;

namespace {

std::string base() {
    return WeightsFile("models/storybook.leon").tokenizer_json();
}

const TextCounts TEXTS = {{"a giraffe on a green meadow", 10},
                          {"a giraffe and an apple in the snow", 10},
                          {"Describe the given picture. a dog", 5},
                          {"dog at location (12, 104) -> (56, 120)", 4}};

}  // namespace

TEST_CASE("tokenizer training: added tokens, codes and bytes keep their ids, frequent words become tokens") {
    const Tokenizer old(base(), "base"), fresh(train_tokenizer(base(), "base", TEXTS, 1400), "fresh");
    CHECK(fresh.size() <= 1400);
    CHECK(fresh.size() > 1318);
    const Vocabulary a = read_vocabulary(old), b = read_vocabulary(fresh);
    CHECK(a.image_first == b.image_first);
    CHECK(a.codes == b.codes);
    CHECK(a.brk == b.brk);
    CHECK(a.sentinels == b.sentinels);
    CHECK(fresh.encode(" giraffe", ControlTokens::AsText).size() == 1);
    // Digits stand alone, as the pre-tokenizer says.
    CHECK(fresh.encode("104", ControlTokens::AsText).size() == 3);
    size_t old_ids = 0, fresh_ids = 0;
    for (const auto& [text, count] : TEXTS) {
        const auto ids = fresh.encode(text, ControlTokens::AsText);
        CHECK(fresh.decode(ids) == text);
        fresh_ids += ids.size();
        old_ids += old.encode(text, ControlTokens::AsText).size();
    }
    CHECK(fresh_ids < old_ids);
    for (const char* text : {"", "never seen: \xc3\xa9\xe2\x82\xac 7%", "  two  blanks ", "<s> no control"})
        CHECK(fresh.decode(fresh.encode(text, ControlTokens::AsText)) == text);
}

TEST_CASE("tokenizer training: the most frequent pair is first, and it ends where nothing comes twice") {
    const std::string trained = train_tokenizer(base(), "base", {{"xyxyxy", 1}, {"xz", 2}}, 1500);
    const Tokenizer tokenizer(trained, "trained");
    // xy: 3, then xyxy (of overlapping pairs one), xz: 2.
    CHECK(tokenizer.id("xy") == 1318);
    CHECK(tokenizer.size() <= 1321);
    CHECK(tokenizer.encode("xz", ControlTokens::AsText).size() == 1);
    CHECK(train_tokenizer(base(), "base", {{"xyxyxy", 1}, {"xz", 2}}, 1500) == trained);
    CHECK(error_of([] { train_tokenizer(base(), "base", TEXTS, 1000); }).find("1318") != std::string::npos);
    CHECK(error_of([] { train_tokenizer("{}", "empty", TEXTS, 2000); }) != "");
    CHECK(error_of([] { train_tokenizer("{", "broken", TEXTS, 2000); }) != "");
}
