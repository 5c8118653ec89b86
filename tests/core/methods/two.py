"""Run by torchrun: every method for a few steps, all in the same two processes; loading torch takes longest."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.core.methods.made import SMALL, shrink, small
from vasomim_core.training.pretrain import pretrain
from vasomim_core.training.processes import joined_processes

if __name__ == "__main__":
    torch.set_num_threads(1)
    shrink()
    frames, runs = map(Path, sys.argv[1:])
    with joined_processes() as processes:
        for name in SMALL:
            config = small(name, data=frames, run=runs / name)
            pretrain(replace(config, training=replace(config.training, log_every=1)), processes)
