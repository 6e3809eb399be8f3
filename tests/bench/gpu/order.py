#!/usr/bin/env python3
"""Which samples each step of a run of Lacuna reads, one line a step: what data/sampler.cpp computes for a single corpus.

    tests/bench/gpu/order.py --tokens 15893948 --rows 64 --length 1024 --steps 1526 > order.txt

Sample i holds the tokens [i * length, i * length + length], as next_token cuts a corpus.
"""
import argparse
import math

WORD = (1 << 32) - 1
NUMBER_NAME, WORD_NAME = 0x6E756D62, 0x776F7264  # data/random.cpp


def philox(counter, key):
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = (b >> 32) ^ counter[1] ^ key[0], b & WORD, (a >> 32) ^ counter[3] ^ key[1], a & WORD
        key = (key[0] + 0x9E3779B9) & WORD, (key[1] + 0xBB67AE85) & WORD
    return counter


def fork(key, name):
    kind = NUMBER_NAME
    if isinstance(name, str):
        kind, hashed = WORD_NAME, 0xCBF29CE484222325
        for letter in name.encode():
            hashed = (hashed ^ letter) * 0x100000001B3 & ((1 << 64) - 1)
        name = hashed
    return philox((name & WORD, name >> 32, kind, 0), (key[0] ^ kind, key[1] ^ WORD ^ kind))[:2]


def permuted(index, size, key):
    """Where `index` goes in the random permutation of [0, size) that `key` stands for."""
    width = math.isqrt(size - 1) + 1
    height = (size + width - 1) // width
    while True:
        low, high = index % width, index // width
        for turn in range(0, 6, 2):
            for number, swap in ((turn, False), (turn + 1, True)):
                at = number << 56 | (low if swap else high)
                bits = philox((at & WORD, at >> 32, 0, 0), key)
                draw = (bits[1] << 32 | bits[0]) >> 1
                if swap:
                    high = (high + draw % height) % height
                else:
                    low = (low + draw % width) % width
        index = high * width + low
        if index < size:
            return index


def samples(first, count, size, seed):
    order = fork(fork((seed & WORD, seed >> 32), "sampler"), 0)
    return [permuted(place % size, size, fork(order, place // size)) for place in range(first, first + count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, required=True, help="of the corpus; lacuna inspect says")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    size = (a.tokens - a.length - 1) // a.length + 1
    for step in range(a.steps):
        print(*samples(step * a.rows, a.rows, size, a.seed))


if __name__ == "__main__":
    main()
