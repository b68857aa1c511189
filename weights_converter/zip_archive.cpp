// Reading a zip archive from its end; see zip_archive.h. The layout (all numbers little-endian):
//
//   | local header, name, extra | data | ...   one after the other for each member
//   | central directory: entries               names, sizes, and where each local header is
//   | zip64 end | zip64 locator |              only in zip64 archives
//   | end |
//
// Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.
#include "weights_converter/zip_archive.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/check.h"
#include "runtime/weights_file.h"

namespace leon {
namespace {

constexpr uint32_t LOCAL = 0x04034b50, ENTRY = 0x02014b50, END = 0x06054b50, END64 = 0x06064b50, LOCATOR = 0x07064b50;
constexpr size_t LOCAL_BYTES = 30, ENTRY_BYTES = 46, END_BYTES = 22, END64_BYTES = 56, LOCATOR_BYTES = 20;
constexpr uint16_t ENCRYPTED = 0x2041, SIZES_FOLLOW = 0x0008;  // bits of the flags
constexpr uint16_t ZIP64_EXTRA = 0x0001;
constexpr uint32_t IN_ZIP64 = 0xffffffff;  // the field's value stands in a zip64 record
constexpr uint16_t IN_ZIP64_SHORT = 0xffff;

class ArchiveReader {
public:
    explicit ArchiveReader(const MappedFile& file) : bytes_(file.bytes()), path_(file.path()) {}

    std::vector<ZipMember> read() {
        const Directory directory = find_directory();
        std::vector<ZipMember> members;
        if (directory.entries > directory.bytes / ENTRY_BYTES)
            fail("promises more members than its directory has room for");
        members.reserve(directory.entries);
        uint64_t at = directory.offset;
        const uint64_t end = directory.offset + directory.bytes;
        for (uint64_t i = 0; i < directory.entries; i++) members.push_back(read_entry(at, end));
        if (at != end) fail("has a directory with something behind its last entry");
        check_apart(members, directory.offset);
        return members;
    }

private:
    struct Directory {
        uint64_t offset, bytes, entries;
    };

    std::span<const uint8_t> bytes_;
    const std::string& path_;

    [[noreturn]] void fail(const std::string& what) const {
        throw Error("as a zip archive, " + what, path_, "it may be incomplete or damaged");
    }

    uint64_t number(uint64_t at, int bytes) const {
        uint64_t value = 0;
        for (int i = 0; i < bytes; i++) value |= static_cast<uint64_t>(bytes_[at + i]) << (8 * i);
        return value;
    }
    uint16_t u16(uint64_t at) const { return static_cast<uint16_t>(number(at, 2)); }
    uint32_t u32(uint64_t at) const { return static_cast<uint32_t>(number(at, 4)); }
    uint64_t u64(uint64_t at) const { return number(at, 8); }

    std::string_view text(uint64_t at, size_t length) const {
        return {reinterpret_cast<const char*>(bytes_.data()) + at, length};
    }

    // The end record is the last thing in the file but for a comment, whose length it states.
    uint64_t find_end() const {
        if (bytes_.size() >= END_BYTES) {
            const uint64_t last = bytes_.size() - END_BYTES;
            const uint64_t first = last - std::min<uint64_t>(last, 0xffff);
            for (uint64_t at = last + 1; at-- > first;)
                if (u32(at) == END && u16(at + 20) == last - at) return at;
        }
        fail("it has no end record");
    }

    Directory find_directory() const {
        const uint64_t end = find_end();
        if (u16(end + 4) != 0 || u16(end + 6) != 0 || u16(end + 8) != u16(end + 10)) fail("it is one of several parts");
        Directory directory = {u32(end + 16), u32(end + 12), u16(end + 10)};
        uint64_t limit = end;  // the directory ends here
        if (end >= LOCATOR_BYTES && u32(end - LOCATOR_BYTES) == LOCATOR) limit = read_zip64(end, directory);
        if (directory.offset > limit || directory.bytes != limit - directory.offset)
            fail("its directory does not lie where the end record says");
        return directory;
    }

    // Replaces what the end record could not hold, and returns where the zip64 end begins.
    uint64_t read_zip64(uint64_t end, Directory& directory) const {
        const uint64_t locator = end - LOCATOR_BYTES, at = u64(locator + 8);
        if (locator < END64_BYTES || at > locator - END64_BYTES || u32(at) != END64 ||
            u64(at + 4) != locator - at - 12 || u32(locator + 4) != 0 || u32(locator + 16) > 1 || u32(at + 16) != 0 ||
            u32(at + 20) != 0 || u64(at + 24) != u64(at + 32))
            fail("its zip64 end record is wrong");
        const Directory wide = {u64(at + 48), u64(at + 40), u64(at + 32)};
        const bool agrees = (directory.offset == wide.offset || directory.offset == IN_ZIP64) &&
                            (directory.bytes == wide.bytes || directory.bytes == IN_ZIP64) &&
                            (directory.entries == wide.entries || directory.entries == IN_ZIP64_SHORT);
        if (!agrees) fail("its two end records contradict one another");
        directory = wide;
        return at;
    }

