// From the pickle's values to tensors; see torch_file.h.
//
//   zip      | NAME/data.pkl | NAME/byteorder | NAME/data/KEY ... |
//   stream   | pickle: magic number | pickle: 1001 | pickle: facts of the machine | pickle: the object
//            | pickle: list of the keys | for each key: u64 elements, the elements |
//
// In both, the object's pickle names a storage by a persistent id, ("storage", class, key, device, elements), and a
// tensor is a call of one of torch._utils' functions with a storage, an offset, a shape and strides.
// Sources: torch/serialization.py, torch/_utils.py.
#include "weights_converter/torch_file.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <unordered_map>

#include "runtime/memory_budget.h"
#include "runtime/weights_file.h"
#include "weights_converter/pickle.h"
#include "weights_converter/zip_archive.h"

namespace leon {
namespace {

constexpr size_t SPARE_BYTES = size_t{16} << 20;  // of memory, beyond the size of the file
constexpr size_t MAX_DIMENSIONS = 16, MAX_DEPTH = 16, MAX_NAME_BYTES = 1024, MAX_KEY_BYTES = 256, MAX_SKIPPED = 16;
constexpr size_t MAP_ENTRY_BYTES = 96;  // what an entry of a std::map or unordered_map takes, beside long keys
// torch's magic number 0x1950a86a20f9469cfc6c as the bytes of a LONG1, and the version that follows.
constexpr std::string_view MAGIC("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr int64_t STREAM_VERSION = 1001;

struct ElementType {
    const char* storage;  // torch's class, in module "torch"; null if there is none
    const char* dtype;    // torch's dtype
    const char* name;     // in safetensors
    size_t bytes;
};
constexpr ElementType ELEMENT_TYPES[] = {
    {"FloatStorage", "float32", "F32", 4},
    {"HalfStorage", "float16", "F16", 2},
    {"BFloat16Storage", "bfloat16", "BF16", 2},
    {"DoubleStorage", "float64", "F64", 8},
    {"LongStorage", "int64", "I64", 8},
    {"IntStorage", "int32", "I32", 4},
    {"ShortStorage", "int16", "I16", 2},
    {"CharStorage", "int8", "I8", 1},
    {"ByteStorage", "uint8", "U8", 1},
    {"BoolStorage", "bool", "BOOL", 1},
    {nullptr, "uint16", "U16", 2},
    {nullptr, "uint32", "U32", 4},
    {nullptr, "uint64", "U64", 8},
    {nullptr, "float8_e4m3fn", "F8_E4M3", 1},
    {nullptr, "float8_e5m2", "F8_E5M2", 1},
};
constexpr const ElementType& UNTYPED = ELEMENT_TYPES[8];

// A block of elements that tensors are views of.
struct Storage {
    const ElementType* type;
    std::string_view key;
    int64_t elements;
    std::span<const uint8_t> bytes;
};

std::string shown(std::string_view text) {
    return in_quotes(std::string(text.substr(0, 200)));
}

bool begins_with(std::span<const uint8_t> bytes, std::string_view start) {
    return bytes.size() >= start.size() && std::memcmp(bytes.data(), start.data(), start.size()) == 0;
}

}  // namespace

class TorchReader {
public:
    explicit TorchReader(TorchFile& file)
        : file_(file),
          bytes_(file.file_.bytes()),
          path_(file.file_.path()),
          budget_(bytes_.size() + SPARE_BYTES, path_) {}

    void read() {
        if (!begins_like_torch(bytes_))
            throw Error("is neither a zip archive nor a stream as torch.save writes them", path_);
        file_.is_zip_ = begins_with(bytes_, "PK");
        if (file_.is_zip_) {
            read_zip();
        } else {
            read_stream();
        }
        refuse_programs();
        if (!is_dictionary(pickle_->root())) fail_without_dictionary();
        walk();
        if (file_.tensors_.empty()) throw Error("holds no tensors in dictionaries", path_);
        sort_by_name();
    }

private:
    TorchFile& file_;
    const std::span<const uint8_t> bytes_;
    const std::string& path_;
    MemoryBudget budget_;
    std::optional<Pickle> pickle_;
    std::vector<Storage> storages_;                        // in order of appearance
    std::map<std::string_view, size_t> storage_by_key_;    // -> storages_
    std::unordered_map<PickleRef, size_t> storage_by_id_;  // a Persistent -> storages_

