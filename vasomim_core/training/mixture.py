"""Batches from several stores: labelled frames, and in their place now and then synthetic or unlabelled ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vasomim_core.data.augment import Grey
from vasomim_core.data.store import FrameStore
from vasomim_core.data.synthetic import with_contrast
from vasomim_core.training.seeding import crop_stream

View = Callable[[Grey, Grey, np.random.Generator], tuple[Grey, Grey]]


@dataclass(frozen=True)
class Ingredient:
    """Frames that take the place of labelled ones.

    Attributes:
        store: where they are.
        share: of all rows of a batch, on average, in [0, 1).
        view: cuts a view from one of them.
    """

    store: FrameStore
    share: float
    view: View


class Mixture(Dataset[dict[str, Tensor]]):
    """Items `{"frame": uint8 (H, W), "mask": uint8 codes (f·H, f·W)}`, asked for as (epoch, index of a labelled frame).

    Which store a row comes from, which frame of it and which view are drawn from the seed, epoch and index alone.

    Args:
        labelled: the frames that an epoch goes through.
        view: cuts a view from one of them.
        others: what takes their place, with shares that add up to less than 1.
        seed: of the run.
        contrast: vessels to be drawn into labelled frames; None = none are.
        contrast_share: of the labelled views that get some, in [0, 1].
    """

    def __init__(
        self,
        labelled: FrameStore,
        view: View,
        others: Sequence[Ingredient],
        seed: int,
        contrast: FrameStore | None = None,
        contrast_share: float = 0.0,
    ):
        self.labelled, self.view, self.others, self.seed = labelled, view, others, seed
        self.contrast, self.contrast_share = contrast, contrast_share

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        rng = crop_stream(self.seed, epoch, index)
        frame, codes = self._drawn(rng) or self._labelled(index, rng)
        return {"frame": torch.from_numpy(np.array(frame)), "mask": torch.from_numpy(np.array(codes))}

    def _labelled(self, index: int, rng: np.random.Generator) -> tuple[Grey, Grey]:
        """A view of a labelled frame."""
        frame, codes = self.labelled[index]
        if self.contrast is not None and rng.random() < self.contrast_share:
            frame, codes = with_contrast(frame, codes, self.contrast[int(rng.integers(len(self.contrast)))], rng)
        return self.view(frame, codes, rng)

    def _drawn(self, rng: np.random.Generator) -> tuple[Grey, Grey] | None:
        """A view of a frame that takes the labelled one's place; None = none does."""
        if not self.others:
            return None
        luck = rng.random()
        for one in self.others:
            if luck < one.share:
                return one.view(*one.store[int(rng.integers(len(one.store)))], rng)
            luck -= one.share
        return None
