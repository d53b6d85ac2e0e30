"""``fastnet compare``: two runs side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastnet import files
from fastnet.files.runs import FINDINGS, HEALTH, HISTORY, MARK

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "show two finished runs side by side"
DESCRIPTION = (
    "Show two runs of fastnet train side by side: options that differ, results, losses by epoch, and, of runs with --health, "
    "the health of their weights and what was found."
)

LINES = 6  # of the losses by epoch
WIDEST = 60  # characters of a cell
HEALTH_FIGURES = {  # column of health.csv -> the kind of row that has it, and what it is called here
    "update_ratio": ("update", "update / weights"),
    "norm": ("gradient", "norm of gradient"),
    "std": ("weight", "spread of weights"),
    "dead": ("activation", "dead units"),
    "saturated": ("activation", "saturated outputs"),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Two directories."""
    parser.add_argument("runs", nargs=2, metavar="RUN", help="a directory that fastnet train has written")


def run(arguments: Namespace) -> int:
    """Print the comparison."""
    print(compared(arguments.runs))
    return 0


def compared(paths: list[str]) -> str:
    """Two runs side by side, as text.

    Raises
    ------
    OSError, ValueError
        There is no finished run, or one of its files is damaged.
    """
    runs = [Run(path) for path in paths]
    with files.taken_up(f"{' or '.join(paths)}: a file of the run is damaged"):
        sections = [_options(runs), _results(runs), _losses(runs), _health(runs), _findings(runs)]
    return "\n\n".join(section for section in sections if section)


class Run:
    """What the directory of a finished run holds."""

    def __init__(self, path: str) -> None:
        self.path = path
        mark = os.path.join(path, MARK)
        if not os.path.exists(mark):
            there = "has no finished run" if os.path.isdir(path) else "is no directory"
            raise FileNotFoundError(f"{path} {there}: {MARK} is what fastnet train writes last")
        self.description = files.read_json(mark, dict)
        self.history: list[dict[str, str]] | None = self._read(files.read_rows, HISTORY)
        self.health: list[dict[str, str]] | None = self._read(files.read_rows, HEALTH)
        self.findings: list[dict[str, Any]] | None = self._read(lambda path: files.read_json(path, list), FINDINGS)

    def _read(self, reader: Callable[[str], Any], name: str) -> Any:
        """A file of the run, or None where it has none."""
        path = os.path.join(self.path, name)
        return reader(path) if os.path.exists(path) else None


def table(title: str, heads: list[str], rows: list[list[str]]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )

    return "\n".join([title, line(heads), *map(line, rows)])


def _heads(runs: Sequence[Run]) -> list[str]:
    return ["", *(run.path for run in runs)]


def _text(value: Any) -> str:
    text = _whole_text(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _whole_text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if isinstance(value, bool) or math.isnan(number):
        return str(value) if isinstance(value, bool) else "-"
    return str(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else f"{number:.4g}"


def _options(runs: Sequence[Run]) -> str:
    options = [run.description["options"] for run in runs]
    names = {name: None for given in options for name in given if name != "out"}
    pairs = [(name, [given.get(name) for given in options]) for name in names]
    rows = [[_text(name), *map(_text, values)] for name, values in pairs if values[0] != values[1]]
    return table("Options that differ", _heads(runs), rows) or "Both runs have the same options"


def _results(runs: Sequence[Run]) -> str:
    names = {name: None for run in runs for name in run.description["results"]}
    rows = [[_text(name), *(_text(run.description["results"].get(name)) for run in runs)] for name in names]
    for name in ("epochs", "seconds", "threads", "isa", "fastnet"):
        rows.append([name, *(_text(run.description.get(name)) for run in runs)])
    return table("Results", _heads(runs), rows)


def _losses(runs: Sequence[Run]) -> str:
    """Losses after some epochs, the same ones of both runs."""
    histories = [run.history or [] for run in runs]
    longest = max(map(len, histories))
    epochs = sorted({max(1, round(longest * i / LINES)) for i in range(1, LINES + 1)} | {1}) if longest else []
    names = [name for name in ("loss", "val_loss", "accuracy", "val_accuracy", "r2", "val_r2")
             if any(history and name in history[0] for history in histories)]  # fmt: skip
    rows = []
    for name in names:
        for epoch in epochs:
            cells = [history[epoch - 1].get(name) if epoch <= len(history) else None for history in histories]
            if any(cells):
                rows.append([f"{name} after {epoch}", *map(_text, cells)])
    return table("By epoch", _heads(runs), rows)


def _health(runs: Sequence[Run]) -> str:
    """The last look of each run, by array."""
    if not any(run.health for run in runs):
        return ""
    rows = []
    for column, (kind, title) in HEALTH_FIGURES.items():
        last = [
            {row["name"]: row[column] for row in run.health or [] if row["kind"] == kind and row[column]}
            for run in runs
        ]
        for name in {name: None for figures in last for name in figures}:
            if column in ("dead", "saturated") or not name.endswith(".bias"):
                rows.append([_text(f"{title}, {name}"), *(_text(figures.get(name)) for figures in last)])
    return table("Health at the last look", _heads(runs), rows)


def _findings(runs: Sequence[Run]) -> str:
    """The codes of both runs' findings."""
    if not any(run.findings is not None for run in runs):
        return ""
    lines = ["Findings"]
    for run in runs:
        if run.findings is None:
            lines.append(f"{run.path}: not looked for (fastnet train --health)")
            continue
        found = [f"{f['severity']}: {f['code']}{' in ' + f['layer'] if f['layer'] else ''}" for f in run.findings]
        lines.append(f"{run.path}: {'; '.join(found) or 'nothing'}")
    return "\n".join(lines)
