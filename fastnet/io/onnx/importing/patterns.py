"""Several operations that are one layer: activations and norms which exporters write out.

A template is a nested tuple of an operator and its inputs: texts stand for any tensor (the same text for the same tensor),
numbers for constants, `Constant` for one that is kept. Sums and products may have their inputs in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastnet.io.onnx.importing.graph import Graph, Operation

__all__ = ["PSEUDO", "replace"]

Template: TypeAlias = tuple[Any, ...]
#: Makes an operation of what was found in a graph, and the operation whose place it takes; None where it does not fit.
Make: TypeAlias = "Callable[[Graph, Found, Operation], Operation | None]"

#: Operators that only patterns give.
PSEUDO = ("GroupsNormalized", "Silu")
COMMUTATIVE = ("Add", "Mul")
LONGEST = 4  # inputs of an operation that a template has; those beyond are not looked at


@dataclass(frozen=True)
class Constant:
    """A constant number, or tensor, that is kept under a name."""

    name: str


@dataclass
class Found:
    """What a template's names stand for, and the operations in it."""

    tensors: dict[str, str]
    operations: list[Operation]

    def copy(self) -> Found:
        return Found(dict(self.tensors), list(self.operations))


def _erf(x: str) -> tuple[Template, ...]:
    return ("Erf", ("Div", x, math.sqrt(2))), ("Erf", ("Mul", x, math.sqrt(0.5)))


def _gelus(part: Template) -> list[Template]:
    """The ways to write x (1 + part) / 2."""
    whole = ("Add", part, 1.0)
    return [("Mul", ("Mul", "x", 0.5), whole), ("Mul", ("Mul", "x", whole), 0.5), ("Mul", "x", ("Mul", whole, 0.5))]


CUBES: list[Template] = [("Pow", "x", 3.0), ("Mul", "x", ("Mul", "x", "x"))]
TANHS = [
    ("Tanh", ("Mul", ("Add", "x", ("Mul", cube, 0.044715)), math.sqrt(2 / math.pi))) for cube in CUBES
]  # fmt: skip
SIX = ("Clip", ("Add", "x", 3.0), 0.0, 6.0)
DIFFERENCE = ("Sub", "x", ("ReduceMean", "x"))
SQUARES: list[Template] = [("Pow", DIFFERENCE, 2.0), ("Mul", DIFFERENCE, DIFFERENCE)]


def _root(square: Template) -> Template:
    return ("Sqrt", ("Add", ("ReduceMean", square), Constant("epsilon")))


def _quotients(x: str | Template, root: Template) -> list[Template]:
    return [("Div", x, root), ("Mul", x, ("Reciprocal", root))]


def _plain(operator: str, **attributes: Any) -> Make:
    def make(graph: Graph, found: Found, root: Operation) -> Operation:
        return Operation(operator, root.name, [found.tensors["x"]], root.outputs, dict(attributes))

    return make


def _hard_swish(graph: Graph, found: Found, root: Operation) -> Operation | None:
    gate = next(operation for operation in found.operations if operation.operator == "HardSigmoid")
    alpha, beta = gate.attributes.get("alpha", 0.2), gate.attributes.get("beta", 0.5)
    if abs(alpha - 1 / 6) > 1e-6 or beta != 0.5:
        return None
    return _plain("HardSwish")(graph, found, root)


def _log_softmax(graph: Graph, found: Found, root: Operation) -> Operation:
    inner = next(operation for operation in found.operations if operation.operator == "Softmax")
    return Operation("LogSoftmax", root.name, [found.tensors["x"]], root.outputs, dict(inner.attributes))


def _softplus(graph: Graph, found: Found, root: Operation) -> Operation | None:
    """Softplus that leaves out what does not count in float32, from a threshold on."""
    if float(graph.constants[found.tensors["threshold"]].reshape(-1).min()) < 15:
        return None
    return _plain("Softplus")(graph, found, root)


def _norm(operator: str) -> Make:
    def make(graph: Graph, found: Found, root: Operation) -> Operation | None:
        means = [operation for operation in found.operations if operation.operator == "ReduceMean"]
        axes = [_axes(graph, mean) for mean in means]
        epsilon = float(graph.constants[found.tensors["epsilon"]].reshape(()))
        if axes[0] is None or any(other != axes[0] for other in axes):
            return None
        attributes = {"axes": axes[0], "axis": axes[0][0], "epsilon": epsilon}
        return Operation(operator, root.name, [found.tensors["x"]], root.outputs, attributes)

    return make


