"""packed.py EBB FORMAT PLAIN PACKED BACK: reads the layout of docs/FORMATS.md by itself. The codes in PACKED, and the values that
came BACK from importing it, are what `ebb quantize` prints for the weights in PLAIN."""
import json
import struct
import subprocess
import sys

ebb, name, *files = sys.argv[1:]


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    metadata = header.pop("__metadata__", {})
    return metadata, {key: (e["dtype"], e["shape"], body[slice(*e["data_offsets"])]) for key, e in header.items()}


def floats(tensor):
    assert tensor[0] == "F32"
    return struct.unpack("<%df" % (len(tensor[2]) // 4), tensor[2])


def write_npy(path, rows, cols, data):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (rows, cols)
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


(_, plain), (metadata, packed), (_, back) = map(read, files)
assert metadata["packed"] == "1" and metadata["format"] == name, metadata
weights = [key[: -len(".codes")] for key in packed if key.endswith(".codes")]
assert sorted(weights) == ["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"], weights  # the last stays in float32
width = {"e4m3": 8, "e5m2": 8, "e3m2": 6, "e2m1": 4, "bf16": 16, "posit8": 8, "posit16": 16, "int4": 4, "int3": 3, "mxfp4": 4,
         "mxfp6": 6, "mxint8": 8, "nvfp4": 4, "msfp12": 4}[name]
for weight in weights[:2] + weights[-1:]:
    _, shape, data = plain[weight]
    assert list(struct.unpack("<%dq" % len(shape), packed[weight + ".shape"][2])) == shape
    rows = shape[0]
    cols = len(data) // 4 // rows
    write_npy("weight.npy", rows, cols, data)
    shared = ["--scale", "absmax", "--per", "row"] if name[0] == "e" else ["--per", "row"] if name[:3] == "int" else []
    lines = subprocess.run([ebb, "quantize", "--format", name, *shared, "weight.npy"], capture_output=True, check=True,
                           text=True).stdout.splitlines()[1:]
    dtype, extents, codes = packed[weight + ".codes"]
    bytes_a_row = (cols * width + 7) // 8
    assert dtype == "U8" and extents == [rows, bytes_a_row], extents
    values = floats(back[weight])
    for i in range(rows):
        row = int.from_bytes(codes[i * bytes_a_row : (i + 1) * bytes_a_row], "little")
        for j in range(cols):
            _, code, value, *_ = lines[i * cols + j].split("\t")
            assert row >> (j * width) & (1 << width) - 1 == int(code, 0), (weight, i, j, code)
            same = struct.pack("<f", values[i * cols + j]) == struct.pack("<f", float.fromhex(value))
            assert same, (weight, i, j, value, values[i * cols + j])
