"""The same weights as MLPClassifier and MLPRegressor, to rounding, from the same random_state."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="compares with scikit-learn")

from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    make_friedman1,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import scale

import fastnet as fn
from fastnet.estimators import NetClassifier, NetRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:lbfgs failed to converge"
)

EPSILON = {"float64": 1e-12, "float32": 2e-4}


def digits():
    x, y = load_digits(return_X_y=True)
    return x[:500] / 16, y[:500]


def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    return scale(x), y


def diabetes(outputs=1):
    x, y = load_diabetes(return_X_y=True)
    y = y / 100
    return 20 * x, y if outputs == 1 else np.stack([y, y**2, 1 / y], axis=1)


def difference(theirs, ours):
    """The greatest one of weights and biases, beside the greatest weight."""
    pairs = zip(theirs.coefs_ + theirs.intercepts_, ours.coefs_ + ours.intercepts_, strict=True)
    largest = max(np.abs(w).max() for w in theirs.coefs_)
    return max(np.abs(a - b).max() for a, b in pairs) / largest


def assert_same(theirs, ours, x, tolerance=EPSILON["float64"]):
    assert difference(theirs, ours) < tolerance
    np.testing.assert_allclose(theirs.loss_, ours.loss_, rtol=100 * tolerance)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(theirs, name) == getattr(ours, name), name
    if theirs.solver != "lbfgs":
        for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_"):
            a, b = getattr(theirs, name), getattr(ours, name)
            assert (a is None) == (b is None), name
            if a is not None:
                np.testing.assert_allclose(a, b, rtol=100 * tolerance, err_msg=name)
    values = "predict" if isinstance(ours, NetRegressor) else "predict_proba"
    np.testing.assert_allclose(getattr(theirs, values)(x), getattr(ours, values)(x), rtol=0, atol=1000 * tolerance)


CLASSIFIERS = {
    "adam": {},
    "adam, not shuffled": {"shuffle": False},
    "adam, first epsilon": {"epsilon": 1e-2},
    "strong alpha, two layers, last batch smaller": {"alpha": 3.0, "hidden_layer_sizes": (30, 20), "batch_size": 64},
    "no hidden layer": {"hidden_layer_sizes": (), "alpha": 1.0},
    "tanh": {"activation": "tanh"},
    "logistic": {"activation": "logistic"},
    "identity": {"activation": "identity"},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.1, "alpha": 0.5},
    "sgd, not shuffled": {"solver": "sgd", "learning_rate_init": 0.1, "shuffle": False, "batch_size": 33},
    "sgd without momentum": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "sgd, plain momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5, "power_t": 0.3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.4, "tol": 0.02,
                 "n_iter_no_change": 1, "max_iter": 60},
    "lbfgs": {"solver": "lbfgs", "alpha": 0.5},
    "to the end": {"max_iter": 300, "tol": 1e-2},
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier(name):
    x, y = digits()
    settings = {"max_iter": 12, "random_state": 3} | CLASSIFIERS[name]
    theirs, ours = MLPClassifier(**settings).fit(x, y), NetClassifier(**settings).fit(x, y)
    assert_same(theirs, ours, x)
    if name == "to the end":
        assert theirs.n_iter_ < 300
    if name == "adaptive":
        assert ours._trainer.optimizer.learning_rate < 0.1


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_float32(solver):
    x, y = digits()
    x = x.astype(np.float32)
    settings = {"solver": solver, "max_iter": 5, "random_state": 0, "alpha": 1.0}
    theirs, ours = MLPClassifier(**settings).fit(x, y), NetClassifier(**settings).fit(x, y)
    assert {w.dtype for w in ours.coefs_} == {np.dtype(np.float32)} and ours.predict_proba(x).dtype == np.float32
    assert difference(theirs, ours) < EPSILON["float32"]


@pytest.mark.parametrize("settings", [{}, {"solver": "sgd"}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_two_classes(settings):
    x, y = cancer()
    names = np.array(["benign", "malignant"])[y]
    settings = {"max_iter": 12, "random_state": 1} | settings
    theirs, ours = MLPClassifier(**settings).fit(x, names), NetClassifier(**settings).fit(x, names)
    assert_same(theirs, ours, x)
    assert (theirs.predict(x) == ours.predict(x)).all()


@pytest.mark.parametrize("settings", [{}, {"solver": "sgd"}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_several_labels(settings):
    x, y = make_multilabel_classification(200, 15, n_classes=4, random_state=0)
    settings = {"max_iter": 12, "random_state": 1, "alpha": 0.3} | settings
    theirs, ours = MLPClassifier(**settings).fit(x, y), NetClassifier(**settings).fit(x, y)
    assert_same(theirs, ours, x, 1e-10)
    assert (theirs.predict(x) == ours.predict(x)).all()


REGRESSORS = [
    {},
    {"loss": "poisson"},
    {"solver": "sgd"},
    {"early_stopping": True},
    {"solver": "lbfgs", "loss": "poisson"},
]
# Of several outputs scikit-learn gives L-BFGS the mean of the squared errors with the sum of their gradients.
ONE_OUTPUT = [{"solver": "lbfgs"}]


@pytest.mark.parametrize(
    "outputs, settings", [(n, settings) for n in (1, 3) for settings in REGRESSORS + ONE_OUTPUT * (n == 1)]
)
def test_regressor(outputs, settings):
    x, y = diabetes(outputs)
    settings = {"max_iter": 12, "random_state": 1, "alpha": 0.3, "batch_size": 60} | settings
    theirs, ours = MLPRegressor(**settings).fit(x, y), NetRegressor(**settings).fit(x, y)
    assert_same(theirs, ours, x, 1e-10)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_sample_weights(solver):
    """alpha is divided by the sum of the batch's weights."""
    x, y = digits()
    weights = np.random.default_rng(0).uniform(0.2, 3, len(x))
    settings = {"solver": solver, "max_iter": 6, "random_state": 1, "alpha": 5.0, "batch_size": 90}
    theirs = MLPClassifier(**settings).fit(x, y, weights)
    ours = NetClassifier(**settings).fit(x, y, weights)
    assert difference(theirs, ours) < EPSILON["float64"]


