"""Writes the stubs of the packages whose names are lazy from the tables of their names: ``python scripts/make_stubs.py``."""

from __future__ import annotations

from pathlib import Path

import fastnet
from fastnet import io, kernels

FIRST = '"""The names of `__init__.py`, for type checkers and editors: written by scripts/make_stubs.py."""'


def stub(names: dict[str, str], *more: str) -> str:
    """The text for names and the modules that they come from."""
    # In the order of imports: constants, classes, functions.
    order = sorted(names, key=lambda name: (names[name], not name.isupper(), name[0].islower(), name.lower(), name))
    lines = [f"from {names[name]} import {name} as {name}" for name in order]
    return "\n".join([FIRST, "", *lines, "", *more, "__all__: list[str]", ""])


def main() -> None:
    package = Path(fastnet.__file__).parent
    of_package = {name: module for module, names in fastnet._NAMES.items() for name in names}
    of_kernels = {name: f"fastnet.kernels.{module}" for module, names in kernels._NAMES.items() for name in names}
    texts = {
        "__init__.pyi": stub(of_package | dict.fromkeys(fastnet._MODULES, "fastnet"), "__version__: str"),
        "kernels/__init__.pyi": stub(of_kernels),
        "io/__init__.pyi": stub(io._MODULE_OF | dict.fromkeys(io._MODULES, "fastnet.io")),
    }
    for name, text in texts.items():
        (package / name).write_text(text)


if __name__ == "__main__":
    main()
