// Pictures in and out of files, by stb_image and stb_image_write; see image.h.
//
// stb_image is lenient: past the end of a file it reads zeros, and a hostile header can make it allocate or loop
// without bound. Hence the fence around it: the kind of file is settled by its signature here, sizes are checked before
// decoding, all that it takes is held to a budget, and a decoder that ever asked for bytes beyond the end is not
// believed. A picture that needs more than 64 MiB must first show that its file holds it: every sample, or codes for
// them (png_data.h, jpeg_scan.h).
#include "tokenizer/image.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "kernels/check.h"
#include "runtime/files.h"
#include "tokenizer/jpeg_markers.h"
#include "tokenizer/jpeg_scan.h"
#include "tokenizer/png_data.h"

namespace {

// What the decoder may still take; set for each picture. Each block begins with its size, to give it back.
thread_local size_t decoder_budget = 0;
constexpr size_t SIZE_BYTES = alignof(std::max_align_t);

void* decoder_reallocate(void* memory, size_t bytes) {
    std::byte* block = memory ? static_cast<std::byte*>(memory) - SIZE_BYTES : nullptr;
    size_t before = 0;
    if (block) std::memcpy(&before, block, sizeof before);
    if (bytes > decoder_budget) return nullptr;  // for a moment there are two
    block = static_cast<std::byte*>(std::realloc(block, SIZE_BYTES + bytes));
    if (!block) return nullptr;
    std::memcpy(block, &bytes, sizeof bytes);
    decoder_budget += before;
    decoder_budget -= bytes;
    return block + SIZE_BYTES;
}
void decoder_free(void* memory) {
    if (!memory) return;
    std::byte* block = static_cast<std::byte*>(memory) - SIZE_BYTES;
    size_t bytes;
    std::memcpy(&bytes, block, sizeof bytes);
    decoder_budget += bytes;
    std::free(block);
}

}  // namespace

#define STBI_MALLOC(bytes) decoder_reallocate(nullptr, bytes)
#define STBI_REALLOC(memory, bytes) decoder_reallocate(memory, bytes)
#define STBI_FREE(memory) decoder_free(memory)
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STB_IMAGE_STATIC  // a program that embeds leon may have its own
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

