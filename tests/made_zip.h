// Zip archives that a test makes up, right or wrong in one place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weights_converter/zip_archive.h"

namespace leon {

struct MadeMember {
    std::string name, bytes = "";
    // What the headers claim, if it is not the truth.
    int method = 0, local_method = -1, flags = 0, disk = 0;
    int64_t stored = -1, size = -1, offset = -1, local_size = -1, crc = -1;
    std::string local_name = "";
    bool zip64 = false;       // size and offset stand in a zip64 field only
    size_t field_bytes = 24;  // of that field
};

struct MadeEnd {
    int64_t entries = -1, entries_here = -1, narrow_entries = -1, directory_bytes = -1, directory_offset = -1;
    int disks = 0;
    bool zip64 = false;  // the end record refers to a zip64 one
    std::string comment = "", behind_directory = "";
};

inline std::string little_endian(uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; i++) text += static_cast<char>(value >> (8 * i));
    return text;
}

inline std::string made_zip(const std::vector<MadeMember>& members, const MadeEnd& end = {}) {
    auto claim = [](int64_t claimed, size_t truth) { return claimed >= 0 ? static_cast<uint64_t>(claimed) : truth; };
    std::string file, directory;
    for (const MadeMember& m : members) {
        const size_t offset = file.size();
        const std::string local_name = m.local_name.empty() ? m.name : m.local_name;
        const auto* data = reinterpret_cast<const uint8_t*>(m.bytes.data());
        const uint64_t crc = claim(m.crc, crc32({data, m.bytes.size()}));
        const uint64_t stored = claim(m.stored, m.bytes.size()), size = claim(m.size, m.bytes.size());
        const uint64_t where = claim(m.offset, offset);
        const std::string extra = m.zip64
                                      ? little_endian(0x9999, 2) + little_endian(3, 2) + "abc" + little_endian(1, 2) +
                                            little_endian(m.field_bytes, 2) + little_endian(size, 8) +
                                            little_endian(stored, 8) + little_endian(where, 8)
                                      : "";
        auto in_32_bits = [&](uint64_t n) { return little_endian(m.zip64 ? 0xffffffff : n, 4); };
        file += "PK\3\4" + little_endian(20, 2) + little_endian(m.flags, 2) +
                little_endian(claim(m.local_method, m.method), 2) + little_endian(0, 4) + little_endian(crc, 4) +
                little_endian(claim(m.local_size, m.bytes.size()), 4) +
                little_endian(claim(m.local_size, m.bytes.size()), 4) + little_endian(local_name.size(), 2) +
                little_endian(5, 2) + local_name + "extra" + m.bytes;
        directory += "PK\1\2" + little_endian(20, 2) + little_endian(20, 2) + little_endian(m.flags, 2) +
                     little_endian(m.method, 2) + little_endian(0, 4) + little_endian(crc, 4) + in_32_bits(stored) +
                     in_32_bits(size) + little_endian(m.name.size(), 2) + little_endian(extra.size(), 2) +
                     little_endian(3, 2) + little_endian(m.disk, 2) + little_endian(0, 6) + in_32_bits(where) + m.name +
                     extra + "abc";
    }
    const uint64_t entries = claim(end.entries, members.size()), offset = claim(end.directory_offset, file.size());
    const uint64_t bytes = claim(end.directory_bytes, directory.size());
    file += directory + end.behind_directory;
    if (end.zip64) {
        const size_t at = file.size();
        file += "PK\6\6" + little_endian(44, 8) + little_endian(45, 2) + little_endian(45, 2) + little_endian(0, 8) +
                little_endian(claim(end.entries_here, entries), 8) + little_endian(entries, 8) +
                little_endian(bytes, 8) + little_endian(offset, 8);
        file += "PK\6\7" + little_endian(0, 4) + little_endian(at, 8) + little_endian(1, 4);
    }
    auto narrow = [&](uint64_t n, int width) { return little_endian(end.zip64 ? ~uint64_t{0} : n, width); };
    const std::string count =
        end.narrow_entries >= 0 ? little_endian(static_cast<uint64_t>(end.narrow_entries), 2) : narrow(entries, 2);
    return file + "PK\5\6" + little_endian(end.disks, 2) + little_endian(end.disks, 2) + count + count +
           narrow(bytes, 4) + narrow(offset, 4) + little_endian(end.comment.size(), 2) + end.comment;
}

}  // namespace leon
