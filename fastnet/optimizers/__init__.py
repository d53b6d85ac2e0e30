"""Update rules, one a file. They are configuration: their state belongs to the Trainer."""

from fastnet.optimizers.adadelta import Adadelta
from fastnet.optimizers.adagrad import Adagrad
from fastnet.optimizers.adam import Adam, AdamW
from fastnet.optimizers.adamax import Adamax
from fastnet.optimizers.base import Optimizer, get
from fastnet.optimizers.groups import ParameterGroup
from fastnet.optimizers.lion import Lion
from fastnet.optimizers.muon import Muon
from fastnet.optimizers.nadam import NAdam
from fastnet.optimizers.radam import RAdam
from fastnet.optimizers.rmsprop import RMSprop
from fastnet.optimizers.sgd import SGD

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Muon", "NAdam", "Optimizer", "ParameterGroup",
    "RAdam", "RMSprop", "get",
]  # fmt: skip
