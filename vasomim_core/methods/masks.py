"""Which patches a method hides. A mask is boolean (B, N), True = hidden, patches in row-major order.

Uniform noise decides (`Moment.noise`), so that a mask depends on seed, step and row alone. Guidance by anatomy and by
what is hardest is `masking.sampling.sample_masks`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TRIES = 50
"""Draws of the blocks of a row, until enough of it is left to see."""


def uniform(noise: Tensor, count: int) -> Tensor:
    """`count` patches of each row without replacement: those of smallest noise (B, N)."""
    chosen = noise.topk(count, dim=1, largest=False, sorted=False).indices
    return torch.zeros_like(noise, dtype=torch.bool).scatter_(1, chosen, True)


@dataclass(frozen=True)
class Blocks:
    """I-JEPA's masks: a few blocks to be predicted, and a large one that is seen, without them.

    Block sizes are drawn once for a batch, places for every row. What is seen is cut to the fewest patches of any row.
    Rows in which little would be left to see are drawn again.

    Source: Assran et al., Self-Supervised Learning from Images with a Joint-Embedding Predictive Architecture,
    CVPR 2023.

    Attributes:
        grid: rows and columns of patches, N in all.
        targets: how many blocks are predicted.
        target_scale: smallest and largest share of the patches in one.
        target_aspect: smallest and largest height over width of one.
        context_scale: the same share for the one that is seen; it is as high as wide.
    """

    grid: tuple[int, int]
    targets: int
    target_scale: tuple[float, float]
    target_aspect: tuple[float, float]
    context_scale: tuple[float, float]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Masks of `count` rows: what is seen, int64 (count, V), and the targets, int64 (count, targets, K)."""
        target = self._size(self.target_scale, self.target_aspect, rng)
        context = self._size(self.context_scale, (1.0, 1.0), rng)
        places = np.zeros((count, self.targets, target[0] * target[1]), np.int64)
        seen = np.zeros((count, self.grid[0] * self.grid[1]), bool)
        least, left = max(1, seen.shape[1] // 16), np.arange(count)
        for _ in range(TRIES):
            places[left] = self._places(target, (len(left), self.targets), rng)
            seen[left] = False
            seen[left[:, None], self._places(context, (len(left), 1), rng)[:, 0]] = True
            seen[left[:, None], places[left].reshape(len(left), -1)] = False
            left = left[seen[left].sum(axis=1) < least]
            if not len(left):
                break
        for row in left:  # a grid so small that what is no target has to do
            seen[row] = True
            seen[row, places[row].ravel()] = False
        fewest = int(seen.sum(axis=1).min())
        order = np.argsort(~seen, axis=1, kind="stable")[:, :fewest]
        return torch.from_numpy(order), torch.from_numpy(places)

    def _size(
        self, scale: tuple[float, float], aspect: tuple[float, float], rng: np.random.Generator
    ) -> tuple[int, int]:
        """Rows and columns of a block, fewer than the grid's."""
        area, ratio = rng.uniform(*scale) * self.grid[0] * self.grid[1], rng.uniform(*aspect)
        height, width = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        return min(max(1, height), self.grid[0] - 1), min(max(1, width), self.grid[1] - 1)

    def _places(self, size: tuple[int, int], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int64]:
        """The patches of blocks anywhere on the grid, (*shape, height · width)."""
        top = rng.integers(0, self.grid[0] - size[0] + 1, shape)[..., None, None] + np.arange(size[0])[:, None]
        left = rng.integers(0, self.grid[1] - size[1] + 1, shape)[..., None, None] + np.arange(size[1])
        return (top * self.grid[1] + left).reshape(*shape, -1)
