"""Trains two small byte-level byte-pair vocabularies and writes what the reference makes of a list of awkward strings.

usage: make_goldens.py TEXT_FILE      (made with tokenizers 0.23.3 on the plays of tinyshakespeare)

byte_pair/vocab.json, merges.txt   the pattern of GPT-2, no added tokens
byte_pair.json                     the same as a tokenizer.json, with <|endoftext|> as an added token
qwen2_style.json                   the same merges under the pattern of Qwen 2 with NFC and other added tokens
goldens.json                       [{"hex": the input's bytes, "byte_pair": ids, "added": ids, "qwen2_style": ids}]
"""
import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")

STRINGS = [
    "", "a", " ", "Hello world", " Hello  world ", "I'm you're he's we'd they'll I've can't o'clock", "I'M YOU'RE 'S's 's '' 'sss", "'\u017f '\u017fun",
    "one\ntwo\r\nthree\n\n\nfour\r\n\r\n", "tabs\t\tand  spaces   \n   next", " " * 300, "x" + " " * 77 + "y", "\n" * 50 + " end",
    "no-break\u00a0space\u00a0\u00a0here", "line\u2028separator\u2029paragraph", "ideographic\u3000space", "next\u0085line", "ogham\u1680space",
    "mongolian\u180eseparator a\u180e", "zero\u200bwidth\ufeffmark", "\x1c\x1d\x1e\x1f file separators", "nul\x00byte\x00\x00",
    "日本語のテキスト。これはテストです。", "中文字符 和 空格", "한국어 문장입니다", "नमस्ते दुनिया", "العربية نص ١٢٣", "עברית", "ไทยไม่มีช่องว่าง",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈", "🇩🇪🇫🇷", "👍🏽 skin", "e\u0301 e\u0300\u0323 a\u030a \u00e9 \u212b", "\u1100\u1161\u11a8 \uac01", "ﬁ ligature ½ ² Ⅷ ٣ ₂",
    "1234567 12.5 1,000,000 0x1F 3rd", "a_b-c...d!!! ((nested)) {x: [1]}", "https://example.org/?q=1&r=%20", "\u0378\u0379 unassigned \U0003ffff",
    "\u0cdc\u1c89\ua7cb new letters \U00010d4e", "\U00011de0\U00010d40 new numbers", "\u0897 \u2e5d \U0001fae9 new others", "\ufffd replacement",
    "<|endoftext|>", "a<|endoftext|>b <|endoftext|><|endoftext|>", "<|endoftext", "<tool>x</tool><tool>", "ab  cd    ef", "\ud7ff\ue000\uffff\U0010ffff",
    "supercalifragilisticexpialidocious" * 8, "ab" * 500, "'" * 40, "-" * 100 + "=" * 100,
    b"\xff", b"a\xffb", b"\xc3", b"caf\xc3", b"\xc3\x28", b"\xe2\x82", b"\xe2\x82 x", b"\xe2\x28\xa1", b"\xf0\x9f\x98", b"\xf0\x9f\x98 \xf0\x9f",
    b"\xed\xa0\x80 surrogate \xed\xbf\xbf", b"\xc0\x80 overlong \xe0\x80\x80 \xf0\x80\x80\x80", b"\xf4\x90\x80\x80 \xf5\x80", b"\x80\x81\x82", b"ok \xfe\xfe end\xe3\x81",
]


def byte_level(merges_from, vocabulary, prefix=False):
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges_from))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def main():
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    other = "\n".join(s for s in STRINGS if isinstance(s, str) and s.isprintable() and "<" not in s)
    trained = byte_level([], {})
    trained.train_from_iterator([text, other * 40], trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(trained.to_str())["model"]
    vocabulary, merges = model["vocab"], [tuple(m) for m in model["merges"]]

    (HERE / "byte_pair").mkdir(exist_ok=True)
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    (HERE / "byte_pair/vocab.json").write_text(dump(vocabulary), encoding="utf-8")
    (HERE / "byte_pair/merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")

    plain = byte_level(merges, vocabulary)
    added = byte_level(merges, vocabulary)
    added.add_special_tokens([AddedToken("<|endoftext|>", normalized=False, special=True)])
    qwen2 = byte_level(merges, vocabulary)
    qwen2.normalizer = normalizers.NFC()
    qwen2.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    qwen2.add_special_tokens([AddedToken("<|endoftext|>", normalized=False, special=True)])
    qwen2.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("  ", normalized=True), AddedToken("<tool>x", normalized=False)])
    (HERE / "byte_pair.json").write_text(dump(json.loads(added.to_str())), encoding="utf-8")
    (HERE / "qwen2_style.json").write_text(dump(json.loads(qwen2.to_str())), encoding="utf-8")

    with open(HERE / "goldens.json", "w", encoding="utf-8") as file:
        lines = []
        for item in STRINGS:
            raw = item if isinstance(item, bytes) else item.encode("utf-8")
            seen = raw.decode("utf-8", errors="replace")
            ids = {name: t.encode(seen, add_special_tokens=False).ids for name, t in (("byte_pair", plain), ("added", added), ("qwen2_style", qwen2))}
            lines.append(json.dumps({"hex": raw.hex(), **ids}, separators=(",", ":")))
        file.write("[\n" + ",\n".join(lines) + "\n]\n")


main()
