"""``fastnet train``: a network for a data set, saved with what prediction needs."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fastnet.cli import distributed, stopping
from fastnet.cli.options import image_size, named, names, real_number, sizes, whole_number
from fastnet.cli.run_directory import RunDirectory
from fastnet.files.runs import HISTORY, MODEL, REPORT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fastnet.augment import Operation
    from fastnet.datasets import Dataset
    from fastnet.distributed import Ranks
    from fastnet.layers import Layer
    from fastnet.network import Network
    from fastnet.optimizers import Optimizer
    from fastnet.training import Callback, History, Trainer
    from fastnet.types import Figures, Shape

HELP = "train a network on the shipped digits or on data of your own"
DESCRIPTION = (
    "Train a network on the 8 x 8 digits that fastnet ships, on an .npz or CSV file, on a folder of IDX files such as "
    "MNIST's, or on a folder of images with a folder for each class; test it, and save it with its history."
)

MODEL_NAMES = ("mlp", "lenet", "vgg_small", "resnet20", "mobilenet_tiny")

# What --hidden and --dropout are by default, where a model takes them.
HIDDEN, DROPOUT = (256, 128), 0.3
LEAST_IMAGE = 4  # pixels, from which images get a convolutional network

# What --augment may name, and how much each does to images of a size (height, width).
AUGMENTATIONS: dict[str, Callable[[ModuleType, Shape], Operation]] = {
    "crop": lambda augment, size: augment.RandomCrop(tuple(max(1, round(n / 8)) for n in size)),
    "flip": lambda augment, size: augment.RandomFlip(),
    "brightness": lambda augment, size: augment.Brightness(),
    "contrast": lambda augment, size: augment.Contrast(),
    "cutout": lambda augment, size: augment.Cutout(tuple(max(1, n // 2) for n in size)),
    "mixup": lambda augment, size: augment.Mixup(),
}

# Name -> class, and settings where the library's defaults are not a good start by themselves.
OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "sgd": ("SGD", {"learning_rate": 0.01, "momentum": 0.9}),
    "rmsprop": ("RMSprop", {"learning_rate": 1e-3}),
    "adam": ("Adam", {"learning_rate": 1e-3}),
    "adamw": ("AdamW", {"learning_rate": 1e-3}),
    "adagrad": ("Adagrad", {"learning_rate": 1e-2}),
    "adadelta": ("Adadelta", {"learning_rate": 1.0}),
    "adamax": ("Adamax", {"learning_rate": 2e-3}),
    "nadam": ("NAdam", {"learning_rate": 1e-3}),
    "radam": ("RAdam", {"learning_rate": 3e-3}),
    "lion": ("Lion", {"learning_rate": 3e-4}),
    "muon": ("Muon", {"learning_rate": 0.02}),
}


def add_arguments(parser: ArgumentParser) -> None:
    """The options of ``fastnet train``."""

    def add(name: str, help: str, default: Any = None, **settings: Any) -> None:
        shown = "" if default is None else "; default %(default)s"
        parser.add_argument(name, help=help + shown, default=default, **settings)

    share = real_number("a share in [0, 1)", least=0, below=1)
    positive = real_number("a number above 0", above=0)
    count = whole_number(least=1)
    add("--data", "digits, an .npz file, a CSV file, or a folder of IDX files or images", "digits", metavar="PATH")
    add("--size", "what images in a folder are resized to: 32, or height,width", type=image_size, metavar="SIZE")
    add("--channels", "of images in a folder: 1 (grey), 3 (colours) or 4; by default what they have",
        type=whole_number(least=1), metavar="N")  # fmt: skip
    add("--target", "the column of a CSV file to learn", metavar="COLUMN")
    add(
        "--task",
        "classification or regression; by default the target decides",
        type=named(["classification", "regression"]),
        metavar="TASK",
    )
    add(
        "--missing",
        "missing values of a CSV file: error, or mean (of the column)",
        "error",
        type=named(["error", "mean"]),
        metavar="HOW",
    )
    add("--epochs", "passes over the training data", 30, type=count, metavar="N")
    add("--batch-size", "samples of one update", 64, type=count, metavar="N")
    add(
        "--optimizer",
        f"{', '.join(OPTIMIZERS)} (sgd has momentum 0.9)",
        "adam",
        type=named(OPTIMIZERS),
        metavar="NAME",
    )
    add(
        "--learning-rate",
        "by default what suits the optimizer: 0.001 for adam; of muon, that of its matrices",
        type=positive,
        metavar="RATE",
    )
    add(
        "--model",
        f"{', '.join(MODEL_NAMES)}; by default lenet for images, mlp for tables",
        type=named(MODEL_NAMES),
        metavar="NAME",
    )
    hidden = ",".join(map(str, HIDDEN))
    add("--hidden", f"sizes of the hidden layers of mlp, or none; default {hidden}", type=sizes, metavar="SIZES")
    dropout = f"share of each hidden layer's outputs that a step of mlp leaves out; default {DROPOUT}"
    add("--dropout", dropout, type=share, metavar="SHARE")
    add(
        "--augment",
        f"random changes of the training images, separated by commas: {', '.join(AUGMENTATIONS)}",
        type=names(AUGMENTATIONS),
        metavar="NAMES",
    )
    add(
        "--seed",
        "of weights, order, dropout and the validation part: the same seed gives the same network",
        0,
        type=whole_number(least=0),
        metavar="N",
    )
    add(
        "--validation",
        "share of the training data that is evaluated after each epoch instead",
        0.0,
        type=share,
        metavar="SHARE",
    )
    add("--threads", "by default the CPUs that the process may use", type=count, metavar="N")
    add("--out", "directory for the model and the history", "fastnet-run", metavar="DIR")
    parser.add_argument(
        "--health",
        action="store_true",
        help="look at weights, gradients and activations while training, and say what is wrong",
    )
    add("--tensorboard", "also write curves, histograms and the graph for TensorBoard to this directory", metavar="DIR")
    parser.add_argument("--report", action="store_true", help="also write report.html, a page with curves and mistakes")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished run in that directory")
    stopping.add_arguments(parser)
    distributed.add_arguments(parser)


def run(arguments: Namespace) -> int:
    """Train, test, save; with several processes, as one of them."""
    ranks = distributed.ranks_of(arguments)
    with distributed.as_one(ranks):
        return _run(arguments, ranks)


def _run(arguments: Namespace, ranks: Ranks) -> int:
    from fastnet import config, training
    from fastnet.health import HealthMonitor

    if arguments.threads is not None:
        config.set_num_threads(arguments.threads)
    with ranks.agreeing():
        directory = RunDirectory(arguments.out, arguments.overwrite or not ranks.writes)
        checkpoints = stopping.Checkpoints(arguments, ranks)
        data = _load(arguments, ranks)
        if ranks.writes:
            directory.make()
            checkpoints.make()
    _check_alike(data, ranks)
    x, y, validation = _divide(data, arguments)
    classification = data.task == "classification"
    augment = _augmentations(arguments, data)
    print(_describe(arguments.data, data, len(x), validation))
    if ranks.size > 1:
        print(f"{ranks.size} processes: {', '.join(ranks.gather_objects(ranks.who()))}")
    trainer = checkpoints.resumed()
    callbacks: list[Callback] | None = None
    if trainer is None:
        trainer = training.Trainer(
            build(arguments, data),
            loss="softmax_cross_entropy" if classification else "mse",
            optimizer=_optimizer(arguments),
            metrics=["accuracy"] if classification else ["r2"],
            microbatch=arguments.microbatch,
            distributed=ranks,
        )
        checkpoints.mark(trainer.net)
        callbacks = [HealthMonitor()] if arguments.health else []
        if arguments.tensorboard is not None:
            callbacks.append(training.TensorBoard(arguments.tensorboard))
        callbacks += checkpoints.callbacks
    net = trainer.net
    print(net.summary(), flush=True)
    net.loss, net.metrics = trainer.loss, trainer.metrics
    begun = time.perf_counter() - checkpoints.seconds
    with stopping.stopping_cleanly(directory if ranks.writes else None, trainer, checkpoints):
        trainer.fit(
            x, y, epochs=arguments.epochs, batch_size=arguments.batch_size, validation=validation, augment=augment,
            callbacks=callbacks,
        )  # fmt: skip
    seconds = time.perf_counter() - begun
    tested = _test(trainer, data)
    if not ranks.writes:
        return 0
    results = _results(tested, data)
    net.extra = {"encoder": data.encoder.config()}
    directory.save(net, trainer.history, _description(arguments, data, results, trainer.history, seconds))
    print(_figures(trainer.history, tested))
    for name, value in results.items():
        print(f"{name}: {value:.4f}" if name != "test RMSE" else f"{name}: {value:.6g}")
    if arguments.health:
        print(_health(trainer.history))
    print(f"trained in {seconds:.1f} s")
    print(f"model saved in {directory.file(MODEL)}")
    print(f"history saved in {directory.file(HISTORY)}")
    if arguments.tensorboard is not None:
        print(f"curves: {shlex.join(['tensorboard', '--logdir', arguments.tensorboard])}")
    if arguments.report:
        _write_report(directory, net, data)
    return 0


def _load(arguments: Namespace, ranks: Ranks) -> Dataset:
    from fastnet import datasets

    data = datasets.load(
        distributed.shard_of(arguments.data, ranks),
        target=arguments.target,
        task=arguments.task,
        missing=arguments.missing,
        size=arguments.size,
        channels=arguments.channels,
    )
    if not isinstance(data, datasets.Dataset):
        raise ValueError(
            f"{arguments.data} holds one array; training needs inputs and targets: numpy.savez('data.npz', x=x, y=y)"
        )
    return data


def _check_alike(data: Dataset, ranks: Ranks) -> None:
    """Parts of the data are of the same form, and columns and classes mean the same in all of them."""
    told = (data.task, data.x.shape[1:], None if data.encoder is None else data.encoder.config())
    others = ranks.gather_objects(told)
    for rank, other in enumerate(others):
        if repr(other) != repr(others[0]):
            raise ValueError(
                f"--data: the part of process {rank} has other classes, shapes or (of a CSV file) scales than that of process 0"
            )


def _test(trainer: Trainer, data: Dataset) -> Figures:
    """The figures of the test part, to which each process adds its share."""
    from fastnet.training.evaluation import Evaluator

    net, ranks = trainer.net, trainer.distributed
    if ranks.size == 1:
        return net.evaluate(data.x_test, data.y_test)
    evaluator = Evaluator(net.executor, trainer.loss, trainer.metrics)
    return evaluator.run(evaluator.feed(data.x_test, data.y_test), ranks=ranks)


def _divide(data: Dataset, arguments: Namespace) -> tuple[Any, Any, tuple[Any, Any] | None]:
    """Training inputs and targets, and those for validation, or None."""
    from fastnet import datasets

    if not arguments.validation:
        return data.x, data.y, None
    (x, y), validation = datasets.train_test_split(data.x, data.y, test=arguments.validation, seed=arguments.seed)
    return x, y, validation


def build(arguments: Namespace, data: Dataset) -> Network:
    """The network that the options describe."""
    from fastnet import models

    shape, outputs = data.x.shape[1:], len(data.classes) if data.classes else 1
    name = arguments.model or _default_model(arguments, shape)
    if name == "mlp":
        return _dense_network(arguments, shape, outputs)
    for option in ("hidden", "dropout"):
        if getattr(arguments, option) is not None:
            raise ValueError(f"--{option} describes the model mlp; it doesn't go with --model {name}")
    return models.MODELS[name](input_shape=shape, classes=outputs, seed=arguments.seed)


def _default_model(arguments: Namespace, shape: Shape) -> str:
    plain = arguments.hidden is None and arguments.dropout is None
    return "lenet" if plain and len(shape) == 3 and min(shape[:2]) >= LEAST_IMAGE else "mlp"


def _dense_network(arguments: Namespace, input_shape: Shape, outputs: int) -> Network:
    from fastnet.layers import Dense, Dropout, Flatten
    from fastnet.network import Network

    layers: list[Layer] = [Flatten()] if len(input_shape) > 1 else []
    dropout = DROPOUT if arguments.dropout is None else arguments.dropout
    for units in HIDDEN if arguments.hidden is None else arguments.hidden:
        layers.append(Dense(units, activation="relu"))
        if dropout:
            layers.append(Dropout(dropout))
    layers.append(Dense(outputs, name="head"))
    return Network(layers, input_shape=input_shape, seed=arguments.seed)


def _optimizer(arguments: Namespace) -> Optimizer:
    from fastnet import optimizers

    name, settings = OPTIMIZERS[arguments.optimizer]
    if arguments.learning_rate is not None:
        settings = {**settings, "learning_rate": arguments.learning_rate}
    return getattr(optimizers, name)(**settings)


def _augmentations(arguments: Namespace, data: Dataset) -> list[Operation]:
    from fastnet import augment

    shape = data.x.shape[1:]
    named = arguments.augment or ()
    if named and len(shape) != 3:
        raise ValueError(f"--augment changes images; the samples are of shape {shape}")
    if "mixup" in named and not data.classes:
        raise ValueError("--augment mixup needs classes; the task is a regression")
    return [make(augment, shape[:2]) for name, make in AUGMENTATIONS.items() if name in named]


# What is printed and written


def _write_report(directory: RunDirectory, net: Network, data: Dataset) -> None:
    """The page; where matplotlib is missing what to install, as the run itself is saved."""
    from fastnet.reports.training import report

    try:
        path = report(directory.path, directory.file(REPORT), net=net, data=(data.x_test, data.y_test))[-1]
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print(f"no report: {error}")
        return
    print(f"report saved in {path}")


def _describe(path: str, data: Dataset, n_training: int, validation: tuple[Any, Any] | None) -> str:
    parts = f"{n_training:,} training"
    if validation is not None:
        parts += f", {len(validation[0]):,} validation"
    shape = " x ".join(str(n) for n in data.x.shape[1:])
    if data.classes:
        names = ", ".join(data.classes[:10]) + (", ..." if len(data.classes) > 10 else "")
        task = f"classification, {len(data.classes)} classes ({names})"
    else:
        task = f"regression of {data.encoder.target.name}"
    return f"{path}: {parts} and {len(data.x_test):,} test samples of {shape} values; {task}"


def _results(tested: Figures, data: Dataset) -> Figures:
    """The figures of the test part that people compare."""
    from fastnet.datasets.encoder import ValueTarget

    target = data.encoder.target
    if isinstance(target, ValueTarget):
        return {"test R2": tested["r2"], "test RMSE": math.sqrt(tested["loss"]) * target.std}
    return {"test accuracy": tested["accuracy"]}


def _figures(history: History, tested: Figures) -> str:
    """A table: a row for training (the last epoch), for validation where there is one, and for the test."""
    rows = {"training": {name: history[name][-1] for name in tested}}
    if "val_loss" in history:
        rows["validation"] = {name: history[f"val_{name}"][-1] for name in tested}
    rows["test"] = tested
    lines = [f"{'':<12}" + "".join(f"{name:>12}" for name in tested)]
    for row, figures in rows.items():
        lines.append(f"{row:<12}" + "".join(f"{value:>12.4f}" for value in figures.values()))
    return "\n".join(lines)


def _health(history: History) -> str:
    """The findings, the most severe first."""
    if not history.findings:
        return f"health: nothing found in {len(history.health.table)} looks"
    return "\n".join(["health:", *(str(finding) for finding in history.findings)])


def _description(arguments: Namespace, data: Dataset, results: Figures, history: History,
                 seconds: float) -> dict[str, Any]:  # fmt: skip
    """What run.json says: how to repeat the run, and what came out."""
    import fastnet
    from fastnet import config

    left_out = ("run", "command", "overwrite", "report", "checkpoint", "checkpoint_every", "resume")
    options = {name: value for name, value in vars(arguments).items() if name not in left_out}
    if options["data"] != "digits":
        options["data"] = os.path.abspath(options["data"])
    for name, value in options.items():
        if isinstance(value, tuple):
            options[name] = ",".join(map(str, value)) or "none"
    words = ["fastnet", "train"]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [option] * value
        elif value is not None:
            words += [option, str(value)]
    return {
        "command": shlex.join(words),
        "options": options,
        "fastnet": fastnet.__version__,
        "isa": config.isa(),
        "threads": config.get_num_threads(),
        "task": data.task,
        "samples": {"training": len(data.x), "test": len(data.x_test)},
        "epochs": history.epochs,
        "seconds": round(seconds, 3),
        "stopped": history.stopped,
        "learning_rates": history.learning_rates,
        "results": results,
    }
