"""Pages: well-formed, escaped, and with what a screen reader needs."""

import base64

import pytest
from html_checks import check_page

import fastnet as fn
from fastnet.reports import Markup, Page, figures, prose
from fastnet.reports.colours import INK, SERIES


def small_page():
    page = Page("Title", "Summary.", links=[("Other", "other.html")])
    for name in ("One", "Two", "Two"):
        page.section(name)
    page.subsection("Part")
    page.prose("First *one* with $w_1 x^2$.\n\nSecond.")
    page.formula("y = w x + b")
    page.code("x < 1")
    page.note("A note.")
    page.note("A warning.", "warning")
    page.tiles([("accuracy", "98%"), ("epochs", 3)])
    page.items(["a", "b"])
    page.definitions([("term", "text")])
    page.table("Caption", ["name", "value"], [["a", 1.5], ["b", "−2"]])
    page.figure((figures.curves({"a": [1, 2, 3]}), "A rising line."), "One line.")
    panels = [(figures.bars({"a": 1.0}), "A bar."), (figures.bars({"b": None}), "No bar.")]
    page.figure(panels, "Two panels.", form="png")
    return page


def test_a_page_with_everything():
    reader = check_page(small_page().html())
    assert reader.headings == [1, 2, 2, 2, 3]
    assert reader.ids == ["one", "two", "two-2"]
    assert len(reader.images) == 3
    assert reader.links.count("other.html") == 2


def test_the_same_page_gives_the_same_bytes():
    assert small_page().html() == small_page().html()


def test_text_is_escaped_everywhere():
    bad = "<b>&\"'"
    page = Page(bad, bad, links=[(bad, bad)])
    page.section(bad)
    page.subsection(bad)
    page.paragraph(bad)
    page.prose(bad)
    page.note(bad)
    page.tiles([(bad, bad)])
    page.code(bad)
    page.items([bad])
    page.definitions([(bad, bad)])
    page.table(bad, [bad, bad], [[bad, bad]])
    page.figure((figures.curves({bad: [1, 2]}, title=bad), bad), bad)
    text = page.html()
    check_page(text)
    assert "<b>" not in text and 'alt="&lt;b&gt;&amp;&quot;&#x27;"' in text


def test_markup_is_kept_and_named_by_its_text():
    page = Page(prose("About `code`"), "Summary.")
    page.section(prose("The $w_1$"))
    page.table(prose("With *stress*"), ["a"], [[Markup("<em>x</em>")]])
    text = page.html()
    check_page(text)
    assert "<title>About code</title>" in text and 'id="the-w1"' in text
    assert 'aria-label="With stress"' in text and '<th scope="row"><em>x</em></th>' in text


def test_tiles_stand_under_the_title_and_notes_have_their_kind():
    text = small_page().html()
    assert text.index("</header>") < text.index('<dl class="tiles">') < text.index('class="contents"')
    assert "<div><dt>epochs</dt><dd>3</dd></div>" in text and '<p class="note warning">A warning.</p>' in text


def test_numbers_stand_at_the_right():
    page = Page("Title", "Summary.")
    page.table("Caption", ["name", "number", "text"], [["a", "1.5", "one"], ["b", "–", "2 of them"]])
    text = page.html()
    assert '<th scope="col" class="number">number</th><th scope="col">text</th>' in text
    assert '<td class="number">–</td>' in text and "<td>2 of them</td>" in text


def test_mistakes():
    page = Page("Title", "Summary.")
    with pytest.raises(ValueError, match="needs a section before it"):
        page.subsection("Part")
    with pytest.raises(ValueError, match="rows must have 2 cells"):
        page.table("Caption", ["a", "b"], [[1]])
    for alt, caption in (("", "caption"), ("alt", " ")):
        with pytest.raises(ValueError, match="must not be empty"):
            page.figure((figures.curves({"a": [1, 2]}), alt), caption)
    with pytest.raises(ValueError, match="form 'gif' is not one of svg, png"):
        page.figure((figures.curves({"a": [1, 2]}), "alt"), "caption", form="gif")
    with pytest.raises(ValueError, match="kind 'loud' is not one of info, warning, problem"):
        page.note("Text.", "loud")
    with pytest.raises(ValueError, match="summary must not be empty"):
        Page("Title", "")
    with pytest.raises(TypeError, match="title must be a text; got int"):
        Page(3, "Summary.")


def test_figures_follow_the_readers_theme():
    page = Page("Title", "Summary.")
    page.figure((figures.curves({"a": [1, 2, 3]}, title="A title"), "A line."), "A line.")
    source = check_page(page.html()).images[0]["src"]
    svg = base64.b64decode(source.split(",")[1]).decode()
    assert "prefers-color-scheme:dark" in svg and "var(--series-1)" in svg and "var(--ink)" in svg
    drawing = svg.split("</style>", 1)[1]
    assert INK not in drawing and SERIES[0] not in drawing


def test_pages_are_written_at_once(tmp_path):
    path = tmp_path / "page.html"
    small_page().write(path)
    assert path.read_text(encoding="utf-8") == small_page().html()
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        small_page().write(tmp_path / "missing" / "page.html")


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    page = fn.reports.Page("Title", "Summary.")
    page.section("Text alone")
    check_page(page.html())
    with pytest.raises(ModuleNotFoundError, match=r'pip install "fastnet-cpu\[plot\]"'):
        figures.curves({"a": [1, 2]})
