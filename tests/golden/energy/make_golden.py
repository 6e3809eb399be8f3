#!/usr/bin/env python3
"""Makes the numbers that energy_golden_test.cpp compares with: an energy-based transformer in plain PyTorch, written from the paper
(Gladstone et al. 2025) and not from Lacuna's code: one dense attention over both streams, and the slope taken by the probabilities.

    python3 tests/golden/energy/make_golden.py        # needs torch==2.11.0 and safetensors; writes beside itself

s1.safetensors: two detached steps of two landscapes, alpha learnt. s2.safetensors: three steps that are differentiated through, the
slope of the last one alone; fixed alpha, Langevin noise. Double precision; noise rounded to float32, as Lacuna draws it. Each holds
  initial/NAME (float16, exact), gradient/NAME of the summed loss (float32), tokens, targets (2, 6), loss, logits (2, 6, 11)
  and energy_gap, slope: sums over positions, of the energies and of the slopes' norms (mean over steps).
"""
import math
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
ROWS, LENGTH, VOCABULARY, HIDDEN, HEADS, LAYERS, INNER = 2, 6, 11, 12, 2, 2, 10
HEAD, MASK32, MASK64 = HIDDEN // HEADS, 2**32 - 1, 2**64 - 1
SEED = 11  # of the noise


# Philox 4x32-10 (Salmon et al. 2011) and the names of generators.
def philox(counter, key):
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & MASK32, (a >> 32) ^ c[3] ^ k1, a & MASK32]
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c


def fork(key, name):
    kind = 0x6E756D62
    if isinstance(name, str):
        kind, value = 0x776F7264, 0xCBF29CE484222325
        for byte in name.encode():
            value = (value ^ byte) * 0x100000001B3 & MASK64
        name = value
    mixed = philox([name & MASK32, name >> 32, kind, 0], [key[0] ^ kind, key[1] ^ ~kind & MASK32])
    return mixed[:2]


def normal(key, count):
    values = []
    for block in range((count + 3) // 4):
        bits = philox([block, 0, 2, 0], key)  # stream 2
        for first, second in (bits[:2], bits[2:]):
            radius, angle = math.sqrt(-2 * math.log((first + 0.5) * 2.0**-32)), 2 * math.pi * second * 2.0**-32
            values += [radius * math.cos(angle), radius * math.sin(angle)]
    return values[:count]


def noise(*names):
    key = [SEED & MASK32, SEED >> 32]
    for name in ("energy", *names):
        key = fork(key, name)
    rows = [normal(fork(key, 2 * row), LENGTH * VOCABULARY) for row in range(ROWS)]
    return torch.tensor(rows, dtype=torch.float64).float().double().view(ROWS, LENGTH, VOCABULARY)


def make_parameters(generator, learnt):
    def draw(*shape, mean=0.0, deviation=0.4):
        return (mean + deviation * torch.randn(*shape, generator=generator, dtype=torch.float64)).half().double().requires_grad_()

    p = {"embedding.weight": draw(VOCABULARY, HIDDEN), "head_weight": draw(VOCABULARY, HIDDEN)}
    for i in range(LAYERS):
        for name in ("query", "key", "value", "output"):
            p[f"block{i}.attention.{name}.weight"] = draw(HIDDEN, HIDDEN)
        for name in ("attention_norm", "feed_forward_norm"):
            p[f"block{i}.{name}.weight"] = draw(HIDDEN, mean=1.0)
        p[f"block{i}.feed_forward.gate.weight"] = draw(INNER, HIDDEN)
        p[f"block{i}.feed_forward.up.weight"] = draw(INNER, HIDDEN)
        p[f"block{i}.feed_forward.down.weight"] = draw(HIDDEN, INNER)
    p["final_norm.weight"] = draw(HIDDEN, mean=1.0)
    p["objective.landscapes"] = draw(2 if learnt else 1, HIDDEN)
    p["objective.energy_head"] = draw(1, HIDDEN)
    if learnt:
        p["objective.alpha"] = torch.tensor([3.0], dtype=torch.float64).requires_grad_()
    return p


def rms_norm(weight, x):
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight


def turn(x, positions):
    half = HEAD // 2
    angle = torch.outer(positions.double(), 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half))
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1)


