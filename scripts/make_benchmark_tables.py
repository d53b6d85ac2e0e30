"""Writes the tables of README.md and the pages from runs of the suite that are kept in the repository.

    scripts/measure_benchmarks
    python scripts/make_benchmark_tables.py

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``, or, of another run than the usual one, behind
``<!-- table NAME of RUN -->``. A cell of a peer is its time over ours, in its best setting.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # behind the installed packages

from bench.results import Run  # noqa: E402
from bench.rows import Row, duration  # noqa: E402

MEASURED = ROOT / "bench" / "measured" / "amd-epyc-zen4.json"
#: The runs' machines, in words, by their model: virtual machines often hide its name.
MACHINES = {
    "AMD EPYC (family 25, model 17)": "a virtual machine with 2 CPUs of an AMD EPYC (Zen 4, AVX-512, 1 MB of L2 a core)",
    "AMD EPYC (family 25, model 1)": "a virtual machine with 2 CPUs of an AMD EPYC (Zen 3, AVX2, 512 KB of L2 a core)",
}
PAGES = ("README.md", "docs/benchmarks.md", "docs/from-sklearn.md")
BLOCK = re.compile(r"(<!-- table ([\w-]+)(?: of ([\w-]+))? -->\n).*?(<!-- end -->)", re.DOTALL)
PEERS = {"torch": "torch", "jax": "JAX", "sklearn": "scikit-learn", "skorch": "skorch", "onnxruntime": "onnxruntime",
         "numpy": "NumPy"}  # fmt: skip
#: Groups whose ratios are of times of one and the same work.
COMPARED = ("gemm", "conv", "ops", "optimizers", "train", "estimators", "infer", "scaling")
#: Of the README: what a line is called, and its group and case.
README = {
    "64-64-10, batch 32: a step in `fit`": ("train", "64-64-10 batch 32, fit"),
    "64-64-10, batch 32: ten epochs of `net.fit`": ("train", "64-64-10 batch 32, 10 epochs of net.fit"),
    "784-128-10, batch 128: a step in `fit`": ("train", "784-128-10 batch 128, fit"),
    "784-512-512-10, batch 128: a step in `fit`": ("train", "784-512-512-10 batch 128, fit"),
    "LeNet, 64 images: a step": ("train", "LeNet batch 64, Adam"),
    "VGG-small, 64 images: a step": ("train", "VGG-small batch 64, Adam"),
    "ResNet-20, 64 images: a step": ("train", "ResNet-20 batch 64, SGD with momentum"),
    "ResNet-20: one image predicted": ("infer", "ResNet-20, one sample"),
    "784-128-10: one sample predicted": ("infer", "784-128-10, one sample"),
    "VGG-small: memory of training": ("memory", "VGG-small training process"),
    "`import`, over NumPy's": ("import", "import"),
}


def main() -> None:
    run = Run.read(MEASURED)
    for page in PAGES:
        path = ROOT / page
        path.write_text(rewritten(path.read_text(encoding="utf-8"), run), encoding="utf-8")


def rewritten(text: str, run: Run) -> str:
    """A page with the tables of a run, and of those that blocks name."""

    def table(match: re.Match[str]) -> str:
        of = Run.read(MEASURED.with_name(f"{match[3]}.json")) if match[3] else run
        return match[1] + TABLES[match[2]](of) + match[4]

    return BLOCK.sub(table, text)


# Cells


def ratio(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}x" if value >= 9.95 else f"{value:.2f}x" if value < 1.995 else f"{value:.1f}x"


def ours(row: Row | None) -> str:
    if row is None:
        return ""
    f = row.contenders["fastnet"]
    return duration(f.median_seconds) if f.median_seconds is not None else f"{f.megabytes:.3g} MB"


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}%"


def markdown(titles: list[str], lines: list[list[str]]) -> str:
    """Without columns in which nothing stands; nothing at all without lines."""
    if not lines:
        return ""
    kept = [i for i in range(len(titles)) if i == 0 or any(line[i] for line in lines)]
    rows = [[titles[i] for i in kept], ["---"] * len(kept), *([line[i] for i in kept] for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def named(peers, threads: int = 1) -> list[str]:
    behind = "" if threads == 1 else f", {threads} threads"
    return [PEERS[peer] + behind for peer in peers]


# Tables: each from a run, as text


def source(run: Run) -> str:
    """What was measured, where, and how."""
    versions = ", ".join(f"{name} {version}" for name, version in run.machine["versions"].items() if name != "jaxlib")
    commands = "\n".join(run.machine["command"].split("\n"))
    return f"Measured on {MACHINES[run.machine['cpu_model']]}, {run.machine['date']}; {versions}:\n\n```console\n" + "".join(
        f"$ {line}\n" for line in commands.split("\n")
    ) + "```\n"  # fmt: skip


def readme(run: Run) -> str:
    peers = ("torch", "jax", "sklearn", "onnxruntime")
    lines = []
    for title, (group, case) in README.items():
        row = run.find(group, case)
        if row is not None:
            lines.append([title, ours(row), *(ratio(row.ratio(peer)) for peer in peers)])
    losses = lost(run)
    if losses:
        row, peer = losses[0]
        title = f"lost by most, to {PEERS[peer]} ({ratio(row.ratio(peer))}): {row.group}, {row.case}"
        lines.append([title, ours(row), *(ratio(row.ratio(peer)) for peer in peers)])
    pairs = compared(run)
    text = markdown(["one thread", "fastnet", *named(peers)], lines)
    return (
        text
        + f"\nOf {len(pairs)} comparisons on one thread a peer's best setting is faster in {len(losses)}, beyond the noise.\n"
    )


def compared(run: Run) -> list[tuple[Row, str]]:
    """Rows on one thread, and the peers that they compare us with."""
    return [
        (row, peer) for row in run.rows if row.group in COMPARED and row.threads == 1 and not row.isa
        for peer in PEERS if row.ratio(peer) is not None
    ]  # fmt: skip


def lost(run: Run) -> list[tuple[Row, str]]:
    """Where a peer is faster, beyond the interval of the ratio; the worst first."""
    found = [(row, peer) for row, peer in compared(run) if (row.of(peer).ratio_high or row.ratio(peer)) < 1]
    return sorted(found, key=lambda pair: pair[0].ratio(pair[1]))


def losses(run: Run) -> str:
    lines = [
        [row.group, row.case, ours(row), PEERS[peer], row.best.get(peer, peer), ratio(row.ratio(peer))]
        for row, peer in lost(run)
    ]
    return markdown(["group", "case", "fastnet", "faster", "in which setting", "its time over ours"], lines)


def group_table(group: str, peers: tuple[str, ...], *more: tuple[str, Callable[[Row], str]], only=lambda row: True):
    """A table of a group's cases: one thread with further columns, and two threads."""

    def table(run: Run) -> str:
        first = {r.case: r for r in run.rows if (r.group, r.threads, r.isa) == (group, 1, "") and only(r)}
        second = {r.case: r for r in run.rows if (r.group, r.threads, r.isa) == (group, 2, "") and only(r)}
        lines = []
        for case in dict.fromkeys([*first, *second]):
            line = [case]
            for rows, columns in ((first, more), (second, ())):
                row = rows.get(case)
                line += [ours(row), *("" if row is None else function(row) for _, function in columns)]
                line += ["" if row is None else ratio(row.ratio(peer)) for peer in peers]
            lines.append(line)
        titles = ["", "fastnet", *(title for title, _ in more), *named(peers)]
        return markdown([*titles, "fastnet, 2 threads", *named(peers, 2)], lines)

    return table


