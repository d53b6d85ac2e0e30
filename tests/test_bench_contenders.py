"""The benchmarks of convolutions compute the same on both sides; their times are not looked at."""

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
from bench import conv_accuracy, conv_cases, conv_networks
from bench.conv_nets import FLATTEN, GLOBAL, Net, conv, dense, norm, residual

# With four channels last PyTorch 2.13 writes outside of its memory, on CPUs with AVX2 alone ("corrupted double-linked list").
LAYERS = [conv(8, 3, bias=False), norm(relu=True), residual(8, 1), residual(16, 2), FLATTEN, dense(10)]


@pytest.mark.parametrize("direction", conv_cases.PASSES)
@pytest.mark.parametrize("groups, dtype", [(1, "float32"), (4, "float32"), (1, "float64")])
def test_passes_agree_with_torch(direction, groups, dtype):
    case = conv_cases.Case(8, 8, 3, 7, 2, stride=2, groups=groups, dtype=dtype)
    results = {"fastnet": conv_cases.fastnet_pass(case, direction)[1]()}
    for layout in ("contiguous_format", "channels_last"):
        results[layout] = conv_cases.torch_pass(case, direction, 1, layout)[1]()
    conv_cases.compare(results)


def test_compare_refuses_other_results():
    with pytest.raises(AssertionError, match="other differs"):
        conv_cases.compare({"fastnet": np.ones(3), "other": np.array([1, 1, 1.001])})


@pytest.mark.parametrize("optimizer", ["Adam", "SGD with momentum"])
def test_steps_agree_with_torch(optimizer):
    net = Net("small", LAYERS, (8, 8, 3), optimizer)
    _, ours = conv_networks.fastnet_steps(net)
    for layout in ("contiguous", "channels_last"):
        _, theirs = conv_networks.torch_steps(net, 1, False, layout)
        np.testing.assert_allclose(ours, theirs, rtol=conv_networks.TOLERANCE)


def test_accuracy_of_both_sides_from_the_same_weights(monkeypatch):
    """An epoch at a rate of nearly zero leaves the weights as they were: both sides classify alike."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(128, 12, 12, 3)).astype(np.float32), rng.integers(0, 3, 128)
    data = SimpleNamespace(x=x, y=y, x_test=x[:100], y_test=y[:100])
    net = Net("small", [conv(8, 3, relu=True), GLOBAL, dense(3)], (12, 12, 3), "SGD", classes=3, seed=4)
    monkeypatch.setattr(conv_accuracy, "RATE", 1e-9)
    threads = fn.get_num_threads()
    try:
        found = [train(net, data, 1, 1) for train in (conv_accuracy.train_fastnet, conv_accuracy.train_torch)]
    finally:
        fn.set_num_threads(threads)
    assert found[0] == found[1] > 0.1
