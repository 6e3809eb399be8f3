"""Every shipped config parses and dry-runs, and the networks of configs/base have as many parameters as they claim."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest
import wave

SOURCE = pathlib.Path(os.environ.get("LACUNA_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
PROGRAM = pathlib.Path(os.environ.get("LACUNA", SOURCE / "build/release/bin/lacuna"))
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
VOCABULARY = 257  # of the test's corpus: bytes and the end token
ALIGNMENT = 128   # rows of a table over the vocabulary are a multiple of it

BASE = ("gpt2-124m", "gpt2-350m", "gpt2-774m", "gpt2-1558m", "qwen2.5-0.5b", "qwen2.5-1.5b")
# With their published vocabularies, unpadded, in millions: what the names say.
PUBLISHED = {"gpt2-124m": (50257, 124.4), "gpt2-350m": (50257, 354.8), "gpt2-774m": (50257, 774.0), "gpt2-1558m": (50257, 1557.6),
             "qwen2.5-0.5b": (151936, 494.0), "qwen2.5-1.5b": (151936, 1543.7)}


def lacuna(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)


def shipped():
    """Configs of experiments; a study, which names cells instead, is read by `lacuna ablate`."""
    return [path for path in sorted((SOURCE / "configs").rglob("*.toml")) if "data" in read(path)]


def read(path):
    """A config with its includes, merged section by section."""
    own = tomllib.loads(path.read_text())
    merged = {}
    for part in [read(path.parent / include) for include in own.pop("include", [])] + [own]:
        for section, keys in part.items():
            merged.setdefault(section, {}).update(keys) if isinstance(keys, dict) else merged.update({section: keys})
    return merged


def parameters(config, table_rows):
    """The number of parameters of a decoder, from its shape alone."""
    a = config["architecture"]
    d, heads = a["hidden_size"], a["num_heads"]
    kv = d // heads * (a.get("num_kv_heads") or heads)
    inner = a.get("feed_forward_size") or 4 * d
    bias = a.get("bias", "all")
    norm = 2 * d if a.get("norm", "layer_norm") == "layer_norm" and bias == "all" else d
    attention = 2 * d * d + 2 * d * kv
    if bias != "none":
        attention += d + 2 * kv
    gated = a.get("activation", "gelu") in ("swiglu", "geglu")
    feed_forward = (3 if gated else 2) * d * inner
    if bias == "all":
        attention += d
        feed_forward += (2 if gated else 1) * inner + d
    total = table_rows * d * (1 if a.get("tied_embedding", True) else 2)
    if a.get("position", "learned") == "learned":
        total += config["batch"]["sequence_length"] * d
    return total + a["num_layers"] * (attention + feed_forward + 2 * norm) + norm


def shown(count):
    """As the table prints a count."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if count >= unit:
            return f"{count / unit:.2f}{name}"
    return f"{count:,}"


class Configs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        text = cls.folder / "text.txt"
        text.write_text("A lacuna is a gap in a manuscript.\n" * 2000)
        cls.corpus = cls.folder / "corpus.h5"
        made = lacuna("prepare", "--text", text, "--out", cls.corpus)
        assert made.returncode == 0, made.stderr
        sound = cls.folder / "sound.wav"
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(range(256)) * 32)
        cls.frames = cls.folder / "frames.h5"
        made = lacuna("prepare", "--audio", sound, "--features", "kaldi_fbank", "--mel-bins", "64", "--out", cls.frames)
        assert made.returncode == 0, made.stderr

    def dry_run(self, config, *arguments):
        corpus = self.frames if read(config)["architecture"]["kind"] == "patch_encoder" else self.corpus
        corpora = [f"data.train=['{corpus}']", f"data.validation=['{corpus}']", "evaluate.probe.fit=[]", f"run.out='{self.folder}/runs'"]
        return lacuna("train", config, "--dry-run", *arguments, *(word for key in corpora for word in ("--set", key)))

    def test_there_are_configs(self):
        names = {path.stem for path in shipped()}
        self.assertTrue({"quickstart", *BASE} <= names, f"missing: {sorted({'quickstart', *BASE} - names)}")

    def test_every_config_dry_runs(self):
        for path in shipped():
            with self.subTest(path.relative_to(SOURCE).as_posix()):
                result = self.dry_run(path)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertRegex(result.stdout, r"parameters +\d")
                self.assertRegex(result.stdout, r"memory of a (rank|GPU) +\d")
                self.assertFalse((self.folder / "runs").exists(), "a dry run leaves nothing behind")

    def test_every_config_is_predicted_for_gpus_that_are_not_here(self):
        for path in shipped():
            with self.subTest(path.relative_to(SOURCE).as_posix()):
                result = self.dry_run(path, "--world", "8", "--set", "run.device=cuda")
                self.assertEqual(result.returncode, 0, result.stderr)
                for row in ("memory of a GPU", "predicted step", "tokens a second", "model FLOP/s of a GPU", "data axis"):
                    self.assertRegex(result.stdout, rf"(?m)^  {row} +\d", path)

    def test_the_resolved_config_is_runnable_and_resolves_to_itself(self):
        for path in shipped():
            with self.subTest(path.relative_to(SOURCE).as_posix()):
                text = self.dry_run(path).stdout
                resolved = self.folder / "resolved.toml"
                resolved.write_text(text[text.index("[run]"):])
                again = self.dry_run(resolved)
                self.assertEqual(again.returncode, 0, again.stderr)
                self.assertEqual(again.stdout, text)

    def test_base_networks_have_the_parameters_of_their_shape(self):
        rows = -(-VOCABULARY // ALIGNMENT) * ALIGNMENT
        for name in BASE:
            with self.subTest(name):
                path = SOURCE / "configs/base" / f"{name}.toml"
                count = re.search(r"^ *parameters +(\S+)$", self.dry_run(path).stdout, re.MULTILINE).group(1)
                self.assertEqual(count, shown(parameters(read(path), rows)))

    def test_base_shapes_are_the_published_ones(self):
        for name, (vocabulary, millions) in PUBLISHED.items():
            with self.subTest(name):
                count = parameters(read(SOURCE / "configs/base" / f"{name}.toml"), vocabulary)
                self.assertEqual(round(count / 1e6, 1), millions)

    def test_a_misspelt_key_stops_a_shipped_config(self):
        result = lacuna("train", SOURCE / "configs/quickstart.toml", "--dry-run", "--set", "architecture.num_layer=2")
        self.assertEqual(result.returncode, 2)
        self.assertIn("num_layers", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
