"""Clipping, parameter groups, regularizers, constraints, joined batches and averages: against PyTorch, and by what they promise."""

import numpy as np
import pytest

import fastnet as fn


def data(n=24, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def network(**settings):
    layers = [fn.Dense(5, activation="tanh", name="first"), fn.Dense(2, name="head")]
    return fn.Network(layers, input_shape=(3,), dtype="float64", seed=1, **settings)


def twin_of(net, torch):
    twin = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
            theirs[...] = torch.tensor(ours.value.T.copy())
    return twin


def assert_same(net, twin, rtol=1e-11):
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(ours.value.T, theirs.detach().numpy(), rtol=rtol, atol=1e-13, err_msg=ours.name)


def train_twin(torch, twin, optimizer, x, y, steps=8, batch=6, after_backward=None, extra=None):
    for i in range(steps):
        part = slice(i * batch % len(x), i * batch % len(x) + batch)
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(twin(torch.tensor(x[part])), torch.tensor(y[part]))
        if extra is not None:
            loss = loss + extra()
        loss.backward()
        if after_backward is not None:
            after_backward()
        optimizer.step()


def train(trainer, x, y, steps=8, batch=6):
    for i in range(steps):
        part = slice(i * batch % len(x), i * batch % len(x) + batch)
        found = trainer.train_on_batch(x[part], y[part])
    return found


# Clipping


@pytest.mark.parametrize("name", ["clip_norm", "clip_parameter_norm", "clip_value"])
def test_clipping_agrees_with_torch(name):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    net, (x, y) = network(), data()
    twin = twin_of(net, torch)

    def clip():
        if name == "clip_norm":
            torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.05)
        elif name == "clip_value":
            torch.nn.utils.clip_grad_value_(twin.parameters(), 0.05)
        else:
            for parameter in twin.parameters():
                torch.nn.utils.clip_grad_norm_([parameter], 0.05)

    train(fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.5), **{name: 0.05}), x, y)
    train_twin(torch, twin, torch.optim.SGD(twin.parameters(), 0.5), x, y, after_backward=clip)
    assert_same(net, twin)


def test_gradients_are_shown_before_clipping():
    net, other, (x, y) = network(), network(), data()
    train(fn.Trainer(net, loss="mse", optimizer="sgd", clip_value=1e-3), x, y, steps=1)
    train(fn.Trainer(other, loss="mse", optimizer="sgd"), x, y, steps=1)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)
        assert not np.array_equal(a.value, b.value)


def test_one_kind_of_clipping():
    with pytest.raises(ValueError, match="give one of clip_norm and clip_value"):
        fn.Trainer(network(), loss="mse", optimizer="sgd", clip_norm=1.0, clip_value=0.5)
    with pytest.raises(ValueError, match="clip_value"):
        network().fit(*data(), loss="mse", clip_value=-1, verbose=0)


# Groups


def test_groups_agree_with_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    net, (x, y) = network(), data()
    twin = twin_of(net, torch)
    groups = [
        fn.ParameterGroup("head.bias", learning_rate=0.01),
        fn.ParameterGroup(net["head"], learning_rate=0.3, weight_decay=0.2),
        fn.ParameterGroup("*.bias", weight_decay=0.0),
    ]
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1, momentum=0.9, weight_decay=0.1, groups=groups))
    rows = [
        {"params": [twin[0].weight]},
        {"params": [twin[0].bias], "weight_decay": 0.0},
        {"params": [twin[2].weight], "lr": 0.3, "weight_decay": 0.2},
        {"params": [twin[2].bias], "lr": 0.01},
    ]
    train(trainer, x, y)
    train_twin(torch, twin, torch.optim.SGD(rows, lr=0.1, momentum=0.9, weight_decay=0.1), x, y)
    assert_same(net, twin)


