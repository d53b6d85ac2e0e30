"""The report of a training: one HTML page, and its numbers as JSON beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnet import checks, files
from fastnet.health.weights import findings_of_weights
from fastnet.network import Network, check_network
from fastnet.reports.internals import first_filters, internals_of
from fastnet.reports.results import check_data, results_of
from fastnet.reports.run import read_run
from fastnet.training import History

if TYPE_CHECKING:
    from fastnet.types import ArrayLike, Path

__all__ = ["report"]


def report(history_or_run: History | Path, path: Path, *, net: Network | None = None,
           data: tuple[ArrayLike, ArrayLike] | None = None, class_names: Sequence[str] | None = None,
           title: str | None = None) -> list[str]:  # fmt: skip
    """Write the report of a training: PATH, a page in one file, and its numbers beside it, as JSON.

    The page has a summary, curves of loss and metrics, the learning rate, findings, and all that is needed to repeat the
    training. With data that was not trained on it also has the confusion matrix, figures of each class and the most
    confident mistakes, or the errors of a regression; with a health monitor the weights, gradients, updates and activations
    over time. It opens without a network.

    Parameters
    ----------
    history_or_run : History or path
        What `fit` returned, or the directory that ``fastnet train`` wrote.
    path : path
        The page, such as "report.html"; the numbers go to "report.json".
    net : Network, optional
        The one that was trained, for its filters and results; that of a run's directory by default.
    data : (x, y), optional
        Labelled data, best data that was not trained on. By default the test part of a run's data, if it is still there.
    class_names : list of str, optional
        By default the run's, or numbers.
    title : str, optional

    Returns
    -------
    list of str
        The files.

    Raises
    ------
    ValueError, TypeError, OSError
        Something does not fit, or can't be read or written.
    ModuleNotFoundError
        matplotlib is missing; the numbers are written, and the message says what to install.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastnet as fn
    >>> (x, y), test = fn.datasets.digits()
    >>> net = fn.Network([fn.Flatten(), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    >>> history = net.fit(x, y, epochs=2, loss="softmax_cross_entropy", validation=test, health=True, verbose=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = fn.report(history, os.path.join(folder, "report.html"), net=net, data=test)
    >>> [os.path.basename(file) for file in written]
    ['report.json', 'report.html']
    """
    path = os.fspath(path)
    stem, ending = os.path.splitext(path)
    if ending not in (".html", ".htm"):
        raise ValueError(f"path must end with .html, the page; the numbers go to a .json beside it; got {path!r}")
    numbers, pictures = contents(history_or_run, net=net, data=data, class_names=class_names, title=title)
    written = [f"{stem}.json", path]
    files.write_json(written[0], numbers)
    from fastnet.reports.training_page import page

    page(numbers, pictures).write(path)
    return written


def contents(history_or_run: History | Path, *, net: Network | None = None,
             data: tuple[ArrayLike, ArrayLike] | None = None, class_names: Sequence[str] | None = None,
             title: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    """The numbers of a report, and its pictures as arrays: "mistakes" and "filters".

    The parameters are those of `report`.
    """
    if net is not None:
        check_network(net)
    if data is not None:
        check_data(data)
    if title is not None and not (isinstance(title, str) and title.strip()):
        raise TypeError(f"title must be a text; got {checks.describe(title)}")
    if isinstance(history_or_run, History):
        run = _from_history(history_or_run, net, data, class_names)
    elif isinstance(history_or_run, (str, os.PathLike)):
        run = read_run(history_or_run, net, data, class_names)
    else:
        raise TypeError(
            f"history_or_run must be a History or the directory of a run; got {checks.describe(history_or_run)}"
        )
    numbers = {"title": title or run.pop("title"), **run.pop("numbers")}
    net, encoder = run["net"], run["encoder"]
    pictures: dict[str, Any] = {"mistakes": None, "filters": None}
    numbers["network"] = None if net is None else net.summary()
    numbers["results"] = None
    if run["data"] is not None:
        x, y = run["data"]
        numbers["results"], pictures["mistakes"] = results_of(net, x, y, run["class_names"], encoder)
    numbers["filters"] = None
    if net is not None:
        found = first_filters(net)
        if found is not None:
            numbers["filters"], pictures["filters"] = found
        if numbers["findings"] is None:
            numbers["weights_findings"] = [finding.to_dict() for finding in findings_of_weights(net.graph)]
    return files.plain(numbers), pictures


def _from_history(history: History, net: Network | None, data: tuple[ArrayLike, ArrayLike] | None,
                  class_names: Sequence[str] | None) -> dict[str, Any]:  # fmt: skip
    if data is not None and net is None:
        raise ValueError("data needs net=, the network that was trained: fn.report(history, path, net=net, data=data)")
    if class_names is not None and data is None:
        raise ValueError("class_names needs data=(x, y)")
    health = history.health
    seconds = [value for value in history.seconds if value == value]
    numbers = {
        "source": "history",
        "epochs": history.epochs,
        "seconds": sum(seconds) if seconds else None,
        "stopped": history.stopped,
        "samples": {
            name: history.settings[key]
            for name, key in (("training", "samples"), ("validation", "validation_samples"))
            if key in history.settings
        },
        "curves": dict(history),
        "learning_rates": history.learning_rates,
        "tested": {},
        "settings": history.settings,
        "command": None,
        "no_data": None
        if data is not None
        else "It was not given labelled data: fn.report(history, path, net=net, data=(x, y)).",
        "findings": None if health is None else [finding.to_dict() for finding in history.findings],
        "health": None if health is None else internals_of(health.table.columns(), health.table.histograms()),
    }
    return {
        "title": "Report of a training",
        "numbers": numbers,
        "net": net,
        "data": data,
        "class_names": class_names,
        "encoder": None,
    }
