"""Data for the tests of health."""

import numpy as np
import pytest

import fastnet as fn


@pytest.fixture(scope="module")
def digits():
    return fn.datasets.digits()[0]


@pytest.fixture(scope="module")
def table():
    """Ten standardized columns, and a smooth function of them with some noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 10))
    y = np.tanh(x @ rng.normal(size=10) / 3) + np.sin(x[:, 0]) + 0.1 * rng.normal(size=1000)
    return x, y
