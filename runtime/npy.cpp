// The .npy format: magic, version, header length, a Python dictionary, and the values.
//
//   "\x93NUMPY" | major u8 | minor u8 | length u16 (1.0) or u32 (2.0) | {'descr': '<f4', ...} spaces \n | values
//
// The dictionary is read by a parser for exactly the literals that NumPy writes (white space aside). Nothing in the
// header is believed before it is checked against the length of the file.
#include "runtime/npy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <string_view>

#include "kernels/check.h"
#include "runtime/files.h"

namespace leon {
namespace {

constexpr std::string_view MAGIC = "\x93NUMPY";
constexpr size_t MAX_DIMENSIONS = 64;  // NumPy's own limit

size_t item_bytes(std::string_view dtype) {
    return static_cast<size_t>(dtype[1] - '0');  // "f4", "f8", "i4", "i8", "u1"
}

std::string_view supported_dtype(std::string_view descr) {
    for (std::string_view known : {"<f4", "<f8", "<i4", "<i8", "|u1"})
        if (descr == known) return descr.substr(1);
    return {};
}

// Text from the file for an error message: short and printable whatever the file holds.
std::string shown(std::string_view text) {
    std::string out(text.substr(0, 32));
    for (char& c : out)
        if (c < ' ' || c > '~') c = '?';
    return "'" + out + "'";
}

// The header's dictionary; each method takes what it names from the front, or throws.
class HeaderParser {
public:
    HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

    void parse(std::string& descr, bool& fortran_order, std::vector<int64_t>& shape) {
        bool have_descr = false, have_order = false, have_shape = false;
        auto first_time = [&](bool& have) {
            if (have) fail("a key stands twice");
            have = true;
        };
        expect('{');
        while (!take('}')) {
            std::string_view key = string();
            expect(':');
            if (key == "descr") {
                first_time(have_descr);
                descr = string();
            } else if (key == "fortran_order") {
                first_time(have_order);
                fortran_order = boolean();
            } else if (key == "shape") {
                first_time(have_shape);
                shape = tuple();
            } else {
                fail("unknown key " + shown(key));
            }
            if (take(',')) continue;
            expect('}');
            break;
        }
        if (!have_descr || !have_order || !have_shape) fail("a key is missing");
        skip_space();
        if (!text_.empty()) fail("text follows the dictionary");
    }

private:
    [[noreturn]] void fail(const std::string& what) { throw Error("damaged .npy header: " + what, where_); }

    void skip_space() {
        while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t' || text_[0] == '\r'))
            text_.remove_prefix(1);
    }
    bool take(char c) {
        skip_space();
        if (text_.empty() || text_[0] != c) return false;
        text_.remove_prefix(1);
        return true;
    }
    void expect(char c) {
        if (!take(c)) fail(std::string("expected ") + c);
    }
    std::string_view string() {
        char quote = take('\'') ? '\'' : '"';
        if (quote == '"') {
            if (text_.starts_with('[')) fail("structured values are not supported");
            expect('"');
        }
        size_t end = text_.find(quote);
        if (end == text_.npos || text_.substr(0, end).find('\\') != text_.npos) fail("expected a plain string");
        std::string_view content = text_.substr(0, end);
        text_.remove_prefix(end + 1);
        return content;
    }
    bool boolean() {
        skip_space();
        for (std::string_view word : {"False", "True"}) {
            if (!text_.starts_with(word)) continue;
            text_.remove_prefix(word.size());
            return word == "True";
        }
        fail("expected True or False");
    }
    int64_t integer() {
        skip_space();
        size_t digits = 0;
        int64_t value = 0;
        for (; digits < text_.size() && text_[digits] >= '0' && text_[digits] <= '9'; digits++)
            if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text_[digits] - '0', &value))
                fail("a dimension is too large");
        if (digits == 0) fail("expected a dimension");
        text_.remove_prefix(digits);
        return value;
    }
    std::vector<int64_t> tuple() {  // (), (3,), (3, 4), (3, 4,)
        std::vector<int64_t> values;
        bool comma = true;
        expect('(');
        while (!take(')')) {
            if (!comma) fail("expected ) or ,");
            if (values.size() == MAX_DIMENSIONS) fail("more than 64 dimensions");
            values.push_back(integer());
            comma = take(',');
        }
        if (values.size() == 1 && !comma) fail("(3) is not a tuple, (3,) is");
        return values;
    }

    std::string_view text_;
    const std::string& where_;
};

// Bytes of an array of this shape, or nothing if they cannot be counted in 63 bits. A zero does not excuse the rest.
std::optional<int64_t> array_bytes(const std::vector<int64_t>& shape, size_t item) {
    int64_t bytes = static_cast<int64_t>(item);
    for (int64_t dim : shape)
        if (dim != 0 && __builtin_mul_overflow(bytes, dim, &bytes)) return std::nullopt;
    bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
    return empty ? 0 : bytes;
}

