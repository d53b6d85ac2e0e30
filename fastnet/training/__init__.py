"""Training: the Trainer, its history and callbacks, evaluation."""

from fastnet.training.callbacks import Callback, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from fastnet.training.history import History
from fastnet.training.trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "History", "ModelCheckpoint", "ReduceLROnPlateau", "Trainer"]
