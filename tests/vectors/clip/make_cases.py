#!/usr/bin/env python3
"""Writes the CLIP cases beside this file: python3 make_cases.py   (transformers 5.24, torch 2.15, tokenizers, Pillow)

  quick/, gelu/     checkpoints of CLIPModel with random weights, as save_pretrained() writes them
  quick/tokenizer.json  CLIP's tokenizer with 120 merges, for both
  texts.jsonl       {"text", "ids"}: with <|startoftext|>, <|endoftext|>, cut to quick's context; text that spells a
                    control token stays text, which is what the library does once it does not know the token
  NAME/text.npy     [texts, dim] text features of those ids, in float64 and rounded
  picture_*.png     pictures of several shapes; NAME/picture_*.npy [dim] their features, by Pillow's bicubic resampling
"""
import json
import pathlib
import shutil

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import CLIPConfig, CLIPModel

HERE = pathlib.Path(__file__).parent
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 120
CORPUS = """a photo of a cat on the mat. the cat's tail; a photograph of two dogs, 3 birds and the red car in the street
a red circle on a white background it's they're we've i'm you'll he'd don't painting of the sea with the sun and a ship
the quick brown fox jumps over the lazy dog in the morning light on a street with trees and houses"""


def byte_names():
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE]
    names, following = {}, 256
    for b in range(256):
        names[b] = chr(b) if b in printable else chr(following)
        following += b not in printable
    return [names[b] for b in printable + [b for b in range(256) if b not in printable]]


