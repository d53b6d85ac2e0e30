"""What the estimators have beyond scikit-learn's, what they keep, and what they refuse."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn estimators")

import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import log_loss, mean_pinball_loss
from sklearn.preprocessing import scale
from sklearn.utils.class_weight import compute_sample_weight

import fastnet as fn
from fastnet.estimators import NetClassifier, NetRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x[:400] / 16, y[:400]


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    return scale(x), y


@pytest.fixture(scope="module")
def diabetes():
    x, y = load_diabetes(return_X_y=True)
    return 20 * x, y / 100


def same(a, b) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True))


def convolutions():
    return [fn.Conv2D(4, 3, padding="same", activation="relu"), fn.MaxPool2D(2), fn.BatchNorm()]


# Networks


def test_layers_of_the_parameters(digits):
    x, y = digits
    net = (
        NetClassifier((20, 10), dropout=[0.2, 0.0], batch_norm=True, initializer="orthogonal", max_iter=2)
        .fit(x, y)
        .network_
    )
    kinds = [type(layer).__name__ for layer in net.layers]
    assert kinds == ["Dense", "BatchNorm", "Activation", "Dropout", "Dense", "BatchNorm", "Activation", "Dense"]
    first = NetClassifier((20, 10), initializer="orthogonal", learning_rate_init=1e-30, max_iter=1).fit(x, y).coefs_[1]
    np.testing.assert_allclose(first.T @ first, np.eye(10), atol=1e-12)


def test_dropout_and_batch_norm_learn(digits):
    x, y = digits
    model = NetClassifier(100, dropout=0.3, batch_norm=True, max_iter=60, random_state=0).fit(x[:300], y[:300])
    assert model.score(x[300:], y[300:]) > 0.85
    assert same(model, clone(model).fit(x[:300], y[:300]))


@pytest.mark.parametrize("activation", ["gelu", fn.LeakyReLU(0.2)])
@pytest.mark.parametrize("solver", ["muon", "adamw", fn.RMSprop(2e-3)])
def test_activations_and_solvers_of_fastnet(digits, activation, solver):
    x, y = digits
    model = NetClassifier(activation=activation, solver=solver, max_iter=100, random_state=0, learning_rate_init=1e-2)
    assert model.fit(x[:300], y[:300]).score(x[300:], y[300:]) > 0.8


def test_images_and_columns_give_the_same(digits):
    x, y = digits
    images = x.reshape(-1, 8, 8, 1)
    settings = {
        "layers": convolutions(),
        "max_iter": 20,
        "learning_rate_init": 0.02,
        "random_state": 0,
        "dtype": "float32",
    }
    of_images = NetClassifier(**settings).fit(images, y)
    of_columns = NetClassifier(**settings, image_shape=(8, 8, 1)).fit(x, y)
    assert same(of_images, of_columns)
    assert of_images.coefs_[0].shape == (3, 3, 1, 4)
    np.testing.assert_array_equal(of_images.predict(images), of_images.predict(x))
    assert of_images.score(images, y) > 0.5
    assert of_images.n_features_in_ == 64
    assert [type(layer).__name__ for layer in of_images.network_.layers][-2:] == ["Flatten", "Dense"]


def test_given_layers_stay_fresh_and_are_copied(digits):
    x, y = digits
    layers = convolutions()
    model = NetClassifier(layers=layers, image_shape=(8, 8, 1), max_iter=2, random_state=0)
    first, second = clone(model).fit(x, y), clone(model).fit(x, y)
    assert same(first, second)
    assert model.fit(x, y).layers is layers
    assert not any(layer.is_built for layer in layers)


def test_a_trained_network_among_the_layers(digits):
    x, y = digits
    body = NetClassifier(30, max_iter=20, random_state=0).fit(x, y).network_.up_to("dense_1")
    body.trainable = False
    before = body["dense_1"].weight.value.copy()
    model = NetClassifier(layers=[body], max_iter=30, learning_rate_init=0.01, random_state=0).fit(x[:50], y[:50] % 2)
    np.testing.assert_array_equal(model.coefs_[0], before)
    assert model.score(x, y % 2) > 0.8
    assert same(model, pickle.loads(pickle.dumps(model)))


def test_the_network_is_fastnets(cancer, tmp_path):
    x, y = cancer
    model = NetClassifier(max_iter=3, random_state=0).fit(x, y)
    model.network_.save(tmp_path / "model.safetensors")
    net = fn.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(net.predict_proba(x)[:, 0], model.predict_proba(x)[:, 1])


@pytest.mark.parametrize("given, dtype, expected", [("f4", "auto", "float32"), ("f8", "auto", "float64"), ("u1", "auto", "float64"),
                                                    ("f8", "float32", "float32"), ("f4", "float64", "float64")])  # fmt: skip
def test_dtypes(digits, given, dtype, expected):
    x, y = digits
    model = NetClassifier(max_iter=1, dtype=dtype).fit((16 * x).astype(given), y)
    assert model.network_.dtype == expected
    assert model.predict_proba(x).dtype == expected


# Losses and weights


class Pinball(fn.Loss):
    def __init__(self, quantile):
        self.quantile = quantile

    def per_sample(self, y_predicted, y):
        e = y - y_predicted
        loss = np.maximum(self.quantile * e, (self.quantile - 1) * e)
        return loss[:, 0], np.where(e > 0, -self.quantile, 1 - self.quantile)


def test_a_loss_of_ones_own(diabetes):
    x, y = diabetes
    models = [
        NetRegressor(Pinball(q), max_iter=60, learning_rate_init=0.01, random_state=0).fit(x, y) for q in (0.1, 0.9)
    ]
    low, high = (model.predict(x) for model in models)
    assert 0.03 < (y < low).mean() < 0.2 and 0.8 < (y < high).mean() < 0.97
    assert models[0].loss_ == pytest.approx(mean_pinball_loss(y, low, alpha=0.1), rel=0.2)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", fn.Huber(0.5)])
def test_robust_losses(diabetes, loss):
    x, y = diabetes
    spoiled = y.copy()
    spoiled[::10] += 100
    model = NetRegressor(loss, max_iter=100, learning_rate_init=0.01, random_state=0).fit(x, spoiled)
    assert np.median(np.abs(model.predict(x) - y)) < 0.6


@pytest.mark.parametrize("labels", [2, 3])
def test_label_smoothing(digits, labels):
    x, y = digits
    y = np.array(["a", "b", "c"])[y % labels]
    plain, smooth = (
        NetClassifier(loss=loss, max_iter=60, learning_rate_init=0.01, random_state=0).fit(x, y)
        for loss in ("log_loss", fn.SoftmaxCrossEntropy(label_smoothing=0.2))
    )
    assert smooth.predict_proba(x).shape == (400, labels)
    assert smooth.predict_proba(x).max(axis=1).mean() < 0.95 < plain.predict_proba(x).max(axis=1).mean()
    assert smooth.score(x, y) > 0.95


class Brier(fn.Loss):
    """The squared error of softmax probabilities."""

    def per_sample(self, y_predicted, y):
        p = np.exp(y_predicted - y_predicted.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        e = p - y
        return (e**2).sum(axis=1), 2 * p * (e - (e * p).sum(axis=1, keepdims=True))


def test_a_loss_of_ones_own_for_classes(digits):
    x, y = digits
    model = NetClassifier(loss=Brier(), max_iter=40, learning_rate_init=0.01, random_state=0, early_stopping=True).fit(
        x, y
    )
    assert model.score(x, y) > 0.9
    assert model.validation_loss_curve_[-1] < model.validation_loss_curve_[0]


@pytest.mark.parametrize("weight", ["balanced", {0: 5.0, 1: 0.5}])
def test_class_weight_is_a_sample_weight(cancer, weight):
    x, y = cancer
    given = np.linspace(0.5, 1.5, len(y))
    settings = {"max_iter": 4, "random_state": 0}
    model = NetClassifier(class_weight=weight, **settings).fit(x, y, given)
    assert same(model, NetClassifier(**settings).fit(x, y, given * compute_sample_weight(weight, y)))
    assert not same(model, NetClassifier(**settings).fit(x, y, given))


def test_samples_without_weight_are_left_out(cancer):
    x, y = cancer
    weights = np.where(np.arange(len(y)) < 300, 0.0, 2.0)
    settings = {"max_iter": 4, "random_state": 0, "batch_size": 50}
    assert same(
        NetClassifier(**settings).fit(x, y, weights), NetClassifier(**settings).fit(x[300:], y[300:], weights[300:])
    )


# Judging by other samples


def test_the_validation_curves(digits):
    x, y = digits
    model = NetClassifier(max_iter=5, random_state=0).fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:])
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == 5
    assert model.validation_loss_curve_[-1] == pytest.approx(log_loss(y[300:], model.predict_proba(x[300:])), rel=1e-12)
    assert model.validation_scores_[-1] == pytest.approx(model.score(x[300:], y[300:]))
    assert same(model, NetClassifier(max_iter=5, random_state=0).fit(x[:300], y[:300]))


def test_validation_of_weighted_values(diabetes):
    x, y = diabetes
    weights = np.linspace(0.1, 2, 142)
    model = NetRegressor(max_iter=5, random_state=0)
    model.fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:], sample_weight_val=weights)
    error = np.average((model.predict(x[300:]) - y[300:]) ** 2, weights=weights) / 2
    assert model.validation_loss_curve_[-1] == pytest.approx(error, rel=1e-12)
    assert model.validation_scores_[-1] == pytest.approx(model.score(x[300:], y[300:], weights), rel=1e-12)


def test_the_validation_curves_of_lbfgs(digits):
    x, y = digits
    model = NetClassifier(solver="lbfgs", max_iter=7, random_state=0).fit(
        x[:300], y[:300], X_val=x[300:], y_val=y[300:]
    )
    assert len(model.validation_loss_curve_) == len(model.loss_curve_) == 7
    assert model.validation_loss_curve_[-1] == pytest.approx(log_loss(y[300:], model.predict_proba(x[300:])), rel=1e-12)


def test_early_stopping_keeps_the_best_weights_on_given_samples(digits):
    x, y = digits
    model = NetClassifier(early_stopping=True, max_iter=200, learning_rate_init=0.01, random_state=0)
    model.fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:])
    assert model.n_iter_ < 200
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.score(x[300:], y[300:]) == pytest.approx(model.best_validation_score_)
    assert model.best_loss_ is None


def test_held_out_samples_have_the_shares_of_the_classes(digits, monkeypatch):
    x, y = digits
    y = np.where(y < 8, 0, y)  # 0 is four fifths
    seen = []
    of_class = NetClassifier._score_of
    monkeypatch.setattr(
        NetClassifier, "_score_of", lambda self, *given: seen.append(given[1]) or of_class(self, *given)
    )
    NetClassifier(early_stopping=True, max_iter=1).fit(x, y)
    np.testing.assert_allclose(np.bincount(seen[0]) / 40, np.bincount(y)[[0, 8, 9]] / 400, atol=0.5 / 40)
    y[0] = 7  # the only one of its class
    NetClassifier(early_stopping=True, max_iter=1).fit(x, y)


def test_partial_fit_stops_early(digits):
    x, y = digits
    model = NetClassifier(early_stopping=True, n_iter_no_change=3, learning_rate_init=0.01, random_state=0)
    with pytest.raises(ValueError, match="X_val and y_val"):
        model.partial_fit(x, y, classes=range(10))
    calls = 0
    while calls < 200 and not getattr(model, "stopped_early_", False):
        model.partial_fit(x[:300], y[:300], classes=np.arange(10), X_val=x[300:], y_val=y[300:])
        calls += 1
    assert calls < 200
    assert model.score(x[300:], y[300:]) == pytest.approx(max(model.validation_scores_))
    before = pickle.loads(pickle.dumps(model))
    model.partial_fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:])
    assert same(model, before) and len(model.validation_scores_) == calls
    model.fit(x[:300], y[:300])
    assert not model.stopped_early_


def test_callbacks(digits):
    x, y = digits

    class Seen(fn.Callback):
        def __init__(self):
            self.logs = []

        def on_epoch_end(self, trainer, logs):
            self.logs.append(dict(logs))

    seen = Seen()
    stopping = fn.EarlyStopping("val_loss", patience=2, restore_best=True)
    model = NetClassifier(callbacks=[seen, stopping], learning_rate_init=0.02, max_iter=500, tol=0.0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:])
    assert model.n_iter_ < 500
    assert [logs["loss"] for logs in seen.logs] == model.loss_curve_
    assert [logs["val_score"] for logs in seen.logs] == model.validation_scores_
    best = log_loss(y[300:], model.predict_proba(x[300:]))
    assert best == pytest.approx(min(model.validation_loss_curve_), rel=1e-12)


# What is kept


def test_a_pickle_goes_on_where_it_was(digits):
    x, y = digits
    for solver in ("adam", "sgd", "nadam", "muon"):
        model = NetClassifier(solver=solver, random_state=0, dropout=0.2)
        for _ in range(3):
            model.partial_fit(x, y, classes=np.arange(10))
        other = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model))))
        assert same(model, other)
        for _ in range(3):
            model.partial_fit(x, y)
            other.partial_fit(x, y)
        assert same(model, other), solver
        assert model.loss_curve_ == other.loss_curve_


def test_attributes_of_a_model_that_is_not_fitted():
    model = NetClassifier()
    assert not hasattr(model, "coefs_") and not hasattr(model, "intercepts_") and not hasattr(model, "loss_curve_")


def test_weights_are_views_that_cannot_be_written(digits):
    x, y = digits
    model = NetClassifier(max_iter=1).fit(x, y)
    with pytest.raises(ValueError, match="read-only"):
        model.coefs_[0][0] = 1
    model.intercepts_ = [np.zeros(100), np.arange(10)]
    np.testing.assert_array_equal(model.network_["output"].bias.value, np.arange(10))
    with pytest.raises(ValueError, match="2 layers with weights; got 1"):
        model.coefs_ = [np.zeros((64, 100))]


def test_parameters_that_change_between_calls_of_fit(digits):
    x, y = digits
    model = NetClassifier(max_iter=3, early_stopping=True, random_state=0).fit(x, y)
    model.set_params(early_stopping=False, solver="lbfgs").fit(x, y % 2)
    assert not hasattr(model, "validation_scores_") and model.n_outputs_ == 1
    model.set_params(solver="sgd").fit(x, y)
    assert len(model.loss_curve_) == 3 and model.validation_scores_ is None


# Data


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_sparse(digits, form, monkeypatch):
    monkeypatch.setattr("fastnet.estimators.base.SPARSE_ROWS", 150)
    x, y = digits
    settings = {"max_iter": 3, "random_state": 0}
    model, other = NetClassifier(**settings).fit(form(x), y), NetClassifier(**settings).fit(x, y)
    assert same(model, other)
    np.testing.assert_allclose(model.predict_proba(form(x)), other.predict_proba(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(diabetes, library):
    frames = pytest.importorskip(library, reason=f"frames of {library}")
    x, y = diabetes
    frame = frames.DataFrame({f"c{i}": column for i, column in enumerate(x.T)})
    model = NetRegressor(max_iter=3, random_state=0).fit(frame, frames.Series(y))
    assert list(model.feature_names_in_) == list(frame.columns)
    assert same(model, NetRegressor(max_iter=3, random_state=0).fit(x, y))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list(frame.columns)[::-1]])


def test_logarithms_of_probabilities(digits):
    x, y = digits
    model = NetClassifier(max_iter=2, random_state=0).fit(x, y)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(x)), model.predict_proba(x), rtol=1e-12)


def test_verbose(digits, capsys):
    x, y = digits
    model = NetClassifier(verbose=True, max_iter=400, tol=0.05, early_stopping=True, random_state=0).fit(x, y)
    text = capsys.readouterr().out
    assert f"Iteration 1, loss = {model.loss_curve_[0]:.8f}\nValidation score: {model.validation_scores_[0]:f}" in text
    assert text.endswith(
        "Validation score did not improve more than tol=0.050000 for 10 consecutive epochs. Stopping.\n"
    )
    NetClassifier(verbose=True, max_iter=2, solver="lbfgs").fit(x, y)
    assert capsys.readouterr().out.count("Iteration") == 2


# What is refused


def test_data_that_grows_beyond_all_bounds(diabetes):
    x, y = diabetes
    for solver in ("sgd", "lbfgs"):
        with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
            NetRegressor(solver=solver, learning_rate_init=1e5, dtype="float32").fit(x, np.sign(y - 1.5) * 1e30)


def test_an_interruption_keeps_what_has_been_learned(digits):
    class Interrupt(fn.Callback):
        def on_epoch_end(self, trainer, logs):
            if trainer.history.epochs == 3:
                raise KeyboardInterrupt

    x, y = digits
    with pytest.warns(UserWarning, match="interrupted by user"):
        model = NetClassifier(callbacks=[Interrupt()], random_state=0).fit(x, y)
    assert model.n_iter_ == 3
    assert same(model, NetClassifier(max_iter=3, random_state=0).fit(x, y))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"solver": "newton"}, "solver"),
        ({"momentum": 1.0}, "momentum"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
        ({"dropout": [0.1, 0.2]}, "one for each of the 1 hidden layers; got 2"),
        ({"image_shape": (8, 8, 1)}, "image_shape is for `layers`"),
        ({"layers": [fn.Dense(3)], "dropout": 0.1}, "are for hidden_layer_sizes"),
        ({"layers": [fn.Flatten()], "image_shape": (8, 7, 1)}, "has 56 values; the samples of X have 64"),
        ({"layers": [fn.Dense]}, "layers must be a list of layers; it has"),
        ({"layers": [fn.Network([layer := fn.Dense(3)], input_shape=(64,)) and layer]}, "layers must be fresh"),
        ({"solver": "lbfgs", "dropout": 0.1}, "no dropout"),
        ({"loss": fn.SigmoidCrossEntropy()}, "is for sigmoid outputs; the targets are multiclass"),
        ({"class_weight": "fair"}, "class_weight"),
    ],
)
def test_refused(digits, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        NetClassifier(**settings).fit(*digits)


def test_refused_data(digits, diabetes):
    x, y = digits
    with pytest.raises(ValueError, match="belong together"):
        NetClassifier().fit(x, y, X_val=x)
    with pytest.raises(ValueError, match="without X_val"):
        NetClassifier().fit(x, y, sample_weight_val=np.ones(3))
    with pytest.raises(ValueError, match="same length"):
        NetClassifier().fit(x, y, X_val=x, y_val=y[:3])
    with pytest.raises(ValueError, match=r"classes not in `self.classes_`.*\[12\]"):
        NetClassifier().fit(x, y, X_val=x[:2], y_val=[1, 12])
    with pytest.raises(ValueError, match="same classes as in the previous"):
        NetClassifier(warm_start=True, max_iter=1).fit(x, y).fit(x, y % 3)
    with pytest.raises(ValueError, match="not supported for partial_fit"):
        NetClassifier(class_weight="balanced").partial_fit(x, y, classes=np.arange(10))
    with pytest.raises(ValueError, match="validation set is too small"):
        NetClassifier(early_stopping=True, validation_fraction=0.002).fit(x, y)
    with pytest.raises(ValueError, match="needs y >= 0"):
        NetRegressor("poisson").fit(diabetes[0], -diabetes[1])
    with pytest.raises(AttributeError, match="partial_fit"):
        NetClassifier(solver="lbfgs").partial_fit(x, y)
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        NetClassifier().fit(x, y, np.linspace(-1.0, 1.0, len(y)).round(1))
