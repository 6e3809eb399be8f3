"""prefix_language with a teacher: a decoder's predictions are learnt, whatever the layout; what was learnt needs the teacher no more."""
import json
import shutil

from lacuna_runs import check, expect_close_losses, main

STUDENT = {"architecture": {"kind": "encoder_decoder"}}


def teacher(runs):
    if not runs.run_folder("teacher").exists():
        runs.train("teacher", run={"steps": 60}, optimizer={"learning_rate": 3e-3})
    return runs.run_folder("teacher")


def student(runs, name, ranks=0, share=0.9, **changes):
    return runs.train(name, ranks=ranks, objective={"kind": "prefix_language", "teacher": teacher(runs), "teacher_share": share},
                      **STUDENT, **changes)


def metric(runs, name, key):
    lines = map(json.loads, (runs.run_folder(name) / "metrics.jsonl").read_text().splitlines())
    return [line[key] for line in lines if line["event"] == "step"]


def the_student_comes_nearer_to_its_teacher(runs):
    student(runs, "taught", run={"steps": 60}, optimizer={"learning_rate": 3e-3})
    runs.train("untaught", run={"steps": 60}, optimizer={"learning_rate": 3e-3}, objective={"kind": "prefix_language"}, **STUDENT)
    divergence = metric(runs, "taught", "teacher_kl")
    check(divergence[-1] < 0.5 * divergence[0] and min(divergence) > 0, f"divergence from {divergence[0]} to {divergence[-1]}")
    check(metric(runs, "taught", "loss")[0] == metric(runs, "untaught", "loss")[0], "what is told is not the cross-entropy")
    check(metric(runs, "taught", "loss")[5] != metric(runs, "untaught", "loss")[5], "the teacher changes nothing")
    student(runs, "ignoring", share=0, run={"steps": 10})
    runs.train("alone", run={"steps": 10}, objective={"kind": "prefix_language"}, **STUDENT)
    expect_close_losses(runs.losses("alone"), runs.losses("ignoring"), "a share of 0")


def a_prefix_decoder_is_taught_too(runs):
    changes = {"architecture": {"visibility": "prefix"}, "run": {"steps": 30}, "optimizer": {"learning_rate": 3e-3}}
    runs.train("prefix", objective={"kind": "prefix_language", "teacher": teacher(runs)}, **changes)
    divergence = metric(runs, "prefix", "teacher_kl")
    check(divergence[-1] < 0.7 * divergence[0], f"divergence from {divergence[0]} to {divergence[-1]}")


def layouts_change_nothing(runs):
    student(runs, "one")
    worst = 0
    for data, tensor, micro in ((2, 1, 0), (1, 2, 2)):
        name = f"{data}x{tensor}"
        student(runs, name, ranks=2, parallel={"tensor": tensor}, batch={"micro_size": micro})
        worst = max(worst, expect_close_losses(runs.losses("one"), runs.losses(name), name))
    return f"worst relative difference {worst:.1e}"


def what_is_no_teacher_is_refused(runs):
    bare = {"objective": {"kind": "prefix_language", "teacher": runs.folder / "nobody"}, "run": {"steps": 2}}
    runs.train("pupil", code=4, **bare, **STUDENT)
    runs.train("peer", run={"steps": 2}, objective={"kind": "prefix_language"}, **STUDENT)
    bare["objective"]["teacher"] = runs.run_folder("peer")
    output = runs.train("pupil2", code=2, **bare, **STUDENT)
    check("is no causal decoder of tokens" in output, output)


def without_its_teacher_it_is_judged(runs):
    student(runs, "orphan", run={"steps": 2})
    shutil.move(teacher(runs), runs.folder / "away")
    runs.expect(0, "evaluate", runs.run_folder("orphan"), "--corpus", runs.corpus, "--set", "evaluate.rows=8", "--json")
    shutil.move(runs.folder / "away", teacher(runs))


if __name__ == "__main__":
    main(the_student_comes_nearer_to_its_teacher, a_prefix_decoder_is_taught_too, layouts_change_nothing,
         what_is_no_teacher_is_refused, without_its_teacher_it_is_judged)
