"""The health of a network: what is wrong with it, before and while it is trained, and what to do about it."""

from fastnet.health.findings import CODES, Finding
from fastnet.health.monitor import HealthMonitor
from fastnet.health.table import HealthTable

__all__ = ["CODES", "Finding", "HealthMonitor", "HealthTable"]
