"""Muon: against PyTorch's algorithm in float64, and which parameters are whose."""

import numpy as np
import pytest
import reference

import fastnet as fn
from fastnet.files import from_config, to_config


def network(**settings):
    """Matrices of 12 x 20, 20 x 7 and 7 x 2: wide, tall, and the last one."""
    layers = [
        fn.Dense(20, activation="tanh", name="wide"),
        fn.Dense(7, activation="tanh", name="tall"),
        fn.Dense(2, name="head"),
    ]
    return fn.Network(layers, input_shape=(12,), dtype="float64", seed=1, **settings)


def matrix(array):
    """A weight as PyTorch has it: outputs in rows."""
    return array.reshape(-1, array.shape[-1]).T


def batches(shape, outputs, count=10, n=6):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, *shape)), rng.normal(size=(n, outputs))) for _ in range(count)]


def assert_follows_reference(net, hidden, options, reference_options, steps):
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.Muon(others=fn.SGD(0.1), **options))
    values = {p.name: p.value.copy() for p in net.parameters()}
    states = {name: {"b": 0.0} for name in hidden}
    for x, y in steps:
        trainer.train_on_batch(x, y)
        for p in net.parameters():
            if p.name in hidden:
                new = reference.muon(matrix(values[p.name]), matrix(p.grad), states[p.name], **reference_options)
                values[p.name] = new.T.reshape(p.shape)
            else:
                values[p.name] = values[p.name] - 0.1 * p.grad
    for p in net.parameters():
        # An iteration may multiply what is small, rounding too, by 3.4445.
        tolerance = 3.4445**5 * np.finfo(float).eps * len(steps)
        np.testing.assert_allclose(p.value, values[p.name], rtol=0, atol=tolerance, err_msg=p.name)


@pytest.mark.parametrize("options", [
    {},
    {"learning_rate": 0.02, "momentum": 0.8, "weight_decay": 0.5},
    {"learning_rate": 0.02, "nesterov": False, "steps": 3},
    {"learning_rate": 0.02, "adjust_learning_rate": "match_rms_adamw", "epsilon": 1e-2},
])  # fmt: skip
def test_agrees_with_torch_in_float64(options):
    plain = {key: value for key, value in options.items() if key != "adjust_learning_rate"}
    if "adjust_learning_rate" in options:
        plain["match_rms"] = True
    assert_follows_reference(network(), {"wide.weight", "tall.weight"}, options, plain, batches((12,), 2))


def test_weights_of_convolutions_are_matrices_of_filters():
    layers = [fn.Conv2D(5, 3, activation="tanh", name="conv"), fn.Flatten(), fn.Dense(2)]
    net = fn.Network(layers, input_shape=(4, 4, 3), dtype="float64", seed=1)
    assert_follows_reference(
        net, {"conv.weight"}, {"learning_rate": 0.02}, {"learning_rate": 0.02}, batches((4, 4, 3), 2)
    )


