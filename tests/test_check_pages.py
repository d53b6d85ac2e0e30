"""Pages in a real browser. Collected where there is a Chromium; `scripts/check_pages.py` says so where there is none."""

import importlib.util
from pathlib import Path

import pytest

from fastnet import lab
from fastnet.reports import Page, figures

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_pages.py"


def load():
    spec = importlib.util.spec_from_file_location("check_pages", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_pages = load()


def test_without_a_browser(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert check_pages.main(["page.html"]) == 2
    assert "no Chromium" in capsys.readouterr().err


if check_pages.find_browser() is not None:

    def test_a_page_and_its_faults(tmp_path, capsys):
        page = Page("Title", "Summary.")
        page.section("Wide things stay in their boxes")
        page.table("A wide table", [f"column {i}" for i in range(30)], [list(range(30))])
        page.code("x" * 400)
        page.paragraph("y" * 400)
        page.formula(" + ".join(f"w_{i} x_{i}" for i in range(40)))
        panel = figures.curves({"a": [1, 2, 3]})
        page.figure([(panel, "A line."), (panel, "The same.")], "A line.")
        page.write(tmp_path / "good.html")
        bad = page.html()
        bad = bad.replace("</main>", '<img src="data:image/png;base64,AAAA" alt="lost">'
                          '<div style="width:2000px">wide</div><script>console.error("loud")</script></main>')  # fmt: skip
        (tmp_path / "bad.html").write_text(bad, encoding="utf-8")
        assert check_pages.main([str(tmp_path / "good.html"), str(tmp_path / "bad.html")]) == 1
        good, bad = capsys.readouterr().out.splitlines()
        assert good.endswith(": good")
        assert all(text in bad for text in ("image not shown: lost", "phone: too wide", "desktop: too wide", "loud"))

    @pytest.mark.slow
    def test_all_pages_of_the_lab(tmp_path):
        paths = [path for written in lab.write_all(tmp_path) for path in written if path.endswith(".html")]
        assert len(paths) == len(lab.EXPERIMENTS) + 1
        assert check_pages.main(paths) == 0
