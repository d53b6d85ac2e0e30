"""Batch normalization over a batch that is computed in pieces, by one process or several.

The kernels are those of a single batch: they give each piece's statistics, the pieces of all processes are joined (Chan, Golub
& LeVeque 1983, in float64, in the order of the pieces), and the pieces are normalized with constant statistics. Backward

    dx = gamma inverse_std (dy - sum(dy) / n - xhat sum(dy xhat) / n),   xhat = (x - mean) inverse_std

is the gradient for constant statistics, plus a batch norm of x whose gamma and beta follow from the sums over all pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastnet.recording import Context, Recording, Tensor
    from fastnet.types import Array

    Gather = Callable[[Array], Array]  # rows of the pieces that this process has -> those of all pieces

__all__ = ["BackwardSums", "Statistics", "Synchronizable"]


class Statistics:
    """Mean and unbiased variance of one piece's rows, and behind `join` of all."""

    mean: Tensor
    variance: Tensor
    inverse_std: Tensor
    total: list[float]  # rows of all pieces, known when the step runs

    def __init__(self, layer: Any, mean: Tensor, unbiased: Tensor, rows: int) -> None:
        self.layer = layer
        self.parts = mean, unbiased
        self.rows = rows

    def join(self, recording: Recording, pieces: Sequence[Statistics], gather: Gather) -> None:
        """Record the joining of this process's pieces, which may be none, with the others'; self says what they look like."""
        channels = self.parts[0].columns
        mean, variance, inverse_std, unbiased = (recording.tensor((channels,)) for _ in range(4))
        total, epsilon = [0.0], self.layer.epsilon

        def compute(inputs: list[Array], outputs: list[Array]) -> None:
            rows = np.empty((len(pieces), 2 * channels + 1))
            for row, piece, own_mean, own_variance in zip(rows, pieces, inputs[::2], inputs[1::2], strict=True):
                row[0], row[1 : channels + 1] = piece.rows, own_mean
                row[channels + 1 :] = own_variance.astype(np.float64) * max(piece.rows - 1, 1)
            found = gather(rows)
            n, means, squares = found[:, :1], found[:, 1 : channels + 1], found[:, channels + 1 :]
            total[0] = float(n.sum())
            center = (n * means).sum(axis=0) / total[0]
            squares = (squares + n * (means - center) ** 2).sum(axis=0)
            biased = squares / total[0]
            outputs[0][:], outputs[1][:] = center, biased
            outputs[2][:], outputs[3][:] = 1 / np.sqrt(biased + epsilon), squares / max(total[0] - 1, 1)

        results = [mean, variance, inverse_std, unbiased]
        recording.python(compute, [part for piece in pieces for part in piece.parts], results, collective=True)
        self.layer.record_commit(recording, mean, unbiased)
        for piece in pieces:
            piece.mean, piece.variance, piece.inverse_std, piece.total = mean, variance, inverse_std, total


class BackwardSums:
    """The sums over one piece's rows that dx needs, and behind `join` the gamma and beta that they make."""

    def __init__(self, sums: Sequence[Tensor], constants: Sequence[Tensor | None], gradients: Any, total: list[float]):
        self.sums = sums
        self.constants = constants  # gamma and inverse_std
        self.gradients = gradients  # (tensor or None, whether it adds) of gamma and beta
        self.total = total
        self.gamma: Tensor
        self.beta: Tensor

    def join(self, recording: Recording, pieces: Sequence[BackwardSums], gather: Gather) -> None:
        """Record the joining; see `Statistics.join`."""
        channels = self.sums[0].columns
        results = [recording.tensor((channels,)) for _ in range(2)]
        has_gamma = self.constants[0] is not None
        targets = [
            (k, i, *g) for k, piece in enumerate(pieces) for i, g in enumerate(piece.gradients) if g[0] is not None
        ]

        def compute(inputs: list[Array], outputs: list[Array]) -> None:
            rows = np.array(inputs[: 2 * len(pieces)], np.float64).reshape(len(pieces), 2 * channels)
            total = gather(rows).sum(axis=0)
            if not pieces:
                return
            for (k, i, _, adds), target in zip(targets, outputs[2:], strict=True):
                own = inputs[2 * k + i]
                target[...] = target + own if adds else own
            constants = inputs[2 * len(pieces) :]
            factor = constants[-1].astype(np.float64) / pieces[0].total[0]
            if has_gamma:
                factor = factor * constants[0]
            outputs[0][:], outputs[1][:] = -factor * total[:channels], -factor * total[channels:]

        reads = [part for piece in pieces for part in piece.sums]
        reads += [constant for constant in (self.constants if pieces else ()) if constant is not None]
        recording.python(compute, reads, [*results, *(target for _, _, target, _ in targets)], collective=True)
        for piece in pieces:
            piece.gamma, piece.beta = results


