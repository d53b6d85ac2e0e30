"""What a layer records with: one context for each place that the layer has in a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from fastnet.kernels.activation import SLOPE
from fastnet.native.plan import ControlBlock
from fastnet.recording.recording import Node, Recording, Tensor

if TYPE_CHECKING:
    from fastnet.kernels.convolution import Convolution, Pass
    from fastnet.parameters import Parameter
    from fastnet.types import Shape

FORWARD_COUNT = ControlBlock.offset("forward")


class Context:
    """Records the calls of one layer at one place, and keeps what its backward pass needs.

    Parameters are given as they are: the context knows where their values and gradients live.
    """

    def __init__(self, recording: Recording, place: str, training: bool, frozen: bool = False) -> None:
        self.recording = recording
        self.place = place
        self.training = training
        self.frozen = frozen
        self.stream_key: tuple[int, int]
        self.slopes: dict[Tensor, Tensor | None] = {}  # of each activated tensor, where its activation computes it

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What `keep` was given."""

    def keep(self, y: Tensor, **saved: Any) -> Tensor:
        """Keep tensors (or anything) for the backward pass, as attributes; returns `y`, kept too."""
        self.y = y
        for name, value in saved.items():
            setattr(self, name, value)
        return y

    # Where values live

    @overload
    def value(self, parameter: Parameter | Tensor) -> Tensor: ...
    @overload
    def value(self, parameter: None) -> None: ...
    def value(self, parameter: Parameter | Tensor | None) -> Tensor | None:
        """A parameter's value as a tensor (a tensor or None is passed through)."""
        if parameter is None or isinstance(parameter, Tensor):
            return parameter
        segment, offset = parameter.segment, parameter.offset
        return self.recording.outside(segment.values, parameter.shape, offset=offset)

    @overload
    def grad(self, parameter: Parameter) -> Tensor: ...
    @overload
    def grad(self, parameter: None) -> None: ...
    def grad(self, parameter: Parameter | None) -> Tensor | None:
        """Where a parameter's gradient goes; what a frozen layer writes there is left out later."""
        if parameter is None:
            return None
        if self.frozen:
            return self.tensor(parameter.shape)
        gradients = self.recording.gradients
        if parameter not in gradients:
            segment, offset = parameter.segment, parameter.offset
            memory, start = self.recording.gradient_homes.get(segment.gradients, (segment.gradients, 0))
            gradients[parameter] = self.recording.outside(memory, parameter.shape, offset=start + offset)
        return gradients[parameter]

    def tensor(self, shape: Shape, dtype: Any = None) -> Tensor:
        return self.recording.tensor(shape, dtype)

    def call(self, kernel: str, **arguments: Any) -> Node:
        """Record any kernel by its row's fields (see `Recording.call`)."""
        return self.recording.call(kernel, **arguments)

    def adds(self, target: Tensor | None) -> int:
        """0 for the first writer of a gradient, which sets it, 1 for the others, which add."""
        return 0 if target is None or self.recording.first_write(target) else 1

    # Products

    def matmul(self, a: Any, b: Any, *, trans_a: bool = False, trans_b: bool = False, bias: Any = None,
               activation: Any = None, into: Tensor | None = None, column_sums: Tensor | None = None) -> Tensor:  # fmt: skip
        """`activation(op(a) op(b) + bias)`, over the last axis of `a`; see `fastnet.kernels.matmul`.

        `into` and `column_sums` are gradients from `grad`: the product, and the sums over the
        rows of b, are set or added there.
        """
        a, b, bias = self.value(a), self.value(b), self.value(bias)
        numbers = product_numbers(a, b, trans_a, trans_b)
        rows, columns = numbers["M"], numbers["N"]
        c = into if into is not None else self.tensor((*a.shape[:-1], columns) if not trans_a else (rows, columns))
        checked = into is not None and into.storage.memory is not None
        self.call(
            "gemm",
            reads={"a": a, "b": b, "bias": bias},
            writes={"c": c, "column_sums": column_sums},
            updates={"control": self.recording.control_field()} if checked else None,
            optional=("column_sums",),
            work=rows * columns * numbers["K"],
            accumulate=self.adds(into), accumulate_sums=self.adds(column_sums), **numbers,
        )  # fmt: skip
        return self.activation(activation, c) if activation is not None else c

    def update_product(self, a: Any, b: Any, *, trans_a: bool = False, trans_b: bool = False,
                       start: Tensor | None = None, start_factor: float = 0.0) -> Tensor:  # fmt: skip
        """`start_factor start + op(a) op(b)` of matrices, in an update: after a bad step nothing is computed."""
        numbers = product_numbers(a, b, trans_a, trans_b)
        c = self.tensor((numbers["M"], numbers["N"]))
        self.call(
            "update_product", reads={"start": start, "a": a, "b": b, "control": self.recording.control_field()},
            writes={"c": c}, work=c.size * numbers["K"], accumulate=int(start is not None), accumulate_sums=0,
            start_factor=start_factor, **numbers,
        )  # fmt: skip
        return c

    # Convolutions: the kernel is what the geometry (`fastnet.kernels.convolution`) chooses

    def conv(self, convolution: Convolution, x: Tensor, weight: Any, bias: Any = None) -> Tensor:
        """x * w + bias."""
        y = self.tensor(convolution.y_shape)
        self._pass(convolution.forward(), {"x": x, "w": weight, "bias": bias}, {"y": y})
        return y

    def conv_data(self, convolution: Convolution, dy: Tensor, weight: Any, bias: Any = None) -> Tensor:
        """The gradient of `conv` at x; with a bias, a transposed convolution."""
        dx = self.tensor(convolution.x_shape)
        self._pass(convolution.backward_data(), {"dy": dy, "w": weight, "bias": bias}, {"dx": dx})
        return dx

    def conv_weights(self, convolution: Convolution, x: Tensor, dy: Tensor, into: Tensor,
                     bias_into: Tensor | None = None) -> None:  # fmt: skip
        """The gradients of `conv` at its weights and bias, set or added in tensors from `grad`."""
        chosen = convolution.backward_weights()
        adds = {"accumulate": self.adds(into), chosen.fields["accumulate_bias"]: self.adds(bias_into)}
        checked = into.storage.memory is not None
        self._pass(chosen, {"x": x, "dy": dy}, {"dw": into, "dbias": bias_into},
                   updates={"control": self.recording.control_field()} if checked else None,
                   optional=(chosen.fields["dbias"],), **adds)  # fmt: skip

    def _pass(self, chosen: Pass, reads: Any, writes: Any, optional: Sequence[str] = (), updates: Any = None,
              **numbers: Any) -> None:  # fmt: skip
        self.call(
            chosen.kernel,
            reads={chosen.fields[name]: self.value(tensor) for name, tensor in reads.items() if tensor is not None},
            writes={chosen.fields[name]: tensor for name, tensor in writes.items()},
            updates=updates, optional=optional, work=chosen.work, **chosen.numbers | numbers,
        )  # fmt: skip

    # Elementwise

    def activation(self, activation: Any, x: Tensor) -> Tensor:
        """y = activation(x); `activation` is a configured activation or None."""
        if activation is None or activation.kind == 0:
            return x
        y = self.tensor(x.shape)
        slope = self.slopes[y] = self.tensor(x.shape) if activation.has_slope else None
        self.call(
            "activation", reads={"x": x}, writes={"y": y, "slope": slope}, optional=("slope",), in_place=("x", "y"),
            work=8 * x.size, n=x.size, kind=activation.kind, alpha=activation.alpha,
        )  # fmt: skip
        return y

    def activation_backward(self, activation: Any, dy: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """dy times the slope of y = activation(x), from what its table row says: y, x, or the slope that `activation` left."""
        if activation is None or activation.kind == 0:
            return dy
        if activation.has_slope:
            kind, saved = SLOPE, self.slopes[y]
        else:
            kind, saved = activation.kind, y if activation.saves == "output" else x
        dx = self.tensor(dy.shape)
        self.call(
            "activation_backward", reads={"saved": saved, "dy": dy}, writes={"dx": dx}, in_place=("dy", "dx"),
            work=8 * dy.size, n=dy.size, kind=kind, alpha=activation.alpha,
        )  # fmt: skip
        return dx

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        y = self.tensor(a.shape)
        self.call(
            "add", reads={"a": a, "b": b}, writes={"y": y}, in_place=("a", "y"), work=4 * a.size, n=a.size,
            activation=0, gate_activation=0, alpha=0.0, gate_alpha=0.0,
        )  # fmt: skip
        return y

    def column_sums(self, x: Tensor, into: Tensor) -> None:
        """The sums of x over all axes but the last, set or added in a tensor from `grad`: a norm's gradient of beta."""
        self.call("batch_norm_inference_backward", reads={"dy": x}, writes={"dbeta": into}, work=4 * x.size, rows=x.rows,
                  channels=x.columns, accumulate_gamma=0, accumulate_beta=self.adds(into), epsilon=1.0)  # fmt: skip

    def copy_columns(self, x: Tensor, y: Tensor, *, source: int = 0, target: int = 0, columns: int) -> None:
        """Copy a range of the last axis: columns source.. of x to target.. of y."""
        self.call("copy_2d", reads={"x": x.shifted(source)}, updates={"y": y.shifted(target)}, work=4 * x.rows * columns,
                  rows=x.rows, cols=columns, ldx=x.columns, ldy=y.columns)  # fmt: skip

    def dropout(self, x: Tensor, rate: float, key: tuple[int, int]) -> Tensor:
        """Zero elements at random and scale the others; the same call on dy is its backward pass."""
        y = self.tensor(x.shape)
        self.call("dropout", reads={"x": x, "control": self.recording.control_field()}, writes={"y": y},
                  in_place=("x", "y"), work=16 * x.size, n=x.size, key_0=key[0], key_1=key[1], rate=rate)  # fmt: skip
        return y


def product_numbers(a: Tensor, b: Tensor, trans_a: bool, trans_b: bool) -> dict[str, Any]:
    """The fields of `op(a) op(b)`, over the last axis of `a`, that say no more than which product it is."""
    depth, rows = (a.rows, a.columns) if trans_a else (a.columns, a.rows)
    columns = b.rows if trans_b else b.columns
    return {
        "M": rows, "N": columns, "K": depth, "lda": a.columns, "ldb": b.columns, "ldc": columns, "ldgate": columns,
        "trans_a": int(trans_a), "trans_b": int(trans_b), "parts": 0, "activation": 0, "gate_activation": 0,
        "alpha": 0.0, "gate_alpha": 0.0,
    }  # fmt: skip
