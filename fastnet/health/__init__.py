"""The health of a network: what is wrong with it, before and while it is trained, and what to do about it."""

from fastnet.health.findings import CODES, Finding

__all__ = ["CODES", "Finding"]
