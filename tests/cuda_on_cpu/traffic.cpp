// Puts the accesses of 32 lanes together to requests, and counts what each costs; see traffic.h.
#include "tests/cuda_on_cpu/traffic.h"

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/cuda_on_cpu/race.h"

namespace leon::cuda_emulated::emu {
namespace {

constexpr unsigned LANES = 32, BANKS = 32, WORD = 4;  // bytes of a bank's word
constexpr uintptr_t SECTOR = 32, WIDEST = 16;         // bytes: of a sector, of the widest access of a lane

struct Request {
    unsigned lanes = 0;  // those that have come so far
    struct {
        uintptr_t p;
        uint32_t bytes;
    } lane[LANES];
};

struct Instruction {  // as one warp executes it
    Space space{};
    Direction direction{};
    uint32_t executions[LANES] = {};  // by lane, since the warp met
    uint32_t counted = 0;             // requests that are complete, since then
    std::deque<Request*> open;
    bool is_listed = false;
};

struct Warp {
    unsigned lanes = 0;  // that it began with
    std::unordered_map<uint64_t, Instruction> instructions;
    std::vector<Instruction*> executed;  // since it met
    uint64_t requests = 0;
};

std::vector<Warp> warps;                   // resident ones
std::vector<std::vector<uint64_t>> calls;  // by resident thread: hashes of the chain of calls
unsigned first_block, threads_in_block;
uint64_t longest;  // of this launch: the requests of its busiest warp
std::vector<std::unique_ptr<Request>> all_requests;
std::vector<Request*> idle_requests;

// --- what a request costs ---------------------------------------------------------------------------------------

uint32_t launch = 0;
// By page of 128 sectors: the launch that touched each last.
std::unordered_map<uintptr_t, std::array<uint32_t, 128>> touched;

void touch(uintptr_t sector) {
    static uintptr_t last = ~uintptr_t{0};
    static std::array<uint32_t, 128>* page = nullptr;
    if (sector / 128 != last) {
        last = sector / 128;
        page = &touched[last];
    }
    if (std::exchange((*page)[sector % 128], launch) != launch) counters.footprint_sectors++;
}

void count_global(const Request& r, Direction direction) {
    uintptr_t sectors[2 * LANES];
    size_t count = 0;
    for (unsigned l = 0; l < LANES; l++) {
        if (!(r.lanes >> l & 1)) continue;
        const uintptr_t last = (r.lane[l].p + r.lane[l].bytes - 1) / SECTOR;
        for (uintptr_t s = r.lane[l].p / SECTOR; s <= last; s++)
            if (!count || sectors[count - 1] != s) sectors[count++] = s;
    }
    std::sort(sectors, sectors + count);
    count = static_cast<size_t>(std::unique(sectors, sectors + count) - sectors);
    for (size_t i = 0; i < count; i++) touch(sectors[i]);
    counters.global_requests++;
    (direction == Direction::Read ? counters.global_read_sectors : counters.global_write_sectors) += count;
}

// The wavefronts of the lanes [from, to): the largest number of different words in a bank.
unsigned wavefronts(const Request& r, unsigned from, unsigned to) {
    uintptr_t words[LANES * 2];
    size_t count = 0;
    for (unsigned l = from; l < to; l++) {
        if (!(r.lanes >> l & 1)) continue;
        const uintptr_t last = (r.lane[l].p + r.lane[l].bytes - 1) / WORD;
        for (uintptr_t w = r.lane[l].p / WORD; w <= last; w++) words[count++] = w;
    }
    std::sort(words, words + count);
    count = static_cast<size_t>(std::unique(words, words + count) - words);
    unsigned in_bank[BANKS] = {}, most = 0;
    for (size_t i = 0; i < count; i++) most = std::max(most, ++in_bank[words[i] % BANKS]);
    return most;
}

void count_shared(const Request& r) {
    uint32_t bytes = 0;
    for (unsigned l = 0; l < LANES; l++)
        if (r.lanes >> l & 1) bytes = std::max(bytes, r.lane[l].bytes);
    const unsigned at_once = bytes <= 4 ? 32 : bytes <= 8 ? 16 : 8;
    for (unsigned from = 0; from < LANES; from += at_once) {
        const unsigned taken = wavefronts(r, from, from + at_once);
        counters.shared_wavefronts += taken;
        if (taken) counters.bank_conflicts += taken - 1;
    }
    counters.shared_requests++;
}

void complete_oldest(Warp& w, Instruction& i) {
    Request* r = i.open.front();
    i.open.pop_front();
    i.counted++;
    w.requests++;
    if (i.space == Space::Global)
        count_global(*r, i.direction);
    else
        count_shared(*r);
    idle_requests.push_back(r);
}

Request* new_request() {
    if (idle_requests.empty()) {
        all_requests.push_back(std::make_unique<Request>());
        idle_requests.push_back(all_requests.back().get());
    }
    Request* r = idle_requests.back();
    idle_requests.pop_back();
    r->lanes = 0;
    return r;
}

size_t thread_number() {
    return (place.block - first_block) * threads_in_block + place.thread;
}

// --- the accesses of a lane -------------------------------------------------------------------------------------

// No more than WIDEST bytes.
void add(Warp& w, uint64_t key, Space space, Direction direction, uintptr_t p, size_t bytes) {
    const unsigned lane = place.thread % LANES;
    Instruction& i = w.instructions[key];
    if (!i.is_listed) {
        i.is_listed = true;
        i.space = space;
        i.direction = direction;
        w.executed.push_back(&i);
    }
    const uint32_t nth = i.executions[lane]++ - i.counted;
    if (nth == i.open.size()) i.open.push_back(new_request());
    Request& r = *i.open[nth];
    r.lanes |= 1u << lane;
    r.lane[lane] = {p, static_cast<uint32_t>(bytes)};
    if (r.lanes == w.lanes) complete_oldest(w, i);  // the oldest: no lane gets to the next before this one
}

}  // namespace

void traffic_access(Space space, Direction direction, const void* p, size_t bytes, uintptr_t pc) {
    const uint64_t size = bytes;
    if (space == Space::Shared)
        (direction == Direction::Write ? counters.shared_write_bytes : counters.shared_read_bytes) += size;
    else
        (direction == Direction::Write ? counters.global_write_bytes : counters.global_read_bytes) += size;
    const std::vector<uint64_t>& chain = calls[thread_number()];
    Warp& w = warps[(place.block - first_block) * 32 + place.thread / LANES];
    uint64_t key = ((chain.empty() ? 0 : chain.back()) ^ pc) * 0x9e3779b97f4a7c15u + (space == Space::Shared);
    for (uintptr_t at = reinterpret_cast<uintptr_t>(p), end = at + bytes; at < end; at += WIDEST, key += 2)
        add(w, key, space, direction, at, std::min(WIDEST, end - at));
}

void traffic_call(uintptr_t pc) {
    if (!place.active) return;
    std::vector<uint64_t>& chain = calls[thread_number()];
    chain.push_back(((chain.empty() ? 0 : chain.back()) + pc) * 0xbf58476d1ce4e5b9u);
}
void traffic_return() {
    if (!place.active) return;
    std::vector<uint64_t>& chain = calls[thread_number()];
    if (!chain.empty()) chain.pop_back();
}

void traffic_begin(unsigned first, unsigned blocks, unsigned threads) {
    if (first == 0) {
        warps.clear();  // another kernel, other instructions
        longest = 0;
        launch++;
    }
    first_block = first;
    threads_in_block = threads;
    warps.resize(blocks * 32);
    calls.resize(size_t{blocks} * threads);
    for (auto& chain : calls) chain.clear();
    for (size_t w = 0; w < warps.size(); w++) {
        const unsigned begin = static_cast<unsigned>(w % 32) * LANES;
        const unsigned lanes = begin < threads ? std::min(threads - begin, LANES) : 0;
        warps[w].lanes = lanes == LANES ? ~0u : (1u << lanes) - 1;
        warps[w].requests = 0;
    }
}

void traffic_meet(unsigned warp) {
    Warp& w = warps[warp];
    for (Instruction* i : w.executed) {
        while (!i->open.empty()) complete_oldest(w, *i);
        std::fill(i->executions, i->executions + LANES, 0);
        i->counted = 0;
        i->is_listed = false;
    }
    w.executed.clear();
}

void traffic_end(bool launch_is_over) {
    for (size_t w = 0; w < warps.size(); w++) {
        traffic_meet(static_cast<unsigned>(w));
        longest = std::max(longest, warps[w].requests);
    }
    if (launch_is_over) counters.longest_warp_requests += longest;
}

void count_access(const void* p, size_t bytes, Direction direction) {
    const auto pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
    const bool shared = in_shared(p);
    if (shared || is_device_memory(p)) traffic_access(shared ? Space::Shared : Space::Global, direction, p, bytes, pc);
}

}  // namespace leon::cuda_emulated::emu
