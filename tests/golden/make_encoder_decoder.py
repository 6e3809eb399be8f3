#!/usr/bin/env python3
"""Makes encoder_decoder.safetensors: the network of trainer/model/encoder_decoder.h in T5's shape in plain PyTorch, query by query.

    python3 tests/golden/make_encoder_decoder.py     # needs torch==2.11.0 and safetensors; writes beside itself

Row 0 is one text. Row 1 holds two on either side, kept apart by segments, and padding behind them. Computed in double precision from
initial values that half precision holds exactly, as make_golden.py does. It holds
  initial/NAME (float16, exact), gradient/NAME of the summed loss; encoder_tokens, encoder_segments (2, 20) int32; tokens, targets,
  segments (2, 14) int32; weights (2, 14); logits (2, 14, 61), those of padding 0; loss
"""
import math
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SEED, VOCABULARY, SOURCE, TARGETS = 20261126, 61, 20, 14
SIZE, HEADS, KEY_HEADS, INNER, ENCODER, DECODER, BUCKETS = 32, 4, 2, 40, 2, 3, 32


def normal(generator, *shape, mean=0.0, deviation=0.2):
    values = mean + deviation * torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.half().double().requires_grad_()


def bucket(distance, both_ways):
    """Raffel et al. 2020: distance = key - query; half of a sign's buckets one distance each, then logarithmic up to 128."""
    count, first = BUCKETS, 0
    if both_ways:
        count //= 2
        first = count if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = count // 2
    if distance < exact:
        return first + distance
    far = exact + int(math.log(distance / exact) / math.log(128 / exact) * (count - exact))
    return first + min(far, count - 1)


