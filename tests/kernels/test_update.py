"""Optimizer updates: against NumPy and PyTorch, over ranges, threads and bad steps."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call, update
from fastnet.native.plan import ControlBlock

DTYPES = ["float32", "float64"]

# name: (function, reference, state arrays, options)
RULES = {
    "sgd": (update.sgd_update, reference.sgd, "", {}),
    "sgd decay": (update.sgd_update, reference.sgd, "", {"weight_decay": 0.1, "learning_rate": 0.1}),
    "momentum": (update.sgd_update, reference.sgd, "b", {"momentum": 0.9, "weight_decay": 0.05}),
    "nesterov": (update.sgd_update, reference.sgd, "b", {"momentum": 0.8, "nesterov": True, "learning_rate": 0.05}),
    "rmsprop": (update.rmsprop_update, reference.rmsprop, "v", {}),
    "rmsprop momentum": (update.rmsprop_update, reference.rmsprop, "v b", {"momentum": 0.7, "weight_decay": 0.02}),
    "rmsprop centered": (update.rmsprop_update, reference.rmsprop, "v a", {"rho": 0.9, "epsilon": 1e-3}),
    "rmsprop all": (update.rmsprop_update, reference.rmsprop, "v a b", {"momentum": 0.5, "rho": 0.8, "epsilon": 1e-2}),
    "adam": (update.adam_update, reference.adam, "m v", {}),
    "adam decay": (update.adam_update, reference.adam, "m v", {"weight_decay": 0.1, "beta_1": 0.8, "beta_2": 0.99}),
    "adam hat": (update.adam_update, reference.adam, "m v", {"epsilon": 0.1, "epsilon_hat": True}),
    "adamw": (update.adam_update, reference.adam, "m v", {"weight_decay": 0.3, "decoupled": True}),
    "amsgrad": (update.adam_update, reference.adam, "m v v_max", {"beta_2": 0.9, "epsilon": 1e-4}),
    "adagrad": (update.adagrad_update, reference.adagrad, "s", {}),
    "adagrad decay": (update.adagrad_update, reference.adagrad, "s", {"learning_rate_decay": 0.3, "weight_decay": 0.1}),
    "adadelta": (update.adadelta_update, reference.adadelta, "v d", {}),
    "adadelta decay": (
        update.adadelta_update,
        reference.adadelta,
        "v d",
        {"rho": 0.8, "epsilon": 1e-3, "weight_decay": 0.1},
    ),
    "adamax": (update.adamax_update, reference.adamax, "m u", {}),
    "adamax decay": (
        update.adamax_update,
        reference.adamax,
        "m u",
        {"weight_decay": 0.1, "beta_1": 0.8, "beta_2": 0.9},
    ),
    "nadam": (update.nadam_update, reference.nadam, "m v c", {}),
    "nadam decay": (
        update.nadam_update,
        reference.nadam,
        "m v c",
        {"weight_decay": 0.1, "momentum_decay": 1.0, "beta_2": 0.9},
    ),
    "nadamw": (update.nadam_update, reference.nadam, "m v c", {"weight_decay": 0.3, "decoupled": True, "beta_1": 0.0}),
    "radam": (update.radam_update, reference.radam, "m v", {}),
    "radam decay": (update.radam_update, reference.radam, "m v", {"weight_decay": 0.1, "beta_1": 0.8, "beta_2": 0.9}),
    "radamw": (update.radam_update, reference.radam, "m v", {"weight_decay": 0.3, "decoupled": True, "beta_2": 0.5}),
    "lion": (update.lion_update, reference.lion, "m", {}),
    "lion decay": (update.lion_update, reference.lion, "m", {"weight_decay": 0.3, "beta_1": 0.8, "learning_rate": 0.1}),
}
SCALARS = {"c"}  # state that is one float64, not an array like w
NUMBERS = {
    "sgd_update": {"nesterov": 1, "momentum": 0.9},
    "rmsprop_update": {"rho": 0.9, "epsilon": 1e-3, "momentum": 0.5},
    "adam_update": {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-8, "epsilon_hat": 0},
    "adagrad_update": {"learning_rate_decay": 0.1, "epsilon": 1e-10},
    "adadelta_update": {"rho": 0.9, "epsilon": 1e-6},
    "adamax_update": {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-8},
    "nadam_update": {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-8, "momentum_base": 0.96},
    "radam_update": {"beta_1": 0.9, "beta_2": 0.9, "epsilon": 1e-8},
    "lion_update": {"beta_1": 0.9, "beta_2": 0.99},
}
STATE = {
    "sgd_update": "b", "rmsprop_update": "vba", "adam_update": ["m", "v", "v_max"], "adagrad_update": "s",
    "adadelta_update": "vd", "adamax_update": "mu", "nadam_update": "mvc", "radam_update": "mv", "lion_update": "m",
}  # fmt: skip


def reference_options(name, options):
    extra = {"centered": True} if "a" in RULES[name][2].split() and name.startswith("rmsprop") else {}
    return {**options, **extra, **({"amsgrad": True} if name == "amsgrad" else {})}


def zeros(names, n, dtype):
    return {key: np.zeros(1) if key in SCALARS else np.zeros(n, dtype) for key in names.split()}


def of_part(arrays, part):
    return {key: value if key in SCALARS else value[part] for key, value in arrays.items()}


def steps(name, n, dtype, count, seed=0):
    """Run `count` steps of a rule here and in NumPy; returns both results, and the magnitudes for a tolerance."""
    function, plain, state_names, options = RULES[name]
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(n).astype(dtype)
    state = zeros(state_names, n, dtype)
    w_plain, state_plain = w.astype(float), {key: np.zeros(n) for key in state}
    for step in range(1, count + 1):
        g = rng.standard_normal(n).astype(dtype)
        function(w, g, step=step, **state, **options)
        w_plain = plain(w_plain, g.astype(float), state_plain, step=step, **reference_options(name, options))
    return w, state, w_plain, state_plain


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_matches_numpy(name, dtype):
    w, state, w_plain, state_plain = steps(name, 1000, dtype, 4)
    # Each step makes a dozen roundings, of values below 10. Where roots of small differences are divided by
    # (centered), a rounding grows by at most 1 / epsilon^(1/2).
    growth = 1 / np.sqrt(1e-3) if "a" in state else 1
    tolerance = 4 * 12 * np.finfo(dtype).eps * 10 * growth
    np.testing.assert_allclose(w, w_plain, rtol=0, atol=tolerance)
    for key, value in state.items():
        np.testing.assert_allclose(value, state_plain[key], rtol=tolerance, atol=tolerance)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(0, 70), name=st.sampled_from(list(RULES)), dtype=st.sampled_from(DTYPES), offset=st.integers(0, 3))
def test_any_length_and_alignment(n, name, dtype, offset):
    """Neighbours stay as they are, and an element's bits don't depend on its place."""
    function, _, state_names, options = RULES[name]
    rng = np.random.default_rng(n)
    memory = {key: rng.uniform(0.1, 1, 1 if key in SCALARS else 80) for key in ["w", *state_names.split()]}
    memory = {key: value if key in SCALARS else value.astype(dtype) for key, value in memory.items()}
    before = {key: value.copy() for key, value in memory.items()}
    g = rng.standard_normal(80).astype(dtype)
    part = slice(offset, offset + n)
    function(g=g[part], step=2, **of_part(memory, part), **options)
    whole = {key: value.copy() for key, value in before.items()}
    function(g=g, step=2, **whole, **options)
    for key, value in of_part(memory, part).items():
        np.testing.assert_array_equal(value, of_part(whole, part)[key])
    for key in memory.keys() - SCALARS:
        np.testing.assert_array_equal(np.delete(memory[key], np.r_[part]), np.delete(before[key], np.r_[part]))


TORCH = {
    "sgd": ("SGD", {}),
    "sgd decay": ("SGD", {"weight_decay": 0.1, "lr": 0.1}),
    "momentum": ("SGD", {"momentum": 0.9, "weight_decay": 0.05}),
    "nesterov": ("SGD", {"momentum": 0.8, "nesterov": True, "lr": 0.05}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop momentum": ("RMSprop", {"momentum": 0.7, "weight_decay": 0.02}),
    "rmsprop centered": ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "centered": True}),
    "rmsprop all": ("RMSprop", {"alpha": 0.8, "eps": 1e-2, "centered": True, "momentum": 0.5}),
    "adam": ("Adam", {}),
    "adam decay": ("Adam", {"weight_decay": 0.1, "betas": (0.8, 0.99)}),
    "adamw": ("AdamW", {"weight_decay": 0.3}),
    "amsgrad": ("Adam", {"amsgrad": True, "betas": (0.9, 0.9), "eps": 1e-4}),
    "adagrad": ("Adagrad", {}),
    "adagrad decay": ("Adagrad", {"lr_decay": 0.3, "weight_decay": 0.1}),
    "adadelta": ("Adadelta", {}),
    "adadelta decay": ("Adadelta", {"rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    "adamax": ("Adamax", {}),
    "adamax decay": ("Adamax", {"weight_decay": 0.1, "betas": (0.8, 0.9)}),
    "nadam": ("NAdam", {}),
    "nadam decay": ("NAdam", {"weight_decay": 0.1, "momentum_decay": 1.0, "betas": (0.9, 0.9)}),
    "nadamw": ("NAdam", {"weight_decay": 0.3, "decoupled_weight_decay": True, "betas": (0.0, 0.999)}),
    "radam": ("RAdam", {}),
    "radam decay": ("RAdam", {"weight_decay": 0.1, "betas": (0.8, 0.9)}),
    "radamw": ("RAdam", {"weight_decay": 0.3, "decoupled_weight_decay": True, "betas": (0.9, 0.5)}),
}


def test_all_rules_that_torch_has_are_compared():
    assert set(RULES) - set(TORCH) == {"adam hat", "lion", "lion decay"}


@pytest.fixture
def torch():
    """PyTorch with float64 as its default, in which NAdam keeps the product of its momenta."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", TORCH)
