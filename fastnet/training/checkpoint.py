"""A training as one file: what `Trainer.save_checkpoint` writes, and the Trainer that goes on from it."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import files
from fastnet.distributed import OneProcess
from fastnet.training import callbacks as callback_module
from fastnet.training.checkpoint_directory import newest
from fastnet.training.checkpoint_state import average_state, optimizer_state, set_average_state, set_optimizer_state
from fastnet.training.faults import Fault
from fastnet.training.fit_settings import FitSettings
from fastnet.training.place import Place, Unfinished

if TYPE_CHECKING:
    from fastnet.distributed import Ranks
    from fastnet.training.callbacks import Callback
    from fastnet.training.trainer import Trainer
    from fastnet.types import Array, Callbacks, Path

__all__ = ["KIND", "VERSION", "resume", "save"]

KIND = "checkpoint"
VERSION = 1  # of what is in the document and how the arrays are called
FIELD = re.compile(r"[A-Za-z_]\w*:0?\d{0,3}(\.\d{1,3})?[defg]?")  # of a path with figures, with its format
COUNTS = ("step", "batches", "gathered", "loss", "weight", "gradient_norm")  # of the control block


def save(trainer: Trainer, path: Path) -> None:
    """Write a trainer's whole state to a safetensors file, at once or not at all."""
    with trainer.net.lock:
        tensors: dict[str, np.ndarray] = {}
        content = {name: files.pack(value, tensors, name) for name, value in _content(trainer).items()}
        files.write_safetensors(path, tensors, {"kind": KIND, "checkpoint": VERSION, "run": trainer.run_id, **content})


def _content(trainer: Trainer) -> dict[str, Any]:
    """Numbers, texts and arrays, nested."""
    update, net = trainer.update, trainer.net
    optimizer = trainer.optimizer.named([p for p in net.graph.parameters.values() if p.trainable])
    unfinished = trainer.unfinished  # until the fit has taken it up
    if unfinished is None and trainer.running is not None:
        unfinished = trainer.running.saved()
    # The parts are in the order in which errors are wanted: what can't be saved is most likely in the callbacks.
    return {
        "fit": None if unfinished is None else _fit(unfinished),
        "network": net.description(),
        "weights": net.state_dict(),
        "trainer": {
            "loss": files.to_config(trainer.loss),
            "metrics": [files.to_config(metric) for metric in trainer.metrics],
            "optimizer": files.to_config(optimizer),
            "average": None if update.average is None else files.to_config(update.average.rule),
            "accumulate": update.accumulate,
            "microbatch": trainer.microbatch,
            "distributed": trainer.distributed.settings(),
            **{f"clip_{item.name}": getattr(update.clipping, item.name) for item in fields(update.clipping)},
        },
        "counts": {name: getattr(trainer.control, name) for name in COUNTS},
        "rate_factor": trainer.rate_factor,
        "optimizer": optimizer_state(update),
        "average": None if update.average is None else average_state(update.average, net.graph),
        "history": trainer.history.state(),
        "fault": None if trainer.fault is None else asdict(trainer.fault),
    }


def _fit(unfinished: Unfinished) -> dict[str, Any]:
    return {
        "callbacks": [
            {
                "class": files.class_name(type(callback)),
                "config": files.to_config(callback)["config"] if hasattr(callback, "config") else None,
                "state": state,
            }
            for callback, state in zip(unfinished.callbacks, unfinished.states, strict=True)
        ],
        "settings": unfinished.settings.config(),
        "place": asdict(unfinished.place),
        "data": unfinished.data,
        "sums": unfinished.sums,
        "loss": unfinished.loss,
        "stop": unfinished.stop,
    }


def resume(make: type[Trainer], path: Path, custom_objects: Mapping[str, type] | None, callbacks: Callbacks,
           ranks: Ranks | None = None) -> Trainer:  # fmt: skip
    """A trainer in the state that a checkpoint holds.

    Parameters
    ----------
    make : type
        Of the trainer.
    path, custom_objects, callbacks
        Of `Trainer.resume`.
    ranks : Ranks, optional
        Of which the first reads the file.
    """
    given, file = callback_module.listed(callbacks), os.fspath(path)
    if ranks is None or ranks.size == 1:
        file, tensors, document = _read(file)
    else:
        with ranks.together():
            read = None
            with ranks.agreeing():
                read = _read(file) if ranks.writes else None
            file, tensors, document = ranks.from_first(read)
    with files.taken_up(f"{file}: cannot be read as a checkpoint"):
        content = {name: files.unpack(value, tensors) for name, value in document.items()}
        trainer = _trainer(make, content, custom_objects, ranks)
        unfinished = None if content["fit"] is None else _unfinished(content["fit"])
    if unfinished is not None:
        directory = os.path.dirname(os.path.realpath(file))
        with files.taken_up(f"{file}: its fit can't go on"):
            unfinished.callbacks, unfinished.states = _callbacks(content["fit"], custom_objects, given, directory)
        place, before = unfinished.place, len(unfinished.states)
        if place.called and place.called >= before:  # all have had the call: new ones don't get it alone
            place.called = len(unfinished.callbacks)
    elif given:
        raise ValueError(f"{file} holds no fit that could go on; callbacks of another one are given to fit")
    trainer.unfinished, trainer.resumed_from = unfinished, file
    return trainer


