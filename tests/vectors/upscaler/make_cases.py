#!/usr/bin/env python3
"""Writes the upscalers' test vectors beside this file: python3 make_cases.py (needs torch and safetensors).

Both networks as Real-ESRGAN defines them, written down here once more and small, with random weights. A case is
CASE.safetensors (names and nests as in published files), CASE_input.npy (a picture, u8) and CASE_expected.npy (what the
network makes of it before clamping, computed in float64 from the stored weights, [height, width, 3]). One case is also
written as .pth, as torch saves it.
"""
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent


def leaky(x):
    return F.leaky_relu(x, 0.2)


class Weights:
    """Random tensors by name, made when they are first asked for, rounded to the case's type."""

    def __init__(self, seed, dtype):
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype = dtype
        self.tensors = {}

    def make(self, name, shape, size, centre=0.0):
        if name not in self.tensors:
            values = centre + size * (2 * torch.rand(shape, generator=self.generator, dtype=torch.float64) - 1)
            self.tensors[name] = values.to(self.dtype)
        return self.tensors[name].to(self.compute)

    def conv(self, x, name, out):
        fan_in = 9 * x.shape[1]
        weight = self.make(name + ".weight", (out, x.shape[1], 3, 3), (3 / fan_in) ** 0.5)
        bias = self.make(name + ".bias", (out,), 0.1)
        return F.conv2d(x, weight, bias, padding=1)


def rrdb(w, x, factor, channels, blocks, growth):
    if factor == 2:
        x = F.pixel_unshuffle(x, 2)
    first = w.conv(x, "conv_first", channels)
    x = first
    for b in range(blocks):
        h = x
        for d in (1, 2, 3):
            together = h
            for i in (1, 2, 3, 4):
                y = leaky(w.conv(together, f"body.{b}.rdb{d}.conv{i}", growth))
                together = torch.cat((together, y), 1)
            h = h + 0.2 * w.conv(together, f"body.{b}.rdb{d}.conv5", channels)
        x = x + 0.2 * h
    x = first + w.conv(x, "conv_body", channels)
    x = leaky(w.conv(F.interpolate(x, scale_factor=2, mode="nearest"), "conv_up1", channels))
    x = leaky(w.conv(F.interpolate(x, scale_factor=2, mode="nearest"), "conv_up2", channels))
    return w.conv(leaky(w.conv(x, "conv_hr", channels)), "conv_last", 3)


def compact(w, x, factor, channels, blocks):
    y = x
    for i in range(blocks + 1):
        y = w.conv(y, f"body.{2 * i}", channels)
        y = F.prelu(y, w.make(f"body.{2 * i + 1}.weight", (channels,), 0.3, 0.2))
    y = F.pixel_shuffle(w.conv(y, f"body.{2 * blocks + 2}", 3 * factor * factor), factor)
    return y + F.interpolate(x, scale_factor=factor, mode="nearest")


def picture(seed, height, width):
    """Smooth colours, an edge and a little noise."""
    random = np.random.default_rng(seed)
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    values = 128 + 90 * np.sin(0.5 * x + 0.8 * y + 2 * c) + 30 * (x > width / 2) + random.normal(0, 8, y.shape)
    return np.clip(values, 0, 255).astype(np.uint8)


def run(network, w, pixels, factor, compute, sizes):
    w.compute = compute
    height, width = pixels.shape[:2]
    x = torch.from_numpy(pixels).to(compute).permute(2, 0, 1)[None] / 255
    if network is rrdb and factor == 2:  # an even size, as the published program makes it
        x = F.pad(x, (0, width % 2, 0, height % 2), "reflect")
    y = network(w, x, factor, **sizes)
    return y[0, :, : height * factor, : width * factor].permute(1, 2, 0).contiguous().numpy()


def case(name, network, factor, dtype, nest, seed, size, pth=False, **sizes):
    w = Weights(seed, dtype)
    pixels = picture(seed, *size)
    expected = run(network, w, pixels, factor, torch.float64, sizes)
    single = run(network, w, pixels, factor, torch.float32, sizes)
    save_file({nest + key: value for key, value in w.tensors.items()}, HERE / f"{name}.safetensors")
    if pth:
        torch.save({nest[:-1]: w.tensors} if nest else w.tensors, HERE / f"{name}.pth")
    np.save(HERE / f"{name}_input.npy", pixels)
    np.save(HERE / f"{name}_expected.npy", expected.astype(np.float32))
    print(f"{name}: {len(w.tensors)} tensors, values {expected.min():.3f}..{expected.max():.3f}, "
          f"torch in float32 is {np.abs(single - expected).max():.2e} away")


case("rrdb_x4", rrdb, 4, torch.float32, "params_ema.", 1, (5, 7), channels=6, blocks=2, growth=3)
case("rrdb_x2", rrdb, 2, torch.float16, "params.", 2, (7, 9), pth=True, channels=8, blocks=1, growth=3)
case("rrdb_x4_bf16", rrdb, 4, torch.bfloat16, "", 3, (6, 5), channels=5, blocks=1, growth=4)
case("compact_x4", compact, 4, torch.float32, "params.", 4, (8, 5), channels=8, blocks=3)
case("compact_x3", compact, 3, torch.float16, "", 5, (5, 6), pth=True, channels=5, blocks=2)
case("compact_x2", compact, 2, torch.bfloat16, "params_ema.", 6, (4, 9), channels=4, blocks=1)
