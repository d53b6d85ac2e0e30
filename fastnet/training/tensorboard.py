"""The callback that writes for TensorBoard, by the package tensorboard alone: neither TensorFlow nor PyTorch is needed."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, files
from fastnet.files import register
from fastnet.graph import INPUT
from fastnet.training.callbacks import Callback

if TYPE_CHECKING:
    from fastnet.graph import Graph
    from fastnet.training.trainer import Trainer
    from fastnet.types import Figures, Path

__all__ = ["TensorBoard"]

BINS = 64  # of a histogram of weights, as many as a health monitor's have

# Letters that mean something in a graph's names, and what stands for them.
SAFE = str.maketrans({".": "/", ":": "\N{RATIO}", "^": "\N{CARET}"})


@register
class TensorBoard(Callback):
    """Write what ``tensorboard --logdir DIRECTORY`` shows: curves, histograms, and the graph of the network.

    Curves are named as Keras names them: "epoch_loss", "epoch_accuracy" and so on, training in DIRECTORY/train, validation in
    DIRECTORY/validation, so that both are in one chart, and "epoch_learning_rate". Histograms of the weights have the parameters'
    names. With a health monitor (``fit(health=True)``) there are also histograms of gradients, updates and activations, as it
    last saw them in the epoch; they cost nothing further. The steps of all are epochs, counted from 1.

    Files are written and closed after each epoch. Where a directory has an older run, TensorBoard shows the new one in its
    place; a second ``trainer.fit`` goes on.

    Parameters
    ----------
    directory : str or Path
        Made if it isn't there.
    histograms : int, default 1
        Epochs from one histogram to the next; 0 writes none. (Keras: `histogram_freq`, 0 by default.)
    graph : bool, default True
        Write the graph: layers with their types, shapes and parameters, grouped by blocks.

    Raises
    ------
    ModuleNotFoundError
        tensorboard is missing: ``pip install "fastnet-cpu[tensorboard]"``.
    OSError
        When training begins, before the first step: the directory can't be made, or written to.

    Examples
    --------
    >>> import os, tempfile, numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     history = net.fit(np.ones((8, 2)), np.ones(8), loss="mse", epochs=2, callbacks=[fn.TensorBoard(folder)])
    ...     print(os.listdir(folder))
    ['train']
    """

    on_one_rank = True
    may_differ = ("directory", "histograms", "graph")
    writes_to = ("directory",)

    def __init__(self, directory: Path, *, histograms: int = 1, graph: bool = True) -> None:
        self.directory = checks.path("directory", directory)
        self.histograms = checks.whole_number("histograms", histograms, least=0)
        self.graph = checks.flag("graph", graph)
        _require_tensorboard()

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"directory": self.directory, "histograms": self.histograms, "graph": self.graph}

    def state_to_save(self, trainer: Trainer) -> dict[str, Any]:
        """Nothing: a training that goes on writes files of its own, which TensorBoard joins to the former ones."""
        return {}

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        state = trainer.state(self)
        state["files"] = {}
        state["looks"] = _looks(trainer)
        self._write(trainer, "train", [_graph_event(trainer.net.graph)] if self.graph else [])

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        epoch = trainer.history.epochs
        runs = {"train": {"epoch_learning_rate": trainer.history.learning_rates[-1]}}
        for name, value in logs.items():
            run = "validation" if name.startswith("val_") else "train"
            runs.setdefault(run, {})[f"epoch_{name.removeprefix('val_')}"] = value
        for run, figures in runs.items():
            # Other callbacks may have put anything into the logs.
            values = [
                {"tag": name, "simple_value": float(value)}
                for name, value in figures.items()
                if isinstance(value, (int, float, np.number))
            ]
            if run == "train" and self.histograms and epoch % self.histograms == 0:
                values += self._histograms(trainer)
            self._write(trainer, run, [{"step": epoch, "summary": {"value": values}}])

    def _histograms(self, trainer: Trainer) -> list[dict[str, Any]]:
        found = [_histogram_value(p.name, "weight", *_counted(p.value)) for p in trainer.net.parameters()]
        state, looks = trainer.state(self), _looks(trainer)
        if looks != state["looks"]:
            state["looks"] = looks
            for name, kind, head, counts in trainer.history.health.table.newest():
                if kind != "weight" and head["size"] > head["bad"]:
                    found.append(_histogram_value(name, kind, head, counts))
        return found

    def _write(self, trainer: Trainer, run: str, events: list[dict[str, Any]]) -> None:
        """Add events to a run's file; a file that isn't there yet begins with its version and where the run begins."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        now = time.time()
        paths = trainer.state(self)["files"]
        if run not in paths:
            folder = os.path.join(self.directory, run)
            files.make_directory(folder)
            # Files are read in the order of their names; the process tells apart what two of them begin at the same time.
            paths[run] = os.path.join(folder, f"events.out.tfevents.{now:.6f}.{os.getpid()}")
            # TensorBoard leaves out what older files of the run have for this step and later ones.
            step = trainer.history.epochs + (run == "train")  # the validation's begins with its first epoch
            start = {"step": step, "session_log": {"status": SessionLog.START}}
            events = [{"file_version": "brain.Event:2"}, start, *events]
        records = io.BytesIO()
        writer = RecordWriter(records)
        for event in events:
            writer.write(Event(wall_time=now, **event).SerializeToString())
        # A path may come from a checkpoint.
        files.append_bytes(
            files.check_inside(self.directory, os.path.abspath(paths[run]), "the events go to"), records.getvalue()
        )