    // --- the zip archive ---

    void read_zip() {
        const ZipArchive archive(file_.file_);
        budget_.charge(archive.members().capacity() * sizeof(ZipMember));
        const std::string folder = find_folder(archive);
        const ZipMember& object = *archive.find(folder + "data.pkl");
        if (crc32(object.bytes) != object.crc)
            throw Error("the checksum of member " + shown(object.name) + " is wrong", path_, "the file is damaged");
        if (const ZipMember* order = archive.find(folder + "byteorder"); order && !begins_with(order->bytes, "little"))
            throw Error("was written by a big-endian machine", path_, "load and save it on a little-endian one");
        pickle_.emplace(object.bytes, 0, budget_, path_);
        list_storages();
        for (Storage& storage : storages_) {
            const ZipMember* member = archive.find(folder + "data/" + std::string(storage.key));
            if (!member) throw Error("storage " + shown(storage.key) + " is not in the archive", path_);
            if (member->bytes.size() != bytes_of(storage))
                throw Error("storage " + shown(storage.key) + " should have " + std::to_string(bytes_of(storage)) +
                                " bytes, but has " + std::to_string(member->bytes.size()),
                            path_);
            storage.bytes = member->bytes;
        }
    }

    // Everything lies in one folder, whose name is the writer's choice.
    std::string find_folder(const ZipArchive& archive) const {
        const ZipMember* object = nullptr;
        for (const ZipMember& member : archive.members()) {
            const size_t slash = member.name.find('/');
            if (slash == std::string_view::npos || slash > MAX_NAME_BYTES) continue;
            const std::string_view rest = member.name.substr(slash + 1);
            if (rest == "constants.pkl")
                throw Error("is a TorchScript archive", path_, "save the state_dict() of the module instead");
            if (rest != "data.pkl") continue;
            if (object) throw Error("holds two objects", path_);
            object = &member;
        }
        if (!object) throw Error("is a zip archive without a data.pkl", path_, "torch.save did not write it");
        return std::string(object->name.substr(0, object->name.find('/') + 1));
    }

    // --- the stream ---

    void read_stream() {
        const Pickle magic(bytes_, 0, budget_, path_);
        if (!magic.is(magic.root(), PickleKind::LongInt) || magic.text(magic.root()) != MAGIC)
            throw Error("is a pickle, but not one of torch.save", path_);
        const Pickle version(bytes_, magic.end(), budget_, path_);
        if (!version.is(version.root(), PickleKind::Int) || version.integer(version.root()) != STREAM_VERSION)
            throw Error("is of an unknown version of torch.save", path_);
        const Pickle machine(bytes_, version.end(), budget_, path_);
        check_little_endian(machine);
        pickle_.emplace(bytes_, machine.end(), budget_, path_);
        list_storages();
        const Pickle keys(bytes_, pickle_->end(), budget_, path_);
        read_storages(keys);
    }

    void check_little_endian(const Pickle& machine) const {
        bool little = false;
        if (machine.is(machine.root(), PickleKind::Dict))
            for (uint32_t i = machine.first_item(machine.root()); i != PICKLE_NOTHING; i = machine.item(i).next) {
                const PickleItem& item = machine.item(i);
                if (machine.is(item.key, PickleKind::Text) && machine.text(item.key) == "little_endian")
                    little = machine.is(item.value, PickleKind::Bool) && machine.integer(item.value) == 1;
            }
        if (!little)
            throw Error("was not written by a little-endian machine", path_, "load and save it on a little-endian one");
    }

