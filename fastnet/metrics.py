"""Metrics: figures about predictions, averaged over the samples by their weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.files import register

if TYPE_CHECKING:
    from fastnet.labels import Targets
    from fastnet.recording import Recording, Tensor
    from fastnet.types import Array, MetricLike, Metrics, Shape

__all__ = ["R2", "Accuracy", "MeanAbsoluteError", "MeanSquaredError", "Metric", "TopKAccuracy", "get"]


class Metric:
    """Base class. A metric in NumPy defines `__call__` and a `name`:

    ``__call__(y_predicted, y) -> values`` (batch,): each sample's figure; they are averaged by the
    samples' weights over the whole epoch, whatever the size of the last batch.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnet as fn
    >>> class Within(fn.Metric):
    ...     name = "within_0.1"
    ...     def __call__(self, y_predicted, y):
    ...         return (abs(y_predicted - y) < 0.1).all(axis=1)
    >>> net = fn.Network([fn.Dense(1)], input_shape=(1,), seed=0)
    >>> sorted(net.evaluate(np.zeros((4, 1)), np.zeros((4, 1)), loss="mse", metrics=[Within()]).items())
    [('loss', 0.0), ('within_0.1', 1.0)]
    """

    name = "metric"

    def __call__(self, y_predicted: Any, y: Any) -> Array:
        raise TypeError(f"metric {type(self).__name__} does not define __call__(y_predicted, y)")

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    def check(self, targets: Targets, output_shape: Shape) -> None:
        """Refuse targets that the metric makes no sense for."""

    def n_sums(self, output_shape: Shape) -> int:
        """How many running sums (float64) the metric keeps."""
        return 2

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None, sums: Tensor,
               head: str | None = None) -> None:  # fmt: skip
        """Record the calls that add a batch to the sums; `head` is the loss's (`Loss.head`)."""

        def add(inputs: list[Array], outputs: list[Array]) -> None:
            n = inputs[0].shape[0]
            values = np.asarray(self(inputs[0], inputs[1]), np.float64)
            if values.shape != (n,):
                raise ValueError(
                    f"metric {self.name!r} must return one value a sample, shape {(n,)}; got {values.shape}"
                )
            w = np.ones(n) if weights is None else inputs[2].reshape(n).astype(np.float64)
            outputs[0][:2] += (w * values).sum(), w.sum()

        recording.python(add, [prediction, target] + ([] if weights is None else [weights]), [sums])

    def result(self, sums: Array) -> float:
        """The figure, from the sums."""
        return float(sums[0] / sums[1]) if sums[1] else float("nan")

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({arguments})"


def _target_reads(target: Tensor) -> dict[str, Tensor]:
    return {"labels" if target.dtype == np.int32 else "targets": target}


@register
class Accuracy(Metric):
    """Share of the samples whose largest output is the target's class; of outputs on the right side
    of 0 (logits), where there is one output or the targets are several yes-or-no values.
    """

    name = "accuracy"
    top_k = 1

    def check(self, targets: Targets, output_shape: Shape) -> None:
        if len(output_shape) != 1:
            raise ValueError(f"metric {self.name!r} needs an output of shape (classes,); it is {tuple(output_shape)}")

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None, sums: Tensor,
               head: str | None = None) -> None:  # fmt: skip
        multi_label = target.dtype != np.int32 and (prediction.columns == 1 or head == "sigmoid")
        recording.call(
            "count_correct",
            reads={"prediction": prediction, **_target_reads(target), "weights": weights,
                   "control": recording.control_field()},
            updates={"sums": sums}, work=4 * prediction.size,
            rows=prediction.rows, classes=prediction.columns, top_k=self.top_k, kind=int(multi_label),
        )  # fmt: skip


@register
class TopKAccuracy(Accuracy):
    """Share of the samples whose class is among the k largest outputs.

    Parameters
    ----------
    k : int, default 5
    """

    def __init__(self, k: int = 5) -> None:
        self.top_k = checks.whole_number("k", k, least=1)
        self.name = f"top_{self.top_k}_accuracy"

    def check(self, targets: Targets, output_shape: Shape) -> None:
        super().check(targets, output_shape)
        if self.top_k > output_shape[0]:
            raise ValueError(
                f"metric {self.name!r} needs at least {self.top_k} classes; the network has {output_shape[0]}"
            )

    def config(self) -> dict[str, Any]:
        return {"k": self.top_k}


class _Regression(Metric):
    kind = 0

    def check(self, targets: Targets, output_shape: Shape) -> None:
        if targets.is_labels:
            raise ValueError(f"metric {self.name!r} compares values; y are class numbers: take 'accuracy'")

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None, sums: Tensor,
               head: str | None = None) -> None:  # fmt: skip
        rows = prediction.shape[0]
        recording.call(
            "regression_sums",
            reads={"prediction": prediction, "targets": target, "weights": weights,
                   "control": recording.control_field()},
            updates={"sums": sums}, work=4 * prediction.size,
            rows=rows, cols=prediction.size // rows, kind=self.kind,
        )  # fmt: skip


@register(name="metrics.MeanSquaredError")  # the bare name is the loss's
class MeanSquaredError(_Regression):
    """Mean over samples and outputs of (y_predicted - y)^2."""

    name = "mse"
    kind = 0


@register(name="metrics.MeanAbsoluteError")  # the bare name is the loss's
class MeanAbsoluteError(_Regression):
    """Mean over samples and outputs of |y_predicted - y|."""

    name = "mae"
    kind = 1


@register
class R2(_Regression):
    """Coefficient of determination, 1 - sum (t - y)^2 / sum (t - mean t)^2, averaged over the outputs.

    As scikit-learn's r2_score: an output that is constant counts as 1 if predicted exactly, else 0.
    """

    name = "r2"
    kind = 2

    def n_sums(self, output_shape: Shape) -> int:
        return 1 + 3 * int(np.prod(output_shape))

    def result(self, sums: Array) -> float:
        from fastnet.kernels.metric import r2_from_sums

        return r2_from_sums(sums)


METRICS = {"accuracy": Accuracy, "mse": MeanSquaredError, "mae": MeanAbsoluteError, "r2": R2}


def get(metric: MetricLike, argument: str = "metrics") -> Metric:
    """A metric from its name ("top_3_accuracy" too) or as it is."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and (match := re.fullmatch(r"top_(\d+)_accuracy", metric)):
        return TopKAccuracy(int(match[1]))
    return METRICS[checks.choice(argument, metric, METRICS)]()


def get_all(metrics: Metrics, argument: str = "metrics") -> list[Metric]:
    """Metrics from a list of names and metrics; one stands for a list of one."""
    if isinstance(metrics, (str, Metric)):
        metrics = [metrics]
    found = [get(metric, argument) for metric in metrics]
    names = [metric.name for metric in found]
    for name in names:
        if names.count(name) > 1 or name == "loss":
            raise ValueError(f"{argument} has two figures named {name!r}")
    return found
