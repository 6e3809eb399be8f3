#!/usr/bin/env python3
"""Gives every contestant the same real tokens: makes the archive that run.py --tokens takes. Needs h5py and numpy.

    lacuna prepare --text FILE... --tokenizer gpt2 --vocabulary FOLDER --out gpt2.h5 \
      --validation-fraction 0.01 --validation-out gpt2-validation.h5
    tests/bench/gpu/tokens.py gpt2.h5 --validation gpt2-validation.h5 --out tokens.tar.xz

It holds gpt2.h5 and gpt2-validation.h5; qwen.h5, the same tokens under a vocabulary that is padded to Qwen2.5's size, so that the network has its
table (no text was cut into Qwen's own pieces: LLMQ gets the same ids); and tokens.u16 and validation.u16, the bare tokens, of
which run.py makes the other programs' files. xz stores what these have in common once.
"""
import argparse
import array
import json
import pathlib
import tarfile
import tempfile

NAMES = ["gpt2.h5", "tokens.u16", "gpt2-validation.h5", "validation.u16", "qwen.h5"]  # in this order: neighbours lie within xz's window
QWEN_VOCABULARY = 151936
LLMC_MAGIC, LLMQ_MAGIC = 20240520, b"BIN.TOK\n"
VALIDATION = 70 * 1024 + 1  # tokens of the validation files, which the programs open and the benchmark never reads


def make(corpus, validation, out):
    import h5py
    import numpy

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "gpt2.h5").write_bytes(corpus.read_bytes())
        with h5py.File(corpus) as file:
            tokens, documents, tokenizer = file["tokens"][:], file["documents"][:], json.loads(bytes(file["tokenizer"][:]))
            attributes = dict(file.attrs, vocabulary_size=QWEN_VOCABULARY)
        if tokens.dtype != numpy.uint16:
            raise SystemExit(f"{corpus}: its tokens are {tokens.dtype} and the peers read uint16; use --tokenizer gpt2")
        tokens.tofile(folder / "tokens.u16")
        (folder / "gpt2-validation.h5").write_bytes(validation.read_bytes())
        with h5py.File(validation) as file:
            file["tokens"][:].tofile(folder / "validation.u16")
        pieces = tokenizer["model"]["vocab"]
        pieces.update({f"<unused{i}>": i for i in range(len(pieces) + len(tokenizer["added_tokens"]), QWEN_VOCABULARY)})
        blob = numpy.frombuffer(json.dumps(tokenizer).encode(), numpy.uint8)
        with h5py.File(folder / "qwen.h5", "w") as file:
            # Space taken at once and contiguous, as lacuna prepare does, so that it is read through a memory map.
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            for name, values in (("tokens", tokens), ("documents", documents), ("tokenizer", blob)):
                space = h5py.h5s.create_simple(values.shape)
                h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(values.dtype), space, dcpl=plan)
                file[name][:] = values
            file.attrs.update(attributes)
        with tarfile.open(out, "w:xz", preset=9) as archive:
            for name in NAMES:
                archive.add(folder / name, name)
    print(f"{out}: {len(tokens):,} tokens, {out.stat().st_size / 2**20:.1f} MiB")


def derive(tokens_file):
    """llm.c's and LLMQ's files beside tokens.u16, once; Python's standard library alone."""
    folder = tokens_file.parent
    tokens = array.array("H", tokens_file.read_bytes())

    def write(name, header, kind, values):
        if not (folder / name).exists():
            (folder / name).write_bytes(array.array("i", header + [0] * (256 - len(header))).tobytes() + kind(values).tobytes())

    for part, values in (("train", tokens), ("validation", tokens[:VALIDATION])):
        count = len(values)
        magic = list(array.array("i", LLMQ_MAGIC))
        write(f"llmc-{part}.bin", [LLMC_MAGIC, 1, count], lambda v: v, values)
        write(f"llmq-{part}.bin", [*magic, 1, 4, count], lambda v: array.array("i", v), values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=pathlib.Path, help="made by lacuna prepare --tokenizer gpt2")
    parser.add_argument("--validation", type=pathlib.Path, required=True, help="made with it: documents that nobody trains on")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    make(arguments.corpus, arguments.validation, arguments.out)


if __name__ == "__main__":
    main()
