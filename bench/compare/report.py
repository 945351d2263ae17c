#!/usr/bin/env python3
"""report.py DIRECTORY: the tables of docs/BENCHMARKS.md, from what measure.py left in DIRECTORY."""
import collections
import json
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import textwrap


def paragraph(text):
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


class Results:
    def __init__(self, directory):
        self.medians = collections.OrderedDict()  # (group, case, threads, contender): seconds
        self.rounds, self.memory, self.versions, self.machine, self.peaks = {}, {}, [], [], {}
        for path in sorted(pathlib.Path(directory).glob("*.jsonl")):
            for row in map(json.loads, path.read_text().splitlines()):
                self.add(path.stem, row)

    def add(self, section, row):
        if row["group"] == "memory":
            self.memory[row["contender"]] = row["bytes"]
        elif row["group"] == "version":
            if row["text"] not in self.versions:
                self.versions.append(row["text"])
        elif row["group"] == "machine":
            self.machine.append(row)
        elif row["group"] == "peak":
            self.peaks[row["threads"]] = row
        else:  # the accumulators and the steps have contenders in common, but were not measured side by side
            group = "accumulators" if section == "accumulators" else row["group"]
            self.medians[group, row["case"], row["threads"], row["contender"]] = statistics.median(row["seconds"])
            self.rounds[group] = len(row["seconds"])

    def cases(self, group):
        return list(dict.fromkeys(case for g, case, _, _ in self.medians if g == group))

    def threads(self, group):
        return sorted({threads for g, _, threads, _ in self.medians if g == group})

    def contenders(self, group):
        return list(dict.fromkeys(contender for g, _, _, contender in self.medians if g == group))

    def get(self, group, case, threads, contender):
        return self.medians.get((group, case, threads, contender))

    def best(self, group, case, threads, pattern):
        """Name and seconds of the fastest contender that the pattern matches."""
        found = [(s, c) for (g, a, t, c), s in self.medians.items() if (g, a, t) == (group, case, threads) and re.search(pattern, c)]
        return (lambda s, c: (c, s))(*min(found)) if found else (None, None)


def threads_text(n):
    return f"{n} thread{'s' * (n > 1)}"


def operations(case):
    m, n, k = map(int, re.match(r"(\d+)x(\d+)x(\d+)", case).groups())
    return 2.0 * m * n * k


class Targets:
    """Rows of the table of ratios. Whatever one of the two sides lacks a measurement is left out."""

    def __init__(self):
        self.rows = []

    def at_least(self, what, threads, ratio, target, note=""):
        self.rows.append([what, threads, f"{ratio:.2f}", f"≥ {target:g}", "pass" if ratio >= target else "miss" + note])

    def at_most(self, what, threads, ratio, target):
        self.rows.append([what, threads, f"{ratio:.2f}", f"≤ {target:g}", "pass" if ratio <= target else "miss"])


def product_targets(r, targets):
    for threads in r.threads("product"):
        for case in r.cases("product"):
            int8 = r.get("product", case, threads, "Ebb int8")
            name, rival = r.best("product", case, threads, "oneDNN s8")
            if rival:
                target = 3 if case.startswith("144x16") else 0.9
                above_peak = target * operations(case) / rival > r.peaks[threads]["int8"]
                note = " (the target is above the machine's peak)" if above_peak else ""
                targets.at_least(f"int8 product {case}: speed / {name}", threads, rival / int8, target, note)
        for case in r.cases("product"):
            int8, float32 = (r.get("product", case, threads, "Ebb " + kind) for kind in ("int8", "f32"))
            _, eigen = r.best("product", case, threads, "Eigen")
            if case in ("512x512x512", "1024x1024x1024", "2048x2048x2048"):
                targets.at_least(f"int8 product {case}: speed / Eigen f32", threads, eigen / int8, 4)
            targets.at_least(f"f32 product {case}: speed / Eigen f32", threads, eigen / float32, 1)


def encode_targets(r, targets):
    for threads in r.threads("encode"):
        copy = r.get("encode", "32 MB", threads, "memcpy")
        for rounding, target in (("nearest-even", 0.6), ("stochastic", 0.35)):
            seconds = r.get("encode", "32 MB", threads, f"Ebb int8 {rounding}")
            targets.at_least(f"fit + encode to int8, {rounding}: speed / memcpy", threads, copy / seconds, target)


