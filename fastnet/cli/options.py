"""Types of options: each turns a text into a value, or says what was expected."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection

from fastnet import checks

__all__ = ["checkpoint_interval", "image_size", "named", "names", "real_number", "sizes", "whole_number"]


def whole_number(least: int | None = None) -> Callable[[str], int]:
    """A whole number of at least `least`."""

    def convert(text: str) -> int:
        try:
            return checks.whole_number("the value", int(text), least=least)
        except ValueError:
            bound = "" if least is None else f" of at least {least}"
            raise argparse.ArgumentTypeError(f"expected a whole number{bound}; got {text!r}") from None

    return convert


def real_number(expected: str, **bounds: float) -> Callable[[str], float]:
    """A finite number within the bounds of `checks.real_number`; `expected` describes it."""

    def convert(text: str) -> float:
        try:
            return checks.real_number("the value", float(text), **bounds)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {expected}; got {text!r}") from None

    return convert


def sizes(text: str) -> tuple[int, ...]:
    """Sizes of layers: "128,64"; nothing or "none" for no layer."""
    if text.strip() in ("", "none"):
        return ()
    try:
        return tuple(checks.whole_number("a size", int(size), least=1) for size in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected sizes of layers such as 128,64; got {text!r}") from None


def image_size(text: str) -> tuple[int, ...]:
    """Height and width: "32" for both, or "32,48"."""
    try:
        pair: tuple[int, ...] = tuple(checks.whole_number("a size", int(size), least=1) for size in text.split(","))
    except ValueError:
        pair = ()
    if len(pair) not in (1, 2):
        raise argparse.ArgumentTypeError(f"expected a size such as 32, or height,width such as 32,48; got {text!r}")
    return pair * 2 if len(pair) == 1 else pair


def named(known: Collection[str]) -> Callable[[str], str]:
    """One of the names in `known`."""

    def convert(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(
                f"expected one of {', '.join(known)}; got {text!r}{checks.nearest(text, known)}"
            )
        return text

    return convert


def names(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Several of the names in `known`, separated by commas."""
    one = named(known)

    def convert(text: str) -> tuple[str, ...]:
        given = tuple(one(name.strip()) for name in text.split(","))
        for name in given:
            if given.count(name) > 1:
                raise argparse.ArgumentTypeError(f"{name} is there twice: {text!r}")
        return given

    return convert


def checkpoint_interval(text: str) -> str:
    """What `ModelCheckpoint` takes as `every`."""
    from fastnet.training.model_checkpoint import interval

    try:
        interval(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected an interval such as '10 minutes', '5 epochs' or '500 batches'; got {text!r}"
        ) from None
    return text
