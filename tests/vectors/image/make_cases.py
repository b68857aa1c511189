#!/usr/bin/env python3
"""Writes the picture test vectors beside this file: python3 make_cases.py   (Pillow 11.3.0, numpy)

Pillow must be older than 13: that version resizes vertically first for some shapes, which changes grey levels
(python-pillow/Pillow pull request 9549).

  files/NAME           pictures as other programs write them
  files/NAME.npy       what load_picture must return, [height, width, 3] uint8; exact, except JPEG (a few levels)
  preprocess_*.png/.npy  input and output of the two published pipelines
  resize.txt           random resizes of pictures that the test can generate: sizes, filter, FNV-1a of the result
"""
import pathlib
import random

import numpy as np
import PIL
from PIL import Image

assert int(PIL.__version__.split(".")[0]) < 13, "see above"
HERE = pathlib.Path(__file__).parent
FILES = HERE / "files"
FILES.mkdir(exist_ok=True)
FILTERS = {"box": Image.BOX, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def waves(width, height, channels=3):
    """Smooth colour with some edges; the fourth channel, alpha, sweeps 0..255."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 120 * np.sin(x / (4 + 3 * c) + y / (9 - 2 * c) + c) for c in range(3)]
    planes.append(np.clip(300 * x / width - 20, 0, 255))
    picture = np.stack(planes[:channels], -1).astype(np.uint8)
    picture[height // 3 : height // 2, width // 4 : width // 2, :3] = (255, 255, 255)
    return picture


def lcg_picture(width, height):
    """The generator of tests/test_image.cpp: state = state * 1664525 + 1013904223, sample = its high byte."""
    state, samples = width * 31 + height, bytearray()
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        samples.append(state >> 24)
    return Image.frombytes("RGB", (width, height), bytes(samples))


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def to_rgb(image):
    """Chameleon's rule: alpha blended on white in float64, truncated."""
    if image.mode == "RGB":
        return np.array(image)
    rgba = np.array(image.convert("RGBA"))
    if not (rgba[:, :, 3] < 255).any():
        return np.array(image.convert("RGB"))
    alpha = rgba[:, :, 3:] / 255.0
    return ((1 - alpha) * 255 + alpha * rgba[:, :, :3]).astype(np.uint8)


def centre_crop(image, width, height):
    x, y = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((x, y, x + width, y + height))


def chameleon(image, size):
    scale = size / min(image.size)
    image = image.resize((round(scale * image.width), round(scale * image.height)), Image.LANCZOS)
    return centre_crop(image, size, size)


def lumina(image, width, height):
    while image.width >= 2 * width and image.height >= 2 * height:
        image = image.resize((image.width // 2, image.height // 2), Image.BOX)
    scale = max(width / image.width, height / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BICUBIC)
    return centre_crop(image, width, height)


def make_files():
    rgb, rgba = Image.fromarray(waves(37, 29)), Image.fromarray(waves(37, 29, 4))
    grey = rgb.convert("L")
    palette = rgb.quantize(20)

    def write(name, image, **options):
        image.save(FILES / name, **options)
        np.save(FILES / (name + ".npy"), to_rgb(Image.open(FILES / name)))

    write("bilevel.png", grey.convert("1"))
    write("grey.png", grey)
    write("grey_alpha.png", rgba.convert("LA"))
    write("grey_key.png", grey, transparency=int(np.array(grey)[3, 3]))
    write("palette.png", palette)
    write("palette_2bit.png", rgb.quantize(4), bits=2)
    write("palette_transparent.png", rgba.quantize(20))
    write("rgb.png", rgb)
    write("rgb_key.png", rgb, transparency=tuple(int(v) for v in np.array(rgb)[3, 3]))
    write("rgba.png", rgba)
    write("rgba_opaque.png", rgb.convert("RGBA"))
    write("rgb.bmp", rgb)
    write("palette.bmp", palette)
    write("grey.bmp", grey)
    write("padding_not_alpha.bmp", rgba)
    write("palette.gif", palette, interlace=1)
    write("transparent.gif", palette, transparency=3)
    write("animated.gif", palette, save_all=True, append_images=[grey.quantize(9)] * 3)
    write("rgb.ppm", rgb)
    write("grey.pgm", grey)
    write("444.jpg", rgb, quality=95, subsampling=0)
    write("420.jpg", rgb, quality=90)
    write("progressive.jpg", rgb, quality=90, progressive=True)
    write("grey.jpg", grey)
    write("cmyk.jpg", rgb.convert("CMYK"), quality=95)
    Image.fromarray(np.array(grey).astype(np.uint16) * 257).save(FILES / "grey_16bit.png")
    for orientation in range(1, 9):  # a white top left corner on blue, to be told apart
        corner = np.full((16, 24, 3), (0, 0, 255), np.uint8)
        corner[:8, :8] = 255
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(corner).save(FILES / f"orientation_{orientation}.jpg", exif=exif, quality=95, subsampling=0)


def make_preprocess():
    for name, shape, operation in (
        ("chameleon_landscape", (91, 58), lambda im: chameleon(im, 32)),
        ("chameleon_portrait", (47, 120), lambda im: chameleon(im, 24)),
        ("chameleon_up", (19, 13), lambda im: chameleon(im, 40)),
        ("chameleon_half_rounding", (85, 34), lambda im: chameleon(im, 51)),
        ("chameleon_same", (50, 40), lambda im: chameleon(im, 40)),
        ("chameleon_thin", (150, 11), lambda im: chameleon(im, 16)),
        ("lumina_landscape", (150, 105), lambda im: lumina(im, 64, 32)),
        ("lumina_portrait", (90, 160), lambda im: lumina(im, 32, 64)),
        ("lumina_up", (20, 31), lambda im: lumina(im, 32, 32)),
    ):
        image = Image.fromarray(waves(*shape))
        image.save(HERE / f"preprocess_{name}.png", optimize=True)
        np.save(HERE / f"preprocess_{name}.npy", np.array(operation(image)))


def make_resizes():
    rng = random.Random(1)
    lines = []
    for index in range(240):
        source, target = (rng.choice([2, 9, 40, 90]) for _ in range(2))
        width, height = rng.randint(1, source), rng.randint(1, source)
        out_width, out_height = rng.randint(1, target), rng.randint(1, target)
        if index % 10 == 0:
            out_width = width
        if index % 15 == 0:
            out_height = height
        name = list(FILTERS)[index % 4]
        result = lcg_picture(width, height).resize((out_width, out_height), FILTERS[name])
        lines.append(f"{width} {height} {out_width} {out_height} {name} {fnv1a(result.tobytes()):016x}\n")
    (HERE / "resize.txt").write_text("".join(lines))


make_files()
make_preprocess()
make_resizes()