namespace leon {
namespace {

constexpr size_t MAX_FILE_BYTES = size_t{1} << 29;   // an uncompressed 16-bit RGBA picture at the limit
constexpr size_t UNPROVEN_BYTES = size_t{64} << 20;  // what a header alone may make leon take, the picture included
constexpr size_t MAX_GIF_PIXELS = size_t{1} << 22;   // what fits that: 9 bytes a pixel while decoding, and 3
constexpr int MAX_JPEG_SCANS = 100;                  // encoders write about ten; each costs a pass over the picture
constexpr int JPEG_QUALITY = 95;                     // stb_image_write keeps full colour resolution above 90

using Bytes = std::span<const uint8_t>;

// --- what kind of file it is ------------------------------------------------------------------------------------

enum class Format { Png, Jpeg, Bmp, Gif, Pnm };

bool has(Bytes file, size_t offset, std::string_view text) {
    return file.size() >= offset + text.size() && std::memcmp(file.data() + offset, text.data(), text.size()) == 0;
}

Format format_of(Bytes file, const std::string& where) {
    const std::string convert = "convert it to PNG or JPEG";
    if (has(file, 0, "\x89PNG\r\n\x1a\n")) return Format::Png;
    if (has(file, 0, "\xFF\xD8\xFF")) return Format::Jpeg;
    if (has(file, 0, "BM")) return Format::Bmp;
    if (has(file, 0, "GIF87a") || has(file, 0, "GIF89a")) return Format::Gif;
    if (has(file, 0, "P5") || has(file, 0, "P6")) return Format::Pnm;
    if (has(file, 0, "RIFF") && has(file, 8, "WEBP"))
        throw Error("is a WebP picture, which leon cannot read", where, convert);
    if (has(file, 4, "ftyp"))
        throw Error("is an AVIF or HEIC picture or a film, which leon cannot read", where, convert);
    if (has(file, 0, "II*") || has(file, 0, {"MM\0*", 4}))
        throw Error("is a TIFF picture, which leon cannot read", where, convert);
    throw Error(file.empty() ? "is empty" : "is not a picture leon can read", where,
                "PNG, JPEG, BMP, GIF and binary PNM are");
}

const char* name_of(Format format) {
    switch (format) {
        case Format::Png:
            return "PNG";
        case Format::Jpeg:
            return "JPEG";
        case Format::Bmp:
            return "BMP";
        case Format::Gif:
            return "GIF";
        case Format::Pnm:
            return "PNM";
    }
    CHECK(!"a format");
}

[[noreturn]] void refuse_truncated(Format format, const std::string& where) {
    throw Error(std::string("the ") + name_of(format) + " picture ends before it is complete", where,
                "fetch or save it again");
}

[[noreturn]] void refuse_hollow(Format format, int64_t width, int64_t height, const std::string& where) {
    throw Error(std::string("the ") + name_of(format) + " file does not hold the " + std::to_string(width) + " x " +
                    std::to_string(height) + " pixels that its header promises",
                where, "fetch or save it again");
}

void check_size(int64_t width, int64_t height, const std::string& where) {
    if (width < 1 || height < 1) throw Error("the picture has no pixels", where);
    if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS)
        throw Error("the picture is " + std::to_string(width) + " x " + std::to_string(height) +
                        " pixels, and leon reads up to 64 megapixels and 65535 a side",
                    where, "scale it down");
}

// --- PNM: P5 (grey) and P6 (RGB), 8 bits -------------------------------------------------------------------------

// A decimal number after white space and #-comments; -1 if there is none or it exceeds nine digits.
int64_t pnm_number(Bytes file, size_t& at) {
    auto is_space = [](uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    while (at < file.size() && (is_space(file[at]) || file[at] == '#')) {
        if (file[at] == '#')
            while (at < file.size() && file[at] != '\n') at++;
        else
            at++;
    }
    int64_t value = -1;
    for (int digits = 0; at < file.size() && file[at] >= '0' && file[at] <= '9'; at++) {
        if (++digits > 9) return -1;
        value = std::max<int64_t>(value, 0) * 10 + (file[at] - '0');
    }
    return value;
}

Picture decode_pnm(Bytes file, const std::string& where) {
    const size_t channels = file[1] == '5' ? 1 : 3;
    size_t at = 2;
    int64_t width = pnm_number(file, at), height = pnm_number(file, at), white = pnm_number(file, at);
    if (width < 0 || height < 0 || white < 0) throw Error("the PNM header is damaged", where);
    check_size(width, height, where);
    if (white != 255) throw Error("a PNM picture must have 255 as its largest value", where, "convert it to PNG");
    at++;  // exactly one white space before the samples
    const size_t bytes = static_cast<size_t>(width * height) * channels;
    if (at > file.size() || file.size() - at < bytes) refuse_truncated(Format::Pnm, where);
    Picture picture(static_cast<int>(width), static_cast<int>(height));
    for (size_t i = 0; i < picture.rgb.size(); i++) picture.rgb[i] = file[at + (channels == 3 ? i : i / 3)];
    return picture;
}

// --- the rest: stb_image behind its fence ------------------------------------------------------------------------

// The file as stb_image's callbacks see it, and whether they were asked for more than there is.
struct Reader {
    Bytes file;
    size_t at = 0;
    bool starved = false;
    char* refill_buffer = nullptr;  // where stb_image reads ahead; coming up short there is normal
};

int reader_read(void* user, char* data, int size) {
    Reader& reader = *static_cast<Reader*>(user);
    if (!reader.refill_buffer) reader.refill_buffer = data;  // the first call is a read-ahead
    size_t wanted = size > 0 ? static_cast<size_t>(size) : 0;
    size_t given = std::min(wanted, reader.file.size() - reader.at);
    if (given == 0 || (given < wanted && data != reader.refill_buffer)) reader.starved = true;
    if (given > 0) std::memcpy(data, reader.file.data() + reader.at, given);
    reader.at += given;
    return static_cast<int>(given);
}

void reader_skip(void* user, int size) {  // a negative size steps back
    Reader& reader = *static_cast<Reader*>(user);
    int64_t target = static_cast<int64_t>(reader.at) + size;
    reader.at = static_cast<size_t>(std::clamp<int64_t>(target, 0, static_cast<int64_t>(reader.file.size())));
}

int reader_at_end(void* user) {
    const Reader& reader = *static_cast<Reader*>(user);
    return reader.at == reader.file.size();
}

constexpr stbi_io_callbacks READER = {reader_read, reader_skip, reader_at_end};

// stb's reasons may hold bytes of the file, say of the name of a PNG's chunk.
[[noreturn]] void refuse_damaged(Format format, const std::string& where, const char* reason) {
    std::string text = reason ? reason : "damaged";
    for (char& c : text)
        if (c < 0x20 || c > 0x7e) c = '?';
    throw Error(std::string("the ") + name_of(format) + " picture cannot be decoded (" + text + ")", where,
                "save it again with another program");
}

// Does this file's fourth channel, if any, count as alpha for Pillow?
bool alpha_counts(Format format, Bytes file) {
    switch (format) {
        case Format::Png:
            return file.size() < 26 || file[25] != 2;  // colour type 2, RGB: a colour key is ignored
        case Format::Bmp:  // only a version 4 or 5 header with bit masks; elsewhere the fourth byte is padding
            return file.size() > 30 && file[14] >= 108 && file[30] == 3;
        case Format::Gif:
            return true;
        case Format::Jpeg:
        case Format::Pnm:
            return false;
    }
    CHECK(!"a format");
}

// rgba [pixels, 4] -> out [pixels, 3]
void blend_on_white(uint8_t* out, const uint8_t* rgba, size_t pixels) {
    bool transparent = false;
    for (size_t i = 0; i < pixels && !transparent; i++) transparent = rgba[i * 4 + 3] < 255;
    for (size_t i = 0; i < pixels; i++, rgba += 4) {
        double alpha = rgba[3] / 255.0;
        for (int c = 0; c < 3; c++)
            *out++ = transparent ? static_cast<uint8_t>((1.0 - alpha) * 255.0 + alpha * rgba[c]) : rgba[c];
    }
}

// The most that the decoder and the picture take. PNG: the data, which grow by doubling, what they inflate to, twice
// if it grows, and 16-bit RGBA beside 8-bit. JPEG: of four components samples and 16-bit coefficients, padded to whole
// units of blocks. BMP: four bytes a pixel. GIF: a frame, the one before and a byte.
size_t most_bytes(Format format, Bytes file, size_t width, size_t height) {
    const size_t pixels = width * height, picture = pixels * 3;
    switch (format) {
        case Format::Png: {
            const PngData data = read_png_chunks(file);
            return picture + 3 * data.stored_bytes + 3 * data.filtered_bytes + pixels * 12;
        }
        case Format::Jpeg:
            return picture + (width + 64) * (height + 64) * (4 * 3 + 4);
        default:
            return picture + pixels * 9;
    }
}

// Does the file hold as much as its header says?
bool holds_its_pixels(Format format, Bytes file, size_t width, size_t height) {
    switch (format) {
        case Format::Png:
            return png_data_fill(file);
        case Format::Jpeg:
            return jpeg_data_fill(file);
        case Format::Bmp: {  // not compressed; rows are padded to 4 bytes
            if (file.size() < 30) return false;
            const bool old = file[14] == 12;  // the header of OS/2
            const size_t bits = file[old ? 24 : 28];
            return bits > 0 && file.size() >= (width * bits + 31) / 32 * 4 * height;
        }
        default:
            return false;
    }
}

Picture decode_by_stb(Format format, Bytes file, const std::string& where) {
    decoder_budget = size_t{1} << 20;  // headers need next to nothing
    int width = 0, height = 0, channels = 0;
    Reader header{file};
    if (!stbi_info_from_callbacks(&READER, &header, &width, &height, &channels)) {
        if (header.starved) refuse_truncated(format, where);
        refuse_damaged(format, where, "bad header");
    }
    const int64_t rows = std::abs(int64_t{height});  // BMP: negative when stored from top to bottom
    check_size(width, rows, where);
    const size_t across = static_cast<size_t>(width), down = static_cast<size_t>(rows), pixels = across * down;
    if (format == Format::Gif && pixels > MAX_GIF_PIXELS)
        throw Error("is a GIF picture of more than 4 megapixels", where, "convert it to PNG");
    if (format == Format::Png && !read_png_chunks(file).chunks_fit) refuse_truncated(format, where);
    const size_t most = most_bytes(format, file, across, down);
    if (most > UNPROVEN_BYTES && !holds_its_pixels(format, file, across, down))
        refuse_hollow(format, width, rows, where);
    decoder_budget = std::max(most, UNPROVEN_BYTES) - pixels * 3;
    const int wanted = alpha_counts(format, file) ? 4 : 3;
    Reader reader{file};
    std::unique_ptr<stbi_uc, decltype(&decoder_free)> decoded(
        stbi_load_from_callbacks(&READER, &reader, &width, &height, &channels, wanted), decoder_free);
    if (reader.starved) refuse_truncated(format, where);
    if (!decoded) refuse_damaged(format, where, stbi_failure_reason());
    CHECK(static_cast<size_t>(width) * height == pixels);

    Picture picture(width, height);
    if (wanted == 4)
        blend_on_white(picture.rgb.data(), decoded.get(), pixels);
    else
        std::copy_n(decoded.get(), picture.rgb.size(), picture.rgb.begin());
    return picture;
}

// EXIF orientations 1..8 say how the stored picture must be read to stand upright:
//   2 mirrored  3 upside down  4 upside down, mirrored  5..8 rows are columns: 5 transposed  6 turn right  7 8 turn
//   left
Picture turned_upright(const Picture& stored, int orientation) {
    if (orientation == 1) return stored;
    const bool transposed = orientation >= 5;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Picture out(transposed ? stored.height : stored.width, transposed ? stored.width : stored.height);
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++) {
            int from_x = transposed ? y : x, from_y = transposed ? x : y;
            if (from_right) from_x = stored.width - 1 - from_x;
            if (from_bottom) from_y = stored.height - 1 - from_y;
            std::copy_n(stored.at(from_x, from_y), 3, out.at(x, y));
        }
    return out;
}

// --- writing -----------------------------------------------------------------------------------------------------

void append(void* user, void* data, int size) {
    auto& bytes = *static_cast<std::vector<uint8_t>*>(user);
    const uint8_t* begin = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), begin, begin + size);
}

