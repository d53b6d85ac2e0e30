"""Losses: the number that training makes small, and its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, labels
from fastnet.files import register
from fastnet.kernels.loss import partial_sums
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording, Workspace

if TYPE_CHECKING:
    from fastnet.recording import Tensor
    from fastnet.types import Array, ArrayLike, LossLike, Shape

__all__ = [
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "get",
]

RESULT = ControlBlock.offset("loss")  # and the weight behind it


class Loss:
    """Base class. A loss in NumPy defines one method:

    ``per_sample(y_predicted, y) -> (losses, derivatives)``, of shapes (batch,) and that of y_predicted:
    each sample's loss, and its derivative by the prediction. Weighting and averaging are done for it: the
    loss of a batch is sum(w l) / sum(w), w being the sample weights (1 where there are none).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnet as fn
    >>> class LogCosh(fn.Loss):
    ...     def per_sample(self, y_predicted, y):
    ...         e = y_predicted - y
    ...         return np.log(np.cosh(e)).mean(axis=1), np.tanh(e) / e.shape[1]
    >>> value, dy = LogCosh().gradient(np.array([[1.0]]), np.array([[0.0]]))
    >>> round(value, 4), dy.round(4).tolist()
    (0.4338, [[0.7616]])
    """

    head: str | None = None  # what turns outputs into probabilities: "softmax", "sigmoid" or nothing

    def per_sample(self, y_predicted: Any, y: Any) -> tuple[Array, Array]:
        """Losses (batch,) and derivatives (like y_predicted) of the samples."""
        raise TypeError(f"loss {type(self).__name__} does not define per_sample(y_predicted, y)")

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    def takes_labels(self, y: np.ndarray, output_shape: Shape) -> bool:
        """Whether targets such as `y` are class numbers rather than values like the output."""
        return False

    def check_output(self, output_shape: Shape) -> None:
        """Refuse a network whose output the loss cannot judge."""

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None,
               gradient: bool) -> Tensor | None:  # fmt: skip
        """Record the loss of a batch into the control block; returns the gradient's tensor, or None."""
        dy = recording.tensor(prediction.shape) if gradient else None
        result = recording.control_field(RESULT, shape=(2,))

        def compute(inputs: list[Array], outputs: list[Array]) -> None:
            losses, derivative = self.per_sample(inputs[0], inputs[1])
            n = inputs[0].shape[0]
            losses = np.asarray(losses, np.float64)
            if losses.shape != (n,) or np.shape(derivative) != inputs[0].shape:
                raise ValueError(
                    f"{type(self).__name__}.per_sample must return arrays of shapes {(n,)} and {inputs[0].shape}; "
                    f"it returned {losses.shape} and {np.shape(derivative)}"
                )
            w = np.ones(n) if weights is None else inputs[2].reshape(n).astype(np.float64)
            total = w.sum()
            outputs[0][:] = (w * losses).sum() / total, total
            if gradient:
                scale = (w / total).reshape(n, *[1] * (inputs[0].ndim - 1))
                outputs[1][...] = derivative * scale

        reads = [prediction, target] + ([] if weights is None else [weights])
        recording.python(compute, reads, [result] + ([dy] if gradient else []))
        recording.call("check_result", reads={"result": result}, updates={"control": recording.control_field()})
        return dy

    def value(self, y_predicted: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
        """The loss of a batch."""
        return self._run(y_predicted, y, sample_weight, False)[0]

    def gradient(self, y_predicted: ArrayLike, y: ArrayLike, *,
                 sample_weight: ArrayLike | None = None) -> tuple[float, Array]:  # fmt: skip
        """The loss of a batch, and its gradient by the prediction.

        Parameters
        ----------
        y_predicted : array (batch, ...)
            Raw outputs (logits, where the loss is a cross-entropy).
        y : array
            Class numbers (batch,), or values of the outputs' shape.
        sample_weight : array (batch,), optional

        Returns
        -------
        value : float
        dy : ndarray like y_predicted
        """
        return self._run(y_predicted, y, sample_weight, True)

    def _run(self, y_predicted: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None,
             gradient: bool) -> tuple[float, Any]:  # fmt: skip
        prediction = np.asarray(y_predicted)
        dtype = "float64" if prediction.dtype == np.float64 else "float32"
        prediction = np.ascontiguousarray(prediction, dtype)
        if prediction.ndim < 2 or len(prediction) == 0:
            raise ValueError(f"y_predicted must be a batch (n, outputs), not empty; got shape {prediction.shape}")
        self.check_output(prediction.shape[1:])
        form = labels.form_of(self, y, prediction.shape[1:])
        labels.check_length("y", form.array, "y_predicted", len(prediction))
        labels.scan_targets(form)
        targets = labels.cast(form, dtype)
        recording = Recording(dtype)
        p, t = Memory("prediction"), Memory("target")
        target = recording.outside(t, targets.shape, targets.dtype)
        weights = given = None
        if sample_weight is not None:
            given = labels.weights(sample_weight, len(prediction), dtype)
            w = Memory("weights")
            weights = recording.outside(w, given.shape)
        dy = self.record(recording, recording.outside(p, prediction.shape), target, weights, gradient)
        control = ControlBlock()
        if dy is not None:
            recording.keep(dy)
        program = Program(recording, Workspace(), control, "a loss")
        program.bind(p, prediction)
        program.bind(t, targets)
        if given is not None:
            program.bind(w, given)
        program.run()
        return control.loss, None if dy is None else program.view(dy).copy()

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({arguments})"


def _record_kernel(recording: Recording, kernel: str, prediction_field: str, prediction: Tensor,
                   reads: dict[str, Tensor], weights: Tensor | None, gradient: bool, derivative_field: str,
                   numbers: dict[str, Any]) -> Tensor | None:  # fmt: skip
    """The form that all kernels of losses have: per-sample losses in chunks of rows, their sum, the gradient."""
    dy = recording.tensor(prediction.shape) if gradient else None
    recording.call(
        kernel,
        reads={prediction_field: prediction, **reads, "weights": weights},
        writes={"result": recording.control_field(RESULT, shape=(2,)), derivative_field: dy,
                "partials": recording.tensor((partial_sums(prediction.shape[0]),), "float64")},
        updates={"control": recording.control_field()},
        work=64 * prediction.size, **numbers,
    )  # fmt: skip
    return dy


@register
class SoftmaxCrossEntropy(Loss):
    """l = -sum_k t_k log softmax(z)_k, of logits z; t are probabilities, or 1 at the label's class.

    Parameters
    ----------
    label_smoothing : float, default 0
        In [0, 1): t becomes (1 - s) t + s / classes (Szegedy et al. 2016).

    Targets: class numbers (batch,) of an integer dtype, or probabilities (batch, classes) of a float dtype. The
    network must end with logits: a softmax before this loss is an error.
    """

    head = "softmax"

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = checks.real_number("label_smoothing", label_smoothing, least=0, below=1)

    def takes_labels(self, y: Array, output_shape: Shape) -> bool:
        return y.ndim == 1 or y.shape[1:] != tuple(output_shape) or (y.dtype.kind in "iub" and y.shape[1:] == (1,))

    def check_output(self, output_shape: Shape) -> None:
        if len(output_shape) != 1 or output_shape[0] < 2:
            raise ValueError(
                f"softmax_cross_entropy needs an output of shape (classes,) with at least 2 classes; the network's "
                f"is {tuple(output_shape)}" + ("; for one output take sigmoid_cross_entropy" if output_shape else "")
            )

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None,
               gradient: bool) -> Tensor | None:  # fmt: skip
        reads = {"labels" if target.dtype == np.int32 else "targets": target}
        numbers = {"rows": prediction.rows, "classes": prediction.columns, "smoothing": self.label_smoothing}
        return _record_kernel(recording, "softmax_cross_entropy", "logits", prediction, reads, weights, gradient,
                              "dlogits", numbers)  # fmt: skip

    def config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}


