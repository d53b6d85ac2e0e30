"""Convolutions in plain float64 NumPy: a sum over taps."""

import numpy as np


def _windows(w_shape, y_shape, stride, dilation):
    """For each tap: its place in the kernel, and the pixels of the padded image that it sees."""
    rows, columns = y_shape[1:3]
    for r in range(w_shape[0]):
        for s in range(w_shape[1]):
            y, x = r * dilation[0], s * dilation[1]
            yield (
                r,
                s,
                (
                    slice(None),
                    slice(y, y + (rows - 1) * stride[0] + 1, stride[0]),
                    slice(x, x + (columns - 1) * stride[1] + 1, stride[1]),
                ),
            )


def _padded(x, y_shape, w_shape, stride, padding, dilation):
    """x with zeros around it, and behind it as many as the last window needs."""
    needed = [
        (y_shape[i + 1] - 1) * stride[i] + (w_shape[i] - 1) * dilation[i] + 1 - x.shape[i + 1] - padding[i][0]
        for i in range(2)
    ]
    behind = [max(needed[i], padding[i][1], 0) for i in range(2)]
    return np.pad(x, ((0, 0), (padding[0][0], behind[0]), (padding[1][0], behind[1]), (0, 0)))


def conv2d(x, w, y_shape, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    x, w = np.float64(x), np.float64(w)
    channels, filters = w.shape[2], w.shape[3] // groups
    padded = _padded(x, y_shape, w.shape, stride, padding, dilation)
    y = np.zeros(y_shape)
    for r, s, window in _windows(w.shape, y_shape, stride, dilation):
        for g in range(groups):
            seen = padded[window][..., g * channels : (g + 1) * channels]
            y[..., g * filters : (g + 1) * filters] += seen @ w[r, s, :, g * filters : (g + 1) * filters]
    return y


def conv2d_backward_data(dy, w, x_shape, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    dy, w = np.float64(dy), np.float64(w)
    channels, filters = w.shape[2], w.shape[3] // groups
    padded = _padded(np.zeros(x_shape), dy.shape, w.shape, stride, padding, dilation)
    for r, s, window in _windows(w.shape, dy.shape, stride, dilation):
        for g in range(groups):
            part = dy[..., g * filters : (g + 1) * filters] @ w[r, s, :, g * filters : (g + 1) * filters].T
            padded[window][..., g * channels : (g + 1) * channels] += part
    top, left = padding[0][0], padding[1][0]
    return padded[:, top : top + x_shape[1], left : left + x_shape[2]]


def conv2d_backward_weights(x, dy, w_shape, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    x, dy = np.float64(x), np.float64(dy)
    channels, filters = w_shape[2], w_shape[3] // groups
    padded = _padded(x, dy.shape, w_shape, stride, padding, dilation)
    dw = np.zeros(w_shape)
    for r, s, window in _windows(w_shape, dy.shape, stride, dilation):
        for g in range(groups):
            seen = padded[window][..., g * channels : (g + 1) * channels]
            part = dy[..., g * filters : (g + 1) * filters]
            dw[r, s, :, g * filters : (g + 1) * filters] = np.einsum("npqc,npqk->ck", seen, part)
    return dw
