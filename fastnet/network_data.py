"""Networks as data: what a file says of one besides its arrays, and what a pickle or copy keeps."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fastnet import files
from fastnet.graph import Node
from fastnet.layers.base import Layer
from fastnet.parameters import Parameter

if TYPE_CHECKING:
    from fastnet.graph import Graph
    from fastnet.network import Network
    from fastnet.types import Array

__all__ = ["KIND", "build", "description", "pickled", "unpickle"]

KIND = "network"
RULES = ("regularizer", "constraint")  # of layers, beside their constructors' arguments


def description(net: Network) -> dict[str, Any]:
    """What JSON can hold of a network: all but its arrays."""
    layers = net.layers
    number = {id(layer): i for i, layer in enumerate(layers)}
    return {
        "kind": KIND,
        "name": net.name,
        "input_shape": list(net.input_shape),
        "output": net.graph.output,
        "dtype": net.dtype,
        "seed": net.seed,
        "forward_count": net.executor.control.forward,
        "epochs": net.epochs,
        "layers": [files.to_config(layer) for layer in layers],
        "frozen": [i for i, layer in enumerate(layers) if not layer.trainable],
        **{f"{name}s": _rules(layers, name) for name in RULES},
        "nodes": [
            {"name": n.name, "layer": number[id(n.layer)], "inputs": n.inputs, "stream": n.stream}
            for n in net.graph.nodes
        ],
        **_layout(net.graph),
        "loss": None if net.loss is None else files.to_config(net.loss),
        "metrics": [files.to_config(metric) for metric in net.metrics],
        "extra": net.extra,
    }


def _layout(graph: Graph) -> dict[str, Any]:
    """How the parameters lie in memory, where other networks have had a part in it."""
    layout = graph.layout()
    alone = len(layout) <= 1 and all(name is not None for segment in layout for name, *_ in segment)
    return {} if alone else {"layout": layout}


def _rules(layers: Iterable[Layer], name: str) -> list[Any]:
    """Layers' numbers with their regularizers, or constraints."""
    return [[i, files.to_config(getattr(layer, name))] for i, layer in enumerate(layers) if getattr(layer, name)]


def build(
    net: Network, data: dict[str, Any], state: Mapping[str, Array], custom_objects: Mapping[str, type] | None
) -> None:
    """Make an empty network what its description says, for parameters of this state, without their values."""
    layers = [files.from_config(item, custom_objects) for item in data["layers"]]
    for i in data["frozen"]:
        layers[i].trainable = False
    for name in RULES:
        for i, rule in data[f"{name}s"]:
            setattr(layers[i], name, files.from_config(rule, custom_objects))
    nodes = [Node(n["name"], layers[n["layer"]], list(n["inputs"]), n["stream"]) for n in data["nodes"]]
    net._set_up(nodes, data["output"], tuple(data["input_shape"]), data["dtype"], data["seed"], data["name"], False,
                data.get("layout", ()), state)  # fmt: skip
    net.executor.control.forward = data["forward_count"]
    net.epochs = data["epochs"]
    net.loss = None if data["loss"] is None else files.from_config(data["loss"], custom_objects)
    net.metrics = [files.from_config(item, custom_objects) for item in data["metrics"]]
    net.extra = data["extra"]


def pickled(net: Network) -> dict[str, Any]:
    """What a pickle keeps of a network: its layers without memory, and copies of the arrays."""
    layers = net.layers
    return {
        "nodes": [(n.name, layers.index(n.layer), n.inputs, n.stream) for n in net.graph.nodes],
        "layers": [_without_memory(layer) for layer in layers],
        "state": net.state_dict(),
        "settings": (net.graph.output, net.input_shape, net.dtype, net.seed, net.name),
        "kept": (net.executor.control.forward, net.epochs, net.loss, net.metrics, net.extra),
    }


def unpickle(net: Network, state: dict[str, Any]) -> None:
    """Make an empty network what `pickled` kept."""
    nodes = [Node(name, state["layers"][i], inputs, stream) for name, i, inputs, stream in state["nodes"]]
    output, input_shape, dtype, seed, name = state["settings"]
    net._set_up(nodes, output, input_shape, dtype, seed, name, initialize=False)
    net.load_state_dict(state["state"])
    net.executor.control.forward, net.epochs, net.loss, net.metrics, net.extra = state["kept"]


def _without_memory(layer: Layer) -> Layer:
    """The layer as it was before it was built: its parameters belong to the network that it is taken from."""
    bare = copy.copy(layer)
    for name, value in list(vars(bare).items()):
        if isinstance(value, Parameter) or name in ("_parameters", "_shapes", "_alone"):
            delattr(bare, name)
    return bare
