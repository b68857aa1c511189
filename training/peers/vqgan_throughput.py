#!/usr/bin/env python3
"""Training pictures a second of a VQGAN in PyTorch: the network that `leon bench-vqgan` measures on models/storybook.leon.

    training/peers/vqgan_throughput.py [--channels 64 --multipliers 1 1 2 2 --side 128 --pictures 4]
        [--steps 3] [--threads 2] [--products f32|bf16] [--beside "build/leon bench-vqgan -m models/storybook.leon"]

Plain modules, channels last in memory, float32; bf16 is torch's autocast. A step is forward, backward and AdamW. With
--beside, each step is followed by one of leon, so that whatever else the machine does meets both alike.
"""
import argparse
import subprocess
import time

import torch
import torch.nn.functional as F
from torch import nn


def conv(i, o, kernel=3, stride=1):
    return nn.Conv2d(i, o, kernel, stride, kernel // 2 if stride == 1 else 0)


class ResBlock(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(32, i, 1e-6), nn.GroupNorm(32, o, 1e-6)
        self.conv1, self.conv2 = conv(i, o), conv(o, o)
        self.shortcut = conv(i, o, 1) if i != o else nn.Identity()

    def forward(self, x):
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class Attention(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.norm, self.qkv, self.out = nn.GroupNorm(32, n, 1e-6), conv(n, 3 * n, 1), conv(n, n, 1)

    def forward(self, x):
        q, k, v = (t.flatten(2).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, 1))
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))


class Halve(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv = conv(n, n, 3, 2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv = conv(n, n)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Vqgan(nn.Module):
    def __init__(self, channels, multipliers, codes=1024, z=32):
        super().__init__()
        widths = [channels * m for m in multipliers]
        mid = lambda n: [ResBlock(n, n), Attention(n), ResBlock(n, n)]
        down, n = [conv(3, channels)], channels
        for level, width in enumerate(widths):
            down += [ResBlock(n, width)] + ([Halve(width)] if level + 1 < len(widths) else [])
            n = width
        self.encoder = nn.Sequential(*down, *mid(n), nn.GroupNorm(32, n, 1e-6), nn.SiLU(), conv(n, z), conv(z, z, 1))
        up = [conv(z, z, 1), conv(z, n)] + mid(n)
        for level in reversed(range(len(widths))):
            up += [ResBlock(n, widths[level]), ResBlock(widths[level], widths[level])]
            n = widths[level]
            up += [Double(n)] if level > 0 else []
        self.decoder = nn.Sequential(*up, nn.GroupNorm(32, n, 1e-6), nn.SiLU(), conv(n, 3))
        self.register_buffer("codebook", torch.randn(codes, z))

    def forward(self, x):
        z = self.encoder(x)
        flat = z.permute(0, 2, 3, 1).flatten(0, 2).float()
        nearest = self.codebook[torch.cdist(flat.detach(), self.codebook).argmin(1)]
        quantised = nearest.view(z.shape[0], z.shape[2], z.shape[3], -1).permute(0, 3, 1, 2)
        return self.decoder(z + (quantised - z).detach())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--multipliers", type=int, nargs="+", default=[1, 1, 2, 2])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--products", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--beside", default="")
    o = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(o.threads)
    model = Vqgan(o.channels, o.multipliers).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    picture = (0.3 * torch.randn(o.pictures, 3, o.side, o.side)).to(memory_format=torch.channels_last)

    def step():
        wall, processor = time.perf_counter(), time.process_time()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=o.products == "bf16"):
            loss = F.mse_loss(model(picture).float(), picture)
        loss.backward()
        optimiser.step()
        return time.perf_counter() - wall, time.process_time() - processor

    step()
    print(f"torch {torch.__version__}, {o.threads} threads, {o.products}, "
          f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    best = (1e30, 1e30)
    for _ in range(o.steps):
        wall, processor = step()
        best = min(best[0], wall), min(best[1], processor)
        print(f"torch    step     {o.pictures / wall:6.2f} pictures/s  {1e3 * wall:7.1f} ms  "
              f"{1e3 * processor:7.1f} ms of processors", flush=True)
        if o.beside:
            words = o.beside.split() + ["--threads", str(o.threads), "--pictures", str(o.pictures), "--side", str(o.side)]
            out = subprocess.run(words + ["--steps", "1"], check=True, capture_output=True, text=True).stdout
            print(out.splitlines()[0], flush=True)
    print(f"torch    fastest  {o.pictures / best[0]:6.2f} pictures/s  {1e3 * best[0]:7.1f} ms  "
          f"{1e3 * best[1]:7.1f} ms of processors")


if __name__ == "__main__":
    main()
