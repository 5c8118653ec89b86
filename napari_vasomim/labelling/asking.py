"""What is asked before another reader's accepted label is replaced, whichever way that would come about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from napari.components import ViewerModel
from qtpy.QtWidgets import QMessageBox

from napari_vasomim.labelling.contents import when
from napari_vasomim.napari_compat import main_window
from napari_vasomim.notify import report_errors
from napari_vasomim.plain import message_box
from vasomim_core.labels.record import Record, Status

Answer = Literal["replace", "keep", "cancel"]
REPLACES: dict[Status, tuple[str, str]] = {
    "accepted": ("Replace", "Replace that label?"),
    "skipped": ("Skip it", "Skip the frame, so that nothing learns from that label?"),
    "flagged": ("Flag it", "Flag the frame, so that nothing learns from that label until it is accepted again?"),
}


def ask_to_replace(
    viewer: ViewerModel, record: Record, status: Status, keeps: bool, answered: Callable[[Answer], object]
) -> None:
    """Ask whether another reader's label is replaced; the window does not wait, and Cancel is what Enter means.

    Args:
        viewer: over whose window.
        record: of the label that is there.
        status: that the frame would get.
        keeps: whether there is a mask that can be kept beside the label instead.
        answered: gets the answer.
    """
    word, question = REPLACES[status]
    did = "settled" if record.settled else "accepted"
    more = "What is there stays as an earlier revision." if status == "accepted" else ""
    box = message_box(
        main_window(viewer),
        "The label of another reader",
        f"{record.annotator} {did} the label of this frame on {when(record.modified)}. {question}",
        f"{more} A second reading lies beside the label and leaves it as it is." if keeps else more,
    )
    replace = box.addButton(word, QMessageBox.ButtonRole.DestructiveRole)
    keep = box.addButton("Keep as a second reading", QMessageBox.ButtonRole.AcceptRole) if keeps else None
    cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(cancel)
    box.setEscapeButton(cancel)

    def finished(*_: object) -> None:
        clicked = box.clickedButton()
        answered("replace" if clicked is replace else "keep" if keep is not None and clicked is keep else "cancel")

    box.finished.connect(report_errors(finished))
    box.finished.connect(box.deleteLater)
    box.open()
