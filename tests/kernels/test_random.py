"""Random numbers: known answers, layout, distributions, threads, instruction sets."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnet import config
from fastnet.kernels import call, random
from fastnet.native import dispatch
from fastnet.native.plan import ControlBlock

special = pytest.importorskip("scipy.special", reason="scipy, which comes with scikit-learn, is not installed")

DTYPES = ["float32", "float64"]
WORDS = st.integers(0, 2**32 - 1)
KEY = (0x13198A2E, 0x03707344)


@pytest.fixture
def parallel(monkeypatch):
    """All threads even for small arrays, and no plans kept from before."""
    monkeypatch.setattr(call, "PARALLEL_WORK", 0)
    call.of_thread.plans.clear()


# --- the generator ------------------------------------------------------------------------------------------

# Random123, tests/kat_vectors, "threefry2x32 20": counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_known_answers_of_reference(counter, key, result):
    assert tuple(int(word) for word in reference.threefry(counter, key)) == result


def test_known_answer():
    """The first vector is in reach: block 0, elements 0 and 64."""
    assert random.random_bits(128, key=(0, 0), count=0)[[0, 64]].tolist() == [0x6B200159, 0x99BA4EFE]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 1000), key=st.tuples(WORDS, WORDS), count=WORDS)
def test_bits(dtype, n, key, count):
    y = np.zeros(n, np.uint32)
    call.run("random_bits", dtype, {}, {"y": y}, {"n": n, "key_0": key[0], "key_1": key[1], "count": count}, 0)
    np.testing.assert_array_equal(y, reference.random_words(n, key, count))


def test_an_element_depends_on_its_place_alone():
    whole = random.random_bits((300, 7), key=KEY).ravel()
    for n in (1, 63, 64, 65, 127, 128, 129, 1000):
        np.testing.assert_array_equal(random.random_bits(n, key=KEY), whole[:n])


def test_bits_are_balanced_and_uncorrelated():
    """Each of the 32 bits is one half of the time, alone and together with its neighbours in place, count and key."""
    n = 1 << 16
    y = random.random_bits(n, seed=0)
    others = [y[1:], random.random_bits(n, seed=0, count=1)[1:], random.random_bits(n, seed=1)[1:]]
    for words in (y[1:], *(y[:-1] ^ other for other in others)):
        ones = np.unpackbits(words.view(np.uint8).reshape(-1, 4), axis=1).sum(0)
        assert np.all(abs(ones - n / 2) < 4.5 * np.sqrt(n) / 2)


# --- keys ---------------------------------------------------------------------------------------------------


def test_key_is_what_it_always_was():
    """Seeds in files and papers must keep their meaning."""
    digest = hashlib.blake2b(b"ff\0conv2d_1.weight", digest_size=8, person=b"fastnet").digest()
    assert random.key(255, "conv2d_1.weight") == (
        int.from_bytes(digest[:4], "little"),
        int.from_bytes(digest[4:], "little"),
    )
    assert random.key(0) == (1897354, 2597417284)


def test_keys_differ():
    seeds = [0, 1, 2**32, 2**64, 2**64 + 1, 10**5000]
    paths = ["", "a", "b", "1", "dense_1.weight", "dense_1.bias", "größe"]
    assert len({random.key(seed, path) for seed in seeds for path in paths}) == len(seeds) * len(paths)
    assert random.key(np.int64(7), "a") == random.key(7, "a")


@pytest.mark.parametrize("seed", [-1, 1.0, "0", True, None])
def test_bad_seed(seed):
    with pytest.raises((TypeError, ValueError), match="seed"):
        random.key(seed)


def test_stream_arguments():
    same = random.random_bits(5, seed=3, path="a")
    np.testing.assert_array_equal(random.random_bits(5, key=random.key(3, "a")), same)
    assert (random.random_bits(5, seed=3, path="a", count=1) != same).any()
    with pytest.raises(TypeError, match="seed"):
        random.random_bits(5)
    with pytest.raises(TypeError, match="seed"):
        random.random_bits(5, seed=3, key=(0, 0))
    with pytest.raises(TypeError, match="path"):
        random.random_bits(5, path="a", key=(0, 0))
    with pytest.raises(TypeError, match="path"):
        random.random_bits(5, seed=3, path=1)
    for bad in ((0,), "ab", 3, (0, 2**32), (-1, 0), (0, 0.5)):
        with pytest.raises((TypeError, ValueError), match="key"):
            random.random_bits(5, key=bad)
    for bad in (-1, 2**32, 1.5):
        with pytest.raises((TypeError, ValueError), match="count"):
            random.random_bits(5, seed=0, count=bad)
    with pytest.raises(ValueError, match=r"2\^32"):
        random.random_bits((2**20, 2**13), seed=0)


# --- uniform numbers ----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 700), key=st.tuples(WORDS, WORDS), count=WORDS, low=st.sampled_from([0.0, -0.3, 5.0]))
def test_uniform(n, key, count, low):
    high = low + 1.7
    y = random.uniform(n, key=key, count=count, low=low, high=high)
    bits = reference.random_words(n, key, count) >> 8
    expected = (low + float(np.float32(high - low)) * (bits * 2.0**-24)).astype(np.float32)
    below = np.nextafter(np.float32(high), np.float32(-np.inf)) if np.float32(high) >= high else np.float32(high)
    np.testing.assert_array_equal(y, np.minimum(expected, below))
    y = random.uniform(n, key=key, count=count, low=low, high=high, dtype="float64")
    expected = low + (high - low) * reference.unit_53(n, key, count)
    np.testing.assert_array_equal(y, np.minimum(expected, np.nextafter(high, -np.inf)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (-1, 0), (1, 1 + 1e-6), (-3, -2.9999999), (1e8, 1e8 + 9), (2.5, 2.5), (0.1, 0.1 + 1e-12), (-1e-30, 0)],
)
def test_uniform_stays_below_high(dtype, low, high):
    """Also where the interval holds few numbers of the dtype, or none."""
    y = random.uniform(100_000, seed=0, low=low, high=high, dtype=dtype)
    assert np.all(y >= np.dtype(dtype).type(low))
    if float(np.nextafter(np.dtype(dtype).type(low), np.dtype(dtype).type(np.inf))) < high:
        assert np.all(y.astype(float) < high)
        assert len(np.unique(y)) > 1
    else:
        assert np.all(y == np.dtype(dtype).type(low))


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_distribution(dtype):
    n = 200_000
    y = np.sort(random.uniform(n, seed=4, dtype=dtype).astype(float))
    assert kolmogorov(y) < 1.95  # one in a thousand
    assert abs(y.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)


def kolmogorov(u):
    """Kolmogorov's statistic sqrt(n) sup |F_n - F| of sorted numbers that should be uniform in 0 .. 1."""
    n = len(u)
    steps = np.arange(n + 1) / n
    return np.sqrt(n) * max((steps[1:] - u).max(), (u - steps[:-1]).max())


