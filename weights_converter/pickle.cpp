// The stack machine of pickle.h. One function per kind of opcode; the big switch at the end says which is which.
#include "weights_converter/pickle.h"

#include <charconv>
#include <cstring>

namespace leon {

class PickleMachine {
public:
    PickleMachine(Pickle& pickle, std::span<const uint8_t> stream, size_t start, MemoryBudget& budget,
                  const std::string& where)
        : pickle_(pickle), stream_(stream), at_(start), budget_(budget), where_(where) {
        for (int64_t i = 0; i < SMALL_INTEGERS; i++) add_integer(PickleKind::Int, i);
        none_ = add(PickleKind::None);
        false_ = add_integer(PickleKind::Bool, 0);
        true_ = add_integer(PickleKind::Bool, 1);
        empty_tuple_ = add(PickleKind::Tuple);
    }

    void run() {
        while (at_ < stream_.size()) {
            opcode_at_ = at_;
            const uint8_t opcode = stream_[at_++];
            if (opcode == '.') {
                pickle_.root_ = pop();
                pickle_.end_ = at_;
                if (!stack_.empty() || !marks_.empty()) fail("stops with values left over");
                return;
            }
            step(opcode);
        }
        opcode_at_ = at_;
        fail("ends without a STOP");
    }

private:
    static constexpr int64_t SMALL_INTEGERS = 256;  // made once: the commonest values of checkpoints cost nothing
    static constexpr uint32_t END_OF_ITEMS = PICKLE_NOTHING;

    Pickle& pickle_;
    std::span<const uint8_t> stream_;
    size_t at_, opcode_at_ = 0;
    MemoryBudget& budget_;
    const std::string& where_;
    std::vector<PickleRef> stack_, memo_;
    std::vector<size_t> marks_;  // the height of the stack at each MARK that is still open
    PickleRef none_, false_, true_, empty_tuple_;

    [[noreturn]] void fail(const std::string& what) const {
        throw Error("the pickle " + what + " at byte " + std::to_string(opcode_at_), where_,
                    "the file may be incomplete or damaged");
    }

    // --- values ---

    PickleRef add(Pickle::Value value) {
        if (pickle_.values_.size() >= PICKLE_NOTHING - 1) fail("has too many values");
        budget_.push(pickle_.values_, value);
        return static_cast<PickleRef>(pickle_.values_.size() - 1);
    }
    PickleRef add(PickleKind kind) {  // without items
        Pickle::Value value = {kind, 0, {}};
        value.pair = {END_OF_ITEMS, END_OF_ITEMS};
        return add(value);
    }
    PickleRef add_integer(PickleKind kind, int64_t integer) {
        Pickle::Value value = {kind, 0, {}};
        value.integer = integer;
        return add(value);
    }
    PickleRef add_real(double real) {
        Pickle::Value value = {PickleKind::Float, 0, {}};
        value.real = real;
        return add(value);
    }
    PickleRef add_text(PickleKind kind, std::string_view text) {
        if (text.size() > UINT32_MAX) fail("holds a string of more than 4 GB");
        Pickle::Value value = {kind, static_cast<uint32_t>(text.size()), {}};
        value.text = text.data();
        return add(value);
    }
    PickleRef add_pair(PickleKind kind, PickleRef first, PickleRef second) {
        Pickle::Value value = {kind, 0, {}};
        value.pair = {first, second};
        return add(value);
    }
    PickleRef integer(int64_t value) {
        return value >= 0 && value < SMALL_INTEGERS ? static_cast<PickleRef>(value)
                                                    : add_integer(PickleKind::Int, value);
    }

    uint32_t add_item(PickleRef key, PickleRef value) {
        if (pickle_.items_.size() >= END_OF_ITEMS - 1) fail("has too many items");
        budget_.push(pickle_.items_, PickleItem{key, value, END_OF_ITEMS});
        return static_cast<uint32_t>(pickle_.items_.size() - 1);
    }
    void append(PickleRef container, PickleRef key, PickleRef value) {
        const uint32_t item = add_item(key, value);
        Pickle::Pair& ends = pickle_.values_[container].pair;
        if (ends.first == END_OF_ITEMS) {
            ends.first = item;
        } else {
            pickle_.items_[ends.second].next = item;
        }
        ends.second = item;
    }

    // --- the stack, whose values below the last mark are out of reach ---

