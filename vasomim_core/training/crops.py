"""Training frames as the loop asks for them: (epoch, index) → one random view, always the same for the same key."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vasomim_core.data.augment import Grey
from vasomim_core.data.store import Prepared
from vasomim_core.methods.method import View as MethodView
from vasomim_core.training.seeding import crop_stream

View = Callable[[Grey, Grey, np.random.Generator], tuple[Grey, Grey]]


class Views(Dataset[dict[str, Tensor]]):
    """Items as a pretraining method asks for them, and "index", int64: which frame of the store each is of.

    Args:
        store: where frames and their anatomy are.
        view: cuts what a method sees, with the generator it is given; arrays by name.
        seed: of the run.
    """

    def __init__(self, store: Prepared, view: MethodView, seed: int):
        self.store, self.view, self.seed = store, view, seed

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        views = self.view(*self.store[index], crop_stream(self.seed, epoch, index))
        return {name: torch.from_numpy(np.array(value)) for name, value in views.items()} | {
            "index": torch.tensor(index)
        }


class Crops(Dataset[dict[str, Tensor]]):
    """Items `{"frame": uint8 (H, W), "mask": uint8}`; the mask is anatomy (H, W), 0 or 255, or codes (f·H, f·W).

    Args:
        store: where frames and masks are.
        view: cuts a view with the generator it is given.
        seed: of the run.
    """

    def __init__(self, store: Prepared, view: View, seed: int):
        self.store, self.view, self.seed = store, view, seed

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        frame, mask = self.view(*self.store[index], crop_stream(self.seed, epoch, index))
        return {
            "frame": torch.from_numpy(np.array(frame)),
            "mask": torch.from_numpy(np.array(mask)),
        }
