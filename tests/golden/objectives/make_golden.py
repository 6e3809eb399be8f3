#!/usr/bin/env python3
"""Makes the numbers that objectives_golden_test.cpp compares with: objectives that predict something else than the next token, in plain
PyTorch, written from the papers and not from Lacuna's code.

    python3 tests/golden/objectives/make_golden.py        # needs torch==2.11.0 and safetensors; writes beside itself

One file an objective (future_token: one a network), on one block of GPT-2's shape with exact GELU. Double precision from initial values
that half precision holds exactly. Each file holds
  initial/NAME (float16)  batch/FIELD, as the objective hands it to the network  gradient/NAME of the summed loss (float32)  loss
"""
import math
import pathlib

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
ROWS, LENGTH, TOKENS, HIDDEN, HEADS, INNER = 2, 8, 13, 16, 2, 24
HORIZON, PSEUDO, LAYERS, DECAY = 3, 4, 2, 0.8


class Parameters(dict):
    """Draws a parameter when it is first asked for."""

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, name, *shape, mean=0.0, deviation=0.3):
        if name not in self:
            values = mean + deviation * torch.randn(*shape, generator=self.generator, dtype=torch.float64)
            self[name] = values.half().double().requires_grad_()
        return self[name]


def linear(p, name, x, outputs, bias):
    y = x @ p.draw(name + ".weight", outputs, x.shape[-1]).T
    return y + p.draw(name + ".bias", outputs) if bias else y


def norm(p, name, x, centred):
    if centred:
        x = x - x.mean(-1, keepdim=True)
    x = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * p.draw(name + ".weight", HIDDEN, mean=1.0)
    return x + p.draw(name + ".bias", HIDDEN) if centred else x


CAUSAL = torch.ones(64, 64, dtype=torch.bool).tril()
FULL = torch.ones(64, 64, dtype=torch.bool)


def attention(p, name, x, memory, allowed, bias):
    """allowed: (T, T) or larger, or (B, T, T); whether the query of a row may see the key of a column."""
    def heads(part, source):
        return linear(p, f"{name}.{part}", source, HIDDEN, bias).unflatten(-1, (HEADS, -1)).transpose(-2, -3)

    q, k, v = heads("query", x), heads("key", memory), heads("value", memory)
    scores = q @ k.mT / math.sqrt(HIDDEN // HEADS)
    here = allowed[..., : scores.shape[-2], : scores.shape[-1]]
    scores = scores.masked_fill(~(here.unsqueeze(1) if here.dim() == 3 else here), -math.inf)
    return linear(p, f"{name}.output", (scores.softmax(-1) @ v).transpose(-2, -3).flatten(-2), HIDDEN, bias)


def feed_forward(p, name, x, inner, bias):
    up = linear(p, f"{name}.up", x, inner, bias)
    return linear(p, f"{name}.down", 0.5 * up * (1 + torch.erf(up / math.sqrt(2))), HIDDEN, bias)


def block(p, name, x, allowed, inner, gpt):
    y = norm(p, f"{name}.attention_norm", x, centred=gpt)
    x = x + attention(p, f"{name}.attention", y, y, allowed, bias=gpt)
    return x + feed_forward(p, f"{name}.feed_forward", norm(p, f"{name}.feed_forward_norm", x, centred=gpt), inner, bias=gpt)


def trunk(p, tokens, positions, vocabulary, places, allowed):
    table = p.draw("embedding.weight", vocabulary, HIDDEN)
    x = table[tokens.long()] + p.draw("position", places, HIDDEN)[positions.long()]
    return norm(p, "final_norm", block(p, "block0", x, allowed, INNER, gpt=True), centred=True)


def future_states(p, kind, states, ahead):
    """(B, T, N, D) from h and the embeddings of x_{t+1..t+N}."""
    own = "objective.network."
    if kind == "decoder":
        rows = (states @ p.draw(own + "spread", PSEUDO * HIDDEN, HIDDEN).T).unflatten(-1, (PSEUDO, HIDDEN))
        first = p.draw(own + "start", HIDDEN).expand(ROWS, LENGTH, 1, HIDDEN)
        x = torch.cat([first, ahead[:, :, :-1]], 2) + p.draw(own + "position", HORIZON, HIDDEN)
        for i in range(LAYERS):
            b = f"{own}block{i}"
            y = norm(p, f"{b}.self_norm", x, centred=False)
            x = x + attention(p, f"{b}.self", y, y, CAUSAL, bias=False)
            x = x + attention(p, f"{b}.cross", norm(p, f"{b}.cross_norm", x, centred=False), rows, FULL, bias=False)
            x = x + feed_forward(p, f"{b}.feed_forward", norm(p, f"{b}.feed_forward_norm", x, centred=False), 4 * HIDDEN, False)
        return norm(p, own + "norm", x, centred=False)
    if kind == "heads":
        each = [block(p, f"{own}head{k}", states, CAUSAL, 4 * HIDDEN, gpt=False) for k in range(HORIZON)]
        return torch.stack([norm(p, own + "norm", h, centred=False) for h in each], 2)
    every, h = [states], states
    for k in range(1, HORIZON):
        if kind == "chained":
            pair = [norm(p, f"{own}state_norm{k}", h, centred=False), norm(p, f"{own}token_norm{k}", ahead[:, :, k - 1], centred=False)]
            joined = torch.cat(pair, -1) @ p.draw(f"{own}join{k}", HIDDEN, 2 * HIDDEN).T
            h = block(p, f"{own}block{k}", joined, CAUSAL, 4 * HIDDEN, gpt=False)
            every.append(norm(p, own + "norm", h, centred=False))
        else:
            read = torch.cat([states, *(ahead[:, :, j] for j in range(k))], -1) if kind == "hydra" else states
            inner = read @ p.draw(f"{own}head{k}", HIDDEN, read.shape[-1]).T
            every.append(states + inner * torch.sigmoid(inner))
    return torch.stack(every, 2)


def losses(logits, targets):
    return -logits.log_softmax(-1).gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)


