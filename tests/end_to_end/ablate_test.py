"""A study of small cells: it finishes and reports, skips what is done, outlives broken cells, stops on request, goes on after kill -9."""
import csv
import html.parser
import json
import os
import signal
import time

from lacuna_runs import LAUNCHER, PATIENCE, as_toml, check, main

STUDY = """
[study]
name = "{name}"
title = "Depth & width"
base = "{base}"
out = "{out}"
seeds = [1, 2]
tasks = ["loss"]
set = ["evaluate.every=4", "evaluate.rows=8"{more}]

[[axis]]
name = "depth"
[[axis.arm]]
name = "one"
set = ["architecture.num_layers=1"]
[[axis.arm]]
name = "two"
set = ["architecture.num_layers=2"{broken}]

[[claim]]
text = "Two layers lose less than one"
metric = "loss/loss"
a = "two"
b = {{ depth = "one" }}
check = "a - b < 0"
"""


class Study:
    def __init__(self, runs, name, more="", broken="", **changes):
        self.runs, self.folder = runs, runs.folder / "studies" / name
        base = runs.config(f"{name}-base", **{"run": {"steps": 8}, "data": {"train": [runs.corpus], "validation": [runs.corpus]}, **changes})
        self.file = runs.folder / f"{name}.toml"
        self.file.write_text(STUDY.format(name=name, base=base.name, out=runs.folder / "studies", more=more, broken=broken))

    def ablate(self, *arguments, code=0):
        return self.runs.expect(code, "ablate", self.file, *arguments)

    def table(self):
        with open(self.folder / "cells.csv", newline="") as file:
            return list(csv.DictReader(file))

    def states(self):
        return {(row["cell"], row["seed"]): row["state"] for row in self.table()}

    def run(self, cell, seed):
        return self.folder / "cells" / cell / f"seed-{seed}"

    def written(self):
        """When each run's metrics were last written: a run that is skipped stays as it was."""
        return {path.parent: path.stat().st_mtime_ns for path in sorted(self.folder.glob("cells/*/seed-*/metrics.jsonl"))}


