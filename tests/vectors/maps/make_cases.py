#!/usr/bin/env python3
"""Writes the control map vectors beside this file: python3 make_cases.py   (opencv-python-headless 5.0.0, numpy)

  NAME.png          a picture
  edges.txt         a line each: picture, "grey" or "strongest", low, high, and the FNV-1a of what cv2.Canny makes of it, 0
                    or 255 a pixel; "grey" after cv2.cvtColor, "strongest" of the colour picture as it is
"""
import pathlib

import cv2
import numpy as np

HERE = pathlib.Path(__file__).parent


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def shapes(rng, width, height):
    """Discs, bars and gradients, a little blurred, with grain: edges of all directions and strengths."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([60 + 90 * x / width, 200 - 80 * y / height, 120 + 60 * np.sin(x / 17 + y / 23)], -1)
    for _ in range(14):
        colour, cx, cy = rng.integers(0, 256, 3), rng.uniform(0, width), rng.uniform(0, height)
        if rng.random() < 0.5:
            inside = (x - cx) ** 2 + (y - cy) ** 2 < rng.uniform(3, min(width, height) / 4) ** 2
        else:
            angle = rng.uniform(0, np.pi)
            inside = abs((x - cx) * np.sin(angle) - (y - cy) * np.cos(angle)) < rng.uniform(0.7, 5)
        picture[inside] = colour
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7) + rng.normal(0, 3, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def main():
    rng = np.random.default_rng(7)
    pictures = {"shapes": shapes(rng, 131, 97), "tall": shapes(rng, 61, 120), "wide": shapes(rng, 160, 33),
                "noise": rng.integers(0, 256, (37, 53, 3), dtype=np.uint8),
                "ramp": np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 9, 0).repeat(3, 2),
                "dot": np.full((1, 1, 3), 200, np.uint8), "row": rng.integers(0, 256, (1, 40, 3), dtype=np.uint8),
                "column": rng.integers(0, 256, (40, 1, 3), dtype=np.uint8)}
    lines = []
    for name, picture in pictures.items():
        cv2.imwrite(str(HERE / f"{name}.png"), picture[:, :, ::-1])
        for low, high in ((100, 200), (0, 0), (30, 90), (300, 900), (60, 60)):
            grey = cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), low, high)
            strongest = cv2.Canny(picture, low, high)
            lines.append(f"{name} grey {low} {high} {fnv1a(grey.tobytes()):016x}")
            lines.append(f"{name} strongest {low} {high} {fnv1a(strongest.tobytes()):016x}")
    (HERE / "edges.txt").write_text("\n".join(lines) + "\n")


main()
