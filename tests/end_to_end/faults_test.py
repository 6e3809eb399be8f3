"""One rank's failure ends the job: soon, with a code and a message, with nothing left running, and a resumable run behind."""
import json
import os
import resource
import signal
import time

from lacuna_runs import LAUNCHER, PROGRAM, Job, check, expect_same_metrics, main

SOON = 8.0  # seconds from the failure to the end of the job, on a busy machine; reporting takes a failing rank 1 s
STEP = 4


def fail(runs, kind, **run):
    """A job of two ranks in which rank 1 fails at STEP; its exit code and output, and the seconds from the failure to the end."""
    name = f"fault-{kind}"
    config = runs.config(name, run={"steps": 100000, "fault": f"{kind}@1,{STEP}", **run})
    job = runs.start("train", config, ranks=2)
    runs.wait_for_step(job, name, STEP - 1)
    began = time.monotonic()
    code = job.wait(60)
    took = time.monotonic() - began
    job.expect_gone()
    return code, job.output, took


def expect_status(runs, name, code, ranks=(1,)):
    status = runs.status(name)
    check(status["state"] == "failed" and status["exit_code"] == code and status["rank"] in ranks and
          status["step"] == STEP - 1 and status["message"], f"status.json: {status}")


def a_rank_throws(runs):
    code, output, took = fail(runs, "throw")
    check(code == 70 and took < SOON, f"code {code} after {took:.1f} s:\n{output}")
    check("rank 1: run.fault asked for this failure" in output, f"the message does not name the rank:\n{output}")
    expect_status(runs, "fault-throw", 70)
    return f"gone after {took:.1f} s"


def a_rank_vanishes(runs):
    for kind, expected in (("exit", 3), ("kill", 137)):
        code, output, took = fail(runs, kind)
        check(code == expected and took < SOON, f"{kind}: code {code} after {took:.1f} s:\n{output}")


def a_rank_hangs(runs):
    code, output, took = fail(runs, "stop", watchdog=5)
    check(code == 7 and took < 5 + 3, f"code {code} after {took:.1f} s:\n{output}")
    check("rank 0 made no progress" in output and f"step {STEP}" in output and "all_reduce" in output,
          f"the message does not name rank, step and collective:\n{output}")
    expect_status(runs, "fault-stop", 7, ranks=(0, 1))  # the launcher wakes the stopped rank before it kills it: it may speak last
    return f"gone after {took:.1f} s"


def a_loss_is_not_a_number(runs):
    code, output, took = fail(runs, "nan")
    check(code == 5 and took < SOON, f"code {code} after {took:.1f} s:\n{output}")
    check(f"step {STEP}" in output and "not finite on rank 1" in output and "were not updated" in output, output)
    expect_status(runs, "fault-nan", 5, ranks=(0, 1))
    check(max(runs.losses("fault-nan")) == STEP - 1, "the bad step is in metrics.jsonl")


def one_rank_has_a_bad_corpus(runs):
    bad = runs.folder / "bad.h5"
    bad.write_bytes(runs.corpus.read_bytes()[:3000])
    config = runs.config("bad-data")
    words = [PROGRAM, "train", str(config)]
    job = Job([*LAUNCHER, "-np", "1", *words, ":", "-np", "1", *words, "--set", f"data.train=['{bad}']"], runs.folder, str(runs.folder))
    code = job.wait(60)
    check(code == 3, f"code {code} instead of 3:\n{job.output}")
    check("rank 1: " in job.output and "bad.h5" in job.output, f"rank and file are not named:\n{job.output}")
    check(not runs.run_folder("bad-data").exists(), "a run that could not start has left a folder")
    job.expect_gone()


def memory_runs_out(runs):
    config = runs.config("memory", batch={"global_size": 64, "sequence_length": 512},
                         architecture={"hidden_size": 512, "feed_forward_size": 4096})
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    output = runs.expect(6, "train", config, before_exec=limit)
    check("out of memory" in output and "--dry-run" in output, f"no mend is told:\n{output}")


