"""The health of a network: what is wrong with it, before and while it is trained, and what to do about it."""

from fastnet.health.before_training import Check, Preflight, preflight
from fastnet.health.findings import CODES, Finding
from fastnet.health.monitor import HealthError, HealthMonitor, HealthWarning
from fastnet.health.table import HealthTable

__all__ = [
    "CODES",
    "Check",
    "Finding",
    "HealthError",
    "HealthMonitor",
    "HealthTable",
    "HealthWarning",
    "Preflight",
    "preflight",
]