class Synchronizable:
    """What `BatchNorm` records where its batch is in pieces: each method between two exchanges with the others."""

    weight: Any
    bias: Any
    epsilon: float
    momentum: float

    def synchronize_forward(self, ctx: Context, x: Tensor) -> Statistics:
        """Record the statistics of a piece."""
        mean, inverse_std, unbiased = (ctx.tensor((x.columns,)) for _ in range(3))
        ctx.call(
            "batch_norm_forward", reads={"x": x},
            writes={"y": ctx.tensor(x.shape), "mean": mean, "inverse_std": inverse_std, "unbiased_variance": unbiased},
            work=16 * x.size, parts=0, rows=x.rows, channels=x.columns, activation=0, epsilon=self.epsilon, alpha=0.0,
        )  # fmt: skip
        return Statistics(self, mean, unbiased, x.rows)

    def record_synchronized(self, ctx: Context, x: Tensor, all_of: Statistics) -> Tensor:
        """Record the normalization of a piece by the statistics of all."""
        y = self._affine(ctx, x, all_of, ctx.value(self.weight), ctx.value(self.bias))
        return ctx.keep(y, x=x, statistics=all_of)

    def _affine(self, ctx: Context, x: Tensor, all_of: Statistics, gamma: Any, beta: Any, added: Any = None) -> Tensor:
        y = ctx.tensor(x.shape)
        ctx.call(
            "batch_norm_inference",
            reads={"x": x, "gamma": gamma, "beta": beta, "running_mean": all_of.mean, "running_var": all_of.variance,
                   "added": added},
            writes={"y": y}, work=8 * x.size, rows=x.rows, channels=x.columns, activation=0, epsilon=self.epsilon, alpha=0.0,
        )  # fmt: skip
        return y

    def synchronize_backward(self, ctx: Context, dy: Tensor) -> BackwardSums:
        """Record the sums of a piece, which are its gradients of gamma and beta, too."""
        all_of, gamma = ctx.statistics, ctx.value(self.weight)
        sums = [ctx.tensor((dy.columns,)) for _ in range(2)]
        ctx.call(
            "batch_norm_backward",
            reads={"x": ctx.x, "dy": dy, "gamma": gamma, "mean": all_of.mean, "inverse_std": all_of.inverse_std},
            writes={"dgamma": sums[0], "dbeta": sums[1]}, work=8 * dy.size, parts=0, rows=dy.rows, channels=dy.columns,
            accumulate_gamma=0, accumulate_beta=0,
        )  # fmt: skip
        gradients = [(target, bool(ctx.adds(target))) for target in (ctx.grad(self.weight), ctx.grad(self.bias))]
        return BackwardSums(sums, (gamma, all_of.inverse_std), gradients, all_of.total)

    def record_synchronized_backward(self, ctx: Context, dy: Tensor, parts: BackwardSums) -> Tensor:
        """Record the gradient at x."""
        all_of = ctx.statistics
        constant = ctx.tensor(dy.shape)
        ctx.call(
            "batch_norm_inference_backward",
            reads={"x": ctx.x, "dy": dy, "gamma": ctx.value(self.weight), "running_mean": all_of.mean,
                   "running_var": all_of.variance},
            writes={"dx": constant}, work=8 * dy.size, rows=dy.rows, channels=dy.columns, epsilon=self.epsilon,
            accumulate_gamma=0, accumulate_beta=0,
        )  # fmt: skip
        return self._affine(ctx, ctx.x, all_of, parts.gamma, parts.beta, added=constant)
