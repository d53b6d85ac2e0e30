"""Writes the figures of docs/weights.md: panels of the lab's pages, from runs of its experiments.

    python scripts/make_figures.py

A minute or two. The files in docs/figures are kept in the repository, so that the document can be read without a run.
"""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import fastnet as fn
from fastnet import files

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "figures"

#: File -> experiment, and how the text begins that the page gives to the panel.
FIGURES = {
    "sigmoid.svg": ("neuron", "The function sigmoid and its slope"),
    "relu.svg": ("neuron", "The function relu and its slope"),
    "descent.svg": ("gradient-descent", "The three losses over the steps"),
    "init-values.svg": ("init", "The size of the values behind each of 30 layers with relu"),
    "init-gradients.svg": ("init", "The size of the gradients behind each of 30 layers with relu"),
    "init-training.svg": ("init", "Training loss over the epochs with relu"),
    "learning-rate.svg": ("learning-rate", "The final loss over the learning rate"),
    "range-test.svg": ("learning-rate", "For each optimizer the loss over the rising learning rate"),
    "schedules.svg": ("learning-rate", "The learning rate over the steps"),
    "overfitting.svg": ("regularization", "Training loss falls and falls"),
    "weights.svg": ("regularization", "Distributions of the weights after training"),
    "optimizers.svg": ("optimizers", "Training loss over the epochs"),
    "filters.svg": ("filters", "A grid: the 8 filters of the first layer"),
    "depth-gradients.svg": ("depth", "The size of each layer's gradient"),
    "depth-accuracy.svg": ("depth", "Test accuracy after training"),
}

IMAGE = re.compile(r'<img src="data:image/svg\+xml;base64,(?P<data>[^"]+)" alt="(?P<alt>[^"]+)"')


def panels(experiment: str) -> dict[str, bytes]:
    """The SVG images of an experiment's page, by the texts that stand for them."""
    page = fn.lab.page(experiment, fn.lab.run(experiment)).html()
    return {html.unescape(found["alt"]): base64.b64decode(found["data"]) for found in IMAGE.finditer(page)}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    shown = {experiment: panels(experiment) for experiment in dict.fromkeys(name for name, _ in FIGURES.values())}
    for file, (experiment, beginning) in FIGURES.items():
        found = [(alt, image) for alt, image in shown[experiment].items() if alt.startswith(beginning)]
        if len(found) != 1:
            raise SystemExit(f"{file}: {len(found)} panels of the experiment {experiment!r} begin with {beginning!r}")
        alt, image = found[0]
        files.write_bytes(FOLDER / file, image)
        print(f"{file}: {len(image):,} bytes. {alt}")


if __name__ == "__main__":
    main()