    void read_storages(const Pickle& keys) {
        if (!keys.is(keys.root(), PickleKind::List)) throw Error("lacks the list of its storages", path_);
        size_t at = keys.end();
        for (uint32_t i = keys.first_item(keys.root()); i != PICKLE_NOTHING; i = keys.item(i).next) {
            const PickleRef key = keys.item(i).value;
            const bool known = keys.is(key, PickleKind::Text) && storage_by_key_.count(keys.text(key));
            if (!known) throw Error("holds a storage that belongs to nothing", path_);
            Storage& storage = storages_[storage_by_key_.at(keys.text(key))];
            if (storage.bytes.data()) throw Error("holds storage " + shown(storage.key) + " twice", path_);
            uint64_t elements = 0;
            if (bytes_.size() - at >= sizeof elements) std::memcpy(&elements, &bytes_[at], sizeof elements);
            if (bytes_.size() - at < sizeof elements || elements != static_cast<uint64_t>(storage.elements) ||
                bytes_of(storage) > bytes_.size() - at - sizeof elements)
                throw Error("storage " + shown(storage.key) + " is cut short or of another size than promised", path_);
            at += sizeof elements;
            storage.bytes = bytes_.subspan(at, bytes_of(storage));
            at += bytes_of(storage);
        }
        for (const Storage& storage : storages_)
            if (!storage.bytes.data()) throw Error("storage " + shown(storage.key) + " is missing", path_);
    }

    // --- storages ---

    static size_t bytes_of(const Storage& storage) {
        return static_cast<size_t>(storage.elements) * storage.type->bytes;
    }

    void list_storages() {
        for (PickleRef value = 0; value < pickle_->values(); value++)
            if (pickle_->is(value, PickleKind::Persistent)) add_storage(value);
    }

    void add_storage(PickleRef persistent) {
        const Pickle& p = *pickle_;
        const PickleRef id = p.id(persistent);
        const std::vector<PickleRef> parts = p.is(id, PickleKind::Tuple) ? p.items(id, 7) : std::vector<PickleRef>();
        const bool sound = (parts.size() == 5 || parts.size() == 6) && p.is(parts[0], PickleKind::Text) &&
                           p.text(parts[0]) == "storage" && p.is(parts[1], PickleKind::Global) &&
                           p.is(parts[2], PickleKind::Text) && p.text(parts[2]).size() <= MAX_KEY_BYTES &&
                           p.is(parts[4], PickleKind::Int);
        if (!sound) throw Error("holds a malformed reference to a storage", path_);
        if (parts.size() == 6 && !p.is(parts[5], PickleKind::None))
            throw Error("storage " + shown(p.text(parts[2])) + " is a view of another one", path_,
                        "load and save it with a newer version of torch");
        Storage storage = {storage_type(parts[1]), p.text(parts[2]), p.integer(parts[4]), {}};
        if (storage.elements < 0 || static_cast<size_t>(storage.elements) > bytes_.size() / storage.type->bytes)
            throw Error("storage " + shown(storage.key) + " would have " + std::to_string(storage.elements) +
                            " elements, more than the file",
                        path_);
        budget_.charge(2 * MAP_ENTRY_BYTES);
        const auto [known, is_new] = storage_by_key_.insert({storage.key, storages_.size()});
        if (is_new) {
            budget_.push(storages_, storage);
        } else {
            const Storage& before = storages_[known->second];
            if (before.type != storage.type || before.elements != storage.elements)
                throw Error("storage " + shown(storage.key) + " is described in two ways", path_);
        }
        storage_by_id_[persistent] = known->second;
    }

    const ElementType* storage_type(PickleRef type) const {
        const Pickle& p = *pickle_;
        if (p.is_global(type, "torch.storage", "UntypedStorage") || p.is_global(type, "torch", "UntypedStorage"))
            return &UNTYPED;
        for (const ElementType& known : ELEMENT_TYPES)
            if (known.storage && p.is_global(type, "torch", known.storage)) return &known;
        throw Error("holds a storage of the unknown class " + class_name(type), path_);
    }

