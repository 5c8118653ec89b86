"""What guided masking of the shown frame needs: its vessels, found in a thread, and the inference child's answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_vasomim.background import engine
from napari_vasomim.background.futures import deliver
from napari_vasomim.background.threads import Newest
from napari_vasomim.canvas import frames, layers
from napari_vasomim.notify import told
from napari_vasomim.session import Session
from vasomim_core.config import Mode
from vasomim_core.data.unlabelled_frame import with_anatomy
from vasomim_core.masking.results import Mask, MaskingResult, OverEpochs, Reconstruction
from vasomim_core.masking.schedule import MaskingSchedule

REST_MS = 300
KINDS: dict[str, type[Any]] = {
    "mask_preview": Mask,
    "masking_over_epochs": OverEpochs,
    "reconstruct": Reconstruction,
}
"""What the engine's answers are."""


@dataclass(frozen=True, eq=False)
class Vessels:
    """The vessels that the masks are drawn for.

    Attributes:
        key: frame, mode and polarity.
        layer: the angiogram.
        index: which frame of it.
        frame: uint8 (H, W), as shown.
        scaled: uint8 (H', W'), as pretraining keeps it: no side longer than 512 px.
        anatomy: bool (H', W').
    """

    key: tuple[int, Mode, bool]
    layer: Image
    index: int
    frame: NDArray[np.uint8]
    scaled: NDArray[np.uint8]
    anatomy: NDArray[np.bool_]

    @property
    def mode(self) -> Mode:
        """How they were found."""
        return self.key[1]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frame as shown."""
        return self.frame.shape[0], self.frame.shape[1]


class ShownVessels:
    """Finds the vessels of the shown frame, and keeps those found last.

    Args:
        session: what the panels share.
        parent: when it is deleted, nothing is told any more.
        found: is told of vessels that were looked for, while they are wanted.
    """

    def __init__(self, session: Session, parent: QObject, found: Callable[[Vessels], Any]):
        self._session, self._tell = session, found
        self._mode: Mode = "robust"
        self._last: Vessels | None = None
        self._finding = Newest(parent, self._found)

    def get(self, mode: Mode) -> Vessels | None:
        """Those of the shown frame, found in this way; None while they are not known."""
        last, layer = self._last, self._session.angiogram
        current = last is not None and layer is last.layer and last.key == self._key(layer, mode)
        return last if current else None

    def find(self, mode: Mode) -> None:
        """Look for them in a thread.

        Raises:
            InputError: no angiogram is open.
        """
        layer, self._mode = self._session.need_angiogram(), mode
        key = self._key(layer, mode)

        def work() -> Vessels:
            frame = frames.grey(layer, key[0])
            return Vessels(key, layer, key[0], frame, *with_anatomy(frame, mode))

        self._finding.ask(work)

    def forget(self, layer: Image | None = None) -> None:
        """They hold no longer: those of an angiogram, or any."""
        if layer is None or (self._last is not None and self._last.layer is layer):
            self._last = None

    def _key(self, layer: Image, mode: Mode) -> tuple[int, Mode, bool]:
        return self._session.index, mode, layers.facts(layer).chosen.bright_vessels

    def _found(self, vessels: Vessels) -> None:
        if self.get(self._mode) is None and _is_there(self._session, vessels):
            self._last = vessels
            self._tell(vessels)


@dataclass(frozen=True)
class Asked:
    """What an answer of the engine belongs to; the figure takes only answers that belong together.

    Attributes:
        vessels: of the frame.
        schedule: the settings.
        epoch: of the mask.
        model: that draws, or "".
    """

    vessels: Vessels
    schedule: MaskingSchedule
    epoch: int
    model: str

    def bearing_on(self, method: str) -> tuple[Any, ...]:
        """That of it on which the answer to this method depends."""
        about: tuple[Any, ...] = (self.vessels, self.schedule, self.model_for(method))
        return about if method == "masking_over_epochs" else (*about, self.epoch)

    def model_for(self, method: str) -> str:
        """The model that the answer needs, or ""."""
        return self.model if method == "reconstruct" or self.schedule.co_guidance else ""


class MaskAnswers:
    """Asks the inference child for masks, and keeps its last answer to each method.

    Args:
        session: what the panels share.
        parent: when it is deleted, nothing is told any more.
    """

    answered = Signal(str, object, object)
    """Method, `Asked`, and the answer: a `Mask`, `OverEpochs` or `Reconstruction`."""
    starting = Signal()
    """The engine is not there yet; the answer will take some seconds."""
    failed = Signal(object)
    """The error; the next `ask` asks again, even for the same."""

    def __init__(self, session: Session, parent: QObject):
        self._session, self._parent = session, parent
        self._asked: Asked | None = None
        self._resting: Asked | None = None
        self._answers: dict[str, tuple[tuple[Any, ...], Any]] = {}
        self._calls: dict[str, Future[dict[str, Any]]] = {}
        self._rest = QTimer(parent, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(told(self._ask_over_epochs))

    def get(self, method: str, asked: Asked) -> Any:
        """The answer that belongs to this; None while it is not there."""
        about, answer = self._answers.get(method, ((), None))
        return answer if about == asked.bearing_on(method) else None

    def result(self, asked: Asked) -> MaskingResult | None:
        """All answers that belong to this; None while one is not there."""
        mask, over_epochs, made = (self.get(method, asked) for method in KINDS)
        if mask is None or over_epochs is None or (asked.model and made is None):
            return None
        model = Path(asked.model).stem if asked.model.endswith(".safetensors") else asked.model
        return MaskingResult(asked.schedule, asked.vessels.mode, model, mask, over_epochs, made if model else None)

    def ask(self, asked: Asked) -> None:
        """Have a mask drawn, by a model too if one is chosen, after a rest the whole schedule; not twice the same."""
        if asked == self._asked:
            return
        self._asked = self._resting = asked
        self._call("mask_preview", asked)
        self._rest.start()
        if asked.model:
            self._call("reconstruct", asked)

    def forget(self) -> None:
        """There is no angiogram any more: ask nothing further."""
        self._asked = None
        self._rest.stop()

    def _ask_over_epochs(self) -> None:
        asked = self._resting
        if asked is not None and self.get("masking_over_epochs", asked) is None:
            self._call("masking_over_epochs", asked)

    def _call(self, method: str, asked: Asked) -> None:
        """Call the inference child; an older call of the same kind that still waits is dropped."""
        if (old := self._calls.get(method)) is not None:
            old.cancel()
        if engine.shared().state == "off":
            self.starting.emit()

        def done(values: dict[str, Any]) -> None:
            if _is_there(self._session, asked.vessels):
                answer = KINDS[method](**values)
                self._answers[method] = asked.bearing_on(method), answer
                self.answered.emit(method, asked, answer)

        self._calls[method] = engine.shared().call(method, **request(method, asked))
        deliver(self._calls[method], self._parent, told(done), self._lost)

    def _lost(self, error: Exception) -> None:
        self._asked = None
        self.failed.emit(error)


def request(method: str, asked: Asked) -> dict[str, Any]:
    """The arguments of a call of the engine."""
    vessels, schedule = asked.vessels, vars(asked.schedule)
    about = {
        "frame": vessels.scaled,
        "anatomy": vessels.anatomy,
        "schedule": schedule,
        "model": asked.model_for(method),
    }
    return about if method == "masking_over_epochs" else about | {"epoch": asked.epoch}


def _is_there(session: Session, vessels: Vessels) -> bool:
    """Whether the angiogram is still open, with frames of that size."""
    layer = vessels.layer
    return layer in session.viewer.layers and frames.frame_size(layer) == vessels.size
