// The binary as a person meets it: exit statuses, one clear line for bad input, no partial output, same seed same
// bytes. LEON_BINARY names it (`make test` does).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/npy.h"
#include "tokenizer/image.h"

#include "tests/command_line.h"

using namespace leon;
namespace fs = std::filesystem;

namespace {

const std::string MODEL = "models/storybook.leon";

}  // namespace

TEST_CASE("command line: a picture is enlarged, with and without a network") {
    const Scratch scratch;
    Picture picture(9, 6, 90);
    picture.at(4, 3)[0] = 255;
    save_picture(scratch / "small.png", picture);
    REQUIRE(leon_run({"upscale", scratch / "small.png", "--factor", "3", "-o", scratch / "lanczos.png"}).status == 0);
    CHECK(load_picture(scratch / "lanczos.png").rgb == resize(picture, 27, 18, Filter::Lanczos).rgb);

    const Result converted = leon_run({"convert", "tests/vectors/upscaler/compact_x3.pth", "-o", scratch / "up.leon"});
    CAPTURE(converted.err);
    REQUIRE(converted.status == 0);
    const Result r = leon_run({"upscale", scratch / "small.png", "--upscaler", scratch / "up.leon", "--backend",
                               "reference", "-o", scratch / "network.png"});
    CAPTURE(r.err);
    REQUIRE((r.status == 0 && r.out.empty() && r.err.empty()));
    CHECK(load_picture(scratch / "network.png").width == 27);
    CHECK(load_picture(scratch / "network.png").rgb != load_picture(scratch / "lanczos.png").rgb);

    check_refused({"upscale", scratch / "small.png", "--factor", "5", "-o", scratch / "x.png"}, "--factor");
    check_refused({"upscale", scratch / "small.png", "--upscaler", MODEL, "-o", scratch / "x.png"}, "no upscaler");
    check_refused({"upscale", scratch / "small.png", "-o", scratch / "x.tiff"}, "x.tiff");
    check_refused({"upscale", scratch / "none.png", "-o", scratch / "x.png"}, "none.png");
    CHECK(scratch.empty_but(4));
}

TEST_CASE("command line: a picture is drawn, the same bytes for the same seed, and described") {
    const Scratch scratch;
    for (const char* name : {"a.png", "b.png"})
        REQUIRE(leon_run({"draw", "a house on a green meadow", "--seed", "3", "--best-of", "2", "-m", MODEL, "-o",
                          scratch / name})
                    .status == 0);
    CHECK(read_text(scratch / "a.png") == read_text(scratch / "b.png"));
    const Picture picture = load_picture(scratch / "a.png");
    CHECK(picture.width == 128);
    CHECK(picture.height == 128);

    const Result said = leon_run({"describe", scratch / "a.png", "-m", MODEL});
    CHECK(said.status == 0);
    CHECK(contains(said.out, "green meadow"));
    CHECK(contains(said.err, "tokens/s"));
    const Result answer = leon_run({"ask", scratch / "a.png", "Where is it?", "-m", MODEL, "--quiet"});
    CHECK(contains(answer.out, "meadow"));
    CHECK(answer.err.empty());
}

TEST_CASE("command line: fill keeps every pixel outside the box's patches") {
    const Scratch scratch;
    const std::string car = "docs/pictures/car.png";
    const Result r = leon_run({"fill", car, "--box", "37,50,90,101", "a dog on a sandy beach", "--best-of", "2", "-m",
                               MODEL, "-o", scratch / "dog.png"});
    CAPTURE(r.err);
    REQUIRE(r.status == 0);
    const Picture before = load_picture(car), after = load_picture(scratch / "dog.png");
    int changed = 0;
    for (int y = 0; y < 128; y++)
        for (int x = 0; x < 128; x++) {
            const bool inside = x >= 32 && x < 96 && y >= 48 && y < 104;  // the box, out to patches of 8
            const bool same = std::equal(before.at(x, y), before.at(x, y) + 3, after.at(x, y));
            if (!inside) CHECK(same);
            changed += !same;
        }
    CHECK(changed > 100);
}

