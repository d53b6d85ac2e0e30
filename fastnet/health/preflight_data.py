"""Checks before training: the inputs and targets by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from fastnet.health.findings import Finding
from fastnet.health.preflight_report import Check
from fastnet.health.scale import NOTABLE_RATIO, SLOW_RATIO, Scale, first_scalings
from fastnet.layers import Normalize
from fastnet.losses import Poisson

if TYPE_CHECKING:
    from fastnet.labels import Targets
    from fastnet.losses import Loss
    from fastnet.network import Network
    from fastnet.types import Array, Figures

__all__ = ["check_classes", "check_finite", "check_inputs", "check_repeats", "check_targets"]

CHUNK = 1 << 20  # elements that are looked at together
STATISTICS = 1 << 20  # elements that statistics are taken of
COMPARED = 1 << 22  # elements of the samples that are compared with each other
LEAST_SAMPLES = 32  # of the two, however large a sample is

# Deviations of targets. A network's first outputs deviate by about 1, and Adam moves a weight by its learning rate a step.
LARGE_TARGET, SMALL_TARGET = 100, 0.01
IMBALANCE = 10  # largest / smallest class; as Amazon's SageMaker Debugger
NOTABLE_REPEATS = 0.01  # share of samples
MOSTLY_DISTINCT = 0.5  # share of different samples from which repeated ones are no matter of course
FEW = 5  # columns or classes that a sentence names


def some_rows(order: Array, sample_size: int, most_elements: int) -> Array:
    """The first numbers of a random order that make no more than so many elements, ascending."""
    return np.sort(order[: max(LEAST_SAMPLES, most_elements // max(sample_size, 1))])


def listed(values: Iterable[float]) -> str:
    """ "1, 2, 3, ..." """
    values = list(values)
    return ", ".join(f"{value:g}" for value in values[:FEW]) + (", ..." if len(values) > FEW else "")


def _bad_values(array: Array) -> tuple[int, tuple[int, ...] | None]:
    """Where an array has NaN or Inf: how many samples have some, and the index of the first, or None."""
    if array.dtype.kind != "f":
        return 0, None
    rows = max(1, CHUNK // max(1, math.prod(array.shape[1:])))
    count, first = 0, None
    for start in range(0, len(array), rows):
        bad = ~np.isfinite(array[start : start + rows])
        if bad.any():
            count += int(bad.reshape(len(bad), -1).any(axis=1).sum())
            if first is None:
                index = np.argwhere(bad)[0]
                first = (start + int(index[0]), *map(int, index[1:]))
    return count, first


def check_finite(x: Array, y: Array | None) -> Check:
    """NaN and Inf in all inputs and targets."""
    findings, numbers = [], {}
    for argument, array in (("x", x), ("y", y)):
        if array is None:
            continue
        count, first = _bad_values(array)
        numbers[f"samples of {argument}"] = count
        if first is None:
            continue
        value = array[first]
        place = f"sample {first[0]}" + (f", index {first[1:]}" if len(first) > 2 else "")
        place += f", column {first[1]}" if len(first) == 2 else ""
        findings.append(Finding(
            "non-finite", "problem", None, None, {"samples": count, "first": first[0]},
            f"{argument} has values that are not finite in {count:,} of {len(array):,} samples, the first at {place} "
            f"({value}).",
            f"Leave these samples out, x[np.isfinite(x).all(axis=...)], or fill them in: fit refuses {argument}.",
        ))  # fmt: skip
    return Check.of("finite values", "All inputs and targets are finite.", numbers, findings)


# Inputs


def check_inputs(net: Network, x: Array) -> Check:
    """Scale, offset and constancy of some samples: of each column, or of each channel of images."""
    name = "inputs"
    kind = "column" if x.ndim <= 2 else "channel"
    given = Scale.of(x)
    mean, std = float(given.mean.mean()), float(x.std(dtype=np.float64))
    numbers = {"mean": mean, "std": std, "rms": given.rms, "constant": int(given.constant.sum())}
    if given.constant.all() and (x == x[0]).all():
        meaning = f"All {len(x)} samples that were looked at are the same: there is nothing to learn from."
        finding = Finding("input-scale", "problem", None, None, numbers, meaning, "Look at how x is made.")
        return Check.of(name, "", numbers, [finding])
    findings = []
    if given.constant.any() and kind == "column":
        findings.append(Finding(
            "input-scale", "info", None, None, {"constant": numbers["constant"], "columns": len(given.constant)},
            f"{given.constant.sum()} of {len(given.constant)} columns have one value in all samples "
            f"(columns {listed(np.flatnonzero(given.constant))}).",
            "They say nothing about the targets and may be left out; margins of images are like that.",
        ))  # fmt: skip
    scalings = first_scalings(net.graph)
    fixed = [node.name for node in scalings if isinstance(node.layer, Normalize)]
    if not scalings:
        findings += _scale_findings(given, kind, "")
    elif not fixed:
        return Check.of(name, f"{scalings[0].name} normalizes the inputs; they have mean {mean:.3g}, std {std:.3g}.", numbers,
                        findings)  # fmt: skip
    for node, values in net.copy().activations(x, fixed).items() if fixed else ():
        behind = Scale.of(values)
        mean, std = float(behind.mean.mean()), float(values.std(dtype=np.float64))
        findings += _scale_findings(behind, kind, f" behind {node}")
    where = f" behind {fixed[-1]}" if fixed else ""
    return Check.of(name, f"The inputs{where} have mean {mean:.3g} and std {std:.3g}.", numbers, findings)


def _scale_findings(scale: Scale, kind: str, where: str) -> list[Finding]:
    """What is wrong with the scale of the columns, if anything is."""
    remedy = "Put fn.Normalize.of(x) in front as the first layer: it brings each column to mean 0 and std 1."
    mean, std, dense = scale.mean, scale.std, scale.dense
    found = []
    if scale.severity_of_ratio is not None:
        most, least = int(std.argmax()), int(np.flatnonzero(dense)[std[dense].argmin()])
        found.append(Finding(
            "input-scale", scale.severity_of_ratio, None, None, {"largest std": std[most], "smallest std": std[least]},
            f"The {kind}s{where} have very different scales: the std of {kind} {most} is {std[most]:.3g}, that of {kind} "
            f"{least} is {std[least]:.3g}, so that the network hardly sees the small ones.",
            remedy,
        ))  # fmt: skip
    if dense.any():
        offset = np.where(dense, np.abs(mean) / np.where(std > 0, std, 1), 0)
        worst = int(offset.argmax())
        if offset[worst] > NOTABLE_RATIO:
            found.append(Finding(
                "input-scale", "warning" if offset[worst] > SLOW_RATIO else "info", None, None,
                {"mean": mean[worst], "std": std[worst]},
                f"The mean of {kind} {worst}{where}, {mean[worst]:.4g}, is {offset[worst]:.0f} times its std, "
                f"{std[worst]:.3g}: samples look alike to the network.",
                remedy,
            ))  # fmt: skip
    if scale.severity_of_size is not None:
        pixels = "Divide pixels by 255. " if kind == "channel" and scale.is_large else ""
        size = f"their root mean square is {scale.rms:.3g}" if scale.is_large else f"the largest is {scale.largest:.3g}"
        found.append(Finding(
            "input-scale", scale.severity_of_size, None, None, {"rms": scale.rms, "largest": scale.largest},
            f"The inputs{where} are {'large' if scale.is_large else 'tiny'}: {size}. First weights are drawn for inputs "
            "of about 1.",
            pixels + remedy,
        ))  # fmt: skip
    return found


# Samples that are there twice


def groups_of(x: Array) -> Array:
    """A number for each sample; equal samples have the same."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(row.tobytes(), len(seen)) for row in x])


