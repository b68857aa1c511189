// The restricted pickle machine: every opcode against what Python makes of it, and programs that must do no harm.
#include <string>

#include "weights_converter/pickle.h"

#include "tests/testing.h"

namespace leon {
namespace {

using namespace std::string_literals;

constexpr size_t ENOUGH = size_t{1} << 24;

// A value as text, in Python's spelling where it has one.
std::string show(const Pickle& p, PickleRef value, int depth = 8) {
    if (depth == 0) return "...";
    auto items = [&](const char* open, const char* close) {
        std::string text = open;
        for (uint32_t i = p.first_item(value); i != PICKLE_NOTHING; i = p.item(i).next) {
            if (text.size() > 1) text += ", ";
            if (p.item(i).key != PICKLE_NOTHING) text += show(p, p.item(i).key, depth - 1) + ": ";
            text += show(p, p.item(i).value, depth - 1);
        }
        return text + close;
    };
    switch (p.kind(value)) {
        case PickleKind::None:
            return "None";
        case PickleKind::Bool:
            return p.integer(value) ? "True" : "False";
        case PickleKind::Int:
            return std::to_string(p.integer(value));
        case PickleKind::Float:
            return std::to_string(p.real(value));
        case PickleKind::LongInt:
            return "long of " + std::to_string(p.text(value).size());
        case PickleKind::Text:
            return "'" + std::string(p.text(value)) + "'";
        case PickleKind::Bytes:
            return "b'" + std::string(p.text(value)) + "'";
        case PickleKind::List:
            return items("[", "]");
        case PickleKind::Tuple:
            return items("(", ")");
        case PickleKind::Dict:
            return items("{", "}");
        case PickleKind::Set:
            return items("<", ">");
        case PickleKind::Global:
            return std::string(p.module(value)) + "." + std::string(p.name(value));
        case PickleKind::Persistent:
            return "@" + show(p, p.id(value), depth - 1);
        case PickleKind::Object:
            return show(p, p.callee(value), depth - 1) + show(p, p.arguments(value), depth - 1) +
                   (p.first_item(value) == PICKLE_NOTHING ? "" : items("{", "}"));
    }
    return "?";
}

std::string run(const std::string& program, size_t bytes = ENOUGH) {
    MemoryBudget budget(bytes, "p");
    const Pickle pickle({reinterpret_cast<const uint8_t*>(program.data()), program.size()}, 0, budget, "p");
    CHECK(pickle.end() == program.size());
    return show(pickle, pickle.root());
}

std::string refused(const std::string& program, size_t bytes = ENOUGH) {
    return error_of([&] { run(program, bytes); });
}

}  // namespace

TEST_CASE("pickle: numbers of every protocol") {
    CHECK(run("N.") == "None");
    CHECK(run("\x88.") == "True");
    CHECK(run("\x89.") == "False");
    CHECK(run("I01\n.") == "True");
    CHECK(run("I00\n.") == "False");
    CHECK(run("I-17\n.") == "-17");
    CHECK(run("L-123456789012L\n.") == "-123456789012");
    CHECK(run("L99999999999999999999L\n.") == "long of 20");
    CHECK(run("K\xff.") == "255");
    CHECK(run("M\x01\x02.") == "513");
    CHECK(run("J\xfe\xff\xff\xff.") == "-2");
    CHECK(run("\x8a\0."s) == "0");
    CHECK(run("\x8a\x01\xff.") == "-1");
    CHECK(run("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.") == "9223372036854775807");
    CHECK(run("\x8a\x09\0\0\0\0\0\0\0\0\x01."s) == "long of 9");
    CHECK(run("\x8b\x02\0\0\0\x34\x12."s) == "4660");
    CHECK(run("F-2.5\n.") == "-2.500000");
    CHECK(run("G\xc0\x04\0\0\0\0\0\0."s) == "-2.500000");
    CHECK(contains(refused("I1x\n."), "malformed integer"));
    CHECK(contains(refused("I\n."), "malformed integer"));
    CHECK(contains(refused("Fx\n."), "malformed number"));
}

TEST_CASE("pickle: strings stay in the stream, and their lengths within it") {
    CHECK(run("S'ab'\n.") == "'ab'");
    CHECK(run("S\"ab\"\n.") == "'ab'");
    CHECK(run("Vab\n.") == "'ab'");
    CHECK(run("U\2ab.") == "'ab'");
    CHECK(run("X\x02\0\0\0ab."s) == "'ab'");
    CHECK(run("T\x02\0\0\0ab."s) == "'ab'");
    CHECK(run("\x8c\x02"s + "ab.") == "'ab'");
    CHECK(run("\x8d\x02\0\0\0\0\0\0\0ab."s) == "'ab'");
    CHECK(run("C\x02"s + "ab.") == "b'ab'");
    CHECK(run("B\x02\0\0\0ab."s) == "b'ab'");
    CHECK(run("\x8e\x02\0\0\0\0\0\0\0ab."s) == "b'ab'");
    CHECK(run("\x96\x02\0\0\0\0\0\0\0ab."s) == "b'ab'");
    CHECK(contains(refused("X\xff\xff\xff\xff"s + "ab."), "cut short"));
    CHECK(contains(refused("X\4\0\0\0ab."s), "cut short"));  // by one byte
    CHECK(contains(refused("M\1"), "cut short"));
    CHECK(contains(refused("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"s + "ab."), "cut short"));
    CHECK(contains(refused("\x8b\xff\xff\xff\xff."), "cut short"));
    CHECK(contains(refused("S'a\\'b'\n."), "escapes"));
    CHECK(contains(refused("V\\u0041\n."), "escapes"));
    CHECK(contains(refused("S'ab\n."), "quotes"));
    CHECK(contains(refused("S'\n."), "quotes"));
    CHECK(contains(refused("S'ab'."), "cut short"));
}

TEST_CASE("pickle: containers, marks and memory") {
    CHECK(run(").") == "()");
    CHECK(run("(t.") == "()");
    CHECK(run("(K\1K\2t.") == "(1, 2)");
    CHECK(run("K\1\x85.") == "(1)");
    CHECK(run("K\1K\2\x86.") == "(1, 2)");
    CHECK(run("K\1K\2K\3\x87.") == "(1, 2, 3)");
    CHECK(run("].") == "[]");
    CHECK(run("(K\1l.") == "[1]");
    CHECK(run("]K\1a(K\2K\3e.") == "[1, 2, 3]");
    CHECK(run("}K\1K\2s(K\3K\4K\5K\6u.") == "{1: 2, 3: 4, 5: 6}");
    CHECK(run("(K\1K\2d.") == "{1: 2}");
    CHECK(run("\x8f(K\1K\2\x90.") == "<1, 2>");
    CHECK(run("(K\1\x91.") == "<1>");
    CHECK(run("K\1K\2"
              "0.") == "1");
    CHECK(run("K\1(0.") == "1");  // POP of a mark
    CHECK(run("K\1(K\2K\3"
              "1.") == "1");
    CHECK(run("K\1"
              "2\x86.") == "(1, 1)");
    CHECK(run("](K\1(K\2ttp7\na.") == "[(1, (2))]");
    CHECK(run("]q\0K\1ah\0\x86."s) == "([1], [1])");
    CHECK(run("K\7\x94K\x9\x94\x86h\0\x86."s) == "((7, 9), 7)");
    CHECK(run("K\7r\5\0\0\0"
              "0j\5\0\0\0."s) == "7");
    CHECK(run("K\7p3\n0g3\n.") == "7");
    CHECK(run("\x80\x04\x95\2\0\0\0\0\0\0\0K\1."s) == "1");
    CHECK(run("]q\0h\0a."s) == "[[[[[[[[...]]]]]]]]");
}

TEST_CASE("pickle: names and calls are written down, never looked up") {
    CHECK(run("cos\nsystem\n.") == "os.system");
    CHECK(run("\x8c\2os\x8c\6system\x93.") == "os.system");
    CHECK(run("cos\nsystem\nU\4true\x85R.") == "os.system('true')");
    CHECK(run("cos\nsystem\n)\x81.") == "os.system()");
    CHECK(run("cos\nsystem\n)}\x92.") == "os.system()");
    CHECK(run("(K\1ios\nsystem\n.") == "os.system(1)");
    CHECK(run("(cos\nsystem\nK\1o.") == "os.system(1)");
    CHECK(run("cos\nsystem\n)R)R.") == "os.system()()");
    CHECK(run("cos\nsystem\n)R}b.") == "os.system()");
    CHECK(run("cos\nsystem\n)RK\1K\2s.") == "os.system(){1: 2}");
    CHECK(run("cos\nsystem\n)RK\1a.") == "os.system(){1}");
    CHECK(run("P12\n.") == "@'12'");
    CHECK(run("K\1Q.") == "@1");
    CHECK(contains(refused("K\1)R."), "not a function"));
    CHECK(contains(refused("cos\nsystem\n]R."), "not a tuple"));
    CHECK(contains(refused("K\1K\2\x93."), "not a string"));
    CHECK(contains(refused("]}b."), "no object"));
    CHECK(contains(refused("\x82\1."), "registry"));
    CHECK(contains(refused("\x97."), "buffer"));
    CHECK(contains(refused("\x98."), "buffer"));
}

TEST_CASE("pickle: what is malformed is refused, with the byte where") {
    for (const char* program :
         {".",     "0",  "1.",    "2.",  "a.",    "s.", "b.", "t.",  "\x85.", "R.", "Q.",  "]s.",
          "K\1s.", "(.", "(K\1.", "(a.", "](u.x", "u.", "e.", "(e.", "(u.",   "o.", "(o.", "K\1(\x85."}) {
        CAPTURE(program);
        CHECK(contains(refused(program), "at byte "));
    }
    CHECK(contains(refused(""), "STOP"));
    CHECK(contains(refused("N"), "STOP"));
    CHECK(contains(refused("NN."), "left over"));
    CHECK(contains(refused("\xfe."), "opcode 254"));
    CHECK(contains(refused("\x80\6N."), "protocol 6"));
    CHECK(contains(refused("\x95\xff\0\0\0\0\0\0\0."s), "cut short"));
    CHECK(contains(refused("}(K\1u."), "key without a value"));
    CHECK(contains(refused("(K\1d."), "key without a value"));
    CHECK(contains(refused("}K\1a."), "takes none"));
    CHECK(contains(refused("K\1K\2K\3s."), "takes none"));
    CHECK(contains(refused("h\0."s), "not stored"));
    CHECK(contains(refused("g-1\n."), "index"));
    CHECK(contains(refused("Nr\xff\xff\xff\x7f."), "place 2147483647"));
    CHECK(contains(refused("Nr\4\0\0\0"
                           "0h\0."s),
                   "not stored"));  // a place that was skipped
}

TEST_CASE("pickle: depth costs nothing, and no program outgrows its budget") {
    constexpr size_t DEEP = 200'000;
    std::string nested(DEEP, '(');
    nested += std::string(DEEP, 't') + ".";
    CHECK(run(nested, size_t{1} << 26).size() > 8);

    // Lists, marks, copies, memory and items by the million: a byte of the program each.
    constexpr size_t MANY = 2'000'000;
    std::string appends = "]";
    for (size_t i = 0; i < MANY; i++) appends += "Na";
    const std::string bombs[] = {std::string(MANY, ']'),
                                 std::string(MANY, '('),
                                 "N" + std::string(MANY, '2'),
                                 "N" + std::string(MANY, '\x94'),
                                 appends,
                                 "Nr\x40\x42\x0f\0"s + std::string(MANY, 'N')};
    for (const std::string& bomb : bombs) CHECK(contains(refused(bomb, size_t{1} << 20), "more memory"));
}

}  // namespace leon
