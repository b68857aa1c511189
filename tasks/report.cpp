// The line that every run ends with; see report.h.
#include "tasks/report.h"

#include <algorithm>

#include "kernels/roof.h"
#include "runtime/format.h"

namespace leon {

std::string speed_line(const Kernels& kernels, const GenerateStatistics& s, double picture_seconds) {
    std::string line;
    auto add = [&](const std::string& part) { line += (line.empty() ? "" : "; ") + part; };
    if (s.prompt_tokens > 0)
        add(format("prompt %d tokens in %.2f s = %.0f tokens/s", s.prompt_tokens, s.prefill_seconds,
                   s.prompt_tokens / std::max(s.prefill_seconds, 1e-6)));
    if (s.steps > 0 && s.decode_seconds > 0) {
        const double weights = s.decode_weight_bytes / s.decode_seconds / 1e9;
        add(format("%d tokens in %.2f s = %.1f tokens/s, %.2f GB/s of weights", s.tokens, s.decode_seconds,
                   s.tokens / s.decode_seconds, weights));
        if (runs_on_processor(kernels)) {
            const double roof = read_bandwidth(Effort::Quick);
            line += format(" = %.0f%% of this machine's %.1f GB/s", 100 * weights / roof, roof);
        }
    }
    if (picture_seconds > 0) add(format("picture %.2f s", picture_seconds));
    return line;
}

}  // namespace leon
