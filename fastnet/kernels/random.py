"""Random numbers that depend on a key, a count and their place, and on nothing else.

A :func:`key` names a stream: 64 bits made of a seed and a path (of a layer or a parameter). The generator is
Threefry-2x32-20 (Salmon et al. 2011). It has no state, so the numbers are the same for any number of threads
and on every instruction set, and drawing one array leaves all others alone. Within a stream, `count`
distinguishes 2^32 draws. Neither the C library nor BLAS or LAPACK takes part.

All functions that draw take ``seed=`` and ``path=``, or the ``key=`` made of both, and ``count=``.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks
from fastnet.kernels import call
from fastnet.native.plan import ControlBlock

if TYPE_CHECKING:
    from fastnet.types import Array, ArrayLike, DType, Shape, Sizes

__all__ = [
    "beta", "dropout", "key", "normal", "orthogonal", "permutation", "random_bits", "spatial_dropout",
    "truncated_normal", "uniform",
]  # fmt: skip

_MOST = 1 << 32  # elements of one draw: what the counter can number
_FAR = 30.0  # standard deviations; further out nothing is left of the normal distribution in double precision


def key(seed: int, path: str = "", piece: int = 0) -> tuple[int, int]:
    """The key of a stream: two numbers of 32 bits from a seed and a path.

    Parameters
    ----------
    seed : int
        Not negative; it may have any number of digits.
    path : str
        What the stream is for, such as ``"conv2d_1.weight"``. Different paths give independent streams.
    piece : int, default 0
        Number of a batch's piece, where each has draws of its own.

    Returns
    -------
    tuple of two ints
        The first 64 bits of BLAKE2b (RFC 7693) of both.

    Raises
    ------
    TypeError, ValueError
        `seed` is not a whole number, or negative; `path` is not a text.

    Examples
    --------
    >>> from fastnet.kernels import random
    >>> random.key(0, "dense_1.weight") == random.key(0, "dense_1.weight")
    True
    >>> random.key(0, "dense_1.weight") == random.key(0, "dense_2.weight")
    False
    """
    seed = checks.whole_number("seed", seed, least=0)
    if not isinstance(path, str):
        raise TypeError(f"path must be a text; got {checks.describe(path)}")
    if piece:
        path = f"{path} of piece {piece}"
    digest = hashlib.blake2b(f"{seed:x}\0{path}".encode(), digest_size=8, person=b"fastnet").digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


_key_of = key  # the functions below have an argument of that name


def _word(argument: str, value: Any) -> int:
    value = checks.whole_number(argument, value, least=0)
    if value >= 1 << 32:
        raise ValueError(f"{argument} must be below 2^32; got {value}")
    return value


def _key_fields(key: Any, seed: Any, path: Any) -> dict[str, Any]:
    """The fields of a kernel that the stream fills."""
    if (key is None) == (seed is None):
        raise TypeError("give either a seed (with a path) or a key")
    if key is None:
        key = _key_of(seed, path)
    elif path:
        raise TypeError("path belongs to a seed; a key has it already")
    if not isinstance(key, (tuple, list)) or len(key) != 2:
        raise TypeError(f"key must be a pair of numbers, as key(seed, path) gives; got {checks.describe(key)}")
    return {"key_0": _word("key[0]", key[0]), "key_1": _word("key[1]", key[1])}


def _fields(n: int, key: Any, seed: Any, path: Any, count: int) -> dict[str, Any]:
    return {"n": n, **_key_fields(key, seed, path), "count": _word("count", count)}


def _countable(argument: str, shape: Shape) -> None:
    if math.prod(shape) > _MOST:
        raise ValueError(f"{argument} {shape} has {math.prod(shape)} elements; one draw has at most 2^32")


def _target(shape: Sizes, dtype: DType | None, out: Array | None) -> np.ndarray:
    """The array to fill: `out`, or a new one."""
    shape = checks.shape("shape", shape, least=0)
    _countable("shape", shape)
    if dtype is None:
        dtype = out.dtype if isinstance(out, np.ndarray) else "float32"
    return call.output("out", out, shape, checks.dtype_name("dtype", dtype))


def _draw(name: str, out: Array, fields: dict[str, Any], work: float) -> np.ndarray:
    # A stream is drawn from once: its plan is of no use to another.
    call.run(name, out.dtype.name if out.dtype.kind == "f" else "float32", {}, {"y": out}, fields, work, keep=False)
    return out


def random_bits(shape: Sizes, *, seed: int | None = None, path: str = "", key: tuple[int, int] | None = None,
                count: int = 0) -> np.ndarray:  # fmt: skip
    """An array of uint32 words with random bits.

    Element 128 q + p is a word of the generator's block 64 q + p mod 64: the first where p < 64, else the second.

    Parameters
    ----------
    shape : int or tuple of ints
    seed, path : int, str
        The stream, as for :func:`key`; or instead
    key : tuple of two ints
        what that function gave.
    count : int
        Which draw of the stream, 0 to 2^32 - 1.

    Returns
    -------
    ndarray of uint32

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range.

    References
    ----------
    Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".

    Examples
    --------
    >>> from fastnet.kernels import random
    >>> [hex(word) for word in random.random_bits(2, key=(0, 0)).tolist()]
    ['0x6b200159', '0x508efb2c']
    """
    shape = checks.shape("shape", shape, least=0)
    _countable("shape", shape)
    y = np.empty(shape, np.uint32)
    return _draw("random_bits", y, _fields(y.size, key, seed, path, count), 8 * y.size)


def uniform(shape: Sizes, *, low: float = 0.0, high: float = 1.0, seed: int | None = None, path: str = "",
            key: tuple[int, int] | None = None, count: int = 0, dtype: DType | None = None,
            out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Uniform numbers: low <= y < high.

    ``y = low + (high - low) k / 2^24`` with 24 random bits k (float32), or 53 bits (float64).

    Parameters
    ----------
    shape : int or tuple of ints
    low, high : float
        Bounds. Where no number of the dtype lies between them, all are `low`.
    seed, path : int, str
        The stream, as for :func:`key`; or instead
    key : tuple of two ints
        what that function gave.
    count : int
        Which draw of the stream, 0 to 2^32 - 1.
    dtype : {"float32", "float64"}, optional
        That of `out`, or float32. The float64 numbers agree with the float32 ones in their first 24 bits.
    out : ndarray, optional
        C-contiguous array to fill.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range; low > high.

    Examples
    --------
    >>> from fastnet.kernels import random
    >>> y = random.uniform((1000,), seed=0, path="noise", low=-1, high=1)
    >>> bool((y >= -1).all() and (y < 1).all())
    True
    """
    low = checks.real_number("low", low)
    high = checks.real_number("high", high, least=low)
    out = _target(shape, dtype, out)
    most = float(np.finfo(out.dtype).max)
    if max(high - low, high, -low) > most:
        raise ValueError(f"low and high must be within the range of {out.dtype}; got {low:g} and {high:g}")
    return _draw(
        "random_uniform", out, _fields(out.size, key, seed, path, count) | {"low": low, "high": high}, 20 * out.size
    )


