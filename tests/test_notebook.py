"""What objects show of themselves in a notebook."""

import math
import re
import warnings

import numpy as np
import pytest
from html_checks import Reader

import fastnet as fn
from fastnet.health.findings import Finding
from fastnet.health.monitor import HealthWarning
from fastnet.health.preflight_report import Check, Preflight
from fastnet.notebook import chart, table
from fastnet.notebook.curves import HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH
from fastnet.notebook.markup import COLOURS

EVIL = "<script>alert('1')</script>&\""


def check(text):
    """Assert what holds for all that is shown; returns the reader, with its text in `all`."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.faults == [] and reader.open == []
    tags = [tag for tag, _ in reader.tags]
    assert not {"script", "style", "link", "iframe", "img", "object", "a", "html", "body"} & set(tags)
    assert not re.search(r"https?:|url\(|@import", text) and reader.ids == []
    assert tags.count("figure") == tags.count("figcaption")
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "th" or attributes["scope"] == "col"
        if attributes.get("role") == "img":
            assert attributes["aria-label"].strip()
        check_colours(tag, attributes)
    reader.all = " ".join(" ".join(reader.text).split())
    return reader


def check_colours(tag, attributes):
    """Text is of the page's colour, over the page's background; the rest can be seen on light and dark ones."""
    styles = [item.partition(":") for item in attributes.get("style", "").split(";") if item]
    for name, _, value in styles:
        assert name.strip() not in ("color", "background-color")
        assert name.strip() != "background" or value == "none"
    colours = [attributes[name] for name in ("fill", "stroke") if name in attributes]
    colours += re.findall(r"#\w+", attributes.get("style", ""))
    assert set(colours) <= {"currentColor", "none", *COLOURS}
    assert tag != "text" or attributes["fill"] == "currentColor"


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("background", ["#ffffff", "#383838", "#1e1e1e", "#111111"])  # of notebooks, light and dark
def test_colours_stand_out_from_light_and_dark_backgrounds(background):
    """3 to 1, as the Web Content Accessibility Guidelines ask for graphics."""
    for colour in COLOURS:
        light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3
    assert len(set(COLOURS)) == len(COLOURS)


# Curves


def curves(text):
    """The points of each line, and of each single point."""
    lines = [
        [tuple(map(float, pair.split(","))) for pair in points.split()]
        for points in re.findall(r'<polyline points="(.*?)"', text)
    ]
    singles = [tuple(map(float, pair)) for pair in re.findall(r'<circle cx="(.*?)" cy="(.*?)"', text)]
    return lines, singles


def test_a_chart_draws_all_values_to_scale():
    text = chart("loss", {"loss": [4.0, 2.0, 1.0, 0.0], "val_loss": [3.0, 3.0, 1.0, 2.0]})
    reader = check(text)
    (loss, validation), singles = curves(text)
    assert singles == [] and [x for x, _ in loss] == [x for x, _ in validation]
    assert np.diff([x for x, _ in loss]) == pytest.approx([(WIDTH - LEFT - RIGHT) / 3] * 3, abs=0.11)
    unit = (loss[3][1] - loss[0][1]) / 4  # downwards, for a loss of 1
    assert loss[0][1] == TOP and unit > 30
    for line, values in ((loss, [4, 2, 1, 0]), (validation, [3, 3, 1, 2])):
        assert [(loss[3][1] - y) / unit for _, y in line] == pytest.approx(values, abs=0.01)
    assert "loss 0 " in reader.all and "val_loss 2" in reader.all and "epoch" in reader.all
    labels = dict(reversed(pair) for pair in re.findall(r'<text x="47.0" y="(.*?)".*?>(.*?)</text>', text))
    assert set(labels) == {"0", "1", "2", "3", "4"}
    for value, y in labels.items():
        assert float(y) - 4 == pytest.approx(loss[3][1] - float(value) * unit, abs=0.1)


def test_a_wide_loss_has_a_logarithmic_axis():
    values = [10.0, 1.0, 0.1, 0.01]
    text = chart("loss", {"loss": values}, may_be_log=True)
    (line,), _ = curves(text)
    assert np.diff([y for _, y in line]) == pytest.approx([(HEIGHT - TOP - 30) / 3] * 3, abs=0.11)
    assert "loss (logarithmic)" in check(text).all and ">0.01<" in text
    assert "logarithmic" not in chart("loss", {"loss": values})
    assert "logarithmic" not in chart("loss", {"loss": [0.0, *values]}, may_be_log=True)
    assert "logarithmic" not in chart("loss", {"loss": [1.0, 0.1]}, may_be_log=True)


def test_values_that_are_not_finite_leave_gaps():
    text = chart("a", {"a": [1.0, 2.0, math.nan, 3.0, math.inf, 2.0, 1.0]})
    check(text)
    lines, singles = curves(text)
    assert [len(line) for line in lines] == [2, 2] and len(singles) == 1
    assert "no finite value" in check(chart("a", {"a": [math.nan]})).all
    assert curves(chart("a", {"a": [0.5]}))[1] and curves(chart("a", {"a": []})) == ([], [])


@pytest.mark.parametrize("values", [[-1.7e308, 1.7e308], [5e-324, 1e-323], [1e300, 1e-300], [7.0, 7.0], [0.0, 0.0],
                                    [1e16, 1e16 + 2]])  # fmt: skip
@pytest.mark.parametrize("may_be_log", [False, True])
def test_any_numbers_are_drawn_within_the_chart(values, may_be_log):
    text = chart("a", {"a": values}, may_be_log=may_be_log)
    check(text)
    (line,), _ = curves(text)
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - 30 for x, y in line)
    assert "nan" not in text and "inf" not in text.replace("infinity", "")


def test_values_that_are_all_but_equal():
    for value in np.random.default_rng(0).lognormal(sigma=20, size=300).tolist():
        for a, b in ((value, math.nextafter(value, math.inf)), (-value, math.nextafter(-value, math.inf))):
            ((line,), _) = curves(chart("a", {"a": [a, b]}))
            assert [y for _, y in line] == [HEIGHT - 30, TOP]


def test_a_long_curve_keeps_its_peaks_and_gaps():
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 2, 20_000)
    values[7_777], values[12_345], values[15_000:15_100] = 9.0, -5.0, np.nan
    text = chart("a", {"a": values.tolist()})
    check(text)
    lines, _ = curves(text)
    assert sum(map(len, lines)) <= MOST_POINTS and len(lines) == 2 and len(text) < 15_000
    ys = [y for line in lines for _, y in line]
    assert min(ys) == TOP and max(ys) == HEIGHT - 30
    peak = next(x for line in lines for x, y in line if y == TOP)
    assert peak == pytest.approx(LEFT + 7_777 / 19_999 * (WIDTH - LEFT - RIGHT), abs=0.1)


def test_texts_are_escaped():
    for text in (chart(EVIL, {EVIL: [1.0, 2.0]}), table([EVIL], [[EVIL]], 1)):
        assert EVIL in check(text).all and "<script" not in text


# Objects


@pytest.fixture(scope="module")
def trained():
    (x, y), test = fn.datasets.digits()
    net = fn.Network(
        [fn.Flatten(), fn.Dense(16, activation="relu", name=EVIL), fn.Dense(10)], input_shape=(8, 8, 1), seed=0
    )
    optimizer = fn.Adam(fn.schedules.Cosine(1e-2, 200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HealthWarning)
        history = net.fit(x * 255, y, epochs=3, loss="softmax_cross_entropy", optimizer=optimizer, metrics=["accuracy"],
                      validation=(test[0] * 255, test[1]), health=True, verbose=0)  # fmt: skip
    return net, history, fn.preflight(net, x * 255, y)


def test_a_network_shows_the_table_of_its_summary(trained):
    net, _, _ = trained
    reader = check(net._repr_html_())
    rows = net.summary().splitlines()
    cells = [cell for row in (rows[1], *rows[3:-2]) for cell in re.split(r"  +", row.strip())]
    for cell in cells:
        assert cell in reader.all, cell
    assert rows[-1] in reader.all and "(8, 8, 1) → (10,)" in reader.all
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("tr") == 4 and tags.count("td") == 3 * 6 and tags.count("th") == 6


def test_networks_with_shared_layers_and_names():
    dense = fn.Dense(4)
    net = fn.Network([dense, dense], input_shape=(4,), seed=0, name=EVIL)
    reader = check(net._repr_html_())
    assert "(shared)" in reader.all and f"Network {EVIL} (4,)" in reader.all


def test_a_history_shows_curves_and_findings(trained):
    _, history, _ = trained
    reader = check(history._repr_html_())
    labels = [attributes["aria-label"] for tag, attributes in reader.tags if "aria-label" in attributes]
    assert [label.split(",")[0].removesuffix(" (logarithmic)") for label in labels] == [
        "loss",
        "accuracy",
        "learning rate",
    ]
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        assert f"{name} {history[name][-1]:.4g}" in reader.all
    assert history.findings and all(finding.meaning in reader.all for finding in history.findings)
    assert f"History 3 epochs, {sum(history.seconds):.3g} s" in reader.all


def test_histories_of_few_epochs():
    assert "0 epochs" in check(fn.History()._repr_html_()).all
    history = fn.History()
    history.append({"loss": 0.5, EVIL: math.nan})
    history.stopped = EVIL
    reader = check(history._repr_html_())
    assert "1 epoch, " in reader.all and f"ended: {EVIL}" in reader.all and "loss 0.5" in reader.all


@pytest.mark.parametrize("severity", ["info", "warning", "problem"])
def test_a_finding(severity):
    finding = Finding("dead-relu", severity, EVIL, 1234, {"share_" + EVIL: 0.53125, "bad": math.nan}, EVIL, "do this")
    reader = check(finding._repr_html_())
    for text in (f"dead-relu in {EVIL} (step 1,234)", "do this", f"share {EVIL} 0.5312", "bad nan"):
        assert text in reader.all
    assert check(Finding("plateau", severity, None, None, {})._repr_html_()).all.endswith(": plateau")


def test_a_preflight(trained):
    _, _, found = trained
    reader = check(found._repr_html_())
    for result in found.checks:
        assert f"{result.result} {result.name} {' '.join(result.sentence.split())}" in reader.all
    assert found.findings and all(" ".join(finding.remedy.split()) in reader.all for finding in found.findings)
    assert str(found).splitlines()[0].removeprefix("preflight: ") in reader.all
    evil = Preflight([Check.of(EVIL, EVIL)], 0.1)
    assert f"good {EVIL} {EVIL}" in check(evil._repr_html_()).all


def test_ipython_shows_them(trained):
    formatters = pytest.importorskip("IPython.core.formatters", reason="IPython is not installed")
    formatter = formatters.DisplayFormatter()
    net, history, found = trained
    for value in (net, history, history.findings[0], found):
        data, _ = formatter.format(value)
        assert data["text/html"] == value._repr_html_() and data["text/plain"] == repr(value)


NOTEBOOK = """
import fastnet as fn

(x, y), test = fn.datasets.digits()
net = fn.Network([fn.Flatten(), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
%%
net
%%
net.fit(x, y, epochs=2, loss="softmax_cross_entropy", validation=test)
%%
fn.preflight(net, x, y)
"""


def test_a_notebook_that_is_executed(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    for package in ("ipykernel", "ipywidgets"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in NOTEBOOK.split("%%")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    _, network, history, found = (cell.outputs for cell in notebook.cells)
    shown = [outputs[-1].data["text/html"] for outputs in (network, history, found)]
    assert [check(text).all.split()[0] for text in shown] == ["Network", "History", "Preflight"]
    # The progress bar is a widget, and no text that scrolls by.
    assert any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in history)
    assert not any(output.output_type == "stream" for output in history)
