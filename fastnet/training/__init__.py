"""Training: the Trainer, its history and callbacks, evaluation."""

from fastnet.training.callbacks import Callback, EarlyStopping, LambdaCallback, ReduceLROnPlateau, TerminateOnNaN
from fastnet.training.checkpoint_directory import newest_checkpoint
from fastnet.training.history import History
from fastnet.training.learning_rate_search import LearningRateSearch, find_learning_rate
from fastnet.training.loggers import CSVLogger, JSONLogger, LearningRateLogger
from fastnet.training.model_checkpoint import ModelCheckpoint
from fastnet.training.progress import ProgressBar
from fastnet.training.tensorboard import TensorBoard
from fastnet.training.trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "LambdaCallback",
    "LearningRateLogger",
    "LearningRateSearch",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
    "Trainer",
    "find_learning_rate",
    "newest_checkpoint",
]
