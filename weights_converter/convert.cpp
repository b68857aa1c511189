// Carrying out a plan: every tensor in blocks of rows, read as float32, rearranged, narrowed, written. See convert.h.
#include "weights_converter/convert.h"

#include <algorithm>
#include <exception>
#include <vector>

#include "kernels/cpu/threads.h"
#include "runtime/weights_file.h"
#include "weights_converter/background_writer.h"
#include "weights_converter/narrow.h"
#include "weights_converter/plan.h"

namespace leon {
namespace {

constexpr int64_t BLOCK_ELEMENTS = int64_t{1} << 23;    // written at once, or one row if that is longer
constexpr int64_t AHEAD_ELEMENTS = 4 * BLOCK_ELEMENTS;  // that the disk may read before they are needed
constexpr size_t WAITING_BYTES = size_t{128} << 20;     // converted, and not yet written
constexpr int64_t PART_ELEMENTS = int64_t{1} << 18;     // 1 MB of float32, which one thread converts at a time

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

namespace {

// Rows of a step's target that are converted and written at once.
struct Block {
    const Step* step;
    int64_t first, count, width;

    int64_t elements() const { return count * width; }
    bool is_last() const { return first + count == step->target.shape[0]; }
};

std::vector<Block> blocks_of(const Plan& plan) {
    std::vector<Block> blocks;
    for (const Step& step : plan.steps) {
        const int64_t rows = step.target.shape[0], width = step.target.elements() / rows;
        const int64_t most = std::clamp<int64_t>(BLOCK_ELEMENTS / width, 1, rows);
        for (int64_t first = 0; first < rows; first += most)
            blocks.push_back({&step, first, std::min(most, rows - first), width});
    }
    return blocks;
}

// All threads convert a block together. Meanwhile those before it are written, and the disk reads those behind it.
class Conversion {
public:
    // `progress` is called with the bytes that are written.
    Conversion(WeightsWriter& writer, const Plan& plan, const FeedbackOf& feedback,
               const std::function<void(size_t)>& progress)
        : head_dim_(plan.config.transformer.head_dim),
          feedback_of_(feedback),
          progress_(progress),
          blocks_(blocks_of(plan)),
          writer_([&writer](const std::vector<uint8_t>& block) { writer.write_part(block.data(), block.size()); },
                  WAITING_BYTES) {}

    void run() {
        for (const Block& block : blocks_) {
            look_ahead();
            std::vector<uint8_t> bytes = writer_.spare();
            bytes.resize(packed_bytes(block.step->dtype, block.elements()));
            convert_block(block, bytes.data());
            elements_ahead_ -= block.elements();
            block.step->checkpoint->forget_pages();
            progress_(writer_.write(std::move(bytes)));
            if (!block.is_last() || scales_.empty()) continue;
            if (!groups_.empty()) writer_.write(std::vector<uint8_t>(groups_));
            const auto* scales = reinterpret_cast<const uint8_t*>(scales_.data());
            writer_.write({scales, scales + scales_.size() * sizeof(float)});
        }
        progress_(writer_.finish());
    }

private:
    // Names to the disk what will be read next, some blocks of it.
    void look_ahead() {
        for (; next_ < blocks_.size() && elements_ahead_ < AHEAD_ELEMENTS; next_++) {
            const Block& block = blocks_[next_];
            const SourceTensor& source = *block.step->source;
            // Where rows of the source are not those of the target, all of it is little.
            const bool same = source.rows() == block.step->target.shape[0];
            block.step->checkpoint->expect_rows(source, same ? block.first : 0, same ? block.count : source.rows());
            elements_ahead_ += block.elements();
        }
    }

    // An exception must not leave a task of the pool: the first in order of the rows is thrown again here.
    void convert_block(const Block& block, uint8_t* out) {
        const int64_t first = block.first, count = block.count, width = block.width;
        const Step& step = *block.step;
        const int64_t part = std::clamp<int64_t>(PART_ELEMENTS / width, 1, count), parts = (count + part - 1) / part;
        if (first == 0) {
            scales_.resize(has_row_scale(step.dtype) ? static_cast<size_t>(step.target.shape[0]) : 0);
            groups_.resize(step.dtype == DType::I4 ? static_cast<size_t>(step.target.elements() / GROUP) : 0);
            feedback_ = feedback_of_ && has_row_scale(step.dtype) ? feedback_of_(step.target.name) : nullptr;
        }
        std::vector<std::exception_ptr> problems(static_cast<size_t>(parts));
        parallel(parts, [&](int64_t i, int) {
            try {
                const int64_t begin = i * part, rows = std::min(part, count - begin);
                float* values = scratch_floats(rows * width);
                RowReader(step, head_dim_).read(first + begin, rows, values);
                NarrowRows to = {out + packed_bytes(step.dtype, begin * width)};
                if (!scales_.empty()) to.scales = scales_.data() + first + begin;
                if (!groups_.empty()) to.groups = groups_.data() + (first + begin) * width / GROUP;
                narrow_rows(values, rows, width, step.dtype, to, step.source->name, step.source->file, feedback_.get());
            } catch (...) {
                problems[static_cast<size_t>(i)] = std::current_exception();
            }
        });
        for (const std::exception_ptr& problem : problems)
            if (problem) std::rethrow_exception(problem);
    }

    const int64_t head_dim_;
    const FeedbackOf& feedback_of_;
    const std::function<void(size_t)>& progress_;
    const std::vector<Block> blocks_;
    size_t next_ = 0;              // the first block that the disk does not know of
    int64_t elements_ahead_ = 0;   // of the blocks before it that are not converted
    std::vector<float> scales_;    // of the target's rows, where its type has them
    std::vector<uint8_t> groups_;  // of an int4 target
    std::shared_ptr<const Feedback> feedback_;
    BackgroundWriter writer_;
};

}  // namespace

void convert(const std::string& source, const std::string& output, const ConvertOptions& options,
             const std::function<void(size_t done, size_t total)>& progress) {
    const Plan plan = plan_conversion(source, options);
    if (options.note)
        for (const std::string& note : plan.notes) options.note(note);

    WeightsWriter writer(output, print_config(plan.config), plan.tokenizer_json);
    for (const Step& step : plan.steps) {
        if (step.dtype == DType::I4) {
            const int64_t rows = step.target.shape[0], cols = step.target.shape[1];
            writer.declare(step.target.name, DType::U8, {rows, cols / 2});
            writer.declare(step.target.name + GROUPS_SUFFIX, DType::U8, {rows, cols / GROUP});
        } else {
            writer.declare(step.target.name, step.dtype, step.target.shape);
        }
        if (has_row_scale(step.dtype))
            writer.declare(step.target.name + SCALES_SUFFIX, DType::F32, {step.target.shape[0]});
    }
    writer.begin();

    const size_t total = plan.bytes();
    size_t done = 0;
    const std::function<void(size_t)> written = [&](size_t bytes) {
        if (progress && bytes > done) progress(bytes, total);
        done = bytes;
    };
    Conversion(writer, plan, options.feedback, written).run();
    writer.commit();
}

}  // namespace leon
