"""A module for each kind of file that fastnet reads.

Each has ``seeds() -> list[bytes]`` (files that our own writers, or those of the format's programs, have made), ``check(data)`` (which
loads them, and raises `harness.Broken` where the loader does not keep its promises), ``mutate(rng, data) -> bytes`` (a change
that keeps the checksums and headers which plain changes of bytes would break), and ``DICTIONARY`` (texts that mean something there).
"""

import importlib

NAMES = ("model", "checkpoint", "onnx_file", "idx", "npz", "npy", "csv_table", "image", "torch_file", "torch_tensors", "keras_file", "run")


def target(name: str):
    """The module of a target."""
    if name not in NAMES:
        raise ValueError(f"target {name!r} is not one of {', '.join(NAMES)}")
    return importlib.import_module(f"fuzz.targets.{name}")
