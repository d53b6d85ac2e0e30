"""Ranks of MPI, by mpi4py."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import checks, config
from fastnet.distributed.ranks import Ranks, even_parts, sum_in_order

if TYPE_CHECKING:
    from fastnet.types import Array

__all__ = ["MPI"]

#: Seconds that a rank which has failed waits for the others to fail alike: they do so within a step, or not at all.
PATIENCE = 5.0
TOLD = 240  # bytes of an error that the others are told


class MPI(Ranks):
    """The processes that ``mpiexec`` has started: each trains on its share of every batch, and all have the same weights.

    Needs mpi4py and an MPI: ``pip install "fastnet-cpu[mpi]"``. All ranks run the same program; rank 0 alone writes files and
    shows progress. Making a `Trainer` with it, `Trainer.resume`, `fit` and `train_on_batch` are calls that every rank has to come
    to. What differs between the ranks' networks when the Trainer is made is as on rank 0.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        By default all processes. It is duplicated.
    batch_norm : {"local", "synchronized"}
        Whether batch normalization takes the statistics of the rank's share of the batch (of each piece, with a `microbatch`), or
        of the whole batch. Running statistics are the mean over all ranks in any case.
    reduction : {"mean", "exact"}
        How gradients are added. "mean": by MPI's allreduce, where the network's gradients lie; the same number of ranks gives the
        same bits. "exact": the `Trainer` has a `microbatch`, and the gradients of the pieces of that many samples are added in
        their order, which gives the same bits for any number of ranks, one process among them.
    data : {"shared", "shards"}
        "shared": all ranks are given the same data, and each takes its share of every batch. "shards": each rank is given data of
        its own, of which an epoch takes as many batches as all ranks can fill.
    bucket : int, optional
        With "mean": gradients are added in parts of at least so many bytes, each as soon as the backward pass has computed it.
        By default all of them behind the backward pass.

    Raises
    ------
    ModuleNotFoundError
        mpi4py is missing, or it finds no MPI.

    Examples
    --------
    >>> import fastnet as fn
    >>> ranks = fn.distributed.MPI(batch_norm="synchronized")                # doctest: +SKIP
    >>> trainer = fn.Trainer(net, loss="mse", optimizer="adam", distributed=ranks)    # doctest: +SKIP
    """

    def __init__(self, comm: Any = None, *, batch_norm: str = "local", reduction: str = "mean", data: str = "shared",
                 bucket: int | None = None) -> None:  # fmt: skip
        super().__init__(batch_norm, reduction, data)
        self.bucket = None if bucket is None else checks.whole_number("bucket", bucket, least=1)
        if bucket is not None and reduction == "exact":
            raise ValueError(
                'bucket is for reduction="mean": with "exact" the pieces are added when all of them are there'
            )
        try:
            mpi = importlib.import_module("mpi4py.MPI")
        except (ImportError, RuntimeError) as error:
            raise ModuleNotFoundError(
                f'fn.distributed.MPI needs mpi4py and an MPI library: pip install "fastnet-cpu[mpi]" mpich ({error})',
                name="mpi4py",
            ) from None
        self._mpi = mpi
        given = mpi.COMM_WORLD if comm is None else comm
        self.comm = given.Dup()
        self._leaving = given.Dup()  # its calls don't meet those of a rank that is still at work
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self._divide_cpus()

    def _divide_cpus(self) -> None:
        """Where several ranks have the same CPUs, and nobody has said how many threads to use, each takes its part."""
        if any(os.environ.get(name) for name in ("FASTNET_NUM_THREADS", "OMP_NUM_THREADS")):
            return
        cpus = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None
        host = socket.gethostname()
        same = sum(found == (host, cpus) for found in self.gather_objects((host, cpus)))
        if same > 1:
            config.set_num_threads(max(1, config.get_num_threads() // same))

    def who(self) -> str:
        """This rank, its process and its machine."""
        return f"rank {self.rank} (process {os.getpid()} on {socket.gethostname()})"

    # What is exchanged. MPI itself spins while it waits, and would take the CPU from ranks that share it: calls are begun, and
    # polled between yields.

    def _wait(self, request: Any) -> None:
        for _ in range(64):
            if request.Test():
                return
        pause = getattr(os, "sched_yield", lambda: time.sleep(0))
        while not request.Test():
            pause()

    def gather(self, row: Array) -> Array:
        if self.size == 1:
            return row[None]
        found = np.empty((self.size, *row.shape), row.dtype)
        self._wait(self.comm.Iallgather(np.ascontiguousarray(row), found))
        return found

    def gather_rows(self, rows: Array, counts: Sequence[int] | None = None) -> Array:
        if self.size == 1:
            return rows
        if counts is None:
            counts = self.gather(np.array([len(rows)], np.float64))[:, 0].astype(int).tolist()
        width = rows.shape[1]
        found = np.empty((sum(counts), width), rows.dtype)
        sizes = [count * width for count in counts]
        self._wait(self.comm.Iallgatherv(np.ascontiguousarray(rows), [found, sizes]))
        return found

    def gather_objects(self, value: Any) -> list[Any]:
        self._wait(self.comm.Ibarrier())
        return self.comm.allgather(value)

    def from_first(self, value: Any) -> Any:
        self._wait(self.comm.Ibarrier())
        return self.comm.bcast(value, 0)

    def copy_from_first(self, array: Array) -> None:
        self._wait(self.comm.Ibcast(array, 0))

    def add(self, array: Array) -> None:
        self.begin_adding(array)()

    def begin_adding(self, array: Array) -> Callable[[], None]:
        if self.size == 1:
            return lambda: None
        request = self.comm.Iallreduce(self._mpi.IN_PLACE, array)
        return lambda: self._wait(request)

    def add_in_order(self, pieces: Array, counts: Sequence[int], out: Array) -> None:
        if self.size == 1:
            sum_in_order(pieces, out)
            return
        # Each rank gets all pieces of its part of the parameters, adds them, and gives the others the sum.
        parts = even_parts(len(out), self.size)
        ends = np.cumsum(parts)
        slices = [slice(end - part, end) for end, part in zip(ends, parts, strict=True)]
        sent = np.concatenate([np.ascontiguousarray(pieces[:, part]).reshape(-1) for part in slices])
        mine = parts[self.rank]
        received = np.empty((sum(counts), mine), out.dtype)
        sizes = [len(pieces) * part for part in parts], [count * mine for count in counts]
        self._wait(self.comm.Ialltoallv([sent, sizes[0]], [received, sizes[1]]))
        total = np.zeros(mine, out.dtype)
        sum_in_order(received, total)
        self._wait(self.comm.Iallgatherv(total, [out, parts]))

    # What all of them do or don't

    @contextmanager
    def together(self) -> Iterator[None]:
        if self.size == 1:
            yield
            return
        try:
            yield
        except BaseException as error:
            self._leave(error)
            raise
        else:
            others = self._leave(None)
            if others:
                raise RuntimeError(others[0])

    def _leave(self, error: BaseException | None) -> list[str]:
        """Meet the others, who leave too; what those say that have failed."""
        told = "" if error is None else f"{self.who()} has failed: {type(error).__name__}: {error}"
        mine = np.zeros(TOLD, np.uint8)
        told_bytes = told.encode()[:TOLD]
        mine[: len(told_bytes)] = np.frombuffer(told_bytes, np.uint8)
        found = np.empty((self.size, TOLD), np.uint8)
        request = self._leaving.Iallgather(mine, found)
        until = time.monotonic() + PATIENCE
        while not request.Test():
            if error is not None and time.monotonic() > until:
                self._abort(error)
            time.sleep(0.001)
        return [text for row in found if (text := bytes(row).rstrip(b"\0").decode(errors="replace"))]

    def _abort(self, error: BaseException) -> None:
        """End all ranks, who wait for this one."""
        lines = "".join(traceback.format_exception(error))
        print(f"{lines}fastnet: {self.who()} has failed, and ends the others", file=sys.__stderr__, flush=True)
        self.comm.Abort(1)