SLOTS = 1 + 2 * LENGTH
POSITIONS = torch.cat([torch.tensor([0]), torch.arange(1, LENGTH + 1), torch.arange(2, LENGTH + 2)])
ALLOWED = torch.zeros(SLOTS, SLOTS, dtype=torch.bool)
for q in range(SLOTS):
    for k in range(SLOTS):
        seen = q if q <= LENGTH else q - LENGTH  # up to which slot of [first; tokens]
        ALLOWED[q, k] = k == q or k <= min(seen, LENGTH)


def energies(p, tokens, candidates, step):
    first = p["objective.landscapes"][min(step, len(p["objective.landscapes"]) - 1)]
    x = torch.cat([first.expand(ROWS, 1, -1), p["embedding.weight"][tokens], candidates], 1)
    for i in range(LAYERS):
        b = f"block{i}"
        normed = rms_norm(p[f"{b}.attention_norm.weight"], x)
        q, k, v = ((normed @ p[f"{b}.attention.{n}.weight"].T).unflatten(-1, (HEADS, HEAD)).transpose(1, 2) for n in ("query", "key", "value"))
        scores = turn(q, POSITIONS) @ turn(k, POSITIONS).mT / math.sqrt(HEAD)
        mixed = scores.masked_fill(~ALLOWED, -math.inf).softmax(-1) @ v
        x = x + mixed.transpose(1, 2).flatten(2) @ p[f"{b}.attention.output.weight"].T
        normed = rms_norm(p[f"{b}.feed_forward_norm.weight"], x)
        gate, up = normed @ p[f"{b}.feed_forward.gate.weight"].T, normed @ p[f"{b}.feed_forward.up.weight"].T
        x = x + (gate * torch.sigmoid(gate) * up) @ p[f"{b}.feed_forward.down.weight"].T
    return rms_norm(p["final_norm.weight"], x)[:, 1 + LENGTH :] @ p["objective.energy_head"][0]


def cross_entropy(logits, targets):
    return -logits.log_softmax(-1).gather(2, targets.unsqueeze(-1)).sum()


def descend(p, tokens, targets, steps, detach, langevin):
    state, loss, gaps, slopes = noise("start", 0), 0, [], 0
    alpha = p.get("objective.alpha", torch.tensor([3.0], dtype=torch.float64))
    for i in range(steps):
        if detach:
            state = state.detach()
        if langevin:
            state = state + langevin * noise("langevin", 0, i)
        probabilities = state.softmax(-1)
        if not probabilities.requires_grad:
            probabilities.requires_grad_()
        energy = energies(p, tokens, probabilities @ p["head_weight"], i)
        graph = detach or i == steps - 1
        slope = torch.autograd.grad(energy.sum(), probabilities, create_graph=graph, retain_graph=True)[0]
        state = probabilities - alpha * slope
        gaps.append(energy.detach())
        slopes += slope.detach().norm(dim=-1).sum() / steps
        if detach:
            loss = loss + cross_entropy(state, targets) / steps
    if not detach:
        loss = cross_entropy(state, targets)
    return loss, state.detach(), (gaps[0] - gaps[-1]).sum(), slopes


def main():
    for name, arguments in (("s1", dict(steps=2, detach=True, langevin=0.0)), ("s2", dict(steps=3, detach=False, langevin=0.5))):
        generator = torch.Generator().manual_seed(20261125)
        p = make_parameters(generator, learnt=name == "s1")
        tokens, targets = (torch.randint(VOCABULARY, (ROWS, LENGTH), generator=generator) for _ in range(2))
        loss, logits, gap, slope = descend(p, tokens, targets, **arguments)
        loss.backward()
        out = {"tokens": tokens.int(), "targets": targets.int(), "loss": loss.detach(), "logits": logits.float(), "energy_gap": gap, "slope": slope}
        for key, value in p.items():
            out[f"initial/{key}"] = value.detach().half()
            out[f"gradient/{key}"] = value.grad.float()
        save_file({k: v.contiguous() for k, v in out.items()}, str(HERE / f"{name}.safetensors"), {"made_by": "tests/golden/energy/make_golden.py"})
        print(name, loss.item(), gap.item(), slope.item())


main()
