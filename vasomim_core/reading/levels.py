"""How a frame is seen: the one place that chooses its grey levels, for files and for whatever a window shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vasomim_core.reading.grey import Window, to_grey, to_uint8


@dataclass(frozen=True)
class GreyLevels:
    """The grey levels at which the frames of an angiogram are seen, whatever they are stored as.

    Attributes:
        window: (centre, width) of the linear window function of DICOM, in stored grey levels; None = the percentiles
            of each frame.
        bright_vessels: Vessels are brighter than what is around them: frames are taken as their negatives.
    """

    window: Window | None = None
    bright_vessels: bool = False

    def or_window(self, window: Window | None) -> GreyLevels:
        """The same, with this window where it has none."""
        return self if self.window is not None else replace(self, window=window)

    def grey(self, pixels: ArrayLike) -> NDArray[np.uint8]:
        """A frame as the engine sees it.

        Args:
            pixels: As stored: (H, W), or in colour; see `grey.to_grey`.

        Returns:
            uint8 (H, W), vessels dark.

        Raises:
            InputError: No frame, no pixels, values that are not finite, or a window narrower than 1.
        """
        return self._dark(to_uint8(to_grey(pixels), self.window))

    def stored(self, pixels: ArrayLike) -> NDArray[Any]:
        """A frame as a label set keeps it, and knows it by.

        Args:
            pixels: As for `grey`.

        Returns:
            uint8 or uint16 (H, W), vessels dark. Without a window, plain 8 and 16 bits keep their values; all else is
            seen as by the engine.

        Raises:
            InputError: As for `grey`.
        """
        frame = to_grey(pixels)
        as_it_is = self.window is None and frame.dtype.name in ("uint8", "uint16")
        return self._dark(frame if as_it_is else to_uint8(frame, self.window))

    def _dark(self, frame: NDArray[Any]) -> NDArray[Any]:
        return ~frame if self.bright_vessels else frame


AS_IN_THE_FILE = GreyLevels()
"""Nobody says otherwise."""
