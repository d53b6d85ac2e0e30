"""Writes docs/onnx-coverage.md: what is written as ONNX and read from it, by what was tried.

    python scripts/make_onnx_coverage.py

Layers are exported, and the tests of onnx.backend.test are run, those whose data the package onnx ships; about ten seconds.
"""

from __future__ import annotations

import functools
import glob
import os
import warnings
from collections import Counter
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

import fastnet as fn
from fastnet.io import onnx_backend
from fastnet.io.onnx.exporting.activations import ACTIVATIONS
from fastnet.io.onnx.exporting.layers import RULES
from fastnet.io.onnx.importing.call import OPERATORS
from fastnet.io.onnx.importing.patterns import PSEUDO
from fastnet.layers.base import type_name

PAGE = Path(__file__).resolve().parent.parent / "docs" / "onnx-coverage.md"
KINDS = {
    "node": "Operators",
    "simple": "Small graphs",
    "pytorch-converted": "Modules that PyTorch exported",
    "pytorch-operator": "Functions that PyTorch exported",
}

#: Layer -> one of its kind on an image, or on a series.
EXAMPLES = {
    fn.Activation: fn.Activation("relu"),
    fn.Add: fn.Residual([fn.Conv2D(3, 1)]),
    fn.AvgPool1D: fn.AvgPool1D(2),
    fn.AvgPool2D: fn.AvgPool2D(2),
    fn.BatchNorm: fn.BatchNorm(),
    fn.Concatenate: fn.Concat([[], fn.Conv2D(2, 1)]),
    fn.Conv1D: fn.Conv1D(2, 3),
    fn.Conv2D: fn.Conv2D(2, 3),
    fn.Conv2DTranspose: fn.Conv2DTranspose(2, 3),
    fn.Crop2D: fn.Crop2D(1),
    fn.Dense: fn.Dense(2),
    fn.DepthwiseConv2D: fn.DepthwiseConv2D(3),
    fn.Dropout: fn.Dropout(0.5),
    fn.Flatten: fn.Flatten(),
    fn.GlobalAvgPool2D: fn.GlobalAvgPool2D(),
    fn.GlobalMaxPool2D: fn.GlobalMaxPool2D(),
    fn.GroupNorm: fn.GroupNorm(1),
    fn.LayerNorm: fn.LayerNorm(),
    fn.MaxPool1D: fn.MaxPool1D(2),
    fn.MaxPool2D: fn.MaxPool2D(2),
    fn.Normalize: fn.Normalize(0, 2),
    fn.PReLU: fn.PReLU(),
    fn.Product: fn.Multiply([[], fn.Conv2D(3, 1)]),
    fn.RMSNorm: fn.RMSNorm(),
    fn.ReflectPad2D: fn.ReflectPad2D(1),
    fn.Reshape: fn.Reshape((8, 24)),
    fn.SeparableConv2D: fn.SeparableConv2D(2, 3),
    fn.SpatialDropout2D: fn.SpatialDropout2D(0.5),
    fn.UpSample2D: fn.UpSample2D(2),
    fn.ZeroPad2D: fn.ZeroPad2D(1),
}
IMAGE, SERIES, ROW = (8, 8, 3), (8, 3), (4,)


def operators(layer, cls, shape) -> str:
    """The operators that the layers of a class become."""
    model = fn.io.onnx.to_model(fn.Network([layer], input_shape=shape, seed=0))
    names = dict.fromkeys(node.op_type for node in model.graph.node if f"{type_name(cls)}_1" in node.name)
    return ", ".join(f"`{name}`" for name in names if name != "Transpose")


def written(cls) -> str:
    """The operators that a layer becomes; "nothing" where it does nothing in predictions."""
    shape = ROW if cls is fn.Dense else SERIES if cls.__name__.endswith("1D") else IMAGE
    return operators(EXAMPLES[cls], cls, shape) or "nothing"


def written_activation(name: str) -> str:
    return operators(fn.Activation(name), fn.Activation, ROW)


# What onnx.backend.test says


@functools.cache
def cases(kind: str) -> list:
    """The tests of a kind; onnx gives them once in a process."""
    return load_model_tests(kind=kind)


def model_of(case):
    return case.model if case.model is not None else onnx.load(os.path.join(case.model_dir, "model.onnx"))


