"""Update rules against PyTorch's, in float64, over several steps."""

import numpy as np
import pytest
import reference

import fastnet as fn
from fastnet.files import from_config, to_config

CASES = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    "RMSprop": [{}, {"momentum": 0.5, "centered": True, "weight_decay": 0.1}, {"rho": 0.9, "epsilon": 1e-3}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}],
    "AdamW": [{}, {"weight_decay": 0.3, "amsgrad": True}],
    "Adagrad": [{}, {"learning_rate_decay": 0.1, "weight_decay": 0.2}],
    "Adadelta": [{}, {"rho": 0.8, "epsilon": 1e-3, "weight_decay": 0.1}],
    "Adamax": [{}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}],
    "NAdam": [
        {},
        {"momentum_decay": 1.0, "weight_decay": 0.1},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.3, "decoupled_weight_decay": True},
    ],
    "RAdam": [
        {},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1},
        {"beta_1": 0.9, "beta_2": 0.5, "weight_decay": 0.3, "decoupled_weight_decay": True},
    ],
}
OTHERS = {"Lion", "Muon"}  # PyTorch has no Lion; test_muon.py is about Muon
NAMES = {"rho": "alpha", "epsilon": "eps", "learning_rate_decay": "lr_decay", "learning_rate": "lr"}
FLAT = [pytest.param(name, options, id=f"{name}-{i}") for name, rows in CASES.items() for i, options in enumerate(rows)]


def test_every_optimizer_has_a_case():
    assert set(CASES) | OTHERS == set(fn.optimizers.__all__) - {"Optimizer", "ParameterGroup", "get"}


@pytest.fixture
def torch():
    """PyTorch with float64 as its default, in which NAdam keeps the product of its momenta."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


def torch_options(name, options):
    names = {key: value for key, value in NAMES.items() if (key, name) != ("rho", "Adadelta")}
    found = {names.get(k, k): v for k, v in options.items() if not k.startswith("beta")}
    if "beta_1" in options:
        found["betas"] = (options["beta_1"], options["beta_2"])
    return found


def network():
    return fn.Network([fn.Dense(5, activation="tanh"), fn.Dense(2)], input_shape=(3,), dtype="float64", seed=1)


def pair(name, options, torch):
    net = network()
    twin = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
            theirs[...] = torch.tensor(ours.value.T.copy())
    optimizer = getattr(torch.optim, name)(twin.parameters(), **torch_options(name, options))
    return net, twin, optimizer


@pytest.mark.parametrize("name, options", FLAT)
def test_agrees_with_torch(name, options, torch):
    net, twin, optimizer = pair(name, options, torch)
    trainer = fn.Trainer(net, loss="mse", optimizer=getattr(fn, name)(**options))
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
        trainer.train_on_batch(x, y)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(twin(torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert np.allclose(ours.value.T, theirs.detach().numpy(), rtol=1e-11, atol=1e-13), ours.name


def test_lion_agrees_with_the_paper():
    """Algorithm 2 of Chen et al. (2023), with decay and clipping, over ten steps."""
    net = network()
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.Lion(0.01, beta_1=0.8, weight_decay=0.2), clip_value=0.1)
    rng = np.random.default_rng(0)
    values, states = net.state_dict(), {p.name: {"m": 0.0} for p in net.parameters()}
    for step in range(1, 11):
        trainer.train_on_batch(rng.normal(size=(6, 3)), rng.normal(size=(6, 2)))
        for p in net.parameters():
            values[p.name] = reference.lion(values[p.name], np.clip(p.grad, -0.1, 0.1), states[p.name], step=step,
                                           learning_rate=0.01, beta_1=0.8, weight_decay=0.2)  # fmt: skip
    for p in net.parameters():
        np.testing.assert_allclose(p.value, values[p.name], rtol=1e-12, atol=1e-14)


def test_clipping_agrees_with_torch(torch):
    net, twin, optimizer = pair("SGD", {"learning_rate": 0.1}, torch)
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.1), clip_norm=0.05)
    rng = np.random.default_rng(0)
    for _ in range(4):
        x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
        trainer.train_on_batch(x, y)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(twin(torch.tensor(x)), torch.tensor(y)).backward()
        raw = [p.grad.numpy().copy() for p in twin.parameters()]
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.05)
        optimizer.step()
        for ours, theirs in zip(net.parameters(), raw, strict=True):
            assert np.allclose(ours.grad.T, theirs, rtol=1e-10), "p.grad is the gradient before clipping"
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert np.allclose(ours.value.T, theirs.detach().numpy(), rtol=1e-11)


ALL = sorted({*CASES, *OTHERS})


@pytest.mark.parametrize("name", ALL)
def test_a_file_can_hold_every_optimizer(name):
    """With all its settings, of which none has its default."""
    settings = {key: value for key, value in getattr(fn, name)().config().items() if isinstance(value, (bool, float))}
    changed = {key: not value if isinstance(value, bool) else value / 2 + 0.01 for key, value in settings.items()}
    if name == "SGD":
        changed["momentum"] = 0.5
    optimizer = getattr(fn, name)(**changed, groups=[fn.ParameterGroup("*.bias", weight_decay=0)])
    again = from_config(to_config(optimizer))
    assert type(again) is type(optimizer)
    assert repr(again) == repr(optimizer)
    assert changed.items() <= again.config().items()


@pytest.mark.parametrize("name", ALL)
def test_names_stand_for_defaults(name):
    assert repr(fn.optimizers.get(name.lower())) == repr(getattr(fn, name)())


@pytest.mark.parametrize("name", ALL)
def test_bits_do_not_depend_on_threads(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 90)).astype("f"), rng.normal(size=(64, 70)).astype("f")

    def trained(threads):
        layers = [fn.Dense(301, activation="relu"), fn.Dense(130, activation="relu"), fn.Dense(70)]
        net = fn.Network(layers, input_shape=(90,), seed=2)
        trainer = fn.Trainer(net, loss="mse", optimizer=name.lower(), clip_norm=0.1)
        with fn.threads(threads):
            for _ in range(3):
                trainer.train_on_batch(x, y)
        return net.state_dict()

    one = trained(1)
    for threads in (2, 3):
        for key, value in trained(threads).items():
            np.testing.assert_array_equal(value, one[key], err_msg=key)


@pytest.mark.parametrize("name", ALL)
def test_joined_batches_are_one_update(name):
    """Nothing that a rule keeps changes while gradients wait for others."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    together, apart = network(), network()
    options = {"loss": "mse", "optimizer": name.lower()}
    fn.Trainer(together, **options).fit(x, y, batch_size=12, epochs=4, shuffle=False, verbose=0)
    fn.Trainer(apart, accumulate=3, **options).fit(x, y, batch_size=4, epochs=4, shuffle=False, verbose=0)
    for a, b in zip(together.parameters(), apart.parameters(), strict=True):
        np.testing.assert_allclose(a.value, b.value, rtol=1e-11, atol=1e-12)


