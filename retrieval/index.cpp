// See index.h. hnswlib keeps, for every node, its links, a datum and a label; the datum is the address of the vector.
#include "retrieval/index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

// Its hand-written prefetches read a few bytes beyond what they own.
#define NO_MANUAL_VECTORIZATION
#include <hnswlib/hnswlib.h>

#include "kernels/check.h"
#include "kernels/cpu/threads.h"

namespace leon {
namespace {

// The k best of what was offered.
class Best {
public:
    explicit Best(size_t k) : k_(k) {}
    void offer(const Hit& hit) {  // hits_ is a heap with the worst on top
        if (hits_.size() == k_ && !better(hit, hits_.front())) return;
        if (hits_.size() == k_) {
            std::pop_heap(hits_.begin(), hits_.end(), better);
            hits_.pop_back();
        }
        hits_.push_back(hit);
        std::push_heap(hits_.begin(), hits_.end(), better);
    }
    const std::vector<Hit>& hits() const { return hits_; }
    std::vector<Hit> sorted() && {
        std::sort(hits_.begin(), hits_.end(), better);
        return std::move(hits_);
    }

private:
    size_t k_;
    std::vector<Hit> hits_;
};

// Where a query's coordinates are not all zero, out to whole lanes of inner_product(), so that products over this part
// alone have the same bits. A native query has one modality, and half of its coordinates are zero.
struct Extent {
    size_t begin = 0, count = 0;
};

Extent extent_of(std::span<const float> query) {
    constexpr size_t LANES = 16;
    size_t begin = 0, end = query.size();
    while (end > 0 && query[end - 1] == 0) end--;
    while (begin < end && query[begin] == 0) begin++;
    begin -= begin % LANES;
    end = std::min(query.size(), (end + LANES - 1) / LANES * LANES);
    return {begin, end - begin};
}

}  // namespace

std::vector<Hit> exact_search(const VectorView& vectors, std::span<const float> query, int k) {
    CHECK(k > 0 && static_cast<int>(query.size()) == vectors.dim);
    constexpr int BLOCK = 1024;
    const Extent extent = extent_of(query);
    const std::span<const float> part = query.subspan(extent.begin, extent.count);
    const int blocks = (vectors.count + BLOCK - 1) / BLOCK;
    std::vector<Best> found(static_cast<size_t>(blocks), Best(static_cast<size_t>(k)));
    parallel(blocks, [&](int64_t block, int) {
        const int begin = static_cast<int>(block) * BLOCK, end = std::min(vectors.count, begin + BLOCK);
        for (int i = begin; i < end; i++)
            found[static_cast<size_t>(block)].offer(
                {i, inner_product(vectors.at(i).subspan(extent.begin, extent.count), part)});
    });
    Best best(static_cast<size_t>(k));
    for (const Best& part : found)
        for (const Hit& hit : part.hits()) best.offer(hit);
    return std::move(best).sorted();
}

void check_graph(const GraphView& graph, const std::string& where) {
    constexpr int HIGHEST_LEVEL = 64;  // a level has a sixteenth of the nodes of the one below
    const int nodes = static_cast<int>(graph.level.size());
    auto fail = [&](const std::string& what) {
        throw Error("the search index is damaged: " + what, where, "build the bank again");
    };
    int highest = 0;
    size_t upper_rows = 0;
    for (int32_t level : graph.level) {
        if (level < 0 || level > HIGHEST_LEVEL) fail("a level is out of range");
        highest = std::max(highest, level);
        upper_rows += static_cast<size_t>(level);
    }
    if (graph.base.size() != graph.level.size() * BASE_ROW || graph.upper.size() != upper_rows * UPPER_ROW)
        fail("its parts do not fit together");
    if (graph.entry < 0 || graph.entry >= nodes || graph.level[static_cast<size_t>(graph.entry)] != highest)
        fail("its entry is not on the highest level");
    auto check_row = [&](std::span<const int32_t> row, int level) {
        if (row[0] < 0 || row[0] >= static_cast<int32_t>(row.size())) fail("a node has too many links");
        for (int32_t link : row.subspan(1, static_cast<size_t>(row[0])))
            if (link < 0 || link >= nodes || graph.level[static_cast<size_t>(link)] < level)
                fail("a link leads nowhere");
    };
    size_t upper = 0;
    for (int node = 0; node < nodes; node++) {
        check_row(graph.base.subspan(static_cast<size_t>(node) * BASE_ROW, BASE_ROW), 0);
        for (int level = 1; level <= graph.level[static_cast<size_t>(node)]; level++, upper += UPPER_ROW)
            check_row(graph.upper.subspan(upper, UPPER_ROW), level);
    }
}

namespace {

// What hnswlib compares: addresses of vectors. It minimises, so the inner product changes its sign.
class AddressSpace : public hnswlib::SpaceInterface<float> {
public:
    explicit AddressSpace(int dim) : dim_(static_cast<size_t>(dim)) {}
    size_t get_data_size() override { return sizeof(const float*); }
    hnswlib::DISTFUNC<float> get_dist_func() override { return between_nodes; }
    void* get_dist_func_param() override { return &dim_; }

