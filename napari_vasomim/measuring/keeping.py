"""Writes measures to the folder where they are kept, in a thread, in the order in which they were changed."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_vasomim.background.threads import run_in_background
from napari_vasomim.notify import counted, warn
from vasomim_core.errors import VasoMIMError
from vasomim_core.measures.kept import KeptMeasure
from vasomim_core.measures.store import MeasureStore

Key = tuple[str, str]
"""Fingerprint of the frame, id of the measure."""
Changes = dict[Key, KeptMeasure | None]


class Keeping:
    """What waits to be written; the newest state of each measure alone."""

    def __init__(self) -> None:
        self._owner = QObject()
        self._waiting: Changes = {}
        self._under_way: Changes = {}

    @property
    def idle(self) -> bool:
        """Whether all is written that can be."""
        return not self._under_way

    def write(self, frame_sha256: str, id: str, kept: KeptMeasure | None) -> None:
        """Keep a measure, or with None keep it no longer."""
        self._waiting[frame_sha256, id] = kept
        if not self._under_way:
            self._start()

    def flush(self) -> None:
        """Write what still waits, now: the window closes."""
        left, self._waiting = self._under_way | self._waiting, {}
        if left:
            self._tell(_write(left))

    def _start(self) -> None:
        self._under_way, self._waiting = self._waiting, {}
        batch = dict(self._under_way)
        run_in_background(self._owner, lambda: _write(batch), self._written)

    def _written(self, failed: tuple[Changes, str]) -> None:
        self._under_way = {}
        if self._waiting:
            self._waiting = failed[0] | self._waiting
            self._start()
        else:
            self._waiting = failed[0]  # with the next change
        self._tell(failed)

    def _tell(self, failed: tuple[Changes, str]) -> None:
        left, why = failed
        if left:
            warn(f"{counted(len(left), 'measure')} could not be kept: {why}. They are tried again with the next one.")


def _write(changes: Changes) -> tuple[Changes, str]:
    """Write changes; those that could not be, and why."""
    store, failed, why = MeasureStore(), Changes(), ""
    for (sha, id), kept in changes.items():
        try:
            if kept is None:
                store.remove(sha, id)
            else:
                store.put(sha, kept)
        except (OSError, VasoMIMError) as error:
            failed[sha, id] = kept
            why = str(error).rstrip(".") if isinstance(error, VasoMIMError) else f"{store.folder}: {error.strerror}"
    return failed, why
