"""run.start_from: the weights of another run, whose objective, tables and layout may be others; another network is refused by name."""
import json

from lacuna_runs import check, main

JUDGED = {"evaluate": {"every": 1, "rows": 16}}


def origin(runs):
    if not runs.run_folder("origin").exists():
        runs.train("origin", run={"steps": 30})
    return runs.run_folder("origin")


def judged(runs, name, ranks=0, **changes):
    """The validation loss after one step that changes nothing."""
    changes.setdefault("run", {})["steps"] = 1
    changes.setdefault("optimizer", {})["learning_rate"] = 0
    runs.train(name, ranks=ranks, data={"train": [runs.corpus], "validation": [runs.corpus]}, **{**JUDGED, **changes})
    lines = map(json.loads, (runs.run_folder(name) / "metrics.jsonl").read_text().splitlines())
    return next(line["loss"] for line in lines if line["event"] == "evaluate")


def weights_are_the_origins(runs):
    told = json.loads(runs.expect(0, "evaluate", origin(runs), "--corpus", runs.corpus, "--set", "evaluate.rows=16", "--set",
                                  "batch.micro_size=8", "--json"))
    began = judged(runs, "same", run={"start_from": origin(runs)})
    check(began == told[0]["loss"], f"begins at {began} instead of {told[0]['loss']}")
    split = judged(runs, "split", ranks=2, run={"start_from": origin(runs)}, parallel={"tensor": 2})
    check(abs(split - began) < 1e-5 * began, f"two ranks begin at {split} instead of {began}")
    fresh = judged(runs, "fresh")
    check(fresh > 1.02 * began, f"the origin had learnt nothing: {began} beside {fresh}")


def another_objective_and_longer_rows(runs):
    runs.train("adapted", run={"steps": 2, "start_from": origin(runs)}, objective={"kind": "mask_enhanced"})
    output = runs.train("longer", run={"steps": 2, "start_from": origin(runs)}, batch={"sequence_length": 48})
    check("position (32 to 48)" in output, f"the added rows are not told:\n{output}")
    output = runs.train("heads", run={"steps": 2, "start_from": origin(runs)}, objective={"kind": "future_token"})
    check("not taken: objective." in output, f"what the objective adds is not told:\n{output}")


def a_resumed_run_goes_on_by_itself(runs):
    runs.train("whole", run={"steps": 6, "start_from": origin(runs)})
    runs.train("broken", run={"steps": 6, "start_from": origin(runs), "stop_after": 3}, code=75)
    runs.expect(0, "train", runs.folder / "broken.toml", "--resume", "--set", "run.stop_after=0", "--set", "run.start_from=gone")
    check(runs.losses("whole") == runs.losses("broken"), "resuming began anew")


def another_network_is_refused(runs):
    output = runs.train("wider", code=4, run={"start_from": origin(runs)}, architecture={"feed_forward_size": 96})
    check("feed_forward.up.weight is 64 x 32 there and 96 x 32 here" in output, output)
    output = runs.train("deeper", code=4, run={"start_from": origin(runs)}, architecture={"num_layers": 3})
    check("block2" in output and "is not there" in output, output)
    output = runs.train("shallower", code=4, run={"start_from": origin(runs)}, architecture={"num_layers": 1})
    check("has no place here" in output, output)
    output = runs.train("absent", code=4, run={"start_from": runs.folder / "nowhere"})
    check("nowhere" in output, output)
    check(not runs.run_folder("absent").exists(), "a run that could not begin left a folder")


if __name__ == "__main__":
    main(weights_are_the_origins, another_objective_and_longer_rows, a_resumed_run_goes_on_by_itself, another_network_is_refused)
