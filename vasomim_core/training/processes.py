"""This process's place among those that `torchrun` started; a single process is the ordinary case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from vasomim_core.errors import RunError
from vasomim_core.files import atomic, stamp

PATIENCE = timedelta(minutes=30)
"""After which a step that waits for another process is given up: one whose machine has gone without a word."""
PREPARATION = timedelta(days=1)
"""The first process may extract anatomy for hours before the others have anything to do."""
PIECE = 1 << 26
"""Bytes of a file that are sent round at once."""
LOST = (
    "another process of this run has gone, and its own output says why; `--resume` goes on from the last saved state, "
    "on any number of processes that divides the batch"
)


@dataclass(frozen=True)
class Processes:
    """Rank and number of the processes of one run, which may be on several machines.

    Attributes:
        rank: of this one, from 0.
        count: how many there are.
        patient: the group in which they wait for each other's preparations.
    """

    rank: int = 0
    count: int = 1
    patient: Any = None

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
            dist.barrier(self.patient)

    def agree(self, text: str) -> bool:
        """Whether all processes say the same."""
        if self.count == 1:
            return True
        own = torch.frombuffer(bytearray(sha256(text.encode()).digest()), dtype=torch.uint8)
        found = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(found, own)
        return all(torch.equal(one, own) for one in found)

    def says(self, number: int) -> int:
        """What the first process says."""
        if self.count == 1:
            return number
        shared = torch.tensor(number)
        dist.broadcast(shared, 0)
        return int(shared)

    def bring(self, path: Path) -> bool:
        """Make the first process's file be the one on every machine; False = the first has none, whatever is here.

        Raises:
            OSError: it cannot be read or written.
        """
        if not self.says(path.is_file()):
            return False
        if self.agree(str(stamp(path))):
            return True
        size = self.says(path.stat().st_size if self.first else 0)
        with ExitStack() as stack:
            source = stack.enter_context(open(path, "rb")) if self.first else None
            target = None
            if not self.first and os.environ.get("LOCAL_RANK", "0") == "0":  # one on each machine
                target = stack.enter_context(open(stack.enter_context(atomic(path)), "wb"))
            for start in range(0, size, PIECE):
                piece = torch.empty(min(PIECE, size - start), dtype=torch.uint8)
                if source is not None:
                    source.readinto(piece.numpy().data)
                dist.broadcast(piece, 0)
                if target is not None:
                    target.write(piece.numpy().data)
        self.wait()
        return True

    def lost(self, error: BaseException) -> RunError | None:
        """What to tell a person where an error says that another process cannot be reached any more."""
        distributed = isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
        return RunError(LOST) if self.count > 1 and distributed else None


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
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    patient = dist.new_group(backend="gloo", timeout=PREPARATION)
    processes = Processes(dist.get_rank(), dist.get_world_size(), patient)
    try:
        yield processes
    except RuntimeError as error:
        if (lost := processes.lost(error)) is not None:
            raise lost from error
        raise
    dist.destroy_process_group()  # after an error it might wait for processes that have gone
