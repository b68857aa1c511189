// The entropy-coded part of a JPEG, read as far as counting blocks needs it; see jpeg_scan.h.
//
// Blocks of 8 x 8 follow one another in units: with several components in a scan, as many of each component as its
// sampling factors say; alone, one by one. A block is a code for its mean, with so many bits behind it, and codes
// (zeros to skip, bits that follow) for the other 63 coefficients.
// Source: ITU-T T.81, annexes B, F and G.
#include "tokenizer/jpeg_scan.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tokenizer/jpeg_markers.h"

namespace leon {
namespace {

using Bytes = std::span<const uint8_t>;

// Thrown where the data end or make no sense; stays in this file.
struct Damaged {};

using namespace jpeg;

uint32_t u8(Bytes bytes, size_t at) {
    if (at >= bytes.size()) throw Damaged();
    return bytes[at];
}
uint32_t u16(Bytes bytes, size_t at) {
    return u8(bytes, at) << 8 | u8(bytes, at + 1);
}

uint32_t parts(uint32_t whole, uint32_t part) {
    return (whole + part - 1) / part;
}

// Coded data: bits from each byte's highest on; FF 00 stands for FF, and FF with anything else ends them.
class Bits {
public:
    Bits(Bytes file, size_t at) : file_(file), at_(at) {}

    uint32_t take() {
        if (left_ == 0) {
            byte_ = u8(file_, at_);
            if (byte_ == 0xFF && u8(file_, at_ + 1) != 0) throw Damaged();
            at_ += byte_ == 0xFF ? 2 : 1;
            left_ = 8;
        }
        return byte_ >> --left_ & 1;
    }
    void skip(uint32_t bits) {
        while (bits-- > 0) take();
    }
    void pass_restart() {
        left_ = 0;
        if (u8(file_, at_) != 0xFF) throw Damaged();
        while (u8(file_, at_ + 1) == 0xFF) at_++;
        if ((u8(file_, at_ + 1) & 0xF8) != FIRST_RESTART) throw Damaged();
        at_ += 2;
    }
    size_t at() const { return at_; }

private:
    Bytes file_;
    size_t at_;
    uint32_t byte_ = 0, left_ = 0;
};

// How many codes there are of 1..16 bits, and their symbols in order.
struct Codes {
    std::array<uint8_t, 17> count{};
    std::array<uint8_t, 256> symbols{};

    uint32_t take(Bits& bits) const {
        uint32_t code = 0, first = 0, index = 0;
        for (size_t length = 1; length < count.size(); length++) {
            code |= bits.take();
            if (code < first + count[length]) return symbols[(index + code - first) % symbols.size()];
            index += count[length];
            first = (first + count[length]) << 1;
            code <<= 1;
        }
        throw Damaged();
    }
};

struct Component {
    uint32_t id, across, down;  // sampling factors
    bool filled = false;
};

class Scans {
public:
    explicit Scans(Bytes file) : file_(file) {}

    bool fill() {
        size_t at = 0;
        while (true) {
            // The next marker is the next FF that is not followed by 00 (an escaped data byte) or FF (padding).
            while (u8(file_, at) != 0xFF || u8(file_, at + 1) == 0 || u8(file_, at + 1) == 0xFF) at++;
            const uint8_t marker = file_[at + 1];
            at += 2;
            if (marker == END_OF_IMAGE) break;
            if (marker == 1 || (marker >= FIRST_RESTART && marker <= START_OF_IMAGE)) continue;  // these have no length
            const uint32_t length = u16(file_, at);
            if (length < 2 || length > file_.size() - at) throw Damaged();
            const Bytes segment = file_.subspan(at + 2, length - 2);
            at += length;
            if (marker == BASELINE || marker == EXTENDED || marker == PROGRESSIVE) read_frame(segment, marker);
            if (marker == HUFFMAN_TABLES) read_tables(segment);
            if (marker == RESTART_INTERVAL) restart_interval_ = u16(segment, 0);
            if (marker == START_OF_SCAN) at = read_scan(segment, at);
        }
        bool all = !components_.empty();
        for (const Component& component : components_) all = all && component.filled;
        return all;
    }

private:
    Bytes file_;
    std::array<std::array<Codes, 4>, 2> codes_;  // of means, of the rest
    std::vector<Component> components_;
    uint32_t width_ = 0, height_ = 0, across_ = 1, down_ = 1, restart_interval_ = 0;  // the largest sampling factors
    bool progressive_ = false;

