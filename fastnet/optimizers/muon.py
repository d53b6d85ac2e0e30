"""Muon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.adam import AdamW
from fastnet.optimizers.base import Optimizer, get
from fastnet.optimizers.groups import checked_match, matches, names_of, near_names

if TYPE_CHECKING:
    from fastnet.parameters import Parameter
    from fastnet.recording import Context, Tensor
    from fastnet.training.update import Part
    from fastnet.types import GroupSettings, LayerNames, OptimizerLike, Rate

__all__ = ["Muon"]

# Of the iteration x = A x + B (x x^T) x + C (x x^T)^2 x.
A, B, C = 3.4445, -4.7750, 2.0315
# What is iterated is y = C^(1/4) x: then it is A y + (B / sqrt(C)) (y y^T) y + (y y^T)^2 y, one factor less.
SCALE = math.sqrt(math.sqrt(C))

ADJUSTMENTS = {
    "original": lambda inputs, outputs: math.sqrt(max(1, outputs / inputs)),
    "match_rms_adamw": lambda inputs, outputs: 0.2 * math.sqrt(max(inputs, outputs)),
}


@register
class Muon(Optimizer):
    """b = mu b + (1 - mu) g;  u = b, or with `nesterov` (1 - mu) g + mu b;  w -= lr f orthogonalized(u)
    (Jordan et al. 2024), for hidden matrices

    What u has of directions counts, not their sizes: x = u / max(|u|, epsilon) is brought near to the orthogonal
    matrix next to it by `steps` Newton-Schulz iterations x = 3.4445 x - 4.7750 (x x^T) x + 2.0315 (x x^T)^2 x, which
    bring its singular values, unless they are very small, to about 0.7 to 1.2.

    Muon updates the parameters with more than one axis, taken as matrices whose columns are units or filters (the weights of
    a convolution as height x width x channels rows), but for the last one, in the order of `Network.parameters`, which
    makes the outputs. All else (biases, norms, the last weights) is updated by `others`.

    As in PyTorch, but iterated in the network's dtype instead of bfloat16. Weight decay is decoupled:
    w *= 1 - lr weight_decay before the step. Keras has b = mu b + g, which comes to the same, a weight decay of 0.004,
    and always adjusts by "match_rms_adamw".

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-3
        Of the matrices; with "original" 0.02 is usual.
    momentum : float, default 0.95
        mu, in [0, 1).
    nesterov : bool, default True
    steps : int, default 5
    epsilon : float, default 1e-7
    adjust_learning_rate : {"original", "match_rms_adamw"}
        The factor f for a matrix of n inputs and m outputs: sqrt(max(1, m / n)), or 0.2 sqrt(max(n, m)), with which
        elements move as far as with AdamW, whose learning rate then suits (Liu et al. 2025).
    weight_decay : float, default 0.1
    others : str or Optimizer, default AdamW(3e-4)
        The rule for all other parameters, with its own learning rate, weight decay and groups.
    exclude : str, Layer, or list of them, optional
        The matrices that `others` updates, in place of the last one: names or layers, as in `ParameterGroup`. An empty
        list leaves it none.
    groups
        Of the matrices that Muon updates, see `Optimizer`.

    Raises
    ------
    ValueError, TypeError
        A setting is out of its range; when a Trainer is made: `exclude` or a group finds no parameter.

    References
    ----------
    Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks, kellerjordan.github.io/posts/muon;
    Liu et al. (2025), Muon is scalable for LLM training.

    Examples
    --------
    >>> import fastnet as fn
    >>> layers = [fn.Dense(8, activation="relu", name="body"), fn.Dense(2, name="head")]
    >>> net = fn.Network(layers, input_shape=(4,), seed=0)
    >>> optimizer = fn.Muon(0.02, others=fn.AdamW(1e-3))
    >>> [(type(rule).__name__, [p.name for p in part]) for rule, part in optimizer.parts(net.parameters())]
    [('Muon', ['body.weight']), ('AdamW', ['body.bias', 'head.weight', 'head.bias'])]
    """

    state = ("b",)
    elementwise = False

    def __init__(self, learning_rate: Rate = 1e-3, *, momentum: float = 0.95, nesterov: bool = True, steps: int = 5,
                 epsilon: float = 1e-7, adjust_learning_rate: Literal["original", "match_rms_adamw"] = "original",
                 weight_decay: float = 0.1, others: OptimizerLike | None = None, exclude: LayerNames | None = None,
                 **common: Unpack[GroupSettings]) -> None:  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, decoupled_weight_decay=True, **common)
        self.momentum = checks.real_number("momentum", momentum, least=0, below=1)
        self.nesterov = checks.flag("nesterov", nesterov)
        self.steps = checks.whole_number("steps", steps, least=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)
        self.adjust_learning_rate = checks.choice("adjust_learning_rate", adjust_learning_rate, ADJUSTMENTS)
        self.others = AdamW(3e-4) if others is None else get(others, "others")
        if not self.others.elementwise:
            raise ValueError(f"others must be a rule for any parameter; got {type(self.others).__name__}")
        self.exclude = None if exclude is None else checked_match("exclude", exclude)

    def parts(self, parameters: Sequence[Parameter]) -> list[tuple[Optimizer, Sequence[Parameter]]]:
        matrices = [p for p in parameters if len(p.shape) > 1]
        if self.exclude is None:
            hidden = matrices[:-1]
        else:
            hidden = [p for p in matrices if not matches(self.exclude, p)]
        chosen = set(hidden)
        return [(self, hidden), (self.others, [p for p in parameters if p not in chosen])]

    def named(self, parameters: Sequence[Parameter]) -> Optimizer:
        twin = super().named(parameters)
        twin.others = self.others.named(parameters)
        if self.exclude is not None:
            twin.exclude = [p.name for p in parameters if matches(self.exclude, p)]
        return twin

    def check_groups(self, parameters: Sequence[Parameter]) -> None:
        for item in self.exclude or ():
            if not any(matches([item], p) for p in parameters):
                raise ValueError(
                    f"exclude: {item!r} matches no parameter of the network{near_names([item], parameters)}"
                )
        (_, hidden), (_, rest) = self.parts(parameters)
        super().check_groups(hidden)
        self.others.check_groups(rest)

    def rate_sources(self) -> list[Any]:
        return [*super().rate_sources(), *self.others.rate_sources()]

    def record_update(self, ctx: Context, part: Part) -> None:
        control = ctx.recording.control_field()
        for index, parameter in enumerate(part.parameters):
            columns = parameter.shape[-1]
            rows = parameter.size // columns
            shared = {"range": part.range_of(index), "control": control}
            x = ctx.tensor((rows, columns))
            ctx.call(
                "muon_begin", reads={"g": part.gradients, **shared}, updates={"b": part.state("b")}, writes={"x": x},
                work=16 * x.size, n=x.size, nesterov=int(self.nesterov), momentum=self.momentum, factor=SCALE,
                epsilon=self.epsilon,
            )  # fmt: skip
            x = self._record_orthogonalization(ctx, x)
            factor = ADJUSTMENTS[self.adjust_learning_rate](rows, columns) / SCALE
            ctx.call("muon_end", reads={"x": x, **shared}, updates={"w": part.values}, work=8 * x.size, factor=factor)

    def _record_orthogonalization(self, ctx: Context, y: Tensor) -> Tensor:
        """The iterations, of the products of y's shorter side."""
        tall = y.rows > y.columns
        for _ in range(self.steps):
            gram = ctx.update_product(y, y, trans_a=tall, trans_b=not tall)
            polynomial = ctx.update_product(gram, gram, start=gram, start_factor=B / math.sqrt(C))
            left, right = (y, polynomial) if tall else (polynomial, y)
            y = ctx.update_product(left, right, start=y, start_factor=A)
        return y

    def config(self) -> dict[str, Any]:
        common = {name: value for name, value in super().config().items() if name != "decoupled_weight_decay"}
        return {
            **common,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "steps": self.steps,
            "epsilon": self.epsilon,
            "adjust_learning_rate": self.adjust_learning_rate,
            "others": self.others,
            "exclude": None if self.exclude is None else names_of(self.exclude, "a Muon"),
        }
