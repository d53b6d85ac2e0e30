"""The page of a training, from what `training.contents` gathered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastnet.reports.internals_page import add_internals
from fastnet.reports.markup import Markup, as_html, prose
from fastnet.reports.page import Page
from fastnet.reports.results_page import add_results
from fastnet.reports.text import listed, number, percent

if TYPE_CHECKING:
    from fastnet.types import Array

__all__ = ["add_filters", "add_findings", "measured", "page"]

#: Figures that are shares, and shown as percentages.
SHARES = ("accuracy",)
SEVERITIES = {"problem": "Problem", "warning": "Warning", "info": "Worth knowing"}
STOPPED = {
    "not finite": "a loss or gradient was not finite",
    "interrupted": "it was interrupted",
    "early stopping": "the watched figure did not improve any more (early stopping)",
}


def page(numbers: dict[str, Any], pictures: dict[str, Any]) -> Page:
    """The page.

    Parameters
    ----------
    numbers : dict
        As JSON has them.
    pictures : dict
        "mistakes" and "filters": arrays of images, or None.
    """
    made = Page(numbers["title"], _summary(numbers))
    made.tiles(_tiles(numbers))
    _findings(made, numbers)
    _curves(made, numbers)
    add_results(made, numbers, pictures["mistakes"])
    add_internals(made, numbers)
    if numbers["filters"] is not None:
        made.section("What the first layer looks for")
        add_filters(made, numbers["filters"], pictures["filters"])
    _repeat(made, numbers)
    return made


def measured(name: str, value: float | None) -> str:
    """A figure as its name says it is best read."""
    return percent(value, 2) if name.endswith(SHARES) else number(value, 4)


def _title(name: str) -> str:
    return name.replace("_", " ")


def _last(curves: dict[str, Any], name: str) -> float | None:
    return curves[name][-1] if curves.get(name) else None


def _summary(numbers: dict[str, Any]) -> str:
    epochs, samples = numbers["epochs"], numbers["samples"]
    parts = [f"Trained for {epochs:,} epoch{'s' * (epochs != 1)}"]
    if samples.get("training"):
        parts.append(f"with {samples['training']:,} samples")
    text = " ".join(parts)
    if numbers["stopped"]:
        text += f"; it ended there because {STOPPED.get(numbers['stopped'], numbers['stopped'])}"
    return text + "."


def _tiles(numbers: dict[str, Any]) -> list[tuple[str, str]]:
    tested, curves, results = numbers["tested"], numbers["curves"], numbers["results"]
    tiles = [(name, measured(name, value)) for name, value in tested.items()]
    if results is not None and not tested:
        tiles += [(f"{_title(name)} on the data given", measured(name, v)) for name, v in results["evaluated"].items()]
    elif not tested:
        for name in [name for name in curves if name.startswith("val_")] or curves:
            shown = _title(name).replace("val ", "validation ")
            tiles.append((f"{shown}, last epoch", measured(name, _last(curves, name))))
    tiles.append(("epochs", f"{numbers['epochs']:,}"))
    if numbers["seconds"] is not None:
        tiles.append(("time", _time(numbers["seconds"])))
    if numbers["findings"] is not None:
        counts = [sum(f["severity"] == severity for f in numbers["findings"]) for severity in SEVERITIES]
        names = [
            f"{n} {name}{'s' * (n != 1)}" for n, name in zip(counts, ("problem", "warning", "note"), strict=True) if n
        ]
        tiles.append(("health", listed(names) if names else "good"))
    return tiles


def _time(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 120:
        return f"{number(seconds, 2 if seconds < 1 else 3)}\N{NO-BREAK SPACE}s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"


# Findings


def _findings(page: Page, numbers: dict[str, Any]) -> None:
    page.section("Findings")
    found = numbers["findings"]
    if found is None:
        how = "net.fit(..., health=True)" if numbers["source"] == "history" else "fastnet train --health"
        page.paragraph(
            prose(
                "No health monitor watched this training. One looks at weights, gradients and activations, takes about a "
                f"fiftieth of the time, and says what is wrong: `{how}`."
            )
        )
        found = numbers.get("weights_findings", [])
        if found:
            page.paragraph("The weights alone show:")
            add_findings(page, found)
    elif not found:
        page.paragraph("The health monitor has found nothing wrong.")
    else:
        add_findings(page, found)


def add_findings(page: Page, findings: Iterable[dict[str, Any]]) -> None:
    """Findings (as dicts), one after the other."""
    for finding in findings:
        severity = finding["severity"]
        where = f" in {finding['layer']}" if finding.get("layer") else ""
        when = f" (step {finding['step']:,})" if finding.get("step") is not None else ""
        evidence = [f"{_title(name)} {_figure(value)}" for name, value in finding.get("evidence", {}).items()]
        parts = [
            f"<strong>{as_html(SEVERITIES.get(severity, severity))}: {as_html(finding['code'])}{as_html(where)}</strong>",
            as_html(f"{when}. {finding['meaning']} {finding['remedy']}"),
            f"<small>{as_html(', '.join(evidence))}</small>" if evidence else "",
        ]
        page.note(Markup("".join(parts[:2]) + (f"<br>{parts[2]}" if parts[2] else "")), severity)


def _figure(value: float | None) -> str:
    if value is not None and abs(value) < 1e15 and value == int(value):
        return f"{int(value):,}"
    return number(value)


# Curves


def _curves(page: Page, numbers: dict[str, Any]) -> None:
    from fastnet.reports import figures

    curves, epochs = numbers["curves"], numbers["epochs"]
    page.section("Loss and metrics")
    names = [name for name in curves if not name.startswith("val_")]
    if not epochs or not names:
        page.paragraph("No epoch was finished.")
        return
    panels = []
    for name in names:
        lines = {"training": curves[name]}
        if f"val_{name}" in curves:
            lines["validation"] = curves[f"val_{name}"]
        log = name == "loss" and _is_wide(lines)
        figure = figures.curves(
            lines, title=_title(name) + (" (logarithmic)" if log else ""), x="epoch", log=log, markers=epochs <= 12
        )
        ends = [
            f"{key} from {measured(name, values[0])} to {measured(name, values[-1])}" for key, values in lines.items()
        ]
        panels.append((figure, f"{_title(name)} over {epochs} epochs: {', '.join(ends)}."))
    rates = numbers["learning_rates"]
    varies = bool(rates) and any(rate != rates[0] for rate in rates)
    if varies:
        figure = figures.curves({"rate": rates}, title="learning rate", x="epoch", log=min(map(float, rates)) > 0)
        panels.append((figure, f"The learning rate of each epoch, from {number(rates[0])} to {number(rates[-1])}."))
    page.figure(panels, _curves_caption(numbers, varies))
    _best_epoch(page, numbers, names)


def _is_wide(lines: Mapping[str, Iterable[float | None]]) -> bool:
    values = [v for line in lines.values() for v in line if v is not None]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 20


def _curves_caption(numbers: dict[str, Any], varies: bool) -> str:
    text = "Training figures are averages over an epoch, while the weights change; those of validation are at its end."
    rates = numbers["learning_rates"]
    if varies:
        return f"{text} The learning rate is that of each epoch's first step."
    return f"{text} The learning rate was {number(rates[0])} throughout." if rates else text


def _best_epoch(page: Page, numbers: dict[str, Any], names: Sequence[str]) -> None:
    curves = numbers["curves"]
    if "val_loss" not in curves:
        page.paragraph(
            prose(
                "There was no validation data, so these curves cannot show overfitting: `net.fit(..., validation=0.2)`."
                if numbers["source"] == "history"
                else "There was no validation data, so these curves cannot show overfitting: `fastnet train --validation 0.2`."
            )
        )
        return
    losses = [float("inf") if v is None else v for v in curves["val_loss"]]
    best = losses.index(min(losses))
    rows = []
    for what, at in (("best validation loss", best), ("last epoch", len(losses) - 1)):
        rows.append(
            [what, f"{at + 1}"]
            + [measured(key, curves[key][at]) for name in names for key in (name, f"val_{name}") if key in curves]
        )
    header = [
        _title(key).replace("val ", "validation ") for name in names for key in (name, f"val_{name}") if key in curves
    ]
    page.table("The best epoch, and the last", ["", "epoch", *header], rows)


# The first layer


def add_filters(page: Page, found: dict[str, Any], images: Array) -> None:
    """A picture of the first layer's weights."""
    from fastnet.reports import pictures

    all_of = (
        f"all {found['all']}" if found["shown"] == found["all"] else f"the first {found['shown']} of {found['all']}"
    )
    if images.shape[3] == 3:
        captions = [str(i + 1) for i in range(len(images))]
        figure = pictures.captioned_images(images, captions, columns=8, centred=True)
        colours = "Gray is zero; a colour is what a filter looks for, its complement what it is against."
    else:
        columns = min(8, len(images))
        figure = pictures.image_grid(images[..., 0], columns=columns, diverging=True, each=False)
        colours = "Red is positive, blue negative, white zero."
    what = "filters" if found["kind"] == "filter" else "units, each as a picture of its weights for the pixels"
    size = f"{images.shape[1]} × {images.shape[2]}"
    page.figure(
        (figure, f"{all_of[0].upper() + all_of[1:]} {what} of {found['layer']}, {size} weights each."),
        f"{found['layer']}: {all_of} {what}, {size} weights. {colours}",
    )


# How to repeat it


def _repeat(page: Page, numbers: dict[str, Any]) -> None:
    page.section("Repeat it")
    settings = dict(numbers["settings"])
    if numbers["command"]:
        page.code(numbers["command"])
    layers = settings.pop("layers", None)
    if numbers["network"]:
        page.subsection("The network")
        page.code(numbers["network"])
    if layers:
        page.subsection("Layers, with all settings")
        page.code("\n".join(f"{name}: {text}" for name, text in layers))
    rows = [[_title(name), _setting(value)] for name, value in settings.items() if value is not None]
    if rows:
        page.table("Settings", ["setting", "value"], rows)
    elif not numbers["command"]:
        page.paragraph("Nothing is known about the settings.")
    page.paragraph("The same version on the same instruction set gives the same bits, with any number of threads.")


def _setting(value: object) -> str:
    if isinstance(value, list):
        return (
            " × ".join(map(str, value)) if all(isinstance(item, int) for item in value) else ", ".join(map(str, value))
        )
    return str(value)