def make_tokenizer():
    names = byte_names()
    tokens = names + [name + "</w>" for name in names]
    words = {}
    for word in CORPUS.lower().split():
        symbols = tuple(word[:-1]) + (word[-1] + "</w>",)
        words[symbols] = words.get(symbols, 0) + 1
    merges = []
    while len(merges) < MERGES:
        pairs = {}
        for symbols, count in words.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] = pairs.get(pair, 0) + count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(list(best))
        tokens.append("".join(best))
        changed = {}
        for symbols, count in words.items():
            out, i = [], 0
            while i < len(symbols):
                if symbols[i : i + 2] == best:
                    out.append("".join(best))
                    i += 2
                else:
                    out.append(symbols[i])
                    i += 1
            changed[tuple(out)] = changed.get(tuple(out), 0) + count
        words = changed
    tokens += [START, END]
    added = [
        {"id": tokens.index(name), "content": name, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": name == START, "special": True}
        for name in (START, END)
    ]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"},
             "behavior": "Removed", "invert": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
        "post_processor": {"type": "RobertaProcessing", "sep": [END, len(tokens) - 1], "cls": [START, len(tokens) - 2],
                           "trim_offsets": False, "add_prefix_space": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": END, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "</w>", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges},
    }


TEXTS = [
    "a photo of a cat", "A PHOTO of a Cat", "  a\tphoto\n of   a cat  ", "the cat's tail", "they're here, we've won!",
    "it''s 'tis '' 'll", "3 birds and 1234 dogs", "²³ ½ Ⅻ ٣", "", "   ", " ", "x", "'", "!?", "...and so on...",
    "caf\u00e9", "cafe\u0301", "CAFE\u0301 \u00c9", "\u00c5ngstr\u00f6m \u212b", "I\u0307stanbul \u0130STANBUL", "ΣΊΣΥΦΟΣ",
    "GROẞE STRAẞE", "ﬁne ﬂow", "q\u0323\u0307 q\u0307\u0323", "\u1100\u1161\u11a8 \uac01", "日本語のテキスト", "Привет, МИР",
    "emoji 🙂👍🏽 and \u200d joiners", "a\u00a0b\u2003c\u3000d\u0085e", "zero\u200bwidth", "null\u0000byte",
    "<|endoftext|>", "a cat<|startoftext|> and a dog <|endoftext|> more", "<|EndOfText|>", "<|endoftext", "</w> cat</w>",
    "the quick brown fox jumps over the lazy dog in the morning light on a street with trees and houses",
    "unsplittablewordthatisverylongindeedandgoesonandonandonuntilitisfarlongerthanfortyeightbytes", "ÀÉÎÕÜ àéîõü",
]


def make_texts(description):
    plain = json.loads(json.dumps(description))
    plain["added_tokens"], plain["post_processor"] = [], None
    tokenizer = Tokenizer.from_str(json.dumps(plain))
    start, end = (description["model"]["vocab"][name] for name in (START, END))
    lines = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert start not in ids and end not in ids, text
        lines.append({"text": text, "ids": [start] + ids[: QUICK["text_config"]["max_position_embeddings"] - 2] + [end]})
    (HERE / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [line["ids"] for line in lines]


VOCAB = 512 + MERGES + 2
QUICK = {
    "projection_dim": 12,
    "text_config": {"vocab_size": VOCAB, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
                    "num_attention_heads": 2, "max_position_embeddings": 40, "eos_token_id": VOCAB - 1,
                    "bos_token_id": VOCAB - 2},
    "vision_config": {"hidden_size": 20, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 5,
                      "image_size": 32, "patch_size": 4},
}
GELU = {
    "projection_dim": 20,
    "text_config": {"vocab_size": VOCAB + 3, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                    "num_attention_heads": 4, "max_position_embeddings": 77, "hidden_act": "gelu", "layer_norm_eps": 1e-6,
                    "eos_token_id": VOCAB - 1, "bos_token_id": VOCAB - 2},
    "vision_config": {"hidden_size": 24, "intermediate_size": 30, "num_hidden_layers": 2, "num_attention_heads": 3,
                      "image_size": 42, "patch_size": 14, "hidden_act": "gelu"},
}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() >= 2:
            p.data = noise * (0.5 if "embedding" in name and "patch" not in name else (p.numel() / p.shape[0]) ** -0.5)
        elif "norm" in name and name.endswith("weight"):
            p.data = 1 + 0.2 * noise
        elif p.dim() == 1:
            p.data = 0.3 * noise


def pictures():
    for width, height in ((50, 37), (32, 32), (20, 61), (47, 45)):
        y, x = np.mgrid[0:height, 0:width]
        planes = [127 + 120 * np.sin(x / (5 + 3 * c) + y / (8 - 2 * c) + c) for c in range(3)]
        image = Image.fromarray(np.stack(planes, 2).astype(np.uint8))
        image.save(HERE / f"picture_{width}x{height}.png")
        yield f"picture_{width}x{height}", image


def preprocess(image, side, mean, std):
    width, height = image.size
    shorter = min(width, height)
    image = image.resize((int(side * width / shorter), int(side * height / shorter)), Image.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    values = np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.float64) / 255
    return torch.tensor(((values - mean) / std).transpose(2, 0, 1)[None])


def features(output):
    return (output if torch.is_tensor(output) else output.pooler_output).detach().numpy()[0]


def make_case(name, config, dtype, ids, mean, std, seed):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    model = CLIPModel(CLIPConfig(**config)).eval()
    randomise(model, seed)
    model.to(dtype).save_pretrained(folder)
    model.double()
    rows = [features(model.get_text_features(input_ids=torch.tensor([line]))) for line in ids]
    np.save(folder / "text.npy", np.stack(rows).astype(np.float32))
    for title, image in pictures():
        pixels = preprocess(image, config["vision_config"]["image_size"], mean, std)
        np.save(folder / f"{title}.npy", features(model.get_image_features(pixel_values=pixels)).astype(np.float32))


torch.manual_seed(0)
for name in ("quick", "gelu"):
    shutil.rmtree(HERE / name, ignore_errors=True)
tokenizer = make_tokenizer()
ids = make_texts(tokenizer)
other = (0.5, 0.4, 0.3), (0.25, 0.3, 0.2)
make_case("quick", QUICK, torch.float32, ids, *other, 1)
make_case("gelu", GELU, torch.bfloat16, ids, MEAN, STD, 2)
(HERE / "quick" / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
(HERE / "quick" / "preprocessor_config.json").write_text(json.dumps({
    "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
    "do_rescale": True, "do_resize": True, "image_mean": other[0], "image_processor_type": "CLIPImageProcessor",
    "image_std": other[1], "resample": 3, "rescale_factor": 1 / 255, "size": {"shortest_edge": 32}}, indent=1))