def test_a_rate_that_changes_acts_at_the_next_step():
    net, (x, y) = network(), data()
    group = fn.ParameterGroup("head", learning_rate=0.1)
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1, groups=[group]))
    train(trainer, x, y, steps=1)
    group.learning_rate = 0.0
    before = net.state_dict()
    train(trainer, x, y, steps=1)
    np.testing.assert_array_equal(net["head"].weight.value, before["head.weight"])
    assert not np.array_equal(net["first"].weight.value, before["first.weight"])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: fn.ParameterGroup("head"), "needs a learning_rate or a weight_decay"),
        (lambda: fn.ParameterGroup(3, learning_rate=1), "match"),
        (lambda: fn.SGD(groups=["head"]), "groups"),
        (lambda: fn.SGD(0.1, momentun=0.9), "no argument 'momentun'; did you mean 'momentum'"),
        (lambda: fn.Trainer(network(), loss="mse", optimizer=fn.SGD(groups=fn.ParameterGroup("haed", weight_decay=0))),
         "matches no parameter that SGD updates; did you mean 'head"),
    ],
)  # fmt: skip
def test_wrong_groups(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_decoupled_decay_of_any_rule():
    """w *= 1 - lr decay, then the step that the gradient alone makes."""
    net, other, (x, y) = network(), network(), data()
    with_decay = fn.Trainer(net, loss="mse", optimizer=fn.RMSprop(0.1, weight_decay=0.5, decoupled_weight_decay=True))
    without = fn.Trainer(other, loss="mse", optimizer=fn.RMSprop(0.1))
    first = net.state_dict()
    train(with_decay, x, y, steps=1)
    train(without, x, y, steps=1)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.value - 0.95 * first[a.name], b.value - first[b.name], rtol=0, atol=1e-15)


# Regularizers


def test_regularizers_agree_with_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    net, (x, y) = network(regularizer=fn.L1L2(0.01, 0.02)), data()
    net["head"].regularizer = {"weight": fn.L2(0.1), "bias": fn.L1(0.3)}
    twin = twin_of(net, torch)

    def extra():
        first, head = twin[0].weight, twin[2]
        return (
            0.01 * first.abs().sum()
            + 0.02 * (first**2).sum()
            + 0.1 * (head.weight**2).sum()
            + 0.3 * head.bias.abs().sum()
        )

    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1))
    assert net.penalty() == pytest.approx(extra().item(), rel=1e-13)
    train(trainer, x, y, steps=7)
    train_twin(torch, twin, torch.optim.SGD(twin.parameters(), 0.1), x, y, steps=7, extra=extra)
    assert_same(net, twin)
    expected = torch.nn.functional.mse_loss(twin(torch.tensor(x[:6])), torch.tensor(y[:6])) + extra()
    assert net.evaluate(x[:6], y[:6], loss="mse")["loss"] == pytest.approx(expected.item(), rel=1e-11)
    assert trainer.train_on_batch(x[:6], y[:6])["loss"] == pytest.approx(expected.item(), rel=1e-11)


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_loop_of_ones_own_has_the_penalty(per_sample):
    rule = fn.L2(0.1, per_sample=per_sample)
    net, other, (x, y) = network(regularizer=rule), network(regularizer=rule), data()
    trainer = fn.Trainer(net, loss="mse", optimizer="adam")
    _, dy = trainer.loss.gradient(net.forward(x, training=True), y)
    net.backward(dy)
    trainer.apply_gradients()
    train(fn.Trainer(other, loss="mse", optimizer="adam"), x, y, steps=1, batch=24)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.value, b.value)


def test_a_penalty_per_sample_is_divided_by_the_weight_of_each_batch():
    weights = np.random.default_rng(0).uniform(0.1, 2, 24)
    net, other, (x, y) = network(regularizer=fn.L2(0.3, per_sample=True)), network(), data()
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1))
    twin = fn.Trainer(other, loss="mse", optimizer=fn.SGD(0.1))
    for batch in (slice(10), slice(10, 24)):
        rule = fn.L2(0.3 / weights[batch].sum())
        for name in ("first", "head"):
            other[name].regularizer = rule
        assert net.penalty(weights[batch].sum()) == pytest.approx(other.penalty(), rel=1e-14)
        ours, theirs = (t.train_on_batch(x[batch], y[batch], weights[batch]) for t in (trainer, twin))
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-14)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.value, b.value, rtol=1e-14, atol=1e-16)


