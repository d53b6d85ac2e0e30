"""A training step whose batch is computed in pieces, by one process or several: from the gather to the joined gradients.

A piece has weight W_k, the sum of its samples' weights, and its loss the gradient g_k; the step's is sum(W_k g_k) / sum(W_k).
The gradient of a piece's loss is multiplied by W_k / n, n being the batch's samples, so that the pieces' gradients need only be
added where samples have no weights, and the sum multiplied by n / sum(W_k) where they have.

Which piece is computed where does not decide on its bits: a piece's shape is the same everywhere, its random draws are keyed by
its number, and what is added is added in the order of the pieces (with ``reduction="exact"``), or by rank.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.distributed.ranks import sum_in_order
from fastnet.graph_pass import GraphPass
from fastnet.native.plan import ControlBlock
from fastnet.recording import Recording
from fastnet.training.buckets import Buckets, ranges_of
from fastnet.training.faults import BAD_LOSS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.recording import Memory, Tensor

__all__ = ["Pieces"]

RESULT = ControlBlock.offset("loss")  # and the weight behind it
PHANTOM = 2  # samples of a piece that is recorded for its form alone


class Pieces:
    """Records what a rank does of a step.

    Parameters
    ----------
    trainer : Trainer
    recording : Recording
    feed : Feed
    shares : tuple of int
        The samples that each rank has of the batch; 0 where it has none.
    """

    def __init__(self, trainer: Any, recording: Recording, feed: Any, shares: tuple[int, ...]) -> None:
        self.trainer, self.recording, self.feed = trainer, recording, feed
        self.ranks = trainer.distributed
        self.graph = trainer.net.graph
        self.samples = sum(shares)
        mine = shares[self.ranks.rank]
        size = trainer.microbatch or max(mine, 1)
        # Samples, first and number, of each piece here; and how many pieces each rank has.
        self.here = [(start, min(size, mine - start)) for start in range(0, mine, size)]
        self.counts = [-(-n // (trainer.microbatch or max(n, 1))) for n in shares]
        self.first = sum(self.counts[: self.ranks.rank])
        self.results = np.zeros((len(self.here), 2))  # loss and weight
        self.outputs: list[tuple[Any, Any, Any]] = [None] * len(self.here)  # type: ignore[list-item]
        self.statistics: list[list[Any]] = [[] for _ in self.here]
        norms = [node.layer for node in self.graph.nodes if hasattr(node.layer, "synchronize_forward")]
        self.has_norms = any(layer.trainable for layer in norms)
        self.synchronized = self.has_norms and self.ranks.batch_norm == "synchronized"
        # Pieces that are added on other ranks, or recorded side by side, keep gradients of their own.
        exact = self.ranks.reduction == "exact" and self.ranks.size > 1
        self.apart = exact or (self.synchronized and len(self.here) > 1)
        updated = self.graph.trainable_parameters()
        self.segments = list(dict.fromkeys(parameter.segment for parameter in updated))
        self.updated = sorted(updated, key=lambda p: (self.segments.index(p.segment), p.offset))
        self.buckets = None
        if self.ranks.bucket is not None and len(self.here) <= 1 and self.ranks.size > 1 and trainer.microbatch is None:
            self.buckets = Buckets(recording, self.ranks, self.graph, self.updated, self.ranks.bucket)

    def record(self, probes: tuple[Any, ...]) -> list[tuple[Any, Any, Any]]:
        """Record it all; returns outputs, targets and weights of the pieces here."""
        self._make_homes()
        self._clear()
        if self.synchronized:
            self._record_side_by_side(probes)
        else:
            for k in range(len(self.here)):
                self._enter(k)
                for _ in self._piece(self.recording, k, probes):
                    pass
                self._add_to_first(k)
            if self.buckets is not None and not self.here:
                for _ in self._piece(Recording(self.recording.dtype.name), 0, phantom=True):
                    pass
        if self.buckets is not None:
            self.buckets.begin_rest()
        if self.has_norms and not self.synchronized:
            self._record_statistics()
        self._record_agreement()
        self._record_reduction()
        self._record_penalties()
        return self.outputs

    # The pieces of this rank

    def _make_homes(self) -> None:
        """Where each piece's gradients go: into the segment, or into memory of the pieces.

        Pieces that follow one another have a sum in that memory, where the first one's go; the others' are added to it. (Layers in
        NumPy write into the segment in any case.)
        """
        here = len(self.here)
        self.kept = here if self.apart else int(here > 1)
        self.memories = {segment: self.trainer.gradients_of_pieces(segment, self.kept) for segment in self.segments}
        self.homes: list[dict[Memory, tuple[Memory, int]]] = [
            {s.gradients: (memory, k * s.gradients.block.size) for s, memory in self.memories.items() if k < self.kept}
            for k in range(here)
        ]
        self.gradients: list[dict[Any, Tensor]] = [{} for _ in self.here]

    def _clear(self) -> None:
        """A rank without samples adds zeros."""
        if self.here or self.apart:
            return
        for segment in self.memories:
            whole = self.recording.outside(segment.gradients, (segment.trainable_size,))
            self.recording.call("fill", writes={"y": whole}, n=whole.size, value=0.0)

    def _enter(self, k: int) -> None:
        recording = self.recording
        recording.gradient_homes, recording.gradients = self.homes[k], self.gradients[k]
        recording.piece_statistics = self.statistics[k]

    def _piece(
        self, recording: Recording, k: int, probes: tuple[Any, ...] = (), phantom: bool = False
    ) -> Iterator[Any]:
        """Record a piece; yields where a batch norm needs the others."""
        trainer, number = self.trainer, self.first + k
        start, rows = (0, PHANTOM) if phantom else self.here[k]
        x, target, weights = self.feed.record(recording, rows, start, number)
        passing = GraphPass(self.graph, recording, True, trainer.net.seed, number, self.synchronized)
        yield from passing.forward(x)
        y = passing.values[self.graph.output]
        if k == 0:
            self.graph.values = passing.values
            for probe in probes:
                probe.record_forward(recording, self.graph)
        with recording.at("loss"):
            dy = trainer.loss.record(recording, y, target, weights, gradient=True)
            scaled = recording.tensor(dy.shape)
            if not phantom:
                result = recording.control_field(RESULT, shape=(2,))
                recording.python(self._weigh(k), [result, dy], [scaled])
                self.outputs[k] = y, target, weights
        if self.buckets is not None:
            passing.behind_layer = self.buckets.behind
        yield from passing.backward(scaled)

    def _weigh(self, k: int) -> Any:
        def compute(inputs: list[Any], outputs: list[Any]) -> None:
            self.results[k] = inputs[0]
            np.multiply(inputs[1], inputs[1].dtype.type(inputs[0][1] / self.samples), out=outputs[0])

        return compute

    def _add_to_first(self, k: int) -> None:
        """Add a piece's gradients to the sum of those before it."""
        if k == 0 or self.apart:
            return
        for segment, memory in self.memories.items():
            n = segment.trainable_size
            total = self.recording.outside(memory, (n,))
            self.recording.call(
                "add", reads={"a": total, "b": self.recording.outside(segment.gradients, (n,))}, writes={"y": total},
                work=4 * n, n=n, activation=0, gate_activation=0, alpha=0.0, gate_alpha=0.0,
            )  # fmt: skip

    def _record_side_by_side(self, probes: tuple[Any, ...]) -> None:
        """Record all pieces from one exchange to the next. A rank without samples takes part in the exchanges."""
        phantom = not self.here
        scratch = Recording(self.recording.dtype.name)
        passes = [self._piece(self.recording, k, probes) for k in range(len(self.here))]
        if phantom:
            passes = [self._piece(scratch, 0, phantom=True)]
        while True:
            exchanges = []
            for k, piece in enumerate(passes):
                if not phantom:
                    self._enter(k)
                exchanges.append(next(piece, None))
            form = exchanges[0]
            if form is None:
                return
            form.join(
                self.recording, [] if phantom else exchanges, lambda rows: self.ranks.gather_rows(rows, self.counts)
            )
            if phantom:
                form.join(scratch, exchanges, lambda rows: rows)

    # What the ranks exchange

    def _record_statistics(self) -> None:
        """Commit the mean of the pieces' statistics, by their rows, of each batch norm."""
        norms = self.statistics[0] if self.here else self._phantom_statistics()
        mine = list(zip(*self.statistics, strict=True))  # of a norm, all pieces here
        widths = [mean.columns for _, mean, _, _ in norms]
        joined = [(self.recording.tensor((n,)), self.recording.tensor((n,))) for n in widths]

        def compute(inputs: list[Any], outputs: list[Any]) -> None:
            values = iter(inputs)
            rows = np.array([
                np.concatenate([part for _ in widths for part in (next(values), next(values))]) for _ in self.here
            ], np.float64).reshape(len(self.here), 2 * sum(widths))  # fmt: skip
            sizes = np.array([[n for _, n in self.here]], np.float64).reshape(-1, 1)
            found = self.ranks.gather_rows(np.hstack([sizes, rows]), self.counts)
            mean = (found[:, :1] * found[:, 1:]).sum(axis=0) / found[:, 0].sum()
            for output in outputs:
                output[:], mean = mean[: len(output)], mean[len(output) :]

        reads = [part for k in range(len(self.here)) for norm in mine for part in norm[k][1:3]]
        self.recording.python(compute, reads, [part for pair in joined for part in pair], collective=True)
        for (layer, *_), (mean, unbiased) in zip(norms, joined, strict=True):
            layer.record_commit(self.recording, mean, unbiased)

    def _phantom_statistics(self) -> list[Any]:
        scratch = Recording(self.recording.dtype.name)
        scratch.piece_statistics = []
        for _ in self._piece(scratch, 0, phantom=True):
            pass
        return scratch.piece_statistics

    def _record_agreement(self) -> None:
        """Give all ranks the same fault, if there is one, and the loss and weight of the whole batch."""
        recording, control = self.recording, self.trainer.control
        most = max(self.counts)
        self.factor = 1.0

        def agree(inputs: list[Any], outputs: list[Any]) -> None:
            row = np.zeros(1 + 2 * most)
            row[0] = control.status
            row[1 : 1 + self.results.size] = self.results.reshape(-1)
            found = self.ranks.gather(row)
            # Bad data of one rank may have made another one's loss a bad one, through the statistics of the batch.
            control.status = int(min((status for status in found[:, 0].tolist() if status), default=0))
            if control.status:
                return
            loss = weight = 0.0  # added in the order of the pieces
            for row, count in zip(found.tolist(), self.counts, strict=True):
                for k in range(1, 1 + 2 * count, 2):
                    loss += row[k] * row[k + 1]
                    weight += row[k + 1]
            control.loss, control.weight = loss / weight, weight
            self.factor = self.samples / weight
            if not math.isfinite(control.loss):
                control.status = BAD_LOSS

        recording.python(agree, [], [recording.control_field(RESULT, shape=(2,))], collective=True)

    def _record_reduction(self) -> None:
        """Add the gradients of all pieces of all ranks, where those of the segments are."""
        for segment, memory in self.memories.items():
            whole = self.recording.outside(segment.gradients, (segment.trainable_size,))
            pieces = self.recording.outside(memory, (self.kept, whole.size))
            ranges = ranges_of(segment, self.updated)
            self.recording.python(
                self._reduce(ranges), [pieces] if self.kept or self.apart else [], [whole], collective=True
            )

    def _reduce(self, ranges: list[slice]) -> Any:
        exact = self.apart and self.ranks.reduction == "exact"

        def reduce(inputs: list[Any], outputs: list[Any]) -> None:
            for where in ranges:
                gradients = outputs[0][where]
                if exact:
                    self.ranks.add_in_order(inputs[0][:, where], self.counts, gradients)
                    continue
                if inputs:
                    sum_in_order(inputs[0][:, where], gradients)
                if self.buckets is None:
                    self.ranks.add(gradients)
            if self.buckets is not None:
                self.buckets.wait()
            if self.factor != 1:
                for where in ranges:
                    outputs[0][where] *= outputs[0].dtype.type(self.factor)

        return reduce

    def _record_penalties(self) -> None:
        """Add the regularizers' gradients, which concern the batch as a whole, to the joined ones, which all that follows takes."""
        recording = self.recording
        recording.gradient_homes, recording.gradients, recording.piece_statistics = {}, {}, None
        for parameter in self.updated:
            recording.gradients[parameter] = recording.outside(
                parameter.segment.gradients, parameter.shape, offset=parameter.offset
            )
        self.graph.record_penalties(recording)
