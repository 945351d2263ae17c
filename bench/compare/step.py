#!/usr/bin/env python3
"""One training step of the CIFAR ResNet-20 in PyTorch: the rival of step.cpp, and the same protocol.

step.py VARIANT BATCH reads "STEPS THREADS" lines from standard input and answers each with the seconds of every step; "memory" gets the
peak resident set in bytes, and "version" says what runs. Batches are ready-made tensors in the variant's layout: loading costs nothing.
"""
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional


def fake_quantize(x, bits, axis=None, noise=None):
    """x on the 2^bits levels of its range min .. max, over the whole tensor or for each index of `axis`; decoded to float32 again."""
    levels = 2**bits - 1
    if axis is None:
        zero, high = torch.aminmax(x)
    else:
        zero, high = (v.view(-1, *[1] * (x.dim() - 1)) for v in torch.aminmax(x.flatten(1), dim=1))
    scale = ((high - zero) / levels).clamp_(min=1e-8)
    code = (x - zero).div_(scale)
    if noise is not None:
        code.add_(noise)
    return code.clamp_(0, levels).round_().mul_(scale).add_(zero), zero, high - zero


class Quantize(torch.autograd.Function):
    """Nearest-even forward, straight through backward."""

    @staticmethod
    def forward(ctx, x, bits, axis, running):
        decoded, zero, width = fake_quantize(x, bits, axis)
        if running is not None:
            running.mul_(0.9).add_(0.1 * torch.stack((zero, width)))
        return decoded

    @staticmethod
    def backward(ctx, g):
        return g, None, None, None


class QuantizeGradient(torch.autograd.Function):
    """Nothing forward, stochastic rounding backward."""

    @staticmethod
    def forward(ctx, y, bits):
        ctx.bits = bits
        return y.view_as(y)

    @staticmethod
    def backward(ctx, g):
        return fake_quantize(g, ctx.bits, noise=torch.empty_like(g).uniform_(-0.5, 0.5))[0], None


class QuantizedConv(nn.Conv2d):
    """Weights on a grid for each output channel, input and output gradient on one grid a tensor, all of 8 bits."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("running", torch.zeros(2))

    def forward(self, x):
        x = Quantize.apply(x, 8, None, self.running)
        w = Quantize.apply(self.weight, 8, 0, None)
        return QuantizeGradient.apply(functional.conv2d(x, w, None, self.stride, self.padding), 8)


class Block(nn.Module):
    def __init__(self, conv, inner, outer, stride):
        super().__init__()
        self.conv1 = conv(inner, outer, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outer)
        self.conv2 = conv(outer, outer, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outer)
        self.around = nn.Identity()
        if stride != 1 or inner != outer:
            self.around = nn.Sequential(conv(inner, outer, 1, stride=stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        y += self.around(x)
        return functional.relu(y, inplace=True)


def resnet20(conv):
    widths = [16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [Block(conv, a, b, 1 if a == b else 2) for a, b in zip([16] + widths, widths)]
    stem = [conv(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def main():
    variant, batch = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(1)
    layout = torch.channels_last if "channels-last" in variant else torch.contiguous_format
    network = resnet20(QuantizedConv if "fake" in variant else nn.Conv2d).to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    batches = [(torch.randn(batch, 3, 32, 32).to(memory_format=layout), torch.randint(10, (batch,))) for _ in range(8)]

    def step(t):
        images, labels = batches[t % len(batches)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled="bf16" in variant):
            loss = functional.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    t = 0
    for line in sys.stdin:
        words = line.split()
        if words == ["version"]:
            print("PyTorch", torch.__version__, flush=True)
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
