"""The groups of cases, in the order in which they run. Each module has `cases(setup)`."""

from __future__ import annotations

from importlib import import_module

#: Group -> module, which is imported when its turn has come.
GROUPS = {
    "gemm": "gemm",
    "conv": "conv",
    "ops": "ops",
    "optimizers": "optimizers",
    "train": "train",
    "estimators": "estimators",
    "infer": "infer",
    "import": "imports",
    "memory": "memory",
    "scaling": "scaling",
    "health": "health",
    "distributed": "distributed",
}


def cases_of(group: str, setup):
    return import_module(f"bench.groups.{GROUPS[group]}").cases(setup)
