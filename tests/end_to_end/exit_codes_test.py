"""Exit codes mean what the help says, and the message tells the mend."""
import os

from lacuna_runs import SMALL, check, invented_text, main


def refuse(runs, code, *arguments, tells=()):
    output = runs.expect(code, *arguments)
    for words in tells:
        check(words in output, f"lacuna {' '.join(map(str, arguments))} does not say \"{words}\":\n{output}")


def usage_and_config(runs):
    config = runs.config("codes")
    refuse(runs, 2, "frobnicate")
    refuse(runs, 2, "train", runs.folder / "absent.toml", tells=["absent.toml"])
    refuse(runs, 2, "train", config, "--set", "architecture.num_layer=2", tells=["num_layers"])
    refuse(runs, 2, "train", config, "--set", "objective.kind=next_tokn", tells=["next_token"])
    refuse(runs, 2, "train", config, "--set", "architecture.hidden_size=33", tells=["hidden_size", "num_heads"])
    refuse(runs, 2, "train", config, "--set", "run.steps=0", tells=["exactly one of steps and tokens"])
    refuse(runs, 2, "train", config, "--set", "run.fault=fire@1", tells=["KIND@RANK,STEP"])


def networks_of_bytes(runs):
    small = {**SMALL, "architecture": {"kind": "byte_word", "num_layers": 2, "hidden_size": 32, "num_heads": 4}}
    config = runs.config("bytes", base=small)
    refuse(runs, 2, "train", config, "--set", "data.document_mask=true", tells=["document_mask", "set it to false"])
    text, pieces = runs.folder / "pieces.txt", runs.folder / "pieces.h5"
    text.write_text(invented_text(300, 2))
    runs.expect(0, "prepare", "--text", text, "--tokenizer", "sentencepiece", "--vocabulary-size", "300", "--out", pieces)
    refuse(runs, 2, "train", config, "--set", f"data.train=['{pieces}']", tells=["sentencepiece", "prepare them with --tokenizer bytes"])


def data(runs):
    config = runs.config("codes")
    refuse(runs, 3, "train", config, "--set", "data.train=['absent.h5']", tells=["absent.h5"])
    (runs.folder / "junk.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + os.urandom(4000))
    refuse(runs, 3, "train", config, "--set", "data.train=['junk.h5']", tells=["junk.h5"])


def checkpoints(runs):
    refuse(runs, 4, "evaluate", runs.folder / "absent", tells=["absent"])
    runs.train("ruined", run={"steps": 2})
    for shard in (runs.run_folder("ruined") / "checkpoints").glob("step-*/*.safetensors"):
        shard.write_bytes(shard.read_bytes()[:-1])
    config = runs.folder / "ruined.toml"
    refuse(runs, 4, "train", config, "--resume", "--set", "run.steps=4", tells=["step-00000002", "is usable", "run.name"])


def a_run_is_not_written_over(runs):
    runs.train("once", run={"steps": 3})
    before = (runs.run_folder("once") / "metrics.jsonl").read_bytes()
    refuse(runs, 2, "train", runs.folder / "once.toml", tells=["--resume", "run.name"])
    refuse(runs, 0, "train", runs.folder / "once.toml", "--resume", tells=["raise run.steps"])
    check((runs.run_folder("once") / "metrics.jsonl").read_bytes() == before, "metrics.jsonl has changed")


def a_folder_in_use(runs):
    config = runs.config("busy", run={"steps": 100000})
    job = runs.start("train", config)
    try:
        runs.wait_for_step(job, "busy", 1)
        refuse(runs, 2, "train", config, "--resume", tells=["busy", "in use by process", "run.name"])
        check(job.process.poll() is None and runs.status("busy")["state"] == "running", "the second job has disturbed the first")
    finally:
        job.kill()


if __name__ == "__main__":
    main(usage_and_config, networks_of_bytes, data, checkpoints, a_run_is_not_written_over, a_folder_in_use)
