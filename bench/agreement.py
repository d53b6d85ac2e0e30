"""Contenders must compute the same before they are timed."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-4  # of the largest result


def check(results: dict[str, np.ndarray], tolerance: float = TOLERANCE) -> None:
    """Refuse contenders whose result differs from fastnet's."""
    ours = np.asarray(results["fastnet"])
    largest = np.abs(ours).max()
    for name, theirs in results.items():
        theirs = np.asarray(theirs)
        if theirs.shape != ours.shape:
            raise AssertionError(f"{name} has a result of {theirs.shape}, fastnet of {ours.shape}")
        difference = np.abs(theirs - ours).max()
        if not difference <= tolerance * largest:
            raise AssertionError(f"{name} differs from fastnet by {difference:.3g}, where the largest is {largest:.3g}")


def agreeing(made: dict, reference, tolerance: float, notes: list[str]) -> dict:
    """The calls of contenders (call, losses) whose losses are the reference's.

    What torch compiles may differ where the same module, not compiled, agrees: it is the compiler that is wrong, and a time
    would mean nothing; a note says so. Losses of None are not compared.
    """
    calls = {}
    for name, (call, losses) in made.items():
        if losses is not None and not np.allclose(losses, reference[: len(losses)], rtol=tolerance):
            message = f"{name} computes something else: losses {losses}, ours {reference}"
            if "compiled" not in name:
                raise AssertionError(message)
            notes.append(f"not timed: {message}")
            continue
        calls[name] = call
    return calls
