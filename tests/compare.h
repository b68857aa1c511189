// Holds one array to another, in three stages, each with its own message:
//
//   1. NaN and infinities stand in the same places, with the same signs
//   2. |got - want| <= tolerance.error * (scale + |want|) for every element; the worst is printed with its coordinates
//   3. the angle: 1 - cosine(got, want) <= tolerance.cosine, which sees a bias that hides below stage 2; an array that
//      is nothing but rounding has no angle
//
// `scale` is the size of a typical element: 1 in nearly all tests. Tolerances are never written here but come from the
// table of the test (tests/test_kernels.cpp), where the measured error stands beside each.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

namespace leon {

struct Tolerance {
    double error = 0;   // of an element, as a part of scale + |want|
    double cosine = 0;  // of the whole array: 1 - cosine
};

struct Comparison {
    std::string fault;  // empty if the arrays are held to be equal; else what is wrong and where
    double error = 0;   // the largest |got - want| / (scale + |want|)
    double cosine = 0;  // 1 - cosine
};

// "[3, 0, 17]" of element `index` in an array of this shape.
inline std::string coordinates(size_t index, const std::vector<int64_t>& shape) {
    std::string text;
    for (size_t d = shape.size(); d-- > 0;) {
        text = std::to_string(index % static_cast<size_t>(shape[d])) + (text.empty() ? "" : ", " + text);
        index /= static_cast<size_t>(shape[d]);
    }
    return "[" + text + "]";
}

inline std::string describe(const char* what, size_t index, const std::vector<int64_t>& shape, double got,
                            double want) {
    char text[160];
    std::snprintf(text, sizeof text, ": got %.9g, want %.9g, difference %.3g", got, want, got - want);
    return what + coordinates(index, shape) + text;
}

// 1 - cosine, as half the squared distance of the unit vectors: exact near zero, where 1 - dot/(|a||b|) is all
// rounding. Zero if both are no longer than `nothing`.
inline double cosine_distance(std::span<const float> a, std::span<const float> b, double nothing) {
    double aa = 0, bb = 0, distance = 0;
    for (size_t i = 0; i < a.size(); i++) {
        aa += static_cast<double>(a[i]) * a[i];
        bb += static_cast<double>(b[i]) * b[i];
    }
    if (aa <= nothing * nothing && bb <= nothing * nothing) return 0;
    if (aa == 0 || bb == 0) return 1;
    for (size_t i = 0; i < a.size(); i++) {
        double difference = a[i] / std::sqrt(aa) - b[i] / std::sqrt(bb);
        distance += difference * difference / 2;
    }
    return distance;
}

inline Comparison compare(std::span<const float> got, std::span<const float> want, const std::vector<int64_t>& shape,
                          Tolerance tolerance, double scale = 1) {
    Comparison result;
    if (got.size() != want.size()) {
        result.fault =
            "sizes differ: got " + std::to_string(got.size()) + ", want " + std::to_string(want.size()) + " elements";
        return result;
    }
    std::vector<float> finite_got, finite_want;
    size_t worst = 0;
    for (size_t i = 0; i < got.size(); i++) {
        bool same_kind = std::isnan(want[i])      ? std::isnan(got[i])
                         : std::isfinite(want[i]) ? std::isfinite(got[i])
                                                  : got[i] == want[i];
        if (!same_kind) {
            result.fault = describe("NaN or infinity at ", i, shape, got[i], want[i]);
            return result;
        }
        if (!std::isfinite(want[i])) continue;
        finite_got.push_back(got[i]);
        finite_want.push_back(want[i]);
        double error = std::fabs(static_cast<double>(got[i]) - want[i]) / (scale + std::fabs(want[i]));
        if (error > result.error) {
            result.error = error;
            worst = i;
        }
    }
    const double rounding = tolerance.error * scale * std::sqrt(static_cast<double>(finite_want.size()));
    result.cosine = cosine_distance(finite_got, finite_want, rounding);
    char limit[120];
    if (result.error > tolerance.error) {
        std::snprintf(limit, sizeof limit, ", relative %.3g, allowed %.3g", result.error, tolerance.error);
        result.fault = describe("worst at ", worst, shape, got[worst], want[worst]) + limit;
    } else if (result.cosine > tolerance.cosine) {
        std::snprintf(limit, sizeof limit, "1 - cosine is %.3g, allowed %.3g", result.cosine, tolerance.cosine);
        result.fault = limit;
    }
    return result;
}

// Equality of bits, for what must be exact; -0 differs from 0, and a NaN equals itself.
inline std::string first_difference(std::span<const float> got, std::span<const float> want,
                                    const std::vector<int64_t>& shape) {
    if (got.size() != want.size()) return "sizes differ";
    for (size_t i = 0; i < got.size(); i++)
        if (__builtin_memcmp(&got[i], &want[i], sizeof(float)) != 0)
            return describe("first difference at ", i, shape, got[i], want[i]);
    return "";
}

}  // namespace leon
