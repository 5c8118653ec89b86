"""This process's place among those that `torchrun` started; a single process is the ordinary case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """Rank and number of the processes of one run."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """This process's own device."""
        if chosen.type == "cuda" and chosen.index is None:
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return chosen

    def mean(self, value: torch.Tensor) -> float:
        """The mean over processes, on the host."""
        if self.count > 1:
            value = value.clone()
            dist.all_reduce(value)
            value = value / self.count
        return float(value)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process says so."""
        if self.count == 1:
            return flag
        shared = torch.tensor(float(flag), device=device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared > 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the processes of `torchrun` where its environment says so: NCCL for CUDA, gloo for the CPU."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # The first process may extract anatomy for hours before the others have anything to do.
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=timedelta(days=1))
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
