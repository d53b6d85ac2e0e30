"""Callbacks that write the figures of each epoch to a file, or keep the learning rates of all updates."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, files, schedules
from fastnet.files import register
from fastnet.training.callbacks import Callback

if TYPE_CHECKING:
    from fastnet.training.trainer import Trainer
    from fastnet.types import Figures, Path

__all__ = ["CSVLogger", "JSONLogger", "LearningRateLogger"]


class _EpochLogger(Callback):
    """Writes one record for each epoch; a subclass says how records look.

    The file is opened for each record and closed behind it, so that all finished epochs are in it, whatever ends the process.
    """

    on_one_rank = True
    may_differ = ("path", "append")
    writes_to = ("path",)

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self.path = checks.path("path", path)
        self.append = checks.flag("append", append)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"path": self.path, "append": self.append}

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        """Write what the Trainer has trained already, or look at what is there: a bad path fails before training."""
        if self.append and files.holds_something(self.path):
            self.continue_file(trainer)
        else:
            history = trainer.history
            figures = ({name: values[i] for name, values in history.items()} for i in range(history.epochs))
            self.write_records(trainer, [_record(trainer, i, found) for i, found in enumerate(figures)])

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        self.add_record(trainer, _record(trainer, trainer.history.epochs - 1, logs))

    def continue_file(self, trainer: Trainer) -> None: ...

    def write_records(self, trainer: Trainer, records: list[dict[str, Any]]) -> None: ...

    def add_record(self, trainer: Trainer, record: dict[str, Any]) -> None: ...


def _record(trainer: Trainer, i: int, figures: Mapping[str, float]) -> dict[str, Any]:
    """An epoch's figures between its number, counted from 1, and its learning rate and time."""
    history = trainer.history
    return {
        "epoch": i + 1,
        **figures,
        "learning_rate": history.learning_rates[i],
        "seconds": history.seconds[i],
    }


@register
class CSVLogger(_EpochLogger):
    """Write a line of a CSV table after each epoch, and the names of the columns before the first one.

    The columns are "epoch" (from 1), the loss and metrics, "val_..." of the validation, "learning_rate" (of the epoch's first
    step) and "seconds". A figure that appears later, as from another callback that adds to `logs`, becomes another
    column, empty in the lines before it. ``history.save(path)`` writes the figures alone, after training.

    Parameters
    ----------
    path : str or Path
    append : bool, default False
        Go on behind what is in the file; its columns are kept. By default the file is replaced when training begins, by the epochs
        that this Trainer has trained so far: a second ``trainer.fit`` goes on in it, a second ``net.fit`` starts anew.

    Raises
    ------
    ValueError, OSError
        When training begins, before the first step: the file can't be written, or `append` finds one that is no such table.

    Examples
    --------
    >>> import os, tempfile, numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log.csv")
    ...     history = net.fit(np.ones((8, 2)), np.ones(8), loss="mse", epochs=2, callbacks=[fn.CSVLogger(path)], verbose=0)
    ...     lines = open(path).read().splitlines()
    >>> lines[0], len(lines)
    ('epoch,loss,learning_rate,seconds', 3)
    """

    def continue_file(self, trainer: Trainer) -> None:
        header, *_ = _read_table(self.path)
        if "epoch" not in header:
            raise ValueError(
                f"append=True: {self.path} is not a table of epochs; its first line is {','.join(header)[:60]!r}"
            )
        files.end_last_line(self.path)
        trainer.state(self)["columns"] = header

    def write_records(self, trainer: Trainer, records: list[dict[str, Any]]) -> None:
        columns = list(records[0]) if records else []
        files.write_bytes(self.path, _csv_bytes([columns, *(_cells(r, columns) for r in records)] if columns else []))
        trainer.state(self)["columns"] = columns

    def add_record(self, trainer: Trainer, record: dict[str, Any]) -> None:
        state = trainer.state(self)
        columns = state["columns"]
        new = [name for name in record if name not in columns]
        if not new:
            files.append_bytes(self.path, _csv_bytes([_cells(record, columns)]))
            return
        table = _read_table(self.path)[1:] if columns else []
        state["columns"] = columns = [*columns, *new]
        table = [row + [""] * (len(columns) - len(row)) for row in table]
        files.write_bytes(self.path, _csv_bytes([columns, *table, _cells(record, columns)]))


def _read_table(path: str) -> list[list[str]]:
    with open(files.existing_file(path), encoding="utf-8-sig", newline="") as file:  # as spreadsheets write it
        try:
            return list(csv.reader(file))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a CSV file: {error}") from None


def _cells(record: dict[str, Any], columns: Iterable[str]) -> list[str]:
    return [_cell(record[name]) if name in record else "" for name in columns]


def _cell(value: Any) -> str:
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def _csv_bytes(rows: list[list[Any]]) -> bytes:
    return files.csv_text(rows[0], rows[1:]).encode() if rows else b""


