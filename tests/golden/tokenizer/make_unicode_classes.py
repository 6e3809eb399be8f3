"""Prints the ranges of data/tokenizer/unicode_classes.cpp: what the reference tokenizers take for \\p{L}, \\p{N} and \\s.

Made with tokenizers 0.23.3 and tiktoken 0.14.0, which agree on every code point (their tables are those of Unicode 16.0).
Needs: pip install tokenizers tiktoken
"""
import tiktoken
from tokenizers import Regex, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BLOCKS = ["".join(map(chr, CODE_POINTS[i:i + 4096])) for i in range(0, len(CODE_POINTS), 4096)]


def by_tokenizers(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(c) for block in BLOCKS for piece, _ in split.pre_tokenize_str(block) for c in piece}


def by_tiktoken(pattern):
    encoding = tiktoken.Encoding("bytes", pat_str=pattern, mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={})
    return {ord(c) for block in BLOCKS for c in encoding.decode(encoding.encode_ordinary(block))}


for name, pattern in (("kLetters", r"\p{L}"), ("kNumbers", r"\p{N}"), ("kSpaces", r"\s")):
    members = by_tokenizers(pattern)
    assert members == by_tiktoken(pattern), f"the references differ on {pattern}"
    ranges = []
    for c in sorted(members):
        if ranges and ranges[-1][0] + ranges[-1][1] == c:
            ranges[-1][1] += 1
        else:
            ranges.append([c, 1])
    print(f"constexpr Range {name}[] = {{")
    line = "   "
    for first, count in ranges:
        item = f" {{0x{first:x}, {count}}},"
        if len(line) + len(item) > 130:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")
