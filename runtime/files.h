// Files that are read in place or replaced as a whole.
//
// MappedFile   a read-only memory mapping; nothing is copied, the kernel pages data in when it is touched.
// AtomicFile   output goes to a temporary file beside the target; commit() renames it over the target. Without commit()
//              the temporary is gone, and an existing target stays as it was. Where the file system can, the temporary
//              has no name until then, so that not even SIGKILL leaves anything behind; elsewhere SIGINT does not: see
//              remove_temporaries().
// ScratchFile  a file without a name, for what is too large for memory until it finds its place; gone when closed.
// All failures are Error with the path and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leon {

class MappedFile {
public:
    explicit MappedFile(const std::string& path);  // regular files only; an empty file maps to an empty span
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    std::span<const uint8_t> bytes() const { return {data_, size_}; }
    const std::string& path() const { return path_; }
    // These bytes of the mapping will be read soon: the disk may begin. Returns at once.
    void expect(std::span<const uint8_t> bytes) const;
    // Gives back the memory of pages that were read. They stay readable, and come from the file again.
    void forget_pages() const;

private:
    std::string path_;
    const uint8_t* data_ = nullptr;
    size_t size_ = 0;
};

class AtomicFile {
public:
    explicit AtomicFile(const std::string& target);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(const void* data, size_t bytes);
    void write(std::string_view text) { write(text.data(), text.size()); }
    void commit();  // flushes, checks (a full disk shows here at the latest) and renames

private:
    void give_name();

    std::string target_, temporary_;  // no temporary: a device, or a file without a name
    bool unnamed_ = false;
    int descriptor_ = -1;
};

class ScratchFile {
public:
    explicit ScratchFile(const std::string& beside);  // in the folder of that path, so that it needs no other disk
    ~ScratchFile();
    ScratchFile(const ScratchFile&) = delete;
    ScratchFile& operator=(const ScratchFile&) = delete;

    void append(const void* data, size_t bytes);
    size_t size() const { return size_; }
    std::span<const uint8_t> map();  // all of it; nothing may be appended after this

private:
    std::string beside_;
    int descriptor_ = -1;
    size_t size_ = 0;
    const uint8_t* mapped_ = nullptr;
};

// The whole file, or an Error if it is missing, not a regular file, or longer than `limit` bytes.
std::vector<uint8_t> read_file(const std::string& path, size_t limit = size_t{1} << 31);
void write_file(const std::string& path, const void* data, size_t bytes);  // atomic

// Error if `path` could not be written later: no such folder, or not writable. For use before long work.
void check_writable(const std::string& path);

// Deletes the temporaries of all open AtomicFiles; async-signal-safe, for a SIGINT handler.
void remove_temporaries();

}  // namespace leon
