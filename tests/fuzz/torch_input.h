// Torch files as inputs: mutations of a pickle's opcodes instead of its bytes, and of an archive's members instead of
// its headers, so that most inputs get past lengths and checksums to what they describe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "tests/fuzz/input.h"
#include "tests/made_zip.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace leon {

using Random = std::minstd_rand;

inline size_t below(Random& random, size_t end) {
    return end == 0 ? 0 : random() % end;
}

// --- pickles: opcodes with what they carry
// -----------------------------------------------------------------------------

// How many bytes of a number follow an opcode, and whether the number counts further bytes.
struct Carried {
    size_t number = 0, lines = 0;
    bool counts = false;
};

inline Carried carried_by(uint8_t opcode) {
    const std::string_view one = "Kqh\x80\x82", counts_one = "UC\x8c\x8a", two = "M\x83", four = "Jrj\x84",
                           eight = "G\x95", counts_four = "TXB\x8b", counts_eight = "\x8d\x8e\x96", line = "ILFSVpgP",
                           lines = "ci";
    const auto in = [&](std::string_view set) { return set.find(static_cast<char>(opcode)) != set.npos; };
    if (in(line) || in(lines)) return {.lines = in(line) ? size_t{1} : size_t{2}};
    if (in(one) || in(counts_one)) return {.number = 1, .counts = in(counts_one)};
    if (in(two)) return {.number = 2};
    if (in(four) || in(counts_four)) return {.number = 4, .counts = in(counts_four)};
    if (in(eight) || in(counts_eight)) return {.number = 8, .counts = in(counts_eight)};
    return {};
}

// The opcodes of `stream` one by one. Where nothing more can be made out, the rest is one more piece.
inline std::vector<std::string> opcodes_of(const std::string& stream) {
    std::vector<std::string> opcodes;
    size_t at = 0;
    while (at < stream.size()) {
        const Carried carried = carried_by(static_cast<uint8_t>(stream[at]));
        uint64_t length = 1 + carried.number;
        if (carried.counts && length <= stream.size() - at)
            for (size_t i = 0; i < carried.number; i++)
                length += static_cast<uint64_t>(static_cast<uint8_t>(stream[at + 1 + i])) << (8 * i);
        for (size_t i = 0; i < carried.lines; i++) {
            const size_t end = stream.find('\n', at + length);
            length = end == std::string::npos ? stream.size() + 1 : end + 1 - at;
        }
        length = std::min<uint64_t>(length, stream.size() - at);
        opcodes.push_back(stream.substr(at, length));
        at += length;
    }
    return opcodes;
}

inline uint64_t interesting_number(Random& random) {
    constexpr uint64_t NUMBERS[] = {0,
                                    1,
                                    2,
                                    3,
                                    4,
                                    7,
                                    8,
                                    16,
                                    127,
                                    128,
                                    255,
                                    256,
                                    65535,
                                    65536,
                                    0x7fffffff,
                                    0x80000000,
                                    ~0u,
                                    1u << 20,
                                    1u << 30,
                                    uint64_t{1} << 32,
                                    uint64_t{1} << 61,
                                    uint64_t{1} << 62,
                                    uint64_t{1} << 63,
                                    ~uint64_t{0}};
    return NUMBERS[below(random, std::size(NUMBERS))];
}

inline std::string some_text(Random& random) {
    const char* const TEXTS[] = {"storage",  "0",           "1",         "cpu",      "state_dict",
                                 "model",    "norm.weight", "a.b",       "",         "weight",
                                 "x\x1b[2J", "\xff\xfe",    "../../etc", "a/data/0", "little_endian"};
    return TEXTS[below(random, std::size(TEXTS))];
}

