"""Labels are read off a network that was trained on recordings, in four arms, the same in every layout."""
import json

from lacuna_runs import SMALL, check, main
from prepare_frames_test import recordings

ARMS = ["pretrained", "random", "features", "scratch"]


def trained(runs):
    corpus = runs.folder / "tones.h5"
    if not corpus.exists():
        runs.expect(0, "prepare", "--audio", *recordings(runs), "--mel-bins", "16", "--labels", "{word}_{speaker}_{}", "--out", corpus)
        base = {**SMALL, "architecture": {}}  # of another network
        runs.train("tones", base=base, run={"steps": 10}, data={"train": [corpus], "validation": [corpus]},
                   batch={"global_size": 6, "sequence_length": 32}, objective={"kind": "masked_spectrogram", "num_masked": 8, "cluster_min": 1, "cluster_max": 2},
                   architecture={"kind": "patch_encoder", "num_layers": 2, "hidden_size": 32, "num_heads": 4, "feed_forward_size": 64,
                                 "patch_mels": 8, "patch_frames": 4})
    return runs.run_folder("tones")


def judged(runs, task, *sets, ranks=0):
    words = [word for one in ("evaluate.probe.epochs=4", "evaluate.probe.seeds=2", "evaluate.probe.label=word", *sets)
             for word in ("--set", one)]
    output = runs.expect(0, "evaluate", trained(runs), "--task", task, "--json", *words, ranks=ranks)
    lines = json.loads(output[output.index("[\n"):])
    check([line["arm"] for line in lines] == ARMS, f"{task}: {[line['arm'] for line in lines]}")
    for line in lines:
        check(line["accuracy_low"] <= line["accuracy"] <= line["accuracy_high"] and line["chance"] == 0.5, f"{line}")
        check(line["confusion"]["classes"] == ["high", "low"], f"{line['confusion']}")
    return lines


def every_evaluation_has_four_arms(runs):
    for task in ("probe", "knn", "finetune"):
        lines = judged(runs, task)
        check(lines[2]["accuracy"] > 0.8, f"{task}: two pitches are not told apart by plain features: {lines[2]}")
    lines = judged(runs, "leave_one_group_out", "evaluate.probe.group=speaker")
    check(set(lines[0]["slices"]["speaker"]) == {"ann", "ben", "cem"}, f"{lines[0]['slices']}")
    return "probe, knn, finetune, leave_one_group_out"


def layouts_change_nothing(runs):
    alone = judged(runs, "probe")
    check(judged(runs, "probe", ranks=2) == alone, "two data ranks find other figures")
    check(judged(runs, "probe", "parallel.tensor=2", ranks=2) == alone, "two tensor ranks find other figures")
    return "two data ranks, two tensor ranks"


def a_study_shows_what_is_taken_for_what(runs):
    """Two cells of one task: eight matrices on the page, folded by cell, each of a run's own counts."""
    trained(runs)
    study = runs.folder / "study.toml"
    study.write_text('''[study]
name = "shown"
base = "tones.toml"
seeds = [1]
tasks = ["knn"]
set = ["run.steps=2", "evaluate.probe.label=word", "evaluate.probe.epochs=1"]
[[cell]]
name = "one"
[[cell]]
name = "two"
''')
    runs.expect(0, "ablate", study, "--set", f"study.out={runs.folder}/studies")
    folder = runs.folder / "studies/shown"
    page = (folder / "report.html").read_text()
    pictures = page.count("<desc>Lines are the true word")
    check(pictures == 8 and page.count("<details>") == 2 and "predicted word" in page, f"{pictures} matrices")
    kept = json.loads(next(folder.glob("cells/two/*.evaluation.json")).read_text())
    counts = next(line for line in kept["lines"] if line["arm"] == "features")["confusion"]["counts"]
    picture = page[page.index("<title>two: knn, features</title>"):]
    check(f"high: {counts[0][0]} of {sum(counts[0])} right" in picture[:picture.index("</desc>")], f"{counts} are not those shown")


def what_cannot_be_judged_is_said(runs):
    runs.train("text")
    told = runs.expect(2, "evaluate", runs.run_folder("text"), "--task", "probe")
    told += runs.expect(2, "evaluate", trained(runs), "--task", "probe")
    told += runs.expect(2, "evaluate", trained(runs), "--task", "leave_one_group_out", "--set", "evaluate.probe.label=word")
    for words in ("evaluate.probe.label is not set", "has the labels word, speaker", 'evaluate.probe.group = "speaker"'):
        check(words in told, f"{words} is not in {told}")


if __name__ == "__main__":
    main(every_evaluation_has_four_arms, layouts_change_nothing, a_study_shows_what_is_taken_for_what, what_cannot_be_judged_is_said)