def normal(shape: Sizes, *, mean: float = 0.0, std: float = 1.0, seed: int | None = None, path: str = "",
           key: tuple[int, int] | None = None, count: int = 0, dtype: DType | None = None,
           out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Normal numbers, ``mean + std z``.

    z is the inverse of the normal distribution function at 52 random bits, so |z| is at most 8.2. Computed in
    double; the float32 numbers are the float64 ones, rounded.

    Parameters
    ----------
    shape : int or tuple of ints
    mean, std : float
        `std` is not negative.
    seed, path : int, str
        The stream, as for :func:`key`; or instead
    key : tuple of two ints
        what that function gave.
    count : int
        Which draw of the stream, 0 to 2^32 - 1.
    dtype : {"float32", "float64"}, optional
        That of `out`, or float32.
    out : ndarray, optional
        C-contiguous array to fill.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range.

    References
    ----------
    Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution".

    Examples
    --------
    >>> from fastnet.kernels import random
    >>> y = random.normal((100, 100), seed=0, path="noise")
    >>> bool(abs(y.mean()) < 0.05 and abs(y.std() - 1) < 0.05)
    True
    """
    mean = checks.real_number("mean", mean)
    std = checks.real_number("std", std, least=0)
    out = _target(shape, dtype, out)
    return _draw(
        "random_normal", out, _fields(out.size, key, seed, path, count) | {"mean": mean, "std": std}, 200 * out.size
    )


def truncated_normal(shape: Sizes, *, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0,
                     seed: int | None = None, path: str = "", key: tuple[int, int] | None = None, count: int = 0,
                     dtype: DType | None = None, out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Normal numbers of an interval, ``mean + std z`` with low <= z <= high.

    z is drawn by the inverse of the distribution function, never by rejection; the float32 numbers are the float64
    ones, rounded. The bounds are in units of `std`, as in Keras; those of PyTorch's ``trunc_normal_`` are absolute.
    The standard deviation of z is less than one (0.8796 for the default bounds) and not corrected.

    Parameters
    ----------
    shape : int or tuple of ints
    mean, std : float
        `std` is not negative.
    low, high : float
        Bounds of z; low < high, and the interval must come within 30 of zero.
    seed, path : int, str
        The stream, as for :func:`key`; or instead
    key : tuple of two ints
        what that function gave.
    count : int
        Which draw of the stream, 0 to 2^32 - 1.
    dtype : {"float32", "float64"}, optional
        That of `out`, or float32.
    out : ndarray, optional
        C-contiguous array to fill.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range.

    Examples
    --------
    >>> from fastnet.kernels import random
    >>> y = random.truncated_normal((1000,), seed=0, path="noise", std=0.1)
    >>> bool(abs(y).max() <= 0.2)
    True
    """
    mean = checks.real_number("mean", mean)
    std = checks.real_number("std", std, least=0)
    low = checks.real_number("low", low, most=_FAR)
    high = checks.real_number("high", high, above=low, least=-_FAR)
    out = _target(shape, dtype, out)
    fields = _fields(out.size, key, seed, path, count) | {"mean": mean, "std": std, "low": low, "high": high}
    return _draw("random_truncated_normal", out, fields, 200 * out.size)


def beta(n: int, alpha: float, *, seed: int | None = None, path: str = "", key: tuple[int, int] | None = None,
         count: int = 0) -> np.ndarray:  # fmt: skip
    """Numbers between 0 and 1 with the symmetric beta distribution, Beta(alpha, alpha).

    Parameters
    ----------
    n : int
    alpha : float
        Above 0: below 1 most numbers are near 0 or near 1, with 1 they are uniform, above 1 most are near 1/2.
    seed, path : int, str
        The stream, as for :func:`key`; or instead
    key : tuple of two ints
        what that function gave.
    count : int
        Which draw of the stream, 0 to 2^32 - 1.

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range.

    References
    ----------
    Devroye 1996, "Random variate generation in one line of code".

    Examples
    --------
    >>> from fastnet.kernels import random
    >>> y = random.beta(1000, 0.2, seed=0, path="mixup")
    >>> bool((y >= 0).all() and (y <= 1).all() and abs(y.mean() - 0.5) < 0.05)
    True
    """
    y = np.empty(checks.whole_number("n", n, least=0))
    _countable("n", y.shape)
    alpha = checks.real_number("alpha", alpha, above=0)
    fields = _fields(len(y), key, seed, path, count) | {"alpha": alpha}
    call.run("random_beta", "float64", {}, {"y": y}, fields, 300 * len(y), keep=False)
    return y


def orthogonal(shape: Sizes, *, gain: float = 1.0, seed: int | None = None, path: str = "",
               key: tuple[int, int] | None = None, count: int = 0, dtype: DType = "float32") -> np.ndarray:  # fmt: skip
    """A random matrix with orthogonal rows or columns, whichever are fewer, of norm `gain`.

    Q of the QR factorization of a matrix of normal numbers, times the signs of R's diagonal, so that every orthogonal
    matrix is as likely as any other. Householder reflections in double, of our own.

    Parameters
    ----------
    shape : tuple of ints
        At least two axes; the leading ones are flattened: (rest, last).
    gain : float
    seed, path : int, str
        The stream, as for :func:`key`; or instead
    key : tuple of two ints
        what that function gave.
    count : int
        Which draw of the stream, 0 to 2^32 - 1.
    dtype : {"float32", "float64"}

    Returns
    -------
    ndarray of `shape`

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range; fewer than two axes.

    References
    ----------
    Saxe, McClelland, Ganguli 2014; Mezzadri 2007, "How to generate random matrices from the classical compact groups".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import random
    >>> q = random.orthogonal((6, 4), seed=0, path="recurrent")
    >>> bool(np.allclose(q.T @ q, np.eye(4), atol=1e-6))
    True
    """
    shape = checks.shape("shape", shape)
    if len(shape) < 2:
        raise ValueError(f"shape must have at least two axes for orthogonal numbers; got {shape}")
    gain = checks.real_number("gain", gain)
    rows, columns = math.prod(shape[:-1]), shape[-1]
    tall = (max(rows, columns), min(rows, columns))
    a = normal(tall, seed=seed, path=path, key=key, count=count, dtype=dtype)
    numbers = {"rows": tall[0], "cols": tall[1]}
    work = 2 * tall[0] * tall[1] * tall[1]
    call.run("orthogonalize", a.dtype.name, {}, {"a": a}, numbers, work, keep=False)
    if gain != 1:
        a *= a.dtype.type(gain)
    return np.ascontiguousarray(a if rows >= columns else a.T).reshape(shape)


def permutation(n: int, *, seed: int | None = None, path: str = "", key: tuple[int, int] | None = None, count: int = 0,
                out: Array | None = None) -> np.ndarray:  # fmt: skip
    """The numbers 0 to n - 1 in random order, each order as likely as any other.

    Fisher and Yates' shuffle with unbiased indices (Lemire 2019).

    Parameters
    ----------
    n : int
        Below 2^32.
    seed, path : int, str
        The stream, as for :func:`key`; or instead
    key : tuple of two ints
        what that function gave.
    count : int
        Which draw of the stream, 0 to 2^32 - 1: the epoch, say.
    out : ndarray of int64, shape (n,), optional
        C-contiguous array to fill.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range.

    Examples
    --------
    >>> from fastnet.kernels import random
    >>> sorted(random.permutation(5, seed=0, path="shuffle").tolist())
    [0, 1, 2, 3, 4]
    """
    n = _word("n", n)
    out = call.output("out", out, (n,), np.int64)
    call.run("shuffle", "float32", {}, {"order": out}, _fields(n, key, seed, path, count), 0, keep=False)
    return out


def dropout(x: ArrayLike, rate: float, *, seed: int | None = None, path: str = "", key: tuple[int, int] | None = None,
            count: int = 0, out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Set a random part of the elements to zero and scale the others up: ``y = x mask``.

    mask is 0 with probability `rate`, else 1 / (1 - rate). The same call with dy in the place of x gives dx. A NaN
    or Inf stays NaN in a dropped element, as in PyTorch.

    Parameters
    ----------
    x : array of real numbers
        Taken as float32, unless it is float64.
    rate : float
        Probability of a zero, 0 <= rate < 1.
    seed, path : int, str
        The stream, as for :func:`key`; or instead
    key : tuple of two ints
        what that function gave.
    count : int
        Which draw of the stream, 0 to 2^32 - 1: the number of the training forward.
    out : ndarray, optional
        C-contiguous array of x's shape and dtype; it may be x.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014 (who scale in inference instead).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import random
    >>> y = random.dropout(np.ones(1000, "float32"), 0.5, seed=0, path="dropout_1")
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """
    rate = checks.real_number("rate", rate, least=0, below=1)
    x = call.real_array("x", x)
    _countable("x of shape", x.shape)
    fields = {"n": x.size, **_key_fields(key, seed, path), "rate": rate}
    control = ControlBlock()
    control.forward = _word("count", count)
    out = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", out, x=x)
    call.run("dropout", x.dtype.name, {"x": x, "control": control.block}, {"y": out}, fields, 12 * x.size)
    return out


def spatial_dropout(x: ArrayLike, rate: float, *, seed: int | None = None, path: str = "",
                    key: tuple[int, int] | None = None, count: int = 0, out: Array | None = None) -> np.ndarray:  # fmt: skip
    """Set a random part of the channels of each sample to zero and scale the others up.

    The mask of :func:`dropout` for an array of shape (batch, channels), the same for all pixels of a sample.

    Parameters
    ----------
    x : array of real numbers, shape (batch, ..., channels)
        Taken as float32, unless it is float64.
    rate, seed, path, key, count, out
        As of :func:`dropout`.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument of another kind or out of its range.

    References
    ----------
    Tompson, Goroshin, Jain, LeCun, Bregler 2015, "Efficient object localization using convolutional networks".

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.kernels import random
    >>> y = random.spatial_dropout(np.ones((2, 9, 9, 5), "float32"), 0.5, seed=0, path="spatial_dropout2d_1")
    >>> bool((y == y[:, :1, :1]).all()), sorted(set(y.ravel().tolist()))
    (True, [0.0, 2.0])
    """
    rate = checks.real_number("rate", rate, least=0, below=1)
    x = call.real_array("x", x)
    if x.ndim < 2:
        raise ValueError(f"x must have shape (batch, ..., channels) with at least two axes; got {x.shape}")
    samples = (x.shape[0], x.shape[-1])
    _countable("a mask of shape", samples)
    sizes = {"batch": samples[0], "rows": math.prod(x.shape[1:-1]), "channels": samples[1]}
    fields = {**sizes, **_key_fields(key, seed, path), "rate": rate}
    control = ControlBlock()
    control.forward = _word("count", count)
    out = call.output("out", out, x.shape, x.dtype)
    checks.same_or_apart("out", out, x=x)
    call.run("spatial_dropout", x.dtype.name, {"x": x, "control": control.block}, {"y": out}, fields, 8 * x.size)
    return out
