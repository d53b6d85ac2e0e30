"""The estimators inside of scikit-learn's tools."""

import joblib
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn's tools")

from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, make_regression
from sklearn.ensemble import VotingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnet as fn
from fastnet.estimators import NetClassifier, NetRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETTINGS = {"max_iter": 20, "learning_rate_init": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True)


def test_grid_search_over_a_pipeline_in_two_processes(cancer):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), NetClassifier(**SETTINGS)),
        {"netclassifier__layers": [None, [fn.Dense(8, activation="gelu")]]}, n_jobs=2, cv=3,
    )  # fmt: skip
    search.fit(*cancer)
    assert search.best_score_ > 0.95
    alone = cross_val_score(search.best_estimator_, *cancer, cv=3)
    assert alone.mean() == search.best_score_


def test_cross_validation_of_given_layers(cancer):
    model = make_pipeline(
        StandardScaler(), NetClassifier(layers=[fn.Dense(8), fn.LayerNorm(), fn.Activation("relu")], **SETTINGS)
    )
    assert cross_val_score(model, *cancer, cv=3).mean() > 0.95


def test_calibration_and_votes(cancer):
    x, y = cancer
    calibrated = CalibratedClassifierCV(make_pipeline(StandardScaler(), NetClassifier(**SETTINGS)), cv=3).fit(x, y)
    assert calibrated.score(x, y) > 0.95
    voting = VotingClassifier(
        [("net", make_pipeline(StandardScaler(), NetClassifier(**SETTINGS))),
         ("linear", make_pipeline(StandardScaler(), LogisticRegression()))], voting="soft"
    )  # fmt: skip
    assert voting.fit(x, y).score(x, y) > 0.95


def test_permutation_importance():
    x, y = make_regression(300, 6, n_informative=2, shuffle=False, random_state=0)
    model = NetRegressor(max_iter=200, learning_rate_init=0.02, random_state=0).fit(x, y / y.std())
    found = permutation_importance(model, x, y / y.std(), n_repeats=3, random_state=0)["importances_mean"]
    assert set(np.argsort(found)[-2:]) == {0, 1} and found[:2].min() > 10 * found[2:].max()


def test_a_chain_of_classifiers(cancer):
    x, y = cancer
    labels = np.stack([y, x[:, 0] > 14], axis=1)
    model = make_pipeline(StandardScaler(), ClassifierChain(NetClassifier(**SETTINGS)))
    assert model.fit(x, labels).score(x, labels) > 0.8


def test_metadata_routing(cancer):
    x, y = cancer
    weights = np.where(y == 0, 3.0, 1.0)
    with config_context(enable_metadata_routing=True):
        asking = NetClassifier(**SETTINGS).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        scaling = StandardScaler().set_fit_request(sample_weight=False)
        model = make_pipeline(scaling, asking)
        routed = cross_validate(model, x, y, params={"sample_weight": weights}, cv=3, return_estimator=True)
        plain = cross_validate(
            make_pipeline(StandardScaler(), NetClassifier(**SETTINGS)), x, y, cv=3, return_estimator=True
        )
    a, b = routed["estimator"][0][-1], plain["estimator"][0][-1]
    assert not np.array_equal(a.coefs_[0], b.coefs_[0])


def test_joblib_keeps_a_model(cancer, tmp_path):
    x, y = cancer
    model = make_pipeline(StandardScaler(), NetClassifier(**SETTINGS)).fit(x, y)
    joblib.dump(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict_proba(x), model.predict_proba(x))