    size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
    void push(PickleRef value) { budget_.push(stack_, value); }
    PickleRef pop() {
        if (stack_.size() <= floor()) fail("takes a value from an empty stack");
        const PickleRef value = stack_.back();
        stack_.pop_back();
        return value;
    }
    PickleRef top() const {
        if (stack_.size() <= floor()) fail("takes a value from an empty stack");
        return stack_.back();
    }
    // Closes the last mark. The values above it are stack_[result...], for the caller to take and then cut off.
    size_t close_mark() {
        if (marks_.empty()) fail("lacks a MARK");
        const size_t first = marks_.back();
        marks_.pop_back();
        return first;
    }

    // --- what opcodes carry with them ---

    std::string_view take(uint64_t bytes) {
        if (bytes > stream_.size() - at_) fail("is cut short");
        const char* start = reinterpret_cast<const char*>(stream_.data()) + at_;
        at_ += bytes;
        return {start, static_cast<size_t>(bytes)};
    }
    uint64_t number(size_t bytes) {
        uint64_t value = 0;
        const std::string_view text = take(bytes);
        for (size_t i = 0; i < bytes; i++) value |= static_cast<uint64_t>(static_cast<uint8_t>(text[i])) << (8 * i);
        return value;
    }
    std::string_view counted(size_t bytes_of_length) { return take(number(bytes_of_length)); }
    std::string_view line() {
        const void* newline = at_ < stream_.size() ? std::memchr(&stream_[at_], '\n', stream_.size() - at_) : nullptr;
        if (!newline) fail("is cut short");
        const std::string_view text = take(static_cast<size_t>(static_cast<const uint8_t*>(newline) - &stream_[at_]));
        at_++;
        return text;
    }

    // --- opcodes ---

    // An integer of any width in two's complement, little-endian.
    PickleRef long_integer(std::string_view bytes) {
        if (bytes.size() > sizeof(int64_t)) return add_text(PickleKind::LongInt, bytes);
        uint64_t value = !bytes.empty() && bytes.back() & 0x80 ? ~uint64_t{0} : 0;
        for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
        return integer(static_cast<int64_t>(value));
    }
    PickleRef decimal_integer(std::string_view text, bool may_be_bool) {
        if (may_be_bool && text == "00") return false_;
        if (may_be_bool && text == "01") return true_;
        if (!may_be_bool && !text.empty() && text.back() == 'L') text.remove_suffix(1);
        int64_t value = 0;
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (status == std::errc::result_out_of_range && end == text.data() + text.size())
            return add_text(PickleKind::LongInt, text);
        if (status != std::errc() || end != text.data() + text.size()) fail("holds a malformed integer");
        return integer(value);
    }
    PickleRef decimal_real(std::string_view text) {
        double value = 0;
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (status == std::errc::invalid_argument || end != text.data() + text.size()) fail("holds a malformed number");
        return add_real(value);
    }
    PickleRef binary_real() {
        uint64_t bits = __builtin_bswap64(number(8));
        double value;
        std::memcpy(&value, &bits, sizeof value);
        return add_real(value);
    }
    PickleRef unescaped(std::string_view text) {
        if (text.find('\\') != std::string_view::npos) fail("holds a string with escapes");
        return add_text(PickleKind::Text, text);
    }
    PickleRef quoted(std::string_view text) {
        if (text.size() < 2 || (text[0] != '\'' && text[0] != '"') || text.back() != text[0])
            fail("holds a string without quotes");
        return unescaped(text.substr(1, text.size() - 2));
    }

    // The values above the last mark, as a tuple or list.
    PickleRef collect(PickleKind kind) {
        const size_t first = close_mark();
        if (kind == PickleKind::Tuple && first == stack_.size()) return empty_tuple_;
        const PickleRef container = add(kind);
        for (size_t i = first; i < stack_.size(); i++) append(container, PICKLE_NOTHING, stack_[i]);
        stack_.resize(first);
        return container;
    }
    PickleRef collect_pairs() {
        const size_t first = close_mark();
        const PickleRef container = add(PickleKind::Dict);
        set_pairs(container, first);
        return container;
    }
    void set_pairs(PickleRef container, size_t first) {
        if ((stack_.size() - first) % 2 != 0) fail("has a key without a value");
        for (size_t i = first; i < stack_.size(); i += 2) append(container, stack_[i], stack_[i + 1]);
        stack_.resize(first);
    }
    PickleRef small_tuple(size_t size) {
        if (stack_.size() - floor() < size) fail("takes a value from an empty stack");
        const PickleRef tuple = add(PickleKind::Tuple);
        const size_t first = stack_.size() - size;
        for (size_t i = first; i < stack_.size(); i++) append(tuple, PICKLE_NOTHING, stack_[i]);
        stack_.resize(first);
        return tuple;
    }

