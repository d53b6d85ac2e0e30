"""Experiments on the shipped digits that show what weights do: numbers, and pages that explain them.

    import fastnet as fn

    numbers = fn.lab.run("neuron")           # what the experiment measured
    fn.lab.write("neuron", "fastnet-lab")    # the page and the numbers, as files

A module for each experiment has `TITLE`, `QUESTION`, ``run(seed, quick)`` and ``page(numbers)``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastnet import checks, config, files
from fastnet.lab.measure import data

if TYPE_CHECKING:
    from fastnet.reports.page import Page
    from fastnet.types import Path

__all__ = ["EXPERIMENTS", "FOLDER", "page", "run", "write", "write_all", "write_index"]

#: In the order in which a learner asks.
EXPERIMENTS = (
    "neuron",
    "gradient-descent",
    "activations",
    "init",
    "learning-rate",
    "optimizers",
    "regularization",
    "filters",
    "depth",
)

#: Where the pages go by default.
FOLDER = "fastnet-lab"
INDEX = "index.html"


def _module(name: str) -> Any:
    checks.choice("name", name, EXPERIMENTS)
    return importlib.import_module(f"fastnet.lab.{name.replace('-', '_')}")


def run(name: str, *, seed: int = 0, quick: bool = False) -> dict[str, Any]:
    """Run an experiment.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    seed : int, default 0
        Of first weights and of everything else that is random.
    quick : bool, default False
        Fewer epochs, for a first look.

    Returns
    -------
    dict
        What it measured: numbers, texts, lists and dicts, as JSON has them; None for what is not finite.

    Raises
    ------
    ValueError, TypeError
        There is no such experiment.

    Examples
    --------
    >>> import fastnet as fn
    >>> round(fn.lab.run("neuron")["example"]["sum"], 6)
    -0.25
    """
    module = _module(name)
    seed = checks.whole_number("seed", seed, least=0)
    quick = checks.flag("quick", quick)
    with config.threads(1):  # networks this small gain nothing from more, and lose much on a busy machine
        found = module.run(seed=seed, quick=quick)
    (x, _), (x_test, _) = data()
    samples = {"training": len(x), "test": len(x_test)}
    return files.plain({"experiment": name, "seed": seed, "quick": quick, "samples": samples, **found})


def page(name: str, numbers: dict[str, Any], *, links: Sequence[Any] = ()) -> Page:
    """The page of an experiment.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    numbers : dict
        What `run` returned, or `json.load` read from its file.
    links : list of (text, file), optional
        To pages beside this one.

    Returns
    -------
    fastnet.reports.Page

    Raises
    ------
    ModuleNotFoundError
        matplotlib is missing; the message says what to install.
    """
    made = _module(name).page(numbers)
    made.links = list(links)
    return made


def write(name: str, folder: Path = FOLDER, *, seed: int = 0, quick: bool = False,
          links: Sequence[Any] = ()) -> list[str]:  # fmt: skip
    """Run an experiment, and write NAME.json, the numbers, and NAME.html, the page.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    folder : path, default "fastnet-lab"
        Made where it is missing. Files of these names are replaced.
    seed, quick
        As of `run`.
    links : list of (text, file), optional
        To pages beside this one.

    Returns
    -------
    list of str
        The files. Without matplotlib only the numbers are written.
    """
    numbers = run(name, seed=seed, quick=quick)
    os.makedirs(folder, exist_ok=True)
    written = [os.path.join(folder, f"{name}.json")]
    files.write_json(written[0], numbers)
    try:
        made = page(name, numbers, links=links)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        return written
    written.append(os.path.join(folder, f"{name}.html"))
    made.write(written[1])
    return written


def write_all(folder: Path = FOLDER, *, seed: int = 0, quick: bool = False) -> Iterator[list[str]]:
    """Write every experiment's page, and index.html, which leads through them.

    Parameters
    ----------
    folder, seed, quick
        As of `write`.

    Yields
    ------
    list of str
        The files of one experiment, as soon as they are written; at last the index.
    """
    for i, name in enumerate(EXPERIMENTS):
        links = [("All experiments", INDEX)]
        if i > 0:
            links.append((f"← {_module(EXPERIMENTS[i - 1]).TITLE}", f"{EXPERIMENTS[i - 1]}.html"))
        if i + 1 < len(EXPERIMENTS):
            links.append((f"{_module(EXPERIMENTS[i + 1]).TITLE} →", f"{EXPERIMENTS[i + 1]}.html"))
        yield write(name, folder, seed=seed, quick=quick, links=links)
    yield [write_index(folder)]


def write_index(folder: Path = FOLDER) -> str:
    """Write index.html, which leads through the pages that are in the folder, in their order; returns its path."""
    from fastnet.reports import Page, prose

    index = Page(
        "The fastnet lab",
        "Small experiments that show what a neural network's weights are, how they learn, and what goes wrong.",
    )
    index.prose(
        "Each page ran an experiment on this machine with fastnet: mostly networks that read the handwritten digits "
        "of 8 × 8 pixels which the package ships. Every number in the text was measured in that run. Each page says "
        "what was run, so that you can repeat it and change it.\n\nRead them in this order, or start where your "
        "question is."
    )
    there = [name for name in EXPERIMENTS if os.path.exists(os.path.join(folder, f"{name}.html"))]
    index.definitions(
        (prose(f"{i}. [{_module(name).TITLE}]({name}.html)"), _module(name).QUESTION) for i, name in enumerate(there, 1)
    )
    path = os.path.join(folder, INDEX)
    index.write(path)
    return path