@pytest.mark.parametrize("shape", [(24, 16), (16, 24)])
@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
def test_agrees_with_torch_up_to_bfloat16(shape, adjust):
    """PyTorch iterates in bfloat16. Of its 15 products, and the division before them, each rounds by up to 2^-8."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    net = fn.Network([fn.Dense(shape[1], name="body")], input_shape=shape[:1], seed=0)
    rng = np.random.default_rng(0)
    optimizer = fn.Muon(0.5, adjust_learning_rate=adjust, exclude=[])
    trainer = fn.Trainer(net, loss="mse", optimizer=optimizer)
    before = net["body"].weight.value.copy()
    parameter = torch.nn.Parameter(torch.tensor(before.T.copy()))
    theirs = torch.optim.Muon([parameter], 0.5, adjust_lr_fn=adjust)
    trainer.train_on_batch(rng.normal(size=(64, shape[0])).astype("f"), rng.normal(size=(64, shape[1])).astype("f"))
    parameter.grad = torch.tensor(net["body"].weight.grad.T.copy())
    theirs.step()
    kept = before * (1 - 0.5 * 0.1)
    ours, expected = net["body"].weight.value - kept, parameter.detach().numpy().T - kept
    assert np.linalg.norm(ours - expected) < 16 * 2**-8 * np.linalg.norm(expected)


def test_directions_are_orthogonal():
    """Singular values between 0.7 and 1.2, with the factor for twice as many outputs as inputs."""
    net = fn.Network([fn.Dense(32)], input_shape=(16,), dtype="float64", seed=0)
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.Muon(1.0, weight_decay=0, exclude=[]))
    before = net[0].weight.value.copy()
    rng = np.random.default_rng(0)
    trainer.train_on_batch(rng.normal(size=(200, 16)), rng.normal(size=(200, 32)))
    sizes = np.linalg.svd(net[0].weight.value - before, compute_uv=False)
    assert (sizes > 0.66 * 2**0.5).all()
    assert (sizes < 1.21 * 2**0.5).all()


def test_a_gradient_of_zero_moves_nothing():
    net = network()
    before = net.state_dict()
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.Muon(weight_decay=0, others=fn.SGD(0.1)))
    x = np.ones((2, 12))
    trainer.train_on_batch(x, net.predict(x))
    for key, value in net.state_dict().items():
        np.testing.assert_allclose(value, before[key], atol=1e-3)
    assert all(np.isfinite(value).all() for value in net.state_dict().values())


# Which parameters are whose


def owners(optimizer, net):
    return {p.name: type(rule).__name__ for rule, part in optimizer.parts(net.parameters()) for p in part}


@pytest.mark.parametrize("exclude, hidden", [
    (None, {"wide.weight", "tall.weight"}),
    ([], {"wide.weight", "tall.weight", "head.weight"}),
    ("tall", {"wide.weight", "head.weight"}),
    (["*a*.weight"], {"wide.weight"}),
])  # fmt: skip
def test_matrices_are_hidden_unless_excluded(exclude, hidden):
    found = owners(fn.Muon(exclude=exclude), network())
    assert {name for name, rule in found.items() if rule == "Muon"} == hidden
    assert set(found.values()) <= {"Muon", "AdamW"}
    assert len(found) == 6


def test_layers_can_be_excluded():
    net = network()
    assert owners(fn.Muon(exclude=net["wide"]), net)["wide.weight"] == "AdamW"
    with pytest.raises(TypeError, match="a Muon that was made with layers"):
        fn.Muon(exclude=net["wide"]).config()


def test_a_frozen_head_stays_the_head():
    """Else freezing it would give the matrix before it another rule."""
    net = network()
    net["head"].trainable = False
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.Muon(0.1, momentum=0, weight_decay=0, others=fn.SGD(0.0)))
    before = net.state_dict()
    x, y = batches((12,), 2)[0]
    trainer.train_on_batch(x, y)
    after = net.state_dict()
    assert {key for key in before if not np.array_equal(before[key], after[key])} == {"wide.weight", "tall.weight"}


def test_a_network_inside_has_no_head_of_its_own():
    inner = fn.Network([fn.Dense(9, activation="tanh"), fn.Dense(8)], input_shape=(12,), dtype="float64", seed=0)
    net = fn.Network([inner, fn.Dense(2, name="head")], input_shape=(12,), dtype="float64", seed=1)
    found = owners(fn.Muon(), net)
    assert [name for name, rule in found.items() if rule == "AdamW" and name.endswith("weight")] == ["head.weight"]
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.Muon(0.1, weight_decay=0, others=fn.SGD(0.0)), clip_norm=1.0)
    before = net.state_dict()
    trainer.train_on_batch(*batches((12,), 2)[0])
    changed = {key for key, value in net.state_dict().items() if not np.array_equal(before[key], value)}
    assert changed == {name for name, rule in found.items() if rule == "Muon"}


def test_rates_and_groups_of_both_rules():
    """Each rule has its own, and they act at any time."""
    net = network()
    others = fn.SGD(0.1, groups=[fn.ParameterGroup("head", learning_rate=0.0)])
    optimizer = fn.Muon(0.1, weight_decay=0, others=others, groups=[fn.ParameterGroup("wide", learning_rate=0.0)])
    trainer = fn.Trainer(net, loss="mse", optimizer=optimizer)

    def changed(batch):
        before = net.state_dict()
        trainer.train_on_batch(*batch)
        return {key for key, value in net.state_dict().items() if not np.array_equal(before[key], value)}

    first, second, third, *_ = batches((12,), 2)
    assert changed(first) == {"wide.bias", "tall.weight", "tall.bias"}
    optimizer.learning_rate = 0.0
    assert changed(second) == {"wide.bias", "tall.bias"}
    others.learning_rate, others.groups[0].learning_rate = 0.0, 0.1
    assert changed(third) == {"head.weight", "head.bias"}


@pytest.mark.parametrize("name", ["clip_norm", "clip_parameter_norm", "clip_value"])
def test_clipping_comes_before_the_momentum(name):
    """Scaling one step's gradient changes the mean of the next step's with it."""
    net = network()
    trainer = fn.Trainer(net, loss="mse", optimizer=fn.Muon(0.02, others=fn.SGD(0.0)), **{name: 0.01})
    weight = net["wide"].weight
    value, state = matrix(weight.value.copy()), {"b": 0.0}
    for x, y in batches((12,), 2, 3):
        trainer.train_on_batch(x, y)
        norms = {
            "clip_norm": np.sqrt(sum(np.sum(p.grad**2) for p in net.parameters())),
            "clip_parameter_norm": np.linalg.norm(weight.grad),
        }
        g = weight.grad.clip(-0.01, 0.01) if name == "clip_value" else weight.grad * min(1, 0.01 / (norms[name] + 1e-6))
        value = reference.muon(value, matrix(g), state, learning_rate=0.02)
    np.testing.assert_allclose(matrix(weight.value), value, atol=3.4445**5 * np.finfo(float).eps * 3)


def test_a_file_holds_both_rules():
    optimizer = fn.Muon(0.02, steps=4, others=fn.NAdam(1e-3), exclude=["head", "wide"])
    again = from_config(to_config(optimizer))
    assert repr(again) == repr(optimizer)
    assert type(again.others) is fn.NAdam


@pytest.mark.parametrize("make, text", [
    (lambda: fn.Muon(momentum=1.0), "momentum must be .*below 1"),
    (lambda: fn.Muon(steps=0), "steps must be at least 1"),
    (lambda: fn.Muon(adjust_learning_rate="orginal"), "did you mean 'original'"),
    (lambda: fn.Muon(others="adm"), "others .*did you mean 'adam"),
    (lambda: fn.Muon(others=fn.Muon()), "others must be a rule for any parameter; got Muon"),
    (lambda: fn.Muon(exclude=3), "exclude must be names or layers"),
    (lambda: fn.Trainer(network(), loss="mse", optimizer=fn.Muon(exclude="haed")), "exclude: 'haed' matches no .*mean 'head"),
    (lambda: fn.Trainer(network(), loss="mse", optimizer=fn.Muon(groups=fn.ParameterGroup("head", weight_decay=0))),
     "matches no parameter that Muon updates"),
    (lambda: fn.Trainer(network(), loss="mse",
                        optimizer=fn.Muon(others=fn.Adam(groups=fn.ParameterGroup("wide.weight", weight_decay=0)))),
     "matches no parameter that Adam updates"),
])  # fmt: skip
def test_impossible_settings(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()
