"""Which frames make which batch, for every process and every part of an accumulated batch."""

from __future__ import annotations

import os
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from vasomim_core.config import Training
from vasomim_core.errors import RunError
from vasomim_core.methods.method import Batch, Moment
from vasomim_core.training.processes import Processes
from vasomim_core.training.seeding import order_stream

__all__ = ["Batch", "BatchPlan", "Moment"]


class BatchPlan:
    """The order of frames over a run: a function of the seed and the epoch alone.

    Args:
        frames: how many there are.
        settings: batch size, accumulation, epochs, seed, workers.
        processes: this process's place among several.

    Raises:
        RunError: the batch does not divide into processes and parts.
    """

    def __init__(self, frames: int, settings: Training, processes: Processes):
        share = processes.count * settings.accumulate
        if settings.batch_size % share:
            raise RunError(
                f"a batch of {settings.batch_size} frames does not divide into {processes.count} processes × "
                f"{settings.accumulate} parts; choose a multiple of {share}"
            )
        self.frames, self.settings, self.processes = frames, settings, processes
        self.batch_size = settings.batch_size
        self.parts = settings.accumulate
        self.part_size = settings.batch_size // share
        self.steps_per_epoch = max(1, frames // settings.batch_size)
        self.steps = self.steps_per_epoch * settings.epochs

    def more_parts(self) -> int | None:
        """Into how many parts a batch divides that are at most half as large as now.

        None where it does not, or where several processes would have to agree on it.
        """
        if self.processes.count > 1:
            return None
        numbers = range(2 * self.parts, self.batch_size + 1)
        return next((n for n in numbers if self.batch_size % n == 0), None)

    def rows(self, part: int) -> slice:
        """The rows of the whole batch that this process computes in this part."""
        start = (part * self.processes.count + self.processes.rank) * self.part_size
        return slice(start, start + self.part_size)

    def keys(self, first_step: int) -> Iterator[list[tuple[int, int]]]:
        """(epoch, frame) of every row, part after part, from `first_step` on."""
        epoch, order = -1, np.empty(0, np.int64)
        for step in range(first_step, self.steps):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                order = order_stream(self.settings.seed, epoch).permutation(self.frames)
            start = step % self.steps_per_epoch * self.batch_size
            # Fewer frames than a batch holds: they come round again.
            batch = order[np.arange(start, start + self.batch_size) % self.frames]
            for part in range(self.settings.accumulate):
                yield [(epoch, int(i)) for i in batch[self.rows(part)]]

    def loader(self, frames: Dataset[Batch], device: torch.device, first_step: int) -> Iterator[Batch]:
        """The batches of this process, part after part; frames are read ahead by workers on CUDA."""
        workers = self.settings.workers
        if workers is None:
            workers = min(8, os.cpu_count() or 1) if device.type == "cuda" else 0
        return iter(
            DataLoader(
                frames,
                batch_sampler=self.keys(first_step),
                num_workers=workers,
                pin_memory=device.type == "cuda",
                worker_init_fn=_one_thread if workers else None,
            )
        )


def _one_thread(worker: int) -> None:
    """OpenCV's threads do not survive a fork, and the workers are the threads here."""
    cv2.setNumThreads(0)
