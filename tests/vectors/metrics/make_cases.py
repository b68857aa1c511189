#!/usr/bin/env python3
"""Writes the metric vectors beside this file: python3 make_cases.py VQA_EVAL_FOLDER
(numpy, scipy 1.17, scikit-image 0.26, pycocoevalcap 1.2 and a Java for its tokenizer; VQA_EVAL_FOLDER holds vqaEval.py of
github.com/GT-Vision-Lab/VQA, PythonEvaluationTools/vqaEvaluation)

  words.jsonl      captions and the words that pycocoevalcap's PTBTokenizer makes of them
  captions.jsonl   tokenised candidates and references, each with pycocoevalcap's CIDEr-D; the last line its BLEU-1 to 4
  answers.jsonl    answers of ten people and one more, and the accuracy that the challenge's code gives it
  picture_*.png    pairs; likeness.txt: their PSNR and SSIM by scikit-image
  features_*.npy   pairs; frechet.txt: their distance by scipy.linalg.sqrtm, or, where a covariance lacks rank, by the
                   singular values of the product of the centred sets
"""
import contextlib
import io
import json
import pathlib
import random
import sys

import numpy as np
import scipy.linalg
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from skimage.io import imsave
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

HERE = pathlib.Path(__file__).parent


def write_lines(name, rows):
    (HERE / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")


CAPTIONS = """A man riding a wave on top of a surfboard.
Two dogs playing in the snow
a red car, a blue bus and 3 bicycles
The woman's hat isn't red; it's blue!
They're standing near the Smiths' house.
a black-and-white photo of a train
a clock reading 10:30 on a tower
1,000 people at a concert (outdoors)
A sign that says "STOP" in the street
a sign that says 'No Parking'
It costs $5.50, or 10% less
Mr. and Mrs. Jones with Dr. Brown
A cake, a knife & a fork
He can't, won't and shouldn't go there
cats/dogs and/or birds
a street in the U.S. at 5 p.m. today
wow!! what is this?!
what?
a café with naïve art, ÉCLAIRS and crème brûlée
a boy — smiling — with a kite…
“quoted” and ‘single’ words
the child cannot reach it and is gonna cry
wanna bet? gimme that, lemme see, I gotta go
we've seen what you'll do; I'd stay, I'm sure
half-eaten pizza on a well-lit table
number 7 jersey, #7
a 3/4 view of 12 tall buildings
a@b and c+d=e
two elephants standing next to each other in a field .
Six o'clock in the evening
it's a dog's life, isn't it?
the 1980's style room
a teddy bear [stuffed] {toy}
email_name under_score
a very long-haired cat -- sleeping
an up-close picture of a person's hand holding a phone.
This is a picture of: a lamp, a bed; and a chair.

A
.
the ball is rolling...
St. Peter's church vs. the old jail etc.
ÀÉÎ ÕÖ × ÷ ß ñ Ñ
he's they'd it'll who've you're
j.k.rowling wrote it
the beach.A man
www.cnn.com sign
a T.V stand
made by a.b.cd
a 10.5ft board, 3:30pm
5ft tall
the dog 's bowl , he 'll eat it , is n't it ?
a man in a suit, tie, and hat,looking up""".split("\n")


def words():
    table = {i: [{"caption": text}] for i, text in enumerate(CAPTIONS)}
    tokens = PTBTokenizer().tokenize(table)
    return [{"text": text, "words": tokens[i][0].split()} for i, text in enumerate(CAPTIONS)]


def captions():
    rng = random.Random(3)
    nouns = "dog cat man woman car bus tree house beach table pizza train clock kite field street".split()
    verbs = "sits stands runs plays waits flies".split()
    qualities = "red small old two black large white".split()
    places = ["on a beach", "in the street", "near a house", "under a tree", "in front of a large bus", "at night"]

    def sentence():
        parts = ["a", rng.choice(qualities), rng.choice(nouns)][: rng.choice([2, 3, 3])]
        if rng.random() < 0.8:
            parts += [rng.choice(verbs)]
        if rng.random() < 0.7:
            parts += rng.choice(places).split()
        if rng.random() < 0.3:
            parts += ["and", "a", rng.choice(nouns)]
        return " ".join(parts)

    def changed(text):
        out = text.split()
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(out))
            out[at : at + rng.randrange(2)] = [rng.choice(nouns + qualities)]
        return " ".join(out)

    references, candidates = {}, {}
    for i in range(40):
        first = sentence()
        references[i] = [first] + [changed(first) if rng.random() < 0.6 else sentence() for _ in range(rng.choice([0, 2, 4]))]
        candidates[i] = [changed(first) if rng.random() < 0.8 else sentence()]
    candidates[5], candidates[6], candidates[7] = [""], ["dog"], ["a a a a a a a a a a a a a a a a a a a a a dog"]
    references[8], candidates[8] = ["dog", "red dog"], ["dog"]
    _, cider = Cider().compute_score(references, candidates)
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(references, candidates)
    rows = [{"id": i, "captions": references[i], "caption": candidates[i][0], "cider_d": cider[i]} for i in references]
    return rows + [{"bleu": bleu}]