def test_frozen_weights_count_in_the_loss_alone():
    net, (x, y) = network(regularizer=fn.L2(0.1)), data()
    net["first"].trainable = False
    before = net.state_dict()
    found = train(fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1)), x, y, steps=1)
    plain = fn.Network(net.layers, input_shape=(3,), dtype="float64", seed=1).evaluate(x[:6], y[:6], loss="mse")
    assert found["loss"] > 0.1 * (before["first.weight"] ** 2).sum() + 0.0 * plain["loss"]
    np.testing.assert_array_equal(net["first"].weight.value, before["first.weight"])


def test_rules_survive_saving_and_copying(tmp_path):
    net = network(regularizer=fn.L1(0.25, per_sample=True))
    net["head"].constraint = {"bias": fn.NonNeg(), "weight": fn.MaxNorm(1.5)}
    net.save(tmp_path / "net.safetensors")
    for other in (fn.load(tmp_path / "net.safetensors"), net.copy()):
        assert other["first"].regularizer == fn.L1(0.25, per_sample=True) != fn.L1(0.25)
        assert other["head"].constraint == {"bias": fn.NonNeg(), "weight": fn.MaxNorm(1.5)}
        assert other.penalty() == net.penalty()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: fn.Dense(3, regularizer=1e-4), "regularizer must be a regularizer such as fn.L2"),
        (lambda: fn.Dense(3, constraint=fn.MaxNorm), "constraint is the class MaxNorm"),
        (lambda: fn.L2(-1), "l2"),
        (lambda: fn.MaxNorm(0), "limit"),
        (lambda: fn.Network([fn.Dense(3, regularizer={"wieght": fn.L2()})], input_shape=(2,)), "did you mean 'weight'"),
        (lambda: setattr(fn.Network([fn.LayerNorm()], input_shape=(2,)).layers[0], "regularizer", fn.L2()),
         r"no parameter with more than one axis; name one"),
        (lambda: setattr(fn.Sequential([fn.Dense(2)]), "regularizer", fn.L2()), "a block has no weights of its own"),
    ],
)  # fmt: skip
def test_wrong_rules(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


# Constraints


def test_constraints_hold_after_each_update():
    net, (x, y) = network(), data()
    net["first"].constraint = fn.MaxNorm(0.5)
    net["head"].constraint = {"weight": fn.UnitNorm(), "bias": fn.NonNeg()}
    free = network()
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.5))
    train(fn.Trainer(free, loss="mse", optimizer=fn.SGD(0.5)), x, y, steps=1)
    train(trainer, x, y, steps=1)
    norms = np.linalg.norm(free["first"].weight.value, axis=0)
    np.testing.assert_allclose(
        net["first"].weight.value, free["first"].weight.value * np.minimum(1, 0.5 / norms), rtol=1e-14
    )
    np.testing.assert_allclose(net["head"].bias.value, np.maximum(free["head"].bias.value, 0), rtol=1e-14)
    train(trainer, x, y, steps=20)
    assert (np.linalg.norm(net["first"].weight.value, axis=0) <= 0.5 * (1 + 1e-15)).all()
    np.testing.assert_allclose(np.linalg.norm(net["head"].weight.value, axis=0), 1, rtol=1e-15)


def test_a_convolutions_filters_are_its_columns():
    net = fn.Network(
        [fn.Conv2D(4, 3, constraint=fn.UnitNorm()), fn.Flatten(), fn.Dense(2)], input_shape=(5, 5, 2), seed=0
    )
    rng = np.random.default_rng(0)
    net.fit(rng.normal(size=(8, 5, 5, 2)), rng.integers(0, 2, 8), loss="softmax_cross_entropy", verbose=0)
    norms = np.sqrt((net["conv2d_1"].weight.value.astype(float) ** 2).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(norms, 1, rtol=1e-6)


# Joined batches


def test_joined_batches_are_one_large_one():
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.5, 2, 24)
    x, y = data()
    nets = [network(regularizer=fn.L2(0.01)), network(regularizer=fn.L2(0.01))]
    options = {"loss": "mse", "epochs": 3, "shuffle": False, "sample_weight": weights, "verbose": 0}
    histories = [
        nets[0].fit(x, y, batch_size=4, accumulate=3, optimizer=fn.Adam(0.01), clip_norm=0.3, **options),
        nets[1].fit(x, y, batch_size=12, optimizer=fn.Adam(0.01), clip_norm=0.3, **options),
    ]
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_allclose(a.value, b.value, rtol=1e-9, atol=1e-12)
    # With the same weights all through an epoch's part, losses are those of the large batches.
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-9)


