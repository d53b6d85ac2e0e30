"""Plain float64 NumPy versions of the kernels, written to be read."""

import math

import numpy as np

# --- optimizer updates: return the new parameters, change the state in place --------------------------------


def sgd(w, g, state, *, step, learning_rate=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    if not momentum:
        return w - learning_rate * g
    state["b"] = g if step == 1 else momentum * state["b"] + g
    return w - learning_rate * (g + momentum * state["b"] if nesterov else state["b"])


def rmsprop(
    w, g, state, *, step, learning_rate=1e-2, rho=0.99, epsilon=1e-8, momentum=0.0, centered=False, weight_decay=0.0
):
    g = g + weight_decay * w
    state["v"] = rho * state["v"] + (1 - rho) * g**2
    square = state["v"]
    if centered:
        state["a"] = rho * state["a"] + (1 - rho) * g
        square = np.maximum(square - state["a"] ** 2, 0)
    d = g / (np.sqrt(square) + epsilon)
    if momentum:
        state["b"] = d = momentum * state["b"] + d
    return w - learning_rate * d


def adam(
    w, g, state, *, step, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0,
    decoupled=False, amsgrad=False, epsilon_hat=False,
):  # fmt: skip
    if decoupled:
        w = w * (1 - learning_rate * weight_decay)
    else:
        g = g + weight_decay * w
    state["m"] = beta_1 * state["m"] + (1 - beta_1) * g
    state["v"] = beta_2 * state["v"] + (1 - beta_2) * g**2
    v = state["v"]
    if amsgrad:
        state["v_max"] = v = np.maximum(state["v_max"], v)
    if epsilon_hat:
        epsilon = epsilon / np.sqrt(1 - beta_2**step)
    return w - learning_rate / (1 - beta_1**step) * state["m"] / (np.sqrt(v / (1 - beta_2**step)) + epsilon)


def adagrad(
    w, g, state, *, step, learning_rate=1e-2, learning_rate_decay=0.0, epsilon=1e-10, weight_decay=0.0
):  # fmt: skip
    g = g + weight_decay * w
    state["s"] = state["s"] + g**2
    return w - learning_rate / (1 + (step - 1) * learning_rate_decay) * g / (np.sqrt(state["s"]) + epsilon)


def adadelta(w, g, state, *, step, learning_rate=1.0, rho=0.9, epsilon=1e-6, weight_decay=0.0):
    g = g + weight_decay * w
    state["v"] = rho * state["v"] + (1 - rho) * g**2
    change = np.sqrt(state["d"] + epsilon) / np.sqrt(state["v"] + epsilon) * g
    state["d"] = rho * state["d"] + (1 - rho) * change**2
    return w - learning_rate * change


def adamax(w, g, state, *, step, learning_rate=2e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
    g = g + weight_decay * w
    state["m"] = beta_1 * state["m"] + (1 - beta_1) * g
    state["u"] = np.maximum(beta_2 * state["u"], np.abs(g) + epsilon)
    return w - learning_rate / (1 - beta_1**step) * state["m"] / state["u"]


def nadam(
    w, g, state, *, step, learning_rate=2e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, momentum_decay=4e-3,
    weight_decay=0.0, decoupled=False,
):  # fmt: skip
    if decoupled:
        w = w * (1 - learning_rate * weight_decay)
    else:
        g = g + weight_decay * w
    mu = beta_1 * (1 - 0.5 * 0.96 ** (np.arange(1, step + 2) * momentum_decay))
    state["c"] = np.array([1 - np.prod(mu[:-1])])
    state["m"] = beta_1 * state["m"] + (1 - beta_1) * g
    state["v"] = beta_2 * state["v"] + (1 - beta_2) * g**2
    direction = mu[-1] / (1 - np.prod(mu)) * state["m"] + (1 - mu[-2]) / state["c"] * g
    return w - learning_rate * direction / (np.sqrt(state["v"] / (1 - beta_2**step)) + epsilon)


def radam(
    w, g, state, *, step, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0, decoupled=False
):
    if decoupled:
        w = w * (1 - learning_rate * weight_decay)
    else:
        g = g + weight_decay * w
    state["m"] = beta_1 * state["m"] + (1 - beta_1) * g
    state["v"] = beta_2 * state["v"] + (1 - beta_2) * g**2
    change = state["m"] / (1 - beta_1**step)
    most = 2 / (1 - beta_2) - 1
    rho = most - 2 * step * beta_2**step / (1 - beta_2**step)
    if rho > 5:
        rectification = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
        change *= rectification * np.sqrt(1 - beta_2**step) / (np.sqrt(state["v"]) + epsilon)
    return w - learning_rate * change


def lion(w, g, state, *, step, learning_rate=1e-4, beta_1=0.9, beta_2=0.99, weight_decay=0.0):
    w = w * (1 - learning_rate * weight_decay)
    w = w - learning_rate * np.sign(beta_1 * state["m"] + (1 - beta_1) * g)
    state["m"] = beta_2 * state["m"] + (1 - beta_2) * g
    return w


def muon(
    w, g, state, *, learning_rate=1e-3, momentum=0.95, nesterov=True, steps=5, epsilon=1e-7, weight_decay=0.1,
    match_rms=False,
):  # fmt: skip
    """PyTorch's order of operations, in float64 instead of bfloat16, on a matrix of (outputs, inputs)."""
    state["b"] = state["b"] + (1 - momentum) * (g - state["b"])
    x = g + momentum * (state["b"] - g) if nesterov else state["b"]
    outputs, inputs = w.shape
    x = x.T if outputs > inputs else x
    x = x / max(np.linalg.norm(x), epsilon)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    x = x.T if outputs > inputs else x
    factor = 0.2 * np.sqrt(max(outputs, inputs)) if match_rms else np.sqrt(max(1, outputs / inputs))
    return w * (1 - learning_rate * weight_decay) - learning_rate * factor * x


# --- metrics ----------------------------------------------------------------------------------------------


def is_among_top(prediction, labels, top_k):
    order = np.argsort(-prediction, axis=1, kind="stable")[:, :top_k]
    return (order == np.asarray(labels)[:, None]).any(1)


# --- random numbers -----------------------------------------------------------------------------------------


def threefry(counter, key):
    """Threefry-2x32-20 (Salmon et al. 2011, section 4.2 and figure 3): two words for a counter of two words."""
    word = 0xFFFFFFFF
    keys = [np.uint64(key[0]), np.uint64(key[1]), np.uint64(0x1BD11BDA ^ key[0] ^ key[1])]
    a = (np.asarray(counter[0], np.uint64) + keys[0]) & word
    b = (np.asarray(counter[1], np.uint64) + keys[1]) & word
    for group in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            a = (a + b) & word
            b = ((b << rotation) | (b >> (32 - rotation))) & word ^ a
        a = (a + keys[(group + 1) % 3]) & word
        b = (b + keys[(group + 2) % 3] + np.uint64(group + 1)) & word
    return a.astype(np.uint32), b.astype(np.uint32)


def random_words(n, key, count, second=False):
    """The word of each of n elements, or its second word, 2^31 blocks further on."""
    e = np.arange(n)
    q, p = e // 128, e % 128
    a, b = threefry((64 * q + p % 64 + (second << 31), count), key)
    return np.where(p < 64, a, b)


def unit_53(n, key, count):
    """53 bits / 2^53."""
    bits = random_words(n, key, count).astype(np.uint64) << 21 | random_words(n, key, count, True) >> 11
    return bits.astype(float) * 2.0**-53


def open_unit(n, key, count):
    """52 bits and a half / 2^52: between 0 and 1."""
    bits = random_words(n, key, count).astype(np.uint64) << 20 | random_words(n, key, count, True) >> 12
    return (bits.astype(float) + 0.5) * 2.0**-52


def permutation(n, key, count):
    """Fisher-Yates; also how many words were refused."""
    order, used, refused = list(range(n)), 0, 0
    words = random_words(n + 1000, key, count).tolist()
    for i in range(n - 1, 0, -1):
        least = 2**32 % (i + 1)
        while words[used] * (i + 1) % 2**32 < least:
            used, refused = used + 1, refused + 1
        j = words[used] * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
        used += 1
    return order, refused


def dropout_mask(n, key, count, rate):
    return np.where(random_words(n, key, count) >= rate * 2.0**32, 1 / (1 - rate), 0.0)


# --- normalization: x is (rows, channels) -------------------------------------------------------------------


def batch_norm(x, gamma, beta, epsilon):
    mean, variance = x.mean(0), x.var(0)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta, mean, 1 / np.sqrt(variance + epsilon)


def batch_norm_backward(x, dy, gamma, epsilon):
    _, mean, inverse = batch_norm(x, gamma, 0.0, epsilon)
    normal = (x - mean) * inverse
    dx = gamma * inverse * (dy - dy.mean(0) - normal * (dy * normal).mean(0))
    return dx, (dy * normal).sum(0), dy.sum(0)


def batch_norm_inference_backward(x, dy, gamma, running_mean, running_var, epsilon):
    inverse = 1 / np.sqrt(running_var + epsilon)
    return dy * gamma * inverse, (dy * (x - running_mean) * inverse).sum(0), dy.sum(0)


def layer_norm(x, gamma, beta, epsilon):
    mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta, mean[:, 0], 1 / np.sqrt(variance + epsilon)[:, 0]


def layer_norm_backward(x, dy, gamma, epsilon):
    _, mean, inverse = layer_norm(x, gamma, 0.0, epsilon)
    normal = (x - mean[:, None]) * inverse[:, None]
    g = dy * gamma
    dx = inverse[:, None] * (g - g.mean(1, keepdims=True) - normal * (g * normal).mean(1, keepdims=True))
    return dx, (dy * normal).sum(0), dy.sum(0)


# --- normalization of samples: x is (batch, rows, channels), for rms_norm (rows, channels) ---------------------


def group_norm(x, groups, gamma, beta, epsilon):
    batch, rows, channels = x.shape
    split = x.reshape(batch, rows, groups, channels // groups)
    mean, variance = split.mean((1, 3), keepdims=True), split.var((1, 3), keepdims=True)
    inverse = 1 / np.sqrt(variance + epsilon)
    normal = ((split - mean) * inverse).reshape(x.shape)
    return normal * gamma + beta, mean[:, 0, :, 0], inverse[:, 0, :, 0]


def group_norm_backward(x, dy, groups, gamma, epsilon):
    batch, rows, channels = x.shape
    normal, _, inverse = group_norm(x, groups, 1.0, 0.0, epsilon)

    def group_mean(a):
        means = a.reshape(batch, rows, groups, -1).mean((1, 3))
        return np.repeat(means, channels // groups, axis=1)[:, None]

    g = dy * gamma
    dx = np.repeat(inverse, channels // groups, axis=1)[:, None] * (g - group_mean(g) - normal * group_mean(g * normal))
    return dx, (dy * normal).sum((0, 1)), dy.sum((0, 1))


def rms_norm(x, gamma, epsilon):
    inverse = 1 / np.sqrt((x**2).mean(1, keepdims=True) + epsilon)
    return x * inverse * gamma, inverse[:, 0]


def rms_norm_backward(x, dy, gamma, epsilon):
    inverse = rms_norm(x, gamma, epsilon)[1][:, None]
    g = dy * gamma
    dx = inverse * (g - x * inverse**2 * (g * x).mean(1, keepdims=True))
    return dx, (dy * x * inverse).sum(0)


# --- losses: the value of the batch, and its derivative by the first argument -----------------------------------


def _weighted(per_sample, slopes, weights):
    w = np.ones(len(per_sample)) if weights is None else np.asarray(weights, float)
    share = w / w.sum()
    return share @ per_sample, share.reshape(-1, *[1] * (slopes.ndim - 1)) * slopes


def softmax_cross_entropy(logits, targets, weights=None, smoothing=0.0):
    """`targets`: probabilities, one-hot for labels."""
    z = np.asarray(logits, float)
    t = (1 - smoothing) * np.asarray(targets, float) + smoothing / z.shape[1]
    d = z - z.max(axis=1, keepdims=True)
    log_p = d - np.log(np.exp(d).sum(axis=1, keepdims=True))
    return _weighted(-(t * log_p).sum(axis=1), t.sum(axis=1, keepdims=True) * np.exp(log_p) - t, weights)


def _mean_over_columns(per_element, slopes, weights):
    columns = per_element[0].size
    return _weighted(per_element.reshape(len(per_element), -1).mean(axis=1), slopes / columns, weights)


def sigmoid_cross_entropy(logits, targets, weights=None, smoothing=0.0):
    z = np.asarray(logits, float)
    t = np.asarray(targets, float) * (1 - smoothing) + smoothing / 2
    per_element = np.maximum(z, 0) - z * t + np.log1p(np.exp(-abs(z)))
    return _mean_over_columns(per_element, 1 / (1 + np.exp(-z)) - t, weights)


def regression_loss(prediction, targets, kind, weights=None, delta=1.0):
    x, t = np.asarray(prediction, float), np.asarray(targets, float)
    e = x - t
    per_element, slopes = {
        "squared": (e**2, 2 * e),
        "absolute": (abs(e), np.sign(e)),
        "huber": (np.where(abs(e) > delta, delta * (abs(e) - delta / 2), e**2 / 2), np.clip(e, -delta, delta)),
        "poisson": (np.exp(x) - t * x, np.exp(x) - t),
    }[kind]
    return _mean_over_columns(per_element, slopes, weights)


# --- activations: name -> (f, its slope), functions of x -------------------------------------------------------


def normal_tail(x):
    """Phi(x), the normal distribution function, without cancellation for negative x."""
    return np.vectorize(math.erfc, otypes=[float])(-np.asarray(x, float) / math.sqrt(2)) / 2


def logistic(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def gelu_tanh_argument(x):
    return 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def gelu_tanh_slope(x):
    z = gelu_tanh_argument(x)
    return logistic(z) + x * logistic(z) * logistic(-z) * 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848

ACTIVATIONS = {
    "linear": (lambda x: x, lambda x: np.ones_like(x)),
    "relu": (lambda x: np.where(x > 0, x, 0), lambda x: np.where(x > 0, 1.0, 0)),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01)),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0))),
    "selu": (
        lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
        lambda x: SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0))),
    ),
    "gelu": (
        lambda x: x * normal_tail(x),
        lambda x: normal_tail(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
    ),
    "gelu_tanh": (lambda x: x * logistic(gelu_tanh_argument(x)), gelu_tanh_slope),
    "silu": (lambda x: x * logistic(x), lambda x: logistic(x) * (1 + x * logistic(-x))),
    "sigmoid": (logistic, lambda x: logistic(x) * logistic(-x)),
    "tanh": (np.tanh, lambda x: 4 * logistic(2 * x) * logistic(-2 * x)),
    "softplus": (
        lambda x: np.where(x > 20, x, np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
        lambda x: np.where(x > 20, 1, logistic(x)),
    ),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: np.where((x > 0) & (x < 6), 1.0, 0)),
    "hard_swish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    ),
}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def softmax_backward(y, dy):
    return y * (dy - (dy * y).sum(-1, keepdims=True))


def log_softmax_backward(y, dy):
    return dy - np.exp(y) * dy.sum(-1, keepdims=True)


# --- products -------------------------------------------------------------------------------------------------


def gemm(a, b, *, bias=None, c=None, activation=None, gate=None):
    """(activation(a b + bias) + c) where the gate is positive, of a and b as they are multiplied."""
    y = a.astype(float) @ b.astype(float)
    if bias is not None:
        y = y + bias
    if c is not None:
        y = y + c
    if activation == "relu":
        y = np.maximum(y, 0)
    elif activation == "tanh":
        y = np.tanh(y)
    return y if gate is None else np.where(gate > 0, y, 0)
