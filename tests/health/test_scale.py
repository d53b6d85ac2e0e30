"""The scale of inputs, as monitor and checks before training see it."""

import numpy as np
import pytest
from preflight_networks import quick

import fastnet as fn
from fastnet.datasets.images import Images
from fastnet.health.scale import Scale, first_scalings

NORMAL = np.random.default_rng(0).normal(size=(400, 6))
FIRST, LAST = np.arange(6) == 0, np.arange(6) == 5


def dense(*first):
    return fn.Network([*first, fn.Dense(8, activation="relu"), fn.Dense(1)], input_shape=(6,), seed=0)


@pytest.mark.parametrize(
    ("x", "severity"),
    [
        (NORMAL, None),
        (8 * NORMAL, None),
        (12 * NORMAL, "warning"),
        (40 * NORMAL, "problem"),
        (0.01 * NORMAL, None),
        (0.006 * NORMAL, "warning"),
        (0.0006 * NORMAL, "problem"),
        (NORMAL * np.where(FIRST, 0.05, 1), None),
        (NORMAL * np.where(FIRST, 0.005, 1), "warning"),
        (NORMAL * np.where(FIRST, 0.0002, 1), "problem"),
        # Rare values of nearly empty columns: the root mean square is small, the values are not.
        (np.eye(400)[:, :6] + 1e-12, None),
        (NORMAL * np.where(LAST, np.arange(400)[:, None] < 9, 1) * np.where(LAST, 1e-3, 1), None),
    ],
)
@pytest.mark.filterwarnings("ignore::fastnet.health.monitor.HealthWarning")
def test_monitor_and_preflight_agree(x, severity):
    y = NORMAL[:, 0]
    monitor = fn.HealthMonitor()
    dense().fit(x, y, loss="mse", epochs=1, callbacks=[monitor], verbose=0)
    seen = [finding.severity for finding in monitor.findings if finding.code == "input-scale"]
    checked = [f.severity for f in quick(dense(), x, y, loss="mse")["inputs"].findings if f.severity != "info"]
    assert seen == checked == ([] if severity is None else [severity])


def test_images_are_looked_at_when_they_are_decoded(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="makes files of images")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    files = [tmp_path / f"{i:02}.png" for i in range(len(pixels))]
    for file, values in zip(files, pixels, strict=True):
        image.fromarray(values[..., 0]).save(file)
    net = fn.Network([fn.Flatten(), fn.Dense(2)], input_shape=(8, 8, 1), seed=0)
    monitor = fn.HealthMonitor()
    net.fit(Images(files, (8, 8, 1)), np.arange(40) % 2, loss="softmax_cross_entropy", callbacks=[monitor], verbose=0)
    seen, expected = monitor._trainer.state(monitor)["beginning"].inputs, Scale.of(pixels / 255)
    assert (seen.rms, seen.largest) == pytest.approx((expected.rms, expected.largest))


def test_figures_of_columns():
    x = np.stack([np.arange(9.0), np.full(9, 3.0), np.where(np.arange(9) < 6, 0.0, 5.0)], axis=1)
    scale = Scale.of(x)
    np.testing.assert_allclose(scale.mean, x.mean(axis=0))
    np.testing.assert_allclose(scale.std, x.std(axis=0))
    assert scale.constant.tolist() == [False, True, False]
    assert scale.dense.tolist() == [True, False, False]
    assert scale.rms == pytest.approx(np.sqrt((x**2).mean())) and scale.largest == 8
    assert Scale.of(np.arange(4.0)).mean.shape == (1,)


class Halve(fn.Layer):
    def forward(self, x, training=False):
        return x / 2

    def backward(self, dy):
        return dy / 2


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([fn.Dense(3)], []),
        ([fn.BatchNorm(), fn.Dense(3)], ["batch_norm_1"]),
        ([fn.Normalize(0.5, 2.0), fn.Dense(3)], ["normalize_1"]),
        ([fn.Normalize(0.5, 2.0), fn.LayerNorm(), fn.Dense(3)], ["normalize_1"]),
        ([Halve(), fn.Dropout(0.1), fn.LayerNorm(), fn.Dense(3)], ["layer_norm_1"]),
        ([fn.Activation("tanh"), fn.BatchNorm(), fn.Dense(3)], []),
        ([fn.Activation("linear"), fn.BatchNorm(), fn.Dense(3)], ["batch_norm_1"]),
        ([fn.Dense(6), fn.BatchNorm(), fn.Dense(3)], []),
        ([fn.Dropout(0.1)], []),
        # Several layers read the input: each way must meet one.
        ([fn.Concat([fn.BatchNorm(), fn.LayerNorm()]), fn.Dense(3)], ["concat_1.batch_norm_1", "concat_1.layer_norm_1"]),
        ([fn.Concat([fn.BatchNorm(), fn.Dense(2)]), fn.Dense(3)], []),
        ([fn.Residual([fn.BatchNorm(), fn.Dense(6)]), fn.Dense(3)], []),
        ([fn.Residual([fn.BatchNorm(), fn.Dense(6)]), fn.LayerNorm(), fn.Dense(3)], ["residual_1.batch_norm_1", "layer_norm_1"]),
        ([fn.Residual([fn.Dense(6)]), fn.LayerNorm(), fn.Dense(3)], []),
    ],
)  # fmt: skip
def test_the_first_layers_that_scale_the_inputs(layers, expected):
    net = fn.Network(layers, input_shape=(6,), seed=0)
    assert [node.name for node in first_scalings(net.graph)] == expected


def test_each_way_that_normalizes_is_looked_behind():
    """One of two ways scales as it should."""
    x, y = 1000 * NORMAL + 3000, NORMAL[:, 0]
    good, wrong = fn.Normalize.of(x), fn.Normalize(0, 1)
    for pair, expected in (
        ([good, wrong], "behind concat_1.normalize_2"),
        ([wrong, good], "behind concat_1.normalize_1"),
    ):
        report = quick(dense(fn.Concat(pair)), x, y, loss="mse")["inputs"]
        assert any(expected in finding.meaning and finding.severity == "problem" for finding in report.findings)
    assert quick(dense(fn.Concat([good, fn.BatchNorm()])), x, y, loss="mse")["inputs"].findings == ()