def test_an_epochs_last_batch_updates():
    """24 samples in batches of 5, four to an update: four, and the remaining ten samples."""
    x, y = data(30)
    trainer = fn.Trainer(network(), loss="mse", optimizer="sgd", accumulate=4)
    trainer.fit(x, y, batch_size=5, epochs=2, verbose=0)
    assert trainer.step == 4


def test_single_batches_wait_too_and_replay_does_not_matter():
    x, y = data()
    nets = [network(), network()]
    trainer = fn.Trainer(nets[0], loss="mse", optimizer="adam", accumulate=2)
    train(trainer, x, y, steps=4)
    assert trainer.step == 2
    nets[1].fit(x, y, batch_size=6, shuffle=False, loss="mse", optimizer="adam", accumulate=2, verbose=0)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_array_equal(a.value, b.value)


def test_joined_batches_are_one_count_of_a_schedule():
    x, y = data(26)
    nets = [network(), network()]
    rate = fn.schedules.Exponential(0.3, 0.7)
    options = {"loss": "mse", "epochs": 2, "shuffle": False, "optimizer": fn.SGD(rate), "verbose": 0}
    nets[0].fit(x, y, batch_size=4, accumulate=3, **options)
    nets[1].fit(x, y, batch_size=12, **options)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_allclose(a.value, b.value, rtol=1e-9, atol=1e-12)


def test_a_group_has_its_own_schedule():
    net, (x, y) = network(), data()
    group = fn.ParameterGroup("head", learning_rate=fn.schedules.Piecewise([2], [0.1, 0.0]))
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1, groups=[group]))
    train(trainer, x, y, steps=2)
    before = net.state_dict()
    train(trainer, x, y, steps=2)
    np.testing.assert_array_equal(net["head"].weight.value, before["head.weight"])
    assert not np.array_equal(net["first"].weight.value, before["first.weight"])


def test_a_bad_batch_leaves_those_before_it():
    x, y = data()
    nets, trainers = [network(), network()], []
    for net in nets:
        trainers.append(fn.Trainer(net, loss="mse", optimizer="sgd", accumulate=2))
    train(trainers[0], x, y, steps=1)
    with pytest.raises(FloatingPointError):
        trainers[0].train_on_batch(x[:6], np.full((6, 2), 1e200))
    trainers[0].train_on_batch(x[6:12], y[6:12])
    train(trainers[1], x, y, steps=2)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_array_equal(a.value, b.value)


# Averages


def test_exponential_average_agrees_with_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    net, (x, y) = network(), data()
    twin = twin_of(net, torch)
    averaged = torch.optim.swa_utils.AveragedModel(twin, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8))
    net.fit(
        x, y, batch_size=6, epochs=2, shuffle=False, loss="mse", optimizer=fn.SGD(0.1), average=fn.EMA(0.8), verbose=0
    )
    optimizer = torch.optim.SGD(twin.parameters(), 0.1)
    for i in range(8):
        part = slice(i * 6 % 24, i * 6 % 24 + 6)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(twin(torch.tensor(x[part])), torch.tensor(y[part])).backward()
        optimizer.step()
        averaged.update_parameters(twin)
    assert_same(net, averaged.module)


def test_training_goes_on_from_its_own_weights():
    """The average is shown at the ends of epochs, where it is evaluated, and changes nothing about the training."""
    x, y = data()
    plain, averaged, seen = network(), network(), []

    class Watch(fn.Callback):
        def on_epoch_end(self, trainer, logs):
            seen.append((trainer.net.evaluate(x, y)["loss"], logs["val_loss"]))

    options = {"batch_size": 6, "loss": "mse", "optimizer": fn.SGD(0.1), "verbose": 0, "epochs": 3}
    history = plain.fit(x, y, **options)
    other = averaged.fit(x, y, average=fn.EMA(0.9), validation=(x, y), callbacks=[Watch()], **options)
    assert history["loss"] == other["loss"]
    assert all(a == b for a, b in seen)
    assert other["val_loss"][-1] == averaged.evaluate(x, y)["loss"] != plain.evaluate(x, y)["loss"]