def conv(run: Run) -> str:
    """Three passes in a cell: forward, input gradient, weight gradient."""
    lines: dict[str, dict] = {}
    for row in run.rows:
        if row.group == "conv":
            lines.setdefault(row.case.rpartition(", ")[0], {}).setdefault((row.threads, row.isa), []).append(row)

    def cell(rows, value, form) -> str:
        values = [value(row) for row in rows or ()]
        return " ".join(form.format(v) for v in values if v is not None)

    def torch(row):
        return row.ratio("torch")

    table = []
    for case, of in lines.items():
        one = of.get((1, ""))
        table.append([
            case, cell(one, torch, "{:.2f}"), cell(one, lambda row: row.contenders["fastnet"].fma_peak_percent, "{:.0f}"),
            cell(one, lambda row: row.contenders["fastnet precise"].fma_peak_percent
                 if "fastnet precise" in row.contenders else None, "{:.0f}"),
            cell(of.get((2, "")), torch, "{:.2f}"), cell(of.get((1, "avx2")), torch, "{:.2f}"),
            cell(one, lambda row: row.ratio("jax"), "{:.2f}"),
        ])  # fmt: skip
    titles = [
        "convolution",
        "torch",
        "percent of the FMA peak",
        "with `precise`",
        "torch, 2 threads",
        "torch, AVX2",
        "JAX",
    ]
    return markdown(titles, table)


