"""Makes the checkpoints of this folder, and for each what torch itself reads from it, as contiguous safetensors.

    python make_cases.py        (torch 2.15, numpy, safetensors; deterministic)
"""
import collections
import os

import numpy as np
import torch
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(7)


class Callback:  # unknown to every reader
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Remembering(dict):  # a dictionary of a class that readers do not know
    pass


def flat(value, name=""):
    """What a reader lists: tensors in dictionaries, under joined names."""
    if isinstance(value, torch.Tensor):
        return {name: value.detach().clone().contiguous()}
    found = {}
    if type(value) in (dict, collections.OrderedDict, collections.defaultdict):
        for key, item in value.items():
            if type(key) in (str, int):
                found.update(flat(item, f"{name}.{key}" if name else str(key)))
    return found


def save(name, value, **options):
    torch.save(value, os.path.join(here, name), **options)
    save_file(flat(value), os.path.join(here, name + ".safetensors"))


def views():
    base = torch.randn(60)
    whole = base.view(3, 4, 5)
    return {
        "shared": whole,
        "same": whole,
        "transposed": whole.permute(2, 0, 1),
        "part": whole[1:, ::2, 1:4],
        "offset": base[7:19],
        "row": whole[2],
        "column": whole[:, 1, 3],
        "repeated": base[3:5].view(2, 1).expand(2, 6),
        "one": torch.randn(1, 1, 1).transpose(0, 2),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
    }


def types():
    values = torch.tensor([[0.0, -1.0, 2.5], [3.0, 100.0, 0.125]])
    named = {str(t).replace("torch.", ""): values.abs().to(t) for t in (
        torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16,
        torch.int8, torch.uint8, torch.bool, torch.uint16, torch.float8_e4m3fn, torch.float8_e5m2)}
    return {"types": named, "negative": -values.to(torch.int8), "halves": values.to(torch.bfloat16).t()}


def upscaler():
    """As super-resolution models are published: two dictionaries of the same names."""
    weights = collections.OrderedDict()
    weights["body.0.weight"] = torch.randn(2, 3, 3, 3)
    weights["body.0.bias"] = torch.randn(2)
    average = collections.OrderedDict((k, torch.nn.Parameter(v + 1)) for k, v in weights.items())
    return {"params": weights, "params_ema": average}


def lightning():
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.GroupNorm(1, 3))
    state = module.state_dict()  # an OrderedDict with the attribute _metadata
    state["wrapped"] = torch.nn.Parameter(torch.randn(2, 2).t(), requires_grad=False)
    state["tagged"] = torch.nn.Parameter(torch.randn(3))
    state["tagged"].remark = "has attributes"
    state["marked"] = torch.randn(2, 3).t()
    state["marked"].remark = "has attributes, and is no parameter"
    loop = []
    loop.append(loop)
    return {
        "epoch": 3,
        "global_step": 2**40 + 1,
        "huge": 2**80,
        "version": "1.0.8",
        "rate": 1e-4,
        "done": True,
        "nothing": None,
        "loop": loop,
        "bytes": b"\x00\x01" * 200,
        "callbacks": {Callback: Callback(best=torch.randn(1), monitor="loss", of={"a": (1, 2, 3, 4)})},
        "hyper_parameters": Remembering(width=np.float64(0.5), names={"a", "b"}, steps=np.arange(5)),
        "optimizer_states": [{"state": {0: {"step": 4, "average": torch.randn(2)}}, "param_groups": [{"lr": 0.1}]}],
        "moments": collections.defaultdict(dict, {0: {"average": torch.randn(2)}, 1: {"average": torch.randn(2)}}),
        "state_dict": state,
    }


save("views.pth", views())
save("views_stream.pth", views(), _use_new_zipfile_serialization=False)
save("types.pth", types())
save("upscaler.pth", upscaler())
for protocol in (2, 3, 4, 5):
    save(f"lightning_{protocol}.ckpt", lightning(), pickle_protocol=protocol)
save("lightning_stream.ckpt", lightning(), _use_new_zipfile_serialization=False)
