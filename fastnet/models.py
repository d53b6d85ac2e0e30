"""Well-known small networks, each one function of the input's shape, the number of classes and the seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fastnet import checks, layers
from fastnet.network import Network

if TYPE_CHECKING:
    from fastnet.layers.base import Layer
    from fastnet.types import Shape

__all__ = ["MODELS", "lenet", "mlp", "mobilenet_tiny", "resnet20", "vgg_small"]


def mlp(*, input_shape: Sequence[int], classes: int, seed: int | None = None) -> Network:
    """Two hidden layers of 128 units, with relu, over all of the input's elements.

    Parameters
    ----------
    input_shape : tuple of int
        One sample's.
    classes : int
        Units of the last layer, which gives logits.
    seed : int, optional

    Returns
    -------
    Network

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.models.mlp(input_shape=(8, 8, 1), classes=10, seed=0).output_shape
    (10,)
    """
    flat = [layers.Flatten()] if len(input_shape) > 1 else []
    hidden = [layers.Dense(128, activation="relu") for _ in range(2)]
    return _network([*flat, *hidden, layers.Dense(classes)], input_shape, classes, seed)


def lenet(*, input_shape: Sequence[int], classes: int, seed: int | None = None) -> Network:
    """Two 5x5 convolutions, of 32 and 64 filters, each with relu and 2x2 max pooling, and two dense layers with dropout.

    After LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998), with relu, max pooling, more filters and dropout (Srivastava et al.
    2014), as most tutorials have it.

    Parameters
    ----------
    input_shape : (int, int, int)
        Height, width, channels; at least 4 x 4 pixels.
    classes : int
    seed : int, optional

    Returns
    -------
    Network

    Examples
    --------
    >>> import fastnet as fn
    >>> sum(p.size for p in fn.models.lenet(input_shape=(28, 28, 1), classes=10, seed=0).parameters())
    454922
    """
    return _network(
        [
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(classes),
        ],
        _image("lenet", input_shape, 4), classes, seed,
    )  # fmt: skip


def vgg_small(*, input_shape: Sequence[int], classes: int, seed: int | None = None) -> Network:
    """Pairs of 3x3 convolutions, of 64 and of 128 filters, each pair with 2x2 max pooling, and two dense layers.

    The first stages of Simonyan & Zisserman 2015, for small images.

    Parameters
    ----------
    input_shape : (int, int, int)
        Height, width, channels; at least 4 x 4 pixels.
    classes : int
    seed : int, optional

    Returns
    -------
    Network
    """
    stages: list[Layer] = []
    for filters in (64, 128):
        stages += [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        stages.append(layers.MaxPool2D(2))
    head = [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dense(classes)]
    return _network([*stages, *head], _image("vgg_small", input_shape, 4), classes, seed)


def resnet20(*, input_shape: Sequence[int], classes: int, seed: int | None = None) -> Network:
    """Three stages of three residual blocks, of 16, 32 and 64 filters, for small images (He, Zhang, Ren & Sun 2016).

    A block is two 3x3 convolutions without bias, each with batch normalization, and relu between and behind. The first
    block of the second and third stage has stride 2, and as its shortcut a 1x1 convolution with batch normalization
    (option B of the paper; its networks for CIFAR-10 have option A, zeros instead of new channels).

    Parameters
    ----------
    input_shape : (int, int, int)
        Height, width, channels; 32 x 32 pixels in the paper.
    classes : int
    seed : int, optional

    Returns
    -------
    Network
    """

    def normalized(filters: int, size: int, stride: int = 1) -> list[Layer]:
        return [layers.Conv2D(filters, size, stride=stride, padding=size // 2, use_bias=False), layers.BatchNorm()]

    def block(filters: int, stride: int) -> Layer:
        inner = [*normalized(filters, 3, stride), layers.Activation("relu"), *normalized(filters, 3)]
        shortcut = normalized(filters, 1, stride) if stride > 1 else None
        return layers.Residual(inner, shortcut=shortcut, activation="relu")

    stem = [*normalized(16, 3), layers.Activation("relu")]
    blocks = [block(filters, 2 if filters > 16 and index == 0 else 1) for filters in (16, 32, 64) for index in range(3)]
    head = [layers.GlobalAvgPool2D(), layers.Dense(classes)]
    return _network([*stem, *blocks, *head], _image("resnet20", input_shape, 1), classes, seed)


def mobilenet_tiny(*, input_shape: Sequence[int], classes: int, seed: int | None = None) -> Network:
    """Six depthwise separable blocks, of 32 to 128 filters, for small images (after Howard et al. 2017).

    A block is a 3x3 depthwise convolution and a 1x1 convolution, without bias, each with batch normalization and relu.

    Parameters
    ----------
    input_shape : (int, int, int)
        Height, width, channels.
    classes : int
    seed : int, optional

    Returns
    -------
    Network
    """

    def normalized(convolution: Layer) -> list[Layer]:
        return [convolution, layers.BatchNorm(), layers.Activation("relu")]

    stages = normalized(layers.Conv2D(16, 3, padding=1, use_bias=False))
    for filters, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (128, 1)):
        stages += normalized(layers.DepthwiseConv2D(3, stride=stride, padding=1, use_bias=False))
        stages += normalized(layers.Conv2D(filters, 1, use_bias=False))
    head = [layers.GlobalAvgPool2D(), layers.Dense(classes)]
    return _network([*stages, *head], _image("mobilenet_tiny", input_shape, 1), classes, seed)


#: The models by name, as ``fastnet train --model`` takes them.
MODELS = {model.__name__: model for model in (mlp, lenet, vgg_small, resnet20, mobilenet_tiny)}


def _image(model: str, input_shape: Sequence[int], least: int) -> Shape:
    shape = checks.shape("input_shape", input_shape)
    if len(shape) != 3 or min(shape[:2]) < least:
        raise ValueError(
            f"input_shape must be (height, width, channels), {least} x {least} pixels or more, for {model}; got {shape}"
        )
    return shape


def _network(stack: Iterable[Layer], input_shape: Sequence[int], classes: int, seed: int | None) -> Network:
    return Network(stack, input_shape=input_shape, seed=seed)
