"""What guided masking of the shown frame needs: its vessels, found in a thread, and the inference child's answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_vasomim import engine, layers
from napari_vasomim.background import Newest
from napari_vasomim.deliver import deliver
from napari_vasomim.notify import told
from napari_vasomim.session import Session
from vasomim_core.anatomy import extract_anatomy
from vasomim_core.config import Mode
from vasomim_core.masking_schedule import MaskingSchedule

HEAT_MAP_REST_MS = 300


@dataclass(frozen=True, eq=False)
class Vessels:
    """The vessels that the masks are drawn for.

    Attributes:
        key: frame, mode and polarity.
        layer: the angiogram.
        index: which frame of it.
        frame: uint8 (H, W).
        anatomy: bool (H, W).
    """

    key: tuple[int, Mode, bool]
    layer: Image
    index: int
    frame: NDArray[np.uint8]
    anatomy: NDArray[np.bool_]


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
            frame = layers.frame_of(layer, key[0])
            return Vessels(key, layer, key[0], frame, extract_anatomy(frame, mode))

        self._finding.ask(work)

    def forget(self, layer: Image | None = None) -> None:
        """They hold no longer: those of an angiogram, or any."""
        if layer is None or (self._last is not None and self._last.layer is layer):
            self._last = None

    def _key(self, layer: Image, mode: Mode) -> tuple[int, Mode, bool]:
        return self._session.index, mode, bool(layers.facts(layer).get("bright_vessels"))

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
        return {
            "mask_preview": (self.vessels, self.schedule, self.epoch),
            "masking_heat_map": (self.vessels, self.schedule),  # of all epochs
            "reconstruct": (self.vessels, self.schedule, self.epoch, self.model),
        }[method]


class MaskAnswers:
    """Asks the inference child for masks, and keeps its last answer to each method.

    Args:
        session: what the panels share.
        parent: when it is deleted, nothing is told any more.
    """

    answered = Signal(str, object, object)
    """Method, `Asked`, and the values of the answer."""
    starting = Signal()
    """The engine is not there yet; the answer will take some seconds."""
    failed = Signal(object)
    """The error; the next `ask` asks again, even for the same."""

    def __init__(self, session: Session, parent: QObject):
        self._session, self._parent = session, parent
        self._asked: Asked | None = None
        self._resting: Asked | None = None
        self._answers: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self._calls: dict[str, Future[dict[str, Any]]] = {}
        self._rest = QTimer(parent, singleShot=True, interval=HEAT_MAP_REST_MS)
        self._rest.timeout.connect(told(self._ask_heat_map))

    def get(self, method: str, asked: Asked) -> dict[str, Any] | None:
        """The answer that belongs to this; None while it is not there."""
        about, answer = self._answers.get(method, ((), None))
        return answer if about == asked.bearing_on(method) else None

    def ask(self, asked: Asked) -> None:
        """Have a mask drawn, by a model too if one is chosen, and after a rest the heat map; not twice for the same."""
        if asked == self._asked:
            return
        self._asked = self._resting = asked
        schedule, epoch = asked.schedule, asked.epoch
        self._call("mask_preview", asked, epoch=epoch, **vars(schedule))
        self._rest.start()
        if asked.model:
            beta = schedule.beta(epoch)
            self._call(
                "reconstruct", asked, frame=asked.vessels.frame, model=asked.model, beta=beta, seed=schedule.seed
            )

    def forget(self) -> None:
        """There is no angiogram any more: ask nothing further."""
        self._asked = None
        self._rest.stop()

    def _ask_heat_map(self) -> None:
        asked = self._resting
        if asked is not None and self.get("masking_heat_map", asked) is None:
            self._call("masking_heat_map", asked, **vars(asked.schedule))

    def _call(self, method: str, asked: Asked, **arguments: Any) -> None:
        """Call the inference child; an older call of the same kind that still waits is dropped."""
        if (old := self._calls.get(method)) is not None:
            old.cancel()
        if engine.shared().state == "off":
            self.starting.emit()

        def done(answer: dict[str, Any]) -> None:
            if _is_there(self._session, asked.vessels):
                self._answers[method] = asked.bearing_on(method), answer
                self.answered.emit(method, asked, answer)

        self._calls[method] = engine.shared().call(method, anatomy=asked.vessels.anatomy, **arguments)
        deliver(self._calls[method], self._parent, told(done), self._lost)

    def _lost(self, error: Exception) -> None:
        self._asked = None
        self.failed.emit(error)


def _is_there(session: Session, vessels: Vessels) -> bool:
    """Whether the angiogram is still open, with frames of that size."""
    layer = vessels.layer
    return layer in session.viewer.layers and layers.frame_size(layer) == vessels.frame.shape
