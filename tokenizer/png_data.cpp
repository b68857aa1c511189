// Chunks, and an inflate (RFC 1951) that keeps nothing but its window of 32 KiB; see png_data.h.
#include "tokenizer/png_data.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

namespace leon {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t SIGNATURE_BYTES = 8, CHUNK_BYTES = 12;  // of a chunk: length, name and checksum
constexpr size_t HEADER_END = SIGNATURE_BYTES + CHUNK_BYTES + 13;

uint32_t big_endian(Bytes file, size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++) value = value << 8 | file[at + i];
    return value;
}

struct Chunk {
    Bytes name, content;
    bool is(const char* wanted) const { return std::memcmp(name.data(), wanted, name.size()) == 0; }
};

// The chunks one by one, up to one that does not lie in the file.
class Chunks {
public:
    explicit Chunks(Bytes file) : file_(file) {}
    bool fit() const { return fit_; }
    std::optional<Chunk> next() {
        if (file_.size() < at_ + CHUNK_BYTES) return std::nullopt;
        const size_t length = big_endian(file_, at_);
        fit_ = length <= file_.size() - at_ - CHUNK_BYTES;
        if (!fit_) return std::nullopt;
        const Chunk chunk = {file_.subspan(at_ + 4, 4), file_.subspan(at_ + 8, length)};
        at_ += CHUNK_BYTES + length;
        return chunk;
    }

private:
    Bytes file_;
    size_t at_ = SIGNATURE_BYTES;
    bool fit_ = true;
};

// --- rows ---------------------------------------------------------------------------------------------------------

// Rows of one length, one after the other. Not interlaced, a picture is one pass; interlaced, up to seven.
struct Pass {
    size_t row_bytes, rows;  // the filter byte counts
};

//   IHDR: width u32 | height u32 | bits a sample | colour type | compression | filter | interlaced
std::vector<Pass> passes_of(Bytes file) {
    if (file.size() < HEADER_END) return {};
    const size_t width = big_endian(file, 16), height = big_endian(file, 20), colour = file[25];
    const size_t channels = colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1;
    const size_t bits = file[24] * channels;
    const auto pass = [&](size_t columns, size_t rows) { return Pass{1 + (columns * bits + 7) / 8, rows}; };
    if (!file[28]) return {pass(width, height)};
    constexpr size_t FIRST_X[] = {0, 4, 0, 2, 0, 1, 0}, STEP_X[] = {8, 8, 4, 4, 2, 2, 1};
    constexpr size_t FIRST_Y[] = {0, 0, 4, 0, 2, 0, 1}, STEP_Y[] = {8, 8, 8, 4, 4, 2, 2};
    std::vector<Pass> passes;
    for (size_t i = 0; i < 7; i++) {
        const size_t columns = (width + STEP_X[i] - 1 - FIRST_X[i]) / STEP_X[i];
        const size_t rows = (height + STEP_Y[i] - 1 - FIRST_Y[i]) / STEP_Y[i];
        if (columns > 0 && rows > 0) passes.push_back(pass(columns, rows));
    }
    return passes;
}

// Takes the bytes as they come out of the inflate.
class Rows {
public:
    explicit Rows(std::vector<Pass> passes) : passes_(std::move(passes)) {}

    bool full() const { return pass_ == passes_.size(); }
    bool sound() const { return sound_; }
    void put(uint8_t byte) {
        if (full()) return;
        const Pass& pass = passes_[pass_];
        constexpr uint8_t LAST_FILTER = 4;
        if (column_ == 0 && byte > LAST_FILTER) sound_ = false;
        if (++column_ < pass.row_bytes) return;
        column_ = 0;
        if (++row_ < pass.rows) return;
        row_ = 0;
        pass_++;
    }

private:
    std::vector<Pass> passes_;
    size_t pass_ = 0, row_ = 0, column_ = 0;
    bool sound_ = true;
};

// --- inflate ------------------------------------------------------------------------------------------------------

// Thrown at what no inflate can go on from; stays in this file.
struct DamagedPng {};

// The bits of all IDAT chunks, one after another, from each byte's lowest on.
class DeflateBits {
public:
    explicit DeflateBits(Bytes file) : chunks_(file) {}

    uint32_t take(int count) {
        while (have_ < count) {
            held_ |= static_cast<uint64_t>(next()) << have_;
            have_ += 8;
        }
        const uint32_t value = static_cast<uint32_t>(held_ & ((uint64_t{1} << count) - 1));
        held_ >>= count;
        have_ -= count;
        return value;
    }
    void align() {
        held_ >>= have_ % 8;
        have_ -= have_ % 8;
    }

private:
    uint8_t next() {
        while (at_ == piece_.size()) {
            const std::optional<Chunk> chunk = chunks_.next();
            if (!chunk) throw DamagedPng();
            if (!chunk->is("IDAT")) continue;
            piece_ = chunk->content;
            at_ = 0;
        }
        return piece_[at_++];
    }
    Chunks chunks_;
    Bytes piece_;
    size_t at_ = 0;
    uint64_t held_ = 0;
    int have_ = 0;
};

// DeflateCodes in order of length, and of symbol within a length: how many there are of each length says which is
// which.
class DeflateCodes {
public:
    explicit DeflateCodes(std::span<const uint8_t> lengths) {
        for (uint8_t length : lengths) count_[length]++;
        count_[0] = 0;
        std::array<uint16_t, LONGEST + 2> first{};
        for (size_t length = 1; length <= LONGEST; length++)
            first[length + 1] = static_cast<uint16_t>(first[length] + count_[length]);
        for (size_t symbol = 0; symbol < lengths.size(); symbol++)
            if (lengths[symbol]) symbols_[first[lengths[symbol]]++] = static_cast<uint16_t>(symbol);
    }

