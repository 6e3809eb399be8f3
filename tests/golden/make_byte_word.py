#!/usr/bin/env python3
"""Makes byte_word.safetensors: the network of trainer/model/byte_word.h in plain PyTorch, word by word, with words cut by hand.

    python3 tests/golden/make_byte_word.py     # needs torch==2.11.0 and safetensors; writes beside itself

Computed in double precision from initial values that half precision holds exactly, as make_golden.py does. It holds
  initial/NAME (float16, exact), gradient/NAME of the summed loss; tokens, targets, words (3, 32) int32; weights (3, 32);
  logits (3, 32, 257); loss
"""
import math
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SEED, LENGTH, VOCABULARY = 20261125, 32, 257
WORD, BYTE = dict(size=32, heads=2, inner=48, layers=2), dict(size=16, heads=2, inner=24, layers=1)
# Each row's 33 bytes in their words; the last byte is a target alone.
TEXTS = [
    [b"To", b" be,", b" or", b" not", b" to", b" be:", b"\n", b"that'", b"s", b" it!", b" x"],
    ["caf\u00e9,".encode(), " \u4f60".encode(), "\u597d!".encode(), b"\n", b"x", b"=", b" 3.", b"14", b" how", b"Are", b" you"],
    [b"supercalifragil", b"isticexpialidoc", b"iou"],
]


def normal(generator, *shape, mean=0.0, deviation=0.2):
    values = mean + deviation * torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.half().double().requires_grad_()


def rms_norm(p, name, x):
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * p[name + ".weight"]


def turn(x):
    """x (positions, d): pairs (i, i + d/2) turned by position * 10000^(-2i/d)."""
    half = x.shape[-1] // 2
    angle = torch.outer(torch.arange(x.shape[0], dtype=torch.float64), 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half))
    turned = torch.complex(x[:, :half], x[:, half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1)


def block(p, name, x, heads, causal):
    y = rms_norm(p, f"{name}.attention_norm", x)
    q, k, v = (y @ p[f"{name}.attention.{part}.weight"].T for part in ("query", "key", "value"))
    mixed = []
    for a, b, c in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1)):
        scores = turn(a) @ turn(b).T / math.sqrt(a.shape[-1])
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
        mixed.append(scores.softmax(-1) @ c)
    x = x + torch.cat(mixed, -1) @ p[f"{name}.attention.output.weight"].T
    y = rms_norm(p, f"{name}.feed_forward_norm", x)
    gate = y @ p[f"{name}.feed_forward.gate.weight"].T
    return x + (gate / (1 + torch.exp(-gate)) * (y @ p[f"{name}.feed_forward.up.weight"].T)) @ p[f"{name}.feed_forward.down.weight"].T


def states(p, words):
    """One row: a list of words, each a list of bytes -> (bytes, size)."""
    spelt = [p["embedding.weight"][torch.tensor(word)] for word in words]
    heads = []
    for word in spelt:
        x = torch.cat([p["mark"].unsqueeze(0), word])
        for i in range(BYTE["layers"]):
            x = block(p, f"encoder{i}", x, BYTE["heads"], causal=False)
        heads.append(rms_norm(p, "encoder_norm", x[0]) @ p["to_word"].T)
    x = torch.stack([p["start"]] + heads[:-1])
    for i in range(WORD["layers"]):
        x = block(p, f"backbone{i}", x, WORD["heads"], causal=True)
    said = rms_norm(p, "backbone_norm", x) @ p["to_bytes"].T
    out = []
    for i, word in enumerate(spelt):
        x = torch.cat([said[i : i + 1], word])
        for j in range(BYTE["layers"]):
            x = block(p, f"decoder{j}", x, BYTE["heads"], causal=True)
        out.append(rms_norm(p, "decoder_norm", x[1:]))
    return torch.cat(out)


def parameters(generator):
    size, wide = BYTE["size"], WORD["size"]
    p = {"embedding.weight": normal(generator, VOCABULARY, size), "mark": normal(generator, size), "start": normal(generator, wide),
         "to_word": normal(generator, wide, size), "to_bytes": normal(generator, size, wide)}
    for part, shape in (("encoder", BYTE), ("backbone", WORD), ("decoder", BYTE)):
        for i in range(shape["layers"]):
            b, d, f = f"{part}{i}", shape["size"], shape["inner"]
            for norm in ("attention_norm", "feed_forward_norm"):
                p[f"{b}.{norm}.weight"] = normal(generator, d, mean=1.0)
            for linear in ("query", "key", "value", "output"):
                p[f"{b}.attention.{linear}.weight"] = normal(generator, d, d)
            p[f"{b}.feed_forward.gate.weight"], p[f"{b}.feed_forward.up.weight"] = normal(generator, f, d), normal(generator, f, d)
            p[f"{b}.feed_forward.down.weight"] = normal(generator, d, f)
        p[f"{part}_norm.weight"] = normal(generator, shape["size"], mean=1.0)
    return p


def main():
    generator = torch.Generator().manual_seed(SEED)
    p = parameters(generator)
    tokens, targets, words, logits = [], [], [], []
    for text in TEXTS:
        row = list(b"".join(text))
        assert len(row) == LENGTH + 1, len(row)
        cut = [list(word) for word in text]
        cut[-1] = cut[-1][:-1]
        tokens.append(row[:-1])
        targets.append(row[1:])
        words.append([i for i, word in enumerate(cut) for _ in word])
        logits.append(states(p, [word for word in cut if word]) @ p["embedding.weight"].T)
    tokens, targets, words = (torch.tensor(x, dtype=torch.int32) for x in (tokens, targets, words))
    logits = torch.stack(logits)
    weights = torch.ones(len(TEXTS), LENGTH, dtype=torch.float64)
    weights[0, 3] = weights[2, 20] = 0.0
    weights[1, 7] = 0.5
    loss = -(weights * logits.log_softmax(-1).gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)).sum()
    gradients = torch.autograd.grad(loss, list(p.values()))
    out = {"tokens": tokens, "targets": targets, "words": words, "weights": weights.float(), "logits": logits.detach().float(),
           "loss": loss.detach()}
    out |= {"initial/" + n: v.detach().half() for n, v in p.items()}
    out |= {"gradient/" + n: g.float() for n, g in zip(p, gradients)}
    file = HERE / "byte_word.safetensors"
    save_file({n: v.contiguous() for n, v in out.items()}, file, {"seed": str(SEED), "made_by": "tests/golden/make_byte_word.py"})
    print(file.name, file.stat().st_size, "bytes; loss", loss.item())


if __name__ == "__main__":
    main()
