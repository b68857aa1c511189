// Tokenizers learnt from texts: what must stay stays, what is frequent becomes one token, and every text comes back.
#include "training/tokenizer_training.h"

#include <cstring>

#include "runtime/weights_file.h"
#include "tasks/model.h"
#include "tests/temporary_folder.h"
#include "tests/testing.h"
#include "tokenizer/bpe.h"
#include "tokenizer/vocabulary.h"
#include "training/storybook/texts.h"

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
    CHECK(contains(error_of([] { train_tokenizer(base(), "base", TEXTS, 1000); }), "1318"));
    CHECK(error_of([] { train_tokenizer("{}", "empty", TEXTS, 2000); }) != "");
    CHECK(error_of([] { train_tokenizer("{", "broken", TEXTS, 2000); }) != "");
}

TEST_CASE("tokenizer training: a model with another tokenizer keeps its VQGAN, and has no transformer") {
    TemporaryFolder folder;
    const WeightsFile old("models/storybook.leon");
    const std::string tokenizer = train_tokenizer(base(), "base", TEXTS, 1400);
    write_with_tokenizer(folder / "base.leon", old, tokenizer);
    const WeightsFile fresh(folder / "base.leon");
    CHECK(fresh.tokenizer_json() == tokenizer);
    CHECK(!fresh.has_prefix("transformer."));
    for (const auto& [name, tensor] : old.file().tensors()) {
        if (!name.starts_with("vqgan.")) continue;
        const StoredTensor* kept = fresh.file().find(name);
        REQUIRE(kept);
        CHECK(std::memcmp(fresh.file().data(*kept), old.file().data(tensor), tensor.bytes) == 0);
    }
    CHECK(Model(folder / "base.leon", cpu_kernels()).decoder().config().codes == 1024);
}

TEST_CASE("tokenizer training: the storybook's words become tokens, its signs stay letters") {
    const World world;
    const TextCounts texts = storybook_texts(world, default_kinds(), FIRST_TRAINING_SEED, 400);
    const Tokenizer tokenizer(train_tokenizer(base(), "base", texts, 1792), "storybook");
    CHECK(
        tokenizer.encode("Describe all the objects in the given image in very detail. ", ControlTokens::AsText).size() <
        25);
    CHECK(tokenizer.encode("draw \"QXZWK\"", ControlTokens::AsText).size() >= 8);
    for (const auto& text : texts)
        CHECK(tokenizer.decode(tokenizer.encode(text.first, ControlTokens::AsText)) == text.first);
}
