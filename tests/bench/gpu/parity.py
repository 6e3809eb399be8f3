#!/usr/bin/env python3
"""Lays the losses of bf16 beside those of fp32 and of nanoGPT: GPT-2 124M, the same weights, batches and learning rates.

    tests/bench/gpu/parity.py --tokens tokens.tar.xz --peers FOLDER --gpus 0,1 --seconds 570 --out PARITY.md

Runs, of which --only names some: bf16; nanogpt (compiled, bf16 autocast); tf32 (fp32 whose products take tf32); fp32, its first
steps alone, which is what tf32 is checked by. A run takes the first GPU that is free; what has not ended after --seconds is asked to
stop, and losses are compared up to the last step that all have. --config and --shape serve rehearsals on a CPU.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

import gpu_state
from report import number, say, write_table
from run import SOURCE, commit, unpack
from workloads import HERE

LAST = 20  # steps whose mean is called the final loss
NAMES = {
    "bf16": "Lacuna, bf16",
    "tf32": "Lacuna, fp32 with products in tf32",
    "fp32": "Lacuna, fp32",
    "nanogpt": "nanoGPT, torch.compile, bf16 autocast",
}
PRECISION = {"bf16": ["precision.compute=bf16"], "tf32": ["precision.compute=fp32", "precision.tf32=true"],
             "fp32": ["precision.compute=fp32"]}


class Parity:
    def __init__(self, a, folder):
        self.a, self.folder, self.began = a, folder, time.time()
        self.first, self.paced = threading.Event(), threading.Event()  # initial weights are there; learning rates are there
        self.said = {}

    def left(self):
        return self.began + self.a.seconds - time.time()

    def run(self, name, gpu, command, limit):
        """Whether the program ended well in time."""
        log = self.a.work / f"{name}.log"
        say(f"{name} starts on GPU {gpu}")
        began = time.time()
        with log.open("wb") as out:
            process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=out, env=dict(os.environ, CUDA_VISIBLE_DEVICES=gpu))
            try:
                process.wait(max(limit, 1))
            except subprocess.TimeoutExpired:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.said[name] = f"code {process.returncode} after {time.time() - began:.0f} s"
        say(f"{name}: {self.said[name]}")
        if process.returncode not in (0, 75):
            tail = log.read_text(errors="replace").splitlines()[-6:]
            say(f"{name}: " + " / ".join(tail)[-800:])
        return process.returncode in (0, 75)

    def ours(self, name, gpu, *sets):
        command = [self.a.lacuna, "train", self.a.config, "--set", f"run.name={name}", "--set", f"run.out={self.a.work}",
                   "--set", f"data.train={json.dumps([str(self.folder / 'gpt2.h5')])}"]
        for one in sets:
            command += ["--set", one]
        return self.run(name, gpu, command, self.left())

    def start(self, gpu):
        """A step that changes nothing: its checkpoint holds the initial weights."""
        self.ours("first", gpu, *PRECISION["bf16"], *self.a.set, f"run.tokens={self.a.rows * self.a.length}",
                  "optimizer.learning_rate=0")
        self.first.set()

    def train(self, name, gpu):
        validation = [f"data.validation={json.dumps([str(self.folder / 'gpt2-validation.h5')])}", "evaluate.every=1000000",
                      "evaluate.rows=1000000"]
        if name != "nanogpt":
            short = [f"run.stop_after={self.a.fp32_steps}"] if name == "fp32" else []
            self.ours(name, gpu, *PRECISION[name], *validation, *short, *self.a.set)
            return
        order = self.a.work / "order.txt"
        tokens = (self.folder / "tokens.u16").stat().st_size // 2
        with order.open("w") as out:
            subprocess.run([sys.executable, HERE / "order.py", "--tokens", str(tokens), "--rows", str(self.a.rows), "--length",
                            str(self.a.length), "--steps", str(self.steps())], stdout=out, check=True)
        command = [sys.executable, HERE / "peer_nanogpt.py", self.a.peers / "nanogpt" / "model.py", "--tokens",
                   self.folder / "tokens.u16", "--validation", self.folder / "validation.u16", "--rows", self.a.rows, "--length",
                   self.a.length, "--order", order, "--rates", self.a.work / "bf16" / "metrics.jsonl", "--losses",
                   self.a.work / "nanogpt.jsonl", "--weights",
                   self.a.work / "first" / "checkpoints" / "step-00000001" / "rank-0.safetensors", *self.a.peer]
        self.run(name, gpu, command, self.left())

    def steps(self):
        return max((line["step"] for line in self.lines("bf16") if line["event"] == "step"), default=0)

    def lines(self, name):
        if name not in self.a.only and self.a.earlier:
            return json.loads(self.a.earlier.read_text())["lines"].get(name, [])
        path = self.a.work / "nanogpt.jsonl" if name == "nanogpt" else self.a.work / name / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")] if path.exists() else []

    def worker(self, gpu, waiting, lock):
        while True:
            with lock:
                if not waiting or self.left() < 20:
                    return
                name = waiting.pop(0)
            if name == "nanogpt":  # follows the learning rates of bf16, from the weights of the first step
                self.first.wait()
                self.paced.wait()
            self.train(name, gpu)
            if name == "bf16":
                self.paced.set()

    def all(self):
        gpus = self.a.gpus.split(",")
        if "nanogpt" in self.a.only:
            self.start(gpus[0])
        if "bf16" not in self.a.only:
            self.paced.set()  # its metrics.jsonl is there from an earlier call with the same --work
        waiting, lock = [n for n in ("bf16", "tf32", "nanogpt", "fp32") if n in self.a.only], threading.Lock()
        threads = [threading.Thread(target=self.worker, args=(gpu, waiting, lock)) for gpu in gpus]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def text(self):
        names = [n for n in NAMES if self.lines(n)]
        losses = {n: {s["step"]: s["loss"] for s in self.lines(n) if s["event"] == "step"} for n in names}
        judged = {n: next((s["loss"] for s in self.lines(n) if s["event"] == "evaluate"), None) for n in names}
        whole = [n for n in names if n != "fp32" and losses[n]]
        if "bf16" not in whole:
            return "bf16 has told of no step.\n"
        step = min(max(losses[n]) for n in whole)
        mean = lambda n, end: statistics.fmean(losses[n][s] for s in range(max(1, end - LAST + 1), end + 1))
        beside = lambda value, other: f"{100 * (value / other - 1):+.3f} %"
        tokens = step * self.a.rows * self.a.length
        lines = [f"{time.strftime('%Y-%m-%d')}, {gpu_state.identity() or 'CPU'}; commit {self.a.commit}; {step} steps, "
                 f"{number(tokens)} tokens.", "",
                 f"| run | loss, mean of the last {LAST} steps | bf16 beside it | validation loss at the end | bf16 beside it |",
                 "|---|---|---|---|---|"]
        for n in whole:
            cells = [f"{mean(n, step):.5f}", beside(mean("bf16", step), mean(n, step)) if n != "bf16" else ""]
            both = judged[n] is not None and judged["bf16"] is not None
            cells += [f"{judged[n]:.5f}" if judged[n] is not None else "",
                      beside(judged["bf16"], judged[n]) if n != "bf16" and both else ""]
            lines.append(f"| {NAMES[n]} | {' | '.join(cells)} |")
        if "fp32" in names and "tf32" in names:
            steps = sorted(losses["fp32"].keys() & losses["tf32"].keys())
            most = max((abs(losses["tf32"][s] / losses["fp32"][s] - 1), s) for s in steps)
            lines += ["", f"tf32 beside true fp32 over the first {steps[-1]} steps: losses differ by at most {100 * most[0]:.4f} % "
                      f"(step {most[1]}); {beside(mean('tf32', steps[-1]), mean('fp32', steps[-1]))} in the mean of the last {LAST}."]
        if "nanogpt" in whole:
            lines += ["", f"At step 1, from the same weights: {losses['bf16'][1]:.5f} and nanoGPT {losses['nanogpt'][1]:.5f}."]
        return "\n".join([*lines, ""])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="bf16,tf32,nanogpt,fp32", help="runs, by commas")
    parser.add_argument("--gpus", default="0", help="by commas")
    parser.add_argument("--seconds", type=float, default=3000, help="in all")
    parser.add_argument("--fp32-steps", type=int, default=60)
    parser.add_argument("--tokens", type=pathlib.Path, required=True, help="tokens.py's archive, or the folder of its files")
    parser.add_argument("--peers", type=pathlib.Path, required=True, help="folder of the peers")
    parser.add_argument("--lacuna", default=SOURCE / "build" / "cuda" / "bin" / "lacuna")
    parser.add_argument("--commit", default=commit(), help="ours, where git does not know it")
    parser.add_argument("--work", type=pathlib.Path, default="/tmp/lacuna-parity")
    parser.add_argument("--out", type=pathlib.Path, help="write the table there; between its marks, if it has them")
    parser.add_argument("--json", type=pathlib.Path, help="write every loss there")
    parser.add_argument("--earlier", type=pathlib.Path, help="what --json wrote of the runs that this call leaves out")
    for name, value, what in (("--rows", 64, "of a step"), ("--length", 1024, "of a row")):
        parser.add_argument(name, type=int, default=value, help=what)
    parser.add_argument("--config", default=HERE / "parity.toml")
    parser.add_argument("--set", action="append", default=[], help="section.key=value for our runs")
    parser.add_argument("--peer", action="append", default=[], help="an argument more for peer_nanogpt.py")
    a = parser.parse_args()
    a.only = a.only.split(",")
    if unknown := set(a.only) - set(NAMES):
        parser.error(f"--only knows {', '.join(NAMES)}, not {', '.join(sorted(unknown))}")
    a.work, a.peers, a.lacuna = a.work.resolve(), a.peers.resolve(), pathlib.Path(a.lacuna).resolve()
    return a


def main():
    a = arguments()
    a.work.mkdir(parents=True, exist_ok=True)
    parity = Parity(a, unpack(a.tokens, a.work))
    parity.all()
    text = parity.text()
    if a.json:
        told = {n: [{k: s[k] for k in ("event", "step", "loss", "tokens_per_second") if k in s} for s in parity.lines(n)]
                for n in NAMES}
        a.json.write_text(json.dumps({"said": parity.said, "lines": told}))
    if a.out:
        write_table(a.out, text)
    print(text)


if __name__ == "__main__":
    main()