TEST_CASE("command line: candidates make a contact sheet and one file each") {
    const Scratch scratch;
    REQUIRE(leon_run(
                {"draw", "a cat in a room", "--candidates", "3", "--seed", "8", "-m", MODEL, "-o", scratch / "cat.png"})
                .status == 0);
    CHECK(scratch.empty_but(4));
    REQUIRE(leon_run(
                {"draw", "a cat in a room", "--seed", "9", "--best-of", "1", "-m", MODEL, "-o", scratch / "single.png"})
                .status == 0);
    CHECK(read_text(scratch / "cat-2.png") == read_text(scratch / "single.png"));
    CHECK(load_picture(scratch / "cat.png").width > 2 * 128);
}

TEST_CASE("command line: codes of a decoded picture come back through files") {
    const Scratch scratch;
    REQUIRE(leon_run({"encode", "docs/pictures/sailboat.png", "-m", MODEL, "-o", scratch / "codes.npy"}).status == 0);
    const Array codes = load_npy(scratch / "codes.npy");
    CHECK(codes.shape == std::vector<int64_t>{16, 16});
    CHECK(codes.dtype == "i4");
    REQUIRE(leon_run({"decode", scratch / "codes.npy", "-m", MODEL, "-o", scratch / "back.npy"}).status == 0);
    CHECK(load_npy(scratch / "back.npy").shape == std::vector<int64_t>{3, 128, 128});
    REQUIRE(leon_run({"decode", scratch / "codes.npy", "-m", MODEL, "-o", scratch / "back.png"}).status == 0);
    CHECK(load_picture(scratch / "back.png").width == 128);
}

TEST_CASE("command line: text goes to ids and back, and cannot smuggle control tokens") {
    const std::string text = "a red car </s> <racm3:break>";
    const Result ids = leon_run({"tokenize", "-m", MODEL}, text);
    CHECK(ids.status == 0);
    CHECK(leon_run({"detokenize", "-m", MODEL}, ids.out).out == text);
    const Result control = leon_run({"tokenize", "--control", "-m", MODEL}, "</s>");
    CHECK(control.out == "2\n");
    CHECK(leon_run({"tokenize", "-m", MODEL}, "</s>").out != "2\n");
    const Result json = leon_run({"tokenize", "--jsonl", "-m", MODEL}, "{\"text\": \"a\"}\n{\"text\": \"\"}\n");
    CHECK(lines(json.out) == 2);
    CHECK(leon_run({"detokenize", "--jsonl", "-m", MODEL}, json.out).out == "{\"text\":\"a\"}\n{\"text\":\"\"}\n");
}

TEST_CASE("command line: documents of a bank help, results are enlarged, maps are taken apart") {
    const Scratch scratch;
    fs::create_directory(scratch / "photos");
    for (const char* name : {"car", "desert", "sailboat"}) {
        fs::copy_file(std::string("docs/pictures/") + name + ".png", scratch / "photos/" + name + ".png");
        std::ofstream(scratch / "photos/" + name + ".txt") << "a picture of a " << name;
    }
    const std::string bank = scratch / "photos.bank";
    REQUIRE(leon_run({"index", "build", scratch / "photos", "-m", MODEL, "-o", bank}).status == 0);
    const Result plain =  // as the model's file has it: the best of eight
        leon_run({"draw", "a picture of a car", "--show-prompt", "-m", MODEL, "-o", scratch / "plain.png"});
    const Result helped = leon_run({"draw", "a picture of a car", "--best-of", "1", "--retrieve", bank, "--documents",
                                    "1", "--upscale", "2", "--show-prompt", "-m", MODEL, "-o", scratch / "helped.png"});
    REQUIRE(helped.status == 0);
    CHECK(contains(helped.err, "a picture of a car  (car.png)"));
    CHECK(contains(helped.out, "[256 codes]"));
    CHECK(!contains(plain.out, "[256 codes]"));
    CHECK(load_picture(scratch / "helped.png").width == 256);
    check_refused({"draw", "a car", "--retrieve", scratch / "none", "-m", MODEL, "-o", scratch / "x.png"}, "none");
    check_refused({"draw", "a car", "--retrieve", MODEL, "-m", MODEL, "-o", scratch / "x.png"}, MODEL);

    const Result parts = leon_run({"segment", "docs/pictures/car.png", "-m", MODEL, "-o", scratch / "parts"});
    REQUIRE(parts.status == 0);
    CHECK(parts.out == scratch / "parts" + "/legend.json\n");
    for (const char* name : {"map.png", "drawn.png", "legend.json"}) CHECK(fs::exists(scratch / "parts/" + name));
}

