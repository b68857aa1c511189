#!/usr/bin/env python3
"""Training steps a second in PyTorch, of the model that `leon bench-training` measures: same shape, batch and threads.

    training/peers/throughput.py [--layers 8 --dim 256 --heads 4 --ffn 704 --vocab 1600 --documents 8 --length 512]
        [--steps 5] [--threads 2] [--products f32|bf16] [--compile]
        [--beside "build/leon bench-training"]

Plain float32 modules as one would write them for speed: one product for q, k and v, one for gate and up, fused attention,
rms_norm and layer_norm of the library, fused AdamW. bf16 is torch's autocast. With --beside, each step is followed by a run of
leon with the same sizes and one step, so that whatever else the machine does meets both alike.
"""
import argparse
import subprocess
import time

import torch
import torch.nn.functional as F


class Layer(torch.nn.Module):
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.heads, self.ffn = heads, ffn
        self.attention_norm, self.ffn_norm = torch.nn.RMSNorm(dim, 1e-5), torch.nn.RMSNorm(dim, 1e-5)
        self.qkv, self.o = torch.nn.Linear(dim, 3 * dim, bias=False), torch.nn.Linear(dim, dim, bias=False)
        self.gate_up, self.down = torch.nn.Linear(dim, 2 * ffn, bias=False), torch.nn.Linear(ffn, dim, bias=False)
        self.q_weight, self.k_weight = (torch.nn.Parameter(torch.ones(heads, dim // heads)) for _ in range(2))
        self.q_bias, self.k_bias = (torch.nn.Parameter(torch.zeros(heads, dim // heads)) for _ in range(2))

    def turned(self, x, weight, bias, cos, sin):  # [documents, length, heads, head_dim]
        x = F.layer_norm(x, x.shape[-1:], eps=1e-5) * weight + bias
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1).transpose(1, 2)

    def forward(self, x, cos, sin):
        documents, length, dim = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(documents, length, 3, self.heads, -1).unbind(2)
        q, k = self.turned(q, self.q_weight, self.q_bias, cos, sin), self.turned(k, self.k_weight, self.k_bias, cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, v.transpose(1, 2), is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(documents, length, dim))
        gate, up = self.gate_up(self.ffn_norm(x)).split(self.ffn, -1)
        return x + self.down(F.silu(gate) * up)


class Model(torch.nn.Module):
    def __init__(self, o):
        super().__init__()
        self.embedding = torch.nn.Embedding(o.vocab, o.dim)
        self.layers = torch.nn.ModuleList(Layer(o.dim, o.heads, o.ffn) for _ in range(o.layers))
        self.norm = torch.nn.RMSNorm(o.dim, 1e-5)
        half = o.dim // o.heads // 2
        angle = torch.outer(torch.arange(o.length), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angle.cos()[:, None, :])
        self.register_buffer("sin", angle.sin()[:, None, :])
        for parameter in self.parameters():
            if parameter.dim() == 2 and parameter.shape[0] != o.heads:
                torch.nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return F.cross_entropy((self.norm(x) @ self.embedding.weight.T).flatten(0, 1).float(), targets.flatten())


def main():
    parser = argparse.ArgumentParser()
    sizes = {"layers": 8, "dim": 256, "heads": 4, "ffn": 704, "vocab": 1600, "documents": 8, "length": 512}
    for name, value in sizes.items():
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--products", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--beside", default="")
    o = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(o.threads)
    model = Model(o)
    named = list(model.named_parameters())
    groups = [{"params": [p for n, p in named if is_vector == ("norm" in n or "_weight" in n or "_bias" in n)],
               "weight_decay": 0.0 if is_vector else 0.1} for is_vector in (False, True)]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
    run = torch.compile(model) if o.compile else model

    def step():
        tokens, targets = torch.randint(0, o.vocab, (2, o.documents, o.length))
        wall, processor = time.perf_counter(), time.process_time()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=o.products == "bf16"):
            loss = run(tokens, targets)
        loss.backward()
        optimiser.step()
        return time.perf_counter() - wall, time.process_time() - processor

    step()
    tokens = o.documents * o.length
    print(f"torch {torch.__version__}, {o.threads} threads, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    best = (1e30, 1e30)
    for _ in range(o.steps):
        wall, processor = step()
        best = min(best[0], wall), min(best[1], processor)
        print(f"torch  step     {tokens / wall:8.0f} tokens/s  {1e3 * wall:7.1f} ms  {1e3 * processor:7.1f} ms of processors",
              flush=True)
        if o.beside:
            words = o.beside.split() + ["--threads", str(o.threads), "--products", o.products, "--steps", "1"]
            for name in sizes:
                words += ["--" + name, str(getattr(o, name))]
            lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
            print("leon  " + lines[1].strip(), flush=True)
    print(f"torch  fastest  {tokens / best[0]:8.0f} tokens/s  {1e3 * best[0]:7.1f} ms  {1e3 * best[1]:7.1f} ms of processors")


if __name__ == "__main__":
    main()
