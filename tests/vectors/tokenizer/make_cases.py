"""Makes the tokenizer cases: small tokenizer.json files, trained here on the sentences below, and what the `tokenizers`
library does with a list of texts.

    pip install tokenizers==0.23.3
    python make_cases.py                  writes chameleon/, gpt2/ and options/ beside this script

cases.jsonl has one case a line: "text"; "ids", where added tokens are recognised; "as_text", where they are not (left
out if equal); "decoded", what the ids decode to (left out if it is the text). Everything is seeded: the same library
gives the same bytes.
"""
import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SENTENCES = """
The lizard sat on the warm stone and waited for the sun to come back.
A small red circle stands to the left of a large blue square, and nothing else is in the picture.
Describe the given picture. What is the dog carrying? The dog is carrying a stick.
Question: how many boats are on the lake? Answer: there are three boats, and one of them is green.
Make the sky darker, then put a yellow moon over the house with the broken window.
She said that it wasn't hers, that they'd seen it, that he'll bring it and that we've all been there.
I'm sure you're right; it's what they were told, and they'll know what I'd do.
Running, jumping and swimming are better than sitting, thinking and waiting.
In 1991 the station sold 20,480 tickets at 3.50 each, which is 71,680 in all.
def area(width, height):\n    if width < 0 or height < 0:\n        return None\n    return width * height
for (int i = 0; i < rows; i++) {\n\tsum += table[i] * weight[i];\n}
Der kleine Drache saß am Fluss und hörte den Vögeln zu; später wurde es kühl.
Le garçon a mangé une pêche près de la fenêtre où dormait le chat, n'est-ce pas ?
El niño soñó con un pájaro azul que volaba sobre el mar. ¿Dónde está ahora?
Маленькая ящерица сидела на тёплом камне и ждала солнца.
Η σαύρα κάθεται στην πέτρα και περιμένει τον ήλιο.
小さなトカゲが石の上で太陽を待っています。
一只小蜥蜴坐在温暖的石头上等待太阳。
작은 도마뱀이 따뜻한 돌 위에 앉아 해를 기다린다.
السحلية الصغيرة تجلس على الحجر الدافئ.
छोटी छिपकली गर्म पत्थर पर बैठी है।
""".strip().split("\n")

CHAMELEON_SPLITS = [
    r"<sentinel:[0-9]+>",
    r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    "([\t\n]|    |  )",
]

HAND_WRITTEN = [
    "", " ", "  ", "   ", "    ", "     ", "      ", "       ", "        ", "\n", "\n\n", "\t", "\r\n", " \n ", "\t\t  \t",
    "a", " a", "  a", "    a", "a ", "a  ", "a   b", "a     b", "a\n\n  b", "\u00a0", "\u00a0a", " \u00a0 a", "\u3000\u3000x",
    "\u2028", "\u0085 x", "\u200b", "\ufeffx", "\u180e", "\x00", "\x00\x00a", "\x7f", "\x1b[0m", "\ufffd", "\U0010ffff", "\U0001f98e",
    "\U0001f469\u200d\U0001f680", "\U0001f1e9\U0001f1ea", "e\u0301", "\u00e9", "\u1e9e\u00df", "\ufb01", "\u0660\u0661", "\u2167", "\u00b2\u00bd", "\u3007",
    "1", "12", "1234567", " 1", " 12", "a1b2", "1.5", "3,141", "1e-5", "\U0001d7d8\U0001d7d9",
    ".", "...", " .", ". .", "!?", "a.b", "a . b", "(a)", "\"a\"", "'", "''", "'s", "it's", "it'S", " 's", "we'll", "I'd've", "'re're", "'l", "'ll'",
    "\u2019s", "\u00ab\u00bb", "\u2014", "$5", "a+b=c", "^", "`x`", "~", "<", ">", "<>", "< s>", "\u00a9\u00ae", "\u20ac",
    "<s>", "</s>", "<s></s>", "a<s>b", " <s> ", "<pad><unk>", "<s", "s>", "<<s>>", "<S>", "<sentinel:0>", "<sentinel:7>", "<sentinel:8>", "<sentinel:>",
    "<sentinel:0><sentinel:1>", "x<sentinel:3>y", "<sentinel:00>", "<racm3:break>", "a <racm3:break> b", "<racm3:break", "<eoss>", "<reserved08706>", "<reserved08799>",
    "IMGIMGAZ", "IMGIMGJZ", "IMGIMGBAZ", "IMGIMGGDZ", "IMGIMGGEZ", "IMGIMGABCDEZ", "IMGIMGZ", "IMGIMGAz", "IMGIMGIMGIMGAZ", "xIMGIMGAZIMGIMGBZy", "<|endoftext|>", "a<|endoftext|>b", "<|endoftext|",
    "the", "The", " the", "theme", "THE END", "carrying", "uncharacteristically", "a" * 47, "a" * 48, "a" * 49, "a" * 500, "ab" * 60,
    "\u0430" * 40, "\u4e2d" * 30, "\U0001f98e" * 20, "x" * 100 + " " + "y" * 100, "-" * 60, "=" * 81, " " * 100, "\n" * 50, "1" * 70, "'" * 20, "'s" * 30,
    "def f(x):\n    return x\n", "int main() {\n\treturn 0;\n}\n", "{\"a\": [1, 2, 3]}", "https://example.org/a?b=c&d=%20", "C:\\dir\\file.txt", "name@example.org",
    "A small red circle.", "Question: what is it? Answer: ", "Describe the given picture. ", "Draw a lizard, please!",
]