# --- normal numbers -----------------------------------------------------------------------------------------

EPSILON = np.finfo(float).eps


def test_normal_is_the_quantile():
    """Against scipy's (Cephes, relative error 5e-16 as ours)."""
    n = 100_000
    y = random.normal(n, key=KEY, count=3, mean=0.5, std=2.0, dtype="float64")
    z = special.ndtri(reference.open_unit(n, KEY, 3))
    np.testing.assert_allclose(y, 0.5 + 2 * z, rtol=8 * EPSILON, atol=2 * EPSILON)


@pytest.mark.parametrize("draw", [random.normal, random.truncated_normal])
def test_float32_numbers_are_rounded_float64_ones(draw):
    y = draw((50, 30), seed=1, std=0.1, dtype="float64")
    np.testing.assert_array_equal(draw((50, 30), seed=1, std=0.1), y.astype(np.float32))


def test_normal_distribution():
    n = 200_000
    y = random.normal(n, seed=5, dtype="float64")
    assert kolmogorov(np.sort(special.ndtr(y))) < 1.95
    # Standard errors of the first four moments of normal numbers.
    for power, expected, error in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert abs((y**power).mean() - expected) < 4 * error / np.sqrt(n)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-2, 2),
        (-1, 3),
        (0, 1),
        (-0.5, 0.25),
        (1, 1.5),
        (5, 6),
        (-9, -7),
        (8, 9),
        (-30, -25),
        (20, 30),
        (-8, 30),
        (-30, 30),
    ],
)
def test_truncated_normal_is_the_quantile(low, high):
    n = 3000
    y = random.truncated_normal(n, key=KEY, low=low, high=high, dtype="float64")
    u = reference.open_unit(n, KEY, 0)
    below = special.ndtr(low) + u * (special.ndtr(high) - special.ndtr(low))
    above = special.ndtr(-high) + (1 - u) * (special.ndtr(-low) - special.ndtr(-high))
    z = np.where(below < above, special.ndtri(below), -special.ndtri(above))
    # A relative error of the probability p changes z by about p / density(z), which is less than 1 / |z|.
    assert np.all((y >= low) & (y <= high))
    probability = np.minimum(below, above)
    slope = probability / (np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
    # exp(-z^2 / 2) has a relative error of z^2 / 2 roundings.
    assert np.all(abs(y - z) < EPSILON * (8 * abs(z) + slope * (20 + 2 * z**2)))


def test_truncated_normal_distribution():
    n = 200_000
    y = random.truncated_normal(n, seed=6, dtype="float64")
    inside = special.ndtr(2) - special.ndtr(-2)
    assert kolmogorov(np.sort((special.ndtr(y) - special.ndtr(-2)) / inside)) < 1.95
    assert abs(y.std() - 0.87962566103423978) < 4 * 0.6 / np.sqrt(n)


@pytest.mark.parametrize(
    ("draw", "arguments", "name"),
    [
        (random.uniform, {"low": 1, "high": 0}, "high"),
        (random.uniform, {"low": float("nan")}, "low"),
        (random.uniform, {"low": -3e38, "high": 3e38}, "range"),
        (random.normal, {"std": -1}, "std"),
        (random.normal, {"mean": float("inf")}, "mean"),
        (random.normal, {"dtype": "float16"}, "dtype"),
        (random.normal, {"out": np.empty(3, "float64")}, "out"),
        (random.truncated_normal, {"low": 2, "high": 2}, "high"),
        (random.truncated_normal, {"low": 31, "high": 32}, "low"),
        (random.truncated_normal, {"low": -40, "high": -31}, "high"),
    ],
)
def test_bad_arguments(draw, arguments, name):
    with pytest.raises((TypeError, ValueError), match=name):
        draw((2, 2), seed=0, **arguments)


def test_out_is_filled():
    out = np.empty((3, 5), "float64")
    assert random.normal((3, 5), seed=0, out=out) is out
    np.testing.assert_array_equal(out, random.normal((3, 5), seed=0, dtype="float64"))
    assert random.uniform((0, 3), seed=0).shape == (0, 3)


# --- orthogonal matrices ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 70), columns=st.integers(1, 70), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 1000))
def test_orthogonal(rows, columns, dtype, seed):
    """Q of A = QR with a positive diagonal of R, which is unique."""
    w = random.orthogonal((rows, columns), seed=seed, dtype=dtype)
    assert w.shape == (rows, columns) and w.dtype == dtype and w.flags.c_contiguous
    q = (w if rows >= columns else w.T).astype(float)
    n, k = q.shape
    a = random.normal((n, k), seed=seed, dtype=dtype).astype(float)
    # Rounding to the dtype, and k reflections in double.
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(q.T @ q, np.eye(k), atol=2 * eps + 20 * k * EPSILON)
    r = q.T @ a
    size = np.linalg.norm(a)
    assert abs(np.tril(r, -1)).max(initial=0) < size * (2 * eps * np.sqrt(n) + 20 * k * EPSILON)
    assert np.all(np.diag(r) > 0)


@pytest.mark.parametrize("shape", [(300, 130), (128, 257)])
def test_orthogonal_with_several_panels(shape):
    w = random.orthogonal(shape, seed=0, dtype="float64")
    tall = (max(shape), min(shape))
    q, r = np.linalg.qr(random.normal(tall, seed=0, dtype="float64"))
    q = q * np.sign(np.diag(r))
    # Q of a matrix with condition number c has an error of c roundings.
    np.testing.assert_allclose(w if shape == tall else w.T, q, atol=100 * np.linalg.cond(r) * EPSILON)


def test_orthogonal_flattens_and_scales():
    w = random.orthogonal((3, 3, 4, 8), seed=0, gain=3.0, dtype="float64")
    q = w.reshape(36, 8)
    np.testing.assert_allclose(q.T @ q, 9 * np.eye(8), atol=1e-13)
    np.testing.assert_array_equal(w.reshape(36, 8), random.orthogonal((36, 8), seed=0, gain=3.0, dtype="float64"))
    with pytest.raises(ValueError, match="shape"):
        random.orthogonal((5,), seed=0)


def test_orthogonalize_dependent_columns():
    """A column that is zero, or another one again, leaves Q orthogonal."""
    a = random.normal((40, 6), seed=0, dtype="float64")
    a[:, 2] = 0
    a[:, 4] = a[:, 1]
    call.run("orthogonalize", "float64", {}, {"a": a}, {"rows": 40, "cols": 6}, 0)
    np.testing.assert_allclose(a.T @ a, np.eye(6), atol=200 * EPSILON)


# --- permutations -------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 500), key=st.tuples(WORDS, WORDS), count=WORDS)
def test_permutation(n, key, count):
    y = random.permutation(n, key=key, count=count)
    assert y.dtype == np.int64
    assert y.tolist() == reference.permutation(n, key, count)[0]


def test_large_permutation_refuses_words():
    """So many that some words must be refused for the indices to be unbiased."""
    expected, refused = reference.permutation(300_000, KEY, 0)
    assert refused > 0
    np.testing.assert_array_equal(random.permutation(300_000, key=KEY), expected)
    assert sorted(expected) == list(range(300_000))


def test_all_permutations_are_as_likely():
    trials = 24_000
    out = np.empty(4, np.int64)
    counts = {}
    for count in range(trials):
        order = tuple(random.permutation(4, key=KEY, count=count, out=out).tolist())
        counts[order] = counts.get(order, 0) + 1
    chi_squared = sum((c - trials / 24) ** 2 / (trials / 24) for c in counts.values())
    assert len(counts) == 24
    assert chi_squared < 49.7  # 23 degrees of freedom, one in a thousand


def test_permutation_arguments():
    for bad in (-1, 2.5, 2**32):
        with pytest.raises((TypeError, ValueError), match="n must"):
            random.permutation(bad, seed=0)
    with pytest.raises(ValueError, match="out"):
        random.permutation(3, seed=0, out=np.empty(3, np.int32))


# --- dropout ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 600), rate=st.floats(0, 1, exclude_max=True), count=WORDS, dtype=st.sampled_from(DTYPES),
    key=st.tuples(WORDS, WORDS),
)  # fmt: skip
def test_dropout(n, rate, count, dtype, key):
    x = np.random.default_rng(0).standard_normal(n).astype(dtype)
    mask = reference.dropout_mask(n, key, count, rate)
    np.testing.assert_array_equal(random.dropout(x, rate, key=key, count=count), x * mask.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_of_rate_zero_changes_nothing(dtype):
    x = np.random.default_rng(0).standard_normal(1001).astype(dtype)
    np.testing.assert_array_equal(random.dropout(x, 0.0, seed=0), x)


def test_dropout_backward_has_the_mask_of_forward():
    x = np.random.default_rng(0).standard_normal((30, 41)).astype("float32") + 5
    y = random.dropout(x, 0.3, seed=0, count=7)
    dx = random.dropout(np.ones_like(x), 0.3, seed=0, count=7)
    np.testing.assert_array_equal(y == 0, dx == 0)
    assert np.all(dx[dx != 0] == np.float32(1 / 0.7))
    assert (random.dropout(x, 0.3, seed=0, count=8) != y).any()


def test_dropout_share():
    n, rate = 1_000_000, 0.3
    y = random.dropout(np.ones(n, "float32"), rate, seed=0)
    assert abs((y == 0).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / n)
    assert abs(y.mean() - 1) < 4 * np.sqrt(rate / (1 - rate) / n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_in_place_and_not_finite(dtype):
    """As in PyTorch: zero times NaN or Inf is NaN, in dropped elements too."""
    x = np.ones(1000, dtype)
    x[::7], x[3::7] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        expected = x * reference.dropout_mask(1000, random.key(2), 0, 0.5).astype(dtype)
    assert random.dropout(x, 0.5, seed=2, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_dropout_takes_the_count_from_control():
    x = np.ones(500, "float32")
    numbers = {"n": 500, "key_0": KEY[0], "key_1": KEY[1], "rate": 0.5}
    y = np.empty_like(x)
    control = ControlBlock()
    for forward in (0, 1, 2**32 - 1, 2**32 + 5):
        control.forward = forward
        call.run("dropout", "float32", {"x": x, "control": control.block}, {"y": y}, numbers, 0)
        np.testing.assert_array_equal(y, reference.dropout_mask(500, KEY, forward % 2**32, 0.5))
    call.run("dropout", "float32", {"x": x, "control": None}, {"y": y}, numbers, 0)
    np.testing.assert_array_equal(y, reference.dropout_mask(500, KEY, 0, 0.5))


def test_dropout_inputs():
    x = np.arange(24, dtype="float32").reshape(4, 6)
    x.setflags(write=False)
    expected = random.dropout(np.ascontiguousarray(x[:, ::2]), 0.5, seed=0)
    np.testing.assert_array_equal(random.dropout(x[:, ::2], 0.5, seed=0), expected)
    assert random.dropout(np.arange(5), 0.5, seed=0).dtype == np.float32
    for rate in (1.0, -0.1, float("nan"), "0.5"):
        with pytest.raises((TypeError, ValueError), match="rate"):
            random.dropout(x, rate, seed=0)
    with pytest.raises(TypeError, match="x must"):
        random.dropout(np.array(["a"]), 0.5, seed=0)
    y = np.zeros(100, "float32")
    with pytest.raises(ValueError, match="overlaps"):
        random.dropout(y[:50], 0.5, seed=0, out=y[20:70])


# --- whole channels -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(0, 5), rows=st.integers(1, 9), channels=st.sampled_from([1, 3, 8, 17, 60, 127, 128, 129, 300]),
    rate=st.floats(0, 1, exclude_max=True), count=WORDS, dtype=st.sampled_from(DTYPES), key=st.tuples(WORDS, WORDS),
)  # fmt: skip
def test_spatial_dropout(batch, rows, channels, rate, count, dtype, key):
    x = np.random.default_rng(0).standard_normal((batch, rows, channels)).astype(dtype)
    mask = reference.dropout_mask(batch * channels, key, count, rate).reshape(batch, 1, channels).astype(dtype)
    np.testing.assert_array_equal(random.spatial_dropout(x, rate, key=key, count=count), x * mask)
    assert random.spatial_dropout(x, rate, key=key, count=count, out=x) is x


def test_spatial_dropout_inputs():
    x = np.ones((4, 3, 6), "float32")
    x[1, 2, 3] = np.nan
    y = random.spatial_dropout(x, 0.5, seed=0)
    assert np.isnan(y).sum() == 1
    np.testing.assert_array_equal(random.spatial_dropout(x[:, ::2], 0.5, seed=0), y[:, ::2])
    assert random.spatial_dropout(np.ones((2, 3), int), 0.5, seed=0).dtype == np.float32
    with pytest.raises(ValueError, match="rate must be"):
        random.spatial_dropout(x, 1.0, seed=0)
    with pytest.raises(ValueError, match="at least two axes"):
        random.spatial_dropout(x[0, 0], 0.5, seed=0)
    with pytest.raises(TypeError, match="x must"):
        random.spatial_dropout(np.array([["a"]]), 0.5, seed=0)


# --- the same bits ------------------------------------------------------------------------------------------


def fingerprints():
    """A digest of everything that is drawn, by name."""
    arrays = {"bits": random.random_bits(5000, seed=1), "permutation": random.permutation(3000, seed=1)}
    for dtype in DTYPES:
        arrays |= {
            f"uniform {dtype}": random.uniform(5000, seed=2, low=-0.7, high=0.3, dtype=dtype),
            f"normal {dtype}": random.normal(5000, seed=3, mean=0.1, std=0.3, dtype=dtype),
            f"truncated {dtype}": random.truncated_normal(5000, seed=4, mean=0.1, std=0.3, dtype=dtype),
            f"tail {dtype}": random.truncated_normal(500, seed=4, low=6.1, high=9.3, dtype=dtype),
            f"orthogonal {dtype}": random.orthogonal((150, 70), seed=5, dtype=dtype),
            f"dropout {dtype}": random.dropout(np.linspace(-1, 1, 5000, dtype=dtype), 0.3, seed=6, count=9),
            f"spatial {dtype}": random.spatial_dropout(np.ones((7, 11, 65), dtype), 0.3, seed=7, count=9),
        }
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_matter(threads, parallel):
    with config.threads(1):
        expected = fingerprints()
    call.of_thread.plans.clear()
    with config.threads(threads):
        assert fingerprints() == expected


@pytest.mark.parametrize("isa", dispatch.supported_targets())
def test_instruction_sets_do_not_matter(isa):
    """Random bits, masks and permutations, and here the rounded numbers too."""
    code = "import sys; sys.path[:0] = sys.argv[1:]; import test_random; print(test_random.fingerprints())"
    here = os.path.dirname(__file__)
    path = [here, os.path.dirname(here), *filter(None, sys.path)]
    result = subprocess.run(
        [sys.executable, "-c", code, *path],
        env={**os.environ, "FASTNET_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(fingerprints())