// A new opcode that carries something plausible.
inline std::string some_opcode(Random& random) {
    const std::string plain = "(0012.N\x88\x89)\x85\x86\x87t]laee\x8f\x90\x91}dsu\x94\x93R\x81\x92obQ\x97\x98";
    const std::string with_number = "KMJqrhjG\x80\x95";
    const std::string with_text = "U\x8cXTCB\x8d\x8e\x96\x8a\x8b";
    const char* const NAMES[] = {"torch._utils\n_rebuild_tensor_v2\n",
                                 "torch._utils\n_rebuild_tensor\n",
                                 "torch._utils\n_rebuild_tensor_v3\n",
                                 "torch._utils\n_rebuild_parameter\n",
                                 "torch._tensor\n_rebuild_from_type_v2\n",
                                 "torch\nFloatStorage\n",
                                 "torch\nBFloat16Storage\n",
                                 "torch\nByteStorage\n",
                                 "torch\nfloat8_e4m3fn\n",
                                 "torch.storage\nUntypedStorage\n",
                                 "collections\nOrderedDict\n",
                                 "collections\ndefaultdict\n",
                                 "builtins\nexec\n",
                                 "argparse\nNamespace\n"};
    switch (below(random, 8)) {
        case 0:
        case 1:
        case 2:
            return {plain[below(random, plain.size())]};
        case 3: {
            const char opcode = with_number[below(random, with_number.size())];
            const uint64_t number = random() % 2 ? below(random, 12) : interesting_number(random);
            return opcode + little_endian(number, static_cast<int>(carried_by(static_cast<uint8_t>(opcode)).number));
        }
        case 4:
        case 5: {
            const char opcode = with_text[below(random, with_text.size())];
            const std::string text = some_text(random);
            return opcode +
                   little_endian(text.size(), static_cast<int>(carried_by(static_cast<uint8_t>(opcode)).number)) + text;
        }
        case 6:
            return std::string(random() % 4 ? "c" : "i") + NAMES[below(random, std::size(NAMES))];
        default: {
            const std::string line = "ILFSVpgP";
            return line[below(random, line.size())] +
                   (random() % 2 ? std::to_string(interesting_number(random)) : some_text(random)) + "\n";
        }
    }
}

// What an opcode carries becomes something else of the same kind.
inline void change_opcode(std::string& opcode, Random& random) {
    const Carried carried = carried_by(static_cast<uint8_t>(opcode[0]));
    if (opcode.size() == 1 || random() % 8 == 0) {
        opcode = some_opcode(random);
    } else if (carried.counts && random() % 8 != 0 && opcode.size() >= 1 + carried.number) {
        std::string text = opcode.substr(1 + carried.number);
        if (random() % 4 == 0) {
            text = some_text(random);
        } else {
            const size_t before = text.size();
            text.resize(before + 16);
            text.resize(
                LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), before, std::min<size_t>(text.size(), 255)));
        }
        opcode = opcode[0] + little_endian(text.size(), static_cast<int>(carried.number)) + text;
    } else if (carried.number > 0) {
        const uint64_t number = random() % 2 ? below(random, 40) : interesting_number(random);
        opcode.replace(1, carried.number, little_endian(number, static_cast<int>(carried.number)));
    } else {
        const size_t before = opcode.size();
        opcode.resize(before + 8);
        opcode.resize(1 + LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(opcode.data()) + 1, before - 1, before + 7));
    }
}

inline std::string mutate_pickle(const std::string& pickle, Random& random) {
    std::vector<std::string> opcodes = opcodes_of(pickle);
    const size_t changes = 1 + below(random, 4);
    for (size_t change = 0; change < changes; change++) {
        const size_t at = below(random, opcodes.size()), other = below(random, opcodes.size());
        const auto place = opcodes.begin() + static_cast<ptrdiff_t>(at);
        const size_t kind = opcodes.empty() ? 0 : below(random, 8);
        switch (kind) {
            case 0:
            case 1:
                opcodes.insert(place, some_opcode(random));
                break;
            case 2:
                opcodes.erase(place);
                break;
            case 3:
                opcodes.insert(place, std::string(opcodes[other]));
                break;
            case 4:
                std::swap(opcodes[at], opcodes[other]);
                break;
            case 5: {  // a run once more, somewhere
                const size_t end = std::min(opcodes.size(), other + 1 + below(random, 24));
                const std::vector<std::string> run(opcodes.begin() + static_cast<ptrdiff_t>(other),
                                                   opcodes.begin() + static_cast<ptrdiff_t>(end));
                opcodes.insert(place, run.begin(), run.end());
                break;
            }
            default:
                change_opcode(opcodes[at], random);
        }
    }
    std::string out;
    for (const std::string& opcode : opcodes) out += opcode;
    return out;
}

