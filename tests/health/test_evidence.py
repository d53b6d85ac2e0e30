"""Helpers of the rules."""

import numpy as np
import pytest

from fastnet.health.evidence import median


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_median(axis):
    values = np.random.default_rng(0).normal(size=(6, 9))
    values[values < -1] = np.nan
    values[:, 3] = np.nan
    values[2] = np.nan
    np.testing.assert_array_equal(median(values, axis), np.nanmedian(values, axis))
    assert np.isnan(median(np.empty(0)))
