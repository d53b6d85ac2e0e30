"""The package of formats: what is imported when, and what is said where a package is missing."""

import importlib
import sys

import pytest
from subprocesses import run

import fastnet as fn


def test_formats_are_imported_on_first_use():
    code = "import sys, fastnet as fn; fn.io; assert 'onnx' not in sys.modules; print(sorted(fn.io.__all__))"
    assert run(code).strip() == str(sorted(fn.io.__all__))


def test_an_unknown_format_has_a_near_one():
    with pytest.raises(AttributeError, match="did you mean 'onnx'"):
        fn.io.onxx  # noqa: B018


@pytest.mark.parametrize("module", ["fastnet.io.onnx", "fastnet.io.onnx_backend"])
def test_a_missing_package_is_named_with_its_extra(module, monkeypatch):
    for name in list(sys.modules):
        if name == "onnx" or name.startswith(("onnx.", "fastnet.io.onnx")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastnet-cpu\[onnx\]'") as caught:
        importlib.import_module(module)
    assert "\n" not in str(caught.value)
