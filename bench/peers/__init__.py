"""The peers: which of them a run has, and how each computes what fastnet does."""

from __future__ import annotations

from importlib.util import find_spec

#: Peer -> the modules that it needs.
PEERS = {
    "numpy": ("numpy",),
    "torch": ("torch",),
    "jax": ("jax",),
    "sklearn": ("sklearn",),
    "skorch": ("skorch", "torch"),
    "onnxruntime": ("onnxruntime", "onnx"),
}


def choose(wanted: str) -> tuple[frozenset[str], list[str]]:
    """Those of the peers (names with commas) that can be imported, and a line for each of the others."""
    names = [name for name in wanted.split(",") if name]
    unknown = set(names) - set(PEERS)
    if unknown:
        raise ValueError(f"--peers takes {','.join(PEERS)}; got {','.join(sorted(unknown))}")
    missing = {name: [m for m in PEERS[name] if find_spec(m) is None] for name in names}
    lines = [f"{name} is left out: {' and '.join(m)} not installed" for name, m in missing.items() if m]
    return frozenset(name for name in names if not missing[name]), lines
