#!/usr/bin/env python3
"""Makes patch_encoder/ssast.safetensors and tera.safetensors: patch encoders and both losses of masked_spectrogram in plain PyTorch.

    python3 tests/golden/make_patch_encoder.py     # needs torch==2.11.0 and safetensors; writes beside itself

Computed in double precision from initial values that half precision holds exactly, as make_golden.py does. Each file holds
  initial/NAME (float16, exact), gradient/NAME of the summed loss; states; loss; and the batch:
  ssast  4 x 4 patches of 2 x 3 values, 2 class tokens, pre-norm: values, masked, predicted, segments, weights (of two masks a sample)
  tera   10 frames of 6 bins, post-norm, sines: values (altered), value_targets, value_weights, segments
"""
import math
import pathlib

import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "patch_encoder"
SIZE, HEADS, INNER, LAYERS = 32, 4, 48, 2


def normal(generator, *shape, mean=0.0, deviation=0.2):
    return (mean + deviation * torch.randn(*shape, generator=generator, dtype=torch.float64)).half().double().requires_grad_()


def parameters(generator, patch_size, norm, extra):
    draw = lambda *shape, **how: normal(generator, *shape, **how)
    p = {"patch_weight": draw(SIZE, patch_size), "patch_bias": draw(SIZE), "mask": draw(SIZE)}
    for name, shape in extra.items():
        p[name] = draw(*shape)
    linears = {"attention.query": (SIZE, SIZE), "attention.key": (SIZE, SIZE), "attention.value": (SIZE, SIZE),
               "attention.output": (SIZE, SIZE), "feed_forward.up": (INNER, SIZE), "feed_forward.down": (SIZE, INNER)}
    norms = [norm]
    for i in range(LAYERS):
        for name, shape in linears.items():
            p[f"block{i}.{name}.weight"], p[f"block{i}.{name}.bias"] = draw(*shape), draw(shape[0])
        norms += [f"block{i}.attention_norm", f"block{i}.feed_forward_norm"]
    for name in norms:
        p[f"{name}.weight"], p[f"{name}.bias"] = draw(SIZE, mean=1.0), draw(SIZE)
    return p


def head(generator, p, name, patch_size, norm):
    for part, shape in (("inner_weight", (SIZE, SIZE)), ("inner_bias", (SIZE,)), ("weight", (patch_size, SIZE)), ("bias", (patch_size,))):
        p[f"objective.{name}.{part}"] = normal(generator, *shape)
    if norm:
        p[f"objective.{name}.norm.weight"], p[f"objective.{name}.norm.bias"] = normal(generator, SIZE, mean=1.0), normal(generator, SIZE)


def linear(p, name, x):
    return x @ p[name + ".weight"].T + p[name + ".bias"]


def layer_norm(p, name, x, epsilon=1e-5):
    x = x - x.mean(-1, keepdim=True)
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * p[name + ".weight"] + p[name + ".bias"]


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def attend(p, name, x, seen):
    q, k, v = (linear(p, f"{name}.{part}", x) for part in ("query", "key", "value"))
    mixed = []
    for a, b, c in zip(q.chunk(HEADS, -1), k.chunk(HEADS, -1), v.chunk(HEADS, -1)):
        scores = (a @ b.T / math.sqrt(a.shape[-1])).masked_fill(~seen, -math.inf)
        mixed.append(scores.softmax(-1) @ c)
    return linear(p, name + ".output", torch.cat(mixed, -1))


def feed(p, name, x):
    return linear(p, name + ".down", gelu(linear(p, name + ".up", x)))


def encode(p, values, masked, seen, places, classes, post_norm):
    """One row of patches (T, P); seen (T): which of them may be attended to."""
    x = values @ p["patch_weight"].T + p["patch_bias"]
    x = torch.where(masked[:, None], p["mask"], x) + places
    if classes is not None:
        x, seen = torch.cat([classes, x]), torch.cat([torch.ones(len(classes), dtype=torch.bool), seen])
    if post_norm:
        x = layer_norm(p, "embedding_norm", x)
    for i in range(LAYERS):
        b = f"block{i}"
        if post_norm:
            x = layer_norm(p, b + ".attention_norm", x + attend(p, b + ".attention", x, seen))
            x = layer_norm(p, b + ".feed_forward_norm", x + feed(p, b + ".feed_forward", x))
        else:
            x = x + attend(p, b + ".attention", layer_norm(p, b + ".attention_norm", x), seen)
            x = x + feed(p, b + ".feed_forward", layer_norm(p, b + ".feed_forward_norm", x))
    if not post_norm:
        x = layer_norm(p, "final_norm", x)
    return x if classes is None else x[len(classes):]


