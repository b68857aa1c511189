// Torch checkpoints: every tensor equals what torch itself reads, whatever the format, protocol, strides and wrapping;
// what is hostile is refused in one line or passed over; and no damaged byte does harm.
#include <cstring>
#include <map>

#include "runtime/weights_file.h"
#include "tests/made_zip.h"
#include "tests/temporary_folder.h"
#include "weights_converter/checkpoint.h"
#include "weights_converter/inspect.h"
#include "weights_converter/torch_file.h"

#include "tests/testing.h"

namespace leon {
namespace {

using namespace std::string_literals;
namespace fs = std::filesystem;

const std::string VECTORS = "tests/vectors/torch/", HOSTILE = "tests/vectors/hostile/";

int64_t rows_of(const TorchTensor& tensor) {
    return tensor.shape.empty() ? 1 : tensor.shape[0];
}

std::string content_of(const TorchFile& file, const TorchTensor& tensor) {
    std::string content(static_cast<size_t>(tensor.elements) * tensor.element_bytes, '\x55');
    file.read(tensor, 0, rows_of(tensor), reinterpret_cast<uint8_t*>(content.data()));
    return content;
}

// Opens a file and touches all of it. Either every tensor can be read, or the result is the Error's message.
std::string open_error(const std::string& path) {
    const std::string error = error_of([&] {
        const TorchFile file(path);
        for (const TorchTensor& tensor : file.tensors()) content_of(file, tensor);
    });
    if (error.empty()) return error;
    CHECK(contains(error, path));
    CHECK(!contains(error, "\n"));
    CHECK(error.size() < 500);
    return error;
}

std::vector<std::string> names_of(const std::string& path) {
    const TorchFile file(path);
    std::vector<std::string> names;
    for (const TorchTensor& tensor : file.tensors()) names.push_back(tensor.name);
    return names;
}

// A small pickle of {"w": a float32 tensor}, with the parts that tests vary.
struct MadePickle {
    std::string function = "_rebuild_tensor_v2", more = "\x89}";  // requires_grad, hooks
    std::string storage = "ctorch\nFloatStorage\n", key = "0", elements = "K\4";
    std::string offset = "K\0"s, shape = "K\4\x85", strides = "K\1\x85";
    std::string name = "w", before = "", after = "";

    std::string text() const { return "\x80\2}(" + before + string(name) + tensor() + after + "u."; }
    std::string tensor() const {
        return "ctorch._utils\n" + function + "\n((" + string("storage") + storage + string(key) + string("cpu") +
               elements + "tQ" + offset + shape + strides + more + "tR";
    }
    static std::string string(const std::string& text) { return "X" + little_endian(text.size(), 4) + text; }
};

// Beyond 32 bits: a LONG1 of `bytes` bytes.
std::string long_integer(uint64_t value, int bytes = 8) {
    return "\x8a" + little_endian(bytes, 1) + little_endian(value, 8) + std::string(bytes - 8, '\0');
}

// Overwrites a file in place: much faster than writing it anew, for tests that change it thousands of times.
void patch(const std::string& path, size_t at, const std::string& bytes) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
}

std::string made_torch(const std::string& pickle, const std::string& data = std::string(16, '\1')) {
    return made_zip({{.name = "a/data.pkl", .bytes = pickle}, {.name = "a/data/0", .bytes = data}});
}

// The format before torch 1.6: the object, the keys in the order of the storages, and each storage behind its length.
std::string made_stream(const std::string& pickle, const std::vector<std::string>& keys, const std::string& storages) {
    auto s = MadePickle::string;
    std::string list = "\x80\2](";
    for (const std::string& key : keys) list += s(key);
    return "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3."s + "\x80\2}" + s("little_endian") +
           "\x88s." + pickle + list + "e." + storages;
}

}  // namespace

