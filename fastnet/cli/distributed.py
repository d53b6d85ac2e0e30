"""``fastnet train`` as one of several processes that ``mpiexec`` has started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastnet.cli.errors import BAD_INPUT, INTERRUPTED, USER_ERRORS
from fastnet.cli.options import named, whole_number

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from fastnet.distributed import Ranks

__all__ = ["add_arguments", "as_one", "ranks_of", "shard_of"]

PLACE = "{rank}"  # in --data: each process has a part of its own


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--distributed",
        type=named(["mpi"]),
        metavar="HOW",
        help="mpi: train with all processes that mpiexec has started, `mpiexec -n 4 fastnet train --distributed mpi ...`; "
        "--batch-size is that of all of them. Where --data has {rank}, the process's number, each reads a part of its own",
    )
    parser.add_argument(
        "--batch-norm",
        type=named(["local", "synchronized"]),
        metavar="HOW",
        help="local: batch normalization by the statistics of a process's share of the batch (or piece, with --microbatch); "
        "synchronized: of the whole batch; default local",
    )
    parser.add_argument(
        "--reduction",
        type=named(["mean", "exact"]),
        metavar="HOW",
        help="how gradients of several processes are added; exact: the pieces of --microbatch in their order, to the same bits "
        "for any number of processes; default mean",
    )
    parser.add_argument(
        "--microbatch",
        type=whole_number(least=1),
        metavar="N",
        help="compute a batch in pieces of N samples, whose gradients are added",
    )


def ranks_of(arguments: Namespace) -> Ranks:
    """The processes that train together: one, or those of MPI."""
    from fastnet import distributed

    batch_norm, reduction = arguments.batch_norm or "local", arguments.reduction or "mean"
    if arguments.distributed is None:
        if reduction == "exact":
            raise ValueError(
                "--reduction exact is for several processes, --distributed mpi; one adds its pieces in their order"
            )
        if PLACE in arguments.data:
            raise ValueError(
                f"--data {arguments.data}: {PLACE} stands for the number of a process, with --distributed mpi"
            )
        return distributed.OneProcess(batch_norm=batch_norm)
    if reduction == "exact" and arguments.microbatch is None:
        raise ValueError("--reduction exact adds the pieces of a batch: say how many samples one has, --microbatch N")
    data = "shards" if PLACE in arguments.data else "shared"
    return distributed.MPI(batch_norm=batch_norm, reduction=reduction, data=data)


def shard_of(path: str, ranks: Ranks) -> str:
    """The data of this process."""
    return path.replace(PLACE, str(ranks.rank)) if ranks.data == "shards" else path


@contextlib.contextmanager
def as_one(ranks: Ranks) -> Iterator[None]:
    """Several processes that look like one: the first one speaks for all, and they end together."""
    with contextlib.ExitStack() as stack:
        if not ranks.writes:
            quiet = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(quiet))
            stack.enter_context(contextlib.redirect_stderr(quiet))
        try:
            with ranks.together():
                yield
        except (KeyboardInterrupt, *USER_ERRORS) as error:
            if ranks.writes:
                raise
            interrupted = getattr(error, "code", INTERRUPTED)
            raise SystemExit(interrupted if isinstance(error, KeyboardInterrupt) else BAD_INPUT) from None
