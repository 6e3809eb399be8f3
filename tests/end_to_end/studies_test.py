"""Every shipped study lists its runs: all of its cells' configs resolve, fit and build, and its claims speak of cells that there are.

The folder configs/ablation is copied beside corpora of the names that its configs expect, as README.md there says to make them.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import tomllib
import unittest
import wave

SOURCE = pathlib.Path(os.environ.get("LACUNA_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
PROGRAM = pathlib.Path(os.environ.get("LACUNA", SOURCE / "build/release/bin/lacuna"))
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1")
TEXT = "".join(f"In the year {year} the river rose again, and {year % 7} boats were lost below the old bridge.\n" for year in range(1200, 2000))


def merged(path):
    own = tomllib.loads(path.read_text())
    result = {}
    for part in [merged(path.parent / include) for include in own.pop("include", [])] + [own]:
        for key, value in part.items():
            result[key] = {**result.get(key, {}), **value} if isinstance(value, dict) else value
    return result


def studies(folder):
    return {path: study for path in sorted(folder.glob("*.toml")) if "study" in (study := merged(path))}


class Studies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.root)
        shutil.copytree(SOURCE / "configs", cls.root / "configs")
        (cls.root / "runs/corpora").mkdir(parents=True)
        text = cls.root / "text.txt"
        text.write_text(TEXT)
        for name, arguments in cls.corpora(text):
            made = cls.lacuna("prepare", *arguments, "--out", cls.root / "runs/corpora" / f"{name}.h5")
            assert made.returncode == 0, made.stderr

    @classmethod
    def corpora(cls, text):
        """Of every name that a config or a study of the folder mentions; bytes where the real ones have larger vocabularies."""
        sound, pictures, classes = cls.root / "7_ann_0.wav", cls.root / "pictures", cls.root / "classes"
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(range(256)) * 32)
        pictures.write_bytes(struct.pack(">IIII", 0x803, 4, 28, 28) + bytes(4 * 28 * 28 - 1) + b"1")
        classes.write_bytes(struct.pack(">II", 0x801, 4) + bytes(range(4)))
        kinds = {"digits": ["--audio", sound, "--mel-bins", "64", "--labels", "{digit}_{speaker}_{}"],
                 "mnist": ["--images", pictures, "--image-labels", classes]}
        words_of_text = ["--text", text, "--tokenizer", "bytes", "--documents", "block"]
        words = "\n".join(path.read_text() for path in (cls.root / "configs/ablation").glob("*.toml"))
        names = {part.split(".h5")[0] for part in words.split("runs/corpora/")[1:]}
        return [(name, kinds.get(name.split("-")[0], words_of_text)) for name in sorted(names)]

    @classmethod
    def lacuna(cls, *arguments):
        return subprocess.run([PROGRAM, *map(str, arguments)], env=ENVIRONMENT, cwd=cls.root, capture_output=True, text=True, timeout=300,
                              check=False)

    def test_there_are_studies(self):
        names = {path.stem for path in studies(SOURCE / "configs/ablation")}
        for name in ("architecture_objective", "meap", "ssast", "tera", "position"):
            self.assertLessEqual({name, f"{name}_gpu"}, names)

    def test_every_study_lists_its_runs(self):
        for path, study in studies(self.root / "configs/ablation").items():
            with self.subTest(path.name):
                result = self.lacuna("ablate", path.relative_to(self.root), "--dry-run", "--json")
                self.assertEqual(result.returncode, 0, result.stderr)
                runs = json.loads(result.stdout)["runs"]
                self.assertGreaterEqual(len(study["study"]["seeds"]), 3, "fewer seeds decide nothing")
                self.assertEqual({run["seed"] for run in runs}, set(study["study"]["seeds"]))
                self.assertGreaterEqual(len({run["cell"] for run in runs}), 2)
                self.assertTrue(study["claim"], "a study tests a claim")
                device = {run["facts"]["device"] for run in runs}
                self.assertEqual(device, {"cuda" if path.stem.endswith("_gpu") else "cpu"})

    def test_a_claim_about_what_is_not_evaluated_is_seen_here(self):
        """A metric is TASK/..., and TASK one of the tasks after training, or train/..., or a column of costs."""
        costs = {"tokens", "loss_tokens", "flops", "parameters", "wall_seconds"}
        for path, study in studies(self.root / "configs/ablation").items():
            tasks = {task for cell in [study["study"], *study.get("where", []), *study.get("cell", [])] for task in cell.get("tasks", [])}
            for claim in study["claim"]:
                with self.subTest(f"{path.name}: {claim['text']}"):
                    task = claim["metric"].split("/")[0]
                    self.assertTrue(task in tasks | {"train"} or claim["metric"] in costs, f"{claim['metric']} is of none of {sorted(tasks)}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
