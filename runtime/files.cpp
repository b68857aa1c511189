// Memory mapping and atomic replacement of files; see files.h.
#include "runtime/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/check.h"

namespace leon {
namespace {

// Paths of temporaries that exist now, for the signal handler: fixed slots, no allocation, no locks.
constexpr int MAX_TEMPORARIES = 16;
constexpr size_t MAX_PATH_BYTES = 4096;
char temporary_paths[MAX_TEMPORARIES][MAX_PATH_BYTES];
std::atomic<bool> temporary_used[MAX_TEMPORARIES];

void remember(const std::string& path) {
    if (path.size() + 1 > MAX_PATH_BYTES) return;
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        if (temporary_paths[i][0] != '\0') continue;
        std::memcpy(temporary_paths[i], path.c_str(), path.size() + 1);
        temporary_used[i] = true;
        return;
    }
}

void forget(const std::string& path) {
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        if (!temporary_used[i] || path != temporary_paths[i]) continue;
        temporary_used[i] = false;
        temporary_paths[i][0] = '\0';
        return;
    }
}

std::string reason() {
    return std::strerror(errno);
}

// Opens for reading and checks that it is a regular file; returns the descriptor and sets the size.
int open_regular(const std::string& path, size_t& size) {
    int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) throw Error("cannot be opened: " + reason(), path);
    struct stat status;
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(descriptor);
        throw Error("is not a regular file", path);
    }
    size = static_cast<size_t>(status.st_size);
    return descriptor;
}

// Where the system shows an open file, whether it has a name or not.
std::string link_of(int descriptor) {
    return "/proc/self/fd/" + std::to_string(descriptor);
}

void write_all(int descriptor, const void* data, size_t bytes, const std::string& path) {
    const char* next = static_cast<const char*>(data);
    while (bytes > 0) {
        ssize_t written = ::write(descriptor, next, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw Error("cannot be written: " + reason(), path);
        next += written;
        bytes -= static_cast<size_t>(written);
    }
}

}  // namespace

void MappedFile::forget_pages() const {
    if (size_ > 0) madvise(const_cast<uint8_t*>(data_), size_, MADV_DONTNEED);
}

void MappedFile::expect(std::span<const uint8_t> bytes) const {
    if (bytes.empty()) return;
    static const size_t PAGE = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t first = static_cast<size_t>(bytes.data() - data_) / PAGE * PAGE;
    const size_t end = static_cast<size_t>(bytes.data() - data_) + bytes.size();
    // Of each piece of advice, Linux reads no more than the disk takes in one request: 128 kB at least.
    constexpr size_t PIECE = size_t{128} << 10;
    for (size_t at = first; at < end; at += PIECE)
        madvise(const_cast<uint8_t*>(data_) + at, std::min(PIECE, end - at), MADV_WILLNEED);
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
    int descriptor = open_regular(path, size_);
    if (size_ > 0) {
        void* memory = mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0);
        if (memory == MAP_FAILED) {
            std::string why = reason();
            close(descriptor);
            throw Error("cannot be mapped: " + why, path);
        }
        data_ = static_cast<const uint8_t*>(memory);
    }
    close(descriptor);
}

MappedFile::~MappedFile() {
    if (data_) munmap(const_cast<uint8_t*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

AtomicFile::AtomicFile(const std::string& target) : target_(target) {
    struct stat status;
    bool exists = stat(target.c_str(), &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) throw Error("is a folder", target);
    if (exists && !S_ISREG(status.st_mode)) {  // a pipe or a device is written to, never renamed over
        descriptor_ = open(target.c_str(), O_WRONLY | O_CLOEXEC);
        if (descriptor_ < 0) throw Error("cannot be written: " + reason(), target);
        return;
    }
    const size_t slash = target.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : target.substr(0, slash + 1);
    descriptor_ = open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    unnamed_ = descriptor_ >= 0 && access(link_of(descriptor_).c_str(), F_OK) == 0;
    if (unnamed_) return;
    if (descriptor_ >= 0) close(descriptor_);
    temporary_ = target + ".XXXXXX";
    descriptor_ = mkstemp(temporary_.data());
    if (descriptor_ < 0) throw Error("cannot be written: " + reason(), target);
    remember(temporary_);
    mode_t mask = umask(0);
    umask(mask);
    fchmod(descriptor_, 0666 & ~mask);
}

AtomicFile::~AtomicFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!temporary_.empty()) {
        unlink(temporary_.c_str());
        forget(temporary_);
    }
}

