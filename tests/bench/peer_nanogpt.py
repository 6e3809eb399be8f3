#!/usr/bin/env python3
"""The peer: nanoGPT's network and training step in PyTorch eager, written anew, and its way of loading batches.

    peer_nanogpt.py train --tokens corpus.bin --steps 8 --warmup 2      tokens per second of a training step
    peer_nanogpt.py load  --tokens corpus.bin --seconds 1               random windows per second of get_batch

Prints one JSON object. One thread, float32. The network: pre-norm blocks without biases, exact GELU, learned positions, a tied
head, scaled_dot_product_attention; AdamW (fused, PyTorch's fastest on a CPU) with decay on matrices, clip of the global norm.
"""
import argparse
import json
import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

LAYERS, HEADS, WIDTH, VOCABULARY = 6, 6, 384, 257  # bytes and an end token


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return F.layer_norm(x, (WIDTH,), self.weight, None, 1e-5)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Norm(), Norm()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        rows, length, _ = x.shape
        q, k, v = (part.view(rows, length, HEADS, -1).transpose(1, 2) for part in self.qkv(self.first(x)).split(WIDTH, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(mixed.transpose(1, 2).contiguous().view(rows, length, WIDTH))
        return x + self.down(F.gelu(self.up(self.second(x))))


class Gpt(nn.Module):
    def __init__(self, length):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(length, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = Norm()
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                residual = name.endswith(("mix.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * LAYERS) if residual else 0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))


def get_batch(path, rows, length):
    # nanoGPT opens the map anew for every batch, lest memory grow, and widens row by row.
    data = np.memmap(path, dtype=np.uint16, mode="r")
    starts = torch.randint(len(data) - length, (rows,))
    tokens = torch.stack([torch.from_numpy(data[i : i + length].astype(np.int64)) for i in starts])
    targets = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + length].astype(np.int64)) for i in starts])
    return tokens, targets


def train(arguments):
    torch.manual_seed(1)
    model = Gpt(arguments.length)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=1e-3, betas=(0.9, 0.99), fused=True)
    rates, losses = [], []
    tokens, targets = get_batch(arguments.tokens, arguments.rows, arguments.length)
    for _ in range(arguments.steps):
        began = time.perf_counter()
        loss = model(tokens, targets)
        tokens, targets = get_batch(arguments.tokens, arguments.rows, arguments.length)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        rates.append(arguments.rows * arguments.length / (time.perf_counter() - began))
    return {"parameters": sum(p.numel() for p in model.parameters()), "tokens_per_second": rates[arguments.warmup :],
            "losses": losses, "torch": torch.__version__}


def load(arguments):
    get_batch(arguments.tokens, arguments.rows, arguments.length)
    windows, began = 0, time.perf_counter()
    while time.perf_counter() - began < arguments.seconds:
        get_batch(arguments.tokens, arguments.rows, arguments.length)
        windows += arguments.rows
    return {"windows_per_second": windows / (time.perf_counter() - began)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "load"])
    parser.add_argument("--tokens", required=True, help="uint16 tokens")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(train(arguments) if arguments.what == "train" else load(arguments)))


if __name__ == "__main__":
    main()
