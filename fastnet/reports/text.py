"""Numbers and lists as the pages write them."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["listed", "number", "percent", "sign", "signed", "table_number"]

SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits; very large and small ones with a power of ten.

    Examples
    --------
    >>> from fastnet.reports.text import number
    >>> number(1234.5), number(0.01234), number(1.5e-9), number(None)
    ('1,234', '0.0123', '1.5 × 10⁻⁹', 'not finite')
    """
    if value is None or not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        mantissa, exponent = f"{value:.{max(digits - 2, 0)}e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")
    places = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:,.{places}f}".replace("-", "−")


def table_number(value: float | None, digits: int = 3) -> str:
    """A number for a cell; a dash for what is not finite."""
    return "–" if value is None or not math.isfinite(value) else number(value, digits)


def signed(value: float | None, places: int = 3) -> str:
    """A number with a fixed number of places, and a true minus sign."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{places}f}".replace("-", "−")


def percent(value: float | None, places: int = 1) -> str:
    """A share as a percentage."""
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.{places}f}%"


def listed(names: Iterable[str], word: str = "and") -> str:
    """Names in a sentence: "a, b and c"; "none" if there are none."""
    names = list(names)
    if len(names) < 2:
        return names[0] if names else "none"
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def sign(value: float) -> str:
    """ "positive", "negative" or "zero"."""
    return "zero" if value == 0 else "positive" if value > 0 else "negative"