void AtomicFile::write(const void* data, size_t bytes) {
    CHECK(descriptor_ >= 0);
    write_all(descriptor_, data, bytes, target_);
}

// A name beside the target for a file that has none.
void AtomicFile::give_name() {
    for (unsigned attempt = 0;; attempt++) {
        temporary_ = target_ + "." + std::to_string(getpid()) + "-" + std::to_string(attempt);
        if (linkat(AT_FDCWD, link_of(descriptor_).c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW) == 0) break;
        if (errno == EEXIST && attempt < 1000) continue;
        temporary_.clear();
        throw Error("cannot be written: " + reason(), target_);
    }
    remember(temporary_);
    unnamed_ = false;
}

void AtomicFile::commit() {
    CHECK(descriptor_ >= 0);
    if (unnamed_) give_name();
    int closed = close(std::exchange(descriptor_, -1));
    if (closed != 0) throw Error("cannot be written: " + reason(), target_);
    if (temporary_.empty()) return;
    if (rename(temporary_.c_str(), target_.c_str()) != 0) throw Error("cannot be replaced: " + reason(), target_);
    forget(temporary_);
    temporary_.clear();
}

ScratchFile::ScratchFile(const std::string& beside) : beside_(beside) {
    std::string name = beside + ".XXXXXX";
    descriptor_ = mkstemp(name.data());
    if (descriptor_ < 0) throw Error("cannot be written: " + reason(), beside);
    unlink(name.c_str());
}

ScratchFile::~ScratchFile() {
    if (mapped_) munmap(const_cast<uint8_t*>(mapped_), size_);
    close(descriptor_);
}

void ScratchFile::append(const void* data, size_t bytes) {
    CHECK(!mapped_);
    write_all(descriptor_, data, bytes, beside_);
    size_ += bytes;
}

std::span<const uint8_t> ScratchFile::map() {
    if (!mapped_ && size_ > 0) {
        void* memory = mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor_, 0);
        if (memory == MAP_FAILED) throw Error("cannot be mapped: " + reason(), beside_);
        mapped_ = static_cast<const uint8_t*>(memory);
    }
    return {mapped_, size_};
}

std::vector<uint8_t> read_file(const std::string& path, size_t limit) {
    size_t size = 0;
    int descriptor = open_regular(path, size);
    if (size > limit) {
        close(descriptor);
        throw Error(
            "is " + std::to_string(size) + " bytes long, more than the " + std::to_string(limit) + " allowed here",
            path);
    }
    std::vector<uint8_t> content(size);
    size_t have = 0;
    while (have < size) {
        ssize_t got = read(descriptor, content.data() + have, size - have);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            std::string why = got < 0 ? reason() : "it shrank while it was read";
            close(descriptor);
            throw Error("cannot be read: " + why, path);
        }
        have += static_cast<size_t>(got);
    }
    close(descriptor);
    return content;
}

void write_file(const std::string& path, const void* data, size_t bytes) {
    AtomicFile file(path);
    file.write(data, bytes);
    file.commit();
}

void check_writable(const std::string& path) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    struct stat status;
    const bool exists = stat(path.c_str(), &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) throw Error("is a folder", path);
    // A regular file is replaced, which its folder must allow; a device or pipe is written to itself.
    const std::string& target = exists && !S_ISREG(status.st_mode) ? path : folder;
    if (access(target.c_str(), W_OK) != 0) throw Error("cannot be written: " + reason(), path);
}

void remove_temporaries() {
    for (int i = 0; i < MAX_TEMPORARIES; i++)
        if (temporary_used[i]) unlink(temporary_paths[i]);
}

}  // namespace leon
