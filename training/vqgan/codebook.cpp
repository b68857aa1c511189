// Moving averages of latents; see codebook.h.
#include "training/vqgan/codebook.h"

#include <algorithm>
#include <cmath>

#include "training/draws.h"

namespace leon {

MovingCodebook::MovingCodebook(std::span<const float> entries, int codes, int width, double count)
    : values(entries.begin(), entries.end()),
      counts(static_cast<size_t>(codes), static_cast<float>(count)),
      sums(values),
      codes_(codes),
      width_(width) {
    CHECK(values.size() == static_cast<size_t>(codes) * static_cast<size_t>(width));
    for (float& sum : sums) sum *= static_cast<float>(count);
}

Tensor MovingCodebook::entries() {
    return Tensor(values.data(), DType::F32, {codes_, width_});
}

int MovingCodebook::update(std::span<const float> latents, std::span<const int32_t> codes, const CodebookRule& rule,
                           uint64_t seed) {
    const size_t width = static_cast<size_t>(width_);
    CHECK(latents.size() == codes.size() * width);
    std::vector<double> taken(counts.size()), added(sums.size());
    for (size_t row = 0; row < codes.size(); row++) {
        const size_t code = static_cast<size_t>(codes[row]);
        taken[code] += 1;
        for (size_t i = 0; i < width; i++) added[code * width + i] += latents[row * width + i];
    }
    std::vector<double> errors(codes.size());  // summed up
    double error = 0;
    for (size_t row = 0; row < codes.size(); row++) {
        for (size_t i = 0; i < width; i++) {
            const double e = latents[row * width + i] - values[static_cast<size_t>(codes[row]) * width + i];
            error += e * e;
        }
        errors[row] = error;
    }
    double total = 0;
    for (size_t k = 0; k < counts.size(); k++) {
        counts[k] = static_cast<float>(rule.decay * counts[k] + (1 - rule.decay) * taken[k]);
        total += counts[k];
        for (size_t i = k * width; i < (k + 1) * width; i++)
            sums[i] = static_cast<float>(rule.decay * sums[i] + (1 - rule.decay) * added[i]);
    }
    RandomDraws random(seed, 0);
    int revived = 0;
    for (size_t k = 0; k < counts.size(); k++) {
        if (counts[k] < rule.revive_below && !codes.empty()) {
            const auto found = std::upper_bound(errors.begin(), errors.end(), random.uniform() * error);
            const size_t row = std::min(static_cast<size_t>(found - errors.begin()), codes.size() - 1);
            counts[k] = static_cast<float>(std::max(1.0, 2 * rule.revive_below));
            for (size_t i = 0; i < width; i++) {
                values[k * width + i] = latents[row * width + i];
                sums[k * width + i] = values[k * width + i] * counts[k];
            }
            revived++;
            continue;
        }
        const double count = (counts[k] + rule.epsilon) / (total + static_cast<double>(codes_) * rule.epsilon) * total;
        if (count > 0)
            for (size_t i = k * width; i < (k + 1) * width; i++) values[i] = static_cast<float>(sums[i] / count);
    }
    return revived;
}

CodeUse code_use(std::span<const int64_t> taken) {
    double total = 0, entropy = 0;
    CodeUse use;
    for (int64_t n : taken) total += static_cast<double>(n);
    for (int64_t n : taken) {
        if (n == 0) continue;
        const double p = static_cast<double>(n) / total;
        entropy -= p * std::log2(p);
        use.used++;
    }
    use.perplexity = std::exp2(entropy);
    return use;
}

}  // namespace leon
