"""The training loop: same bits on every path, what a bad step changes, data that is refused."""

import json

import numpy as np
import pytest

import fastnet as fn


def make_net(seed=0, dtype="float32", dropout=0.3):
    return fn.Network(
        [fn.Dense(24, activation="relu"), fn.BatchNorm(), fn.Dropout(dropout), fn.Dense(17, activation="tanh"), fn.Dense(4)],
        input_shape=(11,), seed=seed, dtype=dtype,
    )  # fmt: skip


def make_data(n=70, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 11)).astype("float32")
    return x, (x[:, :4].argmax(axis=1)).astype(np.int64)


def bits(net):
    return {name: value.tobytes() for name, value in net.state_dict().items()}


def fit(net, x, y, **options):
    settings = {"epochs": 3, "batch_size": 16, "loss": "softmax_cross_entropy", "optimizer": fn.Adam(1e-2),
                "metrics": ["accuracy"], "verbose": 0} | options  # fmt: skip
    return net.fit(x, y, **settings)


def test_learns():
    x, y = make_data(400)
    net = make_net(dropout=0.0)
    history = fit(net, x, y, epochs=30)
    assert history["loss"][-1] < 0.3 < history["loss"][0]
    assert net.evaluate(x, y)["accuracy"] > 0.9
    assert net.predict_class(x).shape == (400,)
    assert np.allclose(net.predict_proba(x).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(dtype, monkeypatch):
    from fastnet.recording import program

    monkeypatch.setattr(program, "PARALLEL_OP", 0)
    monkeypatch.setattr(program, "PARALLEL_PROGRAM", 0)
    x, y = make_data()
    found = []
    for threads in (1, 2, 3, 4):
        with fn.threads(threads):
            net = make_net(dtype=dtype)
            history = fit(net, x, y, clip_norm=0.5)
            found.append((bits(net), history["loss"], history["accuracy"]))
    assert all(other == found[0] for other in found)


def test_same_bits_in_fit_on_batches_and_in_a_loop_of_ones_own():
    x, y = make_data(64)
    by_fit = make_net()
    fit(by_fit, x, y, epochs=2, shuffle=False, clip_norm=0.7)
    by_batch = make_net()
    trainer = fn.Trainer(by_batch, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-2), clip_norm=0.7)
    by_hand = make_net()
    loop = fn.Trainer(by_hand, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-2), clip_norm=0.7)
    for _ in range(2):
        for start in range(0, 64, 16):
            a, b = x[start : start + 16], y[start : start + 16]
            found = trainer.train_on_batch(a, b)
            value, dy = loop.loss.gradient(by_hand.forward(a, training=True), b)
            by_hand.backward(dy)
            loop.apply_gradients()
            assert found["loss"] == value
    assert bits(by_fit) == bits(by_batch) == bits(by_hand)
    assert trainer.step == loop.step == 8


def test_same_bits_whatever_the_callbacks_and_the_progress_bar_make_of_the_runs(capsys):
    class EachBatch(fn.Callback):
        def __init__(self):
            self.losses = []

        def on_batch_end(self, trainer, logs):
            self.losses.append(logs["loss"])

    x, y = make_data()
    plain, watched = make_net(), make_net()
    fit(plain, x, y)
    callback = EachBatch()
    fit(watched, x, y, callbacks=[callback], verbose=1)
    assert bits(plain) == bits(watched)
    assert len(callback.losses) == 3 * 5
    assert "accuracy" in capsys.readouterr().err


def test_a_second_fit_goes_on_with_fresh_order_and_masks_and_optimizer():
    x, y = make_data()
    once, twice = make_net(), make_net()
    fit(once, x, y, epochs=2, optimizer=fn.SGD(0.1))
    optimizer = fn.SGD(0.1)
    fit(twice, x, y, epochs=1, optimizer=optimizer)
    fit(twice, x, y, epochs=1, optimizer=optimizer)
    assert bits(once) == bits(twice)


def test_history_is_the_average_over_samples_whatever_the_last_batch():
    x, y = make_data(50)
    net = make_net(dropout=0.0)
    before = net.evaluate(x, y, loss="softmax_cross_entropy", metrics=["accuracy", "top_2_accuracy"], batch_size=7)
    whole = net.evaluate(x, y, loss="softmax_cross_entropy", metrics=["accuracy", "top_2_accuracy"], batch_size=50)
    assert all(np.isclose(before[k], whole[k], rtol=1e-6) for k in whole)
    net = fn.Network([fn.Dense(4)], input_shape=(11,), seed=0)
    before = net.evaluate(x, y, loss="softmax_cross_entropy", metrics=["accuracy"])
    history = fit(net, x, y, optimizer=fn.SGD(0.0), epochs=1, batch_size=16)
    assert np.isclose(history["loss"][0], before["loss"], rtol=1e-6)
    assert history["accuracy"][0] == before["accuracy"]


