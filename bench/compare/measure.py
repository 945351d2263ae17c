#!/usr/bin/env python3
"""measure.py SECTION DIRECTORY [--anyway]: runs one section with the programs in DIRECTORY, and writes SECTION.jsonl there.

One JSON object a line: {"group", "case", "threads", "contender", "seconds": [...]}, or {"group": "memory", "contender", "bytes"}, or
{"group": "machine", ...}. Training steps run in a process for each contender. All of them stay alive and take turns, so that
whatever else the machine does meets them alike.
"""
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
ROUNDS = 15
SECONDS = 25  # for a set of turns, once there are MIN_ROUNDS
MIN_ROUNDS = 3
SLOW = 5  # seconds of a step that runs once
MOST_DISTURBED = 0.05  # share of the machine that other programs may take
THREADS = [n for n in (1, 2) if n <= os.cpu_count()]

# Memory stays with the program between steps, in huge pages, as Ebb's programs arrange for themselves; PyTorch is faster with it too.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


class Contender:
    """A process that does training steps on request."""

    def __init__(self, name, case, command, environment=None):
        self.name, self.case = name, case
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **(environment or {})})

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended early")
        return answer.strip()

    def step(self, threads):
        return float(self.ask(f"1 {threads}"))

    def settled_step(self, threads):
        """The second of two steps, as in training: the first finds caches and sleeping threads as another contender left them."""
        first = self.step(threads)
        return first if first > SLOW else self.step(threads)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ebb(directory, plan, batch=128, network="resnet20", case=None):
    case = case or ("ResNet-20" if batch == 128 else f"ResNet-20, batch {batch}")
    return Contender(f"Ebb {plan}", case, [directory / "compare_step", network, plan, str(batch)])


def pytorch(variant, batch=128, network="resnet20", case="ResNet-20", as_installed=False):
    name, environment = (f"PyTorch {variant}, as installed", None) if as_installed else (f"PyTorch {variant}", MEMORY)
    return Contender(name, case, ["/usr/bin/python3", HERE / "step.py", network, variant, str(batch)], environment)


def has_pytorch():
    return subprocess.run(["/usr/bin/python3", "-c", "import torch"], capture_output=True).returncode == 0


def take_turns(turns, write, warm_up=1, seconds=SECONDS):
    """Calls the turns in order, round by round, and writes what each returned: `turns` maps the fields of a row to a function. The last of
    `warm_up` laps counts for turns that are slow even then."""
    laps = [[turn() for _, turn in turns] for _ in range(warm_up)][-1:]
    slow = [lap > SLOW for lap in laps[0]]  # these ran long enough for one lap to count
    begun = time.monotonic()
    while len(laps) - 1 < ROUNDS and (len(laps) - 1 < MIN_ROUNDS or time.monotonic() - begun < seconds):
        laps.append([lap if once else turn() for (_, turn), lap, once in zip(turns, laps[0], slow)])
    for i, (fields, _) in enumerate(turns):
        write(**fields, seconds=[lap[i] for lap in (laps[:1] if slow[i] else laps[1:])])


def step_turns(contenders, threads):
    return [
        (
            {"group": "step", "case": contender.case, "threads": threads, "contender": contender.name},
            lambda contender=contender: contender.settled_step(threads),
        )
        for contender in contenders
    ]


def products(directory, write):
    for threads in THREADS:
        command = [directory / "compare_products", str(threads), str(ROUNDS)]
        for line in subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
            write(**json.loads(line))


def steps(directory, write):
    contenders = [ebb(directory, "8/8"), ebb(directory, "fp32")]
    if has_pytorch():
        variants = ["float32", "float32 channels-last", "bf16 autocast channels-last", "fake quantization"]
        contenders += map(pytorch, variants + ["fake quantization channels-last"])
        contenders += [pytorch(f"{variant} channels-last", as_installed=True) for variant in ("float32", "fake quantization")]
    for threads in THREADS:
        take_turns(step_turns(contenders, threads), write, seconds=5 * SECONDS)
    for contender in contenders:
        write(group="memory", contender=contender.name, bytes=int(contender.ask("memory")))
        write(group="version", text=contender.ask("version"))
        contender.close()


def family(network, case, batch, variants):
    """A section of another family of networks: memory is not compared there."""

    def measure(directory, write):
        contenders = [ebb(directory, plan, batch, network, case) for plan in ("8/8", "fp32")]
        if has_pytorch():
            contenders += [pytorch(variant, batch, network, case) for variant in variants]
        for threads in THREADS if network != "gcn" else THREADS[-1:]:
            take_turns(step_turns(contenders, threads), lambda **row: write(**{**row, "group": "family"}), warm_up=3, seconds=3 * SECONDS)
        for contender in contenders:
            write(group="version", text=contender.ask("version"))
            contender.close()

    return measure


def accumulators(directory, write):
    contenders = [ebb(directory, plan) for plan in ("8/8", "8/8/wrap16", "8/8/sat32", "8/8/sat16")]
    # 1-bit codes are 0 and -1, and a batch of 16 contracts at most 16 x 32 x 32 of their products: no 16-bit sum can overflow.
    contenders += [ebb(directory, plan, 16) for plan in ("1/1", "1/1/sat16")]
    take_turns(step_turns(contenders, 1), write)
    for contender in contenders:
        contender.close()


def bits(directory, write):
    contender = ebb(directory, "8/8")

    def turn(plan):
        contender.ask(f"plan {plan}")
        return contender.settled_step(1)

    plans = [f"{n}/{n}" for n in range(1, 17)] + ["fp32"]
    turns = [({"group": "bits", "case": p, "threads": 1, "contender": f"Ebb {p}"}, lambda p=p: turn(p)) for p in plans]
    take_turns(turns, write)
    contender.close()


SECTIONS = {
    "products": products,
    "steps": steps,
    "accumulators": accumulators,
    "bits": bits,
    "lstm": family("lstm", "LSTM", 20, ["float32", "fake quantization"]),
    "transformer": family("transformer", "Transformer", 8, ["float32", "fake quantization"]),
    "graph": family("gcn", "GCN", 1, ["float32"]),
}


def cpu_seconds():
    """Busy seconds of all processors since the machine started, and of this process with all its children."""
    user, nice, system, _, _, irq, soft_irq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    busy = (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return busy, sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main():
    section, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    measure = SECTIONS[section]
    lines = []
    begun, (busy, own) = time.monotonic(), cpu_seconds()
    measure(directory, lambda **row: lines.append(json.dumps(row)))
    (busy_after, own_after), elapsed = cpu_seconds(), time.monotonic() - begun
    others = max(0.0, (busy_after - busy) - (own_after - own)) / elapsed
    print(f"{section}: {elapsed:.0f} s; other programs kept {others:.2f} processors busy", file=sys.stderr)
    if others > MOST_DISTURBED * os.cpu_count() and "--anyway" not in sys.argv:
        sys.exit("That is too much for a comparison; nothing was written.")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    machine = {"section": section, "date": time.strftime("%Y-%m-%d"), "commit": commit or "unknown", "others": others}
    lines.append(json.dumps({"group": "machine", **machine}))
    (directory / f"{section}.jsonl").write_text("\n".join(lines) + "\n")


main()
