"""How a training is done, as texts and numbers: what is needed to repeat it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnet.training.batches import BatchFeed
    from fastnet.training.steps import Feed
    from fastnet.training.trainer import Trainer

__all__ = ["describe"]


def describe(trainer: Trainer, feed: Feed | BatchFeed, validation: Feed | BatchFeed | None, epochs: int,
             batch_size: int) -> dict[str, Any]:  # fmt: skip
    """A training's settings, as JSON can hold them.

    Objects (layers, optimizer, loss, ...) are written as Python would make them, with all arguments.

    Parameters
    ----------
    trainer : Trainer
    feed : Feed
        The training data.
    validation : Feed or None
    epochs, batch_size : int

    Returns
    -------
    dict
    """
    import fastnet
    from fastnet import config

    net, update, ranks = trainer.net, trainer.update, trainer.distributed
    clipping = {f"clip_{field.name}": getattr(update.clipping, field.name) for field in fields(update.clipping)}
    settings = {
        "layers": [[node.name, repr(node.layer)] for node in net.graph.nodes],
        "input_shape": list(net.input_shape),
        "dtype": net.dtype,
        "seed": net.seed,
        "loss": repr(trainer.loss),
        "metrics": [repr(metric) for metric in trainer.metrics],
        "optimizer": repr(trainer.optimizer),
        "epochs": epochs,
        "batch_size": batch_size,
        "samples": feed.samples,
        "validation_samples": None if validation is None else validation.samples,
        "augment": [] if feed.augmentation is None else [repr(item) for item in feed.augmentation.operations],
        **clipping,
        "accumulate": update.accumulate,
        "average": None if update.average is None else repr(update.average.rule),
        "microbatch": trainer.microbatch,
        **({"ranks": ranks.size, "distributed": repr(ranks)} if trainer.in_pieces else {}),
        "fastnet": fastnet.__version__,
        "isa": config.isa(),
        "threads": config.get_num_threads(),
    }
    return {name: value for name, value in settings.items() if value not in (None, [])}
