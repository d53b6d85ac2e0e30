"""A convolution's geometry, and which kernel does each of its passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastnet.kernels.windows import Axis

if TYPE_CHECKING:
    from fastnet.types import Shape

__all__ = ["Convolution", "Pass"]

EPILOGUE = {"parts": 0, "activation": 0, "gate_activation": 0, "alpha": 0.0, "gate_alpha": 0.0}

# Elements of work, in units of a product's multiply-add, that transforms cost for each channel and filter of a point
# of a tile (measured: with 16 channels a tile takes 2.5 times the time of its products).
TRANSFORMS = 24


def _tiles(tile: int, height: int, width: int) -> int:
    """That cover an image of this size."""
    return -(-height // tile) * -(-width // tile)


@dataclass(frozen=True)
class Pass:
    """One kernel call: `fields` says what the kernel calls x, w, y, bias, dx, dy, dw, dbias, and to add to dbias."""

    kernel: str
    fields: dict[str, str]
    numbers: dict[str, float]
    work: float


@dataclass(frozen=True)
class Convolution:
    """From x (batch, height, width, channels) to y (batch, height.output, width.output, filters).

    Weights have the shape (height.kernel, width.kernel, channels / groups, filters).

    Parameters
    ----------
    batch : int
    height, width : Axis
    channels, filters, groups : int
        Of x, of y; filter k sees the channels of its group alone.
    precise : bool
        Leave out Winograd's tiles of 4x4 results, whose rounding errors are two to seven times those of a direct sum.
    """

    batch: int
    height: Axis
    width: Axis
    channels: int
    filters: int
    groups: int = 1
    precise: bool = False

    @property
    def x_shape(self) -> Shape:
        return (self.batch, self.height.size, self.width.size, self.channels)

    @property
    def y_shape(self) -> Shape:
        return (self.batch, self.height.output, self.width.output, self.filters)

    @property
    def w_shape(self) -> Shape:
        return (self.height.kernel, self.width.kernel, self.channels // self.groups, self.filters)

    @property
    def multiply_adds(self) -> int:
        """Of the direct sum, taps outside of the image included."""
        taps = self.height.kernel * self.width.kernel
        return self.batch * self.height.output * self.width.output * self.filters * taps * self.channels // self.groups

    # The passes

    def forward(self) -> Pass:
        """y = conv(x, w) + bias."""
        if self._is_product:
            numbers = self._product(self._pixels, self.filters, self.channels, self.channels, self.filters)
            return self._pass("gemm", {"x": "a", "w": "b", "y": "c", "bias": "bias"}, numbers)
        return self._images("", ("x", "w", "y", "bias"), self.height.output, self.width.output)

    def backward_data(self) -> Pass:
        """dx from dy and w; with a bias it is the forward pass of a transposed convolution."""
        if self._is_product:
            numbers = self._product(self._pixels, self.channels, self.filters, self.filters, self.filters, trans_b=1)
            return self._pass("gemm", {"dy": "a", "w": "b", "dx": "c", "bias": "bias"}, numbers)
        return self._images("_data", ("dy", "w", "dx", "bias"), self.height.size, self.width.size)

    def backward_weights(self) -> Pass:
        """dw, and dbias, from x and dy."""
        if self._is_product:
            numbers = self._product(self.channels, self.filters, self._pixels, self.channels, self.filters, trans_a=1)
            fields = {"x": "a", "dy": "b", "dw": "c", "dbias": "column_sums", "accumulate_bias": "accumulate_sums"}
            return self._pass("gemm", fields, numbers)
        tile = self._tile(self.height.output, self.width.output)
        kernel = ("conv_winograd" if tile else self._direct) + "_weights"
        fields = {name: name for name in ("x", "dy", "dw", "dbias", "accumulate_bias")}
        return self._pass(kernel, fields, self._sizes(tile) | {"accumulate": 0, "accumulate_bias": 0})

    # Which algorithm: by the shape of one image alone, so that a sample's bits don't depend on the batch that it is in

    @property
    def _direct(self) -> str:
        return "depthwise" if 1 < self.groups == self.channels == self.filters else "conv_direct"

    @property
    def _is_product(self) -> bool:
        """Whether each pixel is multiplied by the weights by itself."""
        plain = all(
            axis.kernel == 1 and axis.stride == 1 and axis.before == axis.after == 0
            for axis in (self.height, self.width)
        )
        return plain and self.groups == 1

    def _tile(self, height: int, width: int) -> int:
        """Results of Winograd's tile, in each direction, for an image of results of this size; 0 for a direct sum.

        The one with the least multiply-adds, where those that the transforms cost are counted for each channel.
        """
        size = self.height.kernel
        if size != self.width.kernel or size not in (3, 5) or self.groups > 1:
            return 0
        if any(axis.stride > 1 or axis.dilation > 1 for axis in (self.height, self.width)):
            return 0
        costs: dict[int, float] = {0: size * size * height * width}
        for tile in (2,) if self.precise else (2, 4):
            points = (tile + size - 1) ** 2 * _tiles(tile, height, width)
            costs[tile] = points * (1 + TRANSFORMS / min(self.channels, self.filters))
        return min(costs, key=costs.__getitem__)

    # Numbers of the kernels

    @property
    def _pixels(self) -> int:
        return self.batch * self.height.size * self.width.size

    def _images(self, suffix: str, names: tuple[str, ...], height: int, width: int) -> Pass:
        """A pass whose results are images of this size."""
        tile = self._tile(height, width)
        kernel = ("conv_winograd" if tile else self._direct) + suffix
        return self._pass(kernel, {name: name for name in names}, self._sizes(tile) | EPILOGUE)

    def _pass(self, kernel: str, fields: Any, numbers: Any) -> Pass:
        return Pass(kernel, fields, numbers, float(self.multiply_adds))

    def _product(self, m: int, n: int, k: int, lda: int, ldb: int, **transposed: int) -> dict[str, Any]:
        sizes = {"M": m, "N": n, "K": k, "lda": lda, "ldb": ldb, "ldc": n, "ldgate": n}
        return {"trans_a": 0, "trans_b": 0, "accumulate": 0, "accumulate_sums": 0} | sizes | transposed | EPILOGUE

    def _sizes(self, tile: int) -> dict[str, Any]:
        height, width = self.height, self.width
        sizes = {
            "N": self.batch, "H": height.size, "W": width.size, "C": self.channels,
            "P": height.output, "Q": width.output, "K": self.filters,
            "R": height.kernel, "ph": height.before, "pw": width.before,
        }  # fmt: skip
        if tile:
            return sizes | {"m": tile}
        return sizes | {
            "S": width.kernel, "sh": height.stride, "sw": width.stride, "eh": height.dilation, "ew": width.dilation,
            "G": self.groups,
        }  # fmt: skip
