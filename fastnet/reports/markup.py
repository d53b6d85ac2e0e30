"""Text with light markup, as safe HTML: emphasis, code, formulas, links within the pages."""

from __future__ import annotations

import html
import re

__all__ = ["Markup", "as_html", "formula", "prose"]

# What prose() knows, in the order in which it is looked for.
INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\$(?P<formula>[^$]+)\$|\*\*(?P<strong>[^*]+)\*\*|\*(?P<emphasis>[^*\s][^*]*)\*"
    r"|\[(?P<text>[^\]]+)\]\((?P<target>[#\w][\w.#/-]*)\)"
)
# A subscript or superscript (one character, a word of digits or letters, or braces), a word, or anything else.
FORMULA = re.compile(r"(?P<script>[_^])(?:\{(?P<braces>[^}]*)\}|(?P<plain>-?\w+|.))|(?P<word>[^\W\d_]+)|(?P<other>.)")


class Markup(str):
    """HTML that is safe as it is; `Page` takes it where it takes text, and does not escape it."""


def as_html(text: object) -> str:
    """Markup as it is, anything else escaped."""
    return text if isinstance(text, Markup) else html.escape(str(text))


def formula(text: str) -> Markup:
    """A formula on one line: ``w_1 x^2 + b``, with braces around what is longer: ``z^{(l + 1)}``.

    Single letters become variables (set in italics), longer words stay upright: max, tanh.

    Examples
    --------
    >>> from fastnet.reports.markup import formula
    >>> formula("y = max(0, z_1)")
    '<var>y</var> = max(0, <var>z</var><sub>1</sub>)'
    """
    return Markup("".join(_formula_part(found) for found in FORMULA.finditer(text)))


def _formula_part(found: re.Match[str]) -> str:
    if found["script"]:
        tag = "sub" if found["script"] == "_" else "sup"
        inside = found["plain"] if found["braces"] is None else found["braces"]
        return f"<{tag}>{formula(inside)}</{tag}>"
    if found["word"] and len(found["word"]) == 1:
        return f"<var>{html.escape(found['word'])}</var>"
    return html.escape(found[0])


def prose(text: str) -> Markup:
    """Text with ``*emphasis*``, ``**strong**``, `` `code` ``, ``$formula$`` and ``[link](other.html)``, all else escaped.

    Links lead to a place on the page or to a file beside it, nowhere else.

    Examples
    --------
    >>> from fastnet.reports import prose
    >>> prose("*No* step & `lr` < 1")
    '<em>No</em> step &amp; <code>lr</code> &lt; 1'
    """
    parts, end = [], 0
    for found in INLINE.finditer(text):
        parts += [html.escape(text[end : found.start()]), _inline_part(found)]
        end = found.end()
    return Markup("".join([*parts, html.escape(text[end:])]))


def _inline_part(found: re.Match[str]) -> str:
    if found["code"]:
        return f"<code>{html.escape(found['code'])}</code>"
    if found["formula"]:
        return f'<span class="formula">{formula(found["formula"])}</span>'
    if found["strong"]:
        return f"<strong>{prose(found['strong'])}</strong>"
    if found["emphasis"]:
        return f"<em>{prose(found['emphasis'])}</em>"
    return f'<a href="{html.escape(found["target"])}">{html.escape(found["text"])}</a>'
