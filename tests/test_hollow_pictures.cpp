// Pictures whose headers promise what their files do not hold: refused before memory for it is taken. And the other way
// round: whatever is whole is found to be whole, by every way of storing it.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <new>

#include "runtime/files.h"
#include "tests/temporary_folder.h"
#include "tokenizer/image.h"
#include "tokenizer/jpeg_scan.h"
#include "tokenizer/png_data.h"
#include "weights_converter/zip_archive.h"

#include "tests/testing.h"

namespace leon {
namespace {

namespace fs = std::filesystem;
const std::string FILES = "tests/vectors/image/files/";
constexpr size_t MIB = size_t{1} << 20;

using File = std::vector<uint8_t>;

// While it lives, the process can take so much more memory and no more. AddressSanitizer needs address space of its
// own.
class MemoryLimit {
public:
    explicit MemoryLimit(size_t bytes) {
        size_t pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        getrlimit(RLIMIT_AS, &before_);
        rlimit limit = before_;
        limit.rlim_cur = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + bytes;
#if !defined(__SANITIZE_ADDRESS__) && !defined(ADDRESS_SANITIZER)
        setrlimit(RLIMIT_AS, &limit);
#endif
    }
    ~MemoryLimit() {
        setrlimit(RLIMIT_AS, &before_);
    }

private:
    rlimit before_;
};

// What decoding says under the promised limit; "" if it gives a picture.
std::string complaint(const File& file) {
    const MemoryLimit limit(64 * MIB);
    try {
        decode_picture(file, "x");
    } catch (const Error& error) {
        return error.what();
    } catch (const std::bad_alloc&) {
        return "out of memory";
    }
    return "";
}

void put(File& file, size_t at, std::initializer_list<int> bytes) {
    std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<ptrdiff_t>(at));
}

File bytes_of(const std::string& text) {
    return File(text.begin(), text.end());
}

std::string big_endian(uint32_t value) {
    std::string text;
    for (int i = 3; i >= 0; i--) text += static_cast<char>(value >> (8 * i));
    return text;
}

std::string chunk(const std::string& name, const std::string& content) {
    const std::string checked = name + content;
    return big_endian(static_cast<uint32_t>(content.size())) + checked +
           big_endian(crc32({reinterpret_cast<const uint8_t*>(checked.data()), checked.size()}));
}

std::string stored(const std::string& data) {
    std::string stream = "\x78\x01";
    for (size_t at = 0; at < data.size() || at == 0; at += 0xffff) {
        const size_t length = std::min<size_t>(data.size() - at, 0xffff);
        stream += at + length == data.size() ? '\1' : '\0';
        for (size_t n : {length, ~length})
            for (int i = 0; i < 2; i++) stream += static_cast<char>(n >> (8 * i));
        stream += data.substr(at, length);
    }
    return stream + std::string(4, '\0');  // a checksum that nobody looks at
}

// A PNG of grey samples, whose rows stand filtered in `rows`, cut into IDAT chunks of `piece` bytes.
File grey_png(uint32_t width, uint32_t height, int bits, bool interlaced, const std::string& rows, size_t piece) {
    std::string file = "\x89PNG\r\n\x1a\n" +
                       chunk("IHDR", big_endian(width) + big_endian(height) +
                                         std::string{static_cast<char>(bits), 0, 0, 0} + static_cast<char>(interlaced));
    const std::string data = stored(rows);
    for (size_t at = 0; at < data.size(); at += piece) file += chunk("IDAT", data.substr(at, piece));
    return bytes_of(file + chunk("IEND", ""));
}

File file_of(const std::string& name) {
    return read_file(FILES + name);
}

// The sides in the first frame header (C0, C1, C2) of a JPEG.
void set_jpeg_sides(File& file, int high_byte_of_both) {
    for (size_t at = 2; at + 9 < file.size(); at += 2 + (size_t{file[at + 2]} << 8 | file[at + 3]))
        if (file[at + 1] >= 0xC0 && file[at + 1] <= 0xC2)
            return put(file, at + 5, {high_byte_of_both, 0, high_byte_of_both, 0});
    FAIL("no frame header");
}

TEST_CASE("pictures: a header that promises more than the file holds is refused before memory is taken") {
    for (const char* name : {"rgb.png", "rgba.png", "palette.png", "bilevel.png"}) {
        File file = file_of(name);
        put(file, 16, {0, 0, 0x1f, 0, 0, 0, 0x1f, 0});  // 7936 x 7936
        CHECK_MESSAGE(contains(complaint(file), "PNG file does not hold the 7936 x 7936 pixels"), name);
    }
    for (const char* name : {"444.jpg", "420.jpg", "grey.jpg", "progressive.jpg", "cmyk.jpg"}) {
        File file = file_of(name);
        set_jpeg_sides(file, 0x1f);
        CHECK_MESSAGE(contains(complaint(file), "JPEG file does not hold the 7936 x 7936 pixels"), name);
    }
    for (const char* name : {"rgb.bmp", "grey.bmp", "palette.bmp"}) {
        File file = file_of(name);
        put(file, 18, {0, 0x1f, 0, 0, 0, 0x1f, 0, 0});
        CHECK_MESSAGE(contains(complaint(file), "BMP file does not hold the 7936 x 7936 pixels"), name);
    }
    File gif = file_of("palette.gif");
    put(gif, 6, {0, 0x1f, 0, 0x1f});
    CHECK(contains(complaint(gif), "4 megapixels"));
    CHECK(contains(complaint(bytes_of("P6 7936 7936 255\nabc")), "ends before it is complete"));
    CHECK(contains(complaint(bytes_of("P5 7936 7936 255\nabc")), "ends before it is complete"));
}

TEST_CASE("pictures: a chunk longer than the file, and data that outgrow the picture, take no memory") {
    File png = file_of("rgb.png");
    const std::string name = "IDAT";
    const auto data = std::search(png.begin(), png.end(), name.begin(), name.end());
    put(png, static_cast<size_t>(data - png.begin()) - 4, {0x3f, 0xff, 0xff, 0xff});
    CHECK(contains(complaint(png), "ends before it is complete"));
    File apple = bytes_of("\x89PNG\r\n\x1a\n" + chunk("CgBI", "abcd"));
    CHECK(contains(complaint(apple), "Apple"));
}

TEST_CASE("pictures: every whole file is found whole, and none that is cut or damaged in its length") {
    size_t whole = 0;
    for (const auto& entry : fs::directory_iterator(FILES)) {
        const std::string kind = entry.path().extension().string();
        if (kind != ".png" && kind != ".jpg") continue;
        CAPTURE(entry.path().string());
        File file = read_file(entry.path().string());
        auto fills = [&] { return kind == ".png" ? png_data_fill(file) : jpeg_data_fill(file); };
        CHECK(fills());
        whole++;
        if (kind == ".png") {  // one row more than there is
            file[23]++;
            CHECK(!fills());
            file[23]--;
        }
        const size_t end = file.size();
        for (size_t cut = 1; cut <= 12; cut++) {
            file.resize(end * cut / 13);
            CHECK(!fills());
            file = read_file(entry.path().string());
        }
    }
    CHECK(whole > 20);
}

TEST_CASE("pictures: large ones that hold what they promise are decoded") {
    // 2504 x 2400 pixels of a bit each: 72 MB for the decoder from 750 KB of file. Interlaced: the same, pass by pass.
    const uint32_t width = 2504, height = 2400;
    std::string rows;
    for (uint32_t y = 0; y < height; y++) rows += '\0' + std::string(width / 8, y % 2 ? '\xff' : '\0');
    File png = grey_png(width, height, 1, false, rows, 100000);
    const Picture stripes = decode_picture(png, "x");
    CHECK(*stripes.at(2503, 1) == 255);
    CHECK(*stripes.at(2503, 2398) == 0);
    rows[(width / 8 + 1) * (height - 1)] = 5;  // a filter that does not exist, in the last row
    CHECK(contains(complaint(grey_png(width, height, 1, false, rows, 100000)), "does not hold"));
    rows.pop_back();
    CHECK(contains(complaint(grey_png(width, height, 1, false, rows, 100000)), "does not hold"));

    std::string passes;
    for (auto [first_x, step_x, first_y, step_y] :
         {std::array{0, 8, 0, 8}, {4, 8, 0, 8}, {0, 4, 4, 8}, {2, 4, 0, 4}, {0, 2, 2, 4}, {1, 2, 0, 2}, {0, 1, 1, 2}})
        for (int y = first_y; y < static_cast<int>(height); y += step_y)
            passes +=
                '\0' +
                std::string(
                    (static_cast<size_t>(int(width) - first_x + step_x - 1) / static_cast<size_t>(step_x) + 7) / 8,
                    y % 2 ? '\xff' : '\0');
    const File interlaced = grey_png(width, height, 1, true, passes, 4096);
    CHECK(png_data_fill(interlaced));
    CHECK(decode_picture(interlaced, "x").rgb == stripes.rgb);
    passes.pop_back();
    CHECK(!png_data_fill(grey_png(width, height, 1, true, passes, 4096)));

    const Picture flat(2048, 2050, 200);
    const TemporaryFolder folder;
    for (const char* name : {"a.jpg", "a.bmp"}) {
        save_picture(folder / name, flat);
        CHECK(std::abs(*load_picture(folder / name).at(2047, 2049) - 200) <= 1);
    }
}

}  // namespace
}  // namespace leon