class Page(html.parser.HTMLParser):
    """What a page would fetch, and whether its tags nest."""
    VOID = {"meta", "line", "circle", "path", "rect", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.charts, self.faults = [], [], 0, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.charts += tag == "svg"
        if tag not in self.VOID or tag == "path":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def it_finishes_and_reports(runs):
    study = Study(runs, "whole")
    plan = json.loads(study.ablate("--dry-run", "--json"))
    check([(run["cell"], run["seed"]) for run in plan["runs"]] == [("one", 1), ("two", 1), ("one", 2), ("two", 2)], f"{plan}")
    check(not study.folder.exists(), "a dry run leaves a folder")
    output = study.ablate()
    check("undecided" in output and "fewer than 3 seeds" in output, f"the claim is not judged:\n{output}")
    check(set(study.states().values()) == {"done"} and len(study.states()) == 4, f"{study.states()}")
    for row in study.table():
        run = study.run(row["cell"], row["seed"])
        facts, lines = json.loads((run / "run.json").read_text()), [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        steps = [line for line in lines if line["event"] == "step"]
        check(float(row["steps"]) == 8 and float(row["loss_tokens"]) == sum(line["targets"] for line in steps), f"{row}")
        check(float(row["tokens"]) == 8 * facts["text_tokens_per_step"] and float(row["flops"]) == 8 * facts["flops_per_step"], f"{row}")
        check(float(row["parameters"]) == facts["parameters"] > 0 and float(row["wall_seconds"]) > 0, f"{row}")
        judged = json.loads(runs.expect(0, "evaluate", run, "--json"))[0]
        check(float(row["loss/loss"]) == judged["loss"], f"{row['loss/loss']} is not what evaluate says: {judged['loss']}")
        check(row["depth"] == row["cell"], f"{row}")
    one, two = (next(row for row in study.table() if row["cell"] == cell) for cell in ("one", "two"))
    check(float(two["flops"]) > float(one["flops"]) and float(two["parameters"]) > float(one["parameters"]), "a deeper cell costs more")
    report = (study.folder / "report.md").read_text()
    check("parameters NOT matched" in report and "tokens, loss tokens matched" in report, report)
    check("Depth & width" in report and "lacuna ablate" in report, report)
    page = Page((study.folder / "report.html").read_text())
    check(not page.fetched, f"the page fetches {page.fetched}")
    check(page.charts >= 5 and not page.faults and not page.open, f"{page.charts} charts, faults {page.faults}, open {page.open}")


def a_second_start_skips_what_is_done(runs):
    study = Study(runs, "whole")
    before = study.written()
    study.ablate()
    check(study.written() == before, "a run that was done was touched")
    result = json.loads((output := study.ablate("--resume", "--json"))[output.index("{"):])
    check([run["state"] for run in result["runs"]] == ["done"] * 4 and result["claims"][0]["verdict"] == "undecided", f"{result}")


def another_config_is_refused(runs):
    study = Study(runs, "whole")
    before = study.written()
    output = study.ablate("--set", "optimizer.learning_rate=0.5", code=2)
    check("optimizer.learning_rate = 0.003, now 0.5" in output and "remove that folder" in output, output)
    check(study.written() == before, "a refused study has trained")


def chosen_cells_alone(runs):
    study = Study(runs, "chosen")
    study.ablate("--only", "one")
    check(study.states() == {("one", "1"): "done", ("one", "2"): "done", ("two", "1"): "unfinished", ("two", "2"): "unfinished"}, f"{study.states()}")
    check("fits no cell (cells: one, two)" in study.ablate("--only", "three", code=2), "no mend is told")


def a_cell_learns_from_another(runs):
    study = Study(runs, "taught")
    taught = '[[cell]]\nname = "taught"\nteacher = "one"\nset = ["objective.kind=prefix_language", "architecture.visibility=prefix"]\n'
    study.file.write_text(study.file.read_text() + taught)
    study.ablate("--only", "taught", "--set", "study.seeds=[1]")
    check(study.states() == {("one", "1"): "done", ("two", "1"): "unfinished", ("taught", "1"): "done"}, f"{study.states()}")
    lines = map(json.loads, (study.run("taught", 1) / "metrics.jsonl").read_text().splitlines())
    check(all(line["teacher_kl"] > 0 for line in lines if line["event"] == "step"), "it learnt from nobody")


def a_cell_has_ranks_of_its_own(runs):
    study = Study(runs, "ranks")
    study.ablate("--only", "one", "--set", "study.ranks=2", "--set", f"study.mpirun={as_toml(LAUNCHER)}", "--set", "study.seeds=[1]")
    check(study.states()[("one", "1")] == "done", f"{study.states()}")
    check(json.loads((study.run("one", 1) / "run.json").read_text())["ranks"] == 2, "the cell ran on one rank")


def a_broken_cell_does_not_end_the_study(runs):
    study = Study(runs, "broken", broken=", \"run.fault='nan@0,3'\"")
    output = study.ablate(code=5)
    check(output.count("is tried once more") == 2 and output.count("failed twice") == 2, f"each of the two is tried twice:\n{output}")
    states = study.states()
    check(states == {("one", "1"): "done", ("one", "2"): "done", ("two", "1"): "failed", ("two", "2"): "failed"}, f"{states}")
    report = (study.folder / "report.md").read_text()
    check("not finite" in report and "no seed has both arms" in report, report)
    mended = Study(runs, "broken")
    mended.ablate()
    check(set(mended.states().values()) == {"done"}, f"the mended study goes on: {mended.states()}")


def wait_for(what, holds, job):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        check(job.process.poll() is None, f"the study ended before {what}:\n{job.output[-2000:]}")
        check(time.monotonic() < deadline, f"{what} did not come:\n{job.output[-2000:]}")
        time.sleep(0.02)


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


LONG = {"run": {"steps": 400}, "checkpoint": {"every": 50}}


def a_killed_study_goes_on(runs):
    study = Study(runs, "killed", more=', "evaluate.every=0"', **LONG)
    job = runs.start("ablate", study.file)
    wait_for("step 60 of the first cell", lambda: lines_of(study.run("one", 1) / "metrics.jsonl") > 60, job)
    os.kill(job.process.pid, signal.SIGKILL)
    job.process.wait()
    again = runs.start("ablate", study.file)  # at once: the orphan may still be saving
    check(again.wait() == 0, again.output[-3000:])
    check(set(study.states().values()) == {"done"}, f"{study.states()}")
    job.expect_gone()
    whole = Study(runs, "unbroken", more=', "evaluate.every=0"', **LONG)
    whole.ablate("--set", "study.seeds=[1]", "--only", "one")
    def losses(s):
        return [json.loads(line)["loss"] for line in (s.run("one", 1) / "metrics.jsonl").read_text().splitlines()]
    check(losses(study) == losses(whole), "the resumed cell is not the one that was never killed")


def a_request_to_stop(runs):
    study = Study(runs, "asked", more=', "evaluate.every=0"', **LONG)
    job = runs.start("ablate", study.file, "--set", "study.parallel=2")
    wait_for("two cells at a time", lambda: all(lines_of(study.run(cell, 1) / "metrics.jsonl") > 5 for cell in ("one", "two")), job)
    check("in use by" in runs.expect(2, "ablate", study.file), "a second study in the same folder is not refused")
    os.kill(job.process.pid, signal.SIGTERM)
    check(job.wait() == 75, f"code {job.process.returncode}:\n{job.output[-2000:]}")
    job.expect_gone()
    for cell in ("one", "two"):
        status = json.loads((study.run(cell, 1) / "status.json").read_text())
        check((status["state"], status["exit_code"]) == ("stopped", 75), f"{cell}: {status}")
    study.ablate("--set", "study.parallel=2")
    check(set(study.states().values()) == {"done"}, f"{study.states()}")


if __name__ == "__main__":
    main(it_finishes_and_reports, a_second_start_skips_what_is_done, another_config_is_refused, chosen_cells_alone, a_cell_learns_from_another,
         a_cell_has_ranks_of_its_own, a_broken_cell_does_not_end_the_study, a_killed_study_goes_on, a_request_to_stop)