    std::string class_name(PickleRef global) const {
        const auto part = [](std::string_view text) { return std::string(text.substr(0, 100)); };
        return in_quotes(part(pickle_->module(global)) + "." + part(pickle_->name(global)));
    }

    // Classes of any program may stand in a checkpoint, and are passed over. What only an attack has a use for is not.
    void refuse_programs() const {
        constexpr std::string_view MODULES[] = {"os",        "posix",   "nt",         "subprocess", "sys",
                                                "shutil",    "socket",  "runpy",      "pty",        "ctypes",
                                                "importlib", "marshal", "pickle",     "code",       "commands",
                                                "signal",    "pip",     "webbrowser", "urllib",     "requests"};
        constexpr std::string_view FUNCTIONS[] = {"exec", "eval", "compile", "open", "execfile", "__import__", "input"};
        const auto among = [](auto& list, std::string_view text) {
            return std::find(std::begin(list), std::end(list), text) != std::end(list);
        };
        for (PickleRef value = 0; value < pickle_->values(); value++) {
            if (!pickle_->is(value, PickleKind::Global)) continue;
            const std::string_view module = pickle_->module(value);
            const bool builtin = module == "builtins" || module == "__builtin__";
            if (among(MODULES, module.substr(0, module.find('.'))) ||
                (builtin && among(FUNCTIONS, pickle_->name(value))))
                throw Error("names " + class_name(value) + ", which belongs to no checkpoint; nothing was run", path_,
                            "do not load it with torch either");
        }
    }

    // --- dictionaries ---

    bool is_dictionary(PickleRef value) const {
        const Pickle& p = *pickle_;
        if (p.is(value, PickleKind::Dict)) return true;
        return p.is(value, PickleKind::Object) && (p.is_global(p.callee(value), "collections", "OrderedDict") ||
                                                   p.is_global(p.callee(value), "collections", "defaultdict"));
    }

    // Python 2 hands an OrderedDict its items when it makes it; Python 3 puts them in later, as into any dictionary.
    void check_is_empty_when_made(PickleRef dictionary) const {
        const Pickle& p = *pickle_;
        if (p.is(dictionary, PickleKind::Object) && p.name(p.callee(dictionary)) == "OrderedDict" &&
            p.first_item(p.arguments(dictionary)) != PICKLE_NOTHING)
            throw Error("was written by Python 2", path_, "load and save it with Python 3");
    }

    [[noreturn]] void fail_without_dictionary() const {
        const PickleRef root = pickle_->root();
        std::string what = "holds something that is not a dictionary of tensors";
        if (pickle_->is(root, PickleKind::Object) && pickle_->is(pickle_->callee(root), PickleKind::Global))
            what = "holds an object of class " + class_name(pickle_->callee(root));
        throw Error(what, path_, "save the state_dict() of the model instead");
    }

    // Visits every dictionary once, under the first name that leads to it, in the order of the file.
    void walk() {
        struct Level {
            uint32_t next_item;
            size_t name_bytes;
        };
        std::vector<Level> levels;
        std::string name;
        budget_.charge(pickle_->values() / 8 + 1);
        std::vector<bool> visited(pickle_->values());
        const auto enter = [&](PickleRef dictionary) {
            if (visited[dictionary]) return;
            visited[dictionary] = true;
            check_is_empty_when_made(dictionary);
            if (levels.size() == MAX_DEPTH) throw Error("nests dictionaries too deep", path_);
            levels.push_back({pickle_->first_item(dictionary), name.size()});
        };
        enter(pickle_->root());
        while (!levels.empty()) {
            if (levels.back().next_item == PICKLE_NOTHING) {
                levels.pop_back();
                continue;
            }
            const PickleItem& item = pickle_->item(levels.back().next_item);
            levels.back().next_item = item.next;
            name.resize(levels.back().name_bytes);
            if (!append_key(name, item.key)) continue;
            if (is_dictionary(item.value)) {
                enter(item.value);
            } else if (!add_tensor(name, item.value)) {
                note_skipped(item.value);
            }
        }
    }

