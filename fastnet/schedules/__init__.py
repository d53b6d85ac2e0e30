"""Learning rates that change while training runs: `optimizer.learning_rate` takes one instead of a number."""

from fastnet.schedules.base import Schedule, get, rates_of
from fastnet.schedules.cycle import Cosine, CosineRestarts, OneCycle
from fastnet.schedules.decay import Constant, Exponential, InverseTime, Piecewise, Polynomial, Step
from fastnet.schedules.warmup import Warmup

__all__ = [
    "Constant", "Cosine", "CosineRestarts", "Exponential", "InverseTime", "OneCycle", "Piecewise", "Polynomial",
    "Schedule", "Step", "Warmup", "get", "rates_of",
]  # fmt: skip
