"""The classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import scipy.sparse
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

import fastnet as fn
from fastnet.estimators.base import BaseNet, checks_parameters, if_stochastic
from fastnet.estimators.objectives import Objective

if TYPE_CHECKING:
    from fastnet.activations import Activation, Rowwise
    from fastnet.layers.base import Layer
    from fastnet.losses import Loss
    from fastnet.optimizers.base import Optimizer
    from fastnet.types import Array, ArrayLike, Callbacks, Init

__all__ = ["NetClassifier"]


class NetClassifier(ClassifierMixin, BaseNet):  # type: ignore[misc]  # scikit-learn has no types
    """A network that classifies, as a scikit-learn estimator: `MLPClassifier` on fastnet's kernels, and more.

    Parameters have `MLPClassifier`'s names, meaning and defaults, so that one can take the other's place: with the same
    `random_state` and data the first weights, the order of the samples and the updates are the same, and the weights at the end
    differ by rounding. The last group of parameters is new. docs/from-sklearn.md shows both side by side.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default (100,)
        Units of each hidden layer.
    activation : str or fastnet activation, default "relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu", or any of fastnet's, such as "gelu" or ``fn.LeakyReLU(0.1)``.
    solver : str or Optimizer, default "adam"
        "sgd", "adam", "lbfgs" (SciPy's, over all samples at once), another of fastnet's names, such as "adamw" and "muon", which
        takes `learning_rate_init`, or an optimizer with settings of its own: ``fn.AdamW(fn.schedules.Cosine(1e-3, 2000))``.
    alpha : float, default 1e-4
        A batch's loss has alpha / 2 times the sum of the squared weights (not of the biases), over the number of its samples or
        the sum of their weights.
    batch_size : int or "auto", default "auto"
        "auto" is ``min(200, n_samples)``.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        Of the solver "sgd": divided by ``(t_ + 1) ** power_t`` after each epoch, or by 5 each time that it would stop.
    learning_rate_init : float, default 1e-3
    power_t : float, default 0.5
    max_iter : int, default 200
        Epochs at most; with "lbfgs" iterations.
    shuffle : bool, default True
    random_state : int, RandomState or None, default None
    tol : float, default 1e-4
        What the loss, or with `early_stopping` the validation score, must gain to count as better; with "lbfgs", the largest
        element of the gradient at which it stops.
    verbose : bool, default False
        Print each epoch's loss.
    warm_start : bool, default False
        `fit` goes on from the weights of the last one.
    momentum : float, default 0.9
        Of "sgd"; below 1.
    nesterovs_momentum : bool, default True
    early_stopping : bool, default False
        Hold out `validation_fraction` of the samples, with the same shares of the classes (or take `X_val` and `y_val`), stop when
        the accuracy on them gains no more, and give the network the weights of the best epoch.
    validation_fraction : float, default 0.1
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        Of "adam"; epsilon is added to the root before it is corrected, as in scikit-learn.
    n_iter_no_change : int or inf, default 10
        Epochs in a row without a gain, after more than which training stops.
    max_fun : int, default 15000
        Evaluations of "lbfgs".
    loss : "log_loss" or Loss, default "log_loss"
        Any of fastnet's losses, such as ``fn.SoftmaxCrossEntropy(label_smoothing=0.1)``, or one of your own. It counts as it is:
        for several labels fastnet's are means over them, where "log_loss" is the sum.
    class_weight : dict, "balanced" or None, default None
        Multiplies the samples' weights, as in scikit-learn's other classifiers.
    layers : list of Layer, optional
        Instead of `hidden_layer_sizes`: any layers, such as convolutions and blocks. The estimator works on copies, and adds an
        output layer. `X` may be images, (n, height, width, channels). Layers with a regularizer of their own don't have `alpha`.
    image_shape : (height, width, channels), optional
        Of the images that `X` has in its columns; for `layers`.
    dropout : float or list of float, default 0
        Rate behind each hidden layer.
    batch_norm : bool, default False
        Batch normalization before each hidden activation.
    initializer : str or Initializer, optional
        Of the weights; biases begin at 0. By default scikit-learn's: weights and biases uniform by the layers' sizes.
    callbacks : list of Callback, optional
        fastnet's; the figures are "loss", and with samples to judge by "val_loss" and "val_score".
    dtype : {"auto", "float32", "float64"}, default "auto"
        What the network computes in: "auto" is float32 where `X` is, else float64, as in scikit-learn. float32 takes half the time.

    Attributes
    ----------
    network_ : Network
        What has been trained: ``network_.save(path)``, ``fn.report(...)`` and the rest of fastnet work on it.
    classes_ : ndarray
    n_features_in_, feature_names_in_, n_iter_, n_layers_, n_outputs_, out_activation_, t_
        As in `MLPClassifier`.
    coefs_, intercepts_ : list of ndarray
        Read-only views of the network's weights and biases. Setting the attribute copies arrays into it.
    loss_curve_ : list of float
        Training loss with penalty, of each epoch; `loss_` is the last and `best_loss_` the least. With "lbfgs", of each iteration.
    validation_scores_, validation_loss_curve_ : list of float or None
        Accuracy and loss (without penalty) on the samples to judge by; `best_validation_score_` is the greatest.
    stopped_early_ : bool
        Whether `partial_fit` has stopped, and changes nothing any more.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import fastnet as fn
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), fn.estimators.NetClassifier(max_iter=50, tol=1e-3, random_state=0))
    >>> model.fit(X[100:], y[100:]).score(X[:100], y[:100]) > 0.9
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseNet._parameter_constraints,
        "loss": [StrOptions({"log_loss"}), fn.Loss],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    def __init__(self, hidden_layer_sizes: int | Sequence[int] = (100,),
                 activation: str | Activation | Rowwise = "relu", *, solver: str | Optimizer = "adam",
                 alpha: float = 0.0001, batch_size: int | Literal["auto"] = "auto",
                 learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant",
                 learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
                 random_state: Any = None, tol: float = 1e-4, verbose: bool | int = False, warm_start: bool = False,
                 momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
                 validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                 n_iter_no_change: float = 10, max_fun: int = 15000, loss: str | Loss = "log_loss",
                 class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
                 layers: Sequence[Layer] | None = None, image_shape: Sequence[int] | None = None,
                 dropout: float | Sequence[float] = 0.0, batch_norm: bool = False, initializer: Init | None = None,
                 callbacks: Callbacks | None = None, dtype: str = "auto") -> None:  # fmt: skip
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes, activation=activation, solver=solver, alpha=alpha, batch_size=batch_size,
            learning_rate=learning_rate, learning_rate_init=learning_rate_init, power_t=power_t, max_iter=max_iter, shuffle=shuffle,
            random_state=random_state, tol=tol, verbose=verbose, warm_start=warm_start, momentum=momentum,
            nesterovs_momentum=nesterovs_momentum, early_stopping=early_stopping, validation_fraction=validation_fraction,
            beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, n_iter_no_change=n_iter_no_change, max_fun=max_fun, loss=loss,
            class_weight=class_weight, layers=layers, image_shape=image_shape, dropout=dropout, batch_norm=batch_norm,
            initializer=initializer, callbacks=callbacks, dtype=dtype,
        )  # fmt: skip

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # Targets

    @property
    def _is_multilabel(self) -> bool:
        return self._label_binarizer.y_type_.startswith("multilabel")

    def _check_data(self, X: Any, y: Any, incremental: bool, first: bool) -> tuple[Any, Any]:
        X, y = self._validate(X, y, multi_output=True, reset=first)
        y = self._check_y(y)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        elif self.warm_start and not incremental and set(unique_labels(y)) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                f"got {self.classes_}, `y` has {unique_labels(y)}"
            )
        return X, y

    def _check_y(self, y: Any) -> Any:
        y = np.asarray(y) if not scipy.sparse.issparse(y) else y.toarray()
        return column_or_1d(y, warn=True) if np.ndim(y) == 2 and np.shape(y)[1] == 1 else y

    def _encode(self, y: Any) -> Array:
        """Class numbers where the network has an output for each class, else 0 or 1 for each output."""
        if self._is_multilabel:
            return self._label_binarizer.transform(y).astype(np.float32)
        labels = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        unknown = np.unique(y[self.classes_[labels] != y])
        if len(unknown):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {unknown}."
            )
        if self.out_activation_ != "softmax":
            return labels[:, None].astype(np.float32)
        if self._objective.takes_labels(labels, (self.n_outputs_,)):
            return labels
        return np.eye(self.n_outputs_, dtype=np.float32)[labels]

    def _make_objective(self, y: Array) -> tuple[Objective, str, int]:
        if self._is_multilabel:
            outputs, activation = len(self.classes_), "logistic"
        elif self._label_binarizer.y_type_ == "multiclass":
            outputs, activation = len(self.classes_), "softmax"
        else:
            outputs, activation = 1, "logistic"
        if self.loss == "log_loss":
            if activation == "softmax":
                return Objective(fn.SoftmaxCrossEntropy()), activation, outputs
            return Objective(fn.SigmoidCrossEntropy(), outputs, outputs), activation, outputs
        if self.loss.head == "softmax" and not self._is_multilabel:
            outputs, activation = max(outputs, 2), "softmax"
        if self.loss.head not in (None, {"logistic": "sigmoid"}.get(activation, activation)):
            raise ValueError(
                f"loss {self.loss!r} is for {self.loss.head} outputs; the targets are {self._label_binarizer.y_type_}"
            )
        return Objective(self.loss), activation, outputs

    def _check_weights(self, sample_weight: Any, X: Any, y: Any, incremental: bool) -> Any:
        weights = super()._check_weights(sample_weight, X, y, incremental)
        if self.class_weight is None:
            return weights
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit: pass the weights of the classes as a dict"
            )
        by_class = compute_sample_weight(self.class_weight, y)
        return by_class if weights is None else weights * by_class

    def _numbers(self, outputs: Array) -> np.ndarray:
        """Class numbers of raw outputs."""
        if self.out_activation_ == "softmax":
            return outputs.argmax(axis=1)
        return (outputs[:, 0] > 0).astype(np.intp) if len(self.classes_) > 1 else np.zeros(len(outputs), np.intp)

    def _score_of(self, outputs: Array, y: Array, sample_weight: Array | None) -> float:
        """Accuracy: of all labels of a sample at once, where it has several."""
        if self._is_multilabel:
            right = ((outputs > 0) == y).all(axis=1)
        else:
            labels = y if y.ndim == 1 else y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
            right = self._numbers(outputs) == labels
        return float(np.average(right, weights=sample_weight))

    def _stratum(self, y: Array) -> Any:
        if self._is_multilabel:
            return None
        labels = y if y.ndim == 1 else y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
        _, counts = np.unique(labels, return_counts=True)
        held = math.ceil(self.validation_fraction * len(labels))
        return labels if counts.min() > 1 and len(counts) <= min(held, len(labels) - held) else None

    # Methods

    @if_stochastic
    @checks_parameters
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None, *,
                    X_val: Any = None, y_val: Any = None, sample_weight_val: ArrayLike | None = None) -> Self:  # fmt: skip
        """Train for one epoch on some samples, going on from where the last call has left the network and the optimizer.

        With `early_stopping`, `X_val` and `y_val` are judged by; when the score gains no more, the network gets the weights of the
        best call, `stopped_early_` becomes True, and further calls change nothing.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As in `fit`.
        classes : array of shape (n_classes,), optional
            All there will be; needed at the first call.

        Returns
        -------
        self
        """
        if _check_partial_fit_first_call(self, classes):
            targets = y if type_of_target(y).startswith("multilabel") else classes
            self._label_binarizer = LabelBinarizer().fit(targets)
        return self._fit(X, y, sample_weight, True, (X_val, y_val, sample_weight_val))

    def predict(self, X: Any) -> Array:
        """Classes, or for several labels 0 or 1 for each.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n_samples, n_features), or images
        """
        outputs = self._raw_outputs(X)
        if self._is_multilabel:
            return self._label_binarizer.inverse_transform(self._activated(outputs))
        return self.classes_[self._numbers(outputs)]

    def predict_proba(self, X: Any) -> Array:
        """Probabilities, (n_samples, n_classes), in the order of `classes_`."""
        probabilities = self._activated(self._raw_outputs(X))
        if self.n_outputs_ == 1:
            return np.hstack([1 - probabilities, probabilities])
        return probabilities

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))