def memory(run: Run) -> str:
    lines = [
        [row.case, ours(row), *(f"{row.of(p).megabytes:.3g} MB" if row.of(p) else "" for p in ("torch",)),
         *(f"{row.figures[name]:.3g}" if name in row.figures else ""
           for name in ("megabytes that are live at once, at most", "percent over that"))]
        for row in run.rows if row.group == "memory" and row.threads == 1 and not row.isa
    ]  # fmt: skip
    return markdown(["", "fastnet", "torch", "live at once, MB", "percent over that"], lines)


def latency(row: Row) -> str:
    value = row.contenders["fastnet"].percentile_99_seconds
    return "" if value is None else duration(value)


def latencies(run: Run) -> str:
    """Median and slowest of a hundred, of all."""
    peers = ("torch", "jax", "onnxruntime", "sklearn")
    lines = []
    for row in run.rows:
        if row.group == "infer" and row.case.endswith("one sample") and not row.isa:
            found = [row.contenders["fastnet"], *(row.of(peer) for peer in peers)]
            cells = [
                "" if f is None else f"{duration(f.median_seconds)}, {duration(f.percentile_99_seconds)}" for f in found
            ]
            lines.append([row.case.removesuffix(", one sample"), str(row.threads), *cells])
    return markdown(["network", "threads", "fastnet", *named(peers)], lines)


def first_calls(run: Run) -> str:
    lines = []
    for row in run.rows:
        if row.case.endswith("first calls") and row.threads == 1 and not row.isa:
            names = ("fastnet", "fastnet first step", "fastnet later steps")
            cells = [duration(row.contenders[name].median_seconds) for name in names]
            lines.append(
                [row.case.partition(",")[0], *cells, f"{row.figures['milliseconds over 50 and two steps']:.0f} ms"]
            )
    titles = ["model", "first prediction", "first step", "a later step", "first step over 50 ms and two steps"]
    return markdown(titles, lines)


def speedups(run: Run) -> str:
    lines = [
        [row.case.removeprefix("threads, "), *(f"{row.figures[f'speedup of {n}']:.2f}" if f"speedup of {n}" in row.figures else ""
                                               for n in ("fastnet", "torch"))]
        for row in run.rows if row.group == "scaling" and row.case.startswith("threads") and not row.isa
    ]  # fmt: skip
    return markdown(["step, two threads over one", "fastnet", "torch"], lines)


def crossovers(run: Run) -> str:
    return "".join(f"- {line}\n" for line in run.crossovers())


def share(row: Row) -> str:
    return percent(row.contenders["fastnet"].fma_peak_percent)


def bandwidth(name: str) -> Callable[[Row], str]:
    return lambda row: percent(row.contenders[name].bandwidth_percent if name in row.contenders else None)


def recorded(row: Row) -> str:
    f = row.contenders.get("fastnet recorded")
    return "" if f is None else duration(f.median_seconds)


def bound(row: Row) -> str:
    value = row.figures.get("times the bound")
    return "" if value is None else f"{value:.2f}"


TABLES = {
    "source": source,
    "readme": readme,
    "losses": losses,
    "conv": conv,
    "memory": memory,
    "latencies": latencies,
    "first-calls": first_calls,
    "speedups": speedups,
    "crossovers": crossovers,
    "train": group_table(
        "train", ("torch", "jax", "sklearn", "skorch"), ("of the FMA peak", share), ("times the bound", bound)
    ),
    "estimators": group_table("estimators", ("sklearn",)),
    "infer": group_table("infer", ("torch", "jax", "onnxruntime", "sklearn"), only=lambda row: "batch" in row.case),
    "gemm": group_table("gemm", ("numpy", "torch", "jax"), ("of the FMA peak", share)),
    "ops": group_table(
        "ops", ("torch", "jax"), ("of streaming", bandwidth("fastnet")), ("recorded", recorded),
        ("of streaming, recorded", bandwidth("fastnet recorded")),
    ),
    "optimizers": group_table("optimizers", ("torch",), ("of streaming", bandwidth("fastnet"))),
    "import": group_table("import", ("torch", "jax", "sklearn", "onnxruntime")),
}  # fmt: skip


if __name__ == "__main__":
    main()
