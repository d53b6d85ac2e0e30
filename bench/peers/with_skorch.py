"""skorch's side: scikit-learn's interface around a module of PyTorch."""

from __future__ import annotations

import torch
from skorch import NeuralNetClassifier

from bench.nets import LEARNING_RATES, Training
from bench.peers import with_torch


def classifier(training: Training, epochs: int, shuffle: bool) -> NeuralNetClassifier:
    return NeuralNetClassifier(
        with_torch.build(training.net), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
        optimizer__fused=True, lr=LEARNING_RATES[training.net.optimizer], max_epochs=epochs, batch_size=training.batch,
        iterator_train__shuffle=shuffle, train_split=None, verbose=0,
    )  # fmt: skip


def epochs(training: Training, count: int, threads: int):
    """As `ours.epochs`, through `fit`."""
    torch.set_num_threads(threads)
    x, y = training.data()
    first = classifier(training, 1, shuffle=False).fit(x, y).history[-1, "train_loss"]
    model = classifier(training, count, shuffle=True)
    return lambda: model.fit(x, y), float(first)
