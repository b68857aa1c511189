// Reading and writing the VQGAN of leon files; see model_file.h.
#include "training/vqgan/model_file.h"

#include <algorithm>
#include <map>

namespace leon {
namespace {

std::vector<float> floats_of(const WeightsFile& file, const std::string& name, const Tensor& t) {
    if (t.dtype != DType::F32 && t.dtype != DType::BF16)
        throw Error("tensor " + in_quotes(name) + " has dtype " + name_of(t.dtype), file.path(),
                    "training goes on from F32 and BF16");
    std::vector<float> values(static_cast<size_t>(t.elements()));
    for (int64_t i = 0; i < t.elements(); i++)
        values[static_cast<size_t>(i)] =
            t.dtype == DType::F32 ? t.f32()[i] : bf16_to_float(static_cast<const uint16_t*>(t.data)[i]);
    return values;
}

}  // namespace

StoredVqgan read_vqgan(const WeightsFile& file, const VqganNetwork& network) {
    StoredVqgan stored;
    for (const VqganParameter& p : network.layout()) {
        const std::string name = "vqgan." + p.name;
        const std::vector<int64_t>& s = p.shape;
        const std::vector<float> values = floats_of(
            file, name, p.is_matrix ? file.matrix(name, {s[0], s[1], s[2], s[3]}) : file.vector(name, {s[0]}));
        stored.values.insert(stored.values.end(), values.begin(), values.end());
    }
    const VqganConfig& c = network.config();
    stored.codebook = floats_of(file, "vqgan.codebook", file.vector("vqgan.codebook", {c.codes, c.code_dim}));
    return stored;
}

// The file `from` with another VQGAN in it, of the same types.
void write_model(const std::string& path, const WeightsFile& from, const VqganNetwork& network,
                 std::span<const float> values, std::span<const float> codebook) {
    std::map<std::string, std::span<const float>> fresh = {{"vqgan.codebook", codebook}};
    for (const VqganParameter& p : network.layout())
        fresh["vqgan." + p.name] = values.subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.count));
    const std::vector<const StoredTensor*> tensors = from.file().in_file_order();
    WeightsWriter writer(path, from.config_json(), from.tokenizer_json());
    auto dtype_of = [&](const StoredTensor& t) {
        for (DType type : {DType::F32, DType::BF16, DType::F16, DType::I32, DType::U8, DType::I8})
            if (t.dtype == name_of(type)) return type;
        throw Error("holds " + in_quotes(t.name) + " of the unknown type " + in_quotes(t.dtype), from.path());
    };
    for (const StoredTensor* t : tensors) writer.declare(t->name, dtype_of(*t), t->shape);
    writer.begin();
    for (const StoredTensor* t : tensors) {
        const auto found = fresh.find(t->name);
        if (found == fresh.end()) {
            writer.write(t->name, from.file().data(*t));
        } else if (t->dtype == "BF16") {
            std::vector<uint16_t> halves(found->second.size());
            std::transform(found->second.begin(), found->second.end(), halves.begin(), float_to_bf16);
            writer.write(t->name, halves.data());
        } else {
            writer.write(t->name, found->second.data());
        }
    }
    writer.commit();
}

}  // namespace leon