TEST_CASE("torch: every tensor is what torch reads, from the archive and from the stream, strided or not") {
    int files = 0, strided = 0;
    for (const auto& entry : fs::directory_iterator(VECTORS)) {
        if (entry.path().extension() != ".safetensors") continue;
        files++;
        const SafetensorsFile want(entry.path().string());
        const TorchFile got(entry.path().parent_path() / entry.path().stem());
        CAPTURE(got.path());
        CHECK(got.is_zip() == !contains(got.path(), "stream"));
        REQUIRE(got.tensors().size() == want.tensors().size());
        for (const auto& named : want.tensors()) {
            const StoredTensor& expected = named.second;
            const std::string& name = expected.name;
            CAPTURE(name);
            const TorchTensor* tensor = got.find(name);
            REQUIRE(tensor);
            CHECK(tensor->dtype == expected.dtype);
            CHECK(tensor->shape == expected.shape);
            const std::string content(reinterpret_cast<const char*>(want.data(expected)), expected.bytes);
            CHECK(content_of(got, *tensor) == content);
            strided += !tensor->contiguous;
            if (tensor->contiguous) {
                REQUIRE(tensor->bytes.size() == content.size());
                CHECK(std::memcmp(tensor->bytes.data(), content.data(), content.size()) == 0);
            }
            std::string in_rows(content.size(), '\0');  // row by row gives the same
            const size_t row = tensor->elements == 0 ? 0 : content.size() / static_cast<size_t>(rows_of(*tensor));
            for (int64_t i = 0; i < rows_of(*tensor); i++)
                got.read(*tensor, i, 1, reinterpret_cast<uint8_t*>(in_rows.data()) + static_cast<size_t>(i) * row);
            CHECK(in_rows == content);
        }
        CHECK(!got.find("nothing of the kind"));
    }
    CHECK(files == 9);
    const TorchFile views(VECTORS + "views.pth");
    for (const char* name : {"shared", "same", "offset", "row", "one", "scalar", "empty"})
        CHECK(views.find(name)->contiguous);
    for (const char* name : {"transposed", "part", "column", "repeated"}) CHECK(!views.find(name)->contiguous);
    CHECK(strided >= 19);
    CHECK(TorchFile(VECTORS + "lightning_4.ckpt").skipped() == std::vector<std::string>{"'__main__.Remembering'"});
}

TEST_CASE("torch: a checkpoint shows the dictionary that is asked for, widened, and safetensors alike") {
    const std::string path = VECTORS + "upscaler.pth";
    const SafetensorsFile want(path + ".safetensors");
    auto names = [](const Checkpoint& checkpoint) {
        std::string all;
        for (const auto& [name, tensor] : checkpoint.tensors()) all += name + " ";
        return all;
    };
    const auto average = open_tensor_file(path, {"nothing", "params_ema", "params"});
    CHECK(names(*average) == "body.0.bias body.0.weight ");
    const SourceTensor& weight = average->tensors().at("body.0.weight");
    CHECK(weight.dtype == "F32");
    std::vector<float> rows(27);
    average->read_rows(weight, 1, 1, rows.data());
    CHECK(std::memcmp(rows.data(), want.data(*want.find("params_ema.body.0.weight")) + 27 * 4, 27 * 4) == 0);

    const auto all = open_tensor_file(path), same = open_tensor_file(path + ".safetensors", {"params"});
    CHECK(names(*all) == "params.body.0.bias params.body.0.weight params_ema.body.0.bias params_ema.body.0.weight ");
    CHECK(names(*same) == names(*all));
    CHECK(names(*open_tensor_file(path, {"param", "weights"})) == names(*all));

    const auto types = open_tensor_file(VECTORS + "types.pth");
    const SourceTensor& halves = types->tensors().at("halves");  // strided, bf16
    std::vector<float> row(2);
    types->read_rows(halves, 2, 1, row.data());
    CHECK(row == std::vector<float>{2.5f, 0.125f});
    CHECK(contains(error_of([&] { types->read_rows(types->tensors().at("types.int64"), 0, 1, row.data()); }), "I64"));
}

