"""``fastnet predict``: what a saved network says about new data, as CSV."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import files
from fastnet.files.runs import MODEL

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fastnet.datasets import Encoder, Images
    from fastnet.network import Network
    from fastnet.types import Array

HELP = "predict with a network that fastnet train has saved"
DESCRIPTION = (
    "Read new data as the training read its own (the target is not needed), and write a CSV line for each sample: "
    "the class and the probability of each class, or the value; for images in files their names besides."
)


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of ``fastnet predict``."""
    parser.add_argument("model", metavar="MODEL", help="model.safetensors, or the directory of a run")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="an .npz file with x, a CSV file, an IDX file of images, an image, or a folder of them",
    )
    parser.add_argument("--out", metavar="FILE", help="write to this CSV file instead of the standard output")


def run(arguments: Namespace) -> int:
    """Predict and write."""
    from fastnet import datasets
    from fastnet.network import load

    path = arguments.model
    if os.path.isdir(path):
        path = os.path.join(path, MODEL)
    if arguments.out is not None:
        _refuse_to_overwrite(arguments.out, path, arguments.data)
    net = load(path)
    config = net.extra.get("encoder") if isinstance(net.extra, dict) else None
    if config is None:
        raise ValueError(
            f"{path} has no encoder for new data: it was not saved by `fastnet train` (net.predict works in Python)"
        )
    encoder = datasets.Encoder.from_config(config)
    x = encoder.transform(datasets.read_inputs(arguments.data, encoder))
    if x.shape[1:] != tuple(net.input_shape):
        raise ValueError(f"{path} takes inputs of shape {tuple(net.input_shape)}; its encoder gives {x.shape[1:]}")
    header, rows = _table(net, encoder, x)
    if arguments.out is not None:
        files.write_csv(arguments.out, header, rows)
        print(f"{len(x):,} predictions saved in {arguments.out}")
    else:
        _write_to_stdout(files.csv_text(header, rows))
    return 0


def _table(net: Network, encoder: Encoder, x: Array | Images) -> tuple[list[str], Iterable[list[Any]]]:
    """Header and rows: class and probabilities in the order of the classes, or value."""
    classes = encoder.classes
    if classes is None:
        return ["value"], ([f"{value:.9g}"] for value in encoder.decode_target(net.predict(x)))
    probabilities = np.asarray(net.predict_proba(x), np.float32)
    names = encoder.decode_target(probabilities.argmax(axis=1))
    header = ["class", *(f"probability {name}" for name in classes)]
    rows = ([name, *row] for name, row in zip(names, probabilities.astype(str), strict=True))
    if hasattr(x, "files"):
        return ["file", *header], ([file, *row] for file, row in zip(x.files, rows, strict=True))
    return header, rows


def _refuse_to_overwrite(out: str, *inputs: str) -> None:
    for path in inputs:
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise ValueError(f"--out: {out} is an input of this command")


def _write_to_stdout(text: str) -> None:
    """As UTF-8, like the files, whatever the terminal's encoding is."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    data = memoryview(text.encode())
    while data:  # without a buffer (python -u) a write may take less than it was given
        data = data[stream.write(data) :]
    stream.flush()
