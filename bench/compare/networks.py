"""The networks of bench/steps.cpp in PyTorch, in float32 or with fake quantization. Each function returns (module, optimizer, loss), where loss(t) is
that of step t on ready-made data."""
import torch
from fake_quantize import QuantizedConv, QuantizedLinear, quantize_gradient, quantize_input, quantize_weight
from torch import nn
from torch.nn import functional


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


def resnet20_layers(conv):
    widths = [16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [Block(conv, a, b, 1 if a == b else 2) for a, b in zip([16] + widths, widths)]
    stem = [conv(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def resnet20(fake, batch, channels_last=False, bf16=False):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = resnet20_layers(QuantizedConv if fake else nn.Conv2d).to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    batches = [(torch.randn(batch, 3, 32, 32).to(memory_format=layout), torch.randint(10, (batch,))) for _ in range(8)]

    def loss(t):
        images, labels = batches[t % len(batches)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            return functional.cross_entropy(network(images), labels)

    return network, optimizer, loss


class QuantizedLstm(nn.LSTM):
    """One layer. The input product is one for all times, as in nn.LSTM; the hidden one needs the codes of the state before it."""

    def forward(self, x, state):
        h, c = state[0][0], state[1][0]
        from_input = quantize_gradient(functional.linear(quantize_input(x), quantize_weight(self.weight_ih_l0), self.bias_ih_l0 + self.bias_hh_l0))
        w = quantize_weight(self.weight_hh_l0)
        outputs = []
        for z in from_input:
            i, f, g, o = (z + quantize_gradient(functional.linear(quantize_input(h), w))).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h[None], c[None])


class LanguageLstm(nn.Module):
    def __init__(self, fake, words=10_000, units=800):
        super().__init__()
        self.embedding = nn.Embedding(words, units)
        self.lstm = (QuantizedLstm if fake else nn.LSTM)(units, units)
        self.decoder = (QuantizedLinear if fake else nn.Linear)(units, words)

    def forward(self, tokens, state):
        x, state = self.lstm(functional.dropout(self.embedding(tokens), 0.5), state)
        return self.decoder(functional.dropout(x, 0.5)), state


def lstm(fake, batch):
    network = LanguageLstm(fake)
    optimizer = torch.optim.SGD(network.parameters(), lr=1)
    text = torch.randint(10_000, (100 * 35 + 1, batch))
    state = [torch.zeros(1, batch, 800), torch.zeros(1, batch, 800)]

    def loss(t):
        first = t % 100 * 35
        logits, after = network(text[first : first + 35], tuple(state))
        state[:] = [s.detach() for s in after]
        return functional.cross_entropy(logits.flatten(0, 1), text[first + 1 : first + 36].flatten())

    return network, optimizer, loss


class TransformerBlock(nn.Module):
    def __init__(self, fake, width, heads):
        super().__init__()
        linear = QuantizedLinear if fake else nn.Linear
        self.fake, self.heads = fake, heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.input, self.output = linear(width, 3 * width), linear(width, width)
        self.up, self.down = linear(width, 4 * width), linear(4 * width, width)

    def forward(self, x, future):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.input(self.norm1(x)).chunk(3, -1))
        if self.fake:
            q, k, v = map(quantize_input, (q, k, v))
        scores = q @ k.mT
        if self.fake:
            scores = quantize_gradient(scores)
        p = (scores * q.shape[-1] ** -0.5 + future).softmax(-1)
        y = quantize_gradient(quantize_input(p) @ v) if self.fake else p @ v
        x = x + self.output(y.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Decoder(nn.Module):
    def __init__(self, fake, characters=65, layers=6, width=384, heads=6, length=256):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(characters, width), nn.Parameter(torch.randn(length, width))
        self.blocks = nn.ModuleList(TransformerBlock(fake, width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), (QuantizedLinear if fake else nn.Linear)(width, characters, bias=False)
        self.register_buffer("future", torch.full((length, length), -torch.inf).triu(1))

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions
        for block in self.blocks:
            x = block(x, self.future)
        return self.head(self.norm(x))


def transformer(fake, batch):
    network = Decoder(fake)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    text = torch.randint(65, (batch, 8 * 257))

    def loss(t):
        piece = text[:, t % 8 * 257 :][:, :257]
        return functional.cross_entropy(network(piece[:, :-1].contiguous()).flatten(0, 1), piece[:, 1:].flatten())

    return network, optimizer, loss


class Sum(torch.autograd.Function):
    """A x for a symmetric A."""

    @staticmethod
    def forward(ctx, a, x):
        ctx.a = a
        return torch.sparse.mm(a, x)

    @staticmethod
    def backward(ctx, g):
        return None, torch.sparse.mm(ctx.a, g)


class Gcn(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        widths = [features, hidden, hidden, classes]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))

    def forward(self, a, x):
        for i, linear in enumerate(self.linears):
            if i > 0:
                x = functional.dropout(self.norms[i - 1](functional.relu(x)), 0.2)
            if linear.in_features > linear.out_features:
                x = Sum.apply(a, functional.linear(x, linear.weight)) + linear.bias
            else:
                x = linear(Sum.apply(a, x))
        return x


def gcn(fake, batch, nodes=169_343, edges=1_200_000, features=128, classes=40):
    assert not fake
    ends = torch.randint(nodes, (2, edges))
    both = torch.cat((ends, ends.flip(0)), 1)
    scale = torch.bincount(both[0], minlength=nodes).clamp_(min=1).float().rsqrt_()
    a = torch.sparse_coo_tensor(both, scale[both[0]] * scale[both[1]], (nodes, nodes)).coalesce().to_sparse_csr()  # faster than COO
    x, train = torch.randn(nodes, features), torch.randperm(nodes)[: nodes * 6 // 10]
    labels = torch.randint(classes, (len(train),))
    network = Gcn(features, 512, classes)
    return network, torch.optim.Adam(network.parameters(), lr=1e-3), lambda t: functional.cross_entropy(network(a, x)[train], labels)
