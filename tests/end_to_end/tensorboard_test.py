"""Event files are what TensorBoard reads: every step once, the same numbers as in metrics.jsonl, no second branch after a resume.

Reads them with the `tensorboard` package: the one that Python has, or the one that `launch/setup --tensorboard` brings.
"""
import os
import pathlib
import sys

from lacuna_runs import check, main

CACHE = pathlib.Path(os.environ.get("LACUNA_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "lacuna")
sys.path.append(str(CACHE / "tensorboard"))
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(f"NOT RUN: the package tensorboard cannot be imported ({error}); launch/setup --tensorboard brings it")
    sys.exit(77)

RUN = {"run": {"steps": 12}, "checkpoint": {"every": 4}, "evaluate": {"every": 6, "rows": 8}}


def read(runs, name):
    """Tag -> [(step, value)], as TensorBoard shows it."""
    events = EventAccumulator(str(runs.run_folder(name)), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def expect_losses(runs, name, shown):
    losses = runs.losses(name)
    check([step for step, _ in shown] == sorted(losses), f"TensorBoard shows steps {[step for step, _ in shown]}")
    for step, value in shown:
        check(abs(value - losses[step]) <= 1e-6 * abs(losses[step]), f"step {step}: {value} instead of {losses[step]}")


def every_scalar_is_shown(runs):
    runs.train("shown", **RUN, data={"validation": [runs.corpus]})
    shown = read(runs, "shown")
    for tag in ("train/loss", "train/learning_rate", "train/grad_norm", "train/tokens_per_second"):
        check([step for step, _ in shown[tag]] == list(range(1, 13)), f"{tag}: {shown.get(tag)}")
    expect_losses(runs, "shown", shown["train/loss"])
    for tag in ("loss/loss", "loss/perplexity", "loss/bits_per_byte"):
        check([step for step, _ in shown[tag]] == [6, 12], f"{tag}: {shown.get(tag)}")


def a_resumed_run_has_one_curve(runs):
    """Failed some steps behind its newest checkpoint: these steps are trained again."""
    config = runs.config("resumed", **RUN)
    runs.expect(70, "train", config, "--set", "run.fault='throw@0,11'")
    newest = max(runs.checkpoints("resumed"), default=0)  # writing goes on beside training: 8 may not be whole yet
    check(max(runs.losses("resumed")) == 10 and 0 < newest < 10, f"the run was to fail behind its checkpoint, not at {newest}")
    runs.expect(0, "train", config, "--resume")
    check(len(list(runs.run_folder("resumed").glob("events.out.tfevents.*"))) == 2, "each start writes a file of its own")
    expect_losses(runs, "resumed", read(runs, "resumed")["train/loss"])


def a_live_run_is_seen(runs):
    config = runs.config("live", run={"steps": 100000})
    job = runs.start("train", config)
    runs.wait_for_step(job, "live", 5)
    shown = read(runs, "live")["train/loss"]
    job.kill()
    check(len(shown) >= 4, f"of five steps that were done TensorBoard shows {len(shown)}")


def it_can_be_switched_off(runs):
    runs.train("off", run={"steps": 2, "tensorboard": False})
    check(not list(runs.run_folder("off").glob("events.*")), "run.tensorboard = false still writes event files")


if __name__ == "__main__":
    main(every_scalar_is_shown, a_resumed_run_has_one_curve, a_live_run_is_seen, it_can_be_switched_off)