    // One entry of the central directory, checked against its local header; moves `at` behind it.
    ZipMember read_entry(uint64_t& at, uint64_t end) const {
        if (end - at < ENTRY_BYTES || u32(at) != ENTRY) fail("its directory is cut short");
        const uint16_t flags = u16(at + 8), method = u16(at + 10);
        const size_t name_bytes = u16(at + 28), extra_bytes = u16(at + 30), comment_bytes = u16(at + 32);
        if (end - at - ENTRY_BYTES < name_bytes + extra_bytes + comment_bytes) fail("its directory is cut short");

        ZipMember member;
        member.name = text(at + ENTRY_BYTES, name_bytes);
        member.crc = u32(at + 16);
        uint64_t stored = u32(at + 20), size = u32(at + 24);
        member.header = u32(at + 42);
        widen(at + ENTRY_BYTES + name_bytes, extra_bytes, size, stored, member.header);
        const std::string name = "member " + in_quotes(std::string(member.name.substr(0, 200)));
        if (flags & ENCRYPTED) throw Error(name + " is encrypted", path_);
        if (method != 0)
            throw Error(name + " is compressed", path_,
                        "unpack the archive and zip it again without compression (zip -0)");
        if (stored != size) fail(name + " has two sizes");
        if (u16(at + 34) != 0) fail("it is one of several parts");
        at += ENTRY_BYTES + name_bytes + extra_bytes + comment_bytes;
        member.bytes = data_of(member, flags, size, name);
        return member;
    }

    // Takes from the zip64 extra field, in this order, the numbers that 32 bits could not hold.
    void widen(uint64_t at, size_t extra_bytes, uint64_t& size, uint64_t& stored, uint64_t& header) const {
        uint64_t* wide[] = {&size, &stored, &header};
        if (std::none_of(std::begin(wide), std::end(wide), [](uint64_t* n) { return *n == IN_ZIP64; })) return;
        const uint64_t end = at + extra_bytes;
        while (end - at >= 4) {
            const uint16_t kind = u16(at), length = u16(at + 2);
            at += 4;
            if (length > end - at) break;
            if (kind != ZIP64_EXTRA) {
                at += length;
                continue;
            }
            const uint64_t field_end = at + length;
            for (uint64_t* n : wide) {
                if (*n != IN_ZIP64) continue;
                if (field_end - at < 8) fail("a zip64 field is cut short");
                *n = u64(at);
                at += 8;
            }
            return;
        }
        fail("a zip64 field is missing");
    }

    // Where the data lies: behind the local header, whose name and extra field have lengths of their own.
    std::span<const uint8_t> data_of(const ZipMember& member, uint16_t flags, uint64_t size,
                                     const std::string& name) const {
        const uint64_t header = member.header;
        if (header > bytes_.size() || bytes_.size() - header < LOCAL_BYTES || u32(header) != LOCAL)
            fail(name + " does not lie where the directory says");
        const uint64_t skip = LOCAL_BYTES + u16(header + 26) + uint64_t{u16(header + 28)};
        if (skip > bytes_.size() - header || size > bytes_.size() - header - skip)
            fail(name + " reaches past the end of the file");
        if (u16(header + 26) != member.name.size() || text(header + LOCAL_BYTES, member.name.size()) != member.name ||
            u16(header + 8) != 0)
            fail(name + " contradicts its local header");
        const uint32_t local_size = u32(header + 22);
        if (!(flags & SIZES_FOLLOW) && local_size != size && local_size != IN_ZIP64)
            fail(name + " contradicts its local header");
        return bytes_.subspan(header + skip, size);
    }

    // No byte belongs to two members or to the directory, and no name to two members. Leaves them ordered by name.
    void check_apart(std::vector<ZipMember>& members, uint64_t directory) const {
        auto end_of = [this](const ZipMember& m) {
            return static_cast<uint64_t>(m.bytes.data() - bytes_.data()) + m.bytes.size();
        };
        std::sort(members.begin(), members.end(),
                  [](const ZipMember& a, const ZipMember& b) { return a.header < b.header; });
        for (size_t i = 0; i < members.size(); i++) {
            const uint64_t limit = i + 1 < members.size() ? members[i + 1].header : directory;
            if (end_of(members[i]) > limit) fail("members overlap");
        }
        std::sort(members.begin(), members.end(),
                  [](const ZipMember& a, const ZipMember& b) { return a.name < b.name; });
        for (size_t i = 1; i < members.size(); i++)
            if (members[i - 1].name == members[i].name)
                fail("it has two members named " + in_quotes(std::string(members[i].name.substr(0, 200))));
    }
};

std::array<uint32_t, 256> crc_table() {
    std::array<uint32_t, 256> table;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
        table[byte] = value;
    }
    return table;
}

}  // namespace

ZipArchive::ZipArchive(const MappedFile& file) : members_(ArchiveReader(file).read()) {}

const ZipMember* ZipArchive::find(std::string_view name) const {
    auto found = std::lower_bound(members_.begin(), members_.end(), name,
                                  [](const ZipMember& member, std::string_view key) { return member.name < key; });
    return found == members_.end() || found->name != name ? nullptr : &*found;
}

uint32_t crc32(std::span<const uint8_t> bytes) {
    static const std::array<uint32_t, 256> TABLE = crc_table();
    uint32_t crc = 0xffffffffu;
    for (uint8_t byte : bytes) crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xffu];
    return ~crc;
}

}  // namespace leon
