#!/usr/bin/env python3
"""graph_step.py STEPS THREADS LAYOUT: seconds of training steps of the papers' GCN in PyTorch float32, on a random graph of Arxiv's size
(169,343 nodes, 1.2 million edges, 128 features): the rival of `ebb-gnn --preset cpt-arxiv --data synthetic-arxiv`. LAYOUT is coo or csr,
that of the matrix given to torch.sparse.mm."""
import sys
import time

import torch
from torch import nn
from torch.nn import functional

NODES, EDGES, FEATURES, HIDDEN, CLASSES = 169343, 1200000, 128, 512, 40


def adjacency(layout):
    ends = torch.randint(NODES, (2, EDGES))
    both = torch.cat((ends, ends.flip(0)), 1)
    degree = torch.bincount(both[0], minlength=NODES).clamp_(min=1).float().rsqrt_()
    matrix = torch.sparse_coo_tensor(both, degree[both[0]] * degree[both[1]], (NODES, NODES)).coalesce()
    return matrix.to_sparse_csr() if layout == "csr" else matrix


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
    def __init__(self):
        super().__init__()
        widths = [FEATURES, HIDDEN, HIDDEN, CLASSES]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(nn.LayerNorm(HIDDEN) for _ in range(2))

    def forward(self, a, x):
        for i, linear in enumerate(self.linears):
            if i > 0:
                x = functional.dropout(self.norms[i - 1](functional.relu(x)), 0.2)
            if linear.in_features > linear.out_features:
                x = Sum.apply(a, functional.linear(x, linear.weight)) + linear.bias
            else:
                x = linear(Sum.apply(a, x))
        return x


def main():
    steps, threads, layout = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    a, x = adjacency(layout), torch.randn(NODES, FEATURES)
    train = torch.randperm(NODES)[: NODES * 6 // 10]
    labels = torch.randint(CLASSES, (len(train),))
    network = Gcn()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(steps):
        begun = time.perf_counter()
        loss = functional.cross_entropy(network(a, x)[train], labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        print(f"{time.perf_counter() - begun:.3f}", flush=True)


main()