def test_evaluations_do_not_mix():
    x, y = make_data(50)
    net = make_net(dropout=0.0)
    expected = {}
    for _ in range(3):
        for loss, target in (("softmax_cross_entropy", y), ("mse", np.eye(4)[y]), ("mae", np.eye(4)[y])):
            value = net.evaluate(x, target, loss=loss, metrics=["accuracy"])
            assert expected.setdefault(loss, value) == value
            assert np.isclose(value["loss"], net_loss(net, loss, x, target), rtol=1e-5)


def net_loss(net, loss, x, y):
    return fn.losses.get(loss).value(net.predict(x), y)


def test_weights_scale_the_loss_and_zero_weights_leave_samples_out():
    x, y = make_data(40)
    w = np.zeros(40)
    w[:20] = 2.0
    net = make_net(dropout=0.0)
    half = net.evaluate(x[:20], y[:20], loss="softmax_cross_entropy", metrics=["accuracy"])
    weighted = net.evaluate(x, y, loss="softmax_cross_entropy", metrics=["accuracy"], sample_weight=w)
    assert np.isclose(half["loss"], weighted["loss"]) and np.isclose(half["accuracy"], weighted["accuracy"])
    a, b = (fn.Network([fn.Dense(4)], input_shape=(11,), seed=0) for _ in range(2))
    fit(a, x, y, class_weight={0: 3.0, 2: 0.5}, shuffle=False)
    fit(b, x, y, sample_weight=np.array([3.0, 1, 0.5, 1])[y], shuffle=False)
    assert bits(a) == bits(b)
    fit(a, x, y, class_weight="balanced")


def test_integer_inputs_are_cast_and_not_scaled():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 200, (40, 11))
    y = rng.integers(0, 4, 40)
    nets = [make_net() for _ in range(5)]
    dtypes = ("float32", "uint8", "int64", "float64", "int16")
    for net, dtype in zip(nets, dtypes, strict=True):
        fit(net, x.astype(dtype), y.astype("uint8"), epochs=1)
    assert len({tuple(bits(net).values()) for net in nets}) == 1
    strided = np.zeros((40, 22), np.float32)
    strided[:, ::2] = x
    other = make_net()
    fit(other, strided[:, ::2], y, epochs=1)
    assert bits(other) == bits(nets[0])


def test_a_step_that_is_not_finite_changes_nothing_and_is_named():
    x, y = make_data(32)
    net = fn.Network([fn.Dense(8, activation="relu"), fn.Dense(4, name="head")], input_shape=(11,), seed=0)
    with net["head"].weight.edit() as w:
        w[0, 0] = np.inf
    before = bits(net)
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam", metrics=["accuracy"])
    with pytest.raises(FloatingPointError, match="head"):
        trainer.train_on_batch(x, y)
    assert bits(net) == before and trainer.step == 0
    with pytest.raises(FloatingPointError, match="head.*no weight has changed"):
        trainer.fit(x, y, verbose=0)
    assert bits(net) == before and trainer.history.epochs == 0 and trainer.history.stopped == "not finite"
    history = trainer.fit(x, y, verbose=0, on_nonfinite="stop", epochs=3)
    assert history.epochs == 0 and bits(net) == before


def test_continue_leaves_out_steps_that_are_not_finite():
    # In float32 the square of 1e30 overflows: the batch with that sample has an infinite loss.
    x = np.ones((8, 2), np.float32)
    x[3] = 1e30
    y = np.zeros((8, 1), np.float32)
    net = fn.Network([fn.Dense(1, init="ones")], input_shape=(2,), seed=0)
    history = net.fit(x, y, loss="mse", optimizer=fn.SGD(0.01), batch_size=2, shuffle=False, epochs=2,
                      on_nonfinite="continue", verbose=0)  # fmt: skip
    assert history.epochs == 2
    assert np.isfinite(net.predict(x[:2])).all() and net[0].weight.value[0, 0] < 1


def test_ctrl_c_keeps_history_and_weights_consistent():
    class Interrupt(fn.Callback):
        def on_batch_end(self, trainer, logs):
            if trainer.step == 7:
                raise KeyboardInterrupt

    x, y = make_data()
    net = make_net()
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam")
    stopping = fn.EarlyStopping("loss", patience=3)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, y, batch_size=16, epochs=4, callbacks=[stopping, Interrupt()], verbose=0)
    assert trainer.history.epochs == 1 and trainer.history.stopped == "interrupted" and trainer.step == 7


