"""What a monitor knows, as numbers, texts and arrays: for a checkpoint."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.health.evidence import Beginning
from fastnet.health.looks import Look, Stretch
from fastnet.health.probe import StatisticsProbe
from fastnet.health.scale import Scale
from fastnet.health.table import HealthTable

if TYPE_CHECKING:
    from fastnet.graph import Graph

__all__ = ["beginning_from", "beginning_state", "probe_state", "set_probe_state", "table_from", "table_state"]


def beginning_state(beginning: Beginning) -> dict[str, Any]:
    values = _values(beginning)
    return {**values, "inputs": None if beginning.inputs is None else _values(beginning.inputs)}


def beginning_from(state: dict[str, Any]) -> Beginning:
    return Beginning(**{**state, "inputs": None if state["inputs"] is None else Scale(**state["inputs"])})


def _values(obj: Beginning | Scale) -> dict[str, Any]:
    return {item.name: getattr(obj, item.name) for item in fields(obj)}


def probe_state(probe: StatisticsProbe, with_gradients: bool) -> dict[str, Any]:
    """What a probe has of the last look and of the step, with the gradients that another batch's are compared with."""
    return {
        "work": (probe.step_work, probe.own_work),
        "gradients": probe.kept_gradients() if with_gradients else {},
    }


def set_probe_state(probe: StatisticsProbe, state: dict[str, Any]) -> None:
    probe.step_work, probe.own_work = state["work"]
    for name, kept in probe.kept_gradients().items():
        if name in state["gradients"]:
            kept[...] = state["gradients"][name]


def table_state(table: HealthTable) -> list[dict[str, Any]]:
    """A dict for each stretch of looks."""
    return [
        {
            "parameters": [parameter.name for parameter in stretch.probe.parameters],
            "looks": [tuple(look) for look in stretch.looks],
            **{name: np.array(values) for name, values in stretch.arrays().items()},
            "updated": stretch.updated,
            "agreements": stretch.agreements,
            "ranks": stretch.ranks,
        }
        for stretch in table.stretches
    ]


def table_from(states: list[dict[str, Any]], probe: StatisticsProbe, graph: Graph) -> HealthTable:
    """The table; its last stretch goes on with a probe, if that looks at the same parameters."""
    table = HealthTable()
    for state in states:
        same = state is states[-1] and state["parameters"] == [parameter.name for parameter in probe.parameters]
        parameters = [graph.parameters[name] for name in state["parameters"]]
        stretch = Stretch(probe if same else StatisticsProbe(graph, probe.samples, parameters), len(table))
        stretch.looks += [Look(*look) for look in state["looks"]]
        for name, values in stretch.arrays().items():
            values += list(state[name])
        stretch.updated += state["updated"]
        stretch.agreements |= state["agreements"]
        stretch.ranks |= state["ranks"]
        table.stretches.append(stretch)
    return table
