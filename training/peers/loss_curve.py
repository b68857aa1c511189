#!/usr/bin/env python3
"""Twenty AdamW steps of the tiny checkpoints in training/tests/vectors/gradients, in transformers' float32.

    training/peers/loss_curve.py training/tests/vectors/gradients      writes loss_curve.json into each case's folder

Needs torch and transformers. Each step has a batch of its own, from a formula that test_loss_curve.cpp repeats, and the
mean cross-entropy over all targets as its loss. Norms and biases do not decay.
"""
import json
import pathlib
import sys

import torch
import transformers

STEPS, DOCUMENTS, LENGTH = 20, 3, 16
RULE = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.95, "epsilon": 1e-5, "weight_decay": 0.1}


def tokens(step, vocab):
    return torch.tensor([[(7 * step + 31 * d + (d + 2) * i * i + 5 * i) % vocab for i in range(LENGTH)]
                         for d in range(DOCUMENTS)])


def logits_of(model, ids):
    # The bare output matrix: a Chameleon of transformers would hide the logits of picture tokens.
    return model.lm_head(model.model(input_ids=ids).last_hidden_state)


def curve(folder):
    model = transformers.AutoModelForImageTextToText if (
        json.loads((folder / "config.json").read_text())["model_type"] == "chameleon") else (
            transformers.AutoModelForCausalLM)
    model = model.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").train()
    model.get_input_embeddings().padding_idx = None  # torch would give that token's row no gradient
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("vqmodel" not in name)
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [{"params": [p for n, p in named if "norm" not in n], "weight_decay": RULE["weight_decay"]},
              {"params": [p for n, p in named if "norm" in n], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RULE["learning_rate"], betas=(RULE["beta_1"], RULE["beta_2"]),
                                  eps=RULE["epsilon"])
    losses = []
    for step in range(STEPS):
        ids = tokens(step, model.config.get_text_config().vocab_size)
        logits = logits_of(model, ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        if not (folder / "config.json").exists():
            continue
        losses = curve(folder)
        text = json.dumps({"documents": DOCUMENTS, "length": LENGTH, **RULE, "losses": losses}, indent=1)
        (folder / "loss_curve.json").write_text(text + "\n")
        print(folder.name, losses[0], losses[-1])
