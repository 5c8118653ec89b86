"""Through the run: the frame to begin with, following what was corrected, and the proposals that come of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import frames
from napari_vasomim.correcting.following import Following
from napari_vasomim.correcting.proposals import Anchors, Proposals
from napari_vasomim.notify import counted, report_error
from napari_vasomim.session import Session
from napari_vasomim.widgets.frame_strip import FrameStrip
from napari_vasomim.widgets.kit import SPACE, Progress, button, follow, header, hint, row
from vasomim_core.following import ChosenFrame, choose_frame
from vasomim_core.models.catalogue import model_name

MOST_LISTED = 6
"""Anchors that are named one by one."""
WORDS = {
    "anchor": "drawn by you, an anchor",
    "draft": "a proposal that was taken, no anchor until it is corrected or accepted",
}


class FollowRun(QWidget):
    """The group of the panel Correct for runs; a still has none of it.

    Args:
        session: what the panels share.
        take: makes the proposal of the shown frame its draft.
    """

    def __init__(self, session: Session, take: Callable[[], Any]):
        super().__init__()
        self._session, self.following = session, Following.of(session.viewer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE)
        column.addWidget(header("Through the run"))
        self.choose = button(
            "Choose a frame",
            self._choose,
            "Goes to the frame to correct first: of those full of vessels, the one that moves least",
        )
        self.start = button(
            "Follow",
            self._start,
            "Carries what is corrected to the other frames of the run, as proposals. What is drawn is never changed.\n"
            "The model of the panel Segment helps to find the vessels: take one that knows what you drew.",
        )
        column.addLayout(row(self.choose, self.start))
        self.why = hint()
        column.addWidget(self.why)
        self.progress = Progress(self.following.cancel)
        column.addWidget(self.progress)
        self.strip = FrameStrip(self._go)
        column.addWidget(self.strip)
        self.next = button(
            "Next unsure", self._go_to_next, "Goes to the frames that are to be trusted least, the worst one first"
        )
        self.take = button(
            "Take proposal", take, "Copies the proposal of this frame into the correction, to be corrected and accepted"
        )
        column.addLayout(row(self.next, self.take))
        self.about = hint()
        self.about.setAlignment(Qt.AlignmentFlag.AlignTop)
        column.addWidget(self.about)
        self._chosen_of: weakref.ref[Image] | None = None
        self._choosing = LatestRequest(self, self._chosen, self._not_chosen)
        follow(self, self.following.changed, self._show)
        follow(self, self.following.stepped, self._stepped)
        for signal in (session.frame_changed, session.model_changed):
            follow(self, signal, self._show)
        self._show()

    # What the person does

    def _go(self, index: int) -> None:
        layer = self._session.need_angiogram()
        self._session.canvas.choose(layer)
        self._session.canvas.go_to(layer, index)

    def _go_to_next(self) -> None:
        listed, here = self.following.unsure(self._session.need_angiogram()), self._session.index
        if listed:
            self._go(listed[(listed.index(here) + 1) % len(listed)] if here in listed else listed[0])

    def _start(self) -> None:
        self.why.clear()
        self.following.start()

    def _choose(self) -> None:
        layer, index = self._session.need_shown()
        seen, asked = frames.seen(layer), weakref.ref(layer)
        self._say("Looking for a frame that is full of vessels and hardly moves…")
        self._choosing.ask(lambda: (asked, index, choose_frame(seen)))

    def _chosen(self, answer: tuple[weakref.ref[Image], int, ChosenFrame]) -> None:
        asked, before, found = answer
        layer, canvas = asked(), self._session.canvas
        if layer is None or layer is not self._session.angiogram:
            self._say("")
            return
        if canvas.position(layer) == before:  # else the person has moved on
            canvas.go_to(layer, found.index)
        self._say(
            f"Frame {found.index + 1} has {100 * found.fullness:.0f} % of the vessels of the fullest frame, and moves "
            f"by {found.motion:.1f} px; full frames of this run move by {found.usual:.1f} px."
        )

    def _not_chosen(self, error: Exception) -> None:
        self._say("")
        report_error(error)

    # What is shown

    def _say(self, words: str) -> None:
        layer = self._session.angiogram
        self._chosen_of = None if layer is None else weakref.ref(layer)
        self.why.setText(words)
        self._show()

    def _stepped(self, done: int, total: int) -> None:
        layer = self.following.at_work_on
        elsewhere = layer is not None and layer is not self._session.angiogram
        self.progress.show_step(done, total, f"%v of %m, {layer.name}" if elsewhere and layer else "%v of %m steps")

    def _show(self, *_: Any) -> None:
        layer, busy = self._session.angiogram, self.following.busy
        run = layer is not None and frames.frame_count(layer) > 1
        self.setVisible(run or busy)
        self.progress.setVisible(busy)
        self.start.setEnabled(run and not busy)
        self.choose.setEnabled(run)
        self.strip.setVisible(run)
        self.about.setVisible(run)
        if self._chosen_of is not None and self._chosen_of() is not layer:
            self.why.clear()
        self.why.setVisible(bool(self.why.text()))
        if layer is None or not run:
            return
        found, here = self.following.proposals(layer), self._session.index
        self.next.setVisible(found is not None)
        self.take.setVisible(found is not None)
        self.next.setEnabled(bool(self.following.unsure(layer)))
        self.take.setEnabled(self.following.shown(layer, here) is not None)
        anchors = self.following.anchors(layer)
        drawn = dict.fromkeys(self.following.drawn(layer), "draft")
        drawn |= dict.fromkeys(anchors.masks if anchors is not None else (), "anchor")
        cells = [drawn.get(index) or _status(found, index) for index in range(frames.frame_count(layer))]

        def words(cell: int) -> str:
            return WORDS[drawn[cell]] if cell in drawn else _about(found, cell)

        self.strip.set_cells(cells, here, lambda cell: f"frame {cell + 1}: {words(cell)}")
        # What stands below must not move from frame to frame.
        self.about.setMinimumHeight((2 if found is None else 4) * self.about.fontMetrics().lineSpacing())
        self.about.setText(self._in_words(layer, anchors, found, words(here)))

    def _in_words(self, layer: Image, anchors: Anchors | None, found: Proposals | None, here: str) -> str:
        if found is None:
            if anchors is None:
                return "Correct a frame, and Follow carries it to the others. Nothing that is drawn is changed."
            by = model_name(self._session.model)
            return f"Follow starts from {_listed(anchors.masks)}; vessels are found by {by}."
        unsure = len(self.following.unsure(layer))
        words = f"Proposals from {_listed(found.anchors.masks)}, vessels found by {found.model}; "
        words += f"{counted(unsure, 'frame')} unsure. " if unsure else "none is unsure. "
        words += f"This one: {here}."
        if anchors is None or not anchors.same(found.anchors):
            words += " Something else is drawn by now: Follow again takes it into account."
        return words


def _status(found: Proposals | None, index: int) -> str | None:
    """Of a frame on which nothing is drawn."""
    if found is None:
        return None
    return "unsure" if found.frames[index].reason else "followed"


def _about(found: Proposals | None, index: int) -> str:
    """A frame on which nothing is drawn, in words."""
    if found is None:
        return "nothing drawn"
    one = found.frames[index]
    if one.anchor:
        return "an anchor that was cleared since"
    what = "proposal" if one.mask.any() else "no vessel found"
    return f"{what}, trust {one.trust:.2f}" + (f", {one.reason}" if one.reason else "")


def _listed(indices: Iterable[int]) -> str:
    """Frames as people count them."""
    numbers = [str(index + 1) for index in sorted(indices)]
    if len(numbers) > MOST_LISTED:
        return f"{len(numbers)} frames ({', '.join(numbers[: MOST_LISTED - 1])} … {numbers[-1]})"
    return f"frame{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