TEST_CASE("torch: hostile files are refused in one line that names them") {
    const std::map<std::string, std::string> reasons = {
        {"empty", "neither"},
        {"missing_storage", "storage '7' is not in the archive"},
        {"negative_stride", "negative"},
        {"not_a_zip", "no end record"},
        {"numel_larger_than_file", "1000000 elements"},
        {"pickle_deep_nesting", "not a dictionary"},
        {"pickle_memo_huge", "place 2147483647"},
        {"pickle_no_stop", "STOP"},
        {"pickle_self_reference", "not a dictionary"},
        {"pickle_stack_underflow", "MARK"},
        {"pickle_string_length", "cut short"},
        {"pickle_unknown_opcode", "opcode 254"},
        {"size_product_overflow", "not a 64-bit integer"},
        {"storage_offset_beyond", "past the end of its storage"},
        {"tensor_beyond_storage", "past the end of its storage"},
        {"truncated_central_directory", "no end record"},
        {"truncated_zip", "no end record"},
        {"unknown_storage_type", "'torch.MysteryStorage'"},
        {"zip_directory_offset", "directory"},
        {"zip_member_offset", "does not lie where"},
        {"zip_member_size", "past the end of the file"},
        {"valid", ""},
        {"pickle_open", "'builtins.open'"},
        {"pickle_exec", "'builtins.exec'"},
        {"pickle_inst", "'builtins.open'"},
    };
    size_t files = 0;
    for (const auto& entry : fs::directory_iterator(HOSTILE)) {
        if (entry.path().extension() != ".pth") continue;
        files++;
        const std::string name = entry.path().stem().string();
        CAPTURE(name);
        REQUIRE(reasons.count(name) == 1);
        if (name == "valid") {
            CHECK(names_of(entry.path().string()) == std::vector<std::string>{"norm.weight"});
        } else {
            CHECK(contains(open_error(entry.path().string()), reasons.at(name)));
        }
    }
    CHECK(files == reasons.size());
    CHECK(!fs::exists("PWNED"));
}

TEST_CASE("torch: what runs programs is refused wherever it stands, other classes are passed over") {
    TemporaryFolder folder;
    const std::string path = folder / "a.pth";
    auto s = MadePickle::string;
    auto error = [&](const std::string& value) {
        write_text(path, made_torch(MadePickle{.before = s("x") + value}.text()));
        return open_error(path);
    };
    for (const char* name : {"os\nsystem", "posix\nsystem", "nt\nsystem", "subprocess\nPopen", "builtins\nexec",
                             "__builtin__\neval", "builtins\n__import__", "importlib.util\nfind_spec", "sys\nexit"}) {
        const std::string function = "c" + std::string(name) + "\n";
        for (const std::string& value : {function, function + s("touch PWNED") + "\x85R", "]" + function + "a",
                                         "(i" + std::string(name) + "\n", function + ")\x81}b"}) {
            CAPTURE(value);
            CHECK(contains(error(value), "belongs to no checkpoint"));
        }
    }
    // As a text the same is harmless: a pickle in a string is not run either.
    CHECK(error("B" + little_endian(13, 4) + "cos\nsystem\n.a") == "");
    CHECK(error("ccosmos\nsystem\n)R") == "");
    CHECK(TorchFile(path).skipped() == std::vector<std::string>{"'cosmos.system'"});
    CHECK(error("cbuiltins\ngetattr\n)R") == "");
    CHECK(error("cargparse\nNamespace\n)\x81}b") == "");
}

TEST_CASE("torch: no changed byte and no prefix of an archive gives other names, and none of a stream does harm") {
    TemporaryFolder folder;
    const std::string path = folder / "a.pth";
    for (const std::string& source : {HOSTILE + "valid.pth", VECTORS + "views.pth", VECTORS + "views_stream.pth"}) {
        const std::string whole = read_text(source);
        const std::vector<std::string> names = names_of(source);
        const bool sealed = !contains(source, "stream");  // by the checksum of its pickle
        int loaded = 0;
        write_text(path, whole);
        for (size_t at = 0; at < whole.size(); patch(path, at, whole.substr(at, 1)), at++)
            for (const int change : {0xff, 0x01, 0x20}) {
                patch(path, at, std::string(1, static_cast<char>(whole[at] ^ change)));
                if (open_error(path) != "") continue;
                loaded++;
                if (sealed) CHECK(names_of(path) == names);
            }
        CHECK(loaded > 0);
        for (size_t length = 0; length<whole.size(); length += whole.size()> 1000 ? 7 : 1) {
            write_text(path, whole.substr(0, length));
            CHECK(open_error(path) != "");
        }
    }
}

