"""Words are shown as they are, whoever wrote them.

Names, notes and sentences come from label sets, models and files as well. As rich text, which Qt makes of whatever
looks like HTML, they could load pictures and pass for words of the window.
"""

from __future__ import annotations

import html

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QMessageBox, QWidget

Yes, No = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No


def plain_label(text: str = "") -> QLabel:
    """A label of plain text."""
    made = QLabel()
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setText(text)
    return made


class Marked(QLabel):
    """A label with markup, for words of ours and numbers alone."""

    def __init__(self, markup: str = ""):
        super().__init__()
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setText(markup)


def make_plain(parent: QWidget) -> None:
    """Make plain whatever label below `parent` would guess from its text, such as those that forms make."""
    for found in parent.findChildren(QLabel):
        if found.textFormat() == Qt.TextFormat.AutoText:
            found.setTextFormat(Qt.TextFormat.PlainText)


def tooltip(text: str) -> str:
    """What to give as a tooltip, which is rich text whenever it looks like that, so that `text` is shown as it is."""
    if not any(character in text for character in "<&"):
        return text
    return f"<p>{html.escape(text)}</p>".replace("\n", "<br>")


def message_box(parent: QWidget | None, title: str, text: str, more: str = "") -> QMessageBox:
    """A question in plain text, without buttons yet; `more` stands below in smaller letters."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle(title)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(text)
    box.setInformativeText(more)
    make_plain(box)  # the label of `more`, to which the format of the box does not reach
    return box


def confirmed(parent: QWidget | None, title: str, text: str) -> bool:
    """Whether a person says yes; no is what Enter and Escape mean."""
    box = message_box(parent, title, text)
    box.setStandardButtons(Yes | No)
    box.setDefaultButton(No)
    return QMessageBox.StandardButton(box.exec_()) == Yes
