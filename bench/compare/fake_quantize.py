"""An affine fake quantizer for PyTorch, after the published training code: weights on a grid for each output channel, inputs and output gradients on one
grid a tensor, all of 8 bits; gradients are rounded stochastically."""
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


def quantize_input(x, running=None):
    return Quantize.apply(x, 8, None, running)


def quantize_weight(w):
    return Quantize.apply(w, 8, 0, None)


def quantize_gradient(y):
    return QuantizeGradient.apply(y, 8)


class QuantizedConv(nn.Conv2d):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("running", torch.zeros(2))

    def forward(self, x):
        x, w = quantize_input(x, self.running), quantize_weight(self.weight)
        return quantize_gradient(functional.conv2d(x, w, None, self.stride, self.padding))


class QuantizedLinear(nn.Linear):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("running", torch.zeros(2))

    def forward(self, x):
        x, w = quantize_input(x, self.running), quantize_weight(self.weight)
        return quantize_gradient(functional.linear(x, w, self.bias))
