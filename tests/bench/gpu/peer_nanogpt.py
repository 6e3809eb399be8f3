#!/usr/bin/env python3
"""Drives nanoGPT's own model.py, unchanged, with the training step of its train.py: bf16 autocast, fused AdamW, clip at 1.0,
vocabulary 50304, no dropout, biases, random windows of a file of uint16 tokens.

    peer_nanogpt.py MODEL.py --tokens tokens.u16 --size 124m --rows 64 --mode compile
        warms up, then reads commands from standard input: `window SECONDS` trains for that long, `quit` ends
    peer_nanogpt.py ... --until 100
        prints the seconds from the start of the process until step 100 had ended
    peer_nanogpt.py ... --optimizer
        answers `window SECONDS` with the time of clip_grad_norm_ and the fused AdamW step alone
    peer_nanogpt.py ... --weights FILE.safetensors --order FILE --rates METRICS.jsonl --losses OUT.jsonl
        trains from Lacuna's weights, on the samples of each line of FILE (order.py writes it), at the learning rates of a run of
        Lacuna, and writes each step's loss, and at the end that on --validation

Every answer is a line of JSON. Needs torch and numpy, for --weights safetensors too.
"""
import argparse
import contextlib
import importlib.util
import json
import os
import sys
import time

import numpy as np
import torch

SIZES = {  # layers, heads, width
    "tiny": (4, 4, 256),
    "124m": (12, 12, 768),
    "350m": (24, 16, 1024),
    "774m": (36, 20, 1280),
    "1558m": (48, 25, 1600),
}
LEARNING_RATE, BETAS, WEIGHT_DECAY, CLIP = 6e-4, (0.9, 0.95), 0.1, 1.0


