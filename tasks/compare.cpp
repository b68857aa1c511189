// See compare.h.
#include "tasks/compare.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "metrics/likeness.h"
#include "tasks/completion.h"
#include "tasks/pictures.h"
#include "tasks/workbench.h"
#include "tokenizer/templates.h"

namespace leon {
namespace {

double log_of_sum(std::span<const float> logits) {
    const double most = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (float logit : logits) sum += std::exp(logit - most);
    return most + std::log(sum);
}

// The sums that a ModelComparison's means are made of.
struct Sums {
    double largest = 0, differences = 0, kl = 0, surprise_a = 0, surprise_b = 0;
    size_t tokens = 0, logits = 0, agreed = 0, judged = 0;

    // After one token; `next` is what really follows, or negative at the end.
    void add(std::span<const float> a, std::span<const float> b, int32_t next) {
        const double norm_a = log_of_sum(a), norm_b = log_of_sum(b);
        for (size_t i = 0; i < a.size(); i++) {
            const double difference = std::fabs(double{a[i]} - b[i]), log_a = a[i] - norm_a;
            largest = std::max(largest, difference);
            differences += difference;
            kl += std::exp(log_a) * (log_a - (b[i] - norm_b));
        }
        agreed += std::max_element(a.begin(), a.end()) - a.begin() == std::max_element(b.begin(), b.end()) - b.begin();
        tokens++;
        logits += a.size();
        if (next < 0) return;
        surprise_a += norm_a - a[static_cast<size_t>(next)];
        surprise_b += norm_b - b[static_cast<size_t>(next)];
        judged++;
    }
};

void check_finite(std::span<const float> logits, const Model& model) {
    if (std::any_of(logits.begin(), logits.end(), [](float x) { return std::isnan(x); }))
        throw Error("produces NaN", model.path());
}

double psnr_of(const Model& a, const Model& b, std::span<const CodeGrid> grids) {
    double sum = 0;
    for (const CodeGrid& grid : grids) {
        const auto decoded = [&](const Model& model) {
            return model.decoder().decode_u8(grid.codes, grid.rows, grid.cols);
        };
        sum += psnr(decoded(a), decoded(b));
    }
    return sum / static_cast<double>(grids.size());
}

}  // namespace

Material drawn_by(const Model& model, std::span<const std::string> texts, const Settings& settings) {
    Material material;
    for (const std::string& text : texts) {
        Settings one = settings;
        one.best_of = 1;
        const Drawing drawing = draw(model, text, one);
        const CodeGrid& grid = material.grids.emplace_back(drawing.grids.at(0));
        Fields fields;
        fields.text["text"] = text;
        fields.rows = grid.rows;
        fields.cols = grid.cols;
        const int patch = model.config().vqgan.patch();
        fields.text["width"] = std::to_string(grid.cols * patch);
        fields.text["height"] = std::to_string(grid.rows * patch);
        std::vector<int32_t> stream =
            model.documents().ids(query(template_of(model.config().layout, Task::Draw), fields));
        const std::vector<int32_t> codes = model.documents().image_ids(grid.codes);
        stream.insert(stream.end(), codes.begin(), codes.end());
        material.streams.push_back(std::move(stream));
    }
    return material;
}

ModelComparison compare(const Model& a, const Model& b, const Material& material,
                        const std::function<void(size_t done, size_t total)>& progress, DType cache_of_b) {
    const int vocab = a.config().transformer.vocab;
    if (b.config().transformer.vocab != vocab)
        throw Error("has a vocabulary of " + std::to_string(b.config().transformer.vocab) + ", and not of " +
                        std::to_string(vocab),
                    b.path(), "compare models of one family");
    const size_t total = std::accumulate(material.streams.begin(), material.streams.end(), size_t{0},
                                         [](size_t sum, auto& stream) { return sum + stream.size(); });
    Sums sums;
    for (const std::vector<int32_t>& stream : material.streams) {
        LogitReader of_a(a, stream, "tokens"), of_b(b, stream, "tokens", cache_of_b);
        for (size_t next = 1; next <= stream.size();) {
            const std::span<const float> rows_a = of_a.next(), rows_b = of_b.next();
            check_finite(rows_a, a);
            check_finite(rows_b, b);
            for (size_t row = 0; row < rows_a.size(); row += static_cast<size_t>(vocab), next++) {
                sums.add(rows_a.subspan(row, static_cast<size_t>(vocab)),
                         rows_b.subspan(row, static_cast<size_t>(vocab)), next < stream.size() ? stream[next] : -1);
            }
            if (progress) progress(sums.tokens, total);
        }
    }
    ModelComparison c;
    const double tokens = static_cast<double>(sums.tokens), judged = static_cast<double>(sums.judged);
    c.tokens = sums.tokens;
    c.largest = sums.largest;
    c.mean = sums.differences / static_cast<double>(sums.logits);
    c.kl = sums.kl / tokens;
    c.agreement = static_cast<double>(sums.agreed) / tokens;
    c.perplexity_a = std::exp(sums.surprise_a / judged);
    c.perplexity_b = std::exp(sums.surprise_b / judged);
    if (!material.grids.empty()) c.psnr = psnr_of(a, b, material.grids);
    return c;
}

std::string comparison_json(const Model& a, const Model& b, const ModelComparison& c) {
    nlohmann::ordered_json report;
    report["a"] = a.path();
    report["b"] = b.path();
    report["tokens"] = c.tokens;
    report["logits"] = {{"largest difference", c.largest}, {"mean difference", c.mean}};
    report["KL divergence"] = c.kl;
    report["top-1 agreement"] = c.agreement;
    report["perplexity"] = {{"a", c.perplexity_a}, {"b", c.perplexity_b}};
    if (c.psnr && std::isinf(*c.psnr))
        report["PSNR of pictures"] = "equal";
    else if (c.psnr)
        report["PSNR of pictures"] = *c.psnr;
    report["definitions"] = {
        {"logits", "|a - b| over the whole vocabulary after every token"},
        {"KL divergence", "sum of p_a (log p_a - log p_b), nats, mean over tokens; softmax over the whole vocabulary"},
        {"top-1 agreement", "share of tokens after which both find the same id likeliest"},
        {"perplexity", "exp of the mean -log p of the next token"},
        {"PSNR of pictures", "dB, mean over pictures, of both decodings of the same codes"}};
    return report.dump(2) + "\n";
}

}  // namespace leon
