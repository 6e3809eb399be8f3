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
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

import gpu_state
import tokens as token_files
from contestants import Gone
from workloads import HERE, NAMES, PEERS, TRAINING, Catalog, bar, optimizer_milliseconds

SOURCE = HERE.parents[2]


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


class Report:
    def __init__(self):
        self.ratios, self.details, self.runs = [], [], []

    def ratio(self, workload, peer, unit, ours, theirs, smaller_is_better=False, inverted=False):
        """`inverted`: the ratio is the peer's over ours, which is how times are told."""
        pairs = [(b / a if inverted else a / b) for a, b in zip(ours, theirs)]
        middle = statistics.median(ours) / statistics.median(theirs)
        middle = 1 / middle if inverted else middle
        asked = bar(workload, peer)
        met = "" if asked is None else "yes" if (middle <= asked if smaller_is_better else middle >= asked) else "no"
        asked = "" if asked is None else f"{'≤' if smaller_is_better else '≥'} {asked}"
        figures = f"{number(statistics.median(ours))} {unit} | {number(statistics.median(theirs))} {unit}"
        ratio = f"**{middle:.3f}** ({min(pairs):.3f}–{max(pairs):.3f})"
        self.add(f"| {workload} | {NAMES[peer]} | {figures} | {ratio} | {asked} | {met} |")

    def absent(self, workload, peer, why):
        why = " ".join(why.split()).replace("|", "/")
        self.add(f"| {workload} | {NAMES[peer]} | | | not measured: {why} | | |")

    def add(self, line):
        self.ratios.append(line)
        say(line)

    def contestant(self, workload, name, windows, memory):
        rates = [w["tokens_per_second"] for w in windows]
        clocks = [f"{statistics.median(v):.0f}" if (v := [w[k] for w in windows if w[k] is not None]) else ""
                  for k in ("sm_mhz", "watts", "celsius")]
        gib = f"{memory / 2**30:.1f}" if memory else ""
        rate = f"{number(statistics.median(rates))} ({number(min(rates))}–{number(max(rates))})"
        milliseconds = statistics.median(w["milliseconds"] for w in windows)
        self.details.append(f"| {workload} | {NAMES[name]} | {rate} | {milliseconds:.2f} | {' | '.join(clocks)} | {gib} |")
        say(self.details[-1])

    def text(self, heading):
        lines = [heading, "",
                 "| workload | beside | Lacuna, median | the other, median | ratio of medians (least–greatest) | asked | met |",
                 "|---|---|---|---|---|---|---|", *self.ratios]
        if self.details:
            lines += ["", "| workload | program | tok/s, median (least–greatest) | ms a step | SM MHz | W | °C | GiB |",
                      "|---|---|---|---|---|---|---|---|", *self.details]
        return "\n".join([*lines, ""])


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


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
        self.a, self.catalog, self.report, self.monitor = a, catalog, report, monitor

    def session(self, workload, names, rounds):
        """Starts the named programs one by one, gives them their turns and ends them: windows, memory and failures by name."""
        running, memory, grown, failed = [], {}, {}, {}
        try:
            for name in names:
                c = self.catalog.make(name, workload)
                try:
                    say(f"{workload.config}: {NAMES[name]} starts")
                    before = gpu_state.memory_used()
                    say(f"{workload.config}: {NAMES[name]} ready after {c.start():.1f} s")
                    running.append(c)
                    grown[name] = max(gpu_state.memory_used() - before, 0)
                except Gone as gone:
                    failed[name] = str(gone)
                    c.close()

            def weigh():
                memory.update({c.name: gpu_state.memory_of(c.process.pid) or grown[c.name] for c in running})

            windows, ended = turns(running, rounds, self.a.seconds_per_window, self.monitor, weigh)
        finally:
            for c in running:
                c.close()
        self.report.runs.append({"workload": workload.config, "windows": windows, "memory_bytes": memory,
                                 "commands": {c.name: c.command for c in running}, "failed": {**failed, **ended}})
        return windows, memory, {**failed, **ended}

    def train(self, name):
        w, told = TRAINING[name], False
        if self.a.accumulation and w.accumulate > 1:
            w.accumulate = self.a.accumulation
        for group in w.groups:
            peers = [p for p in group if p in self.a.contestants]
            if not peers:
                continue
            windows, memory, failed = self.session(w, ["ours", *peers], self.a.rounds)
            scale, unit = (1 / w.tokens_per_step, w.unit) if w.unit == "steps/s" else (1, w.unit)
            rates = {n: [scale * one["tokens_per_second"] for one in many] for n, many in windows.items()}
            for n, many in windows.items():
                if many and not (n == "ours" and told):
                    self.report.contestant(name, n, many, memory.get(n))
                    told = told or n == "ours"
            for peer in peers:
                lost = [f"{NAMES[n]}: {failed[n]}" for n in ("ours", peer) if n in failed]
                if lost:
                    self.report.absent(name, peer, "; ".join(lost))
                else:
                    self.report.ratio(name, peer, unit, rates["ours"], rates[peer])
            if name == "gpt2-124m" and "nanogpt" in peers and "memory-124m" in self.a.only:
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
        w = TRAINING["gpt2-124m"]
        caches = [("nanogpt", tempfile.mkdtemp(dir=self.catalog.work)), ("nanogpt-again", None)]
        seconds, failed = {"ours": [], **{n: [] for n, _ in caches}}, {}
        for _ in range(self.a.starts):
            for name, cache in [("ours", None), *caches]:
                if name == "ours":
                    c = self.catalog.ours("ours", w)
                else:
                    c = self.catalog.nanogpt("nanogpt", w, "--until", "100", cache=cache and tempfile.mkdtemp(dir=cache))
                try:
                    if name == "ours":
                        seconds[name].append(c.until(100))
                    else:
                        c.launch()
                        seconds[name].append(c.answer(400)["seconds"])
                except Gone as gone:
                    failed[name] = str(gone)
                finally:
                    c.close()
        self.report.runs.append({"workload": "start-to-100", "seconds": seconds, "failed": failed})
        for name, _ in caches:
            if "ours" in failed or name in failed:
                self.report.absent("start-to-100", name, failed.get("ours", failed.get(name)))
            else:
                self.report.ratio("start-to-100", name, "s", seconds["ours"], seconds[name], inverted=True)

    def optimizer(self):
        for size in ("124m", "1558m"):
            c = self.catalog.nanogpt("nanogpt", TRAINING[f"gpt2-{size}"], "--optimizer")
            ours, theirs = [], []
            try:
                c.start()
                for _ in range(3):
                    ours.append(optimizer_milliseconds(self.a.kernels_bench, self.a.optimizer_family, self.a.optimizer_row, size))
                    theirs.append(c.window(1)["milliseconds"])
                self.report.ratio("optimizer", "nanogpt", f"ms ({size})", ours, theirs, inverted=True)
            except (Gone, subprocess.TimeoutExpired) as gone:
                self.report.absent("optimizer", "nanogpt", f"{size}: {gone}")
            finally:
                c.close()
            self.report.runs.append({"workload": "optimizer", "size": size, "ours_ms": ours, "torch_ms": theirs})


