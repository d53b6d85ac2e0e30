"""Pictures of a run: a log-log plot for each axis of `scaling`, and the ratios of each group."""

from __future__ import annotations

import re
from pathlib import Path

from bench.results import Run


def draw(run: Run, directory) -> list[Path]:
    """Write SVG files into a directory; returns their paths."""
    import matplotlib

    matplotlib.use("Agg")
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    keys = dict.fromkeys((row.series, row.threads, row.isa) for row in run.rows if row.series)
    paths = [_series(run, *key, folder) for key in keys]
    groups = dict.fromkeys((r.group, r.threads, r.isa) for r in run.rows if not r.series and _ratios(r))
    return paths + [_bars(run, *key, folder) for key in groups]


def _path(folder: Path, *words) -> Path:
    return folder / (re.sub(r"\W+", "-", " ".join(map(str, words))).strip("-") + ".svg")


def _series(run: Run, series: str, threads: int, isa: str, folder: Path) -> Path:
    """Milliseconds against the position: a straight line of slope 1 is cost in proportion."""
    from matplotlib import pyplot

    rows = sorted(
        (r for r in run.rows if (r.series, r.threads, r.isa) == (series, threads, isa)), key=lambda r: r.position
    )
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name in dict.fromkeys(name for row in rows for name in row.contenders):
        points = [(r.position, 1e3 * r.contenders[name].median_seconds) for r in rows if name in r.contenders]
        axes.loglog(*zip(*points, strict=True), marker="o", label=name, linewidth=2.5 if name == "fastnet" else 1)
    axes.set(xlabel=series, ylabel="milliseconds a step", title=f"{threads} thread(s) {isa}")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize="small")
    path = _path(folder, "scaling", series, threads, isa)
    figure.savefig(path)
    pyplot.close(figure)
    return path


def _ratios(row) -> dict[str, float]:
    """Peer -> ratio, of each peer's best setting."""
    peers = dict.fromkeys(name.split()[0] for name in row.contenders if name.split()[0] != "fastnet")
    return {peer: row.ratio(peer) for peer in peers if row.ratio(peer)}


def _bars(run: Run, group: str, threads: int, isa: str, folder: Path) -> Path:
    """Each peer's time over ours, on a logarithmic axis: right of 1 fastnet is faster."""
    from matplotlib import pyplot

    rows = [r for r in run.rows if (r.group, r.threads, r.isa) == (group, threads, isa) and not r.series and _ratios(r)]
    peers = list(dict.fromkeys(peer for row in rows for peer in _ratios(row)))
    height = 0.8 / len(peers)
    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.18 * len(rows) * (1 + len(peers))), layout="constrained")
    for i, peer in enumerate(peers):
        known = [(at + i * height, _ratios(row)[peer] - 1) for at, row in enumerate(rows) if peer in _ratios(row)]
        axes.barh(*zip(*known, strict=True), height=height, left=1, label=peer)
    axes.set(xscale="log", xlabel="peer's time / fastnet's", title=f"{group}, {threads} thread(s) {isa}")
    axes.set_yticks([at + 0.4 - height / 2 for at in range(len(rows))], [row.case for row in rows], fontsize="small")
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.legend(fontsize="small")
    path = _path(folder, group, threads, isa)
    figure.savefig(path)
    pyplot.close(figure)
    return path
