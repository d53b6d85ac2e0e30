"""Training by several processes at once: each has its share of every batch.

mpiexec -n 4 python train.py         # with fn.Trainer(..., distributed=fn.distributed.MPI())
"""

from fastnet.distributed.mpi import MPI
from fastnet.distributed.ranks import OneProcess, Ranks

__all__ = ["MPI", "OneProcess", "Ranks"]
