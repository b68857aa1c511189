// The members of a zip archive, in place: each is a span of the mapping, since torch stores its members uncompressed.
//
// Read strictly. There is one central directory, it ends where the end records begin, it holds exactly the number of
// entries that they promise, and each entry agrees with the header in front of its data. Refused are compressed and
// encrypted members (nothing is ever inflated, so there is no zip bomb), members that overlap or share a name, and
// archives in parts. Zip64 is understood. Less is allocated than the archive has bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/files.h"

namespace leon {

struct ZipMember {
    std::string_view name;  // as stored; any bytes
    std::span<const uint8_t> bytes;
    uint32_t crc = 0;     // as declared; see crc32()
    uint64_t header = 0;  // offset of the local header
};

class ZipArchive {
public:
    // Error unless every member is sound. The members point into `file`, which must outlive them.
    explicit ZipArchive(const MappedFile& file);

    const std::vector<ZipMember>& members() const { return members_; }  // by name
    const ZipMember* find(std::string_view name) const;                 // null if absent

private:
    std::vector<ZipMember> members_;
};

// The checksum of zip (polynomial 0xedb88320, reflected). Left to the caller: weights are gigabytes, and torch does not
// check them either.
uint32_t crc32(std::span<const uint8_t> bytes);

}  // namespace leon
