"""What objects show of themselves in a notebook: HTML without scripts, style sheets or anything from outside.

Texts have the colour that the page gives them, lines and rules are drawn over its background, so that light and dark
themes are both right.
"""

from fastnet.notebook.curves import chart
from fastnet.notebook.markup import block, lines, note, table, text

__all__ = ["block", "chart", "lines", "note", "table", "text"]
