"""Plain float64 versions of the kernels on images, in loops that are written to be read. Images are NHWC."""

import numpy as np


def windows(sizes, pool_size, stride, borders, ceil):
    """For each axis: the (start, end) of every window, in elements of the image; it may reach outside."""
    result = []
    for size, kernel, step, (before, after) in zip(sizes, pool_size, stride, borders, strict=True):
        starts = []
        start = -before
        while start + kernel <= size + after or (
            ceil and start < size and (not starts or start - step + kernel < size + after)
        ):
            starts.append((start, start + kernel))
            start += step
        result.append(starts)
    return result


def same_borders(sizes, pool_size, stride):
    """Padding for ceil(size / stride) windows; an odd element goes to the end."""
    borders = []
    for size, kernel, step in zip(sizes, pool_size, stride, strict=True):
        total = max((-(-size // step) - 1) * step + kernel - size, 0)
        borders.append((total // 2, total - total // 2))
    return borders


def inside(window, size):
    return range(max(window[0], 0), min(window[1], size))


def max_pool(x, pool_size, stride, borders, ceil):
    """y, and the position (h, w) in the image of each maximum, the first of equal ones."""
    rows, columns = windows(x.shape[1:3], pool_size, stride, borders, ceil)
    y = np.empty((len(x), len(rows), len(columns), x.shape[3]))
    places = np.empty((*y.shape, 2), int)
    for n, p, q, c in np.ndindex(y.shape):
        best = None
        for h in inside(rows[p], x.shape[1]):
            for w in inside(columns[q], x.shape[2]):
                value = x[n, h, w, c]
                if best is None or value > best or np.isnan(value):
                    best = value
                    places[n, p, q, c] = h, w
        y[n, p, q, c] = best
    return y, places


def max_pool_backward(dy, places, x_shape):
    dx = np.zeros(x_shape)
    for n, p, q, c in np.ndindex(dy.shape):
        h, w = places[n, p, q, c]
        dx[n, h, w, c] += dy[n, p, q, c]
    return dx


def _divisor(row, column, sizes, borders, count_include_pad):
    count = 1
    for window, size, (_, after) in zip((row, column), sizes, borders, strict=True):
        count *= min(window[1], size + after) - window[0] if count_include_pad else len(inside(window, size))
    return count


def avg_pool(x, pool_size, stride, borders, ceil, count_include_pad):
    rows, columns = windows(x.shape[1:3], pool_size, stride, borders, ceil)
    y = np.zeros((len(x), len(rows), len(columns), x.shape[3]))
    for p, row in enumerate(rows):
        for q, column in enumerate(columns):
            for h in inside(row, x.shape[1]):
                for w in inside(column, x.shape[2]):
                    y[:, p, q] += x[:, h, w]
            y[:, p, q] /= _divisor(row, column, x.shape[1:3], borders, count_include_pad)
    return y


def avg_pool_backward(dy, x_shape, pool_size, stride, borders, ceil, count_include_pad):
    rows, columns = windows(x_shape[1:3], pool_size, stride, borders, ceil)
    dx = np.zeros(x_shape)
    for p, row in enumerate(rows):
        for q, column in enumerate(columns):
            divisor = _divisor(row, column, x_shape[1:3], borders, count_include_pad)
            for h in inside(row, x_shape[1]):
                for w in inside(column, x_shape[2]):
                    dx[:, h, w] += dy[:, p, q] / divisor
    return dx


def linear_map(size, factor, interpolation):
    """Matrix [factor size, size] of upsampling along one axis."""
    m = np.zeros((factor * size, size))
    for o in range(factor * size):
        if interpolation == "nearest":
            m[o, o // factor] = 1
        else:
            place = min(max((o + 0.5) / factor - 0.5, 0), size - 1)
            low = int(place)
            m[o, low] += 1 - (place - low)
            m[o, min(low + 1, size - 1)] += place - low
    return m


def pad_map(size, before, after, mode):
    """Matrix [before + size + after, size] of padding along one axis."""
    m = np.zeros((before + size + after, size))
    for o in range(len(m)):
        i = o - before
        if mode == "reflect":
            i = -i if i < 0 else 2 * (size - 1) - i if i >= size else i
        if 0 <= i < size:
            m[o, i] = 1
    return m


def apply_maps(x, rows, columns):
    """A matrix along the height and one along the width."""
    return np.einsum("ph,qw,nhwc->npqc", rows, columns, x)