std::string python_shape(const std::vector<int64_t>& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

// Applies convert(value) to every element, which must be of type T.
template <class T, class Out, class Convert>
std::vector<Out> convert_all(const std::vector<uint8_t>& bytes, Convert convert) {
    std::vector<Out> out(bytes.size() / sizeof(T));
    for (size_t i = 0; i < out.size(); i++) {
        T value;
        std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
        out[i] = convert(value);
    }
    return out;
}

void save(const std::string& path, const char* descr, const void* values, size_t item,
          const std::vector<int64_t>& shape) {
    constexpr size_t ALIGNMENT = 64;     // of the first value in the file
    constexpr size_t GROWING_ROOM = 21;  // digits to which NumPy lets the first dimension grow in place
    std::string header =
        std::string("{'descr': '") + descr + "', 'fortran_order': False, 'shape': " + python_shape(shape) + ", }";
    if (!shape.empty()) header += std::string(GROWING_ROOM - std::to_string(shape[0]).size(), ' ');
    const size_t preamble = MAGIC.size() + 4;
    header += std::string(ALIGNMENT - (preamble + header.size() + 1) % ALIGNMENT, ' ') + '\n';
    const std::optional<int64_t> bytes = array_bytes(shape, item);
    CHECK(bytes && shape.size() <= MAX_DIMENSIONS);
    CHECK(std::all_of(shape.begin(), shape.end(), [](int64_t dim) { return dim >= 0; }));

    AtomicFile file(path);
    file.write(MAGIC);
    file.write(std::string{1, 0, static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)});
    file.write(header);
    file.write(values, static_cast<size_t>(*bytes));
    file.commit();
}

}  // namespace

int64_t Array::elements() const {
    return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::vector<float> Array::floats(const std::string& where) const {
    if (dtype == "f4") return convert_all<float, float>(bytes, [](float v) { return v; });
    if (dtype == "u1") return convert_all<uint8_t, float>(bytes, [](uint8_t v) { return static_cast<float>(v); });
    if (dtype == "i4") return convert_all<int32_t, float>(bytes, [](int32_t v) { return static_cast<float>(v); });
    if (dtype == "f8")
        return convert_all<double, float>(bytes, [&](double v) {
            if (std::isfinite(v) && std::abs(v) > std::numeric_limits<float>::max())
                throw Error("holds " + std::to_string(v) + ", which no float32 can", where);
            return static_cast<float>(v);
        });
    throw Error("holds values of type " + dtype + " where floats are expected", where, "save it as float32");
}

std::vector<double> Array::doubles(const std::string& where) const {
    if (dtype == "f8") return convert_all<double, double>(bytes, [](double v) { return v; });
    if (dtype == "f4") return convert_all<float, double>(bytes, [](float v) { return static_cast<double>(v); });
    if (dtype == "u1") return convert_all<uint8_t, double>(bytes, [](uint8_t v) { return static_cast<double>(v); });
    if (dtype == "i4") return convert_all<int32_t, double>(bytes, [](int32_t v) { return static_cast<double>(v); });
    throw Error("holds values of type " + dtype + " where floats are expected", where, "save it as float64");
}

std::vector<int32_t> Array::ints(const std::string& where) const {
    if (dtype == "i4") return convert_all<int32_t, int32_t>(bytes, [](int32_t v) { return v; });
    if (dtype == "u1") return convert_all<uint8_t, int32_t>(bytes, [](uint8_t v) { return int32_t{v}; });
    if (dtype == "i8")
        return convert_all<int64_t, int32_t>(bytes, [&](int64_t v) {
            if (v != static_cast<int32_t>(v)) throw Error("holds " + std::to_string(v) + ", which no int32 can", where);
            return static_cast<int32_t>(v);
        });
    throw Error("holds values of type " + dtype + " where integers are expected", where, "save it as int32");
}

Array decode_npy(std::span<const uint8_t> file, const std::string& where) {
    const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
    if (!text.starts_with(MAGIC)) throw Error("is not a .npy file", where);
    if (file.size() < 10) throw Error("the .npy file ends inside its header", where);
    const int major = file[6], minor = file[7];
    if ((major != 1 && major != 2) || minor != 0)
        throw Error(
            "has .npy format " + std::to_string(major) + "." + std::to_string(minor) + ", and leon reads 1.0 and 2.0",
            where);
    const size_t header_at = major == 1 ? 10 : 12;
    if (file.size() < header_at) throw Error("the .npy file ends inside its header", where);
    size_t header_bytes = 0;
    for (size_t i = header_at; i-- > 8;) header_bytes = header_bytes << 8 | file[i];
    if (header_bytes > file.size() - header_at) throw Error("the .npy file ends inside its header", where);

    std::string descr;
    bool fortran_order = false;
    Array array;
    HeaderParser(text.substr(header_at, header_bytes), where).parse(descr, fortran_order, array.shape);
    array.dtype = supported_dtype(descr);
    if (array.dtype.empty())
        throw Error("holds values of type " + shown(descr), where, "leon reads <f4, <f8, <i4, <i8 and |u1");
    if (fortran_order) throw Error("is in Fortran order", where, "save it with numpy.ascontiguousarray");

    const std::span<const uint8_t> values = file.subspan(header_at + header_bytes);
    const std::optional<int64_t> bytes = array_bytes(array.shape, item_bytes(array.dtype));
    if (!bytes || static_cast<uint64_t>(*bytes) != values.size())
        throw Error("shape " + python_shape(array.shape) + " of " + array.dtype + " does not fit the " +
                        std::to_string(values.size()) + " bytes that follow the header",
                    where);
    array.bytes.assign(values.begin(), values.end());
    return array;
}

Array load_npy(const std::string& path) {
    return decode_npy(MappedFile(path).bytes(), path);
}

void save_npy(const std::string& path, const float* values, const std::vector<int64_t>& shape) {
    save(path, "<f4", values, sizeof *values, shape);
}
void save_npy(const std::string& path, const int32_t* values, const std::vector<int64_t>& shape) {
    save(path, "<i4", values, sizeof *values, shape);
}
void save_npy(const std::string& path, const uint8_t* values, const std::vector<int64_t>& shape) {
    save(path, "|u1", values, sizeof *values, shape);
}

}  // namespace leon