def check_repeats(x: Array, targets: Targets | None) -> Check:
    """Samples that are there twice, and what their targets say."""
    name = "repeated samples"
    groups = groups_of(x)
    counts = np.bincount(groups)
    repeated = float(counts[counts > 1].sum() / len(x))
    numbers = {"distinct": len(counts) / len(x), "repeated": repeated, "contradicting": 0.0}
    if targets is not None and repeated:
        y = targets.array.reshape(len(x), -1)
        order = np.argsort(groups, kind="stable")
        starts = np.searchsorted(groups[order], np.arange(len(counts)))
        differ = (np.minimum.reduceat(y[order], starts) != np.maximum.reduceat(y[order], starts)).any(axis=1)
        numbers["contradicting"] = float(counts[differ].sum() / len(x))
    if targets is not None and numbers["contradicting"] >= NOTABLE_REPEATS:
        return Check.of(name, "", numbers, [_contradiction(groups, targets, numbers)])
    if repeated < NOTABLE_REPEATS:
        return Check.of(name, f"{repeated:.1%} of the samples are there more than once.", numbers)
    finding = Finding(
        "labels", "info", None, None, numbers,
        f"{repeated:.0%} of the samples are there more than once.",
        "See that none of them is in the validation data too: it would look too good.",
    )  # fmt: skip
    return Check.of(name, "", numbers, [finding])