def _axes(graph: Graph, mean: Operation) -> list[int] | None:
    """The neighbouring axes of a mean that keeps them, in order."""
    axes = mean.attributes.get("axes")
    if mean.input(1) in graph.constants and mean.input(1) not in graph.assumed:
        axes = graph.constants[mean.input(1)].reshape(-1).tolist()
    if not axes or not mean.attributes.get("keepdims", 1):
        return None
    axes = sorted(axes)
    return axes if axes == list(range(axes[0], axes[0] + len(axes))) else None


def _groups(graph: Graph, found: Found, root: Operation) -> Operation | None:
    scale, bias = (graph.constants[found.tensors[name]] for name in ("ones", "zeros"))
    if (scale != 1).any() or bias.any() or {found.tensors["ones"], found.tensors["zeros"]} & graph.assumed:
        return None
    inner = next(operation for operation in found.operations if operation.operator == "InstanceNormalization")
    inputs = [found.tensors[name] for name in ("x", "before", "after")]
    return Operation("GroupsNormalized", root.name, inputs, root.outputs, dict(inner.attributes))


#: Templates, and what makes the operation that stands for them (or None, where it does not fit after all).
PATTERNS: list[tuple[Template, Make]] = [
    *[(t, _plain("Gelu")) for erf in _erf("x") for t in _gelus(erf)],
    *[(t, _plain("Gelu", approximate="tanh")) for tanh in TANHS for t in _gelus(tanh)],
    (("Mul", "x", ("Sigmoid", "x")), _plain("Silu")),
    (("Mul", "x", ("HardSigmoid", "x")), _hard_swish),
    (("Div", ("Mul", "x", SIX), 6.0), _plain("HardSwish")),
    (("Mul", "x", ("Div", SIX, 6.0)), _plain("HardSwish")),
    (("Log", ("Softmax", "x")), _log_softmax),
    (("Where", ("Greater", "x", Constant("threshold")), "x", ("Softplus", "x")), _softplus),
    *[(t, _norm("LayerNormalization")) for square in SQUARES for t in _quotients(DIFFERENCE, _root(square))],
    *[
        (t, _norm("RMSNormalization"))
        for square in (("Pow", "x", 2.0), ("Mul", "x", "x"))
        for t in _quotients("x", _root(square))
    ],
    (
        (
            "Reshape",
            ("InstanceNormalization", ("Reshape", "x", "before"), Constant("ones"), Constant("zeros")),
            "after",
        ),
        _groups,
    ),
]


def replace(graph: Graph) -> None:
    """Replace what the templates match by the operations that they stand for; what others read of it stays, too."""
    by_operator: dict[str, list[tuple[Template, Make]]] = {}
    for template, make in PATTERNS:
        by_operator.setdefault(template[0], []).append((template, make))
    origin = {name: operation for operation in graph.operations for name in operation.outputs[:1]}
    changed = False
    for i, root in enumerate(graph.operations):
        for template, make in by_operator.get(root.operator, ()):
            found = _match(graph, origin, root.outputs[0], template, Found({}, []))
            if found is None:
                continue
            operation = make(graph, found, root)
            if operation is not None:
                graph.operations[i] = origin[root.outputs[0]] = operation
                changed = True
                break
    if changed:
        graph.keep_needed()


def _match(graph: Graph, origin: dict[str, Operation], name: str, template: str | float | Constant | Template,
           found: Found) -> Found | None:  # fmt: skip
    if isinstance(template, str):
        if found.tensors.setdefault(template, name) != name:
            return None
        return found
    if isinstance(template, (float, Constant)):
        array = graph.constants.get(name)
        if array is None or name in graph.assumed or array.dtype.kind != "f":
            return None
        if isinstance(template, Constant):
            return _match(graph, origin, name, template.name, found) if array.ndim or array.size == 1 else None
        return (
            found if array.size == 1 and math.isclose(array.reshape(()), template, rel_tol=1e-5, abs_tol=1e-9) else None
        )
    operation = origin.get(name)
    if operation is None or operation.operator != template[0] or len(operation.inputs) > LONGEST:
        return None
    wanted, inputs = template[1:], operation.inputs
    if len(inputs) < len(wanted) or (len(inputs) > len(wanted) and template[0] != "ReduceMean"):
        return None
    orders = [inputs, inputs[::-1]] if template[0] in COMMUTATIVE else [inputs]
    for order in orders:
        attempt = found.copy()
        attempt.operations.append(operation)
        for part, tensor in zip(wanted, order, strict=False):
            matched = _match(graph, origin, tensor, part, attempt)
            if matched is None:
                break
            attempt = matched
        else:
            return attempt
    return None