def test_validation_share_is_held_out():
    x, y = make_data(100)
    seen = []

    class Count(fn.Callback):
        def on_epoch_end(self, trainer, logs):
            seen.append(trainer.step)

    history = fit(make_net(), x, y, validation=0.2, batch_size=10, epochs=2, callbacks=[Count()])
    assert seen == [8, 16]
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_predict_in_a_callback_does_not_disturb_training():
    x, y = make_data()

    class Predict(fn.Callback):
        def on_batch_end(self, trainer, logs):
            trainer.net.predict(x[:33])
            trainer.net.evaluate(x, y)

    plain, disturbed = make_net(), make_net()
    fit(plain, x, y)
    fit(disturbed, x, y, callbacks=[Predict()])
    assert bits(plain) == bits(disturbed)


GOOD_X, GOOD_Y = make_data(20)
WITH_NAN = GOOD_X.copy()
WITH_NAN[4, 2] = np.nan


@pytest.mark.parametrize("x, y, options, text", [
    (GOOD_X[:, :5], GOOD_Y, {}, r"x must have shape \(n, 11\).*got \(20, 5\)"),
    (GOOD_X[0], GOOD_Y, {}, r"one sample"),
    (GOOD_X[:0], GOOD_Y[:0], {}, "x is empty"),
    (GOOD_X, GOOD_Y[:7], {}, "y and x must have the same length.*7.*20"),
    (WITH_NAN, GOOD_Y, {}, r"x has NaN, first at index \(4, 2\)"),
    (GOOD_X, GOOD_Y + 1, {}, "y has the label 4 at index"),
    (GOOD_X, GOOD_Y - 1, {}, "y has the label -1 at index"),
    (GOOD_X, GOOD_Y.astype(float), {}, "dtype"),
    (GOOD_X, np.array(["a"] * 20), {}, "dtype.*encode"),
    (GOOD_X.astype(complex), GOOD_Y, {}, "dtype complex"),
    (GOOD_X, GOOD_Y, {"batch_size": 0}, "batch_size must be at least 1; got 0"),
    (GOOD_X, GOOD_Y, {"batch_size": 2.5}, "batch_size must be a whole number"),
    (GOOD_X, GOOD_Y, {"epochs": -1}, "epochs must be at least 0"),
    (GOOD_X, GOOD_Y, {"loss": "softmax_crossentropy"}, "did you mean 'softmax_cross_entropy'"),
    (GOOD_X, GOOD_Y, {"optimizer": "Adam"}, "did you mean 'adam'"),
    (GOOD_X, GOOD_Y, {"metrics": ["acuracy"]}, "did you mean 'accuracy'"),
    (GOOD_X, GOOD_Y, {"metrics": ["mse"]}, "accuracy"),
    (GOOD_X, GOOD_Y, {"loss": "mse", "metrics": []}, r"y must have shape \(n, 4\)"),
    (GOOD_X, GOOD_Y, {"validation": 1.5}, "validation must be"),
    (GOOD_X, GOOD_Y, {"validation": (GOOD_X, GOOD_Y, 1, 2)}, "validation must be"),
    (GOOD_X, GOOD_Y, {"validation": (WITH_NAN, GOOD_Y)}, "validation x has NaN"),
    (GOOD_X, GOOD_Y, {"sample_weight": np.zeros(20)}, "sample_weight must not be zero everywhere"),
    (GOOD_X, GOOD_Y, {"sample_weight": -np.ones(20)}, "sample_weight must not be negative"),
    (GOOD_X, GOOD_Y, {"sample_weight": np.ones(3)}, r"sample_weight must have shape \(20,\)"),
    (GOOD_X, GOOD_Y, {"class_weight": {7: 1.0}}, "class_weight has class 7"),
    (GOOD_X, GOOD_Y, {"clip_norm": 0}, "clip_norm must be above 0"),
    (GOOD_X, GOOD_Y, {"callbacks": [fn.EarlyStopping]}, "callbacks must be a list of callbacks"),
    (GOOD_X, GOOD_Y, {"batch_size": 50, "drop_last": True}, "drop_last"),
    (GOOD_X, GOOD_Y, {"on_nonfinite": "ignore"}, "on_nonfinite"),
])  # fmt: skip
def test_bad_input_gets_one_error_and_changes_nothing(x, y, options, text):
    net = make_net()
    before = bits(net)
    with pytest.raises((ValueError, TypeError), match=text) as error:
        fit(net, x, y, **options)
    assert bits(net) == before
    assert len(str(error.value).splitlines()) <= 3


