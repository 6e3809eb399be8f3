#!/usr/bin/env python3
"""Measures kaldi_fbank beside torchaudio.compliance.kaldi.fbank on one core, compares their values, and prints a Markdown table.

    tests/bench/features_bench.py [--build build/release] [--rounds 5] [--seconds 1]

Needs torch and torchaudio in this Python, and the program features_bench (ninja -C build/release features_bench). Ten seconds of noise
and tones at 16 kHz; the two take turns, figures are medians over the rounds. Values must agree within 2e-3.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torchaudio.compliance.kaldi as kaldi

SAMPLES = 160_000


def peer(samples, bins):
    return kaldi.fbank(samples[None], num_mel_bins=bins, window_type="hanning", dither=0.0, sample_frequency=16000, frame_shift=10.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[0]])  # the programs that it starts inherit it
    torch.set_num_threads(1)
    torch.manual_seed(1)
    time_axis = torch.arange(SAMPLES) / 16000
    samples = 0.05 * torch.randn(SAMPLES) + 0.3 * torch.sin(2 * math.pi * 440 * time_axis) * torch.sin(2 * math.pi * time_axis)
    print("| mel bins | lacuna frames/s | torchaudio frames/s | ratio | largest difference |\n|---|---|---|---|---|")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        source, result = pathlib.Path(folder) / "samples", pathlib.Path(folder) / "features"
        source.write_bytes(samples.numpy().tobytes())
        for bins in (23, 40, 80, 128):
            ours, theirs = [], []
            expected = peer(samples, bins)
            for _ in range(arguments.rounds):
                done = subprocess.run([f"{arguments.build}/bin/features_bench", source, result, str(bins), str(arguments.seconds)],
                                      stdout=subprocess.PIPE, check=True)
                ours.append(json.loads(done.stdout)["frames_per_second"])
                passes, began = 0, time.perf_counter()
                while time.perf_counter() - began < arguments.seconds:
                    peer(samples, bins)
                    passes += 1
                theirs.append(passes * len(expected) / (time.perf_counter() - began))
            values = torch.frombuffer(bytearray(result.read_bytes()), dtype=torch.float32).view(-1, bins)
            difference = (values - expected).abs().max().item()
            worst = max(worst, difference)
            ours, theirs = statistics.median(ours), statistics.median(theirs)
            print(f"| {bins} | {ours:,.0f} | {theirs:,.0f} | **{ours / theirs:.2f}** | {difference:.1e} |", flush=True)
    return 0 if worst < 2e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
