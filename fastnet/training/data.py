"""The data of a training: checked, and divided into training and validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, labels
from fastnet.kernels import random
from fastnet.training.batches import BatchFeed, are_batches, gives_batches
from fastnet.training.mapped import MappedFeed
from fastnet.training.steps import Feed

if TYPE_CHECKING:
    from fastnet.augment import Augmentation
    from fastnet.distributed import Ranks
    from fastnet.losses import Loss
    from fastnet.network import Network
    from fastnet.training.averaging import AverageState
    from fastnet.training.evaluation import Evaluator
    from fastnet.training.fit_settings import FitSettings
    from fastnet.training.trainer import Trainer

__all__ = ["batches_of", "check_mixing", "check_ranks", "check_second_pass", "feeds"]


def feeds(evaluator: Evaluator, x: Any, y: Any, validation: Any, sample_weight: Any, class_weight: Any,
          **how: Any) -> tuple[Feed | BatchFeed, Feed | BatchFeed | None]:  # fmt: skip
    """Check all data that is in memory; returns the feeds of training and validation.

    `how` is what batches take: epochs, steps_per_epoch, prefetch.
    """
    if batches_of("x", x, y):
        feed: Feed | BatchFeed = _batch_feed(evaluator, x, sample_weight, class_weight, **how)
    elif how["steps_per_epoch"] is not None:
        raise ValueError("steps_per_epoch is for x that gives batches; with arrays an epoch goes through all samples")
    else:
        feed = evaluator.feed(x, y, sample_weight, class_weight, ordered=True)
    if validation is None:
        return feed, None
    if isinstance(validation, tuple) or (isinstance(validation, list) and not are_batches(validation)):
        if len(validation) not in (2, 3):
            raise ValueError(
                f"validation must be (x, y), (x, y, sample_weight) or a share; got {len(validation)} items"
            )
        return feed, evaluator.feed(*validation, x_name="validation x", y_name="validation y")
    if are_batches(validation):
        return feed, BatchFeed(evaluator, validation, "validation", passes=how["epochs"], prefetch=how["prefetch"])
    share = checks.real_number("validation", validation, above=0, below=1)
    if isinstance(feed, BatchFeed):
        raise ValueError(
            f"validation={share:g} holds samples out of arrays; with batches pass (x, y), or validation batches of their own"
        )
    return _divided(feed, share, evaluator.executor.seed)


def batches_of(name: str, x: Any, y: Any) -> bool:
    """Whether x gives batches (x, y); the right one of both is missing then, y."""
    if y is None:
        if are_batches(x):
            return True
        raise TypeError(
            f"y is missing: pass {name} and y as arrays, or {name} that gives batches (x, y): an iterable, a list of tuples, "
            f"or a function that returns an iterator; got {checks.describe(x)}"
        )
    if gives_batches(x):
        raise TypeError(f"{name} gives batches ({type(x).__name__}), which have their targets: leave y out")
    return False


def _batch_feed(evaluator: Evaluator, x: Any, sample_weight: Any, class_weight: Any, epochs: int,
                steps_per_epoch: int | None, prefetch: bool) -> BatchFeed:  # fmt: skip
    if sample_weight is not None:
        raise ValueError("sample_weight is for arrays; batches bring theirs, as (x, y, sample_weight)")
    if steps_per_epoch is not None:
        checks.whole_number("steps_per_epoch", steps_per_epoch, least=1)
    checks.flag("prefetch", prefetch)
    return BatchFeed(evaluator, x, steps=steps_per_epoch, passes=epochs, prefetch=prefetch, class_weight=class_weight)


def _divided(feed: Feed, share: float, seed: int) -> tuple[Feed, Feed]:
    """A feed without samples that are chosen at random, and one of these."""
    n = feed.samples
    held = round(share * n)
    if not 0 < held < n:
        raise ValueError(f"validation={share:g} of {n} samples leaves an empty part")
    order = random.permutation(n, seed=seed, path="validation")
    return _part(feed, np.sort(order[held:]), True), _part(feed, np.sort(order[:held]), False)


def _part(feed: Feed, rows: np.ndarray, ordered: bool) -> Feed:
    if isinstance(feed, MappedFeed):
        return feed.part(rows)
    targets = labels.Targets(feed.targets.array[rows], feed.targets.classes, feed.targets.shape)
    images = None if feed.images is None else feed.images.take(rows)
    x = feed.x[rows] if images is None else images.array
    weights = None if feed.weights is None else feed.weights[rows]
    return Feed(x, targets, weights, ordered=ordered, checked=False, images=images)


def check_mixing(augmentation: Augmentation, loss: Loss, net: Network) -> None:
    """Refuse to mix where the loss knows class numbers only."""
    output = net.output_shape
    if augmentation.mixup is not None and loss.takes_labels(np.empty((1, *output), net.dtype), output):
        raise ValueError(
            f"augment: Mixup makes targets of shape (n, {', '.join(map(str, output))}), which the loss "
            f"{type(loss).__name__} does not take"
        )


def check_second_pass(feed: Feed | BatchFeed, average: AverageState | None, net: Network) -> None:
    """Refuse batches that come once only where an average of the weights needs them once more."""
    renews = (
        average is not None and average.rule.renews_statistics and any(hasattr(p, "running_mean") for p in net.layers)
    )
    if renews and isinstance(feed, BatchFeed) and not feed.restarts():
        raise ValueError(
            "average: the statistics of batch normalization under the averaged weights take one more pass over the batches, "
            "and x is an iterator: pass a function that returns a new one"
        )


def check_ranks(ranks: Ranks, feed: Feed | BatchFeed, settings: FitSettings, trainer: Trainer) -> None:
    """Refuse what several ranks, each with batches or shards of its own, can't do."""
    if ranks.size == 1:
        return
    alone = isinstance(feed, BatchFeed) or ranks.data == "shards"
    if isinstance(feed, BatchFeed) and (trainer.update.accumulate > 1 or ranks.reduction == "exact"):
        what = "accumulate" if trainer.update.accumulate > 1 else 'reduction="exact"'
        raise ValueError(f"{what} needs to know the batches beforehand: with several ranks give arrays, not batches")
    if alone and isinstance(settings.class_weight, str):
        raise ValueError(
            f"class_weight={settings.class_weight!r} needs all targets: each rank has its own; give a dict or array"
        )
    average = trainer.update.average
    if alone and average is not None and average.rule.renews_statistics:
        raise ValueError(
            "average: the statistics of batch normalization under the averaged weights take a pass over all samples, and each "
            "rank has its own; take fn.EMA"
        )