@register
class JSONLogger(_EpochLogger):
    """Write a line of JSON after each epoch: an object with the figures that `CSVLogger` has as columns.

    The lines are standard JSON, by themselves: a figure that is not finite is null.

    Parameters
    ----------
    path : str or Path
    append : bool, default False
        As of `CSVLogger`.

    Raises
    ------
    ValueError, OSError
        When training begins, before the first step: the file can't be written, or `append` finds one that has no JSON lines.

    Examples
    --------
    >>> import json, os, tempfile, numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log.jsonl")
    ...     history = net.fit(np.ones((8, 2)), np.ones(8), loss="mse", epochs=2, callbacks=[fn.JSONLogger(path)], verbose=0)
    ...     epochs = [json.loads(line) for line in open(path)]
    >>> [epoch["loss"] for epoch in epochs] == history["loss"]
    True
    """

    def continue_file(self, trainer: Trainer) -> None:
        with open(files.existing_file(self.path), encoding="utf-8", errors="replace") as file:
            line = file.readline()
        try:
            is_object = isinstance(files.parse_json(line), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise ValueError(f"append=True: {self.path} does not have lines of JSON; its first one is {line[:60]!r}")
        files.end_last_line(self.path)

    def write_records(self, trainer: Trainer, records: list[dict[str, Any]]) -> None:
        files.write_bytes(self.path, b"".join(map(_json_line, records)))

    def add_record(self, trainer: Trainer, record: dict[str, Any]) -> None:
        files.append_bytes(self.path, _json_line(record))


def _json_line(record: dict[str, Any]) -> bytes:
    # Other callbacks may have put anything into the logs: text says what it was, as in a table.
    return (json.dumps(files.plain(record), ensure_ascii=False, allow_nan=False, default=str) + "\n").encode()


@register
class LearningRateLogger(Callback):
    """Keep the learning rate of every update, also within an epoch: what a schedule really did.

    (That of each epoch's first update is in ``history.learning_rates`` in any case, and `CSVLogger`, `JSONLogger` and
    `TensorBoard` write it.) The rates are computed from the schedule at the end of an epoch, so that training does not
    return to Python for them; a rate that is changed by hand within an epoch counts from the next one on.

    It is for one run at a time: with another Trainer (each `Network.fit` makes one) it begins anew.

    Attributes
    ----------
    steps : ndarray (updates,) of int
        The number of each update, from 1.
    rates : ndarray (updates,)
        The optimizer's rate, times ``trainer.rate_factor``.
    group_rates : ndarray (updates, groups)
        Those of the parameter groups with rates of their own, in their order; of Muon also those of its `others`.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> rates = fn.LearningRateLogger()
    >>> optimizer = fn.SGD(fn.schedules.Warmup(0.1, 4))
    >>> history = net.fit(np.ones((8, 2)), np.ones(8), batch_size=4, loss="mse", optimizer=optimizer, epochs=3,
    ...                   callbacks=[rates], verbose=0)
    >>> rates.rates.round(3).tolist()
    [0.0, 0.025, 0.05, 0.075, 0.1, 0.1]
    """

    on_one_rank = True

    def __init__(self) -> None:
        self._trainer: Trainer | None = None

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    @property
    def steps(self) -> np.ndarray:
        return np.array(self._state()["steps"], np.int64)

    @property
    def rates(self) -> np.ndarray:
        return self._table()[:, 0]

    @property
    def group_rates(self) -> np.ndarray:
        return self._table()[:, 1:]

    def _state(self) -> dict[str, Any]:
        return {"steps": [], "rates": []} if self._trainer is None else self._trainer.state(self)

    def _table(self) -> np.ndarray:
        rates = self._state()["rates"]
        return np.array(rates) if rates else np.empty((0, 1))

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        self._trainer = trainer
        state = trainer.state(self)
        state.setdefault("steps", [])
        state.setdefault("rates", [])
        state["begun"] = None

    def on_epoch_begin(self, trainer: Trainer, logs: Figures) -> None:
        # What other callbacks may change at the epoch's end, before it is this one's turn. None stands for a schedule.
        numbers = [
            None if isinstance(source.learning_rate, schedules.Schedule) else source.learning_rate
            for source in trainer.update.sources
        ]
        trainer.state(self)["begun"] = [trainer.step, trainer.history.epochs, trainer.rate_factor, numbers]

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        self._add(trainer)

    def on_train_end(self, trainer: Trainer, logs: Figures) -> None:
        self._add(trainer)

    def _add(self, trainer: Trainer) -> None:
        """Add the updates since the epoch's begin; none twice."""
        state = trainer.state(self)
        if state["begun"] is None:
            return
        step, epoch, factor, numbers = state["begun"]
        state["begun"] = None
        n = trainer.step - step
        columns = [
            source.learning_rate.rates(step, n, epoch) if number is None else np.full(n, number)
            for source, number in zip(trainer.update.sources, numbers, strict=True)
        ]
        state["steps"] += range(step + 1, step + n + 1)
        state["rates"] += (np.stack(columns, axis=1) * factor).tolist()
