"""Where each pixel of a frame lies in another frame of its run: dense optical flow between what is vessel in both.

Flow on grey levels takes contrast agent that arrives for motion, and holds to the ribs. So it is taken between pictures
of the vessels alone: vesselness relative to its usual level nearby, and a model's probability where there is one. All
of it happens at a reduced size. Farneback's method and DIS gave the same to a point of DSC; chaining flow from frame to
frame is worse than asking for it between the two frames themselves, since errors add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy import sato
from vasomim_core.classes import ClassMask
from vasomim_core.errors import InputError

Map = NDArray[np.float32]

SIDE = 320
"""Longer side in px to which frames are reduced for the flow, at which what follows was chosen."""
SIGMAS = (1.5, 2.5, 4.0)  # of the vesselness, px of the reduced frame
LOCAL = 51  # px, side of the square whose mean vesselness makes faint and strong vessels alike
WINDOW = 25  # px, over which Farneback's flow is averaged; 15 to 31 are alike


@dataclass(frozen=True)
class Evidence:
    """What of a frame its flow and its contrast are read from, at the reduced size (h, w).

    Attributes:
        vessels: uint8, the picture that flow is taken of.
        vesselness: float32 in [0, 1].
        darkness: float32, grey levels by which a pixel is darker than what is around it.
    """

    vessels: NDArray[np.uint8]
    vesselness: Map
    darkness: Map


def evidence(frame: NDArray[np.uint8], probability: NDArray[np.floating] | None = None) -> Evidence:
    """The evidence of one frame.

    Args:
        frame: uint8 (H, W), vessels dark.
        probability: of vessel, (H, W) in [0, 1]; None = vesselness alone.

    Raises:
        InputError: the two differ in size.
    """
    if probability is not None and np.shape(probability) != np.shape(frame):
        raise InputError(
            f"a frame of {np.shape(frame)} has a probability of {np.shape(probability)} px: segment this very run"
        )
    grey = reduced(frame.astype(np.float32))
    response = sato(grey, SIGMAS)
    usual = 3 * (cv2.blur(response, (LOCAL, LOCAL)) + response.mean())
    vesselness = np.divide(response, usual, out=np.zeros_like(response), where=usual > 0).clip(0, 1)
    seen = vesselness if probability is None else (vesselness + reduced(probability.astype(np.float32))) / 2
    fine = cv2.GaussianBlur(grey, (0, 0), 0.8)
    darkness = cv2.GaussianBlur(fine, (0, 0), 8) - fine
    return Evidence(np.rint(255 * seen.clip(0, 1)).astype(np.uint8), vesselness, np.asarray(darkness, np.float32))


def reduced(plane: Map) -> Map:
    """A plane (H, W) at the size of the flow."""
    shrink = min(1.0, SIDE / max(plane.shape))
    return plane if shrink == 1 else cv2.resize(plane, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)


def motion(here: Evidence, there: Evidence) -> Map:
    """The flow from one frame to another: the pixel at x of `here` lies at x + flow(x) in `there`.

    It starts from the shift of the whole picture, where that fits better than none: a table that was moved takes
    vessels farther than their flow is looked for.

    Returns:
        float32 (h, w, 2), right and down in px of the reduced size.

    Source: Farneback, "Two-Frame Motion Estimation Based on Polynomial Expansion", SCIA 2003, by OpenCV.
    """
    flow = np.zeros((*here.vessels.shape, 2), np.float32)
    flow[:] = _shift(here.vessels.astype(np.float32), there.vessels.astype(np.float32))
    start = cv2.OPTFLOW_USE_INITIAL_FLOW
    found = cv2.calcOpticalFlowFarneback(here.vessels, there.vessels, flow, 0.5, 6, WINDOW, 5, 7, 1.5, start)
    return np.asarray(found, np.float32)


def _shift(here: Map, there: Map) -> tuple[float, float]:
    """The shift (right, down) in px from one picture to another by phase correlation; none where none fits better."""
    window = cv2.createHanningWindow(here.shape[::-1], cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(here, there, window)
    moved = cv2.warpAffine(there, np.array([[1, 0, -right], [0, 1, -down]], np.float32), here.shape[::-1])
    return (right, down) if (here * moved).sum() > (here * there).sum() else (0.0, 0.0)


@dataclass(frozen=True)
class Way:
    """A flow at the size of the frames: where each pixel is found in the other frame.

    Attributes:
        columns: float32 (H, W), in px.
        rows: float32 (H, W), in px.
    """

    columns: Map
    rows: Map

    @classmethod
    def along(cls, flow: Map, shape: tuple[int, ...]) -> Way:
        """The way along a flow in frames of a shape (H, W)."""
        (h, w), (rows, columns) = flow.shape[:2], shape
        if (h, w) != (rows, columns):
            flow = cv2.resize(flow, (columns, rows), interpolation=cv2.INTER_LINEAR)
        down, right = np.mgrid[:rows, :columns].astype(np.float32)
        return cls(right + flow[..., 0] * np.float32(columns / w), down + flow[..., 1] * np.float32(rows / h))

    def bring(self, plane: Map) -> Map:
        """A plane (H, W) of the other frame as it looks here, between pixels; 0 where it comes from outside of it."""
        return self._brought(plane, cv2.INTER_LINEAR)

    def bring_values(self, mask: ClassMask) -> ClassMask:
        """A class mask (H, W) of the other frame as it looks here, by the nearest pixel; 0 where it is from outside."""
        return self._brought(mask, cv2.INTER_NEAREST)

    def _brought(self, plane: NDArray[Any], how: int) -> NDArray[Any]:
        return cv2.remap(plane, self.columns, self.rows, how, borderMode=cv2.BORDER_CONSTANT)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which pixels come from within the other frame, bool (H, W)."""
        h, w = self.rows.shape
        return (self.rows >= 0) & (self.rows <= h - 1) & (self.columns >= 0) & (self.columns <= w - 1)


def disagreement(flow: Map, back: Map) -> Map:
    """How far one comes out from where one started when one goes along a flow and back, float32 (h, w) in px of it."""
    way = Way.along(flow, flow.shape[:2])
    returned = [way.bring(np.ascontiguousarray(back[..., axis])) for axis in (0, 1)]
    return np.hypot(flow[..., 0] + returned[0], flow[..., 1] + returned[1])
