"""What the classifier and the regressor share: parameters, data, fitting, and what is kept of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

import fastnet as fn
from fastnet import activations, checks, kernels
from fastnet.estimators import lbfgs, networks
from fastnet.estimators.solvers import AfterEpoch, EstimatorTrainer, HeldOut, optimizer_of
from fastnet.kernels.activation import ACTIVATIONS

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike, Shape

__all__ = ["BaseNet"]

Method = TypeVar("Method", bound=Callable[..., Any])
#: A method that checks the estimator's parameters first; and one that is there for stochastic solvers alone.
checks_parameters: Callable[[Method], Method] = _fit_context(prefer_skip_nested_validation=True)
if_stochastic: Callable[[Method], Method] = available_if(lambda estimator: estimator._check_solver())

OPTIMIZERS = {"sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "radam", "lion", "muon"}
SPARSE_ROWS = 1024  # of a sparse matrix that are made dense at a time, for predictions

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


class BaseNet(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base class of the estimators; they say what targets are."""

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({*networks.ACTIVATIONS, *ACTIVATIONS}), activations.Activation],
        "solver": [StrOptions({"lbfgs", *OPTIMIZERS}), fn.Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "layers": [list, tuple, None],
        "image_shape": [list, tuple, None],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "batch_norm": ["boolean"],
        "initializer": [str, fn.Initializer, None],
        "callbacks": [list, tuple, fn.Callback, None],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
    }

    # What `fit` sets; Any: None where there is none.
    network_: fn.Network
    loss_curve_: list[float]
    validation_scores_: list[float] | Any
    validation_loss_curve_: list[float] | Any
    loss_: float
    best_loss_: float | Any
    best_validation_score_: float | Any
    stopped_early_: bool
    _trainer: EstimatorTrainer | None
    _solver_state: dict[str, Any] | None
    _best_state: dict[str, Array] | None

    def __init__(self, **parameters: Any) -> None:
        self.__dict__.update(parameters)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # Data

    def _rows(self, X: Any) -> Any:
        """`X` with one row a sample; images become rows where `layers` can take them."""
        if self.layers is None or np.ndim(X) <= 2:
            return X
        X = np.asarray(X)
        return X.reshape(len(X), -1)

    def _input_shape(self, X: Any, columns: int) -> tuple[int, ...]:
        """A sample's as the network is to see it, of samples as they came and of the number of their values."""
        if self.image_shape is None:
            return (columns,) if self.layers is None else np.shape(X)[1:]
        if self.layers is None:
            raise ValueError("image_shape is for `layers`, which can take images; hidden_layer_sizes take columns")
        shape = tuple(checks.whole_number("image_shape", n, least=1) for n in self.image_shape)
        if math.prod(shape) != columns:
            raise ValueError(f"image_shape={shape} has {math.prod(shape)} values; the samples of X have {columns}")
        return shape

    def _validate(self, X: Any, *y: Any, **settings: Any) -> Any:
        """`X`, or X and y, as scikit-learn checks them, in a dtype that networks have."""
        return validate_data(
            self, self._rows(X), *y, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), **settings
        )

    def _check_weights(self, sample_weight: Any, X: Any, y: Any, incremental: bool) -> Any:
        """Sample weights as an array, or None."""
        return None if sample_weight is None else _check_sample_weight(sample_weight, X)

    def _held_out_set(self, X: Any, y: Any, sample_weight: Any) -> HeldOut | None:
        """What was given to judge by."""
        if X is None and y is None:
            if sample_weight is not None:
                raise ValueError("sample_weight_val is given without X_val and y_val")
            return None
        if X is None or y is None:
            raise ValueError("X_val and y_val belong together; only one of them is given")
        X = self._validate(X, reset=False)
        y = self._encode(self._check_y(y))
        if len(y) != X.shape[0]:
            raise ValueError(f"X_val and y_val must have the same length; they have {X.shape[0]} and {len(y)}")
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        return HeldOut(self, self._shaped(X), y, weights)

    def _shaped(self, X: Any) -> np.ndarray:
        """Checked rows as the network takes them."""
        X = X.toarray() if scipy.sparse.issparse(X) else X
        return X.astype(self.network_.dtype, copy=False).reshape(len(X), *self.network_.input_shape)

    # Fitting

    @checks_parameters
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, X_val: Any = None, y_val: Any = None,
            sample_weight_val: ArrayLike | None = None) -> Self:  # fmt: skip
        """Train.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_samples, n_features), or images
            A sparse matrix is made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Of a classifier with several labels: (n_samples, n_labels) of 0 and 1.
        sample_weight : array-like of shape (n_samples,), optional
        X_val, y_val, sample_weight_val : array-like, optional
            Samples to judge by after each epoch.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, False, (X_val, y_val, sample_weight_val))

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool, validation: tuple[Any, Any, Any]) -> Self:
        first = not hasattr(self, "network_") or (not self.warm_start and not incremental)
        if incremental and self.early_stopping and validation[0] is None:
            raise ValueError("partial_fit with early_stopping=True needs samples to judge by: X_val and y_val")
        if incremental and not first and self.stopped_early_:
            return self
        given = X
        X, y = self._check_data(X, y, incremental, first)
        weights = self._check_weights(sample_weight, X, y, incremental)
        self._random_state = check_random_state(self.random_state)
        if first:
            shape = self._input_shape(given, X.shape[1])
            self._begin(shape, y, X.dtype.name if self.dtype == "auto" else self.dtype)
        y = self._encode(y)
        held_out = self._held_out_set(*validation)
        X = self._shaped(X)
        if weights is not None and (weights == 0).any() and weights.any():
            # Such samples count for nothing, and a batch of them alone would have no mean.
            kept = weights != 0
            X, y, weights = X[kept], y[kept], weights[kept]
        try:
            if self.solver == "lbfgs":
                lbfgs.fit(self, X, y, weights, held_out)
            else:
                self._train(X, y, weights, incremental, held_out)
        except FloatingPointError as error:
            raise ValueError(NOT_FINITE) from error
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        return self

    def _begin(self, input_shape: Shape, y: Any, dtype: str) -> None:
        """A new network, and empty curves."""
        self._objective, self.out_activation_, self.n_outputs_ = self._make_objective(y)
        self.network_ = networks.build(self, input_shape, self.n_outputs_, dtype, self._random_state)
        self.network_.loss = self._objective.loss
        self.n_layers_ = len(networks.weighted_layers(self.network_)) + 1
        self.n_iter_ = self.t_ = self._no_improvement_count = 0
        self.stopped_early_ = False
        self._trainer = self._best_state = None
        for name in ("loss_curve_", "validation_scores_", "validation_loss_curve_", "best_loss_", "best_validation_score_",
                     "loss_", "_solver_state"):  # fmt: skip
            self.__dict__.pop(name, None)
        if self.solver != "lbfgs":
            self.loss_curve_ = []
            self.validation_scores_ = self.validation_loss_curve_ = None
            self.best_loss_ = None if self.early_stopping else np.inf
            self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _split(self, X: Array, y: Array, weights: Array | None) -> tuple[Any, ...]:
        """Samples to train on, and a share to judge by: of each class, where a sample has one class."""
        arrays = [X, y] if weights is None else [X, y, weights]
        parts = train_test_split(*arrays, random_state=self._random_state, test_size=self.validation_fraction,
                                 stratify=self._stratum(y))  # fmt: skip
        if len(parts[1]) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        training, held = parts[::2], parts[1::2]
        return *training, *[None] * (3 - len(training)), HeldOut(self, *held, *[None] * (3 - len(held)))

    def _train(self, X: Array, y: Array, weights: Array | None, incremental: bool, held_out: HeldOut | None) -> None:
        if self.early_stopping and held_out is None:
            X, y, weights, held_out = self._split(X, y, weights)
        if held_out is not None and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_ = [], []
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(200, len(X))
        elif batch_size > len(X):
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4
            )
            batch_size = len(X)
        trainer = getattr(self, "_trainer", None) if incremental else None
        if trainer is None:
            trainer = EstimatorTrainer(self.network_, loss=self._objective, optimizer=optimizer_of(self))
            state = getattr(self, "_solver_state", None)
            if incremental and state is not None:
                trainer.restore(state)
        self._trainer, self._solver_state = trainer, None
        trainer.random_state = self._random_state
        self._objective.set_offset(y, weights)
        after = AfterEpoch(self, len(X), held_out)
        users = self.callbacks or []
        users = [users] if isinstance(users, fn.Callback) else list(users)
        self.n_iter_ = 0
        try:
            history = trainer.fit(
                X, y, epochs=1 if incremental else self.max_iter, batch_size=batch_size, sample_weight=weights,
                shuffle=bool(self.shuffle), callbacks=[after, *users], verbose=0,
            )  # fmt: skip
        finally:
            self._restore_best(incremental, after.has_stopped)
        if not incremental and history.stopped is None:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning, stacklevel=4,
            )  # fmt: skip

    def _restore_best(self, incremental: bool, has_stopped: bool) -> None:
        """With early_stopping: the weights of the best score, at the end of `fit` or when `partial_fit` has stopped."""
        if self.early_stopping and self._best_state is not None and (not incremental or has_stopped):
            self.network_.load_state_dict(self._best_state)
        self.stopped_early_ = bool(self.early_stopping and incremental and has_stopped)

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    def _stratum(self, y: Array) -> Any:
        """What the share that is held out has the same proportions of, or None."""
        return

    # Predicting

    def _raw_outputs(self, X: Any) -> np.ndarray:
        """The network's outputs for samples as the user has them, (n, outputs)."""
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        if not scipy.sparse.issparse(X):
            return self.network_.predict(self._shaped(X))
        X = X.tocsr()
        outputs = np.empty((X.shape[0], self.n_outputs_), self.network_.dtype)
        for start in range(0, len(outputs), SPARSE_ROWS):
            some = slice(start, start + SPARSE_ROWS)
            self.network_.predict(self._shaped(X[some]), out=outputs[some])
        return outputs

    def _activated(self, outputs: np.ndarray) -> np.ndarray:
        if self.out_activation_ == "softmax":
            return kernels.softmax(outputs)
        if self.out_activation_ == "logistic":
            return kernels.sigmoid(outputs)
        return np.exp(outputs) if self.out_activation_ == "exp" else outputs

    # What is kept

    def _layer_values(self, name: str) -> list[Any]:
        if "network_" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute '{name}s_': it is not fitted")
        parameters = [getattr(layer, name, None) for layer in networks.weighted_layers(self.network_)]
        return [None if parameter is None else parameter.value for parameter in parameters]

    def _set_layer_values(self, name: str, arrays: Any) -> None:
        layers = networks.weighted_layers(self.network_)
        if len(arrays) != len(layers):
            raise ValueError(f"the network has {len(layers)} layers with weights; got {len(arrays)} arrays")
        for layer, array in zip(layers, arrays, strict=True):
            if array is not None:
                getattr(layer, name).assign(array)

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weights of each layer that has some; read-only views. Setting the attribute copies into the network."""
        return self._layer_values("weight")

    @coefs_.setter
    def coefs_(self, arrays: Any) -> None:
        self._set_layer_values("weight", arrays)

    @property
    def intercepts_(self) -> list[np.ndarray | None]:
        """The biases of the same layers, as `coefs_`; None where a layer has none."""
        return self._layer_values("bias")

    @intercepts_.setter
    def intercepts_(self, arrays: Any) -> None:
        self._set_layer_values("bias", arrays)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        trainer = state.pop("_trainer", None)
        if trainer is not None:
            state["_solver_state"] = trainer.saved()
        return state
