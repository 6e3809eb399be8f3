#!/usr/bin/env python3
"""Measures Lacuna beside PyTorch 2.11 eager on this machine and prints a Markdown table.

    tests/bench/run.py [--only train,scaling,loader,feeding] [--rounds 5] [--out TABLE.md]

The contestants of a row take turns (A B A B ...), one short run each a round; a row's figures are medians over the rounds, and
its ratio is the median of the rounds' ratios. Nothing else may run meanwhile. Needs two cores and `lacuna` and `loader_bench`
of the release preset (ninja -C build/release lacuna loader_bench).
"""
import argparse
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
WARMUP = 2  # steps of a run that do not count


def cache_folder():
    if "LACUNA_CACHE" in os.environ:
        return pathlib.Path(os.environ["LACUNA_CACHE"])
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "lacuna"


def run(command, **options):
    """The program's standard output; its failure ends the benchmark with its own words."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"failed with code {done.returncode}: {' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.bin = pathlib.Path(arguments.build) / "bin"
        for program in ("lacuna", "loader_bench"):
            if not (self.bin / program).exists():
                sys.exit(f"{self.bin / program} is missing; build it with: ninja -C {arguments.build} {program}")
        self.work = pathlib.Path(arguments.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.cores = sorted(os.sched_getaffinity(0))[:2]
        self.environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1",
                                OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        self.peer = arguments.peer_python or run([HERE / "peer_setup"]).strip()
        self.corpus, self.tokens = self.prepare()

    def prepare(self):
        """The text as an HDF5 corpus for us and as bare uint16 tokens for the peer: the same bytes."""
        text = pathlib.Path(self.arguments.text) if self.arguments.text else self.generated_text()
        corpus, tokens = self.work / "corpus.h5", self.work / "corpus.bin"
        run([self.bin / "lacuna", "prepare", "--text", text, "--tokenizer", "bytes", "--out", corpus], env=self.environment)
        self.peer_run("-c", "import sys, numpy; numpy.fromfile(sys.argv[1], 'u1').astype('u2').tofile(sys.argv[2])", text, tokens)
        return corpus, tokens

    def generated_text(self):
        """Words of a small lexicon, each with its own frequency."""
        path, size = self.work / "text.txt", int(self.arguments.megabytes * 1e6)
        if path.exists() and path.stat().st_size >= size:
            return path
        draw = random.Random(1)
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        lexicon = ["".join(draw.choices(letters, range(26, 0, -1), k=draw.randint(2, 9))) for _ in range(4000)]
        shares = [1 / rank for rank in range(1, len(lexicon) + 1)]
        with path.open("w") as file:
            while file.tell() < size:
                file.write(" ".join(draw.choices(lexicon, shares, k=2000)) + "\n\n")
        return path

    def peer_run(self, *command, cores=None):
        prefix = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
        return run([*prefix, self.peer, *command], env=self.environment)

    def train(self, ranks=1, tensor=1):
        """Median tokens per second of a short run: each rank has a core of its own."""
        out = self.work / "runs"
        shutil.rmtree(out, ignore_errors=True)
        command = [self.bin / "lacuna", "train", HERE / "gpt_10m.toml", "--set", f"run.out={json.dumps(str(out))}", "--set",
                   f"data.train={json.dumps([str(self.corpus)])}", "--set", f"run.steps={self.arguments.steps + WARMUP}", "--set",
                   f"parallel.tensor={tensor}", "--set", "run.threads=1"]
        if ranks == 1:
            run(["taskset", "-c", self.cores[0], *command], env=self.environment)
        else:
            cores = " ".join(map(str, self.cores))
            bind = f'cores=({cores}); exec taskset -c "${{cores[$OMPI_COMM_WORLD_LOCAL_RANK]}}" "$@"'
            run(["mpirun", "-np", ranks, "--bind-to", "none", "--oversubscribe", "bash", "-c", bind, "bash", *command],
                env=self.environment)
        lines = [json.loads(line) for line in (out / "gpt-10m" / "metrics.jsonl").read_text().splitlines()]
        return statistics.median([l["tokens_per_second"] for l in lines if l["event"] == "step"][WARMUP:])

    def peer_train(self):
        result = json.loads(self.peer_run(HERE / "peer_nanogpt.py", "train", "--tokens", self.tokens, "--warmup", WARMUP, "--steps",
                                          self.arguments.steps + WARMUP, cores=self.cores[:1]))
        return statistics.median(result["tokens_per_second"])

    def peer_load(self):
        return json.loads(self.peer_run(HERE / "peer_nanogpt.py", "load", "--tokens", self.tokens, "--length", 1024, "--rows", 12,
                                        cores=self.cores[:1]))["windows_per_second"]

    def load(self, what):
        return json.loads(run(["taskset", "-c", self.cores[0], self.bin / "loader_bench", what, self.corpus],
                              env=self.environment))["windows_per_second"]

    def feeding(self):
        """One process that trains with the loader and on fixed tokens in turns: {"loader": [...], "synthetic": [...]}."""
        out = run(["taskset", "-c", self.cores[0], self.bin / "loader_bench", "train", HERE / "gpt_10m.toml", self.corpus,
                   self.arguments.rounds, self.arguments.steps], env=self.environment)
        return json.loads(out)


def turns(rounds, *contestants):
    """Each contestant's figures over the rounds."""
    figures = [[] for _ in contestants]
    for _ in range(rounds):
        for mine, contestant in zip(figures, contestants):
            mine.append(contestant())
    return figures


