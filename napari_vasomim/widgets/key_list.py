"""All keys of the window in one list over it, and who answers them."""

from __future__ import annotations

import html
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFrame, QGridLayout, QWidget

from napari_vasomim.attached import PerViewer
from napari_vasomim.correcting.desk import CorrectingDesk
from napari_vasomim.keys import Key, by_place
from napari_vasomim.napari_compat import main_window
from napari_vasomim.plain import Marked, plain_label
from napari_vasomim.shortcuts import Shortcuts
from napari_vasomim.viewing.looking import Looking

COLUMNS = 2
LOOK = """
KeyList { border: 1px solid palette(highlight); border-radius: 6px; }
QLabel { background: transparent; }
"""


class Answering(Protocol):
    """A panel, as far as keys go."""

    keys: Mapping[str, str]
    embedded: bool


def answer_keys(panel: Any, viewer: ViewerModel) -> None:
    """Have the keys of a panel answered, and those that need none; within the workbench that answers for its panels."""
    CorrectingDesk.of(viewer)
    Looking.of(viewer)
    KeyLists.of(viewer)
    if not panel.embedded:
        here = weakref.ref(panel)
        for name, method in panel.keys.items():
            Shortcuts.of(viewer).answer(name, partial(_call, here, method))


def _call(panel: Callable[[], Any], method: str) -> None:
    if (alive := panel()) is not None:
        getattr(alive, method)()


class KeyLists(PerViewer):
    """Shows and hides the list of a window."""

    def __init__(self, viewer: ViewerModel):
        self._viewer = weakref.ref(viewer)
        self.list: KeyList | None = None
        Shortcuts.of(viewer).answer("keys", self.toggle)

    def toggle(self) -> None:
        """Show the list, or hide it; without a window there is none."""
        window = main_window(self._viewer())
        if window is None:
            return
        if self.list is None:
            self.list = KeyList(window)
            self.list.destroyed.connect(self._gone)
        self.list.toggle()

    def _gone(self, *_: Any) -> None:
        self.list = None


class KeyList(QFrame):
    """The list over the middle of a window; Esc, a click or the same key again takes it away.

    Args:
        window: that it lies over.
    """

    def __init__(self, window: QWidget):
        super().__init__(window)
        self.setStyleSheet(LOOK)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._before: Any = None
        layout = QGridLayout(self)
        layout.setContentsMargins(18, 14, 18, 14)
        layout.setHorizontalSpacing(28)
        for column, groups in enumerate(_in_columns()):
            made = Marked("".join(_table(where, group) for where, group in groups))
            made.setAlignment(Qt.AlignmentFlag.AlignTop)
            layout.addWidget(made, 0, column)
        where = plain_label("They work from the canvas, the panels and the layer list; in a field for text, you type.")
        layout.addWidget(where, 1, 0, 1, COLUMNS)
        self.hide()

    def toggle(self) -> None:
        """Show it, or hide it."""
        window = self.parentWidget()
        if self.isVisible() or window is None:
            self._leave()
            return
        self._before = window.focusWidget()
        self.adjustSize()
        free = window.rect().center() - self.rect().center()
        self.move(QPoint(max(0, free.x()), max(0, free.y())))
        self.show()
        self.raise_()
        self.setFocus()

    def _leave(self) -> None:
        self.hide()
        if self._before is not None:
            self._before.setFocus()
            self._before = None

    def keyPressEvent(self, event: Any) -> None:
        """Esc takes it away."""
        if event.key() == Qt.Key.Key_Escape:
            self._leave()
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: Any) -> None:
        """A click takes it away."""
        self._leave()


def _in_columns() -> list[list[tuple[str, list[Key]]]]:
    """The groups, spread over columns of about the same height."""
    groups = list(by_place().items())
    most = sum(len(group) + 2 for _, group in groups) / COLUMNS
    columns: list[list[tuple[str, list[Key]]]] = [[]]
    filled = 0
    for where, group in groups:
        if filled >= most * len(columns) - len(group) / 2 and len(columns) < COLUMNS:
            columns.append([])
        columns[-1].append((where, group))
        filled += len(group) + 2
    return columns


def _table(where: str, group: list[Key]) -> str:
    rows = "".join(
        f"<tr><td align='right'><b>{html.escape(one.key).replace(' ', '&nbsp;')}</b></td>"
        f"<td>&nbsp;&nbsp;{html.escape(one.what)}</td></tr>"
        for one in group
    )
    return f"<p style='margin: 6px 0 2px 0'><b>{html.escape(where)}</b></p><table cellspacing=3>{rows}</table>"
