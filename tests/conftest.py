"""Settings for all tests, and pages without the time that drawing takes."""

import os

import pytest

# Python processes that tests start import the installed package, not the checkout's sources in the working directory.
os.environ["PYTHONSAFEPATH"] = "1"


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made, but not drawn: for tests of texts."""
    from fastnet.reports import images

    empty = "data:image/svg+xml;base64,", 1, 1
    monkeypatch.setattr(images, "svg", lambda figure: empty)
    monkeypatch.setattr(images, "png", lambda figure: empty)