def a_request_to_stop(runs):
    runs.train("whole", run={"steps": 40})
    for number, (signal_number, ranks) in enumerate(((signal.SIGUSR1, 0), (signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGUSR1, 2))):
        name = f"asked-{number}"
        config = runs.config(name, run={"steps": 100000})
        job = runs.start("train", config, ranks=ranks)
        runs.wait_for_step(job, name, 3)
        os.kill(job.process.pid, signal_number)
        code = job.wait(30)
        last = max(runs.losses(name))
        what = f"{signal_number.name} to {'mpirun' if ranks else 'a plain job'}"
        check(code == 75, f"{what}: code {code} instead of 75:\n{job.output}")
        status = runs.status(name)
        check((status["state"], status["exit_code"], status["step"]) == ("stopped", 75, last), f"{what}: {status}")
        check(runs.checkpoints(name)[:1] == [last], f"{what}: checkpoints {runs.checkpoints(name)} after step {last}")
        if number == 0 and last < 40:
            runs.expect(0, "train", config, "--resume", "--set", "run.steps=40")
            expect_same_metrics(runs.metrics("whole"), runs.metrics(name), "after the stop")


def the_launcher_is_terminated(runs):
    """SIGTERM to mpirun gives the ranks a second: the job is gone soon, and what it had saved is a run to go on with."""
    name = "terminated"
    runs.train("uninterrupted", ranks=2, run={"steps": 12})
    config = runs.config(name, run={"steps": 100000}, checkpoint={"every": 5})
    job = runs.start("train", config, ranks=2)
    runs.wait_for_step(job, name, 11)
    os.kill(job.process.pid, signal.SIGTERM)
    check(job.wait(30) != 0, f"the job claims to have finished:\n{job.output}")
    job.expect_gone()
    saved = runs.checkpoints(name)[0]
    check(saved >= 5, f"no checkpoint is left: {runs.checkpoints(name)}")
    runs.expect(0, "train", config, "--resume", "--set", f"run.steps={max(12, saved + 1)}", ranks=2)
    expect_same_metrics(runs.metrics("uninterrupted"), runs.metrics(name)[:12], "after the launcher's end")


def the_disk_is_full(runs):
    """On a file system of 3 MB, mounted for this process alone, checkpoints stop fitting: code 8, and all that was saved is whole."""
    name, disk = "full-disk", runs.folder / "disk"
    disk.mkdir()
    config = runs.config(name, out=disk, run={"steps": 1000}, checkpoint={"every": 2, "keep": 100})
    script = (f"mount -t tmpfs -o size=3m none '{disk}' || exit 99; '{PROGRAM}' train '{config}'; echo code=$?; "
              f"'{PROGRAM}' inspect '{disk}/{name}' --verify --json > '{runs.folder}/inspected.json'; cat '{disk}/{name}/status.json'")
    job = Job(["unshare", "--mount", "--map-root-user", "bash", "-c", script], runs.folder, str(runs.folder))
    code = job.wait(60)
    if code == 99 or "unshare" in job.output:
        print(f"NOT RUN: the_disk_is_full: a file system of its own cannot be mounted here: {job.output.strip()}")
        return "not run"
    check("code=8" in job.output and "free some space" in job.output, f"the full disk is not told:\n{job.output}")
    check('"exit_code": 8' in job.output.replace('":8', '": 8'), f"status.json does not tell:\n{job.output}")
    found = json.loads((runs.folder / "inspected.json").read_text())["checkpoints"]
    check(found and all(one["state"] == "whole" for one in found), f"checkpoints: {found}")
    return f"{len(found)} checkpoints whole"


if __name__ == "__main__":
    main(a_rank_throws, a_rank_vanishes, a_rank_hangs, a_loss_is_not_a_number, one_rank_has_a_bad_corpus, memory_runs_out,
         a_request_to_stop, the_launcher_is_terminated, the_disk_is_full)