def random_texts(tokenizer, count, seed):
    """Texts made to meet the rules: runs, seams between classes, whole and broken added tokens, any code point."""
    r = random.Random(seed)
    characters = list("aAbeEstTdmlrv'' \t\n\r.,!<>?[](){}:;0123456789/\\\"$+=_-")
    characters += list("\u00df\u00e9\u00f1\u4e2d\u6587\ud55c\uad6d\u2603\U0001f600\u200d\u00a0\u3000\u2028\u0085\u0000\u0001\u007f\u0301\u0663\u096f\u2163\u00bd\u00b2\U0001d7d8\ufeff\u1680\u00ab\u2019\u2026")
    names = sorted(token.content for token in tokenizer.get_added_tokens_decoder().values())
    words = " ".join(SENTENCES[:12]).split(" ")
    texts = []
    for _ in range(count):
        text = ""
        for _ in range(r.randint(1, 14)):
            kind = r.random()
            if kind < 0.3:
                text += r.choice(characters)
            elif kind < 0.4:
                text += r.choice(characters) * r.randint(2, 9)
            elif kind < 0.7:
                text += r.choice(["", " "]) + r.choice(words)
            elif kind < 0.9:
                name = r.choice(names)
                text += r.choice([name, name, name[:-1], name[1:], " " + name + "  ", "\n" + name + "\t"])
            else:
                code_point = r.randrange(0x110000)
                text += "" if 0xD800 <= code_point < 0xE000 else chr(code_point)
        texts.append(text)
    return texts


def trained(pre_tokenizer, vocabulary, specials_first, specials_last=()):
    """A byte-level BPE tokenizer of that many text tokens, with control tokens before and after them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator([s.encode().decode("unicode_escape") if "\\" in s else s for s in SENTENCES] * 3, trainer)
    spec = json.loads(tokenizer.to_str())
    first = len(specials_first)
    text = sorted(spec["model"]["vocab"].items(), key=lambda item: item[1])
    vocab = {name: i for i, name in enumerate(specials_first)}
    vocab.update({name: first + i for name, i in text})
    vocab.update({name: first + len(text) + i for i, name in enumerate(specials_last)})
    spec["model"]["vocab"] = vocab
    spec["added_tokens"] = [added(vocab[name], name) for name in [*specials_first, *specials_last]]
    return spec


def added(number, name, **flags):
    entry = {"id": number, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {**entry, **flags}


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def letters(number):
    return "IMGIMG" + "".join(chr(ord("A") + int(digit)) for digit in str(number)) + "Z"


def chameleon():
    """Six steps, control tokens in front; merges written as strings, as files of that time have them."""
    steps = [split(pattern) for pattern in CHAMELEON_SPLITS]
    steps += [pre_tokenizers.Digits(True), pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    specials = ["<s>", "<pad>", "</s>", "<unk>", *[letters(code) for code in range(64)], "<eoss>", "<racm3:break>"]
    specials += [f"<sentinel:{i}>" for i in range(8)] + [f"<reserved{i:05}>" for i in (8706, 8707, 8799, 8800)]
    spec = trained(pre_tokenizers.Sequence(steps), 900, specials)
    spec["model"]["merges"] = [" ".join(pair) for pair in spec["model"]["merges"]]
    return spec


def gpt2():
    """ByteLevel alone and merges written as pairs."""
    return trained(pre_tokenizers.ByteLevel(add_prefix_space=False), 1100, [], ["<|endoftext|>"])


def options():
    """What the other two do not use: a space before the text, digits in runs, added tokens that swallow white space, are
    matched in the second pass, or begin alike, and ids with gaps."""
    steps = [pre_tokenizers.Digits(False), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    spec = trained(pre_tokenizers.Sequence(steps), 500, [])
    next_id = len(spec["model"]["vocab"])
    flags = [
        ("<left>", {"lstrip": True}), ("<right>", {"rstrip": True}), ("<both>", {"lstrip": True, "rstrip": True}),
        ("<late>", {"normalized": True}), ("<late-left>", {"normalized": True, "lstrip": True}),
        ("<late-both>", {"normalized": True, "lstrip": True, "rstrip": True}),
        ("<a>", {}), ("<a><b>", {}), ("<a><b><c>", {}), ("> <", {}), ("liz", {}), ("lizards", {}), ("\u00e9\u4e2d", {}),
    ]
    # In the vocabulary too: for others the library makes up ids of its own.
    spec["model"]["vocab"].update({name: next_id + 3 * i for i, (name, _) in enumerate(flags)})
    spec["added_tokens"] = [added(spec["model"]["vocab"][name], name, **flag) for name, flag in flags]
    return spec


def write(folder, spec, texts_of):
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), folder)
    os.makedirs(here, exist_ok=True)
    source = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
    with open(os.path.join(here, "tokenizer.json"), "w", encoding="utf-8") as file:
        file.write(source)
    tokenizer = Tokenizer.from_str(source)
    with open(os.path.join(here, "cases.jsonl"), "w", encoding="utf-8") as file:
        for text in texts_of(tokenizer):
            tokenizer.encode_special_tokens = False
            case = {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
            decoded = tokenizer.decode(case["ids"], skip_special_tokens=False)
            tokenizer.encode_special_tokens = True
            as_text = tokenizer.encode(text, add_special_tokens=False).ids
            if as_text != case["ids"]:
                case["as_text"] = as_text
            if decoded != text:
                case["decoded"] = decoded
            file.write(json.dumps(case, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    for seed, make in enumerate([chameleon, gpt2, options]):
        write(make.__name__, make(), lambda tokenizer: HAND_WRITTEN + SENTENCES + random_texts(tokenizer, 250, seed))
