"""Plain float64 NumPy versions of augmentation, from the same random words."""

import numpy as np

from fastnet.kernels import random


def words(n, name, seed, count):
    bits = random.random_bits((n, 2), seed=seed, path=f"augmentation.{name}", count=count)
    return bits.astype(np.float64) / 2**32


def factors(n, name, amount, seed, count):
    bits = random.random_bits((n,), seed=seed, path=f"augmentation.{name}", count=count)
    return 1 + amount * (2 * (bits / 2**32) - 1)


def crop(x, padding, mode, seed, count):
    n, height, width, _ = x.shape
    (pad_y, pad_x), u = padding, words(len(x), "random_crop", seed, count)
    mode = {"zero": "constant", "reflect": "reflect"}[mode]
    padded = np.pad(x, ((0, 0), (pad_y, pad_y), (pad_x, pad_x), (0, 0)), mode=mode)
    tops, lefts = np.floor(u[:, 0] * (2 * pad_y + 1)).astype(int), np.floor(u[:, 1] * (2 * pad_x + 1)).astype(int)
    return np.stack([padded[i, tops[i] : tops[i] + height, lefts[i] : lefts[i] + width] for i in range(n)])


def flip(x, horizontal, vertical, probability, seed, count):
    u, x = words(len(x), "random_flip", seed, count), x.copy()
    for i in range(len(x)):
        if horizontal and u[i, 0] < probability:
            x[i] = x[i, :, ::-1].copy()
        if vertical and u[i, 1] < probability:
            x[i] = x[i, ::-1].copy()
    return x


def contrast(x, amount, seed, count):
    c = factors(len(x), "contrast", amount, seed, count)[:, None, None, None]
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    return mean + c * (x - mean)


def cutout(x, size, value, seed, count):
    u, x = words(len(x), "cutout", seed, count), x.copy()
    for i in range(len(x)):
        top = int(u[i, 0] * x.shape[1]) - size[0] // 2
        left = int(u[i, 1] * x.shape[2]) - size[1] // 2
        x[i, max(top, 0) : max(top + size[0], 0), max(left, 0) : max(left + size[1], 0)] = value
    return x


def mixup(arrays, alpha, seed, count):
    share = random.beta(1, alpha, seed=seed, path="augmentation.mixup", count=count)[0]
    partners = random.permutation(len(arrays[0]), seed=seed, path="augmentation.mixup.partners", count=count)
    return [share * a + (1 - share) * a[partners] for a in arrays]


def augment(operations, x, y=None, *, seed, count):
    """Operations as `fastnet.augment.apply` takes them; class numbers in y must be one-hot rows already."""
    x = np.asarray(x, np.float64)
    for op in sorted(operations, key=lambda op: type(op).__name__ != "RandomCrop"):  # a crop before the flip
        kind = type(op).__name__
        if kind == "RandomCrop":
            x = crop(x, op.padding, op.mode, seed, count)
        elif kind == "RandomFlip":
            x = flip(x, op.horizontal, op.vertical, op.probability, seed, count)
        elif kind == "Brightness":
            x = x * factors(len(x), "brightness", op.amount, seed, count)[:, None, None, None]
        elif kind == "Contrast":
            x = contrast(x, op.amount, seed, count)
        elif kind == "Cutout":
            x = cutout(x, op.size, op.value, seed, count)
        elif kind == "Mixup":
            x, *rest = mixup([x] if y is None else [x, y], op.alpha, seed, count)
            y = rest[0] if rest else None
    return x if y is None else (x, y)
