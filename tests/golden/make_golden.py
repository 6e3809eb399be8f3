#!/usr/bin/env python3
"""Makes the numbers that the golden tests compare with: plain PyTorch, written from the papers and not from Lacuna's code.

    python3 tests/golden/make_golden.py        # needs torch==2.11.0 and safetensors; writes beside itself

gpt2.safetensors, llama.safetensors: a small network of each shape. Computed in double precision from initial values that half
precision holds exactly, so the only rounding in a comparison is Lacuna's own; stored as float32. Each file holds
  initial/NAME            parameters (float16, exact)       gradient/NAME   of the summed loss at the initial parameters
  trained/NAME            parameters after ten AdamW steps  tokens, targets, weights (2, 16); logits (2, 16, 61)
  loss (sum over weights), losses (10, mean before each step), norms (10, of the mean's gradient, before the clip)
curves.json: learning-rate schedules and T5's relative position buckets.
"""
import json
import math
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SEED = 20261124
ROWS, LENGTH, VOCABULARY, HIDDEN, HEADS, LAYERS = 2, 16, 61, 32, 4, 2
HEAD = HIDDEN // HEADS
RATE, BETA1, BETA2, EPSILON, DECAY, CLIP, STEPS = 1e-2, 0.9, 0.95, 1e-8, 0.1, 1.0, 10
METADATA = {"seed": str(SEED), "torch": torch.__version__.split("+")[0], "made_by": "tests/golden/make_golden.py"}


def normal(generator, *shape, mean=0.0, deviation=0.15):
    values = mean + deviation * torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.half().double().requires_grad_()


def linear(p, name, x):
    y = torch.einsum("...i,oi->...o", x, p[name + ".weight"])
    return y + p[name + ".bias"] if name + ".bias" in p else y


def layer_norm(p, name, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * p[name + ".weight"] + p[name + ".bias"]


def rms_norm(p, name, x):
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * p[name + ".weight"]


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def turn(x):
    """Rotary positions on (B, H, T, d): dimension i turns with i + d/2 by position * 10000^(-2i/d), as a complex product."""
    half = HEAD // 2
    angle = torch.outer(torch.arange(LENGTH, dtype=torch.float64), 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half))
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1)


def attention(p, name, x, rotate):
    def heads(part):
        return linear(p, f"{name}.{part}", x).unflatten(-1, (-1, HEAD)).transpose(1, 2)

    q, k, v = heads("query"), heads("key"), heads("value")
    if rotate:
        q, k = turn(q), turn(k)
    mixed = []
    for h in range(HEADS):  # query head h reads key and value head h // group
        shared = h // (HEADS // k.shape[1])
        scores = q[:, h] @ k[:, shared].mT / math.sqrt(HEAD)
        scores = scores.masked_fill(torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1), -math.inf)
        mixed.append(scores.softmax(-1) @ v[:, shared])
    return linear(p, f"{name}.output", torch.cat(mixed, -1))


def gpt2_states(p, tokens):
    x = p["embedding.weight"][tokens] + p["position"]
    for i in range(LAYERS):
        b = f"block{i}"
        x = x + attention(p, f"{b}.attention", layer_norm(p, f"{b}.attention_norm", x), rotate=False)
        inner = gelu_tanh(linear(p, f"{b}.feed_forward.up", layer_norm(p, f"{b}.feed_forward_norm", x)))
        x = x + linear(p, f"{b}.feed_forward.down", inner)
    return layer_norm(p, "final_norm", x)


def llama_states(p, tokens):
    x = p["embedding.weight"][tokens]
    for i in range(LAYERS):
        b = f"block{i}"
        x = x + attention(p, f"{b}.attention", rms_norm(p, f"{b}.attention_norm", x), rotate=True)
        y = rms_norm(p, f"{b}.feed_forward_norm", x)
        gate = linear(p, f"{b}.feed_forward.gate", y)
        x = x + linear(p, f"{b}.feed_forward.down", gate / (1 + torch.exp(-gate)) * linear(p, f"{b}.feed_forward.up", y))
    return rms_norm(p, "final_norm", x)


def parameters(generator, inner, kv_heads, gated, bias, learned, tied):
    p = {"embedding.weight": normal(generator, VOCABULARY, HIDDEN)}
    if learned:
        p["position"] = normal(generator, LENGTH, HIDDEN)

    def add_linear(name, inputs, outputs):
        p[name + ".weight"] = normal(generator, outputs, inputs)
        if bias:
            p[name + ".bias"] = normal(generator, outputs)

    def add_norm(name):
        p[name + ".weight"] = normal(generator, HIDDEN, mean=1.0)
        if bias:
            p[name + ".bias"] = normal(generator, HIDDEN)

    for i in range(LAYERS):
        b = f"block{i}"
        add_norm(f"{b}.attention_norm")
        for part, outputs in (("query", HIDDEN), ("key", kv_heads * HEAD), ("value", kv_heads * HEAD), ("output", HIDDEN)):
            add_linear(f"{b}.attention.{part}", HIDDEN, outputs)
        add_norm(f"{b}.feed_forward_norm")
        for part in ("gate", "up") if gated else ("up",):
            add_linear(f"{b}.feed_forward.{part}", HIDDEN, inner)
        add_linear(f"{b}.feed_forward.down", inner, HIDDEN)
    add_norm("final_norm")
    if not tied:
        p["head_weight"] = normal(generator, VOCABULARY, HIDDEN)
    return p


