// Pictures: decoding against Pillow's pixels, resampling bit for bit, the published pipelines, and hostile files.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "runtime/files.h"
#include "runtime/npy.h"
#include "tokenizer/image.h"
#include "tokenizer/jpeg_markers.h"

#include "tests/testing.h"

namespace leon {
namespace {

const std::string VECTORS = "tests/vectors/image/";

Picture expected(const std::string& path) {
    Array array = load_npy(path);
    REQUIRE(array.shape.size() == 3);
    REQUIRE(array.dtype == "u1");
    Picture picture(static_cast<int>(array.shape[1]), static_cast<int>(array.shape[0]));
    picture.rgb = array.bytes;
    return picture;
}

bool same(const Picture& a, const Picture& b) {
    return a.width == b.width && a.height == b.height && a.rgb == b.rgb;
}

int largest_difference(const Picture& a, const Picture& b) {
    REQUIRE(a.width == b.width);
    REQUIRE(a.height == b.height);
    int largest = 0;
    for (size_t i = 0; i < a.rgb.size(); i++) largest = std::max(largest, std::abs(a.rgb[i] - b.rgb[i]));
    return largest;
}

// The same generator as in tests/vectors/image/make_cases.py.
Picture noise(int width, int height) {
    Picture picture(width, height);
    uint32_t state = static_cast<uint32_t>(width * 31 + height);
    for (uint8_t& sample : picture.rgb) {
        state = state * 1664525u + 1013904223u;
        sample = static_cast<uint8_t>(state >> 24);
    }
    return picture;
}

uint64_t fnv1a(const std::vector<uint8_t>& bytes) {
    uint64_t value = 0xcbf29ce484222325;
    for (uint8_t byte : bytes) value = (value ^ byte) * 0x100000001b3;
    return value;
}

// What decoding these bytes says, which must be one line that begins with the name; "" if they decode.
std::string complaint(std::span<const uint8_t> file) {
    try {
        decode_picture(file, "x.png");
    } catch (const Error& error) {
        std::string message = error.what();
        CHECK(message.starts_with("x.png: "));
        CHECK(message.find('\n') == std::string::npos);
        return message;
    }
    return "";
}

std::string complaint(const std::string& file) {
    return complaint(std::span(reinterpret_cast<const uint8_t*>(file.data()), file.size()));
}

// --- reading ------------------------------------------------------------------------------------------------------

TEST_CASE("image: files of every mode decode to Pillow's pixels") {
    for (const char* name : {"bilevel.png",
                             "grey.png",
                             "grey_alpha.png",
                             "grey_key.png",
                             "palette.png",
                             "palette_2bit.png",
                             "palette_transparent.png",
                             "rgb.png",
                             "rgb_key.png",
                             "rgba.png",
                             "rgba_opaque.png",
                             "rgb.bmp",
                             "palette.bmp",
                             "grey.bmp",
                             "padding_not_alpha.bmp",
                             "palette.gif",
                             "transparent.gif",
                             "animated.gif",
                             "rgb.ppm",
                             "grey.pgm"})
        CHECK_MESSAGE(same(load_picture(VECTORS + "files/" + name), expected(VECTORS + "files/" + name + ".npy")),
                      name);
}

TEST_CASE("image: JPEG decodes within a few levels of libjpeg") {  // measured: 2, 2, 2, 1, 1
    for (const char* name : {"444.jpg", "420.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg"}) {
        Picture got = load_picture(VECTORS + "files/" + name);
        CHECK_MESSAGE(largest_difference(got, expected(VECTORS + "files/" + name + ".npy")) <= 4, name);
    }
}

TEST_CASE("image: EXIF orientation is applied only when asked for") {
    // Stored: 24 x 16, blue, with a white square in the corner that is stored first.
    struct Corner {
        int width, height, x, y;
    };
    const Corner upright[8] = {{24, 16, 2, 2}, {24, 16, 21, 2}, {24, 16, 21, 13}, {24, 16, 2, 13},
                               {16, 24, 2, 2}, {16, 24, 13, 2}, {16, 24, 13, 21}, {16, 24, 2, 21}};
    for (int orientation = 1; orientation <= 8; orientation++) {
        INFO(orientation);
        std::string path = VECTORS + "files/orientation_" + std::to_string(orientation) + ".jpg";
        CHECK(read_jpeg_markers(read_file(path)).orientation == orientation);
        Picture stored = load_picture(path), turned = load_picture(path, Orientation::Upright);
        CHECK(stored.width == 24);
        CHECK(stored.height == 16);
        CHECK(stored.at(2, 2)[0] > 200);
        const Corner& want = upright[orientation - 1];
        REQUIRE(turned.width == want.width);
        REQUIRE(turned.height == want.height);
        int white = 0;
        for (size_t i = 0; i < turned.rgb.size(); i += 3) white += turned.rgb[i] > 128;
        CHECK(white == 64);
        CHECK(turned.at(want.x, want.y)[0] > 200);
    }
}

TEST_CASE("image: orientations 5 to 8 turn the right way") {
    // A 2 x 1 picture has two pixels A B. Turned right (6), A is on top; turned left (8), B is.
    std::vector<uint8_t> file = read_file(VECTORS + "files/orientation_6.jpg");
    Picture right = decode_picture(file, "six", Orientation::Upright);
    CHECK(right.at(15, 0)[0] > 200);  // the stored first row is now the last column, its beginning on top
    CHECK(right.at(15, 23)[0] < 60);
    Picture left = load_picture(VECTORS + "files/orientation_8.jpg", Orientation::Upright);
    CHECK(left.at(0, 23)[0] > 200);
    CHECK(left.at(0, 0)[0] < 60);
}

TEST_CASE("image: files that are no picture, or another kind, are refused in one line") {
    CHECK(contains(complaint(""), "is empty"));
    CHECK(contains(complaint("hello, this is text"), "is not a picture leon can read"));
    CHECK(contains(complaint(std::string("RIFF\x10\0\0\0WEBPVP8 ", 16)), "WebP"));
    CHECK(contains(complaint(std::string("\0\0\0\x18"
                                         "ftypheic",
                                         12)),
                   "HEIC"));
    CHECK(contains(complaint(std::string("MM\0*\0\0\0\x08", 8)), "TIFF"));
    CHECK(contains(complaint(read_file(VECTORS + "files/grey_16bit.png")), "16-bit grey"));
    CHECK_THROWS_AS(load_picture(VECTORS + "files/absent.png"), Error);
    CHECK_THROWS_AS(load_picture(VECTORS), Error);
    uint32_t state = 7;  // random bytes must not pass for any format
    for (int i = 0; i < 2000; i++) {
        std::string bytes;
        for (int j = 0; j < 64; j++) bytes += static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
        CHECK(complaint(bytes) != "");
    }
}

TEST_CASE("image: no byte of a file comes through in a complaint as it is") {
    const std::vector<uint8_t> whole = read_file(VECTORS + "files/rgb.png");
    std::string file(whole.begin(), whole.end());
    const size_t end = file.find("IEND");
    REQUIRE(end != std::string::npos);
    file.replace(end, 4, "I\x1b\nD");
    CHECK(contains(complaint(file), "I??D"));
}

TEST_CASE("image: a file cut anywhere is refused, never half a picture") {
    for (const char* name : {"rgb.png", "palette_transparent.png", "rgb.bmp", "palette.bmp", "palette.gif",
                             "transparent.gif", "rgb.ppm", "grey.pgm", "420.jpg", "progressive.jpg", "cmyk.jpg"}) {
        const std::vector<uint8_t> whole = read_file(VECTORS + "files/" + name);
        REQUIRE(complaint(whole) == "");
        // GIF may lose its trailer, and a BMP the padding of its last row: the picture is complete without them.
        const size_t spare = std::string(name).ends_with(".gif") ? 1 : std::string(name).ends_with(".bmp") ? 3 : 0;
        for (size_t length = 0; length + spare < whole.size(); length += length < 100 ? 1 : 13) {
            INFO(name, " ", length);
            CHECK(complaint(std::span(whole).first(length)) != "");
        }
        CHECK(complaint(std::span(whole).first(whole.size() - spare - 1)) != "");
    }
}

TEST_CASE("image: damaged bytes give a picture or an Error, nothing else") {
    for (const char* name : {"rgb.png", "palette_transparent.png", "rgb.bmp", "palette.gif", "transparent.gif",
                             "rgb.ppm", "420.jpg", "progressive.jpg", "cmyk.jpg"}) {
        const std::vector<uint8_t> whole = read_file(VECTORS + "files/" + name);
        uint32_t state = 1;
        auto random = [&](size_t below) { return (state = state * 1664525u + 1013904223u, (state >> 8) % below); };
        int refused = 0;
        for (int round = 0; round < 150; round++) {
            std::vector<uint8_t> damaged = whole;
            for (int i = 0; i < 3; i++)
                damaged[random(round < 75 ? 64 : damaged.size())] = static_cast<uint8_t>(random(256));
            refused += complaint(damaged) != "";
        }
        CHECK_MESSAGE(refused > 10, name);
    }
}

void set_big_endian(std::vector<uint8_t>& file, size_t at, uint32_t value) {
    for (int i = 0; i < 4; i++) file[at + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

TEST_CASE("image: sizes are judged before memory is taken") {
    std::vector<uint8_t> png = encode_png(Picture(8, 8));
    for (auto [width, height] : {std::pair{8193u, 8193u}, {65536u, 1u}, {1u, 65536u}}) {
        set_big_endian(png, 16, width);
        set_big_endian(png, 20, height);
        std::string message = complaint(png);
        CHECK_MESSAGE(contains(message, "64 megapixels"), message);
    }
    for (uint32_t width : {0u, 0x1000000u, 0x7fffffffu, 0xffffffffu}) {
        set_big_endian(png, 16, width);
        set_big_endian(png, 20, width);
        CHECK(contains(complaint(png), "bad header"));
    }
    CHECK(contains(complaint("P6 100000 100000 255\n"), "64 megapixels"));
    CHECK(contains(complaint("P6 0 5 255\n"), "no pixels"));
    CHECK(contains(complaint("P5 999999999999 5 255\n"), "header is damaged"));
    CHECK(contains(complaint("P5 2 1 65535\nabcd"), "255"));
    CHECK(contains(complaint("P5 -2 1 255\nab"), "header is damaged"));
    CHECK(contains(complaint("P6"), "header is damaged"));
    CHECK(complaint("P5 # a comment\n#another\n2 1\t255\nab") == "");
    std::vector<uint8_t> bmp = read_file(VECTORS + "files/rgb.bmp");
    bmp[22] = 0, bmp[23] = 0, bmp[24] = 0, bmp[25] = 0x80;  // height -2^31
    CHECK(complaint(bmp) != "");
}

TEST_CASE("image: a BMP stored from top to bottom is read the right way up") {
    std::vector<uint8_t> bmp = read_file(VECTORS + "files/rgb.bmp");
    Picture upside = load_picture(VECTORS + "files/rgb.bmp");
    const int32_t height = -upside.height;
    std::memcpy(bmp.data() + 22, &height, 4);
    Picture flipped = decode_picture(bmp, "flipped");
    REQUIRE(flipped.height == upside.height);
    for (int y = 0; y < flipped.height; y++)
        CHECK(std::memcmp(flipped.at(0, y), upside.at(0, upside.height - 1 - y), size_t{3} * flipped.width) == 0);
}

TEST_CASE("image: a small PNG that inflates to gigabytes is refused") {
    // One pixel; the data are one deflate block with fixed Huffman codes: a zero, then copies of 258 bytes of zeros.
    std::vector<uint8_t> deflate = {0x78, 0x01};
    uint32_t bits = 0;
    int count = 0;
    auto put = [&](uint32_t code, int length) {  // Huffman codes enter most significant bit first
        for (int i = length - 1; i >= 0; i--) {
            bits |= (code >> i & 1) << count;
            if (++count == 8) deflate.push_back(static_cast<uint8_t>(bits)), bits = 0, count = 0;
        }
    };
    put(1, 1), put(2, 2), put(0x30, 8);
    for (int i = 0; i < 1000000; i++) put(0xC5, 8), put(0, 5);  // 258 MB from 1.6 MB
    put(0, 7), put(0, 7);
    std::vector<uint8_t> png = encode_png(Picture(1, 1));
    const size_t data_chunk = 8 + 25;  // behind the signature and IHDR
    std::vector<uint8_t> bomb(png.begin(), png.begin() + data_chunk);
    bomb.resize(data_chunk + 8);
    set_big_endian(bomb, data_chunk, static_cast<uint32_t>(deflate.size()));
    std::memcpy(bomb.data() + data_chunk + 4, "IDAT", 4);
    bomb.insert(bomb.end(), deflate.begin(), deflate.end());
    bomb.insert(bomb.end(), {0, 0, 0, 0});               // checksum, which is not looked at
    bomb.insert(bomb.end(), png.end() - 12, png.end());  // IEND
    CHECK(contains(complaint(bomb), "cannot be decoded"));
}

// "\xFF marker", the two-byte length of what follows, and that.
std::string segment(char marker, const std::string& content) {
    const size_t length = content.size() + 2;
    return std::string{'\xFF', marker, static_cast<char>(length >> 8), static_cast<char>(length & 255)} + content;
}

TEST_CASE("image: JPEG files with thousands of scans or impossible Huffman tables are refused") {
    std::vector<uint8_t> whole = read_file(VECTORS + "files/progressive.jpg");
    JpegMarkers markers = read_jpeg_markers(whole);
    CHECK(markers.complete);
    CHECK(markers.tables_fit);
    CHECK(markers.scans == 10);  // libjpeg's script for colour
    std::string text(whole.begin(), whole.end());
    std::string scans = text.substr(0, text.size() - 2);
    for (int i = 0; i < 200; i++) scans += segment('\xDA', std::string("\1\1\0\0\0\0", 6));
    CHECK(contains(complaint(scans + "\xFF\xD9"), "scans"));
    // stb_image 2.27 writes past its tables when the counts add up to more than 256.
    std::string counts = '\0' + std::string(16, '\x20') + std::string(512, '\1');
    CHECK(contains(complaint(text.substr(0, 2) + segment('\xC4', counts) + text.substr(2)), "Huffman"));
    std::string short_table = '\0' + std::string(16, '\1') + std::string(15, '\1');
    CHECK(contains(complaint(text.substr(0, 2) + segment('\xC4', short_table) + text.substr(2)), "Huffman"));
}

TEST_CASE("image: a JPEG whose sums overflow is decoded to something") {
    // 64 x 8 grey: every quantiser 65535; code 0 means a difference of 15 bits (DC) or the end of the block (AC).
    std::string bits, data;
    for (int block = 0; block < 8; block++) bits += "0" + std::string(15, '1') + "0";
    for (size_t i = 0; i < bits.size(); i += 8) {
        data += static_cast<char>(std::stoi(bits.substr(i, 8), nullptr, 2));
        if (data.back() == '\xFF') data += '\0';
    }
    const std::string one_code = '\1' + std::string(15, '\0');
    const std::string file = "\xFF\xD8" + segment('\xDB', '\x10' + std::string(128, '\xFF')) +
                             segment('\xC0', std::string("\x08\0\x08\0\x40\1\1\x11\0", 9)) +
                             segment('\xC4', '\0' + one_code + '\x0F') + segment('\xC4', '\x10' + one_code + '\0') +
                             segment('\xDA', std::string("\1\1\0\0\x3F\0", 6)) + data + "\xFF\xD9";
    CHECK(complaint(file) == "");  // under the sanitizer, the build must have allowed wrapping
}

TEST_CASE("image: EXIF that is nonsense means upright") {
    auto with_exif = [](const std::string& tiff) {
        std::string text = "\xFF\xD8" + segment('\xE1', std::string("Exif\0\0", 6) + tiff) + "\xFF\xD9";
        return read_jpeg_markers(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size())).orientation;
    };
    const std::string big("MM\0*\0\0\0\x08", 8), little("II*\0\x08\0\0\0", 8);
    CHECK(with_exif(big + std::string("\0\1\1\x12\0\3\0\0\0\1\0\6\0\0", 14)) == 6);
    CHECK(with_exif(little + std::string("\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 14)) == 6);
    CHECK(with_exif(big + std::string("\0\1\1\x12\0\3\0\0\0\1\0\x09\0\0", 14)) == 1);
    CHECK(with_exif(big + std::string("\xFF\xFF\1\x10\0\3\0\0\0\1\0\6\0\0", 14)) == 1);
    CHECK(with_exif("MM\0*\xFF\xFF\xFF\xFF") == 1);
    CHECK(with_exif(std::string("MM\0*\xFF\xFF\xFF\xFF", 8)) == 1);
    CHECK(with_exif("") == 1);
    CHECK(with_exif("XX") == 1);
}

// --- writing ------------------------------------------------------------------------------------------------------

TEST_CASE("image: PNG and BMP keep every pixel, JPEG nearly") {
    const std::string folder = std::filesystem::temp_directory_path() / ("leon_test_image." + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    for (auto [width, height] : {std::pair{1, 1}, {1, 7}, {31, 1}, {67, 45}}) {
        Picture picture = noise(width, height);
        for (const char* name : {"/a.png", "/a.PNG", "/a.bmp"}) {
            save_picture(folder + name, picture);
            CHECK(same(load_picture(folder + name), picture));
        }
    }
    Picture smooth = load_picture(VECTORS + "files/rgb.png");
    for (const char* name : {"/a.jpg", "/a.jpeg"}) {
        save_picture(folder + name, smooth);
        // Quality 95 with full colour resolution; the edges of the white square cost the most (measured: 21).
        CHECK(largest_difference(load_picture(folder + name), smooth) <= 40);
    }
    CHECK(encode_png(smooth) == encode_png(smooth));
    CHECK(same(decode_picture(encode_png(smooth), "memory"), smooth));
    for (const char* name : {"/a.gif", "/a", "/png", "/a.png.txt"})
        CHECK_THROWS_AS(save_picture(folder + name, smooth), Error);
    CHECK_THROWS_AS(save_picture(folder + "/absent/a.png", smooth), Error);
    std::filesystem::remove_all(folder);
}

// --- resampling ---------------------------------------------------------------------------------------------------

TEST_CASE("image: a resize to the same size changes nothing, and a flat picture stays flat") {
    for (Filter filter : {Filter::Box, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos}) {
        Picture picture = noise(23, 17);
        CHECK(same(resize(picture, 23, 17, filter), picture));
        for (int value : {0, 1, 127, 254, 255}) {
            Picture flat = resize(Picture(31, 22, static_cast<uint8_t>(value)), 7, 50, filter);
            CHECK(same(flat, Picture(7, 50, static_cast<uint8_t>(value))));
        }
    }
}

TEST_CASE("image: box halving is the mean of four, rounded after each direction") {
    Picture picture = noise(20, 10), half = resize(picture, 10, 5, Filter::Box);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 10; x++)
            for (int c = 0; c < 3; c++) {
                int top = (picture.at(2 * x, 2 * y)[c] + picture.at(2 * x + 1, 2 * y)[c] + 1) / 2;
                int bottom = (picture.at(2 * x, 2 * y + 1)[c] + picture.at(2 * x + 1, 2 * y + 1)[c] + 1) / 2;
                CHECK(half.at(x, y)[c] == (top + bottom + 1) / 2);
            }
}

TEST_CASE("image: mirroring before or after resizing is the same") {
    auto mirrored = [](const Picture& picture) {
        Picture out(picture.width, picture.height);
        for (int y = 0; y < out.height; y++)
            for (int x = 0; x < out.width; x++) std::copy_n(picture.at(out.width - 1 - x, y), 3, out.at(x, y));
        return out;
    };
    for (Filter filter : {Filter::Bilinear, Filter::Bicubic, Filter::Lanczos}) {
        Picture picture = noise(48, 20);
        CHECK(largest_difference(resize(mirrored(picture), 16, 9, filter), mirrored(resize(picture, 16, 9, filter))) <=
              1);
    }
}

TEST_CASE("image: 240 random resizes equal Pillow's, bit for bit") {
    std::ifstream cases(VECTORS + "resize.txt");
    int width, height, out_width, out_height, count = 0;
    std::string name, hash;
    while (cases >> width >> height >> out_width >> out_height >> name >> hash) {
        Filter filter = name == "box"        ? Filter::Box
                        : name == "bilinear" ? Filter::Bilinear
                        : name == "bicubic"  ? Filter::Bicubic
                                             : Filter::Lanczos;
        Picture out = resize(noise(width, height), out_width, out_height, filter);
        INFO(width, " x ", height, " -> ", out_width, " x ", out_height, " ", name);
        CHECK(fnv1a(out.rgb) == std::stoull(hash, nullptr, 16));
        count++;
    }
    CHECK(count == 240);
}

TEST_CASE("image: the published pipelines equal their Pillow originals, bit for bit") {
    struct Case {
        const char* name;
        int width, height;  // height 0: chameleon, `width` is the size
    };
    for (const Case& c :
         {Case{"chameleon_landscape", 32, 0}, Case{"chameleon_portrait", 24, 0}, Case{"chameleon_up", 40, 0},
          Case{"chameleon_half_rounding", 51, 0}, Case{"chameleon_same", 40, 0}, Case{"chameleon_thin", 16, 0},
          Case{"lumina_landscape", 64, 32}, Case{"lumina_portrait", 32, 64}, Case{"lumina_up", 32, 32}}) {
        std::string path = VECTORS + "preprocess_" + c.name;
        Picture in = load_picture(path + ".png");
        Picture out = c.height == 0 ? chameleon_preprocess(in, c.width) : lumina_preprocess(in, c.width, c.height);
        CHECK_MESSAGE(same(out, expected(path + ".npy")), c.name);
    }
}

TEST_CASE("image: a shape that would become too large is refused") {
    CHECK_THROWS_AS(chameleon_preprocess(Picture(60000, 1), 512), Error);
    CHECK_THROWS_AS(lumina_preprocess(Picture(1, 60000), 512, 512), Error);
    CHECK_THROWS_AS(resize(Picture(2, 2), 65536, 1, Filter::Box), Error);
    CHECK_THROWS_AS(resize(Picture(2, 2), 60000, 60000, Filter::Box), Error);
    Picture long_row = resize(Picture(65535, 1, 200), 3, 1, Filter::Lanczos);
    CHECK(same(long_row, Picture(3, 1, 200)));
}

// --- numbers ------------------------------------------------------------------------------------------------------

TEST_CASE("image: crop, floats and back, contact sheet") {
    Picture picture = noise(9, 7), part = crop(picture, 2, 1, 5, 6);
    for (int y = 0; y < 6; y++)
        for (int x = 0; x < 5; x++) CHECK(std::memcmp(part.at(x, y), picture.at(x + 2, y + 1), 3) == 0);

    Picture all(256, 1);
    for (int i = 0; i < 256; i++) all.at(i, 0)[0] = all.at(i, 0)[1] = all.at(i, 0)[2] = static_cast<uint8_t>(i);
    std::vector<float> floats = to_floats(all);
    CHECK(floats.front() == -1.0f);
    CHECK(floats.back() == 1.0f);
    // (x+1)/2*255 is truncated, so the float nearest below an integer loses a level: at most one, never more.
    CHECK(largest_difference(to_picture(floats, 256, 1), all) <= 1);
    for (float& x : floats) x += 1e-4f;
    CHECK(same(to_picture(floats, 256, 1), all));
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> wild = {-7, 7, nan, -infinity, infinity, 0};
    CHECK(to_picture(wild, 2, 1).rgb == std::vector<uint8_t>{0, 255, 0, 0, 255, 127});

    Picture sheet = contact_sheet({Picture(4, 3, 10), Picture(4, 3, 20), Picture(4, 3, 30)}, 2, 1);
    CHECK(sheet.width == 9);
    CHECK(sheet.height == 7);
    CHECK(sheet.at(0, 0)[0] == 10);
    CHECK(sheet.at(4, 0)[0] == 255);
    CHECK(sheet.at(5, 2)[0] == 20);
    CHECK(sheet.at(0, 3)[0] == 255);
    CHECK(sheet.at(3, 4)[0] == 30);
    CHECK(sheet.at(5, 4)[0] == 255);
    CHECK(contact_sheet({Picture(4, 3)}, 8).width == 4);
}

}  // namespace
}  // namespace leon