TEST_CASE("torch: no changed byte of a pickle whose checksum is right does harm") {
    TemporaryFolder folder;
    const std::string path = folder / "a.pth";
    const MappedFile source(VECTORS + "lightning_2.ckpt");
    const ZipArchive archive(source);
    std::vector<MadeMember> members;
    size_t object = 0;
    for (const ZipMember& member : archive.members()) {
        if (member.name.ends_with("/data.pkl")) object = members.size();
        members.push_back(
            {.name = std::string(member.name), .bytes = std::string(member.bytes.begin(), member.bytes.end())});
    }
    write_text(path, made_zip(members));
    const std::vector<std::string> names = names_of(path);
    CHECK(names == names_of(source.path()));
    int refused = 0, loaded = 0;
    const std::string whole = members[object].bytes;
    for (size_t at = 0; at < whole.size(); at++)
        for (const char value : {'\xff', '\0', '(', 'R', 'h', '.', static_cast<char>(whole[at] ^ 1)}) {
            members[object].bytes[at] = value;
            patch(path, 0, made_zip(members));
            ++(open_error(path) != "" ? refused : loaded);
            members[object].bytes[at] = whole[at];
        }
    CHECK(refused > 1000);
    CHECK(loaded > 1000);
}

TEST_CASE("torch: sizes, strides and offsets are held to the storage, without overflow") {
    TemporaryFolder folder;
    const std::string path = folder / "a.pth";
    auto error = [&](const MadePickle& pickle, const std::string& data = std::string(16, '\1')) {
        write_text(path, made_torch(pickle.text(), data));
        return open_error(path);
    };
    const std::string big = long_integer(uint64_t{1} << 62), half = "J" + little_endian(1 << 30, 4);
    CHECK(error({}) == "");
    CHECK(error({.offset = "K\1", .shape = "K\3\x85"}) == "");
    CHECK(contains(error({.offset = "K\1"}), "past the end"));
    CHECK(error({.offset = "K\4", .shape = "K\0\x85"s}) == "");
    CHECK(error({.shape = "K\4K\0\x86"s, .strides = "K\1K\1\x86"}) == "");
    CHECK(TorchFile(path).find("w")->contiguous);  // there is nothing between its rows
    CHECK(error({.shape = "K\1K\4\x86", .strides = "K\x63K\1\x86"}) == "");
    CHECK(TorchFile(path).find("w")->contiguous);  // the stride of a single row says nothing
    CHECK(contains(error({.offset = "K\5", .shape = "K\0\x85"s}), "past the end"));
    CHECK(contains(error({.offset = "J\xff\xff\xff\xff"}), "past the end"));
    CHECK(contains(error({.offset = big}), "past the end"));
    CHECK(error({.shape = "K\2\x85", .strides = "K\3\x85"}) == "");
    CHECK(contains(error({.shape = "K\2\x85", .strides = "K\4\x85"}), "past the end"));
    CHECK(contains(error({.shape = "K\5\x85"}), "past the end"));
    CHECK(contains(error({.shape = "J\xff\xff\xff\xff\x85"}), "negative"));
    CHECK(contains(error({.shape = big + "K\4\x86", .strides = "K\0K\0\x86"s}), "overflows"));
    CHECK(contains(error({.shape = half + half + half + "\x87", .strides = "K\0K\0K\0\x87"s}), "overflows"));
    CHECK(contains(error({.shape = half + "\x85", .strides = big + "\x85"}), "overflows"));
    CHECK(contains(error({.shape = "K\2K\2\x86", .strides = big + "K\1\x86"}), "past the end"));
    CHECK(contains(error({.shape = "K\2K\2K\2\x87", .strides = big + big + big + "\x87"}), "overflows"));
    CHECK(contains(error({.shape = half + "\x85", .strides = "K\0\x85"s}), "repeats"));
    CHECK(error({.shape = "K\x20\x85", .strides = "K\0\x85"s}) == "");
    CHECK(contains(error({.shape = "K\2K\2\x86"}), "as many strides"));
    CHECK(contains(error({.shape = "(" + std::string(17, ')') + "t"}), "too many dimensions"));
    CHECK(contains(error({.shape = "]"}), "malformed"));
    CHECK(contains(error({.shape = long_integer(uint64_t{1} << 63, 9) + "\x85"}), "64-bit"));
    CHECK(contains(error({.elements = "K\5"}), "should have 20 bytes"));
    CHECK(contains(error({.elements = "K\3"}), "should have 12 bytes"));
    CHECK(contains(error({.elements = "J\xff\xff\xff\xff"}), "more than the file"));
    CHECK(contains(error({.elements = big}), "more than the file"));
    CHECK(error({.elements = "K\4N"}) == "");
    CHECK(contains(error({.elements = "K\4K\1"}), "view of another"));
    CHECK(contains(error({.elements = "N"}), "malformed reference"));
    CHECK(contains(error({.key = "1"}), "storage '1' is not in the archive"));
    CHECK(contains(error({.key = std::string(300, 'k')}), "malformed reference"));
    CHECK(contains(error({.key = "../data.pkl"}), "not in the archive"));
    CHECK(error({.storage = "ctorch\nDoubleStorage\n", .elements = "K\2", .shape = "K\2\x85"}) == "");
    CHECK(error({.storage = "ctorch.storage\nUntypedStorage\n", .elements = "K\x10", .shape = "K\x10\x85"}) == "");
    CHECK(error({.function = "_rebuild_tensor", .more = ""}) == "");
    CHECK(error({.function = "_rebuild_tensor_v3", .more = "\x89}ctorch\nint16\n", .shape = "K\x8\x85"}) == "");
    CHECK(contains(error({.function = "_rebuild_tensor_v3"}), "malformed"));
    CHECK(contains(error({.function = "_rebuild_tensor_v3", .more = "\x89}ctorch\nint7\n"}), "unknown dtype"));
    CHECK(contains(error({.function = "_rebuild_qtensor"}), "no tensors"));
    CHECK(contains(error({.storage = "cnumpy\nFloatStorage\n"}), "unknown class 'numpy.FloatStorage'"));
    CHECK(contains(error({.storage = "U\4text"}), "malformed reference"));
}

