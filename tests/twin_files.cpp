// See twin_files.h. A checksum is a polynomial over GF(2) modulo that of crc32(): bytes behind it multiply it by x^8
// each, so that a run of zeros costs as many multiplications as its length has bits.
#include "tests/twin_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/check.h"
#include "tests/made_zip.h"
#include "weights_converter/zip_archive.h"

namespace leon {
namespace {

constexpr uint32_t POLYNOMIAL = 0xedb88320u, ONE = 0x80000000u, X_TO_8 = ONE >> 8;  // bit 31 is x^0
constexpr uint64_t ALIGNMENT = 64;
constexpr uint16_t SIZES_FOLLOW_AND_UTF8 = 0x0808;
constexpr uint64_t NARROW = 0xffffffff;
constexpr uint32_t CRC_OF_ONE_ZERO = 0xd202ef8du;

uint32_t product(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (uint32_t bit = ONE; bit != 0; bit >>= 1) {
        if (a & bit) sum ^= b;
        b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
    }
    return sum;
}

}  // namespace

uint32_t crc_of_joined(uint32_t a, uint32_t b, uint64_t bytes_of_b) {
    uint32_t shift = ONE;
    for (uint32_t square = X_TO_8; bytes_of_b > 0; bytes_of_b >>= 1, square = product(square, square))
        if (bytes_of_b & 1) shift = product(shift, square);
    return product(shift, a) ^ b;
}

uint32_t crc_of_zeros(uint64_t bytes) {
    uint32_t all = 0;
    uint64_t run = 1;
    for (uint32_t crc = CRC_OF_ONE_ZERO; run <= bytes; crc = crc_of_joined(crc, crc, run), run *= 2)
        if (bytes & run) all = crc_of_joined(all, crc, run);
    return all;
}

LargeFile::LargeFile(const std::string& path)
    : path_(path), descriptor_(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
    if (descriptor_ < 0) throw Error(std::string("cannot be written: ") + std::strerror(errno), path);
}

LargeFile::~LargeFile() {
    close(descriptor_);
}

void LargeFile::write(const void* data, uint64_t bytes) {
    for (const char* next = static_cast<const char*>(data); bytes > 0;) {
        const ssize_t written = pwrite(descriptor_, next, bytes, static_cast<off_t>(size_));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw Error(std::string("cannot be written: ") + std::strerror(errno), path_);
        next += written;
        size_ += static_cast<uint64_t>(written);
        bytes -= static_cast<uint64_t>(written);
    }
}

void LargeFile::skip(uint64_t bytes) {
    size_ += bytes;
}

void LargeFile::finish() {
    if (ftruncate(descriptor_, static_cast<off_t>(size_)) != 0)
        throw Error(std::string("cannot be written: ") + std::strerror(errno), path_);
}

TorchArchive::TorchArchive(const std::string& path, std::string folder) : file_(path), folder_(std::move(folder)) {}

void TorchArchive::member(const std::string& name, const std::string& bytes) {
    begin(name);
    write(bytes.data(), bytes.size(), crc32({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
    end();
}

void TorchArchive::begin(const std::string& name) {
    constexpr uint64_t LOCAL_BYTES = 30, FIELD_HEAD = 4;
    Entry entry{folder_ + "/" + name, file_.size()};
    const uint64_t unpadded = file_.size() + LOCAL_BYTES + entry.name.size() + FIELD_HEAD;
    const std::string padding((ALIGNMENT - unpadded % ALIGNMENT) % ALIGNMENT, 'Z');
    file_.write("PK\3\4" + little_endian(0, 2) + little_endian(SIZES_FOLLOW_AND_UTF8, 2) + std::string(18, 0) +
                little_endian(entry.name.size(), 2) + little_endian(FIELD_HEAD + padding.size(), 2) + entry.name +
                "FB" + little_endian(padding.size(), 2) + padding);
    entries_.push_back(std::move(entry));
}

void TorchArchive::write(const void* data, uint64_t bytes, uint32_t crc) {
    Entry& entry = entries_.back();
    entry.crc = crc_of_joined(entry.crc, crc, bytes);
    entry.bytes += bytes;
    file_.write(data, bytes);
}

void TorchArchive::skip(uint64_t bytes) {
    Entry& entry = entries_.back();
    entry.crc = crc_of_joined(entry.crc, crc_of_zeros(bytes), bytes);
    entry.bytes += bytes;
    file_.skip(bytes);
}

void TorchArchive::end() {
    const Entry& entry = entries_.back();
    const int width = entry.bytes > NARROW ? 8 : 4;
    file_.write("PK\7\x8" + little_endian(entry.crc, 4) + little_endian(entry.bytes, width) +
                little_endian(entry.bytes, width));
}

void TorchArchive::finish() {
    const uint64_t directory = file_.size();
    for (const Entry& e : entries_) {
        const bool wide_size = e.bytes >= NARROW, wide_header = e.header >= NARROW;
        const std::string field = (wide_size ? little_endian(e.bytes, 8) + little_endian(e.bytes, 8) : "") +
                                  (wide_header ? little_endian(e.header, 8) : "");
        const std::string extra = field.empty() ? "" : little_endian(1, 2) + little_endian(field.size(), 2) + field;
        const uint64_t size = wide_size ? NARROW : e.bytes;
        file_.write("PK\1\2" + little_endian(0, 4) + little_endian(SIZES_FOLLOW_AND_UTF8, 2) + little_endian(0, 6) +
                    little_endian(e.crc, 4) + little_endian(size, 4) + little_endian(size, 4) +
                    little_endian(e.name.size(), 2) + little_endian(extra.size(), 2) + std::string(10, 0) +
                    little_endian(wide_header ? NARROW : e.header, 4) + e.name + extra);
    }
    const uint64_t end = file_.size(), bytes = end - directory, members = entries_.size();
    const bool wide = directory >= NARROW;
    if (wide)
        file_.write("PK\6\6" + little_endian(44, 8) + little_endian(45, 2) + little_endian(45, 2) +
                    little_endian(0, 8) + little_endian(members, 8) + little_endian(members, 8) +
                    little_endian(bytes, 8) + little_endian(directory, 8) + "PK\6\7" + little_endian(0, 4) +
                    little_endian(end, 8) + little_endian(1, 4));
    file_.write("PK\5\6" + little_endian(0, 4) + little_endian(members, 2) + little_endian(members, 2) +
                little_endian(bytes, 4) + little_endian(wide ? NARROW : directory, 4) + little_endian(0, 2));
    file_.finish();
}

void PickleText::string(const std::string& value) {
    text += "X" + little_endian(value.size(), 4) + value;
}

void PickleText::number(uint64_t value) {
    if (value <= INT32_MAX)
        text += "J" + little_endian(value, 4);
    else
        text += "\x8a" + little_endian(8, 1) + little_endian(value, 8);
}

void PickleText::tensor(const std::string& storage_class, size_t key, const std::vector<int64_t>& shape) {
    std::vector<uint64_t> sizes(shape.begin(), shape.end()), strides(shape.size());
    uint64_t elements = 1;
    for (size_t i = shape.size(); i-- > 0; elements *= sizes[i]) strides[i] = elements;
    text += "ctorch._utils\n_rebuild_tensor_v2\n((";
    string("storage");
    text += "ctorch\n" + storage_class + "\n";
    string(std::to_string(key));
    string("cpu");
    number(elements);
    text += "tQ";
    number(0);
    tuple_of(sizes);
    tuple_of(strides);
    text +=
        "\x89"
        "ccollections\nOrderedDict\n)RtR";
}

void PickleText::tuple_of(const std::vector<uint64_t>& numbers) {
    text += "(";
    for (const uint64_t n : numbers) number(n);
    text += "t";
}

}  // namespace leon