bool ends_with(const std::string& path, std::string_view ending) {
    if (path.size() < ending.size()) return false;
    return std::equal(ending.begin(), ending.end(), path.end() - static_cast<ptrdiff_t>(ending.size()),
                      [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
}

}  // namespace

Picture decode_picture(std::span<const uint8_t> file, const std::string& where, Orientation orientation) {
    const Format format = format_of(file, where);
    if (format == Format::Pnm) return decode_pnm(file, where);
    if (has(file, 12, "CgBI")) throw Error("is a PNG in Apple's own variant", where, "convert it to PNG or JPEG");
    if (format == Format::Png && file.size() > 25 && file[24] == 16 && file[25] == 0)
        throw Error("is a 16-bit grey PNG, which leon does not read", where, "convert it to 8 bits");
    if (format != Format::Jpeg) return decode_by_stb(format, file, where);

    const JpegMarkers markers = read_jpeg_markers(file);
    if (!markers.complete) refuse_truncated(format, where);
    if (!markers.tables_fit) refuse_damaged(format, where, "bad Huffman tables");
    if (markers.scans > MAX_JPEG_SCANS) refuse_damaged(format, where, "more scans than any camera writes");
    Picture picture = decode_by_stb(format, file, where);
    return orientation == Orientation::Upright ? turned_upright(picture, markers.orientation) : picture;
}

Picture load_picture(const std::string& path, Orientation orientation) {
    return decode_picture(read_file(path, MAX_FILE_BYTES), path, orientation);
}

std::vector<uint8_t> encode_png(const Picture& picture) {
    CHECK(picture.width > 0 && picture.height > 0);
    std::vector<uint8_t> bytes;
    if (!stbi_write_png_to_func(append, &bytes, picture.width, picture.height, 3, picture.rgb.data(), 0))
        throw Error("there is not enough memory to write the picture");
    return bytes;
}

void check_picture_path(const std::string& path) {
    for (const char* ending : {".png", ".jpg", ".jpeg", ".bmp"})
        if (ends_with(path, ending)) return check_writable(path);
    throw Error("pictures are written as .png, .jpg or .bmp", path, "choose one of these endings");
}

void save_picture(const std::string& path, const Picture& picture) {
    check_picture_path(path);
    CHECK(picture.width > 0 && picture.height > 0);
    const int width = picture.width, height = picture.height;
    std::vector<uint8_t> bytes;
    int written = 1;
    if (ends_with(path, ".png"))
        bytes = encode_png(picture);
    else if (ends_with(path, ".jpg") || ends_with(path, ".jpeg"))
        written = stbi_write_jpg_to_func(append, &bytes, width, height, 3, picture.rgb.data(), JPEG_QUALITY);
    else
        written = stbi_write_bmp_to_func(append, &bytes, width, height, 3, picture.rgb.data());
    if (!written) throw Error("the picture could not be encoded", path);
    write_file(path, bytes.data(), bytes.size());
}

}  // namespace leon