    // In a search the first argument is always the query, the second a node.
    struct Query {
        const float* vector;
        Extent extent;
    };
    static float from_query(const void* query, const void* node, const void*) {
        const Query& q = *static_cast<const Query*>(query);
        const size_t n = q.extent.count;
        return -inner_product({q.vector + q.extent.begin, n}, {address(node) + q.extent.begin, n});
    }

private:
    static const float* address(const void* datum) {
        const float* vector;
        std::memcpy(&vector, datum, sizeof(vector));  // it stands at an odd multiple of four bytes
        return vector;
    }
    static float between_nodes(const void* a, const void* b, const void* dim) {
        const size_t n = *static_cast<const size_t*>(dim);
        return -inner_product({address(a), n}, {address(b), n});
    }
    size_t dim_;
};

constexpr size_t BUILD_EFFORT = 200;  // candidates kept while a node looks for its neighbours

}  // namespace

struct NeighbourGraph::Impl {
    VectorView vectors;
    AddressSpace space;
    hnswlib::HierarchicalNSW<float> graph;

    explicit Impl(const VectorView& v)
        : vectors(v), space(v.dim), graph(&space, static_cast<size_t>(v.count), GRAPH_LINKS, BUILD_EFFORT) {}

    void begin_searching() { graph.fstdistfunc_ = AddressSpace::from_query; }

    // A row of links as hnswlib has it: the count in the lower half of one word, then ids.
    int32_t* links(int node, int level) const {
        return reinterpret_cast<int32_t*>(graph.get_linklist_at_level(static_cast<hnswlib::tableint>(node), level));
    }
};

NeighbourGraph::NeighbourGraph(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NeighbourGraph::~NeighbourGraph() = default;
NeighbourGraph::NeighbourGraph(NeighbourGraph&&) noexcept = default;

NeighbourGraph NeighbourGraph::build(const VectorView& vectors, const std::function<void(size_t, size_t)>& progress) {
    CHECK(vectors.count > 0);
    constexpr int REPORT_EVERY = 64;
    auto impl = std::make_unique<Impl>(vectors);
    for (int i = 0; i < vectors.count; i++) {
        const float* address = vectors.at(i).data();
        impl->graph.addPoint(&address, static_cast<size_t>(i));
        if (progress && i % REPORT_EVERY == 0) progress(static_cast<size_t>(i), static_cast<size_t>(vectors.count));
    }
    impl->begin_searching();
    return NeighbourGraph(std::move(impl));
}

NeighbourGraph::NeighbourGraph(const VectorView& vectors, const GraphView& checked)
    : impl_(std::make_unique<Impl>(vectors)) {
    CHECK(static_cast<int>(checked.level.size()) == vectors.count);
    hnswlib::HierarchicalNSW<float>& g = impl_->graph;
    const int32_t* upper = checked.upper.data();
    std::memset(g.data_level0_memory_, 0, g.max_elements_ * g.size_data_per_element_);
    for (int node = 0; node < vectors.count; node++) {
        const int level = checked.level[static_cast<size_t>(node)];
        const auto id = static_cast<hnswlib::tableint>(node);
        const float* address = vectors.at(node).data();
        std::memcpy(g.getDataByInternalId(id), &address, sizeof(address));
        g.setExternalLabel(id, static_cast<size_t>(node));
        if (level > 0) {
            g.linkLists_[node] =
                static_cast<char*>(std::malloc(g.size_links_per_element_ * static_cast<size_t>(level)));
            if (!g.linkLists_[node]) throw std::bad_alloc();
        }
        g.element_levels_[static_cast<size_t>(node)] = level;
        g.cur_element_count = static_cast<size_t>(node) + 1;  // from here on its destructor frees these lists
        std::memcpy(impl_->links(node, 0), &checked.base[static_cast<size_t>(node) * BASE_ROW],
                    BASE_ROW * sizeof(int32_t));
        for (int l = 1; l <= level; l++, upper += UPPER_ROW)
            std::memcpy(impl_->links(node, l), upper, UPPER_ROW * sizeof(int32_t));
    }
    g.enterpoint_node_ = static_cast<hnswlib::tableint>(checked.entry);
    g.maxlevel_ = checked.level[static_cast<size_t>(checked.entry)];
    impl_->begin_searching();
}

std::vector<Hit> NeighbourGraph::search(std::span<const float> query, int k, int effort) const {
    CHECK(k > 0 && static_cast<int>(query.size()) == impl_->vectors.dim);
    const AddressSpace::Query asked{query.data(), extent_of(query)};
    // hnswlib keeps the effort as a property of the graph; asking for that many results is the same without changing
    // it.
    auto found = impl_->graph.searchKnn(&asked, static_cast<size_t>(std::max(k, effort)));
    std::vector<Hit> hits;
    for (; !found.empty(); found.pop()) hits.push_back({static_cast<int>(found.top().second), -found.top().first});
    std::sort(hits.begin(), hits.end(), better);
    if (hits.size() > static_cast<size_t>(k)) hits.resize(static_cast<size_t>(k));
    return hits;
}

NeighbourGraph::Stored NeighbourGraph::stored() const {
    const Impl& m = *impl_;
    Stored stored{.entry = static_cast<int>(m.graph.enterpoint_node_), .level = {}, .base = {}, .upper = {}};
    auto append = [&](std::vector<int32_t>& rows, int node, int level, int ids) {
        const int32_t* links = m.links(node, level);
        const int count = *links & 0xffff;
        rows.push_back(count);
        rows.insert(rows.end(), links + 1, links + 1 + count);
        rows.insert(rows.end(), static_cast<size_t>(ids - count), 0);
    };
    for (int node = 0; node < m.vectors.count; node++) {
        const int level = m.graph.element_levels_[static_cast<size_t>(node)];
        stored.level.push_back(level);
        append(stored.base, node, 0, BASE_ROW - 1);
        for (int l = 1; l <= level; l++) append(stored.upper, node, l, UPPER_ROW - 1);
    }
    return stored;
}

}  // namespace leon