@register
class SigmoidCrossEntropy(Loss):
    """l = mean over the outputs of -(t log p + (1 - t) log(1 - p)), p = sigmoid(z): binary and multi-label targets.

    Parameters
    ----------
    label_smoothing : float, default 0
        In [0, 1): t becomes (1 - s) t + s / 2, as in Keras.
    """

    head = "sigmoid"

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = checks.real_number("label_smoothing", label_smoothing, least=0, below=1)

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None,
               gradient: bool) -> Tensor | None:  # fmt: skip
        rows = prediction.shape[0]
        numbers = {"rows": rows, "cols": prediction.size // rows, "smoothing": self.label_smoothing}
        return _record_kernel(recording, "sigmoid_cross_entropy", "logits", prediction, {"targets": target}, weights,
                              gradient, "dlogits", numbers)  # fmt: skip

    def config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}


class _Regression(Loss):
    kind = 0
    delta = 1.0

    def record(self, recording: Recording, prediction: Tensor, target: Tensor, weights: Tensor | None,
               gradient: bool) -> Tensor | None:  # fmt: skip
        rows = prediction.shape[0]
        numbers = {"rows": rows, "cols": prediction.size // rows, "kind": self.kind, "delta": self.delta}
        return _record_kernel(recording, "regression_loss", "prediction", prediction, {"targets": target}, weights,
                              gradient, "dprediction", numbers)  # fmt: skip


@register
class MeanSquaredError(_Regression):
    """l = mean over the outputs of (y_predicted - y)^2 (no factor of one half)."""

    kind = 0


@register
class MeanAbsoluteError(_Regression):
    """l = mean over the outputs of |y_predicted - y|; the derivative at 0 is 0."""

    kind = 1


@register
class Huber(_Regression):
    """l = mean of e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2) (Huber 1964).

    Parameters
    ----------
    delta : float, default 1
    """

    kind = 2

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = checks.real_number("delta", delta, above=0)

    def config(self) -> dict[str, Any]:
        return {"delta": self.delta}


@register
class Poisson(_Regression):
    """l = mean of exp(z) - t z: z is the logarithm of the expected count (PyTorch's log_input=True)."""

    kind = 3


LOSSES = {
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "sigmoid_cross_entropy": SigmoidCrossEntropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
}


def get(loss: LossLike, argument: str = "loss") -> Loss:
    """A loss from its name or as it is."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, Loss):
        raise TypeError(f"{argument} is the class {loss.__name__}; make a loss of it: {loss.__name__}()")
    return LOSSES[checks.choice(argument, loss, LOSSES)]()