class Table:
    def __init__(self):
        self.rows = []

    def add(self, what, unit, ours, theirs, pass_at):
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        ratio = statistics.median(ratios)
        verdict = "yes" if ratio >= pass_at else "no"
        self.rows.append(f"| {what} | {statistics.median(ours):,.0f} {unit} | {statistics.median(theirs):,.0f} {unit} | "
                         f"**{ratio:.3f}** ({ratios[0]:.3f}–{ratios[-1]:.3f}) | {pass_at} | {verdict} |")
        print(self.rows[-1], file=sys.stderr, flush=True)

    def text(self, heading):
        head = ["| what | Lacuna, median | beside it, median | ratio, median (least–most) | pass | met |",
                "|---|---|---|---|---|---|"]
        return "\n".join([heading, "", *head, *self.rows, ""])


def machine():
    model = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
    flags = next((l for l in open("/proc/cpuinfo") if l.startswith("flags")), "")
    memory = next(int(l.split()[1]) for l in open("/proc/meminfo") if l.startswith("MemTotal")) / 2**20
    return f"{model}, {os.cpu_count()} cores, {'AVX-512' if 'avx512f' in flags else 'AVX2'}, {memory:.0f} GiB"


def commit():
    done = subprocess.run(["git", "-C", str(SOURCE), "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def write_table(path, text):
    """Between the two marks of a file that has them, such as README.md; else as a file of its own."""
    begin, end = "<!-- table -->\n", "<!-- end of table -->"
    old = path.read_text() if path.exists() else ""
    if begin in old and end in old:
        text = old[: old.index(begin) + len(begin)] + text + old[old.index(end) :]
    path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="train,scaling,loader,feeding", help="parts, by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="measured steps of a run")
    parser.add_argument("--text", help="a text file; generated where not given")
    parser.add_argument("--megabytes", type=float, default=64, help="of generated text")
    parser.add_argument("--build", default=SOURCE / "build" / "release")
    parser.add_argument("--work", default=cache_folder() / "bench", help="folder for corpora and runs")
    parser.add_argument("--peer-python", help="an interpreter with torch 2.11 and numpy; peer_setup makes one otherwise")
    parser.add_argument("--out", help="write the table here too; into README.md between its marks")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if unknown := set(parts) - {"train", "scaling", "loader", "feeding"}:
        parser.error(f"--only knows train, scaling, loader and feeding, not {', '.join(sorted(unknown))}")
    if len(os.sched_getaffinity(0)) < 2 and "scaling" in parts:
        parser.error("scaling needs two cores; leave it out with --only train,loader,feeding")

    bench, table, rounds = Bench(arguments), Table(), arguments.rounds
    if "train" in parts:
        ours, theirs = turns(rounds, bench.train, bench.peer_train)
        table.add("10.6M GPT, T = 256, one core: Lacuna / PyTorch 2.11 eager", "tok/s", ours, theirs, 1.1)
    if "scaling" in parts:
        one, data, tensor = turns(rounds, bench.train, lambda: bench.train(ranks=2), lambda: bench.train(ranks=2, tensor=2))
        table.add("the same, 2 ranks data parallel / 1 rank", "tok/s", data, one, 1.7)
        table.add("the same, 2 ranks tensor parallel / 1 rank", "tok/s", tensor, one, 1.5)
    if "loader" in parts:
        bare, batches, theirs = turns(rounds, lambda: bench.load("windows"), lambda: bench.load("batches"), bench.peer_load)
        table.add("1025-token windows, reads alone / nanoGPT get_batch", "/s", bare, theirs, 5)
        table.add("1025-token windows, prefetched batches / nanoGPT get_batch", "/s", batches, theirs, 5)
    if "feeding" in parts:
        fed = bench.feeding()
        table.add("training with the loader / on fixed tokens", "tok/s", fed["loader"], fed["synthetic"], 0.99)

    heading = (f"{time.strftime('%Y-%m-%d')}, {machine()}; commit {commit()}; {rounds} rounds of {arguments.steps} steps after "
               f"{WARMUP}; peer: torch 2.11.0 eager, one thread")
    text = table.text(heading)
    print(text)
    if arguments.out:
        write_table(pathlib.Path(arguments.out), text)


if __name__ == "__main__":
    main()