    uint32_t take(DeflateBits& bits) const {
        uint32_t code = 0, first = 0, index = 0;
        for (size_t length = 1; length <= LONGEST; length++) {
            code |= bits.take(1);
            const uint32_t count = count_[length];
            if (code < first + count) return symbols_[index + code - first];
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        throw DamagedPng();
    }

private:
    static constexpr size_t LONGEST = 15;
    std::array<uint16_t, LONGEST + 1> count_{};
    std::array<uint16_t, 288> symbols_{};
};

class Inflate {
public:
    Inflate(DeflateBits bits, Rows& rows) : bits_(std::move(bits)), rows_(rows), window_(WINDOW) {}

    // Until the rows are full or the last block ends.
    void run() {
        for (bool last = false; !last && !rows_.full();) {
            last = bits_.take(1);
            switch (bits_.take(2)) {
                case 0:
                    stored();
                    break;
                case 1:
                    fixed();
                    break;
                case 2:
                    dynamic();
                    break;
                default:
                    throw DamagedPng();
            }
        }
    }

private:
    static constexpr size_t WINDOW = 32768;
    DeflateBits bits_;
    Rows& rows_;
    std::vector<uint8_t> window_;
    uint64_t made_ = 0;  // bytes

    void put(uint8_t byte) {
        window_[made_++ % WINDOW] = byte;
        rows_.put(byte);
        if (!rows_.sound()) throw DamagedPng();
    }

    void stored() {
        bits_.align();
        const uint32_t length = bits_.take(16), complement = bits_.take(16);
        if ((length ^ complement) != 0xffff) throw DamagedPng();
        for (uint32_t i = 0; i < length && !rows_.full(); i++) put(static_cast<uint8_t>(bits_.take(8)));
    }

    void fixed() {
        std::array<uint8_t, 288> lengths;
        std::array<uint8_t, 30> distances;
        for (size_t i = 0; i < lengths.size(); i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        distances.fill(5);
        block(DeflateCodes(lengths), DeflateCodes(distances));
    }

    void dynamic() {
        const size_t literals = bits_.take(5) + 257, distances = bits_.take(5) + 1, described = bits_.take(4) + 4;
        if (literals > 286) throw DamagedPng();
        constexpr uint8_t ORDER[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
        std::array<uint8_t, 19> of_lengths{};
        for (size_t i = 0; i < described; i++) of_lengths[ORDER[i]] = static_cast<uint8_t>(bits_.take(3));
        const DeflateCodes codes(of_lengths);
        std::array<uint8_t, 286 + 32> lengths{};
        const size_t wanted = literals + distances;
        for (size_t have = 0; have < wanted;) {
            const uint32_t symbol = codes.take(bits_);
            if (symbol < 16) {
                lengths[have++] = static_cast<uint8_t>(symbol);
                continue;
            }
            if (symbol == 16 && have == 0) throw DamagedPng();
            const uint8_t value = symbol == 16 ? lengths[have - 1] : 0;
            const size_t times = symbol == 16   ? 3 + bits_.take(2)
                                 : symbol == 17 ? 3 + bits_.take(3)
                                                : 11 + bits_.take(7);
            if (times > wanted - have) throw DamagedPng();
            std::fill_n(lengths.begin() + static_cast<ptrdiff_t>(have), times, value);
            have += times;
        }
        const std::span<const uint8_t> all(lengths);
        block(DeflateCodes(all.first(literals)), DeflateCodes(all.subspan(literals, distances)));
    }

    void block(const DeflateCodes& literals, const DeflateCodes& distances) {
        constexpr uint32_t END = 256;
        while (!rows_.full()) {
            const uint32_t symbol = literals.take(bits_);
            if (symbol == END) return;
            if (symbol < END) {
                put(static_cast<uint8_t>(symbol));
                continue;
            }
            const uint32_t length = length_of(symbol - END - 1);
            const uint64_t distance = distance_of(distances.take(bits_));
            if (distance > made_) throw DamagedPng();
            for (uint32_t i = 0; i < length && !rows_.full(); i++) put(window_[(made_ - distance) % WINDOW]);
        }
    }

    // Both grow by doubling: so many extra bits for each four (lengths) or two (distances) symbols.
    uint32_t length_of(uint32_t symbol) {
        if (symbol < 8) return 3 + symbol;
        if (symbol == 28) return 258;
        if (symbol > 28) throw DamagedPng();
        const uint32_t extra = symbol / 4 - 1;
        return 3 + ((4 + symbol % 4) << extra) + bits_.take(static_cast<int>(extra));
    }
    uint64_t distance_of(uint32_t symbol) {
        if (symbol < 4) return 1 + symbol;
        if (symbol > 29) throw DamagedPng();
        const uint32_t extra = symbol / 2 - 1;
        return 1 + ((2 + symbol % 2) << extra) + bits_.take(static_cast<int>(extra));
    }
};

}  // namespace

PngData read_png_chunks(Bytes file) {
    PngData data;
    Chunks chunks(file);
    while (const std::optional<Chunk> chunk = chunks.next()) {
        if (chunk->is("IDAT")) data.stored_bytes += chunk->content.size();
        if (chunk->is("IEND")) break;
    }
    data.chunks_fit = chunks.fit();
    for (const Pass& pass : passes_of(file)) data.filtered_bytes += pass.row_bytes * pass.rows;
    return data;
}

bool png_data_fill(Bytes file) {
    Rows rows(passes_of(file));
    try {
        DeflateBits bits(file);
        bits.take(16);  // zlib's header
        Inflate(std::move(bits), rows).run();
    } catch (const DamagedPng&) {
        return false;
    }
    return rows.full();
}

}  // namespace leon
