"""Stubs have the names of what they describe; `mypy --strict` passes a user's program and finds the mistakes of another."""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import fastnet as fn
from fastnet import activations, initializers, io, kernels, losses, metrics, optimizers, types

PACKAGE = Path(fn.__file__).parent
PROGRAMS = Path(__file__).parent / "typing"
SOURCES = Path(__file__).parent.parent / "fastnet" / "native"
CONFIGURATION = """
[mypy]
strict = true
[mypy-fastnet.*]
follow_imports = silent
"""


ANEW = "write the stubs anew: python scripts/make_stubs.py"


def stub(name: str) -> ast.Module:
    return ast.parse((PACKAGE / name).read_text())


def imported(tree: ast.Module) -> dict[str, str]:
    """Name -> module, of ``from module import name as name``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                assert name.asname == name.name, f"{name.name} is not given to others without `as {name.name}`"
                found[name.name] = node.module
    return found


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


def test_stub_has_the_names_of_the_package():
    names = {name: module for module, names in fn._NAMES.items() for name in names}
    assert imported(stub("__init__.pyi")) == names | dict.fromkeys(fn._MODULES, "fastnet"), ANEW


def test_stub_has_the_names_of_kernels():
    names = {name: f"fastnet.kernels.{module}" for module, names in kernels._NAMES.items() for name in names}
    assert imported(stub("kernels/__init__.pyi")) == names, ANEW


def test_stub_has_the_names_of_io():
    expected = io._MODULE_OF | dict.fromkeys(io._MODULES, "fastnet.io")
    assert imported(stub("io/__init__.pyi")) == expected, ANEW


def parameters(function: ast.FunctionDef) -> dict[str, bool]:
    """Parameters of a function in a stub, without the first of a method, and whether each has a default."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    defaults = [False] * (len(arguments) - len(function.args.defaults)) + [True] * len(function.args.defaults)
    found = {a.arg: default for a, default in zip(arguments, defaults, strict=True)}
    return {name: default for name, default in found.items() if name not in ("self", "cls")}


def compiled_parameters(function) -> dict[str, bool]:
    found = inspect.signature(function).parameters.values()
    return {p.name: p.default is not inspect.Parameter.empty for p in found if p.name != "self"}


def constructor_in_source(module: str, cls: str) -> dict[str, bool]:
    """Parameters of ``__cinit__``, which a compiled class does not tell, from the source."""
    source = (SOURCES / f"{module}.pyx").read_text()
    body = re.split(r"^cdef class |^cdef (?!class)|^def ", source.split(f"cdef class {cls}:")[1], flags=re.M)[0]
    match = re.search(r"def __cinit__\(self(?:, )?(.*?)\):", body)
    texts = match[1].split(", ") if match and match[1] else []
    return {text.partition("=")[0].split()[-1]: "=" in text for text in texts}


@pytest.mark.parametrize("module", ["team", "dispatch", "arena", "plan", "calls"])
def test_stubs_of_compiled_modules_are_true(module):
    compiled = importlib.import_module(f"fastnet.native.{module}")
    tree = stub(f"native/{module}.pyi")
    own = {
        n
        for n, value in vars(compiled).items()
        if getattr(value, "__module__", None) == compiled.__name__ and n[0] != "_"
    }
    assert own <= {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign):
            assert hasattr(compiled, node.target.id)
        elif isinstance(node, ast.FunctionDef):
            assert parameters(node) == compiled_parameters(getattr(compiled, node.name)), node.name
        elif isinstance(node, ast.ClassDef):
            cls = getattr(compiled, node.name)
            told = set()
            for item in node.body:
                if isinstance(item, ast.AnnAssign):
                    told.add(item.target.id)
                if not isinstance(item, ast.FunctionDef):
                    continue
                told.add(item.name)
                if item.name == "__new__":
                    assert parameters(item) == constructor_in_source(module, node.name), node.name
                elif not item.name.startswith("__") and not item.decorator_list:
                    assert parameters(item) == compiled_parameters(getattr(cls, item.name)), f"{node.name}.{item.name}"
            public = {name for name in vars(cls) if not name.startswith("_")}
            assert public == {name for name in told if not name.startswith("_")}, node.name


@pytest.mark.parametrize(
    ("literal", "table"),
    [
        (types.ActivationName, [*activations.ACTIVATIONS, *activations.ROWWISE]),
        (types.InitName, initializers.NAMES),
        (types.LossName, losses.LOSSES),
        (types.MetricName, metrics.METRICS),
    ],
)
def test_literals_have_all_names(literal, table):
    assert set(typing.get_args(literal)) == set(table)


def test_literals_have_all_optimizers():
    names = typing.get_args(types.OptimizerName)
    with pytest.raises(ValueError, match="is not one of") as error:
        optimizers.get("no such rule")
    assert str(error.value).split("is not one of ")[1].split(";")[0].split(", ") == list(names)


def test_mypy_passes_a_users_program_and_finds_the_mistakes_of_another(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    environment = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    if PACKAGE.parent.name != "site-packages":
        environment["MYPYPATH"] = str(PACKAGE.parent)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary"]
    programs = [str(PROGRAMS / "program.py"), str(PROGRAMS / "mistakes.py")]
    run = subprocess.run([*command, *programs], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert not run.stderr, run.stderr
    lines = [line for line in run.stdout.splitlines() if ": note:" not in line]
    assert not [line for line in lines if "mistakes.py" not in line]
    reported = {
        (int(m[1]), m[2]) for line in lines if (m := re.search(r"mistakes\.py:(\d+): error: .*\[([\w-]+)\]$", line))
    }
    source = (PROGRAMS / "mistakes.py").read_text().splitlines()
    wanted = {(i, m[1]) for i, line in enumerate(source, 1) if (m := re.search(r"  # error: ([\w-]+)$", line))}
    assert len(wanted) > 50
    assert reported == wanted