TEST_CASE("torch: names are joined, bounded and unique, and each dictionary is listed once") {
    TemporaryFolder folder;
    const std::string path = folder / "a.pth";
    auto load = [&](const std::string& pickle) {
        write_text(path, made_torch(pickle));
        return open_error(path);
    };
    const MadePickle plain;
    auto s = MadePickle::string;
    // {"x": D, "y": D, "w": tensor} with D = {"w": tensor, itself}
    const std::string tensor = plain.tensor();
    const std::string inner = "}q\7(" + s("w") + tensor + s("again") + "h\7u";
    CHECK(load(MadePickle{.before = s("x") + inner + s("y") + "h\7"}.text()) == "");
    CHECK(names_of(path) == std::vector<std::string>{"w", "x.w"});
    CHECK(load(MadePickle{.before = "K\5}(" + s("w") + tensor + "u"}.text()) == "");
    CHECK(names_of(path) == std::vector<std::string>{"5.w", "w"});
    CHECK(contains(load(MadePickle{.after = s("w") + tensor}.text()), "two tensors named 'w'"));
    CHECK(contains(load(MadePickle{.name = "x.w", .before = s("x") + inner}.text()), "two tensors named 'x.w'"));
    CHECK(contains(load(MadePickle{.name = std::string(2000, 'n')}.text()), "too long"));
    const std::string half_name(600, 'n');
    CHECK(contains(load(MadePickle{.before = s(half_name) + "}(" + s(half_name) + tensor + "u"}.text()), "too long"));
    for (const int times : {4, 5}) {
        std::string wrapped = tensor;
        for (int i = 0; i < times; i++) wrapped = "ctorch._utils\n_rebuild_parameter\n" + wrapped + "\x88}\x87R";
        CHECK(load("\x80\2}" + s("w") + wrapped + "s.").empty() == (times == 4));
    }
    const MadePickle other = {.storage = "ctorch\nDoubleStorage\n", .elements = "K\2", .shape = "K\2\x85", .name = "v"};
    const std::string both = "\x80\2}(" + s("v") + other.tensor() + s("w") + tensor + "u.";
    CHECK(contains(load(both), "described in two ways"));
    CHECK(load(MadePickle{.name = "\x1b[2J\n"}.text()) == "");
    CHECK(contains(inspect_any(path, Detail::Tensors), "?[2J?"));
    CHECK(contains(load(MadePickle{.before = s("x") + "ccollections\nOrderedDict\n]\x85R"}.text()), "Python 2"));
    std::string deep, end;
    for (int i = 0; i < 20; i++) {
        deep += "}(" + s("d");
        end = "u" + end;
    }
    CHECK(contains(load("\x80\2" + deep + tensor + end + "."), "too deep"));
    CHECK(contains(load("\x80\2}."), "no tensors"));
    CHECK(contains(load("\x80\2" + tensor + "."), "class 'torch._utils._rebuild_tensor_v2'"));
    CHECK(contains(load("cmodels\nNet\n)\x81}b."), "class 'models.Net'"));
    CHECK(contains(load("cmodels\nNet\n)\x81}b."), "state_dict()"));

    // One long name for a million tensors would be a gigabyte.
    std::string many = "\x80\2}("s + s(std::string(900, 'k')) +
                       "q\1"
                       "0" +
                       tensor +
                       "q\2"
                       "0";
    std::string entries;
    for (int i = 0; i < 60'000; i++) entries += "M" + little_endian(300 + i % 60'000, 2) + "h\2";
    many += "h\1}(" + entries + "uu.";
    CHECK(contains(load(many), "more memory"));
}

