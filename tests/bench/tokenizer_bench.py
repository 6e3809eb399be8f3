#!/usr/bin/env python3
"""Measures GPT-2 tokenisation beside tiktoken on one core and prints a Markdown table.

    tests/bench/tokenizer_bench.py --vocabulary FOLDER [--build build/release] [--rounds 5] [TEXT...]

FOLDER holds GPT-2's vocab.json and merges.txt. TEXT may be gzipped; without one, the dictionary of Debian's package dict-gcide is
taken. Needs tiktoken in this Python, and the program tokenizer_bench (ninja -C build/release tokenizer_bench). The two take turns;
figures are medians over the rounds. Both must give as many tokens.
"""
import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tiktoken

PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
DICTIONARY = "/usr/share/dictd/gcide.dict.dz"


def peer(vocabulary):
    """tiktoken's GPT-2 from the vocabulary file, whose tokens are spelled in letters for bytes."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in own]
    byte_of = {chr(b): b for b in own} | {chr(256 + i): b for i, b in enumerate(others)}
    tokens = json.loads((pathlib.Path(vocabulary) / "vocab.json").read_text(encoding="utf-8"))
    end = tokens.pop("<|endoftext|>")
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in tokens.items()}
    return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": end})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="*", default=[DICTIONARY])
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[0]])  # the programs that it starts inherit it
    encoding = peer(arguments.vocabulary)
    print("| text | tokens | lacuna MB/s | tiktoken MB/s | ratio |\n|---|---|---|---|---|")
    for path in arguments.text:
        raw = pathlib.Path(path).read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        raw *= max(1, 8_000_000 // len(raw))
        text = raw.decode("utf-8", errors="replace")
        with tempfile.NamedTemporaryFile() as file:
            file.write(raw)
            file.flush()
            ours, theirs = [], []
            for _ in range(arguments.rounds):
                done = subprocess.run([f"{arguments.build}/bin/tokenizer_bench", arguments.vocabulary, file.name],
                                      stdout=subprocess.PIPE, check=True)
                result = json.loads(done.stdout)
                ours.append(len(raw) / result["seconds"] / 1e6)
                start = time.perf_counter()
                tokens = len(encoding.encode_ordinary(text))
                theirs.append(len(raw) / (time.perf_counter() - start) / 1e6)
                if tokens != result["tokens"]:
                    sys.exit(f"{path}: {result['tokens']} tokens, the peer has {tokens}")
        ratio = statistics.median(a / b for a, b in zip(ours, theirs))
        print(f"| {pathlib.Path(path).name} | {tokens:,} | {statistics.median(ours):.1f} | {statistics.median(theirs):.1f} | {ratio:.2f} |")


main()