def test_a_second_fit_of_a_trainer_goes_on():
    x, y = data()
    nets = [network(), network()]
    for net, parts in zip(nets, ([1, 2], [3]), strict=True):
        trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1, momentum=0.9), average=fn.EMA(0.9))
        for epochs in parts:
            trainer.fit(x, y, batch_size=6, epochs=epochs, verbose=0)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_array_equal(a.value, b.value)


def test_stochastic_weight_averaging():
    x, y = data()
    net, kept = network(), []

    class Keep(fn.Callback):
        def on_epoch_begin(self, trainer, logs):
            kept.append(trainer.net.state_dict())

    net.fit(x, y, batch_size=6, epochs=6, loss="mse", optimizer=fn.SGD(0.1), average=fn.SWA(2, every=2), callbacks=[Keep()],
            verbose=0)  # fmt: skip
    plain = network()
    plain.fit(x, y, batch_size=6, epochs=6, loss="mse", optimizer=fn.SGD(0.1), verbose=0)
    parts = [kept[2], kept[4], plain.state_dict()]  # after epochs 2, 4 and 6
    for p in net.parameters():
        np.testing.assert_allclose(p.value, np.mean([part[p.name] for part in parts], axis=0), rtol=1e-13)


def normed_network():
    return fn.Network([fn.Dense(5), fn.BatchNorm(), fn.Dense(2)], input_shape=(3,), dtype="float64", seed=0)


def normed_data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 3)), rng.normal(size=(24, 2))


