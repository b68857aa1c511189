// The planning table; see planning.h.
#include "kernels/planning/planning.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "kernels/cpu/memory.h"
#include "kernels/planning/cost.h"
#include "kernels/recording.h"

namespace leon {
namespace {

Work* current = nullptr;  // null: nobody is listening
const Machine* planned_for = nullptr;
bool replaying = false;
std::map<const void*, size_t> allocations;

void* allocate(size_t bytes, Reach) {
    void* memory = allocate_memory(bytes);
    allocations[memory] = bytes;
    if (current) current->allocated_bytes += static_cast<double>(bytes);
    return memory;
}
void release(void* memory, Reach) {
    if (current) current->allocated_bytes -= static_cast<double>(allocations[memory]);
    allocations.erase(memory);
    release_memory(memory);
}
const void* adopt(const void* host, size_t) {
    return host;
}
void disown(const void*) {}

void wait(size_t bytes) {
    if (!current) return;
    current->host_waits++;
    current->host_bytes += static_cast<double>(bytes);
}
void upload(void* device, const void* host, size_t bytes) {
    std::memcpy(device, host, bytes);
    wait(bytes);
}
void download(void* host, const void* device, size_t bytes) {
    std::memcpy(host, device, bytes);
    wait(bytes);
}
void finish() {
    wait(0);
}

void replay(Recording* recording) {
    if (current) current->replays++;
    replaying = true;
    replay_calls(recording);
    replaying = false;
}

// The slot of a table for a cost function: the same arguments, less where the launches go.
template <size_t N>
struct Name {
    char text[N];
    constexpr Name(const char (&name)[N]) { std::copy_n(name, N, text); }
};
template <Name NAME, auto COST>
struct Slot;
template <Name NAME, class... Arguments, void (*COST)(Launches&, const Machine&, Arguments...)>
struct Slot<NAME, COST> {
    static constexpr Name KEPT = NAME;  // outlives every call
    static void call(Arguments... arguments) {
        if (!current) return;
        PlannedCall planned{KEPT.text, replaying, {}};
        COST(planned.launches, *planned_for, arguments...);
        current->calls.push_back(std::move(planned));
    }
};

// What Draws promises, with the first id of the slice in place of a drawn one.
void sample(const Draws& d, const SampleRule& rule) {
    Slot<"sample", cost::sample>::call(d, rule);
    Draws state = d;
    int32_t* written = state.ring_written.i32();
    const int64_t candidates = d.candidates(), capacity = d.sequence.cols(), slots = d.ring.shape[0];
    for (int64_t c = 0; c < candidates; c++) {
        int32_t& length = state.length.i32()[c];
        state.ring.i32()[*written % slots * candidates + c] = d.first_id;
        if (length < capacity) state.sequence.i32()[c * capacity + length] = d.first_id;
        length++;
        for (int64_t lane = c * d.lanes; lane < (c + 1) * d.lanes; lane++) {
            state.tokens.i32()[lane] = d.first_id;
            state.position.i32()[lane]++;
        }
    }
    ++*written;
}

}  // namespace

const Kernels& planning_kernels() {
    static const Kernels filled = {
        .name = "planning",
        .allocate = allocate,
        .release = release,
        .adopt = adopt,
        .disown = disown,
        .upload = upload,
        .download = download,
        .record = record_calls,
        .replay = replay,
        .forget = forget_calls,
        .finish = finish,
        .idle = [] { return true; },
        .gather = Slot<"gather", cost::gather>::call,
        .gather_add = Slot<"gather_add", cost::gather_add>::call,
        .rmsnorm = Slot<"rmsnorm", cost::rmsnorm>::call,
        .layernorm = Slot<"layernorm", cost::layernorm>::call,
        .head_norm = Slot<"head_norm", cost::head_norm>::call,
        .rope = Slot<"rope", cost::rope>::call,
        .add = Slot<"add", cost::add>::call,
        .matmul = Slot<"matmul", cost::matmul>::call,
        .matmul_add = Slot<"matmul_add", cost::matmul_add>::call,
        .swiglu = Slot<"swiglu", cost::swiglu>::call,
        .activate = Slot<"activate", cost::activate>::call,
        .append = Slot<"append", cost::append>::call,
        .attention = Slot<"attention", cost::attention>::call,
        .project_qkv = Slot<"project_qkv", cost::project_qkv>::call,
        .rotate_append = Slot<"rotate_append", cost::rotate_append>::call,
        .feed_forward = Slot<"feed_forward", cost::feed_forward>::call,
        .norm_add = Slot<"norm_add", cost::norm_add>::call,
        .sample = sample,
        .conv2d = Slot<"conv2d", cost::conv2d>::call,
        .group_norm = Slot<"group_norm", cost::group_norm>::call,
        .spatial_attention = Slot<"spatial_attention", cost::spatial_attention>::call,
        .nearest_code = Slot<"nearest_code", cost::nearest_code>::call,
        .norm_conv2d = Slot<"norm_conv2d", cost::norm_conv2d>::call,
        .to_u8 = Slot<"to_u8", cost::to_u8>::call,
    };
    return filled;
}

Work work_of(const Machine& m, const std::function<void()>& work) {
    CHECK(!current);
    Work result;
    current = &result;
    planned_for = &m;
    try {
        work();
    } catch (...) {
        current = nullptr;
        throw;
    }
    current = nullptr;
    return result;
}

double device_seconds(const Work& work, const Machine& m) {
    double seconds = 0;
    for (const PlannedCall& call : work.calls)
        for (const Launch& launch : call.launches) seconds += time_of(launch, m).seconds;
    return seconds;
}

double seconds_of(const Work& work, const Machine& m) {
    double host = static_cast<double>(work.replays) * GRAPH_LAUNCH_SECONDS;
    for (const PlannedCall& call : work.calls)
        if (!call.replayed) host += HOST_LAUNCH_SECONDS * static_cast<double>(call.launches.size());
    const double waits = static_cast<double>(work.host_waits) * HOST_WAIT_SECONDS + work.host_bytes / HOST_BANDWIDTH;
    return std::max(device_seconds(work, m), host) + waits;
}

std::vector<KernelSum> by_kernel(const Work& work, const Machine& m) {
    std::vector<KernelSum> sums;
    for (const PlannedCall& call : work.calls)
        for (const Launch& launch : call.launches) {
            auto sum = std::find_if(sums.begin(), sums.end(), [&](const KernelSum& s) {
                return s.operation == call.operation && s.kernel == launch.kernel;
            });
            if (sum == sums.end()) {
                sum = sums.insert(sums.end(), KernelSum{});
                sum->operation = call.operation;
                sum->kernel = launch.kernel;
            }
            const LaunchTime time = time_of(launch, m);
            sum->launches++;
            sum->blocks += launch.blocks;
            sum->barriers += launch.barriers;
            sum->memory_bytes += memory_bytes(launch, m);
            sum->load_bytes += launch.load_bytes;
            sum->store_bytes += launch.store_bytes;
            sum->flops += launch.flops;
            sum->seconds += time.seconds;
            if (time.seconds > sum->longest) {
                sum->longest = time.seconds;
                sum->bound = time.bound;
            }
        }
    return sums;
}

}  // namespace leon
