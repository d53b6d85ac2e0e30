"""The progress bar: one, however it is asked for."""

import re

import numpy as np
import pytest
import tqdm.auto

import fastnet as fn

X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
Y = X.sum(axis=1)


@pytest.fixture
def bars(monkeypatch):
    """The bars that are made."""
    made = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.postfixes = []
            made.append(self)

        def set_postfix_str(self, text, refresh=True):
            self.postfixes.append(text)
            super().set_postfix_str(text, refresh)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    return made


def fit(**options):
    net = fn.Network([fn.Dense(1)], input_shape=(4,), seed=0)
    return net.fit(X, Y, loss="mse", batch_size=8, **options)


@pytest.mark.parametrize(
    "options", [{}, {"callbacks": [fn.ProgressBar()]}, {"callbacks": [fn.ProgressBar()], "verbose": 0}]
)
def test_one_bar_for_all_epochs(options, bars, capsys):
    fit(epochs=3, validation=(X, Y), **options)
    (bar,) = bars
    assert bar.total == bar.n == 90 and bar.leave
    assert "epoch 3/3: 100%" in bar.desc + capsys.readouterr().err
    assert re.fullmatch(r"loss \S+, val_loss \S+", bar.postfixes[-1])


def test_a_bar_for_each_epoch(bars):
    history = fit(epochs=3, validation=(X, Y), callbacks=[fn.ProgressBar(by_epoch=True, leave=False)])
    assert [(bar.total, bar.n, bar.leave) for bar in bars] == [(30, 30, False)] * 3
    assert [bar.desc for bar in bars] == [f"epoch {i}/3: " for i in (1, 2, 3)]
    for bar, loss, value in zip(bars, history["loss"], history["val_loss"], strict=True):
        assert bar.postfixes[-1] == f"loss {loss:.4g}, val_loss {value:.4g}"


def test_no_bar(bars, capsys):
    fit(verbose=0)
    assert bars == [] and capsys.readouterr().err == ""


def test_bars_are_closed_whatever_ends_the_training(bars):
    def fail(trainer, logs):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(callbacks=[fn.ProgressBar(by_epoch=True), fn.LambdaCallback(on_epoch_end=fail)])
    assert [bar.disable for bar in bars] == [True]  # as closed ones are


def test_several_bars_are_refused(bars):
    with pytest.raises(ValueError, match="callbacks has several progress bars"):
        fit(callbacks=[fn.ProgressBar(), fn.ProgressBar()])
    with pytest.raises(TypeError, match="by_epoch must be True or False"):
        fn.ProgressBar(by_epoch=2)
    assert bars == []
