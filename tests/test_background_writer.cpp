// Blocks that are written on a thread of their own: all of them, in order, in bounded memory, and what goes wrong comes
// back to whoever made them.
#include <atomic>

#include "kernels/check.h"
#include "weights_converter/background_writer.h"

#include "tests/testing.h"

namespace leon {
namespace {

using Block = std::vector<uint8_t>;

TEST_CASE("background writer: everything is written, in order, and memory comes back") {
    Block all, expected;
    std::atomic<size_t> made = 0, done = 0, most = 0;
    {
        BackgroundWriter writer(
            [&](const Block& block) {
                most = std::max<size_t>(most, made - done);
                all.insert(all.end(), block.begin(), block.end());
                done += block.size();
            },
            100);
        size_t written = 0;
        for (int i = 0; i < 1000; i++) {
            Block block = writer.spare();
            block.resize(static_cast<size_t>(i % 37));
            for (uint8_t& byte : block) expected.push_back(byte = static_cast<uint8_t>(expected.size()));
            made += block.size();
            const size_t now = writer.write(std::move(block));
            CHECK(now >= written);
            written = now;
        }
        CHECK(writer.finish() == expected.size());
    }
    CHECK((all == expected));
    CHECK(most <= 100 + 36);  // what waits, and the block that has just been made
}

TEST_CASE("background writer: a block that is larger than all that may wait goes alone") {
    size_t written = 0;
    BackgroundWriter writer([&](const Block& block) { written += block.size(); }, 10);
    writer.write(Block(1000));
    writer.write(Block(2000));
    CHECK(writer.finish() == 3000);
    CHECK(written == 3000);
}

TEST_CASE("background writer: an error comes back, and nothing is written behind it") {
    std::atomic<int> calls = 0;
    BackgroundWriter writer(
        [&](const Block&) {
            if (++calls == 3) throw Error("the disk is full", "a");
        },
        1);
    const auto write_all = [&] {
        for (int i = 0; i < 100; i++) writer.write(Block(1));
        writer.finish();
    };
    CHECK_THROWS_WITH_AS(write_all(), "a: the disk is full", Error);
    CHECK_THROWS_AS(writer.finish(), Error);
    CHECK(calls == 3);
}

TEST_CASE("background writer: one that is left in the middle stops") {
    std::atomic<int> calls = 0;
    for (int i = 0; i < 20; i++) {
        BackgroundWriter writer([&](const Block&) { calls++; }, 1000);
        for (int block = 0; block < 10; block++) writer.write(Block(5));
    }
    CHECK(calls <= 200);
}

}  // namespace
}  // namespace leon
