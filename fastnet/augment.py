"""Augmentation: random changes of a batch while it is gathered, for training only.

``net.fit(x, y, augment=[fn.augment.RandomCrop(4), fn.augment.RandomFlip(), fn.augment.Mixup()])``

What is drawn depends on the network's seed, the kind of operation, the count of training forwards (which the
network keeps for life and in its file), and the sample's place in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from fastnet import checks
from fastnet.files import register
from fastnet.kernels import random
from fastnet.kernels.batch import KINDS
from fastnet.native.plan import ControlBlock
from fastnet.recording import Memory, Program, Recording, Workspace

if TYPE_CHECKING:
    from fastnet.recording import Tensor
    from fastnet.types import ArrayLike, Augment, DType, Shape

__all__ = ["Augmentation", "Brightness", "Contrast", "Cutout", "Mixup", "RandomCrop", "RandomFlip", "apply"]


@dataclass(frozen=True)
class Operation:
    """Base class of what a list of augmentations may have."""

    path = ""  # of its random stream, below "augmentation"
    field, words = "", 0  # the kernel's argument for its random words, and how many there are for an image
    on_images = True
    rank = 0  # operations follow each other in this order, those of one rank in any

    def check_shape(self, shape: Shape) -> None:
        """Refuse samples that are too small."""

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@register(name="augment.RandomFlip")
@dataclass(frozen=True)
class RandomFlip(Operation):
    """Mirror images.

    Parameters
    ----------
    horizontal : bool, default True
        Left to right.
    vertical : bool, default False
        Top to bottom, drawn independently.
    probability : float, default 0.5
    """

    horizontal: bool = True
    vertical: bool = False
    probability: float = 0.5
    path, field, words = "random_flip", "flips", 2

    def __post_init__(self) -> None:
        checks.flag("horizontal", self.horizontal)
        checks.flag("vertical", self.vertical)
        if not (self.horizontal or self.vertical):
            raise ValueError("RandomFlip needs horizontal=True, vertical=True, or both")
        checks.real_number("probability", self.probability, least=0, most=1)

    @property
    def numbers(self) -> dict[str, Any]:
        below = round(self.probability * 2**32)
        return {"flip_x": below if self.horizontal else 0, "flip_y": below if self.vertical else 0}


@register(name="augment.RandomCrop")
@dataclass(frozen=True)
class RandomCrop(Operation):
    """Pad images and take a part of their own size at a random place: a shift by up to `padding` pixels.

    Parameters
    ----------
    padding : int or (int, int), default 4
        Pixels added above and below, left and right; less than the image has.
    mode : {"zero", "reflect"}
        What the padding holds: zeros, or the image mirrored at its first and last pixels.
    """

    padding: int | tuple[int, int] = 4
    mode: Literal["zero", "reflect"] = "zero"
    path, field, words = "random_crop", "crops", 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", _pair("padding", self.padding, least=0))
        checks.choice("mode", self.mode, ["zero", "reflect"])

    def check_shape(self, shape: Shape) -> None:
        for padding, size, axis in zip(
            cast("tuple[int, int]", self.padding), shape[:2], ("height", "width"), strict=True
        ):
            if padding >= size:
                raise ValueError(
                    f"augment: RandomCrop(padding={padding}) would take parts that lie outside of images of {axis} "
                    f"{size}; padding must be at most {size - 1}"
                )

    @property
    def numbers(self) -> dict[str, Any]:
        height, width = cast("tuple[int, int]", self.padding)
        return {"pad_y": height, "pad_x": width, "reflect": int(self.mode == "reflect")}


@register(name="augment.Brightness")
@dataclass(frozen=True)
class Brightness(Operation):
    """Multiply each image by a random factor.

    Nothing is clipped: the library does not know the range of the values. As in torchvision's ColorJitter, which clips.

    Parameters
    ----------
    amount : float, default 0.2
        The factor is uniform from 1 - amount to 1 + amount; in [0, 1].
    """

    amount: float = 0.2
    rank = 1
    path, field, words = "brightness", "brightness", 1

    def __post_init__(self) -> None:
        checks.real_number("amount", self.amount, least=0, most=1)

    @property
    def numbers(self) -> dict[str, Any]:
        return {"brighter": self.amount}


@register(name="augment.Contrast")
@dataclass(frozen=True)
class Contrast(Operation):
    """Move each image's values away from their mean, or nearer to it: m + c (x - m), m over all pixels and channels.

    Nothing is clipped. As in torchvision's ColorJitter, which clips and takes the mean of the grey image; Keras
    takes each channel's.

    Parameters
    ----------
    amount : float, default 0.2
        c is uniform from 1 - amount to 1 + amount; in [0, 1].
    """

    amount: float = 0.2
    rank = 1
    path, field, words = "contrast", "contrast", 1

    def __post_init__(self) -> None:
        checks.real_number("amount", self.amount, least=0, most=1)

    @property
    def numbers(self) -> dict[str, Any]:
        return {"sharper": self.amount}


@register(name="augment.Cutout")
@dataclass(frozen=True)
class Cutout(Operation):
    """Overwrite a rectangle at a random place of each image (DeVries & Taylor 2017).

    Its centre is any pixel with the same probability, and it is cut off where it leaves the image.

    Parameters
    ----------
    size : int or (int, int)
        Height and width.
    value : float, default 0
        What is written, in the unit of the inputs.
    """

    size: int | tuple[int, int]
    value: float = 0.0
    rank = 2
    path, field, words = "cutout", "cutouts", 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _pair("size", self.size, least=1))
        checks.real_number("value", self.value)

    def check_shape(self, shape: Shape) -> None:
        for size, most, axis in zip(cast("tuple[int, int]", self.size), shape[:2], ("height", "width"), strict=True):
            if size > most:
                raise ValueError(f"augment: Cutout(size={size}) is larger than the images, whose {axis} is {most}")

    @property
    def numbers(self) -> dict[str, Any]:
        height, width = cast("tuple[int, int]", self.size)
        return {"cut_y": height, "cut_x": width, "fill": self.value}


@register(name="augment.Mixup")
@dataclass(frozen=True)
class Mixup(Operation):
    """Mix each sample with another one of the batch: x = s x_i + (1 - s) x_j, and the targets alike (Zhang et al. 2018).

    s is drawn once for each batch from Beta(alpha, alpha), and the partners are a random permutation of the batch. Class
    numbers become rows of probabilities; metrics see the mixed targets, so the accuracy of training counts the class with
    the greater share. Values (regression, several yes-or-no outputs) and sample weights are mixed as they are. For inputs
    of any shape.

    Parameters
    ----------
    alpha : float, default 0.2
    """

    alpha: float = 0.2
    on_images = False
    rank = 3
    path = "mixup"

    def __post_init__(self) -> None:
        checks.real_number("alpha", self.alpha, above=0)


ORDER = [RandomCrop, RandomFlip, Brightness, Contrast, Cutout, Mixup]
NONE = {"pad_y": 0, "pad_x": 0, "reflect": 0, "flip_x": 0, "flip_y": 0, "cut_y": 0, "cut_x": 0, "brighter": 0.0,
        "sharper": 0.0, "fill": 0.0}  # fmt: skip


def _pair(argument: str, value: Any, least: int) -> tuple[int, int]:
    pair = checks.shape(argument, value, least=least)
    pair = pair * 2 if len(pair) == 1 else pair
    if len(pair) != 2:
        raise ValueError(f"{argument} must be one number or two (height, width); got {value}")
    return pair


class Augmentation:
    """A checked list of operations on samples of one shape.

    Parameters
    ----------
    operations : list of operations
        Each at most once; crop and flip come first, then brightness and contrast, then cutout, then mixup.
    shape : tuple of int
        One sample's.
    seed : int
    argument : str
        What errors call the list.
    """

    def __init__(self, operations: Augment, shape: Shape, seed: int, argument: str = "augment") -> None:
        self.operations = _checked(operations, tuple(shape), argument)
        self.seed = seed
        self.on_images = [operation for operation in self.operations if operation.on_images]
        self.mixup = next((operation for operation in self.operations if isinstance(operation, Mixup)), None)

    def key(self) -> tuple[Any, ...]:
        """What a recording depends on."""
        return self.operations

    def _stream(self, operation: Operation, piece: int, purpose: str = "") -> dict[str, Any]:
        key = random.key(self.seed, f"augmentation.{operation.path}{purpose}", piece)
        return {"key_0": key[0], "key_1": key[1], "count": 0}

    def record_gather(self, recording: Recording, fields: dict[str, Any], shape: Shape, piece: int = 0,
                      **numbers: Any) -> Tensor:  # fmt: skip
        """Record the gather of images of `shape`, batch included: `fields` has source, order and control."""
        batch, height, width, channels = shape
        y = recording.tensor(shape)
        control = recording.control_field()
        reads = {}
        settings: dict[str, Any] = dict(NONE)
        for operation in self.on_images:
            n = batch * operation.words
            words = reads[operation.field] = recording.tensor((n,), np.uint32)
            recording.call("random_bits", reads={"control": control}, writes={"y": words}, work=8 * n, n=n,
                           **self._stream(operation, piece))  # fmt: skip
            settings |= operation.numbers
        recording.call(
            "gather_images", reads={**fields["reads"], **reads}, writes={"y": y}, updates=fields["updates"],
            work=8 * y.size, rows=batch, height=height, width=width, channels=channels, **settings, **numbers,
        )  # fmt: skip
        return y

    def record_mix(self, recording: Recording, x: Tensor, target: Tensor | None, classes: int | None,
                   weights: Tensor | None, piece: int = 0) -> tuple[Any, Any, Any]:  # fmt: skip
        """Record the mixing of a gathered batch, or piece of one; returns inputs, targets (no labels any more) and weights."""
        if self.mixup is None:
            return x, target, weights
        batch = x.shape[0]
        control = {"control": recording.control_field()}
        share = recording.tensor((1,), np.float64)
        partners = recording.tensor((batch,), np.int64)
        recording.call("random_beta", reads=control, writes={"y": share}, n=1, alpha=self.mixup.alpha,
                       **self._stream(self.mixup, piece))  # fmt: skip
        recording.call("shuffle", reads=control, writes={"order": partners}, n=batch,
                       **self._stream(self.mixup, piece, ".partners"))  # fmt: skip
        mixing = {"partners": partners, "share": share}

        def mixed(tensor: Tensor) -> Tensor:
            y = recording.tensor(tensor.shape)
            recording.call("mix_rows", reads={"x": tensor, **mixing}, writes={"y": y}, work=8 * y.size,
                           rows=batch, width=y.size // batch)  # fmt: skip
            return y

        if classes is None:
            rows = None if target is None else mixed(target)
        else:
            rows = recording.tensor((batch, classes))
            recording.call("mix_labels", reads={"labels": target, **mixing}, writes={"y": rows}, work=4 * rows.size,
                           rows=batch, classes=classes)  # fmt: skip
        return mixed(x), rows, None if weights is None else mixed(weights)


def _checked(operations: Augment, shape: Shape, argument: str) -> tuple[Any, ...]:
    if isinstance(operations, (Operation, str)) or operations is None or not hasattr(operations, "__iter__"):
        raise TypeError(f"{argument} must be a list, such as [RandomFlip()]; got {checks.describe(operations)}")
    operations = tuple(operations)
    names = ", ".join(kind.__name__ for kind in ORDER)
    last = None
    for operation in operations:
        if isinstance(operation, type) and issubclass(operation, Operation):
            raise TypeError(f"{argument} has the class {operation.__name__}; give {operation.__name__}(...)")
        if not isinstance(operation, Operation):
            raise TypeError(f"{argument} must have operations ({names}); it has {checks.describe(operation)}")
        name = type(operation).__name__
        if any(type(other) is type(operation) for other in operations if other is not operation):
            raise ValueError(f"{argument} has {name} twice")
        if last is not None and operation.rank < last.rank:
            raise ValueError(
                f"{argument} has {name} after {type(last).__name__}; it must come before it: the order is {names}, "
                "where crop and flip, and brightness and contrast, may change places"
            )
        last = operation
        if operation.on_images and len(shape) != 3:
            raise ValueError(
                f"{argument}: {name} needs images, inputs of shape (height, width, channels); "
                f"the network's are of shape {shape}"
            )
        operation.check_shape(shape)
    return operations


def apply(operations: Augment, x: ArrayLike, y: ArrayLike | None = None, *, seed: int = 0, count: int = 1,
          classes: int | None = None, dtype: DType = "float32") -> Any:  # fmt: skip
    """Augment a batch as training does, to look at it.

    Parameters
    ----------
    operations : list
    x : array (n, ...)
        Samples of any real dtype; they are cast, not scaled.
    y : array (n, ...), optional
        Values, or class numbers (n,) of an integer dtype, which `Mixup` makes rows of probabilities of.
    seed, count : int
        The network's seed, and which training forward of its life: the first is 1.
    classes : int, optional
        How many there are, where `y` has class numbers; by default as many as the greatest says.
    dtype : {"float32", "float64"}

    Returns
    -------
    x : ndarray, or (x, y) where there is a `y`

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> x = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    >>> fn.augment.apply([fn.augment.RandomFlip(probability=1)], x)[0, :, :, 0]
    array([[2., 1., 0.],
           [5., 4., 3.]], dtype=float32)
    """
    dtype = checks.dtype_name("dtype", dtype)
    x = _samples("x", x)
    augmentation = Augmentation(operations, x.shape[1:], checks.whole_number("seed", seed, least=0), "operations")
    recording = Recording(dtype)
    arrays = {Memory("x"): x if augmentation.on_images else x.astype(dtype)}
    (memory, array), *_ = arrays.items()
    samples = recording.outside(memory, array.shape, array.dtype)
    if augmentation.on_images:
        fields = {"reads": {"source": samples}, "updates": {"control": recording.control_field()}}
        samples = augmentation.record_gather(recording, fields, x.shape, stride=x[0].size, kind=KINDS[x.dtype.name],
                                             check=0, start=0, scale=1.0)  # fmt: skip
    target = None
    if y is not None:
        y = _samples("y", y)
        if len(y) != len(x):
            raise ValueError(f"y and x must have the same length; got {len(y)} and {len(x)}")
        is_labels = augmentation.mixup is not None and y.ndim == 1 and y.dtype.kind in "iu"
        classes = (int(y.max()) + 1 if classes is None else classes) if is_labels else None
        y = y.astype(np.int32 if is_labels else dtype)
        arrays[Memory("y")] = y
        target = recording.outside(list(arrays)[1], y.shape, y.dtype)
    samples, target, _ = augmentation.record_mix(recording, samples, target, classes if y is not None else None, None)
    results = [recording.keep(tensor) for tensor in (samples, target) if tensor is not None]
    control = ControlBlock()
    control.forward = checks.whole_number("count", count, least=0)
    program = Program(recording, Workspace(), control, "an augmentation")
    for memory, array in arrays.items():
        program.bind(memory, array)
    program.run()
    found = [program.view(tensor).copy() for tensor in results]
    return found[0] if y is None else tuple(found)


def _samples(argument: str, value: Any) -> np.ndarray:
    array = np.ascontiguousarray(value)
    if array.dtype.name not in KINDS:
        raise TypeError(f"{argument} must be an array of real numbers; got dtype {array.dtype}")
    if np.ndim(value) == 0 or not array.size:
        raise ValueError(f"{argument} must be a batch, not empty; got shape {np.shape(value)}")
    return array
