#!/usr/bin/env python3
"""What an objective or an architecture costs beside another of ours: the energy objective beside the next token's on its network, and bytes
inside of words beside decoders of bytes with as many FLOPs. Prints a table of medians over rounds in turns.

    tests/bench/gpu/ratios.py [--program build/cuda/bin/lacuna] [--rounds 3] [--only WORD] TEXT

TEXT is any text file of a few hundred kilobytes. Needs a GPU of the size of an H100 for the largest shapes."""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

FP32, TF32, BF16 = {}, {"precision": {"tf32": True}}, {"precision": {"compute": "bf16"}}


def batch(rows, length):
    return {"global_size": rows, "sequence_length": length}


def decoder(layers, size, heads, inner):
    return {"kind": "decoder", "num_layers": layers, "hidden_size": size, "num_heads": heads, "feed_forward_size": inner,
            "norm": "rms_norm", "position": "rotary", "activation": "swiglu", "bias": "none"}


def byte_word(layers, size, heads, inner, **more):
    return {"kind": "byte_word", "num_layers": layers, "hidden_size": size, "num_heads": heads, "feed_forward_size": inner, **more}


def contests():
    """Name, the batch, the precision, {contestant: (objective, architecture)}; the first contestant is what others are measured by."""
    energy = {"kind": "energy_decoder", "num_layers": 6, "hidden_size": 384, "num_heads": 6}
    for name, precision in (("fp32", FP32), ("tf32", TF32)):
        yield f"energy, {name}", batch(32, 256), precision, {
            "next_token": ({"kind": "next_token"}, energy),
            "2 steps, 2 landscapes": ({"kind": "energy", "steps": 2, "landscapes": 2}, energy),
            "2 steps, 1 landscape": ({"kind": "energy", "steps": 2, "landscapes": 1}, energy),
            "1 step": ({"kind": "energy", "steps": 1, "landscapes": 1}, energy)}
    shapes = {
        "small": (batch(64, 512), byte_word(6, 512, 8, 1536), [(6, 288, 6, 896), (5, 320, 5, 960)]),
        "middle": (batch(16, 2048), byte_word(12, 1024, 16, 2752, character_layers=2, character_size=384, character_heads=6),
                   [(14, 448, 7, 1216), (8, 640, 10, 1696)]),
        "1B": (batch(8, 4096), byte_word(18, 2304, 18, 6144, character_layers=3, character_size=768, character_heads=12,
                                         character_feed_forward_size=2048), [(20, 1024, 8, 2752), (14, 1280, 10, 3424)])}
    for name, (rows, words, others) in shapes.items():
        yield f"byte_word, {name}", rows, BF16, {
            "byte_word": ({"kind": "next_token"}, words),
            **{f"decoder {o[0]} x {o[1]}": ({"kind": "next_token"}, decoder(*o)) for o in others}}


def run(program, folder, corpus, objective, architecture, rows, precision, steps):
    """Milliseconds of a step, tokens a second and model FLOPs of a token: medians of the last two thirds of the steps."""
    sections = {"run": {"name": "run", "out": str(folder / "runs"), "steps": steps, "device": "cuda", "seed": 3},
                "data": {"train": [str(corpus)]}, "batch": rows, "objective": objective, "architecture": architecture,
                "optimizer": {"learning_rate": 3e-4}, "checkpoint": {"every": 0}, "evaluate": {"every": 0}, **precision}
    config = folder / "run.toml"
    config.write_text("\n".join(f"[{s}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items()) for s, keys in sections.items()))
    subprocess.run(["rm", "-rf", folder / "runs"], check=True)
    done = subprocess.run([program, "train", config], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{config.read_text()}\nended with code {done.returncode}: {done.stderr[-1000:]}")
    lines = [json.loads(line) for line in (folder / "runs/run/metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["event"] == "step"][steps // 3:]
    flops = json.loads((folder / "runs/run/run.json").read_text())["flops_per_token"]
    return 1000 * statistics.median(x["seconds"] for x in lines), statistics.median(x["tokens_per_second"] for x in lines), flops


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--program", default="build/cuda/bin/lacuna")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--only", default="", help="contests whose name has this word")
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        corpus = folder / "text.h5"
        subprocess.run([program, "prepare", "--text", arguments.text, "--tokenizer", "bytes", "--out", corpus], check=True,
                       capture_output=True)
        print("| contest | contestant | ms a step | tokens/s | FLOPs a token | time beside the first | FLOPs beside the first |\n|" + "---|" * 7)
        for name, rows, precision, contestants in contests():
            if arguments.only not in name:
                continue
            seen = {c: [] for c in contestants}
            for _ in range(arguments.rounds):
                for contestant, (objective, architecture) in contestants.items():
                    seen[contestant].append(run(program, folder, corpus, objective, architecture, rows, precision, arguments.steps))
            medians = {c: [statistics.median(values) for values in zip(*figures)] for c, figures in seen.items()}
            first = next(iter(medians.values()))
            for contestant, (ms, rate, flops) in medians.items():
                print(f"| {name} | {contestant} | {ms:.2f} | {rate:,.0f} | {flops:,.0f} | {ms / first[0]:.3f} | {flops / first[2]:.3f} |",
                      flush=True)


if __name__ == "__main__":
    main()