    // Objects take items too: subclasses of list and dict do.
    PickleRef container(PickleRef value, PickleKind kind) const {
        if (!pickle_.is(value, kind) && !pickle_.is(value, PickleKind::Object)) fail("adds an item to what takes none");
        return value;
    }
    void append_marked(PickleKind kind) {
        const size_t first = close_mark();
        if (first <= floor()) fail("takes a value from an empty stack");
        const PickleRef to = container(stack_[first - 1], kind);
        for (size_t i = first; i < stack_.size(); i++) append(to, PICKLE_NOTHING, stack_[i]);
        stack_.resize(first);
    }
    void set_marked() {
        const size_t first = close_mark();
        if (first <= floor()) fail("takes a value from an empty stack");
        set_pairs(container(stack_[first - 1], PickleKind::Dict), first);
    }

    PickleRef global(PickleRef module, PickleRef name) {
        if (!pickle_.is(module, PickleKind::Text) || !pickle_.is(name, PickleKind::Text))
            fail("names a global by something that is not a string");
        return add_pair(PickleKind::Global, module, name);
    }
    PickleRef global_from_lines() {
        const PickleRef module = add_text(PickleKind::Text, line());
        return global(module, add_text(PickleKind::Text, line()));
    }
    // What would be a call. It is written down, and that is all.
    PickleRef object(PickleRef callee, PickleRef arguments) {
        if (!pickle_.is(callee, PickleKind::Global) && !pickle_.is(callee, PickleKind::Object))
            fail("calls what is not a function");
        if (!pickle_.is(arguments, PickleKind::Tuple)) fail("calls with arguments that are not a tuple");
        const PickleRef object = add(PickleKind::Object);
        pickle_.values_[object].size = add_item(callee, arguments);
        return object;
    }

    PickleRef remembered(uint64_t index) const {
        if (index >= memo_.size() || memo_[index] == PICKLE_NOTHING) fail("recalls what it has not stored");
        return memo_[index];
    }
    // A pickle of n bytes has no use for more than n places.
    void remember(uint64_t index) {
        if (index >= stream_.size()) fail("stores into place " + std::to_string(index) + " of its memory");
        const PickleRef value = top();
        if (index == memo_.size()) {
            budget_.push(memo_, value);
            return;
        }
        if (index > memo_.size()) {
            if (index >= memo_.capacity()) budget_.reserve(memo_, 2 * (index + 1));
            memo_.resize(index + 1, PICKLE_NOTHING);
        }
        memo_[index] = value;
    }
    uint64_t decimal_index() {
        const PickleRef value = decimal_integer(line(), false);
        if (!pickle_.is(value, PickleKind::Int) || pickle_.integer(value) < 0) fail("has a malformed index");
        return static_cast<uint64_t>(pickle_.integer(value));
    }

