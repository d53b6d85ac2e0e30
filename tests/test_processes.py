"""What an import does, which instruction set runs, and which names are public."""

import os
import subprocess
import sys

import pytest
from subprocesses import run


def test_instruction_sets_are_forced_or_refused():
    from fastnet.native import dispatch

    code = "import fastnet as fn, numpy as np; fn.kernels.matmul(np.eye(3), np.eye(3)); print(fn.config.isa())"
    for name in dispatch.supported_targets():
        assert run(code, FASTNET_ISA=name).split() == [name]
    for name, text in (
        ("avx3", "did you mean 'avx2'"),
        ("neon", "is not one of") if "avx2" in dispatch.supported_targets() else ("avx2", ""),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "FASTNET_ISA": name}, capture_output=True, text=True
        )
        assert result.returncode and text in result.stderr and "FASTNET_ISA" in result.stderr


def test_a_cpu_that_lacks_the_instructions_is_told(monkeypatch):
    from fastnet import config
    from fastnet.native import dispatch

    monkeypatch.setattr(dispatch, "supported_targets", lambda: ["baseline"])
    monkeypatch.setenv("FASTNET_ISA", "avx512")
    config.isa.cache_clear()
    try:
        if "avx512" in [row.name for row in config.targets.targets_of()]:
            with pytest.raises(ValueError, match="FASTNET_ISA=avx512: this CPU lacks these instructions"):
                config.isa()
    finally:
        config.isa.cache_clear()


def test_import_is_lazy():
    code = """
import sys, fastnet
loaded = [name for name in sys.modules if name.startswith("fastnet.")]
assert all(name.startswith("fastnet.native") for name in loaded), loaded
assert "tqdm" not in sys.modules and "safetensors" not in sys.modules
fastnet.Dense(3), fastnet.Network
assert "safetensors" not in sys.modules
print(len(dir(fastnet)) > 40)
"""
    assert "True" in run(code)


def test_public_names_exist_and_the_registry_knows_the_classes():
    import fastnet as fn
    from fastnet.files import registry

    for name in fn.__all__:
        value = getattr(fn, name)
        if isinstance(value, type) and issubclass(value, (fn.Layer, fn.Loss, fn.Optimizer)):
            base = value in (fn.Layer, fn.Loss, fn.Optimizer, fn.Network)
            assert base or registry._names.get(value), f"{name} is not registered"