// --- archives
// ----------------------------------------------------------------------------------------------------------

inline std::string mutate_archive(const ZipArchive& archive, Random& random) {
    std::vector<MadeMember> members;
    size_t object = 0;
    for (const ZipMember& member : archive.members()) {
        if (member.name.ends_with("data.pkl")) object = members.size();
        members.push_back({.name = std::string(member.name),
                           .bytes = {reinterpret_cast<const char*>(member.bytes.data()), member.bytes.size()}});
    }
    if (members.empty()) members.push_back({.name = "a/data.pkl", .bytes = "."});
    MadeEnd end;
    MadeMember& one = members[below(random, members.size())];
    const int64_t claim = static_cast<int64_t>(random() % 2 ? interesting_number(random) : below(random, 1000));
    switch (below(random, 24)) {
        case 0:
            one.bytes.resize(below(random, 200), '\1');
            break;
        case 1:
            one.name = random() % 2 ? one.name + some_text(random) : "a/data/" + std::to_string(below(random, 9));
            break;
        case 2:
            members.push_back(MadeMember(one));
            break;
        case 3:
            std::swap(one, members.back());
            members.pop_back();
            break;
        case 4: {
            int64_t* const claims[] = {&one.stored, &one.size, &one.offset, &one.local_size, &one.crc};
            *claims[below(random, std::size(claims))] = claim;
            break;
        }
        case 5: {
            int64_t* const claims[] = {&end.entries, &end.entries_here, &end.narrow_entries, &end.directory_bytes,
                                       &end.directory_offset};
            *claims[below(random, std::size(claims))] = claim;
            break;
        }
        case 6:
            one.zip64 = true;
            one.field_bytes = below(random, 33);
            break;
        case 7:
            end.zip64 = true;
            break;
        case 8:
            (random() % 2 ? one.method : one.flags) = static_cast<int>(below(random, 16));
            break;
        default:
            members[object].bytes = mutate_pickle(members[object].bytes, random);
    }
    return made_zip(members, end);
}

inline size_t mutate_torch(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    Random random(seed);
    if (size == 0 || below(random, 12) == 0) return LLVMFuzzerMutate(data, size, max_size);
    const std::string input(reinterpret_cast<const char*>(data), size);
    std::string out;
    if (input.starts_with("PK")) {
        try {
            const MappedFile file(as_file(input));
            out = mutate_archive(ZipArchive(file), random);
        } catch (const Error&) {
            return LLVMFuzzerMutate(data, size, max_size);
        }
    } else {
        out = mutate_pickle(input, random);
    }
    if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
    std::memcpy(data, out.data(), out.size());
    return out.size();
}

// Opcodes of one pickle, from somewhere on followed by those of another.
inline size_t cross_pickles(const std::string& a, const std::string& b, uint8_t* out, size_t max_size, unsigned seed) {
    Random random(seed);
    const std::vector<std::string> first = opcodes_of(a), second = opcodes_of(b);
    std::string text;
    const size_t from_first = below(random, first.size() + 1);
    for (size_t i = 0; i < from_first; i++) text += first[i];
    for (size_t i = below(random, second.size() + 1); i < second.size(); i++) text += second[i];
    if (text.size() > max_size) text.resize(max_size);
    std::memcpy(out, text.data(), text.size());
    return text.size();
}

}  // namespace leon
