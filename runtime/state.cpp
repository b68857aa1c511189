// The paged key-value cache and the layer buffers; see state.h.
#include "runtime/state.h"

#include <algorithm>

namespace leon {
namespace {

size_t pages_of(int positions) {
    return static_cast<size_t>(positions + PAGE_TOKENS - 1) / PAGE_TOKENS;
}

// pages [pages, ...]
void copy_page(const Kernels& kernels, const Tensor& pages, int32_t from, int32_t to) {
    const size_t bytes = pages.bytes() / pages.shape[0];
    char* first = static_cast<char*>(pages.data);
    std::vector<char> page(bytes);
    download(kernels, page.data(), first + from * bytes, bytes);
    upload(kernels, first + to * bytes, page.data(), bytes);
}

}  // namespace

KvCache::KvCache(const TransformerConfig& c, const Kernels& kernels, int streams, int positions, int pages, DType dtype)
    : kernels_(kernels),
      segments_(c.segments),
      max_positions_(positions),
      pages_per_stream_((positions + PAGE_TOKENS - 1) / PAGE_TOKENS),
      page_table_(kernels, DType::I32, {streams, pages_per_stream_}),
      streams_(streams),
      page_users_(pages, 0) {
    CHECK(streams > 0 && positions > 0 && pages > 0);
    CHECK(dtype == DType::F32 || dtype == DType::BF16 || dtype == DType::F16 || dtype == DType::I8);
    const auto side = [&] {
        Side s{Buffer(kernels, dtype, {pages, c.kv_heads, PAGE_TOKENS, c.head_dim}), Buffer()};
        if (dtype == DType::I8) s.scales = Buffer(kernels, DType::F32, {pages, c.kv_heads, PAGE_TOKENS});
        return s;
    };
    for (int i = 0; i < c.layers; i++) keys_.push_back(side()), values_.push_back(side());
    for (int page = pages - 1; page >= 0; page--) free_pages_.push_back(page);
}

int32_t KvCache::take_page() {
    CHECK(!free_pages_.empty());
    const int32_t page = free_pages_.back();
    free_pages_.pop_back();
    page_users_[page] = 1;
    return page;
}

void KvCache::give_back(int32_t page) {
    if (--page_users_[page] == 0) free_pages_.push_back(page);
}

void KvCache::upload_table(int stream) {
    const std::vector<int32_t>& pages = streams_[stream].pages;
    if (pages.empty()) return;
    int32_t* row = page_table_.tensor().i32() + static_cast<int64_t>(stream) * pages_per_stream_;
    upload(kernels_, row, pages.data(), pages.size() * sizeof(int32_t));
}

int KvCache::add_stream() {
    auto unused = std::find_if(streams_.begin(), streams_.end(), [](const Stream& s) { return !s.used; });
    CHECK(unused != streams_.end());
    *unused = Stream{};
    unused->used = true;
    return static_cast<int>(unused - streams_.begin());
}

int KvCache::fork(int parent) {
    CHECK(streams_[parent].used);
    const int child = add_stream();
    Stream& to = streams_[child];
    const Stream& from = streams_[parent];
    to.length = from.length;
    to.place = from.place;
    to.pages.assign(from.pages.begin(), from.pages.begin() + pages_of(from.length));  // not the reserved ones
    for (int32_t page : to.pages) page_users_[page]++;
    if (to.length % PAGE_TOKENS != 0) {  // both will write into the last page: the child gets its own copy
        const int32_t shared = to.pages.back();
        give_back(shared);
        const int32_t own = to.pages.back() = take_page();
        for (auto* side : {&keys_, &values_}) {
            for (const Side& layer : *side) {
                copy_page(kernels_, layer.rows.tensor(), shared, own);
                if (layer.scales.tensor()) copy_page(kernels_, layer.scales.tensor(), shared, own);
            }
        }
    }
    upload_table(child);
    return child;
}

void KvCache::remove(int stream) {
    CHECK(streams_[stream].used);
    for (int32_t page : streams_[stream].pages) give_back(page);
    streams_[stream] = Stream{};
}

void KvCache::reserve(int stream, int positions) {
    Stream& s = streams_[stream];
    CHECK(s.used && positions >= 0 && s.length + positions <= max_positions_);
    const size_t needed = pages_of(s.length + positions);
    if (needed <= s.pages.size()) return;
    while (s.pages.size() < needed) s.pages.push_back(take_page());
    upload_table(stream);
}

void KvCache::extend(int stream, std::span<const int32_t> tokens) {
    reserve(stream, static_cast<int>(tokens.size()));
    Stream& s = streams_[stream];
    s.length += static_cast<int>(tokens.size());
    for (int32_t token : tokens) s.place = place_after(segments_, s.place, token);
}

Tensor KvCache::Side::tensor() const {
    Tensor t = rows.tensor();
    if (t.dtype == DType::I8) t.scale = scales.tensor().f32();
    return t;
}

KvPages KvCache::layer(int index) const {
    return {keys_[index].tensor(), values_[index].tensor(), page_table_.tensor()};
}

LayerBuffers::LayerBuffers(const TransformerConfig& c, const Kernels& k, int max_rows, int outputs)
    : x(k, DType::F32, {max_rows, c.dim}),
      normed(k, DType::F32, {max_rows, c.dim}),
      q(k, DType::F32, {max_rows, c.heads, c.head_dim}),
      k(k, DType::F32, {max_rows, c.kv_heads, c.head_dim}),
      v(k, DType::F32, {max_rows, c.kv_heads, c.head_dim}),
      mixed(k, DType::F32, {max_rows, c.heads, c.head_dim}),
      up(k, DType::F32, {max_rows, c.ffn_dim}),
      picked(k, DType::F32, {outputs, c.dim}),
      logits(k, DType::F32, {outputs, c.vocab}),
      tokens(k, DType::I32, {max_rows}),
      stream(k, DType::I32, {max_rows}),
      position(k, DType::I32, {max_rows}),
      outputs(k, DType::I32, {outputs}),
      rows(max_rows),
      max_outputs(outputs) {
    if (c.segments) segment = Buffer(k, DType::I32, {max_rows});
    if (c.segments) code = Buffer(k, DType::I32, {max_rows});
    if (c.feed_forward == FeedForward::SwiGLU) gate = Buffer(k, DType::F32, {max_rows, c.ffn_dim});
}

}  // namespace leon
