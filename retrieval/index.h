// Maximum inner product search: exactly, by looking at every vector, or along a graph of neighbours.
//
// The graph is an HNSW (Malkov and Yashunin, 2016), built and walked by hnswlib, which gets no copy of the vectors: its
// elements are their addresses. Building is done by one thread, so that the same vectors always give the same graph; it
// takes minutes for 100,000 documents, and a search in them milliseconds: docs/retrieval.md.
//
// A graph out of a file is hostile until check_graph() has looked at every link of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "retrieval/vectors.h"

namespace leon {

struct Hit {
    int id;
    float score;  // inner product
    friend bool operator==(const Hit&, const Hit&) = default;
};

// The order of results: higher score first, then lower id.
inline bool better(const Hit& a, const Hit& b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
}

// The k best (or all, if there are fewer), on all threads.
std::vector<Hit> exact_search(const VectorView& vectors, std::span<const float> query, int k);

constexpr int GRAPH_LINKS = 16;                // a node a level; twice as many on the lowest
constexpr int BASE_ROW = 1 + 2 * GRAPH_LINKS;  // a count, then so many ids; unused ones are 0
constexpr int UPPER_ROW = 1 + GRAPH_LINKS;

// The graph as a file keeps it. Node i stands on the levels 0 ... level[i].
struct GraphView {
    int entry = 0;                   // where a search starts: a node of the highest level
    std::span<const int32_t> level;  // [nodes]
    std::span<const int32_t> base;   // [nodes, BASE_ROW]
    std::span<const int32_t> upper;  // [sum of level, UPPER_ROW]: node 0's levels 1, 2, ..., then node 1's, ...
};

// Error naming `where` unless every link leads to a node of that level.
void check_graph(const GraphView& graph, const std::string& where);

class NeighbourGraph {
public:
    // progress(done, total) is called now and then.
    static NeighbourGraph build(const VectorView& vectors, const std::function<void(size_t, size_t)>& progress);
    NeighbourGraph(const VectorView& vectors, const GraphView& checked);  // copies the graph, not the vectors
    ~NeighbourGraph();
    NeighbourGraph(NeighbourGraph&&) noexcept;

    // About the k best. `effort` is how many candidates are kept on the way, at least k: more finds more.
    std::vector<Hit> search(std::span<const float> query, int k, int effort) const;

    struct Stored {
        int entry;
        std::vector<int32_t> level, base, upper;
        GraphView view() const { return {entry, level, base, upper}; }
    };
    Stored stored() const;

private:
    struct Impl;
    explicit NeighbourGraph(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace leon
