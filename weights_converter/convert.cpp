// Carrying out a plan: every tensor in blocks of rows, read as float32, rearranged, narrowed, written. See convert.h.
#include "weights_converter/convert.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/weights_file.h"
#include "weights_converter/plan.h"

namespace leon {
namespace {

constexpr int64_t BLOCK_ELEMENTS = int64_t{1} << 20;  // 4 MB of float32 at a time, or one row if that is longer

// Rows [first, first + count) of the target, from the step's source.
class RowReader {
public:
    RowReader(const Step& step, int64_t head_dim) : step_(step), head_dim_(head_dim) {}

    void read(int64_t first, int64_t count, float* out) {
        rearrange(first, count, out);
        if (step_.scale != 1)
            for (int64_t i = 0; i < count * step_.target.elements() / step_.target.shape[0]; i++) out[i] *= step_.scale;
    }

private:
    void rearrange(int64_t first, int64_t count, float* out) {
        switch (step_.treatment) {
            case Treatment::Copy:
                step_.checkpoint->read_rows(*step_.source, first, count, out);
                return;
            case Treatment::RotaryRows:
                read_rotary_rows(first, count, out);
                return;
            case Treatment::HeadNorm:
                read_head_norm(first, count, out);
                return;
            case Treatment::ChannelsLast:
            case Treatment::InputPart:
                read_channels_last(first, count, out);
                return;
        }
        check_failed(__FILE__, __LINE__, "known treatment");
    }

    void read_rotary_rows(int64_t first, int64_t count, float* out) {
        if (!step_.adjacent_pairs) return step_.checkpoint->read_rows(*step_.source, first, count, out);
        const int64_t width = step_.source->row_elements();
        for (int64_t row = first; row < first + count; row++, out += width) {
            const int64_t head = row / head_dim_;
            const int64_t source_row = head * head_dim_ + adjacent_channel(row % head_dim_, head_dim_);
            step_.checkpoint->read_rows(*step_.source, source_row, 1, out);
        }
    }

    // Target [heads, head_dim]; the source has one vector for every `sharing` heads.
    void read_head_norm(int64_t first, int64_t count, float* out) {
        const bool one_vector = step_.source->shape.size() == 1;
        const int64_t vectors = one_vector ? 1 : step_.source->rows();
        const int64_t sharing = step_.target.shape[0] / vectors;
        scratch_.resize(static_cast<size_t>(head_dim_));
        for (int64_t head = first; head < first + count; head++, out += head_dim_) {
            if (one_vector)
                step_.checkpoint->read_rows(*step_.source, 0, head_dim_, scratch_.data());
            else
                step_.checkpoint->read_rows(*step_.source, head / sharing, 1, scratch_.data());
            for (int64_t j = 0; j < head_dim_; j++)
                out[j] = scratch_[static_cast<size_t>(step_.adjacent_pairs ? adjacent_channel(j, head_dim_) : j)];
        }
    }

    // [out, in, height, width] -> [out, height, width, in], of all inputs or of those from first_input on
    void read_channels_last(int64_t first, int64_t count, float* out) {
        if (step_.source->shape.size() != 4) return step_.checkpoint->read_rows(*step_.source, first, count, out);
        const int64_t in = step_.source->shape[1], area = step_.source->shape[2] * step_.source->shape[3];
        scratch_.resize(static_cast<size_t>(count * in * area));
        step_.checkpoint->read_rows(*step_.source, first, count, scratch_.data());
        for (int64_t row = 0; row < count; row++)
            for (int64_t pixel = 0; pixel < area; pixel++)
                for (int64_t channel = 0; channel < step_.target.shape[3]; channel++)
                    *out++ = scratch_[static_cast<size_t>((row * in + step_.first_input + channel) * area + pixel)];
    }

    const Step& step_;
    const int64_t head_dim_;
    std::vector<float> scratch_;
};

}  // namespace

int64_t adjacent_channel(int64_t j, int64_t head_dim) {
    const int64_t half = head_dim / 2;
    return 2 * (j % half) + j / half;
}

void read_target(const Step& step, int64_t head_dim, int64_t first, int64_t count, float* out) {
    RowReader(step, head_dim).read(first, count, out);
}

void convert(const std::string& source, const std::string& output, const ConvertOptions& options,
             const std::function<void(size_t done, size_t total)>& progress) {
    const Plan plan = plan_conversion(source, options);
    if (options.note)
        for (const std::string& note : plan.notes) options.note(note);

    WeightsWriter writer(output, print_config(plan.config), plan.tokenizer_json);
    for (const Step& step : plan.steps) writer.declare(step.target.name, step.dtype, step.target.shape);
    writer.begin();

    const size_t total = plan.bytes();
    size_t done = 0;
    std::vector<float> values;
    std::vector<uint16_t> narrow;
    for (const Step& step : plan.steps) {
        RowReader reader(step, plan.config.transformer.head_dim);
        const int64_t rows = step.target.shape[0], width = step.target.elements() / rows;
        const int64_t block = std::clamp<int64_t>(BLOCK_ELEMENTS / width, 1, rows);
        for (int64_t first = 0; first < rows; first += block) {
            const int64_t count = std::min(block, rows - first);
            const size_t elements = static_cast<size_t>(count * width);
            values.resize(std::max(values.size(), elements));
            reader.read(first, count, values.data());
            const void* bytes = values.data();
            if (step.dtype == DType::BF16) {
                narrow.resize(std::max(narrow.size(), elements));
                for (size_t i = 0; i < elements; i++) narrow[i] = float_to_bf16(values[i]);
                bytes = narrow.data();
            }
            writer.write_part(bytes, elements * size_of(step.dtype));
            done += elements * size_of(step.dtype);
            if (progress) progress(done, total);
        }
    }
    writer.commit();
}

}  // namespace leon
