"""What is asked before the window closes: about work that was not accepted, and about runs that are alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox

from napari_vasomim.background import engine
from napari_vasomim.background.threads import submit
from napari_vasomim.correcting.editing import Editor, editors
from napari_vasomim.correcting.following import Following
from napari_vasomim.measuring.desk import MeasuringDesk
from napari_vasomim.napari_compat import main_window
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.plain import message_box
from napari_vasomim.runs import jobs
from napari_vasomim.session import Session

PROPERTY = "vasomim_guard"
_open: weakref.WeakSet[ClosingGuard] = weakref.WeakSet()
"""Of the windows that have a panel of ours: the inference child is theirs together."""


class ClosingGuard(QObject):
    """Stands at the door of one napari window. Its questions are methods, so that a test can answer them.

    Args:
        window: napari's main window.
        session: of its viewer.
    """

    def __init__(self, window: Any, session: Session):
        super().__init__(window)
        self._window: Any = window
        self._session = session
        self._then: list[Callable[[], Any]] = []
        _open.add(self)
        window.installEventFilter(self)
        window.setProperty(PROPERTY, self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let the window close, or not."""
        if event is None or event.type() != QEvent.Type.Close or watched is not self._window:
            return False
        try:
            if not self.may_close():
                event.ignore()
                return True
        except Exception as error:  # a defect of ours must not lock a person in
            report_error(error)
        self._close(event)
        return True

    def _close(self, event: QEvent) -> None:
        # Not left to Qt: napari asks, too, and only a window that really closes may let go of its work.
        self._window.event(event)
        if event.isAccepted():
            report_errors(self.let_go)()

    def may_close(self) -> bool:
        """Ask about each thing that closing touches; False = the person wants to stay, and nothing was done."""
        self._then = []
        unsaved = [editor for editor in editors(self._session) if editor.unsaved]
        if unsaved:
            answer = self.ask_about_work(unsaved)
            if answer == "cancel":
                return False
            if answer == "discard":
                self._then += [editor.discard for editor in unsaved]
        for job in self._session.jobs:
            status = job.status()
            if status.alive:
                answer = self.ask_about_run(status)
                if answer == "stay":
                    return False
                self._then.append({"keep": job.leave, "stop": job.stop, "cancel": _cancelling(job, status)}[answer])
        return True

    def let_go(self) -> None:
        """Do what was answered, and end what nobody needs any more."""
        for act in self._then:
            report_errors(act)()
        for editor in editors(self._session):
            editor.close()
        if (following := Following.known(self._session.viewer)) is not None:
            following.cancel()  # else the process would wait for it
        if (desk := MeasuringDesk.known(self._session.viewer)) is not None:
            desk.measures.keeping.flush()
        _open.discard(self)
        if not _open:
            engine.shared().close()

    def ask_about_work(self, unsaved: list[Editor]) -> str:
        """Keep for the next start, discard, or cancel."""
        frames = sum(len(editor.unsaved) for editor in unsaved)
        box = message_box(
            self._window,
            "Corrections that are not accepted",
            f"{frames} corrected frame{'s are' if frames != 1 else ' is'} not accepted into a label set. "
            "Keep the strokes for the next start?",
        )
        keep = box.addButton("Keep", QMessageBox.ButtonRole.AcceptRole)
        discard = box.addButton("Discard", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(keep)
        box.exec_()
        return {keep: "keep", discard: "discard"}.get(box.clickedButton(), "cancel")

    def ask_about_run(self, status: jobs.RunStatus) -> str:
        """Let the run go on, stop and keep its model, cancel it, or do not close."""
        box = message_box(
            self._window, "A training run is alive", f"{status.name}: {status.message} {_going_on(status)}"
        )
        buttons: dict[Any, str] = {
            box.addButton("Let it go on", QMessageBox.ButtonRole.AcceptRole): "keep",
            box.addButton("Stop and keep the model", QMessageBox.ButtonRole.ActionRole): "stop",
            box.addButton("Cancel the run", QMessageBox.ButtonRole.DestructiveRole): "cancel",
        }
        box.addButton("Do not close", QMessageBox.ButtonRole.RejectRole)
        box.exec_()
        return buttons.get(box.clickedButton(), "stay")


def _cancelling(job: jobs.Job, status: jobs.RunStatus) -> Callable[[], Any]:
    """Ending a run; the window does not wait for another machine, the program does."""
    return partial(submit, job.cancel, waits=True) if status.machine else job.cancel


def _going_on(status: jobs.RunStatus) -> str:
    """What becomes of a run without the window."""
    if not status.machine:
        return (
            "It is a process of its own and can go on without this window. "
            "Runs that wait begin when a window is open again."
        )
    found = "The next window finds it again."
    if status.whereabouts == "there":
        return f"It goes on on {status.machine}, without this window and without this computer. {found}"
    return (
        f"It is not on {status.machine} yet: a process of its own brings it there without this window, "
        f"as long as this computer stays on. {found}"
    )


def guard(session: Session) -> ClosingGuard | None:
    """The guard of a viewer's window, made at first need; None for a viewer without a window."""
    window = main_window(session.viewer)
    if window is None:
        return None
    return window.property(PROPERTY) or ClosingGuard(window, session)
