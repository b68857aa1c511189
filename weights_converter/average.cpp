// See average.h.
#include "weights_converter/average.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/weights_file.h"

namespace leon {
namespace {

DType type_of(const StoredTensor& tensor, const std::string& path) {
    for (const DType type : {DType::F32, DType::BF16, DType::F16})
        if (tensor.dtype == name_of(type)) return type;
    throw Error("tensor " + in_quotes(tensor.name) + " has dtype " + tensor.dtype, path,
                "only models of f32, bf16 and f16 can be averaged");
}

float value_at(const uint8_t* data, DType type, size_t i) {
    float value;
    uint16_t half;
    if (type == DType::F32) {
        std::memcpy(&value, data + i * sizeof value, sizeof value);
        return value;
    }
    std::memcpy(&half, data + i * sizeof half, sizeof half);
    return type == DType::BF16 ? bf16_to_float(half) : f16_to_float(half);
}

void set_value(uint8_t* data, DType type, size_t i, float value) {
    if (type == DType::F32) {
        std::memcpy(data + i * sizeof value, &value, sizeof value);
        return;
    }
    const uint16_t half = type == DType::BF16 ? float_to_bf16(value) : float_to_f16(value);
    std::memcpy(data + i * sizeof half, &half, sizeof half);
}

// Those of a file, in its order.
std::vector<const StoredTensor*> in_order(const SafetensorsFile& file) {
    std::vector<const StoredTensor*> tensors;
    for (const auto& [name, tensor] : file.tensors())
        if (!name.starts_with(PADDING_PREFIX)) tensors.push_back(&tensor);
    std::sort(tensors.begin(), tensors.end(), [](auto* x, auto* y) { return x->offset < y->offset; });
    return tensors;
}

}  // namespace

void average(const std::string& a, const std::string& b, double share, const std::string& output) {
    const WeightsFile of_a(a), of_b(b);
    const std::vector<const StoredTensor*> tensors = in_order(of_b.file());
    if (in_order(of_a.file()).size() != tensors.size())
        throw Error("has another number of tensors than " + in_quotes(a), b, "average models of one shape");
    WeightsWriter writer(output, of_b.config_json(), of_b.tokenizer_json());
    for (const StoredTensor* tensor : tensors) {
        const StoredTensor* other = of_a.file().find(tensor->name);
        if (!other || other->shape != tensor->shape || other->dtype != tensor->dtype)
            throw Error("tensor " + in_quotes(tensor->name) + " is not the same in " + in_quotes(a) +
                            " by name, shape and type",
                        b, "average models of one shape");
        writer.declare(tensor->name, type_of(*tensor, b), tensor->shape);
    }
    writer.begin();
    const float of_a_share = static_cast<float>(1 - share), of_b_share = static_cast<float>(share);
    for (const StoredTensor* tensor : tensors) {
        const DType type = type_of(*tensor, b);
        const uint8_t* x = of_a.file().data(*of_a.file().find(tensor->name));
        const uint8_t* y = of_b.file().data(*tensor);
        std::vector<uint8_t> mixed(y, y + tensor->bytes);
        for (size_t i = 0; i < tensor->bytes / size_of(type); i++) {
            const float from = value_at(x, type, i), to = value_at(y, type, i);
            if (from != to) set_value(mixed.data(), type, i, of_a_share * from + of_b_share * to);
        }
        writer.write(tensor->name, mixed.data());
    }
    writer.commit();
}

}  // namespace leon
