// Reading and writing weight files; see weights_file.h and docs/weights_format.md.
//
//   | u64 header bytes | JSON header, padded with spaces | data: the tensors, back to back |
//
// The header is read by a SAX handler that accepts exactly the grammar of safetensors: an object of tensors, each
// {"dtype": string, "shape": [n...], "data_offsets": [begin, end]}, and "__metadata__", an object of strings. Nothing
// that the file declares is allocated or touched before it has been compared with the file's size.
#include "runtime/weights_file.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/strict_json.h"

namespace leon {
namespace {

using nlohmann::json;

constexpr size_t LENGTH_BYTES = 8;                  // the little-endian u64 in front of the header
constexpr uint64_t MAX_HEADER_BYTES = 100'000'000;  // the limit of the official library
constexpr size_t PAGE_BYTES = 4096;                 // leon: where the data starts
constexpr size_t ALIGNMENT = 64;                    // leon: of every tensor
constexpr int MAX_STORED_RANK = 16;
constexpr const char* FORMAT = "leon";
constexpr const char* VERSION = "1";

// Bytes per element of every dtype of safetensors that fills whole bytes; 0 for an unknown name.
size_t size_of_stored(const std::string& dtype) {
    static const std::map<std::string, size_t> SIZES = {
        {"BOOL", 1}, {"U8", 1},   {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2},
        {"F16", 2},  {"BF16", 2}, {"I32", 4}, {"U32", 4},     {"F32", 4},     {"I64", 8},     {"U64", 8}, {"F64", 8}};
    auto found = SIZES.find(dtype);
    return found == SIZES.end() ? 0 : found->second;
}

// Collects tensors and metadata from parser events. Returning false stops the parser; `problem` then says why.
// The names and results are those of nlohmann's SAX interface.
struct HeaderReader : json::json_sax_t {
    explicit HeaderReader(MemoryBudget& memory) : budget(memory) {}

    std::map<std::string, StoredTensor> tensors;
    std::map<std::string, std::string> metadata;
    std::string problem;