def step_targets(r, targets):
    def seconds(threads, pattern):
        return r.best("step", "ResNet-20", threads, pattern)

    for threads in r.threads("step"):
        _, int8 = seconds(threads, "^Ebb 8/8$")
        _, float32 = seconds(threads, "^Ebb fp32$")
        for setting in (", as installed$", "(?<!installed)$"):
            torch, torch_seconds = seconds(threads, "^PyTorch float32.*" + setting)
            fake, fake_seconds = seconds(threads, "^PyTorch fake.*" + setting)
            if torch:
                targets.at_least(f"ResNet-20 step 8/8: speed / {torch}", threads, torch_seconds / int8, 3)
                targets.at_least(f"ResNet-20 step 8/8: speed / {fake}", threads, fake_seconds / int8, 5)
                targets.at_least(f"ResNet-20 step fp32: speed / {torch}", threads, torch_seconds / float32, 1)
        targets.at_least("ResNet-20 step 8/8: speed / fp32 plan", threads, float32 / int8, 2)
    if r.threads("step") == [1, 2]:
        targets.at_least("ResNet-20 step 8/8: 2 threads / 1 thread", 2, seconds(1, "^Ebb 8/8$")[1] / seconds(2, "^Ebb 8/8$")[1], 1.7)
    theirs = [size for name, size in r.memory.items() if name.startswith("PyTorch float32")]
    if theirs:
        targets.at_most("ResNet-20 step 8/8: peak memory / PyTorch float32", "", r.memory["Ebb 8/8"] / min(theirs), 0.4)


FAMILIES = {
    "LSTM": "One layer of 800 units, 20 streams of 35 tokens, 10,000 words, clipped SGD",
    "Transformer": "A decoder of 6 layers, 384 wide, 8 windows of 256 characters, AdamW",
    "GCN": "Three layers, 512 wide, 169,343 nodes and 1.2 million edges, Adam. Sums over neighbours are "
    "in float32, in PyTorch by torch.sparse.mm",
}


def family_targets(r, targets):
    """The better thread count of each side."""

    def best(case, pattern):
        found = [(*r.best("family", case, t, pattern), t) for t in r.threads("family")]
        return min(((seconds, name, t) for name, seconds, t in found if name), default=None)

    for case in r.cases("family"):
        ours = best(case, "^Ebb 8/8$")
        for pattern, target in (("^PyTorch float32", 2 if case == "GCN" else 3), ("^PyTorch fake", 4)):
            theirs = best(case, pattern)
            if ours and theirs:
                what = f"{case} step 8/8: speed / {theirs[1]}, {threads_text(theirs[2])}"
                targets.at_least(what, ours[2], theirs[0] / ours[0], target)


def accumulator_targets(r, targets):
    def time(batch, contender):
        return r.get("accumulators", "ResNet-20" + batch, 1, "Ebb " + contender)

    if not r.cases("accumulators"):
        return
    small = ", batch 16"
    targets.at_most("step 1/1 batch 16, sat16 (no sum can saturate): time / exact", 1, time(small, "1/1/sat16") / time(small, "1/1"), 1.5)
    targets.at_most("step 8/8, sat16 (sums can saturate): time / exact", 1, time("", "8/8/sat16") / time("", "8/8"), 10)
    targets.at_most("step 8/8, sat32: time / exact", 1, time("", "8/8/sat32") / time("", "8/8"), 1.5)
    targets.at_most("step 8/8, wrap16: time / exact", 1, time("", "8/8/wrap16") / time("", "8/8"), 1.05)


def bits_targets(r, targets):
    if not r.cases("bits"):
        return
    time = {case: r.get("bits", case, 1, f"Ebb {case}") for case in r.cases("bits")}
    int8, int16 = ([time[f"{n}/{n}"] for n in widths] for widths in (range(1, 9), range(9, 17)))
    targets.at_most("step in 1..8 bits, slowest: time / fastest of 9..16 bits", 1, max(int8) / min(int16), 1)
    targets.at_most("step in 9..16 bits, slowest: time / fp32", 1, max(int16) / time["fp32"], 1)


def product_tables(r):
    for threads in r.threads("product"):
        columns = r.contenders("product")
        rows = []
        for case in r.cases("product"):
            seconds = [r.get("product", case, threads, contender) for contender in columns]
            rows.append([case, *(f"{operations(case) / s / 1e9:.0f}" for s in seconds)])
        peak = r.peaks[threads]
        measured = (
            f"The machine's peak, measured in the same run: {peak['int8'] / 1e9:.0f} in int8 ({peak['int8_loop']}), "
            f"{peak['float'] / 1e9:.0f} in float32 ({peak['float_loop']})."
        )
        yield f"### Products, GOP/s, {threads_text(threads)}\n\n{paragraph(measured)}\n" + table(["m x n x k", *columns], rows)


