"""README.md tells the truth: its commands run (with fewer and smaller steps), its links lead somewhere, its tables are complete."""
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ.get("LACUNA_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
PROGRAM = pathlib.Path(os.environ.get("LACUNA", SOURCE / "build/release/bin/lacuna"))
README = (SOURCE / "README.md").read_text()
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1")

# What keeps a training run of the README to a second; the README's own config is read all the same.
CHEAP = ["run.steps=3", "batch.global_size=4", "batch.sequence_length=32", "architecture.num_layers=1", "evaluate.rows=4"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands():
    """The lines of the shell blocks without their comments."""
    for block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def cheap(words):
    """The same command, made small enough for a test."""
    if words[0].startswith("launch/"):
        return words + ["--help"]
    if words[0] == "mpirun":
        words = [os.environ.get("MPIRUN", "mpirun"), "--oversubscribe", "--bind-to", "none"] + words[1:]
    if "train" in words:
        words = words + [word for key in CHEAP for word in ("--set", key)]
    return words


def write_book(path):
    """Paragraphs of made-up sentences, the same at every call."""
    draw = random.Random(1)
    words = ["the", "ship", "sailed", "under", "a", "pale", "moon", "and", "no", "wind", "came", "from", "hills", "of", "salt"]
    paragraphs = [" ".join(draw.choice(words) for _ in range(40)).capitalize() + "." for _ in range(400)]
    path.write_text("\n\n".join(paragraphs) + "\n")


def run(words, folder):
    return subprocess.run(words, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=120)


class Readme(unittest.TestCase):
    def test_its_commands_run(self):
        folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "build/release/bin").mkdir(parents=True)
        (folder / "build/release/bin/lacuna").symlink_to(PROGRAM)
        (folder / "launch").symlink_to(SOURCE / "launch")
        (folder / "book.toml").write_text(blocks("toml")[0])
        write_book(folder / "book.txt")
        ran = [cheap(words) for words in commands()]
        self.assertGreater(len(ran), 8, "the README lost its commands, or this test lost sight of them")
        for words in ran:
            done = run(words, folder)
            self.assertEqual(done.returncode, 0, f"{shlex.join(words)}\n{done.stdout}")

    def test_every_objective_and_architecture_is_in_it(self):
        done = run([str(PROGRAM), "inspect", "--catalog", "--json"], SOURCE)
        self.assertEqual(done.returncode, 0, done.stdout)
        catalog = json.loads(done.stdout)
        for kind in ("objectives", "architectures"):
            for entry in catalog[kind]:
                self.assertIn(f"`{entry['name']}`", README, f"the table of README.md lacks one of the {kind}")

    def test_every_command_is_in_it(self):
        done = run([str(PROGRAM), "--help"], SOURCE)
        self.assertEqual(done.returncode, 0, done.stdout)
        for command in re.findall(r"`lacuna (\w+)", README):
            self.assertIn(command, done.stdout, f"README.md names lacuna {command}, which the program's help does not")

    def test_every_exit_code_is_in_it(self):
        enumerators = re.search(r"enum class \w+[^{]*{(.*?)};", (SOURCE / "data/error.h").read_text(), re.DOTALL)[1]
        codes = {int(code) for code in re.findall(r"=\s*(\d+)", enumerators)}
        listed = {int(code) for code in re.findall(r"(?:Exit codes:|·)\s*(\d+) ", README.replace("\n", " "))}
        self.assertTrue(codes, "data/error.h lists no exit codes")
        self.assertLessEqual(codes, listed)

    def test_links_lead_somewhere(self):
        for page in sorted(SOURCE.glob("*.md")) + [path for layer in ("data", "trainer", "objectives", "launch", "configs", "tests")
                                                   for path in sorted((SOURCE / layer).rglob("*.md"))]:
            for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
                if not target.startswith("http"):
                    self.assertTrue((page.parent / target).exists(), f"{page.relative_to(SOURCE)} links to {target}")


if __name__ == "__main__":
    unittest.main()