    bool start_object(size_t) override {
        switch (state) {
            case State::Before:
                return move_to(State::Names);
            case State::Entry:
                fields.clear();
                return move_to(entry == "__metadata__" ? State::Metadata : State::Fields);
            default:
                return unexpected("an object");
        }
    }
    bool end_object() override {
        if (state == State::Names) return move_to(State::After);
        if (state == State::Metadata) return move_to(State::Names);
        if (fields.size() != 3)
            return fail("tensor " + in_quotes(entry) + " lacks one of dtype, shape and data_offsets");
        return move_to(State::Names);
    }
    bool key(std::string& name) override {
        if (state == State::Names) {
            entry = name;
            budget.charge(2 * (NODE_BYTES + sizeof name) + sizeof(StoredTensor) + 3 * sizeof(StoredTensor*));
            budget.charge_text(name.size(), 3);
            if (!names.insert(name).second) return fail("duplicate tensor " + in_quotes(name));
            if (name != "__metadata__") tensors[name].name = name;
            return move_to(State::Entry);
        }
        if (state == State::Metadata) {
            budget.charge(2 * (NODE_BYTES + sizeof name) + sizeof name);
            budget.charge_text(name.size(), 2);
        }
        if (!fields.insert(name).second) return fail("duplicate key " + in_quotes(name) + " in " + in_quotes(entry));
        field = name;
        if (state == State::Metadata) return true;
        if (name != "dtype" && name != "shape" && name != "data_offsets")
            return fail("unknown key " + in_quotes(name) + " in tensor " + in_quotes(entry));
        return true;
    }
    bool string(std::string& text) override {
        if (state == State::Metadata) {
            budget.charge_text(text.size(), 1);
            metadata[field] = std::move(text);
            return true;
        }
        if (state != State::Fields || field != "dtype") return unexpected("a string");
        if (size_of_stored(text) == 0)
            return fail("tensor " + in_quotes(entry) + " has unknown dtype " + in_quotes(text));
        tensors[entry].dtype = std::move(text);
        return true;
    }
    bool start_array(size_t) override {
        if (state != State::Fields || field == "dtype") return unexpected("an array");
        if (field == "shape") return move_to(State::Shape);
        offsets.clear();
        return move_to(State::Offsets);
    }
    bool end_array() override {
        if (state == State::Offsets) {
            if (offsets.size() != 2) return fail("tensor " + in_quotes(entry) + " has not two data_offsets");
            if (offsets[0] > offsets[1]) return fail("tensor " + in_quotes(entry) + " ends before it begins");
            tensors[entry].offset = offsets[0];
            tensors[entry].bytes = offsets[1] - offsets[0];
        }
        return move_to(State::Fields);
    }
    bool number_unsigned(json::number_unsigned_t value) override {
        if (state == State::Offsets) {
            if (offsets.size() == 2) return fail("tensor " + in_quotes(entry) + " has not two data_offsets");
            offsets.push_back(value);
            return true;
        }
        if (state != State::Shape) return unexpected("a number");
        if (value > INT64_MAX) return fail("tensor " + in_quotes(entry) + " has a dimension beyond 2^63");
        std::vector<int64_t>& shape = tensors[entry].shape;
        budget.charge(3 * sizeof(int64_t) + BLOCK_BYTES);
        if (shape.size() == MAX_STORED_RANK) return fail("tensor " + in_quotes(entry) + " has too many dimensions");
        shape.push_back(static_cast<int64_t>(value));
        return true;
    }
    bool number_integer(json::number_integer_t) override { return unexpected("a negative number"); }
    bool number_float(json::number_float_t, const std::string&) override {
        return unexpected("a number that is not a 64-bit integer");
    }
    bool null() override { return unexpected("null"); }
    bool boolean(bool) override { return unexpected("a boolean"); }
    bool binary(json::binary_t&) override { return unexpected("binary data"); }
    bool parse_error(size_t, const std::string&, const json::exception& error) override {
        return fail("the header is not valid JSON: " + json_problem(error));
    }

private:
    enum class State { Before, Names, Entry, Fields, Shape, Offsets, Metadata, After };
    MemoryBudget& budget;
    State state = State::Before;
    std::string entry, field;             // the tensor and the key being read
    std::set<std::string> names, fields;  // seen so far: of the header, of the current entry
    std::vector<uint64_t> offsets;

    bool move_to(State next) {
        state = next;
        return true;
    }
    bool fail(const std::string& what) {
        problem = what;
        return false;
    }
    bool unexpected(const char* what) {
        return fail(entry.empty() ? std::string("the header holds ") + what + " where an object of tensors belongs"
                                  : "unexpected " + std::string(what) + " in " + in_quotes(entry));
    }
};

// Bytes that dtype and shape ask for; false if they exceed 64 bits.
bool bytes_of(const StoredTensor& tensor, size_t& bytes) {
    bytes = size_of_stored(tensor.dtype);
    for (int64_t d : tensor.shape)
        if (__builtin_mul_overflow(bytes, static_cast<size_t>(d), &bytes)) return false;
    return true;
}

// Sizes agree with shapes, and the tensors cover the data exactly: no overlap, no gap, nothing left over.
// Makes the offsets absolute.
void check_tiling(std::map<std::string, StoredTensor>& tensors, size_t data_offset, size_t file_bytes,
                  const std::string& path) {
    std::vector<StoredTensor*> order;
    for (auto& [name, tensor] : tensors) {
        size_t bytes = 0;
        if (!bytes_of(tensor, bytes)) throw Error("the shape of tensor " + in_quotes(name) + " overflows", path);
        if (bytes != tensor.bytes)
            throw Error("tensor " + in_quotes(name) + " needs " + std::to_string(bytes) +
                            " bytes for its shape, but has " + std::to_string(tensor.bytes),
                        path);
        order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
        return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
    });
    const size_t data_bytes = file_bytes - data_offset;
    size_t next = 0;
    for (StoredTensor* tensor : order) {
        if (tensor->offset != next)
            throw Error("tensor " + in_quotes(tensor->name) +
                            (tensor->offset < next ? " overlaps the one before it" : " leaves a gap before it"),
                        path);
        if (tensor->bytes > data_bytes - next)
            throw Error("tensor " + in_quotes(tensor->name) + " reaches past the end of the file", path,
                        "the file may be incomplete");
        next += tensor->bytes;
        tensor->offset += data_offset;
    }
    if (next != data_bytes)
        throw Error(std::to_string(data_bytes - next) + " bytes after the last tensor belong to nothing", path);
}

bool is_padding(const std::string& name) {
    return name.compare(0, std::string(PADDING_PREFIX).size(), PADDING_PREFIX) == 0;
}

}  // namespace

