"""The façade: a network of layers that predicts, trains, and is saved."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from fastnet import checks, containers, files, labels, losses, metrics, network_data, regularizers
from fastnet.execution import PREDICT_BATCH, Executor
from fastnet.graph import INPUT, Builder, Graph, Node
from fastnet.health import HealthMonitor
from fastnet.layers.base import Layer
from fastnet.layers.blocks import Block, layer_list
from fastnet.parameters import Parameter
from fastnet.summary import summarize, summarize_html
from fastnet.training import Callback, Trainer
from fastnet.training.batches import BatchFeed, gives_batches
from fastnet.training.data import batches_of
from fastnet.training.evaluation import Evaluator
from fastnet.training.prediction import predict_batches, predict_mapped

if TYPE_CHECKING:
    from fastnet.locks import NetworkLock
    from fastnet.losses import Loss
    from fastnet.metrics import Metric
    from fastnet.training.history import History
    from fastnet.types import (
        Array,
        ArrayLike,
        Augment,
        Average,
        Batches,
        Callbacks,
        ClassWeight,
        DType,
        LayerNames,
        Layers,
        LossLike,
        Metrics,
        NamedLayer,
        OptimizerLike,
        Path,
        RegularizerRule,
        Sizes,
        Validation,
    )

__all__ = ["Network", "load"]

SHOWN_HINTS = 20  # names that an error has a similar one for: to look for it takes time


@files.register
class Network(Block):
    """Layers that compute together, with their parameters in one piece of memory.

    Parameters
    ----------
    layers : list of Layer
        Run one after the other; blocks (`Sequential`, `Residual`, `Concat`) and networks among them become
        branches and parts. `Network.from_nodes` takes any graph.
    input_shape : tuple of int
        One sample's shape; images are (height, width, channels).
    dtype : {"float32", "float64"}
    seed : int, optional
        Of everything random: first weights, dropout, shuffling. None draws one; `seed` has it.
    regularizer : Regularizer, optional
        Given to all layers with weights (parameters with more than one axis) that have none of their own: ``fn.L2(1e-4)``.
    name : str, optional

    Attributes
    ----------
    layers : list of Layer
        In the order in which they are computed, blocks taken apart.
    input_shape, output_shape, dtype, seed, name
    loss, metrics
        What `fit` was last called with; saved with the network.
    extra : dict
        Anything (JSON) that should be saved with the network.

    Examples
    --------
    >>> import fastnet as fn
    >>> (x, y), (x_test, y_test) = fn.datasets.digits()
    >>> net = fn.Network([fn.Flatten(), fn.Dense(32, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    >>> history = net.fit(x, y, epochs=5, loss="softmax_cross_entropy", optimizer="adam", verbose=0)
    >>> net.evaluate(x_test, y_test, metrics=["accuracy"])["accuracy"] > 0.8
    True
    """

    def __init__(self, layers: Layers, *, input_shape: Sizes | None = None, dtype: DType = "float32",
                 seed: int | None = None, regularizer: RegularizerRule | None = None, name: str | None = None) -> None:  # fmt: skip
        layers = layer_list("layers", layers)
        if input_shape is None:
            raise ValueError("input_shape is missing: one sample's shape, such as input_shape=(64,)")
        builder = Builder()
        output = builder.chain(layers, INPUT)
        self._set_up(builder.nodes, output, input_shape, dtype, seed, name)
        self._regularize(regularizer)

    @classmethod
    def from_nodes(cls, nodes: Iterable[Node], *, input_shape: Sizes, output: str | None = None,
                   dtype: DType = "float32", seed: int | None = None, regularizer: RegularizerRule | None = None,
                   name: str | None = None) -> Network:  # fmt: skip
        """A network from any graph of layers.

        Parameters
        ----------
        nodes : list of fastnet.Node
            ``fn.Node(name, layer, inputs)``: `inputs` are names of nodes, or "input". In any order.
        output : str, optional
            The node whose value is the result; the last one by default.

        Examples
        --------
        >>> import fastnet as fn
        >>> net = fn.Network.from_nodes([
        ...     fn.Node("a", fn.Dense(4, activation="relu"), ["input"]),
        ...     fn.Node("b", fn.Dense(4), ["input"]),
        ...     fn.Node("sum", fn.Add(), ["a", "b"]),
        ... ], input_shape=(3,), seed=0)
        >>> net.output_shape
        (4,)
        """
        net = cls.__new__(cls)
        net._set_up(list(nodes), output, input_shape, dtype, seed, name)
        net._regularize(regularizer)
        return net

    def _set_up(self, nodes: list[Node], output: str | None, input_shape: Any, dtype: DType, seed: int | None,
                name: str | None, initialize: bool = True, layout: Sequence[Any] = (),
                state: Mapping[str, Array] | None = None) -> None:  # fmt: skip
        Layer.__init__(self, name=name)
        self.dtype = checks.dtype_name("dtype", dtype)
        self.seed = secrets.randbits(32) if seed is None else checks.whole_number("seed", seed, least=0)
        self.graph = Graph(nodes, output, checks.shape("input_shape", input_shape))
        if state is not None:  # before memory is taken for what a file says
            self._check_state(state)
            self.graph.check_layout(layout, sum(array.nbytes for array in state.values()))
        self.graph.allocate(self.dtype, self.seed, initialize, layout)
        self.executor = Executor(self.graph, self.dtype, self.seed)
        self.epochs = 0  # shuffled epochs of its life, which the next shuffle is keyed by
        self.loss: losses.Loss | None = None
        self.metrics: list[metrics.Metric] = []
        self.extra: dict[str, Any] = {}
        self._evaluator: Evaluator | None = None  # the last one, with its recordings

    # Parts

    @property
    def layers(self) -> list[Layer]:
        found = {id(node.layer): node.layer for node in self.graph.nodes}
        return list(found.values())

    def inner(self) -> list[Layer]:
        return self.layers

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.graph.input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.graph.output_shape

    def _regularize(self, regularizer: RegularizerRule | None) -> None:
        regularizer = regularizers.get("regularizer", regularizer)
        for layer in self.layers:
            if regularizer is not None and layer.regularizer is None and layer.has_weights:
                layer.regularizer = regularizer

    def penalty(self, samples: float = 1) -> float:
        """What the layers' regularizers add to the loss now; those with `per_sample`, of a batch of so many samples."""
        return self.executor.penalty(checks.real_number("samples", samples, above=0))

    @property
    def lock(self) -> NetworkLock:
        return self.executor.lock

    def __getitem__(self, name: str | int) -> NamedLayer:
        """A layer by its name ("head", "residual_1.dense_2") or its number."""
        if isinstance(name, str):
            if name not in self.graph.by_name:
                raise KeyError(f"no layer {name!r}{checks.nearest(name, self.graph.by_name)}")
            return cast("NamedLayer", self.graph.by_name[name].layer)
        return cast("NamedLayer", self.layers[name])

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def parameters(self) -> list[Parameter]:
        """Weights and biases, in the order of the layers; `buffers` has the running statistics."""
        return [p for p in self.graph.parameters.values() if p.trainable]

    def buffers(self) -> list[Parameter]:
        """What training keeps but does not learn: running statistics."""
        return [p for p in self.graph.parameters.values() if not p.trainable]

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers, by name."""
        return {name: p.value.copy() for name, p in self.graph.parameters.items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Set all parameters and buffers.

        Raises
        ------
        ValueError
            Names or shapes differ: all differences are listed, and nothing has changed.
        """
        self._check_state(state)
        with self.lock:
            for name, array in state.items():
                self.graph.parameters[name].assign(array)

    def _check_state(self, state: Mapping[str, ArrayLike]) -> None:
        """Refuse arrays that are not those of the parameters and buffers."""
        mine = self.graph.parameters
        problems = [f"missing: {name}" for name in mine if name not in state]
        unexpected = [name for name in state if name not in mine]
        hinted = unexpected[:SHOWN_HINTS]
        problems += [f"unexpected: {name}{checks.nearest(name, mine) if name in hinted else ''}" for name in unexpected]
        for name, array in state.items():
            if name in mine and np.shape(array) != mine[name].shape:
                problems.append(f"shape of {name}: {np.shape(array)} instead of {mine[name].shape}")
        if problems:
            raise ValueError("state does not fit the network:\n  " + "\n  ".join(problems))

    def reinitialize(self, layers: LayerNames | None = None, *, seed: int | None = None) -> None:
        """Draw first values again: weights, biases and running statistics.

        An optimizer's state belongs to its Trainer and stays as it is.

        Parameters
        ----------
        layers : str, Layer, or list of them, optional
            Names of layers, blocks (all layers inside) or layers themselves; all by default.
        seed : int, optional
            By default the network's: the values are those that the network was made with. Another seed gives others.

        Raises
        ------
        ValueError, TypeError
            `layers` has something that is not in the network; nothing has changed.

        Examples
        --------
        >>> import numpy as np, fastnet as fn
        >>> net = fn.Network([fn.Dense(4, activation="relu"), fn.Dense(2, name="head")], input_shape=(3,), seed=0)
        >>> first = net["head"].weight.value.copy()
        >>> net.reinitialize("head", seed=1)
        >>> np.array_equal(net["head"].weight.value, first)
        False
        >>> net.reinitialize()
        >>> np.array_equal(net["head"].weight.value, first)
        True
        """
        seed = self.seed if seed is None else checks.whole_number("seed", seed, least=0)
        parameters = [p for layer in self._find_layers(layers) for p in layer.parameters()]
        with self.lock:
            self.graph.initialize(parameters, seed)

    def _find_layers(self, wanted: LayerNames | None) -> list[Layer]:
        if wanted is None:
            return self.layers
        found: dict[int, Layer] = {}
        for item in wanted if isinstance(wanted, (list, tuple)) else [wanted]:
            if isinstance(item, str):
                some = [n.layer for n in self.graph.nodes if n.name == item or n.name.startswith(f"{item}.")]
                if not some:
                    raise ValueError(
                        f"layers has {item!r}, which is not in the network{checks.nearest(item, self.graph.by_name)}"
                    )
            elif isinstance(item, Layer):
                some = [layer for layer in self.layers if layer is item or layer in _inner_layers(item)]
                if not some:
                    raise ValueError(f"layers has {item!r}, which is not in the network")
            else:
                raise TypeError(f"layers must be names or layers; it has {checks.describe(item)}")
            found |= {id(layer): layer for layer in some}
        return list(found.values())

    # Computing

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        """The raw outputs of one batch.

        With `training`, dropout and batch statistics act, running statistics are updated, and what
        `backward` needs is kept until it is called, or the next training forward.
        """
        checks.flag("training", training)
        x = labels.check_inputs("x", x, self.input_shape, may_be_empty=not training)
        return self.executor.forward(x, training)

    def backward(self, dy: ArrayLike) -> Array:
        """Gradients of all parameters (`Parameter.grad`) from the one at the output; returns the input's.

        Raises
        ------
        RuntimeError
            There was no ``forward(x, training=True)`` since the last backward.
        """
        return self.executor.backward(dy)

    def predict(
        self, x: Any, *, batch_size: int | None = None, out: Array | None = None, prefetch: bool = True
    ) -> Array:
        """Raw outputs (logits), a batch at a time; see `predict_proba`, `predict_class`.

        Parameters
        ----------
        x : array (n, *input_shape), or batches
            Integers and the other float are cast; nothing is scaled. Anything that is an array to NumPy, a DataFrame of
            numbers, a tensor; a memory map is read a part at a time. An iterable (no list) or a function that returns one
            gives batches: x, or (x, y), of which y is left alone.
        batch_size : int, optional
        out : ndarray (n, *output_shape), optional
            Where to write them.
        prefetch : bool, default True
            As for `fit`.
        """
        if type(x) is not np.ndarray and gives_batches(x):
            return predict_batches(self, x, batch_size, out, checks.flag("prefetch", prefetch))
        x = labels.check_inputs("x", x, self.input_shape, may_be_empty=True, keep_mapped=True)
        if batch_size is not None:
            checks.whole_number("batch_size", batch_size, least=1)
        n = len(x)
        shape = (n, *self.output_shape)
        if out is not None and (not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != self.dtype):
            raise ValueError(
                f"out must be an array of shape {shape} and dtype {self.dtype}; got {checks.describe(out)}"
            )
        if n > PREDICT_BATCH and containers.mapping_of(x) is not None:
            out = self.executor.empty_outputs(n) if out is None else out
            return predict_mapped(self.executor, x, batch_size or PREDICT_BATCH, out)
        return self.executor.predict(x, batch_size, out)

    def predict_proba(self, x: ArrayLike, *, batch_size: int | None = None) -> Array:
        """Probabilities: the softmax or sigmoid of the outputs, as the loss of the last `fit` says."""
        if self.loss is None:
            raise ValueError("predict_proba needs to know the loss: call fit first, or set net.loss")
        from fastnet.kernels import activation

        y = self.predict(x, batch_size=batch_size)
        if self.loss.head is None:
            raise ValueError(f"{self.loss!r} has no probabilities; predict gives the values")
        return activation.softmax(y) if self.loss.head == "softmax" else activation.sigmoid(y)

    def predict_class(self, x: ArrayLike, *, batch_size: int | None = None) -> Array:
        """Class numbers: that of the largest output; of one output (a logit), whether it is above 0."""
        y = self.predict(x, batch_size=batch_size)
        if y.ndim != 2:
            raise ValueError(f"predict_class needs an output of shape (classes,); it is {self.output_shape}")
        if self.loss is not None and self.loss.head == "sigmoid":
            y = (y > 0).astype(np.int64)
            return y[:, 0] if y.shape[1] == 1 else y
        if y.shape[1] == 1:
            return (y[:, 0] > 0).astype(np.int64)
        return y.argmax(axis=1)

    def activations(self, x: ArrayLike, names: str | Sequence[str] | None = None) -> dict[str, Array]:
        """Copies of layers' outputs for a batch, in prediction.

        Parameters
        ----------
        names : list of str, optional
            Of layers; all by default.
        """
        x = labels.check_inputs("x", x, self.input_shape, may_be_empty=True)
        names = list(self.graph.by_name) if names is None else [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in self.graph.by_name:
                raise ValueError(f"names has {name!r}, which is not a layer{checks.nearest(name, self.graph.by_name)}")
        return self.executor.activations(x, names)

    # Training

    def fit(self, x: ArrayLike | Batches, y: ArrayLike | None = None, *, epochs: int = 1, batch_size: int = 32,
            steps_per_epoch: int | None = None, loss: LossLike | None = None, optimizer: OptimizerLike | None = None,
            metrics: Metrics = (), validation: Validation | None = None, sample_weight: ArrayLike | None = None,
            class_weight: ClassWeight | None = None, callbacks: Callbacks = (), shuffle: bool = True,
            drop_last: bool = False, augment: Augment = (), prefetch: bool = True, clip_norm: float | None = None,
            clip_parameter_norm: float | None = None, clip_value: float | None = None, accumulate: int = 1,
            average: Average | None = None, health: bool | HealthMonitor = False,
            on_nonfinite: Literal["raise", "stop", "continue"] = "raise", verbose: int = 1) -> History:  # fmt: skip
        """Train, with a fresh optimizer.

        Parameters
        ----------
        x : array (n, *input_shape), `datasets.Images`, or batches
            An array, or what can become one: lists, pandas or polars (columns of numbers), tensors, DLPack. A memory map is read a
            block at a time, by a thread, and checked as it is read.

            Batches, with `y` left out, are tuples (x, y) or (x, y, sample_weight) from: an iterable that is begun anew for each
            epoch (a list, a DataLoader), a function that returns an iterator for each epoch (a generator function), or an
            iterator. They are taken as they come: `batch_size`, `shuffle` and `drop_last` are for arrays.
        y : array, optional
            What the loss takes: class numbers (n,), or values of the output's shape; (n,) for an output (1,). Belongs to x by
            position; DataFrames whose indexes have the same labels in different orders are an error.
        epochs, batch_size : int
        steps_per_epoch : int, optional
            Batches of an epoch, where they come without end; the next epoch goes on behind them.
        loss : str or Loss
            By default that of the last `fit`.
        optimizer : str or Optimizer, default "adam"
        metrics : list of (str or Metric)
        validation : (x, y), (x, y, sample_weight), batches or float, optional
            Data to evaluate after each epoch; a number is the share of the samples that is held out for it. Batches come
            as for x: all that there are, each time.
        sample_weight : array (n,), optional
        class_weight : dict, array or "balanced", optional
            Multiplies the sample weights. The loss of a batch is sum(w l) / sum(w).
        callbacks : list of Callback
        shuffle : bool, default True
            A new order each epoch, keyed by the seed and the count of epochs.
        drop_last : bool, default False
            Leave out the last batch where it is smaller.
        augment : list of operations from `fastnet.augment`, optional
            Random changes of the training data: ``[RandomCrop(4), RandomFlip(), Cutout(8), Mixup()]``. Validation data and
            batches of `Trainer.train_on_batch` are taken as they are.
        prefetch : bool, default True
            A thread fetches the next batches of an iterable or function while the step runs. False fetches them between
            steps, in the calling thread: for what looks at the network or the training, or is bound to its thread.
        clip_norm, clip_parameter_norm, clip_value, accumulate, average
            Of the updates; see `Trainer`.
        health : bool or HealthMonitor, default False
            Look at weights, gradients and activations while training; ``history.findings`` has what is wrong. Costs about a
            fiftieth of the time and changes no bit of the result.
        on_nonfinite : {"raise", "stop", "continue"}
            What to do when the loss or a gradient is not finite; such a step changes nothing.
        verbose : int
            1 shows a progress bar, 0 nothing; a `ProgressBar` among the callbacks takes its place.

        Returns
        -------
        History
            "loss" and the metrics for each epoch, averaged over the samples while they were trained on, and
            "val_..." of the validation data.

        Raises
        ------
        ValueError, TypeError
            Something does not fit; no weight has changed.
        FloatingPointError
            A loss or gradient is not finite, with ``on_nonfinite="raise"``.
        """
        loss = losses.get(loss) if loss is not None else self.loss
        if loss is None:
            raise ValueError(f"loss is missing; one of {', '.join(losses.LOSSES)}")
        trainer = Trainer(self, loss=loss, optimizer="adam" if optimizer is None else optimizer, metrics=metrics,
                          clip_norm=clip_norm, clip_parameter_norm=clip_parameter_norm, clip_value=clip_value,
                          accumulate=accumulate, average=average)  # fmt: skip
        if not isinstance(health, (bool, HealthMonitor)):
            raise TypeError(f"health must be True, False or a HealthMonitor; got {checks.describe(health)}")
        if health:
            monitor = HealthMonitor() if health is True else health
            callbacks = [*([callbacks] if isinstance(callbacks, Callback) else callbacks), monitor]
        before = self.loss, self.metrics
        self.loss, self.metrics = trainer.loss, trainer.metrics
        try:
            return trainer.fit(
                x, y, epochs=epochs, batch_size=batch_size, steps_per_epoch=steps_per_epoch, validation=validation,
                sample_weight=sample_weight, class_weight=class_weight, callbacks=callbacks, shuffle=shuffle,
                drop_last=drop_last, augment=augment, prefetch=prefetch, on_nonfinite=on_nonfinite, verbose=verbose,
            )  # fmt: skip
        except BaseException:
            if not trainer.step:
                self.loss, self.metrics = before
            raise

    def evaluate(self, x: ArrayLike | Batches, y: ArrayLike | None = None, *, loss: LossLike | None = None,
                 metrics: Metrics | None = None, batch_size: int | None = None,
                 sample_weight: ArrayLike | None = None, prefetch: bool = True) -> dict[str, float]:  # fmt: skip
        """Loss and metrics (by default those of the last `fit`) on data, averaged by the samples' weights.

        Parameters
        ----------
        x, y, sample_weight, prefetch
            As for `fit`: arrays, or `x` alone that gives batches.
        """
        loss = losses.get(loss) if loss is not None else self.loss
        if loss is None:
            raise ValueError("evaluate needs a loss: call fit first, or pass loss=")
        if batch_size is not None:
            checks.whole_number("batch_size", batch_size, least=1)
        loss.check_output(self.output_shape)
        self.check_head(loss)
        found = self.metrics if metrics is None else _metrics(metrics)
        if batches_of("x", x, y):
            if sample_weight is not None:
                raise ValueError("sample_weight is for arrays; batches bring theirs, as (x, y, sample_weight)")
            once = Evaluator(self.executor, loss, found)
            return once.run(BatchFeed(once, x, prefetch=checks.flag("prefetch", prefetch)))
        evaluator = self._evaluator
        if evaluator is None or evaluator.loss is not loss or evaluator.metrics is not found:
            evaluator = self._evaluator = Evaluator(self.executor, loss, found)
        return evaluator.run(evaluator.feed(x, y, sample_weight), batch_size)

    def check_head(self, loss: Loss) -> None:
        """Refuse a loss on logits behind a layer that makes probabilities of them already."""
        wrong = {"softmax": ("softmax", "log_softmax"), "sigmoid": ("sigmoid", "softmax", "log_softmax")}.get(
            loss.head or "", ()
        )
        node, activation = self.graph.output_activation()
        if node is not None and activation.name in wrong:
            raise ValueError(
                f"loss {type(loss).__name__} applies {loss.head} itself; layer {node.name!r} ends with {activation.name} "
                f"already: leave its activation out (predict_proba gives probabilities)"
            )

    # A network as a layer of another

    def expand(self, graph: Builder, x: str) -> str:
        names = {INPUT: x}
        prefix, stream_prefix, _ = graph._containers[-1]
        for node in self.graph.nodes:
            name = prefix + node.name
            inputs = [names[i] for i in node.inputs]
            graph.nodes.append(Node(name, node.layer, inputs, stream_prefix + node.stream))
            names[node.name] = name
        return names[self.graph.output]

    def up_to(self, name: str) -> Network:
        """The part of the network that computes one layer's output, made of the same layers.

        For transfer: freeze it, and put a new head behind it. Weights are shared with this network, not copied.

        Parameters
        ----------
        name : str
            A layer's.

        Returns
        -------
        Network

        Raises
        ------
        KeyError
            There is no layer of that name.

        Examples
        --------
        >>> import fastnet as fn
        >>> trained = fn.models.resnet20(input_shape=(16, 16, 3), classes=10, seed=0)
        >>> body = trained.up_to("global_avg_pool2d_1")
        >>> body.trainable = False
        >>> net = fn.Network([body, fn.Dense(3, name="head")], input_shape=(16, 16, 3), seed=0)
        >>> [parameter.name for parameter in net.graph.trainable_parameters()]
        ['head.weight', 'head.bias']
        """
        self[name]
        needed, nodes = {name}, []
        for node in reversed(self.graph.nodes):
            if node.name in needed:
                needed.update(node.inputs)
                nodes.append(Node(node.name, node.layer, list(node.inputs), node.stream))
        return Network.from_nodes(
            nodes[::-1], input_shape=self.input_shape, output=name, dtype=self.dtype, seed=self.seed
        )

    # Showing

    def summary(self) -> str:
        """A table: layers, output shapes, parameters, multiply-adds of one sample and memory; and the totals."""
        return summarize(self.graph, self.dtype)

    def _repr_html_(self) -> str:
        """The summary as a table, for notebooks."""
        title = f"Network {self.given_name or ''} {self.input_shape} → {self.output_shape}"
        return summarize_html(self.graph, self.dtype, " ".join(title.split()))

    def __repr__(self) -> str:
        kinds = ", ".join(type(layer).__name__ for layer in self.layers[:6])
        more = ", ..." if len(self.layers) > 6 else ""
        return f"<network {self.input_shape} -> {self.output_shape}: {kinds}{more}>"

    # Keeping

    def save(self, path: Path) -> None:
        """Write the network to a safetensors file: weights, architecture, seed, loss, metrics, `extra`.

        The file is written aside and renamed, so that an interrupted save leaves an older one whole.
        """
        files.write_safetensors(path, self.state_dict(), self.description())

    def description(self) -> dict[str, Any]:
        """What JSON can hold of the network: all but its arrays."""
        return network_data.description(self)

    @classmethod
    def from_description(cls, data: dict[str, Any], state: Mapping[str, Array],
                         custom_objects: Mapping[str, type] | None = None) -> Network:  # fmt: skip
        """The network that `description` described, with the values of `state_dict`.

        Memory is taken for parameters when these have been found to be those of the state.
        """
        net = cls.__new__(cls)
        network_data.build(net, data, state, custom_objects)
        net.load_state_dict(state)
        return net

    def __getstate__(self) -> dict[str, Any]:
        return network_data.pickled(self)

    def __setstate__(self, state: Any) -> None:
        network_data.unpickle(self, state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        state = copy.deepcopy(self.__getstate__(), memo)
        other = type(self).__new__(type(self))
        other.__setstate__(state)
        return other

    def copy(self) -> Network:
        """A network of its own with the same layers and values."""
        return copy.deepcopy(self)

    __copy__ = copy


def _inner_layers(block: Layer) -> list[Layer]:
    """The layers inside of a block, blocks taken apart."""
    if not isinstance(block, Block):
        return []
    return [found for layer in block.inner() for found in (layer, *_inner_layers(layer))]


def _metrics(given: Metrics) -> list[Metric]:
    return metrics.get_all(given)


def check_network(net: Any) -> Network:
    """`net` itself, which must be a network."""
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network; got {checks.describe(net)}")
    return net


def load(path: Path, *, custom_objects: Mapping[str, type] | None = None) -> Network:
    """Read a network from a file that `Network.save` wrote.

    Parameters
    ----------
    custom_objects : dict, optional
        Classes of the user's layers, losses and metrics by name, where ``@fn.register`` has not named them.

    Raises
    ------
    ValueError
        The file is damaged, foreign, of a newer format, or needs a class that is not known.
    """
    tensors, data = files.read_safetensors(path)
    with files.taken_up(f"{path}: cannot be read as a fastnet network"):
        if data.get("kind") != network_data.KIND:
            hint = "; fn.Trainer.resume reads it" if data.get("kind") == "checkpoint" else ""
            raise ValueError(f"it holds a {data.get('kind')!r}, not a network{hint}")
        return Network.from_description(data, tensors, custom_objects)


def _run_alone(layer: Layer, x: Any) -> Network:
    """A network of one layer, kept with it, for `Layer.forward` and `Layer.backward`."""
    net = layer.__dict__.get("_alone")
    if x is None:
        if net is None:
            raise RuntimeError("backward needs a forward(x, training=True) before it")
        return net
    array = labels.real_array("x", x)
    if array.ndim == 0:
        raise ValueError("x must be a batch; got a single value")
    if net is None or net.input_shape != array.shape[1:]:
        built = [p for p in layer.parameters() if p.segment is not None]
        dtype = built[0].dtype.name if built else ("float64" if array.dtype == np.float64 else "float32")
        names = layer.name, layer._told_name
        net = Network([layer], input_shape=array.shape[1:], dtype=dtype, seed=0)
        layer.name, layer._told_name = names  # it is no part of that network for others
        layer._alone = net
    return net


Layer._runner = staticmethod(_run_alone)
