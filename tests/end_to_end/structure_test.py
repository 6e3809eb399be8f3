"""The tree keeps its promises: layers include downwards only, files stay short, includes narrow, every folder explains itself."""
import os
import pathlib
import re
import unittest

SOURCE = pathlib.Path(os.environ.get("LACUNA_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
CODE = {".h", ".cpp", ".cu", ".cuh"}
SCRIPTS = {".py", ".sh", ".cmake", ".toml", ""}
MAX_LINES = 400
MAX_README_LINES = 80

# A file may include files of its own level and below it, never of a level above.
LEVELS = [
    ["data"],
    ["trainer/config", "trainer/parallel", "trainer/kernels"],
    ["trainer/model", "trainer/objective.h", "trainer/objective.cpp"],
    ["trainer/optim", "trainer/checkpoint", "trainer/evaluate", "trainer/report"],
    ["trainer"],
    ["objectives"],
    ["launch"],
    ["tests"],
]
WIDE = re.compile(r'#include [<"](torch/torch\.h|torch/all\.h|ATen/ATen\.h|torch/extension\.h|bits/stdc\+\+\.h)[>"]')
LEFT_BEHIND = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bGTEST_SKIP\b|\bDISABLED_")


def level(path):
    """The number of the most exact entry of LEVELS that holds `path`; None for what is not ours."""
    for part in [path, *pathlib.PurePosixPath(path).parents]:
        for number, entries in enumerate(LEVELS):
            if str(part) in entries:
                return number
    return None


def project_files(suffixes):
    for layer in ("data", "trainer", "objectives", "launch", "configs", "tests"):
        for path in sorted((SOURCE / layer).rglob("*")):
            if path.is_file() and path.suffix in suffixes and "__pycache__" not in path.parts:
                yield path.relative_to(SOURCE).as_posix()


def lines_of(path):
    return (SOURCE / path).read_text(errors="replace").splitlines()


def upward_includes(path, lines):
    own = level(path)
    for number, line in enumerate(lines, 1):
        included = re.match(r'\s*#\s*include\s*[<"]([^">]+)[">]', line)
        if included and level(included[1]) is not None and level(included[1]) > own:
            yield f"{path}:{number}: a file of this level may not include {included[1]}"


class Structure(unittest.TestCase):
    def assert_none(self, offences):
        offences = list(offences)
        self.assertFalse(offences, "\n" + "\n".join(offences))

    def test_the_check_itself_sees_an_upward_include(self):
        self.assertTrue(list(upward_includes("data/corpus.h", ['#include "trainer/trainer.h"'])))
        self.assertTrue(list(upward_includes("trainer/model/decoder.cpp", ['#include "trainer/optim/adamw.h"'])))
        self.assertTrue(list(upward_includes("trainer/trainer.cpp", ['#include "objectives/catalog.h"'])))
        self.assertFalse(list(upward_includes("trainer/evaluate/loss.h", ['#include "trainer/objective.h"', "#include <vector>"])))

    def test_includes_point_downwards(self):
        self.assert_none(offence for path in project_files(CODE) for offence in upward_includes(path, lines_of(path)))

    def test_includes_name_files_from_the_root(self):
        self.assert_none(f"{path}:{number}: {line.strip()}: name the file from the project's root"
                         for path in project_files(CODE) for number, line in enumerate(lines_of(path), 1)
                         if (match := re.match(r'\s*#include "([^"]+)"', line)) and not (SOURCE / match[1]).exists())

    def test_includes_are_narrow(self):
        self.assert_none(f"{path}:{number}: {line.strip()} costs seconds in every file; include what is used"
                         for path in project_files(CODE) for number, line in enumerate(lines_of(path), 1) if WIDE.search(line))

    def test_files_are_short(self):
        self.assert_none(f"{path}: {len(lines_of(path))} lines; above {MAX_LINES} it holds more than one idea"
                         for path in project_files(CODE | SCRIPTS) if len(lines_of(path)) > MAX_LINES)

    def test_nothing_is_left_behind(self):
        self.assert_none(f"{path}:{number}: {line.strip()}"
                         for path in project_files(CODE) for number, line in enumerate(lines_of(path), 1) if LEFT_BEHIND.search(line))

    def test_folders_explain_themselves(self):
        folders = {pathlib.PurePosixPath(path).parent for path in project_files(CODE)
                   if path.split("/")[0] in ("data", "trainer", "objectives", "launch")}
        folders |= {pathlib.PurePosixPath(name) for name in ("data", "trainer", "objectives", "launch", "configs", "tests")}
        folders -= {pathlib.PurePosixPath("launch/cmake")}   # three files, explained in launch/README.md
        self.assert_none(f"{folder}: has no README.md" for folder in sorted(folders) if not (SOURCE / folder / "README.md").exists())

    def test_readmes_are_short(self):
        self.assert_none(f"{path}: {len(lines_of(path))} lines, more than {MAX_README_LINES}"
                         for path in project_files({".md"}) if len(lines_of(path)) > MAX_README_LINES)


if __name__ == "__main__":
    unittest.main()
