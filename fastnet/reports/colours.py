"""The colours of pages and figures, each for light and for dark screens.

A figure is drawn in the light colours; in its SVG each of them is replaced by a variable that follows the reader's
theme (`images.py`). So the light ones are all different. The series keep their distance for colour-blind readers (after
Okabe & Ito 2008), and lines differ in their dashes besides.
"""

from __future__ import annotations

__all__ = ["FAINT", "GRID", "INK", "PAPER", "SERIES", "THEME", "style_rules"]

#: Name -> (light, dark).
THEME = {
    "paper": ("#fdfdfb", "#15181d"),
    "panel": ("#f4f4f0", "#1d2128"),
    "ink": ("#1c2128", "#e4e7eb"),
    "faint": ("#57606b", "#a3adb8"),
    "grid": ("#d9dcdf", "#363d46"),
    "link": ("#0b5cad", "#7ab8f5"),
    "series-1": ("#0068a8", "#5ab4f0"),
    "series-2": ("#c94a00", "#ff9552"),
    "series-3": ("#00825d", "#3ecf9f"),
    "series-4": ("#9b3f8a", "#e596d3"),
    "series-5": ("#876200", "#e8bd45"),
    "series-6": ("#5b5fc7", "#a9adff"),
    "series-7": ("#b3243b", "#ff8494"),
    "series-8": ("#4a5560", "#b9c3ce"),
}

PAPER, INK, FAINT, GRID = (THEME[name][0] for name in ("paper", "ink", "faint", "grid"))
SERIES = [light for name, (light, _) in THEME.items() if name.startswith("series")]


def style_rules() -> str:
    """CSS that defines the variables, for both themes."""
    light = ";".join(f"--{name}:{pair[0]}" for name, pair in THEME.items())
    dark = ";".join(f"--{name}:{pair[1]}" for name, pair in THEME.items())
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
