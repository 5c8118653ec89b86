"""Recolour: what is drawn already becomes of the chosen class, a piece or a branch at a time."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from napari_vasomim.correcting.tools.shown_frame import Point
from napari_vasomim.correcting.tools.spec import RECOLOUR_BRANCH, RECOLOUR_PIECE
from napari_vasomim.correcting.tools.tool import Tool
from vasomim_core.correction.mask_tools import Mask


class RecolourPiece(Tool):
    """A click gives what hangs together under it, and is of one class, the chosen class."""

    spec = RECOLOUR_PIECE
    branch: ClassVar[bool] = False

    def hover(self, point: Point, shift: bool = False) -> Mask:
        """What a click would change; nothing where it is of the chosen class already."""
        frame = self.frame
        part = (frame.palette.branch_at if self.branch else frame.palette.piece_at)(frame.plane, point)
        return np.asarray(part & ~frame.palette.mine(frame.plane))

    def click(self, point: Point, shift: bool = False) -> int:
        """Give it the chosen class."""
        return self.frame.recolour(self.hover(point))

    def words(self, point: Point) -> str:
        """Which class becomes which."""
        value, palette = self.frame.value_at(point), self.frame.palette
        return f"{palette.name(value)} becomes {palette.chosen.name}." if value else f"To {palette.chosen.name}."


class RecolourBranch(RecolourPiece):
    """The same for one branch of the tree, as far as it is of one class."""

    spec = RECOLOUR_BRANCH
    branch = True
