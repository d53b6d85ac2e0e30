"""scikit-learn's own checks of estimators: all pass, and none is skipped that MLPClassifier passes."""

import warnings
from unittest import SkipTest

import pytest

pytest.importorskip("sklearn", reason="scikit-learn's checks")

from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from fastnet.estimators import NetClassifier, NetRegressor

SETTINGS = {"max_iter": 100}  # those that scikit-learn's own suite gives MLPClassifier
#: What does not apply to MLPClassifier either: its inputs are NumPy arrays, and it has no decision_function.
SKIPPED = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([NetClassifier(**SETTINGS), NetRegressor(**SETTINGS)])
def test_check(estimator, check):
    try:
        check(estimator)
    except SkipTest:
        assert check.func.__name__ in SKIPPED


@pytest.mark.parametrize("theirs, ours", [(MLPClassifier, NetClassifier), (MLPRegressor, NetRegressor)])
def test_every_check_that_scikit_learns_network_passes(theirs, ours):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        passed = [
            {result["check_name"] for result in check_estimator(estimator, on_fail=None, on_skip=None)
             if result["status"] == "passed"}
            for estimator in (theirs(max_iter=20), ours(max_iter=100))
        ]  # fmt: skip
    assert len(passed[0]) > 50
    assert passed[0] - passed[1] == set()
