// .npy files: what NumPy writes is read, what leon writes is NumPy's byte for byte, and damage is an Error.
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "runtime/files.h"
#include "runtime/npy.h"

#include "tests/testing.h"

namespace leon {
namespace {

const std::string VECTORS = "tests/vectors/npy/";
const std::string SCRATCH = std::filesystem::temp_directory_path() / ("leon_test_npy." + std::to_string(getpid()));

// A version 1.0 file with this header text and these bytes of values.
std::vector<uint8_t> npy_bytes(const std::string& header, size_t value_bytes) {
    std::string text = "\x93NUMPY";
    text += {1, 0, static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
    text += header + std::string(value_bytes, '\0');
    return {text.begin(), text.end()};
}

Array decode(const std::string& header, size_t value_bytes) {
    return decode_npy(npy_bytes(header, value_bytes), "a.npy");
}

TEST_CASE("npy: every type that NumPy writes is read") {
    const std::vector<int64_t> shape = {2, 3};
    const std::vector<float> eighths = {0, 0.125f, -0.25f, 0.375f, 12.5f, -16};
    const std::vector<int32_t> values = {0, 1, -2, 3, 100, -128}, positive = {0, 1, 2, 3, 100, 128};
    for (const char* name : {"f4.npy", "f8.npy"}) {
        Array array = load_npy(VECTORS + name);
        CHECK(array.shape == shape);
        CHECK(array.elements() == 6);
        CHECK(array.floats(name) == eighths);
        CHECK_THROWS_AS(array.ints(name), Error);
    }
    for (const char* name : {"i4.npy", "i8.npy", "version_2.npy"}) CHECK(load_npy(VECTORS + name).ints(name) == values);
    CHECK(load_npy(VECTORS + "u1.npy").ints("u1") == positive);
    CHECK(load_npy(VECTORS + "u1.npy").floats("u1") == std::vector<float>(positive.begin(), positive.end()));
    CHECK(load_npy(VECTORS + "i4.npy").floats("i4") == std::vector<float>(values.begin(), values.end()));
    CHECK_THROWS_AS(load_npy(VECTORS + "i8.npy").floats("i8"), Error);
}

TEST_CASE("npy: scalars, vectors and empty arrays keep their shape") {
    Array scalar = load_npy(VECTORS + "scalar.npy");
    CHECK(scalar.shape.empty());
    CHECK(scalar.floats("scalar") == std::vector<float>{2.5f});
    CHECK(load_npy(VECTORS + "vector.npy").shape == std::vector<int64_t>{5});
    Array empty = load_npy(VECTORS + "empty.npy");
    CHECK(empty.shape == std::vector<int64_t>{0, 3});
    CHECK(empty.elements() == 0);
    CHECK(empty.floats("empty").empty());
}

TEST_CASE("npy: what leon saves is what NumPy saves, byte for byte") {
    for (const char* name : {"f4.npy", "i4.npy", "u1.npy", "scalar.npy", "vector.npy", "empty.npy"}) {
        Array array = load_npy(VECTORS + name);
        if (array.dtype == "f4") save_npy(SCRATCH, array.floats(name).data(), array.shape);
        if (array.dtype == "i4") save_npy(SCRATCH, array.ints(name).data(), array.shape);
        if (array.dtype == "u1") save_npy(SCRATCH, array.bytes.data(), array.shape);
        CHECK_MESSAGE(read_file(SCRATCH) == read_file(VECTORS + name), name);
    }
    std::filesystem::remove(SCRATCH);
}

TEST_CASE("npy: what was saved is loaded, bit for bit") {
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> values = {nan, -infinity, -0.0f, 1e-42f, 3.4e38f, 1};
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{6}, {1, 6}, {3, 1, 2}, {1, 1, 1, 1, 6}}) {
        save_npy(SCRATCH, values.data(), shape);
        Array array = load_npy(SCRATCH);
        CHECK(array.shape == shape);
        CHECK(std::memcmp(array.floats(SCRATCH).data(), values.data(), sizeof(float) * values.size()) == 0);
    }
    std::filesystem::remove(SCRATCH);
}

TEST_CASE("npy: conversions refuse what does not fit") {
    Array large{"i8", {1}, std::vector<uint8_t>(8, 0)};
    const int64_t beyond = int64_t{1} << 31;
    std::memcpy(large.bytes.data(), &beyond, 8);
    CHECK_THROWS_WITH_AS(large.ints("t.npy"), "t.npy: holds 2147483648, which no int32 can", Error);
    Array huge{"f8", {1}, std::vector<uint8_t>(8, 0)};
    const double too_large = 1e39, infinite = std::numeric_limits<double>::infinity();
    std::memcpy(huge.bytes.data(), &too_large, 8);
    CHECK_THROWS_AS(huge.floats("t.npy"), Error);
    std::memcpy(huge.bytes.data(), &infinite, 8);
    CHECK(std::isinf(huge.floats("t.npy")[0]));
}

TEST_CASE("npy: spacing, order and quotes of the header are free") {
    for (const char* header : {"{'descr':'<f4','fortran_order':False,'shape':(2,3)}",
                               "{ \"shape\" : ( 2 , 3 , ) , \"descr\" : \"<f4\" ,\n"
                               "\"fortran_order\" : False , }   \n"}) {
        Array array = decode(header, 24);
        CHECK(array.shape == std::vector<int64_t>{2, 3});
        CHECK(array.dtype == "f4");
    }
}

TEST_CASE("npy: files that NumPy writes and leon does not read are refused by name") {
    for (const char* name : {"bad_big_endian.npy", "bad_fortran.npy", "bad_half.npy", "bad_object.npy",
                             "bad_records.npy", "bad_text.npy"}) {
        std::string message;
        try {
            load_npy(VECTORS + name);
        } catch (const Error& error) {
            message = error.what();
        }
        CHECK_MESSAGE(message.starts_with(VECTORS + name), name);
        CHECK(message.find('\n') == std::string::npos);
    }
}

TEST_CASE("npy: headers that lie or are damaged are refused") {
    const std::string start = "{'descr': '<f4', 'fortran_order': False, 'shape': ";
    CHECK_NOTHROW(decode(start + "(2, 3), }", 24));
    for (const std::string& header : {
             start + "(2, 3), }x",                  // text behind
             start + "(2, 3)",                      // not closed
             start + "(2, 3), 'shape': (2, 3), }",  // twice
             start + "(2, 3), 'colour': 1, }",      // unknown
             start + "(2 3), }",
             start + "[2, 3], }",
             start + "(6), }",  // not a tuple
             start + "(-2, -3), }",
             start + "(2.0, 3), }",  // not counts
             start + "(0x2, 3), }",
             start + "(, ), }",                                           //
             start + "(4294967296, 4294967296), }",                       // 2^64 elements
             start + "(4611686018427387910,), }",                         // 2^64 + 24 bytes
             start + "(99999999999999999999,), }",                        // beyond 64 bits
             start + "(0, 9223372036854775807, 9223372036854775807), }",  // a zero does not excuse the rest
             std::string("{'descr': '<f4', 'shape': (2, 3), }"),          // a key is missing
             std::string("{'descr': 'f4', 'fortran_order': False, 'shape': (2, 3), }"),
             std::string("{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }"),
             std::string("{'descr': '<\\x664', 'fortran_order': False, 'shape': (2, 3), }"),
             std::string("__import__('os').system('true')"),
             std::string(),
         }) {
        INFO(header);
        CHECK_THROWS_AS(decode(header, 24), Error);
    }
    std::string deep = start + "(";
    for (int i = 0; i < 65; i++) deep += "1, ";
    CHECK_THROWS_AS(decode(deep + "), }", 4), Error);
}

TEST_CASE("npy: a file cut anywhere, or continued, is refused") {
    std::vector<uint8_t> whole = read_file(VECTORS + "i4.npy");
    for (size_t length = 0; length < whole.size(); length++)
        CHECK_THROWS_AS(decode_npy(std::span(whole).first(length), "cut.npy"), Error);
    std::vector<uint8_t> longer = whole;
    longer.push_back(0);
    CHECK_THROWS_AS(decode_npy(longer, "longer.npy"), Error);
    std::vector<uint8_t> version = whole;
    version[6] = 3;
    CHECK_THROWS_AS(decode_npy(version, "version.npy"), Error);
    CHECK_THROWS_AS(load_npy("tests/vectors/npy/absent.npy"), Error);
}

}  // namespace
}  // namespace leon