TEST_CASE("torch: archives and streams that torch does not write are told apart") {
    TemporaryFolder folder;
    const std::string path = folder / "a.pth", pickle = MadePickle().text(), data(16, '\1');
    auto error = [&](const std::vector<MadeMember>& members, const MadeEnd& end = {}) {
        write_text(path, made_zip(members, end));
        return open_error(path);
    };
    const MadeMember object = {.name = "a/data.pkl", .bytes = pickle}, storage = {.name = "a/data/0", .bytes = data};
    CHECK(error({object, storage}) == "");
    CHECK(error({object, storage}, {.comment = "no harm"}) == "");
    CHECK(error({object, storage, {.name = "a/byteorder", .bytes = "little"}}) == "");
    CHECK(contains(error({object, storage, {.name = "a/byteorder", .bytes = "big"}}), "big-endian"));
    CHECK(contains(error({object, storage, {.name = "b/data.pkl", .bytes = pickle}}), "two objects"));
    CHECK(contains(error({object, storage, {.name = "a/constants.pkl", .bytes = ""}}), "TorchScript"));
    CHECK(contains(error({storage}), "without a data.pkl"));
    MadeMember forged = object;
    forged.crc = 1;
    CHECK(contains(error({forged, storage}), "checksum"));

    write_text(path, "\x80\2}.");
    CHECK(contains(open_error(path), "neither"));
    CHECK(contains(error_of([&] { open_tensor_file(path); }), path));

    const std::string stream = read_text(VECTORS + "views_stream.pth");
    auto changed = [&](const std::string& from, const std::string& to) {
        const size_t at = stream.find(from);
        REQUIRE(at != std::string::npos);
        write_text(path, std::string(stream).replace(at, from.size(), to));
        return open_error(path);
    };
    CHECK(contains(changed("M\xe9\x03.", "M\xe8\x03."), "unknown version"));
    CHECK(contains(changed("little_endianq\2\x88", "little_endianq\2\x89"), "little-endian"));
    CHECK(contains(changed("\x8a\x0al\xfc", "\x8a\x0al\xfd"), "neither"));
    const std::string length = little_endian(4, 8), one = length + data;
    auto streamed = [&](const std::vector<std::string>& keys, const std::string& storages) {
        write_text(path, made_stream(pickle, keys, storages));
        return open_error(path);
    };
    CHECK(streamed({"0"}, one) == "");
    CHECK(streamed({"0"}, one + "behind") == "");
    CHECK(contains(streamed({}, ""), "storage '0' is missing"));
    CHECK(contains(streamed({"0", "0"}, one + one), "storage '0' twice"));
    CHECK(contains(streamed({"0", "1"}, one + one), "belongs to nothing"));
    CHECK(contains(streamed({"0"}, little_endian(3, 8) + data), "another size"));
    CHECK(contains(streamed({"0"}, little_endian(uint64_t{1} << 62, 8) + data), "another size"));
    CHECK(contains(streamed({"0"}, length.substr(1)), "cut short"));
    CHECK(contains(streamed({"0"}, one.substr(1)), "cut short"));
    write_text(path, stream.substr(0, stream.size() - 1));
    CHECK(contains(open_error(path), "cut short"));
}

