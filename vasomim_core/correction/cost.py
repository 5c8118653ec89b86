"""What a path along the vessels of one frame costs: all that frame and probability alone decide, whatever the path."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy import lines, sato
from vasomim_core.anatomy.vesselness import Ridges, as_frames
from vasomim_core.correction.points import Point, pixel_at
from vasomim_core.errors import InputError

# Tuned on ARCADE training frames and synthetic ones; lengths in px of a frame of 512², which grow with the frame.
REFERENCE = 512
SIGMAS = (2.0, 3.0, 4.0, 6.0)  # finer ones answer to the noise,
THIN = 1.5, 6.0  # which a filter along the line takes for less: its standard deviations across and along,
THIN_GAIN = 2  # and its weight: with 3, paths follow the walls of wide vessels
LOCAL = 80  # side of the square whose mean vesselness, with the frame's, makes faint and strong vessels alike
SHRUNK_FROM = 2.0  # times the reference's side
TRACE = 0.1, 2  # ε and p of a path whose ends are on one vessel: a long way round is not what was meant
JOIN = 0.03, 3  # the same of one that has to find its vessel: rather far along it than a little way across


class VesselCost:
    """The cost of each pixel of one frame to a path along its vessels.

    It is (ε + v)⁻ᵖ, the w + P of Cohen & Kimmel ("Global Minimum for Active Contour Models: A Minimal Path Approach",
    IJCV 24(1), 1997: a minimal path has the least ∫ (w + P) ds); v in [0, 1] is the larger one of vesselness (`sato`)
    and line filter (`lines`), relative to its usual level nearby, raised half of the way where the probability is
    larger. Everything is computed at first need and kept: one object serves all paths on its frame.

    Args:
        frame: uint8 (H, W), or any other real dtype.
        probability: vessel probability, float (H, W) in [0, 1]; None = vesselness alone.
        ridges: "dark" (contrast agent absorbs) or "bright".

    Attributes:
        frame: float32 (H, W), vessels dark.
        probability: float32 (H, W) in [0, 1], or None.
        scale: by which vessels are larger than in a frame of 512², ≥ 1.

    Raises:
        InputError: the frame has no pixel or is not two-dimensional, or the probability is of another shape.
    """

    def __init__(
        self, frame: NDArray[np.uint8], probability: NDArray[np.float32] | None = None, ridges: Ridges = "dark"
    ) -> None:
        if np.ndim(frame) != 2:
            raise InputError(f"a trace needs one frame (height, width), not an array of shape {np.shape(frame)}")
        if probability is not None and np.shape(probability) != np.shape(frame):
            raise InputError(
                f"the probability {np.shape(probability)} and the frame {np.shape(frame)} differ in size: "
                "segment this very frame"
            )
        self.frame = as_frames(frame)[0] * (1 if ridges == "dark" else -1)
        self.probability = None
        if probability is not None:
            self.probability = np.nan_to_num(probability, posinf=1, neginf=0).clip(0, 1).astype(np.float32)
        self.scale = max(1.0, float(np.sqrt(frame.size)) / REFERENCE)

    @cached_property
    def trace(self) -> NDArray[np.float32]:
        """Cost per px, float32 (H, W) > 0, of a path whose two ends lie on one vessel."""
        return _cost_of(self._evidence, *TRACE)

    @cached_property
    def join(self) -> NDArray[np.float32]:
        """Cost per px, float32 (H, W) > 0, of a path that has yet to find its vessel."""
        return _cost_of(self._evidence, *JOIN)

    def prepare(self) -> None:
        """Compute the cost of a trace, when nobody waits for it."""
        _ = self.trace

    def snap(self, point: Point, radius: int) -> tuple[int, int]:
        """The pixel of the best ridge within a distance of a point; its own pixel where none is better.

        Args:
            point: (row, column).
            radius: distance in px along each axis; 0 = the pixel of the point.
        """
        row, column = pixel_at(point, self.frame.shape)
        top, left = max(0, row - radius), max(0, column - radius)
        near = self._evidence[top : row + radius + 1, left : column + radius + 1]
        if radius <= 0 or near.max() <= self._evidence[row, column]:
            return row, column
        best = np.unravel_index(near.argmax(), near.shape)
        return top + int(best[0]), left + int(best[1])

    @cached_property
    def _evidence(self) -> NDArray[np.float32]:
        """The v of the cost."""
        # The scales grow with the frame: a large one shows the same vessels, and many times sooner, at a smaller size.
        shrink = self.scale if self.scale >= SHRUNK_FROM else 1.0
        frame, scale = self.frame, self.scale / shrink
        if shrink > 1:
            frame = cv2.resize(frame, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        wide = sato(frame, [scale * sigma for sigma in SIGMAS])
        thin = lines(frame, *(scale * sigma for sigma in THIN))
        response = np.maximum(wide, THIN_GAIN * thin)
        side = round(LOCAL * scale)
        usual = 3 * (cv2.blur(response, (side, side), borderType=cv2.BORDER_REFLECT) + response.mean())
        v = np.divide(response, usual, out=np.zeros_like(response), where=usual > 0).clip(0, 1)
        if shrink > 1:
            v = cv2.resize(v, self.frame.shape[::-1], interpolation=cv2.INTER_LINEAR)
        if self.probability is not None:
            # A model that does not know this kind of frame takes nothing away.
            v = (v + np.maximum(v, self.probability)) / 2
        return v.astype(np.float32)


def _cost_of(evidence: NDArray[np.float32], floor: float, power: int) -> NDArray[np.float32]:
    return ((floor + evidence) ** -power).astype(np.float32)