TEST_CASE("command line: a document goes on, and a conversation is lines in and out") {
    const Scratch scratch;
    const Result story = leon_run({"write", "a red car on a sandy beach", "-m", MODEL, "-o", scratch / "story"});
    CHECK(story.status == 0);
    CHECK(fs::exists(scratch / "story/index.html"));
    CHECK(read_text(scratch / "story/index.md").starts_with("a red car on a sandy beach\n\n"));
    const Result chat =
        leon_run({"chat", "docs/pictures/car.png", "-m", MODEL, "-o", scratch / ""}, "Where is it?\n/fly\n");
    CHECK(chat.status == 0);
    CHECK(chat.out.starts_with("on a sandy beach.\n/fly: "));
    const Result words = leon_run({"fill-text", "a car ___", "docs/pictures/car.png", "--json", "-m", MODEL});
    CHECK(words.status == 0);
    CHECK(contains(words.out, "\"words\""));
}

TEST_CASE("command line: help has an example for each command") {
    const Result all = leon_run({"--help"});
    CHECK(all.status == 0);
    for (const char* command :
         {"draw",   "edit",   "fill",       "segment",       "describe", "ask",      "fill-text",  "write",
          "chat",   "demo",   "convert",    "inspect",       "bench",    "tokenize", "detokenize", "logits",
          "encode", "decode", "preprocess", "probabilities", "map",      "score",    "index",      "upscale"}) {
        CAPTURE(command);
        CHECK(contains(all.out, std::string("\n  ") + command));
        const Result help = leon_run({command, "--help"});
        CHECK(help.status == 0);
        CHECK(contains(help.out, "leon " + std::string(command)));
    }
}

