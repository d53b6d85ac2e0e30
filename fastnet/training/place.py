"""How far a fit has come, as checkpoints hold it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnet.training.callbacks import Callback
    from fastnet.training.fit_settings import FitSettings
    from fastnet.types import Array

__all__ = ["BATCHES", "BEGIN", "END", "EVALUATION", "Place", "Unfinished"]

# The stages of an epoch: what comes next.
BEGIN, BATCHES, EVALUATION, END = "begin", "batches", "evaluation", "end"


@dataclass
class Place:
    """How far a fit has come.

    Attributes
    ----------
    epoch : int
        Epochs that are finished.
    stage : str
        Of the epoch after them.
    called : int
        Callbacks that have had their call of this stage; in the stage of the batches, after the last batch.
    done : int
        Samples of the epoch's order that have had their step.
    rate : float
        The learning rate at the epoch's first step.
    seconds : float
        What the epoch has taken before it was taken up again.
    figures : dict
        Of the epoch, from its evaluation on.
    """

    epoch: int = 0
    stage: str = BEGIN
    called: int = 0
    done: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class Unfinished:
    """A fit that a checkpoint has interrupted, as it is in the file, and its callbacks.

    Attributes
    ----------
    settings : FitSettings
    place : Place
    callbacks : list of Callback
    states : list of dict
        What the callbacks have saved, of the first of them.
    data : dict
        Fingerprints.
    sums : ndarray
        Of the loss and the metrics over the epoch's batches so far.
    loss : float
        The last batch's.
    stop : str or None
        Why training is to end after the epoch.
    """

    settings: FitSettings
    place: Place
    callbacks: list[Callback]
    states: list[dict[str, Any]]
    data: dict[str, dict[str, Any]]
    sums: Array
    loss: float
    stop: str | None

    @property
    def where(self) -> str:
        """How far it has come, in words that "of 10" may follow."""
        place = self.place
        place_in = {BEGIN: "before", END: "behind"}.get(place.stage, f"behind sample {place.done:,} in")
        return f"{place_in} epoch {place.epoch + 1}"

    def __repr__(self) -> str:
        return f"<fit of {self.settings.epochs} epochs, interrupted {self.where}>"
