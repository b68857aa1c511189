// Safetensors files as inputs: mutations that keep what a file begins with in step with what follows, so that most of
// them get past the first checks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace leon {

// A u64 of the header's length, the header, the data. Changes the header or the data, and writes the length that fits;
// sometimes a number of the header instead, or all bytes as they come.
inline size_t mutate_safetensors(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    constexpr size_t LENGTH = 8;
    if (size < LENGTH + 2 || seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
    uint64_t header_bytes = 0;
    for (size_t i = 0; i < LENGTH; i++) header_bytes |= static_cast<uint64_t>(data[i]) << (8 * i);
    header_bytes = std::min<uint64_t>(header_bytes, size - LENGTH);
    if (header_bytes == 0) return LLVMFuzzerMutate(data, size, max_size);
    std::string header(reinterpret_cast<char*>(data + LENGTH), header_bytes);
    std::string rest(reinterpret_cast<char*>(data + LENGTH + header_bytes), size - LENGTH - header_bytes);
    if (seed % 4 == 1) {  // a digit
        for (size_t i = 0, at = seed / 16 % header.size(); i < header.size(); i++, at = (at + 1) % header.size()) {
            if (header[at] < '0' || header[at] > '9') continue;
            header[at] = static_cast<char>('0' + seed / 4096 % 10);
            break;
        }
    } else {
        std::string& part = seed % 4 == 2 ? rest : header;
        const size_t room = max_size - LENGTH - (header.size() + rest.size() - part.size());
        const size_t before = part.size();
        part.resize(std::max(before, std::min(room, before + 64)));
        part.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(part.data()), before, part.size()));
    }
    if (LENGTH + header.size() + rest.size() > max_size) return size;
    for (size_t i = 0; i < LENGTH; i++) data[i] = static_cast<uint8_t>(header.size() >> (8 * i));
    std::memcpy(data + LENGTH, header.data(), header.size());
    std::memcpy(data + LENGTH + header.size(), rest.data(), rest.size());
    return LENGTH + header.size() + rest.size();
}

}  // namespace leon
