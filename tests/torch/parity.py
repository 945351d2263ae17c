#!/usr/bin/env python3
"""parity.py TORCH_EXPORT: recomputes what torch_export wrote with PyTorch. Networks in float64, so that only our own rounding is left;
the quantizer in float32, where codes and values must agree exactly. Exit code 77 where PyTorch is not installed."""
import json
import struct
import subprocess
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("PyTorch is not installed")
    sys.exit(77)

UNIT = 2.0**-24
TYPES = {"F32": torch.float32, "I64": torch.int64}


def export(what):
    data = subprocess.run([sys.argv[1], what], check=True, stdout=subprocess.PIPE).stdout
    (length,) = struct.unpack("<Q", data[:8])
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        raw = bytearray(data[8 + length + first : 8 + length + last])
        arrays[name] = torch.frombuffer(raw, dtype=TYPES[entry["dtype"]]).reshape(entry["shape"]).clone()
    return arrays


class Network:
    """Parameters by our names, as float64 leaves in our layouts (images and kernels channels-last)."""

    def __init__(self, arrays, name):
        self.arrays = {key[len(name) + 1 :]: value for key, value in arrays.items() if key.startswith(name + "/")}
        parameters = [key[len("gradient/") :] for key in self.arrays if key.startswith("gradient/")]
        self.leaves = {key: self.arrays["before/" + key].double().requires_grad_() for key in parameters}
        self.state = {}

    def conv(self, x, name, **options):
        bias = self.leaves.get(name + ".bias")
        return F.conv2d(x, self.leaves[name + ".weight"].permute(0, 3, 1, 2), bias, **options)

    def linear(self, x, name):
        return F.linear(x, self.leaves[name + ".weight"], self.leaves.get(name + ".bias"))

    def norm(self, x, name):
        mean, var = (self.arrays[f"before/{name}.running_{what}"].double() for what in ("mean", "var"))
        y = F.batch_norm(x, mean, var, self.leaves[name + ".scale"], self.leaves[name + ".shift"], training=True, momentum=0.1, eps=1e-5)
        self.state[name + ".running_mean"], self.state[name + ".running_var"] = mean, var
        return y

    def layer_norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.leaves[name + ".weight"], self.leaves[name + ".bias"], eps=1e-5)


def images(net):
    return net.arrays["images"].double().permute(0, 3, 1, 2)


def lenet5(net):
    x = F.max_pool2d(F.relu(net.conv(images(net), "conv1", padding=2)), 2)
    x = F.max_pool2d(F.relu(net.conv(x, "conv2")), 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    return net.linear(F.relu(net.linear(F.relu(net.linear(x, "fc1")), "fc2")), "fc3")


def resnet8(net):
    x = F.relu(net.norm(net.conv(images(net), "stem", padding=1), "stem_bn"))
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        block = f"stage{stage}.block1."
        y = F.relu(net.norm(net.conv(x, block + "conv1", stride=stride, padding=1), block + "bn1"))
        y = net.norm(net.conv(y, block + "conv2", padding=1), block + "bn2")
        if stride == 2:
            x = net.norm(net.conv(x, block + "shortcut", stride=2), block + "shortcut_bn")
        x = F.relu(x + y)
    return net.linear(x.mean((2, 3)), "classifier")


def lstm(net):
    """PyTorch's own nn.LSTM on our weights: gates in the order i, f, g, o, and one bias instead of two."""
    x = net.leaves["embedding.weight"][net.arrays["tokens"]].unflatten(0, (-1, 3))  # [time, streams, width]
    layers = sum(key.startswith("hidden") for key in net.arrays)
    for i in range(layers):
        name = f"lstm{i}"
        weights = [net.leaves[name + part] for part in (".input.weight", ".hidden.weight", ".input.bias")]
        state = [net.arrays[f"{what}{i}"].double()[None] for what in ("hidden", "cell")]
        zeros = torch.zeros_like(weights[2])
        x, h, c = torch._VF.lstm(x, state, [*weights, zeros], True, 1, 0.0, True, False, False)
        net.state[f"hidden{i}"], net.state[f"cell{i}"] = h[0], c[0]
    return net.linear(x.flatten(0, 1), "decoder")


def rotate(x):
    """x [rows, heads, time, d]: elements 2i, 2i + 1 as complex numbers, turned by time * 10000^(-2i/d)."""
    time, d = x.shape[-2:]
    angles = torch.arange(time)[:, None] * 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    turned = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2)