    // False for keys that are no names.
    bool append_key(std::string& name, PickleRef key) const {
        if (key == PICKLE_NOTHING) return false;
        std::string text;
        if (pickle_->is(key, PickleKind::Int)) {
            text = std::to_string(pickle_->integer(key));
        } else if (pickle_->is(key, PickleKind::Text)) {
            if (pickle_->text(key).size() > MAX_NAME_BYTES) throw Error("holds a name that is too long", path_);
            text = pickle_->text(key);
        } else {
            return false;
        }
        if (!name.empty()) name += '.';
        name += text;
        if (name.size() > MAX_NAME_BYTES) throw Error("holds a name that is too long", path_);
        return true;
    }

    void note_skipped(PickleRef value) {
        if (!pickle_->is(value, PickleKind::Object) || file_.skipped_.size() == MAX_SKIPPED) return;
        const PickleRef callee = pickle_->callee(value);
        if (!pickle_->is(callee, PickleKind::Global)) return;
        const std::string name = class_name(callee);
        std::vector<std::string>& all = file_.skipped_;
        if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(name);
    }

    // --- tensors ---

    // False if `value` is not a tensor.
    bool add_tensor(const std::string& name, PickleRef value) {
        const Pickle& p = *pickle_;
        for (int wrapped = 0; p.is(value, PickleKind::Object); wrapped++) {
            PickleRef callee = p.callee(value), tuple = p.arguments(value);
            std::vector<PickleRef> arguments = p.items(tuple, 8);
            const auto calls = [&](const char* module, const char* function) {
                return p.is_global(callee, module, function);
            };
            if (calls("torch._tensor", "_rebuild_from_type_v2")) {  // function, class, arguments, attributes
                if (arguments.size() != 4 || !p.is(arguments[2], PickleKind::Tuple)) fail_tensor(name, "is malformed");
                callee = arguments[0];
                arguments = p.items(arguments[2], 8);
            }
            if (calls("torch._utils", "_rebuild_parameter") || calls("torch._utils", "_rebuild_parameter_with_state")) {
                if (arguments.empty() || wrapped == 4) fail_tensor(name, "is malformed");
                value = arguments[0];
                continue;
            }
            if (calls("torch._utils", "_rebuild_tensor") || calls("torch._utils", "_rebuild_tensor_v2")) {
                if (arguments.size() < 4) fail_tensor(name, "is malformed");
                build(name, arguments, nullptr);
                return true;
            }
            if (calls("torch._utils", "_rebuild_tensor_v3")) {  // the dtype is the seventh argument
                if (arguments.size() < 7) fail_tensor(name, "is malformed");
                build(name, arguments, element_type(name, arguments[6]));
                return true;
            }
            return false;
        }
        return false;
    }

    [[noreturn]] void fail_tensor(const std::string& name, const std::string& what) const {
        throw Error("tensor " + shown(name) + " " + what, path_);
    }

    const ElementType* element_type(const std::string& name, PickleRef dtype) const {
        for (const ElementType& known : ELEMENT_TYPES)
            if (pickle_->is_global(dtype, "torch", known.dtype)) return &known;
        fail_tensor(name, "has an unknown dtype");
    }

    // The numbers of a shape or of strides; none may be negative.
    std::vector<int64_t> extents(const std::string& name, PickleRef tuple) const {
        if (!pickle_->is(tuple, PickleKind::Tuple)) fail_tensor(name, "is malformed");
        const std::vector<PickleRef> items = pickle_->items(tuple, MAX_DIMENSIONS + 1);
        if (items.size() > MAX_DIMENSIONS) fail_tensor(name, "has too many dimensions");
        std::vector<int64_t> numbers;
        for (PickleRef item : items) {
            if (!pickle_->is(item, PickleKind::Int)) fail_tensor(name, "has a size that is not a 64-bit integer");
            if (pickle_->integer(item) < 0) fail_tensor(name, "has a negative size or stride");
            numbers.push_back(pickle_->integer(item));
        }
        return numbers;
    }

