"""Resume is invisible: killed anywhere, stopped, moved to another layout or with damage on disk, a run ends as if nothing had been."""
import random
import time

from lacuna_runs import check, expect_close_losses, expect_same_metrics, invented_text, main

NUM_KILLS = 3
KILLED = {"run": {"steps": 60}, "checkpoint": {"every": 1, "keep": 2}, "architecture": {"dropout": 0.1}}


def killed_at_random(runs, ranks, **changes):
    whole, broken = f"whole-{ranks}{'-'.join(changes)}", f"broken-{ranks}{'-'.join(changes)}"
    second = runs.prepare("second", invented_text(100, 2))
    mixture = {"data": {"train": [{"corpus": runs.corpus, "weight": 0.7}, {"corpus": second, "weight": 0.3}]}}
    runs.train(whole, ranks=ranks, **KILLED, **mixture, **changes)
    config = runs.config(broken, **KILLED, **mixture, **changes)
    draw = random.Random(ranks)
    kills = 0
    for attempt in range(NUM_KILLS):
        before = max(runs.losses(broken), default=0)
        job = runs.start("train", config, *(["--resume"] if attempt else []), ranks=ranks)
        runs.wait_for_step(job, broken, min(before + draw.randint(3, 10), 55))
        time.sleep(draw.uniform(0, 0.05))
        kills += job.process.poll() is None
        job.kill()
    runs.expect(0, "train", config, "--resume", ranks=ranks)
    expect_same_metrics(runs.metrics(whole), runs.metrics(broken), f"after {kills} kills on {ranks or 1} ranks")
    check(kills >= 2, f"only {kills} of the jobs were still running when they were killed")
    return f"{kills} kills"


def killed_on_one_rank(runs):
    return killed_at_random(runs, 0)


def killed_on_two_ranks(runs):
    return killed_at_random(runs, 2)


def killed_on_two_ranks_with_a_sharded_optimizer(runs):
    return killed_at_random(runs, 2, parallel={"shard_optimizer": True, "bucket_megabytes": 0.02})


def sharded_and_back(runs):
    """A checkpoint knows nothing of shards: every layout goes on from every other."""
    runs.train("unsharded", run={"steps": 20})
    config = runs.config("sharded", run={"steps": 20}, parallel={"shard_optimizer": True})
    stages = ((4, 2, 4, True), (8, 1, 4, True), (12, 1, 2, False), (16, 2, 4, True), (20, 1, 0, True))
    for stop, tensor, ranks, shard in stages:
        runs.expect(75 if stop < 20 else 0, "train", config, *(["--resume"] if stop > 4 else []), "--set", f"run.stop_after={stop}",
                    "--set", f"parallel.tensor={tensor}", "--set", f"parallel.shard_optimizer={str(shard).lower()}", ranks=ranks)
    worst = expect_close_losses(runs.losses("unsharded"), runs.losses("sharded"), "2x2, 4x1, 2x1 unsharded, 2x2, 1x1")
    return f"worst relative difference {worst:.1e}"


def another_layout(runs):
    runs.train("straight", run={"steps": 18})
    config = runs.config("moved", run={"steps": 18})
    runs.expect(75, "train", config, "--set", "run.stop_after=6", ranks=2)
    runs.expect(75, "train", config, "--resume", "--set", "run.stop_after=12", "--set", "parallel.tensor=2", ranks=2)
    runs.expect(0, "train", config, "--resume")
    worst = expect_close_losses(runs.losses("straight"), runs.losses("moved"), "2x1, then 1x2, then 1x1")
    return f"worst relative difference {worst:.1e}"


def a_damaged_checkpoint(runs):
    settings = {"run": {"steps": 20}, "checkpoint": {"every": 5, "keep": 2}}
    runs.train("intact", **settings)
    config = runs.config("damaged", **settings)
    runs.expect(75, "train", config, "--set", "run.stop_after=15")
    check(runs.checkpoints("damaged") == [15, 10], f"checkpoints {runs.checkpoints('damaged')} instead of 15 and 10")
    newest = runs.run_folder("damaged") / "checkpoints" / "step-00000015"
    shard = next(newest.glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    output = runs.expect(0, "train", config, "--resume")
    check("step-00000015 is damaged" in output and "an older checkpoint is used" in output, f"the damage is not told:\n{output}")
    check(list(newest.parent.glob("step-00000015.bad-*")), "the damaged checkpoint was not set aside")
    expect_same_metrics(runs.metrics("intact"), runs.metrics("damaged"), "from the older checkpoint")


def another_corpus_is_refused(runs):
    corpus = runs.prepare("replaced", invented_text(60, 3))
    config = runs.config("replaced-run", run={"steps": 6}, data={"train": [corpus]})
    runs.expect(75, "train", config, "--set", "run.stop_after=3")
    runs.prepare("replaced", invented_text(60, 4))
    output = runs.expect(3, "train", config, "--resume")
    check("is not the corpus that" in output and "bring the old file back" in output, f"no mend is told:\n{output}")


if __name__ == "__main__":
    main(killed_on_one_rank, killed_on_two_ranks, killed_on_two_ranks_with_a_sharded_optimizer, sharded_and_back, another_layout,
         a_damaged_checkpoint, another_corpus_is_refused)