TEST_CASE("command line: bad input gets one line, status 2, and leaves no file") {
    const Scratch scratch;
    const std::string out = scratch / "out.png", text = scratch / "text.png", missing = scratch / "missing.png";
    std::ofstream(text) << "this is no picture";
    save_picture(scratch / "small.png", Picture(40, 40, 200));
    const std::string small = scratch / "small.png";
    std::ofstream(scratch / "tokens.npy") << "junk";
    const int32_t beyond[] = {1, 1792};
    save_npy(scratch / "beyond.npy", beyond, {2});

    check_refused({"describe", missing, "-m", MODEL}, missing);
    check_refused({"describe", text, "-m", MODEL}, text);
    check_refused({"describe", scratch.path(), "-m", MODEL}, scratch.path());
    check_refused({"describe", small, "-m", missing}, missing);
    check_refused({"describe", small, "-m", text}, text);
    check_refused({"draw", "a car", "-m", MODEL, "-o", scratch / "out.xyz"}, "out.xyz");
    check_refused({"draw", "a car", "-m", MODEL, "-o", scratch / "no/such/folder.png"}, "no/such");
    check_refused({"draw", "a car", "-m", MODEL, "--colour", "red", "-o", out}, "--colour");
    check_refused({"draw", "a car", "-m", MODEL, "--seed", "red", "-o", out}, "red");
    check_refused({"draw", "a car", "-m", MODEL, "--top-p", "1.5", "-o", out}, "--top-p");
    check_refused({"draw", "a car", "-m", MODEL, "--temperature", "-1", "-o", out}, "--temperature");
    check_refused({"draw", "a car", "-m", MODEL, "--temperature", "nan", "-o", out}, "--temperature");
    check_refused({"draw", "a car", "-m", MODEL, "--candidates", "0", "-o", out}, "--candidates");
    check_refused({"draw", "a car", "-m", MODEL, "--best-of", "0", "-o", out}, "--best-of");
    check_refused({"draw", "a car", "-m", MODEL, "--best-of", "2", "--candidates", "2", "-o", out}, "--best-of");
    check_refused({"draw", "a car", "-m", MODEL, "--backend", "abacus", "-o", out}, "abacus");
    if (!cuda_kernels()) check_refused({"draw", "a car", "-m", MODEL, "--backend", "cuda", "-o", out}, "cuda");
    check_refused({"draw", "a car", "-m", MODEL, "--threads", "-2", "-o", out}, "--threads");
    check_refused({"draw", "\xff\xfe", "-m", MODEL, "-o", out}, "UTF-8");
    std::string endless;
    for (int i = 0; i < 2000; i++) endless += "word ";
    check_refused({"draw", endless, "-m", MODEL, "-o", out}, "context");
    check_refused({"fill", small, "--box", "0,0,0,10", "-m", MODEL, "-o", out}, "--box");
    check_refused({"fill", small, "--box", "0,0,50,10", "-m", MODEL, "-o", out}, "--box");
    check_refused({"fill", small, "--box", "1,2,3", "-m", MODEL, "-o", out}, "--box");
    check_refused({"ask", small, "", "-m", MODEL}, "question");
    check_refused({"logits", "--tokens", scratch / "tokens.npy", "-m", MODEL, "-o", out}, "tokens.npy");
    check_refused({"logits", "--tokens", scratch / "beyond.npy", "-m", MODEL, "-o", out}, "1792");
    check_refused({"encode", small, "--raw", "-m", "tests/vectors/models/cm3leon_a", "-o", out}, "cm3leon_a");
    check_refused({"preprocess", small, "--rule", "chameleon:0", "-o", out}, "--rule");
    check_refused({"detokenize", "-m", MODEL}, "99999", "5 99999");
    check_refused({"tokenize", "--jsonl", "-m", MODEL}, "line 1", "nonsense\n{\"text\": \"a\"}\n");
    check_refused({"convert", scratch.path(), "-o", scratch / "x.leon"}, scratch.path());
    check_refused({"inspect", text}, text);
    check_refused({"paint"}, "paint");
    check_refused({"draw"}, "--output");
    check_refused({"draw", "-m", MODEL, "-o", out}, "nothing to draw");
    check_refused({"draw", "--sign", "A", "--object", "dog@1,2,3,4", "-m", MODEL, "-o", out}, "--sign");
    check_refused({"draw", "a", "--object", "dog@1,2,3", "-m", MODEL, "-o", out}, "dog@1,2,3");
    check_refused({"draw", "a", "--object", "dog@1,2,3,400", "-m", MODEL, "-o", out}, "dog");
    check_refused({"draw", "a", "--layout", small, "-m", MODEL, "-o", out}, "--kind");
    check_refused({"draw", "a", "--kind", "edges", "-m", MODEL, "-o", out}, "--layout");
    check_refused({"draw", "a", "--layout", small, "--kind", "photo", "-m", MODEL, "-o", out}, "photo");
    check_refused({"draw", "a", "--strategy", "luck", "-m", MODEL, "-o", out}, "luck");
    check_refused({"draw", "a", "--strategy", "cdk", "--alpha", "2", "-m", MODEL, "-o", out}, "--alpha");
    check_refused({"draw", "a", "--image-guidance", "2", "-m", MODEL, "-o", out}, "--image-guidance");
    check_refused({"edit", small, "add a dog", "--rank", "-m", MODEL, "-o", out}, "--rank");
    check_refused({"draw", "a", "--size", "wide", "-m", MODEL, "-o", out}, "wide");
    check_refused({"draw", "a", "--size", "64x64", "-m", MODEL, "-o", out}, "--size");
    check_refused({"estimate", small, "--kind", "depth", "-m", MODEL, "-o", out}, "cm3leon");
    check_refused({"edit", small, "", "-m", MODEL, "-o", out}, "instruction");
    check_refused({"fill", small, "-m", MODEL, "-o", out}, "--box");
    check_refused({"fill", small, "--mask", small, "--box", "1,2,3,4", "-m", MODEL, "-o", out}, "--mask");
    check_refused({"fill", small, "--mask", text, "-m", MODEL, "-o", out}, text);
    check_refused({"fill", small, "--grow", "0,0,0,0", "-m", MODEL, "-o", out}, "--grow");
    check_refused({"fill-text", "whole", "-m", MODEL}, "___");
    check_refused({"describe", small, "--max-tokens", "0", "-m", MODEL}, "--max-tokens");
    CHECK(scratch.empty_but(4));
}