def _read(path: str) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """The path of a file, the newest one of a directory, and what it holds."""
    if os.path.isdir(path):
        path, tensors, document = newest(path)
    else:
        tensors, document = files.read_safetensors(path)
    _check_kind(path, document)
    return path, tensors, document


def _check_kind(path: str, document: dict[str, Any]) -> None:
    if document.get("kind") != KIND:
        hint = "; fn.load reads it" if document.get("kind") == "network" else ""
        raise ValueError(f"{path} is not a checkpoint: it holds a {document.get('kind')!r}{hint}")
    version = document.get("checkpoint")
    if type(version) is not int or version < 1:
        raise ValueError(f"{path} is damaged: it names no version of checkpoints")
    if version > VERSION:
        raise ValueError(
            f"{path} is a checkpoint of version {version}, written by a newer fastnet; this one reads version {VERSION}"
        )


def _ranks(settings: dict[str, Any], ranks: Ranks | None) -> Ranks:
    """The ranks that go on; one process where none are given."""
    before = settings.get("distributed", {})
    if ranks is None:
        return OneProcess(batch_norm=before.get("batch_norm", "local"))
    for name, value in ranks.settings().items():
        if name in before and before[name] != value and (name != "reduction" or settings["microbatch"] is not None):
            raise ValueError(f"distributed has {name}={value!r}, the training that goes on had {before[name]!r}")
    return ranks


def _trainer(make: type[Trainer], content: dict[str, Any], custom_objects: Mapping[str, type] | None,
             ranks: Ranks | None) -> Trainer:  # fmt: skip
    network: Any = files.find_class("Network")
    net = network.from_description(content["network"], content["weights"], custom_objects)
    settings = content["trainer"]
    objects: dict[str, Any] = {
        name: None if settings[name] is None else files.from_config(settings[name], custom_objects)
        for name in ("loss", "optimizer", "metrics", "average")
    }
    numbers = {name: settings[name] for name in ("clip_norm", "clip_parameter_norm", "clip_value", "accumulate")}
    trainer = make(
        net, **objects, **numbers, microbatch=settings.get("microbatch"), distributed=_ranks(settings, ranks)
    )
    for name in COUNTS:
        setattr(trainer.control, name, content["counts"][name])
    trainer.rate_factor = content["rate_factor"]
    set_optimizer_state(trainer.update, content["optimizer"])
    if trainer.update.average is not None:
        set_average_state(trainer.update.average, net.graph, content["average"])
    trainer.history.set_state(content["history"])
    trainer.fault = None if content["fault"] is None else Fault(**content["fault"])
    trainer.run_id = content["run"]
    return trainer


def _unfinished(data: dict[str, Any]) -> Unfinished:
    return Unfinished(
        settings=FitSettings.from_config(data["settings"]),
        place=Place(**data["place"]),
        callbacks=[],
        states=[item["state"] for item in data["callbacks"]],
        data=data["data"],
        sums=data["sums"],
        loss=data["loss"],
        stop=data["stop"],
    )


def _callbacks(data: dict[str, Any], custom_objects: Mapping[str, type] | None, given: list[Callback],
               directory: str) -> tuple[list[Callback], list[dict[str, Any]]]:  # fmt: skip
    """The callbacks of the fit, given or made anew, those behind them that it had not, and what the former have saved."""
    given = list(given)
    found = []
    for item in data["callbacks"]:
        name, config = item["class"], item["config"]
        callback = next((other for other in given if files.class_name(type(other)) == name), None)
        if callback is not None:
            given.remove(callback)
            _check_same(callback, config)
        elif config is None:
            raise ValueError(
                f"the fit had a callback {name}, which has no config() that it could be made anew from: give one, "
                f"Trainer.resume(..., callbacks=[{name}(...)])"
            )
        else:
            callback = files.from_config({"class": name, "config": config}, custom_objects)
            _check_writes(callback, directory)
        found.append(callback)
    return callback_module.listed([*found, *given]), [item["state"] for item in data["callbacks"]]


def _check_writes(callback: Callback, directory: str) -> None:
    """Refuse a callback of a file's that would write elsewhere than beside the file, which may be a stranger's."""
    for name in getattr(callback, "writes_to", ()):
        path = os.fspath(getattr(callback, name))
        title = f"{type(callback).__name__}({name}={path!r})"
        fields = string.Formatter().parse(path)
        if any(
            field is not None and (kind or not FIELD.fullmatch(f"{field}:{form}")) for _, field, form, kind in fields
        ):
            problem = "has more than names and widths of figures in its path"
        else:
            try:
                files.check_inside(directory, os.path.abspath(path), "it writes to")
                continue
            except ValueError:
                problem = f"writes to another place than the checkpoint's directory, {directory}"
        raise ValueError(
            f"the fit had the callback {title}, which {problem}; files don't choose where is written: "
            f"give it, Trainer.resume(..., callbacks=[fn.{title}])"
        )


def _check_same(callback: Callback, config: dict[str, Any] | None) -> None:
    if config is None:
        return
    now = files.to_config(callback)["config"]
    for name in dict.fromkeys([*config, *now]):
        if name not in callback.may_differ and config.get(name) != now.get(name):
            raise ValueError(
                f"callbacks: {type(callback).__name__} has {name}={now.get(name)!r}, the one of the fit that goes on had "
                f"{config.get(name)!r}; what is left out is made anew as it was"
            )
