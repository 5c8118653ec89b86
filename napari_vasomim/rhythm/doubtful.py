"""One doubtful branch of the shown frame after the other, worst first: a key shows it, another keeps or removes it."""

from __future__ import annotations

import cv2
import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_vasomim.attached import PerViewer
from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import layers
from napari_vasomim.correcting.desk import CorrectingDesk
from napari_vasomim.correcting.editing import Editor
from napari_vasomim.correcting.tools.preview import Preview
from napari_vasomim.keys import key_of
from napari_vasomim.napari_compat import camera
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from napari_vasomim.shortcuts import Shortcuts
from vasomim_core.correction.doubtful import DoubtfulBranch, doubtful_branches
from vasomim_core.correction.mask_tools import Mask
from vasomim_core.errors import InputError

OUTLINE = "#ff5fd2"
"""A colour that no class and no tool has."""
Centre = tuple[float, ...]
NEAR = 6.0
"""px within which a branch that is found again is the one that was looked at."""


class Doubtful(PerViewer):
    """The doubtful branches of the frame that a viewer shows; get it with `Doubtful.of`. It answers their keys.

    Attributes:
        shown: the branch that is outlined; None where none is.
        message: what there is to say, in one sentence.
    """

    changed = Signal()
    """Another branch, or message."""

    def __init__(self, viewer: ViewerModel):
        self._session, self._desk = Session.of(viewer), CorrectingDesk.of(viewer)
        self.shown: DoubtfulBranch | None = None
        self.message = ""
        self._at: tuple[Image, int] | None = None
        self._left: list[DoubtfulBranch] = []
        self._looked_at: list[tuple[int, int]] = []
        self._view: tuple[Centre, Centre] | None = None
        self._outline: Preview | None = None
        self._owner = QObject()
        self._finding = LatestRequest(self._owner, self._found)
        self._session.frame_changed.connect(report_errors(self._moved))
        self._session.drawn.connect(report_errors(self._drawn))
        keys = Shortcuts.of(viewer)
        keys.answer("doubtful", self.next)
        keys.answer("is vessel", self.keep)
        keys.answer("is none", self.remove)

    def next(self) -> None:
        """Show the worst branch that was not looked at yet, and leave the one that is shown as it is.

        Raises:
            InputError: no angiogram is open, it was not segmented, or nothing is drawn on the shown frame.
        """
        layer, index = self._session.need_shown()
        prediction, editor = self._session.predictions.get(layer), self._desk.editor
        if prediction is None or index not in prediction:
            raise InputError(f"Where a model is in doubt is known once this frame is segmented ({key_of('segment')}).")
        if editor is None or not editor.frame.mask.any():
            raise InputError(f"Nothing is drawn on this frame yet; start from the prediction ({key_of('start')}).")
        if self._at != (layer, index):
            self._at, self._looked_at = (layer, index), []
        self._hide()
        probability, mask = prediction.probability(index), editor.frame.mask.copy()
        threshold = prediction.threshold
        self._finding.ask(lambda: (layer, index, doubtful_branches(probability, mask, threshold)))

    def keep(self) -> None:
        """The shown branch is a vessel: it stays, or is drawn in the chosen class; then the next one is shown.

        Raises:
            InputError: none is shown.
        """
        branch, editor = self._need()
        if not branch.drawn:
            editor.frame.paint(branch.pixels)
        self.next()

    def remove(self) -> None:
        """The shown branch is none: it is erased, or left out; then the next one is shown.

        Raises:
            InputError: none is shown.
        """
        branch, editor = self._need()
        if branch.drawn:
            editor.frame.erase(branch.pixels)
        self.next()

    def _need(self) -> tuple[DoubtfulBranch, Editor]:
        editor = self._desk.editor
        here = self._session.angiogram, self._session.index
        if self.shown is None or editor is None or self._at != here:
            raise InputError(f"No doubtful branch is shown; {key_of('doubtful')} shows the next one.")
        editor.frame.need_shown()
        return self.shown, editor

    # Finding and showing

    def _found(self, result: tuple[Image, int, list[DoubtfulBranch]]) -> None:
        layer, index, branches = result
        if (self._session.angiogram, self._session.index) != (layer, index) or self._at != (layer, index):
            return
        self._left = [one for one in branches if not self._was_looked_at(one)]
        if not self._left:
            seen = len(self._looked_at)
            self._say(
                f"No doubtful branch is left on this frame; {seen} looked at." if seen else "No branch is doubtful."
            )
            return
        branch = self._left[0]
        self._looked_at.append(branch.centre)
        self.shown = branch
        self._draw(layer, branch)
        what = "drawn, may be none" if branch.drawn else "not drawn, may be a vessel"
        number = len(self._looked_at)
        self._say(
            f"Branch {number} of {number + len(self._left) - 1}: {what} (probability {branch.probability:.2f}). "
            f"{key_of('is vessel')} vessel, {key_of('is none')} none, {key_of('doubtful')} leaves it."
        )

    def _was_looked_at(self, branch: DoubtfulBranch) -> bool:
        rows, columns = np.nonzero(branch.pixels)
        return any(
            np.hypot(rows - row, columns - column).min(initial=np.inf) <= NEAR for row, column in self._looked_at
        )

    def _draw(self, layer: Image, branch: DoubtfulBranch) -> None:
        viewer, correction = self._session.viewer, self._desk.need_correction()
        if self._outline is None or layers.find(viewer, "doubtful", layer) is None:
            if self._outline is not None:
                self._outline.close()
            self._outline = Preview(viewer, layer, correction, "doubtful", "doubtful branch")
        self._desk.show(correction)
        self._outline.appear(OUTLINE)
        self._outline.draw(_around(branch.pixels))
        world = np.asarray(layer.data_to_world((self._session.index, *branch.centre)[-layer.ndim :]))
        looking = camera(viewer)
        there = (*looking.center[:-2], float(world[-2]), float(world[-1]))
        self._view = (looking.center if self._view is None else self._view[0]), there
        looking.center = there

    def _look_back(self) -> None:
        """The next frame is seen where this one was before its branches, unless the person has moved the view."""
        view, self._view = self._view, None
        looking = camera(self._session.viewer)
        if view is not None and np.allclose(looking.center, view[1]):
            looking.center = view[0]

    def _hide(self) -> None:
        self.shown = None
        if self._outline is not None:
            self._outline.hide()

    def _moved(self, *_: object) -> None:
        if self._at == (self._session.angiogram, self._session.index):
            return
        self._look_back()
        if self.shown is not None:
            self._hide()
            self._say("")

    def _drawn(self, layer: object) -> None:
        """What is drawn by hand may have changed the branch that is shown; that is found anew."""
        editor = self._desk.editor
        if self.shown is None or editor is None or layer is not editor.layer:
            return
        inside = editor.frame.mask[self.shown.pixels]
        if inside.any() != self.shown.drawn:
            self._hide()
            self._say("")

    def _say(self, message: str) -> None:
        self.message = message
        if message:
            self._session.viewer.status = message
        self.changed.emit()


def _around(pixels: Mask) -> Mask:
    """An outline, two px wide, around a branch."""
    wide = cv2.dilate(pixels.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))) > 0
    near = cv2.dilate(pixels.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))) > 0
    return wide & ~near