def _require_tensorboard() -> None:
    try:
        import tensorboard  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "tensorboard":
            raise
        message = 'TensorBoard needs the package tensorboard: pip install "fastnet-cpu[tensorboard]"'
        raise ModuleNotFoundError(message, name="tensorboard") from None


def _looks(trainer: Trainer) -> int:
    """How often a health monitor has looked."""
    health = trainer.history.health
    return 0 if health is None else len(health.table)


def _counted(array: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Figures and histogram of an array's finite elements, as `HealthTable.newest` has them."""
    values = array[np.isfinite(array)].astype(np.float64)
    if not len(values):
        return {"size": 0.0, "bad": 0.0, "sum": 0.0, "squares": 0.0, "least": 0.0, "greatest": 0.0}, np.zeros(BINS)
    least, greatest = float(values.min()), float(values.max())
    head = {
        "size": float(len(values)),
        "bad": 0.0,
        "sum": float(values.sum()),
        "squares": float(np.square(values).sum()),
        "least": least,
        "greatest": greatest,
    }
    return head, np.histogram(values, BINS, (least, greatest))[0]


def _histogram_value(name: str, kind: str, head: dict[str, Any], counts: Any) -> dict[str, Any]:
    tag = name.replace(".", "/") + ("" if kind == "weight" else f"/{kind}")
    least, greatest = head["least"], head["greatest"]
    edges: Any = np.linspace(least, greatest, len(counts) + 1)[1:]
    if least == greatest:
        edges, counts = [greatest], [sum(counts)]
    histogram = {
        "min": least,
        "max": greatest,
        "num": head["size"] - head["bad"],
        "sum": head["sum"],
        "sum_squares": head["squares"],
        "bucket_limit": edges,
        "bucket": counts,
    }
    return {"tag": tag, "histo": histogram}


def _graph_event(graph: Graph) -> dict[str, Any]:
    """The network as TensorFlow describes graphs: a node for the input and for each layer, with shapes of a batch."""
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    nodes = [{"name": INPUT, "op": "Placeholder", "attr": _shape_of(graph.input_shape)}]
    for node in graph.nodes:
        parameters = ", ".join(f"{p.local_name} {p.shape}" for p in node.layer.parameters())
        about = {"layer": {"s": repr(node.layer).encode()}, "parameters": {"s": (parameters or "none").encode()}}
        nodes.append({
            "name": node.name.translate(SAFE),
            "op": type(node.layer).__name__,
            "input": [name.translate(SAFE) for name in node.inputs],
            "attr": _shape_of(node.shape) | about,
        })  # fmt: skip
    described = GraphDef(node=nodes, versions={"producer": 22})
    return {"graph_def": described.SerializeToString()}


def _shape_of(shape: Iterable[int | None]) -> dict[str, Any]:
    """The attribute of an output's shape, for batches of any size."""
    return {"_output_shapes": {"list": {"shape": [{"dim": [{"size": size} for size in (-1, *shape)]}]}}}
