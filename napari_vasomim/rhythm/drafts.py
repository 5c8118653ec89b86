"""The next frame comes ready: with its prediction as the draft, the same tool in hand, the correction selected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QSettings

from napari_vasomim.attached import PerViewer
from napari_vasomim.correcting.desk import NAPARIS, CorrectingDesk
from napari_vasomim.correcting.editing import Editor, editors
from napari_vasomim.correcting.following import Following
from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.labelling.queue import Place
from napari_vasomim.notify import report_errors
from napari_vasomim.rhythm.ahead import Ahead
from napari_vasomim.session import Session
from vasomim_core.classes import recoded

SETTING = "drafts"


@dataclass(frozen=True)
class _Hand:
    """What a person held when a frame was left.

    Attributes:
        tool: its name; "" for none.
        brush: size of the brush.
        opacity: of the correction.
    """

    tool: str
    brush: float
    opacity: float

    @classmethod
    def of(cls, editor: Editor) -> _Hand:
        """What is held at the correction of an editor."""
        layer, mode = editor.layer, str(editor.layer.mode)
        return cls(editor.tools.tool or (mode if mode in NAPARIS else ""), layer.brush_size, layer.opacity)


class Drafts(PerViewer):
    """Puts drafts on the frames that a person goes on to, and takes them away where nobody touched them.

    It answers the arrivals of the queue, not the slider: who looks through a run sees it as it is.
    """

    changed = Signal()
    """It was switched on or off."""

    def __init__(self, viewer: ViewerModel):
        self._session, self._correcting = Session.of(viewer), CorrectingDesk.of(viewer)
        desk = LabellingDesk.of(viewer)
        self._shown, self._ahead = desk.shown, Ahead.of(viewer)
        self._settings = QSettings("vasomim", "napari-vasomim")
        self._ahead.on = self.on
        self._awaited: tuple[Image, int] | None = None
        self._hand: _Hand | None = None
        desk.navigator.leaving.connect(report_errors(self._leave))
        desk.navigator.arrived.connect(report_errors(self._arrive))
        self._session.frame_changed.connect(report_errors(self._moved))
        for signal in (self._session.pixels_changed, self._session.classes_changed):
            signal.connect(report_errors(lambda *_: self._withdraw()))
        self._session.predicted.connect(report_errors(lambda _: self._put()))
        self._shown.looked.connect(report_errors(self._put))

    @property
    def on(self) -> bool:
        """Whether the next frame comes with its prediction."""
        return str(self._settings.value(SETTING, "true")).lower() == "true"

    @on.setter
    def on(self, on: bool) -> None:
        self._settings.setValue(SETTING, "true" if on else "false")
        self._ahead.on = on
        self._ahead.go_on()
        self.changed.emit()

    @property
    def wanted(self) -> bool:
        """Whether it comes now: in a second reading, only where its readers have agreed on that."""
        blind = self._shown.watched.blind
        return self.on if blind is None else blind.drafts

    def _leave(self) -> None:
        editor = self._correcting.editor
        self._hand = None
        if editor is not None:
            selected = self._session.viewer.layers.selection.active is editor.layer
            self._hand = _Hand.of(editor) if selected or editor.tools.tool else None

    def _arrive(self, place: Place) -> None:
        self._moved()
        layer = self._session.angiogram
        if not self.wanted or layer is None or self._session.canvas.hindrance():
            return
        self._awaited = layer, place.frame
        if self._hand is not None:
            self._take_up(self._hand)
        self._ahead.need(place)
        self._put()

    def _take_up(self, hand: _Hand) -> None:
        layer = self._correcting.need_correction()
        layer.brush_size = hand.brush
        layer.opacity = hand.opacity or layer.opacity  # 0 while the key that hides it is held
        self._correcting.show(layer)
        editor = self._correcting.editor
        if hand.tool and editor is not None and hand != _Hand.of(editor):
            self._correcting.take(hand.tool)

    def _put(self) -> None:
        """Put the draft, once all is known that it takes: what the label set has of the frame, and the prediction."""
        if self._awaited is None or not self._shown.is_current():
            return
        layer, index = self._awaited
        if self._session.angiogram is not layer or self._session.index != index:
            return
        proposed = Following.of(self._session.viewer).shown(layer, index) is not None  # it comes from a person's work
        if self._shown.known.record is not None or not self.wanted or proposed:
            self._awaited = None
            return
        prediction = self._session.predictions.get(layer)
        if prediction is None or index not in prediction or self._session.canvas.hindrance():
            return
        self._awaited = None
        correction = self._correcting.need_correction()
        editor = self._correcting.editor
        values = recoded(prediction.class_mask(index), prediction.classes, self._correcting.palette.classes)
        if editor is not None and values.any() and editor.put_draft(index, values, prediction.said_by):
            self._correcting.show(correction)

    def _withdraw(self) -> None:
        """What the draft was made of is no longer so."""
        for editor in editors(self._session):
            editor.withdraw()

    def _moved(self, *_: Any) -> None:
        """A draft that nobody touched goes with its frame."""
        for editor in editors(self._session):
            if editor.source is not self._session.angiogram or editor.draft != self._session.index:
                editor.withdraw()
        if self._awaited is not None and self._awaited != (self._session.angiogram, self._session.index):
            self._awaited = None
