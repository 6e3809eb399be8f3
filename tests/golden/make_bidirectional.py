#!/usr/bin/env python3
"""Makes masked_language.safetensors and position.safetensors: what these objectives ask of a small network that sees all of its row.

    python3 tests/golden/make_bidirectional.py     # needs torch==2.11.0 and safetensors; writes beside itself

GPT-2's blocks without a mask (make_golden.py has the layers). Both hold initial/NAME (float16, exact), gradient/NAME of the summed loss,
tokens, targets (2, 16), predicted (2, 4) int32, weights (2, 16) and loss, by the papers' definitions:
  masked_language  BERT: of a row's tokens some are chosen; they become the mask token (60), another one, or stay, and are asked for. The
                   second row has fewer than its places, which a slot without weight fills.
  position         DropPos: some tokens are given no position (16, one vector for all) and are classified into the 16 places that there
                   are. Also positions (2, 16) int32.
"""
import math
import pathlib

import torch
from safetensors.torch import save_file

from make_golden import HEAD, HEADS, HIDDEN, LAYERS, SEED, gelu_tanh, layer_norm, linear, normal, parameters, summed_loss

HERE = pathlib.Path(__file__).parent
LENGTH, VOCABULARY, MASK = 16, 61, 60
SHAPE = dict(inner=48, kv_heads=HEADS, gated=False, bias=True, learned=False, tied=True)


def states(p, tokens, positions):
    x = p["embedding.weight"][tokens.long()] + p["position"][positions.long()]
    for i in range(LAYERS):
        b = f"block{i}"
        y = layer_norm(p, f"{b}.attention_norm", x)
        q, k, v = (linear(p, f"{b}.attention.{part}", y).split(HEAD, -1) for part in ("query", "key", "value"))
        mixed = [(q[h] @ k[h].mT / math.sqrt(HEAD)).softmax(-1) @ v[h] for h in range(HEADS)]
        x = x + linear(p, f"{b}.attention.output", torch.cat(mixed, -1))
        inner = gelu_tanh(linear(p, f"{b}.feed_forward.up", layer_norm(p, f"{b}.feed_forward_norm", x)))
        x = x + linear(p, f"{b}.feed_forward.down", inner)
    return layer_norm(p, "final_norm", x)


def save(name, p, loss, fields):
    gradients = torch.autograd.grad(loss, list(p.values()))
    out = fields | {"loss": loss.detach()}
    out |= {"initial/" + n: v.detach().half() for n, v in p.items()}
    out |= {"gradient/" + n: g.float() for n, g in zip(p, gradients)}
    file = HERE / f"{name}.safetensors"
    made_by = "tests/golden/make_bidirectional.py"
    save_file({n: v.contiguous() for n, v in out.items()}, file, {"seed": str(SEED), "made_by": made_by})
    print(file.name, file.stat().st_size, "bytes; loss", loss.item())


def masked_language():
    generator = torch.Generator().manual_seed(SEED + 1)
    p = parameters(generator, **SHAPE)
    p["position"] = normal(generator, LENGTH, HIDDEN)
    targets = torch.randint(MASK, (2, LENGTH), generator=generator, dtype=torch.int32)
    tokens, weights = targets.clone(), torch.zeros(2, LENGTH, dtype=torch.float64)
    predicted = torch.tensor([[1, 6, 7, 15], [0, 4, 11, 3]], dtype=torch.int32)
    for row, column, becomes in ((0, 1, MASK), (0, 6, 17), (0, 7, MASK), (0, 15, None), (1, 0, MASK), (1, 4, MASK), (1, 11, 5)):
        weights[row, column] = 1.0
        if becomes is not None:
            tokens[row, column] = becomes
    logits = states(p, tokens, torch.arange(LENGTH)) @ p["embedding.weight"].T
    save("masked_language", p, summed_loss(logits, targets, weights),
         {"tokens": tokens, "targets": targets, "predicted": predicted, "weights": weights.float()})


def position():
    generator = torch.Generator().manual_seed(SEED + 2)
    p = parameters(generator, **SHAPE)
    p["position"] = normal(generator, LENGTH + 1, HIDDEN)
    p["places"] = normal(generator, LENGTH, HIDDEN)
    tokens = torch.randint(VOCABULARY, (2, LENGTH), generator=generator, dtype=torch.int32)
    targets = torch.arange(LENGTH, dtype=torch.int32).expand(2, LENGTH)
    positions, weights = targets.clone(), torch.zeros(2, LENGTH, dtype=torch.float64)
    predicted = torch.tensor([[0, 3, 4, 14], [2, 8, 9, 15]], dtype=torch.int32)
    for row in range(2):
        positions[row, predicted[row].long()] = LENGTH
        weights[row, predicted[row].long()] = 1.0
    logits = states(p, tokens, positions) @ p["places"].T
    save("position", p, summed_loss(logits, targets, weights),
         {"tokens": tokens, "targets": targets, "positions": positions, "predicted": predicted, "weights": weights.float()})


if __name__ == "__main__":
    masked_language()
    position()