    // arguments: storage, offset, shape, strides, and what does not matter here. `type` overrides the storage's.
    void build(const std::string& name, const std::vector<PickleRef>& arguments, const ElementType* type) {
        const auto found = storage_by_id_.find(arguments[0]);
        if (found == storage_by_id_.end() || !pickle_->is(arguments[1], PickleKind::Int))
            fail_tensor(name, "is malformed");
        const Storage& storage = storages_[found->second];
        if (!type) type = storage.type;
        const int64_t offset = pickle_->integer(arguments[1]);
        TorchTensor tensor;
        tensor.name = name;
        tensor.dtype = type->name;
        tensor.element_bytes = type->bytes;
        tensor.shape = extents(name, arguments[2]);
        tensor.strides = extents(name, arguments[3]);
        if (tensor.shape.size() != tensor.strides.size()) fail_tensor(name, "has not as many strides as dimensions");
        measure(tensor, offset, static_cast<int64_t>(storage.bytes.size() / type->bytes), storage);
        budget_.charge(name.size() + 2 * tensor.shape.size() * sizeof(int64_t) + 3 * BLOCK_BYTES);
        budget_.push(file_.tensors_, std::move(tensor));
    }

    // Sets what follows from shape and strides, after checking that all of it lies in the storage.
    void measure(TorchTensor& tensor, int64_t offset, int64_t room, const Storage& storage) const {
        int64_t elements = 1, last = 0, reach = 0, dense = 1;
        for (size_t i = tensor.shape.size(); i-- > 0;) {
            const int64_t size = tensor.shape[i], stride = tensor.strides[i];
            if (size != 1 && stride != dense) tensor.contiguous = false;
            if (__builtin_mul_overflow(elements, size, &elements) ||
                __builtin_mul_overflow(std::max<int64_t>(size, 1) - 1, stride, &reach) ||
                __builtin_add_overflow(last, reach, &last))
                fail_tensor(tensor.name, "has a size that overflows");
            dense = elements;
        }
        tensor.elements = elements;
        if (offset < 0 || offset > room || (elements > 0 && last >= room - offset))
            fail_tensor(tensor.name, "reaches past the end of its storage " + shown(storage.key));
        if (static_cast<size_t>(elements) > bytes_.size() / tensor.element_bytes)
            fail_tensor(tensor.name, "is larger than the file: it repeats its elements");
        if (elements == 0) tensor.contiguous = true;
        const size_t from = static_cast<size_t>(offset) * tensor.element_bytes;
        const size_t length = elements == 0 ? 0 : (static_cast<size_t>(last) + 1) * tensor.element_bytes;
        tensor.bytes = storage.bytes.subspan(from, length);
    }

