// Writes a file's blocks in order on a thread of its own, so that whoever makes them does not wait for the disk. Blocks
// that wait are at most some megabytes; then write() waits.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace leon {

class BackgroundWriter {
public:
    // `write` is called on the thread, block by block.
    BackgroundWriter(std::function<void(const std::vector<uint8_t>&)> write, size_t most_bytes);
    ~BackgroundWriter();  // drops what waits
    BackgroundWriter(const BackgroundWriter&) = delete;
    BackgroundWriter& operator=(const BackgroundWriter&) = delete;

    // Memory for the next block, of a block that is written, or new.
    std::vector<uint8_t> spare();
    // Both throw what writing an earlier block threw. They return how many bytes have been written so far.
    size_t write(std::vector<uint8_t> block);
    size_t finish();  // all is written

private:
    void run();
    void check() const;

    const std::function<void(const std::vector<uint8_t>&)> write_;
    const size_t most_bytes_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::vector<uint8_t>> waiting_;  // the first one is being written
    std::vector<std::vector<uint8_t>> spare_;
    size_t waiting_bytes_ = 0, spare_bytes_ = 0, written_ = 0;
    std::exception_ptr problem_;
    bool over_ = false;
    std::thread thread_;
};

}  // namespace leon