def answers(evaluation):
    rng = random.Random(5)
    pool = """yes|no|2|two|red|the dog|a dog|dog|dont know|don't know|t-shirt|t shirt|1,000|1000|3.5|3.|u.s.|none|0|zero
left, right|left/right|left / right|he's|hes|couldn't've|couldnt've|couldn'tve|somebody'd|nothing!|what ?|(blue)|"blue"|blue
10:30|10:30 pm|on_top|a|an apple|the|The Dog|RED|six|o'clock|oclock|twas|'twas|it is 5.0.|5.0|yall'd've|.5|-5|a-b c|x\ty| z
""".replace("\n", "|").split("|")
    rows = []
    for _ in range(160):
        few = [rng.choice(pool) for _ in range(rng.choice([1, 2, 3, 5]))]
        ten = [rng.choice(few) for _ in range(10)]
        answer = rng.choice(few) if rng.random() < 0.8 else rng.choice(pool)

        class Table:
            pass
        truth, result = Table(), Table()
        truth.qa = {0: {"answers": [{"answer": t, "answer_id": i} for i, t in enumerate(ten)], "question_type": "",
                        "answer_type": ""}}
        truth.getQuesIds = lambda: [0]
        result.qa = {0: {"answer": answer}}
        judge = evaluation.VQAEval(truth, result, n=12)
        with contextlib.redirect_stdout(io.StringIO()):
            judge.evaluate()
        normalised = judge.processDigitArticle(
            judge.processPunctuation(answer.replace("\n", " ").replace("\t", " ").strip()))
        rows.append({"answer": answer, "answers": ten, "normalised": normalised, "percent": judge.accuracy["overall"]})
    return rows


def likeness():
    rng = np.random.default_rng(11)
    lines = []
    for i, (width, height, noise) in enumerate([(33, 29, 6), (11, 11, 20), (48, 17, 60), (40, 40, 0)]):
        y, x = np.mgrid[0:height, 0:width]
        a = np.stack([127 + 110 * np.sin(x / 5 + y / 7), 255 * x / width, 255 * (y % 9 > 4)], -1)
        b = a + rng.normal(0, noise, a.shape) + (noise > 0) * 5
        a, b = (np.clip(p, 0, 255).astype(np.uint8) for p in (a, b))
        imsave(HERE / f"picture_{i}a.png", a, check_contrast=False)
        imsave(HERE / f"picture_{i}b.png", b, check_contrast=False)
        with np.errstate(divide="ignore"):
            psnr = peak_signal_noise_ratio(a, b, data_range=255)
        ssim = structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                     data_range=255, channel_axis=2)
        lines.append(f"{i} {float(psnr)!r} {float(ssim)!r}")
    (HERE / "likeness.txt").write_text("\n".join(lines) + "\n")


def frechet():
    rng = np.random.default_rng(13)
    lines = []
    for i, (n, m, dim) in enumerate([(60, 45, 16), (200, 90, 33), (5, 9, 12), (7, 40, 12), (30, 30, 1)]):
        mix = rng.normal(0, 1, (dim, dim))
        a = (rng.normal(0, 1, (n, dim)) @ mix).astype(np.float32)
        b = (rng.normal(0.2, 1.3, (m, dim)) @ mix.T).astype(np.float64 if i % 2 else np.float32)
        np.save(HERE / f"features_{i}a.npy", a)
        np.save(HERE / f"features_{i}b.npy", b)
        a, b = a.astype(np.float64), b.astype(np.float64)
        A, B = (np.atleast_2d(np.cov(s, rowvar=False)) for s in (a, b))
        if min(n, m) > dim:
            root = np.trace(scipy.linalg.sqrtm(A @ B)).real
        else:
            product = (a - a.mean(0)) @ (b - b.mean(0)).T / np.sqrt((n - 1) * (m - 1))
            root = np.linalg.svd(product, compute_uv=False).sum()
        distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(A) + np.trace(B) - 2 * root
        lines.append(f"{i} {float(distance)!r}")
    (HERE / "frechet.txt").write_text("\n".join(lines) + "\n")


def main():
    sys.path.insert(0, sys.argv[1])
    import vqaEval

    write_lines("words.jsonl", words())
    write_lines("captions.jsonl", captions())
    write_lines("answers.jsonl", answers(vqaEval))
    likeness()
    frechet()


main()
