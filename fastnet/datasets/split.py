"""Parts of the data for training and for testing, the same ones every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.datasets.images import Images

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike

__all__ = ["train_test_split"]


def train_test_split(x: ArrayLike, y: ArrayLike, *, test: float = 0.2, seed: int = 0,
                     stratify: bool = True) -> tuple[tuple[Any, Array], tuple[Any, Array]]:  # fmt: skip
    """Divide samples into a training and a test part.

    The division depends on the arguments alone, on every machine and version of NumPy. In both
    parts the samples keep their order.

    Parameters
    ----------
    x : array (n, ...), or `Images`
    y : array (n, ...)
    test : float, default 0.2
        Share of the samples that become the test part.
    seed : int, default 0
    stratify : bool, default True
        Where `y` holds labels (integers, booleans or text of shape (n,)), take this share of each class, as exactly
        as whole samples allow. A class with one sample stays in the training part. Real-valued `y` are divided without.

    Returns
    -------
    (x, y), (x_test, y_test)
        Copies; of `Images`, others of the same files.

    Raises
    ------
    ValueError
        The lengths differ, or a part would be empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.datasets import train_test_split
    >>> x, y = np.arange(10), np.array([0, 1] * 5)
    >>> (x, y), (x_test, y_test) = train_test_split(x, y, test=0.4)
    >>> sorted(y.tolist()), sorted(y_test.tolist())
    ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1])
    """
    x, y = x if isinstance(x, Images) else np.asarray(x), np.asarray(y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"x and y must have the same length; got shapes {x.shape} and {y.shape}")
    labels = y if checks.flag("stratify", stratify) and y.ndim == 1 and y.dtype.kind in "iubUSO" else None
    train_rows, test_rows = split_rows(len(x), labels, test, seed)
    take = x.take if isinstance(x, Images) else x.__getitem__
    return (take(train_rows), y[train_rows]), (take(test_rows), y[test_rows])


def split_rows(n: int, labels: Array | None, test: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the test rows, both rising; `labels` is None or has the classes of n rows."""
    test = checks.real_number("test", test, above=0, below=1)
    drawn = _shuffled(n, checks.whole_number("seed", seed))
    if labels is None:
        chosen = drawn[: round(test * n)]
    else:
        chosen = _stratified(drawn, np.unique(labels, return_inverse=True)[1], test)
    is_test = np.zeros(n, bool)
    is_test[chosen] = True
    train_rows, test_rows = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    if len(train_rows) == 0 or len(test_rows) == 0:
        raise ValueError(
            f"test: a share of {test:g} divides {n} samples into {len(train_rows)} for training and "
            f"{len(test_rows)} for testing; each part needs at least one"
        )
    return train_rows, test_rows


def _stratified(drawn: np.ndarray, classes: np.ndarray, test: float) -> np.ndarray:
    """The first of the drawn rows of each class: its share rounded down, and one more where most is left over."""
    counts = np.bincount(classes)
    wanted = test * counts
    taken = np.floor(wanted).astype(np.intp)
    missing = round(test * len(classes)) - taken.sum()
    by_remainder = np.argsort(taken - wanted, kind="stable")
    spare = (wanted > taken) & (counts - taken > 1)
    taken[by_remainder[spare[by_remainder]][: max(missing, 0)]] += 1
    order = drawn[np.argsort(classes[drawn], kind="stable")]  # by class, each as drawn
    starts = np.cumsum(counts) - counts
    return np.concatenate([order[start : start + n] for start, n in zip(starts, taken, strict=True)])


def _shuffled(n: int, seed: int) -> np.ndarray:
    """The numbers below n in an order drawn by a counter-based generator: sorted by the hash of (seed, number)."""
    with np.errstate(over="ignore"):
        start = _mix(np.uint64(seed % 2**64) + _GOLDEN)
        return np.argsort(_mix(start + np.arange(1, n + 1, dtype=np.uint64) * _GOLDEN), kind="stable")


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: Any) -> Any:
    """SplitMix64's output function (Steele, Lea & Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
