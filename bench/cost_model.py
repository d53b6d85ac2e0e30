"""What a training step of many nodes takes: a model, fitted to what was measured on one machine, and what follows from it.

    T(R) = (T(1) - u) / R + u + o + A(R)
    A(R) = 2 ceil(log2 R) latency + 2 (R - 1) / R  m / bandwidth + (R - 1) / R  m s

T(R)    a step of R ranks with a fixed batch; where each rank has a batch of its own, T(1) - u is not divided
A(R)    an all-reduce of m bytes (Rabenseifner 2004)
u       update of the parameters, which every rank makes
o       what a step of several ranks takes besides: calls into Python, and the agreement on loss and faults
s       seconds to add a byte
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = [
    "NETWORKS",
    "NODE",
    "WORKLOADS",
    "Network",
    "Workload",
    "all_reduce",
    "efficiency",
    "fitted",
    "most_nodes",
    "step",
]

BYTES = 4  # of a gradient
ADD = 1 / 8e9  # seconds for a byte that is added: three arrays of memory traffic
UPDATE = 28 / 10e9  # seconds for a parameter: what Adam reads and writes, at 10 GB/s
MOST = 4096  # nodes


@dataclass(frozen=True)
class Network:
    """Seconds of a message, and bytes a second in each direction, as an application sees them."""

    name: str
    latency: float
    bandwidth: float


#: Assumed: the order of what MPI gives on such hardware.
NETWORKS = [
    Network("10 Gbit Ethernet, TCP", 30e-6, 1.1e9),
    Network("25 Gbit Ethernet, TCP", 20e-6, 2.8e9),
    Network("100 Gbit Ethernet, RoCE", 4e-6, 11e9),
    Network("InfiniBand HDR, 200 Gbit", 1.5e-6, 23e9),
]


@dataclass(frozen=True)
class Workload:
    """A network to train: parameters, and multiply-adds of one sample's forward pass; a step has three times as many."""

    name: str
    parameters: float
    multiply_adds: float


WORKLOADS = [
    Workload("784-512-512-10", 0.67e6, 0.67e6),
    Workload("LeNet, 28x28", 0.45e6, 11e6),
    Workload("ResNet-20, 32x32", 0.27e6, 41e6),
    Workload("ResNet-50, 224x224", 25.6e6, 4.1e9),
    Workload("VGG-16, 224x224", 138e6, 15.5e9),
]

#: Multiply-adds a second of a node, in a training step: assumed, some 32 cores.
NODE = 5e11


def fitted(sizes, seconds) -> tuple[float, float]:
    """Latency and bandwidth of `seconds = latency + size / bandwidth`, by least squares of the relative errors."""
    sizes, seconds = np.asarray(sizes, float), np.asarray(seconds, float)
    rows = np.stack([1 / seconds, sizes / seconds], axis=1)
    latency, slope = np.linalg.lstsq(rows, np.ones(len(sizes)), rcond=None)[0]
    return float(latency), float(1 / slope)


def all_reduce(size: float, ranks: int, network: Network) -> float:
    """Seconds of the sum of `size` bytes over ranks."""
    if ranks == 1:
        return 0.0
    share = (ranks - 1) / ranks
    rounds = 2 * math.ceil(math.log2(ranks))
    return rounds * network.latency + 2 * share * size / network.bandwidth + share * size * ADD


def step(compute: float, parameters: float, ranks: int, network: Network, overhead: float) -> float:
    """Seconds of a step: `compute` of a rank's share, and what the ranks do together."""
    if ranks == 1:
        return compute + UPDATE * parameters
    agreement = math.ceil(math.log2(ranks)) * network.latency + 24 * ranks / network.bandwidth
    return compute + UPDATE * parameters + overhead + agreement + all_reduce(BYTES * parameters, ranks, network)


def efficiency(
    workload: Workload, nodes: int, network: Network, overhead: float, *, each: float = 0.0, batch: float = 0.0
) -> float:
    """How much of `nodes` times one node's speed there is, with `each` samples on a node or a `batch` of all of them."""
    samples = each if each else batch / nodes
    alone = each if each else batch
    seconds = 3 * workload.multiply_adds / NODE
    one = step(seconds * alone, workload.parameters, 1, network, overhead)
    many = step(seconds * samples, workload.parameters, nodes, network, overhead)
    return one / many if each else one / (nodes * many)


def most_nodes(workload: Workload, network: Network, overhead: float, least: float = 0.8, **samples: float) -> int:
    """The greatest power of two of nodes, up to 4096, whose efficiency is at least this; 1 where two don't have it."""
    nodes = 1
    while 2 * nodes <= MOST and efficiency(workload, 2 * nodes, network, overhead, **samples) >= least:
        nodes *= 2
    return nodes
