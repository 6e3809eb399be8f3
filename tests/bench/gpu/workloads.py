"""Which programs a workload sets beside each other, with which flags, and what the ratio has to be."""
import json
import pathlib
import re
import subprocess
import tempfile
from dataclasses import dataclass

import contestants
import gpu_state

HERE = pathlib.Path(__file__).resolve().parent
LENGTH = 1024
SMALL = 100 * 2**30  # bytes of a GPU that does not hold three programs at once
LLMC_STEP = r"^step\s+\d+/\d+ \|"
LLMQ_STEP = r"^\[T\] step"
FUSIONS = ["llmc-ge1", "llmc-ge2"]
SINGLE_FUSIONS = [[name] for name in FUSIONS]


@dataclass
class Workload:
    config: str                 # of ours, without .toml
    rows: int                   # of a micro-batch
    groups: list                # peers whose memory fits beside ours at one time; ours runs anew with each group
    accumulate: int = 1
    size: str = ""              # nanoGPT's name
    llmc: str = ""              # llm.c's name
    llmq: tuple = ()            # LLMQ's name and further flags
    unit: str = "tok/s"
    wide: bool = False          # fits beside nobody into SMALL
    length: int = LENGTH
    corpus: str = "gpt2.h5"     # of ours

    def sessions(self, contestants, memory):
        """Whose turns come together, on a GPU of so much memory; 0 where that is unknown."""
        groups = [peers for group in self.groups if (peers := [p for p in group if p in contestants])]
        if not 0 < memory < SMALL:
            return [["ours", *peers] for peers in groups]
        singles = [[peer] for peers in groups for peer in peers]
        return [["ours"], *singles] if self.wide and singles else [["ours", *single] for single in singles]

    @property
    def tokens_per_step(self):
        return self.rows * self.accumulate * self.length


# Ratios, ours over the peer's, that are asked for.
PASS = {
    "gpt2-124m": {"nanogpt": 1.10, "llmc": 1.03, "reference": 1.25},
    "gpt2-350m": {"nanogpt": 1.05, "llmc": 1.05},
    "gpt2-774m": {"nanogpt": 1.05, "llmc": 1.05},
    "gpt2-1558m": {"nanogpt": 1.05, "llmc": 1.05},
    "qwen-0.5b": {"llmq": 1.0},
    "qwen-1.5b": {"llmq": 1.0},
    "bert-base": {"hugging-face": 1.4, "hugging-face-eager": 1.4},
    "tiny": {"nanogpt-graphs": 1.0},
    "memory-124m": {"nanogpt": 0.75},
    "start-to-100": {"nanogpt": 3.0, "nanogpt-again": 3.0},
    "optimizer": {"nanogpt": 1.4},
}
TRAINING = {
    "gpt2-124m": Workload("gpt2-124m", 64, [["nanogpt", "llmc"], FUSIONS, ["reference"], ["nanogpt-eager"]], size="124m",
                          llmc="d12"),
    "gpt2-350m": Workload("gpt2-350m", 32, [["llmc"], ["nanogpt"], FUSIONS], size="350m", llmc="d24"),
    "gpt2-774m": Workload("gpt2-774m", 16, [["llmc"], ["nanogpt"], *SINGLE_FUSIONS], size="774m", llmc="d36", wide=True),
    "gpt2-1558m": Workload("gpt2-1558m", 16, [["llmc"], ["nanogpt"], *SINGLE_FUSIONS], size="1558m", llmc="d48",
                           wide=True),
    "qwen-0.5b": Workload("qwen-0.5b", 32, [["llmq"]], accumulate=16, llmq=("Qwen2.5-0.5B",), wide=True, corpus="qwen.h5"),
    "qwen-1.5b": Workload("qwen-1.5b", 32, [["llmq"]], accumulate=16, llmq=("Qwen2.5-1.5B", "--lmhead-chunks=4"), wide=True,
                          corpus="qwen.h5"),
    "bert-base": Workload("bert-base", 128, [["hugging-face"], ["hugging-face-eager"]], length=512, corpus="bert.h5"),
    "tiny": Workload("tiny", 4, [["nanogpt-graphs", "nanogpt"]], size="tiny", unit="steps/s"),
}
MODES = {"nanogpt": "compile", "nanogpt-eager": "eager", "nanogpt-graphs": "reduce-overhead"}
BERT_MODES = {"hugging-face": "compile", "hugging-face-eager": "eager"}
LLMC_FUSIONS = {"llmc": 0, "llmc-ge1": 1, "llmc-ge2": 2}  # its flag -ge; 0 is its default
NAMES = {
    "ours": "Lacuna",
    "reference": "Lacuna, ATen composition",
    "llmc": "llm.c",
    "llmc-ge1": "llm.c -ge 1",
    "llmc-ge2": "llm.c -ge 2",
    "llmq": "LLMQ",
    "nanogpt": "nanoGPT, torch.compile",
    "nanogpt-eager": "nanoGPT, eager",
    "nanogpt-graphs": "nanoGPT, reduce-overhead",
    "hugging-face": "BertForMaskedLM, torch.compile",
    "hugging-face-eager": "BertForMaskedLM, eager",
    "ours-again": "Lacuna, its caches on disk",
    "nanogpt-again": "nanoGPT, torch.compile, its caches on disk",
    **{f"recompute-{mode}": f"Lacuna, parallel.recompute = {mode}" for mode in ("none", "norms", "feed_forward", "block")},
}
PEERS = ["reference", *LLMC_FUSIONS, "llmq", *MODES, *BERT_MODES]
RECOMPUTE = [name for name in NAMES if name.startswith("recompute-")]


