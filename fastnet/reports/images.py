"""Matplotlib figures as images inside of a page: SVG that follows the reader's theme, or PNG."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from fastnet.reports.colours import THEME, style_rules

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_context", "png", "require_matplotlib", "svg"]

PIXELS_PER_INCH = 96  # of CSS
SETTINGS = {
    "font.size": 9,
    "svg.fonttype": "path",  # letters look the same on every machine
    "svg.hashsalt": "fastnet",  # the same figure gives the same bytes
}
PNG_DENSITY = 2  # pixels of a PNG for each CSS pixel, for sharp screens


def require_matplotlib() -> Any:
    """The package matplotlib, which figures need.

    Raises
    ------
    ModuleNotFoundError
        It is not installed; the message says what to install.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ModuleNotFoundError(
            'figures need matplotlib, which is not installed: pip install "fastnet-cpu[plot]"', name="matplotlib"
        ) from None
    return matplotlib


def plot_context() -> AbstractContextManager[None]:
    """Matplotlib's own defaults, whatever the user has set, while a figure is drawn or saved."""
    matplotlib = require_matplotlib()
    defaults = {**matplotlib.rcParamsDefault, **SETTINGS}
    now = matplotlib.rcParams
    return matplotlib.rc_context({name: value for name, value in defaults.items() if _differs(name, value, now)})


def _differs(name: str, value: object, now: Mapping[str, object]) -> bool:
    return not name.startswith(("backend", "interactive", "toolbar")) and now[name] != value


def svg(figure: Figure) -> tuple[str, int, int]:
    """A figure as a data URI, and its width and height in CSS pixels."""
    buffer = io.StringIO()
    with plot_context():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    for name, (light, _) in THEME.items():
        text = text.replace(light, f"var(--{name})")
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    text = re.sub(r"(<svg[^>]*>)", rf"\1<style>{style_rules()}</style>", text, count=1)
    return ("data:image/svg+xml;base64," + _encoded(text.encode()), *_size(figure))


def png(figure: Figure) -> tuple[str, int, int]:
    """A figure as a data URI, and its width and height in CSS pixels; for figures with too many marks for SVG."""
    buffer = io.BytesIO()
    with plot_context():
        figure.savefig(buffer, format="png", dpi=PNG_DENSITY * PIXELS_PER_INCH, metadata={"Software": None})
    return ("data:image/png;base64," + _encoded(buffer.getvalue()), *_size(figure))


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _size(figure: Figure) -> tuple[int, int]:
    width, height = figure.get_size_inches()
    return round(width * PIXELS_PER_INCH), round(height * PIXELS_PER_INCH)