    // bits a sample u8 | height u16 | width u16 | components u8 | for each: id, sampling factors, quantiser
    void read_frame(Bytes segment, uint8_t marker) {
        progressive_ = marker == PROGRESSIVE;
        height_ = u16(segment, 1), width_ = u16(segment, 3);
        components_.clear();
        for (size_t i = 0; i < u8(segment, 5); i++) {
            const uint32_t factors = u8(segment, 7 + 3 * i);
            components_.push_back({.id = u8(segment, 6 + 3 * i), .across = factors >> 4, .down = factors & 15});
            if (components_[i].across == 0 || components_[i].down == 0) throw Damaged();
            across_ = std::max(across_, components_[i].across);
            down_ = std::max(down_, components_[i].down);
        }
    }

    void read_tables(Bytes segment) {
        for (size_t at = 0; at < segment.size();) {
            const uint32_t which = u8(segment, at++);
            if (which >> 4 > 1 || (which & 15) > 3) throw Damaged();
            Codes& codes = codes_[which >> 4][which & 15];
            size_t all = 0;
            for (size_t length = 1; length <= 16; length++) {
                codes.count[length] = static_cast<uint8_t>(u8(segment, at++));
                all += codes.count[length];
            }
            if (all > codes.symbols.size()) throw Damaged();
            for (size_t i = 0; i < all; i++) codes.symbols[i] = static_cast<uint8_t>(u8(segment, at++));
        }
    }

    struct Member {
        Component* component;
        const Codes *mean, *rest;
    };

    // components u8 | for each: id, tables | first coefficient u8 | last u8 | bits of it already known and left out u8
    // Returns where the data behind `at` end, or `at` if they need not be read.
    size_t read_scan(Bytes segment, size_t at) {
        const size_t count = u8(segment, 0);
        const uint32_t first = u8(segment, 1 + 2 * count), known = u8(segment, 3 + 2 * count) >> 4;
        if (progressive_ && (first != 0 || known != 0)) return at;
        std::vector<Member> members;
        for (size_t i = 0; i < count; i++) {
            const uint32_t tables = u8(segment, 2 + 2 * i);
            if (tables >> 4 > 3 || (tables & 15) > 3) throw Damaged();
            for (Component& component : components_)
                if (component.id == u8(segment, 1 + 2 * i)) {
                    members.push_back({&component, &codes_[0][tables >> 4], &codes_[1][tables & 15]});
                    break;
                }
        }
        if (members.size() != count || count == 0) throw Damaged();
        Bits bits(file_, at);
        read_units(members, bits);
        for (const Member& member : members) member.component->filled = true;
        return bits.at();
    }

    void read_units(const std::vector<Member>& members, Bits& bits) const {
        const Component& one = *members[0].component;
        const bool alone = members.size() == 1;
        const uint32_t columns = alone ? parts(parts(width_ * one.across, across_), 8) : parts(width_, 8 * across_);
        const uint32_t rows = alone ? parts(parts(height_ * one.down, down_), 8) : parts(height_, 8 * down_);
        const uint64_t units = uint64_t{columns} * rows;
        for (uint64_t unit = 0; unit < units; unit++) {
            if (restart_interval_ != 0 && unit != 0 && unit % restart_interval_ == 0) bits.pass_restart();
            for (const Member& member : members) {
                const uint32_t blocks = alone ? 1 : member.component->across * member.component->down;
                for (uint32_t block = 0; block < blocks; block++) read_block(member, bits);
            }
        }
    }

    void read_block(const Member& member, Bits& bits) const {
        const uint32_t mean_bits = member.mean->take(bits);
        if (mean_bits > 16) throw Damaged();
        bits.skip(mean_bits);
        if (progressive_) return;
        for (uint32_t coefficient = 1; coefficient < 64; coefficient++) {
            const uint32_t code = member.rest->take(bits), zeros = code >> 4, size = code & 15;
            if (size == 0 && zeros < 15) return;  // the rest of the block is zero
            coefficient += zeros;
            bits.skip(size);
        }
    }
};

}  // namespace

bool jpeg_data_fill(Bytes file) {
    try {
        return Scans(file).fill();
    } catch (const Damaged&) {
        return false;
    }
}

}  // namespace leon
