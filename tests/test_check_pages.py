"""Pages in a real browser. Collected where there is a Chromium; `scripts/check_pages.py` says so where there is none."""

import numpy as np
import pytest
from script_loading import load_script

import fastnet as fn
from fastnet import lab
from fastnet.cli import main
from fastnet.reports import Page, figures

check_pages = load_script("check_pages")


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

    @pytest.mark.slow
    def test_reports_of_trainings_and_of_a_saved_network(tmp_path):
        (x, y), test = fn.datasets.digits()
        layers = [fn.Conv2D(8, 3, activation="relu"), fn.BatchNorm(), fn.Flatten(), fn.Dense(16, activation="relu"),
                  fn.Dense(10, name="a_layer_with_a_rather_long_name")]  # fmt: skip
        net = fn.Network(layers, input_shape=(8, 8, 1), seed=0)
        history = net.fit(x, y, epochs=3, loss="softmax_cross_entropy", metrics=["accuracy"], validation=test, health=True,
                          verbose=0)  # fmt: skip
        names = [f"a class with a rather long name, {digit}" for digit in range(10)]
        pages = [str(tmp_path / name) for name in ("images.html", "values.html", "run/report.html", "model.html")]
        fn.report(history, pages[0], net=net, data=test, class_names=names)
        values = np.random.default_rng(0).normal(size=(200, 12))
        net = fn.Network([fn.Dense(8, activation="tanh"), fn.Dense(1)], input_shape=(12,), seed=0)
        history = net.fit(values, values[:, 0], epochs=30, loss="mse", metrics=["r2"], health=True, verbose=0)
        fn.report(history, pages[1], net=net, data=(values, values[:, 0]))
        run = str(tmp_path / "run")
        assert main(["train", "--epochs", "2", "--out", run, "--report"]) == 0
        assert main(["inspect", run, "--html", pages[3]]) == 0
        assert check_pages.main(pages) == 0
