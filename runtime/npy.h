// NumPy's .npy files, format 1.0 and 2.0, C order, little endian: how the workbench exchanges arrays with references.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace leon {

struct Array {
    std::string dtype;           // "f4", "f8", "i4", "i8", "u1"
    std::vector<int64_t> shape;  // may be empty (a scalar)
    std::vector<uint8_t> bytes;

    int64_t elements() const;
    // The values converted; Error naming `where` if the dtype cannot be converted without loss of range.
    std::vector<float> floats(const std::string& where) const;    // f4, f8, u1, i4
    std::vector<double> doubles(const std::string& where) const;  // f4, f8, u1, i4
    std::vector<int32_t> ints(const std::string& where) const;    // i4, i8 within range, u1
};

Array load_npy(const std::string& path);  // Error on anything else: truncated, Fortran order, big endian, objects
Array decode_npy(std::span<const uint8_t> file, const std::string& where);  // the same from memory

// Byte for byte what numpy.save writes.
void save_npy(const std::string& path, const float* values, const std::vector<int64_t>& shape);
void save_npy(const std::string& path, const int32_t* values, const std::vector<int64_t>& shape);
void save_npy(const std::string& path, const uint8_t* values, const std::vector<int64_t>& shape);

}  // namespace leon
