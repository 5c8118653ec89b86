"""The report of a comparison of methods: its words, tables and pictures, and what of it is not finished."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QImage, QImageReader, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_vasomim.plain import tooltip
from napari_vasomim.widgets.kit import button, hint
from vasomim_core.comparing.standing import PICTURES, TABLES, standing
from vasomim_core.errors import InputError
from vasomim_core.files import open_ordinary

WIDTH = 900
"""px of a picture in the report at most; it has a page of its own, too."""
MOST_BYTES = 4_000_000
"""A report or a table is text of some kilobytes; what is larger is none."""


class ReportText(QTextBrowser):
    """A report as rich text. Pictures come from its folder alone, no wider than `WIDTH`; links open nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path()
        self.setOpenLinks(False)
        self.setOpenExternalLinks(False)

    def show_file(self, path: Path) -> None:
        """Show a Markdown file.

        Raises:
            InputError: it cannot be read.
        """
        self._folder = path.parent.resolve()
        self.setMarkdown(_text(path).replace("<", "&lt;"))  # no markup but its own

    def loadResource(self, kind: int, url: QUrl) -> Any:
        """A picture below the report's folder; nothing else, and nothing from a network."""
        path = (self._folder / url.path()).resolve()
        if url.scheme() or url.host() or self._folder not in path.parents:
            return None
        return _image(path, WIDTH)


class ComparisonReport(QDialog):
    """Report, tables and pictures of one comparison, a page each.

    Args:
        out: the folder that `vasomim compare --out` works in.
        parent: the widget that opens it.

    Raises:
        ConfigError: there is no comparison.
    """

    def __init__(self, out: Path, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Comparison {out.name}")
        self.out = out
        self.state = hint()
        self.pages = QTabWidget()
        self.text = ReportText()
        again = button("Read again", self.refresh, "It may be worked on: read what is there by now")
        folder = button("Open folder", self._open_folder, "Its tables, pictures and run folders")
        for press in (again, folder):
            press.setAutoDefault(False)
        below = QHBoxLayout()
        below.addWidget(self.state, 1)
        below.addWidget(again)
        below.addWidget(folder)
        column = QVBoxLayout(self)
        column.addWidget(self.pages, 1)
        column.addLayout(below)
        self.resize(980, 660)
        self.refresh()

    def refresh(self) -> None:
        """Read what is there by now; the page that is looked at stays.

        Raises:
            ConfigError: the comparison is gone.
            InputError: its report or a table cannot be read.
        """
        found = standing(self.out)
        self.state.setText(found.words())
        looked_at = self.pages.tabText(self.pages.currentIndex())
        while (page := self.pages.widget(0)) is not None:
            self.pages.removeTab(0)
            if page is not self.text:
                page.deleteLater()
        if found.report is not None:
            self.text.show_file(found.report)
            self.pages.addTab(self.text, "Report")
        for path in sorted((self.out / TABLES).glob("*.csv")):
            self.pages.addTab(_table(path), f"Table: {path.stem}")
        for path in sorted((self.out / PICTURES).glob("*.png")):
            self.pages.addTab(_picture(path), f"Picture: {path.stem}")
        names = [self.pages.tabText(place) for place in range(self.pages.count())]
        if looked_at in names:
            self.pages.setCurrentIndex(names.index(looked_at))

    def _open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.out)))


def ask_comparison(parent: QWidget, start: Path) -> Path | None:
    """Ask for the folder of a comparison."""
    chosen = QFileDialog.getExistingDirectory(parent, "The folder of a comparison (--out)", str(start))
    return Path(chosen) if chosen else None


def _text(path: Path) -> str:
    anew = "let `vasomim compare` write it anew"
    try:
        with open_ordinary(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}); {anew}") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path.name} is larger than any report; {anew}")
    return content.decode("utf-8", "replace")


def _table(path: Path) -> QTableWidget:
    """A CSV file, its numbers to the right."""
    head, *rows = list(csv.reader(_text(path).splitlines())) or [[]]
    made = QTableWidget(len(rows), len(head))
    made.setHorizontalHeaderLabels([name.replace("_", " ") for name in head])
    made.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    for at, row in enumerate(rows):
        for column, value in enumerate(row[: len(head)]):
            item = QTableWidgetItem(value)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            made.setItem(at, column, item)
    made.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    made.verticalHeader().hide()
    return made


def _picture(path: Path) -> QScrollArea:
    """A picture at its own size."""
    label = QLabel()
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setPixmap(QPixmap.fromImage(_image(path)))
    label.setToolTip(tooltip(path.name))
    made = QScrollArea()
    made.setWidgetResizable(True)
    made.setWidget(label)
    return made


def _image(path: Path, width: int | None = None) -> QImage:
    """A picture, scaled down to a width where it is wider; empty where it cannot be read."""
    reader = QImageReader(str(path))
    size = reader.size()
    if width and size.width() > width > 0:
        reader.setScaledSize(QSize(width, max(1, size.height() * width // size.width())))
    return reader.read()