def norm(p, name, x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * p[name + ".weight"]


def attention(p, name, x, source, sees, bias=None, both_ways=False):
    """x (n, D) to source (m, D); sees[q] lists the keys of query q."""
    wide = SIZE // HEADS
    q, k, v = x @ p[f"{name}.query.weight"].T, source @ p[f"{name}.key.weight"].T, source @ p[f"{name}.value.weight"].T
    rows = []
    for i in range(x.shape[0]):
        mixed = []
        for h in range(HEADS):
            own, shared = slice(h * wide, (h + 1) * wide), h // (HEADS // KEY_HEADS)
            group = slice(shared * wide, (shared + 1) * wide)
            scores = k[sees[i], group] @ q[i, own] / math.sqrt(wide)
            if bias is not None:
                scores = scores + torch.stack([p[bias][h, bucket(j - i, both_ways)] for j in sees[i]])
            mixed.append(scores.softmax(0) @ v[sees[i], group])
        rows.append(torch.cat(mixed))
    return torch.stack(rows) @ p[f"{name}.output.weight"].T


def feed_forward(p, name, x):
    gate = x @ p[f"{name}.gate.weight"].T
    gelu = 0.5 * gate * (1 + torch.erf(gate / math.sqrt(2)))
    return (gelu * (x @ p[f"{name}.up.weight"].T)) @ p[f"{name}.down.weight"].T


def logits_of(p, source, source_segments, targets, segments):
    """One row without its padding: the slots whose segment is 0 are not there."""
    x = p["embedding.weight"][source]
    near = [[j for j, s in enumerate(source_segments) if s == mine] for mine in source_segments]
    for i in range(ENCODER):
        b = f"encoder{i}"
        normed = norm(p, f"{b}.attention_norm", x)
        x = x + attention(p, f"{b}.attention", normed, normed, near, "encoder_bias.weight", both_ways=True)
        x = x + feed_forward(p, f"{b}.feed_forward", norm(p, f"{b}.feed_forward_norm", x))
    encoded = norm(p, "encoder_norm", x)
    y = p["embedding.weight"][targets]
    before = [[j for j in range(t + 1) if segments[j] == segments[t]] for t in range(len(segments))]
    across = [[j for j, s in enumerate(source_segments) if s == mine] for mine in segments]
    for i in range(DECODER):
        b = f"decoder{i}"
        normed = norm(p, f"{b}.self_norm", y)
        y = y + attention(p, f"{b}.self", normed, normed, before, "decoder_bias.weight")
        y = y + attention(p, f"{b}.cross", norm(p, f"{b}.cross_norm", y), encoded, across)
        y = y + feed_forward(p, f"{b}.feed_forward", norm(p, f"{b}.feed_forward_norm", y))
    return norm(p, "decoder_norm", y) @ p["embedding.weight"].T / math.sqrt(SIZE)


def parameters(generator):
    p = {"embedding.weight": normal(generator, VOCABULARY, SIZE)}
    for side in ("encoder", "decoder"):
        p[f"{side}_bias.weight"] = normal(generator, HEADS, BUCKETS)
        p[f"{side}_norm.weight"] = normal(generator, SIZE, mean=1.0)
    keys = SIZE * KEY_HEADS // HEADS

    def attend(name, pre):
        p[f"{pre}.weight"] = normal(generator, SIZE, mean=1.0)
        for part, rows in (("query", SIZE), ("key", keys), ("value", keys), ("output", SIZE)):
            p[f"{name}.{part}.weight"] = normal(generator, rows, SIZE)

    def feed(block):
        p[f"{block}.feed_forward_norm.weight"] = normal(generator, SIZE, mean=1.0)
        for part in ("gate", "up"):
            p[f"{block}.feed_forward.{part}.weight"] = normal(generator, INNER, SIZE)
        p[f"{block}.feed_forward.down.weight"] = normal(generator, SIZE, INNER)

    for i in range(ENCODER):
        attend(f"encoder{i}.attention", f"encoder{i}.attention_norm")
        feed(f"encoder{i}")
    for i in range(DECODER):
        attend(f"decoder{i}.self", f"decoder{i}.self_norm")
        attend(f"decoder{i}.cross", f"decoder{i}.cross_norm")
        feed(f"decoder{i}")
    return p


def main():
    generator = torch.Generator().manual_seed(SEED)
    p = parameters(generator)

    def draw(length):
        return torch.randint(VOCABULARY, (2, length), generator=generator, dtype=torch.int32)

    source, tokens, targets = draw(SOURCE), draw(TARGETS), draw(TARGETS)
    source_segments = torch.tensor([[1] * SOURCE, [1] * 7 + [2] * 9 + [0] * 4], dtype=torch.int32)
    segments = torch.tensor([[1] * TARGETS, [1] * 8 + [2] * 4 + [0] * 2], dtype=torch.int32)
    weights = (segments > 0).double()
    weights[0, 3], weights[1, 9] = 0.0, 0.5
    rows = []
    for row in range(2):
        reads, writes = int((source_segments[row] > 0).sum()), int((segments[row] > 0).sum())
        rows.append(logits_of(p, source[row, :reads].long(), source_segments[row, :reads].tolist(), tokens[row, :writes].long(),
                              segments[row, :writes].tolist()))
    logits = torch.stack([torch.nn.functional.pad(row, (0, 0, 0, TARGETS - row.shape[0])) for row in rows])
    loss = -(weights * logits.log_softmax(-1).gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)).sum()
    gradients = torch.autograd.grad(loss, list(p.values()))
    out = {"encoder_tokens": source, "encoder_segments": source_segments, "tokens": tokens, "targets": targets, "segments": segments,
           "weights": weights.float(), "logits": logits.detach().float(), "loss": loss.detach()}
    out |= {"initial/" + n: v.detach().half() for n, v in p.items()}
    out |= {"gradient/" + n: g.float() for n, g in zip(p, gradients)}
    file = HERE / "encoder_decoder.safetensors"
    made_by = "tests/golden/make_encoder_decoder.py"
    save_file({n: v.contiguous() for n, v in out.items()}, file, {"seed": str(SEED), "made_by": made_by})
    print(file.name, file.stat().st_size, "bytes; loss", loss.item())


if __name__ == "__main__":
    main()
