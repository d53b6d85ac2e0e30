"""Depth: costs by their formulas, gradients, and texts that follow."""

import math

import pytest
from lab_runs import numbers, text_of

from fastnet.lab import depth
from fastnet.lab.depth import KINDS, WIDTH

BY_NAME = {kind.name: kind for kind in KINDS}
LAYER, NORM, HEAD = WIDTH * WIDTH + WIDTH, 2 * WIDTH, WIDTH * 10 + 10


@pytest.mark.parametrize(
    ("kind", "a_layer"), [("plain", LAYER), ("batch norm", LAYER - WIDTH + NORM), ("residual", LAYER + NORM)]
)
def test_costs(kind, a_layer):
    for layers, row in numbers("depth")["kinds"][kind].items():
        n = int(layers)
        assert row["parameters"] == LAYER + n * a_layer + NORM + HEAD
        assert row["parameter_bytes"] == 4 * row["parameters"]
        assert row["multiply_adds"] == WIDTH * WIDTH * (n + 1) + WIDTH * 10
        net = depth.network(BY_NAME[kind], n, 0)
        assert f"multiply-adds {row['multiply_adds']:,}" in net.summary()
        assert f"parameters {row['parameters']:,}" in net.summary()


def test_gradients_reach_all_layers():
    for kind, rows in numbers("depth")["kinds"].items():
        for layers, row in rows.items():
            assert len(row["gradients"]) == int(layers) + 1
            assert all(g > 0 for g in row["gradients"]), kind


def test_plain_layers_make_images_alike_and_shortcuts_less():
    kinds = numbers("depth")["kinds"]
    deepest = list(kinds["plain"])[-1]
    plain = [row["distinct"] for row in kinds["plain"].values()]
    assert plain == sorted(plain, reverse=True)  # of relu layers: Daniely, Frostig & Singer 2016
    assert kinds["residual"][deepest]["distinct"] > plain[-1]


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("depth")
    kinds = found["kinds"]
    for kind, rows in kinds.items():
        for i, row in enumerate(rows.values()):
            row["curves"]["val_accuracy"][-1] = 0.9 - 0.1 * i if kind == "residual" else 0.2
            row["distinct"] = {"plain": 1e-4, "residual": 0.1}.get(kind, 0.01)
            row["gradients"] = {"residual": [1.0, 1.0, 1.0]}.get(kind, [1.0, 1e6, 1.0])
    text = text_of(depth.page(found))
    assert "fails to learn (below half of the test images) at 2, 4, 8 and 16 layers" in text
    assert "With residual layers it learns at every depth" in text and "Best is residual with 2 layers: 90.0%" in text
    assert "lets the error <em>grow</em>" in text and "The shortcuts keep what the first layer saw" in text
    assert "Nearest to 1 is residual" in text and "the 1 does not shrink" in text
    for kind, rows in kinds.items():
        for row in rows.values():
            row["distinct"] = 0.01
            row["gradients"] = [1.0, 1.0, 1.0] if kind != "residual" else [1.0, 0.0, 1.0]
            row["curves"] = {"stopped": "not finite"}
    text = text_of(depth.page(found))
    assert "keep hardly more of what tells images apart" in text and "the 1 does not shrink" not in text
    assert math.isclose(sum(row["distinct"] for row in kinds["plain"].values()), 0.01 * len(kinds["plain"]))
