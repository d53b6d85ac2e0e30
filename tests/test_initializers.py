"""Initializers: variances, names, configuration, and the first bits."""

import json
import math

import numpy as np
import pytest

from fastnet import initializers
from fastnet.files import from_config, to_config
from fastnet.kernels import random

KEY = random.key(0, "dense_1.weight")
SHAPE = (400, 300)  # fan_in, fan_out
N = math.prod(SHAPE)

# name: variance of its numbers for SHAPE, and their greatest size (None: unbounded)
EXPECTED = {
    "normal": (0.05**2, None),
    "truncated_normal": ((0.05 * 0.87962566103423978) ** 2, 0.1),
    "uniform": (0.1**2 / 12, 0.05),
    "glorot_uniform": (2 / 700, math.sqrt(6 / 700)),
    "glorot_normal": (2 / 700, None),
    "he_uniform": (2 / 400, math.sqrt(6 / 400)),
    "he_normal": (2 / 400, None),
    "lecun_uniform": (1 / 400, math.sqrt(3 / 400)),
    "lecun_normal": (1 / 400, None),
    "orthogonal": (1 / 400, None),
}
ALIASES = {
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
}
CONSTANT = {"zeros", "ones", "constant", "identity"}


def check_moments(w, variance, greatest):
    """Within four standard errors, for a kurtosis of at most that of normal numbers."""
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)
    assert abs(w.var() - variance) < 4 * variance * math.sqrt(2 / w.size)
    if greatest is not None:
        assert abs(w).max() <= greatest * (1 + 1e-6)
        assert abs(w).max() > 0.99 * greatest


def test_names():
    assert set(initializers.NAMES) == CONSTANT | set(EXPECTED) | set(ALIASES)
    for alias, name in ALIASES.items():
        assert initializers.get(alias) == initializers.get(name)
    public = {getattr(initializers, name) for name in initializers.__all__}
    classes = {c for c in public if isinstance(c, type)} - {initializers.Initializer}
    assert classes == set(initializers.NAMES.values()) | {initializers.FromArray, initializers.VarianceScaling}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXPECTED)
def test_moments(name, dtype):
    w = initializers.get(name).draw(SHAPE, dtype, KEY)
    assert w.shape == SHAPE and w.dtype == dtype and w.flags.c_contiguous
    check_moments(w.astype(float), *EXPECTED[name])


@pytest.mark.parametrize("name", EXPECTED)
def test_numbers_depend_on_key_alone(name):
    init = initializers.get(name)
    w = init.draw((7, 5), "float64", KEY)
    np.testing.assert_array_equal(init.draw((7, 5), "float64", KEY), w)
    assert (init.draw((7, 5), "float64", random.key(0, "dense_2.weight")) != w).all()
    assert (init.draw((7, 5), "float64", random.key(1, "dense_1.weight")) != w).all()
    eps = np.finfo("float32").eps
    np.testing.assert_allclose(init.draw((7, 5), "float32", KEY), w, rtol=0, atol=8 * eps * abs(w).max())


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "lecun_uniform"])
def test_given_fans(name):
    """A layer may know its fans better than the shape tells."""
    init = initializers.get(name)
    w = init.draw((7, 5), "float64", KEY, 7, 5)
    np.testing.assert_array_equal(init.draw((7, 5), "float64", KEY), w)
    np.testing.assert_allclose(init.draw((7, 5), "float64", KEY, 28, 20), w / 2, rtol=1e-15)
    with pytest.raises(ValueError, match="fan_in"):
        init.draw((7, 5), "float64", KEY, 0, 5)


def test_fans():
    assert initializers.fans((3, 4)) == (3, 4)
    assert initializers.fans((5, 5, 3, 4)) == (75, 100)
    assert initializers.fans((7, 3, 4)) == (21, 28)
    assert initializers.fans((6,)) == (6, 6)
    assert initializers.fans(()) == (1, 1)
    with pytest.raises(ValueError, match="shape"):
        initializers.fans((0, 3))


def test_convolution_kernels():
    w = initializers.HeNormal().draw((3, 3, 50, 100), "float64", KEY)
    check_moments(w, 2 / 450, None)


