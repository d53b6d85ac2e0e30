"""``fastnet inspect``: what a saved network's weights say."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnet import files
from fastnet.files.runs import MODEL

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "show a saved network: layers, figures and histograms of its weights, and what is wrong with them"
DESCRIPTION = (
    "Print the layers of a network that fastnet has saved, what it was trained with, and for each parameter mean, standard "
    "deviation, least and greatest value, share of zeros, norm, effective rank (Roy & Vetterli 2007) and a histogram; and "
    "what the weights alone show to be wrong."
)

BLOCKS, LETTERS = "▁▂▃▄▅▆▇█", ".:-=+*%@"
COLUMNS = ("mean", "std", "least", "greatest", "zeros", "norm", "rank", "bad")
HEADINGS = ("parameter", "shape", *COLUMNS)
TEXT_COLUMNS = 2
NAME_LETTERS = 40


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of ``fastnet inspect``."""
    parser.add_argument("model", metavar="MODEL", help="model.safetensors, or the directory of a run")
    parser.add_argument("--html", metavar="FILE", help="also write a page with histograms and filters")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON instead")


def run(arguments: Namespace) -> int:
    """Load, look, print."""
    from fastnet.network import load
    from fastnet.reports.model import model_numbers, model_page

    path = arguments.model
    if os.path.isdir(path):
        path = os.path.join(path, MODEL)
    if arguments.html is not None and os.path.exists(arguments.html) and os.path.exists(path):
        if os.path.samefile(arguments.html, path):
            raise ValueError(f"--html: {arguments.html} is the network itself")
    net = load(path)
    numbers = files.plain(model_numbers(net, os.path.basename(path)))
    if arguments.html is not None:
        model_page(net, numbers).write(arguments.html)
    if arguments.json:
        print(json.dumps(numbers, ensure_ascii=False, allow_nan=False))
        return 0
    print(_text(numbers))
    if arguments.html is not None:
        print(f"page saved in {arguments.html}")
    return 0


def _text(numbers: dict[str, Any]) -> str:
    parts = [
        numbers["title"],
        numbers["network"],
        _trained(numbers),
        _table(numbers["parameters"]),
        _histograms(numbers["parameters"]),
    ]
    found = numbers["findings"]
    if found:
        parts += [f"{f['severity']}: {f['code']} in {f['layer']}\n  {f['meaning']}\n  {f['remedy']}" for f in found]
    else:
        parts.append("nothing wrong can be seen from the weights alone")
    text = "\n\n".join(part for part in parts if part)
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _trained(numbers: dict[str, Any]) -> str:
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in numbers["training"].items()]
    return "\n".join(lines)


def _table(parameters: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [HEADINGS]
    for name, figures in parameters.items():
        shape = "x".join(map(str, figures["shape"]))
        rows.append((_short(name), shape, *(_cell(column, figures[column]) for column in COLUMNS)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < TEXT_COLUMNS else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    if column == "zeros":
        return f"{100 * value:.1f}%"
    return f"{value:,}" if column == "bad" else f"{value:.1f}" if column == "rank" else f"{value:.4g}"


def _histograms(parameters: dict[str, Any]) -> str:
    """One line for each parameter with more than one value: its least value, a block for each bin, its greatest."""
    shown = {name: figures for name, figures in parameters.items() if figures["size"] > 1 and sum(figures["counts"])}
    if not shown:
        return ""
    signs = _signs()
    wide = max(len(_short(name)) for name in shown)
    return "\n".join(
        f"{_short(name):<{wide}}  {figures['least']:>10.4g} {_bars(figures['counts'], signs)} {figures['greatest']:<.4g}"
        for name, figures in shown.items()
    )


def _signs() -> str:
    """Blocks, or what a terminal without them has."""
    try:
        BLOCKS.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return LETTERS
    return BLOCKS


def _bars(counts: Sequence[int], signs: str) -> str:
    """A sign for each bin: the higher the more values, a space for none."""
    most = max(counts)
    return "".join(" " if n == 0 else signs[min(n * len(signs) // most, len(signs) - 1)] for n in counts)


def _short(name: str) -> str:
    return name if len(name) <= NAME_LETTERS else "..." + name[3 - NAME_LETTERS :]
