"""Pieces of HTML: tables, notes, and lines of text. Whatever is given as text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnet.health import Finding

__all__ = ["COLOURS", "block", "escaped", "lines", "note", "table", "text"]

#: Colours that stand out alike from white (3.4 to 1) and from dark grey, #383838 (3.4 to 1), in any order.
COLOURS = ("#2b8fe1", "#e26512", "#1c9e5d", "#c566c5", "#b97f0a", "#e85b67")
SEVERITY_COLOURS = {"info": COLOURS[0], "warning": COLOURS[4], "problem": COLOURS[5]}
SEVERITY_NAMES = {"info": "Worth knowing", "warning": "Warning", "problem": "Problem"}

RULE = "1px solid rgba(128,128,128,0.5)"


def escaped(value: object) -> str:
    """A text as HTML, also within quotes."""
    return html.escape(str(value))


def block(*parts: str) -> str:
    """Pieces of HTML one below the other, as what an object shows."""
    return f'<div style="line-height:1.4">{"".join(parts)}</div>'


def lines(first: str, *others: str) -> str:
    """A line in bold and others below it."""
    return f"<div><strong>{escaped(first)}</strong></div>" + "".join(map(text, others))


def text(line: str) -> str:
    """A line of text."""
    return f"<div>{escaped(line)}</div>"


def table(headings: Sequence[object], rows: Iterable[Iterable[object]], left: int) -> str:
    """A table of texts, the first `left` columns to the left and the others, numbers, to the right."""

    def cells(tag: str, row: Iterable[object], rule: str) -> str:
        styled = []
        for i, cell in enumerate(row):
            side = "left" if i < left else "right"
            scope = ' scope="col"' if tag == "th" else ""
            space = "normal" if i < left else "nowrap"
            style = f"text-align:{side};white-space:{space};vertical-align:top;padding:2px 10px;border:0{rule}"
            styled.append(f'<{tag}{scope} style="{style}">{escaped(cell)}</{tag}>')
        return f'<tr style="background:none">{"".join(styled)}</tr>'

    body = "".join(cells("td", row, "") for row in rows)
    head = cells("th", headings, f";border-bottom:{RULE}")
    return (
        f'<table style="border-collapse:collapse;border-top:{RULE};border-bottom:{RULE};margin:6px 0">'
        f"<thead>{head}</thead><tbody>{body}</tbody></table>"
    )


def note(finding: Finding) -> str:
    """A finding: what, where and when; what it means, what to do, and the numbers."""
    colour = SEVERITY_COLOURS.get(finding.severity, COLOURS[0])
    where = f" in {finding.layer}" if finding.layer else ""
    when = f" (step {finding.step:,})" if finding.step is not None else ""
    evidence = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in finding.evidence.items())
    parts = [
        f"<div><strong>{escaped(SEVERITY_NAMES.get(finding.severity, finding.severity))}: {escaped(finding.code)}</strong>"
        f"{escaped(where + when)}</div>",
        f"<div>{escaped(finding.meaning)}</div><div>{escaped(finding.remedy)}</div>",
        f'<div style="font-size:smaller;opacity:0.8">{escaped(evidence)}</div>' if evidence else "",
    ]
    return f'<div style="border-left:4px solid {colour};padding:1px 10px;margin:6px 0">{"".join(parts)}</div>'
