"""SciPy's L-BFGS on a network's loss over all samples, as a function of one vector of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result
from threadpoolctl import threadpool_limits

import fastnet as fn
from fastnet.native.plan import ControlBlock
from fastnet.recording import Program, Recording, Workspace
from fastnet.training.steps import Feed

if TYPE_CHECKING:
    from fastnet.estimators.base import BaseNet
    from fastnet.estimators.objectives import Objective
    from fastnet.estimators.solvers import HeldOut
    from fastnet.recording import Tensor
    from fastnet.types import Array

__all__ = ["fit"]


class WholeLoss:
    """The loss with penalties and its gradient, by the trainable parameters one after the other in float64.

    One recording computes it, batch and all; its running statistics are those of all samples.
    """

    def __init__(self, net: fn.Network, objective: Objective, feed: Feed) -> None:
        self.net, self.objective, self.feed = net, objective, feed
        self.parameters = net.graph.trainable_parameters()
        self.ends = np.cumsum([p.size for p in self.parameters])
        self.control = ControlBlock()
        recording = Recording(net.dtype)
        with net.lock.recording:
            x, target, weights = feed.record(recording, len(feed.x))
            outputs = net.graph.record_forward(recording, x, True, net.seed)
            with recording.at("loss"):
                dy = objective.record(recording, outputs, target, weights, gradient=True)
            net.graph.record_backward(recording, cast("Tensor", dy))
            recording.commit()
        self.program = Program(recording, Workspace(), self.control, "the loss of all samples")
        self.program.feed = feed
        feed.bind(self.program)
        # The vector of the last call, and its loss as it is reported.
        self.last: Array | Any = None
        self.figure = float("nan")

    def pack(self) -> np.ndarray:
        return np.concatenate([p.value.ravel() for p in self.parameters], dtype=np.float64)

    def unpack(self, vector: np.ndarray) -> None:
        for parameter, part in zip(self.parameters, np.split(vector, self.ends[:-1]), strict=True):
            parameter.assign(part.reshape(parameter.shape))

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        with self.net.lock:
            self.unpack(vector)
            self.objective.clear()
            self.control.cursor = 0
            self.control.begin(0)
            self.program.run()
        if self.control.status:
            raise FloatingPointError("the loss is not finite")
        self.last, self.figure = vector.copy(), self.objective.reported(self.control.loss)
        gradient = np.concatenate([p.grad.ravel() for p in self.parameters], dtype=np.float64)
        # What the gradient belongs to: scikit-learn's figure is another one where there are several outputs.
        return self.control.loss + (self.objective.gradient_factor - 1) * self.objective.data_loss, gradient

    def reported_at(self, vector: np.ndarray) -> float:
        """The loss at a vector, which most often is that of the last call."""
        if not np.array_equal(vector, self.last):
            self(vector)
        return self.figure


def fit(estimator: BaseNet, x: Array, y: Array, sample_weight: Array | None, held_out: HeldOut | None) -> None:
    """Fit the estimator's network; sets `loss_`, `n_iter_` and the curves."""
    net, objective = estimator.network_, estimator._objective
    for layer in net.layers:
        if isinstance(layer, fn.layers.Dropout) and layer.rate:
            raise ValueError(
                "solver='lbfgs' needs a loss that is the same at each call, so no dropout; take 'adam' or 'sgd'"
            )
    feed = fn.training.evaluation.Evaluator(net.executor, objective, []).feed(x, y, sample_weight)
    loss = WholeLoss(net, objective, feed)
    objective.set_offset(y, sample_weight)
    estimator.loss_curve_ = []
    if held_out is not None:
        estimator.validation_loss_curve_, estimator.validation_scores_ = [], []

    def after_iteration(intermediate_result: Any) -> None:
        estimator.loss_curve_.append(loss.reported_at(intermediate_result.x))
        if held_out is not None:
            figures = held_out.figures()
            estimator.validation_loss_curve_.append(figures[0])
            estimator.validation_scores_.append(figures[1])
        if estimator.verbose:
            print(f"Iteration {len(estimator.loss_curve_)}, loss = {estimator.loss_curve_[-1]:.8f}")

    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    # SciPy's own products are of ten columns: threads of its BLAS would wait for each other longer than they compute.
    with threadpool_limits(1, user_api="blas"):
        result = scipy.optimize.minimize(
            loss, loss.pack(), method="L-BFGS-B", jac=True, callback=after_iteration, options=options
        )
    estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
    loss(result.x)
    estimator.loss_ = loss.figure