void check_alignment(const SafetensorsFile& file) {
    if (file.data_offset() % PAGE_BYTES != 0) throw Error("its data does not start on a page boundary", file.path());
    for (const auto& [name, tensor] : file.tensors()) {
        if (is_padding(name)) continue;
        if (tensor.offset % ALIGNMENT != 0)
            throw Error("tensor " + in_quotes(name) + " does not start at a multiple of 64 bytes", file.path());
    }
}

std::string in_quotes(const std::string& name) {
    constexpr size_t LONGEST = 120;
    std::string text = name.substr(0, LONGEST);
    for (char& c : text)
        if (c < 0x20 || c > 0x7e) c = '?';
    return "'" + text + (name.size() > LONGEST ? "...'" : "'");
}

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
    const uint8_t* start = file_.bytes().data();
    const size_t file_bytes = file_.bytes().size();
    if (file_bytes < LENGTH_BYTES) throw Error("too short for a safetensors file", path);
    uint64_t header_bytes = 0;
    for (size_t i = 0; i < LENGTH_BYTES; i++) header_bytes |= static_cast<uint64_t>(start[i]) << (8 * i);
    if (header_bytes > file_bytes - LENGTH_BYTES)
        throw Error("the header would be " + std::to_string(header_bytes) + " bytes long, but the file has " +
                        std::to_string(file_bytes),
                    path, "it is not a safetensors file or incomplete");
    if (header_bytes > MAX_HEADER_BYTES) throw Error("the header is longer than 100 MB", path);
    data_offset_ = LENGTH_BYTES + header_bytes;

    MemoryBudget budget(file_bytes + SPARE_MEMORY_BYTES, path);
    HeaderReader reader(budget);
    const char* header = reinterpret_cast<const char*>(start + LENGTH_BYTES);
    charge_json_parser({header, header_bytes}, budget);
    if (!json::sax_parse(header, header + header_bytes, &reader)) throw Error(reader.problem, path);
    check_tiling(reader.tensors, data_offset_, file_bytes, path);
    tensors_ = std::move(reader.tensors);
    metadata_ = std::move(reader.metadata);
}

std::vector<const StoredTensor*> SafetensorsFile::in_file_order() const {
    std::vector<const StoredTensor*> tensors;
    for (const auto& [name, tensor] : tensors_)
        if (!is_padding(name)) tensors.push_back(&tensor);
    std::sort(tensors.begin(), tensors.end(),
              [](const StoredTensor* a, const StoredTensor* b) { return a->offset < b->offset; });
    return tensors;
}

const StoredTensor* SafetensorsFile::find(const std::string& name) const {
    auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
}

