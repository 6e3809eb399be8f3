"""Recordings and pictures become corpora: labels, one set of statistics, bad files named, repeats alike."""
import array
import gzip
import json
import math
import struct
import wave
import zlib

from lacuna_runs import check, main

WORDS = ("low", "high")


def recordings(runs):
    """Twelve tones of two pitches by three speakers."""
    folder = runs.folder / "tones"
    folder.mkdir(exist_ok=True)
    files = []
    for word, pitch in zip(WORDS, (300, 900)):
        for speaker in ("ann", "ben", "cem"):
            for index in range(2):
                files.append(folder / f"{word}_{speaker}_{index}.wav")
                with wave.open(str(files[-1]), "wb") as out:
                    out.setparams((1, 2, 8000, 0, "NONE", ""))
                    tone = (int(9000 * math.sin(2 * math.pi * (pitch + 10 * index) * i / 8000)) for i in range(3000 + 500 * index))
                    out.writeframes(array.array("h", tone).tobytes())
    return files


def prepare(runs, code, *arguments):
    return runs.expect(code, "prepare", *arguments)


def report_of(runs, *arguments):
    output = prepare(runs, 0, *arguments, "--json")
    return json.loads(output[output.index("{\n"):])  # behind what is said on standard error


def recordings_become_a_corpus(runs):
    files = recordings(runs)
    pattern = ("--labels", "{word}_{speaker}_{}", "--mel-bins", "20")
    out = runs.folder / "tones.h5"
    report = report_of(runs, "--audio", *files, *pattern, "--out", out)
    check(report["documents"] == 12 and report["sample_rate"] == 8000 and not report["skipped"], f"{report}")
    info = json.loads(runs.expect(0, "inspect", out, "--verify", "--json"))
    check(info["kind"] == "frames" and info["mel_bins"] == 20 and info["verified"], f"{info}")
    check(info["labels"] == {"word": {"high": 6, "low": 6}, "speaker": {"ann": 4, "ben": 4, "cem": 4}}, f"{info['labels']}")
    check(info["features"]["kind"] == "kaldi_fbank", f"{info['features']}")
    again = runs.folder / "again.h5"
    prepare(runs, 0, "--audio", *files, *pattern, "--out", again, "--threads", "1")
    check(json.loads(runs.expect(0, "inspect", again, "--json"))["content_hash"] == info["content_hash"], "other contents the second time")
    part = runs.folder / "part.h5"
    prepare(runs, 0, "--audio", *files[:3], *pattern, "--out", part, "--statistics", out)
    other = json.loads(runs.expect(0, "inspect", part, "--json"))
    check((other["mean"], other["deviation"]) == (info["mean"], info["deviation"]), f"statistics of its own: {other}")
    mel = runs.folder / "mel.h5"
    prepare(runs, 0, "--audio", *files, "--features", "mel", "--out", mel, "--resample", "16000")
    check(json.loads(runs.expect(0, "inspect", mel, "--json"))["sample_rate"] == 16000, "it was not resampled")
    return f"{info['frames']} frames of 12 recordings"


def bad_recordings_are_named(runs):
    files = recordings(runs)
    bad = runs.folder / "tones" / "low_bad_0.wav"
    bad.write_bytes(files[0].read_bytes()[:2000])
    out = runs.folder / "bad.h5"
    told = prepare(runs, 3, "--audio", *files, bad, "--out", out)
    check("low_bad_0.wav" in told and "--skip-bad" in told, told)
    check(not out.exists(), "it left a corpus behind")
    report = report_of(runs, "--audio", bad, *files, "--skip-bad", "--out", out)
    check(report["documents"] == 12 and len(report["skipped"]) == 1 and "low_bad_0.wav" in report["skipped"][0], f"{report}")
    prepare(runs, 2, "--audio", *files, "--tokenizer", "bytes", "--out", runs.folder / "x.h5")
    return "a recording that was cut short ends the run, or is listed"


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(path, level):
    lines = b"".join(b"\0" + bytes([level] * 6) for _ in range(4))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 4, 8, 0, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def pictures_become_corpora(runs):
    for kind, level in (("dark", 30), ("light", 220)):
        folder = runs.folder / "pictures" / kind
        folder.mkdir(parents=True)
        for i in range(3):
            png(folder / f"{i}.png", level + i)
    out = runs.folder / "pictures.h5"
    prepare(runs, 0, "--images", runs.folder / "pictures", "--labels", "{kind}/{}", "--out", out)
    info = json.loads(runs.expect(0, "inspect", out, "--json"))
    check(info["documents"] == 6 and info["frames"] == 36 and info["mel_bins"] == 4, f"{info}")
    check(info["labels"] == {"kind": {"dark": 3, "light": 3}}, f"{info['labels']}")
    images, labels = runs.folder / "images.gz", runs.folder / "labels"
    images.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">III", 5, 2, 3) + bytes(range(30))))
    labels.write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 5) + bytes([4, 4, 1, 0, 1]))
    out = runs.folder / "idx.h5"
    prepare(runs, 0, "--images", images, "--image-labels", labels, "--out", out)
    info = json.loads(runs.expect(0, "inspect", out, "--verify", "--json"))
    check(info["labels"] == {"class": {"0": 1, "1": 2, "4": 2}} and info["frames"] == 15, f"{info}")
    return "folders of PNG, IDX with labels"


if __name__ == "__main__":
    main(recordings_become_a_corpus, bad_recordings_are_named, pictures_become_corpora)
