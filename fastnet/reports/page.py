"""A static HTML page in one file: it opens without a network, on a phone, in the dark, and in a screen reader."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from fastnet import checks, files
from fastnet.reports import images
from fastnet.reports.colours import style_rules
from fastnet.reports.markup import Markup, as_html, formula, prose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastnet.types import Path

__all__ = ["Page"]

NUMBER = ' class="number"'
NOTES = {"info": "", "warning": " warning", "problem": " problem"}  # kind -> class besides
LEAST_CONTENTS = 3  # sections, from which a page lists them


class Page:
    """A page that is built from top to bottom, then written.

    Text is escaped, unless it is `Markup` (what `prose` returns).

    Parameters
    ----------
    title : str
        The page's only heading of the first level.
    summary : str
        What it shows, in a sentence or two, under the title.
    links : list of (text, file)
        To pages beside this one, shown at its top and end.

    Examples
    --------
    >>> from fastnet.reports import Page
    >>> page = Page("Two numbers", "A table.")
    >>> page.section("Numbers")
    >>> page.prose("Where $x > 0$.")
    >>> page.table("x and its square", ["x", "square"], [[2, 4], [3, 9]])
    >>> '<th scope="row">2</th>' in page.html()
    True
    """

    def __init__(self, title: str, summary: str, *, links: Iterable[tuple[str, str]] = ()) -> None:
        self.title = _text("title", title)
        self.summary = _text("summary", summary)
        self.links = list(links)
        self._tiles = ""
        self._parts: list[str] = []
        self._sections: list[tuple[str, str]] = []

    # Headings and text

    def section(self, title: str) -> None:
        """Begin a section (h2), which the contents list."""
        anchor = self._anchor(_text("title", title))
        self._sections.append((anchor, title))
        self._parts.append(f'<h2 id="{anchor}">{as_html(title)}</h2>')

    def subsection(self, title: str) -> None:
        """Begin a part of a section (h3)."""
        if not self._sections:
            raise ValueError(f"subsection {title!r} needs a section before it")
        self._parts.append(f"<h3>{as_html(_text('title', title))}</h3>")

    def paragraph(self, text: str) -> None:
        """One paragraph of text."""
        self._parts.append(f"<p>{as_html(text)}</p>")

    def prose(self, text: str) -> None:
        """Paragraphs, separated by empty lines, with the light markup of `markup.prose`."""
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            self.paragraph(prose(" ".join(paragraph.split())))

    def formula(self, text: str) -> None:
        """A formula on a line of its own, in the notation of `markup.formula`."""
        self._parts.append(f'<p class="formula display">{formula(text)}</p>')

    def code(self, text: str) -> None:
        """Lines of code, as they are."""
        self._parts.append(f'<pre tabindex="0"><code>{html.escape(text.strip())}</code></pre>')

    def note(self, text: str, kind: str = "info") -> None:
        """A paragraph that stands out; `kind` is "info", "warning" or "problem"."""
        checks.choice("kind", kind, NOTES)
        self._parts.append(f'<p class="note{NOTES[kind]}">{as_html(text)}</p>')

    def items(self, items: Iterable[str]) -> None:
        """A list, one item a text."""
        self._parts.append("<ul>" + "".join(f"<li>{as_html(item)}</li>" for item in items) + "</ul>")

    def tiles(self, pairs: Iterable[tuple[str, object]]) -> None:
        """The few numbers that matter most, (name, number), large, side by side, under the title."""
        inside = "".join(f"<div><dt>{as_html(name)}</dt><dd>{as_html(number)}</dd></div>" for name, number in pairs)
        self._tiles = f'<dl class="tiles">{inside}</dl>'

    def definitions(self, pairs: Iterable[tuple[str, str]]) -> None:
        """A list of (term, text)."""
        inside = "".join(f"<dt>{as_html(term)}</dt><dd>{as_html(text)}</dd>" for term, text in pairs)
        self._parts.append(f"<dl>{inside}</dl>")

    # Tables and figures

    def table(self, caption: str, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
        """A table; the first cell of each row names it.

        Parameters
        ----------
        caption : str
        header : list of str
        rows : list of lists
            Each as long as the header. A column of numbers stands at the right.

        Raises
        ------
        ValueError
            A row has another length, or the caption is empty.
        """
        cells = [list(row) for row in rows]
        for row in cells:
            if len(row) != len(header):
                raise ValueError(f"rows must have {len(header)} cells, as the header has; got {len(row)}: {row}")
        right = [bool(cells) and all(_is_number(row[i]) for row in cells) and i > 0 for i in range(len(header))]
        head = "".join(
            f'<th scope="col"{NUMBER * is_right}>{as_html(cell)}</th>'
            for cell, is_right in zip(header, right, strict=True)
        )
        body = "".join(
            f'<tr><th scope="row">{as_html(first)}</th>' + "".join(map(_cell, rest, right[1:])) + "</tr>"
            for first, *rest in cells
        )
        self._parts.append(
            f'<div class="table" role="region" tabindex="0" aria-label="{html.escape(_plain(caption))}"><table>'
            f"<caption>{as_html(_text('caption', caption))}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>"
        )

    def figure(
        self, panels: tuple[Figure, str] | Iterable[tuple[Figure, str]], caption: str, *, form: str = "svg"
    ) -> None:
        """One or several matplotlib figures side by side, over one caption.

        Parameters
        ----------
        panels : (Figure, str), or a list of them
            Each with the text that stands for it where it can't be seen (`alt`): what it shows.
        caption : str
        form : {"svg", "png"}
            "png" for figures with too many marks for SVG; its colours don't follow the reader's theme.

        Raises
        ------
        ValueError
            A text is missing; `form` is not known.
        """
        checks.choice("form", form, ["svg", "png"])
        panels = [panels] if isinstance(panels, tuple) else list(panels)
        caption = _text("caption", caption)
        shown = []
        for figure, alt in panels:
            alt = html.escape(_text("alt", alt))
            source, width, height = images.png(figure) if form == "png" else images.svg(figure)
            shown.append(f'<img src="{source}" alt="{alt}" width="{width}" height="{height}">')
        kind = "panels" if len(shown) > 1 else "panel"
        self._parts.append(
            f'<figure><div class="{kind}">{"".join(shown)}</div><figcaption>{as_html(caption)}</figcaption></figure>'
        )

    # The whole

    def html(self) -> str:
        """The page as text."""
        title = html.escape(_plain(self.title))
        links = "".join(f'<a href="{html.escape(file)}">{as_html(text)}</a>' for text, file in self.links)
        navigation = [f'<nav aria-label="{place}">{links}</nav>' if links else "" for place in ("Pages", "More pages")]
        contents = "".join(f'<li><a href="#{anchor}">{as_html(text)}</a></li>' for anchor, text in self._sections)
        if len(self._sections) < LEAST_CONTENTS:
            contents = ""
        else:
            contents = f'<nav class="contents" aria-label="Contents"><ol>{contents}</ol></nav>'
        head = (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta name="color-scheme" content="light dark"><title>{title}</title>'
            f'<meta name="description" content="{html.escape(_plain(self.summary))}">'
            f"<style>{style_rules()}\n{_stylesheet()}</style></head>"
        )
        top = f'<header><h1>{as_html(self.title)}</h1><p class="summary">{as_html(self.summary)}</p></header>'
        body = "\n".join([navigation[0], "<main>", top + self._tiles, contents, *self._parts, "</main>", navigation[1]])
        return f"{head}\n<body>\n{body}\n</body></html>\n"

    def write(self, path: Path) -> None:
        """Write the page to a file, at once or not at all."""
        files.write_bytes(os.fspath(path), self.html().encode())

    def _anchor(self, title: str) -> str:
        base = re.sub(r"[^a-z0-9]+", "-", _plain(title).lower()).strip("-") or "section"
        taken = {anchor for anchor, _ in self._sections}
        return next(name for name in (base, *(f"{base}-{i}" for i in range(2, len(taken) + 3))) if name not in taken)


def _stylesheet() -> str:
    return resources.files("fastnet.reports").joinpath("page.css").read_text(encoding="utf-8")


def _text(argument: str, text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a text; got {type(text).__name__}")
    if not text.strip():
        raise ValueError(f"{argument} must not be empty")
    return text


def _plain(text: str) -> str:
    """The text of markup, without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", text)) if isinstance(text, Markup) else text


def _is_number(value: object) -> bool:
    return not isinstance(value, str) or re.match(r"[-−+±≈<>]?\s?\d|–$", value) is not None


def _cell(value: object, is_right: bool) -> str:
    return f"<td{NUMBER * is_right}>{as_html(value)}</td>"
