"""Corrected frames carried through their run: proposals on a layer of their own, which no one has drawn.

What a person drew is an anchor, and never changed. A proposal is shown where nothing is drawn, in outlines; it becomes
the draft of a frame when a person takes it. A draft that was neither corrected nor accepted is no anchor: what was
proposed once is not to prove itself.
"""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_vasomim.attached import PerViewer
from napari_vasomim.background import engine
from napari_vasomim.background.long_work import LongWork
from napari_vasomim.background.sequencer import Sequencer
from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.correcting.corrections import correction_of
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.proposals import Anchors, Proposals, Said
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.prediction import LEVELS
from napari_vasomim.session import Session
from vasomim_core.classes import ClassMask, vessel_of
from vasomim_core.errors import InputError
from vasomim_core.following import Followed, follow, unsure
from vasomim_core.inference.requests import Segment, Segmentation
from vasomim_core.models import catalogue

ROLE = "proposal"
OUTLINE = 2
"""Width in px of the outlines by which proposals are told from what is drawn."""


@dataclass(eq=False)
class _Job:
    layer: Image
    anchors: Anchors
    said: Said
    asked: int
    """Frames about which the model is asked first."""
    wanted: bool = True


class Following(PerViewer):
    """Follows the runs of one viewer, one at a time; get it with `Following.of`."""

    changed = Signal()
    """Other proposals or anchors, or work has begun or ended."""
    stepped = Signal(int, int)
    """How much of the work is done, and of how much."""

    def __init__(self, viewer: ViewerModel):
        self.session = Session.of(viewer)
        self._owner = QObject()
        self._found: weakref.WeakKeyDictionary[Image, Proposals] = weakref.WeakKeyDictionary()
        self._said: weakref.WeakKeyDictionary[Image, Said] = weakref.WeakKeyDictionary()
        self._drawn: weakref.WeakKeyDictionary[Image, set[int]] = weakref.WeakKeyDictionary()
        self._corrected: weakref.WeakKeyDictionary[Image, dict[int, ClassMask]] = weakref.WeakKeyDictionary()
        self._job: _Job | None = None
        self._asking: Sequencer[int, Segmentation] | None = None
        self._work = LongWork(self._owner, lambda: None)
        self._work.ended.connect(report_errors(self._over))
        self._work.stepped.connect(report_errors(self._carried_step))
        session = self.session
        session.drawn.connect(report_errors(self._drawn_on))
        session.angiogram_changed.connect(report_errors(lambda _: self._look()))
        session.pixels_changed.connect(report_errors(self._forget))
        viewer.layers.events.removed.connect(report_errors(self._removed))
        self._look()

    # What there is

    def proposals(self, angiogram: Image | None) -> Proposals | None:
        """What was found in an angiogram; None where it was not followed, or its pixels have changed since."""
        return None if angiogram is None else self._found.get(angiogram)

    def anchors(self, angiogram: Image) -> Anchors | None:
        """What a person drew on an angiogram; None while there is nothing."""
        correction = correction_of(self.session.viewer, angiogram)
        if correction is None or correction.ndim == 2:
            return None
        editor = editor_of(self.session, correction)
        masks = self._corrected.get(angiogram)
        return Anchors(masks, editor.classes.palette.classes) if masks else None

    def drawn(self, angiogram: Image) -> set[int]:
        """The frames of an angiogram on which anything is drawn, drafts among them."""
        return self._drawn.get(angiogram, set())

    def shown(self, angiogram: Image, index: int) -> Followed | None:
        """The proposal that is seen on a frame: one with vessels, where nothing is drawn, and was when it was made."""
        found = self.proposals(angiogram)
        one = found.frames.get(index) if found is not None else None
        if one is None or one.anchor or index in self.drawn(angiogram):
            return None
        return one if one.mask.any() else None

    def unsure(self, angiogram: Image) -> list[int]:
        """The frames to look at first, on which nothing is drawn yet; the least trusted first."""
        found = self.proposals(angiogram)
        listed = [] if found is None else unsure(found.frames.values())
        return [one.index for one in listed if one.index not in self.drawn(angiogram)]

    # The work

    @property
    def busy(self) -> bool:
        """Whether a run is being followed."""
        return self._asking is not None or self._work.busy

    @property
    def at_work_on(self) -> Image | None:
        """The angiogram that is being followed."""
        return self._job.layer if self.busy and self._job is not None else None

    def start(self) -> None:
        """Follow the corrected frames of the shown run; a call while a run is followed does nothing.

        Raises:
            InputError: nothing is corrected, or what is drawn on a frame is no vessel; the shown angiogram is a still,
                or not what is seen.
        """
        layer, _ = self.session.need_shown()
        if self.busy:
            return
        count = frames.frame_count(layer)
        if count < 2:
            raise InputError("A still has no frames to follow through: open a run.")
        self._look(layer)
        anchors = self.anchors(layer)
        if anchors is None:
            raise InputError(
                "No frame of this run is corrected yet: correct one, and what is drawn there is carried to the others."
            )
        for index, mask in anchors.masks.items():
            if not vessel_of(mask, anchors.classes).any():
                raise InputError(
                    f"Nothing that is drawn on frame {index + 1} counts as vessel, so there is nothing to follow: "
                    "draw its vessels, or clear the frame."
                )
        said = self._said_of(layer)
        missing = [index for index in range(count) if index not in said.levels]
        self._job = job = _Job(layer, anchors, said, len(missing))

        def ask(index: int) -> Future[Segmentation]:
            return engine.shared().call(Segment(frames.grey(layer, index), said.asked, False))

        def keep(index: int, answer: Segmentation) -> None:
            if answer.version != said.version:
                raise InputError(f"The model {answer.model} has changed meanwhile: follow the run again.")
            said.model = answer.model
            said.levels[index] = np.rint(answer.probability * LEVELS).astype(np.uint8)

        def step(done: int, total: int) -> None:
            self.stepped.emit(done, total + count)

        def failed(error: Exception) -> None:
            self.cancel()
            report_error(error)

        self._asking = Sequencer(self._owner, missing, ask, keep, lambda: self._carry(job), failed, step)
        self._asking.start()
        self.changed.emit()

    def cancel(self) -> None:
        """Stop; earlier proposals stay, and what the model has said by now need not be asked again."""
        if self._job is not None:
            self._job.wanted = False
        if self._asking is not None:
            self._asking.cancel()
            self._asking = self._job = None
        self._work.cancel()
        self.changed.emit()

    def _said_of(self, layer: Image) -> Said:
        """What the active model is known to say: asked for earlier, here or by the panel Segment."""
        asked = self.session.model
        version = catalogue.version_of(asked)
        known, prediction = self._said.get(layer), self.session.predictions.get(layer)
        if known is None or (known.asked, known.version) != (asked, version):
            known = self._said[layer] = Said(asked, version)
        if prediction is not None and (prediction.asked, prediction.version) == (asked, version):
            known.model = prediction.model
            for index, planes in prediction.each_by_itself().items():
                known.levels.setdefault(index, planes[0])
        return known

    def _carry(self, job: _Job) -> None:
        self._asking = None
        seen, count = frames.seen(job.layer), len(job.said)
        others = [one.value for one in job.anchors.classes if not one.vessel]

        def work(progress: Any) -> list[Followed]:
            found: list[Followed] = []
            progress(0, count)
            for one in follow(seen, job.anchors.masks, job.said, others):
                found.append(one)
                progress(len(found), count)
            return found

        self._work.start(work, lambda found: self._arrived(job, found))
        self.changed.emit()

    def _carried_step(self, done: int, total: int) -> None:
        if total and self._job is not None:
            self.stepped.emit(self._job.asked + done, self._job.asked + total)

    def _over(self) -> None:
        self._job = None
        self.changed.emit()

    def _arrived(self, job: _Job, found: list[Followed]) -> None:
        viewer, layer = self.session.viewer, job.layer
        if not job.wanted or layer not in viewer.layers:
            return
        self._found[layer] = Proposals(job.anchors, job.said.model, {one.index: one for one in found})
        self._look(layer)
        self._paint(layer)
        if (predicted := layers.find(viewer, "prediction", layer)) is not None:
            self.session.canvas.hide(predicted)  # two masks on top of each other cannot be told apart
        self.changed.emit()

    # What is shown

    def _paint(self, layer: Image) -> None:
        """Show what was found, but where something is drawn."""
        viewer, found = self.session.viewer, self._found[layer]
        colours = results.colormap(ROLE, found.anchors.classes)
        nothing = np.zeros(frames.frame_size(layer), np.uint8)
        shown: Any = results.put_frame(viewer, layer, ROLE, 0, nothing, ROLE, colormap=colours, opacity=0.9)
        for index in found.frames:
            shown.data[index] = self._plane(layer, index)
        shown.colormap, shown.contour = colours, OUTLINE
        shown.refresh()

    def _plane(self, layer: Image, index: int) -> ClassMask:
        one = self.shown(layer, index)
        return np.zeros(frames.frame_size(layer), np.uint8) if one is None else one.mask

    def _drawn_on(self, correction: Labels | None) -> None:
        made = None if correction is None else layers.result(correction)
        self._look(None if made is None else made.source)

    def _look(self, layer: Image | None = None) -> None:
        """See what is drawn now; a proposal goes where something was drawn, and comes back where that was undone."""
        layer = layer or self.session.angiogram
        if layer is not None and layer.ndim == 3:
            correction = correction_of(self.session.viewer, layer)
            editor = None if correction is None else editor_of(self.session, correction)
            now = set() if editor is None else editor.drawn()
            before, self._drawn[layer] = self._drawn.get(layer, set()), now
            corrected = [] if editor is None else [index for index in sorted(now) if not editor.is_draft(index)]
            self._corrected[layer] = {index: np.array(editor.layer.data[index]) for index in corrected if editor}
            shown = layers.find(self.session.viewer, ROLE, layer)
            if shown is not None and layer in self._found and now != before:
                for index in now ^ before:
                    shown.data[index] = self._plane(layer, index)
                shown.refresh()
        self.changed.emit()

    # What happens meanwhile

    def _forget(self, layer: Image) -> None:
        """The pixels of an angiogram have changed, or it has gone."""
        if self._job is not None and self._job.layer is layer and self.busy:
            self.cancel()
        self._found.pop(layer, None)
        self._said.pop(layer, None)
        self.changed.emit()

    def _removed(self, event: Any) -> None:
        made = layers.result(event.value)
        if made is not None and made.role == ROLE:  # the person does not want these
            self._found.pop(made.source, None)
            self.changed.emit()
        elif made is None:
            self._forget(event.value)
