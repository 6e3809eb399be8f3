"""What `lacuna generate` says: the same for the same seed, on any number of ranks, and for prompts of any length."""
from lacuna_runs import check, main

CONTEXT = 32


def say(runs, *arguments, prompt="the ", ranks=0, tokens=20):
    if not (runs.run_folder("speaker") / "status.json").exists():
        runs.train("speaker", run={"steps": 40}, batch={"sequence_length": CONTEXT})
    return runs.expect(0, "generate", runs.run_folder("speaker"), "--prompt", prompt, "--max-tokens", tokens, *arguments, ranks=ranks)


def greedy_on_two_ranks(runs):
    alone = say(runs, "--temperature", 0)
    check(alone.startswith("the "), f"the prompt is not repeated: {alone!r}")
    together = say(runs, "--temperature", 0, ranks=2)
    check(alone == together, f"two ranks say {together!r} instead of {alone!r}")


def one_candidate_is_greedy(runs):
    greedy, single = say(runs, "--temperature", 0), say(runs, "--top-k", 1, "--seed", 9)
    check(greedy == single, f"top-k 1 says {single!r} instead of {greedy!r}")


def seeds(runs):
    first, again, other = say(runs, "--seed", 1), say(runs, "--seed", 1), say(runs, "--seed", 2)
    check(first == again, f"seed 1 says {again!r} after {first!r}")
    check(first != other, f"seeds 1 and 2 say the same: {first!r}")


def prompts_of_any_length(runs):
    long = "the rain on the hills and the sea " * 4
    text = say(runs, "--temperature", 0, prompt=long)
    check(text.startswith(long), f"a long prompt comes back as {text!r}")
    say(runs, "--temperature", 0, prompt="")
    text = say(runs, "--temperature", 1, "--top-k", 5, tokens=4 * CONTEXT)
    check(text.startswith("the "), f"text beyond the context: {text!r}")


def mistakes(runs):
    output = runs.expect(4, "generate", runs.folder / "absent", "--prompt", "a")
    check("absent" in output, f"the missing checkpoint is not named:\n{output}")
    runs.expect(2, "generate", runs.folder / "absent", "--prompt", "a", "--temperature", -1)


if __name__ == "__main__":
    main(greedy_on_two_ranks, one_candidate_is_greedy, seeds, prompts_of_any_length, mistakes)