WeightsFile::WeightsFile(const std::string& path) : file_(path) {
    const std::map<std::string, std::string>& metadata = file_.metadata();
    auto format = metadata.find("format");
    if (format == metadata.end() || format->second != FORMAT)
        throw Error("a safetensors file, but not one of leon's", path, "make one with `leon convert`");
    auto version = metadata.find("leon.version");
    if (version == metadata.end() || version->second != VERSION)
        throw Error("has format version " + (version == metadata.end() ? "none" : in_quotes(version->second)) +
                        ", but this leon reads version " + VERSION,
                    path, "convert the model again");
    if (metadata.count("leon.config") == 0) throw Error("lacks the metadata 'leon.config'", path);
    for (const auto& [key, value] : metadata)
        if (key != "format" && key != "leon.version" && key != "leon.config" && key != "leon.tokenizer")
            throw Error("has unknown metadata " + in_quotes(key), path);
    check_alignment(file_);
}

const std::string& WeightsFile::config_json() const {
    return file_.metadata().at("leon.config");
}

const std::string& WeightsFile::tokenizer_json() const {
    static const std::string NONE;
    auto found = file_.metadata().find("leon.tokenizer");
    return found == file_.metadata().end() ? NONE : found->second;
}

bool WeightsFile::has_prefix(const std::string& prefix) const {
    auto found = file_.tensors().lower_bound(prefix);
    return found != file_.tensors().end() && found->first.compare(0, prefix.size(), prefix) == 0;
}

const StoredTensor& WeightsFile::stored(const std::string& name, std::initializer_list<int64_t> shape,
                                        std::initializer_list<DType> types) const {
    const StoredTensor* found = file_.find(name);
    std::string expected;
    bool is_known = false;
    for (DType type : types) {
        if (!expected.empty()) expected += type == *(types.end() - 1) ? " or " : ", ";
        expected += name_of(type);
        is_known |= found && found->dtype == name_of(type);
    }
    expected += " " + shape_text(shape);
    if (!found) throw Error("tensor " + in_quotes(name) + " is missing; expected " + expected, path());
    if (!is_known || !std::equal(found->shape.begin(), found->shape.end(), shape.begin(), shape.end()))
        throw Error("tensor " + in_quotes(name) + " is " + found->dtype + " " + shape_text(found->shape) +
                        ", but the configuration expects " + expected,
                    path());
    return *found;
}

// The mapping is read-only; kernels take weights as Tensor and never write to them.
Tensor WeightsFile::matrix(const std::string& name, std::initializer_list<int64_t> shape) const {
    if (shape.size() == 2)
        if (const StoredTensor* found = file_.find(name); found && found->dtype == name_of(DType::U8))
            return four_bit_matrix(name, *shape.begin(), *(shape.begin() + 1));
    const StoredTensor& tensor = shape.size() == 2
                                     ? stored(name, shape, {DType::F32, DType::BF16, DType::F16, DType::I8, DType::F8})
                                     : stored(name, shape, {DType::F32, DType::BF16, DType::F16});
    Tensor matrix(const_cast<uint8_t*>(file_.data(tensor)), DType::F32, shape);
    for (DType type : {DType::BF16, DType::F16, DType::I8, DType::F8})
        if (tensor.dtype == name_of(type)) matrix.dtype = type;
    if (has_row_scale(matrix.dtype)) matrix.scale = vector(name + SCALES_SUFFIX, {*shape.begin()}).f32();
    return matrix;
}

Tensor WeightsFile::four_bit_matrix(const std::string& name, int64_t rows, int64_t cols) const {
    if (cols % GROUP != 0)
        throw Error("tensor " + in_quotes(name) + " is int4, but its rows of " + std::to_string(cols) +
                        " are not whole groups of " + std::to_string(GROUP),
                    path());
    Tensor matrix(const_cast<uint8_t*>(file_.data(stored(name, {rows, cols / 2}, {DType::U8}))), DType::I4,
                  {rows, cols});
    matrix.groups = file_.data(stored(name + GROUPS_SUFFIX, {rows, cols / GROUP}, {DType::U8}));
    matrix.scale = vector(name + SCALES_SUFFIX, {rows}).f32();
    return matrix;
}

