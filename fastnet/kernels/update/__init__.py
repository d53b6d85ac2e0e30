"""Optimizer updates of NumPy arrays, in place. Formulas and defaults are PyTorch's."""

from fastnet.kernels.update.adam import adam_update, adamax_update, momentum_base, nadam_update, radam_update
from fastnet.kernels.update.arrays import BLOCK, RANGE
from fastnet.kernels.update.momentum import lion_update, sgd_update
from fastnet.kernels.update.norm import gradient_norm
from fastnet.kernels.update.squares import adadelta_update, adagrad_update, rmsprop_update

__all__ = [
    "BLOCK", "RANGE", "adadelta_update", "adagrad_update", "adam_update", "adamax_update", "gradient_norm",
    "lion_update", "momentum_base", "nadam_update", "radam_update", "rmsprop_update", "sgd_update",
]  # fmt: skip
