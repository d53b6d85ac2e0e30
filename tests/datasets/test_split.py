"""The division into training and test parts is exact, stratified, and the same everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnet.datasets import train_test_split
from fastnet.datasets.split import split_rows


@given(st.integers(2, 200), st.floats(0.05, 0.95), st.integers(-5, 2**70))
def test_parts_are_disjoint_and_complete(n, test, seed):
    if not 0 < round(test * n) < n:
        with pytest.raises(ValueError, match="each part needs at least one"):
            split_rows(n, None, test, seed)
        return
    train_rows, test_rows = split_rows(n, None, test, seed)
    assert len(test_rows) == round(test * n)
    assert sorted([*train_rows, *test_rows]) == list(range(n))
    assert (np.diff(train_rows) > 0).all() and (np.diff(test_rows) > 0).all()


@given(st.lists(st.integers(0, 4), min_size=10, max_size=200), st.floats(0.1, 0.6), st.integers(0, 100))
def test_each_class_keeps_its_share(labels, test, seed):
    labels = np.array(labels)
    train_rows, test_rows = split_rows(len(labels), labels, test, seed)
    for label in np.unique(labels):
        count = (labels == label).sum()
        tested = (labels[test_rows] == label).sum()
        assert abs(tested - test * count) < 1
        assert tested < count
    assert len(train_rows) + len(test_rows) == len(labels)


def test_the_draw_never_changes():
    train_rows, test_rows = split_rows(20, None, 0.25, 7)
    assert test_rows.tolist() == [5, 9, 12, 13, 17]
    assert split_rows(20, None, 0.25, 7)[0].tolist() == train_rows.tolist()
    assert split_rows(20, None, 0.25, 8)[1].tolist() != test_rows.tolist()


def test_it_looks_random():
    """Each of 50 rows is drawn about as often as the others (a fifth of 2000 draws, within 6 deviations)."""
    counts = np.zeros(50)
    for seed in range(2000):
        counts[split_rows(50, None, 0.2, seed)[1]] += 1
    assert np.abs(counts - 400).max() < 6 * np.sqrt(2000 * 0.2 * 0.8)


def test_arrays_stay_together_and_in_order():
    x = np.arange(40).reshape(20, 2)
    y = np.array(["a", "b"] * 10)
    (x_train, y_train), (x_test, y_test) = train_test_split(x, y, test=0.3)
    for x_part, y_part in ((x_train, y_train), (x_test, y_test)):
        assert (np.where(x_part[:, 0] // 2 % 2 == 0, "a", "b") == y_part).all()
        assert (np.diff(x_part[:, 0]) > 0).all()
    assert sorted(y_test) == ["a"] * 3 + ["b"] * 3


def test_values_are_not_stratified():
    y = np.linspace(0, 1, 20)
    (_, y_train), (_, y_test) = train_test_split(y, y)
    assert len(y_train) == 16 and len(y_test) == 4


def test_a_class_with_one_sample_is_trained():
    _, test_rows = split_rows(11, np.array([0] * 10 + [1]), 0.5, 0)
    assert 10 not in test_rows


@pytest.mark.parametrize("test", [0, 1, -0.1, 1.5, float("nan")])
def test_impossible_shares(test):
    with pytest.raises(ValueError, match="test must be"):
        train_test_split(np.zeros(5), np.zeros(5), test=test)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="test must be a number"):
        train_test_split(np.zeros(5), np.zeros(5), test="0.2")
    with pytest.raises(ValueError, match="same length"):
        train_test_split(np.zeros(5), np.zeros(4))
    with pytest.raises(ValueError, match="each part needs"):
        train_test_split(np.zeros(1), np.zeros(1))
    with pytest.raises(TypeError, match="stratify"):
        train_test_split(np.zeros(5), np.zeros(5), stratify="yes")
    with pytest.raises(TypeError, match="seed"):
        train_test_split(np.zeros(5), np.zeros(5), seed=0.5)