def test_matches_torch(name, torch):
    """Ten steps in float64, options and defaults, agree to rounding."""
    function, _, state_names, options = RULES[name]
    kind, torch_options = TORCH[name]
    rng = np.random.default_rng(1)
    w = rng.standard_normal(100)
    parameter = torch.nn.Parameter(torch.tensor(w))
    optimizer = getattr(torch.optim, kind)([parameter], **torch_options)
    state = zeros(state_names, 100, float)
    for step in range(1, 11):
        g = rng.standard_normal(100)
        parameter.grad = torch.tensor(g)
        optimizer.step()
        function(w, g, step=step, **state, **options)
    growth = 1 / np.sqrt(1e-3) if "a" in state else 1
    tolerance = 10 * 12 * np.finfo(float).eps * np.abs(w).max() * growth
    np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=0, atol=tolerance)


def table(rows, learning_rate=0.1, scale=1.0):
    """Rows of (offset, n, factor of the learning rate, decay)."""
    full = [(offset, n, 0, 0, decay, np.inf, learning_rate * factor, scale) for offset, n, factor, decay in rows]
    return np.array(full, update.RANGE)


@pytest.fixture(autouse=True)
def no_kept_plans():
    """A plan keeps whether it is parallel, which some tests here want to decide anew."""
    call.of_thread.plans.clear()


