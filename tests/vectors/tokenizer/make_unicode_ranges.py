"""Reads the character classes of the `tokenizers` library out of it, over all code points, and prints
tokenizer/unicode_ranges.h:

    pip install tokenizers==0.23.3
    python make_unicode_ranges.py > ../../../tokenizer/unicode_ranges.h && clang-format -i ../../../tokenizer/unicode_ranges.h

The library takes its classes from three places, and each has another version of Unicode: the regex engine Oniguruma
(\\p{L}, \\p{N}, \\s), Rust's char::is_numeric (Digits) and an old table of general categories (Punctuation).

The last line on the terminal is the hash that tests/test_tokenizer.cpp expects: FNV-1a over one byte a code point, the
bits of tokenizer/unicode.h.
"""
import sys

from tokenizers import Regex, pre_tokenizers, __version__

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
BLOCK = 4096


def isolated_by(pre_tokenizer):
    """The code points that the pre-tokenizer makes pieces of their own, between code points that it does not."""
    found = set()
    for first in range(0, len(CODE_POINTS), BLOCK):
        block = CODE_POINTS[first : first + BLOCK]
        text = "".join("\x01" + chr(c) for c in block)
        for _, (begin, end) in pre_tokenizer.pre_tokenize_str(text):
            if end - begin == 1 and begin % 2 == 1:
                found.add(block[begin // 2])
    return found


def ranges(code_points):
    result = []
    for c in sorted(code_points):
        if result and result[-1][1] == c - 1:
            result[-1][1] = c
        else:
            result.append([c, c])
    return result


def show(name, comment, code_points):
    body = ", ".join("{0x%X, 0x%X}" % (a, b) for a, b in ranges(code_points))
    print(f"// {comment}\ninline constexpr CodePointRange {name}[] = {{{body}}};\n")


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


numbers = isolated_by(split(r"\p{N}"))
digits = isolated_by(pre_tokenizers.Digits(True))
spaces = isolated_by(split(r"\s"))
letters = isolated_by(split(r"\p{L}"))
punctuation = isolated_by(pre_tokenizers.Punctuation())
assert numbers <= digits
print(f"""// Character classes as the `tokenizers` library {__version__} has them: ranges of code points, both ends included.
// Made by tests/vectors/tokenizer/make_unicode_ranges.py; not edited by hand. The classes come from different
// versions of Unicode because the library's do (its regex engine, Rust's standard library and an older table).
#pragma once

#include <cstdint>

namespace leon {{

struct CodePointRange {{
    uint32_t first, last;
}};
""")
show("SPACE_RANGES", r"\s of the ByteLevel pattern.", spaces)
show("NUMBER_RANGES", r"\p{N} of the ByteLevel pattern (Unicode 16).", numbers)
show("LATER_NUMBER_RANGES", "What the Digits step splits beyond NUMBER_RANGES (Unicode 17).", digits - numbers)
show("PUNCTUATION_RANGES", "What the Punctuation step splits: general category P (Unicode 8 or older) and all ASCII punctuation.",
     punctuation)
show("LETTER_RANGES", r"\p{L} of the ByteLevel pattern (Unicode 16).", letters)
print("}  // namespace leon")

value = 0xCBF29CE484222325
for c in range(0x110000):
    bits = (c in spaces) | (c in letters) << 1 | (c in numbers) << 2 | (c in digits) << 3 | (c in punctuation) << 4
    value = (value ^ bits) * 0x100000001B3 % 2**64
print(f"classes of all code points: {value:#x}", file=sys.stderr)
