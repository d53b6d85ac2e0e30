"""Training an estimator: its optimizer, the order of its samples, and what scikit-learn does after each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fastnet as fn
from fastnet import optimizers
from fastnet.estimators.objectives import SetLoss
from fastnet.training.checkpoint_state import optimizer_state, set_optimizer_state

if TYPE_CHECKING:
    from fastnet.estimators.base import BaseNet
    from fastnet.types import Array, Figures

__all__ = ["AfterEpoch", "EstimatorTrainer", "HeldOut", "optimizer_of"]

#: Below which learning_rate="adaptive" gives up, as scikit-learn does.
LEAST_RATE = 1e-6


def optimizer_of(estimator: BaseNet) -> fn.Optimizer:
    """The update rule that the parameters say, in scikit-learn's form where it has one."""
    solver, rate = estimator.solver, estimator.learning_rate_init
    if isinstance(solver, fn.Optimizer):
        return solver
    if solver == "sgd":
        momentum = estimator.momentum
        return fn.SGD(rate, momentum=momentum, nesterov=bool(estimator.nesterovs_momentum and momentum))
    if solver == "adam":
        return fn.Adam(
            rate, beta_1=estimator.beta_1, beta_2=estimator.beta_2, epsilon=estimator.epsilon, epsilon_hat=True
        )
    optimizer = optimizers.get(solver)
    optimizer.learning_rate = rate
    return optimizer


class EstimatorTrainer(fn.Trainer):
    """A Trainer that shuffles as scikit-learn does: the same `random_state` gives the same order."""

    random_state: Any = None

    def shuffle(self, order: Array) -> None:
        self.random_state.shuffle(order)

    def set_rate(self, rate: float) -> None:
        """Change SGD's learning rate as if it had been part of the momentum, where scikit-learn keeps it."""
        before: Any = self.optimizer.learning_rate
        self.optimizer.learning_rate = rate
        for (segment, _, _), memory in self.update.states.items():
            memory.array(segment.dtype)[:] *= before / rate

    def saved(self) -> dict[str, Any]:
        """What a pickle keeps so that training goes on where it was."""
        return {"step": self.step, "rate": self.optimizer.learning_rate, "optimizer": optimizer_state(self.update)}

    def restore(self, state: dict[str, Any]) -> None:
        set_optimizer_state(self.update, state["optimizer"])
        self.control.step = state["step"]
        self.optimizer.learning_rate = state["rate"]


class HeldOut:
    """Samples to judge by, with what the estimator makes of them."""

    def __init__(self, estimator: BaseNet, x: Array, y: Array, sample_weight: Array | None) -> None:
        self.estimator = estimator
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self._loss: SetLoss | None = None

    def figures(self) -> tuple[float, float]:
        """Loss and score."""
        estimator = self.estimator
        outputs = estimator.network_.predict(self.x)
        self._loss = self._loss or SetLoss(estimator._objective, outputs, self.y, self.sample_weight)
        return self._loss(outputs), estimator._score_of(outputs, self.y, self.sample_weight)


class AfterEpoch(fn.Callback):
    """Keeps the curves, and decides as scikit-learn does whether training goes on.

    Parameters
    ----------
    estimator : BaseNet
    samples : int
    held_out : HeldOut, optional
    """

    def __init__(self, estimator: BaseNet, samples: int, held_out: HeldOut | None) -> None:
        self.estimator = estimator
        self.samples = samples
        self.held_out = held_out
        self.has_stopped = False

    def on_epoch_begin(self, trainer: Any, logs: Figures) -> None:
        trainer.loss.clear()

    def on_epoch_end(self, trainer: Any, logs: Figures) -> None:
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += self.samples
        logs["loss"] = estimator.loss_ = trainer.loss.reported(logs["loss"])
        estimator.loss_curve_.append(estimator.loss_)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        if self.held_out is not None:
            self._judge(self.held_out, logs)
        improved = self._has_improved()
        estimator._no_improvement_count = 0 if improved else estimator._no_improvement_count + 1
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            trainer.set_rate(estimator.learning_rate_init / (estimator.t_ + 1) ** estimator.power_t)
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self._stop_or_slow_down(trainer)

    def _judge(self, held_out: HeldOut, logs: Figures) -> None:
        estimator = self.estimator
        logs["val_loss"], logs["val_score"] = loss, score = held_out.figures()
        estimator.validation_loss_curve_.append(loss)
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")

    def _has_improved(self) -> bool:
        """By more than tol: the validation score with early_stopping, else the training loss."""
        estimator = self.estimator
        if not estimator.early_stopping:
            improved = estimator.loss_ <= estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
            return improved
        score = estimator.validation_scores_[-1]
        improved = score >= estimator.best_validation_score_ + estimator.tol
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            estimator._best_state = estimator.network_.state_dict()
        return improved

    def _stop_or_slow_down(self, trainer: Any) -> None:
        estimator = self.estimator
        what = "Validation score" if estimator.early_stopping else "Training loss"
        reason = f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} consecutive epochs."
        rate = trainer.optimizer.learning_rate
        if estimator.solver == "sgd" and estimator.learning_rate == "adaptive" and rate > LEAST_RATE:
            trainer.set_rate(rate / 5)
            estimator._no_improvement_count = 0
            self._say(f"{reason} Setting learning rate to {rate / 5:f}")
            return
        self.has_stopped = True
        trainer.stop("no improvement")
        self._say(f"{reason} Stopping.")

    def _say(self, text: str) -> None:
        if self.estimator.verbose:
            print(text)