@pytest.mark.parametrize(
    ("init", "scale"),
    [
        (initializers.GlorotUniform(gain=3), 3),
        (initializers.GlorotNormal(gain=0.5), 0.5),
        (initializers.HeUniform(negative_slope=1), math.sqrt(0.5)),
        (initializers.HeNormal(negative_slope=2), math.sqrt(0.2)),
        (initializers.HeNormal(mode="fan_out"), math.sqrt(400 / 300)),
        (initializers.Orthogonal(gain=2), 2),
        (initializers.Normal(std=0.1), 2),
        (initializers.VarianceScaling(1.0, "fan_in", "uniform"), None),
    ],
)
def test_options_scale_the_numbers(init, scale):
    if scale is None:
        plain, scale = initializers.LecunUniform(), 1
    else:
        plain = type(init)()
    w, expected = init.draw(SHAPE, "float64", KEY), scale * plain.draw(SHAPE, "float64", KEY)
    np.testing.assert_allclose(w, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
def test_variance_scaling(mode, distribution):
    """In all its forms the variance is scale / fan: truncation is made up for, as in Keras."""
    w = initializers.VarianceScaling(3.0, mode, distribution).draw(SHAPE, "float64", KEY)
    fan = {"fan_in": 400, "fan_out": 300, "fan_avg": 350}[mode]
    check_moments(w, 3 / fan, math.sqrt(9 / fan) if distribution == "uniform" else None)
    if distribution == "truncated_normal":
        assert abs(w).max() <= 2 * math.sqrt(3 / fan) / 0.87962566103423978


def test_normal_and_uniform_options():
    w = initializers.Normal(mean=3, std=0.5).draw(SHAPE, "float64", KEY)
    check_moments(w - 3, 0.25, None)
    w = initializers.Uniform(2, 5).draw(SHAPE, "float32", KEY)
    check_moments(w.astype(float) - 3.5, 9 / 12, 1.5)
    w = initializers.TruncatedNormal(mean=1, std=2, low=0, high=1.5).draw(SHAPE, "float64", KEY)
    assert w.min() >= 1 and w.max() <= 4


def test_constants():
    assert not initializers.Zeros().draw((2, 3), "float32", KEY).any()
    assert np.all(initializers.Ones().draw((2, 3), "float64", KEY) == 1)
    assert np.all(initializers.Constant(-0.25).draw((4,), "float32", KEY) == -0.25)
    np.testing.assert_array_equal(initializers.Identity(2).draw((3, 2), "float32", KEY), 2 * np.eye(3, 2))
    for shape in ((3,), (3, 3, 2, 2)):
        with pytest.raises(ValueError, match="two axes"):
            initializers.Identity().draw(shape, "float32", KEY)
    assert initializers.Constant(5).draw((), "float32", KEY) == 5


# --- arrays -------------------------------------------------------------------------------------------------


def test_from_array():
    array = np.arange(6.0).reshape(2, 3)
    init = initializers.get(array)
    array[:] = 0
    w = init.draw((2, 3), "float32", KEY)
    assert w.dtype == np.float32
    np.testing.assert_array_equal(w, np.arange(6).reshape(2, 3))
    w[:] = 9
    np.testing.assert_array_equal(init.draw((2, 3), "float64", KEY), np.arange(6).reshape(2, 3))
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(2, 3\)"):
        init.draw((3, 2), "float32", KEY)
    assert "(2, 3)" in repr(init)


@pytest.mark.parametrize("bad", [[1.0, np.nan], [np.inf, 1], ["a", "b"], [1j, 2]])
def test_bad_arrays(bad):
    with pytest.raises((TypeError, ValueError), match="kernel_init"):
        initializers.get(np.array(bad), "kernel_init")


def test_array_beyond_float32():
    with pytest.raises(ValueError, match="range"):
        initializers.FromArray([1e300]).draw((1,), "float32", KEY)


# --- names and files ----------------------------------------------------------------------------------------


def test_get():
    init = initializers.HeNormal(mode="fan_out")
    assert initializers.get(init) is init
    assert initializers.get("he_normal") == initializers.HeNormal()
    assert initializers.get("he_normal") != init
    with pytest.raises(ValueError, match=r"weight_init 'glorot'.*did you mean 'glorot_"):
        initializers.get("glorot", "weight_init")
    with pytest.raises(TypeError, match=r"Constant\(0.5\)"):
        initializers.get(0.5)
    for bad in (None, initializers.Zeros, {"class": "Zeros"}):
        with pytest.raises(TypeError, match="init must"):
            initializers.get(bad)


ALL = [
    *(cls() for cls in dict.fromkeys(initializers.NAMES.values())),
    initializers.VarianceScaling(1.5, "fan_out", "truncated_normal"),
    initializers.Uniform(1, 2),
    initializers.TruncatedNormal(0, 1, -1, 3),
    initializers.HeNormal(0.2, "fan_out"),
]


@pytest.mark.parametrize("init", ALL, ids=repr)
def test_configuration(init):
    """Config, repr and file give an equal initializer, which draws the same numbers."""
    w = init.draw((5, 4), "float32", KEY)
    others = [
        type(init)(**init.config()),
        eval(repr(init), vars(initializers)),
        from_config(json.loads(json.dumps(to_config(init)))),
    ]
    for other in others:
        assert other == init and hash(other) == hash(init)
        np.testing.assert_array_equal(other.draw((5, 4), "float32", KEY), w)
    with pytest.raises(AttributeError):
        init.gain = 7


def test_an_array_is_not_kept_in_files():
    text = to_config(initializers.FromArray(np.ones((100, 100))))
    assert text == "from_array"
    loaded = initializers.get(text)
    assert to_config(loaded) == text and repr(loaded) == "FromArray(None)"
    with pytest.raises(ValueError, match="not kept"):
        loaded.draw((100, 100), "float32", KEY)


def test_own_initializer():
    class Halves(initializers.Initializer):
        def __init__(self, sign):
            self.sign = sign

        def draw(self, shape, dtype, key, fan_in=None, fan_out=None):
            return np.full(shape, self.sign / 2, dtype)

    init = initializers.get(Halves(-1))
    assert init.config() == {"sign": -1} and repr(init) == "Halves(sign=-1)"
    assert init.draw((1,), "float32", KEY) == -0.5
    with pytest.raises(NotImplementedError, match="draw"):
        initializers.Initializer().draw((1,), "float32", KEY)


@pytest.mark.parametrize(
    ("cls", "arguments", "name"),
    [
        (initializers.Constant, {"value": math.nan}, "value"),
        (initializers.Normal, {"std": -1}, "std"),
        (initializers.Uniform, {"low": 1, "high": 0}, "high"),
        (initializers.TruncatedNormal, {"low": 3}, "high"),
        (initializers.GlorotUniform, {"gain": 0}, "gain"),
        (initializers.HeNormal, {"mode": "fan_avg"}, "mode"),
        (initializers.HeUniform, {"negative_slope": "0"}, "negative_slope"),
        (initializers.VarianceScaling, {"scale": 0}, "scale"),
        (initializers.VarianceScaling, {"mode": "fanin"}, "did you mean 'fan_in'"),
        (initializers.VarianceScaling, {"distribution": "gauss"}, "distribution"),
        (initializers.Orthogonal, {"gain": math.inf}, "gain"),
    ],
)
def test_bad_options(cls, arguments, name):
    with pytest.raises((TypeError, ValueError), match=name):
        cls(**arguments)


def test_bad_draws():
    with pytest.raises(ValueError, match="dtype"):
        initializers.HeNormal().draw((2, 2), "int32", KEY)
    with pytest.raises(ValueError, match="shape"):
        initializers.HeNormal().draw((2, 0), "float32", KEY)
    with pytest.raises(ValueError, match="two axes"):
        initializers.Orthogonal().draw((4,), "float32", KEY)


def test_default_for():
    for name in ("relu", "relu6", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "hard_swish"):
        assert initializers.default_for(name) == "he_normal"
    assert initializers.default_for("selu") == "lecun_normal"
    for name in (None, "linear", "tanh", "sigmoid", "softmax"):
        assert initializers.default_for(name) == "glorot_uniform"


# --- PyTorch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("glorot_uniform", "xavier_uniform_", {}),
        ("glorot_normal", "xavier_normal_", {}),
        ("he_uniform", "kaiming_uniform_", {"nonlinearity": "relu"}),
        ("he_normal", "kaiming_normal_", {"nonlinearity": "relu"}),
        ("he_normal", "kaiming_normal_", {"a": 0.7, "nonlinearity": "leaky_relu", "mode": "fan_out"}),
        ("orthogonal", "orthogonal_", {}),
    ],
)
@pytest.mark.parametrize("shape", [(300, 200), (3, 3, 60, 80)])
def test_variance_agrees_with_torch(name, theirs, options, shape):
    """Their weights are (out, in, height, width)."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    layout = shape[:1:-1] + shape[:2] if len(shape) == 4 else shape[::-1]
    their = torch.empty(layout, dtype=torch.float64)
    getattr(torch.nn.init, theirs)(their, **options)
    arguments = {"negative_slope": options["a"], "mode": options["mode"]} if "a" in options else {}
    mine = initializers.NAMES[name](**arguments).draw(shape, "float64", KEY)
    # The errors of both variances.
    assert abs(mine.var() / their.numpy().var() - 1) < 4 * math.sqrt(2 * 2 / mine.size)
    assert abs(abs(mine).max() / abs(their.numpy()).max() - 1) < (0.01 if "uniform" in name else 0.4)
