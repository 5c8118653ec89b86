"""All that is drawn while a run trains: functions of the seed and of a place in the run, and of nothing drawn before.

Whatever is drawn is therefore the same in a resumed run, and whichever process draws it. Two more streams are where
nothing need be trained to draw from them: which frames are held out (`labels`), and the masks (`masking`).

NumPy fills keys up with zeros: the view of frame 0 is drawn from the numbers that the order of its epoch is drawn from.
They mean different things there, and another key would change every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Within the block torch draws from `seed`; afterwards it goes on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def order_stream(seed: int, epoch: int) -> np.random.Generator:
    """What the order of the frames in a 0-based epoch is drawn from."""
    return np.random.default_rng([seed, epoch])


def crop_stream(seed: int, epoch: int, frame: int) -> np.random.Generator:
    """What the view of a frame in a 0-based epoch is drawn from: its crop, its scale, its noise."""
    return np.random.default_rng([seed, epoch, frame])


def seed_layers(seed: int, step: int, rank: int) -> None:
    """Make torch draw what layers draw in a 0-based step of one process: dropout and drop path."""
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0]))
