"""The health of a network: what is wrong with it, before and while it is trained, and what to do about it."""

from fastnet.health.findings import CODES, Finding
from fastnet.health.monitor import HealthError, HealthMonitor, HealthWarning
from fastnet.health.table import HealthTable

__all__ = ["CODES", "Finding", "HealthError", "HealthMonitor", "HealthTable", "HealthWarning"]
