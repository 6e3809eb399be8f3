#!/usr/bin/env python3
"""Measures Lacuna beside other programs on one GPU, in turns within one sitting, and prints Markdown tables.

    tests/bench/gpu/run.py --tokens tokens.tar.xz --peers FOLDER --only gpt2-124m,tiny --seconds-per-window 3 --out README.md

FOLDER holds nanogpt/model.py, llmc/train_gpt2cu, llmq/train and llmq/libllmq-common.so, as README.md says; a program that is not
there is a line that says so. Nothing else may run on the GPU. Needs Python 3.9 and nvidia-smi; the peer's Python has torch.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback

import gpu_state
import report as tables
import tokens as token_files
from contestants import Gone
from report import Report, say
from workloads import HERE, NAMES, PEERS, RECOMPUTE, TRAINING, Catalog, optimizer_milliseconds

SOURCE = HERE.parents[2]


def turns(contestants, rounds, seconds, monitor, after_first=None):
    """Windows of each contestant by name, taken in turns; and what became of those that failed."""
    windows, failed = {c.name: [] for c in contestants}, {}
    for turn in range(rounds):
        for c in contestants:
            if c.name in failed:
                continue
            try:
                window = c.window(seconds)
            except Gone as gone:
                failed[c.name] = str(gone)
                continue
            windows[c.name].append({**window, **monitor.between(window["begin"], window["end"])})
        if turn == 0 and after_first:
            after_first()
    return windows, failed


class Bench:
    def __init__(self, a, catalog, report, monitor):
        self.a, self.catalog, self.report, self.monitor, self.runs = a, catalog, report, monitor, []

    def session(self, workload, names, rounds):
        """Starts the named programs one by one, gives them their turns and ends them: windows, memory and failures by name."""
        running, memory, grown, failed = [], {}, {}, {}
        try:
            for name in names:
                c = self.catalog.make(name, workload)
                running.append(c)
                try:
                    say(f"{workload.config}: {NAMES[name]} starts")
                    before = gpu_state.memory_used()
                    say(f"{workload.config}: {NAMES[name]} ready after {c.start():.1f} s")
                    grown[name] = max(gpu_state.memory_used() - before, 0)
                except Gone as gone:
                    failed[name] = str(gone)
                    running.pop().close()

            def weigh():
                memory.update({c.name: gpu_state.memory_of(c.process.pid) or grown[c.name] for c in running})

            windows, ended = turns(running, rounds, self.a.seconds_per_window, self.monitor, weigh)
        finally:
            for c in running:
                c.close()
        self.runs.append({"workload": workload.config, "windows": windows, "memory_bytes": memory,
                          "commands": {c.name: c.command for c in running}, "failed": {**failed, **ended}})
        return windows, memory, {**failed, **ended}

    def train(self, name):
        w, told = TRAINING[name], False
        if self.a.accumulation and w.accumulate > 1:
            w.accumulate = self.a.accumulation
        scale, unit = (1 / w.tokens_per_step, w.unit) if w.unit == "steps/s" else (1, w.unit)
        last = {}, {}, {}  # windows, memory and failures of ours, which peers that fit beside nobody are compared with
        for names in w.sessions(self.a.contestants, gpu_state.memory_total()):
            windows, memory, failed = ({**ours, **found} for ours, found in zip(last, self.session(w, names, self.a.rounds)))
            last = tuple({n: v for n, v in found.items() if n == "ours"} for found in (windows, memory, failed))
            rates = {n: [scale * one["tokens_per_second"] for one in many] for n, many in windows.items()}
            for n in names:
                if windows.get(n) and not (n == "ours" and told):
                    self.report.contestant(name, n, windows[n], memory.get(n))
                    told = told or n == "ours"
            for peer in (n for n in names if n != "ours"):
                if lost := [f"{NAMES[n]}: {failed[n]}" for n in ("ours", peer) if n in failed]:
                    self.report.absent(name, peer, "; ".join(lost))
                else:
                    self.report.ratio(name, peer, unit, rates["ours"], rates[peer])
            if name == "gpt2-124m" and "nanogpt" in names and "memory-124m" in self.a.only:
                self.memory(windows, memory, failed)

    def memory(self, windows=None, memory=None, failed=None):
        if windows is None:
            windows, memory, failed = self.session(TRAINING["gpt2-124m"], ["ours", "nanogpt"], 1)
        lost = [f"{NAMES[n]}: {failed.get(n, 'nvidia-smi does not tell')}" for n in ("ours", "nanogpt") if not memory.get(n)]
        if lost:
            return self.report.absent("memory-124m", "nanogpt", "; ".join(lost))
        gib = {n: [bytes_ / 2**30] for n, bytes_ in memory.items() if bytes_}
        self.report.ratio("memory-124m", "nanogpt", "GiB", gib["ours"], gib["nanogpt"], smaller_is_better=True)
        allocated = windows["nanogpt"][-1].get("peak_bytes", 0) / 2**30
        say(f"memory-124m: the allocator of torch says that nanoGPT's peak was {allocated:.1f} GiB")

    def start_to_100(self):
        """Both from empty caches of their compilers and timings, then both from those that they left."""
        seconds, failed = {}, {}
        for _ in range(self.a.starts):
            self.catalog.empty_caches()
            for suffix in ("", "-again"):
                for program in ("ours", "nanogpt"):
                    c = self.catalog.make(program, TRAINING["gpt2-124m"])
                    try:
                        took = c.until(100)
                        say(f"start-to-100: {NAMES[program + suffix]} took {took:.1f} s")
                        seconds.setdefault(program + suffix, []).append(took)
                    except Gone as gone:
                        failed[program + suffix] = str(gone)
                    finally:
                        c.close()
        self.runs.append({"workload": "start-to-100", "seconds": seconds, "failed": failed})
        for suffix in ("", "-again"):
            ours, theirs = "ours" + suffix, "nanogpt" + suffix
            if lost := [f"{NAMES[n]}: {failed[n]}" for n in (ours, theirs) if n in failed]:
                self.report.absent("start-to-100", theirs, "; ".join(lost))
            else:
                self.report.ratio("start-to-100", theirs, "s", seconds[ours], seconds[theirs], inverted=True)

    def optimizer(self):
        ours = {}
        for size in ("124m", "1558m"):
            c = self.catalog.nanogpt("nanogpt", TRAINING[f"gpt2-{size}"], "--optimizer")
            theirs = []
            try:
                c.start()
                ours = ours or optimizer_milliseconds(self.a.kernels_bench)
                theirs = [c.window(1)["milliseconds"] for _ in range(3)]
                self.report.ratio("optimizer", "nanogpt", f"ms ({size})", [ours[size]] * 3, theirs, inverted=True)
            except (Gone, subprocess.TimeoutExpired) as gone:
                self.report.absent("optimizer", "nanogpt", f"{size}: {gone}")
            finally:
                c.close()
            self.runs.append({"workload": "optimizer", "size": size, "ours_ms": ours.get(size), "torch_ms": theirs})

    def recompute(self):
        for w in (TRAINING["gpt2-124m"], TRAINING["gpt2-1558m"]):
            for name in RECOMPUTE:
                windows, memory, failed = self.session(w, [name], min(self.a.rounds, 3))
                if name in failed:
                    self.report.absent(w.config, name, failed[name])
                else:
                    self.report.contestant(w.config, name, windows[name], memory.get(name))


def unpack(tokens, work):
    if tokens.is_dir():
        folder = tokens.resolve()
    else:
        folder = work / "tokens"
        if not (folder / "tokens.u16").exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tarfile.open(tokens) as archive:
                for name in token_files.NAMES:
                    with archive.extractfile(name) as inside, (folder / name).open("wb") as out:
                        shutil.copyfileobj(inside, out)
    token_files.derive(folder / "tokens.u16")
    return folder


def peer_libraries(a):
    """Folders of the CUDA libraries that the peer's Python carries, and of LLMQ's own."""
    look = "import nvidia, pathlib; print(*(p for f in nvidia.__path__ for p in pathlib.Path(f).glob('*/lib')), sep='\\n')"
    try:
        found = subprocess.run([a.peer_python, "-c", look], capture_output=True, text=True).stdout.split()
    except OSError as error:
        sys.exit(f"--peer-python {a.peer_python} cannot be run: {error}")
    return [pathlib.Path(a.llmq).parent, *found, *filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))]


def commit():
    command = ["git", "-C", str(SOURCE), "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def arguments():
    workloads = ["start-to-100", *TRAINING, "memory-124m", "optimizer", "recompute"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(workloads), help="workloads, by commas")
    parser.add_argument("--contestants", default="reference,llmc,llmq,nanogpt,nanogpt-graphs", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=5, help="windows of each program")
    parser.add_argument("--seconds-per-window", type=float, default=3)
    parser.add_argument("--starts", type=int, default=1, help="repeats of start-to-100")
    parser.add_argument("--accumulation", type=int, help="micro-batches a step of the Qwen workloads instead of LLMQ's 16")
    parser.add_argument("--tokens", type=pathlib.Path, required=True, help="tokens.py's archive, or the folder of its files")
    parser.add_argument("--peers", type=pathlib.Path, required=True, help="folder of the peers")
    parser.add_argument("--lacuna", default=SOURCE / "build" / "cuda" / "bin" / "lacuna")
    parser.add_argument("--kernels-bench", help="gpu_kernels_bench; beside lacuna unless given")
    parser.add_argument("--set", action="append", default=[], help="section.key=value for our runs")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter with torch")
    parser.add_argument("--commit", default=commit(), help="ours, where git does not know it")
    parser.add_argument("--commits", default="nanoGPT 3adf61e, llm.c f1e2ace, LLMQ b77d969", help="of the peers")
    parser.add_argument("--work", default=tempfile.gettempdir() + "/lacuna-gpu-bench", help="for runs, tokens and caches")
    parser.add_argument("--json", type=pathlib.Path, help="write every window and command there")
    parser.add_argument("--out", type=pathlib.Path, help="write the ratios there; into README.md between its marks")
    parser.add_argument("--details", type=pathlib.Path, help="and there what each program did")
    a = parser.parse_args()
    a.only, a.contestants = a.only.split(","), a.contestants.split(",")
    for given, known, flag in ((a.only, workloads, "--only"), (a.contestants, PEERS, "--contestants")):
        if unknown := set(given) - set(known):
            parser.error(f"{flag} knows {', '.join(known)}, not {', '.join(sorted(unknown))}")
    a.peers, a.lacuna = a.peers.resolve(), pathlib.Path(a.lacuna).resolve()
    a.kernels_bench = a.kernels_bench or a.lacuna.parent / "gpu_kernels_bench"
    a.nanogpt, a.llmc, a.llmq = a.peers / "nanogpt" / "model.py", a.peers / "llmc" / "train_gpt2cu", a.peers / "llmq" / "train"
    return a


def main():
    a = arguments()
    work = pathlib.Path(a.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "runs", ignore_errors=True)
    # What is cut short ends the programs that it started and leaves what it had.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    began = time.time()
    catalog = Catalog(a, unpack(a.tokens, work), peer_libraries(a))
    heading = (f"{time.strftime('%Y-%m-%d')}, {gpu_state.identity() or 'no GPU'}; commit {a.commit}; {a.commits}; "
               f"{a.rounds} windows of {a.seconds_per_window:g} s of each program in turns")
    report = Report()

    def told():
        report.heading = f"{heading}; {time.time() - began:.0f} s in all."
        if a.json:
            everything = {**vars(report), "arguments": {k: str(v) for k, v in vars(a).items()}, "runs": bench.runs}
            a.json.write_text(json.dumps(everything, indent=1))
        if a.out:
            tables.write_table(a.out, tables.ratios([report.heading], report.ratios))
        if a.details:
            tables.write_table(a.details, tables.details(report.details))

    with gpu_state.Monitor() as monitor:
        bench = Bench(a, catalog, report, monitor)
        alone = {"start-to-100": bench.start_to_100, "optimizer": bench.optimizer, "recompute": bench.recompute}
        for name in a.only:
            try:
                if name in TRAINING:
                    bench.train(name)
                elif name in alone:
                    alone[name]()
                elif "gpt2-124m" not in a.only or "nanogpt" not in a.contestants:
                    bench.memory()
            except Exception:  # the other workloads' figures are worth having all the same
                traceback.print_exc()
            finally:
                told()
    print(tables.ratios([report.heading], report.ratios), tables.details(report.details), sep="\n")


if __name__ == "__main__":
    main()