def run(kernel, arrays, g, ranges, control, **numbers):
    reads = {"g": g, "ranges": ranges, "control": control.block}
    call.run(kernel, g.dtype.name, reads, arrays, {"n_ranges": len(ranges), **NUMBERS[kernel], **numbers}, 4 * g.size)


def memory(kernel, n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    arrays = {key: rng.uniform(0.1, 1, n).astype(dtype) for key in ["w", *STATE[kernel]]}
    return {key: np.array([0.6]) if key in SCALARS else value for key, value in arrays.items()}


def control_of(step=3, status=0):
    control = ControlBlock()
    control.step, control.status = step, status
    return control


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", NUMBERS)
def test_ranges(kernel, dtype):
    """Each range has its factor and decay; what lies outside of them is left alone; the scale comes first."""
    n, rows = 9000, [(0, 37, 1.0, 0.0), (64, 5000, 0.5, 0.1), (5120, 0, 1.0, 0.0), (6400, 1600, 2.0, 0.01)]
    g = np.random.default_rng(5).standard_normal(n).astype(dtype)
    got = memory(kernel, n, dtype)
    run(kernel, got, g, table(rows, scale=0.25), control_of())
    expected = memory(kernel, n, dtype)
    scalars = {key: expected[key].copy() for key in SCALARS & expected.keys()}
    for offset, length, factor, decay in rows:
        part = slice(offset, offset + length)
        one = {key: value.copy() for key, value in of_part({**expected, **scalars}, part).items()}
        scaled = g[part] * np.asarray(0.25, dtype)
        run(kernel, one, scaled, table([(0, length, factor, decay)]), control_of())
        for key, value in one.items():
            expected[key][slice(None) if key in SCALARS else part] = value
    for key, value in got.items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


@pytest.mark.parametrize("kernel", NUMBERS)
def test_a_bad_step_changes_nothing(kernel):
    got = memory(kernel, 5000, "float32")
    run(kernel, got, np.ones(5000, "f"), table([(0, 5000, 1.0, 0.1)]), control_of(status=5))
    for key, value in memory(kernel, 5000, "float32").items():
        np.testing.assert_array_equal(got[key], value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", NUMBERS)
def test_threads_give_the_same_bits(kernel, dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    n, rows = 40_000, [(0, 20_001, 1.0, 0.1), (20_032, 11, 1.0, 0.0), (20_096, 19_000, 0.5, 0.0)]
    g = np.random.default_rng(2).standard_normal(n).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        with config.threads(threads):
            arrays = memory(kernel, n, dtype)
            run(kernel, arrays, g, table(rows), control_of())
            results.append(arrays)
    for other in results[1:]:
        for key, value in results[0].items():
            np.testing.assert_array_equal(value, other[key])


def test_first_momentum_step_does_not_read_the_buffer():
    w, b = np.zeros(50), np.full(50, np.nan)
    update.sgd_update(w, np.ones(50), b, step=1, learning_rate=0.5, momentum=0.9)
    np.testing.assert_array_equal(w, -0.5)
    np.testing.assert_array_equal(b, 1)


def test_bias_correction_of_a_late_step():
    """The power is right to rounding where a product of a million factors would not be."""
    for step in (10, 1000, 123_456, 2_000_000):
        w, m, v = np.zeros(1), np.zeros(1), np.zeros(1)
        update.adam_update(w, np.ones(1), m, v, step=step, beta_1=0.999999, beta_2=0.5, epsilon=0, learning_rate=1)
        correction = -np.expm1(step * np.log(0.999999))
        # numpy's 1 - 0.999999 has lost ten bits already, in both.
        expected = -(1 - 0.999999) / correction / np.sqrt(0.5 / (1 - 0.5**step))
        np.testing.assert_allclose(w, expected, rtol=1e-10)


def test_momenta_of_nadam_add_up():
    """c is 1 - the product of all momenta, also after many steps."""
    w, m, v, c = (np.zeros(1) for _ in range(4))
    for step in range(1, 1001):
        update.nadam_update(w, np.ones(1), m, v, c, step=step, beta_1=0.9999)
    mu = 0.9999 * (1 - 0.5 * 0.96 ** (np.arange(1, 1001) * 4e-3))
    # Each step rounds once or twice, and passes on what came before times mu, 0.5 to 0.6.
    np.testing.assert_allclose(c, 1 - np.prod(mu), rtol=8 * np.finfo(float).eps)


def test_radam_divides_by_squares_from_where_rho_exceeds_5():
    """For beta_2 = 0.999 that is step 6."""
    for step in range(1, 9):
        w, m, v = np.zeros(1), np.zeros(1), np.ones(1)
        update.radam_update(w, np.ones(1), m, v, step=step, beta_1=0.0, learning_rate=1.0)
        assert (w == -1) == (step < 6)


def test_sign_of_lion():
    """-1, 0 or 1 for any number; a NaN stays one."""
    for dtype in DTYPES:
        tiny, big = np.finfo(dtype).tiny, np.finfo(dtype).max
        g = np.array([0, -0.0, tiny, -tiny, 1e-20, -3, big, -big, np.inf, -np.inf, np.nan], dtype)
        w = np.zeros_like(g)
        update.lion_update(w, g, np.zeros_like(g), step=1, beta_1=0.0, learning_rate=1.0)
        np.testing.assert_array_equal(w, -np.sign(g))


def test_centered_difference_below_zero():
    """A constant gradient makes v - a^2 a rounding error, of either sign: never a NaN."""
    n = 4000
    g = np.linspace(0.1, 3, n, dtype="f")
    v, a, w = g * g * np.float32(1 - 1e-7), g.copy(), np.zeros(n, "f")
    update.rmsprop_update(w, g, v, step=1, a=a, epsilon=1.0)
    assert np.isfinite(w).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_gradients_stay_in_their_element(bad):
    for name, (function, _, state_names, options) in RULES.items():
        w, g = np.ones(33, "f"), np.ones(33, "f")
        g[32] = bad
        state = {key: np.ones(1) if key in SCALARS else np.ones(33, "f") for key in state_names.split()}
        function(w, g, step=2, **state, **options)
        assert np.isfinite(w[:32]).all(), name
        # The sign of Inf is 1; what keeps the Inf is the mean of gradients.
        seen = state["m"] if name.startswith("lion") and bad == np.inf else w
        assert not np.isfinite(seen[32]), name


def test_a_square_that_overflows_leaves_the_parameter():
    """g / sqrt(Inf) is 0, as in PyTorch."""
    for name in ("adam", "rmsprop", "adagrad", "adadelta", "nadam"):
        function, _, state_names, options = RULES[name]
        w = np.ones(20, "f")
        function(w, np.full(20, 1e25, "f"), step=2, **zeros(state_names, 20, "f"), **options)
        np.testing.assert_array_equal(w, np.ones(20, "f"), name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 15, 4096, 4097, 30_001])
def test_gradient_norm(n, dtype):
    g = np.random.default_rng(n).standard_normal(n).astype(dtype)
    norm, scale = update.gradient_norm(g, clip_norm=3.0)
    np.testing.assert_allclose(norm, np.linalg.norm(g.astype(float)), rtol=1e-15 * max(n, 1) ** 0.5 + 1e-15)
    assert scale == min(1.0, 3.0 / (norm + 1e-6))
    assert update.gradient_norm(g)[1] == 1.0


def test_gradient_norm_of_extremes():
    """Squares of any float32 fit into a double; float64 holds up to 1.3e154."""
    big = np.full(3, 3e38, "f")
    np.testing.assert_allclose(update.gradient_norm(big)[0], float(big[0]) * 3**0.5)
    small = np.full(3, 2e-38, "f")
    np.testing.assert_allclose(update.gradient_norm(small)[0], float(small[0]) * 3**0.5)
    np.testing.assert_allclose(update.gradient_norm(np.full(3, 1e150))[0], 3**0.5 * 1e150)
    assert update.gradient_norm(np.full(3, 1e160))[0] == np.inf


def norm_of(g, ranges, control, clip_norm=0.0, each=0):
    """`squares` and `clip`, which writes the scales into `ranges`."""
    partials = np.full(sum(-(-int(r["n"]) // update.BLOCK) for r in ranges), np.nan)
    dtype = g.dtype.name
    reads = {"g": g, "ranges": ranges}
    call.run("squares", dtype, reads, {"partials": partials}, {"n_ranges": len(ranges)}, 2 * g.size)
    numbers = {"n_ranges": len(ranges), "each": each, "clip_norm": clip_norm}
    call.run("clip", dtype, {"partials": partials}, {"ranges": ranges, "control": control.block}, numbers, 0)
    return control


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_norm_over_ranges_and_threads(dtype, monkeypatch):
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    g = np.random.default_rng(3).standard_normal(40_000).astype(dtype)
    ranges = table([(0, 17_001, 1, 0), (17_024, 3, 1, 0), (20_032, 19_000, 1, 0)])
    counted = np.concatenate([g[:17_001], g[17_024:17_027], g[20_032:39_032]]).astype(float)
    norms = []
    for threads in (1, 2, 3):
        with config.threads(threads):
            norms.append(norm_of(g, ranges, ControlBlock()).gradient_norm)
    assert norms[0] == norms[1] == norms[2]
    np.testing.assert_allclose(norms[0], np.linalg.norm(counted), rtol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gradient_norm_sets_the_status(bad):
    g = np.ones(10_000, "f")
    g[9_999] = bad
    ranges = table([(0, 10_000, 1, 0)])
    assert norm_of(g, ranges, ControlBlock(), 1.0).status == 5
    before, ranges = control_of(status=2), table([(0, 10_000, 1, 0)], scale=0.5)
    norm_of(g, ranges, before, 1.0)
    assert (before.status, before.gradient_norm, ranges["scale"]) == (2, 0.0, 0.5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_norm_over_two_memories(dtype):
    """`squares` for each and then `clip` give what they give for all ranges at once."""
    g = np.random.default_rng(3).standard_normal(20_000).astype(dtype)
    ranges = table([(0, 5000, 1, 0), (64, 7000, 1, 0), (8192, 100, 1, 0)], scale=0.5)
    partials = np.full(2 + 2 + 1, np.nan)
    for rows, part in ((ranges[:1], partials[:2]), (ranges[1:], partials[2:])):
        call.run("squares", dtype, {"g": g, "ranges": rows}, {"partials": part}, {"n_ranges": len(rows)}, 2 * g.size)
    control, whole, numbers = control_of(), ranges.copy(), {"n_ranges": 3, "each": 0, "clip_norm": 10.0}
    call.run("clip", dtype, {"partials": partials}, {"ranges": ranges, "control": control.block}, numbers, 0)
    assert control.gradient_norm == norm_of(g, whole, control_of(), 10.0).gradient_norm
    np.testing.assert_array_equal(ranges, whole)
    assert (ranges["scale"] == 10 / (control.gradient_norm + 1e-6)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_range_by_its_own_norm(dtype):
    g = np.random.default_rng(4).standard_normal(12_000).astype(dtype)
    rows = [(0, 5000), (5008, 3), (6000, 6000)]
    ranges = table([(offset, n, 1, 0) for offset, n in rows])
    control = norm_of(g, ranges, control_of(), 20.0, each=1)
    norms = [np.linalg.norm(g[offset : offset + n].astype(float)) for offset, n in rows]
    np.testing.assert_allclose(ranges["scale"], np.minimum(1, 20 / (np.array(norms) + 1e-6)), rtol=1e-12)
    np.testing.assert_allclose(control.gradient_norm, np.hypot.reduce(norms), rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", NUMBERS)
def test_limits_and_decoupled_decay(kernel, dtype):
    """Elements of the scaled gradient are limited; a decoupled decay shrinks w first and leaves the gradient alone."""
    n, rng = 100, np.random.default_rng(6)
    g = rng.standard_normal(n).astype(dtype)
    ranges = table([(0, n, 1, 0.25)], learning_rate=0.5, scale=2.0)
    ranges["limit"], ranges["decoupled"] = 0.75, 1
    got = memory(kernel, n, dtype)
    run(kernel, got, g, ranges, control_of())
    expected = memory(kernel, n, dtype)
    expected["w"] *= np.asarray(1 - 0.5 * 0.25, dtype)
    limited = np.clip(2 * g, -0.75, 0.75).astype(dtype)
    run(kernel, expected, limited, table([(0, n, 1, 0)], learning_rate=0.5), control_of())
    for key, value in got.items():
        np.testing.assert_allclose(value, expected[key], rtol=8 * np.finfo(dtype).eps, err_msg=key)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 17, 5000])
def test_check_finite(n, dtype):
    def status(x, before=0):
        control = control_of(status=before)
        call.run("check_finite", dtype, {"x": x}, {"control": control.block}, {"n": n, "code": 4}, n)
        return control.status

    x = np.full(n, np.finfo(dtype).max, dtype)
    assert status(x) == 0
    for bad in (np.nan, np.inf, -np.inf):
        for place in {0, n // 2, n - 1} if n else ():
            y = x.copy()
            y[place] = bad
            assert status(y) == 4
            assert status(y, before=2) == 2


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (("w", "g", "m", "v"), {"step": 0}, ValueError, "step"),
        (("w", "g", "m", "v"), {"step": 1.5}, TypeError, "step"),
        (("w", "g", "m", "v"), {"step": 1, "learning_rate": -1.0}, ValueError, "learning_rate"),
        (("w", "g", "m", "v"), {"step": 1, "learning_rate": np.nan}, ValueError, "learning_rate"),
        (("w", "g", "m", "v"), {"step": 1, "beta_1": 1.0}, ValueError, "beta_1"),
        (("w", "g", "m", "v"), {"step": 1, "epsilon": -1e-8}, ValueError, "epsilon"),
        (("w", "g", "m", "v"), {"step": 1, "weight_decay": "much"}, TypeError, "weight_decay"),
        (("w", "g", "m", "v"), {"step": 1, "decoupled": 1}, TypeError, "decoupled"),
        (("list", "g", "m", "v"), {"step": 1}, TypeError, "w must be a NumPy array"),
        (("integers", "g", "m", "v"), {"step": 1}, TypeError, "dtype"),
        (("w", "other", "m", "v"), {"step": 1}, ValueError, "g must have the shape and dtype of w"),
        (("w", "g", "other", "v"), {"step": 1}, ValueError, "m must have the shape and dtype of w"),
        (("w", "g", "m", "m"), {"step": 1}, ValueError, "m and v must not share memory"),
        (("w", "w", "m", "v"), {"step": 1}, ValueError, "w and g must not share memory"),
        (("strided", "g", "m", "v"), {"step": 1}, ValueError, "C-contiguous"),
        (("readonly", "g", "m", "v"), {"step": 1}, ValueError, "writeable"),
    ],
)
def test_errors(arguments, options, error, match):
    arrays = {name: np.ones(4) for name in ("w", "g", "m", "v")}
    arrays |= {"list": [1.0] * 4, "integers": np.ones(4, int), "other": np.ones(5), "strided": np.ones(8)[::2]}
    arrays["readonly"] = np.ones(4)
    arrays["readonly"].flags.writeable = False
    with pytest.raises(error, match=match):
        update.adam_update(*(arrays[name] for name in arguments), **options)
    for name in ("w", "g", "m", "v"):
        np.testing.assert_array_equal(arrays[name], 1)


@pytest.mark.parametrize("c", [None, 0.0, np.zeros(2), np.zeros(1, "f"), np.zeros(())])
def test_nadam_needs_the_sum_of_its_momenta(c):
    w = np.ones(3)
    with pytest.raises(TypeError, match=r"c must be a NumPy array of one float64, shape \(1,\)"):
        update.nadam_update(w, np.ones(3), np.ones(3), np.ones(3), c, step=1)
    np.testing.assert_array_equal(w, 1)


def test_momentum_needs_its_buffer():
    with pytest.raises(ValueError, match="buffer b"):
        update.sgd_update(np.ones(3), np.ones(3), step=1, momentum=0.9)
    with pytest.raises(ValueError, match="nesterov"):
        update.sgd_update(np.ones(3), np.ones(3), step=1, nesterov=True)
    with pytest.raises(ValueError, match="buffer b"):
        update.rmsprop_update(np.ones(3), np.ones(3), np.ones(3), step=1, momentum=0.9)


def test_gradients_may_be_strided_and_read_only():
    g = np.arange(20.0).reshape(4, 5).T
    g.flags.writeable = False
    w = np.zeros((5, 4))
    update.sgd_update(w, g, step=1, learning_rate=1.0)
    np.testing.assert_array_equal(w, -g)
