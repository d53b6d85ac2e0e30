"""Where each value of a recording lies in the workspace."""

from __future__ import annotations

from fastnet.native import arena
from fastnet.recording.recording import Recording, Storage

ALIGNMENT = 64


def lifetimes(recording: Recording, shared: dict[int, Storage]) -> dict[Storage, tuple[int, int]]:
    """Of each storage in the workspace: the first and the last node that uses it.

    `shared` maps a node's index to the working memory of that call.
    """
    found: dict[Storage, tuple[int, int]] = {}

    def use(storage: Storage, index: int) -> None:
        if storage.memory is None:
            root = storage.root
            found[root] = found.get(root, (index, index))[0], index

    for index, node in enumerate(recording.nodes):
        for tensor in node.tensors():
            use(tensor.storage, index)
        if index in shared:
            use(shared[index], index)
    for tensor in recording.kept:
        use(tensor.storage, len(recording.nodes))
    return found


def shares(recording: Recording, shared: dict[int, Storage]) -> dict[str, int]:
    """Bytes of the largest value that each layer makes, or of its calls' working memory, in the order in which they come first."""
    found: dict[str, int] = {}
    for index, node in enumerate(recording.nodes):
        storages = [t.storage.root for t in node.outputs()] + ([shared[index]] if index in shared else [])
        for storage in storages:
            if storage.memory is None and node.place:
                found[node.place] = max(found.get(node.place, 0), storage.nbytes)
    return found


def lay_out(recording: Recording, shared: dict[int, Storage]) -> int:
    """Give every workspace storage its offset; storages that are not live together share bytes. Returns the workspace's size.

    Greedy by size (Pisarchyk & Lee 2020): the largest first, each at the lowest place
    where no storage that is live at the same time lies.
    """
    live = lifetimes(recording, shared)

    def together(storage: Storage, other: Storage) -> bool:
        return live[other][0] <= live[storage][1] and live[storage][0] <= live[other][1]

    placed: list[Storage] = []
    size = 0
    for storage in sorted(live, key=lambda s: (-s.nbytes, live[s][0])):
        beside = sorted((other for other in placed if together(storage, other)), key=lambda s: s.offset)
        offset = 0
        for other in beside:
            if offset + storage.nbytes <= other.offset:
                break
            end = other.offset + other.nbytes
            offset = max(offset, -(-end // ALIGNMENT) * ALIGNMENT)
        storage.offset = offset
        placed.append(storage)
        size = max(size, offset + storage.nbytes)
    return size


def lay_out_apart(recording: Recording, shared: dict[int, Storage]) -> tuple[int, list[int]]:
    """The layout of the mode with guard pages: nothing is shared, and a guard stands behind each storage.

    Returns the workspace's size, and the offsets of its guards. Storages end at their guard, or start behind the one before.
    """
    page = arena.PAGE
    guards = [0]
    end = page
    for storage in lifetimes(recording, shared):
        start, end = end, end + max(-(-storage.nbytes // page), 1) * page
        storage.offset = start if arena.GUARD_PAGES == "start" else end - storage.nbytes
        guards.append(end)
        end += page
    return end, guards
