// See same_cell_heads.h.
#include "training/same_cell_heads.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/random.h"
#include "training/normal.h"

namespace leon {
namespace {

constexpr float CONTENT = 0.3f;  // gain of the norms: how much what a token is counts beside where it stands
constexpr double SHARPNESS = 9;  // of a pair's bias: next to the cell, weights of attention are exp(-4) of its own
constexpr int PAIRS = 6;         // that turn fastest, of those that turn by the segment
constexpr uint64_t LANE = 0x5a3e;

using Rows = std::vector<std::vector<double>>;

double normal(uint64_t seed, uint64_t lane, uint64_t i) {
    return normal_quantile(std::max(uniform(seed, lane, i), 1e-10));
}

// `count` orthonormal rows of `size`: the Gram-Schmidt process on random ones.
Rows directions(int count, int size, uint64_t seed, uint64_t lane) {
    Rows rows;
    for (int r = 0; r < count; r++) {
        std::vector<double>& row = rows.emplace_back(static_cast<size_t>(size));
        for (size_t i = 0; i < row.size(); i++) row[i] = normal(seed, lane, static_cast<uint64_t>(r) * row.size() + i);
        for (int pass = 0; pass < 2; pass++)
            for (int earlier = 0; earlier < r; earlier++) {
                double along = 0;
                for (size_t i = 0; i < row.size(); i++) along += row[i] * rows[earlier][i];
                for (size_t i = 0; i < row.size(); i++) row[i] -= along * rows[earlier][i];
            }
        double length = 0;
        for (double x : row) length += x * x;
        for (double& x : row) x /= std::sqrt(length);
    }
    return rows;
}

double deviation(const std::vector<float>& x) {
    double squares = 0;
    for (float value : x) squares += static_cast<double>(value) * value;
    return std::sqrt(squares / static_cast<double>(x.size()));
}

}  // namespace

void look_at_same_cells(ParameterVector& values, std::span<const HeadNumber> heads, uint64_t seed) {
    const TransformerConfig& c = values.layout().config();
    const size_t dim = static_cast<size_t>(c.dim), head_dim = static_cast<size_t>(c.head_dim), half = head_dim / 2;
    for (const HeadNumber& at : heads) {
        CHECK(c.segments && c.qk_norm && c.heads == c.kv_heads && at.layer < c.layers && at.head < c.heads);
        const size_t first = static_cast<size_t>(at.head) * head_dim;
        const auto change = [&](const std::string& name, auto how) {
            const Parameter& p = values.layout().find("transformer.layers." + std::to_string(at.layer) + "." + name);
            std::vector<float> x = values.download(p);
            how(x);
            values.upload(p, x);
        };
        for (const bool is_query : {true, false}) {
            const std::string norm = is_query ? "q_norm" : "k_norm";
            change(norm + ".weight", [&](std::vector<float>& x) { std::fill_n(x.begin() + first, head_dim, CONTENT); });
            change(norm + ".bias", [&](std::vector<float>& x) {
                std::fill_n(x.begin() + first, head_dim, 0.0f);
                for (size_t i = 1; i < half && i < 2 * PAIRS; i += 2) {
                    const double turn = is_query ? std::pow(double(c.rope_theta), -double(i) / double(half)) : 0;
                    x[first + i] = static_cast<float>(SHARPNESS * std::cos(turn));
                    x[first + half + i] = static_cast<float>(SHARPNESS * std::sin(turn));
                }
            });
        }
        const uint64_t lane = LANE + static_cast<uint64_t>(at.layer) * 4096 + static_cast<uint64_t>(at.head);
        const Rows copied = directions(static_cast<int>(std::min(head_dim, dim)), c.dim, seed, lane);
        change("v", [&](std::vector<float>& x) {
            const double scale = deviation(x) * std::sqrt(double(c.dim));
            for (size_t r = 0; r < copied.size(); r++)
                for (size_t i = 0; i < dim; i++) x[(first + r) * dim + i] = static_cast<float>(scale * copied[r][i]);
        });
        change("o", [&](std::vector<float>& x) {
            const double scale = deviation(x) * std::sqrt(double(c.dim));
            const size_t width = static_cast<size_t>(c.heads) * head_dim;
            for (size_t r = 0; r < copied.size(); r++)
                for (size_t i = 0; i < dim; i++) x[i * width + first + r] = static_cast<float>(scale * copied[r][i]);
        });
    }
}

}  // namespace leon