    void step(uint8_t opcode) {
        switch (opcode) {
            case '(':  // MARK
                return budget_.push(marks_, stack_.size());
            case '0':  // POP, which also takes away a mark
                if (!marks_.empty() && stack_.size() == marks_.back()) return marks_.pop_back();
                pop();
                return;
            case '1':  // POP_MARK
                return stack_.resize(close_mark());
            case '2':  // DUP
                return push(top());
            case 0x80:  // PROTO
                if (const uint64_t protocol = number(1); protocol > 5)
                    fail("is of protocol " + std::to_string(protocol));
                return;
            case 0x95:  // FRAME: a hint for buffering
                if (number(8) > stream_.size() - at_) fail("is cut short");
                return;

            case 'N':
                return push(none_);
            case 0x88:
                return push(true_);
            case 0x89:
                return push(false_);
            case 'K':
                return push(integer(static_cast<int64_t>(number(1))));
            case 'M':
                return push(integer(static_cast<int64_t>(number(2))));
            case 'J':
                return push(integer(static_cast<int32_t>(static_cast<uint32_t>(number(4)))));
            case 'I':
                return push(decimal_integer(line(), true));
            case 'L':
                return push(decimal_integer(line(), false));
            case 0x8a:  // LONG1
                return push(long_integer(counted(1)));
            case 0x8b:  // LONG4
                return push(long_integer(counted(4)));
            case 'F':
                return push(decimal_real(line()));
            case 'G':
                return push(binary_real());

            case 'S':
                return push(quoted(line()));
            case 'V':
                return push(unescaped(line()));
            case 'U':   // SHORT_BINSTRING
            case 0x8c:  // SHORT_BINUNICODE
                return push(add_text(PickleKind::Text, counted(1)));
            case 'T':  // BINSTRING
            case 'X':  // BINUNICODE
                return push(add_text(PickleKind::Text, counted(4)));
            case 0x8d:  // BINUNICODE8
                return push(add_text(PickleKind::Text, counted(8)));
            case 'C':  // SHORT_BINBYTES
                return push(add_text(PickleKind::Bytes, counted(1)));
            case 'B':  // BINBYTES
                return push(add_text(PickleKind::Bytes, counted(4)));
            case 0x8e:  // BINBYTES8
            case 0x96:  // BYTEARRAY8
                return push(add_text(PickleKind::Bytes, counted(8)));

            case ')':
                return push(empty_tuple_);
            case 0x85:
            case 0x86:
            case 0x87:  // TUPLE1, TUPLE2, TUPLE3
                return push(small_tuple(opcode - 0x84u));
            case 't':
                return push(collect(PickleKind::Tuple));
            case ']':
                return push(add(PickleKind::List));
            case 'l':
                return push(collect(PickleKind::List));
            case 'a': {  // APPEND
                const PickleRef value = pop();
                return append(container(top(), PickleKind::List), PICKLE_NOTHING, value);
            }
            case 'e':  // APPENDS
                return append_marked(PickleKind::List);
            case 0x8f:  // EMPTY_SET
                return push(add(PickleKind::Set));
            case 0x91:  // FROZENSET
                return push(collect(PickleKind::Set));
            case 0x90:  // ADDITEMS
                return append_marked(PickleKind::Set);
            case '}':
                return push(add(PickleKind::Dict));
            case 'd':
                return push(collect_pairs());
            case 's': {  // SETITEM
                const PickleRef value = pop(), key = pop();
                return append(container(top(), PickleKind::Dict), key, value);
            }
            case 'u':  // SETITEMS
                return set_marked();

            case 'p':
                return remember(decimal_index());
            case 'q':
                return remember(number(1));
            case 'r':
                return remember(number(4));
            case 0x94:  // MEMOIZE
                return remember(memo_.size());
            case 'g':
                return push(remembered(decimal_index()));
            case 'h':
                return push(remembered(number(1)));
            case 'j':
                return push(remembered(number(4)));

            case 'c':
                return push(global_from_lines());
            case 0x93: {  // STACK_GLOBAL
                const PickleRef name = pop(), module = pop();
                return push(global(module, name));
            }
            case 'R':     // REDUCE
            case 0x81: {  // NEWOBJ
                const PickleRef arguments = pop(), callee = pop();
                return push(object(callee, arguments));
            }
            case 0x92: {  // NEWOBJ_EX: arguments by name, too, which are dropped
                pop();
                const PickleRef arguments = pop(), callee = pop();
                return push(object(callee, arguments));
            }
            case 'i': {  // INST
                const PickleRef callee = global_from_lines();
                return push(object(callee, collect(PickleKind::Tuple)));
            }
            case 'o': {  // OBJ: the callee is the first above the mark
                const PickleRef arguments = collect_behind_first();
                return push(object(pop(), arguments));
            }
            case 'b':  // BUILD: an object's attributes, which are dropped
                pop();
                if (!pickle_.is(top(), PickleKind::Object)) fail("gives attributes to what is no object");
                return;
            case 'P':
                return push(add_pair(PickleKind::Persistent, add_text(PickleKind::Text, line()), PICKLE_NOTHING));
            case 'Q':
                return push(add_pair(PickleKind::Persistent, pop(), PICKLE_NOTHING));

            case 0x82:
            case 0x83:
            case 0x84:
                fail("uses the extension registry of a program");
            case 0x97:
            case 0x98:
                fail("refers to a buffer outside itself");
            default:
                fail("has the unknown opcode " + std::to_string(opcode));
        }
    }

    PickleRef collect_behind_first() {
        if (marks_.empty()) fail("lacks a MARK");
        if (stack_.size() == marks_.back()) fail("takes a value from an empty stack");
        marks_.back()++;
        return collect(PickleKind::Tuple);
    }
};

Pickle::Pickle(std::span<const uint8_t> stream, size_t start, MemoryBudget& budget, const std::string& where) {
    PickleMachine(*this, stream, start, budget, where).run();
}

std::vector<PickleRef> Pickle::items(PickleRef value, size_t limit) const {
    std::vector<PickleRef> list;
    for (uint32_t i = first_item(value); i != PICKLE_NOTHING && list.size() < limit; i = item(i).next)
        list.push_back(item(i).value);
    return list;
}

}  // namespace leon
