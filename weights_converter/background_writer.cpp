// See background_writer.h.
#include "weights_converter/background_writer.h"

#include <utility>

namespace leon {

BackgroundWriter::BackgroundWriter(std::function<void(const std::vector<uint8_t>&)> write, size_t most_bytes)
    : write_(std::move(write)), most_bytes_(most_bytes), thread_([this] { run(); }) {}

BackgroundWriter::~BackgroundWriter() {
    {
        const std::lock_guard lock(mutex_);
        over_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

std::vector<uint8_t> BackgroundWriter::spare() {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) return {};
    std::vector<uint8_t> block = std::move(spare_.back());
    spare_.pop_back();
    spare_bytes_ -= block.capacity();
    return block;
}

size_t BackgroundWriter::write(std::vector<uint8_t> block) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_.empty() || waiting_bytes_ + block.size() <= most_bytes_ || problem_; });
    check();
    waiting_bytes_ += block.size();
    waiting_.push_back(std::move(block));
    changed_.notify_all();
    return written_;
}

size_t BackgroundWriter::finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_.empty() || problem_; });
    check();
    return written_;
}

void BackgroundWriter::check() const {
    if (problem_) std::rethrow_exception(problem_);
}

void BackgroundWriter::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return over_ || !waiting_.empty(); });
        if (over_) return;
        const std::vector<uint8_t>& block = waiting_.front();
        lock.unlock();
        std::exception_ptr problem;
        try {
            write_(block);
        } catch (...) {
            problem = std::current_exception();
        }
        lock.lock();
        waiting_bytes_ -= block.size();
        written_ += block.size();
        if (spare_bytes_ + block.capacity() <= most_bytes_) {
            spare_bytes_ += block.capacity();
            spare_.push_back(std::move(waiting_.front()));
        }
        waiting_.pop_front();
        problem_ = problem;
        changed_.notify_all();
        if (problem_) return;
    }
}

}  // namespace leon
