"""fastnet: neural networks on CPUs, with the weights in view.

    import fastnet as fn

    (x, y), (x_test, y_test) = fn.datasets.digits()
    net = fn.Network([fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1))
    net.fit(x, y, epochs=10, loss="softmax_cross_entropy", optimizer=fn.Adam(1e-3), metrics=["accuracy"])

Importing fastnet unites the OpenMP runtimes of the process and loads the module that owns the
threads; everything else is imported on first use.
"""

import importlib
import os

__version__ = "0.1.0"

# Module -> names that it gives to the package.
_NAMES = {
    "fastnet.activations": ["ELU", "LeakyReLU"],
    "fastnet.averages": ["EMA", "SWA"],
    "fastnet.config": ["get_num_threads", "set_num_threads", "show_config", "threads"],
    "fastnet.constraints": ["MaxNorm", "NonNeg", "UnitNorm"],
    "fastnet.files": ["register"],
    "fastnet.gradient_check": ["check_gradients"],
    "fastnet.graph": ["Node"],
    "fastnet.health": ["Finding", "HealthMonitor", "Preflight", "preflight"],
    "fastnet.initializers": ["Initializer"],
    "fastnet.layers": [
        "Activation", "Add", "AvgPool1D", "AvgPool2D", "BatchNorm", "Concat", "Concatenate", "Conv1D", "Conv2D",
        "Conv2DTranspose", "Crop2D", "Dense", "DepthwiseConv2D", "Dropout", "Flatten", "GlobalAvgPool2D",
        "GlobalMaxPool2D", "GroupNorm", "Layer", "LayerNorm", "MaxPool1D", "MaxPool2D", "Multiply", "Normalize",
        "PReLU", "Product", "RMSNorm", "ReflectPad2D", "Reshape", "Residual", "SeparableConv2D", "Sequential",
        "SpatialDropout2D", "UpSample2D", "ZeroPad2D",
    ],
    "fastnet.unit_variance": ["lsuv"],
    "fastnet.losses": ["Huber", "Loss", "Poisson", "SigmoidCrossEntropy", "SoftmaxCrossEntropy"],
    "fastnet.metrics": ["Metric"],
    "fastnet.network": ["Network", "load"],
    "fastnet.optimizers": [
        "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Muon", "NAdam", "Optimizer", "ParameterGroup",
        "RAdam", "RMSprop",
    ],
    "fastnet.regularizers": ["L1", "L1L2", "L2", "Regularizer"],
    "fastnet.reports.training": ["report"],
    "fastnet.training": [
        "CSVLogger", "Callback", "EarlyStopping", "History", "JSONLogger", "LambdaCallback", "LearningRateLogger",
        "ModelCheckpoint", "ProgressBar", "ReduceLROnPlateau", "TensorBoard", "TerminateOnNaN", "Trainer",
        "find_learning_rate",
    ],
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = ["activations", "augment", "config", "datasets", "distributed", "estimators", "health", "initializers", "io", "kernels",
            "lab", "layers", "losses", "metrics", "models", "optimizers", "reports", "schedules", "training"]  # fmt: skip

# `from fastnet import *` works without scikit-learn, too.
__all__ = sorted({*_MODULE_OF, *_MODULES} - {"estimators"})  # noqa: PLE0605


def __getattr__(name):
    if name in _MODULE_OF:
        if _MODULE_OF[name] == "fastnet.layers":
            # It gives built-in layers the ability to run alone.
            importlib.import_module("fastnet.network")
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"fastnet.{name}")
    else:
        from fastnet.checks import nearest

        raise AttributeError(f"module 'fastnet' has no attribute {name!r}{nearest(name, __dir__())}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__, "estimators"})


def _unite_openmp_runtimes():
    """Make one OpenMP runtime of those that other packages carry (Linux; FASTNET_SHARE_OPENMP=0 leaves them).

    Two copies of libgomp in a process spin against each other: a region then takes milliseconds instead of
    microseconds. A copy that is loaded already is opened again with its symbols global, so that
    our `team` and packages loaded later bind to it.
    """
    import sys

    if not sys.platform.startswith("linux") or os.environ.get("FASTNET_SHARE_OPENMP", "1") == "0":
        return
    import ctypes

    try:
        with open("/proc/self/maps") as maps:
            loaded = {line.rsplit(None, 1)[-1] for line in maps if "libgomp" in line}
        for path in sorted(loaded):
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
            return
        folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fastnet_cpu.libs")
        if os.path.isdir(folder):
            for file in sorted(os.listdir(folder)):
                if file.startswith("libgomp"):
                    ctypes.CDLL(os.path.join(folder, file), mode=ctypes.RTLD_GLOBAL)
                    return
        ctypes.CDLL("libgomp.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return


_unite_openmp_runtimes()
try:
    from fastnet.native import team as _team  # noqa: F401
except ImportError as error:
    _here = os.path.dirname(os.path.abspath(__file__))
    raise ImportError(
        f"fastnet's compiled modules are missing in {_here} ({error}). In a checkout run `pip install -e .`, or start "
        "Python elsewhere to use the installed package."
    ) from error
