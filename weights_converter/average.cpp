// See average.h.
#include "weights_converter/average.h"

#include <vector>

#include "runtime/weights_file.h"
#include "weights_converter/checkpoint.h"
#include "weights_converter/narrow.h"

namespace leon {
namespace {

DType type_of(const StoredTensor& tensor, const std::string& path) {
    for (const DType type : {DType::F32, DType::BF16, DType::F16})
        if (tensor.dtype == name_of(type)) return type;
    throw Error("tensor " + in_quotes(tensor.name) + " has dtype " + tensor.dtype, path,
                "only models of f32, bf16 and f16 can be averaged");
}

}  // namespace

void average(const std::string& a, const std::string& b, double share, const std::string& output) {
    const WeightsFile of_a(a), of_b(b);
    const std::vector<const StoredTensor*> tensors = of_b.file().in_file_order();
    if (of_a.file().in_file_order().size() != tensors.size())
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
        const StoredTensor& other = *of_a.file().find(tensor->name);
        const DType type = type_of(*tensor, b);
        const size_t elements = tensor->bytes / size_of(type);
        std::vector<float> from(elements), to(elements);
        widen({other.name, other.dtype, other.shape, a}, of_a.file().data(other), elements, from.data());
        widen({tensor->name, tensor->dtype, tensor->shape, b}, of_b.file().data(*tensor), elements, to.data());
        for (size_t i = 0; i < elements; i++)
            if (from[i] != to[i]) to[i] = of_a_share * from[i] + of_b_share * to[i];
        std::vector<uint8_t> mixed(tensor->bytes);
        narrow_rows(to.data(), 1, static_cast<int64_t>(elements), type, {mixed.data()}, tensor->name, b);
        writer.write(tensor->name, mixed.data());
    }
    writer.commit();
}

}  // namespace leon