def logits_of(states, p, tokens):
    head = p["head_weight"] if "head_weight" in p else p["embedding.weight"]
    return states(p, tokens) @ head.T


def summed_loss(logits, targets, weights):
    picked = torch.gather(logits.log_softmax(-1), -1, targets.long().unsqueeze(-1)).squeeze(-1)
    return -(weights * picked).sum()


def network(file, states, shape):
    generator = torch.Generator().manual_seed(SEED)
    p = parameters(generator, **shape)
    row = torch.randint(VOCABULARY, (ROWS, LENGTH + 1), generator=generator, dtype=torch.int32)
    tokens, targets = row[:, :-1].contiguous(), row[:, 1:].contiguous()
    weights = torch.ones(ROWS, LENGTH, dtype=torch.float64)
    weights[0, 3] = weights[1, 9] = 0.0
    weights[1, 4] = 0.5

    logits = logits_of(states, p, tokens)
    loss = summed_loss(logits, targets, weights)
    gradients = torch.autograd.grad(loss, list(p.values()))
    out = {"tokens": tokens, "targets": targets, "weights": weights.float(), "logits": logits.detach().float(),
           "loss": loss.detach().double()}
    out |= {"initial/" + n: v.detach().half() for n, v in p.items()}
    out |= {"gradient/" + n: g.float() for n, g in zip(p, gradients)}

    # AdamW (Loshchilov and Hutter 2019, algorithm 2) with decay on matrices only, after a clip of the global norm.
    value = {n: v.detach().clone().requires_grad_() for n, v in p.items()}
    first = {n: torch.zeros_like(v) for n, v in value.items()}
    second = {n: torch.zeros_like(v) for n, v in value.items()}
    losses, norms = [], []
    for step in range(1, STEPS + 1):
        mean = summed_loss(logits_of(states, value, tokens), targets, weights) / weights.sum()
        gradients = dict(zip(value, torch.autograd.grad(mean, list(value.values()))))
        norm = math.sqrt(sum(g.pow(2).sum().item() for g in gradients.values()))
        losses.append(mean.item())
        norms.append(norm)
        with torch.no_grad():
            for n, v in value.items():
                g = gradients[n] * min(1.0, CLIP / norm)
                first[n] = BETA1 * first[n] + (1 - BETA1) * g
                second[n] = BETA2 * second[n] + (1 - BETA2) * g * g
                move = first[n] / (1 - BETA1**step) / ((second[n] / (1 - BETA2**step)).sqrt() + EPSILON)
                v -= RATE * (move + (DECAY * v if v.dim() >= 2 else 0))
    out |= {"trained/" + n: v.detach().float() for n, v in value.items()}
    out |= {"losses": torch.tensor(losses, dtype=torch.float64), "norms": torch.tensor(norms, dtype=torch.float64)}
    save_file({n: v.contiguous() for n, v in out.items()}, HERE / file, METADATA)
    print(file, (HERE / file).stat().st_size, "bytes; losses", losses[0], "->", losses[-1], "norms", norms[0], "->", norms[-1])


def schedules():
    """The learning rate of steps 1..STEPS of a run of `steps` steps, as a multiple of the peak."""
    steps, warmup, final, decay = 100, 10, 0.1, 20

    def warm(step):
        return min(step / warmup, 1.0)

    def share(step):  # of the way from the end of the warm-up to the last step
        return max(step - warmup, 0) / (steps - warmup)

    kinds = {
        "constant": lambda s: warm(s),
        "linear": lambda s: warm(s) if s <= warmup else 1 + (final - 1) * share(s),
        "cosine": lambda s: warm(s) if s <= warmup else final + (1 - final) * (1 + math.cos(math.pi * share(s))) / 2,
        "inverse_sqrt": lambda s: warm(s) if s <= warmup else math.sqrt(warmup / s),
        "warmup_stable_decay": lambda s: warm(s) if s <= steps - decay else 1 + (final - 1) * (s - (steps - decay)) / decay,
    }
    return {"steps": steps, "warmup_steps": warmup, "final_ratio": final, "decay_share": decay / steps,
            "curves": {name: [f(s) for s in range(1, steps + 1)] for name, f in kinds.items()}}


def relative_bucket(distance, bidirectional, buckets=32, farthest=128):
    """The largest k with exact * (farthest/exact)^((k-exact)/(buckets-exact)) <= |distance|, decided in integers."""
    offset = 0
    if bidirectional:
        buckets //= 2
        offset = buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    bucket = min(distance, exact)
    while exact <= bucket < buckets - 1 and distance >= exact:
        grown = bucket + 1 - exact
        # distance >= exact * ratio^(grown/span)  <=>  distance^span * exact^grown >= exact^span * farthest^grown
        span = buckets - exact
        if distance**span * exact**grown < exact**span * farthest**grown:
            break
        bucket += 1
    return offset + bucket


def main():
    network("gpt2.safetensors", gpt2_states, dict(inner=48, kv_heads=4, gated=False, bias=True, learned=True, tied=True))
    network("llama.safetensors", llama_states, dict(inner=40, kv_heads=2, gated=True, bias=False, learned=False, tied=False))
    curves = {"schedules": schedules(), "relative_buckets": {
        "from": -200, "causal": [relative_bucket(d, False) for d in range(-200, 201)],
        "bidirectional": [relative_bucket(d, True) for d in range(-200, 201)]}}
    (HERE / "curves.json").write_text(json.dumps(curves) + "\n")


if __name__ == "__main__":
    main()
