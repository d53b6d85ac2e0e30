"""Figures: what they show, and that nothing global changes."""

import matplotlib
import numpy as np
import pytest

from fastnet.reports import figures, images, pictures
from fastnet.reports.axes import LABEL_GAP
from fastnet.reports.colours import SERIES, THEME


def lines(figure):
    return figure.axes[0].get_lines()


def test_curves_have_their_values_and_names():
    figure = figures.curves({"up": [1.0, 2.0, None, 4.0], "down": ([0, 10], [3, 1])}, title="Title", x="x", y="y")
    up, down = lines(figure)
    assert up.get_xdata().tolist() == [1, 2, 3, 4]
    assert np.isnan(up.get_ydata()[2]) and down.get_ydata().tolist() == [3, 1]
    assert [text.get_text() for text in figure.axes[0].texts] == ["down", "up"]
    assert figure.axes[0].get_title(loc="left") == "Title"


def test_names_stay_apart_and_near_their_lines():
    figure = figures.curves({str(i): [0, 1 + i / 1000] for i in range(8)})
    places = [text.get_position()[1] for text in figure.axes[0].texts]
    assert np.diff(places).min() > 0.9 * LABEL_GAP
    apart = figures.curves({"low": [0, 0], "high": [1, 1]})
    low, high = (text.get_position()[1] for text in apart.axes[0].texts)
    assert low < 0.1 and high > 0.9


def test_logarithms_leave_gaps_where_values_are_not_positive():
    figure = figures.curves({"a": [1.0, 0.0, 10.0]}, log=True)
    assert np.isnan(lines(figure)[0].get_ydata()[1])
    assert figure.axes[0].get_yscale() == "log"


def test_dollar_signs_are_no_formulas():
    name = r"$\nothing$"
    figure = figures.curves({name: [1, 2]}, title=name, x=name, y=name)
    assert images.svg(figure) != images.svg(figures.curves({"": [1, 2]}))
    images.svg(figures.bars({name: 1.0}))
    images.svg(pictures.confusion_map(np.eye(2, dtype=int), [name, "$"]))
    images.svg(pictures.captioned_images(np.zeros((1, 2, 2, 1)), [name]))


def test_a_line_without_values_is_named_with_a_dash():
    figure = figures.curves({"a": [1.0, 2.0], "lost": [None, None]})
    assert "lost –" in [text.get_text() for text in figure.axes[0].texts]


def test_histograms_are_shares():
    figure = figures.histograms({"a": np.arange(100.0)}, bins=10)
    assert lines(figure)[0].get_ydata().tolist() == pytest.approx([0.1] * 20)


def test_bars_write_their_values():
    figure = figures.bars({"one": 1.0, "none": None}, reference=(0.5, "half"))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["1", "–", "half"]


def test_heat_map_and_its_numbers():
    values = np.array([[-1.0, 0.0], [0.5, 2.0]])
    figure = pictures.heat_map(values, diverging=True, form="{:.1f}")
    image = figure.axes[0].get_images()[0]
    assert image.get_clim() == (-2.0, 2.0)
    assert [text.get_text() for text in figure.axes[0].texts] == ["-1.0", "0.0", "0.5", "2.0"]


@pytest.mark.parametrize("each", [True, False])
def test_image_grid_scales_each_image_or_all(each):
    small, large = np.array([[0.0, 1.0]]), np.array([[0.0, 4.0]])
    figure = pictures.image_grid([small, large], columns=2, each=each)
    mosaic = figure.axes[0].get_images()[0].get_array()
    assert mosaic.shape == (1, 5) and mosaic.mask[0, 2]
    assert mosaic[0, 1] == (1 if each else 0.25) and mosaic[0, 4] == 1


def test_over_time_has_a_column_for_each_time():
    shares = np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]])
    image = pictures.over_time(shares, low=-1, high=1).axes[0].get_images()[0]
    assert image.get_array().shape == (2, 3) and image.get_extent() == [-0.5, 2.5, -1, 1]


def test_over_time_marks_its_times():
    ax = pictures.over_time(np.full((40, 2), 0.5), low=0, high=1, times=list(range(0, 400, 10))).axes[0]
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels[0] == "0" and labels[-1] == "390" and len(labels) == 8


def test_confusion_map_shows_counts_and_mistakes_in_another_colour():
    counts = np.array([[3, 1], [0, 0]])
    ax = pictures.confusion_map(counts, ["cat", "dog"]).axes[0]
    assert [text.get_text() for text in ax.texts] == ["3", "1"]
    cells = ax.get_images()[0].get_array()
    assert cells[0, 0, 3] == 0.75 and cells[0, 1, 3] == 0.5 and cells[1, 0, 3] == cells[1, 1, 3] == 0
    assert tuple(cells[0, 0, :3]) != tuple(cells[0, 1, :3])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["cat", "dog"]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_captioned_images_have_a_place_each(channels):
    images = np.random.default_rng(0).random((5, 4, 6, channels))
    figure = pictures.captioned_images(images, list("abcde"), columns=3)
    assert [ax.texts[0].get_text() for ax in figure.axes] == list("abcde")
    shown = figure.axes[4].get_images()[0].get_array()
    assert shown.shape == ((4, 6) if channels == 1 else (4, 6, 3)) and (shown.min(), shown.max()) == (0, 1)
    boxes = [ax.get_position().bounds for ax in figure.axes]
    assert boxes[0][1] == boxes[2][1] > boxes[3][1] > 0 and boxes[0][0] == boxes[3][0]


def test_centred_images_have_zero_in_the_middle():
    figure = pictures.captioned_images([[[[0.0]]], [[[-2.0]]], [[[1.0]]]], list("abc"), centred=True)
    assert [float(ax.get_images()[0].get_array()[0, 0]) for ax in figure.axes] == [0.5, 0.0, 0.75]


def test_surface_draws_paths_in_its_window():
    xs, ys = np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)
    values = xs**2 + ys[:, None] ** 2 + 0.1
    figure = pictures.surface(xs, ys, values, {"path": ([-1, 5], [0, None])}, target=(0, 0))
    assert figure.axes[0].get_xlim() == (-1, 1)


def test_colours_of_the_theme_are_all_different():
    light = [pair[0] for pair in THEME.values()]
    assert len(set(light)) == len(light) and len(set(SERIES)) == 8


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_names_of_lines_can_be_read(theme):
    """A contrast of 4.5 to 1 with the paper (WCAG 2.2, 1.4.3)."""
    paper = luminance(THEME["paper"][theme])
    for name, pair in THEME.items():
        if name not in ("paper", "panel", "grid"):
            low, high = sorted((paper, luminance(pair[theme])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, name


def test_nothing_global_changes():
    def settings():  # but the backend, which is chosen when it is first looked at
        return {name: value for name, value in matplotlib.rcParams.items() if name != "backend"}

    before = settings()
    images.svg(figures.curves({"a": [1, 2]}))
    images.png(pictures.heat_map([[1, 2]]))
    assert settings() == before


def test_the_users_settings_do_not_show():
    plain = images.svg(figures.curves({"a": [1, 2]}))
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9}):
        assert images.svg(figures.curves({"a": [1, 2]})) == plain
