"""Update rules against PyTorch's, in float64, over several steps."""

import numpy as np
import pytest

import fastnet as fn

CASES = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    "RMSprop": [{}, {"momentum": 0.5, "centered": True, "weight_decay": 0.1}, {"rho": 0.9, "epsilon": 1e-3}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}],
    "AdamW": [{}, {"weight_decay": 0.3, "amsgrad": True}],
    "Adagrad": [{}, {"learning_rate_decay": 0.1, "weight_decay": 0.2}],
}
NAMES = {"rho": "alpha", "epsilon": "eps", "learning_rate_decay": "lr_decay", "learning_rate": "lr"}
FLAT = [pytest.param(name, options, id=f"{name}-{i}") for name, rows in CASES.items() for i, options in enumerate(rows)]


def test_every_optimizer_has_a_case():
    assert set(CASES) == set(fn.optimizers.__all__) - {"Optimizer", "ParameterGroup", "get"}


def torch_options(options):
    found = {NAMES.get(k, k): v for k, v in options.items() if not k.startswith("beta")}
    if "beta_1" in options:
        found["betas"] = (options["beta_1"], options["beta_2"])
    return found


def pair(name, options, torch):
    net = fn.Network([fn.Dense(5, activation="tanh"), fn.Dense(2)], input_shape=(3,), dtype="float64", seed=1)
    twin = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    with torch.no_grad():
        for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
            theirs[...] = torch.tensor(ours.value.T.copy())
    optimizer = getattr(torch.optim, name)(twin.parameters(), **torch_options(options))
    return net, twin, optimizer


@pytest.mark.parametrize("name, options", FLAT)
def test_agrees_with_torch(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
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


def test_clipping_agrees_with_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
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
    (lambda: fn.optimizers.get("adem"), "did you mean 'adam'"),
    (lambda: fn.optimizers.get(fn.Adam), "is the class Adam"),
])  # fmt: skip
def test_impossible_settings(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()