def bar(workload, peer):
    """The ratio that is asked for, None where none is."""
    return PASS.get(workload, {}).get(peer.split("-ge")[0])


class Catalog:
    """Makes contestants; `a` are run.py's arguments, `tokens` the folder that tokens.py's archive was unpacked to."""

    def __init__(self, a, tokens, peer_libraries):
        self.a, self.tokens, self.work = a, tokens, pathlib.Path(a.work).resolve()
        self.libraries = {"LD_LIBRARY_PATH": ":".join(map(str, peer_libraries))}
        self.caches = self.work / "caches"  # of what compilers and timings of products leave to later runs
        self.count = 0

    def folder(self, name):
        self.count += 1  # each start has a folder of its own
        return self.work / "runs" / f"{self.count:03}-{name}"

    def empty_caches(self):
        if self.caches.exists():
            self.caches = pathlib.Path(tempfile.mkdtemp(dir=self.work))

    def make(self, name, workload):
        if name in ("ours", "reference", *RECOMPUTE):
            return self.ours(name, workload)
        if name in LLMC_FUSIONS:
            return self.llmc(name, workload)
        if name == "llmq":
            return self.llmq(workload)
        if name in BERT_MODES:
            return self.bert(name, workload)
        return self.nanogpt(name, workload)

    def ours(self, name, w):
        folder = self.folder(name)
        corpus = self.tokens / w.corpus
        sets = [f"run.out={json.dumps(str(folder))}", f"data.train={json.dumps([str(corpus)])}",
                f"batch.global_size={w.rows * w.accumulate}", *self.a.set]
        if name == "reference":
            sets.append("run.reference_kernels=true")
            if 0 < gpu_state.memory_total() < SMALL:  # logits in fp32 and all
                sets.append(f"batch.micro_size={w.rows // 4}")
        elif w.config == "qwen-1.5b" and 0 < gpu_state.memory_total() < SMALL:  # moments in fp32, where LLMQ has bf16
            sets.append(f"batch.micro_size={w.rows // 2}")
        if name in RECOMPUTE:
            sets.append(f"parallel.recompute={name.removeprefix('recompute-')}")
        command = [self.a.lacuna, "train", HERE / f"{w.config}.toml"]
        for one in sets:
            command += ["--set", one]
        return contestants.Lacuna(name, command, folder, w.tokens_per_step, {"LACUNA_CACHE": str(self.caches / "lacuna")},
                                  metrics=folder / "bench" / "metrics.jsonl", warmup=3 if w.accumulate > 1 else 10)

    def llmc(self, name, w):
        flags = {"-i": self.tokens / "llmc-train.bin", "-j": self.tokens / "llmc-validation.bin", "-e": w.llmc, "-b": w.rows,
                 "-t": LENGTH, "-d": w.rows * LENGTH, "-r": 0, "-ge": LLMC_FUSIONS[name], "-l": 6e-4, "-u": 700, "-c": 0.1,
                 "-x": 1000000, "-v": 1000000, "-m": 1, "-s": 0, "-h": 0, "-n": 0}  # evaluates once, before step 1
        command = [self.a.llmc, *(part for flag in flags.items() for part in flag)]
        return contestants.Stepper(name, command, self.folder(name), w.tokens_per_step, self.libraries, pattern=LLMC_STEP)

    def llmq(self, w):
        folder = self.folder("llmq")
        command = [self.a.llmq, f"--model={w.llmq[0]}", *w.llmq[1:], "--from-scratch", "--seq-length=1024", "--model-dtype=bf16",
                   "--opt-m-dtype=bf16", "--opt-v-dtype=bf16", "--matmul-dtype=bf16", f"--batch-size={w.rows}",
                   f"--grad-accumulation={w.accumulate}", "--gpus=1", "--use-cuda-graphs", "--ckpt-interval=1000000",
                   "--eval-every-n-steps=0", "--log-gpu-util=0", "--steps=1000000", f"--log-file={folder / 'log.json'}",
                   f"--train-file={self.tokens / 'llmq-train.bin'}", f"--eval-file={self.tokens / 'llmq-validation.bin'}",
                   f"--out-dir={folder}", f"--checkpoint-dir={folder}"]
        return contestants.Stepper("llmq", command, folder, w.tokens_per_step, self.libraries, pattern=LLMQ_STEP, warmup=2)

    def bert(self, name, w):
        command = [self.a.peer_python, HERE / "peer_bert.py", "--tokens", self.tokens / "bert.u16", "--rows", w.rows, "--length",
                   w.length, "--mode", BERT_MODES[name], "--settle", contestants.SETTLE]
        return contestants.Server(name, command, self.folder(name), w.tokens_per_step, self.compiler_caches())

    def compiler_caches(self):
        return {"TORCHINDUCTOR_CACHE_DIR": str(self.caches / "inductor"), "TRITON_CACHE_DIR": str(self.caches / "triton")}

    def nanogpt(self, name, w, *flags):
        command = [self.a.peer_python, HERE / "peer_nanogpt.py", self.a.nanogpt, "--tokens", self.tokens / "tokens.u16",
                   "--size", w.size, "--rows", w.rows, "--accumulate", w.accumulate, "--mode", MODES[name],
                   "--settle", contestants.SETTLE, *flags]
        if not pathlib.Path(self.a.nanogpt).exists():
            command[0] = self.a.nanogpt  # so that its absence is what is told
        return contestants.Server(name, command, self.folder(name), w.tokens_per_step, self.compiler_caches())


def optimizer_milliseconds(program):
    """Ours by size, from the lines of the kernels' benchmark that tell of a whole step."""
    if not pathlib.Path(program).exists():
        raise contestants.Gone(f"{program} is not there")
    done = subprocess.run([program, "optimizer"], capture_output=True, text=True, timeout=contestants.TURN_LIMIT)
    found = re.findall(r"(?m)^\| optimizer step GPT-2 (\w+):[^|]*\| ([\d.]+) \|", done.stdout)
    if not found:
        raise contestants.Gone(f"{program} told of no optimizer step: {(done.stdout + done.stderr)[-200:]!r}")
    return {size.lower(): float(microseconds) / 1000 for size, microseconds in found}