def unpack(tokens, work):
    if tokens.is_dir():
        folder = tokens.resolve()
    else:
        folder = work / "tokens"
        if not (folder / "tokens.u16").exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tarfile.open(tokens) as archive:
                for name in ("gpt2.h5", "qwen.h5", "tokens.u16"):
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


def write_table(path, text):
    """Between the two marks of a file that has them, such as README.md; else as a file of its own."""
    begin, end = "<!-- table -->\n", "<!-- end of table -->"
    old = path.read_text() if path.exists() else ""
    if begin in old and end in old:
        text = old[: old.index(begin) + len(begin)] + text + old[old.index(end) :]
    path.write_text(text)


def arguments():
    workloads = [*TRAINING, "memory-124m", "start-to-100", "optimizer"]
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
    parser.add_argument("--optimizer-family", default="adamw", help="of gpu_kernels_bench")
    parser.add_argument("--optimizer-row", default="(?i)adamw|optimizer", help="pattern of its line for a whole optimizer step")
    parser.add_argument("--set", action="append", default=[], help="section.key=value for our runs")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter with torch")
    parser.add_argument("--commit", default=commit(), help="ours, where git does not know it")
    parser.add_argument("--commits", default="nanoGPT 3adf61e, llm.c f1e2ace, LLMQ b77d969", help="of the peers")
    parser.add_argument("--work", default=tempfile.gettempdir() + "/lacuna-gpu-bench", help="for runs, tokens and caches")
    parser.add_argument("--json", type=pathlib.Path, help="write every window and command there")
    parser.add_argument("--out", type=pathlib.Path, help="write the tables there; into README.md between its marks")
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
    began, report = time.time(), Report()
    catalog = Catalog(a, unpack(a.tokens, work), peer_libraries(a))
    heading = (f"{time.strftime('%Y-%m-%d')}, {gpu_state.identity() or 'no GPU'}; commit {a.commit}; {a.commits}; "
               f"{a.rounds} windows of {a.seconds_per_window:g} s of each program in turns")

    def told():  # after each workload, so that a sitting that is cut short leaves what it had
        text = report.text(f"{heading}; {time.time() - began:.0f} s in all.")
        if a.json:
            everything = {"heading": heading, "arguments": {k: str(v) for k, v in vars(a).items()}, "runs": report.runs}
            a.json.write_text(json.dumps(everything, indent=1))
        if a.out:
            write_table(a.out, text)
        return text

    with gpu_state.Monitor() as monitor:
        bench = Bench(a, catalog, report, monitor)
        for name in a.only:
            if name in TRAINING:
                bench.train(name)
            elif name == "start-to-100":
                bench.start_to_100()
            elif name == "optimizer":
                bench.optimizer()
            elif "gpt2-124m" not in a.only or "nanogpt" not in a.contestants:
                bench.memory()
            text = told()
    print(text)


if __name__ == "__main__":
    main()