def assert_statistics_fit(net, x):
    """The running statistics are the mean of those of the batches of six under the present weights."""
    z = net.activations(x, ["dense_1"])["dense_1"].reshape(4, 6, 5)
    norm = net["batch_norm_1"]
    np.testing.assert_allclose(norm.running_mean.value, z.mean(axis=1).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(norm.running_variance.value, z.var(axis=1, ddof=1).mean(axis=0), rtol=1e-12)
    assert norm.momentum == 0.1


OPTIONS = {"batch_size": 6, "loss": "mse", "optimizer": fn.SGD(0.1), "verbose": 0}


def test_averaging_renews_batch_normalization():
    x, y = normed_data()
    net = normed_network()
    net.fit(x, y, epochs=3, average=fn.SWA(2), **OPTIONS)
    assert_statistics_fit(net, x)
    assert net.executor.control.forward == 3 * 4


class StopAfter(fn.Callback):
    """Ends training at the end of an epoch, as early stopping does."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, trainer, logs):
        if trainer.history.epochs == self.epoch:
            trainer.stop()


class RaiseAfter(fn.Callback):
    """Raises in the middle of the epoch after this one."""

    def __init__(self, epoch, error):
        self.epoch, self.error = epoch, error

    def on_batch_end(self, trainer, logs):
        if trainer.step == 4 * self.epoch + 2:
            raise self.error


def raising_loss(error):
    """A squared error that raises in the second batch of the fifth epoch; there is no callback then that could look."""

    class Raising(fn.Loss):
        calls = 0

        def per_sample(self, y_predicted, y):
            self.calls += 1
            if self.calls == 18:
                raise error
            return ((y_predicted - y) ** 2).mean(axis=1), y_predicted - y

    return Raising()


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), RuntimeError("of a callback")], ids=repr)
def test_averaged_weights_have_their_statistics_however_training_ends(validated, error):
    x, y = normed_data()
    net = normed_network()
    callback = StopAfter(4) if error is None else RaiseAfter(4, error)
    options = {**OPTIONS, "epochs": 9, "average": fn.SWA(2, every=2), "callbacks": [callback]}
    options["validation"] = (x, y) if validated else None
    if error is None:
        net.fit(x, y, **options)
    else:
        with pytest.raises(type(error)):
            net.fit(x, y, **options)
    assert_statistics_fit(net, x)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("of a loss")], ids=repr)
def test_averaged_weights_have_their_statistics_where_nobody_looked(error):
    x, y = normed_data()
    net = normed_network()
    with pytest.raises(type(error)):
        net.fit(x, y, epochs=9, average=fn.SWA(2), **{**OPTIONS, "loss": raising_loss(error)})
    assert_statistics_fit(net, x)


def test_stopping_at_a_step_that_is_not_finite_leaves_statistics_of_the_averaged_weights():
    x, y = normed_data()
    net = normed_network()

    class Explode(fn.Callback):
        def on_epoch_begin(self, trainer, logs):
            trainer.rate_factor = 1e200 if trainer.history.epochs == 4 else 1.0

    history = net.fit(x, y, epochs=9, average=fn.SWA(2), on_nonfinite="stop", callbacks=[Explode()], **OPTIONS)
    assert history.stopped == "not finite" and history.epochs == 4
    assert_statistics_fit(net, x)


def test_what_validation_and_callbacks_see_has_the_statistics_of_the_averaged_weights():
    x, y = normed_data()
    net, seen = normed_network(), []

    class Watch(fn.Callback):
        def on_epoch_end(self, trainer, logs):
            if trainer.history.epochs >= 2:
                assert_statistics_fit(trainer.net, x)
            seen.append((logs["val_loss"], trainer.net.evaluate(x, y)["loss"]))

    net.fit(x, y, epochs=5, average=fn.SWA(2, every=2), validation=(x, y), callbacks=[Watch()], **OPTIONS)
    assert all(a == b for a, b in seen)


def test_early_stopping_goes_back_to_averaged_weights_with_their_statistics():
    x, y = normed_data()
    net, best = normed_network(), fn.EarlyStopping(patience=1)

    class Worse(fn.Callback):
        """Makes the fourth epoch the best one."""

        def on_epoch_end(self, trainer, logs):
            logs["val_loss"] = abs(trainer.history.epochs - 4)

    history = net.fit(x, y, epochs=9, average=fn.SWA(2), validation=(x, y), callbacks=[Worse(), best], **OPTIONS)
    assert history.stopped == "early stopping" and history.epochs == 5
    assert_statistics_fit(net, x)
    other = normed_network()
    other.fit(x, y, epochs=4, average=fn.SWA(2), **OPTIONS)
    np.testing.assert_allclose(net.predict(x), other.predict(x), rtol=1e-12)


def test_training_goes_on_from_its_own_statistics():
    x, y = normed_data()
    plain, averaged, own = normed_network(), normed_network(), []

    class Own(fn.Callback):
        def on_epoch_begin(self, trainer, logs):
            own.append(trainer.net.state_dict())

    plain.fit(x, y, epochs=4, callbacks=[Own()], **OPTIONS)
    expected, own = own, []
    averaged.fit(x, y, epochs=4, average=fn.SWA(2), validation=(x, y), callbacks=[Own()], **OPTIONS)
    for a, b in zip(expected, own, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_statistics_are_as_before_where_their_renewal_is_interrupted():
    x, y = normed_data()
    net = normed_network()
    trainer = fn.Trainer(net, loss="mse", optimizer="sgd", average=fn.SWA(1))
    trainer.fit(x, y, epochs=1, batch_size=6, verbose=0)
    before = net.state_dict()
    average, calls, forward = trainer.update.average, [], net.forward

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return forward(*arguments, **options)

    net.forward, average.renewed_at = interrupted, 0
    with pytest.raises(KeyboardInterrupt):
        average.renew_statistics(net, trainer.feed, 6)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert net["batch_norm_1"].momentum == 0.1


def test_wrong_averages():
    with pytest.raises(TypeError, match="average must be fn.EMA"):
        fn.Trainer(network(), loss="mse", optimizer="sgd", average=0.99)
    with pytest.raises(ValueError, match="decay"):
        fn.EMA(1.0)
    with pytest.raises(ValueError, match="start"):
        fn.SWA(0)