def data_of(case) -> list:
    """Pairs of inputs and outputs."""
    if case.model is not None:
        return [tuple([_array(value) for value in values] for values in pair) for pair in case.data_sets]
    folders = sorted(glob.glob(os.path.join(case.model_dir, "test_data_set_*")))
    return [tuple(_tensors(folder, kind) for kind in ("input", "output")) for folder in folders]


def _array(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _tensors(folder: str, kind: str) -> list:
    paths = glob.glob(os.path.join(folder, f"{kind}_*.pb"))
    paths.sort(key=lambda path: int(path.rpartition("_")[2].removesuffix(".pb")))
    return [_tensor(path) for path in paths]


def _tensor(path: str):
    try:
        return numpy_helper.to_array(onnx.load_tensor(path))
    except Exception:  # a sequence, which is none of a network's inputs
        return None


def outcome(case) -> str:
    """ "model" if a test passes and its model alone says that it is compatible, "data" if its inputs do, else "".

    Raises
    ------
    AssertionError
        It is compatible, and gives something else than it should.
    """
    model, data = model_of(case), data_of(case)
    if not data:
        return ""
    try:
        prepared = onnx_backend.prepare(model, inputs=data[0][0])
    except onnx_backend.NotCompatibleError:
        assert not onnx_backend.is_compatible(model), case.name
        return ""
    for inputs, outputs in data:
        Runner.assert_similar_outputs(outputs, prepared.run(inputs), case.rtol, case.atol)
    return "model" if onnx_backend.is_compatible(model) else "data"


def outcomes() -> dict[str, list]:
    """Kind -> (name of the test, the operators of its graph, outcome)."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tests that divide by zero
        for kind in KINDS:
            found[kind] = [
                (case.name, [node.op_type for node in model_of(case).graph.node], outcome(case)) for case in cases(kind)
            ]
    return found


# The page


def table(head, rows) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
        "",
    ]


def page(found) -> str:
    """The document."""
    nodes = [(operators[0], result) for _, operators, result in found["node"] if len(operators) == 1]
    tests, passed = Counter(name for name, _ in nodes), Counter(name for name, result in nodes if result)
    known = sorted(set(OPERATORS) - set(PSEUDO))
    lines = [
        "# ONNX: what is covered",
        "",
        f"Made by `scripts/make_onnx_coverage.py` with onnx {onnx.__version__}; a test compares it with what the code does.",
        "[ONNX](onnx.md) has how to use it.",
        "",
        "## Written",
        "",
        "Each layer, with the operators that it becomes at the default opset, without the transposes at a model's edges:",
        "",
        *table(
            ["layer", "operators"],
            [(f"`{cls.__name__}`", written(cls)) for cls in sorted(RULES, key=lambda c: c.__name__)],
        ),
        *table(["activation", "operators"], [(f"`{name}`", written_activation(name)) for name in ACTIVATIONS]),
        "Blocks (`Sequential`, `Residual`, `Concat`, `Multiply`), networks in networks and graphs made by `Network.from_nodes` are "
        "made of these.",
        "",
        "## Read",
        "",
        "Operators that become layers, and how many of ONNX' own tests of the operator pass: the others have no form as a network "
        "(no batch, another type, more than an image's axes, an argument that no layer has) and are refused.",
        "",
        *table(["operator", "tests", "pass"], [(f"`{name}`", tests[name], passed[name]) for name in known]),
        "## The tests of onnx.backend.test",
        "",
        '`fastnet.io.onnx_backend` is compatible with these, and all of them pass. "By the model" are those for which the model '
        'alone says so, "with the inputs" those that need the numbers of inputs which are arguments, such as the widths of a Pad.',
        "",
        *table(
            ["kind", "tests", "by the model", "with the inputs"],
            [
                (title, len(found[kind]), *(sum(r == how for _, _, r in found[kind]) for how in ("model", "data")))
                for kind, title in KINDS.items()
            ],
        ),
    ]
    for kind, title in KINDS.items():
        names = sorted(name.removeprefix("test_") for name, _, result in found[kind] if result)
        lines += [f"### {title}", "", ", ".join(f"`{name}`" for name in names), ""]
    return "\n".join(lines)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(outcomes()), encoding="utf-8")


if __name__ == "__main__":
    main()
