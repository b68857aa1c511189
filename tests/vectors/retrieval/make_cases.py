#!/usr/bin/env python3
"""Writes hashed_text.json and hashed_codes.json: what the native embedder must give for a few texts and grids.

A second implementation of the features that retrieval/native_embedder.cpp describes, from its comments. Needs only
Python's own library. Run it here: python3 make_cases.py
"""
import json
import math
import unicodedata

DIM = 512
MASK = (1 << 64) - 1


def fnv_mix(data: bytes, seed: int) -> int:
    h = 0xCBF29CE484222325 ^ seed
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & MASK
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


def hashed(features):
    groups = {}
    for h, weight in features:
        groups.setdefault(h, []).append(weight)
    v = [0.0] * DIM
    for h, weights in groups.items():
        value = min(weights) * (1 + math.log(len(weights)))
        v[(h >> 1) % DIM] += value if h & 1 else -value
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v] if length else v


def words_of(text):
    words, word = [], ""
    for c in text:
        ascii_sign = c.isascii() and not c.isalnum()
        if ord(c) < 0x21 or c.isspace() or ascii_sign or unicodedata.category(c).startswith("P"):
            if word:
                words.append(word)
            word = ""
        else:
            word += c.lower() if c.isascii() else c
    return words + ([word] if word else [])


def hashed_text(text):
    words = words_of(text)
    weight = [len(w) / (len(w) + 3) for w in words]
    features = []
    for i, w in enumerate(words):
        marked = "<" + w + ">"
        features.append((fnv_mix(marked.encode(), 1), weight[i]))
        grams = [marked[j : j + n] for n in (3, 4) for j in range(len(marked) - n + 1)]
        for g in grams:
            features.append((fnv_mix(g.encode(), 3), 0.7 * weight[i] / math.sqrt(len(grams))))
        if i:
            pair = "<" + words[i - 1] + ">" + marked
            features.append((fnv_mix(pair.encode(), 2), 0.5 * (weight[i - 1] + weight[i]) / 2))
    return hashed(features)


def hashed_codes(codes, rows, cols):
    features = []
    for y in range(rows):
        for x in range(cols):
            code = codes[y * cols + x].to_bytes(4, "little")
            quarter = y * 2 // rows * 2 + x * 2 // cols
            features.append((fnv_mix(code + bytes([4]), 4), 1.0))
            features.append((fnv_mix(code + bytes([quarter]), 4), 0.5))
    return hashed(features)


def rounded(v):
    return {str(i): round(x, 6) for i, x in enumerate(v) if x}


texts = ["a red car", "A Red, CAR!", "the cat sat on the mat with the other cat", "\u732b\u304c\u6d77\u306b\u3044\u308b",
         "na\u00efve caf\u00e9", "\U0001f431 cat", " \t\n", "x", "...!?", "</s><racm3:break>"]
grids = [([7, 7, 7, 0, 1023, 7], 2, 3), ([5], 1, 1), ([8191, 0, 0, 3, 4, 5, 6, 7, 8], 3, 3)]
with open("hashed_text.json", "w") as f:
    json.dump([{"text": t, "vector": rounded(hashed_text(t))} for t in texts], f, indent=1)
with open("hashed_codes.json", "w") as f:
    json.dump([{"codes": c, "rows": r, "cols": k, "vector": rounded(hashed_codes(c, r, k))} for c, r, k in grids], f, indent=1)
