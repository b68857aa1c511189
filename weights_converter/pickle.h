// Python's pickle format, protocols 0 to 5, read as data. A pickle is a program for a stack machine; this one runs it
// and executes nothing: where the program would import a name or call it, a value is made that says so.
//
//   None, Bool, Int, Float, Text, Bytes, List, Tuple, Dict, Set    themselves
//   LongInt      an integer beyond 64 bits, as its little-endian bytes
//   Global       "the thing called NAME in MODULE", which is never looked up
//   Object       "what CALLEE gives for ARGUMENTS", never called; with the items that were then put into it
//   Persistent   something outside the pickle, by its id
//
// Values lie in one arena and name each other by index, so cycles neither leak nor recurse, and nothing depends on how
// deep they are nested. Strings stay in the stream. Every list of the machine grows on a MemoryBudget, and time is
// linear in the stream. Refused with an Error: unknown opcodes, underflow, anything cut short, registered extensions,
// out-of-band buffers, and escapes in strings of protocol 0.
// Source: CPython's Lib/pickletools.py, which documents each opcode.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/memory_budget.h"

namespace leon {

enum class PickleKind : uint8_t {
    None,
    Bool,
    Int,
    Float,
    LongInt,
    Text,
    Bytes,
    List,
    Tuple,
    Dict,
    Set,
    Global,
    Object,
    Persistent
};

using PickleRef = uint32_t;                       // a value, as its place in the arena
constexpr PickleRef PICKLE_NOTHING = 0xffffffff;  // no value; the end of a chain of items

// An item of a container and where the next one is. In a Dict, and in an Object that got keys, `key` is a value too.
struct PickleItem {
    PickleRef key, value;
    uint32_t next;
};

class Pickle {
public:
    // Runs the pickle that begins at byte `start` of `stream`, which must outlive this. `where` is for messages.
    Pickle(std::span<const uint8_t> stream, size_t start, MemoryBudget& budget, const std::string& where);

    PickleRef root() const { return root_; }
    size_t end() const { return end_; }  // the first byte of the stream behind this pickle
    PickleRef values() const { return static_cast<PickleRef>(values_.size()); }

    PickleKind kind(PickleRef value) const { return values_[value].kind; }
    bool is(PickleRef value, PickleKind kind) const { return values_[value].kind == kind; }
    int64_t integer(PickleRef value) const { return values_[value].integer; }  // Bool, Int
    double real(PickleRef value) const { return values_[value].real; }         // Float
    std::string_view text(PickleRef value) const {                             // Text, Bytes, LongInt
        return {values_[value].text, values_[value].size};
    }
    // Global. Both parts are Texts.
    std::string_view module(PickleRef value) const { return text(values_[value].pair.first); }
    std::string_view name(PickleRef value) const { return text(values_[value].pair.second); }
    bool is_global(PickleRef value, std::string_view module_name, std::string_view global_name) const {
        return is(value, PickleKind::Global) && module(value) == module_name && name(value) == global_name;
    }
    PickleRef id(PickleRef value) const { return values_[value].pair.first; }  // Persistent
    // Object: a Global or an Object, and a Tuple.
    PickleRef callee(PickleRef value) const { return items_[values_[value].size].key; }
    PickleRef arguments(PickleRef value) const { return items_[values_[value].size].value; }

    // List, Tuple, Dict, Set, Object: for (uint32_t i = first_item(v); i != PICKLE_NOTHING; i = item(i).next)
    uint32_t first_item(PickleRef value) const { return values_[value].pair.first; }
    const PickleItem& item(uint32_t i) const { return items_[i]; }
    // The values in it, but no more than `limit` of them.
    std::vector<PickleRef> items(PickleRef value, size_t limit) const;

private:
    friend class PickleMachine;
    struct Pair {
        uint32_t first, second;
    };
    struct Value {
        PickleKind kind;
        uint32_t size;  // of a text in bytes; of an Object: the item that holds callee and arguments
        union {
            int64_t integer;
            double real;
            const char* text;
            Pair pair;  // first and last item; the parts of a Global; the id of a Persistent
        };
    };
    std::vector<Value> values_;
    std::vector<PickleItem> items_;
    PickleRef root_ = PICKLE_NOTHING;
    size_t end_ = 0;
};

}  // namespace leon
