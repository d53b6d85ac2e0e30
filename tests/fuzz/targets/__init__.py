"""A module for each kind of file that fastnet reads.

Each has

- ``seeds() -> list[bytes]``: files that our own writers, or those of the format's programs, have made;
- ``check(data) -> bool``: loads one, says whether it was taken, and raises `harness.Broken` where a promise is not kept;
- ``mutate(rng, data) -> bytes``: a change that keeps the checksums and headers which plain changes of bytes would break;
- ``DICTIONARY``: texts that mean something there.
"""

import importlib

#: The targets, with the package that a target's files need.
NAMES = {
    "model": None,
    "checkpoint": None,
    "onnx_file": "onnx",
    "idx": None,
    "npz": None,
    "npy": None,
    "csv_table": None,
    "image": "PIL",
    "torch_file": "torch",
    "torch_tensors": None,
    "keras_file": "h5py",
    "run": None,
}


def target(name: str):
    """The module of a target."""
    if name not in NAMES:
        raise ValueError(f"target {name!r} is not one of {', '.join(NAMES)}")
    return importlib.import_module(f"fuzz.targets.{name}")