def save(name, p, loss, batch):
    loss.backward()
    tensors = {"loss": loss.detach()}
    for key, value in p.items():
        tensors["initial/" + key] = value.detach().half()
        tensors["gradient/" + key] = (torch.zeros_like(value) if value.grad is None else value.grad).contiguous()
    for key, value in batch.items():
        kind = value.dtype if value.dtype in (torch.int32, torch.float64) else torch.int32
        tensors[key] = (value.detach().float() if value.dtype == torch.float64 and key != "states" else value.detach().to(kind)).contiguous()
    OUT.mkdir(exist_ok=True)
    save_file(tensors, OUT / f"{name}.safetensors")


def ssast():
    generator = torch.Generator().manual_seed(20261126)
    samples, patches, size, count = 2, 16, 6, 7
    p = parameters(generator, size, "final_norm", {"class_tokens": (2, SIZE), "position": (patches, SIZE)})
    head(generator, p, "discriminative", size, norm=False)
    head(generator, p, "generative", size, norm=False)
    content = (0.5 * torch.randn(samples, patches, size, generator=generator, dtype=torch.float64)).float().double()
    values = content.repeat_interleave(2, 0)
    segments = torch.ones(2 * samples, patches, dtype=torch.int32)
    segments[2:, 3::4] = 0  # the second recording fills three of four columns
    values[2:, 3::4] = 0
    predicted = torch.stack([torch.randperm(patches, generator=generator)[:count].sort().values for _ in range(2 * samples)])
    masked = torch.zeros(2 * samples, patches, dtype=torch.bool).scatter(1, predicted, True)
    weights = 0.5 * (masked & (segments > 0)).double()
    states = torch.stack([encode(p, values[r], masked[r], segments[r] > 0, p["position"], p["class_tokens"], False)
                          for r in range(2 * samples)])
    painted = lambda name, x: (torch.relu(x @ p[f"objective.{name}.inner_weight"].T + p[f"objective.{name}.inner_bias"])
                               @ p[f"objective.{name}.weight"].T + p[f"objective.{name}.bias"])
    loss = torch.zeros((), dtype=torch.float64)
    for r in range(2 * samples):
        at = [i for i in predicted[r].tolist() if segments[r, i] > 0]
        x = values[r, at]
        if r % 2 == 0:  # which prediction is that of each patch
            c = painted("discriminative", states[r, at])
            loss = loss - (x @ c.T).log_softmax(1).diagonal().sum()
        else:
            loss = loss + 10 * (painted("generative", states[r, at]) - x).pow(2).mean(1).sum()
    save("ssast", p, loss, {"values": values, "masked": masked, "predicted": predicted.int(), "segments": segments,
                            "weights": weights, "states": states})


def tera():
    generator = torch.Generator().manual_seed(20261127)
    rows, frames, bins = 2, 10, 6
    p = parameters(generator, bins, "embedding_norm", {})
    head(generator, p, "generative", bins, norm=True)
    targets = torch.randn(rows, frames, bins, generator=generator, dtype=torch.float64).float().double()
    segments = torch.ones(rows, frames, dtype=torch.int32)
    segments[1, 8:] = 0
    targets[1, 8:] = 0
    weights = torch.zeros(rows, frames, bins, dtype=torch.float64)
    weights[0, 2:5] = 1    # a stretch of time
    weights[1, 1:4] = 1
    weights[:, :, 3:5] = 1  # and a band of frequencies
    weights[1, 8:] = 0
    values = targets * (1 - weights)
    angles = torch.outer(torch.arange(frames, dtype=torch.float64), 10000.0 ** (-torch.arange(SIZE // 2, dtype=torch.float64) / (SIZE // 2)))
    places = torch.cat([angles.sin(), angles.cos()], 1)
    nothing = torch.zeros(frames, dtype=torch.bool)
    states = torch.stack([encode(p, values[r], nothing, segments[r] > 0, places, None, True) for r in range(rows)])
    inner = gelu(states @ p["objective.generative.inner_weight"].T + p["objective.generative.inner_bias"])
    painted = (layer_norm(p, "objective.generative.norm", inner, 1e-12) @ p["objective.generative.weight"].T
               + p["objective.generative.bias"])
    loss = (weights * (painted - targets).abs()).sum()
    save("tera", p, loss, {"values": values, "value_targets": targets, "value_weights": weights, "segments": segments, "states": states})


ssast()
tera()