TEST_CASE("zip: members are found in place, with zip64 fields and without; contradictions are refused") {
    TemporaryFolder folder;
    const std::string path = folder / "a.zip";
    auto error = [&](const std::vector<MadeMember>& members, const MadeEnd& end = {}) {
        write_text(path, made_zip(members, end));
        return error_of([&] {
            const MappedFile file(path);
            const ZipArchive archive(file);
            CHECK(archive.members().size() == members.size());
            for (const MadeMember& m : members) {
                const ZipMember* found = archive.find(m.name);
                REQUIRE(found);
                CHECK(std::string(found->bytes.begin(), found->bytes.end()) == m.bytes);
                CHECK(crc32(found->bytes) == found->crc);
            }
            CHECK(!archive.find("nothing"));
        });
    };
    auto one = [&](MadeMember member) { return error({{.name = "b", .bytes = "2"}, member, {.name = "c"}}); };
    CHECK(error({}) == "");
    CHECK(one({.name = "a", .bytes = "123"}) == "");
    CHECK(one({.name = "a", .bytes = "123", .zip64 = true}) == "");
    CHECK(error({{.name = "a", .bytes = "123", .zip64 = true}}, {.zip64 = true}) == "");
    CHECK(one({.name = "a", .bytes = "123", .flags = 0x808, .local_size = 0}) == "");  // as torch writes
    CHECK(contains(one({.name = "a", .bytes = "123", .local_size = 2}), "local header"));
    CHECK(one({.name = "a", .bytes = "123", .local_size = 0xffffffff, .zip64 = true}) == "");
    CHECK(contains(one({.name = "a", .bytes = "123", .local_method = 8}), "local header"));
    CHECK(contains(one({.name = "a", .bytes = "123", .zip64 = true, .field_bytes = 16}), "zip64 field is cut short"));
    CHECK(contains(one({.name = "a", .bytes = "123", .zip64 = true, .field_bytes = 99}), "zip64 field is missing"));
    CHECK(contains(one({.name = "a", .bytes = "123", .local_name = "b"}), "local header"));
    CHECK(contains(one({.name = "a", .bytes = "123", .method = 8}), "compressed"));
    CHECK(contains(one({.name = "a", .bytes = "123", .flags = 1}), "encrypted"));
    CHECK(contains(one({.name = "a", .bytes = "123", .disk = 1}), "several parts"));
    CHECK(contains(one({.name = "a", .bytes = "123", .stored = 2}), "two sizes"));
    CHECK(contains(one({.name = "a", .stored = 2000, .size = 2000, .local_size = 2000}), "past the end"));
    CHECK(contains(one({.name = "a", .stored = 20, .size = 20, .local_size = 20}), "overlap"));
    CHECK(contains(one({.name = "b", .bytes = "123"}), "two members named 'b'"));
    CHECK(contains(one({.name = "a", .bytes = "123", .offset = 5}), "does not lie"));
    CHECK(contains(one({.name = "a", .bytes = "123", .offset = 5, .zip64 = true}), "does not lie"));
    CHECK(contains(one({.name = "a", .bytes = "1", .offset = INT64_MAX, .zip64 = true}), "does not lie"));
    CHECK(contains(one({.name = "a", .stored = INT64_MAX, .size = INT64_MAX, .zip64 = true}), "past the end"));
    CHECK(contains(one({.name = "a", .stored = 0xffffffff, .size = 0xffffffff}), "zip64 field is missing"));
    const std::vector<MadeMember> two = {{.name = std::string(40, 'a'), .bytes = "1"},
                                         {.name = std::string(40, 'b'), .bytes = "2"}};
    for (bool zip64 : {false, true}) {
        CHECK(error(two, {.zip64 = zip64}) == "");
        CHECK(contains(error(two, {.entries = 1, .zip64 = zip64}), "behind its last entry"));
        CHECK(contains(error(two, {.entries = 3, .zip64 = zip64}), "cut short"));
        CHECK(contains(error(two, {.entries = 60000, .zip64 = zip64}), "more members"));
        CHECK(contains(error(two, {.directory_bytes = 1, .zip64 = zip64}), "does not lie"));
        CHECK(contains(error(two, {.directory_offset = 1, .zip64 = zip64}), "does not lie"));
        CHECK(contains(error(two, {.zip64 = zip64, .behind_directory = "x"}), "does not lie"));
    }
    CHECK(contains(error(two, {.entries = INT64_MAX, .zip64 = true}), "more members"));
    CHECK(contains(error(two, {.directory_offset = INT64_MAX, .zip64 = true}), "does not lie"));
    CHECK(error(two, {.narrow_entries = 2, .zip64 = true}) == "");
    CHECK(contains(error(two, {.narrow_entries = 1, .zip64 = true}), "contradict"));
    CHECK(contains(error(two, {.entries_here = 1, .zip64 = true}), "zip64 end record is wrong"));
    CHECK(contains(error(two, {.disks = 1}), "several parts"));
}

}  // namespace leon
