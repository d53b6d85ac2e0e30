"""The data of a training: all of it checked before the first step, and divided into training and validation."""

from __future__ import annotations

import numpy as np

from fastnet import checks, labels
from fastnet.kernels import random
from fastnet.training.steps import Feed

__all__ = ["check_mixing", "feeds"]


def feeds(evaluator, x, y, validation, sample_weight, class_weight) -> tuple[Feed, Feed | None]:
    """Check all data; returns the feeds of training and validation."""
    executor = evaluator.executor
    feed = evaluator.feed(x, y)
    weights = labels.combined_weights(sample_weight, class_weight, feed.targets, executor.dtype)
    whole = Feed(feed.x, feed.targets, weights, ordered=True, checked=False, images=feed.images)
    if validation is None:
        return whole, None
    if not isinstance(validation, (tuple, list)):
        return _divided(whole, checks.real_number("validation", validation, above=0, below=1), executor.seed)
    if len(validation) not in (2, 3):
        raise ValueError(f"validation must be (x, y), (x, y, sample_weight) or a share; got {len(validation)} items")
    return whole, evaluator.feed(*validation, x_name="validation x", y_name="validation y")


def _divided(feed: Feed, share: float, seed: int) -> tuple[Feed, Feed]:
    """A feed without samples that are chosen at random, and one of these."""
    n = len(feed.x)
    held = round(share * n)
    if not 0 < held < n:
        raise ValueError(f"validation={share:g} of {n} samples leaves an empty part")
    order = random.permutation(n, seed=seed, path="validation")
    return tuple(_part(feed, np.sort(rows), ordered) for rows, ordered in ((order[held:], True), (order[:held], False)))


def _part(feed: Feed, rows: np.ndarray, ordered: bool) -> Feed:
    targets = labels.Targets(feed.targets.array[rows], feed.targets.classes, feed.targets.shape)
    images = None if feed.images is None else feed.images.take(rows)
    x = feed.x[rows] if images is None else images.array
    weights = None if feed.weights is None else feed.weights[rows]
    return Feed(x, targets, weights, ordered=ordered, checked=False, images=images)


def check_mixing(augmentation, loss, net) -> None:
    """Refuse to mix where the loss knows class numbers only."""
    output = net.output_shape
    if augmentation.mixup is not None and loss.takes_labels(np.empty((1, *output), net.dtype), output):
        raise ValueError(
            f"augment: Mixup makes targets of shape (n, {', '.join(map(str, output))}), which the loss "
            f"{type(loss).__name__} does not take"
        )