def other_tables(r):
    threads = r.threads("encode")
    if threads:
        rows = [
            [name, *(f"{32 * 1048576 / 1e9 / r.get('encode', '32 MB', t, name):.1f}" for t in threads)] for name in r.contenders("encode")
        ]
        yield "### Fit and encode of 32 MB of float32, GB/s of input\n\n" + table(["", *map(threads_text, threads)], rows)
    threads = r.threads("step")
    if threads:
        rows = [
            [name, *(f"{1e3 * r.get('step', 'ResNet-20', t, name):.0f}" for t in threads), f"{r.memory[name] / 1e6:.0f}"]
            for name in r.contenders("step")
        ]
        header = ["ms a step", *map(threads_text, threads), "peak memory, MB"]
        yield "### ResNet-20 on CIFAR-shaped images, batch 128, one training step\n\n" + table(header, rows)
    for case in r.cases("family"):
        threads = [t for t in r.threads("family") if r.get("family", case, t, "Ebb 8/8")]
        names = [name for name in r.contenders("family") if r.get("family", case, threads[0], name)]
        rows = [[name, *(f"{1e3 * r.get('family', case, t, name):.0f}" for t in threads)] for name in names]
        what = paragraph(FAMILIES[case] + ".")
        yield f"### {case}, one training step\n\n{what}\n" + table(["ms a step", *map(threads_text, threads)], rows)
    if r.cases("accumulators"):
        rows = [[a, c, f"{1e3 * s:.0f}"] for (g, a, _, c), s in r.medians.items() if g == "accumulators"]
        yield "### Narrow accumulators, 1 thread\n\n" + table(["", "plan", "ms a step"], rows)
    if r.cases("bits"):
        rows = [[case, f"{1e3 * r.get('bits', case, 1, f'Ebb {case}'):.0f}"] for case in r.cases("bits")]
        yield "### The same step by width, 1 thread\n\n" + table(["forward/gradient bits", "ms a step"], rows)


def machine(r):
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    sections = ", ".join(f"{row['section']} at {row['commit']} ({row['others']:.2f})" for row in r.machine)
    dates = sorted({row["date"] for row in r.machine})
    yield f"Machine: {model.group(1) if model else platform.machine()}, Linux {platform.release()}; {compiler}."
    yield f"Versions: {'; '.join(r.versions)}. Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    yield f"Sections, each with its commit and the number of processors that other programs used: {sections}."


METHOD = (
    "**Method.** Ratios are of medians. For networks other than ResNet-20 they compare each side at "
    "its better number of threads. The two sides of a ratio alternate in one run: calls of some 10 ms "
    "for products and encodes; for training one step, after one that is not counted. There are 15 "
    "rounds where time allows. A contender that needs more than 5 s a step runs once.",
    "**Products** are of plain row-major matrices, into allocated memory. Ebb's include packing, "
    "zero-point compensation for a grid per column, and scaling to float32. oneDNN's end at int32 "
    "sums, by the faster of its two interfaces. Eigen is compiled with -O3 -march=native.",
    "**Steps.** Ebb's include making the batch (crop, mirror, normalise); PyTorch gets ready batches "
    "in its layout. Unless it says 'as installed', PyTorch has the allocator settings of Ebb's "
    "programs, with huge pages. Both hold eight batches of images; PyTorch's memory includes its "
    "libraries.",
)


def main():
    r, targets = Results(sys.argv[1]), Targets()
    if not r.machine:
        sys.exit(f"report.py: nothing has been measured in {sys.argv[1]}")
    for collect in (product_targets, encode_targets, step_targets, family_targets, accumulator_targets, bits_targets):
        collect(r, targets)
    print("# Benchmarks\n\nWritten by `bench/compare/run`; do not edit.\n")
    print("\n".join(map(paragraph, machine(r))))
    print("\n".join(map(paragraph, METHOD)))
    print("## Ratios\n\n" + table(["ratio", "threads", "measured", "target", ""], targets.rows))
    print("## Measurements\n\n" + "\n".join([*product_tables(r), *other_tables(r)]), end="")


main()
