#!/usr/bin/env python3
"""Writes tokenizer/legend_table.h: python3 make_legend.py STORYBOOK_PY   (numpy)

Chooses one colour for each of Storybook's kinds once and for all: places from the dark, objects and spare slots from the
bright part of sRGB, so that the smallest distance between any two is as large as this search can make it. The distance is
the smaller of two, each as a share of what it measures between black and white: Oklab's, which says how different two
colours look, and sRGB's, in which a decoder errs.

STORYBOOK_PY is the generator of the world; its tables OBJECTS and PLACES give the names and their order.
"""
import ast
import pathlib
import sys

import numpy as np

SPARE = 24                    # slots for rare things, which have no name until somebody gives them one
PLACE_LIGHTNESS = (0.20, 0.42)   # Oklab L
OBJECT_LIGHTNESS = (0.52, 1.00)


def oklab(rgb):
    linear = rgb / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    cone = linear @ np.array([[0.4122214708, 0.5363325363, 0.0514459929],
                              [0.2119034982, 0.6806995451, 0.1073969566],
                              [0.0883024619, 0.2817188376, 0.6299787005]]).T
    return np.cbrt(cone) @ np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                                     [1.9779984951, -2.4285922050, 0.4505937099],
                                     [0.0259040371, 0.7827717662, -0.8086757660]]).T


def distances(a, b):
    seen = np.linalg.norm(a[1][:, None] - b[1][None], axis=-1)
    stored = np.linalg.norm(a[0][:, None] - b[0][None], axis=-1) / (255 * np.sqrt(3))
    return np.minimum(seen, stored)


def choose(pool, count, others, rng):
    """Farthest point first, then the most crowded colour moves to the loneliest place until nothing improves."""
    picked = [int(rng.integers(len(pool[0])))]
    against_others = distances(pool, others).min(1) if len(others[0]) else np.full(len(pool[0]), np.inf)
    between = distances(pool, pool)
    while len(picked) < count:
        nearest = np.minimum(between[:, picked].min(1), against_others)
        picked.append(int(nearest.argmax()))
    best = None
    for _ in range(4000):
        among = between[np.ix_(picked, picked)] + np.where(np.eye(count) > 0, np.inf, 0)
        crowding = np.minimum(among.min(1), against_others[picked])
        if best is None or crowding.min() > best[0] + 1e-12:
            best = (crowding.min(), list(picked))
        worst = int(rng.choice(np.flatnonzero(crowding <= crowding.min() + 1e-12)))
        rest = picked[:worst] + picked[worst + 1 :]
        nearest = np.minimum(between[:, rest].min(1), against_others)
        candidates = np.argsort(-nearest)[:6]
        picked[worst] = int(candidates[0] if rng.random() < 0.7 else rng.choice(candidates))
    return best


def by_distance(colours, count):
    """The order that keeps the first ones as far apart as possible."""
    between = distances(colours, colours)
    order = [int(between.sum(1).argmax())]
    while len(order) < count:
        nearest = between[:, order].min(1)
        nearest[order] = -1
        order.append(int(nearest.argmax()))
    return order


def part(grid, lightness):
    lab = oklab(grid)
    inside = (lab[:, 0] >= lightness[0]) & (lab[:, 0] <= lightness[1])
    return grid[inside], lab[inside]


def main():
    source = ast.parse(pathlib.Path(sys.argv[1]).read_text(encoding="utf8"))
    tables = {s.targets[0].id: ast.literal_eval(s.value) for s in source.body
              if isinstance(s, ast.Assign) and getattr(s.targets[0], "id", "") in ("OBJECTS", "PLACES")}
    objects, places = list(tables["OBJECTS"]), list(tables["PLACES"])

    levels = np.arange(0, 256, 15)
    grid = np.array([(r, g, b) for r in levels for g in levels for b in levels], float)
    nothing = (np.zeros((0, 3)), np.zeros((0, 3)))
    best = None
    for seed in range(4):
        rng = np.random.default_rng(seed)
        bright = part(grid, OBJECT_LIGHTNESS)
        far, picked = choose(bright, len(objects) + SPARE, nothing, rng)
        chosen = (bright[0][picked], bright[1][picked])
        dark = part(grid, PLACE_LIGHTNESS)
        near, picked = choose(dark, len(places), chosen, rng)
        if best is None or min(far, near) > best[0]:
            best = (min(far, near), far, near, chosen, (dark[0][picked], dark[1][picked]))
    _, far, near, bright, dark = best
    print(f"smallest distance: objects {far:.4f}, places {near:.4f}", file=sys.stderr)
    bright_rgb = bright[0][by_distance(bright, len(bright[0]))].astype(int)
    dark_rgb = dark[0][by_distance(dark, len(dark[0]))].astype(int)

    rows = [(name, "Place", rgb) for name, rgb in zip(places, dark_rgb)]
    rows += [(name, "Object", rgb) for name, rgb in zip(objects, bright_rgb)]
    rows += [(f"rare {i + 1}", "Spare", rgb) for i, rgb in enumerate(bright_rgb[len(objects) :])]
    lines = [f'    {{"{name}", KindOf::{of}, {{{rgb[0]}, {rgb[1]}, {rgb[2]}}}}},' for name, of, rgb in rows]
    target = pathlib.Path(__file__).parents[3] / "tokenizer" / "legend_table.h"
    target.write_text(HEADER + "\n".join(lines) + "\n};\n\n}  // namespace leon\n", encoding="utf8")


HEADER = """// Storybook's colours in segmentation maps, one a kind; chosen by tests/vectors/legend/make_legend.py, then fixed: models
// are trained on them. Places are the darker family. New kinds take the spare slots; nothing above may change.
#pragma once

#include "tokenizer/legend.h"

namespace leon {

inline const LegendKind STORYBOOK_KINDS[] = {
"""

main()
