#!/usr/bin/env python3
"""Makes mel.safetensors: TERA's features of two recordings by librosa, in double precision.

    python3 tests/golden/mel/make_golden.py        # needs librosa==0.11.0 and safetensors; writes beside itself

The steps are those of s3prl's preprocessor: the recording's root mean square is set to -25 dB; short-time Fourier transform of centred
frames, mirrored at the ends, periodic Hann window of 25 ms every 10 ms; its power through HTK's mel filters without normalisation of their
area; ln(x + 1e-10); each bin minus its mean, by its deviation (of n - 1). Transform and filters are librosa's, and nothing is of this project.
For each NAME: NAME/samples (float32) and NAME/features (frames, bins).
"""
import pathlib

import librosa
import numpy
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
CASES = {"16000": (16000, 80, 4000), "8000": (8000, 40, 2311)}  # Hz, bins, samples; the second ends inside of a hop


def recording(rate, count, generator):
    """A rising tone that swells, over noise: no bin is so quiet that single precision loses it beside the loud ones."""
    t = numpy.arange(count) / rate
    tone = numpy.sin(2 * numpy.pi * (200 * t + 0.5 * rate * t * t)) * (0.2 + 0.8 * numpy.sin(numpy.pi * t / t[-1]) ** 2)
    return (0.3 * tone + 0.05 * generator.standard_normal(count)).astype(numpy.float32)


def log_mel(samples, rate, bins):
    x = samples.astype(numpy.float64)
    x = x * 10 ** (-25 / 20) / (numpy.sqrt(numpy.mean(x**2)) + 1e-10)
    size, hop = rate * 25 // 1000, rate * 10 // 1000
    power = librosa.feature.melspectrogram(y=x, sr=rate, n_fft=size, hop_length=hop, win_length=size, window="hann", center=True,
                                           pad_mode="reflect", power=2.0, n_mels=bins, fmin=0.0, fmax=rate / 2, htk=True, norm=None,
                                           dtype=numpy.float64)
    return numpy.log(power + 1e-10).T


def main():
    generator = numpy.random.default_rng(20261126)
    tensors = {}
    for name, (rate, bins, count) in CASES.items():
        samples = recording(rate, count, generator)
        logs = log_mel(samples, rate, bins)
        features = (logs - logs.mean(0)) / (logs.std(0, ddof=1) + 1e-10)
        tensors |= {f"{name}/samples": samples, f"{name}/features": features.astype(numpy.float32)}
    metadata = {"librosa": librosa.__version__, "made_by": "tests/golden/mel/make_golden.py"}
    save_file({key: numpy.ascontiguousarray(value) for key, value in tensors.items()}, HERE / "mel.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