def test_partial_fit_keeps_the_optimizer():
    x, y = digits()
    for settings in ({}, {"solver": "sgd", "learning_rate": "invscaling"}):
        theirs, ours = MLPClassifier(random_state=0, **settings), NetClassifier(random_state=0, **settings)
        for part in np.array_split(np.arange(500), 7):
            theirs.partial_fit(x[part], y[part], classes=np.arange(10))
            ours.partial_fit(x[part], y[part], classes=np.arange(10))
        assert_same(theirs, ours, x)


def test_weights_that_are_set_and_a_warm_start():
    x, y = digits()
    settings = {"random_state": 0, "max_iter": 3, "warm_start": True}
    theirs, ours = MLPClassifier(**settings).fit(x, y), NetClassifier(**settings).fit(x, y)
    drawn = np.random.default_rng(1)
    weights = [0.1 * drawn.standard_normal(w.shape) for w in theirs.coefs_]
    theirs.coefs_, ours.coefs_ = [w.copy() for w in weights], weights
    assert_same(theirs.fit(x, y), ours.fit(x, y), x)
    assert len(ours.loss_curve_) == 6


def housing():
    """Like California's: eight features, a curved target with noise."""
    x, y = make_friedman1(800, 8, noise=0.5, random_state=0)
    return scale(x), y / 5


@pytest.mark.parametrize(
    "data, theirs, ours",
    [(digits, MLPClassifier, NetClassifier), (cancer, MLPClassifier, NetClassifier),
     (diabetes, MLPRegressor, NetRegressor), (housing, MLPRegressor, NetRegressor)],
)  # fmt: skip
def test_scores_are_scikit_learns_within_noise(data, theirs, ours):
    """With other first weights and orders, in float32: the means over seeds differ by less than their errors allow."""
    x, y = data()
    train, test = slice(3 * len(x) // 4), slice(3 * len(x) // 4, None)

    def scores(make, seeds, **settings):
        settings = {"max_iter": 60, "learning_rate_init": 5e-3, **settings}
        return [make(random_state=s, **settings).fit(x[train], y[train]).score(x[test], y[test]) for s in seeds]

    found = scores(theirs, range(4)), scores(ours, range(10, 14), dtype="float32")
    error = np.sqrt((np.var(found[0]) + np.var(found[1])) / 3)
    assert abs(np.mean(found[0]) - np.mean(found[1])) < 3 * error + 0.01
    assert np.mean(found[1]) > 0.4


def test_adam_of_several_outputs_is_no_mean_over_them():
    x, y = diabetes(3)
    ours = NetRegressor(
        solver=fn.SGD(1e-3), max_iter=1, shuffle=False, alpha=0.0, random_state=0, batch_size=len(x)
    ).fit(x, y)
    one = NetRegressor(solver=fn.SGD(1.5e-3), loss=fn.losses.MeanSquaredError(), max_iter=1, shuffle=False, alpha=0.0,
                       random_state=0, batch_size=len(x)).fit(x, y)  # fmt: skip
    assert difference(ours, one) < 1e-13


def test_the_warning_that_it_has_not_converged():
    x, y = cancer()
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\)"):
        NetClassifier(max_iter=2).fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NetClassifier(tol=10.0, n_iter_no_change=2).fit(x, y)
        NetClassifier().partial_fit(x, y, classes=[0, 1])
