"""Settings for all tests, and pages without the time that drawing takes."""

import os

import pytest

# Python processes that tests start import the installed package, not the checkout's sources in the working directory.
os.environ["PYTHONSAFEPATH"] = "1"
# Keras computes with PyTorch, and finds no place for a file of settings in the user's home.
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("KERAS_HOME", os.devnull)

if os.environ.get("FASTNET_GUARD_PAGES"):  # scripts/test_guard_pages
    import guarded_arrays

    guarded_arrays.install()

if os.environ.get(
    "FASTNET_TESTS_PARALLEL"
):  # scripts/test_threads: every op is divided among the threads, however small
    from fastnet.kernels import call
    from fastnet.recording import program

    call.PARALLEL_WORK = program.PARALLEL_OP = program.PARALLEL_PROGRAM = 0


@pytest.fixture
def torch_threads():
    """PyTorch's number of threads is afterwards what it was: it limits all that uses the same OpenMP."""
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made, but not drawn: for tests of texts."""
    from fastnet.reports import images

    empty = "data:image/svg+xml;base64,", 1, 1
    monkeypatch.setattr(images, "svg", lambda figure: empty)
    monkeypatch.setattr(images, "png", lambda figure: empty)