def rows_of(generator):
    return torch.randint(TOKENS, (ROWS, LENGTH + 1), generator=generator, dtype=torch.int32)


def future_token(p, generator, kind):
    row = rows_of(generator)
    tokens, targets = row[:, :-1].contiguous(), row[:, 1:].contiguous()
    ahead = torch.zeros(ROWS, LENGTH, HORIZON, dtype=torch.int32)
    weights = torch.zeros(ROWS, LENGTH, HORIZON, dtype=torch.float64)
    for t in range(LENGTH):
        for k in range(min(HORIZON, LENGTH - t)):
            ahead[:, t, k], weights[:, t, k] = row[:, t + 1 + k], DECAY**k
    states = trunk(p, tokens, torch.arange(LENGTH).expand(ROWS, -1), TOKENS, LENGTH, allowed=CAUSAL)
    table = p["embedding.weight"]
    loss = (weights * losses(future_states(p, kind, states, table[ahead.long()]) @ table.T, ahead)).sum()
    return loss, {"tokens": tokens, "targets": targets, "weights": weights.sum(-1).float(), "future_targets": ahead,
                  "future_weights": weights.float()}


def masked_language(p, generator, _):
    targets = rows_of(generator)[:, :LENGTH].contiguous()
    predicted = torch.tensor([[0, 3, 7], [2, 4, 5]], dtype=torch.int32)
    weights = torch.zeros(ROWS, LENGTH).scatter_(1, predicted.long(), 1.0)
    tokens = targets.clone()
    tokens[0, 0], tokens[0, 3], tokens[1, 2], tokens[1, 4] = TOKENS, TOKENS, TOKENS, 5  # masked thrice, random once, kept twice
    states = trunk(p, tokens, torch.arange(LENGTH).expand(ROWS, -1), TOKENS + 1, LENGTH, allowed=FULL)
    loss = (weights.double() * losses(states @ p["embedding.weight"].T, targets)).sum()
    return loss, {"tokens": tokens, "targets": targets, "weights": weights, "predicted": predicted}


def position(p, generator, _):
    tokens = rows_of(generator)[:, :LENGTH].contiguous()
    targets = torch.arange(LENGTH, dtype=torch.int32).repeat(ROWS, 1)
    predicted = torch.tensor([[0, 1, 2, 4, 5, 7], [0, 2, 3, 4, 5, 6]], dtype=torch.int32)
    weights = torch.zeros(ROWS, LENGTH).scatter_(1, predicted.long(), 1.0)
    positions = torch.where(weights > 0, LENGTH, targets).int()  # the row behind the places stands for none
    states = trunk(p, tokens, positions, TOKENS, LENGTH + 1, allowed=FULL)
    loss = (weights.double() * losses(states @ p.draw("objective.places", LENGTH, HIDDEN).T, targets)).sum()
    return loss, {"tokens": tokens, "targets": targets, "weights": weights, "predicted": predicted, "positions": positions}


def prefix_language(p, generator, _):
    row = rows_of(generator)[:, :LENGTH].contiguous()
    tokens = torch.cat([torch.zeros(ROWS, 1, dtype=torch.int32), row[:, :-1]], 1)  # shifted: slot t holds what stands before its target
    split, slot = torch.tensor([[3], [5]]), torch.arange(LENGTH)
    weights, prefix = (slot >= split).float(), slot <= split
    allowed = CAUSAL[:LENGTH, :LENGTH] | (prefix.unsqueeze(-1) & prefix.unsqueeze(-2))
    states = trunk(p, tokens, slot.expand(ROWS, -1), TOKENS, LENGTH, allowed)
    loss = (weights.double() * losses(states @ p["embedding.weight"].T, row)).sum()
    return loss, {"tokens": tokens, "targets": row, "weights": weights, "bidirectional": prefix.int()}


def main():
    cases = {"masked_language": (masked_language, None), "position": (position, None), "prefix_language": (prefix_language, None)}
    cases |= {f"future_{kind}": (future_token, kind) for kind in ("decoder", "heads", "chained", "medusa", "hydra")}
    for name, (objective, kind) in cases.items():
        p = Parameters(20261126)
        loss, batch = objective(p, torch.Generator().manual_seed(7), kind)
        gradients = torch.autograd.grad(loss, list(p.values()))
        out = {"batch/" + n: v for n, v in batch.items()} | {"loss": loss.detach()}
        out |= {"initial/" + n: v.detach().half() for n, v in p.items()}
        out |= {"gradient/" + n: g.float() for n, g in zip(p, gradients)}
        file = HERE / f"{name}.safetensors"
        save_file({n: v.contiguous() for n, v in out.items()}, file, {"torch": torch.__version__.split("+")[0]})
        print(file.name, file.stat().st_size, "bytes; loss", loss.item())


if __name__ == "__main__":
    main()
