"""A run: the machine, and the rows measured on it, as a JSON file has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from bench.rows import Row

#: What runs must share for their rows to lie in one file.
SAME = ("cpu_model", "cpus", "system")


@dataclass
class Run:
    """`failed` has the names of cases without a row."""

    machine: dict
    rows: list[Row] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path) -> Run:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(fields["machine"], [Row.from_json(row) for row in fields["rows"]], fields["failed"])

    def write(self, path) -> None:
        """One row a line, so that a change of a few cases is a change of a few lines."""
        rows = ",\n".join(json.dumps(row.to_json()) for row in self.rows)
        machine, failed = json.dumps(self.machine, indent=1), json.dumps(self.failed)
        Path(path).write_text(
            f'{{"machine": {machine},\n"failed": {failed},\n"rows": [\n{rows}\n]}}\n', encoding="utf-8"
        )

    def join(self, newer: Run) -> Run:
        """With the rows of a later run on the same machine, in place of this one's of the same cases."""
        for name in SAME:
            if self.machine.get(name) != newer.machine.get(name):
                raise ValueError(f"rows of two machines: {name} {self.machine.get(name)} and {newer.machine.get(name)}")
        commands = dict.fromkeys([*self.machine["command"].split("\n"), *newer.machine["command"].split("\n")])
        replaced = {row.key for row in newer.rows}
        kept = [row for row in self.rows if row.key not in replaced]
        # The instruction set of a run that was held to one is in its rows.
        isa = self.machine if all(row.isa for row in newer.rows) and newer.rows else newer.machine
        described = newer.machine | {"command": "\n".join(commands)}
        described |= {name: isa[name] for name in ("isa", "isa_vector_bytes") if name in isa}
        return Run(described, kept + newer.rows, list(dict.fromkeys(self.failed + newer.failed)))

    def find(self, group: str, case: str, threads: int = 1, isa: str = "") -> Row | None:
        return next((row for row in self.rows if row.key == (group, case, threads, isa)), None)

    def crossovers(self) -> list[str]:
        from bench.groups.scaling import crossovers

        return crossovers(self.rows)
