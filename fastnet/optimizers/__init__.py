"""Update rules, one a file. They are configuration: their state belongs to the Trainer."""

from fastnet.optimizers.adagrad import Adagrad
from fastnet.optimizers.adam import Adam, AdamW
from fastnet.optimizers.base import Optimizer, get
from fastnet.optimizers.groups import ParameterGroup
from fastnet.optimizers.rmsprop import RMSprop
from fastnet.optimizers.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "ParameterGroup", "RMSprop", "get"]