    void sort_by_name() {
        std::vector<TorchTensor>& all = file_.tensors_;
        std::sort(all.begin(), all.end(), [](const TorchTensor& a, const TorchTensor& b) { return a.name < b.name; });
        for (size_t i = 1; i < all.size(); i++)
            if (all[i - 1].name == all[i].name) throw Error("holds two tensors named " + shown(all[i].name), path_);
    }
};

TorchFile::TorchFile(const std::string& path) : file_(path) {
    TorchReader(*this).read();
}

const TorchTensor* TorchFile::find(const std::string& name) const {
    auto found = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                  [](const TorchTensor& tensor, const std::string& key) { return tensor.name < key; });
    return found == tensors_.end() || found->name != name ? nullptr : &*found;
}

void TorchFile::read(const TorchTensor& tensor, int64_t first, int64_t count, uint8_t* out) const {
    const size_t rank = tensor.shape.size(), width = tensor.element_bytes;
    const int64_t rows = rank == 0 ? 1 : tensor.shape[0];
    CHECK(first >= 0 && count >= 0 && count <= rows - first);
    const size_t row = rows == 0 ? 0 : static_cast<size_t>(tensor.elements / rows);  // elements
    if (row == 0 || count == 0) return;
    if (tensor.contiguous) {
        std::memcpy(out, tensor.bytes.data() + static_cast<size_t>(first) * row * width,
                    static_cast<size_t>(count) * row * width);
        return;
    }
    std::vector<int64_t> at(rank);  // coordinates of the element that comes next
    at[0] = first;
    int64_t element = first * tensor.strides[0];
    for (size_t left = static_cast<size_t>(count) * row; left > 0; left--) {
        std::memcpy(out, tensor.bytes.data() + static_cast<size_t>(element) * width, width);
        out += width;
        if (left == 1) return;
        size_t d = rank - 1;
        while (at[d] == tensor.shape[d] - 1) {  // carry
            element -= at[d] * tensor.strides[d];
            at[d--] = 0;
        }
        at[d]++;
        element += tensor.strides[d];
    }
}

bool begins_like_torch(std::span<const uint8_t> bytes) {
    if (begins_with(bytes, std::string_view("PK\x03\x04"))) return true;
    constexpr size_t WITHIN = 32;  // protocol, perhaps a frame, the opcode and its length
    const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), WITHIN));
    return !start.empty() && start[0] == '\x80' && start.find(MAGIC) != std::string_view::npos;
}

namespace {

class TorchCheckpoint : public Checkpoint {
public:
    TorchCheckpoint(const std::string& path, const std::vector<std::string>& inside) : file_(path) {
        std::string prefix;
        for (const std::string& dictionary : inside) {
            if (!prefix.empty()) break;
            for (const TorchTensor& tensor : file_.tensors())
                if (tensor.name.starts_with(dictionary + ".")) prefix = dictionary + ".";
        }
        for (const TorchTensor& tensor : file_.tensors()) {
            if (!tensor.name.starts_with(prefix)) continue;
            const std::string name = tensor.name.substr(prefix.size());
            tensors_[name] = {name, tensor.dtype, tensor.shape, path};
            stored_[name] = &tensor;
        }
    }

    const std::map<std::string, SourceTensor>& tensors() const override { return tensors_; }

    void read_rows(const SourceTensor& tensor, int64_t first, int64_t count, float* out) const override {
        const TorchTensor& stored = *stored_.at(tensor.name);
        const size_t elements = static_cast<size_t>(count) * static_cast<size_t>(tensor.row_elements());
        if (stored.contiguous) {
            const size_t skip = static_cast<size_t>(first) * static_cast<size_t>(tensor.row_elements());
            widen(tensor, stored.bytes.data() + skip * stored.element_bytes, elements, out);
            return;
        }
        std::vector<uint8_t> packed(elements * stored.element_bytes);
        file_.read(stored, first, count, packed.data());
        widen(tensor, packed.data(), elements, out);
    }

    void expect_rows(const SourceTensor& tensor, int64_t first, int64_t count) const override {
        const TorchTensor& stored = *stored_.at(tensor.name);
        if (!stored.contiguous) return file_.expect(stored.bytes);
        const size_t row_bytes = stored.bytes.size() / static_cast<size_t>(tensor.rows());
        file_.expect(
            stored.bytes.subspan(static_cast<size_t>(first) * row_bytes, static_cast<size_t>(count) * row_bytes));
    }

    void forget_pages() const override { file_.forget_pages(); }

private:
    TorchFile file_;
    std::map<std::string, SourceTensor> tensors_;
    std::map<std::string, const TorchTensor*> stored_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_torch(const std::string& path, const std::vector<std::string>& inside) {
    return std::make_unique<TorchCheckpoint>(path, inside);
}

}  // namespace leon