TEST_CASE("command line: inspect tells files apart by what is in them, and refuses each hostile one in a line") {
    const Scratch scratch;
    const std::string hostile = "tests/vectors/hostile/";
    for (const auto& entry : fs::directory_iterator(hostile)) {
        const std::string path = entry.path().string(), name = entry.path().filename().string();
        if (name.starts_with("valid")) {
            CHECK(leon_run({"inspect", path}).status == 0);
        } else {
            check_refused({"inspect", path}, path);
            check_refused({"convert", path, "-o", scratch / "out.leon"}, path);
        }
    }
    CHECK(!fs::exists("PWNED"));
    fs::copy_file("tests/vectors/torch/upscaler.pth", scratch / "upscaler.safetensors");
    const Result torch = leon_run({"inspect", scratch / "upscaler.safetensors", "--tensors"});
    CHECK(torch.out.starts_with("torch checkpoint"));
    CHECK(contains(torch.out, "params_ema.body.0.weight"));
    CHECK(leon_run({"inspect", hostile + "valid.safetensors"}).out.starts_with("safetensors"));
    CHECK(leon_run({"inspect", MODEL}).out.starts_with("model "));
}

TEST_CASE("command line: Chameleon's own weights cannot draw, and it says so") {
    const Scratch scratch;
    const std::string model = scratch / "chameleon.leon", out = scratch / "out.png";
    const std::string meta = "tests/vectors/models/meta_mha";
    CHECK(contains(leon_run({"convert", meta, "-o", model}).err, "say --layout anole"));
    const Result drawn = leon_run({"draw", "a dog", "-m", model, "-o", out});
    CHECK(drawn.status == 2);  // its context is shorter than a picture
    CHECK(drawn.err.starts_with("Chameleon's own weights were released unable to draw"));
    CHECK(!contains(leon_run({"convert", meta, "--layout", "anole", "-o", model}).err, "anole"));
    check_refused({"draw", "a dog", "-m", model, "-o", out}, "");
}

TEST_CASE("command line: a failed run leaves an existing file as it was") {
    const Scratch scratch;
    std::ofstream(scratch / "keep.png") << "precious";
    check_refused({"draw", "a car", "-m", MODEL, "--top-p", "7", "-o", scratch / "keep.png"}, "--top-p");
    CHECK(read_text(scratch / "keep.png") == "precious");
}

TEST_CASE("command line: a full disk is one line and leaves nothing") {
    if (!fs::exists("/dev/full")) return;
    const Scratch scratch;
    save_picture(scratch / "small.png", Picture(40, 40, 200));
    const Result r = leon_run({"encode", scratch / "small.png", "-m", MODEL, "-o", "/dev/full"});
    CHECK(r.status == 2);
    CHECK(contains(r.err, "/dev/full"));
    CHECK(fs::is_character_file("/dev/full"));
}

TEST_CASE("command line: score prints a report, and each of its commands has an example") {
    for (const char* kind : {"captions", "answers", "boxes", "segmentation", "pictures", "frechet"}) {
        CAPTURE(kind);
        CHECK(contains(leon_run({"score", kind, "--help"}).out, "leon score " + std::string(kind)));
        check_refused({"score", kind}, "required");
    }
    const std::string vectors = "tests/vectors/metrics/";
    const Result r = leon_run({"score", "pictures", vectors + "picture_0a.png", vectors + "picture_0b.png", "--each"});
    CHECK(r.status == 0);
    CHECK(r.err.empty());
    CHECK(contains(r.out, "\"psnr\": 30.90079"));
    CHECK(contains(r.out, "\"each\""));
    check_refused({"score"}, "required");
    check_refused({"score", "captions", "--references", "none.jsonl", "--candidates", "none.jsonl"}, "none.jsonl");
    check_refused({"score", "frechet", vectors + "features_0a.npy", vectors + "features_0b.npy"}, "--features");
}

TEST_CASE("command line: maps are written, and those that need a network are refused") {
    const Scratch scratch;
    const std::string picture = "tests/vectors/maps/shapes.png";
    for (const char* kind : {"edges", "scribble"}) {
        REQUIRE(leon_run({"map", picture, "--kind", kind, "-o", scratch / "map.png"}).status == 0);
        const Picture map = load_picture(scratch / "map.png");
        CHECK(map.width == 131);
        CHECK(map.height == 97);
        fs::remove(scratch / "map.png");
    }
    check_refused({"map", picture, "--kind", "depth", "-o", scratch / "map.png"}, "leon draw --layout");
    check_refused({"map", picture, "--low", "300", "-o", scratch / "map.png"}, "--low");
    check_refused({"map", picture, "--kind", "scribble", "--gradient", "strongest", "-o", scratch / "map.png"},
                  "--gradient");
    check_refused({"map", picture, "-o", scratch / "map.xyz"}, "map.xyz");
    CHECK(scratch.empty_but(0));
}
