"""What a report needs from the directory that ``fastnet train`` wrote."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import datasets, files
from fastnet.files.runs import FINDINGS, HEALTH, HISTOGRAMS, HISTORY, MARK, MODEL
from fastnet.health import Finding
from fastnet.health.table import COLUMNS, read_histograms
from fastnet.network import load
from fastnet.reports.internals import internals_of

if TYPE_CHECKING:
    from fastnet.network import Network
    from fastnet.types import Array, Path

__all__ = ["read_run"]

#: Options of a run that say how its data is read.
READING = ("target", "task", "missing", "size", "channels")


def read_run(path: Path, net: Network | None = None, data: tuple[Any, Any] | None = None,
             class_names: Sequence[str] | None = None) -> dict[str, Any]:  # fmt: skip
    """Everything of a run, as `training.contents` takes it.

    Parameters
    ----------
    path : path
        The directory of a finished run.
    net : Network, optional
        Instead of the saved one.
    data : (x, y), optional
        Instead of the test part of the run's data.
    class_names : list of str, optional
        Instead of the encoder's.

    Raises
    ------
    OSError, ValueError
        There is no finished run, or one of its files is damaged.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        raise FileNotFoundError(f"there is no directory {path}; a report is made of a History or of a run's directory")
    if not os.path.exists(os.path.join(path, MARK)):
        raise FileNotFoundError(f"{path} is not the directory of a finished run: it has no {MARK}")
    description = files.read_json(os.path.join(path, MARK), dict)
    net = load(os.path.join(path, MODEL)) if net is None else net
    with files.taken_up(f"{path}: a file of the run is damaged"):
        return _contents(path, description, net, data, class_names)


def _contents(path: str, description: dict[str, Any], net: Network, data: tuple[Any, Any] | None,
              class_names: Sequence[str] | None) -> dict[str, Any]:  # fmt: skip
    options = description.get("options", {})
    if not isinstance(options, dict):
        raise ValueError(f"{MARK} has {options!r} for options")
    config = net.extra.get("encoder") if isinstance(net.extra, dict) else None
    encoder = None if config is None else datasets.Encoder.from_config(config)
    reason = None
    if data is None:
        data, reason = _test_part(options, encoder)
    findings = os.path.join(path, FINDINGS)
    numbers = {
        "source": "run",
        "epochs": description.get("epochs", 0),
        "seconds": description.get("seconds"),
        "stopped": description.get("stopped"),
        "samples": description.get("samples", {}),
        "curves": _history(os.path.join(path, HISTORY)),
        "learning_rates": description.get("learning_rates", []),
        "tested": description.get("results", {}),
        "settings": {
            **options,
            **{name: description[name] for name in ("fastnet", "isa", "threads") if name in description},
        },
        "command": description.get("command"),
        "no_data": reason,
        "findings": _findings(findings) if os.path.exists(findings) else None,
        "health": _health(path),
    }
    return {
        "title": f"Report of the run “{os.path.basename(os.path.abspath(path))}”",
        "numbers": numbers,
        "net": net,
        "data": data,
        "class_names": class_names if class_names is not None or encoder is None else encoder.classes,
        "encoder": encoder,
    }


def _test_part(options: dict[str, Any],
               encoder: datasets.Encoder | None) -> tuple[tuple[Any, Any] | None, str | None]:  # fmt: skip
    """(x, y) and None, or None and why there is none."""
    path = options.get("data")
    if path is None or encoder is None:
        return None, "The run does not say which data it was trained on."
    if path != "digits" and not os.path.exists(path):
        return None, f"The data is not there any more: {path}."
    given = {name: options[name] for name in READING if options.get(name) is not None}
    if "size" in given:
        given["size"] = tuple(int(n) for n in str(given["size"]).split(","))
    try:
        data = datasets.load(path, **given)
        x, y = data.x_test, data.y_test
        same = data.encoder.config() == encoder.config()
    except (ValueError, OSError) as error:
        return None, f"The data can't be read any more: {error}."
    return ((x, y), None) if same else (None, f"The data has changed since the training: {path}.")


def _findings(path: str) -> list[dict[str, Any]]:
    items = files.read_json(path, list)
    try:
        return [Finding.from_dict(item).to_dict() for item in items]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _health(path: str) -> dict[str, Any] | None:
    """What a monitor saw, if there was one."""
    table, histograms = os.path.join(path, HEALTH), os.path.join(path, HISTOGRAMS)
    if not os.path.exists(table):
        return None
    columns = _table(table)
    rows = len(columns["step"]) if columns else 0
    return internals_of(columns, read_histograms(histograms, rows) if os.path.exists(histograms) else None)


def _history(path: str) -> dict[str, list[float]]:
    rows = files.read_rows(path)
    return {
        name: _numbers(path, [row[name] for row in rows]).tolist()
        for name in (rows[0] if rows else ())
        if name != "epoch"
    }


def _table(path: str) -> dict[str, Array]:
    """A health table's columns."""
    rows = files.read_rows(path)
    texts = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    if rows and not set(COLUMNS) <= set(texts):
        raise ValueError(f"{path} is damaged: it has no column {sorted(set(COLUMNS) - set(texts))[0]!r}")
    return {
        name: np.array(values, object) if name in ("name", "kind") else _numbers(path, values)
        for name, values in texts.items()
    }


def _numbers(path: str, texts: Iterable[str]) -> Array:
    try:
        return np.array([float(text) if text else np.nan for text in texts])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
