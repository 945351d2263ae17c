#!/usr/bin/env python3
"""Training steps in PyTorch: the rival of step.cpp, and the same protocol.

step.py NETWORK VARIANT BATCH reads "STEPS THREADS" lines from standard input and answers each with the seconds of every step; "memory" gets
the peak resident set in bytes, and "version" says what runs. NETWORK is one of networks.py; VARIANT names what is not plain float32. Data are
ready-made tensors in the variant's layout: loading costs nothing.
"""
import pathlib
import resource
import sys
import time

import networks
import torch


def blas():
    """The folder of the BLAS that PyTorch multiplies with where it is one of Debian's alternatives, such as openblas-openmp; else ''."""
    paths = (pathlib.Path(line.split()[-1]) for line in pathlib.Path("/proc/self/maps").read_text().splitlines() if "libblas.so" in line)
    return next((path.parent.name for path in paths), "")


def main():
    name, variant, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if blas() == "blas":
        sys.exit("step.py: PyTorch would multiply with the reference BLAS, some ten times slower than others: apt-get install libopenblas0-openmp")
    torch.manual_seed(1)
    layout = {"channels_last": "channels-last" in variant, "bf16": "bf16" in variant} if name == "resnet20" else {}
    network, optimizer, loss_of = getattr(networks, name)("fake" in variant, batch, **layout)

    def step(t):
        loss = loss_of(t)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if name == "lstm":
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.25)
        optimizer.step()
        return loss.item()

    t = 0
    for line in sys.stdin:
        words = line.split()
        if words == ["version"]:
            print("PyTorch", torch.__version__, f"with {blas()}" if blas() else "", flush=True)
        elif words == ["memory"]:
            print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
        else:
            torch.set_num_threads(int(words[1]))
            seconds = []
            for _ in range(int(words[0])):
                begun = time.perf_counter()
                step(t)
                seconds.append(time.perf_counter() - begun)
                t += 1
            print(*seconds, flush=True)


main()