def _contradiction(groups: Array, targets: Targets, numbers: Figures) -> Finding:
    share = numbers["contradicting"]
    meaning = f"{share:.1%} of the samples have a twin with the same inputs and another target."
    severity = "info"
    if targets.classes is not None:
        pairs = groups.astype(np.int64) * targets.classes + targets.array.astype(np.int64)
        found, counts = np.unique(pairs, return_counts=True)
        best = np.zeros(groups.max() + 1)
        np.maximum.at(best, found // targets.classes, counts)
        accuracy = best.sum() / len(groups)
        numbers["best accuracy"] = float(accuracy)
        meaning += f" No network can have an accuracy above {accuracy:.1%} on these data."
        severity = "warning" if numbers["distinct"] >= MOSTLY_DISTINCT else "info"
    return Finding(
        "labels", severity, None, None, numbers, meaning,
        "Look at some of these samples: are labels wrong, were x and y shuffled apart, or is a column missing?",
    )  # fmt: skip


# Targets


def check_classes(loss: Loss, targets: Targets) -> Check | None:
    """How often each class occurs; None where the targets are no classes."""
    counts = _class_counts(loss, targets)
    if counts is None:
        return None
    name, n = "classes", len(targets.array)
    present = counts[counts > 0]
    ratio = float(present.max() / present.min()) if len(present) else 1.0
    numbers = {"classes": len(counts), "largest / smallest": ratio, "missing": int((counts == 0).sum())}
    findings = []
    missing = np.flatnonzero(counts == 0)
    if len(present) <= 1:
        findings.append(Finding(
            "labels", "problem", None, None, numbers,
            f"All {n:,} samples have the label {counts.argmax()}: there is nothing to tell apart.",
            "Look at how y is made.",
        ))  # fmt: skip
    elif len(missing):
        hint = " Labels count from 0." if missing[0] == 0 and counts[-1] else ""
        # Of few samples it is no wonder that a class has none.
        severity = "warning" if n >= 10 * len(counts) else "info"
        findings.append(Finding(
            "labels", severity, None, None, numbers,
            f"{len(missing)} of the {len(counts)} classes never occur: {listed(missing)}.",
            f"Give the last layer as many units as there are classes, or add samples of these.{hint}",
        ))  # fmt: skip
    if ratio >= IMBALANCE:
        rare = int(np.where(counts > 0, counts, n + 1).argmin())
        findings.append(Finding(
            "labels", "warning", None, None, numbers,
            f"Class {counts.argmax()} has {counts.max():,} samples, class {rare} has {counts[rare]:,}: accuracy "
            f"will look good ({counts.max() / n:.0%}) for a network that never says {rare}.",
            'Pass class_weight="balanced" to fit, or collect more of the rare classes; look at each class\'s recall.',
        ))  # fmt: skip
    return Check.of(name, f"{len(counts)} classes; the largest has {ratio:.1f} times the samples of the smallest.",
                    numbers, findings)  # fmt: skip


def _class_counts(loss: Loss, targets: Targets) -> Array | None:
    """Samples of each class: of labels, of probabilities' greatest, or of the two sides of one binary output."""
    array = targets.array
    if targets.classes is not None:
        return np.bincount(array.astype(np.int64), minlength=targets.classes)
    if loss.head == "softmax" and targets.array.ndim == 2:
        return np.bincount(array.argmax(axis=1), minlength=array.shape[1])
    if loss.head == "sigmoid" and targets.shape == (1,):
        return np.bincount((array.reshape(-1) > 0.5).astype(np.int64), minlength=2)
    return None


def check_targets(loss: Loss, targets: Targets) -> Check:
    """Scale and constancy of values to predict."""
    values = targets.array.reshape(len(targets.array), -1).astype(np.float64)
    std, mean = float(values.std()), float(values.mean())
    numbers = {"mean": mean, "std": std, "least": float(values.min()), "greatest": float(values.max())}
    findings = []
    remedy = "Standardize the targets, y = (y - mean) / std, and undo it on predictions."
    scaled = loss.head is None and not isinstance(loss, Poisson)  # the others take logits, or logarithms
    if std <= 1e-6 * max(abs(numbers["least"]), abs(numbers["greatest"])):
        if len(values) > 1:
            findings.append(Finding(
                "labels", "problem", None, None, numbers,
                f"All targets are {mean:.4g}: there is nothing to learn.", "Look at how y is made.",
            ))  # fmt: skip
    elif scaled and (std > LARGE_TARGET or std < SMALL_TARGET):
        findings.append(Finding(
            "input-scale", "warning", None, None, numbers,
            f"The targets have a std of {std:.3g}, where first outputs have one of about 1: "
            + ("the network needs very many steps to reach them." if std > 1 else "first errors drown them."),
            remedy,
        ))  # fmt: skip
    elif scaled and abs(mean) > NOTABLE_RATIO * std:
        findings.append(Finding(
            "input-scale", "warning" if abs(mean) > SLOW_RATIO * std else "info", None, None, numbers,
            f"The targets' mean, {mean:.4g}, is {abs(mean) / std:.0f} times their std, {std:.3g}: the network learns the "
            "mean first, and for long nothing else.",
            remedy,
        ))  # fmt: skip
    return Check.of("targets", f"The targets have mean {mean:.3g} and std {std:.3g}.", numbers, findings)