def decoder(net, heads=4):
    rows, rotary, tied = 2, "positions.weight" not in net.leaves, "head.weight" not in net.leaves
    x = net.leaves["tokens.weight"][net.arrays["tokens"]].unflatten(0, (rows, -1))  # [rows, time, width]
    if not rotary:
        x = x + net.leaves["positions.weight"]
    future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    for i in range(2):
        block = f"block{i}"
        qkv = net.linear(net.layer_norm(x, block + ".attention_norm"), block + ".attention.input")
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        if rotary:
            q, k = rotate(q), rotate(k)
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, -torch.inf)
        x = x + net.linear((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), block + ".attention.output")
        inner = net.linear(net.layer_norm(x, block + ".mlp_norm"), block + ".mlp.up")
        if rotary:  # that decoder has swiglu too
            a, b = inner.chunk(2, dim=-1)
            inner = F.silu(a) * b
        else:
            inner = F.gelu(inner, approximate="tanh")
        x = x + net.linear(inner, block + ".mlp.down")
    x = net.layer_norm(x, "last_norm").flatten(0, 1)
    return F.linear(x, net.leaves["tokens.weight"]) if tied else net.linear(x, "head")


def adjacency(net):
    """Dense, from the compressed rows."""
    starts, columns = net.arrays["starts"], net.arrays["columns"]
    matrix = torch.zeros(len(starts) - 1, len(starts) - 1, dtype=torch.float64)
    matrix[torch.repeat_interleave(torch.arange(len(matrix)), starts.diff()), columns] = 1
    return matrix


def gcn(net):
    a = adjacency(net)
    a += torch.eye(len(a))
    scale = a.sum(1).rsqrt()
    a, x = scale[:, None] * a * scale, net.arrays["features"].double()
    for i in (1, 2, 3):
        if i > 1:
            x = net.layer_norm(F.relu(x), f"layer{i - 1}.norm")
        bias = net.leaves.get(f"layer{i}.bias", net.leaves.get(f"layer{i}.linear.bias"))
        x = a @ x @ net.leaves[f"layer{i}.linear.weight"].T + bias
    return x


def sage(net):
    a, x = adjacency(net), net.arrays["features"].double()
    a /= a.sum(1, keepdim=True).clamp(min=1)
    for i in (1, 2):
        x = F.relu(x) if i > 1 else x
        x = net.linear(x, f"layer{i}.self") + net.linear(a @ x, f"layer{i}.neighbour")
    return x


def check(what, ours, theirs, bound):
    error = (ours.double() - theirs).abs().max() / theirs.abs().max()
    if not error <= bound:
        sys.exit(f"{what}: relative error {error:.3g}, allowed {bound:.3g}")
    return float(error)


def check_network(arrays, name, forward, products):
    """Each of the `products` between an output and the loss, and as many on the way back, is a chain of at most a few thousand fma whose
    rounding errors add up like a random walk: about sqrt(4096) units, of which the chain of layers may add up all."""
    bound = 2 * products * 4096**0.5 * UNIT
    net = Network(arrays, name)
    logits = forward(net)
    loss = F.cross_entropy(logits, net.arrays["labels"])
    loss.backward()
    errors = [check(f"{name} logits", net.arrays["logits"], logits.detach(), bound), check(f"{name} loss", net.arrays["loss"], loss.detach(), bound)]
    for key, leaf in net.leaves.items():
        errors.append(check(f"{name} gradient of {key}", net.arrays["gradient/" + key], leaf.grad, bound))
    for key, value in net.state.items():
        errors.append(check(f"{name} {key}", net.arrays["after/" + key], value, bound))
    print(f"{name}: {len(errors)} arrays agree, worst relative error {max(errors):.2g} of {bound:.2g}")


def check_quantizer(arrays):
    x = arrays["x"]
    for bits in range(1, 17):
        levels = 2**bits - 1
        offset = x.min()
        scale = torch.clamp((x.max() - offset) / levels, min=1e-8)
        codes = torch.clamp((x - offset) / scale, 0, levels).round()  # half to even
        if not torch.equal(codes.long(), arrays[f"codes/{bits}"]):
            sys.exit(f"codes of {bits} bits differ")
        if not torch.equal(codes * scale + offset, arrays[f"values/{bits}"]):
            sys.exit(f"decoded values of {bits} bits differ")
    print("quantizer: codes and values of 1 to 16 bits are equal")


torch.set_num_threads(1)
networks = export("networks")
check_network(networks, "lenet5", lenet5, products=5)
check_network(networks, "resnet8", resnet8, products=8)
check_network(networks, "lstm of 1 layer", lstm, products=9)  # of the window's 7 steps, one after the other, input and decoder
check_network(networks, "lstm of 2 layers", lstm, products=17)
check_network(networks, "decoder with learned positions", decoder, products=13)  # 6 a block, and the head
check_network(networks, "decoder with rotary positions", decoder, products=13)
check_network(networks, "gcn", gcn, products=6)  # the sums count as products
check_network(networks, "sage", sage, products=4)
check_quantizer(export("quantizer"))
