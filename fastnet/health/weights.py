"""What a network's weights say by themselves: figures of each parameter, and what is wrong without any data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.health import table
from fastnet.health.evidence import Hidden, symmetric_layers, weight_layers
from fastnet.health.findings import Finding, ordered

if TYPE_CHECKING:
    from fastnet.graph import Graph
    from fastnet.parameters import Parameter
    from fastnet.types import Array, ArrayLike

__all__ = ["effective_rank", "findings_of_weights", "weight_figures"]

BINS = 32
MOST_SINGULAR_VALUES = 2048  # from which on the rank of a matrix takes minutes


def weight_figures(array: ArrayLike) -> dict[str, Any]:
    """Figures of one parameter, in float64.

    Parameters
    ----------
    array : array

    Returns
    -------
    dict
        "shape", "size"; over the finite elements "mean", "std", "least", "greatest", "norm" (Euclidean), "zeros" (the share
        of elements that are 0) and "counts" (of 32 equal bins from "least" to "greatest"); "bad", how many elements are
        NaN or infinite; and "rank", the effective rank of a matrix, None of other parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.health.weights import weight_figures
    >>> found = weight_figures(np.array([[3.0, 0.0], [0.0, 3.0]]))
    >>> found["mean"], found["zeros"], round(found["rank"], 6)
    (1.5, 0.5, 2.0)
    """
    array = np.asarray(array)
    values = array.astype(np.float64).ravel()
    good = values[np.isfinite(values)]
    figures = {"shape": list(array.shape), "size": array.size, "bad": int(array.size - good.size)}
    names = ("mean", "std", "least", "greatest", "norm", "zeros")
    if good.size == 0:
        return {**figures, **dict.fromkeys(names), "counts": [0] * BINS, "rank": None}
    measured = (good.mean(), good.std(), good.min(), good.max(), np.linalg.norm(good), np.mean(good == 0))
    counts = np.histogram(good, BINS)[0].tolist()
    return {**figures, **dict(zip(names, map(float, measured), strict=True)), "counts": counts,
            "rank": effective_rank(array)}  # fmt: skip


def effective_rank(array: ArrayLike) -> float | None:
    """exp(-sum p_i ln p_i) with the singular values, divided by their sum, p_i (Roy & Vetterli 2007).

    1 where all rows are multiples of each other, min(rows, columns) where all singular values are equal.

    Parameters
    ----------
    array : array (..., units)
        All axes but the last are joined: a convolution's (height, width, channels, filters) is a matrix with a column for
        each filter.

    Returns
    -------
    float or None
        None of an array with one axis, with values that are not finite, of zeros, or with more than 2,048 rows and columns.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.health.weights import effective_rank
    >>> round(effective_rank(np.outer([1.0, 2.0], [1.0, 1.0, 3.0])), 6)
    1.0
    """
    array = np.asarray(array)
    if array.ndim < 2 or array.size == 0 or min(array.size // array.shape[-1], array.shape[-1]) > MOST_SINGULAR_VALUES:
        return None
    rank = table.effective_rank(array)
    return rank if rank > 0 else None


def findings_of_weights(graph: Graph) -> list[Finding]:
    """What is wrong with a network, as far as its weights alone show it.

    Values that are not finite; layers whose units all have the same weights; units whose weights are all zero, so that no
    input changes their output: dead where relu keeps gradients from them, else initialized too small.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    list of Finding
        The most severe first.
    """
    found = []
    for parameter in graph.parameters.values():
        bad = int(np.sum(~np.isfinite(parameter.value)))
        if bad:
            found.append(_not_finite(parameter, bad))
    symmetric = symmetric_layers(graph)
    for hidden in weight_layers(graph):
        if hidden.name in symmetric:
            found.append(_symmetric(hidden, symmetric[hidden.name]))
            continue
        columns = hidden.weight.value.reshape(-1, hidden.weight.shape[-1])
        zero = np.flatnonzero(~columns.any(axis=0))
        if len(zero):
            found.append(_constant(graph, hidden, zero, columns.shape[1]))
    return ordered(found)


def _not_finite(parameter: Parameter, bad: int) -> Finding:
    return Finding(
        code="non-finite",
        severity="problem",
        layer=parameter.name,
        step=None,
        evidence={"bad": bad, "size": parameter.size},
        meaning=f"{bad:,} of the {parameter.size:,} values of {parameter.name} are NaN or infinite, so the outputs that "
        "depend on them are, too.",
        remedy="Go back to a network that was saved before, and train on with a smaller learning rate or with clip_norm.",
    )


def _symmetric(hidden: Hidden, difference: float) -> Finding:
    units = hidden.weight.shape[-1]
    return Finding(
        code="symmetric-initialization",
        severity="problem",
        layer=hidden.name,
        step=None,
        evidence={"units": units, "difference": difference},
        meaning=f"All {units:,} units of {hidden.name} have the same weights: they compute the same, and get the same "
        "gradients, so training cannot make them different.",
        remedy="Initialize the weights with random numbers, as all layers do by default.",
    )


def _constant(graph: Graph, hidden: Hidden, zero: Array, units: int) -> Finding:
    bias = next((p for p in graph.by_name[hidden.name].layer.parameters() if p.local_name == "bias"), None)
    is_dead = hidden.activation in ("relu", "relu6")
    is_dead = is_dead and not hidden.normed and (bias is None or bool((bias.value[zero] <= 0).all()))
    which = ", ".join(str(unit) for unit in zero[:8]) + (", ..." if len(zero) > 8 else "")
    evidence = {"units": len(zero), "of": units}
    meaning = f"{len(zero):,} of the {units:,} units of {hidden.name} have only weights of 0 ({which}): their output is"
    if is_dead:
        return Finding(
            "dead-relu", "warning", hidden.name, None, evidence,
            f"{meaning} 0 for every input, and no gradient passes them.",
            "Initialize these units again, with random numbers and a smaller learning rate, or use leaky_relu.",
        )  # fmt: skip
    # Different outgoing weights bring such units different gradients: they are no copies that stay equal.
    return Finding(
        "initialization-scale", "info" if hidden.last else "warning", hidden.name, None, evidence,
        f"{meaning} the same for every input, until training gives them weights.",
        "A last layer may start at zero: train it." if hidden.last
        else "Initialize these units again, with random numbers, or leave them out.",
    )  # fmt: skip
