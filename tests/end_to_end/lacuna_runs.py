"""Runs of the lacuna program in a folder of their own: write a config, start jobs, read what they leave behind.

Standard library only. LACUNA names the program, MPIRUN the launcher.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

PROGRAM = os.path.realpath(os.environ.get("LACUNA", "build/release/bin/lacuna"))
MPIRUN = os.environ.get("MPIRUN", "mpirun")
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1",
                   OMPI_MCA_mpi_yield_when_idle="1")
LAUNCHER = [MPIRUN, "--oversubscribe", "--bind-to", "none"]
RANK_PREFIX = []        # words between the launcher and the program
LAYOUT_ROUNDING = 1e-5  # relative, fp32: what another order of summation may change
PATIENCE = 120          # seconds after which a job counts as hung

SMALL = {
    "run": {"seed": 5, "steps": 20, "device": "cpu", "threads": 1, "watchdog": 60},
    "batch": {"global_size": 8, "sequence_length": 32},
    "objective": {"kind": "next_token"},
    "architecture": {"kind": "decoder", "num_layers": 2, "hidden_size": 32, "num_heads": 4, "num_kv_heads": 4,
                     "feed_forward_size": 64},
    "optimizer": {"kind": "adamw", "learning_rate": 0.003},
    "schedule": {"kind": "constant", "warmup_steps": 5},
    "checkpoint": {"every": 0},
    "evaluate": {"every": 0},
}


def check(holds, message):
    if not holds:
        raise AssertionError(message)


def as_toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(str(value)) if isinstance(value, pathlib.Path) else json.dumps(value)


def invented_text(lines, seed):
    """Lines of made-up words whose letters are not equally likely, so that there is something to learn."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("etaoinshrdlu", weights=range(12, 0, -1), k=draw.randint(2, 7))) for _ in range(200)]
    return "".join(" ".join(draw.choices(words, k=draw.randint(3, 12))) + ".\n" for _ in range(lines))


def processes_of(marker):
    """Living processes of the program whose command line holds `marker`. A zombie only waits for its parent."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except (OSError, IndexError):
            continue
        if marker in line and os.path.realpath(line.split("\0")[0]) == PROGRAM and state not in "ZX":
            found.append(int(folder.name))
    return found


class Job:
    """A started job. `output` is what it has printed on both streams."""

    def __init__(self, command, folder, marker, before_exec=None):
        self.marker, self.log, self.began = marker, folder / f"job-{time.monotonic_ns()}.log", time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=before_exec)

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    def wait(self, seconds=PATIENCE):
        """The exit code; a job that takes longer is ended and fails the test."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the job hung for {seconds} s:\n{self.output[-2000:]}") from None

    def kill(self):
        """SIGKILL for the launcher and the ranks; returns when none is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.expect_gone(within=0, then_kill=True)

    def expect_gone(self, within=3.0, then_kill=False):
        deadline = time.monotonic() + within
        while (left := processes_of(self.marker)) and time.monotonic() < deadline:
            time.sleep(0.05)
        for _ in range(200):
            if not processes_of(self.marker):
                break
            for process in processes_of(self.marker):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)
        check(not left or then_kill, f"processes {left} survived the job:\n{self.output[-2000:]}")


class Runs:
    """A scratch folder with corpora, configs and the runs made from them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.corpus = self.prepare("train", invented_text(400, 1))

    def prepare(self, name, text):
        source, corpus = self.folder / f"{name}.txt", self.folder / f"{name}.h5"
        source.write_text(text)
        self.expect(0, "prepare", "--text", source, "--tokenizer", "bytes", "--documents", "line", "--out", corpus, "--force")
        return corpus

    def config(self, name, out=None, base=SMALL, **changes):
        """A config with `changes` by section; its path."""
        sections = {key: dict(value) for key, value in base.items()}
        sections["run"].update(name=name, out=out or self.folder / "runs")
        sections["data"] = {"train": [self.corpus]}
        for section, keys in changes.items():
            sections.setdefault(section, {}).update(keys)
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(f"[{section}]\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in keys.items())
                                  for section, keys in sections.items()))
        return path

    def start(self, *arguments, ranks=0, before_exec=None):
        words = [str(argument) for argument in arguments]
        launcher = [*LAUNCHER, "-np", str(ranks), *RANK_PREFIX] if ranks else []
        return Job([*launcher, PROGRAM, *words], self.folder, str(self.folder), before_exec)

    def expect(self, code, *arguments, **options):
        """Runs to the end, checks the exit code, and returns the output."""
        job = self.start(*arguments, **options)
        got = job.wait()
        check(got == code, f"lacuna {' '.join(map(str, arguments))}: exit code {got} instead of {code}\n{job.output[-3000:]}")
        return job.output

    def train(self, name, ranks=0, code=0, arguments=(), **changes):
        return self.expect(code, "train", self.config(name, **changes), *arguments, ranks=ranks)

    def run_folder(self, name):
        return self.folder / "runs" / name

    def status(self, name):
        return json.loads((self.run_folder(name) / "status.json").read_text())

    def checkpoints(self, name):
        """Steps of the checkpoints that have their final name, newest first."""
        return sorted((int(path.name[5:]) for path in (self.run_folder(name) / "checkpoints").glob("step-*[0-9]")
                       if path.name[5:].isdigit()), reverse=True)

    def losses(self, name):
        """By step; a line that is being written does not count."""
        return {line["step"]: line["loss"] for line in self.metrics(name)}

    def metrics(self, name):
        path = self.run_folder(name) / "metrics.jsonl"
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if line["event"] == "step"]

    def wait_for_step(self, job, name, step, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while max(self.losses(name), default=0) < step:
            check(job.process.poll() is None, f"the job ended before step {step}:\n{job.output[-2000:]}")
            if time.monotonic() > deadline:
                job.kill()
                raise AssertionError(f"{name} did not reach step {step} in {seconds} s:\n{job.output[-2000:]}")
            time.sleep(0.02)


TIMES = ("seconds", "tokens_per_second")


def expect_same_metrics(reference, other, what):
    """Every number but the times is the same, bit for bit: JSON numbers here are shortest exact decimals."""
    def timeless(lines):
        return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]
    check(len(reference) == len(other), f"{what}: {len(other)} steps instead of {len(reference)}")
    for expected, got in zip(timeless(reference), timeless(other)):
        check(expected == got, f"{what}: {got} instead of {expected}")


def expect_close_losses(reference, other, what, relative=LAYOUT_ROUNDING):
    check(reference.keys() == other.keys(), f"{what}: steps {sorted(other)} instead of {sorted(reference)}")
    worst = max(abs(other[step] - loss) / abs(loss) for step, loss in reference.items())
    check(worst <= relative, f"{what}: the losses differ by {worst:.1e} relative, more than {relative:.0e}")
    return worst


def main(*checks):
    """Runs each check, or those named on the command line, with a folder that they share; leaves with 1 if one failed."""
    chosen = [one for one in checks if one.__name__ in sys.argv[1:]] or checks
    folder = tempfile.mkdtemp(prefix="lacuna-runs-")
    failed = []
    try:
        runs = Runs(folder)
        for one in chosen:
            began = time.monotonic()
            try:
                told = one(runs) or ""
                print(f"passed  {one.__name__} ({time.monotonic() - began:.1f} s) {told}", flush=True)
            except Exception:
                failed.append(one.__name__)
                print(f"FAILED  {one.__name__}\n{traceback.format_exc()}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(f"{len(failed)} of {len(chosen)} checks failed: {', '.join(failed)}" if failed else 0)
