"""Pages without the time that drawing takes."""

import pytest

from fastnet.reports import images


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made, but not drawn: for tests of texts."""
    empty = "data:image/svg+xml;base64,", 1, 1
    monkeypatch.setattr(images, "svg", lambda figure: empty)
    monkeypatch.setattr(images, "png", lambda figure: empty)
