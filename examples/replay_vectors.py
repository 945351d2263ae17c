#!/usr/bin/env python3
"""replay_vectors.py FOLDER...: does the products of `ebb dump` again, from their definition.

A second implementation to start from: nothing of Ebb is used, only NumPy. Exit code 1 if a bit
differs. docs/HARDWARE.md says what the arrays are.
"""
import json
import os
import sys

try:
    import numpy as np
except ImportError:
    print("replay_vectors.py needs NumPy", file=sys.stderr)
    sys.exit(77)


def read(folder, name):
    """An array from its .npy file, which its .hex file must repeat, bit for bit."""
    array = np.load(os.path.join(folder, name + ".npy"))
    with open(os.path.join(folder, name + ".hex"), encoding="ascii") as file:
        heading = file.readline()
        words = file.read().split()
    bits = int(heading.split(",")[-2].split()[0])
    unsigned = np.array([int(word, 16) for word in words], dtype=np.uint64)
    own = array.ravel().view(f"u{array.itemsize}").astype(np.uint64) & np.uint64(2**bits - 1)
    if not np.array_equal(unsigned, own):
        raise ValueError(f"{name}.hex is not {name}.npy")
    return array


def saturated(a, b, valid, bits):
    """Sums in a register that clips every product and every sum, k ascending."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    sums = np.zeros((a.shape[0], b.shape[1]), np.int64)
    events = 0
    for k in range(a.shape[1]):
        products = a[:, k, None] * b[None, k, :]
        clipped = np.clip(products, low, high)
        added = sums + clipped
        held = np.clip(added, low, high)
        counts = (clipped != products).astype(int) + (held != added)
        events += int(counts[valid[:, k]].sum())
        sums = np.where(valid[:, k, None], held, sums)
    return sums, events


def wrapped(exact, bits):
    """Sums modulo 2^bits as two's complement, and how often they went round."""
    turn = 2**bits
    kept = (exact + turn // 2) % turn - turn // 2
    return kept, int((np.abs(exact - kept) // turn).sum())


def exact_product(a, b):
    """float64, in which matrix products are fast, holds every partial sum: 2^53 is above 2^30 k."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def replay(folder):
    """The first thing that differs, or nothing."""
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    a, b = read(folder, "left").astype(np.int64), read(folder, "right").astype(np.int64)
    valid = np.ones(a.shape, bool)
    if manifest["padded"]:
        valid = read(folder, "left_valid") != 0
    a = np.where(valid, a, 0)

    accumulator, events = manifest["accumulator"], 0
    sums = exact_product(a, b)
    if accumulator.startswith("wrap"):
        sums, events = wrapped(sums, int(accumulator[4:]))
    elif accumulator.startswith("sat"):
        sums, events = saturated(a, b, valid, int(accumulator[3:]))
    if not np.array_equal(sums, read(folder, "accumulators")):
        return "accumulators differ"
    if events != manifest["overflow_events"]:
        return f"{events} overflow events, the manifest has {manifest['overflow_events']}"

    # One number for the matrix, or one for each row of the left and column of the right operand.
    sa = read(folder, "left_scales").astype(np.float64)[:, None]
    za = read(folder, "left_zeros")[:, None]
    sb = read(folder, "right_scales").astype(np.float64)[None, :]
    zb = read(folder, "right_zeros")[None, :]
    row_sums = a.sum(axis=1).astype(np.float64)[:, None]
    column_sums = exact_product(valid, b).astype(np.float64)
    count = valid.sum(axis=1).astype(np.float64)[:, None]
    products = (sa * sb) * sums.astype(np.float64) + (sa * zb) * row_sums
    offsets = (za * sb) * column_sums + (za * zb) * count
    values = products + offsets
    if manifest["factors"]:
        values = read(folder, "factors").astype(np.float64)[:, None] * values
    outputs = values.astype(np.float32)
    expected = read(folder, "outputs")
    if not np.array_equal(outputs.view(np.uint32), expected.view(np.uint32)):
        return f"{(outputs.view(np.uint32) != expected.view(np.uint32)).sum()} outputs differ"
    return None


def main(folders):
    """The number of folders that differ, at most 1."""
    failed = 0
    for folder in folders:
        try:
            difference = replay(folder)
        except (OSError, ValueError, KeyError, IndexError) as error:
            difference = str(error)
        print(f"{folder}: {difference or 'the same, bit for bit'}")
        failed |= difference is not None
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))
