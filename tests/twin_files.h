// Files as large as a checkpoint, written front to back: holes where there is nothing but zeros, and torch's zip
// archive.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace leon {

// zip's checksum of a and b, one behind the other, from those of a and b.
uint32_t crc_of_joined(uint32_t a, uint32_t b, uint64_t bytes_of_b);
uint32_t crc_of_zeros(uint64_t bytes);

// Error if the disk is full, or the folder is not there.
class LargeFile {
public:
    explicit LargeFile(const std::string& path);
    ~LargeFile();
    LargeFile(const LargeFile&) = delete;
    LargeFile& operator=(const LargeFile&) = delete;

    void write(const void* data, uint64_t bytes);
    void write(const std::string& text) { write(text.data(), text.size()); }
    void skip(uint64_t bytes);  // reads as zeros
    uint64_t size() const { return size_; }
    void finish();  // all of it is there: the file gets its size

private:
    std::string path_;
    int descriptor_;
    uint64_t size_ = 0;
};

// An archive as torch.save writes it: members are uncompressed, start on multiples of 64 bytes, and have their
// checksums and sizes behind them.
class TorchArchive {
public:
    TorchArchive(const std::string& path, std::string folder);

    void member(const std::string& name, const std::string& bytes);
    // A member in parts. `crc` is that of the part's bytes.
    void begin(const std::string& name);
    void write(const void* data, uint64_t bytes, uint32_t crc);
    void skip(uint64_t bytes);
    void end();
    void finish();

private:
    struct Entry {
        std::string name;
        uint64_t header = 0, bytes = 0;
        uint32_t crc = 0;
    };
    LargeFile file_;
    std::string folder_;
    std::vector<Entry> entries_;
};

// A pickle of protocol 2, as far as a dictionary of tensors needs one.
class PickleText {
public:
    std::string text = std::string("\x80\2", 2);

    void string(const std::string& value);
    void number(uint64_t value);
    // A tensor that fills storage `key`, of a class of torch's.
    void tensor(const std::string& storage_class, size_t key, const std::vector<int64_t>& shape);

private:
    void tuple_of(const std::vector<uint64_t>& numbers);
};

}  // namespace leon
