#!/usr/bin/env python3
"""Makes a corpus of clips of noise, 1024 frames each, for ssast-base.toml: what they hold costs nothing.

    clips.py --program build/cuda/bin/lacuna --count 64 clips.h5"""
import argparse
import pathlib
import random
import struct
import subprocess
import tempfile

RATE, WINDOW, SHIFT, FRAMES = 16000, 400, 160, 1024


def wav(samples):
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", len(samples))
    return header + samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--program", default="build/cuda/bin/lacuna")
    parser.add_argument("--count", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder) / f"clip_{i}.wav" for i in range(arguments.count)]
        for i, file in enumerate(files):
            file.write_bytes(wav(random.Random(i).randbytes(2 * (WINDOW + (FRAMES - 1) * SHIFT))))
        subprocess.run([arguments.program, "prepare", "--audio", *files, "--features", "kaldi_fbank", "--mel-bins", "128", "--out", arguments.out],
                       check=True)


if __name__ == "__main__":
    main()
