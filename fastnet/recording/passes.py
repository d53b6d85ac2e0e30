"""Passes over a recording: drop what nobody reads, fuse, join in-place calls, place the rest in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import NamedTuple

from fastnet.kernels.activation import ACTIVATIONS
from fastnet.recording.recording import Node, Recording, Storage

RELU = ACTIVATIONS["relu"].kind


def eliminate(recording: Recording) -> None:
    """Drop calls whose results nobody reads, and optional results of the others.

    This is what leaves out the input gradient of a first layer and the gradients of frozen ones.
    """
    wanted = {tensor.storage for tensor in recording.kept}
    nodes: list[tuple[int, Node]] = []
    for index in range(len(recording.nodes) - 1, -1, -1):
        node = recording.nodes[index]
        live = [t.storage.memory is not None or t.storage in wanted for t in node.outputs()]
        if not (node.effects or any(live)):
            continue
        for name in node.optional:
            tensor = node.writes.get(name)
            if tensor is not None and tensor.storage.memory is None and tensor.storage not in wanted:
                del node.writes[name]
        wanted.update([t.storage for t in node.inputs()])
        nodes.append((index, node))
    nodes.reverse()
    kept_indices = [index for index, _ in nodes]
    recording.marks = {name: bisect_left(kept_indices, at) for name, at in recording.marks.items()}
    recording.nodes = [node for _, node in nodes]


def _readers(recording: Recording) -> Counter[Storage]:
    """Of each storage: how many fields read it, and who keeps it."""
    readers = Counter([t.storage for node in recording.nodes for t in node.inputs()])
    readers.update([t.storage for t in recording.kept])
    return readers


def exchange(recording: Recording) -> None:
    """Multiply by an activation's slope before max pooling's gradient is spread, not after.

    A maximum is an element of the pool's input, so the slope there is the slope at the pool's output, which is
    smaller; and the pool's input need not be kept for it.
    """
    pools = {node.writes["argmax"].storage: node for node in recording.nodes if "argmax" in node.writes}
    if not pools:
        return
    readers = _readers(recording)
    spread: dict[Storage, int] = {}
    for index, node in enumerate(recording.nodes):
        if node.kernel == "max_pool_backward":
            spread[node.writes["dx"].storage] = index
        elif node.kernel == "activation_backward":
            dx = node.reads["dy"].storage
            at = spread.get(dx)
            if at is None or readers[dx] != 1 or dx.memory is not None:
                continue
            gradient = recording.nodes[at]
            pool = pools.get(gradient.reads["argmax"].storage)
            if pool is None or pool.reads["x"].storage is not node.reads["saved"].storage:
                continue
            dy = gradient.reads["dy"]
            gated = recording.tensor(dy.shape)
            gradient.reads["dy"], gradient.writes["dx"] = gated, node.writes["dx"]
            node.reads.update(saved=pool.writes["y"], dy=dy)
            node.writes["dx"] = gated
            node.numbers["n"], node.work = dy.size, node.work * dy.size / node.numbers["n"]
            recording.nodes[at], recording.nodes[index] = node, gradient


class Store(NamedTuple):
    """What a kernel can do to its result as it stores it.

    `output` is the result's field. All apply an activation (fields activation, alpha). `gate`: multiply by the slope of
    an activation at a tensor of the result's shape (fields gate, gate_activation, gate_alpha). `added`: add a tensor of
    the result's shape (field added), before the activation. `in_place`: each element of `added`, or
    of relu's gate, is read once, before the same one of the result is written, which may take its place.
    `statistics`: collect what batch normalization needs to know of the result (fields statistics, statistics_x,
    statistics_mean, number parts); it is the number that says how many channels that has for the kernel.
    """

    output: str
    gate: bool = False
    added: bool = False
    in_place: bool = False
    statistics: str = ""


_CONVOLUTION = Store("y", gate=True, added=True, in_place=True, statistics="K")

#: The kernels that can, if they don't `accumulate`.
STORES = {
    "gemm": Store("c", gate=True, statistics="N"),
    "add": Store("y", gate=True),
    "conv_direct": _CONVOLUTION,
    "conv_direct_data": _CONVOLUTION._replace(output="dx", statistics="C"),
    "conv_winograd": _CONVOLUTION,
    "conv_winograd_data": _CONVOLUTION._replace(output="dx", statistics="C"),
    "batch_norm_forward": Store("y", added=True),
    "batch_norm_inference": Store("y", added=True),
    "depthwise": Store("y", gate=True, statistics="K"),
    "depthwise_data": Store("dx", gate=True, statistics="C"),
}


#: Products into whose weights the scale of each filter may be folded, and the weights' field.
FOLDABLE = {"conv_direct": "w", "conv_winograd": "w", "depthwise": "w", "gemm": "b"}


def fold(recording: Recording) -> None:
    """Let the weights of a product contain the batch norm behind it, where that has constant statistics.

    Where an image has at least as many results as there are weights: scaling the weights is a call, too, for each batch.
    """
    if not any(node.kernel == "batch_norm_inference" for node in recording.nodes):
        return
    readers = _readers(recording)
    made: dict[Storage, int] = {}
    inserted: dict[int, list[Node]] = {}
    dropped = set()
    for index, node in enumerate(recording.nodes):
        if node.kernel in FOLDABLE:
            made[node.writes[STORES[node.kernel].output].storage] = index
        x = node.reads["x"] if node.kernel == "batch_norm_inference" else None
        if x is None or (at := made.get(x.storage)) is None:
            continue
        if readers[x.storage] != 1 or x.storage.memory is not None:
            continue
        product = recording.nodes[at]
        weights, channels = product.reads[FOLDABLE[product.kernel]], x.columns
        plain = not any(product.numbers.get(name) for name in ("trans_a", "trans_b", "accumulate", "activation"))
        if not plain or weights.size * x.shape[0] > x.size or weights.columns != channels:
            continue
        folded = {"folded_w": recording.tensor(weights.shape), "folded_bias": recording.tensor((channels,))}
        reads = {name: tensor for name, tensor in node.reads.items() if name != "x"} | {"w": weights}
        if "bias" in product.reads:
            reads["bias"] = product.reads["bias"]
        inserted[at] = [Node(
            "batch_norm_fold", reads, folded, work=2 * weights.size, place=node.place,
            numbers={"rows": weights.rows, "channels": channels, "epsilon": node.numbers["epsilon"]},
        )]  # fmt: skip
        product.reads.update({FOLDABLE[product.kernel]: folded["folded_w"], "bias": folded["folded_bias"]})
        product.writes[STORES[product.kernel].output] = node.writes["y"]
        dropped.add(index)
    _replace(recording, inserted, dropped)


#: Calls that may move into the one before them, and the fields in which they may read its result.
MOVABLE = {"activation": ("x",), "activation_backward": ("dy",), "add": ("a", "b")}


def fuse(recording: Recording) -> None:
    """Move activations, the slopes that backward multiplies by, and sums into the store of the call before them."""
    nodes = recording.nodes
    readers = _readers(recording)
    stored: dict[Storage, int] = {}  # index of the call that stores it, where that call is in the table
    written: dict[Storage, int] = {}
    dropped = set()
    for index, node in enumerate(nodes):
        at = index
        for source_field in MOVABLE.get(node.kernel, ()):
            source = node.reads[source_field].storage
            before = stored.get(source)
            if before is None or readers[source] != 1 or source.memory is not None:
                continue
            # What else it reads must be there by then.
            others = [t.storage for t in node.reads.values() if t.storage is not source]
            if all(written.get(storage, -1) < before for storage in others) and _fuse_into(
                nodes[before], node, source_field
            ):
                dropped.add(index)
                at, node = before, nodes[before]
                break
        written.update((t.storage, at) for t in node.outputs())
        store = STORES.get(node.kernel)
        if store is not None and store.output in node.writes:
            stored[node.writes[store.output].storage] = at
    _replace(recording, {}, dropped)


def _fuse_into(call: Node, node: Node, source: str) -> bool:
    """Let `call` do what `node` does to its result, which the node reads as field `source`; False if it cannot."""
    store, numbers = STORES[call.kernel], call.numbers
    if numbers["activation"] or "gate" in call.reads or numbers.get("accumulate"):
        return False
    overwritten = None if call.in_place is None else call.reads[call.in_place[0]].storage
    if node.kernel == "activation":
        if "slope" in node.writes:
            return False
        numbers.update(activation=node.numbers["kind"], alpha=node.numbers["alpha"])
        call.writes[store.output] = node.writes["y"]
    elif node.kernel == "add":
        other = node.reads["b" if source == "a" else "a"]
        if not store.added or "added" in call.reads or "gate" in node.reads or other.storage is overwritten:
            return False
        call.reads["added"] = other
        if store.in_place:
            call.in_place = ("added", store.output)
        numbers.update(activation=node.numbers["activation"], alpha=node.numbers["alpha"])
        call.writes[store.output] = node.writes["y"]
    else:
        saved = node.reads["saved"]
        if not store.gate or saved.storage is overwritten:
            return False
        numbers.update(gate_activation=node.numbers["kind"], gate_alpha=node.numbers["alpha"])
        call.reads["gate"] = saved
        if store.in_place and node.numbers["kind"] == RELU:
            call.in_place = ("gate", store.output)
        call.writes[store.output] = node.writes["dx"]
    call.work += node.work
    return True


#: Calls that want statistics, the tensor that they are of, and what else they are of, by the fields of the call that collects them.
COLLECTED = {
    "batch_norm_forward": ("x", {}),
    "batch_norm_backward": ("dy", {"statistics_x": "x", "statistics_mean": "mean"}),
}


def collect(recording: Recording) -> None:
    """Let the call that stores the input of a batch norm, or the gradient of its result, collect their statistics."""
    stored: dict[Storage, Node] = {}
    written: dict[Storage, int] = {}
    for index, node in enumerate(recording.nodes):
        if node.kernel in COLLECTED:
            field, others = COLLECTED[node.kernel]
            tensor = node.reads[field]
            before = stored.get(tensor.storage)
            reads = {name: node.reads[other] for name, other in others.items()}
            if (
                before is not None
                and "statistics" not in before.writes
                and before.numbers[STORES[before.kernel].statistics] == tensor.columns
                and all(written.get(t.storage, -1) < written[tensor.storage] for t in reads.values())
            ):
                parts = _parts(before, tensor.rows)
                statistics = recording.tensor((parts * (2 * tensor.columns + 1),))
                before.writes["statistics"] = node.reads["statistics"] = statistics
                before.reads.update(reads)
                before.numbers["parts"] = node.numbers["parts"] = parts
                before.work += 8 * tensor.size
                node.work -= 4 * tensor.size
        for tensor in node.outputs():
            stored.pop(tensor.storage, None)
            written[tensor.storage] = index
        store = STORES.get(node.kernel)
        adds = node.numbers.get("accumulate") or node.numbers.get("trans_a")
        if store is not None and store.statistics and not adds:
            stored[node.writes[store.output].storage] = node


def _parts(call: Node, rows: int) -> int:
    """In how many parts a call collects statistics of so many rows: by the shape alone, enough for threads and for accuracy."""
    parts = max(min(rows // 32, 64), rows // 1024, 1)
    if call.kernel == "conv_direct_data":  # pixels that are reached by the same taps have a section of their own
        sections = int(min(call.numbers["sh"], call.numbers["H"]) * min(call.numbers["sw"], call.numbers["W"]))
        return -(-parts // sections) * sections
    return parts


def _replace(recording: Recording, inserted: dict[int, list[Node]], dropped: set[int]) -> None:
    """Drop the nodes of some indices; and insert before others."""
    if not (inserted or dropped):
        return
    recording.marks = {
        name: at + sum(len(new) for i, new in inserted.items() if i < at) - sum(i < at for i in dropped)
        for name, at in recording.marks.items()
    }
    nodes = []
    for index, node in enumerate(recording.nodes):
        nodes += inserted.get(index, [])
        nodes += [] if index in dropped else [node]
    recording.nodes = nodes + inserted.get(len(recording.nodes), [])


def watch(recording: Recording) -> None:
    """Put the calls that look at a value behind the one that writes it, where fusing has left one.

    They come after all other passes, so that the rest of the step is what it is without them, to the last bit.
    """
    writers: dict[Storage, int] = {}
    for index, node in enumerate(recording.nodes):
        for tensor in node.writes.values():
            writers.setdefault(tensor.storage, index)
    inserted: dict[int, list[Node]] = {}
    for tensor, nodes in recording.watched:
        if tensor.storage in writers:
            inserted.setdefault(writers[tensor.storage] + 1, []).extend(nodes)
    _replace(recording, inserted, set())


def join_in_place(recording: Recording) -> None:
    """Let a call that may work in place write over an input that nobody reads afterwards."""
    last_use = {t.storage: i for i, node in enumerate(recording.nodes) for t in node.tensors()}
    last_use.update((t.storage, len(recording.nodes)) for t in recording.kept)
    for index, node in enumerate(recording.nodes):
        if node.in_place is None or node.in_place[0] not in node.reads or node.in_place[1] not in node.writes:
            continue
        source, target = node.reads[node.in_place[0]].storage, node.writes[node.in_place[1]].storage
        if source.memory is not None or target.memory is not None or target.root is source.root:
            continue
        if sum(tensor.storage.root is source.root for tensor in node.inputs()) > 1:  # a field may be read out of order
            continue
        if source.nbytes == target.nbytes and last_use_of_root(source, last_use) == index:
            target.alias = source.root
            last_use[source.root] = max(last_use[source.root], last_use[target])


def last_use_of_root(storage: Storage, last_use: dict[Storage, int]) -> int:
    return max(last_use[storage], last_use[storage.root])