Tensor WeightsFile::vector(const std::string& name, std::initializer_list<int64_t> shape) const {
    return Tensor(const_cast<uint8_t*>(file_.data(stored(name, shape, {DType::F32}))), DType::F32, shape);
}

WeightsWriter::WeightsWriter(const std::string& path, std::string config_json, std::string tokenizer_json)
    : WeightsWriter(path, Metadata{{"format", FORMAT}, {"leon.version", VERSION}}) {
    metadata_.emplace_back("leon.config", std::move(config_json));
    if (!tokenizer_json.empty()) metadata_.emplace_back("leon.tokenizer", std::move(tokenizer_json));
}

WeightsWriter::WeightsWriter(const std::string& path, Metadata metadata)
    : path_(path), file_(path), metadata_(std::move(metadata)) {}

void WeightsWriter::declare(const std::string& name, DType dtype, std::vector<int64_t> shape) {
    CHECK(!begun_ && !is_padding(name));
    for (char c : name) CHECK(std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_');
    size_t bytes = size_of(dtype);
    for (int64_t d : shape) CHECK(d > 0 && !__builtin_mul_overflow(bytes, static_cast<size_t>(d), &bytes));
    size_t padding = entries_.empty() ? 0 : (ALIGNMENT - entries_.back().bytes % ALIGNMENT) % ALIGNMENT;
    entries_.push_back({name, dtype, std::move(shape), bytes, padding});
}

void WeightsWriter::begin() {
    CHECK(!begun_);
    begun_ = true;
    nlohmann::ordered_json metadata;
    for (const auto& [key, value] : metadata_) metadata[key] = value;
    std::string text = "{\"__metadata__\":";
    try {
        text += metadata.dump();
    } catch (const nlohmann::json::exception& problem) {
        throw Error("metadata: " + json_problem(problem), path_);
    }
    std::set<std::string> names;
    size_t offset = 0;
    int paddings = 0;
    auto add = [&](const std::string& name, const char* dtype, const std::vector<int64_t>& shape, size_t bytes) {
        CHECK(names.insert(name).second);
        text += ",\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape_text(shape) +
                ",\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + bytes) + "]}";
        offset += bytes;
    };
    for (const Entry& entry : entries_) {
        if (const size_t padding = entry.padding_before)
            add(PADDING_PREFIX + std::to_string(paddings++), "U8", {static_cast<int64_t>(padding)}, padding);
        add(entry.name, name_of(entry.dtype), entry.shape, entry.bytes);
    }
    text += "}";
    text.append((PAGE_BYTES - (LENGTH_BYTES + text.size()) % PAGE_BYTES) % PAGE_BYTES, ' ');
    if (text.size() > MAX_HEADER_BYTES) throw Error("configuration and tokenizer need more than 100 MB", path_);
    uint8_t length[LENGTH_BYTES];
    for (size_t i = 0; i < LENGTH_BYTES; i++) length[i] = static_cast<uint8_t>(text.size() >> (8 * i));
    file_.write(length, LENGTH_BYTES);
    file_.write(text);
}

void WeightsWriter::write(const std::string& name, const void* data) {
    CHECK(begun_ && current_ < entries_.size() && written_ == 0 && entries_[current_].name == name);
    write_part(data, entries_[current_].bytes);
}

void WeightsWriter::write_part(const void* data, size_t bytes) {
    CHECK(begun_ && current_ < entries_.size() && bytes <= entries_[current_].bytes - written_);
    static constexpr uint8_t ZEROS[ALIGNMENT] = {};
    if (written_ == 0) file_.write(ZEROS, entries_[current_].padding_before);
    file_.write(data, bytes);
    written_ += bytes;
    if (written_ < entries_[current_].bytes) return;
    current_++;
    written_ = 0;
}

void WeightsWriter::commit() {
    CHECK(begun_ && current_ == entries_.size());
    file_.commit();
}

}  // namespace leon
