"""The contenders compute the same on all sides; their times are not looked at."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

# Behind the installed packages: the checkout has the sources of fastnet, not always the compiled modules.
sys.path.append(str(Path(__file__).parents[1]))
pytest.importorskip("bench", reason="only in a checkout")
pytest.importorskip("torch")

import fastnet as fn
from bench import accuracy, agreement, nets
from bench.groups import conv
from bench.nets import ADAM, FLATTEN, GLOBAL, NETS, SGD, Net, Training, dense, mlp, norm, residual
from bench.nets import conv as convolution
from bench.peers import choose, ours, with_torch

# With four channels last PyTorch 2.13 writes outside of its memory, on CPUs with AVX2 alone ("corrupted double-linked list").
LAYERS = [convolution(8, 3, bias=False), norm(relu=True), residual(8, 1), residual(16, 2), FLATTEN, dense(10)]
SMALL = [Training(Net("small", LAYERS, (8, 8, 3), optimizer), 8, 32) for optimizer in (ADAM, SGD)]
TINY = Training(mlp(6, 5, 3), 4, 20)
pytestmark = pytest.mark.usefixtures("torch_threads")


@pytest.mark.parametrize("direction", conv.PASSES)
@pytest.mark.parametrize("groups, dtype", [(1, "float32"), (4, "float32"), (1, "float64")])
def test_passes_agree_with_torch(direction, groups, dtype):
    case = conv.Convolution(8, 8, 3, 7, 2, stride=2, groups=groups, dtype=dtype)
    results = {"fastnet": conv.fastnet_pass(case, direction)[1]()}
    for layout in with_torch.LAYOUTS:
        results[layout] = conv.torch_pass(case, direction, 1, layout)[1]()
    agreement.check(results)


def test_check_refuses_other_results():
    with pytest.raises(AssertionError, match="other differs"):
        agreement.check({"fastnet": np.ones(3), "other": np.array([1, 1, 1.001])})
    with pytest.raises(AssertionError, match="other has a result"):
        agreement.check({"fastnet": np.ones(3), "other": np.ones(1)})


def test_what_is_compiled_wrongly_is_left_out_with_a_note():
    notes = []
    calls = agreement.agreeing({"torch compiled": (len, [2.0]), "torch eager": (abs, [1.0])}, [1.0], 1e-3, notes)
    assert calls == {"torch eager": abs}
    assert len(notes) == 1 and "torch compiled computes something else" in notes[0]
    with pytest.raises(AssertionError, match="jax computes something else"):
        agreement.agreeing({"jax": (len, [2.0])}, [1.0], 1e-3, notes)


@pytest.mark.parametrize("training", [TINY, *SMALL], ids=["dense", "Adam", "SGD"])
def test_steps_agree_with_torch(training):
    _, reference = ours.steps(training)
    for _, how, layout in with_torch.ways(training.net, SimpleNamespace(isa=""), compiled=False):
        _, losses = with_torch.steps(training, 1, how, layout)
        np.testing.assert_allclose(losses, reference, rtol=training.checked[1])


@pytest.mark.parametrize("training", [TINY, SMALL[1]], ids=["dense", "SGD"])
def test_steps_agree_with_jax(training):
    pytest.importorskip("jax")
    from bench.peers import with_jax

    _, reference = ours.steps(training)
    for make in (with_jax.steps, with_jax.scanned):
        losses = make(training)[1]
        np.testing.assert_allclose(losses, reference[: len(losses)], rtol=training.checked[1])


def test_steps_that_take_seconds_are_compared_less_often(monkeypatch):
    monkeypatch.setattr(nets, "PATIENCE", 0.0)
    assert len(TINY.first_losses(lambda x, y: 1.0, TINY.batches())) == 2
    monkeypatch.setattr(nets, "PATIENCE", 10.0)
    assert len(TINY.first_losses(lambda x, y: 1.0, TINY.batches())) == 20


def test_epochs_agree():
    made = {"fastnet": ours.epochs(TINY, 2), "torch": with_torch.epochs(TINY, 2, 1)}
    if "sklearn" in choose("sklearn")[0]:
        from bench.peers import with_sklearn

        made["sklearn"] = with_sklearn.epochs(TINY, 2)
    if "jax" in choose("jax")[0]:
        from bench.peers import with_jax

        made["jax"] = with_jax.epochs(TINY, 2)
    if "skorch" in choose("skorch")[0]:
        from bench.peers import with_skorch

        made["skorch"] = with_skorch.epochs(TINY, 2, 1)
    for call, _ in made.values():
        call()
    agreement.check({name: [loss] for name, (_, loss) in made.items()}, TINY.checked[1])


@pytest.mark.parametrize("net", [TINY.net, NETS["LeNet"]], ids=["dense", "LeNet"])
def test_predictions_agree(net):
    x = np.random.default_rng(0).random((3, *net.input_shape), np.float32)
    results = {"fastnet": ours.predictor(net, x)()}
    for name, how, layout in with_torch.ways(net, SimpleNamespace(isa=""), compiled=False):
        results[name] = with_torch.predictor(net, x, 1, how, layout)()
    if "onnxruntime" in choose("onnxruntime")[0]:
        from bench.peers import with_onnxruntime

        results["onnxruntime"] = with_onnxruntime.predictor(net, x, 1)()
    if "jax" in choose("jax")[0]:
        from bench.peers import with_jax

        results["jax"] = with_jax.predictor(net, x)()
    if not net.of_images and "sklearn" in choose("sklearn")[0]:
        from bench.peers import with_sklearn

        results["sklearn"] = with_sklearn.predictor(net, x)()
    agreement.check(results)


def test_accuracy_of_both_sides_from_the_same_weights(monkeypatch):
    """An epoch at a rate of nearly zero leaves the weights as they were: both sides classify alike."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(128, 12, 12, 3)).astype(np.float32), rng.integers(0, 3, 128)
    data = SimpleNamespace(x=x, y=y, x_test=x[:100], y_test=y[:100])
    net = Net("small", [convolution(8, 3, relu=True), GLOBAL, dense(3)], (12, 12, 3), SGD, classes=3, seed=4)
    monkeypatch.setattr(accuracy, "RATE", 1e-9)
    with fn.threads(1):
        found = [train(net, data, 1, 1) for train in (accuracy.train_fastnet, accuracy.train_torch)]
    assert found[0] == found[1] > 0.1
