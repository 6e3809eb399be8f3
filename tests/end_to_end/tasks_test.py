"""Tasks that are mixed into training are learnt, mixing repeats, resumes and knows no layout, and prompts are fine-tuned on."""
import json

from lacuna_runs import check, expect_close_losses, expect_same_metrics, main

SMALL = {"global_size": 32, "sequence_length": 64}
NETWORK = {"hidden_size": 64, "position": "rotary"}


def mixture(runs, task, size, weight=1.0):
    return {"train": [runs.corpus, {"task": task, "sizes": [size], "weight": weight}]}


def judged(runs, name, task, *sets):
    words = [word for one in sets for word in ("--set", one)]
    return json.loads(runs.expect(0, "evaluate", runs.run_folder(name), "--task", task, "--json", *words))


def a_task_that_is_mixed_in_is_learnt(runs):
    told = []
    for mixed, steps in ((True, 350), (False, 20)):
        name = f"dyck-{mixed}"
        runs.train(name, run={"steps": steps}, batch=SMALL, architecture=NETWORK, optimizer={"learning_rate": 0.003},
                   data=mixture(runs, "dyck", 4) if mixed else {"train": [runs.corpus]})
        line = judged(runs, name, "dyck", "evaluate.sizes=[4]", "evaluate.examples=200")[0]
        told.append(f"{line['accuracy']:.2f} {line['exact_match']:.2f}")
        if mixed:
            check(line["accuracy_low"] > 0.4 and line["exact_match_low"] > 0.3, f"after training on it: {line}")
        else:
            check(line["exact_match_high"] < 0.3, f"without: {line}")
        check(abs(line["chance"] - 0.25) < 1e-9 and line["examples"] == 200, f"{line}")
        check(max(line["majority"], line["unigram"]) < 0.5, f"baselines: {line}")
    return "accuracy and exact match with and without: " + ", ".join(told)


def mixing_repeats_resumes_and_knows_no_layout(runs):
    data = mixture(runs, "key_value", 2, weight=0.5)
    runs.train("whole", data=data, batch={"sequence_length": 64})
    runs.train("stopped", code=75, data=data, batch={"sequence_length": 64}, run={"stop_after": 9})
    runs.expect(0, "train", runs.folder / "stopped.toml", "--set", "run.stop_after=0", "--resume")
    expect_same_metrics(runs.metrics("whole"), runs.metrics("stopped"), "resumed")
    runs.train("two", ranks=2, data=data, batch={"sequence_length": 64})
    expect_close_losses(runs.losses("whole"), runs.losses("two"), "two ranks")
    output = runs.expect(2, "train", runs.config("tasks", data={"train": [{"task": "dyck"}]}))
    check("name one beside it, or under data.validation" in output, output)
    output = runs.expect(2, "train", runs.config("wrong", data={"train": [runs.corpus, {"task": "dick"}]}))
    check("wrong.toml" in output and "there is no task \"dick\"" in output, output)
    runs.train("tasks", data={"train": [{"task": "dyck"}], "validation": [runs.corpus]}, run={"steps": 2})


def fine_tuning_on_prompts(runs):
    source, corpus = runs.folder / "prompts.jsonl", runs.folder / "prompts.h5"
    lines = [{"prompt": f"say {word}:", "response": " " + word * 12} for word in ("alpha", "bravo", "charlie", "delta") for _ in range(30)]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    runs.expect(0, "prepare", "--prompts", source, "--out", corpus)
    info = json.loads(runs.expect(0, "inspect", corpus, "--json"))
    check(info["responses"] is True and info["documents"] == 120, f"{info}")
    for objective in ({"kind": "next_token", "loss_on": "response"}, {"kind": "mask_enhanced", "fine_tuning": True, "mask_ratio": 0.1},
                      {"kind": "prefix_language", "split": "response"}):
        name = f"tuned-{objective['kind']}"
        architecture = {"visibility": "prefix"} if objective["kind"] == "prefix_language" else {}
        runs.train(name, data={"train": [corpus]}, objective=objective, architecture=architecture, batch={"sequence_length": 128},
                   run={"steps": 30}, optimizer={"learning_rate": 0.01})
        losses = runs.losses(name)
        check(losses[30] < 0.7 * losses[1], f"{name}: {losses}")
        output = runs.train(name + "-text", code=3, objective=objective, architecture=architecture)
        check("lacuna prepare --prompts" in output, output)


if __name__ == "__main__":
    main(a_task_that_is_mixed_in_is_learnt, mixing_repeats_resumes_and_knows_no_layout, fine_tuning_on_prompts)
