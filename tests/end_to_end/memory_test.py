"""What `train --dry-run` says of a rank's memory is what a rank takes: within 15 % of the measured peak, over networks of many
shapes."""
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("LACUNA_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
PROGRAM = pathlib.Path(os.environ.get("LACUNA", SOURCE / "build/release/bin/lacuna"))
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
TOLERANCE = 0.15
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

# Big enough that the activations, not the program, decide; small enough for a few seconds.
GPT2 = {"num_layers": 6, "hidden_size": 384, "num_heads": 6, "num_kv_heads": 6, "feed_forward_size": 1536, "activation": '"gelu_tanh"'}
LLAMA = {"num_layers": 4, "hidden_size": 384, "num_heads": 6, "num_kv_heads": 2, "feed_forward_size": 1024, "norm": '"rms_norm"',
         "position": '"rotary"', "activation": '"swiglu"', "bias": '"none"', "tied_embedding": "false"}
TINY = {"num_layers": 2, "hidden_size": 64, "num_heads": 4, "feed_forward_size": 256}

NETWORKS = {
    "tiny": ("bytes", TINY, {"global_size": 4, "sequence_length": 64}),
    "gpt2_10m": ("bytes", GPT2, {"global_size": 8, "sequence_length": 256}),
    "llama": ("bytes", LLAMA, {"global_size": 8, "sequence_length": 256}),
    "dropout": ("bytes", dict(GPT2, num_layers=4, dropout=0.1), {"global_size": 8, "sequence_length": 256}),
    "relative": ("bytes", dict(GPT2, num_layers=4, position='"relative"'), {"global_size": 4, "sequence_length": 512}),
    "big_vocabulary": ("pairs", dict(GPT2, num_layers=2), {"global_size": 8, "sequence_length": 256}),
    "micro_batches": ("bytes", GPT2, {"global_size": 8, "micro_size": 2, "sequence_length": 256}),
    "energy": ("bytes", {"kind": '"energy_decoder"', "num_layers": 4, "hidden_size": 128, "num_heads": 4},
               {"global_size": 4, "sequence_length": 128}, {"kind": '"energy"'}),
}


def lacuna(*arguments):
    """Output and peak of resident memory in bytes."""
    with tempfile.TemporaryFile("w+") as output:
        program = subprocess.Popen([PROGRAM, *map(str, arguments)], env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(program.pid, 0)
        program.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if program.returncode != 0:
        raise AssertionError(f"lacuna {arguments} left with {program.returncode}:\n{text}")
    return text, usage.ru_maxrss * 1024


def byte_characters():
    """The 256 characters that stand for bytes in GPT-2's vocabulary files (Radford et al. 2019)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def write_pairs(folder):
    """A vocabulary of 256 bytes and 32,400 pairs of them, in GPT-2's files."""
    characters = byte_characters()
    pairs = list(itertools.product(characters[:180], repeat=2))
    pieces = characters + [a + b for a, b in pairs] + ["<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in pairs))


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        draw = random.Random(1)
        text = cls.folder / "text.txt"
        text.write_text("".join(draw.choice("abcdefghijklmnopqrstuvwxyz     \n") for _ in range(60_000)))
        lacuna("prepare", "--text", text, "--out", cls.folder / "bytes.h5")
        write_pairs(cls.folder / "pairs")
        lacuna("prepare", "--text", text, "--tokenizer", "gpt2", "--vocabulary", cls.folder / "pairs", "--out", cls.folder / "pairs.h5")

    def config(self, name, corpus, architecture, batch, objective={"kind": '"next_token"'}):
        path = self.folder / f"{name}.toml"
        keys = lambda values: "".join(f"{key} = {value}\n" for key, value in values.items())
        path.write_text(f'[run]\nname = "{name}"\nout = "{self.folder}/runs"\nsteps = 3\n[data]\ntrain = ["{corpus}.h5"]\n'
                        f"[batch]\n{keys(batch)}[objective]\n{keys(objective)}[architecture]\n{keys(architecture)}[checkpoint]\nevery = 1\n")
        return path

    def check(self, name, *network):
        config = self.config(name, *network)
        table, _ = lacuna("train", config, "--dry-run")
        value, unit = re.search(r"memory of a rank +([\d.]+) (\w+)", table).groups()
        estimate = float(value) * UNITS[unit]
        _, peak = lacuna("train", config)
        parts = ", ".join(re.findall(r"^ {4}\w.*", table, re.MULTILINE))
        message = f"{name}: estimated {estimate / 2**20:.0f} MiB, measured {peak / 2**20:.0f} MiB ({estimate / peak - 1:+.1%}); {parts}"
        print(message)
        self.assertLess(abs(estimate / peak - 1), TOLERANCE, message)


for case, settings in NETWORKS.items():
    setattr(Memory, f"test_{case}", lambda self, case=case, settings=settings: self.check(case, *settings))

if __name__ == "__main__":
    unittest.main(verbosity=2)
