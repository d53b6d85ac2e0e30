"""Numbers of predictions against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

import fastnet as fn
from fastnet.reports.results import class_figures, confusion_matrix, results_of


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_confusion_and_class_figures_agree_with_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    true, predicted = rng.integers(0, classes, (2, 60))
    predicted[predicted == classes - 1] = 0  # a class that is never predicted
    found = confusion_matrix(true, predicted, classes)
    names = list(range(classes))
    np.testing.assert_array_equal(found, metrics.confusion_matrix(true, predicted, labels=names))
    figures = class_figures(np.diag(found), found.sum(axis=0), found.sum(axis=1))
    expected = metrics.precision_recall_fscore_support(true, predicted, labels=names, zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(figures[name], values, rtol=1e-14, err_msg=name)


def linear(weights, loss, units, **options):
    net = fn.Network([fn.Dense(units, name="head")], input_shape=(np.shape(weights)[0],), seed=0, dtype="float64")
    net["head"].weight.assign(weights)
    net.loss = fn.losses.get(loss)
    net.metrics = options.get("metrics", [])
    return net


def test_classes():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)), rng.integers(0, 3, 80)
    net = linear(np.eye(3), "softmax_cross_entropy", 3)
    found, pictures = results_of(net, x, y, ["a", "b", "c"])
    predicted = x.argmax(axis=1)
    probability = np.exp(x).max(axis=1) / np.exp(x).sum(axis=1)
    np.testing.assert_array_equal(found["confusion"], metrics.confusion_matrix(y, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(y, predicted, average="macro"), rel=1e-14)
    assert found["accuracy"] == metrics.accuracy_score(y, predicted) and found["wrong"] == np.sum(predicted != y)
    wrong = np.flatnonzero(predicted != y)
    assert [m["sample"] for m in found["mistakes"]] == wrong[np.argsort(-probability[wrong])][:24].tolist()
    first = found["mistakes"][0]
    assert first["true"] == "abc"[y[first["sample"]]] and first["predicted"] == "abc"[predicted[first["sample"]]]
    assert first["probability"] == pytest.approx(probability[first["sample"]], rel=1e-12)
    assert found["features"]["x[2]"].tolist() == x[[m["sample"] for m in found["mistakes"]], 2].tolist()
    assert pictures is None
    one_hot, _ = results_of(net, x, np.eye(3)[y], ["a", "b", "c"])
    np.testing.assert_array_equal(one_hot["confusion"], found["confusion"])


def test_one_output_has_two_classes():
    x = np.linspace(-2, 2, 20)[:, None]
    y = (x[:, 0] > 0.5).astype(float)
    found, _ = results_of(linear([[2.0]], "sigmoid_cross_entropy", 1), x, y)
    np.testing.assert_array_equal(found["confusion"], metrics.confusion_matrix(y, x[:, 0] > 0))
    assert found["classes"] == ["0", "1"]
    worst = found["mistakes"][0]
    assert worst["probability"] == pytest.approx(1 / (1 + np.exp(-2 * x[worst["sample"], 0])))


def test_several_labels():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.integers(0, 2, (50, 3)).astype(float)
    found, _ = results_of(linear(np.eye(3), "sigmoid_cross_entropy", 3), x, y, "abc")
    expected = metrics.precision_recall_fscore_support(y, x > 0)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(found["class_figures"][name], values, rtol=1e-14)
    assert found["task"] == "labels" and "confusion" not in found


def test_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2))
    y = x @ [[1.0, 0.0], [0.0, 2.0]] + rng.normal(size=(900, 2))
    found, _ = results_of(linear([[1.0, 0.0], [0.0, 2.0]], "mse", 2), x, y)
    predicted = x @ [[1.0, 0.0], [0.0, 2.0]]
    for i, output in enumerate(found["outputs"]):
        assert output["r2"] == pytest.approx(metrics.r2_score(y[:, i], predicted[:, i]))
        assert output["rmse"] ** 2 == pytest.approx(metrics.mean_squared_error(y[:, i], predicted[:, i]))
        assert output["mae"] == pytest.approx(metrics.mean_absolute_error(y[:, i], predicted[:, i]))
        assert output["bias"] == pytest.approx(np.mean(predicted[:, i] - y[:, i]))
        assert len(output["true"]) == 600
    worst = np.abs((predicted - y) / y.std(axis=0)).max(axis=1).argmax()
    assert found["mistakes"][0]["sample"] == worst


def test_outputs_that_are_not_finite_or_not_classes():
    net = linear([[np.inf]], "mse", 1)
    net["head"].bias.assign([-np.inf])
    found, _ = results_of(net, np.ones((3, 1)), np.ones(3))
    assert found["task"] is None and "not finite" in found["reason"]
    net = fn.Network([fn.Conv2D(2, 1)], input_shape=(3, 3, 1), seed=0)
    net.loss = fn.SigmoidCrossEntropy()
    found, _ = results_of(net, np.ones((2, 3, 3, 1)), np.ones((2, 3, 3, 2)))
    assert found["task"] is None and "(3, 3, 2)" in found["reason"]


def test_mistakes():
    net = linear(np.eye(3), "softmax_cross_entropy", 3)
    x, y = np.ones((4, 3)), np.arange(4) % 3
    with pytest.raises(ValueError, match="class_names must have a name for each of the 3 classes; got 2"):
        results_of(net, x, y, ["a", "b"])
    with pytest.raises(ValueError, match="data x"):
        results_of(net, np.ones((4, 2)), y)
    with pytest.raises(ValueError, match="data y"):
        results_of(net, x, y[:3])
    with pytest.raises(ValueError, match="data x is empty"):
        results_of(net, x[:0], y[:0])
    net.loss = None
    with pytest.raises(ValueError, match="net has no loss"):
        results_of(net, x, y)
