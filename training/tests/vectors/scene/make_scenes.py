#!/usr/bin/env python3
"""Expected values of the storybook world, from the reference generator (training/peers/storybook.py).

random.txt   numbers of random.Random(seed) and numpy.random.default_rng(seed)
sprites.txt  emoji drawn by Pillow: name, size, checksum of the RGBA bytes; with a height, resized to it
scenes.txt   seed, place asked for or -, place, horizon, checksums of mask, background and picture; caption; and of each
             object, in drawing order: name|height cx by flip box

Checksums are FNV-1a of 64 bits. Made with CPython 3.11, numpy 2.4.6, Pillow 13.0.0, fonts-noto-color-emoji 2.042.
    python3 make_scenes.py      writes the three files beside itself
"""
import os, random, sys
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../../../peers'))
import storybook

WIDE_SEEDS = [999_999, 1_000_000, 1_000_003, 2**32 - 1, 2**32, 2**32 + 5, 123_456_789_012_345, 2**64 - 1]
OTHER_EMOJI = ['dragon', 'teapot', 'violin', 'umbrella', 'snail', 'crown', 'gem stone', 'octopus', 'white small square',
               'lobster', 'red heart', 'cloud', 'anchor', 'scissors', 'grinning face']


def checksum(data):
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 % 2**64
    return f'{h:016x}'


def random_lines():
    for seed in [0, 1, 7] + WIDE_SEEDS:
        r, n = random.Random(seed), np.random.default_rng(seed)
        python = [r.random(), r.randint(3, 90), r._randbelow(36), r.uniform(1, 2.5), r.randint(-5, 5)]
        for _ in range(700):
            r.random()
        python.append(r.random())
        numpy = [n.random(), n.integers(14, 114), n.uniform(.47, .58), n.integers(4, 9), n.integers(-10, 11),
                 n.integers(6, 7), n.integers(0, 128)]
        numpy += [sum(int(n.integers(0, 2_000_000_011)) for _ in range(1000)), n.random()]
        yield ' '.join([str(seed)] + [f'{float(v):.17g}' for v in python + numpy])


def sprite_lines():
    table, font = storybook._emoji(), ImageFont.truetype(storybook.FONT_PATH, 109)
    def draw(name):
        im = Image.new('RGBA', (136, 128), (0, 0, 0, 0))
        ImageDraw.Draw(im).text((0, 0), table[name], font=font, embedded_color=True)
        return im.crop(im.getbbox())
    for name in [v[0] for v in storybook.OBJECTS.values()] + OTHER_EMOJI:
        sprite = draw(name)
        yield f'{name}|0 {sprite.width} {sprite.height} {checksum(sprite.tobytes())}'
    for name, h in [('house', 17), ('ewe', 61), ('giraffe', 90), ('tent', 83), ('rainbow', 5), ('full moon', 130)]:
        sprite = draw(name)
        w = max(4, round(sprite.width * h / sprite.height))
        yield f'{name}|{h} {w} {h} {checksum(sprite.resize((w, h), Image.LANCZOS).tobytes())}'


def scene_lines():
    horizons, plain = [], storybook.background
    def background(place, rng):
        made = plain(place, rng)
        horizons.append(made[1])
        return made
    storybook.background = background
    for seed, place in [(s, None) for s in list(range(52)) + WIDE_SEEDS] + list(enumerate(storybook.PLACES, 100)):
        s = storybook.scene(seed, place)
        objects = ''.join(f";{o['name']}|{o['h']} {o['cx']} {o['by']} {int(o['flip'])} {' '.join(map(str, o['box']))}"
                          for o in s['objs'])
        sums = ' '.join(checksum(a.tobytes()) for a in (s['ids'], s['bg'], s['img']))
        yield f"{seed} {place or '-'} {s['place']} {horizons[-1]} {sums};{s['caption']}{objects}"


for name, lines in [('random', random_lines()), ('sprites', sprite_lines()), ('scenes', scene_lines())]:
    with open(os.path.join(HERE, name + '.txt'), 'w', encoding='utf8') as file:
        file.writelines(line + '\n' for line in lines)