def seconds_since_start():
    """Of this process, interpreter and imports included."""
    with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
        ticks = int(stat.read().rsplit(")", 1)[1].split()[19])
        return float(uptime.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def say(**fields):
    print(json.dumps(fields), flush=True)


def build(a):
    spec = importlib.util.spec_from_file_location("nanogpt_model", a.model)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    layers, heads, width = (int(n) for n in a.shape.split(",")) if a.shape else SIZES[a.size]
    with torch.device(a.device):
        model = module.GPT(module.GPTConfig(block_size=a.length, vocab_size=a.vocabulary, n_layer=layers, n_head=heads,
                                            n_embd=width, dropout=0.0, bias=True))
    return model


def load_weights(model, path):
    """Lacuna's parameters under nanoGPT's names; a vocabulary of another padding is cut or keeps its own last rows."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file, torch.no_grad():
        names = {n.removeprefix("parameter."): n for n in file.keys() if n.startswith("parameter.")}
        read = lambda name: file.get_tensor(names.pop(name))
        copy = lambda to, value: to[: len(value)].copy_(value[: len(to)])
        copy(model.transformer.wte.weight, read("embedding.weight"))
        copy(model.transformer.wpe.weight, read("position"))
        for i, block in enumerate(model.transformer.h):
            for kind in ("weight", "bias"):
                part = lambda name: read(f"block{i}.{name}.{kind}")
                copy(getattr(block.ln_1, kind), part("attention_norm"))
                copy(getattr(block.attn.c_attn, kind), torch.cat([part(f"attention.{p}") for p in ("query", "key", "value")]))
                copy(getattr(block.attn.c_proj, kind), part("attention.output"))
                copy(getattr(block.ln_2, kind), part("feed_forward_norm"))
                copy(getattr(block.mlp.c_fc, kind), part("feed_forward.up"))
                copy(getattr(block.mlp.c_proj, kind), part("feed_forward.down"))
        for kind in ("weight", "bias"):
            copy(getattr(model.transformer.ln_f, kind), read(f"final_norm.{kind}"))
        if names:
            sys.exit(f"{path}: nanoGPT has no place for {', '.join(sorted(names))}")


class Training:
    def __init__(self, a):
        self.a, self.cuda = a, a.device == "cuda"
        torch.manual_seed(1337)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        with contextlib.redirect_stdout(sys.stderr):  # model.py talks
            self.model, self.optimizer = self.build()
        self.run = self.model
        if a.mode != "eager":
            self.run = torch.compile(self.model, mode=None if a.mode == "compile" else a.mode)
        self.order = None  # starts of the next rows, where they are given
        self.milliseconds = 0.0

    def build(self):
        model = build(self.a)
        if self.a.weights:
            load_weights(model, self.a.weights)
        return model, model.configure_optimizers(WEIGHT_DECAY, LEARNING_RATE, BETAS, self.a.device)

    def synchronize(self):
        if self.cuda:
            torch.cuda.synchronize()

    def batch(self):
        # nanoGPT opens the map anew for every batch and widens row by row.
        data = np.memmap(self.a.tokens, dtype=np.uint16, mode="r")
        starts = torch.randint(len(data) - self.a.length, (self.a.rows,)).tolist() if self.order is None else self.order
        x = torch.stack([torch.from_numpy(data[i : i + self.a.length].astype(np.int64)) for i in starts])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + self.a.length].astype(np.int64)) for i in starts])
        if not self.cuda:
            return x, y
        return x.pin_memory().to("cuda", non_blocking=True), y.pin_memory().to("cuda", non_blocking=True)

    def step(self, batch, following):
        """One update; `following` brings the next batch while the forward pass still runs. Returns the loss and that batch."""
        for _ in range(self.a.accumulate):
            if self.a.mode == "reduce-overhead":
                torch.compiler.cudagraph_mark_step_begin()
            with torch.autocast(self.a.device, torch.bfloat16, enabled=self.a.dtype == "bf16"):
                _, loss = self.run(*batch)
                loss = loss / self.a.accumulate
            batch = following()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), batch

    def steps(self, count):
        """Trains; returns seconds and the last loss. The device is idle before and after."""
        batch = self.batch()
        self.synchronize()
        began = time.perf_counter()
        for _ in range(count):
            loss, batch = self.step(batch, self.batch)
        self.synchronize()
        seconds = time.perf_counter() - began
        self.milliseconds = 1000 * seconds / count
        return seconds, loss.item() * self.a.accumulate

    def window(self, seconds, settle):
        self.steps(max(2, round(1000 * settle / self.milliseconds)))
        began = time.time()
        count = max(3, round(1000 * seconds / self.milliseconds))
        spent, loss = self.steps(count)
        tokens = count * self.a.accumulate * self.a.rows * self.a.length
        return {"begin": began, "end": time.time(), "steps": count, "milliseconds": self.milliseconds,
                "tokens_per_second": tokens / spent, "loss": loss, **self.memory()}

    def memory(self):
        if not self.cuda:
            return {}
        return {"peak_bytes": torch.cuda.max_memory_allocated(), "reserved_bytes": torch.cuda.max_memory_reserved()}


class OptimizerAlone(Training):
    """clip_grad_norm_ and the fused step over gradients that stay."""

    def __init__(self, a):
        super().__init__(a)
        for p in self.model.parameters():
            p.grad = torch.randn_like(p)

    def steps(self, count):
        self.synchronize()
        began = time.perf_counter()
        for _ in range(count):
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
            self.optimizer.step()
        self.synchronize()
        seconds = time.perf_counter() - began
        self.milliseconds = 1000 * seconds / count
        return seconds, 0.0


def serve(training, settle):
    training.steps(3)
    training.steps(10)
    say(ready=True, seconds=seconds_since_start(), torch=torch.__version__, **training.memory())
    for line in sys.stdin:
        command, *values = line.split()
        if command != "window":
            break
        say(**training.window(float(values[0]), settle))


@torch.no_grad()
def judge(training, a):
    """The mean loss on every whole row of the validation tokens."""
    tokens = torch.from_numpy(np.fromfile(a.validation, dtype=np.uint16).astype(np.int64))
    rows = (len(tokens) - 1) // a.length
    x, y = (tokens[shift : shift + rows * a.length].view(rows, a.length) for shift in (0, 1))
    training.model.eval()
    total = 0.0
    for some, targets in zip(x.split(16), y.split(16)):
        with torch.autocast(a.device, torch.bfloat16, enabled=a.dtype == "bf16"):
            _, loss = training.model(some.to(a.device), targets.to(a.device))
        total += loss.item() * len(some)
    return {"loss": total / rows, "rows": rows}


def follow(training, a):
    rates = [line["learning_rate"] for line in map(json.loads, open(a.rates)) if line["event"] == "step"]
    order = [[int(i) * a.length for i in line.split()] for line in open(a.order)]
    if any(len(rows) != a.rows for rows in order):
        sys.exit(f"{a.order}: its lines do not hold --rows {a.rows} samples each")
    upcoming = iter(order)

    def following():
        training.order = next(upcoming, order[-1])
        return training.batch()

    batch = following()
    with open(a.losses, "w", buffering=1) as out:  # by lines, so that a run that is cut short leaves what it had
        for number, rate in enumerate(rates[: len(order)], 1):
            for group in training.optimizer.param_groups:
                group["lr"] = rate
            loss, batch = training.step(batch, following)
            out.write(json.dumps({"event": "step", "step": number, "loss": loss.item()}) + "\n")
        if a.validation:
            out.write(json.dumps({"event": "evaluate", "step": number, **judge(training, a)}) + "\n")
    say(steps=number, loss=loss.item(), seconds=seconds_since_start())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="nanoGPT's model.py")
    parser.add_argument("--tokens", required=True, help="uint16 tokens without a header")
    parser.add_argument("--size", choices=SIZES, default="124m")
    parser.add_argument("--shape", help="layers,heads,width instead of a size")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--accumulate", type=int, default=1, help="micro-batches a step")
    parser.add_argument("--vocabulary", type=int, default=50304)
    parser.add_argument("--mode", choices=["eager", "compile", "reduce-overhead", "max-autotune"], default="compile")
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--settle", type=float, default=0.5, help="seconds of every window that do not count")
    parser.add_argument("--until", type=int, help="train to this step, print the seconds since the start and end")
    parser.add_argument("--optimizer", action="store_true", help="time clip and optimizer alone")
    for name, what in (("weights", "a checkpoint's safetensors"), ("order", "sample numbers, a line a step"),
                       ("rates", "metrics.jsonl of the run to follow"), ("losses", "where this run's losses go"),
                       ("validation", "uint16 tokens to judge the network by at the end")):
        parser.add_argument("--" + name, help=what)
    a = parser.parse_args()
    if a.order and not (a.rates and a.losses):
        parser.error("--order needs --rates and --losses")
    if a.order and a.accumulate != 1:
        parser.error("--order takes a step's rows at once: --accumulate 1")
    training = OptimizerAlone(a) if a.optimizer else Training(a)
    if a.order:
        follow(training, a)
    elif a.until:
        training.steps(a.until)
        say(step=a.until, seconds=seconds_since_start(), **training.memory())
    else:
        serve(training, a.settle)


if __name__ == "__main__":
    main()
