"""The masks of a file of frames: read from a file of masks, or drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import VESSEL, ClassMask, LabelClass, vessel_of
from vasomim_core.errors import LabelError
from vasomim_core.labels.mask import Mask, as_class_mask
from vasomim_core.reading import read_angiogram
from vasomim_core.reading.finding import MASKS_ALPHA


class Masks(ABC):
    """One mask for each frame of a file, each read or drawn when it is asked for.

    Attributes:
        classes: what the values of `class_mask` mean.
    """

    classes: tuple[LabelClass, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def class_mask(self, index: int) -> ClassMask:
        """The mask of a frame as class values, uint8 (H, W), 0 = background."""

    def __getitem__(self, index: int, /) -> Mask:
        """The mask of a frame, bool (H, W): the union of the classes that count as vessel."""
        return vessel_of(self.class_mask(index), self.classes)


class MaskFile(Masks):
    """The masks in a file of any kind that `read_angiogram` knows, one a page: `Masks` that tell their `path`.

    Args:
        path: The file.
        alpha: The masks are its alpha channel, as drawing programs save them.
        classes: What its values mean; see `as_class_mask`.

    Raises:
        InputError: the file is missing or damaged, or has no alpha channel where `alpha` asks for it. That a page is
            damaged may be found when it is asked for.
        LabelError: when it is asked for: a page is not a mask (see `as_class_mask`), or has an alpha channel that
            shows another mask than its colours, and nothing says which is meant.
    """

    def __init__(self, path: Path | str, alpha: bool = False, classes: tuple[LabelClass, ...] = VESSEL):
        self.path, self.classes = Path(path), classes
        self._opened = read_angiogram(path, alpha)
        self._two = self._opened.has_alpha and not alpha

    def __len__(self) -> int:
        return len(self._opened.frames)

    def class_mask(self, index: int) -> ClassMask:
        """The mask on a page as class values, uint8 (H, W), 0 = background."""
        return as_class_mask(self.page(index), self.classes, where=str(self.path))

    def page(self, index: int) -> NDArray[Any]:
        """The values of a page as they are in the file, (H, W)."""
        page = self._opened.frames[index]
        if self._two:
            self._refuse_another_in_alpha(page, index)
        return page

    def _refuse_another_in_alpha(self, page: NDArray[Any], index: int) -> None:
        alpha = read_angiogram(self.path, alpha=True).frames[index]
        if alpha.min() != alpha.max() and not np.array_equal(page != 0, alpha != 0):
            raise LabelError(
                f"{self.path} has an alpha channel that shows another mask than its colours do: if alpha is meant, "
                f"rename the folder to {MASKS_ALPHA}; else save the masks without alpha."
            )
