"""*Open…*, where a person looks first: files, a folder of them, a disc."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from napari_vasomim.viewing.files import Opener
from napari_vasomim.widgets.kit import AngiogramChoice, Progress, follow
from vasomim_core.reading import SUFFIXES

# DICOM files often have no suffix.
FILTERS = f"All files (*);;Pictures and stacks ({' '.join(f'*{suffix}' for suffix in sorted(SUFFIXES))})"


class OpenAndChoose(QWidget):
    """*Open…* beside the choice of the angiogram, and a bar while files are opened.

    Args:
        session: of the viewer that they are opened in.
    """

    def __init__(self, session: Session):
        super().__init__()
        self.opener = Opener(session, self)
        self.button = QPushButton("Open…")
        self.button.setToolTip(
            "Open your own angiograms: files (DICOM, TIFF, PNG, JPEG, …), a folder of stills or of runs, a disc"
        )
        menu = QMenu(self.button)
        menu.addAction("Files…", report_errors(self.choose_files))
        menu.addAction("Folder or disc…", report_errors(self.choose_folder))
        self.button.setMenu(menu)
        self.progress = Progress(self.opener.work.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(AngiogramChoice(session, first=self.button))
        column.addWidget(self.progress)
        follow(self, self.opener.work.stepped, self._stepped)
        follow(self, self.opener.work.ended, self.progress.hide)

    def choose_files(self) -> None:
        """Ask for files, and open them."""
        chosen, _ = QFileDialog.getOpenFileNames(self, "Open angiograms", filter=FILTERS)
        self.opener.open([Path(path) for path in chosen])

    def choose_folder(self) -> None:
        """Ask for a folder or a disc, and open what is in it."""
        chosen = QFileDialog.getExistingDirectory(self, "Open a folder or a disc")
        self.opener.open([Path(chosen)] if chosen else [])

    def _stepped(self, done: int, total: int) -> None:
        self.progress.show_step(done, total, "opening %v of %m" if total else "opening")
