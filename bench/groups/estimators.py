"""Whole fits of estimators: ours and scikit-learn's networks, from the same first weights, through the same batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.agreement import check
from bench.rows import Row
from bench.settings import Case
from bench.timing import measure, repeat

#: Of the loss of each epoch. Rounding differs, and training amplifies it.
TOLERANCES = {"float32": 1e-3, "float64": 1e-8}


@dataclass(frozen=True)
class Fit:
    """
    Parameters
    ----------
    like : str
        A data set with such numbers of samples, features and classes.
    classes : int
        0: a regression.
    """

    like: str
    samples: int
    features: int
    classes: int
    hidden: tuple[int, ...] = (100,)
    batch: int = 200
    epochs: int = 50
    dtype: str = "float32"
    solver: str = "adam"

    @property
    def name(self) -> str:
        solver = "" if self.solver == "adam" else f", {self.solver}"
        return f"like {self.like}, {self.dtype}{solver}"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Normal features, and targets that can be learned from them."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.samples, self.features)).astype(self.dtype)
        values = np.tanh(x @ rng.standard_normal((self.features, max(self.classes, 1))) / np.sqrt(self.features))
        if self.classes > 2:
            return x, values.argmax(axis=1)
        y = values[:, 0].astype(self.dtype)
        return x, (y > 0).astype(int) if self.classes else y

    def settings(self) -> dict:
        """What both estimators are made with; they don't stop before the last epoch."""
        return {
            "hidden_layer_sizes": self.hidden, "batch_size": min(self.batch, self.samples), "solver": self.solver,
            "max_iter": self.epochs, "tol": 0.0, "n_iter_no_change": self.epochs + 1, "random_state": 0,
        }  # fmt: skip


SETS = [
    ("the digits", 1_500, 64, 10),
    ("breast cancer", 569, 30, 2),
    ("diabetes", 442, 10, 0),
    ("California housing", 16_000, 8, 0),
    ("MNIST", 12_000, 784, 10),
]
FITS = [
    Fit(like, samples, features, classes, epochs=5 if samples > 10_000 else 50, dtype=dtype)
    for dtype in ("float32", "float64")
    for like, samples, features, classes in SETS
] + [Fit("the digits", 1_500, 64, 10, dtype="float64", solver="lbfgs")]


def cases(setup):
    for fit in setup.some(FITS, (1, 2)):
        yield Case(fit.name, lambda fit=fit: fitted(setup, fit))


def fitted(setup, fit: Fit) -> Row:
    from bench.peers import ours

    made = {"fastnet": ours.estimator(fit)}
    if setup.has("sklearn"):
        from bench.peers import with_sklearn

        made["sklearn"] = with_sklearn.estimator(fit)
    # After many of L-BFGS's iterations two runs that round differently are elsewhere.
    losses = {name: [model.loss_] if fit.solver == "lbfgs" else model.loss_curve_ for name, (_, model) in made.items()}
    check(losses, 0.05 if fit.solver == "lbfgs" else TOLERANCES[fit.dtype])
    row = measure(setup, {name: repeat(call) for name, (call, _) in made.items()})
    row.figures["epochs"] = fit.epochs
    return row
