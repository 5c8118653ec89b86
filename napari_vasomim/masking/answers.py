"""What the inference child answers about the masking of a frame: asked for as the settings change, and kept."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from psygnal import Signal
from qtpy.QtCore import QObject
from superqt.utils import qdebounced

from napari_vasomim.background import engine
from napari_vasomim.background.futures import deliver
from napari_vasomim.masking.vessels import Vessels
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from vasomim_core.inference.requests import MaskingOverEpochs, MaskingRequest, MaskPreview, Reconstruct
from vasomim_core.masking.results import MaskingResult
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import model_name

REST_MS = 300
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Asked:
    """What an answer of the engine belongs to; the figure takes only answers that belong together.

    Attributes:
        vessels: of the frame.
        schedule: the settings.
        epoch: of the mask.
        model: that draws, or "".
        guide: a pretrained encoder whose method's masks are asked for in the place of the schedule's, or "".
        by: what of it chooses, see `catalogue.GUIDES`.
    """

    vessels: Vessels
    schedule: MaskingSchedule
    epoch: int
    model: str
    guide: str = ""
    by: str = ""

    def request(self, kind: type[MaskingRequest[Answer]]) -> MaskingRequest[Answer]:
        """This, as a request of one kind."""
        vessels, more = self.vessels, {} if kind is MaskingOverEpochs else {"epoch": self.epoch}
        model = self._model_for(kind)
        return kind(vessels.scaled, vessels.anatomy, self.schedule, model, guide=self.guide, **more)

    def bearing_on(self, kind: type[MaskingRequest[Any]]) -> tuple[Any, ...]:
        """That of it on which the answer to this kind of request depends."""
        about: tuple[Any, ...] = (self.vessels, self.schedule, self._model_for(kind), self.guide)
        return about if kind is MaskingOverEpochs else (*about, self.epoch)

    def _model_for(self, kind: type[MaskingRequest[Any]]) -> str:
        return self.model if kind is Reconstruct or self.schedule.co_guidance else ""


class MaskAnswers:
    """Asks the inference child for masks, and keeps its last answer to each kind of request.

    Args:
        session: what the panels share.
        parent: when it is deleted, nothing is told any more.
    """

    answered = Signal(object, object)
    """`Asked`, and the answer: a `Mask`, `OverEpochs` or `Reconstruction`."""
    starting = Signal()
    """The engine is not there yet; the answer will take some seconds."""
    failed = Signal(object)
    """The error; the next `ask` asks again, even for the same."""

    def __init__(self, session: Session, parent: QObject):
        self._session, self._parent = session, parent
        self._asked: Asked | None = None
        self._answers: dict[type[MaskingRequest[Any]], tuple[tuple[Any, ...], Any]] = {}
        self._calls: dict[type[MaskingRequest[Any]], Future[Any]] = {}
        self._ask_over_epochs_soon = qdebounced(report_errors(self._ask_over_epochs), timeout=REST_MS, parent=parent)

    def get(self, kind: type[MaskingRequest[Answer]], asked: Asked) -> Answer | None:
        """The answer that belongs to this; None while it is not there."""
        about, answer = self._answers.get(kind, ((), None))
        return answer if about == asked.bearing_on(kind) else None

    def result(self, asked: Asked) -> MaskingResult | None:
        """All answers that belong to this; None while one is not there."""
        mask, over_epochs = self.get(MaskPreview, asked), self.get(MaskingOverEpochs, asked)
        made = self.get(Reconstruct, asked) if asked.model else None
        if mask is None or over_epochs is None or (asked.model and made is None):
            return None
        model, guide = model_name(asked.model), model_name(asked.guide)
        return MaskingResult(asked.schedule, asked.vessels.mode, model, mask, over_epochs, made, guide, asked.by)

    def ask(self, asked: Asked) -> None:
        """Have a mask drawn, by a model too if one is chosen, after a rest the whole schedule; not twice the same."""
        if asked == self._asked:
            return
        self._asked = asked
        self._call(MaskPreview, asked)
        self._ask_over_epochs_soon(asked)
        if asked.model:
            self._call(Reconstruct, asked)

    def forget(self) -> None:
        """There is no angiogram any more: ask nothing further."""
        self._asked = None
        self._ask_over_epochs_soon.cancel()

    def _ask_over_epochs(self, asked: Asked) -> None:
        if self.get(MaskingOverEpochs, asked) is None:
            self._call(MaskingOverEpochs, asked)

    def _call(self, kind: type[MaskingRequest[Any]], asked: Asked) -> None:
        """Call the inference child; an older call of the same kind that still waits is dropped."""
        if (old := self._calls.get(kind)) is not None:
            old.cancel()
        if engine.shared().state == "off":
            self.starting.emit()

        def done(answer: Any) -> None:
            if asked.vessels.are_of(self._session):
                self._answers[kind] = asked.bearing_on(kind), answer
                self.answered.emit(asked, answer)

        self._calls[kind] = engine.shared().call(asked.request(kind))
        deliver(self._calls[kind], self._parent, report_errors(done), self._lost)

    def _lost(self, error: Exception) -> None:
        self._asked = None
        self.failed.emit(error)
