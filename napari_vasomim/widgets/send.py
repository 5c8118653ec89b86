"""What would go to another machine is listed, then asked about; nothing is sent before that."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDialog, QFormLayout, QProgressBar, QVBoxLayout, QWidget

from napari_vasomim.background.long_work import LongWork
from napari_vasomim.plain import make_plain
from napari_vasomim.widgets.kit import SPACE, button, hint, row
from vasomim_core.config import FinetuneConfig, Pretraining
from vasomim_core.errors import VasoMIMError
from vasomim_core.reading.folders import Progress
from vasomim_core.remote.sending import Listing, list_parcel

WIDTH = 520
MOST_NOTES = 8
HOW = (
    "By number, as PNG: no file name, no name of a group, no date and no header goes along. What is burned into the "
    "pixels of a frame does. Classes and settings go, too, without paths."
)
Listed = tuple[Listing, list[str]] | VasoMIMError


class SendDialog(QDialog):
    """The list of what a run would send, made in a thread, and the question.

    Args:
        config: settings of the run.
        machine: where it would be computed.
        parent: the widget that asks.
    """

    def __init__(self, config: FinetuneConfig | Pretraining, machine: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(f"Train on {machine}")
        self.setMinimumWidth(WIDTH)
        self.words = hint(f"Looks at {machine}, and reads what would be sent. Nothing is sent yet.")
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.form = QFormLayout()
        self.how = hint(HOW)
        self.notes = hint()
        for widget in (self.how, self.notes):
            widget.hide()
        self.send = button("Send and start", self.accept, f"Sends it to {machine}, and begins to train there", True)
        self.send.setEnabled(False)
        self.cancel = button("Cancel", self.reject)
        column = QVBoxLayout(self)
        column.setSpacing(SPACE)
        column.setSizeConstraint(QVBoxLayout.SizeConstraint.SetNoConstraint)  # it takes words to be narrow and high
        for widget in (self.words, self.bar):
            column.addWidget(widget)
        column.addLayout(self.form)
        column.addWidget(self.how)
        column.addWidget(self.notes)
        column.addStretch(1)
        column.addLayout(row(self.send, self.cancel))
        self._work = LongWork(self, lambda: None)
        self._work.stepped.connect(self._stepped)
        self._work.ended.connect(self._ended)

        def listed(progress: Progress) -> Listed:
            try:
                return list_parcel(config, machine, progress=progress)
            except VasoMIMError as error:  # told here, where somebody waits for it
                return error

        self._work.start(listed, self._listed)

    def ask(self) -> bool:
        """Whether a person wants it sent."""
        wanted = bool(self.exec_())
        self._work.cancel()
        self.deleteLater()
        return wanted

    def _fit(self) -> None:
        """As high as the words need, once they have their places."""
        self.resize(self.width(), self.layout().totalHeightForWidth(self.width()))

    def _stepped(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _ended(self) -> None:
        self.bar.hide()

    def _listed(self, listed: Listed) -> None:
        if isinstance(listed, VasoMIMError):
            self.words.setText(f"Nothing was sent: {listed}.")
            QTimer.singleShot(0, self._fit)
            return
        listing, notes = listed
        self.words.setText("This would be sent:")
        for label, text in (
            ("to", f"{listing.machine}: {listing.folder} on {listing.host}"),
            ("what", listing.what),
            ("not there yet", listing.news if listing.new else "nothing: all of it is there"),
        ):
            self.form.addRow(label, hint(text))
        more = [f"… and {len(notes) - MOST_NOTES} more of this kind."] if len(notes) > MOST_NOTES else []
        self.notes.setText("\n".join([*(f"⚠ {note}" for note in notes[:MOST_NOTES]), *more]))
        self.notes.setVisible(bool(notes))
        self.how.show()
        make_plain(self)
        self.send.setEnabled(True)
        self.send.setDefault(True)
        QTimer.singleShot(0, self._fit)