RATES = {"SGD": 0.1, "RMSprop": 1e-3, "Adagrad": 0.03, "Adadelta": 1.0, "Lion": 5e-4, "Muon": 0.02}


@pytest.mark.parametrize("name", ALL)
def test_learns_digits(name):
    (x, y), (x_test, y_test) = fn.datasets.digits()
    net = fn.Network([fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    optimizer = getattr(fn, name)(RATES.get(name, 3e-3))
    net.fit(
        x,
        y,
        epochs=8,
        batch_size=32,
        loss="softmax_cross_entropy",
        optimizer=optimizer,
        metrics=["accuracy"],
        verbose=0,
    )
    assert net.evaluate(x_test, y_test)["accuracy"] > 0.9


@pytest.mark.parametrize("name", ALL)
def test_a_bad_step_leaves_the_state(name):
    """A run with a bad step in it gives the bits of one without."""
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(6, 3)), rng.normal(size=(6, 2))) for _ in range(5)]

    def trained(bad):
        net = network()
        trainer = fn.Trainer(net, loss="mse", optimizer=getattr(fn, name)())
        for i, (x, y) in enumerate(batches):
            if bad and i == 2:
                with pytest.raises(FloatingPointError, match="not finite"):
                    trainer.train_on_batch(x, y * 1e200)
            trainer.train_on_batch(x, y)
        return net.state_dict()

    expected = trained(False)
    for key, value in trained(True).items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


def test_learning_rate_and_decay_of_biases():
    net = fn.Network([fn.Dense(2, bias_init="ones")], input_shape=(2,), dtype="float64", seed=0)
    optimizer = fn.SGD(0.5, weight_decay=0.1, decay_biases=False)
    trainer = fn.Trainer(net, loss="mse", optimizer=optimizer)
    weight = net[0].weight.value.copy()
    x = np.zeros((4, 2))
    y = np.ones((4, 2))
    trainer.train_on_batch(x, y)
    assert np.allclose(net[0].weight.value, weight * (1 - 0.05))
    assert np.allclose(net[0].bias.value, 1.0)
    optimizer.learning_rate = 0.0
    before = net.state_dict()
    trainer.train_on_batch(x, y + 1)
    assert all(np.array_equal(before[k], v) for k, v in net.state_dict().items())
    optimizer.learning_rate = 1.0
    optimizer.weight_decay = 0.2
    weight = net[0].weight.value.copy()
    trainer.train_on_batch(x, np.ones((4, 2)))
    assert np.allclose(net[0].weight.value, weight * (1 - 0.2))


def test_frozen_layers_keep_their_values():
    net = fn.Network([fn.Dense(4), fn.Dense(4), fn.Dense(2)], input_shape=(3,), seed=0)
    trainer = fn.Trainer(net, loss="mse", optimizer="adam")
    x, y = np.ones((4, 3)), np.ones((4, 2))
    trainer.train_on_batch(x, y)
    net[1].trainable = False
    before = net.state_dict()
    trainer.train_on_batch(x, y)
    after = net.state_dict()
    changed = {name.split(".")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"dense_1", "dense_3"}
    net[1].trainable = True
    trainer.train_on_batch(x, y)
    assert not np.array_equal(net[1].weight.value, after["dense_2.weight"])


@pytest.mark.parametrize("make, text", [
    (lambda: fn.Adam(-1), "learning_rate must be at least 0"),
    (lambda: fn.Adam(float("nan")), "learning_rate must be finite"),
    (lambda: fn.Adam("fast"), "learning_rate must be a number"),
    (lambda: fn.Adam(beta_1=1.0), "beta_1 must be .*below 1"),
    (lambda: fn.SGD(nesterov=True), "nesterov=True needs a momentum"),
    (lambda: fn.Adadelta(rho=1), "rho must be .*below 1"),
    (lambda: fn.NAdam(momentum_decay=-1), "momentum_decay must be at least 0"),
    (lambda: fn.Lion(beta_3=0.5), "no argument 'beta_3'; did you mean 'beta_"),
    (lambda: fn.optimizers.get("adem"), "did you mean 'adam'"),
    (lambda: fn.optimizers.get(fn.Adam), "is the class Adam"),
])  # fmt: skip
def test_impossible_settings(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()
