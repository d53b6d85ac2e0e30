"""The regressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_array

import fastnet as fn
from fastnet import losses
from fastnet.estimators.base import BaseNet, checks_parameters, if_stochastic
from fastnet.estimators.objectives import Objective

if TYPE_CHECKING:
    from fastnet.activations import Activation, Rowwise
    from fastnet.layers.base import Layer
    from fastnet.losses import Loss
    from fastnet.optimizers.base import Optimizer
    from fastnet.types import Array, ArrayLike, Callbacks, Init

__all__ = ["NetRegressor"]

LOSSES = {
    "squared_error": losses.MeanSquaredError,
    "poisson": losses.Poisson,
    "absolute_error": losses.MeanAbsoluteError,
    "huber": losses.Huber,
}


class NetRegressor(RegressorMixin, BaseNet):  # type: ignore[misc]  # scikit-learn has no types
    """A network that predicts numbers, as a scikit-learn estimator: `MLPRegressor` on fastnet's kernels, and more.

    Parameters have `MLPRegressor`'s names, meaning and defaults; see `NetClassifier` for all that both share.

    Parameters
    ----------
    loss : str or Loss, default "squared_error"
        "squared_error" and "poisson" (the network's output is the logarithm of the expected count) are scikit-learn's;
        "absolute_error", "huber", or any fastnet loss, such as ``fn.Huber(2.0)`` or one of your own. The named ones add the
        gradients of several outputs up; a Loss counts as it is.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, \
random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, \
epsilon, n_iter_no_change, max_fun, layers, image_shape, dropout, batch_norm, initializer, callbacks, dtype
        As in `NetClassifier`; `early_stopping` goes by the coefficient of determination, R^2.

    Attributes
    ----------
    network_, n_features_in_, feature_names_in_, n_iter_, n_layers_, n_outputs_, out_activation_, t_, coefs_, intercepts_, loss_, \
loss_curve_, best_loss_, validation_scores_, validation_loss_curve_, best_validation_score_, stopped_early_
        As in `NetClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> import fastnet as fn
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = fn.estimators.NetRegressor(hidden_layer_sizes=20, max_iter=100, learning_rate_init=0.02, tol=1, random_state=0)
    >>> model.fit(scale(X), y).score(scale(X), y) > 0.4
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseNet._parameter_constraints,
        "loss": [StrOptions(set(LOSSES)), fn.Loss],
    }

    def __init__(self, loss: str | Loss = "squared_error", hidden_layer_sizes: int | Sequence[int] = (100,),
                 activation: str | Activation | Rowwise = "relu", *, solver: str | Optimizer = "adam",
                 alpha: float = 0.0001, batch_size: int | Literal["auto"] = "auto",
                 learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant",
                 learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
                 random_state: Any = None, tol: float = 1e-4, verbose: bool | int = False, warm_start: bool = False,
                 momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
                 validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                 n_iter_no_change: float = 10, max_fun: int = 15000, layers: Sequence[Layer] | None = None,
                 image_shape: Sequence[int] | None = None, dropout: float | Sequence[float] = 0.0,
                 batch_norm: bool = False, initializer: Init | None = None, callbacks: Callbacks | None = None,
                 dtype: str = "auto") -> None:  # fmt: skip
        super().__init__(
            loss=loss, hidden_layer_sizes=hidden_layer_sizes, activation=activation, solver=solver, alpha=alpha,
            batch_size=batch_size, learning_rate=learning_rate, learning_rate_init=learning_rate_init, power_t=power_t,
            max_iter=max_iter, shuffle=shuffle, random_state=random_state, tol=tol, verbose=verbose, warm_start=warm_start,
            momentum=momentum, nesterovs_momentum=nesterovs_momentum, early_stopping=early_stopping,
            validation_fraction=validation_fraction, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
            n_iter_no_change=n_iter_no_change, max_fun=max_fun, layers=layers, image_shape=image_shape, dropout=dropout,
            batch_norm=batch_norm, initializer=initializer, callbacks=callbacks, dtype=dtype,
        )  # fmt: skip

    # Targets

    @property
    def _is_poisson(self) -> bool:
        return self.loss == "poisson" or isinstance(self.loss, losses.Poisson)

    def _check_data(self, X: Any, y: Any, incremental: bool, first: bool) -> tuple[Any, Any]:
        X, y = self._validate(X, y, multi_output=True, y_numeric=True, reset=first)
        if self._is_poisson and (y < 0).any():
            raise ValueError("Some value(s) of y are out of the valid range of the loss 'poisson': it needs y >= 0.")
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _check_y(self, y: Any) -> Any:
        return check_array(y, ensure_2d=False, dtype="numeric", input_name="y_val")

    def _encode(self, y: Any) -> Array:
        return y.reshape(len(y), -1)

    def _make_objective(self, y: Array) -> tuple[Objective, str, int]:
        outputs = 1 if y.ndim == 1 else y.shape[1]
        activation = "exp" if self._is_poisson else "identity"
        if isinstance(self.loss, fn.Loss):
            return Objective(self.loss), activation, outputs
        figure, gradient = {"squared_error": (0.5, 0.5 * outputs), "poisson": (outputs, outputs)}.get(
            self.loss, (1, outputs)
        )
        return Objective(LOSSES[self.loss](), figure, gradient), activation, outputs

    def _score_of(self, outputs: Array, y: Array, sample_weight: Array | None) -> float:
        return float(r2_score(y, self._activated(outputs), sample_weight=sample_weight))

    # Methods

    @if_stochastic
    @checks_parameters
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, X_val: Any = None,
                    y_val: Any = None, sample_weight_val: ArrayLike | None = None) -> Self:  # fmt: skip
        """Train for one epoch on some samples; see `NetClassifier.partial_fit`.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As in `fit`.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, True, (X_val, y_val, sample_weight_val))

    def predict(self, X: Any) -> Array:
        """Values, (n_samples,) or (n_samples, n_outputs).

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_samples, n_features), or images
        """
        outputs = self._activated(self._raw_outputs(X))
        return outputs.ravel() if self.n_outputs_ == 1 else outputs