def test_targets_that_would_broadcast_are_refused_and_columns_taken():
    net = fn.Network([fn.Dense(1)], input_shape=(3,), seed=0)
    x = np.ones((6, 3))
    net.fit(x, np.ones(6), loss="mse", verbose=0)
    with pytest.raises(ValueError, match=r"y must have shape \(n, 1\)"):
        net.fit(x, np.ones((6, 6)), loss="mse", verbose=0)


def test_softmax_twice_is_refused():
    net = fn.Network([fn.Dense(4, activation="softmax")], input_shape=(11,), seed=0)
    with pytest.raises(ValueError, match="applies softmax itself.*dense_1"):
        fit(net, *make_data())
    net = fn.Network([fn.Dense(1), fn.Activation("sigmoid"), fn.Reshape((1,))], input_shape=(11,), seed=0)
    with pytest.raises(ValueError, match="applies sigmoid itself.*activation_1"):
        net.fit(GOOD_X, np.zeros(20), loss="sigmoid_cross_entropy", verbose=0)


def test_train_on_batch_refuses_bad_values_before_anything_changes():
    x, y = make_data(16)
    net = make_net()
    trainer = fn.Trainer(net, loss="softmax_cross_entropy", optimizer="adam")
    trainer.train_on_batch(x, y)
    before, count = bits(net), net.executor.control.forward
    bad = x.copy()
    bad[3, 3] = np.inf
    with pytest.raises(ValueError, match="NaN or Inf"):
        trainer.train_on_batch(bad, y)
    with pytest.raises(ValueError, match="label"):
        trainer.train_on_batch(x, y + 9)
    with pytest.raises(ValueError, match="same length"):
        trainer.train_on_batch(x, y[:3])
    assert bits(net) == before and trainer.step == 1 and net.executor.control.forward == count
    trainer.train_on_batch(x, y, sample_weight=np.arange(16))
    assert trainer.step == 2


def test_a_batch_of_a_known_form_gives_the_bits_of_a_new_one():
    """Steps whose program was kept, before and after the workspace grew, rates and data changed, and errors."""
    x, y = make_data(64)
    kept, fresh = (
        fn.Trainer(make_net(), loss="softmax_cross_entropy", optimizer=fn.Adam(1e-2), metrics=["accuracy"])
        for _ in range(2)
    )
    for step in range(6):
        if step == 2:
            for trainer in (kept, fresh):
                trainer.fit(x, y, batch_size=64, epochs=1, verbose=0)
        if step == 3:
            kept.optimizer.learning_rate = fresh.optimizer.learning_rate = 0.5
        if step == 4:
            for broken in (np.full_like(x[:16], np.nan), x[:16].tolist()[:15]):
                with pytest.raises(ValueError):
                    kept.train_on_batch(broken, y[:16])
        batch = slice(8 * step, 8 * step + 16)
        figures = kept.train_on_batch(x[batch].copy(), y[batch])
        # A list has no form: its step is found, or made, in Python each time.
        assert fresh.train_on_batch(x[batch].tolist(), y[batch].tolist()) == figures
        assert bits(kept.net) == bits(fresh.net)


def test_regression_metrics_agree_with_scikit_learn():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(37, 3)), 1000 + rng.normal(size=(37, 2))
    net = fn.Network([fn.Dense(2, bias_init=np.full(2, 1000.0))], input_shape=(3,), seed=0, dtype="float64")
    found = net.evaluate(x, y, loss="mse", metrics=["mse", "mae", "r2"], batch_size=5)
    predicted = net.predict(x)
    assert np.isclose(found["mse"], sklearn_metrics.mean_squared_error(y, predicted))
    assert np.isclose(found["mae"], sklearn_metrics.mean_absolute_error(y, predicted))
    assert np.isclose(found["r2"], sklearn_metrics.r2_score(y, predicted))
    assert np.isclose(found["loss"], found["mse"])


def test_history_says_how_it_was_trained():
    x, y = make_data()
    net = make_net()
    rate = fn.schedules.Exponential(0.1, gamma=0.5, by="epoch")
    history = fit(net, x, y, optimizer=fn.SGD(rate), epochs=3, batch_size=16, validation=0.25, clip_norm=2.0)
    assert history.learning_rates == pytest.approx([0.1, 0.05, 0.025])
    assert len(history.seconds) == 3 and min(history.seconds) > 0
    settings = history.settings
    assert settings == json.loads(json.dumps(settings))
    assert [name for name, _ in settings["layers"]] == list(net.graph.by_name)
    assert settings["seed"] == net.seed and settings["batch_size"] == 16 and settings["clip_norm"] == 2.0
    assert settings["samples"] + settings["validation_samples"] == len(x)
    assert settings["optimizer"].startswith("SGD(learning_rate=Exponential(") and "clip_value" not in settings
