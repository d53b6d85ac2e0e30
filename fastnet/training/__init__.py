"""Training: the Trainer, its history and callbacks, evaluation."""

from fastnet.training.callbacks import Callback, EarlyStopping, ReduceLROnPlateau
from fastnet.training.checkpoint_directory import newest_checkpoint
from fastnet.training.history import History
from fastnet.training.learning_rate_search import LearningRateSearch, find_learning_rate
from fastnet.training.model_checkpoint import ModelCheckpoint
from fastnet.training.trainer import Trainer

__all__ = [
    "Callback",
    "EarlyStopping",
    "History",
    "LearningRateSearch",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "Trainer",
    "find_learning_rate",
    "newest_checkpoint",
]
