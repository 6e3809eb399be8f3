#!/usr/bin/env python3
"""The tables of run.py: ratios, and what each program did.

    tests/bench/gpu/report.py A.json B.json --out README.md --details DETAILS.md

puts several sittings, each told by run.py --json, into one pair of tables; a file's table goes between its two marks, if it has them.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

from workloads import NAMES, bar

RATIOS = ("| workload | beside | Lacuna, median | the other, median | ratio of medians (least–greatest) | asked | met |\n"
          "|---|---|---|---|---|---|---|")
DETAILS = ("| workload | program | tok/s, median (least–greatest) | ms a step | SM MHz | W | °C | GiB |\n"
           "|---|---|---|---|---|---|---|---|")
MARKS = "<!-- table -->\n", "<!-- end of table -->"


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class Report:
    def __init__(self, heading=""):
        self.heading, self.ratios, self.details = heading, [], []

    def ratio(self, workload, peer, unit, ours, theirs, smaller_is_better=False, inverted=False):
        """`inverted`: the ratio is the peer's over ours, which is how times are told."""
        pairs = [(b / a if inverted else a / b) for a, b in zip(ours, theirs)]
        middle = statistics.median(ours) / statistics.median(theirs)
        middle = 1 / middle if inverted else middle
        asked = bar(workload, peer)
        met = "" if asked is None else "yes" if (middle <= asked if smaller_is_better else middle >= asked) else "no"
        asked = "" if asked is None else f"{'≤' if smaller_is_better else '≥'} {asked}"
        figures = f"{number(statistics.median(ours))} {unit} | {number(statistics.median(theirs))} {unit}"
        ratio = f"**{middle:.3f}** ({min(pairs):.3f}–{max(pairs):.3f})"
        self.add(f"| {workload} | {NAMES[peer]} | {figures} | {ratio} | {asked} | {met} |")

    def absent(self, workload, peer, why):
        why = " ".join(why.split()).replace("|", "/")
        self.add(f"| {workload} | {NAMES[peer]} | | | not measured: {why} | | |")

    def add(self, line):
        self.ratios.append(line)
        say(line)

    def contestant(self, workload, name, windows, memory):
        rates = [w["tokens_per_second"] for w in windows]
        clocks = [f"{statistics.median(v):.0f}" if (v := [w[k] for w in windows if w[k] is not None]) else ""
                  for k in ("sm_mhz", "watts", "celsius")]
        gib = f"{memory / 2**30:.1f}" if memory else ""
        rate = f"{number(statistics.median(rates))} ({number(min(rates))}–{number(max(rates))})"
        milliseconds = statistics.median(w["milliseconds"] for w in windows)
        self.details.append(f"| {workload} | {NAMES[name]} | {rate} | {milliseconds:.2f} | {' | '.join(clocks)} | {gib} |")
        say(self.details[-1])


def ratios(headings, lines):
    return "\n".join([*headings, "", RATIOS, *lines, ""])


def details(lines):
    return "\n".join([DETAILS, *lines, ""]) if lines else ""


def write_table(path, text):
    """Between the two marks of a file that has them, such as README.md; else as a file of its own."""
    begin, end = MARKS
    old = path.read_text() if path.exists() else ""
    if begin in old and end in old:
        text = old[: old.index(begin) + len(begin)] + text + old[old.index(end) :]
    path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sittings", nargs="+", type=pathlib.Path, help="what run.py --json wrote")
    parser.add_argument("--out", type=pathlib.Path, help="file of the ratios; without it they are printed")
    parser.add_argument("--details", type=pathlib.Path, help="file of what each program did")
    a = parser.parse_args()
    read = [json.loads(path.read_text()) for path in a.sittings]
    workloads = [", ".join(dict.fromkeys(line.split("|")[1].strip() for line in one["ratios"])) for one in read]
    headings = [f"- {names}: {one['heading']}" if len(read) > 1 else one["heading"] for names, one in zip(workloads, read)]
    texts = (ratios(headings, [line for one in read for line in one["ratios"]]),
             details([line for one in read for line in one["details"]]))
    for path, text in zip((a.out, a.details), texts):
        if path:
            write_table(path, text)
        else:
            print(text)


if __name__ == "__main__":
    main()
